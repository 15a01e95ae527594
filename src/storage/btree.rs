//! The engine of the journal's database, sled, behind the few operations that it needs.
//!
//! Batches, transactions and checksums of sled are not used: after the first, every later read of the process takes one
//! global lock.

use std::ops::RangeBounds;
use std::path::Path;

use super::generation::{self, Settings};
use super::{LOCK_PAUSE, LOCK_TRIES, StorageError};

/// A key with its value.
type Row = (sled::IVec, sled::IVec);

/// An open database of the engine: one directory, locked against other processes.
#[derive(Debug)]
pub(crate) struct Engine(sled::Db);

impl Engine {
    /// Whether a table of this name exists.
    pub(super) fn has_table(&self, name: &str) -> bool {
        self.0
            .tree_names()
            .iter()
            .any(|found| found == name.as_bytes())
    }

    fn remove_table(&self, name: &str) -> Result<bool, StorageError> {
        Ok(self.has_table(name) && self.0.drop_tree(name)?)
    }
}

impl generation::Engine for Engine {
    type Table = Table;
    type Value = sled::IVec;

    fn open(directory: &Path, settings: &Settings) -> Result<(Self, Vec<Table>), StorageError> {
        let config = sled::Config::new()
            .path(directory)
            .cache_capacity(settings.cache_bytes)
            .flush_every_ms(settings.flush_every_ms);
        let mut tries = LOCK_TRIES;
        let database = loop {
            match config.open() {
                Err(sled::Error::Io(error))
                    if tries > 0 && error.to_string().contains("acquire lock") =>
                {
                    tries -= 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                opened => break opened?,
            }
        };
        let tables = settings.tables.iter();
        let tables = tables.map(|name| Ok(Table(database.open_tree(name)?)));
        let tables = tables.collect::<Result<_, StorageError>>()?;
        Ok((Self(database), tables))
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.0.flush()?;
        Ok(())
    }

    fn rows_from(
        table: &Table,
        from: &[u8],
    ) -> impl Iterator<Item = Result<Row, StorageError>> + use<> {
        table.range(from..)
    }

    fn insert_all(
        &self,
        table: &Table,
        rows: Vec<(sled::IVec, generation::Kept<sled::IVec>)>,
    ) -> Result<(), StorageError> {
        for (key, value) in rows {
            match value {
                generation::Kept::Same(value) => table.insert(&key, value)?,
                generation::Kept::Other(value) => table.insert(&key, value)?,
            };
        }
        Ok(())
    }
}

/// An ordered table of a database. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Table(sled::Tree);

impl Table {
    /// The value of a key.
    pub(crate) fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<sled::IVec>, StorageError> {
        Ok(self.0.get(key)?)
    }

    /// Sets the value of a key.
    pub(crate) fn insert(
        &self,
        key: impl AsRef<[u8]>,
        value: impl Into<sled::IVec>,
    ) -> Result<(), StorageError> {
        self.0.insert(key, value)?;
        Ok(())
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
        Some(self.0.next()?.map_err(StorageError::from))
    }
}

impl generation::Database<Engine> {
    /// Whether the generation in use has a table of this name.
    pub(crate) fn has_table(&self, name: &str) -> bool {
        self.current().engine.has_table(name)
    }

    /// Removes a table that an earlier program had; what the files had with it is not taken for their size any more.
    pub(crate) fn remove_table(&self, name: &str) -> Result<(), StorageError> {
        if self.current().engine.remove_table(name)? {
            self.forget_size()?;
        }
        Ok(())
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
