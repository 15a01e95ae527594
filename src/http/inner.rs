//! Requests that another surface of the server makes for its callers: by a name of its own for the log, and otherwise as if
//! the caller had sent them to the routes, or to the operators' functions, itself.

use std::net::{IpAddr, SocketAddr};

use actix_web::body::MessageBody;
use actix_web::http::header::{HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

use super::auth::authenticator::{FORWARDING, IDENTITY};
use super::bodies::Source;
use super::request_head::RequestHead;
use super::state::Gateway;
use super::turns::{Turn, Turns};
use super::{dispatch, header_names, operator};

/// Headers of the outer request that say who calls and where: credentials, orgs, ids of requests. Nothing else of it is for
/// the inner one, whose body, preconditions and keys are its own.
static OF_CALLER: [&HeaderName; 8] = [
    &header_names::AUTHORIZATION,
    &header_names::X_SESSION_GUID,
    &header_names::X_API_KEY,
    &header_names::X_ORGCODE,
    &header_names::X_CCCODE,
    &header_names::X_REQUEST_ID,
    &header_names::X_TRACE_ID,
    &header_names::TRACEPARENT,
];

/// Who makes an outer request, as its head says it. Nothing of that is checked yet.
#[derive(Clone, Default)]
pub struct Caller {
    headers: HeaderMap,
    peer: Option<SocketAddr>,
    reached: Option<IpAddr>,
}

impl Caller {
    /// The caller of a request on a connection.
    pub fn of(request: &HttpRequest) -> Self {
        let head = RequestHead::of(request);
        let mut headers = HeaderMap::new();
        let mut keep = |name: &HeaderName| {
            for value in head.headers.get_all(name) {
                headers.append(name.clone(), value.clone());
            }
        };
        OF_CALLER.into_iter().for_each(&mut keep);
        let others = IDENTITY.iter().chain(FORWARDING);
        others
            .map(|name| HeaderName::from_static(name))
            .for_each(|name| keep(&name));
        // An absolute target counts instead of it.
        let host = head.authority().map(HeaderValue::from_str);
        let host = host.or_else(|| head.headers.get(HOST).cloned().map(Ok));
        if let Some(Ok(host)) = host {
            headers.insert(HOST, host);
        }
        Self {
            headers,
            peer: head.peer,
            reached: head.reached_at(),
        }
    }

    /// The same with a header, which replaces those of its name.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The same without the headers of a name.
    pub fn without(mut self, name: &HeaderName) -> Self {
        self.headers.remove(name);
        self
    }

    /// The headers that inner requests of the caller have.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

/// A request within another one.
#[derive(Clone)]
pub struct InnerRequest {
    /// What the log has for its route, such as `mcp/record_get`.
    pub label: &'static str,
    /// The method of the route.
    pub method: Method,
    /// The path of the route, or `/invoke/` and the name of an operator function.
    pub path: &'static str,
    /// The query, percent-encoded and without its question mark.
    pub query: String,
    /// The caller of the outer request.
    pub caller: Caller,
    /// The JSON of a POST; of no other method.
    pub body: Bytes,
}

impl InnerRequest {
    /// A GET with a query.
    pub fn get(label: &'static str, path: &'static str, caller: Caller, query: String) -> Self {
        Self {
            label,
            method: Method::GET,
            path,
            query,
            caller,
            body: Bytes::new(),
        }
    }

    /// A POST of JSON.
    pub fn post(label: &'static str, path: &'static str, caller: Caller, body: Bytes) -> Self {
        Self {
            method: Method::POST,
            body,
            ..Self::get(label, path, caller, String::new())
        }
    }

    fn head(&self) -> RequestHead<'_> {
        RequestHead::inner(
            (&self.method, self.path, &self.query),
            &self.caller.headers,
            (self.caller.peer, self.caller.reached),
        )
    }
}

/// The answer to a request within another one. It may hold a secret that is shown once, so its `Debug` shows its length.
#[derive(Clone)]
pub struct InnerAnswer {
    /// The status that the caller of the route would get.
    pub status: StatusCode,
    /// The envelope, or the document of a route that answers with one.
    pub body: Bytes,
    /// When to call again, where the answer says that.
    pub retry_after_seconds: Option<u64>,
    /// Whether it is the first answer to a request that came again.
    pub replayed: bool,
}

impl std::fmt::Debug for InnerAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InnerAnswer({}, {} bytes)", self.status, self.body.len())
    }
}

impl InnerAnswer {
    fn of(response: HttpResponse) -> Self {
        let headers = response.headers();
        let retry_after = headers.get(RETRY_AFTER);
        Self {
            status: response.status(),
            retry_after_seconds: retry_after.and_then(|value| value.to_str().ok()?.parse().ok()),
            replayed: headers.contains_key(&header_names::IDEMPOTENT_REPLAY),
            // No route's answer is streamed.
            body: response.into_body().try_into_bytes().unwrap_or_default(),
        }
    }
}

/// Carries out a request to one of the gateway's routes. It counts as one request of its caller, and is to be awaited on a
/// thread that serves.
pub async fn carry_out(gateway: &Gateway, request: InnerRequest) -> InnerAnswer {
    let head = request.head();
    let mut trace = gateway.trace(&head);
    trace.label = Some(request.label);
    let turn = Turn::new(&Turns::of_thread());
    let mut measured = gateway.http_meters().begin();
    let body = Source::Memory(request.body.clone());
    let working = dispatch::carry_out(gateway, (trace, &head, body), (&mut measured, &turn));
    let response = turn.work(working).await;
    measured.answered(response.status());
    InnerAnswer::of(response)
}

/// The same for a function of the operators, whose token is in the caller's headers.
pub async fn carry_out_for_operator(gateway: &Gateway, request: InnerRequest) -> InnerAnswer {
    let head = request.head();
    let mut trace = gateway.trace(&head);
    trace.label = Some(request.label);
    let mut measured = gateway.http_meters().begin();
    let body = Source::Memory(request.body.clone());
    let response = operator::carry_out(gateway, (trace, &head, body), &mut measured).await;
    measured.answered(response.status());
    InnerAnswer::of(response)
}
