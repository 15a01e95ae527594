//! A disk of tests on which no file gets a second name.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::disk::{Disk, DiskFile, RealDisk};

/// A real disk, but for links: each fails in this way.
pub(super) struct NoLinks(pub(super) ErrorKind);

impl Disk for NoLinks {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn link(&self, file: &Path, _: &Path) -> io::Result<()> {
        std::fs::metadata(file)?;
        Err(self.0.into())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }
}
