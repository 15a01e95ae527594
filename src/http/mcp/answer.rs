//! Answers of the endpoint: refusals before the protocol, as JSON-RPC errors, and the headers that every answer has.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER,
    TryIntoHeaderValue, WWW_AUTHENTICATE,
};
use bytes::Bytes;
use serde_json::{Value, json};

use super::bridge::Head;
use super::load::HeldStream;
use crate::domain::rejection::RETRY_AFTER_SECONDS;
use crate::domain::{ErrorTag, Rejection};
use crate::http::envelope::{OK, with_headers, with_headers_of_all};
use crate::http::reply::Refusal;
use crate::http::trace::Trace;
use crate::os_error::describe;
use crate::report;

/// Headers that clients within web pages send besides those of all pages.
const PROTOCOL_HEADERS: &str = "mcp-method, mcp-name, mcp-protocol-version, mcp-session-id";
/// The type of every answer that is no stream.
const JSON: &str = "application/json";
/// The code of an error that the protocol leaves to servers.
const SERVER_ERROR: i32 = -32000;
/// The code of a message that is none.
const INVALID_REQUEST: i32 = -32600;

/// Refuses a request before its message was read; so the error has no id. A 401 asks for a credential by the challenge.
pub(super) fn refuse(trace: &Trace, refusal: Refusal, challenge: Option<&str>) -> HttpResponse {
    let rejection = match refusal {
        Refusal::Rejected { rejection, .. } => rejection,
        Refusal::Failed(error) => {
            report::failure(&trace.request_id, &describe(&*error));
            let message = format!(
                "Internal error; report the request id {} to the operator.",
                trace.request_id
            );
            Rejection::new(ErrorTag::InternalError, message)
        }
    };
    trace.note_refusal(&rejection);
    if let Some(denial) = rejection.denial() {
        trace.note_denial(denial, rejection.tag, rejection.status());
    }
    let status = StatusCode::from_u16(rejection.status());
    let mut response = HttpResponse::build(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    let retry_after = rejection
        .retry_after_seconds()
        .unwrap_or(RETRY_AFTER_SECONDS);
    if matches!(rejection.status(), 429 | 503) {
        response.insert_header((RETRY_AFTER, retry_after));
    }
    if let Some(challenge) = challenge.filter(|_| rejection.status() == 401)
        && let Ok(challenge) = challenge.try_into_value()
    {
        response.insert_header((WWW_AUTHENTICATE, challenge));
    }
    if let Some(allow) = rejection.details.get("allow").and_then(Value::as_str) {
        response.insert_header((ALLOW, allow));
    }
    let mut facts = json!({"tag": rejection.tag, "request_id": trace.request_id});
    if let Some(minor) = &rejection.minor {
        facts["minor"] = json!(minor);
    }
    if matches!(rejection.status(), 429 | 503) {
        facts["retry_after_seconds"] = json!(retry_after);
    }
    let body = error(SERVER_ERROR, &rejection.message, Some(facts));
    let response = with_headers(&mut response, trace).body(body);
    trace.note_answer(&response, rejection.tag.as_str());
    response
}

/// An answer of the library, with the headers of every answer. One that is no JSON, to a message that is none, becomes an
/// error of the protocol.
pub(super) fn whole(trace: &Trace, head: &Head, body: Bytes) -> HttpResponse {
    let mut response = head.begin();
    with_headers_of_all(&mut response, trace);
    let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_json = kind.is_some_and(|kind| kind.starts_with(JSON.as_bytes()));
    let response = if is_json || is_good(head.status) {
        response.body(body)
    } else {
        let message = String::from_utf8_lossy(&body);
        response
            .content_type(JSON)
            .body(error(INVALID_REQUEST, &message, None))
    };
    trace.note_answer(&response, tag_of(head.status));
    response
}

/// The same for a stream, which goes on after this.
pub(super) fn streamed(trace: &Trace, head: &Head, stream: HeldStream) -> HttpResponse {
    let mut response = head.begin();
    let response = with_headers_of_all(&mut response, trace).streaming(stream);
    trace.note_answer(&response, tag_of(head.status));
    response
}

/// The answer to a browser that asks whether a page may call, with the headers of the protocol among those it may send.
pub(super) fn allowing_headers(mut response: HttpResponse) -> HttpResponse {
    let name = ACCESS_CONTROL_ALLOW_HEADERS;
    let allowed = response.headers().get(&name).map(HeaderValue::as_bytes);
    let allowed = String::from_utf8_lossy(allowed.unwrap_or_default());
    if let Ok(all) = HeaderValue::try_from(format!("accept, {allowed}, {PROTOCOL_HEADERS}")) {
        response.headers_mut().insert(name, all);
    }
    response
}

fn tag_of(status: StatusCode) -> &'static str {
    if is_good(status) {
        OK
    } else {
        ErrorTag::InvalidInput.as_str()
    }
}

fn is_good(status: StatusCode) -> bool {
    !status.is_client_error() && !status.is_server_error()
}

fn error(code: i32, message: &str, facts: Option<Value>) -> Bytes {
    let mut error = json!({"jsonrpc": "2.0", "error": {"code": code, "message": message}});
    if let Some(facts) = facts {
        error["error"]["data"] = facts;
    }
    error.to_string().into()
}
