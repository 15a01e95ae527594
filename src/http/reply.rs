//! Answers before they have their envelope: a reply, or a refusal; and the envelopes themselves.

use std::error::Error;
use std::sync::LazyLock;

use bytes::Bytes;
use futures_util::stream::LocalBoxStream;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use serde_json::Map;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use crate::domain::json::{push_number, push_text};
use crate::domain::record::{Record, RecordKey, TYPICAL_JSON_BYTES};
use crate::domain::rejection::RETRY_AFTER_SECONDS;
use crate::domain::{ErrorTag, Rejection, Revision};

/// The envelope of a good answer.
#[derive(Serialize, ToSchema)]
pub struct Good<'a, T> {
    /// Always `true`.
    success: bool,
    /// The answer itself.
    data: T,
    /// Revision of the one record in `data`; absent for lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    revision: Option<Revision>,
    /// The build of the server that answered.
    #[schema(value_type = Build)]
    build: &'a RawValue,
    /// Facts about the call.
    stats: Stats<'a>,
}

impl<'a, T> Good<'a, T> {
    /// The envelope of an answer, with facts about its call.
    pub(super) fn new(
        data: T,
        revision: Option<Revision>,
        build: &'a RawValue,
        stats: Stats<'a>,
    ) -> Self {
        Self {
            success: true,
            data,
            revision,
            build,
            stats,
        }
    }
}

/// The envelope of a good answer whose members are repeated next to the envelope's own.
#[derive(Serialize)]
pub(super) struct Flat<'a> {
    #[serde(flatten)]
    pub(super) members: Members<'a>,
    #[serde(flatten)]
    pub(super) good: Good<'a, &'a RawValue>,
}

/// The members of a serialized object, in their order.
pub(super) struct Members<'a>(pub(super) &'a RawValue);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members: Pairs<'_> = serde_json::from_str(self.0.get()).map_err(ser::Error::custom)?;
        serializer.collect_map(members.0)
    }
}

struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// The envelope of a bad answer.
#[derive(Serialize)]
pub(super) struct Bad<'a> {
    pub(super) success: bool,
    pub(super) error: &'a RawValue,
    pub(super) build: &'a RawValue,
    pub(super) stats: Stats<'a>,
}

/// The members of `error` in a bad answer.
#[derive(Serialize)]
pub(super) struct ErrorBody<'a> {
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(super) details: &'a Map<String, serde_json::Value>,
    pub(super) major: Major<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) minor: Option<Minor<'a>>,
}

/// The class of an error with its message.
#[derive(Serialize)]
pub(super) struct Major<'a> {
    pub(super) message: Message<'a>,
    pub(super) tag: ErrorTag,
}

/// A message in each language.
#[derive(Serialize)]
pub(super) struct Message<'a> {
    #[serde(rename = "en_US")]
    pub(super) en_us: &'a str,
}

/// The cause within the class of an error.
#[derive(Serialize)]
pub(super) struct Minor<'a> {
    pub(super) tag: &'a str,
}

/// The build of the server that answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct Build {
    build_major: &'static str,
    build_minor: &'static str,
    /// `<WEEKDAY>-<unix seconds of the build>`.
    build_id: String,
}

impl Build {
    /// The build of this program as JSON, the same in every answer.
    pub fn current() -> &'static RawValue {
        static WRITTEN: LazyLock<Box<RawValue>> = LazyLock::new(|| {
            let seconds = env!("METARECORD_BUILD_SECONDS").parse().unwrap_or(0);
            let time =
                chrono::DateTime::<chrono::Utc>::from_timestamp(seconds, 0).unwrap_or_default();
            let build = Build {
                build_major: env!("CARGO_PKG_VERSION_MAJOR"),
                build_minor: env!("CARGO_PKG_VERSION_MINOR"),
                build_id: format!("{}-{seconds}", time.format("%a")).to_uppercase(),
            };
            // Texts: writing them to memory cannot fail.
            to_raw_value(&build).unwrap_or_else(|_| RawValue::NULL.to_owned())
        });
        &WRITTEN
    }
}

/// Facts about the call itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stats<'a> {
    /// Method and path without the service prefix, such as `POST /doom`.
    pub call: &'a str,
    /// The service, such as `mrs`.
    pub service: &'a str,
    /// Equal to the header `X-Request-Id`.
    pub request_id: &'a str,
    /// Time of the answer.
    #[schema(format = DateTime)]
    pub timestamp_utc: String,
    /// From the request's head to the answer.
    pub latency_ms: u64,
    /// Bytes of the request body.
    pub bandwidth_in_bytes: usize,
    /// Bytes of the serialized `data` or `error`.
    pub bandwidth_out_bytes: usize,
    /// The tenant, when known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orgcode: Option<&'a str>,
    /// The cost centre, when known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cccode: Option<&'a str>,
    /// The `actor` that the caller gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<&'a str>,
    /// Names the session without revealing it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_fingerprint: Option<&'a str>,
    /// Names the key without revealing it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_fingerprint: Option<&'a str>,
    /// The same as the envelope's `build`.
    #[schema(inline, value_type = Build)]
    pub build: &'a RawValue,
}

impl Stats<'_> {
    /// Appends them as JSON: the same bytes that a serializer makes of them.
    pub(super) fn push(&self, out: &mut Vec<u8>) {
        let text = |out: &mut Vec<u8>, name: &[u8], text: &str| {
            out.extend_from_slice(name);
            push_text(out, text);
        };
        let number = |out: &mut Vec<u8>, name: &[u8], number: u64| {
            out.extend_from_slice(name);
            push_number(out, number);
        };
        text(out, b"{\"call\":", self.call);
        text(out, b",\"service\":", self.service);
        text(out, b",\"request_id\":", self.request_id);
        text(out, b",\"timestamp_utc\":", &self.timestamp_utc);
        number(out, b",\"latency_ms\":", self.latency_ms);
        let (bytes_in, bytes_out) = (self.bandwidth_in_bytes, self.bandwidth_out_bytes);
        number(out, b",\"bandwidth_in_bytes\":", bytes_in as u64);
        number(out, b",\"bandwidth_out_bytes\":", bytes_out as u64);
        let named = [
            (b",\"orgcode\":".as_slice(), self.orgcode),
            (b",\"cccode\":", self.cccode),
            (b",\"actor\":", self.actor),
            (b",\"session_fingerprint\":", self.session_fingerprint),
            (b",\"api_key_fingerprint\":", self.api_key_fingerprint),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                text(out, name, value);
            }
        }
        out.extend_from_slice(b",\"build\":");
        out.extend_from_slice(self.build.get().as_bytes());
        out.push(b'}');
    }
}

/// A good answer, before its envelope. It may hold a secret that is shown once, so its `Debug` shows its length.
pub struct Reply {
    /// The member `data`, as JSON.
    pub data: Vec<u8>,
    /// The revision of the one record in it.
    pub revision: Option<Revision>,
    /// It is the first answer to a request that came again.
    pub replayed: bool,
    /// The fields of `data` are repeated next to the envelope's own.
    pub flat: bool,
    /// Instead of `data`, events that are sent as they come.
    pub events: Option<EventStream>,
}

/// Server-Sent Events as they are written to a connection.
pub type EventStream = LocalBoxStream<'static, Result<Bytes, actix_web::Error>>;

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reply({} bytes)", self.data.len())
    }
}

impl Reply {
    /// A reply of anything serializable.
    ///
    /// # Errors
    /// [`Refusal::Failed`] when it cannot be serialized.
    pub fn of(data: &impl Serialize) -> Result<Self, Refusal> {
        let data = serde_json::to_vec(data).map_err(Refusal::failed)?;
        Ok(Self::of_json(data))
    }

    /// A reply that is written already.
    pub(super) fn of_json(data: Vec<u8>) -> Self {
        Self {
            data,
            revision: None,
            replayed: false,
            flat: false,
            events: None,
        }
    }

    /// The reply that shows one record, with JSON of its content where there is some.
    pub(super) fn of_record(key: &RecordKey, record: &Record, content: Option<&[u8]>) -> Self {
        let bytes = TYPICAL_JSON_BYTES + content.map_or(0, <[u8]>::len);
        let mut data = Vec::with_capacity(bytes);
        data.push(b'{');
        record.push_members(key, &mut data);
        if let Some(content) = content {
            data.extend_from_slice(b",\"content\":");
            data.extend_from_slice(content);
        }
        data.push(b'}');
        Self::of_json(data).at(record.revision)
    }

    /// A reply of events.
    pub fn of_events(events: EventStream) -> Self {
        Self {
            events: Some(events),
            ..Self::of_json(b"null".to_vec())
        }
    }

    /// The same answer for a repeated request.
    pub fn again(mut self) -> Self {
        self.replayed = true;
        self
    }

    /// The same answer with a revision.
    pub fn at(mut self, revision: Revision) -> Self {
        self.revision = Some(revision);
        self
    }

    /// The same with its fields also next to the envelope's own.
    pub fn flat(mut self) -> Self {
        self.flat = true;
        self
    }
}

/// A bad answer, before its envelope.
#[derive(Debug)]
pub enum Refusal {
    /// A rule said no.
    Rejected {
        /// The tag, message and details.
        rejection: Rejection,
        /// It is the first answer to a request that came again.
        replayed: bool,
    },
    /// Something that must not fail did. The error is for the operator alone, with what caused it.
    Failed(Box<dyn Error + Send + Sync>),
}

impl Refusal {
    /// A failure, logged for the operator with all its causes.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected {
            rejection,
            replayed: false,
        }
    }
}

impl From<crate::projections::StoreError> for Refusal {
    fn from(error: crate::projections::StoreError) -> Self {
        Self::failed(error)
    }
}

impl From<crate::journal::JournalError> for Refusal {
    fn from(error: crate::journal::JournalError) -> Self {
        Self::failed(error)
    }
}

impl From<crate::offload::TaskFailed> for Refusal {
    fn from(error: crate::offload::TaskFailed) -> Self {
        Self::failed(error)
    }
}

impl From<crate::actors::Refused> for Refusal {
    fn from(refused: crate::actors::Refused) -> Self {
        use crate::actors::Refused;
        match refused {
            Refused::Rejected {
                rejection,
                replayed,
            } => Self::Rejected {
                rejection,
                replayed,
            },
            Refused::Busy => throttled().into(),
            Refused::Unavailable => unavailable().into(),
            Refused::Failed(error) => Self::failed(error),
        }
    }
}

/// 429: too much is waiting already.
pub fn throttled() -> Rejection {
    Rejection::new(
        ErrorTag::Throttled,
        "Too many requests are waiting; the request was not processed.",
    )
    .to_be_repeated_in(RETRY_AFTER_SECONDS)
}

/// 503: the journal takes no writes.
pub fn unavailable() -> Rejection {
    Rejection::new(
        ErrorTag::Unavailable,
        "Changes cannot be accepted right now; try again later with the same idempotency_key.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os_error::describe;

    #[test]
    fn a_failure_keeps_what_caused_it_for_the_log() {
        let no_room = std::io::Error::from_raw_os_error(28);
        let error = crate::journal::JournalError::Io {
            action: "writing",
            place: "the log".to_owned(),
            source: std::sync::Arc::new(no_room),
        };
        let Refusal::Failed(error) = Refusal::from(error) else {
            panic!("it is a failure");
        };
        let text = describe(&*error);
        assert!(
            text.starts_with("writing failed in the log: No space left"),
            "{text}"
        );
    }

    #[test]
    fn facts_about_a_call_are_written_as_a_serializer_writes_them() {
        let stats = |value| Stats {
            call: "POST /doom",
            service: "mrs",
            request_id: "r \"1\"",
            timestamp_utc: "2027-01-15T08:00:00.123Z".to_owned(),
            latency_ms: 1,
            bandwidth_in_bytes: 23,
            bandwidth_out_bytes: 456,
            orgcode: value,
            cccode: value,
            actor: value,
            session_fingerprint: value,
            api_key_fingerprint: value,
            build: Build::current(),
        };
        for value in [None, Some("a\n\u{1}\"é")] {
            let mut written = Vec::new();
            stats(value).push(&mut written);
            let written = String::from_utf8(written).unwrap();
            assert_eq!(written, serde_json::to_string(&stats(value)).unwrap());
        }
    }

    #[test]
    fn a_flat_answer_has_its_members_twice_and_in_their_order() {
        let data: &RawValue = serde_json::from_str(r#"{"z":1,"a":"é","m":{"y":2,"b":3}}"#).unwrap();
        let flat = serde_json::to_string(&Members(data)).unwrap();
        assert_eq!(flat, data.get());
    }
}
