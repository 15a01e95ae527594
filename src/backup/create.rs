//! Making a backup: the segments first, then the content they name, and last the manifest that makes it one.
//!
//! It is made in two passes, so that a running server waits with removals only for the second, short one. What the first
//! copied and what changed since is copied again in the second, under the lease.

mod content;
mod segments;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::catalogue::Catalogue;
use super::hash::hash_file;
use super::place::{Place, make_directory, names, sync_directory, write_private};
use super::{
    BackupError, CONTENT_LIST, FORMAT_VERSION, JOURNAL, KEYS, Manifest, SegmentEntry,
    generation_name, state_name,
};
use crate::directory::{self, MARKER, Marker};
use crate::disk::RealDisk;
use crate::domain::Timestamp;
use crate::export::FileEntry;
use crate::journal::erasures::Erasures;
use crate::journal::replay::{self, replay};
use crate::journal::schema::SCHEMAS;
use crate::journal::state::{self, State};
use crate::journal::{Head, Position};

/// What to back up, and where to.
#[derive(Clone, Debug)]
pub struct Order {
    /// The server's data directory.
    pub data_dir: PathBuf,
    /// Directory that the backup is written to.
    pub into: PathBuf,
    /// Whether the keys are copied too.
    pub with_keys: bool,
}

/// What was copied so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Segments that were copied.
    pub segments: u64,
    /// Segments that are as they were in the last backup.
    pub segments_kept: u64,
    /// Content files that were copied.
    pub objects: u64,
    /// Bytes of all of those.
    pub bytes: u64,
}

/// Called with what was copied so far.
pub type Progress<'a> = &'a mut dyn FnMut(&Tally);

/// A finished backup and what it took.
#[derive(Clone, Debug)]
pub struct Made {
    /// Manifest of the finished backup.
    pub manifest: Manifest,
    /// SHA-256 of the manifest's file in hex: it covers every byte.
    pub manifest_sha256: String,
    /// What was copied for this backup.
    pub tally: Tally,
    /// Files and generations of earlier backups that were removed.
    pub removed: u64,
    /// Contents that the server should have and has not, or only damaged; at most 100.
    pub absent: Vec<String>,
}

/// A backup in progress. When it is dropped, the last complete one is unchanged.
pub struct Making {
    order: Order,
    unfinished: Unfinished,
    place: Place,
    marker: (Marker, Vec<u8>),
    previous: Option<Manifest>,
    number: u64,
    /// The new generation's directory.
    directory: PathBuf,
    segments: BTreeMap<Position, SegmentEntry>,
    catalogue: Catalogue,
    /// The last entry that the catalogue has taken.
    taken: Head,
    /// Whether the segments still hold what the catalogue was taken from.
    fits: bool,
    /// What is erased, and what ordered it, of the entries that were read.
    erasures: Erasures,
    /// The latest event that an erased entry names as the one that erased it.
    erased_by: Position,
    /// Directories whose names are to be made durable.
    touched: BTreeSet<PathBuf>,
    tally: Tally,
}

impl Making {
    /// Begins a backup; nothing is copied yet.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub fn begin(order: Order) -> Result<Self, BackupError> {
        let marker = directory::read_marker(&order.data_dir, SCHEMAS)?;
        state::read(&order.data_dir.join(JOURNAL))?;
        let place = Place::to_write(&order.into, marker.0.directory_id.as_deref())?;
        let previous = place.manifest()?;
        if let Some(previous) = &previous
            && !is_of(&order.data_dir.join(JOURNAL), previous)?
        {
            return Err(other_journal(&place, Some(previous)));
        }
        place.remove_generations(previous.as_ref())?;
        let number = previous.as_ref().map_or(0, |manifest| manifest.generation) + 1;
        let directory = place.root.join(generation_name(number));
        make_directory(&directory.join(JOURNAL))?;
        let unfinished = Unfinished(Some(directory.clone()));
        let nothing = Head {
            position: 0,
            hash: "0".repeat(64),
        };
        let known = previous.as_ref().and_then(|manifest| {
            let catalogue = Catalogue::of(&place.generation(manifest), manifest).ok()?;
            let taken = Head {
                position: manifest.position,
                hash: manifest.hash.clone(),
            };
            Some((catalogue, taken))
        });
        // A list that cannot be read is rebuilt; its content files are found by their names.
        let (catalogue, taken) = known.unwrap_or((Catalogue::default(), nothing));
        let erasures = Erasures::from(taken.position + 1);
        Ok(Self {
            order,
            unfinished,
            place,
            marker,
            previous,
            number,
            directory,
            segments: BTreeMap::new(),
            catalogue,
            taken,
            fits: true,
            erasures,
            erased_by: 0,
            touched: BTreeSet::new(),
            tally: Tally::default(),
        })
    }

    /// The first pass: copies what is finished, without knowing yet where the backup ends. What is missing or changes
    /// meanwhile is left to the second.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub fn ahead(&mut self, progress: Progress<'_>) -> Result<(), BackupError> {
        self.copy_segments(None, progress)?;
        self.walk()?;
        self.copy_content(progress).map(drop)
    }

    /// The second pass: copies the rest up to a position. From before the position was read until
    /// [`Ready::publish`] nothing may be removed or rewritten in the data directory.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub fn up_to(
        mut self,
        head: &Head,
        now: Timestamp,
        progress: Progress<'_>,
    ) -> Result<Ready, BackupError> {
        self.copy_segments(Some(head.position), progress)?;
        self.walk()?;
        self.check(head)?;
        let absent = self.copy_content(progress)?;
        let files = self.write_files(head)?;
        let manifest = Manifest {
            format_version: FORMAT_VERSION,
            generation: self.number,
            made_at: now.to_string(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            data_format: self.marker.0.format_version,
            environment: self.marker.0.environment.clone(),
            journal_id: self.journal_id(head)?,
            position: head.position,
            hash: head.hash.clone(),
            with_keys: self.order.with_keys,
            segments: self.segments.values().cloned().collect(),
            files,
            objects: self.catalogue.counts(),
        };
        Ok(Ready {
            making: self,
            manifest,
            absent,
        })
    }

    fn journal(&self) -> PathBuf {
        self.order.data_dir.join(JOURNAL)
    }

    /// Has the catalogue take the entries it has not seen; all of them when some were erased since.
    fn walk(&mut self) -> Result<(), BackupError> {
        let mut known = None;
        if !self.fits {
            known = Some(std::mem::take(&mut self.catalogue));
            self.taken = Head {
                position: 0,
                hash: "0".repeat(64),
            };
            self.erasures = Erasures::from(1);
            self.fits = true;
        }
        let journal = self.directory.join(JOURNAL);
        let mut next = self.taken.position + 1;
        for entry in replay(&journal)?.from(next) {
            let entry = entry?;
            let header = &entry.header;
            if header.position == self.taken.position + 1 && header.prev != self.taken.hash {
                return Err(self.other_journal());
            }
            let previous = self.previous.as_ref();
            if previous.is_some_and(|previous| {
                header.position == previous.position + 1 && header.prev != previous.hash
            }) {
                return Err(self.other_journal());
            }
            self.erasures.take(&entry);
            self.erased_by = self.erased_by.max(entry.erased_by.unwrap_or(0));
            if let Some(body) = &entry.body {
                self.catalogue.take(body);
            }
            next = header.position + 1;
        }
        if next > self.taken.position + 1 {
            self.taken = replay::head(&journal)?;
        }
        if let Some(known) = known {
            self.catalogue.adopt(&known);
        }
        Ok(())
    }

    fn other_journal(&self) -> BackupError {
        other_journal(&self.place, self.previous.as_ref())
    }

    /// Checks that what was copied is one journal that ends where it should, and continues where the last backup ended.
    fn check(&mut self, head: &Head) -> Result<(), BackupError> {
        if let Some(previous) = &self.previous {
            let shorter = previous.position > head.position;
            let other = previous.position == head.position && previous.hash != head.hash;
            let mut firsts = previous.segments.iter().map(|entry| entry.first);
            let parted = !firsts.all(|first| self.segments.contains_key(&first));
            if shorter || other || parted {
                return Err(self.other_journal());
            }
        }
        if self.taken != *head {
            return Err(BackupError::OtherServer {
                place: self.order.data_dir.display().to_string(),
                position: head.position,
            });
        }
        let by = self.erased_by;
        let erasures = std::mem::replace(&mut self.erasures, Erasures::from(1));
        let findings = erasures.finish();
        // After the end there may be the order of a vacuum that runs.
        if findings.problems.is_empty() || by <= head.position {
            Ok(findings.into_result()?)
        } else {
            Err(BackupError::Changed {
                what: format!(
                    "entries were erased by position {by}, after {}",
                    head.position
                ),
            })
        }
    }

    /// Writes the generation's other files.
    fn write_files(&mut self, head: &Head) -> Result<Vec<FileEntry>, BackupError> {
        let mut files = Vec::new();
        let closed = State::closed(head.clone());
        state::write(&RealDisk, &self.directory.join(JOURNAL), &closed)?;
        write_private(&self.directory.join(MARKER), &self.marker.1)?;
        self.catalogue.write(&self.directory.join(CONTENT_LIST))?;
        let mut written = vec![state_name(), MARKER.to_owned(), CONTENT_LIST.to_owned()];
        if self.order.with_keys {
            let (from, to) = (self.order.data_dir.join(KEYS), self.directory.join(KEYS));
            make_directory(&to)?;
            for name in names(&from)? {
                let path = from.join(&name);
                let bytes = fs::read(&path).map_err(BackupError::io("read", &path))?;
                write_private(&to.join(&name), &bytes)?;
                written.push(format!("{KEYS}/{name}"));
            }
            self.touched.insert(to);
        }
        for name in written {
            let path = self.directory.join(&name);
            let found = hash_file(&path).map_err(BackupError::io("read", &path))?;
            let found = found.ok_or_else(|| BackupError::damaged(&name, "it is missing"))?;
            self.tally.bytes += found.size;
            files.push(FileEntry {
                name,
                size: found.size,
                sha256: found.sha256,
            });
        }
        Ok(files)
    }

    /// The hash of the journal's first entry: the second one names it.
    fn journal_id(&self, head: &Head) -> Result<String, BackupError> {
        let mut entries = replay(&self.directory.join(JOURNAL))?.until(2);
        match entries.nth(1).transpose()? {
            Some(second) => Ok(second.header.prev),
            None => Ok(head.hash.clone()),
        }
    }
}

/// The directory of a new generation, removed when no manifest comes to name it.
struct Unfinished(Option<PathBuf>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(directory) = &self.0 {
            // What remains goes with the next backup.
            drop(fs::remove_dir_all(directory));
        }
    }
}

fn other_journal(place: &Place, previous: Option<&Manifest>) -> BackupError {
    BackupError::OtherJournal {
        place: place.root.display().to_string(),
        position: previous.map_or(0, |previous| previous.position),
    }
}

/// Whether a journal begins as that of a backup: what its second entry names.
fn is_of(journal: &Path, previous: &Manifest) -> Result<bool, BackupError> {
    Ok(match replay(journal)?.until(2).nth(1).transpose()? {
        Some(second) => previous.position == 0 || second.header.prev == previous.journal_id,
        None => previous.position < 2,
    })
}

/// A backup that is all there, but for its manifest.
pub struct Ready {
    making: Making,
    manifest: Manifest,
    absent: Vec<String>,
}

impl Ready {
    /// Makes it the backup of its directory, and removes what only earlier ones had.
    ///
    /// # Errors
    /// [`BackupError`] for an I/O error. When only the removing failed, the next backup does it.
    pub fn publish(self) -> Result<Made, BackupError> {
        let mut making = self.making;
        for directory in &making.touched {
            sync_directory(directory)?;
        }
        sync_directory(&making.directory.join(JOURNAL))?;
        sync_directory(&making.directory)?;
        sync_directory(&making.place.root)?;
        let text = making.place.publish(&self.manifest)?;
        making.unfinished.0 = None;
        let removed = making.place.sweep(&self.manifest, &making.catalogue)?;
        Ok(Made {
            manifest: self.manifest,
            manifest_sha256: hex::encode(Sha256::digest(text)),
            tally: making.tally,
            removed,
            absent: self.absent,
        })
    }
}
