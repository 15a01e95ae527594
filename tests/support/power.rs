//! A disk that remembers what was done to it, and what is left of that when the power goes.
//!
//! What was synced stays. Of the rest any pages of a file may be there, and of each directory's names any beginning.

use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use metarecord::disk::{Disk, DiskFile, RealDisk};

use super::dice::Dice;

const PAGE: usize = 4096;

/// A directory's files that were written behind the recording disk's back, as they were at one moment.
type Files = Arc<BTreeMap<PathBuf, Vec<u8>>>;

/// One thing done to a disk. Files are numbered as they are created, whatever they are called.
#[derive(Clone)]
enum Step {
    Create(PathBuf, usize),
    Write(usize, u64, Vec<u8>),
    Truncate(usize, u64),
    Sync(usize),
    Rename(PathBuf, PathBuf, usize),
    Link(PathBuf, usize),
    Remove(PathBuf),
    MakeDir(PathBuf),
    SyncDir(PathBuf),
    /// A database's directory, and whether its owner has just made it durable.
    Database(Files, bool),
    /// Somebody was told something, or began something: the test knows what.
    Told,
}

/// Does everything for real and remembers it. Syncs are only remembered: their order is what counts here.
#[derive(Clone)]
pub(crate) struct RecordingDisk {
    root: PathBuf,
    /// Where a database lies that writes its own files, and the file whose making says that it is durable.
    database: (PathBuf, PathBuf),
    record: Arc<Mutex<Record>>,
}

#[derive(Default)]
struct Record {
    steps: Vec<Step>,
    names: BTreeMap<PathBuf, usize>,
    files: usize,
}

impl RecordingDisk {
    /// Records what is done below a directory. Its database is durable whenever `marker` is made.
    pub(crate) fn new(root: &Path, database: &str, marker: &str) -> Self {
        Self {
            root: root.to_owned(),
            database: (root.join(database), root.join(marker)),
            record: Arc::default(),
        }
    }

    /// Notes that somebody was told something.
    pub(crate) fn told(&self) {
        self.record().steps.push(Step::Told);
    }

    /// Notes what the database's files hold now; none of it is durable.
    pub(crate) fn look_at_database(&self) {
        let files = below(&self.database.0);
        self.record().steps.push(Step::Database(files, false));
    }

    /// Steps so far: a cut may come before each, and behind the last.
    pub(crate) fn steps(&self) -> usize {
        self.record().steps.len()
    }

    /// Writes into a directory what a power cut after so many steps leaves. Returns how often somebody had been told
    /// something by then.
    pub(crate) fn cut_power(&self, steps: usize, into: &Path, dice: &mut Dice) -> usize {
        let mut image = Image::default();
        let record = self.record();
        for step in &record.steps[..steps] {
            image.take(step);
        }
        image.write((&self.root, &self.database.0), into, dice);
        image.told
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock()
    }
}

struct RecordedFile(RecordingDisk, usize, Box<dyn DiskFile>);

impl Disk for RecordingDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let durable = (path == self.database.1).then(|| below(&self.database.0));
        let mut record = self.record();
        let file = RealDisk.create(path)?;
        record
            .steps
            .extend(durable.map(|files| Step::Database(files, true)));
        record.files += 1;
        let number = record.files;
        record.names.insert(path.to_owned(), number);
        record.steps.push(Step::Create(path.to_owned(), number));
        Ok(Box::new(RecordedFile(self.clone(), number, file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let number = self.record().names[path];
        let file = RealDisk.open(path)?;
        Ok(Box::new(RecordedFile(self.clone(), number, file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut record = self.record();
        RealDisk.rename(from, to)?;
        let number = record
            .names
            .remove(from)
            .expect("only recorded files are renamed");
        record.names.insert(to.to_owned(), number);
        let step = Step::Rename(from.to_owned(), to.to_owned(), number);
        record.steps.push(step);
        Ok(())
    }

    fn link(&self, file: &Path, name: &Path) -> io::Result<()> {
        let mut record = self.record();
        RealDisk.link(file, name)?;
        let number = record.names[file];
        record.names.insert(name.to_owned(), number);
        record.steps.push(Step::Link(name.to_owned(), number));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut record = self.record();
        RealDisk.remove(path)?;
        record.names.remove(path);
        record.steps.push(Step::Remove(path.to_owned()));
        Ok(())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut record = self.record();
        RealDisk.create_dir(dir)?;
        record.steps.push(Step::MakeDir(dir.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.record().steps.push(Step::SyncDir(dir.to_owned()));
        Ok(())
    }
}

impl DiskFile for RecordedFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut record = self.0.record();
        self.2.write_at(offset, bytes)?;
        let step = Step::Write(self.1, offset, bytes.to_vec());
        record.steps.push(step);
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut record = self.0.record();
        self.2.truncate(length)?;
        record.steps.push(Step::Truncate(self.1, length));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.record().steps.push(Step::Sync(self.1));
        Ok(())
    }
}

/// What a disk holds, and what it is sure to hold after the power went.
#[derive(Default)]
struct Image {
    now: BTreeMap<usize, Vec<u8>>,
    durable: BTreeMap<usize, Vec<u8>>,
    /// What was done to names, each with the directory whose sync makes it durable, and whether one has.
    names: Vec<(PathBuf, Step, bool)>,
    database_now: Files,
    database_durable: Files,
    told: usize,
}

impl Image {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Create(path, file) => {
                self.now.insert(*file, Vec::new());
                self.durable.insert(*file, Vec::new());
                self.name(path, step);
            }
            Step::Rename(_, path, _)
            | Step::Link(path, _)
            | Step::Remove(path)
            | Step::MakeDir(path) => {
                self.name(path, step);
            }
            Step::Write(file, offset, bytes) => {
                let content = self.now.get_mut(file).expect("it was created");
                let (start, end) = (*offset as usize, *offset as usize + bytes.len());
                content.resize(content.len().max(end), 0);
                content[start..end].copy_from_slice(bytes);
            }
            Step::Truncate(file, length) => {
                let content = self.now.get_mut(file).expect("it was created");
                content.truncate(*length as usize);
            }
            Step::Sync(file) => {
                self.durable.insert(*file, self.now[file].clone());
            }
            Step::SyncDir(dir) => {
                let theirs = self.names.iter_mut().filter(|(owner, ..)| owner == dir);
                theirs.for_each(|(_, _, durable)| *durable = true);
            }
            Step::Database(files, durable) => {
                self.database_now = Arc::clone(files);
                if *durable {
                    self.database_durable = Arc::clone(files);
                }
            }
            Step::Told => self.told += 1,
        }
    }

    fn name(&mut self, path: &Path, step: &Step) {
        let owner = path.parent().expect("a path below the root").to_owned();
        self.names.push((owner, step.clone(), false));
    }

    fn write(&self, (root, database): (&Path, &Path), into: &Path, dice: &mut Dice) {
        let (names, dirs) = self.surviving_names(dice);
        let place =
            |path: &Path| into.join(path.strip_prefix(root).expect("a path below the root"));
        for dir in &dirs {
            fs::create_dir_all(place(dir)).expect("a directory is made");
        }
        for (path, file) in names {
            let gone = path
                .ancestors()
                .skip(1)
                .take_while(|above| *above != root)
                .any(|above| self.was_made(above) && !dirs.contains(above));
            if gone {
                continue;
            }
            let content = survivor(&self.durable[&file], &self.now[&file], dice);
            put(&place(&path), &content);
        }
        let nothing = Vec::new();
        for (path, now) in &*self.database_now {
            let durable = self.database_durable.get(path).unwrap_or(&nothing);
            put(&place(&database.join(path)), &survivor(durable, now, dice));
        }
    }

    /// Whether a directory is one of those that were made while recording.
    fn was_made(&self, dir: &Path) -> bool {
        let mut made = self.names.iter().map(|(_, step, _)| step);
        made.any(|step| matches!(step, Step::MakeDir(made) if made == dir))
    }

    fn surviving_names(&self, dice: &mut Dice) -> (BTreeMap<PathBuf, usize>, BTreeSet<PathBuf>) {
        let mut kept = BTreeMap::new();
        for (owner, _, durable) in &self.names {
            let (sure, unsure) = kept.entry(owner).or_insert((0, 0));
            *if *durable { sure } else { unsure } += 1;
        }
        for (sure, unsure) in kept.values_mut() {
            *sure += dice.below(*unsure + 1);
        }
        let (mut names, mut dirs) = (BTreeMap::new(), BTreeSet::new());
        for (owner, step, _) in &self.names {
            let (left, _) = kept.get_mut(owner).expect("it was counted");
            if *left == 0 {
                continue;
            }
            *left -= 1;
            match step {
                Step::Create(path, file) | Step::Link(path, file) => {
                    names.insert(path.clone(), *file);
                }
                Step::Rename(from, to, file) => {
                    names.remove(from);
                    names.insert(to.clone(), *file);
                }
                Step::Remove(path) => {
                    names.remove(path);
                }
                Step::MakeDir(path) => {
                    dirs.insert(path.clone());
                }
                Step::Write(..)
                | Step::Truncate(..)
                | Step::Sync(_)
                | Step::SyncDir(_)
                | Step::Database(..)
                | Step::Told => unreachable!("not about names"),
            }
        }
        (names, dirs)
    }
}

/// One file: synced pages stay, each later page is there, or as it was, or zeros; the length is any between.
fn survivor(durable: &[u8], now: &[u8], dice: &mut Dice) -> Vec<u8> {
    if durable == now {
        return now.to_vec();
    }
    let (short, long) = (durable.len().min(now.len()), durable.len().max(now.len()));
    let length = match dice.below(3) {
        0 => durable.len(),
        1 => now.len(),
        _ => short + dice.below((long - short) as u64 + 1) as usize,
    };
    let mut content = durable.to_vec();
    content.resize(length, 0);
    for start in (0..length.min(now.len())).step_by(PAGE) {
        let end = (start + PAGE).min(length).min(now.len());
        if dice.below(2) == 0 {
            content[start..end].copy_from_slice(&now[start..end]);
        }
    }
    content
}

fn put(path: &Path, content: &[u8]) {
    let dir = path.parent().expect("a path below the root");
    fs::create_dir_all(dir).expect("a directory is made");
    fs::write(path, content).expect("a file is written");
}

/// Every file below a directory, by its path there.
fn below(dir: &Path) -> Files {
    fn walk(root: &Path, dir: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(root, &path, files);
            } else if let Ok(bytes) = fs::read(&path) {
                let name = path.strip_prefix(root).expect("a path below the root");
                files.insert(name.to_owned(), bytes);
            }
        }
    }
    let mut files = BTreeMap::new();
    walk(dir, dir, &mut files);
    Arc::new(files)
}
