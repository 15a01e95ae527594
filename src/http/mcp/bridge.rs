//! actix-web on this side, rmcp on that: hands a request over and brings the answer back.
//!
//! Their `http` crates differ by a major version, so heads are copied. Of the headers only those come along that the
//! transport is about: rmcp sees no credential.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full};
use rmcp::ServerHandler;
use rmcp::transport::streamable_http_server::session::SessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};

/// Headers of a request that the transport reads.
const PASSED_ON: [&str; 9] = [
    "accept",
    "content-type",
    "host",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "origin",
];
/// What the headers of a tool's own parameters begin with.
const PARAMETER: &str = "mcp-param-";
/// The content type of an answer that goes on.
const STREAM: &str = "text/event-stream";

/// An answer of rmcp.
pub enum Answered {
    /// All of it is there.
    Whole(HttpResponseBuilder, Bytes),
    /// A stream of events, which ends when the handler has ended or when it is dropped.
    Stream(HttpResponseBuilder, EventStream),
}

/// The bytes of a stream of events.
pub type EventStream =
    futures_util::stream::LocalBoxStream<'static, Result<Bytes, actix_web::Error>>;

impl Answered {
    /// The response with its body.
    pub fn respond(self) -> HttpResponse {
        match self {
            Self::Whole(mut head, body) => head.body(body),
            Self::Stream(mut head, stream) => head.streaming(stream),
        }
    }
}

/// Hands a request to a service, with something for its handler: that finds it among the extensions of the
/// [`http::request::Parts`](::http::request::Parts) in its context. Dropped, it cancels what it began.
pub async fn forward<S, M, E>(
    service: &StreamableHttpService<S, M>,
    request: &HttpRequest,
    body: Bytes,
    along: E,
) -> Answered
where
    S: ServerHandler + Send + 'static,
    M: SessionManager,
    E: Clone + Send + Sync + 'static,
{
    let method = request.method().as_str();
    let target = request.uri().to_string();
    let mut asked = ::http::Request::builder().method(method).uri(target);
    for (name, value) in request.headers() {
        if PASSED_ON.contains(&name.as_str()) || name.as_str().starts_with(PARAMETER) {
            asked = asked.header(name.as_str(), value.as_bytes());
        }
    }
    // Only a target or a method that actix-web takes and the other crate does not could be wrong here.
    let Ok(asked) = asked.extension(along).body(Full::new(body)) else {
        return Answered::Whole(HttpResponse::BadRequest(), Bytes::new());
    };
    let (head, body) = service.handle(asked).await.into_parts();
    let status = StatusCode::from_u16(head.status.as_u16());
    let mut response = HttpResponse::build(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    let mut is_stream = false;
    for (name, value) in &head.headers {
        is_stream |=
            name == CONTENT_TYPE.as_str() && value.as_bytes().starts_with(STREAM.as_bytes());
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            response.append_header((name.as_str(), value));
        }
    }
    if is_stream {
        let chunks = body.into_data_stream();
        let chunks = chunks.map(|chunk| chunk.map_err(|never| match never {}));
        return Answered::Stream(response, chunks.boxed_local());
    }
    match body.collect().await {
        Ok(body) => Answered::Whole(response, body.to_bytes()),
        Err(never) => match never {},
    }
}

/// Settings of a service of ours: without sessions, and with an answer in one piece where it has one. Which hosts and
/// origins may call is decided before a request comes this far.
pub fn stateless(stopping: Stopping) -> StreamableHttpServerConfig {
    StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .disable_allowed_hosts()
        .disable_allowed_origins()
        .with_max_request_body_bytes(usize::MAX)
        .with_cancellation_token(stopping.0)
}

/// Ends all streams of a service, once.
#[derive(Clone, Debug, Default)]
pub struct Stopping(tokio_util::sync::CancellationToken);

impl Stopping {
    /// Ends the streams, and those that would begin later.
    pub fn stop(&self) {
        self.0.cancel();
    }
}
