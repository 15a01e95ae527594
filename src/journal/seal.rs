//! Sealing: full segments are gzipped in the background and the plain file goes when the gzip is durable.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};

use super::bgzf::{END, MEMBER_BYTES_MAX, Packer};
use super::segment::{Segment, Segments, failed, plain_name, sealed_name};
use super::{JournalError, Position};
use crate::disk::Disk;

/// Bytes packed between two writes.
const WRITE_BYTES: usize = 1024 * 1024;

/// The sealing thread. Dropping it stops after the current member; what is left is sealed after the next open.
pub(crate) struct Sealer {
    queue: Option<Sender<Position>>,
    stop: Arc<AtomicBool>,
    trouble: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<()>>,
}

struct Work {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segments: Arc<Segments>,
    stop: Arc<AtomicBool>,
}

impl Sealer {
    pub(crate) fn start(
        disk: Arc<dyn Disk>,
        dir: &Path,
        segments: Arc<Segments>,
    ) -> Result<Self, JournalError> {
        // Not bounded by itself: there is one number for each plain segment on the disk.
        let (queue, waiting) = crossbeam_channel::unbounded();
        let stop = Arc::new(AtomicBool::new(false));
        let trouble = Arc::new(Mutex::new(None));
        let work = Work {
            disk,
            dir: dir.to_owned(),
            segments,
            stop: Arc::clone(&stop),
        };
        let told = Arc::clone(&trouble);
        let thread = std::thread::Builder::new()
            .name("journal-sealer".to_owned())
            .spawn(move || work.run(&waiting, &told))
            .map_err(|error| failed("starting the sealing thread", dir, error))?;
        Ok(Self {
            queue: Some(queue),
            stop,
            trouble,
            thread: Some(thread),
        })
    }

    /// Asks for a segment to be sealed.
    pub(crate) fn seal(&self, first: Position) {
        if let Some(queue) = &self.queue {
            // A stopped thread leaves the segment plain, which is as good.
            let _ = queue.send(first);
        }
    }

    /// Where the last failure to seal is told; the segment stays plain and readable.
    pub(crate) fn trouble(&self) -> Arc<Mutex<Option<String>>> {
        Arc::clone(&self.trouble)
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic there left a plain segment, which the next open seals.
            let _ = thread.join();
        }
    }
}

impl Work {
    fn run(&self, waiting: &Receiver<Position>, trouble: &Mutex<Option<String>>) {
        for first in waiting {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            if let Err(error) = self.seal(first) {
                let text = match std::error::Error::source(&error) {
                    Some(cause) => format!("{} stays plain: {error}: {cause}", plain_name(first)),
                    None => format!("{} stays plain: {error}", plain_name(first)),
                };
                *trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
            }
        }
    }

    fn seal(&self, first: Position) -> Result<(), JournalError> {
        let plain = self.dir.join(plain_name(first));
        let sealed = self.dir.join(sealed_name(first));
        let temporary = self.dir.join(format!("{}.tmp", sealed_name(first)));
        let io = |error| failed("sealing a segment", &plain, error);
        if !self.pack(first, &temporary)? {
            return self.disk.remove(&temporary).map_err(io);
        }
        self.disk.rename(&temporary, &sealed).map_err(io)?;
        self.disk.sync_dir(&self.dir).map_err(io)?;
        self.disk.remove(&plain).map_err(io)?;
        self.segments.forget(first);
        self.disk.sync_dir(&self.dir).map_err(io)
    }

    /// Writes and syncs the gzip; false when asked to stop.
    fn pack(&self, first: Position, temporary: &Path) -> Result<bool, JournalError> {
        let io = |error| failed("sealing a segment", temporary, error);
        let segment =
            Segment::open(&self.dir, first).map_err(|(name, fault)| fault.at(&name, first))?;
        let mut file = self.disk.create(temporary).map_err(io)?;
        let (mut packer, mut packed, mut content) = (Packer::new(), Vec::new(), Vec::new());
        let (mut read, mut written) = (0, 0);
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            content.clear();
            segment
                .read(read, MEMBER_BYTES_MAX, &mut content)
                .map_err(|fault| fault.at(&segment.name, first))?;
            read += content.len() as u64;
            match content.is_empty() {
                true => packed.extend_from_slice(&END),
                false => packer
                    .pack(&content, &mut packed)
                    .map_err(|what| io(std::io::Error::other(what)))?,
            }
            if content.is_empty() || packed.len() >= WRITE_BYTES {
                file.write_at(written, &packed).map_err(io)?;
                written += packed.len() as u64;
                packed.clear();
            }
            if content.is_empty() {
                file.sync().map_err(io)?;
                return Ok(true);
            }
        }
    }
}
