//! The journal's database: where each entry is, each stream's versions, and the payloads; made from the log.
//!
//! It is never the truth: it may be deleted while the journal is closed, and is then made again. Rows go in one by
//! one, in order and the entry's row last, because sled recovers single inserts as a prefix, and because its batches
//! and transactions make every later read of the process take one lock.

pub(crate) mod generation;

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::entry::Hash;
use super::log::Location;
use super::segment::failed;
use super::writer::{Index, Row};
use super::{JournalError, Position, Version};
use crate::domain::{StreamId, Timestamp};

use generation::{Generation, Keep, Kind, Live};

pub use super::embedded::{Options, SledJournal};
pub use generation::Sizes;

/// The database's directory within the journal's.
pub const DIRECTORY: &str = "sled";
/// What a database that was set aside is called, before the time in milliseconds.
pub const BROKEN_PREFIX: &str = "sled.broken-";

/// How often sled writes to the disk by itself; durability comes from the log.
const FLUSH_EVERY_MS: u64 = 500;
/// How often a lock that is held is looked at again, a second in all.
pub(crate) const LOCK_LOOKS: u32 = 100;
/// The pause between two looks.
pub(crate) const LOCK_LOOK_EVERY: Duration = Duration::from_millis(10);
/// Bytes of an entry's row ahead of its payload.
const ROW_BYTES: usize = 8 + 8 + 4 + 1 + 32;
/// Number of the tree of entries by position.
const ENTRIES: usize = 0;
/// Number of the tree of streams by name and version.
const STREAMS: usize = 1;
/// Place of a row's flags.
const FLAGS: usize = 20;
/// Flag: a payload follows the row.
const PAYLOAD: u8 = 1;
/// Flag: the entry's body is gone.
const ERASED: u8 = 2;

/// The database, open. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Database {
    live: Arc<Live>,
}

/// What the database knows of an entry, without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) location: Location,
    pub(crate) hash: Hash,
}

/// Rows of the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) entries: u64,
    /// Entries whose body is gone; they have no stream row.
    pub(crate) erased: u64,
    pub(crate) streams: u64,
}

impl Database {
    /// Opens the database of a journal's directory, or makes an empty one.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, JournalError> {
        guarded(|| {
            let kind = Kind {
                cache_bytes,
                flush_every_ms: FLUSH_EVERY_MS,
                names: &["entries", "streams"],
            };
            let live = Live::open(&dir.join(DIRECTORY), kind)?;
            Ok(Self {
                live: Arc::new(live),
            })
        })
    }

    fn entries(&self) -> ::sled::Tree {
        self.live.current().trees[ENTRIES].clone()
    }

    fn streams(&self) -> ::sled::Tree {
        self.live.current().trees[STREAMS].clone()
    }

    /// Makes it anew without the payloads and streams of entries at these positions, which are in order.
    pub(crate) fn forget(
        &self,
        erased: &[Position],
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), JournalError> {
        let gone = |position: &[u8]| {
            number(position).is_some_and(|position| erased.binary_search(&position).is_ok())
        };
        let mut keep = |tree: usize, key: &[u8], value: &[u8]| match tree {
            ENTRIES if gone(key) => {
                let mut row = value[..value.len().min(ROW_BYTES)].to_vec();
                if let Some(flags) = row.get_mut(FLAGS) {
                    *flags = ERASED;
                }
                Keep::Other(row)
            }
            STREAMS if gone(value) => Keep::Not,
            _ => Keep::Same,
        };
        let mut go_on = |done| {
            progress(done);
            true
        };
        guarded(|| self.live.renew(&mut keep, &mut go_on).map(drop))
    }

    /// The last entry it knows.
    pub(crate) fn last(&self) -> Result<Option<(Position, Known)>, JournalError> {
        let Some((key, value)) = guarded(|| self.entries().last())? else {
            return Ok(None);
        };
        let position = number(&key).ok_or_else(|| odd("an entry's key is not a position"))?;
        Ok(Some((position, read_row(&value)?.0)))
    }

    /// Where an entry is.
    pub(crate) fn known(&self, position: Position) -> Result<Option<Known>, JournalError> {
        match guarded(|| self.entries().get(position.to_be_bytes()))? {
            Some(value) => Ok(Some(read_row(&value)?.0)),
            None => Ok(None),
        }
    }

    /// The payload beside an entry.
    pub(crate) fn payload(&self, position: Position) -> Result<Option<Bytes>, JournalError> {
        match guarded(|| self.entries().get(position.to_be_bytes()))? {
            Some(value) => Ok(read_row(&value)?.1.map(Bytes::copy_from_slice)),
            None => Ok(None),
        }
    }

    /// Positions of a stream's entries from a version on, with their versions.
    pub(crate) fn stream(
        &self,
        stream: &StreamId,
        from: Version,
        limit: usize,
    ) -> Result<Vec<(Version, Position)>, JournalError> {
        let range = stream_key(stream, from)..=stream_key(stream, Version::MAX);
        guarded(|| {
            let rows = self.streams().range(range).take(limit);
            rows.collect::<Result<Vec<_>, _>>()
        })?
        .into_iter()
        .map(|(key, value)| {
            version_in(&key, stream)
                .zip(number(&value))
                .ok_or_else(|| odd("a stream's row cannot be read"))
        })
        .collect()
    }

    /// Names of streams that begin with a prefix, from behind a name on: one look-up each, however long they are.
    pub(crate) fn stream_names(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StreamId>, JournalError> {
        let mut names: Vec<StreamId> = Vec::new();
        let mut from = match after {
            Some(after) => behind(after),
            None => prefix.as_bytes().to_vec(),
        };
        let streams = self.streams();
        while names.len() < limit {
            let Some((key, _)) = guarded(|| streams.range(from.as_slice()..).next().transpose())?
            else {
                break;
            };
            let name = key.len().checked_sub(9).and_then(|end| key.get(..end));
            let name = name.and_then(|name| std::str::from_utf8(name).ok());
            let name = name.ok_or_else(|| odd("a stream's row cannot be read"))?;
            if !name.starts_with(prefix) {
                break;
            }
            from = behind(name);
            names.push(StreamId::named(name));
        }
        Ok(names)
    }

    /// How many rows there are. Reads the whole database.
    pub(crate) fn count(&self) -> Result<Count, JournalError> {
        guarded(|| {
            let mut count = Count::default();
            for row in &self.entries() {
                let (_, value) = row?;
                count.entries += 1;
                count.erased +=
                    u64::from(value.get(FLAGS).is_some_and(|flags| flags & ERASED != 0));
            }
            for row in &self.streams() {
                row?;
                count.streams += 1;
            }
            Ok(count)
        })
    }

    /// Makes everything durable: sled's own flush, and a sync of each of its files, which that flush leaves out.
    pub(crate) fn sync(&self, dir: &Path) -> Result<(), JournalError> {
        guarded(|| self.live.current().db.flush())?;
        sync_files(&dir.join(DIRECTORY))
    }

    fn put(into: &Generation, row: &Row, value: &mut Vec<u8>) -> Result<(), ::sled::Error> {
        if let Some((stream, version)) = &row.stream {
            let position = row.position.to_be_bytes();
            into.trees[STREAMS].insert(stream_key(stream, *version), position.as_slice())?;
        }
        value.clear();
        value.extend_from_slice(&row.location.segment.to_be_bytes());
        value.extend_from_slice(&row.location.offset.to_be_bytes());
        value.extend_from_slice(&row.location.line_bytes.to_be_bytes());
        let payload = if row.payload.is_some() { PAYLOAD } else { 0 };
        let erased = if row.stream.is_none() { ERASED } else { 0 };
        value.push(payload | erased);
        value.extend_from_slice(&row.hash);
        value.extend_from_slice(row.payload.as_deref().unwrap_or_default());
        into.trees[ENTRIES].insert(row.position.to_be_bytes(), value.as_slice())?;
        Ok(())
    }
}

impl Index for Database {
    fn version(&self, stream: &StreamId) -> Result<Version, JournalError> {
        let last = stream_key(stream, Version::MAX);
        let row = guarded(|| self.streams().get_lt(last))?;
        Ok(row
            .and_then(|(key, _)| version_in(&key, stream))
            .unwrap_or(0))
    }

    fn insert(&self, rows: &[Row]) -> Result<(), JournalError> {
        guarded(|| {
            let mut value = Vec::with_capacity(256);
            self.live.write(|into| {
                rows.iter()
                    .try_for_each(|row| Self::put(into, row, &mut value))
            })
        })
    }
}

/// Opens a sled database, waiting a moment for its lock.
///
/// A lock outlives the process that held it for as long as a child which that process was just starting has not yet
/// become its own program: the child still has the file.
///
/// # Errors
/// sled's own; a lock that stays is one.
pub(crate) fn open_patiently(config: &::sled::Config) -> Result<::sled::Db, ::sled::Error> {
    let mut left = LOCK_LOOKS;
    loop {
        match config.open() {
            Err(::sled::Error::Io(error))
                if left > 0 && error.to_string().contains("acquire lock") =>
            {
                left -= 1;
                std::thread::sleep(LOCK_LOOK_EVERY);
            }
            opened => return opened,
        }
    }
}

/// Sets the database's directory aside, so that a new one can be made. At most one is kept.
pub(crate) fn set_aside(dir: &Path, now: Timestamp) -> Result<Option<PathBuf>, JournalError> {
    let current = dir.join(DIRECTORY);
    let io = |error| failed("setting the journal's database aside", &current, error);
    if !current.try_exists().map_err(io)? {
        return Ok(None);
    }
    remove_set_aside(dir)?;
    let aside = dir.join(format!("{BROKEN_PREFIX}{}", now.millis()));
    fs::rename(&current, &aside).map_err(io)?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)?;
    Ok(Some(aside))
}

/// Removes what was set aside.
pub(crate) fn remove_set_aside(dir: &Path) -> Result<(), JournalError> {
    let io = |error| failed("removing a database that was set aside", dir, error);
    for entry in fs::read_dir(dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        if name
            .to_str()
            .is_some_and(|name| name.starts_with(BROKEN_PREFIX))
        {
            fs::remove_dir_all(entry.path()).map_err(io)?;
        }
    }
    Ok(())
}

/// sled answers some damage with a panic; here it becomes an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, ::sled::Error>) -> Result<T, JournalError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(JournalError::Database(error.to_string())),
        // What it says may quote what is stored.
        Err(_) => Err(JournalError::Database("it panicked".to_owned())),
    }
}

fn sync_files(dir: &Path) -> Result<(), JournalError> {
    let io = |error| failed("syncing the journal's database", dir, error);
    for entry in fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        match path.is_dir() {
            true => sync_files(&path)?,
            false => File::open(&path)
                .and_then(|file| file.sync_all())
                .map_err(io)?,
        }
    }
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)
}

fn stream_key(stream: &StreamId, version: Version) -> Vec<u8> {
    let name = stream.as_str().as_bytes();
    let mut key = Vec::with_capacity(name.len() + 9);
    key.extend_from_slice(name);
    key.push(0);
    key.extend_from_slice(&version.to_be_bytes());
    key
}

/// The first key behind all versions of a stream.
fn behind(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 1);
    key.extend_from_slice(name.as_bytes());
    // Versions stand behind a byte 0, and no name has a byte 1.
    key.push(1);
    key
}

fn version_in(key: &[u8], stream: &StreamId) -> Option<Version> {
    let rest = key.strip_prefix(stream.as_str().as_bytes())?;
    number(rest.strip_prefix(&[0])?)
}

fn read_row(value: &[u8]) -> Result<(Known, Option<&[u8]>), JournalError> {
    let read = || {
        let (row, payload) = value.split_at_checked(ROW_BYTES)?;
        let known = Known {
            location: Location {
                segment: number(&row[..8])?,
                offset: number(&row[8..16])?,
                line_bytes: u32::from_be_bytes(row[16..20].try_into().ok()?),
            },
            hash: row[FLAGS + 1..].try_into().ok()?,
        };
        Some((known, (row[FLAGS] & PAYLOAD != 0).then_some(payload)))
    };
    read().ok_or_else(|| odd("an entry's row is too short"))
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

fn odd(what: &str) -> JournalError {
    JournalError::Database(what.to_owned())
}
