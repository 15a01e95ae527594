//! Generations of the projections: opened, rebuilt next to the one in use, and compared with it.

use std::cell::Cell;
use std::path::Path;

use super::runner::Progress;
use super::store::Directories;
use super::{Runner, Store, StoreError, all};
use crate::journal::Journal;
use crate::os_error::{OsError, describe};
use crate::storage::Row;

/// What is told of projections that another engine wrote.
const FOREIGN: &str = "the files of the projections are those of an earlier version of this program, or incomplete; rebuilding the projections";

/// How often projections are opened that ended the process each time, or were killed meanwhile.
const OPENINGS_MAX: u32 = 2;
/// What is told of those.
const NEVER_OPENED: &str =
    "the last starts ended while they opened the projections; rebuilding the projections";
/// Most rows of a projection that are read to see whether they can be: of all of them, a tenth of a second's worth.
const READ_ROWS_MAX: usize = 10_000;

/// What a rebuild found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Number of entries that were replayed.
    pub entries: u64,
    /// Rows of the new generation.
    pub rows: u64,
    /// Rows in which the old generation differed, for projections whose version is the same in both and when the old
    /// one had seen the whole journal; `None` when there was nothing to compare with.
    pub differing: Option<u64>,
}

/// Names the versions of all projections; a generation with another manifest is rebuilt.
pub fn manifest() -> String {
    let names: Vec<_> = all()
        .iter()
        .map(|projection| format!("{}@{}", projection.name(), projection.version()))
        .collect();
    names.join(" ")
}

/// Opens the projections of a directory and brings them up to the journal, rebuilding them when they were built
/// with other versions or cannot be opened. What was done beyond that is in the notices.
///
/// # Errors
/// [`StoreError`] when a read or write fails.
pub fn open(
    directory: &Path,
    cache_bytes: u64,
    journal: &dyn Journal,
    notices: &mut Vec<String>,
    progress: Progress<'_>,
) -> Result<Runner, StoreError> {
    let directories = Directories::new(directory);
    directories.clear_next()?;
    if directories.clear_foreign()? {
        notices.push(FOREIGN.to_owned());
    }
    if directories.opening() >= OPENINGS_MAX {
        notices.push(NEVER_OPENED.to_owned());
        directories.clear_current()?;
    }
    let fresh = !directories.current().exists();
    let opened = Store::open(&directories.current(), cache_bytes).and_then(|store| {
        let (found, checkpoint) = (store.manifest()?, store.checkpoint()?);
        check_readable(&store)?;
        Ok((store, found, checkpoint))
    });
    directories.opened();
    match opened {
        Ok((store, found, _)) if fresh || found.is_empty() => {
            store.set_manifest(&manifest())?;
            caught_up(store, journal, progress)
        }
        Ok((store, found, checkpoint))
            if found == manifest() && checkpoint <= journal.head().position =>
        {
            caught_up(store, journal, progress)
        }
        Ok((store, found, checkpoint)) => {
            notices.push(format!(
                "the projections were built as {found} up to position {checkpoint}; rebuilding them"
            ));
            drop(store);
            rebuild(directory, cache_bytes, journal, progress)?;
            Ok(Runner::new(Store::open(
                &directories.current(),
                cache_bytes,
            )?))
        }
        // What the machine refuses says nothing of what is stored, and would be refused again.
        Err(error) if OsError::of(&error).is_some_and(OsError::is_outside) => Err(error),
        Err(error) => {
            notices.push(format!("{}; rebuilding the projections", describe(&error)));
            rebuild(directory, cache_bytes, journal, progress)?;
            Ok(Runner::new(Store::open(
                &directories.current(),
                cache_bytes,
            )?))
        }
    }
}

/// Fails when one of the first rows of a projection cannot be read: a start needs some of them, and could not serve at all.
fn check_readable(store: &Store) -> Result<(), StoreError> {
    for prefix in prefixes() {
        for row in store.scan(vec![prefix], &[prefix]).take(READ_ROWS_MAX) {
            row?;
        }
    }
    Ok(())
}

fn caught_up(
    store: Store,
    journal: &dyn Journal,
    progress: Progress<'_>,
) -> Result<Runner, StoreError> {
    let mut runner = Runner::new(store);
    runner.catch_up(journal, progress)?;
    Ok(runner)
}

/// Rebuilds the projections next to the ones in use, compares the two where they should be equal, and swaps them.
/// The projections must not be open.
///
/// # Errors
/// [`StoreError`] when a read or write fails; the ones in use are unchanged then.
pub fn rebuild(
    directory: &Path,
    cache_bytes: u64,
    journal: &dyn Journal,
    progress: Progress<'_>,
) -> Result<Rebuilt, StoreError> {
    let directories = Directories::new(directory);
    directories.clear_next()?;
    directories.clear_foreign()?;
    let store = Store::open(&directories.next(), cache_bytes)?;
    store.set_manifest(&manifest())?;
    let mut runner = Runner::new(store.clone());
    let mut rebuilt = Rebuilt {
        entries: runner.catch_up(journal, progress)?,
        ..Rebuilt::default()
    };
    // A generation that cannot be read is nothing to compare with. All rows of the new one are read, once.
    match compare(&directories, cache_bytes, &store).unwrap_or_default() {
        Some(compared) => {
            rebuilt.differing = Some(compared.differing);
            rebuilt.rows = compared.rows;
        }
        None => {
            for row in store.rows() {
                row?;
                rebuilt.rows += 1;
            }
        }
    }
    store.flush()?;
    drop((runner, store));
    directories.swap()?;
    Ok(rebuilt)
}

/// What reading two generations to their ends found.
struct Compared {
    /// Rows that they do not have in common, among the projections that were compared.
    differing: u64,
    /// All rows of the new one.
    rows: u64,
}

/// Compares the generation in use with a new one, when they can be compared.
fn compare(
    directories: &Directories,
    cache_bytes: u64,
    new: &Store,
) -> Result<Option<Compared>, StoreError> {
    if !directories.current().exists() {
        return Ok(None);
    }
    let Ok(old) = Store::open(&directories.current(), cache_bytes) else {
        return Ok(None);
    };
    if old.checkpoint()? != new.checkpoint()? {
        return Ok(None);
    }
    let found = old.manifest()?;
    let same: Vec<u8> = all()
        .iter()
        .filter(|projection| {
            let name = format!("{}@{}", projection.name(), projection.version());
            found.split(' ').any(|found| found == name)
        })
        .map(|projection| projection.prefix())
        .collect();
    compare_rows(&old, new, &same).map(Some)
}

/// Counts the rows that two generations do not have in common, among the projections with these prefixes.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn differing_rows(old: &Store, new: &Store, prefixes: &[u8]) -> Result<u64, StoreError> {
    Ok(compare_rows(old, new, prefixes)?.differing)
}

fn compare_rows(old: &Store, new: &Store, prefixes: &[u8]) -> Result<Compared, StoreError> {
    let rows = Cell::new(0);
    let counts = |row: &Row| row.0.first().is_some_and(|first| prefixes.contains(first));
    let mut old = old
        .rows()
        .filter(|row| row.as_ref().map_or(true, counts))
        .peekable();
    let mut new = new
        .rows()
        .inspect(|_| rows.set(rows.get() + 1))
        .filter(|row| row.as_ref().map_or(true, counts))
        .peekable();
    let mut differing = 0;
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => {
                let rows = rows.get();
                return Ok(Compared { differing, rows });
            }
            (Some(Ok(a)), Some(Ok(b))) => a.cmp(b),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(Err(_)), _) => std::cmp::Ordering::Less,
            (_, Some(Err(_))) => std::cmp::Ordering::Greater,
        };
        differing += u64::from(order.is_ne());
        if order.is_le() {
            old.next().transpose()?;
        }
        if order.is_ge() {
            new.next().transpose()?;
        }
    }
}

/// The prefixes of all projections.
pub fn prefixes() -> Vec<u8> {
    all().iter().map(|projection| projection.prefix()).collect()
}
