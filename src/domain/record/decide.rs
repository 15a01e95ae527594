//! What may be done to a record when.

use serde_json::{Map, Value};

use super::ended::abandoned_event;
use super::evolve::{due_event, evolve, sorted};
use super::{
    Complete, ContentPlace, DoomCause, NewContent, Put, Record, RecordCommand, RecordEvent,
    RecordKey, RecordState, SealedObject, Status,
};
use crate::domain::hold::{Hold, Kept};
use crate::domain::names::TAGS_MAX;
use crate::domain::{
    Aggregate, Context, Decider, ErrorTag, EventMeta, Rejection, Revision, StreamId, Tag, Timestamp,
};

/// Rules of a record's stream.
pub struct RecordDecider;

impl Decider for RecordDecider {
    type Command = RecordCommand;
    type State = RecordState;
    type Event = RecordEvent;

    fn decide(
        slot: &RecordState,
        command: &RecordCommand,
        context: &Context,
    ) -> Result<Vec<RecordEvent>, Rejection> {
        let Some(record) = &slot.record else {
            return match command {
                RecordCommand::Put(put) => create(put, context),
                RecordCommand::Copy(copy) => copy.decide(context),
                RecordCommand::DoomIfDue | RecordCommand::DoomIfAbandoned(_) => Ok(Vec::new()),
                RecordCommand::Complete(_)
                | RecordCommand::KeepUpload { .. }
                | RecordCommand::AddTags { .. }
                | RecordCommand::RemoveTags { .. }
                | RecordCommand::SetTtl { .. }
                | RecordCommand::Doom { .. }
                | RecordCommand::SetHold { .. }
                | RecordCommand::ReleaseHold { .. } => Err(Rejection::not_found()),
            };
        };
        if let RecordCommand::Copy(copy) = command {
            return Err(copy.taken(record));
        }
        let legal = slot.legal.as_ref();
        if let RecordCommand::DoomIfDue = command {
            return Ok(due_event(record, legal, context.now).into_iter().collect());
        }
        if let RecordCommand::DoomIfAbandoned(patience) = command {
            let event = abandoned_event(record, legal, *patience, context.now);
            return Ok(event.into_iter().collect());
        }
        // The content of a doomed record is kept for a time, and a hold keeps it longer.
        let ended = record.status == Status::Doomed;
        if record.doomed_by(context.now, legal) && !(ended && command.is_about_a_hold()) {
            let doomed = Rejection::new(
                ErrorTag::Doomed,
                "The record is doomed, which is final; create another record.",
            );
            let asked = matches!(command, RecordCommand::Doom { .. });
            return Err(doomed.already_there_if(asked));
        }
        let current = Current {
            key: &slot.key,
            record,
            command: Some(command),
        };
        current.change(command, legal, context)
    }

    fn evolve(slot: RecordState, event: &RecordEvent, occurrence: EventMeta<'_>) -> RecordState {
        evolve(slot, event, occurrence)
    }
}

impl Aggregate for RecordDecider {
    fn initial(stream: &StreamId) -> Option<RecordState> {
        Some(RecordState {
            key: stream.record_key()?,
            record: None,
            legal: None,
        })
    }

    fn version(state: &RecordState) -> u64 {
        state.version()
    }
}

/// A living record under decision, with its name for the answer to a stale caller.
struct Current<'a> {
    key: &'a RecordKey,
    record: &'a Record,
    command: Option<&'a RecordCommand>,
}

impl Current<'_> {
    /// What a command leads to that a record in use takes.
    fn change(
        &self,
        command: &RecordCommand,
        legal: Option<&Kept>,
        context: &Context,
    ) -> Result<Vec<RecordEvent>, Rejection> {
        let record = self.record;
        match command {
            RecordCommand::Put(put) => self.replace(put, context),
            RecordCommand::Complete(complete) => self.complete(complete),
            RecordCommand::KeepUpload { object_id } => {
                if record.waits_for(*object_id) {
                    Ok(Vec::new())
                } else {
                    let there = record.has_object(*object_id);
                    Err(not_waited_for().already_there_if(there))
                }
            }
            RecordCommand::AddTags { tags, expected } => self.add_tags(tags, *expected),
            RecordCommand::RemoveTags { tags, expected } => self.remove_tags(tags, *expected),
            RecordCommand::SetTtl { doom_at, expected } => {
                self.expect(*expected)?;
                check_doom_at(*doom_at, context.now)?;
                let event = RecordEvent::TtlSet { doom_at: *doom_at };
                Ok(only_if(record.doom_at != *doom_at, event))
            }
            RecordCommand::Doom { reason, expected } => {
                self.expect(*expected)?;
                if let Some(kept) = record.kept(legal) {
                    return Err(kept.refusal());
                }
                Ok(vec![RecordEvent::Doomed {
                    doomed_at: context.now,
                    cause: DoomCause::Request,
                    reason: reason.clone(),
                }])
            }
            RecordCommand::Copy(_)
            | RecordCommand::DoomIfDue
            | RecordCommand::DoomIfAbandoned(_) => Ok(Vec::new()),
            RecordCommand::SetHold { reason, expected } => {
                self.expect(*expected)?;
                let same = |hold: &Hold| hold.reason == *reason;
                let event = RecordEvent::HoldSet {
                    reason: reason.clone(),
                };
                Ok(only_if(!record.hold.as_ref().is_some_and(same), event))
            }
            RecordCommand::ReleaseHold { expected } => {
                self.expect(*expected)?;
                Ok(only_if(record.hold.is_some(), RecordEvent::HoldReleased {}))
            }
        }
    }

    fn expect(&self, expected: Option<Revision>) -> Result<(), Rejection> {
        let current = self.record.revision;
        match expected {
            Some(expected) if expected == current => Ok(()),
            Some(_) => {
                let view = serde_json::to_value(self.record.view(self.key)).unwrap_or(Value::Null);
                let message = if self.is_as_asked() {
                    "The record has changed since, and is already what this request asks for: a repeated request has nothing left to do."
                } else {
                    "The record has changed since; read it and try again with its current revision."
                };
                Err(self
                    .refusal(ErrorTag::Conflict, message)
                    .with_detail("current", view))
            }
            None => {
                let message = if self.is_as_asked() {
                    "The record exists, and is already what this request asks for: a repeated request has nothing left to do."
                } else {
                    "Changing an existing record needs expected_revision, the revision you last read."
                };
                Err(self.refusal(ErrorTag::ExpectedRevisionRequired, message))
            }
        }
    }

    fn is_as_asked(&self) -> bool {
        self.command
            .is_some_and(|command| self.record.is_as_asked(command))
    }

    fn refusal(&self, tag: ErrorTag, message: &str) -> Rejection {
        Rejection::new(tag, message)
            .already_there_if(self.is_as_asked())
            .with_detail("revision", self.record.revision.0)
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
        if !self.check_complete(complete)? {
            return Ok(Vec::new());
        }
        let own = |sealed: &SealedObject| sealed.object_id == complete.object_id;
        match complete.sealed.filter(own) {
            Some(sealed) => Ok(vec![RecordEvent::UploadCompleted {
                object_id: complete.object_id,
                sha256: Some(sealed.sha256),
                decoded: sealed.decoded,
            }]),
            None => Err(Rejection::new(
                ErrorTag::Md5Missing,
                "The record was changed while its upload was checked; complete it again.",
            )),
        }
    }

    fn is_content(&self, place: ContentPlace) -> bool {
        self.record.content.place == place
    }

    /// Whether the upload still has to be completed, once everything that is said of it holds.
    fn check_complete(&self, complete: &Complete) -> Result<bool, Rejection> {
        let place = ContentPlace::Object(complete.object_id);
        let pending = self
            .record
            .upload
            .as_ref()
            .filter(|upload| upload.content.place == place);
        if let Some(expected) = complete.expected
            // The token names the upload: once that is the content, an earlier revision is the one read before it.
            && (pending.is_some() || expected > self.record.revision || !self.is_content(place))
        {
            self.expect(Some(expected))?;
        }
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
        let sealed_size = complete.sealed.map(|sealed| sealed.size);
        let Some(uploaded_size) = sealed_size.or(complete.uploaded_size) else {
            return Err(Rejection::new(
                ErrorTag::Md5Missing,
                "Nothing has been uploaded to compare with; upload the gzip bytes to the upload URL first.",
            ));
        };
        if complete.size != uploaded_size || uploaded_size != promised.size {
            return Err(Rejection::new(
                ErrorTag::SizeMismatch,
                "size is not the number of bytes that were uploaded; send that of the gzip.",
            )
            .with_detail("uploaded_size", uploaded_size));
        }
        if complete.md5 != promised.md5 {
            return Err(Rejection::new(
                ErrorTag::Md5Mismatch,
                "content_md5 is not the MD5 of the bytes that were uploaded; send that of the gzip.",
            )
            .with_detail("uploaded_md5", promised.md5.to_string()));
        }
        Ok(pending.is_some())
    }
}

impl Record {
    /// Whether it is what a command asks for, as after the same command whose answer was lost.
    fn is_as_asked(&self, command: &RecordCommand) -> bool {
        match command {
            RecordCommand::Put(put) => self.is_as_put(put),
            RecordCommand::AddTags { tags, .. } => tags.iter().all(|tag| self.tags.contains(tag)),
            RecordCommand::RemoveTags { tags, .. } => {
                !tags.iter().any(|tag| self.tags.contains(tag))
            }
            RecordCommand::SetTtl { doom_at, .. } => self.doom_at == *doom_at,
            RecordCommand::SetHold { reason, .. } => {
                let same = |hold: &Hold| hold.reason == *reason;
                self.hold.as_ref().is_some_and(same)
            }
            RecordCommand::ReleaseHold { .. } => self.hold.is_none(),
            RecordCommand::Copy(_)
            | RecordCommand::Complete(_)
            | RecordCommand::KeepUpload { .. }
            | RecordCommand::Doom { .. }
            | RecordCommand::DoomIfDue
            | RecordCommand::DoomIfAbandoned(_) => false,
        }
    }

    fn is_as_put(&self, put: &Put) -> bool {
        let tags = put.tags.clone().map(sorted);
        let content = match (&put.content, &self.upload) {
            (NewContent::Inline { size, md5 }, None) => {
                let place = matches!(self.content.place, ContentPlace::Inline(_));
                place && (self.content.size, self.content.md5) == (*size, *md5)
            }
            (
                NewContent::Upload {
                    content_type,
                    size,
                    md5,
                    ..
                },
                upload,
            ) => {
                let its = upload
                    .as_ref()
                    .map_or(&self.content, |upload| &upload.content);
                let place = matches!(its.place, ContentPlace::Object(_));
                let same = (its.size, its.md5) == (*size, *md5);
                place && same && its.content_type == *content_type
            }
            (NewContent::Inline { .. }, Some(_)) => false,
        };
        content
            && self.cccode == put.cccode
            && put.doom_at.is_none_or(|at| self.doom_at == Some(at))
            && tags.is_none_or(|tags| self.tags == tags)
    }
}

/// Whether a record would accept a completion, not considering its SHA-256, which is not known yet.
pub fn would_complete(key: &RecordKey, record: &Record, complete: &Complete) -> bool {
    let current = Current {
        key,
        record,
        command: None,
    };
    current.check_complete(complete) == Ok(true)
}

/// The refusal of an upload that its record does not wait for.
pub fn not_waited_for() -> Rejection {
    Rejection::new(
        ErrorTag::InvalidState,
        "The record no longer waits for this upload: it was completed or replaced.",
    )
}

/// An event that happens only when something is to change.
fn only_if(needed: bool, event: RecordEvent) -> Vec<RecordEvent> {
    needed.then_some(event).into_iter().collect()
}

fn create(put: &Put, context: &Context) -> Result<Vec<RecordEvent>, Rejection> {
    if put.expected.is_some() {
        let mut rejection = Rejection::new(
            ErrorTag::Conflict,
            "expected_revision was given, but there is no such record; omit it to create one.",
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
