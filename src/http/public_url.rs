//! The URL at which a caller reaches the gateway: what the URLs in answers begin with.
//!
//! A setting says it, or else `Host` does, when that is a name that this server is known by. A name of somebody else's
//! never gets into an answer, and nor does what a proxy says in `Forwarded` or `X-Forwarded-Host`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::head::{HostNames, LOCALHOST, split_port};
use super::request_head::RequestHead;

/// Where callers reach the gateway.
#[derive(Clone, Debug)]
pub struct PublicUrl {
    /// `http.public_url` without slashes at its end; empty where it is not set.
    set: String,
    scheme: &'static str,
    listening: SocketAddr,
    names: HostNames,
}

impl PublicUrl {
    /// By the setting `http.public_url`, which may be empty, the scheme and the address that the gateway listens on, and the
    /// names that it is known by.
    pub fn new(
        set: &str,
        (scheme, listening): (&'static str, SocketAddr),
        names: HostNames,
    ) -> Self {
        Self {
            set: set.trim_end_matches('/').to_owned(),
            scheme,
            listening,
            names,
        }
    }

    /// The URL, without a slash at its end, for the caller of a request to the gateway.
    pub fn of(&self, head: &RequestHead<'_>) -> String {
        if !self.set.is_empty() {
            return self.set.clone();
        }
        let local = self.local(head);
        match head
            .authority()
            .filter(|host| self.is_own(host, local.ip()))
        {
            Some(host) => format!("{}://{}", self.scheme, host.trim_end_matches(':')),
            None => format!("{}://{local}", self.scheme),
        }
    }

    /// The same for an operator, whose `Host` names the operators' address.
    pub(super) fn for_operator(&self, head: &RequestHead<'_>) -> String {
        if self.set.is_empty() {
            format!("{}://{}", self.scheme, self.local(head))
        } else {
            self.set.clone()
        }
    }

    /// The gateway's address as the other end of a connection has it.
    fn local(&self, head: &RequestHead<'_>) -> SocketAddr {
        let reached = head
            .reached_at()
            .filter(|_| self.listening.ip().is_unspecified());
        reached.map_or_else(
            || reachable(self.listening),
            |address| SocketAddr::new(address.to_canonical(), self.listening.port()),
        )
    }

    /// Whether a `Host` names this server, at whatever port a proxy or a container may have given it.
    fn is_own(&self, host: &str, local: IpAddr) -> bool {
        let Some(name) = split_port(host) else {
            return false;
        };
        let port = host.get(name.len()..).unwrap_or_default();
        let port = port.strip_prefix(':').unwrap_or(port);
        if !port.is_empty() && !port.parse().is_ok_and(|port: u16| port > 0) {
            return false;
        }
        let inner = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        let address = inner.unwrap_or(name).parse::<IpAddr>();
        let address = address.map(|address| address.to_canonical());
        address.is_ok_and(|address| address.is_loopback() || address == local)
            || name.eq_ignore_ascii_case(LOCALHOST)
            || self.names.has(name)
    }
}

/// An address at which a process of this machine reaches a listener: loopback for all addresses at once.
pub fn reachable(listening: SocketAddr) -> SocketAddr {
    let loopback: IpAddr = match listening.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(loopback, listening.port())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HOST;
    use actix_web::test::TestRequest;

    use super::*;

    fn url(listening: &str, names: &str, target: &str, host: Option<&str>) -> String {
        let names = HostNames::new(names, "");
        let public = PublicUrl::new("", ("http", listening.parse().unwrap()), names);
        let mut request = TestRequest::default()
            .uri(target)
            .insert_header(("x-forwarded-host", "evil.example"))
            .insert_header(("forwarded", "host=evil.example;proto=https"));
        if let Some(host) = host {
            request = request.insert_header((HOST, host));
        }
        public.of(&RequestHead::of(&request.to_http_request()))
    }

    #[test]
    fn urls_begin_with_the_host_that_a_caller_used_if_it_is_ours() {
        for (listening, host, wanted) in [
            ("0.0.0.0:8000", "localhost:9000", "http://localhost:9000"),
            ("0.0.0.0:8000", "LOCALHOST", "http://LOCALHOST"),
            ("0.0.0.0:8000", "127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("0.0.0.0:8000", "[::1]:7", "http://[::1]:7"),
            ("0.0.0.0:8000", "[::1]", "http://[::1]"),
            ("0.0.0.0:8000", "one.example", "http://one.example"),
            ("0.0.0.0:8000", "One.example:81", "http://One.example:81"),
            ("0.0.0.0:8000", "one.example:", "http://one.example"),
            ("10.0.0.7:8000", "10.0.0.7:80", "http://10.0.0.7:80"),
            // Names of others, and what is no address of anybody.
            ("0.0.0.0:8000", "evil.example", "http://127.0.0.1:8000"),
            ("[::]:8000", "evil.example:8000", "http://[::1]:8000"),
            ("10.0.0.7:8000", "evil.example", "http://10.0.0.7:8000"),
            ("0.0.0.0:8000", "6.6.6.6:8000", "http://127.0.0.1:8000"),
            ("0.0.0.0:8000", "0.0.0.0:8000", "http://127.0.0.1:8000"),
            ("0.0.0.0:8000", "[::]:8000", "http://127.0.0.1:8000"),
            ("0.0.0.0:8000", "[2001:db8::1]", "http://127.0.0.1:8000"),
            ("0.0.0.0:8000", "localhost:99999", "http://127.0.0.1:8000"),
            ("0.0.0.0:8000", "localhost:0", "http://127.0.0.1:8000"),
            ("0.0.0.0:8000", "localhost@evil", "http://127.0.0.1:8000"),
            ("0.0.0.0:8000", "127.0.0.1.evil", "http://127.0.0.1:8000"),
            ("0.0.0.0:8000", "localhost.evil", "http://127.0.0.1:8000"),
        ] {
            let found = url(listening, "one.example", "/mrs/record", Some(host));
            assert_eq!(found, wanted, "{host} at {listening}");
        }
        let absent = url("[::]:8000", "", "/mrs/record", None);
        assert_eq!(absent, "http://[::1]:8000");
    }

    #[test]
    fn the_host_of_an_absolute_target_counts_instead_of_the_header() {
        for (target, wanted) in [
            ("http://one.example:81/x", "http://one.example:81"),
            ("http://evil.example/x", "http://127.0.0.1:8000"),
            ("http://localhost@evil.example/x", "http://127.0.0.1:8000"),
        ] {
            let found = url("0.0.0.0:8000", "one.example", target, Some("localhost"));
            assert_eq!(found, wanted, "{target}");
        }
    }

    #[test]
    fn a_url_that_is_set_is_the_only_one() {
        let listening = ("https", "0.0.0.0:8000".parse().unwrap());
        let set = PublicUrl::new("https://a.example/x//", listening, HostNames::default());
        let request = TestRequest::default().insert_header((HOST, "localhost"));
        let request = request.to_http_request();
        let head = RequestHead::of(&request);
        assert_eq!(set.of(&head), "https://a.example/x");
        assert_eq!(set.for_operator(&head), "https://a.example/x");
    }
}
