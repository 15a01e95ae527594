//! The journal's database: the offset of each entry, and the end of each stream.
//!
//! It is derived from the log: it may be deleted while the journal is closed, and is then rebuilt. Offsets are a plain
//! file (`offsets.rs`), which grows with the history; the rows of the key-value database (`rows.rs`) grow with the streams.
//! They are inserted one by one, because the engine recovers single inserts as a prefix, and because its batches and
//! transactions make every later read of the process take one lock. Payloads are read from the log.

mod insert;
mod rows;
mod streams;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entry::Hash;
use super::index::Tip;
use super::offsets::{EntryOffset, OffsetIndex};
use super::segment::{Location, failed};
use super::{JournalError, Position};
use crate::domain::Timestamp;
use crate::os_error::OsError;
use crate::storage::{self, StorageError};

use rows::{RowWriter, Rows};

/// The database's directory within the journal's.
pub const DIRECTORY: &str = "sled";
/// What a broken database is renamed to, before the time in milliseconds.
pub const BROKEN_PREFIX: &str = "sled.broken-";

/// A table of the older form, which had a row for every entry.
const OLD_TABLE: &str = "entries";

/// The database, open. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Database {
    offsets: Arc<OffsetIndex>,
    rows: Arc<Rows>,
    row_writer: Arc<RowWriter>,
}

/// The location of an entry in the log, and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) location: Location,
    pub(crate) hash: Hash,
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
        let rows = Arc::new(Rows::open(&root, cache_bytes)?);
        if rows.has_table(OLD_TABLE) {
            return Err(odd("it has an older form"));
        }
        Ok(Self {
            offsets: Arc::new(offsets),
            row_writer: Arc::new(RowWriter::start(&rows, &root)?),
            rows,
        })
    }

    /// Rewrites it without the streams of the entries at these positions, which are in order.
    pub(crate) fn erase_index(
        &self,
        erased: &[Position],
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), JournalError> {
        self.offsets.erase(erased, progress)?;
        let gone = |position| erased.binary_search(&position).is_ok();
        self.rows.erase(&gone, progress)
    }

    /// Compacts the rows of streams. `progress` is called with the rows done and returns whether to continue; interrupted,
    /// everything is as before. Returns whether it was finished.
    pub(crate) fn compact(
        &self,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<bool, JournalError> {
        self.rows.compact(progress)
    }

    /// The sizes of the rows of streams.
    pub(crate) fn sizes(&self) -> Result<storage::Sizes, JournalError> {
        self.rows.sizes()
    }

    /// Writes the rows that wait in memory.
    pub(crate) fn write_rows(&self) -> Result<(), JournalError> {
        self.rows.write()
    }

    /// The last entry up to which it has everything.
    pub(crate) fn last(&self) -> Result<Option<(Position, IndexEntry)>, JournalError> {
        let (position, _) = self.rows.reach()?;
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

    /// The index entry of a position that has a payload; `None` for one that has none, or whose payload was erased.
    pub(crate) fn with_payload(
        &self,
        position: Position,
    ) -> Result<Option<IndexEntry>, JournalError> {
        let offset = self.offsets.get(position)?;
        let offset = offset.filter(|offset| offset.payload);
        Ok(offset.map(IndexEntry::from))
    }

    fn offset(&self, position: Position) -> Result<EntryOffset, JournalError> {
        let offset = self.offsets.get(position)?;
        offset.ok_or_else(|| odd(&format!("position {position} is missing from it")))
    }

    /// Counts the rows up to the position it reaches. Reads the whole database.
    pub(crate) fn count(&self) -> Result<Count, JournalError> {
        let (reach, _) = self.rows.reach()?;
        let erased = self.offsets.count_erased(reach)?;
        let mut streams = 0;
        self.rows.each_end(&mut |tip| {
            streams += u64::from(self.began_by(tip, reach)?);
            Ok(())
        })?;
        Ok(Count {
            entries: reach,
            erased,
            streams,
        })
    }

    /// How many streams there should be where it has everything.
    pub(crate) fn streams_noted(&self) -> Result<u64, JournalError> {
        Ok(self.rows.reach()?.1)
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
        self.rows.flush()?;
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
