//! A record under another name: what is copied of its source, and when it can be.

use uuid::Uuid;

use super::{ContentPlace, NewContent, Record, RecordEvent, RecordKey, Status};
use crate::domain::hold::Kept;
use crate::domain::{Context, ErrorTag, Rejection, Revision};

/// What to create a record of: another one of the same org. Tags, cost centre and due time are those of the source; holds
/// and earlier versions are not copied.
#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    /// The record that is copied.
    pub source: RecordKey,
    /// The source's revision that the caller saw, if that matters.
    pub expected: Option<Revision>,
    /// Where uploaded content is already a second time; inline content comes as the request's payload.
    pub object: Option<CopiedObject>,
    /// The source as the container's actor sees it; whoever sends the command leaves it out.
    pub seen: Option<Box<Source>>,
}

/// The proof that the content store has an object with the bytes of another. Only the program itself makes one: a copy cannot
/// claim an object that was never duplicated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopiedObject {
    from: Uuid,
    object_id: Uuid,
}

impl CopiedObject {
    /// An object, and the new one with its bytes.
    pub(crate) fn new(from: Uuid, object_id: Uuid) -> Self {
        Self { from, object_id }
    }

    /// Id of the object that the copy gets.
    pub fn object_id(&self) -> Uuid {
        self.object_id
    }
}

/// A record that is copied, as it is at the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// State of the record that is copied.
    pub record: Record,
    /// The legal hold on its container or org.
    pub legal: Option<Kept>,
}

impl Copy {
    /// What happens to a name that no record has.
    ///
    /// # Errors
    /// `not-found` or `doomed` of the source, `invalid-state` while it has no content, `conflict` when it is not what was
    /// seen.
    pub(super) fn decide(&self, context: &Context) -> Result<Vec<RecordEvent>, Rejection> {
        let seen = self.seen.as_ref().ok_or_else(Rejection::not_found)?;
        let record = &seen.record;
        check_source(record, seen.legal.as_ref(), context)?;
        if self.expected.is_some_and(|seen| seen != record.revision) {
            return Err(changed(record));
        }
        let content = match (record.content.place, self.object) {
            (ContentPlace::Inline(_), None) => NewContent::Inline {
                size: record.content.size,
                md5: record.content.md5,
            },
            (ContentPlace::Object(from), Some(object)) if object.from == from => {
                NewContent::Upload {
                    content_type: record.content.content_type.clone(),
                    size: record.content.size,
                    md5: record.content.md5,
                    object_id: object.object_id,
                    expires_at: context.now,
                }
            }
            (ContentPlace::Inline(_) | ContentPlace::Object(_), _) => return Err(changed(record)),
        };
        let completed = self.object.map(|object| RecordEvent::UploadCompleted {
            object_id: object.object_id,
            sha256: record.content.sha256,
            decoded: record.content.decoded,
        });
        let created = RecordEvent::Created {
            cccode: record.cccode.clone(),
            tags: record.tags.clone(),
            doom_at: record.doom_at,
            content,
        };
        Ok(std::iter::once(created).chain(completed).collect())
    }

    /// The refusal when the source is not what was copied.
    pub fn changed(&self) -> Rejection {
        self.seen
            .as_ref()
            .map_or_else(Rejection::not_found, |seen| changed(&seen.record))
    }

    /// The refusal of a name that a record has or had.
    pub(super) fn taken(&self, there: &Record) -> Rejection {
        let same = self.seen.as_ref().is_some_and(|seen| {
            let content = |record: &Record| (record.content.size, record.content.md5);
            // The source itself is no copy of it.
            *there != seen.record
                && content(there) == content(&seen.record)
                && there.tags == seen.record.tags
        });
        Rejection::new(
            ErrorTag::Conflict,
            "There is or was a record with the new name; copy to another name.",
        )
        .with_minor("to_record_id")
        .with_detail("revision", there.revision.0)
        .already_there_if(same)
    }
}

impl Record {
    /// Whether it has content that can be copied, as far as it tells by itself.
    pub fn can_be_copied(&self) -> bool {
        self.status == Status::Active
    }
}

/// Checks that a record can be copied: it is in use, and has content.
fn check_source(record: &Record, legal: Option<&Kept>, context: &Context) -> Result<(), Rejection> {
    if record.doomed_by(context.now, legal) {
        return Err(Rejection::new(
            ErrorTag::Doomed,
            "The record to copy is doomed, which is final.",
        ));
    }
    match record.status {
        Status::PendingUpload => Err(Rejection::new(
            ErrorTag::InvalidState,
            "The record to copy has no content yet; complete its upload first.",
        )),
        Status::Active | Status::Doomed => Ok(()),
    }
}

/// The refusal when the source is not what was copied, or not what the caller saw.
fn changed(record: &Record) -> Rejection {
    Rejection::new(
        ErrorTag::Conflict,
        "The record to copy has changed since; read it and copy it again.",
    )
    .with_minor("expected_revision")
    .with_detail("revision", record.revision.0)
}
