//! The limits of settings' values, and their descriptions for errors and the documentation.

use super::value::LogRequests;

/// Longest address, url or list of names that is taken: far more than any that is of use, and short enough for an error.
const TEXT_BYTES_MAX: usize = 4_096;

/// The limits of a setting's value.
pub(super) trait Limits<T> {
    /// Whether the value is within the limits.
    fn contains(&self, value: &T) -> bool;
    /// The values that fit, in words.
    fn describe(&self) -> String;
    /// Texts that do not fit, for the test that tries each setting.
    #[cfg(test)]
    fn misfits(&self) -> Vec<String>;
}

impl<T: PartialOrd + std::fmt::Display> Limits<T> for std::ops::RangeInclusive<T> {
    fn contains(&self, value: &T) -> bool {
        std::ops::RangeInclusive::contains(self, value)
    }

    fn describe(&self) -> String {
        format!("a whole number from {} to {}", self.start(), self.end())
    }

    #[cfg(test)]
    fn misfits(&self) -> Vec<String> {
        let number = |bound: &T| bound.to_string().parse::<i128>().unwrap();
        let (start, end) = (number(self.start()), number(self.end()));
        let texts = ["", "x", "1.5", "1e3", "0x10", " 1", "1_000"].map(str::to_owned);
        let numbers = [-1, start - 1, end + 1].map(|number| number.to_string());
        texts.into_iter().chain(numbers).collect()
    }
}

/// Any text, such as a path. A NUL ends a path, and a line break is a slip in a claim or a name.
pub(super) struct Text;

impl Limits<String> for Text {
    fn contains(&self, value: &String) -> bool {
        !value.contains('\0')
    }

    fn describe(&self) -> String {
        "text without a NUL character".to_owned()
    }

    #[cfg(test)]
    fn misfits(&self) -> Vec<String> {
        vec!["a\0b".to_owned()]
    }
}

/// An address and port to listen on, or `unix:` and a path.
pub(super) struct ListenAddress;

impl Limits<String> for ListenAddress {
    fn contains(&self, value: &String) -> bool {
        // The path of a socket is checked where it is bound, and that the gateway has none.
        value.starts_with("unix:") || is_short(value) && is_authority(value, true)
    }

    fn describe(&self) -> String {
        "a host and a port such as 127.0.0.1:8000 or [::1]:8000, or of the operators' address unix: and a path".to_owned()
    }

    #[cfg(test)]
    fn misfits(&self) -> Vec<String> {
        let wrong = [
            "", "x", "8000", ":8000", "a:", "a:x", "a:-1", "a:65536", "::1:8000", "a b:1",
        ];
        wrong.map(str::to_owned).to_vec()
    }
}

/// Where callers reach the server; empty for nowhere else.
pub(super) struct PublicUrl;

impl Limits<String> for PublicUrl {
    fn contains(&self, value: &String) -> bool {
        value.is_empty() || is_short(value) && is_url(value) && !value.contains(['?', '#', '@'])
    }

    fn describe(&self) -> String {
        "empty, or http:// or https://, a host and perhaps a path, such as https://records.example, without a query or a password".to_owned()
    }

    #[cfg(test)]
    fn misfits(&self) -> Vec<String> {
        let wrong = [
            "x",
            "records.example",
            "ftp://records.example",
            "https://",
            "https://a b",
            "https://a/?x=1",
            "https://a/#x",
            "https://user:hush@a",
            "https://a:x",
        ];
        wrong.map(str::to_owned).to_vec()
    }
}

/// Names of hosts, separated by commas; empty for none.
pub(super) struct HostList;

impl Limits<String> for HostList {
    fn contains(&self, value: &String) -> bool {
        let all = value.split(',').map(str::trim);
        value.is_empty() || is_short(value) && all.into_iter().all(is_host_name)
    }

    fn describe(&self) -> String {
        "empty, or names of hosts without a port, separated by commas, such as records.internal, records.example".to_owned()
    }

    #[cfg(test)]
    fn misfits(&self) -> Vec<String> {
        let wrong = [
            "a b",
            "https://a.example",
            "a.example:80",
            "a,,b",
            "*",
            "[\"a\"]",
        ];
        wrong.map(str::to_owned).to_vec()
    }
}

/// Origins of web pages, separated by commas; empty for none.
pub(super) struct OriginList;

impl Limits<String> for OriginList {
    fn contains(&self, value: &String) -> bool {
        let is_origin = |origin: &str| {
            let origin = origin.strip_suffix('/').unwrap_or(origin);
            let host = origin.split_once("://").map_or("", |(_, host)| host);
            is_url(origin) && !host.contains(['/', '?', '#', '@'])
        };
        let all = value.split(',').map(str::trim);
        value.is_empty() || is_short(value) && all.into_iter().all(is_origin)
    }

    fn describe(&self) -> String {
        "empty, or origins without a path, separated by commas, such as https://app.example, http://localhost:3000; * is not taken".to_owned()
    }

    #[cfg(test)]
    fn misfits(&self) -> Vec<String> {
        let wrong = [
            "*",
            "null",
            "app.example",
            "https://app.example/page",
            "https://a.example https://b.example",
            "https://a.example,,",
            "[\"https://a.example\"]",
        ];
        wrong.map(str::to_owned).to_vec()
    }
}

/// A path before every route; empty for none.
pub(super) struct PathPrefix;

impl Limits<String> for PathPrefix {
    fn contains(&self, value: &String) -> bool {
        let path = value.trim_matches('/');
        let is_segment = |part: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            !matches!(part, "" | "." | "..") && part.bytes().all(plain)
        };
        path.is_empty() || is_short(path) && path.split('/').all(is_segment)
    }

    fn describe(&self) -> String {
        "empty, or parts of a path out of letters, digits, -, ., _ and ~, such as prod or apis/records".to_owned()
    }

    #[cfg(test)]
    fn misfits(&self) -> Vec<String> {
        let wrong = [
            "a b",
            "a//b",
            "a?b",
            "../a",
            "{stage}",
            "https://a/b",
            "caf\u{e9}",
        ];
        wrong.map(str::to_owned).to_vec()
    }
}

/// One of a few words.
pub(super) struct OneOf(pub(super) &'static [&'static str]);

impl Limits<String> for OneOf {
    fn contains(&self, value: &String) -> bool {
        self.0.contains(&value.as_str())
    }

    fn describe(&self) -> String {
        self.0.join(" or ")
    }

    #[cfg(test)]
    fn misfits(&self) -> Vec<String> {
        let first = self.0.first().copied().unwrap_or_default();
        let wrong = ["", "x", " ", "-1"].map(str::to_owned);
        { wrong }
            .into_iter()
            .chain([first.to_uppercase(), format!(" {first}")])
            .collect()
    }
}

/// The two words `true` and `false`.
pub(super) struct YesNo;

impl Limits<bool> for YesNo {
    fn contains(&self, _: &bool) -> bool {
        true
    }

    fn describe(&self) -> String {
        "true or false".to_owned()
    }

    #[cfg(test)]
    fn misfits(&self) -> Vec<String> {
        ["", "1", "0", "yes", "True", "-1", "x"]
            .map(str::to_owned)
            .to_vec()
    }
}

/// The words of [`LogRequests`].
pub(super) struct Words;

impl Limits<LogRequests> for Words {
    fn contains(&self, _: &LogRequests) -> bool {
        true
    }

    fn describe(&self) -> String {
        LogRequests::ALL.map(|known| known.to_string()).join(" or ")
    }

    #[cfg(test)]
    fn misfits(&self) -> Vec<String> {
        ["", "some", "All", "1", "-1"].map(str::to_owned).to_vec()
    }
}

fn is_short(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX
}

/// `http://` or `https://` and a host, perhaps with a port and a path.
fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://");
    let Some(rest) = rest.or_else(|| text.strip_prefix("https://")) else {
        return false;
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or_default();
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    is_authority(host, false) && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// A host and a port, which some places can do without.
fn is_authority(text: &str, port_needed: bool) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let is_address = address.parse::<std::net::Ipv6Addr>().is_ok();
            let port = rest.strip_prefix(':');
            return is_address
                && match port {
                    Some(port) => is_port(port),
                    None => rest.is_empty() && !port_needed,
                };
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let port_fits = if text.contains(':') {
        is_port(port)
    } else {
        !port_needed
    };
    is_host_name(host) && port_fits
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// A domain name, in private networks also with `_`, or an address.
fn is_host_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_v6 = || {
        let inner = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
    };
    !text.is_empty() && (text.bytes().all(plain) || is_v6())
}
