//! One record's life: pending upload, active, doomed; and what may be done to it when.

mod changes;
mod check;
mod copy;
mod decide;
mod ended;
mod evolve;
mod inline;
mod json;
mod status;
#[cfg(test)]
mod tests;
mod view;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::declare::events;
use super::hold::{self, Hold, Kept};
use super::{CcCode, Md5, Rejection, Revision, Sha256Digest, Tag, Timestamp};

pub use super::names::RecordKey;
pub use changes::{FieldChange, of_events};
pub use check::{check_content_type, check_upload_size};
pub use copy::{CopiedObject, Copy, Source};
pub use decide::{RecordDecider, not_waited_for, would_complete};
pub use ended::{Class, Ended, EndedBy, Retention, UploadTimeouts};
pub use evolve::SWEEP;
pub use inline::InlineJson;
pub use json::TYPICAL_JSON_BYTES;
pub use view::{ContentKind, RecordView};

/// Most bytes of inline content (MRS overview: "payload <= 256 KB").
pub const INLINE_BYTES_MAX: usize = 262_144;
/// Most bytes of uploaded content, gzipped (MRS overview: "hard cap 128 MB").
pub const OBJECT_BYTES_MAX: u64 = 134_217_728;
/// The only content type that may be inline.
pub const INLINE_CONTENT_TYPE: &str = "application/json";

/// The status of a record.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Created; its content has not been completed yet.
    PendingUpload,
    /// Readable, and open to changes.
    Active,
    /// Ended for good; only its history can be read.
    Doomed,
}

impl Status {
    /// Every status there is.
    pub const ALL: &'static [Self] = &[Self::PendingUpload, Self::Active, Self::Doomed];

    /// The text callers see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PendingUpload => "pending_upload",
            Self::Active => "active",
            Self::Doomed => "doomed",
        }
    }
}

/// Why a record was doomed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DoomCause {
    /// Somebody asked for it.
    Request,
    /// Its time had come.
    Ttl,
    /// Its upload was never completed.
    Abandoned,
    /// Ended because its org was offboarded.
    Offboarding,
}

impl DoomCause {
    /// The text callers see.
    fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Ttl => "ttl",
            Self::Abandoned => "abandoned",
            Self::Offboarding => "offboarding",
        }
    }
}

/// Content as a put brings it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewContent {
    /// JSON, which is the entry's payload; `application/json`.
    Inline {
        /// Size in bytes, as stored.
        size: u64,
        /// MD5 of the bytes.
        md5: Md5,
    },
    /// Gzip that the caller will upload and complete.
    Upload {
        /// The content's own media type, before gzip.
        content_type: String,
        /// Bytes of gzip the caller promised.
        size: u64,
        /// MD5 of the gzip the caller promised.
        md5: Md5,
        /// The object it will be.
        object_id: Uuid,
        /// Until when the upload url works.
        expires_at: Timestamp,
    },
}

/// What the gzip of an upload decodes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decoded {
    /// Size of the decoded bytes.
    pub size: u64,
    /// MD5 of the decoded bytes.
    pub md5: Md5,
}

/// Content as a record has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Media type that the caller gave (RFC 9110, 8.3.1).
    pub content_type: String,
    /// Size in bytes as stored, gzipped for uploads.
    pub size: u64,
    /// MD5 of the bytes as stored.
    pub md5: Md5,
    /// SHA-256 of the bytes as received, of an upload that was completed since this is journaled; inline content is covered by
    /// the journal's own chain of hashes.
    pub sha256: Option<Sha256Digest>,
    /// What the gzip of an upload decodes to, if it was completed since this is journaled.
    pub decoded: Option<Decoded>,
    /// 1 for a record's first content, one more with each put.
    pub version: u64,
    /// Where the bytes are.
    pub place: ContentPlace,
}

/// Where the bytes of a content are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContentPlace {
    /// As the payload of the journal entry at this position (0 until that entry is written).
    #[serde(rename = "position")]
    Inline(u64),
    /// In the content store.
    #[serde(rename = "object_id")]
    Object(Uuid),
}

/// A name and the record that may be there: all that a decision about a record reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordState {
    /// Org, container and record id.
    pub key: RecordKey,
    /// The record, once it was created.
    pub record: Option<Record>,
    /// The legal hold on its container or org, as far as the decision has to know of it.
    pub legal: Option<Kept>,
}

impl RecordState {
    /// Sets the place of inline content whose entry was still on its way.
    pub fn set_inline_position(&mut self, position: u64) {
        if let Some(record) = &mut self.record
            && record.content.place == ContentPlace::Inline(0)
        {
            record.content.place = ContentPlace::Inline(position);
        }
    }

    /// The version of the record's stream; 0 before it is created.
    pub fn version(&self) -> u64 {
        self.record.as_ref().map_or(0, |record| record.revision.0)
    }
}

/// A record built from its events. Its name is known from where it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The cost centre it was put under.
    pub cccode: Option<CcCode>,
    /// Whether it is in use, waits for an upload, or ended.
    pub status: Status,
    /// The number of its changes; equals its stream's version.
    pub revision: Revision,
    /// The current content; while pending, the promised one.
    pub content: Content,
    /// An upload that has been promised and not completed.
    pub upload: Option<PendingUpload>,
    /// Tags in ascending order, each once.
    pub tags: Vec<Tag>,
    /// The time at which the record dooms itself.
    pub doom_at: Option<Timestamp>,
    /// Time of the first event.
    pub created_at: Timestamp,
    /// Time of the last event.
    pub updated_at: Timestamp,
    /// Public id of the principal that created it.
    pub created_by: String,
    /// Who changed it last.
    pub updated_by: String,
    /// The facts of its end, once it is doomed.
    pub doom: Option<Doom>,
    /// Its owners' hold on it.
    pub hold: Option<Hold>,
}

/// The end of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doom {
    /// Time at which the record ended.
    pub at: Timestamp,
    /// What ended it: a caller, its due time, or its org.
    pub cause: DoomCause,
    /// Reason in the caller's words, if given.
    pub reason: Option<String>,
}

/// A pending upload: what will become the content when it is completed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingUpload {
    /// The content it will be.
    pub content: Content,
    /// When it was promised.
    pub since: Timestamp,
    /// Until when the upload url works.
    pub expires_at: Timestamp,
}

events! {
    /// What can happen to a record; each is one revision.
    pub enum RecordEvent {
        /// The record begins, at revision 1: active with inline content, `pending_upload` with a promised upload.
        #[event("record.created", 1)]
        Created {
            /// Cost centre, if the caller gave one.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            cccode: Option<CcCode>,
            /// Tags in ascending order, each once.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            tags: Vec<Tag>,
            /// The time at which the record dooms itself.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            doom_at: Option<Timestamp>,
            /// Content of version 1.
            content: NewContent,
        },
        /// Other content was put over it. Inline content counts at once and drops a promised upload; a promised upload takes the
        /// place of an earlier promise, and the content so far stays until it is completed. Absent fields stay as they were.
        #[event("record.replaced", 1)]
        Replaced {
            /// The new cost centre.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            cccode: Option<CcCode>,
            /// The new set of tags.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            tags: Option<Vec<Tag>>,
            /// The new due time.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            doom_at: Option<Timestamp>,
            /// Content of the next version; of version 1 again while the record is `pending_upload`.
            content: NewContent,
        },
        /// The promised upload is there and is the content now; the record is active.
        #[event("record.upload_completed", 3)]
        UploadCompleted {
            /// Id of the content file.
            object_id: Uuid,
            /// SHA-256 of its bytes as they were received; absent in events of schema version 1.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            sha256: Option<Sha256Digest>,
            /// What its gzip decodes to; absent in events of schema versions 1 and 2.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            decoded: Option<Decoded>,
        },
        /// Tags were added, each new to the record.
        #[event("record.tags_added", 1)]
        TagsAdded {
            /// The added tags, without those it had already.
            tags: Vec<Tag>,
        },
        /// Tags were removed, each of which it had.
        #[event("record.tags_removed", 1)]
        TagsRemoved {
            /// The removed tags, in ascending order.
            tags: Vec<Tag>,
        },
        /// The due time was set or cleared.
        #[event("record.ttl_set", 1)]
        TtlSet {
            /// The new due time; `null` for never.
            doom_at: Option<Timestamp>,
        },
        /// The record ended for good; a promised upload is dropped, content stays as it was. Its `updated_at` is `doomed_at`.
        #[event("record.doomed", 1)]
        Doomed {
            /// The time from which it counts as doomed.
            doomed_at: Timestamp,
            /// What ended it: a caller, its due time, or its org.
            cause: DoomCause,
            /// Reason in the caller's words, if given.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            reason: Option<String>,
        },
        /// Nothing may remove the record or its content from now on; over a hold, the hold has another reason and the same
            /// beginning.
        #[event("record.hold_set", 1)]
        HoldSet {
            /// The caller's reason for the hold.
            reason: String,
        },
        /// Its own hold is over; a legal hold on its container or org may go on.
        #[event("record.hold_released", 1)]
        HoldReleased {},
    }
}

/// The commands on one record.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordCommand {
    /// Create it, or put other content over it.
    Put(Put),
    /// Create it with the content of another record.
    Copy(Copy),
    /// Make a promised upload the content.
    Complete(Complete),
    /// Keep the bytes of an upload that has just ended: nothing happens, and it is refused when the record does not wait
    /// for the upload any more.
    KeepUpload {
        /// The object of the upload url.
        object_id: Uuid,
    },
    /// Adds tags; those it has already change nothing.
    AddTags {
        /// At least one tag.
        tags: Vec<Tag>,
        /// The revision the caller saw.
        expected: Option<Revision>,
    },
    /// Removes tags; those it lacks change nothing.
    RemoveTags {
        /// At least one tag.
        tags: Vec<Tag>,
        /// The revision the caller saw.
        expected: Option<Revision>,
    },
    /// Set or clear the due time.
    SetTtl {
        /// The new due time; `None` for never.
        doom_at: Option<Timestamp>,
        /// The revision the caller saw.
        expected: Option<Revision>,
    },
    /// Ends the record for good.
    Doom {
        /// Reason in the caller's words, if given.
        reason: Option<String>,
        /// The revision the caller saw.
        expected: Option<Revision>,
    },
    /// End it if its time has come (the sweep; nothing happens otherwise).
    DoomIfDue,
    /// End it if the upload of its first content was given up (nothing happens otherwise).
    DoomIfAbandoned(UploadTimeouts),
    /// Have nothing remove it or its content.
    SetHold {
        /// The caller's reason for the hold.
        reason: String,
        /// The revision the caller saw.
        expected: Option<Revision>,
    },
    /// Releases the record's own hold.
    ReleaseHold {
        /// The revision the caller saw.
        expected: Option<Revision>,
    },
}

impl RecordCommand {
    /// Whether what it says, with this payload, can be carried out at all, whatever record there is.
    ///
    /// # Errors
    /// The rejection that HTTP callers get, with the name of the field.
    pub fn check(&self, payload: Option<&InlineJson>) -> Result<(), Rejection> {
        match self {
            Self::Put(put) => {
                put.content.check()?;
                return put.content.check_payload(payload);
            }
            // Held against the source when that is looked at.
            Self::Copy(_) => return Ok(()),
            Self::AddTags { tags, .. } | Self::RemoveTags { tags, .. } => check::some_tags(tags)?,
            Self::SetHold { reason, .. } => drop(hold::reason(Some(reason))?),
            Self::Doom { reason, .. } => check::check_reason(reason.as_deref())?,
            Self::Complete(_)
            | Self::KeepUpload { .. }
            | Self::SetTtl { .. }
            | Self::DoomIfDue
            | Self::DoomIfAbandoned(_)
            | Self::ReleaseHold { .. } => {}
        }
        check::no_payload(payload)
    }

    /// Whether it removes a record: such a command checks legal holds, and is decided again when they have changed.
    pub fn removes(&self) -> bool {
        match self {
            Self::Doom { .. } | Self::DoomIfDue | Self::DoomIfAbandoned(_) => true,
            Self::Put(_)
            | Self::Copy(_)
            | Self::Complete(_)
            | Self::KeepUpload { .. }
            | Self::AddTags { .. }
            | Self::RemoveTags { .. }
            | Self::SetTtl { .. }
            | Self::SetHold { .. }
            | Self::ReleaseHold { .. } => false,
        }
    }

    /// Whether it sets or releases a hold.
    pub fn is_about_a_hold(&self) -> bool {
        matches!(self, Self::SetHold { .. } | Self::ReleaseHold { .. })
    }
}

/// A put. [`RecordCommand::check`] looks at each of its fields before anything is decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Put {
    /// Cost centre, if the caller gave one.
    pub cccode: Option<CcCode>,
    /// The set of tags; `None` leaves those of an existing record as they are.
    pub tags: Option<Vec<Tag>>,
    /// The due time; `None` leaves that of an existing record as it is.
    pub doom_at: Option<Timestamp>,
    /// Content to store, inline or to be uploaded.
    pub content: NewContent,
    /// The revision the caller saw; needed over an existing record.
    pub expected: Option<Revision>,
}

/// The proof that the content store has fixed an upload as its object. Only the program itself makes one, of what the store
/// answered: a completion cannot claim bytes that were never uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedObject {
    object_id: Uuid,
    size: u64,
    sha256: Sha256Digest,
    decoded: Option<Decoded>,
}

impl SealedObject {
    /// An object with its stored bytes' size and SHA-256, and what they decode to, when they do.
    pub(crate) fn new(
        object_id: Uuid,
        size: u64,
        sha256: Sha256Digest,
        decoded: Option<Decoded>,
    ) -> Self {
        Self {
            object_id,
            size,
            sha256,
            decoded,
        }
    }
}

/// A completion, with what the content store knows gathered beforehand.
#[derive(Clone, Debug, PartialEq)]
pub struct Complete {
    /// The object of the content token.
    pub object_id: Uuid,
    /// Bytes, as the caller says.
    pub size: u64,
    /// MD5, as the caller says.
    pub md5: Md5,
    /// Bytes of the checked upload in the content store; `None` when there is none.
    pub uploaded_size: Option<u64>,
    /// The upload as the content store has fixed it; `None` while it has not, which only a repeated completion may say.
    pub sealed: Option<SealedObject>,
    /// The content version it is to become, when the caller says.
    pub content_version: Option<u64>,
    /// The revision the caller saw; optional, because the token already names one upload.
    pub expected: Option<Revision>,
}
