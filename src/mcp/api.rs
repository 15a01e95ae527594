//! The interface below the tools: one request to a route or an operator function, however it gets there.

use std::collections::BTreeMap;
use std::future::Future;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The address that a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// The tenants' gateway: its routes by path.
    Gateway,
    /// The operators' address: its functions at `/invoke/NAME`.
    Operators,
}

/// One request, with the caller's credential still to be added by whoever sends it.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// The address that it goes to.
    pub at: Address,
    /// The tool that makes it, as `mcp/record_get`: what the log and the metrics call it.
    pub label: &'static str,
    /// The method: `GET` or `POST`.
    pub method: &'static str,
    /// A route's path, or a function's.
    pub path: &'static str,
    /// Members of the query, not yet encoded.
    pub query: Vec<(&'static str, String)>,
    /// The body of a POST: a JSON object as text.
    pub body: Option<String>,
    /// Whether the function asks for the operators' secret code, which whoever sends the request adds as `secret_code`.
    pub needs_code: bool,
}

/// An answer in its envelope.
#[derive(Clone, Debug)]
pub struct ApiAnswer {
    /// HTTP status of the answer.
    pub status: u16,
    /// The envelope, byte for byte.
    pub text: String,
    /// Seconds after which to come back, where the answer says so.
    pub retry_after_seconds: Option<u64>,
    /// Whether it is the first answer to a request that came again.
    pub replayed: bool,
}

/// Why there is no answer at all, in words for the caller.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ApiFailure(pub String);

/// What sends requests for tools: a part of the server, or a client of one.
pub trait Api {
    /// Sends one request with the caller's credential.
    fn call(&self, request: ApiRequest) -> impl Future<Output = Result<ApiAnswer, ApiFailure>>;

    /// The first bytes, at most `bytes_max`, of what the content of a download url decodes to.
    fn content(
        &self,
        url: String,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Vec<u8>, ApiFailure>>;
}

/// An answer that did what was asked.
#[derive(Debug)]
pub(super) struct Good {
    /// The member `data`, without `content`.
    pub(super) data: Value,
    /// The member `content` of `data` byte for byte, which a value would not keep.
    pub(super) content: Option<String>,
    /// The id of the request.
    pub(super) request_id: Option<String>,
    /// Whether it is the first answer to a request that came again.
    pub(super) replayed: bool,
}

/// An answer that refuses.
#[derive(Clone, Debug, Default)]
pub struct Refused {
    /// The machine-readable reason, such as `conflict`.
    pub tag: String,
    /// A finer reason, often an argument's name.
    pub minor: Option<String>,
    /// What is wrong, in plain English.
    pub message: String,
    /// Facts about it, such as the present revision.
    pub details: Map<String, Value>,
    /// The id of the request.
    pub request_id: Option<String>,
    /// Seconds after which to come back.
    pub retry_after_seconds: Option<u64>,
    /// What to do next, where it is not what the tag says anyway.
    pub next: Option<String>,
}

impl Refused {
    /// A refusal that was found here and not by a route.
    pub(super) fn here(tag: &str, message: impl Into<String>) -> Self {
        Self {
            tag: tag.to_owned(),
            message: message.into(),
            ..Self::default()
        }
    }

    /// A refusal of one argument.
    pub(super) fn argument(name: &str, message: impl Into<String>) -> Self {
        Self {
            minor: Some(name.to_owned()),
            ..Self::here("invalid-input", message)
        }
    }

    /// The same with advice on what to do next.
    pub(super) fn then(self, next: impl Into<String>) -> Self {
        Self {
            next: Some(next.into()),
            ..self
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    error: Option<ErrorOf>,
    stats: Option<Stats>,
}

#[derive(Deserialize)]
struct Stats {
    request_id: Option<String>,
}

#[derive(Deserialize)]
struct ErrorOf {
    major: MajorOf,
    minor: Option<MinorOf>,
    #[serde(default)]
    details: Map<String, Value>,
}

#[derive(Deserialize)]
struct MajorOf {
    tag: String,
    message: MessageOf,
}

#[derive(Deserialize)]
struct MessageOf {
    #[serde(rename = "en_US")]
    en_us: String,
}

#[derive(Deserialize)]
struct MinorOf {
    tag: String,
}

/// Reads an answer's envelope.
pub(super) fn read(answer: &ApiAnswer) -> Result<Good, Refused> {
    let foreign = || {
        let message = format!(
            "The answer with status {} is not from this service.",
            answer.status
        );
        Refused::here("unreachable", message)
    };
    let envelope: Envelope<'_> = serde_json::from_str(&answer.text).map_err(|_| foreign())?;
    let request_id = envelope.stats.and_then(|stats| stats.request_id);
    match (envelope.data, envelope.error) {
        (_, Some(error)) => Err(Refused {
            tag: error.major.tag,
            minor: error.minor.map(|minor| minor.tag),
            message: error.major.message.en_us,
            details: error.details,
            request_id,
            retry_after_seconds: answer.retry_after_seconds,
            next: None,
        }),
        (Some(data), None) => {
            let (data, content) = data_of(data).ok_or_else(foreign)?;
            Ok(Good {
                data,
                content,
                request_id,
                replayed: answer.replayed,
            })
        }
        (None, None) => Err(foreign()),
    }
}

/// The member `data` of an answer.
///
/// # Errors
/// [`Refused`] where the answer refuses, or is none of this service.
pub fn read_data(answer: &ApiAnswer) -> Result<Value, Refused> {
    read(answer).map(|good| good.data)
}

/// The data of an answer without `content`, and that byte for byte.
fn data_of(data: &RawValue) -> Option<(Value, Option<String>)> {
    let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(data.get()) else {
        return serde_json::from_str(data.get())
            .ok()
            .map(|data| (data, None));
    };
    let content = members.get("content").map(|raw| raw.get().to_owned());
    let rest = members.into_iter().filter(|(name, _)| name != "content");
    let rest = rest.map(|(name, raw)| Some((name, serde_json::from_str(raw.get()).ok()?)));
    Some((Value::Object(rest.collect::<Option<_>>()?), content))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> ApiAnswer {
        ApiAnswer {
            status: 200,
            text: text.to_owned(),
            retry_after_seconds: Some(3),
            replayed: false,
        }
    }

    #[test]
    fn content_is_kept_byte_for_byte_beside_the_data() {
        let good = read(&answer(
            r#"{"success":true,"data":{"a":1,"content":{"b": 1e400}},"stats":{"request_id":"r"}}"#,
        ));
        let good = good.expect("a good answer");
        assert_eq!(good.content.as_deref(), Some(r#"{"b": 1e400}"#));
        assert_eq!(good.data, serde_json::json!({"a": 1}));
        assert_eq!(good.request_id.as_deref(), Some("r"));
    }

    #[test]
    fn a_refusal_has_every_part_of_the_envelope() {
        let refused = read(&answer(
            r#"{"success":false,"error":{"details":{"revision":2},"major":{"message":{"en_US":"No."},"tag":"conflict"},"minor":{"tag":"m"}},"stats":{"request_id":"r"}}"#,
        ));
        let refused = refused.expect_err("a refusal");
        assert_eq!((&*refused.tag, &*refused.message), ("conflict", "No."));
        assert_eq!(refused.minor.as_deref(), Some("m"));
        assert_eq!(refused.details["revision"], 2);
        assert_eq!(refused.retry_after_seconds, Some(3));
    }

    #[test]
    fn what_is_no_envelope_is_said_to_be_from_elsewhere() {
        for text in ["", "<html>", "{}", "[]"] {
            let refused = read(&answer(text)).expect_err(text);
            assert_eq!(refused.tag, "unreachable", "{text}");
        }
    }
}
