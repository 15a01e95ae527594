//! What a request's head must be beyond what actix-http asks of it: an honest `Host`, and single-valued headers once.

use std::net::IpAddr;

use actix_web::http::header::{HOST, HeaderMap, HeaderName};

use super::header_names;
use super::request_head::RequestHead;
use crate::domain::{ErrorTag, Rejection};

/// Longest `Host` that is read: a domain name has at most 253 characters (RFC 1035, section 2.3.4), a port 5 digits.
const HOST_BYTES_MAX: usize = 260;
/// Always an allowed name: no one can point it anywhere else (RFC 6761, section 6.3).
pub(super) const LOCALHOST: &str = "localhost";

/// Headers of this interface that must not be repeated, and the tag when they are.
static ONCE: [(&HeaderName, ErrorTag); 2] = [
    (&header_names::X_ORGCODE, ErrorTag::InvalidOrgcode),
    (&header_names::X_CCCODE, ErrorTag::InvalidCccode),
];

/// The names by which a listener may be called where a browser could be led to it by an attacker's name (DNS
/// rebinding). Addresses and `localhost` are always allowed: no foreign name resolves to them in a browser's eyes.
#[derive(Clone, Debug, Default)]
pub struct HostNames(Vec<String>);

impl HostNames {
    /// The names of a setting, separated by commas, and the host of a url, when there is one.
    pub fn new(names: &str, url: &str) -> Self {
        let url = url.split_once("://").map_or("", |(_, rest)| rest);
        let authority = url.split('/').next().unwrap_or_default();
        let names = names.split(',').map(str::trim).chain(split_port(authority));
        let names = names.filter(|name| !name.is_empty());
        Self(names.map(str::to_ascii_lowercase).collect())
    }

    /// Whether a name, in any case, is one of these.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Refuses a request whose `Host` is a name that is not one of these. One without a `Host` is from no browser.
    ///
    /// # Errors
    /// `invalid-input` with the minor `host`.
    pub fn check(&self, head: &RequestHead<'_>) -> Result<(), Rejection> {
        if !head.names_host() {
            return Ok(());
        }
        let name = head.authority().and_then(split_port);
        let allowed = name.is_some_and(|name| {
            is_address(name) || name.eq_ignore_ascii_case(LOCALHOST) || self.has(name)
        });
        if allowed {
            Ok(())
        } else {
            Err(Rejection::field(
                "host",
                "The name in Host is not allowed at this address; use the IP address, or add the name to the setting http.host_names.",
            ))
        }
    }
}

/// Refuses what only a confused or hostile client sends: a `Host` that is none, or two of a header that must not be repeated.
///
/// # Errors
/// `invalid-input` with the minor `host`, or the tag of the header.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Rejection> {
    if let Some(host) = headers.get(HOST)
        && host.to_str().ok().and_then(split_port).is_none()
    {
        return Err(Rejection::field(
            "host",
            "Host must be a name or an address with an optional port, such as records.example:8000.",
        ));
    }
    for (name, tag) in &ONCE {
        let mut values = headers.get_all(*name);
        let readable = values.next().is_none_or(|value| value.to_str().is_ok());
        if !readable || values.next().is_some() {
            return Err(Rejection::new(
                *tag,
                format!("Send the header {name} once, in plain characters."),
            ));
        }
    }
    Ok(())
}

/// The host of `uri-host [ ":" port ]` (RFC 9110, section 7.2); nothing when it is not of that form.
pub(super) fn split_port(host: &str) -> Option<&str> {
    if host.is_empty() || host.len() > HOST_BYTES_MAX {
        return None;
    }
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let end = address.len() + 2;
            (
                host.get(..end)?,
                rest.strip_prefix(':').or(rest.is_empty().then_some(""))?,
            )
        }
        None => host.split_once(':').unwrap_or((host, "")),
    };
    let port_is_one = port.bytes().all(|byte| byte.is_ascii_digit()) && port.len() <= 5;
    let name_is_one = if name.starts_with('[') {
        is_address(name)
    } else {
        !name.is_empty() && name.bytes().all(is_name_byte)
    };
    (port_is_one && name_is_one).then_some(name)
}

/// A byte of a domain name or an IPv4 address; `_` because names in private networks have it.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

fn is_address(name: &str) -> bool {
    let inner = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    inner.unwrap_or(name).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_a_port_or_without() {
        for (host, name) in [
            ("records.example", Some("records.example")),
            ("records.example:8000", Some("records.example")),
            ("127.0.0.1:1", Some("127.0.0.1")),
            ("[::1]:8001", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("my_host:", Some("my_host")),
            ("", None),
            ("a b", None),
            ("user@records.example", None),
            ("records.example/x", None),
            ("records.example:80:80", None),
            ("records.example:x", None),
            ("records.example:123456", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[x]", None),
            (":80", None),
        ] {
            assert_eq!(split_port(host), name, "{host}");
        }
        assert_eq!(split_port(&"a".repeat(HOST_BYTES_MAX + 1)), None);
    }

    #[test]
    fn names_that_were_not_given_are_refused_and_addresses_are_not() {
        let names = HostNames::new("one.example, Two.example", "https://Public.example:9/x");
        let none = HostNames::default();
        let allows = |names: &HostNames, host: &str| {
            let request = TestRequest::default().insert_header((HOST, host));
            let request = request.to_http_request();
            names.check(&RequestHead::of(&request)).is_ok()
        };
        for host in [
            "one.example",
            "TWO.example:8001",
            "public.example",
            "localhost:1",
            "10.0.0.1",
            "[::1]:2",
        ] {
            assert!(allows(&names, host), "{host}");
        }
        for host in [
            "evil.example",
            "one.example.evil.example",
            "localhost.evil.example",
            "a b",
        ] {
            assert!(!allows(&names, host), "{host}");
        }
        assert!(!allows(&none, "one.example") && allows(&none, "127.0.0.1"));
    }
}
