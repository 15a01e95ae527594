//! The journal's database: the offset of each entry, the end of each stream, and the payloads that are read often.
//!
//! It is derived from the log: it may be deleted while the journal is closed, and is then rebuilt. Offsets are a plain
//! file (`offsets.rs`), which grows with the history; the rows of the key-value database grow with the streams. They are
//! inserted one by one, in order, because the engine recovers single inserts as a prefix, and because its batches and
//! transactions make every later read of the process take one lock.

mod insert;
mod streams;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::entry::Hash;
use super::index::Tip;
use super::offsets::{EntryOffset, OffsetIndex};
use super::segment::{Location, failed};
use super::{JournalError, Position};
use crate::domain::Timestamp;
use crate::os_error::OsError;
use crate::storage::{self, Keep, Settings, StorageError, Table, guarded};

use streams::{is_tip, read_tip};

/// The database's directory within the journal's.
pub const DIRECTORY: &str = "sled";
/// What a broken database is renamed to, before the time in milliseconds.
pub const BROKEN_PREFIX: &str = "sled.broken-";

/// How often the engine writes to the disk by itself; durability comes from the log.
const FLUSH_EVERY_MS: u64 = 500;
/// Number of the table of streams: see [`streams`].
const STREAMS: usize = 0;
/// Number of the table of payloads by position.
const PAYLOADS: usize = 1;
/// Number of the table with the position that the others reach.
const STATE: usize = 2;
/// The one key of that table.
const REACH: &[u8] = b"reach";
/// A table of the older form, which had a row for every entry.
const OLD_TABLE: &str = "entries";

/// The database, open. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Database {
    offsets: Arc<OffsetIndex>,
    rows: Arc<storage::Database>,
    /// The number of streams.
    streams: Arc<AtomicU64>,
}

/// The location of an entry in the log, and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) location: Location,
    pub(crate) hash: Hash,
}

/// Where the payload of an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PayloadLocation {
    /// Nowhere: it has none, or it was erased.
    Nothing,
    /// In the database, with its bytes.
    InDatabase(Bytes),
    /// In the log alone.
    InLog(IndexEntry),
}

/// Numbers of rows, for comparing the database with the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) entries: u64,
    /// Entries whose body was erased.
    pub(crate) erased: u64,
    pub(crate) streams: u64,
}

impl Database {
    /// Opens the database of a journal's directory, or creates an empty one.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, JournalError> {
        let root = dir.join(DIRECTORY);
        fs::create_dir_all(&root)
            .map_err(|error| failed("creating the journal's database", &root, error))?;
        let offsets = OffsetIndex::open(&root)?;
        let settings = Settings {
            cache_bytes,
            flush_every_ms: Some(FLUSH_EVERY_MS),
            tables: &["tips", "payloads", "state"],
            other_files: &[super::offsets::FILE],
        };
        let rows = storage::Database::open(&root, settings)?;
        if rows.has_table(OLD_TABLE) {
            return Err(odd("it has an older form"));
        }
        let database = Self {
            offsets: Arc::new(offsets),
            rows: Arc::new(rows),
            streams: Arc::default(),
        };
        let (_, streams) = database.reach()?;
        database.streams.store(streams, Ordering::Relaxed);
        Ok(database)
    }

    fn table(&self, number: usize) -> Table {
        self.rows.table(number)
    }

    /// The position up to which it has everything, and the number of streams there were then.
    fn reach(&self) -> Result<(Position, u64), JournalError> {
        let Some(row) = guarded(|| self.table(STATE).get(REACH))? else {
            return Ok((0, 0));
        };
        row.split_at_checked(8)
            .and_then(|(position, streams)| number(position).zip(number(streams)))
            .ok_or_else(|| odd("how far it reaches cannot be read"))
    }

    /// Rewrites it without the payloads and streams of the entries at these positions, which are in order.
    pub(crate) fn erase_index(
        &self,
        erased: &[Position],
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), JournalError> {
        self.offsets.erase(erased, progress)?;
        let gone = |position: &[u8]| {
            number(position).is_some_and(|position| erased.binary_search(&position).is_ok())
        };
        let mut streams = 0;
        let mut keep = |table: usize, key: &[u8], value: &[u8]| match table {
            // A tip's position follows its version.
            STREAMS if is_tip(key) && gone(value.get(8..16).unwrap_or_default()) => {
                // At once: a killed process must not find fewer streams than were noted.
                self.streams.fetch_sub(1, Ordering::Relaxed);
                streams += 1;
                Keep::Not
            }
            STREAMS if gone(value) => Keep::Not,
            PAYLOADS if gone(key) => Keep::Not,
            STATE => {
                let position = number(value.get(..8).unwrap_or_default()).unwrap_or(0);
                Keep::Other(self.reach_row(position).to_vec())
            }
            _ => Keep::Same,
        };
        let mut go_on = |done| {
            progress(done);
            true
        };
        let rewritten = guarded(|| self.rows.rewrite(&mut keep, &mut go_on).map(drop));
        if rewritten.is_err() {
            self.streams.fetch_add(streams, Ordering::Relaxed);
        }
        Ok(rewritten?)
    }

    /// Compacts the rows of streams and payloads. `progress` is called with the rows done and returns whether to continue;
    /// interrupted, everything is as before. Returns whether it was finished.
    pub(crate) fn compact(
        &self,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<bool, JournalError> {
        Ok(guarded(|| self.rows.compact(progress))?)
    }

    /// The sizes of the rows of streams and payloads.
    pub(crate) fn sizes(&self) -> Result<storage::Sizes, JournalError> {
        Ok(guarded(|| self.rows.sizes())?)
    }

    /// The last entry up to which it has everything.
    pub(crate) fn last(&self) -> Result<Option<(Position, IndexEntry)>, JournalError> {
        let (position, _) = self.reach()?;
        if position == 0 {
            return Ok(None);
        }
        let entry = self.entry(position)?;
        let entry = entry.ok_or_else(|| odd("its offsets end too early"))?;
        Ok(Some((position, entry)))
    }

    /// The last position it has a row of.
    pub(crate) fn furthest(&self) -> Result<Position, JournalError> {
        self.offsets.last()
    }

    /// The index entry of a position; `None` when it has none.
    pub(crate) fn entry(&self, position: Position) -> Result<Option<IndexEntry>, JournalError> {
        Ok(self.offsets.get(position)?.map(IndexEntry::from))
    }

    /// The position before this one in its stream; 0 when there is none with a body.
    pub(crate) fn before(&self, position: Position) -> Result<Position, JournalError> {
        let offset = self.offset(position)?;
        match offset.before {
            0 => Ok(0),
            before if self.offset(before)?.erased => Ok(0),
            before => Ok(before),
        }
    }

    /// The payload of an entry, or where it is.
    pub(crate) fn payload(&self, position: Position) -> Result<PayloadLocation, JournalError> {
        if let Some(payload) = guarded(|| self.table(PAYLOADS).get(position.to_be_bytes()))? {
            return Ok(PayloadLocation::InDatabase(Bytes::copy_from_slice(
                &payload,
            )));
        }
        Ok(match self.offsets.get(position)? {
            Some(offset) if offset.payload => PayloadLocation::InLog(offset.into()),
            Some(_) | None => PayloadLocation::Nothing,
        })
    }

    /// Removes payloads that are seldom read from now on: the log still has them.
    pub(crate) fn release_payloads(&self, positions: &[Position]) -> Result<(), JournalError> {
        let remove = |into: &storage::Generation| {
            let payloads = into.table(PAYLOADS);
            positions.iter().try_for_each(|position| {
                payloads.remove(position.to_be_bytes())?;
                Ok(())
            })
        };
        Ok(guarded(|| self.rows.write(remove))?)
    }

    fn offset(&self, position: Position) -> Result<EntryOffset, JournalError> {
        let offset = self.offsets.get(position)?;
        offset.ok_or_else(|| odd(&format!("position {position} is missing from it")))
    }

    /// Counts the rows up to the position it reaches. Reads the whole database.
    pub(crate) fn count(&self) -> Result<Count, JournalError> {
        let (reach, _) = self.reach()?;
        let erased = self.offsets.count_erased(reach)?;
        let mut streams = 0;
        for row in self.table(STREAMS).rows() {
            let (key, value) = guarded(|| row)?;
            if !is_tip(&key) {
                continue;
            }
            let tip = read_tip(&value).ok_or_else(|| odd("a stream's row cannot be read"))?;
            streams += u64::from(self.began_by(tip, reach)?);
        }
        Ok(Count {
            entries: reach,
            erased,
            streams,
        })
    }

    /// How many streams there should be where it has everything.
    pub(crate) fn streams_noted(&self) -> Result<u64, JournalError> {
        Ok(self.reach()?.1)
    }

    /// Whether a stream had an entry by a position: a killed process may leave rows of later ones.
    fn began_by(&self, tip: Tip, reach: Position) -> Result<bool, JournalError> {
        let mut position = tip.position;
        while position > reach {
            position = self.offset(position)?.before;
        }
        Ok(position > 0)
    }

    /// Makes everything durable: the engine's own flush, and a sync of each file, which that flush leaves out.
    pub(crate) fn sync(&self, dir: &Path) -> Result<(), JournalError> {
        guarded(|| self.rows.flush())?;
        let dir = dir.join(DIRECTORY);
        storage::sync_directory(&dir)
            .map_err(|error| failed("syncing the journal's database", &dir, error))
    }
}

impl From<EntryOffset> for IndexEntry {
    fn from(offset: EntryOffset) -> Self {
        Self {
            location: offset.location,
            hash: offset.hash,
        }
    }
}

/// Renames the database's directory, so that a new one can be made. At most one renamed one is kept.
pub(crate) fn rename_broken(dir: &Path, now: Timestamp) -> Result<Option<PathBuf>, JournalError> {
    storage::rename_broken(dir, DIRECTORY, (BROKEN_PREFIX, now.millis()))
        .map_err(|error| failed("renaming the journal's database", dir, error))
}

/// Removes the renamed databases.
pub(crate) fn remove_renamed(dir: &Path) -> Result<(), JournalError> {
    storage::remove_renamed(dir, BROKEN_PREFIX)
        .map_err(|error| failed("removing a renamed database", dir, error))
}

impl From<StorageError> for JournalError {
    fn from(error: StorageError) -> Self {
        match error {
            // An error of the machine says nothing about what is stored.
            StorageError::Io(error) if OsError::of(&error).is_some_and(OsError::is_outside) => {
                failed("using the journal's database", Path::new(DIRECTORY), error)
            }
            StorageError::Io(error) => Self::Database(error.to_string()),
            StorageError::Engine(what) => Self::Database(what),
            StorageError::Panicked => Self::Database("it panicked".to_owned()),
        }
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

fn odd(what: &str) -> JournalError {
    JournalError::Database(what.to_owned())
}
