//! The envelope around every answer, and the headers with it.

use actix_web::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::header_names;
use super::limits::{RATELIMIT, RATELIMIT_POLICY};
use super::reply::{
    Bad, Build, ErrorBody, EventStream, Flat, Good, Major, Members, Message, Minor, Refusal, Reply,
    Stats,
};
use super::trace::Trace;
use crate::domain::json::push_number;
use crate::domain::rejection::RETRY_AFTER_SECONDS;
use crate::domain::{ErrorTag, Rejection};
use crate::os_error::describe;
use crate::report;

/// The version of the interface, as every answer names it.
pub const API_VERSION: &str = "2026-03-04";
/// What the log has for the tag of a good answer.
pub const OK: &str = "ok";
/// Bytes of an envelope around its answer, as far as is known before it is written.
const ENVELOPE_BYTES: usize = 640;

/// Which credentials a 401 asks for (RFC 9110, section 11.6.1): the one scheme of HTTP's own that there is.
pub(super) const CHALLENGE: &str = "Bearer realm=\"metarecord\"";

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
        Ok(Reply {
            events: Some(events),
            ..
        }) => stream(trace, events),
        Ok(reply) => succeed(trace, &reply),
        Err(Refusal::Rejected {
            rejection,
            replayed,
        }) => fail(trace, &rejection, replayed),
        Err(Refusal::Failed(error)) => fail(trace, &internal(&trace.request_id, &*error), false),
    }
}

/// Reports a failure to the operator, and returns what its caller gets.
pub(super) fn internal(request_id: &str, error: &(dyn std::error::Error + 'static)) -> Rejection {
    report::failure(request_id, &describe(error));
    Rejection::new(
        ErrorTag::InternalError,
        format!("Internal error; report the request id {request_id} to the operator."),
    )
}

/// Begins an answer of Server-Sent Events, which go on after this.
fn stream(trace: &Trace, events: EventStream) -> HttpResponse {
    let mut response = HttpResponse::build(StatusCode::OK);
    let kind = HeaderValue::from_static("text/event-stream");
    with_headers_of_all(&mut response, trace)
        .content_type(kind)
        // A proxy that gathers answers would hold events back (nginx, proxy_buffering).
        .insert_header(("x-accel-buffering", "no"))
        .streaming(events)
}

fn succeed(trace: &Trace, reply: &Reply) -> HttpResponse {
    let length = reply.data.len();
    let stats = trace.stats(length);
    let body = if reply.flat {
        flat(reply, stats)
    } else {
        good(reply, &stats)
    };
    let mut response = HttpResponse::build(StatusCode::OK);
    if reply.replayed {
        response.insert_header((&header_names::IDEMPOTENT_REPLAY, "true"));
    }
    with_headers(&mut response, trace).body(body)
}

/// [`Good`] around an answer, whose JSON is only copied.
fn good(reply: &Reply, stats: &Stats<'_>) -> Vec<u8> {
    let mut body = Vec::with_capacity(reply.data.len() + ENVELOPE_BYTES);
    body.extend_from_slice(b"{\"success\":true,\"data\":");
    body.extend_from_slice(&reply.data);
    if let Some(revision) = reply.revision {
        body.extend_from_slice(b",\"revision\":");
        push_number(&mut body, revision.0);
    }
    body.extend_from_slice(b",\"build\":");
    body.extend_from_slice(Build::current().get().as_bytes());
    body.extend_from_slice(b",\"stats\":");
    stats.push(&mut body);
    body.push(b'}');
    body
}

fn flat(reply: &Reply, stats: Stats<'_>) -> Vec<u8> {
    // An answer is JSON already: reading it cannot fail.
    let data: &RawValue = serde_json::from_slice(&reply.data).unwrap_or(RawValue::NULL);
    let members = Members(data);
    let good = Good::new(data, reply.revision, Build::current(), stats);
    written(&Flat { members, good }, 2 * reply.data.len())
}

/// Writes an envelope as JSON, with room for `bytes` of content.
fn written(envelope: &impl Serialize, bytes: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(bytes + ENVELOPE_BYTES);
    // Strings, numbers and JSON that is written already: writing them to memory cannot fail.
    let _: Result<(), _> = serde_json::to_writer(&mut body, envelope);
    body
}

/// The `error` member for a rejection.
pub(super) fn error_of(rejection: &Rejection) -> Box<RawValue> {
    let minor = rejection.minor.as_deref();
    let error = ErrorBody {
        details: &rejection.details,
        major: Major {
            message: Message {
                en_us: &rejection.message,
            },
            tag: rejection.tag,
        },
        minor: minor.map(|tag| Minor { tag }),
    };
    // The same holds for these.
    to_raw_value(&error).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn fail(trace: &Trace, rejection: &Rejection, replayed: bool) -> HttpResponse {
    trace.note_refusal(rejection);
    if let Some(denial) = rejection.denial() {
        trace.note_denial(denial, rejection.tag, rejection.status());
    }
    let error = error_of(rejection);
    let length = error.get().len();
    let bad = Bad {
        success: false,
        error: &error,
        build: Build::current(),
        stats: trace.stats(length),
    };
    let body = written(&bad, length);
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

/// Adds the headers of every answer, in an envelope or not, and says that it is JSON.
pub fn with_headers<'a>(
    response: &'a mut HttpResponseBuilder,
    trace: &Trace,
) -> &'a mut HttpResponseBuilder {
    with_headers_of_all(response, trace).content_type(HeaderValue::from_static("application/json"))
}

/// Adds the headers of every answer, whatever it is.
pub(super) fn with_headers_of_all<'a>(
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
}

/// Closes the connection after an answer: what would come next on it is the rest of a body that was given up.
pub(super) fn hang_up(mut response: HttpResponse) -> HttpResponse {
    response
        .head_mut()
        .set_connection_type(ConnectionType::Close);
    response
}
