//! What a record is after each event, and how it reads at a time.

use super::{
    Content, ContentPlace, Doom, DoomCause, INLINE_CONTENT_TYPE, NewContent, PendingUpload, Record,
    RecordEvent, RecordState, Status,
};
use crate::domain::hold::{Hold, Kept, Level};
use crate::domain::{CcCode, EventMeta, Revision, Tag, Timestamp};

/// The name under which the sweep dooms records whose time has come.
pub const SWEEP: &str = "job:ttl-sweep";

/// The slot after an event. Total: an event once written is always accepted.
pub(super) fn evolve(
    mut slot: RecordState,
    event: &RecordEvent,
    occurrence: EventMeta<'_>,
) -> RecordState {
    let before = slot.record.take();
    slot.record = match (before, event) {
        (
            None,
            RecordEvent::Created {
                cccode,
                tags,
                doom_at,
                content,
            },
        ) => Some(Record::created(cccode, tags, *doom_at, content, occurrence)),
        // A first event that is not a creation cannot be written; read back, it leaves nothing.
        (None, _) => None,
        (Some(mut record), event) => {
            record.change(event, occurrence);
            record.revision = Revision(occurrence.version);
            occurrence.by.clone_into(&mut record.updated_by);
            Some(record)
        }
    };
    slot
}

impl Record {
    fn created(
        cccode: &Option<CcCode>,
        tags: &[Tag],
        doom_at: Option<Timestamp>,
        content: &NewContent,
        occurrence: EventMeta<'_>,
    ) -> Self {
        let first = content.stored(1, occurrence.position);
        let mut record = Self {
            cccode: cccode.clone(),
            status: Status::PendingUpload,
            revision: Revision(occurrence.version),
            content: first,
            upload: None,
            tags: tags.to_vec(),
            doom_at,
            created_at: occurrence.at,
            updated_at: occurrence.at,
            created_by: occurrence.by.to_owned(),
            updated_by: occurrence.by.to_owned(),
            doom: None,
            hold: None,
        };
        record.take(content, 1, occurrence);
        record
    }

    /// Takes new content in: inline content counts at once, an upload when it is completed.
    fn take(&mut self, content: &NewContent, version: u64, occurrence: EventMeta<'_>) {
        let stored = content.stored(version, occurrence.position);
        match content {
            NewContent::Inline { .. } => {
                self.content = stored;
                self.upload = None;
                self.status = Status::Active;
            }
            NewContent::Upload { expires_at, .. } => {
                if self.status == Status::PendingUpload {
                    self.content = stored.clone();
                }
                self.upload = Some(PendingUpload {
                    content: stored,
                    since: occurrence.at,
                    expires_at: *expires_at,
                });
            }
        }
    }

    fn change(&mut self, event: &RecordEvent, occurrence: EventMeta<'_>) {
        self.updated_at = occurrence.at;
        match event {
            RecordEvent::Created { content, .. } => {
                self.take(content, self.content.version + 1, occurrence);
            }
            RecordEvent::Replaced {
                cccode,
                tags,
                doom_at,
                content,
            } => {
                if cccode.is_some() {
                    self.cccode.clone_from(cccode);
                }
                if let Some(tags) = tags {
                    self.tags.clone_from(tags);
                }
                self.doom_at = doom_at.or(self.doom_at);
                let pending = self.status == Status::PendingUpload;
                let version = self.content.version + u64::from(!pending);
                self.take(content, version, occurrence);
            }
            RecordEvent::UploadCompleted {
                sha256, decoded, ..
            } => {
                if let Some(upload) = self.upload.take() {
                    self.content = Content {
                        sha256: *sha256,
                        decoded: *decoded,
                        ..upload.content
                    };
                    self.status = Status::Active;
                }
            }
            RecordEvent::TagsAdded { tags } => {
                self.tags.extend(tags.iter().cloned());
                self.tags = sorted(std::mem::take(&mut self.tags));
            }
            RecordEvent::TagsRemoved { tags } => self.tags.retain(|tag| !tags.contains(tag)),
            RecordEvent::TtlSet { doom_at } => self.doom_at = *doom_at,
            RecordEvent::Doomed {
                doomed_at,
                cause,
                reason,
            } => {
                self.status = Status::Doomed;
                self.upload = None;
                self.updated_at = *doomed_at;
                self.doom = Some(Doom {
                    at: *doomed_at,
                    cause: *cause,
                    reason: reason.clone(),
                });
            }
            RecordEvent::HoldSet { reason } => {
                self.hold = Some(Hold::set(self.hold.as_ref(), reason, occurrence));
            }
            RecordEvent::HoldReleased {} => self.hold = None,
        }
    }

    /// What keeps it: its own hold, else a legal one.
    pub fn kept(&self, legal: Option<&Kept>) -> Option<Kept> {
        let own = self.hold.as_ref();
        let own = own.map(|hold| Kept::by(Level::Record, hold));
        own.or_else(|| legal.cloned())
    }

    /// Whether its time has come and only a legal hold can keep it.
    pub fn is_due(&self, now: Timestamp) -> bool {
        due_event(self, None, now).is_some()
    }

    /// Whether it counts as doomed at a time, whether or not the sweep has journaled it yet. While it is held it does
    /// not, even when its time has passed.
    pub fn doomed_by(&self, now: Timestamp, legal: Option<&Kept>) -> bool {
        self.status == Status::Doomed || due_event(self, legal, now).is_some()
    }

    /// The record as it reads at a time: one whose due time has passed and that nothing holds reads as doomed already,
    /// exactly as it will once the sweep has journaled it.
    pub fn as_of(mut self, now: Timestamp, legal: Option<&Kept>) -> Self {
        if let Some(event) = due_event(&self, legal, now) {
            self.revision = Revision(self.revision.0 + 1);
            SWEEP.clone_into(&mut self.updated_by);
            let occurrence = EventMeta {
                at: now,
                by: SWEEP,
                actor: None,
                position: 0,
                version: self.revision.0,
            };
            self.change(&event, occurrence);
        }
        self
    }
}

impl NewContent {
    pub(crate) fn stored(&self, version: u64, position: u64) -> Content {
        match self {
            Self::Inline { size, md5 } => Content {
                content_type: INLINE_CONTENT_TYPE.to_owned(),
                size: *size,
                md5: *md5,
                sha256: None,
                decoded: None,
                version,
                place: ContentPlace::Inline(position),
            },
            Self::Upload {
                content_type,
                size,
                md5,
                object_id,
                ..
            } => Content {
                content_type: content_type.clone(),
                size: *size,
                md5: *md5,
                sha256: None,
                decoded: None,
                version,
                place: ContentPlace::Object(*object_id),
            },
        }
    }
}

/// What the sweep will journal of a record at a time, when its own has come.
pub(super) fn due_event(
    record: &Record,
    legal: Option<&Kept>,
    now: Timestamp,
) -> Option<RecordEvent> {
    let due = record.doom_at.filter(|due| *due <= now)?;
    let ends = record.status != Status::Doomed && record.kept(legal).is_none();
    ends.then_some(RecordEvent::Doomed {
        // One that was held past its time ends when the hold does, which was its last change.
        doomed_at: due.max(record.updated_at),
        cause: DoomCause::Ttl,
        reason: None,
    })
}

pub(super) fn sorted(mut tags: Vec<Tag>) -> Vec<Tag> {
    tags.sort_unstable();
    tags.dedup();
    tags
}
