//! The projections' database: one ordered key space in two tables, its checkpoint, and the directories of its generations.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::Write;
use super::error::StoreError;
use super::row_cache::{RowCache, RowVersion};
use super::usage::reservations::Reservations;
use super::watchers::Watchers;
use crate::domain::record::Record;
use crate::journal::Position;
use crate::storage::{
    self, BatchDatabase as Database, Keep, ReadCache, Row, Settings, StorageError, Value,
};

/// The tables: of rows that are read one by one, and of those that are read in ranges.
const TABLES: &[&str] = &["records", "lists"];
/// Number of the table of rows that are read one by one.
const RECORDS: usize = 0;
/// Number of the table of rows that are read in ranges.
const LISTS: usize = 1;
/// The first bytes of the keys in [`LISTS`].
const LISTED: &[u8] = b"ltdhcoef";
/// The first byte of the keys of records' rows, which have a cache of their own.
pub(super) const RECORD: u8 = b'r';
/// The part of the memory that is for decoded records: a third.
const RECORDS_PART: u64 = 3;
/// What a decoded record takes, its place in the cache included, besides its key and tags, in bytes, about.
const RECORD_BYTES: u64 = 800;
/// What a tag of a record takes, in bytes, about.
const TAG_BYTES: u64 = 48;
/// In both tables, written with every batch: it tells whether they are at the same one.
const CHECKPOINT: &[u8] = b"~checkpoint";
const MANIFEST: &[u8] = b"~manifest";

/// A decoded row, of the type that its key determines.
type CachedRow = Arc<dyn Any + Send + Sync>;

/// One generation of the projections. Cheap to clone; all clones share it.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
    row_cache: Arc<RowCache<Option<CachedRow>>>,
    record_cache: Arc<ReadCache<Vec<u8>, Arc<Record>>>,
    /// The first bytes of the keys whose rows are cached.
    cached: Arc<[u8]>,
    reservations: Arc<Reservations>,
    watchers: Arc<Watchers>,
}

impl Store {
    /// Opens or creates a generation in a directory of its own; rows whose keys begin with one of the `cached` bytes can be
    /// read from memory.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be opened; it can then be deleted and rebuilt.
    pub(super) fn open_caching(
        directory: &Path,
        cache_bytes: u64,
        cached: Arc<[u8]>,
    ) -> Result<Self, StoreError> {
        let for_records = cache_bytes / RECORDS_PART;
        let settings = Settings {
            cache_bytes: cache_bytes - for_records,
            flush_every_ms: None,
            tables: TABLES,
            other_files: &[],
        };
        Ok(Self {
            database: Arc::new(Database::open(directory, settings)?),
            row_cache: Arc::default(),
            record_cache: Arc::new(ReadCache::new(for_records, RECORD_BYTES, record_bytes)),
            cached,
            reservations: Arc::default(),
            watchers: Arc::default(),
        })
    }

    /// The reservations of pending commands against quotas.
    pub fn reservations(&self) -> &Arc<Reservations> {
        &self.reservations
    }

    /// Those who wait for changes of records.
    pub fn watchers(&self) -> &Arc<Watchers> {
        &self.watchers
    }

    /// Rewrites the database without the rows whose key and value `gone` matches, and removes the old files. Reads and
    /// writes continue meanwhile. `progress` is called with the rows done.
    ///
    /// # Errors
    /// [`StoreError`] when a read or write fails; nothing has changed then.
    pub fn rewrite(
        &self,
        gone: &dyn Fn(&[u8], &[u8]) -> bool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), StoreError> {
        let mut keep = |_: usize, key: &[u8], value: &[u8]| {
            if gone(key, value) {
                Keep::Not
            } else {
                Keep::Same
            }
        };
        let mut go_on = |done| {
            progress(done);
            true
        };
        let renewed = self.database.rewrite(&mut keep, &mut go_on);
        self.row_cache.clear();
        self.record_cache.clear();
        renewed?;
        Ok(())
    }

    /// The last position whose changes are all in.
    ///
    /// # Errors
    /// [`StoreError`] when a read fails, or when the tables are not at the same position: files of one are damaged then.
    pub fn checkpoint(&self) -> Result<Position, StoreError> {
        let mut positions = [0, 0];
        for (table, position) in positions.iter_mut().enumerate() {
            let row = self.database.get(table, CHECKPOINT)?;
            let bytes = row.and_then(|row| <[u8; 8]>::try_from(&*row).ok());
            *position = bytes.map_or(0, Position::from_be_bytes);
        }
        let [records, lists] = positions;
        if records == lists {
            return Ok(records);
        }
        Err(StorageError::Engine(format!(
            "its tables are at the positions {records} and {lists}, so a part of its files is missing or damaged"
        ))
        .into())
    }

    /// Names the versions of the projections it was built with.
    ///
    /// # Errors
    /// [`StoreError`] when a read fails.
    pub fn manifest(&self) -> Result<String, StoreError> {
        let row = self.get(MANIFEST)?;
        Ok(row.map_or_else(String::new, |row| {
            String::from_utf8_lossy(&row).into_owned()
        }))
    }

    /// Notes the versions of the projections it is built with.
    ///
    /// # Errors
    /// [`StoreError`] when a write fails.
    pub fn set_manifest(&self, manifest: &str) -> Result<(), StoreError> {
        let row = [(RECORDS, MANIFEST, Some(manifest.as_bytes()))];
        Ok(self.database.write(|into| into.commit(row))?)
    }

    /// Writes changes together: a crash leaves all of them or none. The later of two of one key has the last word. Readers see
    /// them in their order.
    ///
    /// # Errors
    /// [`StoreError`] when a write fails.
    pub fn write(&self, writes: &mut Vec<Write>) -> Result<(), StoreError> {
        self.write_all(writes, None)
    }

    /// Writes changes together with the position up to which everything is in then.
    ///
    /// # Errors
    /// [`StoreError`] when a write fails.
    pub(super) fn write_up_to(
        &self,
        position: Position,
        writes: &mut Vec<Write>,
    ) -> Result<(), StoreError> {
        self.write_all(writes, Some(position))
    }

    fn write_all(
        &self,
        writes: &mut Vec<Write>,
        position: Option<Position>,
    ) -> Result<(), StoreError> {
        self.invalidate(writes);
        let position = position.map(Position::to_be_bytes);
        let written = self.database.write(|into| {
            let rows = writes.iter();
            let rows = rows.map(|(key, value)| (table_of(key), key.as_slice(), value.as_deref()));
            let position = position.as_ref().map(|bytes| bytes.as_slice());
            let checkpoints =
                position.map(|at| [RECORDS, LISTS].map(|table| (table, CHECKPOINT, Some(at))));
            into.commit(rows.chain(checkpoints.into_iter().flatten()))
        });
        self.invalidate(writes);
        written?;
        writes.clear();
        Ok(())
    }

    fn invalidate(&self, writes: &[Write]) {
        for (key, _) in writes {
            match key.first() {
                Some(&RECORD) => self.record_cache.remove(key),
                Some(first) if self.cached.contains(first) => self.row_cache.invalidate(key),
                Some(_) | None => {}
            }
        }
    }

    /// One row of a cached projection, which nearly every request reads; from memory when it was read before. All rows of
    /// one kind are read as one type.
    ///
    /// # Errors
    /// [`StoreError`] when a row cannot be read or decoded.
    pub(super) fn get_cached<T>(&self, key: &[u8]) -> Result<Option<Arc<T>>, StoreError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let row = self.row_cache.get(key, || {
            let Some(row) = self.get(key)? else {
                return Ok::<_, StoreError>(None);
            };
            let row: T = postcard::from_bytes(&row)?;
            Ok(Some(Arc::new(row)))
        })?;
        Ok(row.and_then(|row| row.downcast().ok()))
    }

    /// The record of a row; from memory when it was read before.
    ///
    /// # Errors
    /// [`StoreError`] when the row cannot be read or decoded.
    pub(super) fn record(&self, key: &[u8]) -> Result<Option<Arc<Record>>, StoreError> {
        self.record_cache.get(key, || {
            let row = self.get(key)?;
            Ok(row.map(|row| postcard::from_bytes(&row)).transpose()?)
        })
    }

    /// The version of a cached row. To be taken before the row is read.
    pub(super) fn row_version(&self, key: &[u8]) -> RowVersion {
        self.row_cache.version(key)
    }

    /// Whether a row has not changed since its version was taken. False negatives are possible.
    pub fn is_current(&self, version: RowVersion) -> bool {
        self.row_cache.is_current(version)
    }

    /// Notes that everything up to a position is in.
    ///
    /// # Errors
    /// [`StoreError`] when a write fails.
    pub fn set_checkpoint(&self, position: Position) -> Result<(), StoreError> {
        self.write_up_to(position, &mut Vec::new())
    }

    /// Reads one value by its key.
    ///
    /// # Errors
    /// [`StoreError`] when a read fails.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
        Ok(self.database.get(table_of(key), key)?)
    }

    /// The rows from a key on that begin with `prefix`, in order. It begins with a projection's first byte.
    pub fn scan(
        &self,
        prefix: Vec<u8>,
        from: &[u8],
    ) -> impl Iterator<Item = Result<Row, StoreError>> + use<> {
        self.rows_from(table_of(&prefix), from)
            .take_while(move |row| {
                row.as_ref()
                    .map_or(true, |(key, _)| key.starts_with(&prefix))
            })
    }

    fn rows_from(
        &self,
        table: usize,
        from: &[u8],
    ) -> impl Iterator<Item = Result<Row, StoreError>> + use<> {
        let rows = self.database.rows_from(table, from);
        rows.map(|row| row.map_err(StoreError::from))
    }

    /// Every row but the bookkeeping, in order; for comparing two generations.
    pub fn rows(&self) -> impl Iterator<Item = Result<Row, StoreError>> + use<> {
        let is_row = |row: &Result<Row, StoreError>| {
            row.as_ref().map_or(true, |(key, _)| !key.starts_with(b"~"))
        };
        let mut records = self.rows_from(RECORDS, &[]).filter(is_row).peekable();
        let mut lists = self.rows_from(LISTS, &[]).filter(is_row).peekable();
        std::iter::from_fn(move || match (records.peek(), lists.peek()) {
            (Some(Ok(record)), Some(Ok(listed))) if listed.0 < record.0 => lists.next(),
            (None, _) | (_, Some(Err(_))) => lists.next(),
            (Some(_), _) => records.next(),
        })
    }

    /// Pushes everything to the operating system.
    ///
    /// # Errors
    /// [`StoreError`] when a write fails.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.database.flush()?;
        Ok(())
    }
}

#[expect(clippy::ptr_arg, reason = "the cache's keys are vectors")]
fn record_bytes(key: &Vec<u8>, record: &Arc<Record>) -> u64 {
    RECORD_BYTES + key.len() as u64 + TAG_BYTES * record.tags.len() as u64
}

/// The number of the table that a row is in.
fn table_of(key: &[u8]) -> usize {
    match key.first() {
        Some(first) if LISTED.contains(first) => LISTS,
        Some(_) | None => RECORDS,
    }
}

/// The directories of generations: one in use, and one being built.
#[derive(Clone, Debug)]
pub struct Directories {
    root: PathBuf,
}

impl Directories {
    /// The generations below a directory.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The one in use.
    pub fn current(&self) -> PathBuf {
        self.root.join("current")
    }

    /// The one being built.
    pub fn next(&self) -> PathBuf {
        self.root.join("next")
    }

    /// Notes that the generation in use is being opened, until [`Directories::opened`]. Returns how often in a row that was
    /// noted before: a database that ends the process which opens it, or was killed then.
    pub(super) fn opening(&self) -> u32 {
        let noted = std::fs::read_to_string(self.opening_file());
        let times = noted.ok().and_then(|noted| noted.trim().parse().ok());
        let times: u32 = times.unwrap_or(0);
        if std::fs::create_dir_all(&self.root).is_ok() {
            // What cannot be noted is not known at the next start: no more than if there were no note.
            let _: std::io::Result<()> =
                std::fs::write(self.opening_file(), format!("{}\n", times + 1));
        }
        times
    }

    /// Notes that the generation in use is open, or is not to be opened.
    pub(super) fn opened(&self) {
        // It is not there if it could not be noted.
        let _: std::io::Result<()> = std::fs::remove_file(self.opening_file());
    }

    fn opening_file(&self) -> PathBuf {
        self.root.join("opening")
    }

    /// Removes the generation in use.
    ///
    /// # Errors
    /// [`StoreError`] when the directory cannot be removed.
    pub(super) fn clear_current(&self) -> Result<(), StoreError> {
        remove(&self.current())
    }

    /// Removes the generation in use if it is not one that can be opened: files of an earlier program, which had another engine,
    /// or such that a crash left incomplete. Returns whether it was so.
    ///
    /// # Errors
    /// [`StoreError`] when the directory cannot be read or removed.
    pub fn clear_foreign(&self) -> Result<bool, StoreError> {
        let current = self.current();
        let foreign =
            storage::is_foreign(&current).map_err(|source| io("read", &current, source))?;
        if foreign {
            remove(&current)?;
        }
        Ok(foreign)
    }

    /// Removes what an interrupted build left.
    ///
    /// # Errors
    /// [`StoreError`] when the directory cannot be removed.
    pub fn clear_next(&self) -> Result<(), StoreError> {
        remove(&self.next())?;
        remove(&self.root.join("old"))
    }

    /// Puts the built generation in the place of the one in use. Neither may be open.
    ///
    /// # Errors
    /// [`StoreError`] when a directory cannot be moved; the next start builds again.
    pub fn swap(&self) -> Result<(), StoreError> {
        let old = self.root.join("old");
        if self.current().exists() {
            rename(&self.current(), &old)?;
        }
        rename(&self.next(), &self.current())?;
        remove(&old)
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    std::fs::rename(from, to).map_err(|source| io("move", from, source))
}

fn remove(directory: &Path) -> Result<(), StoreError> {
    match std::fs::remove_dir_all(directory) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(io("remove", directory, source))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn io(action: &'static str, place: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io {
        action,
        place: place.display().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_at_different_positions_are_damage() {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(scratch.path(), 1 << 20).unwrap();
        store.set_checkpoint(7).unwrap();
        assert_eq!(store.checkpoint().unwrap(), 7);
        let older = 6_u64.to_be_bytes();
        let row = [(LISTS, CHECKPOINT, Some(older.as_slice()))];
        store.database.write(|into| into.commit(row)).unwrap();
        let told = store.checkpoint().unwrap_err();
        assert!(matches!(told, StoreError::Database(_)), "{told:?}");
    }

    #[test]
    fn rows_of_both_tables_come_in_the_order_of_their_keys() {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(scratch.path(), 1 << 20).unwrap();
        let keys: Vec<Vec<u8>> = (b'a'..=b'z').map(|first| vec![first, b'k']).collect();
        let mut writes = keys.iter().rev().map(|key| (key.clone(), Some(vec![1])));
        store.write(&mut writes.by_ref().collect()).unwrap();
        store.set_checkpoint(3).unwrap();
        let rows: Vec<_> = store.rows().map(|row| row.unwrap().0.to_vec()).collect();
        assert_eq!(rows, keys);
        for key in keys {
            assert_eq!(store.get(&key).unwrap().as_deref(), Some(&[1][..]));
            assert_eq!(store.scan(key.clone(), &key).count(), 1);
        }
    }

    #[test]
    fn every_projection_is_in_one_table() {
        let listed = crate::projections::all();
        let listed = listed.iter().map(|projection| projection.prefix());
        let listed = listed.filter(|first| table_of(&[*first]) == LISTS);
        assert_eq!(listed.count(), LISTED.len());
    }
}
