//! Whether a server can write where it has to, asked before it serves.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use super::BootError;
use crate::clock::random_uuid;
use crate::directory::Directory;
use crate::os_error::OsError;
use crate::reserve::unwritable;

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

/// Looks whether each can be written, and each org's content. Those that are not there yet are made later.
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

fn try_to_write(place: &Path) -> Result<(), BootError> {
    let file = place.join(format!("{}.tmp", random_uuid().simple()));
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
