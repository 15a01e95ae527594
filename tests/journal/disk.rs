//! Disks that fail when told to, under the real log and writer.

use parking_lot::Mutex;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use metarecord::disk::{Disk, DiskFile, RealDisk};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The n-th write writes nothing.
    Write(u64, io::ErrorKind),
    /// The n-th write writes half.
    ShortWrite(u64, io::ErrorKind),
    /// The n-th sync of a file or directory.
    Sync(u64, io::ErrorKind),
}

/// Counts from the moment it is armed, fails once at the n-th, and works again afterwards, as disks do.
#[derive(Clone, Default)]
pub(crate) struct FailingDisk(Arc<Mutex<Option<Fault>>>);

impl FailingDisk {
    pub(crate) fn arm(&self, fault: Fault) {
        *self.0.lock() = Some(fault);
    }

    /// Whether the fault has happened.
    pub(crate) fn failed(&self) -> bool {
        self.0.lock().is_none()
    }

    fn sync(&self) -> io::Result<()> {
        let mut fault = self.0.lock();
        match *fault {
            Some(Fault::Sync(1, kind)) => {
                *fault = None;
                Err(kind.into())
            }
            Some(Fault::Sync(n, kind)) => {
                *fault = Some(Fault::Sync(n - 1, kind));
                Ok(())
            }
            Some(Fault::Write(..) | Fault::ShortWrite(..)) | None => Ok(()),
        }
    }

    /// How much of a write is done before it fails.
    fn write(&self, bytes: usize) -> Result<(), (usize, io::Error)> {
        let mut fault = self.0.lock();
        match *fault {
            Some(Fault::Write(1, kind)) => {
                *fault = None;
                Err((0, kind.into()))
            }
            Some(Fault::ShortWrite(1, kind)) => {
                *fault = None;
                Err((bytes / 2, kind.into()))
            }
            Some(Fault::Write(n, kind)) => {
                *fault = Some(Fault::Write(n - 1, kind));
                Ok(())
            }
            Some(Fault::ShortWrite(n, kind)) => {
                *fault = Some(Fault::ShortWrite(n - 1, kind));
                Ok(())
            }
            Some(Fault::Sync(..)) | None => Ok(()),
        }
    }
}

/// Cannot make a gzip until it is told to, as a disk without room for one.
#[derive(Clone, Default)]
pub(crate) struct NoGzip {
    /// It can.
    pub(crate) room: Arc<AtomicBool>,
    /// How often it could not.
    pub(crate) refused: Arc<AtomicU64>,
}

impl Disk for NoGzip {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let gzip = path.to_str().is_some_and(|path| path.ends_with(".gz.tmp"));
        if gzip && !self.room.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(io::ErrorKind::StorageFull.into());
        }
        RealDisk.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn link(&self, file: &Path, name: &Path) -> io::Result<()> {
        RealDisk.link(file, name)
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

struct FailingFile(FailingDisk, Box<dyn DiskFile>);

impl Disk for FailingDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FailingFile(self.clone(), RealDisk.create(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FailingFile(self.clone(), RealDisk.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn link(&self, file: &Path, name: &Path) -> io::Result<()> {
        RealDisk.link(file, name)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.sync()?;
        RealDisk.sync_dir(dir)
    }
}

impl DiskFile for FailingFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if let Err((done, error)) = self.0.write(bytes.len()) {
            self.1.write_at(offset, &bytes[..done])?;
            return Err(error);
        }
        self.1.write_at(offset, bytes)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.1.truncate(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()?;
        self.1.sync()
    }
}
