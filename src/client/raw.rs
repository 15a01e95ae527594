//! A call whose answer is kept as it came, be it one of this service or not.

use serde_json::Value;
use ureq::http::{HeaderMap, Request};

use super::{Client, TransportError, encode_query, malformed, no_answer};

/// Most bytes read of an answer.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// One request before it is sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// HTTP method in upper case.
    pub method: &'a str,
    /// Path without a query, beginning with a slash.
    pub path: &'a str,
    /// Members of the query, not yet encoded.
    pub query: &'a [(&'a str, String)],
    /// Headers besides the credential's.
    pub headers: &'a [(&'a str, &'a str)],
    /// A body, sent byte for byte as JSON, whether it is that or not.
    pub body: Option<&'a str>,
}

/// An answer as it came. It may hold a secret, so its `Debug` shows the status.
pub struct Raw {
    /// HTTP status of the answer.
    pub status: u16,
    /// Headers of the answer.
    pub headers: HeaderMap,
    /// Bytes of the whole body.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Raw({})", self.status)
    }
}

impl Raw {
    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    /// A header's text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Whether a text occurs anywhere in the answer: in its body, as a header's name or in its value.
    pub fn mentions(&self, text: &str) -> bool {
        let within = |bytes: &[u8]| {
            bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        let mut headers = self.headers.iter();
        within(&self.bytes)
            || headers
                .any(|(name, value)| within(name.as_str().as_bytes()) || within(value.as_bytes()))
    }
}

impl Client {
    /// One call, with an answer of up to 4 MiB.
    ///
    /// # Errors
    /// [`TransportError`] when there is no answer.
    pub fn raw(&self, ask: Ask<'_>) -> Result<Raw, TransportError> {
        let url = format!("{}{}{}", self.base_url, ask.path, encode_query(ask.query));
        let mut request = Request::builder().method(ask.method).uri(url);
        for (name, value) in self.credential.headers() {
            request = request.header(name, value);
        }
        for (name, value) in ask.headers {
            request = request.header(*name, *value);
        }
        let response = match ask.body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.run(&self.address, request.body(body).map_err(malformed)?)
            }
            None => self.run(&self.address, request.body(()).map_err(malformed)?),
        };
        let mut response = response?;
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        let bytes = body.read_to_vec();
        Ok(Raw {
            status: response.status().as_u16(),
            bytes: bytes.map_err(|error| no_answer(&self.address, error))?,
            headers: std::mem::take(response.headers_mut()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_in_the_body_and_in_headers() {
        let mut headers = HeaderMap::new();
        headers.insert("x-echo", "abc-canary-def".parse().expect("a value"));
        let bytes = b"0123".to_vec();
        let raw = Raw {
            status: 200,
            headers,
            bytes,
        };
        for (text, found) in [
            ("canary", true),
            ("x-echo", true),
            ("123", true),
            ("124", false),
            ("0123456", false),
        ] {
            assert_eq!(raw.mentions(text), found, "{text}");
        }
    }
}
