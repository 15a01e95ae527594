//! An answer of the service, kept as it came.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use ureq::Body;
use ureq::http::{HeaderMap, Response};

use super::{TransportError, no_answer};

/// Bytes of the largest envelope that is read.
const ENVELOPE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// An answer in an envelope, good or bad. It may hold a secret that is shown once, so its `Debug` shows the status and the
/// tag.
pub struct Reply {
    /// HTTP status of the answer.
    pub status: u16,
    /// Headers of the answer.
    pub headers: HeaderMap,
    /// The envelope's text, byte for byte.
    pub text: String,
    /// Whole envelope of the answer, as JSON.
    pub envelope: Value,
}

/// The part of an envelope that holds inline content.
#[derive(Deserialize)]
struct WithContent<'a> {
    #[serde(borrow)]
    data: ContentOnly<'a>,
}

#[derive(Deserialize)]
struct ContentOnly<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tag = self.tag().unwrap_or_default();
        write!(f, "Reply({} {tag})", self.status)
    }
}

impl Reply {
    /// Whether the service did what was asked.
    pub fn is_success(&self) -> bool {
        self.envelope["success"] == Value::Bool(true)
    }

    /// The error's main tag, such as `not-found`.
    pub fn tag(&self) -> Option<&str> {
        self.envelope["error"]["major"]["tag"].as_str()
    }

    /// The good answer; null in a bad one.
    pub fn data(&self) -> &Value {
        &self.envelope["data"]
    }

    /// Puts another answer in the place of the good one, such as one made of several.
    pub fn replace_data(&mut self, data: Value) {
        self.envelope["data"] = data;
        self.text = self.envelope.to_string();
    }

    /// The revision of the one record answered.
    pub fn revision(&self) -> Option<u64> {
        self.envelope["revision"].as_u64()
    }

    /// Value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Inline content byte for byte, which reading it as a JSON value would not keep.
    pub fn content(&self) -> Option<&str> {
        let with: WithContent<'_> = serde_json::from_str(&self.text).ok()?;
        with.data.content.map(RawValue::get)
    }
}

/// Reads an answer's envelope.
pub(super) fn read(url: &str, mut response: Response<Body>) -> Result<Reply, TransportError> {
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(ENVELOPE_BYTES_MAX);
    let bytes = body.read_to_vec().map_err(|error| no_answer(url, error))?;
    let foreign = TransportError::NotAnEnvelope { status };
    let Ok(text) = String::from_utf8(bytes) else {
        return Err(foreign);
    };
    match serde_json::from_str::<Value>(&text) {
        Ok(envelope) if envelope["success"].is_boolean() => Ok(Reply {
            status,
            headers: std::mem::take(response.headers_mut()),
            text,
            envelope,
        }),
        Ok(_) | Err(_) => Err(foreign),
    }
}
