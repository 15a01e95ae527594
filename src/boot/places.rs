//! Whether a server can write where it has to, asked before it serves.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::BootError;
use crate::clock::random_uuid;
use crate::directory::Directory;
use crate::os_error::OsError;
use crate::reserve::unwritable;

/// What the name of a file ends with that is made to see whether it can be.
const ATTEMPT: &str = ".tmp";

/// Directories that a server writes to: those of its parts, and of what is unfinished in them.
pub(super) fn written(root: &Path, directory: &Directory) -> Vec<PathBuf> {
    vec![
        root.to_owned(),
        directory.journal(),
        directory.projections(),
        directory.content(),
        directory.content().join("tmp"),
        directory.audit(),
        directory.exports(),
    ]
}

/// Checks whether each can be written, and each org's content. Those that are not there yet are made later.
///
/// # Errors
/// [`BootError::Unwritable`]. A full disk is none.
pub(super) fn check(written: &[PathBuf], content: &Path) -> Result<(), BootError> {
    let orgs = fs::read_dir(content).into_iter().flatten().flatten();
    let orgs = orgs.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    // What is not ours there, such as lost+found, has no name of an org.
    let orgs = orgs.filter(|entry| {
        let name = entry.file_name();
        name.to_str()
            .is_some_and(|name| crate::domain::OrgCode::parse(name).is_ok())
    });
    let all: Vec<_> = written
        .iter()
        .cloned()
        .chain(orgs.map(|entry| entry.path()))
        .collect();
    if let Some((place, source)) = unwritable(&all) {
        return Err(BootError::Unwritable { place, source });
    }
    // Modes and mounts are not all that may keep a file from being made.
    written.iter().try_for_each(|place| try_to_write(place))
}

/// Removes what a start that was killed in between left of its attempts: no other process has the directory.
fn remove_attempts(place: &Path) {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    let attempts = entries.filter(|entry| {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_suffix(ATTEMPT));
        let ours = id.is_some_and(|id| {
            Uuid::try_parse(id).is_ok_and(|parsed| parsed.simple().to_string() == id)
        });
        ours && entry
            .metadata()
            .is_ok_and(|file| file.is_file() && file.len() == 0)
    });
    // One that cannot be removed is no reason not to start: a new one shows whether the place can be written.
    attempts.for_each(|entry| drop(fs::remove_file(entry.path())));
}

fn try_to_write(place: &Path) -> Result<(), BootError> {
    remove_attempts(place);
    let file = place.join(format!("{}{ATTEMPT}", random_uuid().simple()));
    let made = OpenOptions::new().write(true).create_new(true).open(&file);
    match made.and_then(|_| fs::remove_file(&file)) {
        Err(source)
            if source.kind() != std::io::ErrorKind::NotFound
                && !OsError::of(&source).is_some_and(OsError::is_no_room) =>
        {
            Err(BootError::Unwritable {
                place: place.to_owned(),
                source,
            })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
