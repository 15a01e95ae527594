//! The journal's database: where each entry is, each stream's end, and the payloads that are read often; made from the log.
//!
//! It is never the truth: it may be deleted while the journal is closed, and is then made again. Where entries are is
//! a plain file (`places.rs`), which grows with the history; sled's rows grow with the streams. They go in one
//! by one, in order, because sled recovers single inserts as a prefix, and because its batches and transactions make
//! every later read of the process take one lock.

pub(crate) mod generation;
mod insert;
pub(crate) mod streams;

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::entry::Hash;
use super::log::Location;
use super::places::{Place, Places};
use super::segment::failed;
use super::{JournalError, Position};
use crate::domain::Timestamp;
use crate::os_error::OsError;

use generation::{Keep, Kind, Live};
use streams::{Tip, is_tip, read_tip};

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
/// Number of the tree of streams: see [`streams`].
const STREAMS: usize = 0;
/// Number of the tree of payloads by position.
const PAYLOADS: usize = 1;
/// Number of the tree of how far the others are.
const STATE: usize = 2;
/// The one key of that tree.
const REACH: &[u8] = b"reach";
/// A tree of the form that had a row for every entry.
const OLD_TREE: &[u8] = b"entries";

/// The database, open. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Database {
    places: Arc<Places>,
    live: Arc<Live>,
    /// How many streams there are.
    streams: Arc<AtomicU64>,
}

/// What the database knows of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) location: Location,
    pub(crate) hash: Hash,
}

/// What the database has beside an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// No payload, or none any more.
    Nothing,
    /// The payload.
    Payload(Bytes),
    /// A payload that only the log has.
    InLog(Known),
}

/// Rows of the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) entries: u64,
    /// Entries whose body is gone.
    pub(crate) erased: u64,
    pub(crate) streams: u64,
}

impl Database {
    /// Opens the database of a journal's directory, or makes an empty one.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, JournalError> {
        let root = dir.join(DIRECTORY);
        fs::create_dir_all(&root)
            .map_err(|error| failed("making the journal's database", &root, error))?;
        let places = Places::open(&root)?;
        let live = guarded(|| {
            let kind = Kind {
                cache_bytes,
                flush_every_ms: FLUSH_EVERY_MS,
                names: &["tips", "payloads", "state"],
            };
            Live::open(&root, kind)
        })?;
        if live
            .current()
            .db
            .tree_names()
            .iter()
            .any(|name| name == OLD_TREE)
        {
            return Err(odd("it has an older form"));
        }
        let database = Self {
            places: Arc::new(places),
            live: Arc::new(live),
            streams: Arc::default(),
        };
        let (_, streams) = database.reach()?;
        database.streams.store(streams, Ordering::Relaxed);
        Ok(database)
    }

    fn tree(&self, number: usize) -> ::sled::Tree {
        self.live.current().trees[number].clone()
    }

    /// Up to which position it has everything, and how many streams there were then.
    fn reach(&self) -> Result<(Position, u64), JournalError> {
        let Some(row) = guarded(|| self.tree(STATE).get(REACH))? else {
            return Ok((0, 0));
        };
        row.split_at_checked(8)
            .and_then(|(position, streams)| number(position).zip(number(streams)))
            .ok_or_else(|| odd("how far it reaches cannot be read"))
    }

    /// Makes it anew without the payloads and streams of entries at these positions, which are in order.
    pub(crate) fn forget(
        &self,
        erased: &[Position],
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), JournalError> {
        self.places.erase(erased, progress)?;
        let gone = |position: &[u8]| {
            number(position).is_some_and(|position| erased.binary_search(&position).is_ok())
        };
        let mut streams = 0;
        let mut keep = |tree: usize, key: &[u8], value: &[u8]| match tree {
            // A tip's position stands behind its version.
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
        let renewed = guarded(|| self.live.renew(&mut keep, &mut go_on).map(drop));
        if renewed.is_err() {
            self.streams.fetch_add(streams, Ordering::Relaxed);
        }
        renewed
    }

    /// Makes the rows of streams and payloads anew, without the space of what is no longer there. `go_on` is told rows
    /// done, and says whether to go on; broken off, everything is as before. Returns whether it came to its end.
    pub(crate) fn compact(&self, go_on: &mut dyn FnMut(u64) -> bool) -> Result<bool, JournalError> {
        let mut keep = |_: usize, _: &[u8], _: &[u8]| Keep::Same;
        guarded(|| self.live.renew(&mut keep, go_on))
    }

    /// How large the rows of streams and payloads are.
    pub(crate) fn sizes(&self) -> Result<Sizes, JournalError> {
        guarded(|| self.live.sizes().map_err(::sled::Error::from))
    }

    /// The last entry up to which it has everything.
    pub(crate) fn last(&self) -> Result<Option<(Position, Known)>, JournalError> {
        let (position, _) = self.reach()?;
        if position == 0 {
            return Ok(None);
        }
        let known = self.known(position)?;
        let known = known.ok_or_else(|| odd("its offsets end too early"))?;
        Ok(Some((position, known)))
    }

    /// The last entry it has anything of.
    pub(crate) fn furthest(&self) -> Result<Position, JournalError> {
        self.places.last()
    }

    /// Where an entry is.
    pub(crate) fn known(&self, position: Position) -> Result<Option<Known>, JournalError> {
        Ok(self.places.get(position)?.map(Known::from))
    }

    /// The entry ahead of one in its stream; 0 when there is none with a body.
    pub(crate) fn before(&self, position: Position) -> Result<Position, JournalError> {
        let place = self.place(position)?;
        match place.before {
            0 => Ok(0),
            before if self.place(before)?.erased => Ok(0),
            before => Ok(before),
        }
    }

    /// The payload beside an entry.
    pub(crate) fn payload(&self, position: Position) -> Result<Beside, JournalError> {
        if let Some(payload) = guarded(|| self.tree(PAYLOADS).get(position.to_be_bytes()))? {
            return Ok(Beside::Payload(Bytes::copy_from_slice(&payload)));
        }
        Ok(match self.places.get(position)? {
            Some(place) if place.payload => Beside::InLog(place.into()),
            Some(_) | None => Beside::Nothing,
        })
    }

    /// Lets go of payloads that are seldom read from now on: the log still has them.
    pub(crate) fn let_go(&self, positions: &[Position]) -> Result<(), JournalError> {
        guarded(|| {
            self.live.write(|into| {
                positions.iter().try_for_each(|position| {
                    into.trees[PAYLOADS]
                        .remove(position.to_be_bytes())
                        .map(drop)
                })
            })
        })
    }

    fn place(&self, position: Position) -> Result<Place, JournalError> {
        let place = self.places.get(position)?;
        place.ok_or_else(|| odd(&format!("position {position} is missing from it")))
    }

    /// How many rows there are up to where it has everything. Reads the whole database.
    pub(crate) fn count(&self) -> Result<Count, JournalError> {
        let (reach, _) = self.reach()?;
        let erased = self.places.count_erased(reach)?;
        let mut streams = 0;
        for row in &self.tree(STREAMS) {
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
            position = self.place(position)?.before;
        }
        Ok(position > 0)
    }

    /// Makes everything durable: sled's own flush, and a sync of each file, which that flush leaves out.
    pub(crate) fn sync(&self, dir: &Path) -> Result<(), JournalError> {
        guarded(|| self.live.current().db.flush())?;
        sync_files(&dir.join(DIRECTORY))
    }
}

impl From<Place> for Known {
    fn from(place: Place) -> Self {
        Self {
            location: place.location,
            hash: place.hash,
        }
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
        // What the machine refuses says nothing of what is stored.
        Ok(Err(::sled::Error::Io(error)))
            if OsError::of(&error).is_some_and(OsError::is_outside) =>
        {
            Err(failed(
                "using the journal's database",
                Path::new(DIRECTORY),
                error,
            ))
        }
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

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

fn odd(what: &str) -> JournalError {
    JournalError::Database(what.to_owned())
}
