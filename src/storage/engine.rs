//! The engine, sled, behind the few operations that databases need; another engine would replace this file alone.
//!
//! Batches, transactions and checksums of sled are not used: after the first, every later read of the process takes one
//! global lock.

use std::ops::{Deref, RangeBounds};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use super::StorageError;

/// How often a lock that another process holds is tried again.
pub(crate) const LOCK_TRIES: u32 = 100;
/// The pause between two tries: a second in all.
pub(crate) const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A key or a value, shared with the engine's cache instead of copied.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value(sled::IVec);

/// A key with its value.
pub type Row = (Value, Value);

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

/// An open database of the engine: one directory, locked against other processes.
#[derive(Debug)]
pub(super) struct Engine(sled::Db);

impl Engine {
    /// Opens or creates a database, waiting up to a second for its lock.
    ///
    /// A lock can outlive the process that held it: a child between fork and exec still has the file's descriptor.
    pub(super) fn open(
        directory: &Path,
        cache_bytes: u64,
        flush_every_ms: u64,
    ) -> Result<Self, StorageError> {
        let config = sled::Config::new()
            .path(directory)
            .cache_capacity(cache_bytes)
            .flush_every_ms(Some(flush_every_ms));
        let mut tries = LOCK_TRIES;
        loop {
            match config.open() {
                Err(sled::Error::Io(error))
                    if tries > 0 && error.to_string().contains("acquire lock") =>
                {
                    tries -= 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                opened => return Ok(Self(opened?)),
            }
        }
    }

    /// Opens a table, or creates an empty one.
    pub(super) fn table(&self, name: &str) -> Result<Table, StorageError> {
        Ok(Table(self.0.open_tree(name)?))
    }

    /// Whether a table of this name exists.
    pub(super) fn has_table(&self, name: &str) -> bool {
        self.0
            .tree_names()
            .iter()
            .any(|found| found == name.as_bytes())
    }

    /// Writes everything to the operating system; not to the disk: see [`super::sync_directory`].
    pub(super) fn flush(&self) -> Result<(), StorageError> {
        self.0.flush()?;
        Ok(())
    }
}

/// An ordered table of a database. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Table(sled::Tree);

impl Table {
    /// The value of a key.
    pub(crate) fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>, StorageError> {
        Ok(self.0.get(key)?.map(Value))
    }

    /// Sets a key and returns the value it had.
    pub(crate) fn insert(
        &self,
        key: impl AsRef<[u8]>,
        value: impl Into<Value>,
    ) -> Result<Option<Value>, StorageError> {
        Ok(self.0.insert(key, value.into().0)?.map(Value))
    }

    /// Removes a key and returns the value it had.
    pub(crate) fn remove(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>, StorageError> {
        Ok(self.0.remove(key)?.map(Value))
    }

    /// The rows whose keys are in a range, in order.
    pub(crate) fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Rows {
        Rows(self.0.range(range))
    }

    /// Every row, in order.
    pub(crate) fn rows(&self) -> Rows {
        Rows(self.0.iter())
    }
}

/// Rows of a table, read one after the other.
pub(crate) struct Rows(sled::Iter);

impl Iterator for Rows {
    type Item = Result<Row, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.0.next()?;
        Some(match row {
            Ok((key, value)) => Ok((Value(key), Value(value))),
            Err(error) => Err(error.into()),
        })
    }
}

impl From<sled::Error> for StorageError {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) => Self::Io(error),
            error @ (sled::Error::CollectionNotFound(_)
            | sled::Error::Unsupported(_)
            | sled::Error::ReportableBug(_)
            | sled::Error::Corruption { .. }) => Self::Engine(error.to_string()),
        }
    }
}

/// Runs work on a database whose files may be damaged; a panic of the engine becomes an error.
pub(crate) fn guarded<T>(
    work: impl FnOnce() -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(StorageError::Panicked))
}
