//! Making a backup: the segments first, then the content they name, and last the manifest that makes it one.
//!
//! It is made in two passes, so that a running server waits with removals only for the second, short one. What the first
//! copied and what changed since is copied again in the second, under the lease.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::catalogue::{Catalogue, Object, ObjectState};
use super::place::{Place, make_directory, names, object_path, sync_directory, write_private};
use super::{
    BackupError, CONTENT_DIRECTORY, CONTENT_LIST, FORMAT_VERSION, JOURNAL, KEYS, Manifest,
    SegmentEntry, generation_name, state_name,
};
use crate::content::ObjectName;
use crate::directory::{self, MARKER, Marker};
use crate::disk::RealDisk;
use crate::domain::{Md5, Timestamp};
use crate::export::FileEntry;
use crate::journal::copy::{self, Source, only_grew};
use crate::journal::entry::SCHEMAS;
use crate::journal::replay::{self, replay};
use crate::journal::state::{self, State};
use crate::journal::{Head, Position};

/// Bytes copied at a time.
const CHUNK_BYTES: usize = 256 * 1024;
/// Most absent contents that are named; all are counted.
const NAMED_MAX: usize = 100;

/// What to back up, and where to.
#[derive(Clone, Debug)]
pub struct Order {
    /// The server's data directory.
    pub data_dir: PathBuf,
    /// The backup's directory.
    pub into: PathBuf,
    /// Whether the keys go along.
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

/// Told what was copied so far.
pub type Progress<'a> = &'a mut dyn FnMut(&Tally);

/// A finished backup.
#[derive(Clone, Debug)]
pub struct Made {
    /// What it is.
    pub manifest: Manifest,
    /// SHA-256 of the manifest's file in hex: it stands for every byte.
    pub manifest_sha256: String,
    /// What was copied for it.
    pub tally: Tally,
    /// Files and generations of earlier backups that were removed.
    pub removed: u64,
    /// Contents that the server should have and has not, or only damaged; at most 100.
    pub absent: Vec<String>,
}

/// A backup on its way. Dropped, it leaves the last finished one as it was.
pub struct Making {
    order: Order,
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
        let place = Place::to_write(&order.into)?;
        let previous = place.manifest()?;
        place.remove_generations(previous.as_ref())?;
        let number = previous.as_ref().map_or(0, |manifest| manifest.generation) + 1;
        let directory = place.root.join(generation_name(number));
        make_directory(&directory.join(JOURNAL))?;
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
        // A list that cannot be read is made anew; its content files are found by their names.
        let (catalogue, taken) = known.unwrap_or((Catalogue::default(), nothing));
        Ok(Self {
            order,
            place,
            marker,
            previous,
            number,
            directory,
            segments: BTreeMap::new(),
            catalogue,
            taken,
            fits: true,
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
    /// [`Making::publish`] nothing may be removed or rewritten in the data directory.
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

    /// Copies the segments that lie before a position, the last up to it; without one those that are full.
    fn copy_segments(
        &mut self,
        until: Option<Position>,
        progress: Progress<'_>,
    ) -> Result<(), BackupError> {
        let firsts = copy::segments(&self.journal())?;
        for (index, first) in firsts.iter().enumerate() {
            let next = firsts.get(index + 1);
            let cut = match (until, next) {
                (None, None) => break,
                (Some(until), _) if *first > until => break,
                (None, Some(_)) => None,
                (Some(until), Some(next)) if *next <= until + 1 => None,
                (Some(until), _) => Some(until),
            };
            self.copy_segment(*first, cut)?;
            progress(&self.tally);
        }
        Ok(())
    }

    fn copy_segment(
        &mut self,
        first: Position,
        until: Option<Position>,
    ) -> Result<(), BackupError> {
        let source = copy::open(&self.journal(), first)?;
        let same = |entry: &SegmentEntry| entry.source == source.identity && entry.until == until;
        let here = self.segments.get(&first);
        if here.is_some_and(same) {
            return Ok(());
        }
        let ours = self.directory.join(JOURNAL);
        let mut before = here.map(|entry| ours.join(&entry.name));
        if let (None, Some(manifest)) = (&before, &self.previous)
            && let Some(entry) = manifest.segments.iter().find(|entry| entry.first == first)
        {
            let path = self
                .place
                .generation(manifest)
                .join(JOURNAL)
                .join(&entry.name);
            let is_whole = fs::metadata(&path).is_ok_and(|found| found.len() == entry.size);
            if same(entry) && is_whole && link(&path, &ours.join(&entry.name)) {
                self.segments.insert(first, entry.clone());
                self.tally.segments_kept += 1;
                return Ok(());
            }
            before = Some(path);
        }
        let entry = self.copy_anew(source, until, before.as_deref())?;
        self.tally.segments += 1;
        self.tally.bytes += entry.size;
        self.segments.insert(first, entry);
        Ok(())
    }

    /// Copies a segment, and finds out whether an earlier copy of it is the beginning of this one.
    fn copy_anew(
        &mut self,
        mut source: Source,
        until: Option<Position>,
        before: Option<&Path>,
    ) -> Result<SegmentEntry, BackupError> {
        let first = source.first;
        let name = match until {
            Some(_) => copy::open_name(first),
            None => source.name.clone(),
        };
        let ours = self.directory.join(JOURNAL);
        let new = ours.join(format!("{name}.new"));
        let written = match until {
            Some(until) => copy::copy_until(&self.journal(), first, until, &new)?,
            None => source.copy(&new)?,
        };
        if let Some(before) = before {
            // An earlier copy that cannot be read tells nothing either.
            self.fits &= only_grew(before, &new).unwrap_or(false);
            if before.parent() == Some(&ours) {
                fs::remove_file(before).map_err(BackupError::io("remove", before))?;
            }
        }
        let path = ours.join(&name);
        fs::rename(&new, &path).map_err(BackupError::io("write", &path))?;
        Ok(SegmentEntry {
            first,
            name,
            size: written.size,
            sha256: written.sha256,
            until,
            source: source.identity,
        })
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
        BackupError::OtherJournal {
            place: self.place.root.display().to_string(),
            position: self
                .previous
                .as_ref()
                .map_or(0, |previous| previous.position),
        }
    }

    /// What was copied must be one journal that ends where it should, and goes on where the last backup ended.
    fn check(&self, head: &Head) -> Result<(), BackupError> {
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
        match self.erased_by > head.position {
            false => Ok(()),
            true => Err(BackupError::Changed {
                what: format!(
                    "entries were erased by position {}, behind {}",
                    self.erased_by, head.position
                ),
            }),
        }
    }

    /// Copies the content that the catalogue names and the backup has not. Returns what should be there and is not.
    fn copy_content(&mut self, progress: Progress<'_>) -> Result<Vec<String>, BackupError> {
        let (mut catalogue, mut absent) = (std::mem::take(&mut self.catalogue), Vec::new());
        for (name, object) in catalogue.iter_mut() {
            let path = self.place.object(&name);
            let has =
                |object: &Object| fs::metadata(&path).is_ok_and(|found| found.len() == object.size);
            if object.sha256.is_some() && has(object) {
                continue;
            }
            object.sha256 = match object.state {
                ObjectState::Lost => None,
                ObjectState::Promised | ObjectState::Kept => {
                    self.copy_object(&name, object, &path)?
                }
            };
            progress(&self.tally);
            let is_absent = object.sha256.is_none() && object.state == ObjectState::Kept;
            if is_absent && absent.len() < NAMED_MAX {
                absent.push(name.to_string());
            }
        }
        self.catalogue = catalogue;
        Ok(absent)
    }

    /// Copies one object's file; `None` when it is not there as it was promised.
    fn copy_object(
        &mut self,
        name: &ObjectName,
        object: &Object,
        path: &Path,
    ) -> Result<Option<String>, BackupError> {
        // A backup that was broken off may have copied it.
        if let Some(found) = hash_file(path).map_err(BackupError::io("read", path))?
            && found.is(object)
        {
            self.touch(path);
            return Ok(Some(found.sha256));
        }
        let from = object_path(&self.order.data_dir.join(CONTENT_DIRECTORY), name);
        let mut source = match File::open(&from) {
            Ok(source) => source,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(BackupError::io("read", &from)(error)),
        };
        make_directory(path.parent().unwrap_or(&self.place.root))?;
        let new = path.with_extension("new");
        let copied = copy_hashed(&mut source, &new).map_err(BackupError::io("copy", &from))?;
        if !copied.is(object) {
            fs::remove_file(&new).map_err(BackupError::io("remove", &new))?;
            return Ok(None);
        }
        fs::rename(&new, path).map_err(BackupError::io("write", path))?;
        self.touch(path);
        self.tally.objects += 1;
        self.tally.bytes += copied.size;
        Ok(Some(copied.sha256))
    }

    /// Notes that the names on the way to a content file must be durable before a manifest names it.
    fn touch(&mut self, path: &Path) {
        let above = path.ancestors().skip(1);
        let above = above.take_while(|above| *above != self.place.root);
        self.touched.extend(above.map(Path::to_owned));
    }

    /// Writes the generation's other files.
    fn write_files(&mut self, head: &Head) -> Result<Vec<FileEntry>, BackupError> {
        let mut files = Vec::new();
        let closed = State::now(Some(head.clone()));
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
    /// The disk's. When only the removing failed, the next backup does it.
    pub fn publish(self) -> Result<Made, BackupError> {
        let making = self.making;
        for directory in &making.touched {
            sync_directory(directory)?;
        }
        sync_directory(&making.directory.join(JOURNAL))?;
        sync_directory(&making.directory)?;
        sync_directory(&making.place.root)?;
        let text = making.place.publish(&self.manifest)?;
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

/// Gives a file a second name; where the disk has no such thing, it is copied.
fn link(from: &Path, to: &Path) -> bool {
    fs::hard_link(from, to).is_ok()
        || File::open(from).is_ok_and(|mut file| copy::copy_file(&mut file, to).is_ok())
}

/// What a file was found to be.
pub(super) struct Hashed {
    pub(super) size: u64,
    pub(super) sha256: String,
    md5: Md5,
}

impl Hashed {
    /// Whether it is what was promised.
    pub(super) fn is(&self, object: &Object) -> bool {
        (self.size, self.md5) == (object.size, object.md5)
    }
}

/// Reads a file to its end; `None` when it is not there.
pub(super) fn hash_file(path: &Path) -> io::Result<Option<Hashed>> {
    match File::open(path) {
        Ok(mut file) => pass_on(&mut file, &mut io::sink()).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Copies a file into a new one, durable on return.
pub(super) fn copy_hashed(from: &mut File, to: &Path) -> io::Result<Hashed> {
    let mut file = File::create(to)?;
    let hashed = pass_on(from, &mut file)?;
    file.sync_all()?;
    Ok(hashed)
}

fn pass_on(from: &mut impl Read, to: &mut impl Write) -> io::Result<Hashed> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let (mut sha256, mut md5, mut size) = (Sha256::new(), md5::Md5::new(), 0);
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        sha256.update(&chunk[..read]);
        md5.update(&chunk[..read]);
        to.write_all(&chunk[..read])?;
        size += read as u64;
    }
    Ok(Hashed {
        size,
        sha256: hex::encode(sha256.finalize()),
        md5: Md5::from_bytes(md5.finalize().into()),
    })
}
