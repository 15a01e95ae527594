//! Credentials in the headers of a request, and names for them that reveal nothing.

use actix_web::http::header::{AUTHORIZATION, AsHeaderName, HeaderMap, HeaderValue};

use super::refused::invalid;
use crate::actors::identity::KEY_PREFIX;
use crate::domain::Rejection;
use crate::domain::rejection::Denial;

/// Digits of a fingerprint: eight bytes.
const FINGERPRINT_DIGITS: usize = 16;
/// What the name of a key begins with, and that of no session.
pub const KEY_FINGERPRINT: &str = "kf";
/// Longest session guid or key that is accepted, in bytes.
const SECRET_CHARS_MAX: usize = 128;
/// The scheme before a token (RFC 6750, section 2.1).
const BEARER: &str = "Bearer ";

/// The content of `Authorization`.
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
    /// Parses a request's headers.
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

/// An API key that comes as the only Bearer token, for the header that keys come in.
pub(in crate::http) fn bearer_key(headers: &HeaderMap) -> Option<HeaderValue> {
    match Authorization::of(headers) {
        Authorization::Bearer(key) if key.starts_with(KEY_PREFIX) => {
            HeaderValue::from_str(key).ok()
        }
        Authorization::Bearer(_)
        | Authorization::None
        | Authorization::Twice
        | Authorization::Other => None,
    }
}

/// A credential's header: at most one, and readable.
pub(super) fn credential(
    headers: &HeaderMap,
    name: impl AsHeaderName,
) -> Result<Option<&str>, Rejection> {
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
