//! actix-web on this side, rmcp on that: hands a request over and brings the answer back.
//!
//! Their `http` crates differ by a major version, so heads are copied. Of the headers only those come along that the
//! transport is about: rmcp sees no credential.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::LocalBoxStream;
use http_body_util::{BodyExt, Full};
use rmcp::ServerHandler;
use rmcp::transport::streamable_http_server::session::SessionManager;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
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
/// How often a stream says that it is still there. A client that is gone is noticed by the second of these: the first is sent
/// to a socket that is closed, and the answer to that ends the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// The content type of an answer that goes on.
const STREAM: &str = "text/event-stream";

/// The head of an answer of rmcp.
#[derive(Debug)]
pub struct Head {
    /// The HTTP status of it.
    pub status: StatusCode,
    /// The headers, with those of its body.
    pub headers: HeaderMap,
}

/// An answer of rmcp.
pub enum Answered {
    /// All of it is there.
    Whole(Head, Bytes),
    /// A stream of events, which ends when the handler has ended or when it is dropped.
    Stream(Head, EventStream),
}

/// The bytes of a stream of events.
pub type EventStream = LocalBoxStream<'static, Result<Bytes, actix_web::Error>>;

impl Head {
    /// The response as far as its body.
    pub fn begin(&self) -> HttpResponseBuilder {
        let mut response = HttpResponse::build(self.status);
        for (name, value) in &self.headers {
            response.append_header((name.clone(), value.clone()));
        }
        response
    }
}

impl Answered {
    /// The response with its body.
    pub fn respond(self) -> HttpResponse {
        match self {
            Self::Whole(head, body) => head.begin().body(body),
            Self::Stream(head, events) => head.begin().streaming(events),
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
        let head = Head {
            status: StatusCode::BAD_REQUEST,
            headers: HeaderMap::new(),
        };
        return Answered::Whole(head, Bytes::new());
    };
    let (answered, body) = service.handle(asked).await.into_parts();
    let status = StatusCode::from_u16(answered.status.as_u16());
    let mut headers = HeaderMap::new();
    for (name, value) in &answered.headers {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            headers.append(name, value);
        }
    }
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_stream = kind.is_some_and(|kind| kind.starts_with(STREAM.as_bytes()));
    let head = Head {
        status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        headers,
    };
    if is_stream {
        let chunks = body.into_data_stream();
        let chunks = chunks.map(|chunk| chunk.map_err(|never| match never {}));
        return Answered::Stream(head, chunks.boxed_local());
    }
    match body.collect().await {
        Ok(body) => Answered::Whole(head, body.to_bytes()),
        Err(never) => match never {},
    }
}

/// A service without sessions, which answers in one piece where it can. Which hosts and origins may call, and how long a
/// body may be, is decided before a request comes this far.
pub struct Stateless<H>(StreamableHttpService<H, NeverSessionManager>);

impl<H: ServerHandler + Clone + Send + Sync + 'static> Stateless<H> {
    /// Has a handler answer all requests, until it is stopped.
    pub fn new(handler: H, stopping: &Stopping) -> Self {
        let settings = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_sse_keep_alive(Some(KEEP_ALIVE))
            .disable_allowed_hosts()
            .disable_allowed_origins()
            .with_max_request_body_bytes(usize::MAX)
            .with_cancellation_token(stopping.0.clone());
        Self(StreamableHttpService::new(
            move || Ok(handler.clone()),
            Arc::new(NeverSessionManager::default()),
            settings,
        ))
    }

    /// Answers a request, as [`forward`] does.
    pub async fn answer<E: Clone + Send + Sync + 'static>(
        &self,
        request: &HttpRequest,
        body: Bytes,
        along: E,
    ) -> Answered {
        forward(&self.0, request, body, along).await
    }
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
