//! The engine of the projections' database, fjall: log-structured trees, written in atomic batches over all tables.
//!
//! Nothing is synced with a batch: the engine's own journal is written through a buffer of 8 KiB, which is all that a killed
//! process loses, and it is synced before rows of a table move from memory to files. So all tables are at the same batch again
//! after a crash.

use std::fmt;
use std::fs;
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fjall::config::{BloomConstructionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::{Keyspace, KeyspaceCreateOptions, PersistMode};

use super::generation::{self, Generation, Kept, Settings};
use super::{LOCK_PAUSE, StorageError, guarded};

/// A database that is written in batches.
pub(crate) type Database = generation::Database<Engine>;

/// Parts of the memory: half is for pages, the rest for rows that are not in files yet, of which each table has those that take
/// writes and at most as many as [`SEALED_MAX`] others.
const MEMORY_PARTS: u64 = 2;
/// Rows in memory that a table waits to write to files, in units of what takes writes.
const SEALED_MAX: usize = 2;
/// The least that takes writes in a table, in bytes: less would make a file of every few rows.
const MEMTABLE_BYTES_MIN: u64 = 512 * 1024;
/// Threads that write files and merge them: one for each.
const WORKERS: usize = 2;
/// Files of a database that are open at once.
const OPEN_FILES: usize = 64;
/// Bytes of the engine's journals before the oldest is given up, the least there can be.
const JOURNAL_BYTES: u64 = 64 * 1024 * 1024;
/// The pause between two looks at what waits to be written.
const PAUSE: Duration = Duration::from_millis(1);
/// How often a database that another process has locked is opened again; each time the engine itself waits for 200 ms.
const OPEN_TRIES: u32 = 5;
/// The file that the engine makes last of a new database.
const MARKER: &str = "version";
/// The directory with the engine's tables, each in one of a number.
const KEYSPACES: &str = "keyspaces";

/// A key or a value, shared with the engine's cache instead of copied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value(fjall::Slice);

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

/// An open database of the engine: one directory, locked against other processes.
pub(crate) struct Engine {
    /// `None` while it is dropped. The engine's threads end with it.
    database: Option<fjall::Database>,
    tables: Vec<Table>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.tables.clear();
        let database = self.database.take();
        // What it could not write is replayed, and a panic on the way out is as good as a crash.
        let _: Result<(), StorageError> = guarded(|| {
            drop(database);
            Ok(())
        });
    }
}

impl Engine {
    fn database(&self) -> Result<&fjall::Database, StorageError> {
        let database = self.database.as_ref();
        database.ok_or_else(|| StorageError::Engine("it is closed".to_owned()))
    }
}

/// Whether the generation in use of a directory is not one of this engine: it is another one's, or a crash came before it was
/// complete.
pub(crate) fn is_foreign(root: &Path) -> io::Result<bool> {
    match generation::directory_in_use(root)? {
        Some(directory) => Ok(!directory.join(MARKER).try_exists()?),
        None => Ok(false),
    }
}

/// Fails on directories that the engine does not expect among its own: it would panic with a lock held, and end the process.
fn check_names(directory: &Path) -> Result<(), StorageError> {
    let entries = match fs::read_dir(directory.join(KEYSPACES)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let is_number = name
            .to_str()
            .is_some_and(|name| name.parse::<u64>().is_ok());
        if entry.file_type()?.is_dir() && !is_number {
            let told = format!("{} is none of its own", entry.path().display());
            return Err(StorageError::Engine(told));
        }
    }
    Ok(())
}

fn options(memtable_bytes: u64) -> KeyspaceCreateOptions {
    // Ten bits a key everywhere: a key that is new is looked for before it is written.
    let filter = FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(10.0));
    KeyspaceCreateOptions::default()
        .manual_journal_persist(true)
        .max_memtable_size(memtable_bytes)
        .filter_policy(FilterPolicy::all(filter))
}

impl generation::Engine for Engine {
    type Table = Table;
    type Value = Value;

    fn open(directory: &Path, settings: &Settings) -> Result<(Self, Vec<Table>), StorageError> {
        check_names(directory)?;
        let pages = settings.cache_bytes / MEMORY_PARTS;
        let units = settings.tables.len() as u64 * (SEALED_MAX as u64 + 1);
        let memtable_bytes = ((settings.cache_bytes - pages) / units).max(MEMTABLE_BYTES_MIN);
        let mut tries = OPEN_TRIES;
        let database = loop {
            let builder = fjall::Database::builder(directory)
                .cache_size(pages)
                .manual_journal_persist(true)
                .max_journaling_size(JOURNAL_BYTES)
                .max_cached_files(Some(OPEN_FILES))
                .worker_threads(WORKERS);
            match builder.open() {
                Err(fjall::Error::Locked) if tries > 0 => {
                    tries -= 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                opened => break opened?,
            }
        };
        let tables = settings.tables.iter();
        let tables = tables.map(|name| {
            let keyspace = database.keyspace(name, || options(memtable_bytes))?;
            Ok(Table(keyspace))
        });
        let tables = tables.collect::<Result<Vec<_>, StorageError>>()?;
        let engine = Self {
            database: Some(database),
            tables: tables.clone(),
        };
        Ok((engine, tables))
    }

    fn flush(&self) -> Result<(), StorageError> {
        guarded(|| {
            for table in &self.tables {
                table.0.rotate_memtable()?;
            }
            for table in &self.tables {
                self.wait(table, 0)?;
            }
            Ok(())
        })
    }

    fn rows_from(
        table: &Table,
        from: &[u8],
    ) -> impl Iterator<Item = Result<Row, StorageError>> + use<> {
        Rows {
            rows: table.0.range(from..),
            _generation: None,
        }
    }

    fn insert_all(
        &self,
        table: &Table,
        rows: Vec<(Value, Kept<Value>)>,
    ) -> Result<(), StorageError> {
        let mut batch = self.database()?.batch();
        for (key, value) in rows {
            match value {
                Kept::Same(value) => batch.insert(&table.0, key.0, value.0),
                Kept::Other(value) => batch.insert(&table.0, key.0, value),
            }
        }
        guarded(|| self.commit(batch))
    }
}

impl Engine {
    /// Waits until no more than so many of a table's units of rows in memory wait to be written to files.
    fn wait(&self, table: &Table, waiting_max: usize) -> Result<(), StorageError> {
        while table.0.sealed_memtable_count() > waiting_max {
            // It fails once a thread of the engine has failed.
            self.database()?.persist(PersistMode::Buffer)?;
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Commits a batch. First it waits until the tables have room in memory: the engine itself would wait without an end for
    /// a thread that a full disk has ended.
    fn commit(&self, batch: fjall::OwnedWriteBatch) -> Result<(), StorageError> {
        for table in &self.tables {
            self.wait(table, SEALED_MAX - 1)?;
        }
        Ok(batch.commit()?)
    }
}

impl Generation<Engine> {
    /// Sets and removes rows of all tables, all or none of them: each has its table's number, its key, and its value unless it
    /// is removed. The later of two with one key has the last word.
    pub(crate) fn commit<'a>(
        &self,
        rows: impl IntoIterator<Item = (usize, &'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), StorageError> {
        guarded(|| {
            let mut batch = self.engine.database()?.batch();
            for (table, key, value) in rows {
                let keyspace = &self.tables[table].0;
                match value {
                    Some(value) => batch.insert(keyspace, key, value),
                    None => batch.remove(keyspace, key),
                }
            }
            self.engine.commit(batch)
        })
    }
}

/// An ordered table of a database. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Table(Keyspace);

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}

impl Database {
    /// The value of a key of a table.
    pub(crate) fn get(&self, table: usize, key: &[u8]) -> Result<Option<Value>, StorageError> {
        guarded(|| {
            let value = self.current().tables[table].0.get(key)?;
            Ok(value.map(Value))
        })
    }

    /// The rows of a table from a key on, in order. While they are read the files of their generation stay, for a second.
    pub(crate) fn rows_from(&self, table: usize, from: &[u8]) -> Rows {
        let generation = self.current();
        Rows {
            rows: generation.tables[table].0.range(from..),
            _generation: Some(generation),
        }
    }
}

/// Rows of a table, read one after the other.
pub(crate) struct Rows {
    /// Before the generation: it is read from.
    rows: fjall::Iter,
    _generation: Option<Arc<Generation<Engine>>>,
}

impl Iterator for Rows {
    type Item = Result<Row, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = guarded(|| match self.rows.next() {
            Some(row) => {
                let (key, value) = row.into_inner()?;
                Ok(Some((Value(key), Value(value))))
            }
            None => Ok(None),
        });
        row.transpose()
    }
}

impl From<fjall::Error> for StorageError {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
                Self::Io(error)
            }
            fjall::Error::Locked => Self::Io(io::Error::new(
                io::ErrorKind::WouldBlock,
                "the database is open elsewhere",
            )),
            other => Self::Engine(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
