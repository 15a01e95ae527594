//! An answer as tests read it.

use std::io::Read;

use serde_json::{Value, json};

/// The headers that answers may have, in lower case.
const HEADERS: &[&str] = &[
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
    "accept-ranges",
    "allow",
    "cache-control",
    "connection",
    "content-disposition",
    "content-encoding",
    "content-length",
    "content-md5",
    "content-range",
    "content-security-policy",
    "content-type",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "date",
    "etag",
    "idempotent-replay",
    "last-modified",
    "mcp-session-id",
    "ratelimit",
    "ratelimit-policy",
    "referrer-policy",
    "retry-after",
    "strict-transport-security",
    "transfer-encoding",
    "vary",
    "www-authenticate",
    "x-api-version",
    "x-content-type-options",
    "x-request-id",
    "x-trace-id",
];

/// An answer: its status, headers (names in lower case) and body.
#[derive(Debug)]
pub(crate) struct Got {
    /// The status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: Vec<(String, String)>,
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
}

impl Got {
    /// The body as JSON; `null` when it is not.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    /// A header's value, of those that an answer may have: one of another name would be absent whatever happens.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        assert!(HEADERS.contains(&name), "no answer has a header {name}");
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// `data` of a good answer; panics with the whole answer when it is not one.
    pub(crate) fn data(&self) -> Value {
        let json = self.json();
        assert!(
            self.status == 200 && json["success"] == json!(true),
            "{} {json}",
            self.status
        );
        json["data"].clone()
    }

    /// Status, major tag and minor tag (empty when there is none) of a bad answer.
    pub(crate) fn refusal(&self) -> (u16, String, String) {
        let error = &self.json()["error"];
        let text = |value: &Value| value["tag"].as_str().unwrap_or_default().to_owned();
        (self.status, text(&error["major"]), text(&error["minor"]))
    }
}

pub(crate) fn got(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Got {
    let response = response.expect("the server answers");
    let (head, mut body) = response.into_parts();
    let text = |value: &ureq::http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let mut bytes = Vec::new();
    body.as_reader()
        .read_to_end(&mut bytes)
        .expect("the answer is whole");
    Got {
        status: head.status.as_u16(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect(),
        bytes,
    }
}
