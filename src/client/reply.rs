//! An answer of the service, kept as it came.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;
use ureq::Body;
use ureq::http::{HeaderMap, Response};

use super::{CredentialKind, TransportError, no_answer};

/// Bytes of the largest envelope that is read.
const ENVELOPE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Levels of an envelope that are the service's own: below them is what callers stored.
const OWN_LEVELS: u32 = 4;

/// An answer in an envelope, good or bad. It may hold a secret that is shown once, so its `Debug` shows the status and the
/// tag.
pub struct Reply {
    /// HTTP status of the answer.
    pub status: u16,
    /// Headers of the answer.
    pub headers: HeaderMap,
    /// The envelope's text, byte for byte.
    pub text: String,
    /// Whole envelope of the answer, as JSON. A part that no value can hold, such as inline content with a number beyond those
    /// of floating point, is a string there: its text.
    pub envelope: Value,
    /// What the call was made with.
    pub credential: CredentialKind,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tag = self.tag().unwrap_or_default();
        write!(f, "Reply({} {tag})", self.status)
    }
}

impl Reply {
    /// The same answer, as one to a call with a credential of this kind.
    #[must_use]
    pub fn called_with(self, credential: CredentialKind) -> Self {
        Self { credential, ..self }
    }

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

    /// The items of a list, byte for byte; none when the answer is no list.
    pub fn items(&self) -> Vec<&RawValue> {
        let data = self.data_text().map(serde_json::from_str::<Members<'_>>);
        let Some(Ok(data)) = data else {
            return Vec::new();
        };
        let items = data.get("items").map(|items| items.get());
        let items = items.map(serde_json::from_str::<Vec<&RawValue>>);
        items.and_then(Result::ok).unwrap_or_default()
    }

    /// The good answer byte for byte.
    pub fn data_text(&self) -> Option<&str> {
        let members: Members<'_> = serde_json::from_str(&self.text).ok()?;
        members.get("data").map(|data| data.get())
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
        let data: Members<'_> = serde_json::from_str(self.data_text()?).ok()?;
        data.get("content").map(|content| content.get())
    }
}

/// The members of an object, each as its text.
type Members<'a> = BTreeMap<String, &'a RawValue>;

/// A JSON text as a value, and its parts that no value can hold as strings.
fn value_of(json: &RawValue, levels: u32) -> Value {
    let text = json.get();
    if let Ok(value) = serde_json::from_str(text) {
        return value;
    }
    if levels > 0 {
        if let Ok(members) = serde_json::from_str::<Members<'_>>(text) {
            let members = members.into_iter();
            let members = members.map(|(name, part)| (name, value_of(part, levels - 1)));
            return Value::Object(members.collect());
        }
        if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) {
            let items = items.into_iter().map(|part| value_of(part, levels - 1));
            return Value::Array(items.collect());
        }
    }
    Value::String(text.to_owned())
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
    let envelope = serde_json::from_str::<&RawValue>(&text);
    match envelope.map(|envelope| value_of(envelope, OWN_LEVELS)) {
        Ok(envelope) if envelope["success"].is_boolean() => Ok(Reply {
            status,
            headers: std::mem::take(response.headers_mut()),
            text,
            envelope,
            credential: CredentialKind::None,
        }),
        Ok(_) | Err(_) => Err(foreign),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_that_no_value_holds_is_kept_as_text() {
        let deep = format!("{}{}", "[".repeat(127), "]".repeat(127));
        for content in [
            r#""\ud800""#,
            "1e400",
            "-1E+999",
            r#"{"a":1,"a":2}"#,
            r#"[1e400, "\udc00\u0000"]"#,
            r#"{"\ud800":1}"#,
            "null",
            "18446744073709551616",
            deep.as_str(),
        ] {
            let text = format!(r#"{{"success":true,"data":{{"content":{content},"n":1}}}}"#);
            let json = serde_json::from_str(&text).expect("JSON");
            let reply = Reply {
                status: 200,
                headers: HeaderMap::new(),
                envelope: value_of(json, OWN_LEVELS),
                text: text.clone(),
                credential: CredentialKind::None,
            };
            assert_eq!(reply.content(), Some(content));
            assert!(reply.is_success() && reply.data()["n"] == 1, "{content}");
        }
    }
}
