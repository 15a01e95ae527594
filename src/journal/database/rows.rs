//! The rows of streams: those that are not written yet are in memory, the others in the key-value database.
//!
//! An append changes the row of its stream. Rows are written in the order of their keys, many at a time, by a thread that
//! no answer waits for. What a killed process had not written is read from the log again.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};
use parking_lot::{Mutex, RwLock};

use super::{number, odd};
use crate::journal::index::Tip;
use crate::journal::segment::failed;
use crate::journal::{JournalError, Position, Version};
use crate::storage::{self, Generation, Keep, Settings, StorageError, Table, guarded};

/// How often the engine writes to the disk by itself; durability comes from the log.
const FLUSH_EVERY_MS: u64 = 500;
/// Number of the table of streams: see [`super::streams`].
const STREAMS: usize = 0;
/// Number of the table with the position that the other reaches.
const STATE: usize = 1;
/// A table of earlier programs, with copies of payloads.
const OLD_PAYLOADS: &str = "payloads";
/// The one key of that table.
const REACH: &[u8] = b"reach";
/// Entries that wait before their rows are written: as many are read from the log again after a crash, which takes a fraction
/// of a second.
const ENTRIES_WAITING: u64 = 16_384;
/// Entries that wait before appends wait for the rows to be written.
const ENTRIES_WAITING_MAX: u64 = 4 * ENTRIES_WAITING;
/// Rows written between two points where a copy of the database may go on.
const ROWS_AT_ONCE: usize = 256;

/// A row of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamRow {
    /// The stream's last entry.
    End(Tip),
    /// Where the version that the key names is.
    Version(Position),
}

impl StreamRow {
    fn read(key: &[u8], value: &[u8]) -> Result<Self, JournalError> {
        let row = if is_end(key) {
            read_end(value).map(Self::End)
        } else {
            number(value).map(Self::Version)
        };
        row.ok_or_else(|| odd("a stream's row cannot be read"))
    }

    fn write(self, key: &[u8], into: &Table) -> Result<(), StorageError> {
        match self {
            Self::End(tip) => {
                let mut value = [0; 16];
                value[..8].copy_from_slice(&tip.version.to_be_bytes());
                value[8..].copy_from_slice(&tip.position.to_be_bytes());
                into.insert(key, value.as_slice())?;
            }
            Self::Version(position) => {
                into.insert(key, position.to_be_bytes().as_slice())?;
            }
        }
        Ok(())
    }

    /// The entry that the row is of.
    pub(super) fn position(self) -> Position {
        match self {
            Self::End(tip) => tip.position,
            Self::Version(position) => position,
        }
    }
}

/// Rows that are not written yet.
#[derive(Default)]
struct Batch {
    rows: BTreeMap<Vec<u8>, StreamRow>,
    /// The last entry of which it has everything.
    reach: Position,
    entries: u64,
    /// Streams that began.
    begun: u64,
}

impl Batch {
    /// The first row in a range of keys.
    fn first(&self, range: Range<'_>) -> Option<(&[u8], StreamRow)> {
        let mut rows = self.rows.range::<[u8], _>(range);
        rows.next().map(|(key, row)| (key.as_slice(), *row))
    }
}

/// A range of keys.
pub(super) type Range<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

#[derive(Default)]
struct Pending {
    waiting: Batch,
    /// Those that are being written.
    writing: Option<Arc<Batch>>,
}

impl Pending {
    /// The batches, the latest ahead.
    fn batches(&self) -> impl Iterator<Item = &Batch> {
        std::iter::once(&self.waiting).chain(self.writing.as_deref())
    }
}

/// All rows of streams.
pub(super) struct Rows {
    tables: storage::Database,
    pending: RwLock<Pending>,
    /// The number of streams up to the position that the database reaches.
    streams: AtomicU64,
    /// Held while rows are written: one batch after the other.
    one_writes: Mutex<()>,
    /// Why rows could not be written; no append is carried out from then on.
    failure: Mutex<Option<JournalError>>,
}

impl Rows {
    /// Opens the database in a directory, or creates an empty one.
    pub(super) fn open(root: &Path, cache_bytes: u64) -> Result<Self, JournalError> {
        let settings = Settings {
            cache_bytes,
            flush_every_ms: Some(FLUSH_EVERY_MS),
            tables: &["tips", "state"],
            other_files: &[super::super::offsets::FILE],
        };
        let tables = storage::Database::open(root, settings)?;
        guarded(|| tables.remove_table(OLD_PAYLOADS))?;
        let rows = Self {
            tables,
            pending: RwLock::default(),
            streams: AtomicU64::new(0),
            one_writes: Mutex::new(()),
            failure: Mutex::new(None),
        };
        let (_, streams) = rows.reach()?;
        rows.streams.store(streams, Ordering::Relaxed);
        Ok(rows)
    }

    /// Whether the database has a table of this name.
    pub(super) fn has_table(&self, name: &str) -> bool {
        self.tables.has_table(name)
    }

    /// The position up to which the database has everything, and the number of streams there were then.
    pub(super) fn reach(&self) -> Result<(Position, u64), JournalError> {
        let Some(row) = guarded(|| self.tables.table(STATE).get(REACH))? else {
            return Ok((0, 0));
        };
        row.split_at_checked(8)
            .and_then(|(position, streams)| number(position).zip(number(streams)))
            .ok_or_else(|| odd("how far it reaches cannot be read"))
    }

    /// The row of a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<StreamRow>, JournalError> {
        let pending = self.pending.read();
        let waiting = pending.batches().find_map(|batch| batch.rows.get(key));
        if let Some(row) = waiting.copied() {
            return Ok(Some(row));
        }
        drop(pending);
        let stored = guarded(|| self.tables.table(STREAMS).get(key))?;
        stored.map(|row| StreamRow::read(key, &row)).transpose()
    }

    /// The first row in a range of keys.
    pub(super) fn first(
        &self,
        range: Range<'_>,
    ) -> Result<Option<(Vec<u8>, StreamRow)>, JournalError> {
        // Of two rows with one key the later comes first, and is the one that is taken.
        let mut found: Option<(Vec<u8>, StreamRow)> = None;
        let mut take = |key: &[u8], row| {
            if found
                .as_ref()
                .is_none_or(|(first, _)| key < first.as_slice())
            {
                found = Some((key.to_vec(), row));
            }
        };
        // Before the database: a row goes from here to there.
        let pending = self.pending.read();
        for (key, row) in pending.batches().filter_map(|batch| batch.first(range)) {
            take(key, row);
        }
        drop(pending);
        let stored = guarded(|| {
            self.tables
                .table(STREAMS)
                .range::<&[u8]>(range)
                .next()
                .transpose()
        })?;
        if let Some((key, value)) = stored {
            take(&key, StreamRow::read(&key, &value)?);
        }
        Ok(found)
    }

    /// Calls a function with each end of a stream in the database, of any entry.
    pub(super) fn each_end(
        &self,
        take: &mut dyn FnMut(Tip) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        for row in self.tables.table(STREAMS).rows() {
            let (key, value) = guarded(|| row)?;
            if let StreamRow::End(tip) = StreamRow::read(&key, &value)? {
                take(tip)?;
            }
        }
        Ok(())
    }

    /// Takes the rows of entries in, the last of which is at `reach`. Returns whether it is time to write them.
    pub(super) fn take(
        &self,
        rows: impl Iterator<Item = (Vec<u8>, StreamRow)>,
        (reach, entries, begun): (Position, u64, u64),
    ) -> Result<bool, JournalError> {
        if let Some(failure) = &*self.failure.lock() {
            return Err(failure.clone());
        }
        let waiting = {
            let waiting = &mut self.pending.write().waiting;
            waiting.rows.extend(rows);
            waiting.reach = reach;
            waiting.entries += entries;
            waiting.begun += begun;
            waiting.entries
        };
        if waiting >= ENTRIES_WAITING_MAX {
            self.write()?;
        }
        Ok(waiting >= ENTRIES_WAITING)
    }

    /// Writes all rows that wait.
    pub(super) fn write(&self) -> Result<(), JournalError> {
        let _alone = self.one_writes.lock();
        let batch = {
            let pending = &mut *self.pending.write();
            if pending.writing.is_none() && pending.waiting.entries > 0 {
                pending.writing = Some(Arc::new(std::mem::take(&mut pending.waiting)));
            }
            pending.writing.clone()
        };
        let Some(batch) = batch else { return Ok(()) };
        // Before any of the rows: a killed process must not find fewer streams than were noted.
        self.streams.fetch_add(batch.begun, Ordering::Relaxed);
        if let Err(error) = guarded(|| self.write_batch(&batch)) {
            self.streams.fetch_sub(batch.begun, Ordering::Relaxed);
            let error = JournalError::from(error);
            *self.failure.lock() = Some(error.clone());
            return Err(error);
        }
        self.pending.write().writing = None;
        Ok(())
    }

    fn write_batch(&self, batch: &Batch) -> Result<(), StorageError> {
        let mut rows = batch.rows.iter().peekable();
        while rows.peek().is_some() {
            let some: Vec<_> = rows.by_ref().take(ROWS_AT_ONCE).collect();
            self.tables.write(|into| {
                let table = into.table(STREAMS);
                some.iter().try_for_each(|(key, row)| row.write(key, table))
            })?;
        }
        self.tables.write(|into: &Generation| {
            let reach = self.reach_row(batch.reach);
            into.table(STATE).insert(REACH, reach.as_slice())?;
            Ok(())
        })
    }

    /// Writes some of the rows that wait, as a killed process may have.
    #[cfg(test)]
    pub(super) fn write_some_of_waiting(&self, rows: usize) -> Result<(), StorageError> {
        let pending = self.pending.read();
        let mut some = pending.waiting.rows.iter().take(rows);
        self.tables
            .write(|into| some.try_for_each(|(key, row)| row.write(key, into.table(STREAMS))))
    }

    fn reach_row(&self, position: Position) -> [u8; 16] {
        let mut row = [0; 16];
        row[..8].copy_from_slice(&position.to_be_bytes());
        row[8..].copy_from_slice(&self.streams.load(Ordering::Relaxed).to_be_bytes());
        row
    }

    /// Rewrites the database without the rows of entries that are gone.
    pub(super) fn erase(
        &self,
        gone: &dyn Fn(Position) -> bool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), JournalError> {
        // Or they would be written again afterwards.
        self.write()?;
        let mut streams = 0;
        let mut keep = |table: usize, key: &[u8], value: &[u8]| match table {
            STREAMS => match StreamRow::read(key, value) {
                Ok(row) if gone(row.position()) => {
                    if let StreamRow::End(_) = row {
                        // At once: a killed process must not find fewer streams than were noted.
                        self.streams.fetch_sub(1, Ordering::Relaxed);
                        streams += 1;
                    }
                    Keep::Not
                }
                Ok(_) | Err(_) => Keep::Same,
            },
            _ => {
                let position = number(value.get(..8).unwrap_or_default()).unwrap_or(0);
                Keep::Other(self.reach_row(position).to_vec())
            }
        };
        let mut go_on = |done| {
            progress(done);
            true
        };
        let rewritten = guarded(|| self.tables.rewrite(&mut keep, &mut go_on).map(drop));
        if rewritten.is_err() {
            self.streams.fetch_add(streams, Ordering::Relaxed);
        }
        Ok(rewritten?)
    }

    /// Compacts the database, with the rows that wait in it: see [`storage::Database::compact`].
    pub(super) fn compact(
        &self,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<bool, JournalError> {
        self.write()?;
        Ok(guarded(|| self.tables.compact(progress))?)
    }

    /// The sizes of the database.
    pub(super) fn sizes(&self) -> Result<storage::Sizes, JournalError> {
        Ok(guarded(|| self.tables.sizes())?)
    }

    /// Writes all rows, and the database's files to the operating system.
    pub(super) fn flush(&self) -> Result<(), JournalError> {
        self.write()?;
        Ok(guarded(|| self.tables.flush())?)
    }
}

/// The thread that writes rows when enough of them wait. Dropping it ends the thread after the batch in progress.
pub(super) struct RowWriter {
    wake: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl RowWriter {
    pub(super) fn start(rows: &Arc<Rows>, dir: &Path) -> Result<Self, JournalError> {
        let (wake, woken) = crossbeam_channel::bounded(1);
        let rows = Arc::clone(rows);
        let thread = std::thread::Builder::new()
            .name("journal-rows".to_owned())
            .spawn(move || write_when_woken(&rows, &woken))
            .map_err(|error| failed("starting a thread of the journal's database", dir, error))?;
        Ok(Self {
            wake: Some(wake),
            thread: Some(thread),
        })
    }

    /// Has the rows that wait written. Never blocks.
    pub(super) fn wake(&self) {
        if let Some(wake) = &self.wake {
            // A full queue wakes it too.
            let _ = wake.try_send(());
        }
    }
}

fn write_when_woken(rows: &Rows, woken: &Receiver<()>) {
    while let Ok(()) = woken.recv() {
        // The next append reports what failed.
        if rows.write().is_err() {
            return;
        }
    }
}

impl Drop for RowWriter {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // A panic there is reported by the next append, or nothing was lost.
            let _ = thread.join();
        }
    }
}

/// Whether a row of a stream holds its end, and not where one of its versions is.
fn is_end(key: &[u8]) -> bool {
    key.ends_with(&Version::MAX.to_be_bytes())
}

/// Reads the row of a stream's end. Earlier programs wrote a third number, the position of the last payload.
fn read_end(value: &[u8]) -> Option<Tip> {
    let (version, rest) = value.split_at_checked(8)?;
    let (position, rest) = rest.split_at_checked(8)?;
    (rest.is_empty() || rest.len() == 8).then_some(())?;
    Some(Tip {
        version: number(version)?,
        position: number(position)?,
    })
}
