//! The names of headers that are looked up by each request, parsed once.

use actix_web::http::header::HeaderName;

macro_rules! names {
    ($($constant:ident = $name:literal;)+) => {
        $(pub(super) static $constant: HeaderName = HeaderName::from_static($name);)+
    };
}

names! {
    AUTHORIZATION = "authorization";
    X_SESSION_GUID = "x-session-guid";
    X_API_KEY = "x-api-key";
    X_ORGCODE = "x-orgcode";
    X_CCCODE = "x-cccode";
    X_API_VERSION = "x-api-version";
    X_REQUEST_ID = "x-request-id";
    X_TRACE_ID = "x-trace-id";
    TRACEPARENT = "traceparent";
    IDEMPOTENCY_KEY = "idempotency-key";
    IDEMPOTENT_REPLAY = "idempotent-replay";
}
