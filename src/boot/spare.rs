//! A place on another disk for the databases of a server whose own disk is full, so that reads are served.
//!
//! Both databases are made of the log: what is written to the copies is lost with them, and nothing else is.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::directory::Directory;
use crate::disk;

/// Where a machine has a file system in memory: shm_overview(7).
const IN_MEMORY: &str = "/dev/shm";
/// Extra room for the copies: entries that the databases lack.
const SLACK_BYTES: u64 = 64 * 1024 * 1024;
const JOURNAL_DATABASE: &str = "sled";
const PROJECTIONS: &str = "current";

/// The place. Dropped, it is removed.
pub(super) struct Spare {
    root: PathBuf,
}

impl Spare {
    /// Makes a place with room for copies of a directory's databases; `None` where there is none. With `copy` they are in it.
    pub(super) fn of(data_dir: &Path, directory: &Directory, copy: bool) -> Option<Self> {
        let parts = [
            (directory.journal(), "journal", JOURNAL_DATABASE),
            (directory.projections(), "projections", PROJECTIONS),
        ];
        let used = parts
            .iter()
            .map(|(root, _, name)| disk::used_bytes(&root.join(name)));
        let needed = used.sum::<u64>().saturating_add(SLACK_BYTES);
        let own = fs::metadata(data_dir).ok()?.dev();
        places(data_dir)?.into_iter().find_map(|root| {
            let above = root.parent()?;
            let elsewhere = fs::metadata(above).is_ok_and(|found| found.dev() != own);
            let fits = disk::space(above).is_ok_and(|space| space.free_bytes >= needed);
            if !elsewhere || !fits {
                return None;
            }
            let spare = Self { root };
            // A place that cannot be made, or filled, is none.
            spare.fill(copy, &parts).ok().map(|()| spare)
        })
    }

    fn fill(&self, copy: bool, parts: &[(PathBuf, &str, &str)]) -> io::Result<()> {
        remove(&self.root)?;
        let made = |path: &Path| DirBuilder::new().mode(0o700).create(path);
        made(&self.root)?;
        for (from, part, name) in parts {
            let to = self.root.join(part);
            made(&to)?;
            let from = from.join(name);
            if copy && from.exists() {
                disk::copy_directory(&from, &to.join(name))?;
            }
        }
        Ok(())
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The directory to use in place of the journal's.
    pub(super) fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// The directory to use in place of the projections'.
    pub(super) fn projections(&self) -> PathBuf {
        self.root.join("projections")
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        // What is left is removed by the next start.
        let _: io::Result<()> = remove(&self.root);
    }
}

/// Removes what a killed server left. The caller holds the data directory's lock.
pub(super) fn clear(data_dir: &Path) {
    for place in places(data_dir).into_iter().flatten() {
        // It takes room, but does no harm.
        let _: io::Result<()> = remove(&place);
    }
}

/// Where the place of a data directory may be, by its device and inode: the directory for temporary files, else memory.
fn places(data_dir: &Path) -> Option<[PathBuf; 2]> {
    let found = fs::metadata(data_dir).ok()?;
    let name = format!("g3n-reads-{}-{}", found.dev(), found.ino());
    Some([std::env::temp_dir(), IN_MEMORY.into()].map(|above| above.join(&name)))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
