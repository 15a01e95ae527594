//! The head of a request, as everything behind the listeners sees it: of one that came on a connection, or of one that
//! another surface of the server makes.

use std::net::{IpAddr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::{HOST, HeaderMap};

use super::watched;

/// What a request says ahead of its body, and where it comes from. It borrows all of that.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    /// The method, as it was sent.
    pub method: &'a Method,
    /// The path, percent-encoded as it was sent.
    pub path: &'a str,
    /// The query without its question mark; empty when there is none.
    pub query: &'a str,
    /// All headers, as they were sent.
    pub headers: &'a HeaderMap,
    /// The address of the caller; `None` on a Unix socket.
    pub peer: Option<SocketAddr>,
    origin: Origin<'a>,
}

/// How a request reached the server.
#[derive(Clone, Copy)]
enum Origin<'a> {
    /// On a connection of its own.
    Connection(&'a HttpRequest),
    /// Within another request, whose caller is connected to this address of the machine.
    Inner(Option<IpAddr>),
}

impl<'a> RequestHead<'a> {
    /// The head of a request that came on a connection.
    pub fn of(request: &'a HttpRequest) -> Self {
        Self {
            method: request.method(),
            path: request.path(),
            query: request.query_string(),
            headers: request.headers(),
            peer: request.peer_addr(),
            origin: Origin::Connection(request),
        }
    }

    /// The head of a request within another one, by what it asks for, its headers, its caller's address and the address
    /// that the caller is connected to.
    pub(super) fn inner(
        (method, path, query): (&'a Method, &'a str, &'a str),
        headers: &'a HeaderMap,
        (peer, reached): (Option<SocketAddr>, Option<IpAddr>),
    ) -> Self {
        Self {
            method,
            path,
            query,
            headers,
            peer,
            origin: Origin::Inner(reached),
        }
    }

    /// The same with other headers.
    pub(super) fn with_headers(self, headers: &'a HeaderMap) -> Self {
        Self { headers, ..self }
    }

    /// The request on its connection; `None` of one within another.
    pub(super) fn on_connection(&self) -> Option<&'a HttpRequest> {
        match self.origin {
            Origin::Connection(request) => Some(request),
            Origin::Inner(_) => None,
        }
    }

    /// The address of this machine that the caller is connected to; of a Unix socket there is none.
    pub(super) fn reached_at(&self) -> Option<IpAddr> {
        match self.origin {
            Origin::Connection(request) => watched::reached_at(request),
            Origin::Inner(reached) => reached,
        }
    }

    /// The host and the port that the request is for: of an absolute target, which counts instead of `Host` (RFC 9112,
    /// section 3.2.2), or else of `Host`; nothing when that is not readable.
    pub(super) fn authority(&self) -> Option<&'a str> {
        let request = self.on_connection();
        match request.and_then(|request| request.uri().authority()) {
            Some(authority) => Some(authority.as_str()),
            None => self.headers.get(HOST)?.to_str().ok(),
        }
    }

    /// Whether the request names a host at all. A browser always does.
    pub(super) fn names_host(&self) -> bool {
        let request = self.on_connection();
        self.headers.contains_key(HOST)
            || request.is_some_and(|request| request.uri().authority().is_some())
    }
}
