//! One record's life: pending upload, active, doomed; and what may be done to it when.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::names::TAGS_MAX;
use super::{
    CcCode, ContainerName, Context, Decider, ErrorTag, Md5, Occurrence, OrgCode, RecordId,
    Rejection, Revision, Tag, Timestamp,
};

/// Most bytes of inline content (MRS overview: "payload <= 256 KB").
pub const INLINE_BYTES_MAX: usize = 262_144;
/// Most bytes of uploaded content, gzipped (MRS overview: "hard cap 128 MB").
pub const OBJECT_BYTES_MAX: u64 = 134_217_728;
/// The only content type that may be inline.
pub const INLINE_CONTENT_TYPE: &str = "application/json";

/// Names one record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordKey {
    /// The tenant.
    pub org: OrgCode,
    /// The container.
    pub container: ContainerName,
    /// The id within the container.
    pub record_id: RecordId,
}

/// Where a record is in its life.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Created; its content has not been completed yet.
    PendingUpload,
    /// In use.
    Active,
    /// Retired for good.
    Doomed,
}

impl Status {
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
    /// Its org left.
    Offboarding,
}

/// Content as a put brings it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewContent {
    /// JSON that lies beside the entry.
    Inline {
        /// Bytes.
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

/// Content as a record has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The media type.
    pub content_type: String,
    /// Bytes as stored.
    pub size: u64,
    /// MD5 of the bytes as stored.
    pub md5: Md5,
    /// 1 for a record's first content, one more with each put.
    pub version: u64,
    /// Where the bytes are.
    pub place: ContentPlace,
}

/// Where content lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContentPlace {
    /// Beside the journal entry at this position (0 while that entry is on its way).
    Inline(u64),
    /// In the content store.
    Object(Uuid),
}

/// A name and the record that may be there: all that a decision about a record looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The name.
    pub key: RecordKey,
    /// The record, once it was created.
    pub record: Option<Record>,
}

/// A record as its events made it. Its name is known from where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The cost centre it was put under.
    pub cccode: Option<CcCode>,
    /// Where it is in its life.
    pub status: Status,
    /// How often it changed; equals its stream's version.
    pub revision: Revision,
    /// The current content; while pending, the promised one.
    pub content: Content,
    /// An upload that has been promised and not completed.
    pub upload: Option<PendingUpload>,
    /// Sorted, without repeats.
    pub tags: Vec<Tag>,
    /// When it dooms itself.
    pub doom_at: Option<Timestamp>,
    /// First event.
    pub created_at: Timestamp,
    /// Last event.
    pub updated_at: Timestamp,
    /// Who created it.
    pub created_by: String,
    /// Who changed it last.
    pub updated_by: String,
    /// How it ended, once it has.
    pub doom: Option<Doom>,
}

/// The end of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doom {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub cause: DoomCause,
    /// The caller's words.
    pub reason: Option<String>,
}

/// An upload on its way: what will become the content when it is completed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingUpload {
    /// The content it will be.
    pub content: Content,
    /// When it was promised.
    pub since: Timestamp,
    /// Until when the upload url works.
    pub expires_at: Timestamp,
}

/// What can happen to a record; each is one revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum RecordEvent {
    /// The record came to be.
    #[serde(rename = "record.created")]
    Created {
        /// The cost centre.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cccode: Option<CcCode>,
        /// Its tags.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tags: Vec<Tag>,
        /// When it dooms itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        doom_at: Option<Timestamp>,
        /// Its first content.
        content: NewContent,
    },
    /// Other content was put over it. Absent fields stay as they were.
    #[serde(rename = "record.replaced")]
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
        /// The new content.
        content: NewContent,
    },
    /// The promised upload is there and became the content.
    #[serde(rename = "record.upload_completed")]
    UploadCompleted {
        /// The object.
        object_id: Uuid,
    },
    /// Tags were added.
    #[serde(rename = "record.tags_added")]
    TagsAdded {
        /// Those it did not have.
        tags: Vec<Tag>,
    },
    /// Tags were removed.
    #[serde(rename = "record.tags_removed")]
    TagsRemoved {
        /// Those it had.
        tags: Vec<Tag>,
    },
    /// The due time was set or cleared.
    #[serde(rename = "record.ttl_set")]
    TtlSet {
        /// The new due time; `None` for never.
        doom_at: Option<Timestamp>,
    },
    /// The record ended.
    #[serde(rename = "record.doomed")]
    Doomed {
        /// From when on it counts as doomed.
        doomed_at: Timestamp,
        /// Why.
        cause: DoomCause,
        /// The caller's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// What somebody may ask of one record.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordCommand {
    /// Create it, or put other content over it.
    Put(Put),
    /// Make a promised upload the content.
    Complete(Complete),
    /// Add tags.
    AddTags {
        /// At least one.
        tags: Vec<Tag>,
        /// The revision the caller saw.
        expected: Option<Revision>,
    },
    /// Remove tags.
    RemoveTags {
        /// At least one.
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
    /// End it.
    Doom {
        /// The caller's words.
        reason: Option<String>,
        /// The revision the caller saw.
        expected: Option<Revision>,
    },
    /// End it if its time has come (the sweep; nothing happens otherwise).
    DoomIfDue,
}

/// A put, with every field checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Put {
    /// The record.
    pub key: RecordKey,
    /// The cost centre.
    pub cccode: Option<CcCode>,
    /// The set of tags; `None` leaves those of an existing record as they are.
    pub tags: Option<Vec<Tag>>,
    /// The due time; `None` leaves that of an existing record as it is.
    pub doom_at: Option<Timestamp>,
    /// The content.
    pub content: NewContent,
    /// The revision the caller saw; needed over an existing record.
    pub expected: Option<Revision>,
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
    /// The content version it is to become, when the caller says.
    pub content_version: Option<u64>,
    /// The revision the caller saw; optional, because the token already names one upload.
    pub expected: Option<Revision>,
}

/// Decides for records.
pub struct RecordDecider;

impl Decider for RecordDecider {
    type Command = RecordCommand;
    type State = Slot;
    type Event = RecordEvent;

    fn decide(
        slot: &Slot,
        command: &RecordCommand,
        context: &Context,
    ) -> Result<Vec<RecordEvent>, Rejection> {
        let Some(record) = &slot.record else {
            return match command {
                RecordCommand::Put(put) => create(put, context),
                RecordCommand::DoomIfDue => Ok(Vec::new()),
                RecordCommand::Complete(_)
                | RecordCommand::AddTags { .. }
                | RecordCommand::RemoveTags { .. }
                | RecordCommand::SetTtl { .. }
                | RecordCommand::Doom { .. } => Err(Rejection::not_found()),
            };
        };
        if let RecordCommand::DoomIfDue = command {
            return Ok(due_event(record, context.now).into_iter().collect());
        }
        if record.doomed_by(context.now) {
            return Err(Rejection::new(
                ErrorTag::Doomed,
                "The record is doomed, which is final; create another record.",
            ));
        }
        let current = Current {
            key: &slot.key,
            record,
        };
        match command {
            RecordCommand::Put(put) => current.replace(put, context),
            RecordCommand::Complete(complete) => current.complete(complete),
            RecordCommand::AddTags { tags, expected } => current.add_tags(tags, *expected),
            RecordCommand::RemoveTags { tags, expected } => current.remove_tags(tags, *expected),
            RecordCommand::SetTtl { doom_at, expected } => {
                current.expect(*expected)?;
                check_doom_at(*doom_at, context.now)?;
                Ok(vec![RecordEvent::TtlSet { doom_at: *doom_at }])
            }
            RecordCommand::Doom { reason, expected } => {
                current.expect(*expected)?;
                Ok(vec![RecordEvent::Doomed {
                    doomed_at: context.now,
                    cause: DoomCause::Request,
                    reason: reason.clone(),
                }])
            }
            RecordCommand::DoomIfDue => Ok(Vec::new()),
        }
    }

    fn evolve(mut slot: Slot, event: &RecordEvent, occurrence: Occurrence<'_>) -> Slot {
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
}

/// A living record under decision, with its name for the answer to a stale caller.
struct Current<'a> {
    key: &'a RecordKey,
    record: &'a Record,
}

impl Current<'_> {
    fn expect(&self, expected: Option<Revision>) -> Result<(), Rejection> {
        let current = self.record.revision;
        match expected {
            Some(expected) if expected == current => Ok(()),
            Some(_) => {
                let view = serde_json::to_value(self.record.view(self.key)).unwrap_or(Value::Null);
                Err(Rejection::new(
                    ErrorTag::Conflict,
                    "The record has changed since; read it and try again with its current revision.",
                )
                .with_detail("current", view)
                .with_detail("revision", current.0))
            }
            None => Err(Rejection::new(
                ErrorTag::ExpectedRevisionRequired,
                "Changing an existing record needs expected_revision, the revision you last read.",
            )
            .with_detail("revision", current.0)),
        }
    }

    fn replace(&self, put: &Put, context: &Context) -> Result<Vec<RecordEvent>, Rejection> {
        self.expect(put.expected)?;
        check_tag_count(put.tags.as_deref().unwrap_or_default())?;
        check_doom_at(put.doom_at, context.now)?;
        Ok(vec![RecordEvent::Replaced {
            cccode: put.cccode.clone(),
            tags: put.tags.clone().map(sorted),
            doom_at: put.doom_at,
            content: put.content.clone(),
        }])
    }

    fn add_tags(
        &self,
        tags: &[Tag],
        expected: Option<Revision>,
    ) -> Result<Vec<RecordEvent>, Rejection> {
        self.expect(expected)?;
        let has = |tag: &&Tag| self.record.tags.contains(tag);
        let new = sorted(tags.iter().filter(|tag| !has(tag)).cloned().collect());
        if self.record.tags.len() + new.len() > TAGS_MAX {
            return Err(too_many_tags());
        }
        Ok(if new.is_empty() {
            Vec::new()
        } else {
            vec![RecordEvent::TagsAdded { tags: new }]
        })
    }

    fn remove_tags(
        &self,
        tags: &[Tag],
        expected: Option<Revision>,
    ) -> Result<Vec<RecordEvent>, Rejection> {
        self.expect(expected)?;
        let has = |tag: &&Tag| self.record.tags.contains(tag);
        let gone = sorted(tags.iter().filter(has).cloned().collect());
        Ok(if gone.is_empty() {
            Vec::new()
        } else {
            vec![RecordEvent::TagsRemoved { tags: gone }]
        })
    }

    fn complete(&self, complete: &Complete) -> Result<Vec<RecordEvent>, Rejection> {
        if let Some(expected) = complete.expected {
            self.expect(Some(expected))?;
        }
        let place = ContentPlace::Object(complete.object_id);
        let pending = self
            .record
            .upload
            .as_ref()
            .filter(|upload| upload.content.place == place);
        let done = Some(&self.record.content)
            .filter(|content| content.place == place && pending.is_none());
        let Some(promised) = pending.map(|upload| &upload.content).or(done) else {
            return Err(Rejection::new(
                ErrorTag::InvalidContentToken,
                "The content token belongs to an upload that a later put has replaced.",
            ));
        };
        if complete
            .content_version
            .is_some_and(|version| version != promised.version)
        {
            return Err(Rejection::field(
                "version",
                "The upload is to become another content version.",
            )
            .with_detail("version", promised.version));
        }
        let Some(uploaded_size) = complete.uploaded_size else {
            return Err(Rejection::new(
                ErrorTag::Md5Missing,
                "Nothing has been uploaded to compare with; put the gzip bytes to the upload url first.",
            ));
        };
        if complete.size != uploaded_size {
            return Err(Rejection::new(
                ErrorTag::SizeMismatch,
                "size is not the number of bytes that were uploaded.",
            )
            .with_detail("uploaded_size", uploaded_size));
        }
        if complete.md5 != promised.md5 {
            return Err(Rejection::new(
                ErrorTag::Md5Mismatch,
                "content_md5 is not the MD5 of the bytes that were uploaded.",
            )
            .with_detail("uploaded_md5", promised.md5.to_string()));
        }
        Ok(if pending.is_some() {
            vec![RecordEvent::UploadCompleted {
                object_id: complete.object_id,
            }]
        } else {
            Vec::new()
        })
    }
}

impl Record {
    fn created(
        cccode: &Option<CcCode>,
        tags: &[Tag],
        doom_at: Option<Timestamp>,
        content: &NewContent,
        occurrence: Occurrence<'_>,
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
        };
        record.take(content, 1, occurrence);
        record
    }

    /// Takes new content in: inline content counts at once, an upload when it is completed.
    fn take(&mut self, content: &NewContent, version: u64, occurrence: Occurrence<'_>) {
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

    fn change(&mut self, event: &RecordEvent, occurrence: Occurrence<'_>) {
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
            RecordEvent::UploadCompleted { .. } => {
                if let Some(upload) = self.upload.take() {
                    self.content = upload.content;
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
        }
    }

    /// Whether it counts as doomed at a time, whether or not the sweep has journaled it yet.
    pub fn doomed_by(&self, now: Timestamp) -> bool {
        self.status == Status::Doomed || due_event(self, now).is_some()
    }

    /// The record as it reads at a time: one whose due time has passed reads as doomed already, exactly as it will
    /// once the sweep has journaled it.
    pub fn as_of(mut self, now: Timestamp) -> Self {
        if let Some(event) = due_event(&self, now) {
            self.revision = Revision(self.revision.0 + 1);
            SWEEP.clone_into(&mut self.updated_by);
            let occurrence = Occurrence {
                at: now,
                by: SWEEP,
                position: 0,
                version: self.revision.0,
            };
            self.change(&event, occurrence);
        }
        self
    }

    /// The record as callers see it.
    pub fn view<'a>(&'a self, key: &'a RecordKey) -> RecordView<'a> {
        let (content_kind, object) = match self.content.place {
            ContentPlace::Inline(_) => (ContentKind::Inline, false),
            ContentPlace::Object(_) => (ContentKind::Object, true),
        };
        RecordView {
            record_id: key.record_id.as_str(),
            container: key.container.as_str(),
            orgcode: key.org.as_str(),
            cccode: self.cccode.as_ref().map(CcCode::as_str),
            status: self.status,
            revision: self.revision,
            content_type: &self.content.content_type,
            content_kind,
            content_encoding: object.then_some("gzip"),
            content_size: self.content.size,
            content_md5: self.content.md5.to_string(),
            content_etag: object.then(|| format!("\"{}\"", self.content.md5)),
            content_version: self.content.version,
            tags: self.tags.iter().map(Tag::as_str).collect(),
            doom_at: self.doom_at.map(|at| at.to_string()),
            created_at: self.created_at.to_string(),
            updated_at: self.updated_at.to_string(),
            doomed_at: self.doom.as_ref().map(|doom| doom.at.to_string()),
            doom_cause: self.doom.as_ref().map(|doom| doom.cause),
            doom_reason: self.doom.as_ref().and_then(|doom| doom.reason.as_deref()),
            created_by: &self.created_by,
            updated_by: &self.updated_by,
        }
    }
}

/// The name under which the sweep dooms records whose time has come.
pub const SWEEP: &str = "job:ttl-sweep";

impl NewContent {
    fn stored(&self, version: u64, position: u64) -> Content {
        match self {
            Self::Inline { size, md5 } => Content {
                content_type: INLINE_CONTENT_TYPE.to_owned(),
                size: *size,
                md5: *md5,
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
                version,
                place: ContentPlace::Object(*object_id),
            },
        }
    }
}

/// Whether content is JSON in the answer or an object to download.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContentKind {
    /// JSON in the answer.
    Inline,
    /// Gzip to download.
    Object,
}

/// A record as callers see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Record)]
pub struct RecordView<'a> {
    /// Its id within the container.
    #[schema(max_length = 128)]
    record_id: &'a str,
    /// Its container.
    container: &'a str,
    /// Its tenant.
    orgcode: &'a str,
    /// The cost centre it was put under.
    #[serde(skip_serializing_if = "Option::is_none")]
    cccode: Option<&'a str>,
    /// Where it is in its life.
    status: Status,
    /// 1 when created, one more with each change.
    #[schema(value_type = u64, minimum = 1)]
    revision: Revision,
    /// The content's media type, before gzip.
    content_type: &'a str,
    /// Whether the content comes in the answer or as a download.
    content_kind: ContentKind,
    /// `gzip` for downloads.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<&'static str>,
    /// Bytes as stored.
    content_size: u64,
    /// MD5 in hex of the bytes as stored.
    content_md5: String,
    /// The download's `ETag`.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_etag: Option<String>,
    /// 1 for the first content, one more with each put.
    content_version: u64,
    /// Sorted, upper case.
    tags: Vec<&'a str>,
    /// When it dooms itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    doom_at: Option<String>,
    /// When it was created.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it last changed.
    #[schema(format = DateTime)]
    updated_at: String,
    /// From when on it is doomed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    doomed_at: Option<String>,
    /// Why it was doomed.
    #[serde(skip_serializing_if = "Option::is_none")]
    doom_cause: Option<DoomCause>,
    /// The caller's words on why.
    #[serde(skip_serializing_if = "Option::is_none")]
    doom_reason: Option<&'a str>,
    /// Who created it.
    created_by: &'a str,
    /// Who changed it last.
    updated_by: &'a str,
}

fn create(put: &Put, context: &Context) -> Result<Vec<RecordEvent>, Rejection> {
    if put.expected.is_some() {
        let mut rejection = Rejection::new(
            ErrorTag::Conflict,
            "expected_revision was given, but there is no such record; leave it out to create one.",
        );
        rejection.details = Map::from_iter([
            ("current".to_owned(), Value::Null),
            ("revision".to_owned(), Value::Null),
        ]);
        return Err(rejection);
    }
    let tags = put.tags.clone().unwrap_or_default();
    check_tag_count(&tags)?;
    check_doom_at(put.doom_at, context.now)?;
    Ok(vec![RecordEvent::Created {
        cccode: put.cccode.clone(),
        tags: sorted(tags),
        doom_at: put.doom_at,
        content: put.content.clone(),
    }])
}

fn due_event(record: &Record, now: Timestamp) -> Option<RecordEvent> {
    let due = record.doom_at.filter(|due| *due <= now)?;
    (record.status != Status::Doomed).then_some(RecordEvent::Doomed {
        doomed_at: due,
        cause: DoomCause::Ttl,
        reason: None,
    })
}

fn check_doom_at(doom_at: Option<Timestamp>, now: Timestamp) -> Result<(), Rejection> {
    match doom_at {
        Some(at) if at <= now => Err(Rejection::new(
            ErrorTag::InvalidDoomAt,
            "doom_at must be in the future; to end the record now, use doom.",
        )),
        Some(_) | None => Ok(()),
    }
}

fn check_tag_count(tags: &[Tag]) -> Result<(), Rejection> {
    if sorted(tags.to_vec()).len() > TAGS_MAX {
        Err(too_many_tags())
    } else {
        Ok(())
    }
}

fn too_many_tags() -> Rejection {
    Rejection::new(
        ErrorTag::InvalidTag,
        format!("A record carries at most {TAGS_MAX} tags; remove some first."),
    )
    .with_minor("too-many-tags")
}

fn sorted(mut tags: Vec<Tag>) -> Vec<Tag> {
    tags.sort_unstable();
    tags.dedup();
    tags
}
