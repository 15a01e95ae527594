//! A record's content versions, from its history: what it had as its content, from when until when.

use uuid::Uuid;

use super::{StoreError, history};
use crate::domain::record::{
    Content, ContentPlace, Decoded, Ended, EndedBy, NewContent, Record, RecordEvent, RecordKey,
};
use crate::domain::{EventFamily, Sha256Digest, Timestamp};
use crate::journal::{Body, Entry, Journal, Version as Revision};

/// Changes that are read at a time, at first; each time twice as many, up to [`READ_MAX`].
const READ_MIN: usize = 16;
/// Most changes that are read at a time.
const READ_MAX: usize = 512;

/// An earlier or the current content of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Content of this version.
    pub content: Content,
    /// The record's revision from which it was current.
    pub revision: u64,
    /// Time from which it was current.
    pub since: Timestamp,
    /// The principal that put it.
    pub by: String,
    /// How it ended; `None` while it is current, and while the end of a due record is not journaled yet.
    pub ended: Option<Ended>,
}

/// Where a search for versions begins: a change, and what is known of the content after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The revision that the change made.
    revision: Revision,
    /// Number of the content after it.
    content_version: u64,
    /// How that content ended, if a later change did it.
    ended: Option<(Timestamp, EndedBy)>,
}

impl Start {
    /// With the change that began a version.
    pub fn at(revision: u64, content_version: u64) -> Self {
        Self {
            revision,
            content_version,
            ended: None,
        }
    }

    /// With the newest change of a record; with the one that put its content when the record tells which one that is: inline
    /// content does, an upload does not, so that what was changed since it was completed is read once more.
    ///
    /// # Errors
    /// [`StoreError`] when a read fails.
    pub fn of(journal: &dyn Journal, key: &RecordKey, record: &Record) -> Result<Self, StoreError> {
        let newest = Self::at(record.revision.0, record.content.version);
        let ContentPlace::Inline(position) = record.content.place else {
            return Ok(newest);
        };
        let entries = journal.read(position, 1)?;
        let body = entries.first().and_then(|entry| entry.body.as_ref());
        let stream = crate::domain::StreamId::record(key);
        let own = body.filter(|body| body.stream == stream);
        let doom = record.doom.as_ref();
        Ok(own.map_or(newest, |body| Self {
            revision: body.version,
            ended: doom.map(|doom| (doom.at, EndedBy::Doomed)),
            ..newest
        }))
    }
}

/// The newest versions below a number, at most `count`, newest first. An upload that was never completed is none.
///
/// Blocks: it reads the record's history backwards from the start to the last of them.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn newest_below(
    journal: &dyn Journal,
    key: &RecordKey,
    start: Start,
    (below, count): (Option<u64>, usize),
) -> Result<Vec<Version>, StoreError> {
    let mut walk = Walk {
        content_version: start.content_version,
        ended: start.ended,
        completed: None,
        found: Vec::new(),
        begun: false,
    };
    let (mut until, mut limit) = (start.revision, READ_MIN);
    while until > 0 && !walk.begun && walk.found.len() < count {
        let changes = history::newest_until(journal, key, until, limit)?;
        let Some(oldest) = changes.last().map(|changed| changed.revision) else {
            // Erased meanwhile, with all before it.
            break;
        };
        for changed in &changes {
            walk.step(&changed.entry, below);
            if walk.begun || walk.found.len() == count {
                break;
            }
        }
        until = oldest - 1;
        limit = READ_MAX.min(limit * 2);
    }
    Ok(walk.found)
}

/// An upload that became the content, whose announcement is further back.
struct Completed {
    object_id: Uuid,
    sha256: Option<Sha256Digest>,
    decoded: Option<Decoded>,
    revision: Revision,
    since: Timestamp,
    by: String,
    /// How the content ended.
    ended: Option<(Timestamp, EndedBy)>,
}

/// A history that is read backwards.
struct Walk {
    /// Number of the content after the change that is looked at.
    content_version: u64,
    /// How that content ended, when a later change did it.
    ended: Option<(Timestamp, EndedBy)>,
    completed: Option<Completed>,
    found: Vec<Version>,
    /// Whether nothing older was a content.
    begun: bool,
}

impl Walk {
    fn step(&mut self, entry: &Entry, below: Option<u64>) {
        let Some(body) = &entry.body else {
            self.begun = true;
            return;
        };
        let position = entry.header.position;
        let own = body.events.iter().rev().filter_map(RecordEvent::from_event);
        for event in own {
            let number = self.content_version;
            match event {
                RecordEvent::Created { content, .. } => {
                    self.put((body, position), content, (number, below));
                    self.begun = true;
                }
                RecordEvent::Replaced { content, .. } => {
                    self.put((body, position), content, (number, below));
                }
                RecordEvent::UploadCompleted {
                    object_id,
                    sha256,
                    decoded,
                } => {
                    self.completed = Some(Completed {
                        object_id: *object_id,
                        sha256: *sha256,
                        decoded: *decoded,
                        revision: body.version,
                        since: body.origin.at,
                        by: body.origin.by.clone(),
                        ended: self.ended,
                    });
                }
                RecordEvent::Doomed { doomed_at, .. } => {
                    self.ended = Some((*doomed_at, EndedBy::Doomed));
                }
                RecordEvent::TagsAdded { .. }
                | RecordEvent::TagsRemoved { .. }
                | RecordEvent::TtlSet { .. }
                | RecordEvent::HoldSet { .. }
                | RecordEvent::HoldReleased {} => {}
            }
        }
    }

    /// A put: content at once, or the announcement of an upload, which may have become content.
    fn put(
        &mut self,
        (body, position): (&Body, u64),
        content: &NewContent,
        (number, below): (u64, Option<u64>),
    ) {
        let stored = content.stored(number, position);
        let (revision, since, by, ended, stored) = match content {
            NewContent::Inline { .. } => (
                body.version,
                body.origin.at,
                body.origin.by.clone(),
                self.ended,
                stored,
            ),
            NewContent::Upload { object_id, .. } => {
                let own = |completed: &mut Completed| completed.object_id == *object_id;
                let Some(completed) = self.completed.take_if(own) else {
                    return;
                };
                let stored = Content {
                    sha256: completed.sha256,
                    decoded: completed.decoded,
                    ..stored
                };
                let Completed {
                    revision,
                    since,
                    by,
                    ended,
                    ..
                } = completed;
                (revision, since, by, ended, stored)
            }
        };
        // The first content keeps the number under which it was announced.
        self.begun |= number <= 1;
        self.content_version = number.saturating_sub(1);
        self.ended = Some((since, EndedBy::Replaced));
        if below.is_none_or(|below| number < below) {
            self.found.push(Version {
                revision,
                since,
                by,
                ended: ended.map(|(until, by)| Ended {
                    content: stored.clone(),
                    until,
                    by,
                }),
                content: stored,
            });
        }
    }
}
