//! Generations of a database: the one in use, and while it is rewritten a second next to it that takes every write too.
//!
//! No engine takes bytes out of its files at once: what was removed stays there until its space is needed, or until files are
//! merged. To remove rows for good, the others are copied into a new generation, and the old one's files are removed.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard, RwLock};

use super::StorageError;
use super::files::{bytes_of, replace};
use super::guarded;
use crate::clock::Pace;
use crate::disk;

/// The file that names the generation in use.
const POINTER: &str = "generation";
/// The file with the size of a generation when it was copied from another: its number, bytes of its files, and bytes of
/// its rows.
const REWRITTEN: &str = "renewed";
/// Rows copied while writers wait, less than a millisecond's worth.
const ROWS_MAX: usize = 128;
/// How often it is checked whether the last reader of an old generation has ended.
const CLOSE_TRIES: u32 = 100;
/// The pause between two checks: a second in all.
const CLOSE_PAUSE: Duration = Duration::from_millis(10);

/// What a database needs of a storage engine.
pub(crate) trait Engine: Sized {
    /// An ordered table of a database. Cheap to clone.
    type Table: Clone;
    /// A key or a value.
    type Value: AsRef<[u8]>;

    /// Opens or creates a database with its tables, waiting up to a second for its lock.
    ///
    /// A lock can outlive the process that held it: a child between fork and exec still has the file's descriptor.
    fn open(
        directory: &Path,
        settings: &Settings,
    ) -> Result<(Self, Vec<Self::Table>), StorageError>;

    /// Writes everything to files; what is not synced with that yet is by [`super::sync_directory`].
    fn flush(&self) -> Result<(), StorageError>;

    /// The rows from a key on, in order.
    fn rows_from(
        table: &Self::Table,
        from: &[u8],
    ) -> impl Iterator<Item = Result<(Self::Value, Self::Value), StorageError>> + use<Self>;

    /// Inserts rows in their order.
    fn insert_all(
        &self,
        table: &Self::Table,
        rows: Vec<(Self::Value, Kept<Self::Value>)>,
    ) -> Result<(), StorageError>;
}

/// The value of a row that is copied.
pub(crate) enum Kept<V> {
    /// It is the value that the row had.
    Same(V),
    /// It takes the place of the row's own.
    Other(Vec<u8>),
}

/// One open generation of a database.
pub(crate) struct Generation<E: Engine> {
    pub(super) engine: E,
    /// The tables in the order of their names.
    pub(super) tables: Vec<E::Table>,
}

impl<E: Engine> Generation<E> {
    /// A table by its number.
    pub(crate) fn table(&self, number: usize) -> &E::Table {
        &self.tables[number]
    }
}

/// What all generations of a database have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Memory for pages and for what is not in files yet, in bytes.
    pub(crate) cache_bytes: u64,
    /// How often the engine writes to the disk by itself, in milliseconds; `None` where the amount of data decides.
    pub(crate) flush_every_ms: Option<u64>,
    /// The names of the tables; a table's number is its place here.
    pub(crate) tables: &'static [&'static str],
    /// Other files of the directory, which belong to no generation and stay.
    pub(crate) other_files: &'static [&'static str],
}

/// The rule for a row in the next generation.
pub(crate) enum Keep {
    /// The row is copied.
    Same,
    /// The row is kept with another value.
    Other(Vec<u8>),
    /// The row is left out.
    Not,
}

/// Decides what becomes of a row, by its table's number, its key and its value.
pub(crate) type KeepRule<'a> = dyn FnMut(usize, &[u8], &[u8]) -> Keep + 'a;

/// The sizes of a database, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of its files.
    pub now: u64,
    /// Bytes they had when it was compacted last; 0 when it never was.
    pub compacted: u64,
    /// Bytes of its keys and values then; 0 when that is not known.
    pub rows: u64,
    /// Bytes that are free on its disk.
    pub free: u64,
}

/// Called with the rows done; returns whether to continue.
pub(crate) type Progress<'a> = &'a mut dyn FnMut(u64) -> bool;

/// A database that can be rewritten while it is used.
pub(crate) struct Database<E: Engine> {
    root: PathBuf,
    settings: Settings,
    current: RwLock<Arc<Generation<E>>>,
    /// The one being written. Held while a write is made to both, and while rows are copied.
    next: Mutex<Option<Arc<Generation<E>>>>,
    /// Held while a generation is written: one at a time.
    rewriting: Mutex<()>,
}

impl<E: Engine> fmt::Debug for Database<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Database");
        shown.field("root", &self.root).finish_non_exhaustive()
    }
}

impl<E: Engine> Database<E> {
    /// Opens the generation in use of a directory, or creates the first. What unfinished ones left is removed. A panic of the
    /// engine on damaged files becomes an error.
    pub(crate) fn open(root: &Path, settings: Settings) -> Result<Self, StorageError> {
        guarded(|| Self::open_unguarded(root, settings))
    }

    fn open_unguarded(root: &Path, settings: Settings) -> Result<Self, StorageError> {
        fs::create_dir_all(root)?;
        let number = in_use(root)?.unwrap_or(1);
        remove_others(root, settings.other_files, number)?;
        let generation = open(root, settings, number)?;
        point(root, number)?;
        Ok(Self {
            root: root.to_owned(),
            settings,
            current: RwLock::new(Arc::new(generation)),
            next: Mutex::new(None),
            rewriting: Mutex::new(()),
        })
    }

    /// A table of the generation in use. To be held no longer than a read takes.
    pub(crate) fn table(&self, number: usize) -> E::Table {
        self.current().tables[number].clone()
    }

    /// Writes everything to the operating system; not to the disk: see [`super::sync_directory`].
    pub(crate) fn flush(&self) -> Result<(), StorageError> {
        self.current().engine.flush()
    }

    /// Removes what was noted of its size at the last compaction.
    pub(super) fn forget_size(&self) -> Result<(), StorageError> {
        match fs::remove_file(self.root.join(REWRITTEN)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    pub(super) fn current(&self) -> Arc<Generation<E>> {
        let current = self.current.read();
        Arc::clone(&current)
    }

    /// Writes to the generation in use, and to the next while that is being written.
    pub(crate) fn write(
        &self,
        mut work: impl FnMut(&Generation<E>) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let next = self.next();
        work(&self.current())?;
        match &*next {
            Some(next) => work(next),
            None => Ok(()),
        }
    }

    /// How large it is, and how large it was when it was rewritten last.
    pub(crate) fn sizes(&self) -> Result<Sizes, StorageError> {
        let number = in_use(&self.root)?.unwrap_or(0);
        let (compacted, rows) = rewritten(&self.root, number)?;
        Ok(Sizes {
            now: bytes_of(&self.root.join(number.to_string()))?,
            compacted,
            rows,
            free: disk::space(&self.root)?.free_bytes,
        })
    }

    /// Copies every row into a new generation, without the space of those removed, and removes the files of the old one.
    /// Reads and writes continue meanwhile. Returns whether it was finished; interrupted by `progress`, it leaves nothing.
    pub(crate) fn compact(&self, progress: Progress<'_>) -> Result<bool, StorageError> {
        self.rewrite(&mut |_, _, _| Keep::Same, progress)
    }

    /// Rewrites the database with the rows that a rule keeps.
    pub(crate) fn rewrite(
        &self,
        keep: &mut KeepRule<'_>,
        progress: Progress<'_>,
    ) -> Result<bool, StorageError> {
        let _alone = self.rewriting.lock();
        let old_number = in_use(&self.root)?.unwrap_or(0);
        let number = old_number + 1;
        remove_others(&self.root, self.settings.other_files, old_number)?;
        let new = Arc::new(open(&self.root, self.settings, number)?);
        *self.next() = Some(Arc::clone(&new));
        let copied = self.copy(&new, keep, progress).and_then(|rows| {
            new.engine.flush()?;
            Ok(rows)
        });
        let Ok(Some(row_bytes)) = copied else {
            *self.next() = None;
            close(new);
            fs::remove_dir_all(self.root.join(number.to_string()))?;
            return copied.map(|_| false);
        };
        note_rewritten(&self.root, number, row_bytes)?;
        let old = {
            let mut next = self.next();
            point(&self.root, number)?;
            *next = None;
            let mut current = self.current.write();
            std::mem::replace(&mut *current, new)
        };
        close(old);
        fs::remove_dir_all(self.root.join(old_number.to_string()))?;
        Ok(true)
    }

    /// Returns the bytes of the rows that are kept; `None` when it was interrupted.
    fn copy(
        &self,
        new: &Generation<E>,
        keep: &mut KeepRule<'_>,
        progress: Progress<'_>,
    ) -> Result<Option<u64>, StorageError> {
        let (mut copied, mut row_bytes) = (0, 0);
        let current = self.current();
        for (number, (from, to)) in current.tables.iter().zip(&new.tables).enumerate() {
            let mut place = Vec::new();
            loop {
                let (rows, mut pace) = {
                    // No writer may come between reading a row and copying it.
                    let _writers = self.next();
                    // Waiting for them is no work that a rest is owed for.
                    let pace = Pace::start();
                    let (mut rows, mut kept) = (0, Vec::with_capacity(ROWS_MAX));
                    for row in E::rows_from(from, &place).take(ROWS_MAX) {
                        let (key, value) = row?;
                        place.clear();
                        place.extend_from_slice(key.as_ref());
                        place.push(0);
                        rows += 1;
                        let (length, value) = match keep(number, key.as_ref(), value.as_ref()) {
                            Keep::Same => (value.as_ref().len(), Kept::Same(value)),
                            Keep::Other(value) => (value.len(), Kept::Other(value)),
                            Keep::Not => continue,
                        };
                        row_bytes += (key.as_ref().len() + length) as u64;
                        kept.push((key, value));
                    }
                    new.engine.insert_all(to, kept)?;
                    (rows, pace)
                };
                pace.rest();
                copied += rows as u64;
                if !progress(copied) {
                    return Ok(None);
                }
                if rows < ROWS_MAX {
                    break;
                }
            }
        }
        Ok(Some(row_bytes))
    }

    fn next(&self) -> MutexGuard<'_, Option<Arc<Generation<E>>>> {
        self.next.lock()
    }
}

/// Waits a moment for the last reader, so that the engine's own threads end before its files are removed.
fn close<E: Engine>(mut generation: Arc<Generation<E>>) {
    for _ in 0..CLOSE_TRIES {
        match Arc::try_unwrap(generation) {
            Ok(generation) => return drop(generation),
            Err(shared) => generation = shared,
        }
        std::thread::sleep(CLOSE_PAUSE);
    }
}

fn open<E: Engine>(
    root: &Path,
    settings: Settings,
    number: u64,
) -> Result<Generation<E>, StorageError> {
    let (engine, tables) = E::open(&root.join(number.to_string()), &settings)?;
    Ok(Generation { engine, tables })
}

/// The directory of the generation in use; `None` when there is none.
pub(super) fn directory_in_use(root: &Path) -> io::Result<Option<PathBuf>> {
    Ok(in_use(root)?.map(|number| root.join(number.to_string())))
}

/// The number of the generation in use; `None` when there is none.
fn in_use(root: &Path) -> io::Result<Option<u64>> {
    match fs::read_to_string(root.join(POINTER)) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Names the generation in use, whole or not at all.
fn point(root: &Path, number: u64) -> io::Result<()> {
    if in_use(root)? == Some(number) {
        return Ok(());
    }
    replace(root, POINTER, &format!("{number}\n"))
}

/// Notes how large a generation and its rows are after a rewrite.
fn note_rewritten(root: &Path, number: u64, row_bytes: u64) -> io::Result<()> {
    let bytes = bytes_of(&root.join(number.to_string()))?;
    replace(root, REWRITTEN, &format!("{number} {bytes} {row_bytes}\n"))
}

/// How large a generation and its rows were after its rewrite; 0 when it was not copied from another, or not known.
fn rewritten(root: &Path, number: u64) -> io::Result<(u64, u64)> {
    let text = match fs::read_to_string(root.join(REWRITTEN)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    let its = numbers.next().is_some_and(|its| its == Ok(number));
    let mut next = || {
        let bytes = numbers.next().and_then(Result::ok);
        bytes.filter(|_| its).unwrap_or(0)
    };
    Ok((next(), next()))
}

/// Removes everything but the generation in use and the files that belong to none: what unfinished ones left, and files of
/// other layouts.
fn remove_others(root: &Path, other_files: &[&str], number: u64) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_other = other_files
            .iter()
            .chain(&[POINTER, REWRITTEN])
            .any(|other| name == *other);
        if is_other || name.to_str() == Some(&number.to_string()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
