//! One entry of the history as a line of an export, and back.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::object_of;
use crate::domain::container::Idempotency;
use crate::domain::record::{NewContent, RecordEvent};
use crate::domain::{Event, Md5, OrgCode, Sha256Digest, StreamId, Timestamp};
use crate::journal::entry::{decode_event, is_well_formed, write_event};
use crate::journal::{Append, Entry, JournalError, Origin, Position, Remarks, Source, Version};

/// One entry of an org's history.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventLine {
    /// Its position in the journal it comes from.
    pub position: Position,
    /// When that journal wrote it, in milliseconds.
    pub recorded_at: Timestamp,
    /// Stream of the entry, such as `mrs/DEMO/notes/n-1`.
    pub stream: StreamId,
    /// The stream's version with it.
    pub version: Version,
    /// Its events, each as its journal wrote it.
    pub events: Vec<Box<RawValue>>,
    /// The time of the decision, in milliseconds.
    pub at: Timestamp,
    /// Public id of the principal that caused it.
    pub by: String,
    /// Id of the request that caused it.
    pub request_id: String,
    /// The entry point: gateway, operators or a job.
    pub source: Source,
    /// The caller's own remarks.
    #[serde(default, skip_serializing_if = "Remarks::is_empty")]
    pub remarks: Remarks,
    /// Names the request, when it may come twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<Idempotency>,
    /// The inline content of the entry, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

/// Whether a stream is one of those that are exported with an org: its records, its containers, and the org itself. Service
/// accounts stay, because their keys are known by hashes that only their own server can make; the stream of the
/// offboarding stays with the server that executed it.
pub fn leaves_with(org: &OrgCode, stream: &str) -> bool {
    let mut parts = stream.split('/');
    match (parts.next(), parts.next()) {
        (Some("mrs"), Some(code)) => code == org.as_str(),
        (Some("ofm"), Some(code)) => code == org.as_str() && parts.next().is_none(),
        _ => false,
    }
}

/// Why a line of an export cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// An event cannot be decoded.
    #[error("an event cannot be read")]
    Event(#[from] JournalError),
    /// The line does not fit its org, its stream or its events.
    #[error("{stream} version {version}")]
    Line {
        /// The stream that the line names.
        stream: StreamId,
        /// The version that the line names.
        version: u64,
        /// The fault found first.
        #[source]
        fault: LineFault,
    },
}

/// The fault of a line that does not fit its org, its stream or its events.
#[derive(Debug, thiserror::Error)]
pub enum LineFault {
    /// The stream belongs to another org, or to none.
    #[error("the stream is none of the org's")]
    OtherOrg,
    /// The version is 0, or the time is out of range.
    #[error("it has no version, or a time that cannot be")]
    VersionOrTime,
    /// An event is of another kind of stream.
    #[error("an event is of another kind of stream")]
    OtherKind,
    /// The inline content is not base64.
    #[error("its inline content is not base64")]
    NotBase64(#[source] base64::DecodeError),
    /// The inline content has another size or MD5 than its event names.
    #[error("its inline content does not have the MD5 it was put with")]
    OtherMd5,
    /// An event names inline content, and the line has none.
    #[error("its inline content is missing")]
    ContentMissing,
    /// The line has inline content, and no event names any.
    #[error("it has inline content that no event names")]
    ContentUnnamed,
    /// There is no event, or more inline content than an entry may have.
    #[error("it has no event, or too much inline content")]
    Size,
}

impl EventLine {
    /// The line of an entry; `None` when it was erased.
    ///
    /// # Errors
    /// [`JournalError`] when an event cannot be serialized.
    pub fn of(entry: &Entry, payload: Option<&Bytes>) -> Result<Option<Self>, JournalError> {
        let Some(body) = &entry.body else {
            return Ok(None);
        };
        let mut events = Vec::with_capacity(body.events.len());
        for event in &body.events {
            events.push(raw(event).map_err(|error| JournalError::Damaged {
                place: format!("position {}", entry.header.position),
                what: error.to_string(),
            })?);
        }
        Ok(Some(Self {
            position: entry.header.position,
            recorded_at: entry.header.recorded_at,
            stream: body.stream.clone(),
            version: body.version,
            events,
            at: body.origin.at,
            by: body.origin.by.clone(),
            request_id: body.origin.request_id.clone(),
            source: body.origin.source,
            remarks: body.origin.remarks.clone(),
            idempotency: body.idempotency.clone(),
            payload: payload.map(|bytes| STANDARD.encode(bytes)),
        }))
    }

    /// Decodes the entry's events.
    ///
    /// # Errors
    /// [`LineError::Event`] for the first event that cannot be decoded.
    pub fn decoded(&self) -> Result<Vec<Event>, LineError> {
        let place = format!("{} version {}", self.stream, self.version);
        let events = self.events.iter();
        let events = events.map(|event| decode_event(event.get(), &place));
        Ok(events.collect::<Result<_, _>>()?)
    }

    /// What another journal is to write, so that the stream is there as it is here: the same times, callers and
    /// remarks, but for the entry point, which is [`Source::Import`].
    ///
    /// # Errors
    /// [`LineError`]: another org's stream, an event of another kind of stream, inline content that is not what its
    /// event says.
    pub fn append(&self, org: &OrgCode) -> Result<Append, LineError> {
        let wrong = |fault: LineFault| LineError::Line {
            stream: self.stream.clone(),
            version: self.version,
            fault,
        };
        if !leaves_with(org, self.stream.as_str()) {
            return Err(wrong(LineFault::OtherOrg));
        }
        if self.version == 0 || Timestamp::from_millis(self.at.millis()) != self.at {
            return Err(wrong(LineFault::VersionOrTime));
        }
        let events = self.decoded()?;
        if !events.iter().all(|event| self.may_hold(event)) {
            return Err(wrong(LineFault::OtherKind));
        }
        let payload = match &self.payload {
            None => None,
            Some(text) => {
                let bytes = STANDARD.decode(text);
                let bytes = bytes.map_err(|error| wrong(LineFault::NotBase64(error)))?;
                Some(Bytes::from(bytes))
            }
        };
        check_payload(&events, payload.as_ref()).map_err(wrong)?;
        let append = Append {
            stream: self.stream.clone(),
            expected: self.version - 1,
            guards: Vec::new(),
            events,
            payload,
            idempotency: self.idempotency.clone(),
            origin: Origin {
                at: self.at,
                by: self.by.clone(),
                request_id: self.request_id.clone(),
                source: Source::Import,
                remarks: self.remarks.clone(),
            },
        };
        if is_well_formed(&append) {
            Ok(append)
        } else {
            Err(wrong(LineFault::Size))
        }
    }

    fn may_hold(&self, event: &Event) -> bool {
        let record = self.stream.record_key().is_some();
        let mrs = self.stream.as_str().starts_with("mrs/");
        match event {
            Event::Record(_) => record,
            Event::Container(_) => mrs && self.stream.as_str().split('/').count() == 3,
            Event::Org(_) => !mrs,
            Event::User(_)
            | Event::Account(_)
            | Event::Secret(_)
            | Event::Maintenance(_)
            | Event::Vacuum(_)
            | Event::Job(_)
            | Event::OperatorToken(_)
            | Event::Jwt(_)
            | Event::SigningKey(_)
            | Event::OperatorAct(_)
            | Event::Clock(_)
            | Event::Offboarding(_) => false,
        }
    }
}

/// The content that an event brings.
pub(crate) fn content_of(event: &Event) -> Option<&NewContent> {
    match event {
        Event::Record(
            RecordEvent::Created { content, .. } | RecordEvent::Replaced { content, .. },
        ) => Some(content),
        Event::Record(_)
        | Event::Container(_)
        | Event::Org(_)
        | Event::User(_)
        | Event::Account(_)
        | Event::Secret(_)
        | Event::Maintenance(_)
        | Event::Vacuum(_)
        | Event::Job(_)
        | Event::OperatorToken(_)
        | Event::Jwt(_)
        | Event::SigningKey(_)
        | Event::OperatorAct(_)
        | Event::Clock(_)
        | Event::Offboarding(_) => None,
    }
}

/// The objects that events bring, each with its promised size and MD5.
pub(crate) fn objects_of(events: &[Event]) -> impl Iterator<Item = (uuid::Uuid, u64, Md5)> {
    let contents = events.iter().filter_map(content_of);
    contents.filter_map(object_of)
}

/// The objects that became content, each with the SHA-256 in its event.
pub(crate) fn completed_objects(
    events: &[Event],
) -> impl Iterator<Item = (uuid::Uuid, Sha256Digest)> {
    events.iter().filter_map(|event| match event {
        Event::Record(RecordEvent::UploadCompleted {
            object_id, sha256, ..
        }) => sha256.map(|sha256| (*object_id, sha256)),
        Event::Record(_)
        | Event::Container(_)
        | Event::Org(_)
        | Event::User(_)
        | Event::Account(_)
        | Event::Secret(_)
        | Event::Maintenance(_)
        | Event::Vacuum(_)
        | Event::Job(_)
        | Event::Offboarding(_)
        | Event::OperatorToken(_)
        | Event::Jwt(_)
        | Event::SigningKey(_)
        | Event::OperatorAct(_)
        | Event::Clock(_) => None,
    })
}

/// Inline content is there exactly when an event says so, and is what the event says.
fn check_payload(events: &[Event], payload: Option<&Bytes>) -> Result<(), LineFault> {
    let mut inline = events
        .iter()
        .filter_map(content_of)
        .filter_map(|content| match content {
            NewContent::Inline { size, md5 } => Some((*size, *md5)),
            NewContent::Upload { .. } => None,
        });
    match (inline.next(), payload) {
        (None, None) => Ok(()),
        (Some(promised), Some(bytes)) if promised == (bytes.len() as u64, Md5::of(bytes)) => Ok(()),
        (Some(_), Some(_)) => Err(LineFault::OtherMd5),
        (Some(_), None) => Err(LineFault::ContentMissing),
        (None, Some(_)) => Err(LineFault::ContentUnnamed),
    }
}

fn raw(event: &Event) -> Result<Box<RawValue>, serde_json::Error> {
    let mut text = Vec::new();
    write_event(&mut text, event)?;
    serde_json::from_slice(&text)
}
