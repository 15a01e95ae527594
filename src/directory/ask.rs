//! What can refuse a data directory, asked before anything is written there.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::{DirectoryError, io};
use super::{Events, Found, KEYS, holder, is_open_to_others, look};
use crate::disk;
use crate::os_error::OsError;

/// The environment of a directory that was made in development mode.
pub const DEVELOPMENT: &str = "development";

/// The environment of a directory, as its marker names it.
pub(super) fn environment(development: bool) -> &'static str {
    if development {
        DEVELOPMENT
    } else {
        "production"
    }
}

/// The directory of the journal below a data directory.
pub fn journal_of(root: &Path) -> PathBuf {
    root.join("journal")
}

/// Asks whether a directory can be opened, or made, and changes nothing there.
///
/// # Errors
/// As [`super::open`].
pub fn ask(root: &Path, development: bool, known: Events<'_>) -> Result<(), DirectoryError> {
    match look(root, development, known)? {
        Found::Nothing => return can_be_made(root),
        Found::Empty | Found::Made => {}
    }
    if let Some(holder) = holder(root)? {
        return Err(DirectoryError::Held {
            place: root.display().to_string(),
            holder,
        });
    }
    let written = disk::check_writable(root);
    let full = |source: &std::io::Error| OsError::of(source).is_some_and(OsError::is_no_room);
    if let Err(source) = written
        && !full(&source)
    {
        return Err(io("write in", root, source));
    }
    [root.to_owned(), root.join(KEYS)]
        .iter()
        .try_for_each(|place| can_be_closed(place))
}

/// Whether the nearest directory above an absent one takes it.
fn can_be_made(root: &Path) -> Result<(), DirectoryError> {
    let absolute = std::path::absolute(root).map_err(|source| io("make", root, source))?;
    let above = absolute.ancestors().skip(1);
    let found = above.filter_map(|place| match std::fs::metadata(place) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        metadata => Some((place, metadata)),
    });
    let Some((place, metadata)) = found.into_iter().next() else {
        return Ok(());
    };
    let metadata = metadata.map_err(|source| io("make", root, source))?;
    if !metadata.is_dir() {
        return Err(not_a_directory(place));
    }
    disk::check_writable(place).map_err(|source| io("make", root, source))
}

/// Whether what other users may do with a directory can be taken from them.
fn can_be_closed(place: &Path) -> Result<(), DirectoryError> {
    let own = rustix::process::geteuid();
    let owner = std::fs::metadata(place).map(|metadata| metadata.uid());
    let is_ours = own.is_root() || owner.is_ok_and(|owner| owner == own.as_raw());
    if is_ours || !is_open_to_others(place) {
        return Ok(());
    }
    Err(DirectoryError::OpenToOthers {
        place: place.display().to_string(),
        source: rustix::io::Errno::PERM.into(),
    })
}

/// Whether a path leads to anything but a file.
///
/// # Errors
/// [`DirectoryError::NotADirectory`].
pub fn must_not_be_a_file(place: &Path) -> Result<(), DirectoryError> {
    match std::fs::metadata(place) {
        Ok(found) if !found.is_dir() => Err(not_a_directory(place)),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The error of a path below what is a file.
pub(super) fn file_above(path: &Path) -> DirectoryError {
    let above = path.ancestors().skip(1).find(|place| place.is_file());
    not_a_directory(above.unwrap_or(path))
}

/// The error of a path that leads to a file.
pub(super) fn not_a_directory(place: &Path) -> DirectoryError {
    DirectoryError::NotADirectory {
        place: place.display().to_string(),
    }
}
