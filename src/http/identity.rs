//! Who is calling, and whether the org is theirs to see.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, AsHeaderName, HeaderMap, HeaderValue};
use ipnet::IpNet;

use super::access::{Right, Role};
use super::callers::{Lookup, Standings};
use super::envelope::Refusal;
use super::header_names;
use super::server::AppState;
use crate::actors::identity::{key_digest, session_digest};
use crate::content::sign::Signer;
use crate::domain::rejection::Denial;
use crate::domain::{ErrorTag, OrgCode, Rejection};
use crate::projections::{identity, ops};

/// Purpose of the keyed hash that names a subject in answers and logs.
const FINGERPRINT: &str = "session-fingerprint";
/// Digits of a fingerprint: eight bytes.
const FINGERPRINT_DIGITS: usize = 16;
/// What the name of a key begins with, and that of no session.
pub const KEY_FINGERPRINT: &str = "kf";
/// Longest session guid or key looked at.
const SECRET_CHARS_MAX: usize = 128;

/// What begins the public id of somebody whom an identity provider names: its subjects can be any text, also that of
/// another user's id, of an operator or of a job.
const JWT_SUBJECT: &str = "jwt:";
/// The same of somebody whom a header names.
pub(super) const HEADER_SUBJECT: &str = "header:";
/// What a token stands behind (RFC 6750, section 2.1).
const BEARER: &str = "Bearer ";
/// Headers that proxies add. Who is behind one is not known by what the headers say.
const FORWARDING: &[&str] = &[
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// How a caller is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A person, by a session.
    Session,
    /// A service account, by a key.
    ApiKey,
    /// Somebody whom an identity provider knows, by a token.
    Jwt,
    /// Whoever a header says, on a developer's own machine.
    Header,
}

impl Mode {
    /// The text callers see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::ApiKey => "api_key",
            Self::Jwt => "jwt",
            Self::Header => "header",
        }
    }
}

/// The only org a credential is for, and what it lets do there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The org.
    pub org: String,
    /// The role; `None` for one that lets do nothing.
    pub role: Option<Role>,
}

/// A known caller. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Principal(Arc<Who>);

impl Deref for Principal {
    type Target = Who;

    fn deref(&self) -> &Who {
        &self.0
    }
}

/// What is known of a caller. It holds no secret.
#[derive(Debug)]
pub struct Who {
    /// The public id of the user or the service account.
    pub user_id: String,
    /// Names the credential without revealing it: `sf_...` for a session, `kf_...` for a key.
    pub fingerprint: String,
    /// How it is known.
    pub mode: Mode,
    /// The org of a credential that is for one alone; people belong to orgs by membership.
    pub bound: Option<Bound>,
    /// The keyed hash of the session, when it is one.
    pub session_hash: Option<String>,
    /// Networks that the credential may be used from; from everywhere when there are none.
    allowed_addresses: Vec<IpNet>,
    standings: Standings,
    /// The first org that let it in.
    home: OnceLock<OrgCode>,
}

/// Who answers for what is used: the org, as far as it is known, otherwise the principal, or the address of a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner<'a> {
    /// An org.
    Org(&'a str),
    /// A principal of no known org.
    Principal(&'a str),
    /// A stranger; absent for connections without an address.
    Address(Option<IpAddr>),
    /// Whoever has the operator token.
    Operators,
}

impl Who {
    /// Who answers for what this caller uses.
    pub fn owner(&self) -> Owner<'_> {
        let bound = self.bound.as_ref().map(|bound| bound.org.as_str());
        let org = bound.or_else(|| self.home.get().map(OrgCode::as_str));
        org.map_or(Owner::Principal(&self.user_id), Owner::Org)
    }

    /// Notes an org that let the caller in.
    pub fn note_org(&self, org: &OrgCode) {
        if self.bound.is_none() && self.home.get().is_none() {
            let _: Result<(), _> = self.home.set(org.clone());
        }
    }
}

/// The caller of a request, by its credential. The answer never says what is wrong with one.
///
/// # Errors
/// `invalid-session`, or a failed read.
pub fn principal(app: &AppState, request: &HttpRequest) -> Result<Principal, Refusal> {
    let headers = request.headers();
    let session = credential(headers, &header_names::X_SESSION_GUID)?;
    let api_key = credential(headers, &header_names::X_API_KEY)?;
    let authorization = Authorization::of(headers);
    let other = session.is_some() || api_key.is_some();
    let token = match authorization {
        Authorization::Twice => return Err(invalid(Denial::CredentialTwice).into()),
        Authorization::Bearer(_) if other => return Err(invalid(Denial::CredentialsMixed).into()),
        Authorization::Bearer(token) => Some(token),
        Authorization::None | Authorization::Other => None,
    };
    match (session, api_key) {
        // A session beats a key (contract, section 7).
        (Some(guid), _) => person(app, guid),
        (None, Some(api_key)) => {
            let principal = account(app, api_key)?;
            check_address(&principal, request)?;
            Ok(principal)
        }
        (None, None) => match token {
            Some(token) => bearer_of(app, token),
            None if app.header_identity => told(app, request),
            None if authorization == Authorization::Other => {
                Err(invalid(Denial::CredentialMalformed).into())
            }
            None => Err(invalid(Denial::CredentialMissing).into()),
        },
    }
}

/// What a request has in `Authorization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authorization<'a> {
    /// The header is not there.
    None,
    /// A Bearer token, without the scheme.
    Bearer(&'a str),
    /// More than one token.
    Twice,
    /// No token, but another scheme or what is none. Proxies add such for themselves.
    Other,
}

impl<'a> Authorization<'a> {
    /// Of a request's headers.
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        let mut found = Self::None;
        for value in headers.get_all(AUTHORIZATION) {
            found = match (found, bearer_token(value)) {
                (Self::Bearer(_) | Self::Twice, Some(_)) => Self::Twice,
                (Self::None | Self::Other, Some(token)) => Self::Bearer(token),
                (Self::None, None) => Self::Other,
                (found, None) => found,
            };
        }
        found
    }
}

/// The token of credentials in the scheme `Bearer`, whose name is in any case (RFC 9110, section 11.1).
fn bearer_token(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_at_checked(BEARER.len())?;
    scheme
        .eq_ignore_ascii_case(BEARER)
        .then(|| token.trim_start_matches(' '))
}

fn bearer_of(app: &AppState, token: &str) -> Result<Principal, Refusal> {
    let verifier = app.tokens.as_ref();
    let verifier = verifier.ok_or_else(|| invalid(Denial::TokenNotTaken))?;
    let bearer = verifier
        .verify(token)
        .map_err(|denied| invalid(denied.denial()))?;
    if let Some(jti) = &bearer.jti
        && ops::is_jwt_revoked(&app.store, jti)?
    {
        return Err(invalid(Denial::TokenRevoked).into());
    }
    Ok(Principal(Arc::new(Who {
        fingerprint: told_fingerprint(&app.signer, "tf", &bearer.subject),
        user_id: [JWT_SUBJECT, &bearer.subject].concat(),
        mode: Mode::Jwt,
        bound: Some(Bound {
            org: bearer.org.as_str().to_owned(),
            role: Role::parse(&bearer.role),
        }),
        session_hash: None,
        allowed_addresses: Vec::new(),
        standings: Standings::default(),
        home: OnceLock::new(),
    })))
}

/// Whoever the headers say, when the request comes from this machine and was not passed on by another.
fn told(app: &AppState, request: &HttpRequest) -> Result<Principal, Refusal> {
    let headers = request.headers();
    let passed_on = FORWARDING.iter().any(|name| headers.contains_key(*name));
    let local = request
        .peer_addr()
        .is_some_and(|peer| peer.ip().is_loopback());
    if passed_on || !local {
        return Err(invalid(Denial::HeadersForwarded).into());
    }
    let named = |name: &str| credential(headers, name);
    let (Some(user), Some(tenant), Some(role)) =
        (named("x-user")?, named("x-tenant")?, named("x-role")?)
    else {
        return Err(invalid(Denial::CredentialMissing).into());
    };
    let org = OrgCode::parse(tenant).map_err(|_| invalid(Denial::HeadersMalformed))?;
    Ok(Principal(Arc::new(Who {
        user_id: [HEADER_SUBJECT, user].concat(),
        fingerprint: told_fingerprint(&app.signer, "hf", user),
        mode: Mode::Header,
        bound: Some(Bound {
            org: org.as_str().to_owned(),
            role: Role::parse(role),
        }),
        session_hash: None,
        allowed_addresses: Vec::new(),
        standings: Standings::default(),
        home: OnceLock::new(),
    })))
}

fn person(app: &AppState, guid: &str) -> Result<Principal, Refusal> {
    let digest = session_digest(&app.signer, guid);
    app.callers.get(app, digest, || {
        let hash = hex::encode(digest);
        let row = identity::session_stamp(&app.store, &hash);
        let found = app.directory.open_session(hash)?;
        let found = found.ok_or_else(|| invalid(Denial::SessionUnknown))?;
        if found.session.development && !app.development {
            return Err(invalid(Denial::SessionOfDevelopment).into());
        }
        let principal = Principal(Arc::new(Who {
            user_id: found.session.user_id.clone(),
            fingerprint: fingerprint("sf", &found.hash),
            mode: Mode::Session,
            bound: None,
            session_hash: Some(found.hash),
            allowed_addresses: Vec::new(),
            standings: Standings::default(),
            home: OnceLock::new(),
        }));
        Ok(Lookup {
            principal,
            row,
            expires_at: found.expires_at,
            keep: !found.journals_use,
        })
    })
}

fn account(app: &AppState, api_key: &str) -> Result<Principal, Refusal> {
    let digest = key_digest(&app.signer, api_key);
    app.callers.get(app, digest, || {
        let hash = hex::encode(digest);
        let row = identity::key_stamp(&app.store, &hash);
        let key = app.directory.key_of(&hash)?;
        let key = key.ok_or_else(|| invalid(Denial::KeyUnknown))?;
        let noting = app.directory.note_key_use(&key);
        // They were parsed when the key was made; one that is not readable any more lets nobody in by it.
        let parsed = key.allowed_addresses.iter().map(|text| text.parse());
        let allowed_addresses = parsed.collect::<Result<Vec<IpNet>, _>>();
        let allowed_addresses = allowed_addresses.map_err(|_| invalid(Denial::KeyAddress))?;
        let principal = Principal(Arc::new(Who {
            user_id: key.account_id,
            fingerprint: fingerprint(KEY_FINGERPRINT, &hash),
            mode: Mode::ApiKey,
            bound: Some(Bound {
                org: key.org,
                role: Some(key.role.into()),
            }),
            session_hash: None,
            allowed_addresses,
            standings: Standings::default(),
            home: OnceLock::new(),
        }));
        Ok(Lookup {
            principal,
            row,
            expires_at: key.expires_at,
            keep: !noting,
        })
    })
}

/// Refuses a key that is used from elsewhere than it may be. The address is that of the connection.
fn check_address(principal: &Principal, request: &HttpRequest) -> Result<(), Rejection> {
    let allowed = &principal.allowed_addresses;
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
    let within = |peer: IpAddr| allowed.iter().any(|network| network.contains(&peer));
    match allowed.is_empty() || peer.is_some_and(within) {
        true => Ok(()),
        false => Err(invalid(Denial::KeyAddress)),
    }
}

/// A credential's header: at most one, and readable.
fn credential(headers: &HeaderMap, name: impl AsHeaderName) -> Result<Option<&str>, Rejection> {
    let mut values = headers.get_all(name);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(invalid(Denial::CredentialTwice));
    }
    match value.to_str() {
        Ok("") => Ok(None),
        Ok(text) if text.len() <= SECRET_CHARS_MAX => Ok(Some(text)),
        Ok(_) | Err(_) => Err(invalid(Denial::CredentialMalformed)),
    }
}

/// Names a credential without revealing it, by the keyed hash under which it is known, in hex: by the end of that.
pub fn fingerprint(kind: &str, hash: &str) -> String {
    let end = hash.len().saturating_sub(FINGERPRINT_DIGITS);
    let digits = hash.get(end..).unwrap_or_default();
    [kind, "_", digits].concat()
}

/// Names who is only told of, by a token or a header.
fn told_fingerprint(signer: &Signer, kind: &str, subject: &str) -> String {
    let hash = signer.keyed_hash(FINGERPRINT, subject.as_bytes());
    fingerprint(kind, &hex::encode(hash))
}

/// Lets a caller through to an org that is theirs, open for what they want, and where their role lets them.
///
/// # Errors
/// `not-found` for strangers, whether or not the org exists; then `org-read-blocked`, `not-authorized` or `not-owner`, and
/// `org-write-blocked`.
pub fn admit(
    app: &AppState,
    principal: &Principal,
    org: &OrgCode,
    right: Right,
) -> Result<Role, Refusal> {
    let standings = &principal.standings;
    let standing = standings.get(&app.store, org, &principal.user_id)?;
    let (belongs, role) = match &principal.bound {
        None => (standing.member.is_some(), standing.member.map(Role::from)),
        Some(bound) => (bound.org == org.as_str(), bound.role),
    };
    let Some(status) = standing.status else {
        return Err(non_member(Denial::OrgUnknown).into());
    };
    if !belongs {
        return Err(non_member(Denial::OrgOfOthers).into());
    }
    if !status.readable() && right != Right::Offboard {
        return Err(Rejection::new(
            ErrorTag::OrgReadBlocked,
            "The org is frozen; ask its operator.",
        )
        .denied(Denial::OrgFrozen)
        .into());
    }
    let role = role.filter(|role| role.may(right));
    let role = role.ok_or_else(|| forbidden(right))?;
    if right == Right::Write && !status.writable() {
        return Err(Rejection::new(
            ErrorTag::OrgWriteBlocked,
            "The org's status does not allow changes; ask its owner.",
        )
        .denied(Denial::OrgNotVerified)
        .into());
    }
    Ok(role)
}

fn forbidden(right: Right) -> Rejection {
    match right {
        Right::Manage | Right::Offboard => {
            Rejection::new(ErrorTag::NotOwner, "Only an owner of the org may do this.")
                .denied(Denial::RoleNotOwner)
        }
        Right::Read | Right::Write | Right::ViewOrg => Rejection::new(
            ErrorTag::NotAuthorized,
            "Your role does not allow this; ask an owner of the org for another role.",
        )
        .denied(Denial::RoleTooSmall),
    }
}

fn non_member(denial: Denial) -> Rejection {
    Rejection::not_found().denied(denial)
}

/// The refusal of a credential; the reason is for the operator alone.
pub fn invalid(denial: Denial) -> Rejection {
    Rejection::new(
        ErrorTag::InvalidSession,
        "A valid credential is required: sign in and send the session in x-session-guid, an API key in x-api-key, or a token as Authorization: Bearer.",
    )
    .denied(denial)
}
