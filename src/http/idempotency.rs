//! The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07), which is the field `idempotency_key` said in
//! another place.

use actix_web::http::header::{HeaderMap, HeaderName};

use super::header_names;
use crate::domain::{ErrorTag, Rejection};

/// draft-ietf-httpapi-idempotency-key-header-07.
static NAME: &HeaderName = &header_names::IDEMPOTENCY_KEY;
/// Routes that make something anew each time and keep no first answers.
const NOT_KEPT: &[&str] = &["/usm/service_account/create", "/usm/api_key/create"];

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

/// Refuses a key on a route that would make something twice all the same.
///
/// # Errors
/// `invalid-idempotency-key` with the minor `not-kept`.
pub(super) fn check_route(path: &str, headers: &HeaderMap) -> Result<(), Rejection> {
    match NOT_KEPT.contains(&path) {
        true => check_absent(headers),
        false => Ok(()),
    }
}

/// Refuses a key.
///
/// # Errors
/// `invalid-idempotency-key` with the minor `not-kept`.
pub(super) fn check_absent(headers: &HeaderMap) -> Result<(), Rejection> {
    match headers.contains_key(NAME) {
        true => Err(invalid(
            "First answers are not kept here, so a repeated request would be carried out again; send it without Idempotency-Key.",
        )
        .with_minor("not-kept")),
        false => Ok(()),
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
