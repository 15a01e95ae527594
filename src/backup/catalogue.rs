//! Which content a journal names up to a position, and which files of it a backup has.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::hash::{Hashed, hash_file};
use super::{BackupError, CONTENT_LIST, Manifest, Objects};
use crate::content::ObjectName;
use crate::domain::container::{ContainerEvent, RemovedContent};
use crate::domain::record::{ContentPlace, NewContent, RecordEvent};
use crate::domain::repair::{Repair, RepairAction};
use crate::domain::{Event, Md5, OrgCode, Sha256Digest, StreamId};
use crate::journal::Body;
use crate::private;

/// The state of an object according to the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectState {
    /// It was promised; whether anything was uploaded the journal does not know.
    Promised,
    /// It is some record's content, or was and is still kept: its file must be there.
    Kept,
    /// The object is known to be lost.
    Lost,
}

/// An object that the journal names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Bytes that were promised.
    pub size: u64,
    /// MD5 that was promised.
    pub md5: Md5,
    /// Its state according to the journal.
    pub state: ObjectState,
    /// SHA-256 of its bytes in the journal; the list does not repeat it.
    pub sha256_in_journal: Option<Sha256Digest>,
    /// SHA-256 of its file in the backup; `None` when there is none.
    pub sha256: Option<String>,
}

impl Object {
    /// Whether a file has the size and digests that the journal names for it.
    pub(super) fn matches(&self, file: &Hashed) -> bool {
        (file.size, file.md5) == (self.size, self.md5) && self.may_be(&file.sha256)
    }

    /// Whether bytes with a SHA-256 in hex can be its own: the journal names no other.
    pub(super) fn may_be(&self, sha256: &str) -> bool {
        self.sha256_in_journal
            .is_none_or(|told| told.to_string() == sha256)
    }
}

/// A line of `content.jsonl`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    org: OrgCode,
    object_id: Uuid,
    size: u64,
    md5: Md5,
    state: ObjectState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

/// Every object that a journal names and has not removed. Memory grows with their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    objects: BTreeMap<(OrgCode, Uuid), Object>,
}

impl Catalogue {
    /// Takes what an entry says. To be called for all entries in their order.
    pub fn take(&mut self, body: &Body) {
        for event in &body.events {
            match event {
                Event::Record(event) => {
                    if let Some(key) = body.stream.record_key() {
                        self.take_record(key.org, event);
                    }
                }
                Event::Container(event) => {
                    if let Some(org) = org_of(&body.stream) {
                        self.take_container(&org, event);
                    }
                }
                Event::Org(_)
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
                | Event::Offboarding(_) => {}
            }
        }
    }

    fn take_record(&mut self, org: OrgCode, event: &RecordEvent) {
        match event {
            RecordEvent::Created { content, .. } | RecordEvent::Replaced { content, .. } => {
                if let NewContent::Upload {
                    object_id,
                    size,
                    md5,
                    ..
                } = content
                {
                    let object = Object {
                        size: *size,
                        md5: *md5,
                        state: ObjectState::Promised,
                        sha256_in_journal: None,
                        sha256: None,
                    };
                    self.objects.insert((org, *object_id), object);
                }
            }
            RecordEvent::UploadCompleted {
                object_id, sha256, ..
            } => {
                self.set(&org, *object_id, ObjectState::Kept);
                if let Some(object) = self.objects.get_mut(&(org, *object_id)) {
                    object.sha256_in_journal = *sha256;
                }
            }
            RecordEvent::TagsAdded { .. }
            | RecordEvent::TagsRemoved { .. }
            | RecordEvent::TtlSet { .. }
            | RecordEvent::Doomed { .. }
            | RecordEvent::HoldSet { .. }
            | RecordEvent::HoldReleased {} => {}
        }
    }

    fn take_container(&mut self, org: &OrgCode, event: &ContainerEvent) {
        match event {
            ContainerEvent::ContentRemoved { contents, .. } => {
                for object_id in contents.iter().filter_map(object_of) {
                    self.objects.remove(&(org.clone(), object_id));
                }
            }
            ContainerEvent::Repaired { repairs } => {
                for (object_id, state) in repairs.iter().filter_map(found) {
                    self.set(org, object_id, state);
                }
            }
            ContainerEvent::RefusalRemembered { .. }
            | ContainerEvent::AnswersForgotten { .. }
            | ContainerEvent::TagsScrubbed { .. }
            | ContainerEvent::UploadsGivenUp { .. } => {}
        }
    }

    /// One whose promise was erased is not named any more.
    fn set(&mut self, org: &OrgCode, object_id: Uuid, state: ObjectState) {
        if let Some(object) = self.objects.get_mut(&(org.clone(), object_id)) {
            object.state = state;
        }
    }

    /// The objects, in order.
    pub fn iter(&self) -> impl Iterator<Item = (ObjectName, &Object)> {
        self.objects.iter().map(|(key, object)| (name(key), object))
    }

    /// The objects, in order, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (ObjectName, &mut Object)> {
        let objects = self.objects.iter_mut();
        objects.map(|(key, object)| (name(key), object))
    }

    /// Whether the backup has a file of an object.
    pub(super) fn has_file(&self, object: &ObjectName) -> bool {
        let found = self.objects.get(&(object.org.clone(), object.object_id));
        found.is_some_and(|object| object.sha256.is_some())
    }

    /// Remembers the files that another list has, where both mean the same bytes.
    pub(super) fn adopt(&mut self, other: &Self) {
        for (key, object) in &mut self.objects {
            if let Some(known) = other.objects.get(key)
                && (known.size, known.md5) == (object.size, object.md5)
                && object.sha256.is_none()
                && known
                    .sha256
                    .as_deref()
                    .is_some_and(|sha256| object.may_be(sha256))
            {
                object.sha256.clone_from(&known.sha256);
            }
        }
    }

    /// The same list without the facts that only a backup has.
    pub(super) fn without_files(&self) -> Self {
        let mut bare = self.clone();
        for object in bare.objects.values_mut() {
            object.sha256 = None;
            object.sha256_in_journal = None;
        }
        bare
    }

    /// The SHA-256 that the journal has of an object's bytes.
    pub(super) fn sha256_in_journal(&self, object: &ObjectName) -> Option<Sha256Digest> {
        let found = self.objects.get(&(object.org.clone(), object.object_id));
        found.and_then(|object| object.sha256_in_journal)
    }

    /// The numbers of objects and bytes.
    pub fn counts(&self) -> Objects {
        let mut counts = Objects::default();
        for object in self.objects.values() {
            match (&object.sha256, object.state) {
                (Some(_), _) => {
                    counts.files += 1;
                    counts.bytes += object.size;
                }
                (None, ObjectState::Kept) => counts.absent += 1,
                (None, ObjectState::Promised | ObjectState::Lost) => {}
            }
        }
        counts
    }

    /// Writes a `content.jsonl`, durable on return.
    ///
    /// # Errors
    /// [`BackupError`] with the I/O error.
    pub(super) fn write(&self, path: &Path) -> Result<(), BackupError> {
        let failed = |error| BackupError::io("write", path)(error);
        let mut file = BufWriter::new(private::create(path).map_err(failed)?);
        for ((org, object_id), object) in &self.objects {
            let line = Line {
                org: org.clone(),
                object_id: *object_id,
                size: object.size,
                md5: object.md5,
                state: object.state,
                sha256: object.sha256.clone(),
            };
            let written = serde_json::to_writer(&mut file, &line).map_err(io::Error::from);
            written
                .and_then(|()| file.write_all(b"\n"))
                .map_err(failed)?;
        }
        let file = file.into_inner().map_err(|error| failed(error.into()))?;
        file.sync_all().map_err(failed)
    }

    /// The list of a backup's generation, if it is the one that the manifest names.
    ///
    /// # Errors
    /// [`BackupError`] for an I/O error, or when the file is another one.
    pub(super) fn of(generation: &Path, manifest: &Manifest) -> Result<Self, BackupError> {
        let path = generation.join(CONTENT_LIST);
        let found = hash_file(&path).map_err(BackupError::io("read", &path))?;
        let mut files = manifest.files.iter();
        let named = files.find(|file| file.name == CONTENT_LIST);
        match (found, named) {
            (Some(found), Some(named)) if found.sha256 == named.sha256 => Self::read(&path),
            (Some(_) | None, _) => Err(BackupError::damaged(CONTENT_LIST, "it is another one")),
        }
    }

    /// Reads a `content.jsonl`.
    ///
    /// # Errors
    /// [`BackupError`] for an I/O error, or a line that cannot be read.
    fn read(path: &Path) -> Result<Self, BackupError> {
        let file = File::open(path).map_err(BackupError::io("read", path))?;
        let mut objects = BTreeMap::new();
        for line in BufReader::new(file).lines() {
            let line = line.map_err(BackupError::io("read", path))?;
            let line: Line = serde_json::from_str(&line)
                .map_err(|error| BackupError::damaged(CONTENT_LIST, error))?;
            let object = Object {
                size: line.size,
                md5: line.md5,
                state: line.state,
                sha256_in_journal: None,
                sha256: line.sha256,
            };
            objects.insert((line.org, line.object_id), object);
        }
        Ok(Self { objects })
    }
}

fn name((org, object_id): &(OrgCode, Uuid)) -> ObjectName {
    ObjectName {
        org: org.clone(),
        object_id: *object_id,
    }
}

fn org_of(stream: &StreamId) -> Option<OrgCode> {
    let (org, _) = stream.as_str().strip_prefix("mrs/")?.split_once('/')?;
    OrgCode::parse(org).ok()
}

fn object_of(content: &RemovedContent) -> Option<Uuid> {
    match content.place {
        ContentPlace::Object(object_id) => Some(object_id),
        ContentPlace::Inline(_) => None,
    }
}

/// The object that a repair is about, and its state after it.
fn found(repair: &Repair) -> Option<(Uuid, ObjectState)> {
    let state = match repair.action {
        RepairAction::MarkedLost => ObjectState::Lost,
        RepairAction::FoundAgain => ObjectState::Kept,
        RepairAction::RowsRestored
        | RepairAction::RowsRemoved
        | RepairAction::FileRemoved
        | RepairAction::GivenUp => return None,
    };
    Some((repair.object_id?, state))
}
