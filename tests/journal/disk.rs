//! Disks that fail when told to, or remember what was done to them, under the real log and writer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use metarecord::journal::disk::{Disk, RealDisk, SegmentFile};

use super::support::Dice;

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
        *self.0.lock().unwrap() = Some(fault);
    }

    /// Whether the fault has happened.
    pub(crate) fn failed(&self) -> bool {
        self.0.lock().unwrap().is_none()
    }

    fn sync(&self) -> io::Result<()> {
        let mut fault = self.0.lock().unwrap();
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
        let mut fault = self.0.lock().unwrap();
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

struct FailingFile(FailingDisk, Box<dyn SegmentFile>);

impl Disk for FailingDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(FailingFile(self.clone(), RealDisk.create(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(FailingFile(self.clone(), RealDisk.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.sync()?;
        RealDisk.sync_dir(dir)
    }
}

impl SegmentFile for FailingFile {
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

/// One thing done to a disk. Files are numbered as they are created, whatever they are called.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Create(PathBuf, usize),
    Write(usize, u64, Vec<u8>),
    Truncate(usize, u64),
    Sync(usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    SyncDir,
    /// The caller has been told that this position is durable.
    Acknowledged(u64),
}

/// Does everything for real and remembers it.
#[derive(Clone, Default)]
pub(crate) struct RecordingDisk(Arc<Mutex<Record>>);

#[derive(Default)]
struct Record {
    steps: Vec<Step>,
    names: BTreeMap<PathBuf, usize>,
    files: usize,
}

impl RecordingDisk {
    pub(crate) fn acknowledged(&self, position: u64) {
        let step = Step::Acknowledged(position);
        self.0.lock().unwrap().steps.push(step);
    }

    pub(crate) fn steps(&self) -> Vec<Step> {
        self.0.lock().unwrap().steps.clone()
    }
}

struct RecordedFile(RecordingDisk, usize, Box<dyn SegmentFile>);

impl Disk for RecordingDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        let file = RealDisk.create(path)?;
        let mut record = self.0.lock().unwrap();
        record.files += 1;
        let number = record.files;
        record.names.insert(path.to_owned(), number);
        record.steps.push(Step::Create(path.to_owned(), number));
        Ok(Box::new(RecordedFile(self.clone(), number, file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        let number = self.0.lock().unwrap().names[path];
        Ok(Box::new(RecordedFile(
            self.clone(),
            number,
            RealDisk.open(path)?,
        )))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut record = self.0.lock().unwrap();
        RealDisk.rename(from, to)?;
        if let Some(number) = record.names.remove(from) {
            record.names.insert(to.to_owned(), number);
        }
        record
            .steps
            .push(Step::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut record = self.0.lock().unwrap();
        RealDisk.remove(path)?;
        record.names.remove(path);
        record.steps.push(Step::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        // The order is what counts here; waiting for the machine's disk would only take time.
        self.0.lock().unwrap().steps.push(Step::SyncDir);
        Ok(())
    }
}

impl SegmentFile for RecordedFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut record = self.0.0.lock().unwrap();
        self.2.write_at(offset, bytes)?;
        record
            .steps
            .push(Step::Write(self.1, offset, bytes.to_vec()));
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut record = self.0.0.lock().unwrap();
        self.2.truncate(length)?;
        record.steps.push(Step::Truncate(self.1, length));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.0.lock().unwrap().steps.push(Step::Sync(self.1));
        Ok(())
    }
}

const PAGE: usize = 4096;

/// What a disk holds, and what it is sure to hold after the power went.
#[derive(Default)]
struct Image {
    now: BTreeMap<usize, Vec<u8>>,
    durable: BTreeMap<usize, Vec<u8>>,
    names: Vec<Step>,
    durable_names: usize,
}

/// Writes into a directory what a power cut after some steps leaves: all that was synced, of the rest any pages, and
/// any beginning of the unsynced names. Returns the last position that had been acknowledged.
pub(crate) fn cut_power(steps: &[Step], into: &Path, dice: &mut Dice) -> u64 {
    let mut image = Image::default();
    let mut acknowledged = 0;
    for step in steps {
        match step {
            Step::Create(_, file) => {
                image.now.insert(*file, Vec::new());
                image.durable.insert(*file, Vec::new());
                image.names.push(step.clone());
            }
            Step::Rename(..) | Step::Remove(_) => image.names.push(step.clone()),
            Step::Write(file, offset, bytes) => {
                let content = image.now.get_mut(file).unwrap();
                let (start, end) = (*offset as usize, *offset as usize + bytes.len());
                content.resize(content.len().max(end), 0);
                content[start..end].copy_from_slice(bytes);
            }
            Step::Truncate(file, length) => {
                image.now.get_mut(file).unwrap().truncate(*length as usize);
            }
            Step::Sync(file) => {
                image.durable.insert(*file, image.now[file].clone());
            }
            Step::SyncDir => image.durable_names = image.names.len(),
            Step::Acknowledged(position) => acknowledged = acknowledged.max(*position),
        }
    }
    image.write(into, dice);
    acknowledged
}

impl Image {
    fn write(&self, into: &Path, dice: &mut Dice) {
        fs::create_dir_all(into).unwrap();
        let unsynced = (self.names.len() - self.durable_names) as u64;
        let kept = self.durable_names + dice.below(unsynced + 1) as usize;
        let mut names = BTreeMap::new();
        for step in &self.names[..kept] {
            match step {
                Step::Create(path, file) => {
                    names.insert(path.clone(), *file);
                }
                Step::Rename(from, to) => {
                    let file = names.remove(from).unwrap();
                    names.insert(to.clone(), file);
                }
                Step::Remove(path) => {
                    names.remove(path);
                }
                other => panic!("not about names: {other:?}"),
            }
        }
        let mut written = BTreeSet::new();
        for (path, file) in names {
            assert!(written.insert(file), "a file has one name");
            let content = self.survivor(file, dice);
            fs::write(into.join(path.file_name().unwrap()), content).unwrap();
        }
    }

    /// One file: synced pages stay, each later page is there, or as it was, or zeros; the length is any between.
    fn survivor(&self, file: usize, dice: &mut Dice) -> Vec<u8> {
        let (durable, now) = (&self.durable[&file], &self.now[&file]);
        if durable == now {
            return now.clone();
        }
        let (short, long) = (durable.len().min(now.len()), durable.len().max(now.len()));
        let length = match dice.below(3) {
            0 => durable.len(),
            1 => now.len(),
            _ => short + dice.below((long - short) as u64 + 1) as usize,
        };
        let mut content = durable.clone();
        content.resize(length, 0);
        for start in (0..length.min(now.len())).step_by(PAGE) {
            let end = (start + PAGE).min(length).min(now.len());
            if dice.below(2) == 0 {
                content[start..end].copy_from_slice(&now[start..end]);
            }
        }
        content
    }
}
