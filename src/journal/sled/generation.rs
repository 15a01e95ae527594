//! Generations of a sled database: one in use, and while it is made anew a second beside it that takes every write too.
//!
//! sled never takes bytes out of its file at once: what was removed lies there until its place is needed. To be rid of
//! rows for good, the others are copied into a new database, and the old one's files are removed.

use parking_lot::{Mutex, MutexGuard, RwLock};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Pace;
use crate::disk;
use crate::journal::places;

/// The file that names the generation in use.
const POINTER: &str = "generation";
/// The file that tells of a generation how large it was when it was made of another: its number, bytes of its files, and
/// bytes of its rows.
const RENEWED: &str = "renewed";
/// What the disk tells a file's size in: `st_blocks` of stat(2).
const BLOCK_BYTES: u64 = 512;
/// Rows copied while writers wait, less than a millisecond's worth.
const ROWS_MAX: usize = 128;
/// How often it is looked whether the last reader of an old generation is gone, a second in all.
const LOOKS: u32 = 100;
/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// One database, open.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) db: ::sled::Db,
    /// In the order of the names.
    pub(crate) trees: Vec<::sled::Tree>,
}

/// What every generation of a database has in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// Memory for pages.
    pub(crate) cache_bytes: u64,
    /// How often sled writes to the disk by itself.
    pub(crate) flush_every_ms: u64,
    /// The trees.
    pub(crate) names: &'static [&'static str],
}

/// What becomes of a row in the next generation.
pub(crate) enum Keep {
    /// It stays as it is.
    Same,
    /// It stays with another value.
    Other(Vec<u8>),
    /// It goes.
    Not,
}

/// Says what becomes of a row: told the tree's number, key and value.
pub(crate) type KeepRule<'a> = dyn FnMut(usize, &[u8], &[u8]) -> Keep + 'a;

/// How large a database is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of its files.
    pub now: u64,
    /// Bytes they had when it was made anew last; 0 when it never was.
    pub renewed: u64,
    /// Bytes of its keys and values then; 0 when that is not known.
    pub rows: u64,
    /// Bytes that are free on its disk.
    pub free: u64,
}

/// Told rows done; says whether to go on.
pub(crate) type GoOn<'a> = &'a mut dyn FnMut(u64) -> bool;

/// A database that can be made anew while it is used.
#[derive(Debug)]
pub(crate) struct Live {
    root: PathBuf,
    kind: Kind,
    current: RwLock<Arc<Generation>>,
    /// The one being made. Held while a write goes to both, and while rows are copied.
    next: Mutex<Option<Arc<Generation>>>,
    /// Held while a generation is made: one at a time.
    making: Mutex<()>,
}

impl Live {
    /// Opens the generation in use of a directory, or makes the first. What unfinished ones left is removed.
    pub(crate) fn open(root: &Path, kind: Kind) -> Result<Self, ::sled::Error> {
        fs::create_dir_all(root)?;
        let number = in_use(root)?.unwrap_or(1);
        remove_others(root, number)?;
        let generation = open(root, kind, number)?;
        point(root, number)?;
        Ok(Self {
            root: root.to_owned(),
            kind,
            current: RwLock::new(Arc::new(generation)),
            next: Mutex::new(None),
            making: Mutex::new(()),
        })
    }

    /// The generation in use. To be held no longer than a read takes.
    pub(crate) fn current(&self) -> Arc<Generation> {
        let current = self.current.read();
        Arc::clone(&current)
    }

    /// Writes to the generation in use, and to the next while that is being made.
    pub(crate) fn write(
        &self,
        mut work: impl FnMut(&Generation) -> Result<(), ::sled::Error>,
    ) -> Result<(), ::sled::Error> {
        let next = self.next();
        work(&self.current())?;
        match &*next {
            Some(next) => work(next),
            None => Ok(()),
        }
    }

    /// How large it is, and how large it was when it was made anew last.
    pub(crate) fn sizes(&self) -> io::Result<Sizes> {
        let number = in_use(&self.root)?.unwrap_or(0);
        let (renewed, rows) = renewed(&self.root, number)?;
        Ok(Sizes {
            now: bytes_of(&self.root.join(number.to_string()))?,
            renewed,
            rows,
            free: disk::space(&self.root)?.free_bytes,
        })
    }

    /// Makes a new generation of the rows that are kept, and puts it in the place of the one in use, whose files are
    /// removed. Reads and writes go on meanwhile. Returns whether it came to its end; broken off, it leaves nothing.
    pub(crate) fn renew(
        &self,
        keep: &mut KeepRule<'_>,
        go_on: GoOn<'_>,
    ) -> Result<bool, ::sled::Error> {
        let _alone = self.making.lock();
        let old_number = in_use(&self.root)?.unwrap_or(0);
        let number = old_number + 1;
        remove_others(&self.root, old_number)?;
        let new = Arc::new(open(&self.root, self.kind, number)?);
        *self.next() = Some(Arc::clone(&new));
        let copied = self.copy(&new, keep, go_on).and_then(|rows| {
            new.db.flush()?;
            Ok(rows)
        });
        let Ok(Some(row_bytes)) = copied else {
            *self.next() = None;
            close(new);
            fs::remove_dir_all(self.root.join(number.to_string()))?;
            return copied.map(|_| false);
        };
        note_renewed(&self.root, number, row_bytes)?;
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

    /// Returns the bytes of the rows that are kept; `None` when it was broken off.
    fn copy(
        &self,
        new: &Generation,
        keep: &mut KeepRule<'_>,
        go_on: GoOn<'_>,
    ) -> Result<Option<u64>, ::sled::Error> {
        let (mut copied, mut row_bytes) = (0, 0);
        let current = self.current();
        for (number, (from, to)) in current.trees.iter().zip(&new.trees).enumerate() {
            let mut place = ::sled::IVec::default();
            loop {
                let (rows, mut pace) = {
                    // No writer may come between reading a row and copying it.
                    let _writers = self.next();
                    // Waiting for them is no work that a rest is owed for.
                    let pace = Pace::start();
                    let mut rows = 0;
                    for row in from.range(place.clone()..).take(ROWS_MAX) {
                        let (key, value) = row?;
                        let kept = match keep(number, &key, &value) {
                            Keep::Same => Some(value),
                            Keep::Other(value) => Some(value.into()),
                            Keep::Not => None,
                        };
                        if let Some(value) = kept {
                            row_bytes += (key.len() + value.len()) as u64;
                            to.insert(&key, value)?;
                        }
                        let mut after = key.to_vec();
                        after.push(0);
                        place = after.into();
                        rows += 1;
                    }
                    (rows, pace)
                };
                pace.rest();
                copied += rows as u64;
                if !go_on(copied) {
                    return Ok(None);
                }
                if rows < ROWS_MAX {
                    break;
                }
            }
        }
        Ok(Some(row_bytes))
    }

    fn next(&self) -> MutexGuard<'_, Option<Arc<Generation>>> {
        self.next.lock()
    }
}

/// Waits a moment for the last reader, so that sled's own threads end before its files go.
fn close(mut generation: Arc<Generation>) {
    for _ in 0..LOOKS {
        match Arc::try_unwrap(generation) {
            Ok(generation) => return drop(generation),
            Err(shared) => generation = shared,
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn open(root: &Path, kind: Kind, number: u64) -> Result<Generation, ::sled::Error> {
    let config = ::sled::Config::new()
        .path(root.join(number.to_string()))
        .cache_capacity(kind.cache_bytes)
        .flush_every_ms(Some(kind.flush_every_ms));
    let db = super::open_patiently(&config)?;
    let trees = kind.names.iter().map(|name| db.open_tree(name));
    let trees = trees.collect::<Result<_, _>>()?;
    Ok(Generation { db, trees })
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

/// Notes how large a generation is that was just made, and its rows.
fn note_renewed(root: &Path, number: u64, row_bytes: u64) -> io::Result<()> {
    let bytes = bytes_of(&root.join(number.to_string()))?;
    replace(root, RENEWED, &format!("{number} {bytes} {row_bytes}\n"))
}

/// How large a generation was when it was made, and its rows; 0 when it was not made of another, or that is not known.
fn renewed(root: &Path, number: u64) -> io::Result<(u64, u64)> {
    let text = match fs::read_to_string(root.join(RENEWED)) {
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

/// Writes a small file, whole or not at all.
fn replace(root: &Path, name: &str, text: &str) -> io::Result<()> {
    let temporary = root.join(format!("{name}.tmp"));
    let mut file = File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, root.join(name))?;
    File::open(root)?.sync_all()
}

/// Bytes that a directory's files take on the disk. A file that goes away meanwhile takes none.
fn bytes_of(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        bytes += match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => bytes_of(&path)?,
            Ok(found) => found.blocks() * BLOCK_BYTES,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
    }
    Ok(bytes)
}

/// Removes everything that is not the generation in use, nor what all generations share: what unfinished ones left, and
/// files of other layouts.
fn remove_others(root: &Path, number: u64) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_shared = [POINTER, RENEWED, places::FILE]
            .iter()
            .any(|shared| name == *shared);
        if is_shared || name.to_str() == Some(&number.to_string()) {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}
