//! The id of a request: the caller's, unless it is one that must not be logged, or a new one.

use actix_web::http::header::{HeaderMap, HeaderName};

use super::header_names;
use crate::clock::random_uuid;
use crate::domain::trace_context::trace_id_of;
use crate::report;

/// Headers that hold a credential: an id that is part of one is not taken, because ids are logged and journaled.
static CREDENTIALS: [&HeaderName; 3] = [
    &header_names::X_SESSION_GUID,
    &header_names::X_API_KEY,
    &header_names::AUTHORIZATION,
];
/// What keys, operator tokens and tokens of identity providers begin with.
const CREDENTIAL_PREFIXES: [&str; 3] = ["g3nk_", "op_", "eyJ"];
/// Shortest part of a credential that is treated as secret.
const CREDENTIAL_PART_MIN: usize = 6;

/// The request id that headers ask for, or a new one.
pub(super) fn request_id(headers: &HeaderMap) -> String {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let good = |id: &&str| report::field::is_request_id(id) && !is_credential(headers, id);
    let given = text(&header_names::X_REQUEST_ID).filter(good);
    let given = given.or_else(|| text(&header_names::X_TRACE_ID).filter(good));
    let given = given.or_else(|| text(&header_names::TRACEPARENT).and_then(trace_id_of));
    given.map_or_else(|| random_uuid().to_string(), str::to_owned)
}

/// Whether an id is a credential, or part of one that came with it.
fn is_credential(headers: &HeaderMap, id: &str) -> bool {
    let shown = CREDENTIALS.iter().flat_map(|name| headers.get_all(*name));
    let mut shown = shown.map(|value| value.as_bytes());
    let part = |shown: &[u8]| {
        let mut windows = shown.windows(id.len().max(1));
        windows.any(|window| window == id.as_bytes())
    };
    CREDENTIAL_PREFIXES
        .iter()
        .any(|prefix| id.starts_with(prefix))
        || id.len() >= CREDENTIAL_PART_MIN && shown.any(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_credential_is_taken_for_an_id() {
        let with = |id: &str, name: &'static str, value: &str| {
            use actix_web::http::header::{HeaderName, HeaderValue};
            let mut headers = HeaderMap::new();
            let header = |value: &str| HeaderValue::from_str(value).expect("a header");
            headers.insert(HeaderName::from_static("x-request-id"), header(id));
            headers.insert(HeaderName::from_static(name), header(value));
            request_id(&headers)
        };
        let guid = "0192f0c1-7a3b-7c4d-8e5f-001122334455";
        assert_eq!(with("r-1", "x-session-guid", guid), "r-1");
        assert_eq!(with(guid, "x-tenant", "a"), guid);
        for (id, name, value) in [
            (guid, "x-session-guid", guid),
            ("abcdef", "authorization", "Bearer x.abcdefg"),
            ("g3nk_1", "x-tenant", "a"),
        ] {
            assert_ne!(with(id, name, value), id, "{name}: {value}");
        }
    }
}
