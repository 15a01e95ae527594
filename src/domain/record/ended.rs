//! Content that is not a record's content any more: what a change ended, and how long that is kept.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Content, ContentPlace, DoomCause, PendingUpload, Record, RecordEvent, Status};
use crate::domain::Timestamp;
use crate::domain::hold::Kept as Held;

/// Content that ended, or was never completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The content; of an upload that was given up, the promised one.
    pub content: Content,
    /// Time from which it is no current content.
    pub until: Timestamp,
    /// What ended the content.
    pub by: EndedBy,
}

/// Why a content is no longer current.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// Other content took its place.
    Replaced,
    /// The record was doomed.
    Doomed,
    /// It was promised and never completed.
    Abandoned,
}

/// What content that ended is, by how long it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It was never readable.
    Leftover,
    /// It was a record's current content.
    Version,
}

impl Class {
    /// Both classes, leftovers first.
    pub const ALL: [Self; 2] = [Self::Leftover, Self::Version];
}

impl EndedBy {
    /// The class of content that ended so.
    pub fn class(self) -> Class {
        match self {
            Self::Replaced | Self::Doomed => Class::Version,
            Self::Abandoned => Class::Leftover,
        }
    }
}

/// How long content is kept after it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Earlier versions and the content of doomed records, in milliseconds (MRS overview: 365 days).
    pub versions_ms: i64,
    /// For content that was never readable, such as an upload that was given up, in milliseconds (MRS overview: 90 days).
    pub leftovers_ms: i64,
}

impl Retention {
    /// Until when content that ended at a time is kept at least.
    pub fn kept_until(&self, by: EndedBy, until: Timestamp) -> Timestamp {
        until.plus_millis(self.of(by.class()))
    }

    /// How long content of a class is kept, in milliseconds.
    pub fn of(&self, class: Class) -> i64 {
        match class {
            Class::Version => self.versions_ms,
            Class::Leftover => self.leftovers_ms,
        }
    }
}

/// Timeouts of pending uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadTimeouts {
    /// The time from the promise on, in milliseconds.
    pub upload_ms: i64,
    /// How long after its upload url it can still be completed, in milliseconds.
    pub complete_ms: i64,
}

impl PendingUpload {
    /// From when on it is given up: never while it could still be completed.
    pub fn given_up_at(&self, patience: UploadTimeouts) -> Timestamp {
        let waited = self.since.plus_millis(patience.upload_ms);
        waited.max(self.expires_at.plus_millis(patience.complete_ms))
    }
}

impl Record {
    /// Whether it waits for exactly this upload.
    pub fn waits_for(&self, object_id: Uuid) -> bool {
        let place = ContentPlace::Object(object_id);
        let upload = self.upload.as_ref();
        upload.is_some_and(|upload| upload.content.place == place)
    }

    /// Whether an object is its content by now.
    pub fn has_object(&self, object_id: Uuid) -> bool {
        self.content.place == ContentPlace::Object(object_id) && !self.waits_for(object_id)
    }

    /// What a change ended that led from `before` to this: its content, an upload, or both.
    pub fn ended_since(&self, before: &Self) -> impl Iterator<Item = Ended> + use<> {
        let until = self.updated_at;
        let moved = self.content.place != before.content.place;
        let by = match self.status {
            Status::Doomed => Some(EndedBy::Doomed),
            Status::Active | Status::PendingUpload => moved.then_some(EndedBy::Replaced),
        };
        let content = by.filter(|_| before.status == Status::Active);
        let content = content.map(|by| Ended {
            content: before.content.clone(),
            until,
            by,
        });
        let upload = before.upload.as_ref().filter(|upload| {
            let place = upload.content.place;
            let completed = self.status == Status::Active && self.content.place == place;
            let waits = self.upload.as_ref();
            !completed && waits.is_none_or(|waits| waits.content.place != place)
        });
        let upload = upload.map(|upload| Ended {
            content: upload.content.clone(),
            until,
            by: EndedBy::Abandoned,
        });
        content.into_iter().chain(upload)
    }
}

/// The end of a record whose first content never came.
pub(super) fn abandoned_event(
    record: &Record,
    legal: Option<&Held>,
    patience: UploadTimeouts,
    now: Timestamp,
) -> Option<RecordEvent> {
    let held = record.kept(legal).is_some();
    // One whose own time has come is the sweep's.
    if held || record.status != Status::PendingUpload || record.doomed_by(now, legal) {
        return None;
    }
    let upload = record.upload.as_ref()?;
    (upload.given_up_at(patience) <= now).then_some(RecordEvent::Doomed {
        doomed_at: now,
        cause: DoomCause::Abandoned,
        reason: None,
    })
}
