//! The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07), which is the field `idempotency_key` said in
//! another place, and first answers to requests that make something other than a record.

use std::collections::BTreeMap;

use actix_web::http::header::{HeaderMap, HeaderName};
use serde_json::value::RawValue;

use super::call::Call;
use super::fingerprint::fingerprint;
use super::header_names;
use super::reply::Refusal;
use super::state::AppState;
use crate::actors::Caller;
use crate::actors::first_answers::{Made, Turn};
use crate::domain::container::Idempotency;
use crate::domain::{ErrorTag, OrgCode, Rejection};

/// draft-ietf-httpapi-idempotency-key-header-07.
static NAME: &HeaderName = &header_names::IDEMPOTENCY_KEY;
/// Longest key (MRS overview: "ASCII <= 128").
const CHARS_MAX: usize = 128;
/// Purposes of the keyed hashes that identify a repeated request. Without the server's key one cannot find out which address
/// or name was in one.
const SCOPE_HASH: &str = "idempotency-scope";
const REQUEST_HASH: &str = "idempotency-request";

/// Operator functions that give the first answer to a key again.
const KEPT_FUNCTIONS: &[&str] = &[
    "ops_token_create",
    "ops_token_rotate",
    "ops_signing_key_rotate",
    "ops_maintenance_schedule",
    "ops_vacuum_all",
    "ops_vacuum_org",
    "uas_user_create",
    "uas_user_erase",
    "ofm_org_create",
    "ofm_owner_add",
    "utl_export",
    "utl_import_begin",
];
/// Operator functions for readers that change something all the same.
const CHANGES_OF_READERS: &[&str] = &["ops_backup_begin", "ops_backup_renew", "ops_backup_end"];
/// Fields that do not make another request: who asks and why, what names the request and where it counts, and secrets, which
/// are compared by those who check them.
const NOT_COMPARED: &[&str] = &[
    "actor",
    "reason",
    "reason_code",
    "correlation_id",
    "idempotency_key",
    "secret_code",
    "passcode",
];

/// The key of a request: that of the field or of the header, which must be the same.
///
/// # Errors
/// `invalid-idempotency-key`.
pub(super) fn key(headers: &HeaderMap, field: Option<String>) -> Result<Option<String>, Rejection> {
    let mut values = headers.get_all(NAME);
    let Some(value) = values.next() else {
        return Ok(field);
    };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let header = text.and_then(unquoted).ok_or_else(|| {
        invalid("Send the header Idempotency-Key once, as a string of printable ASCII in double quotes.")
    })?;
    match field {
        Some(field) if field != header => Err(invalid(
            "idempotency_key and the header Idempotency-Key differ; send one of them.",
        )
        .with_minor("context-mismatch")),
        Some(_) | None => Ok(Some(header)),
    }
}

/// A key that can be one.
///
/// # Errors
/// `invalid-idempotency-key`.
pub(super) fn check_key(key: &str) -> Result<&str, Rejection> {
    let good = (1..=CHARS_MAX).contains(&key.len())
        && key.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if good {
        Ok(key)
    } else {
        Err(invalid(
            "idempotency_key, which is also the header Idempotency-Key, must be 1 to 128 printable ASCII characters.",
        ))
    }
}

/// A request that makes something, with its key when it has one.
pub(super) struct Keyed(Option<Turn>);

/// Waits until no other request with the key is being executed, and looks up what the first one made. To be called once the
/// caller is authorized, and before every rule: what was made is answered again whatever became of it.
///
/// # Errors
/// `invalid-idempotency-key`; `idempotency-conflict` when the key was used for another request.
pub(super) async fn enter(
    app: &AppState,
    call: &Call<'_>,
    field: Option<&str>,
    org: Option<&OrgCode>,
) -> Result<Keyed, Refusal> {
    let key = key(call.head.headers, field.map(str::to_owned))?;
    let Some(key) = key.as_deref().map(check_key).transpose()? else {
        return Ok(Keyed(None));
    };
    let request = Idempotency {
        scope: scope(app, call, org, key)?,
        fingerprint: request_of(app, call, &[])?,
    };
    Ok(Keyed(Some(app.first_answers.enter(request).await?)))
}

impl Keyed {
    /// What the request made when it came first.
    pub(super) fn made(&self) -> Option<&Made> {
        self.0.as_ref().and_then(|turn| turn.made.as_ref())
    }

    /// The caller for the one command that makes what was asked for.
    pub(super) fn sign(&self, mut caller: Caller) -> Caller {
        caller.idempotency = self.0.as_ref().map(|turn| turn.request.clone());
        caller
    }
}

/// Where a key counts: with one caller, and there within one org or outside of all.
fn scope(
    app: &AppState,
    call: &Call<'_>,
    org: Option<&OrgCode>,
    key: &str,
) -> Result<String, Refusal> {
    let (kind, by) = match &call.operator {
        Some(operator) => ("operator", operator.by.as_str()),
        None => ("principal", call.caller()?.user_id.as_str()),
    };
    let mut scope = Vec::new();
    for part in [kind, by, org.map_or("", OrgCode::as_str), key] {
        scope.extend_from_slice(&(part.len() as u64).to_be_bytes());
        scope.extend_from_slice(part.as_bytes());
    }
    Ok(hex::encode(app.signer.keyed_hash(SCOPE_HASH, &scope)))
}

/// The identity of a request, in hex: its route and what it asks for, however it is spelled. The fields in
/// `elsewhere` are in the scope.
pub(super) fn request_of(
    app: &AppState,
    call: &Call<'_>,
    elsewhere: &[&str],
) -> Result<String, Refusal> {
    let no_json = || Rejection::new(ErrorTag::InvalidJson, "The body is not one JSON value.");
    let body: BTreeMap<String, &RawValue> =
        serde_json::from_slice(&call.body).map_err(|_| no_json())?;
    let compared = |name: &str| !NOT_COMPARED.contains(&name) && !elsewhere.contains(&name);
    let mut parts = vec![(call.trace.route, "null".to_owned())];
    for (name, value) in &body {
        // A field that is null is one that is not there; the org may have come as a header.
        match (name.as_str(), value.get()) {
            (name, text) if !compared(name) || text == "null" || name == "orgcode" => {}
            (name, text) => parts.push((name, text.to_owned())),
        }
    }
    let org = call.trace.orgcode.as_ref().map(|org| format!("\"{org}\""));
    parts.extend(org.map(|org| ("orgcode", org)));
    let parts: Vec<_> = parts.iter().map(|(name, text)| (*name, &**text)).collect();
    let request = fingerprint(&parts).map_err(|_| no_json())?;
    Ok(hex::encode(
        app.signer.keyed_hash(REQUEST_HASH, request.as_bytes()),
    ))
}

/// The answer to a request that came again when the first answer had a secret in it: that is not kept.
pub(super) fn shown_once(message: String, (name, id): (&str, &str)) -> Refusal {
    let rejection = Rejection::new(ErrorTag::IdempotencyConflict, message)
        .with_minor("shown-once")
        .with_detail(name, id)
        .already_there();
    Refusal::Rejected {
        rejection,
        replayed: true,
    }
}

/// The failure of a first answer that lacks what was made.
pub(super) fn lost() -> Refusal {
    Refusal::failed("a first answer is not in the journal")
}

/// What a route does with an idempotency key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum KeyRule {
    /// The first answer is given again.
    Kept,
    /// Nothing is made or changed, so that a key has nothing to do.
    Ignored,
    /// It is refused, for a reason in the caller's words.
    Refused(&'static str),
}

impl KeyRule {
    /// The rule of a route that would execute a repeated request again.
    pub(super) const UNSUPPORTED: Self = Self::Refused(
        "This route does not support idempotency; a repeated request would be executed again. Send it without Idempotency-Key.",
    );

    /// Refuses a key where it would be no help.
    ///
    /// # Errors
    /// `invalid-idempotency-key` with the minor `not-kept`.
    pub(super) fn check(self, headers: &HeaderMap) -> Result<(), Rejection> {
        match self {
            Self::Kept | Self::Ignored => Ok(()),
            Self::Refused(why) => check_absent(headers, why),
        }
    }
}

/// Refuses a key of an operator function that would act again; those that only read take a key.
///
/// # Errors
/// `invalid-idempotency-key` with the minor `not-kept`.
pub(super) fn check_function(
    (name, reads): (&str, bool),
    headers: &HeaderMap,
) -> Result<(), Rejection> {
    let reads = reads && !CHANGES_OF_READERS.contains(&name);
    let rule = match name {
        _ if reads || KEPT_FUNCTIONS.contains(&name) => KeyRule::Kept,
        "ops_backup_begin" => KeyRule::Refused(
            "A lease ends by itself unless it is renewed, and is not kept over a restart; send it without Idempotency-Key.",
        ),
        _ => KeyRule::UNSUPPORTED,
    };
    rule.check(headers)
}

/// Refuses a key.
///
/// # Errors
/// `invalid-idempotency-key` with the minor `not-kept`.
fn check_absent(headers: &HeaderMap, why: &str) -> Result<(), Rejection> {
    if headers.contains_key(NAME) {
        Err(invalid(why).with_minor("not-kept"))
    } else {
        Ok(())
    }
}

/// Refuses a key, as a header or as a field, for a reason in the caller's words.
///
/// # Errors
/// `invalid-idempotency-key` with the minor `not-kept`.
pub(super) fn check_none(call: &Call<'_>, field: Option<&str>, why: &str) -> Result<(), Rejection> {
    match field {
        Some(_) => Err(invalid(why).with_minor("not-kept")),
        None => check_absent(call.head.headers, why),
    }
}

fn invalid(message: &str) -> Rejection {
    Rejection::new(ErrorTag::InvalidIdempotencyKey, message)
}

/// A string of structured fields (RFC 9651, section 3.3.3), or what is sent without quotes as it is.
fn unquoted(text: &str) -> Option<String> {
    let text = text.trim();
    let Some(inner) = text.strip_prefix('"') else {
        return Some(text.to_owned());
    };
    let inner = inner.strip_suffix('"')?;
    let mut key = String::new();
    let mut characters = inner.chars();
    while let Some(next) = characters.next() {
        match next {
            '\\' => key.push(
                characters
                    .next()
                    .filter(|next| matches!(next, '"' | '\\'))?,
            ),
            '"' => return None,
            other => key.push(other),
        }
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_string_with_quotes_or_without() {
        for (text, key) in [
            ("\"8e03978e\"", Some("8e03978e")),
            ("8e03978e", Some("8e03978e")),
            (" \"a \\\"b\\\\\" ", Some("a \"b\\")),
            ("\"\"", Some("")),
            ("\"a", None),
            ("\"a\"b\"", None),
            ("\"a\\b\"", None),
        ] {
            assert_eq!(unquoted(text).as_deref(), key, "{text}");
        }
    }
}
