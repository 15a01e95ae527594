//! Bodies and queries of the record routes, tried with whatever callers may send.

use super::change::TagRequest;
use super::complete::CompleteRequest;
use super::list::ListQuery;
use super::put::PutRequest;
use super::read::RecordQuery;
use crate::domain::{CcCode, ContainerName, OrgCode, RecordId, Rejection, Tag, Timestamp};
use crate::fuzz;
use crate::http::fingerprint::fingerprint;
use crate::http::input;
use crate::http::nesting::{BODY_DEPTH_MAX, is_within};

/// Most bytes of a refusal, whatever was sent: what callers sent is repeated in part.
const REFUSAL_BYTES_MAX: usize = 2_048;

fn is_short<T>(parsed: Result<T, Rejection>) {
    if let Err(rejection) = parsed {
        let text = serde_json::to_string(&rejection).expect("it is JSON");
        assert!(text.len() <= REFUSAL_BYTES_MAX, "{text}");
    }
}

#[test]
fn fuzz_bodies() {
    fuzz::each("bodies", &[], |body| {
        if !is_within(body, BODY_DEPTH_MAX) {
            return;
        }
        if input::json::<PutRequest>(body).is_ok() {
            let text = std::str::from_utf8(body).expect("JSON is UTF-8");
            assert!(fingerprint(&[("body", text)]).is_ok());
        } else {
            is_short(input::json::<PutRequest>(body));
        }
        is_short(input::json::<TagRequest>(body));
        is_short(input::json::<CompleteRequest>(body));
    });
}

#[test]
fn fuzz_queries() {
    fuzz::each("queries", &[], |query| {
        let Ok(query) = std::str::from_utf8(query) else {
            return;
        };
        is_short(input::query_text::<ListQuery>(query));
        is_short(input::query_text::<RecordQuery>(query));
        if let Ok(parsed) = OrgCode::parse(query) {
            assert_eq!(OrgCode::parse(parsed.as_str()), Ok(parsed));
        }
        if let Ok(parsed) = CcCode::parse(query) {
            assert_eq!(CcCode::parse(parsed.as_str()), Ok(parsed));
        }
        if let Ok(parsed) = ContainerName::parse(query) {
            assert_eq!(ContainerName::parse(parsed.as_str()), Ok(parsed));
        }
        if let Ok(parsed) = Tag::parse(query) {
            assert_eq!(Tag::parse(parsed.as_str()), Ok(parsed));
        }
        if let Ok(parsed) = RecordId::parse(query) {
            assert_eq!(parsed.as_str(), query);
        }
        if let Some(time) = Timestamp::parse(query) {
            assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
        }
    });
}
