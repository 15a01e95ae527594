//! Free disk for the journal and for operators: two marks below which changes are refused, and a file that is deleted when
//! nothing else is left.
//!
//! A thread reads the free space once a second, and more often when it is short; requests read memory alone. The file
//! ([`FILE`]) occupies disk that tenants cannot take: deleted, it leaves room for a start, a suspension and a vacuum.

mod level;
#[cfg(test)]
mod tests;

use parking_lot::Mutex;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use rustix::fs::{FallocateFlags, fallocate};

use crate::disk::{self, Space};
use crate::meters::{Meters, value};
use crate::os_error;
use crate::report::{self, Event};

pub use self::level::{Level, Marks, ReserveSettings};

/// The reserve's name in the data directory.
pub const FILE: &str = "reserve";
/// A second file of the same size, which only a start gives up: whatever took the first may have taken its room too.
pub const START_FILE: &str = "reserve.start";
/// The pause between two checks while there is plenty of room.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The pause while uploads are in progress, or less than [`PLENTY_BYTES`] above the first mark is free.
const LOOK_OFTEN: Duration = Duration::from_millis(100);
/// More bytes than a fast disk takes between two checks.
const PLENTY_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Free bytes and inodes without which the databases are not opened in place: sled takes half a MiB at a time, and a start
/// makes a handful of files.
const ROOM_TO_OPEN: (u64, u64) = (1024 * 1024, 32);
/// Bytes written at a time where the file system cannot allocate room.
const CHUNK_BYTES: usize = 1024 * 1024;

/// Reads the free space of the disk.
type Look = Box<dyn Fn() -> io::Result<Space> + Send + Sync>;

/// The first of a server's directories that cannot be written, and why.
pub type Unwritable = (PathBuf, io::Error);

/// The free disk of a data directory, as last read.
pub struct Reserve {
    path: PathBuf,
    settings: ReserveSettings,
    look: Look,
    /// Directories that a server writes to.
    directories: Vec<PathBuf>,
    /// Whether one of the directories cannot be written.
    unwritable: AtomicBool,
    level: AtomicU8,
    /// Free bytes at the last check, less what uploads have written since.
    free_bytes: AtomicU64,
    /// Free bytes below which uploads are refused.
    uploads_mark: AtomicU64,
    /// Free bytes with which a journal that a full disk has closed is opened again.
    open_mark: AtomicU64,
    /// Bytes that uploads in progress may still write.
    promised_bytes: AtomicU64,
    /// Bytes of the reserve's file; 0 while there is none.
    kept_bytes: AtomicU64,
    /// The file for starts is there.
    start_kept: AtomicBool,
    /// Whether the last check failed, which was reported.
    blind: AtomicBool,
    /// Held while the disk is checked.
    looking: Mutex<()>,
    wake: Sender<()>,
}

impl Reserve {
    /// Checks a data directory for the first time, gives its reserve up if nothing else is left, and continues checking on
    /// a thread of its own until it is dropped. The directories are those that a server writes to.
    ///
    /// # Errors
    /// An I/O error when no thread can be started.
    pub fn open(
        data_dir: &Path,
        settings: ReserveSettings,
        directories: Vec<PathBuf>,
    ) -> io::Result<Arc<Self>> {
        let dir = data_dir.to_owned();
        let (wake, woken) = bounded(1);
        let look = Box::new(move || disk::space(&dir));
        let mut reserve = Self::new(data_dir, settings, look, wake);
        reserve.directories = directories;
        let reserve = Arc::new(reserve);
        reserve.look();
        let watched = Arc::downgrade(&reserve);
        std::thread::Builder::new()
            .name("free-space".to_owned())
            .spawn(move || watch(&watched, &woken))?;
        Ok(reserve)
    }

    fn new(data_dir: &Path, settings: ReserveSettings, look: Look, wake: Sender<()>) -> Self {
        let path = data_dir.join(FILE);
        let kept = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        Self {
            path,
            settings,
            look,
            directories: Vec::new(),
            unwritable: AtomicBool::new(false),
            level: AtomicU8::new(Level::Enough.number()),
            free_bytes: AtomicU64::new(0),
            uploads_mark: AtomicU64::new(0),
            open_mark: AtomicU64::new(u64::MAX),
            promised_bytes: AtomicU64::new(0),
            kept_bytes: AtomicU64::new(kept),
            start_kept: AtomicBool::new(false),
            blind: AtomicBool::new(false),
            looking: Mutex::new(()),
            wake,
        }
    }

    /// What the free disk was enough for at the last check.
    pub fn level(&self) -> Level {
        Level::of_number(self.level.load(Ordering::Relaxed))
    }

    /// Whether each of the server's directories could be written at the last check.
    pub fn is_writable(&self) -> bool {
        !self.unwritable.load(Ordering::Relaxed)
    }

    /// Whether there is room to open a journal that a full disk has closed: half of the reserve, or what tenants' changes need
    /// where there is none.
    pub fn has_room_to_open(&self) -> bool {
        let needed = self.open_mark.load(Ordering::Relaxed);
        self.free_bytes.load(Ordering::Relaxed) >= needed
    }

    /// Room for an upload of `bytes`, until what is returned is dropped; `None` when it would take the free disk,
    /// less what other uploads were promised, below the first mark.
    pub fn promise(self: &Arc<Self>, bytes: u64) -> Option<Promised> {
        if self.level() > Level::Enough {
            return None;
        }
        let before = self.promised_bytes.fetch_add(bytes, Ordering::Relaxed);
        let mark = self.uploads_mark.load(Ordering::Relaxed);
        let needed = before.saturating_add(bytes).saturating_add(mark);
        if self.free_bytes.load(Ordering::Relaxed) < needed {
            self.promised_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return None;
        }
        Some(Promised {
            reserve: Arc::clone(self),
            bytes,
        })
    }

    /// Adds its numbers to a server's metrics.
    pub fn measure(self: &Arc<Self>, meters: &Meters) {
        let of = |look: fn(&Self) -> f64| {
            // The meters outlive the server's other parts.
            let reserve = Arc::downgrade(self);
            move || reserve.upgrade().map(|reserve| look(&reserve))
        };
        meters.gauge_fn(
            (
                "metarecord_disk_level",
                "0 with enough free disk, 1 while uploads and puts are refused, 2 while all tenants' changes are.",
            ),
            of(|reserve| f64::from(reserve.level().number())),
        );
        meters.gauge_fn(
            (
                "metarecord_disk_reserve_bytes",
                "Bytes of the file that is given up when the disk is full; 0 when there is none.",
            ),
            of(|reserve| value(reserve.kept_bytes.load(Ordering::Relaxed))),
        );
    }

    /// Checks the disk, and does and reports what follows.
    pub fn look(&self) {
        let _alone = self.looking.lock();
        match self.take_stock() {
            Ok(()) => self.blind.store(false, Ordering::Relaxed),
            Err(error) if !self.blind.swap(true, Ordering::Relaxed) => {
                report::storage_failed(&format!(
                    "the free disk space cannot be read: {}",
                    os_error::describe(&error)
                ));
            }
            Err(_) => {}
        }
    }

    /// Notes whether all directories can be written, and reports it when that has changed.
    fn look_at_directories(&self) {
        let found = unwritable(&self.directories);
        let before = self.unwritable.swap(found.is_some(), Ordering::Relaxed);
        match found {
            Some((place, error)) if !before => report::storage_failed(&format!(
                "{} cannot be written: {}",
                place.display(),
                os_error::describe(&error)
            )),
            None if before => report::notice("all directories can be written again"),
            Some(_) | None => {}
        }
    }

    fn take_stock(&self) -> io::Result<()> {
        self.look_at_directories();
        let mut space = (self.look)()?;
        let marks = self.settings.marks(space.size_bytes, space.files);
        let kept = self.kept_bytes.load(Ordering::Relaxed);
        let given_up = kept > 0 && space.free_bytes < kept;
        if given_up {
            fs::remove_file(&self.path)?;
            self.kept_bytes.store(0, Ordering::Relaxed);
            space = (self.look)()?;
        }
        let before = self.level();
        let level = marks.level(before, space.free_bytes, space.free_files);
        let open_mark = match marks.reserve {
            0 => marks.changes,
            reserve => reserve / 2,
        };
        let open_mark = if space.free_files < ROOM_TO_OPEN.1 {
            u64::MAX
        } else {
            open_mark.max(2 * ROOM_TO_OPEN.0)
        };
        self.open_mark.store(open_mark, Ordering::Relaxed);
        self.uploads_mark.store(marks.uploads, Ordering::Relaxed);
        self.free_bytes.store(space.free_bytes, Ordering::Relaxed);
        self.level.store(level.number(), Ordering::Relaxed);
        if level != before || given_up {
            report::emit(Event::DiskSpace {
                space: level.as_str(),
                free_bytes: space.free_bytes,
                free_files: space.free_files,
                reserve_bytes: self.kept_bytes.load(Ordering::Relaxed),
                hint: level.hint(),
            });
        }
        let room = marks.uploads.saturating_add(marks.uploads / 4);
        let room = room.saturating_add(marks.reserve);
        // The size of some file systems varies a little all the time.
        let fits = kept >= marks.reserve / 2 && kept <= marks.reserve.saturating_mul(2);
        if level == Level::Enough
            && !(fits && kept > 0)
            && kept != marks.reserve
            && space.free_bytes >= room
        {
            self.keep(marks.reserve)?;
        }
        let room = room.saturating_add(marks.reserve);
        if level == Level::Enough && marks.reserve > 0 && space.free_bytes >= room {
            self.keep_for_start(marks.reserve)?;
        }
        Ok(())
    }

    /// Makes the file for starts, unless it is there.
    fn keep_for_start(&self, bytes: u64) -> io::Result<()> {
        if self.start_kept.load(Ordering::Relaxed) {
            return Ok(());
        }
        let path = self.path.with_file_name(START_FILE);
        if !path.try_exists()? {
            make(&path, bytes)?;
        }
        self.start_kept.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Recreates the reserve with a size; with 0 there is none afterwards.
    fn keep(&self, bytes: u64) -> io::Result<()> {
        self.kept_bytes.store(0, Ordering::Relaxed);
        remove(&self.path)?;
        if bytes == 0 {
            return Ok(());
        }
        make(&self.path, bytes)?;
        self.kept_bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// How long to wait for the next check.
    fn pause(&self) -> Duration {
        let mark = self.uploads_mark.load(Ordering::Relaxed);
        let plenty = mark.saturating_add(PLENTY_BYTES);
        let free = self.free_bytes.load(Ordering::Relaxed);
        if self.promised_bytes.load(Ordering::Relaxed) > 0 || free < plenty {
            LOOK_OFTEN
        } else {
            LOOK_EVERY
        }
    }
}

/// Whether a data directory's file system has too little room for databases to be opened there.
pub fn is_full(data_dir: &Path) -> bool {
    let (bytes, files) = ROOM_TO_OPEN;
    disk::space(data_dir).is_ok_and(|space| space.free_bytes < bytes || space.free_files < files)
}

/// The first of a server's directories that is there and cannot be written.
pub fn unwritable(directories: &[PathBuf]) -> Option<Unwritable> {
    directories.iter().find_map(|place| {
        let error = disk::check_writable(place).err()?;
        (error.kind() != io::ErrorKind::NotFound).then(|| (place.clone(), error))
    })
}

/// Removes the reserve of a data directory when its file system has less than half of it left: what follows must be able to
/// write. Without a reserve the file for starts is removed. The caller holds the directory's lock.
///
/// # Errors
/// When a file cannot be read or removed.
pub(crate) fn give_up_if_full(data_dir: &Path) -> io::Result<()> {
    for name in [FILE, START_FILE] {
        let path = data_dir.join(name);
        let kept = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata?.len(),
        };
        if disk::space(data_dir)?.free_bytes < kept / 2 {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Makes a file of a size, whole or not at all.
fn make(path: &Path, bytes: u64) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600);
    let filled = file.open(path).and_then(|mut file| fill(&mut file, bytes));
    if filled.is_err() {
        remove(path)?;
    }
    filled
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Allocates room on the disk for a file.
fn fill(file: &mut File, bytes: u64) -> io::Result<()> {
    match fallocate(&*file, FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
        done => return done.map_err(io::Error::from),
    }
    // A file system that has no such call may keep no room for zeros either, so the bytes are of no pattern.
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut left = bytes;
    while left > 0 {
        for word in chunk.chunks_exact_mut(8) {
            // Marsaglia, "Xorshift RNGs", 2003.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let part = usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        file.write_all(&chunk[..part])?;
        left -= part as u64;
    }
    file.sync_all()
}

/// Checks the disk again and again, until the reserve is dropped.
fn watch(reserve: &Weak<Reserve>, woken: &Receiver<()>) {
    loop {
        let pause = match reserve.upgrade() {
            Some(reserve) => reserve.pause(),
            None => return,
        };
        match woken.recv_timeout(pause) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if let Some(reserve) = reserve.upgrade() {
            reserve.look();
        }
    }
}

/// Room for one upload.
pub struct Promised {
    reserve: Arc<Reserve>,
    bytes: u64,
}

impl Drop for Promised {
    fn drop(&mut self) {
        let reserve = &self.reserve;
        // What it may have written counts until the next check, which is requested.
        let free = |free: u64| Some(free.saturating_sub(self.bytes));
        let _: Result<u64, u64> =
            reserve
                .free_bytes
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, free);
        reserve
            .promised_bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
        // A check that was requested already is as good.
        let _: Result<(), TrySendError<()>> = reserve.wake.try_send(());
    }
}
