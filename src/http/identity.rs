//! Who is calling, and whether the org is theirs to see.

use actix_web::HttpRequest;

use super::envelope::Refusal;
use super::server::House;
use crate::content::sign::Signer;
use crate::domain::{ErrorTag, OrgCode, Rejection};
use crate::projections::identity;

/// Purpose of the keyed hash under which sessions are stored.
pub const SESSION_HASH: &str = "session";
/// Purpose of the keyed hash that names a session in answers and logs.
const SESSION_FINGERPRINT: &str = "session-fingerprint";
/// Longest session guid looked at.
const SESSION_GUID_CHARS_MAX: usize = 128;

/// A known caller.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The user's public id.
    pub user_id: String,
    /// `sf_...`: names the session without revealing it.
    pub fingerprint: String,
}

/// What a route does to an org.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Reads it.
    Read,
    /// Changes it.
    Write,
}

/// The caller of a request, by its session. The answer never says which part of a credential is wrong.
///
/// # Errors
/// `invalid-session`, or a failed read.
pub fn principal(house: &House, request: &HttpRequest) -> Result<Principal, Refusal> {
    let guid = request
        .headers()
        .get("x-session-guid")
        .and_then(|value| value.to_str().ok());
    let guid = guid.filter(|guid| !guid.is_empty() && guid.len() <= SESSION_GUID_CHARS_MAX);
    let Some(guid) = guid else {
        return Err(invalid_session().into());
    };
    let session = identity::session(&house.store, &session_hash(&house.signer, guid))?;
    let now = house.clock.now();
    let valid = session.filter(|session| {
        session.expires_at.is_none_or(|at| at > now) && (!session.development || house.development)
    });
    match valid {
        Some(session) => Ok(Principal {
            user_id: session.user_id,
            fingerprint: fingerprint(&house.signer, guid),
        }),
        None => Err(invalid_session().into()),
    }
}

/// The form in which a session guid is stored.
pub fn session_hash(signer: &Signer, guid: &str) -> String {
    hex::encode(signer.keyed_hash(SESSION_HASH, guid.as_bytes()))
}

fn fingerprint(signer: &Signer, guid: &str) -> String {
    format!(
        "sf_{}",
        hex::encode(&signer.keyed_hash(SESSION_FINGERPRINT, guid.as_bytes())[..8])
    )
}

/// Lets a caller through to an org that is theirs and open for what they want.
///
/// # Errors
/// `not-found` for strangers, whether or not the org exists; then `org-read-blocked` or `org-write-blocked`.
pub fn admit(
    house: &House,
    principal: &Principal,
    org: &OrgCode,
    intent: Intent,
) -> Result<(), Refusal> {
    // Both are read whatever the first says, so that a stranger cannot tell by time which was missing.
    let member = identity::member(&house.store, org.as_str(), &principal.user_id)?;
    let status = identity::org_status(&house.store, org.as_str())?;
    let (Some(_), Some(status)) = (member, status) else {
        return Err(Rejection::not_found().into());
    };
    if !status.readable() {
        return Err(Rejection::new(
            ErrorTag::OrgReadBlocked,
            "The org is frozen; ask its operator.",
        )
        .into());
    }
    if intent == Intent::Write && !status.writable() {
        return Err(Rejection::new(
            ErrorTag::OrgWriteBlocked,
            "The org takes no changes in its present status; ask its owner.",
        )
        .into());
    }
    Ok(())
}

fn invalid_session() -> Rejection {
    Rejection::new(
        ErrorTag::InvalidSession,
        "A valid credential is needed; send your session in the x-session-guid header.",
    )
}
