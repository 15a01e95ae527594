//! A copy of the journal's database to be read: to open one is to write to it, and what is verified stays as it is.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::clock::random_uuid;
use crate::disk;
use crate::journal::JournalError;
use crate::journal::database::DIRECTORY;
use crate::journal::segment::failed;

/// The copy. Dropped, it is removed.
pub(super) struct DatabaseCopy {
    root: PathBuf,
}

impl DatabaseCopy {
    /// Copies the database of a journal's directory into a directory for temporary files (`TMPDIR`, else `/tmp`).
    ///
    /// # Errors
    /// [`JournalError`] when it cannot be read, or the copy has no room.
    pub(super) fn of(dir: &Path) -> Result<Self, JournalError> {
        let (from, place) = (dir.join(DIRECTORY), std::env::temp_dir());
        let to_copy = |error| failed("copying the journal's database to compare it", &from, error);
        let needed = disk::used_bytes(&from);
        let free = disk::space(&place).map_err(to_copy)?.free_bytes;
        if free < needed {
            let what = format!(
                "a copy takes {needed} bytes, and {} has {free}: name another directory in TMPDIR",
                place.display()
            );
            return Err(to_copy(io::Error::other(what)));
        }
        let name = format!("g3n-verify-{}", random_uuid().simple());
        let copy = Self {
            root: place.join(name),
        };
        make(&copy.root)
            .and_then(|()| disk::copy_directory(&from, &copy.root.join(DIRECTORY)))
            .map_err(to_copy)?;
        Ok(copy)
    }

    /// The directory to read in place of the journal's.
    pub(super) fn dir(&self) -> &Path {
        &self.root
    }
}

impl Drop for DatabaseCopy {
    fn drop(&mut self) {
        // What is left takes room and says nothing.
        let _: io::Result<()> = fs::remove_dir_all(&self.root);
    }
}

fn make(directory: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(directory)
}
