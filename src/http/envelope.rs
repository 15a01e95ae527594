//! The envelope around every answer, and the headers beside it.

use actix_web::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde_json::{Value, json};

use super::header_names;
use super::limits::{RATELIMIT, RATELIMIT_POLICY};
use super::reply::{Refusal, Reply};
use super::trace::Trace;
use crate::domain::{ErrorTag, Rejection};

/// The version of the interface, as every answer names it.
pub const API_VERSION: &str = "2026-03-04";
/// What the log has for the tag of a good answer.
pub const OK: &str = "ok";
/// Seconds a caller is told to wait when nothing better is known.
const RETRY_AFTER_SECONDS: u64 = 1;

/// Which credentials a 401 asks for (RFC 9110, section 11.6.1): the one scheme of HTTP's own that there is.
const CHALLENGE: &str = "Bearer realm=\"metarecord\"";

const ALLOW: HeaderName = actix_web::http::header::ALLOW;

/// Puts an answer into its envelope.
pub fn respond(trace: &Trace, answer: Result<Reply, Refusal>) -> HttpResponse {
    let tag = match &answer {
        Ok(_) => OK,
        Err(Refusal::Rejected { rejection, .. }) => rejection.tag.as_str(),
        Err(Refusal::Failed(_)) => ErrorTag::InternalError.as_str(),
    };
    let response = envelop(trace, answer);
    trace.note_answer(&response, tag);
    response
}

fn envelop(trace: &Trace, answer: Result<Reply, Refusal>) -> HttpResponse {
    match answer {
        Ok(reply) => succeed(trace, &reply),
        Err(Refusal::Rejected {
            rejection,
            replayed,
        }) => fail(trace, &rejection, replayed),
        Err(Refusal::Failed(text)) => {
            crate::report::failure(&trace.request_id, &text);
            let rejection = Rejection::new(
                ErrorTag::InternalError,
                format!(
                    "Internal error; report the request id {} to the operator.",
                    trace.request_id
                ),
            );
            fail(trace, &rejection, false)
        }
    }
}

fn succeed(trace: &Trace, reply: &Reply) -> HttpResponse {
    if reply.bare {
        return with_headers(&mut HttpResponse::build(StatusCode::OK), trace)
            .body(reply.data.clone());
    }
    let mut body = Vec::with_capacity(reply.data.len() + 640);
    body.extend_from_slice(b"{\"success\":true,");
    if reply.flat && reply.data.len() > 2 {
        body.extend_from_slice(&reply.data[1..reply.data.len() - 1]);
        body.push(b',');
    }
    body.extend_from_slice(b"\"data\":");
    body.extend_from_slice(&reply.data);
    if let Some(revision) = reply.revision {
        body.extend_from_slice(format!(",\"revision\":{}", revision.0).as_bytes());
    }
    trace.finish(&mut body, reply.data.len());
    let mut response = HttpResponse::build(StatusCode::OK);
    if reply.replayed {
        response.insert_header((&header_names::IDEMPOTENT_REPLAY, "true"));
    }
    with_headers(&mut response, trace).body(body)
}

fn fail(trace: &Trace, rejection: &Rejection, replayed: bool) -> HttpResponse {
    trace.note_refusal(rejection);
    if let Some(denial) = rejection.denial() {
        trace.note_denial(denial, rejection.tag, rejection.status());
    }
    let error = serde_json::to_vec(&error_body(rejection)).unwrap_or_else(|_| b"{}".to_vec());
    let mut body = Vec::with_capacity(error.len() + 640);
    body.extend_from_slice(b"{\"success\":false,\"error\":");
    body.extend_from_slice(&error);
    trace.finish(&mut body, error.len());
    let status =
        StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    if matches!(rejection.status(), 429 | 503) {
        let seconds = rejection.retry_after_seconds();
        response.insert_header((RETRY_AFTER, seconds.unwrap_or(RETRY_AFTER_SECONDS)));
    }
    if replayed {
        response.insert_header((&header_names::IDEMPOTENT_REPLAY, "true"));
    }
    if rejection.status() == 401 {
        // It never says what was wrong with a credential (RFC 6750, section 3, has words for that).
        response.insert_header((WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE)));
    }
    if rejection.tag == ErrorTag::UnsupportedMediaType
        && rejection.minor.as_deref() == Some("content-encoding")
    {
        response.insert_header((ACCEPT_ENCODING, HeaderValue::from_static("gzip")));
    }
    if rejection.tag == ErrorTag::MethodNotAllowed
        && let Some(allow) = rejection.details.get("allow").and_then(Value::as_str)
    {
        response.insert_header((ALLOW, allow));
    }
    with_headers(&mut response, trace).body(body)
}

fn error_body(rejection: &Rejection) -> Value {
    let mut error = json!({
        "major": {"tag": rejection.tag, "message": {"en_US": rejection.message}},
    });
    if let Some(minor) = &rejection.minor {
        error["minor"] = json!({"tag": minor});
    }
    if !rejection.details.is_empty() {
        error["details"] = Value::Object(rejection.details.clone());
    }
    error
}

/// The headers that every answer carries, in an envelope or not.
pub fn with_headers<'a>(
    response: &'a mut HttpResponseBuilder,
    trace: &Trace,
) -> &'a mut HttpResponseBuilder {
    let id =
        HeaderValue::from_str(&trace.request_id).unwrap_or(HeaderValue::from_static("unknown"));
    if let Some(shown) = &trace.rate_limit {
        response
            .insert_header((RATELIMIT_POLICY, shown.policy.clone()))
            .insert_header((RATELIMIT, shown.left.clone()));
    }
    response
        .insert_header((
            &header_names::X_API_VERSION,
            HeaderValue::from_static(API_VERSION),
        ))
        .insert_header((&header_names::X_REQUEST_ID, id.clone()))
        .insert_header((&header_names::X_TRACE_ID, id))
        .insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .insert_header((X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .content_type(HeaderValue::from_static("application/json"))
}

/// Closes the connection behind an answer: what would come next on it is the rest of a body that was given up.
pub(super) fn hang_up(mut response: HttpResponse) -> HttpResponse {
    response
        .head_mut()
        .set_connection_type(ConnectionType::Close);
    response
}
