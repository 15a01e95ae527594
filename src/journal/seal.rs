//! Sealing and erasing, one segment at a time in the background: full segments are gzipped, and the plain file is removed when
//! the gzip is durable.

use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};

use super::erase::{Packing, erase_segment};
use super::segment::{Segments, failed, plain_name};
use super::{EraseOrder, JournalError, Position};
use crate::background;
use crate::disk::Disk;
use crate::os_error::describe;

/// The sealing thread. Dropping it stops after the current member; what is left is sealed after the next open.
pub(crate) struct Sealer {
    queue: Option<Sender<Job>>,
    stop: Arc<AtomicBool>,
    trouble: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<()>>,
}

/// A job for the thread.
pub(crate) enum Job {
    /// Seal a full segment.
    Seal(Position),
    /// Erases what an order covers in a segment, and reports which positions the order has erased in it.
    Erase(
        Position,
        Arc<EraseOrder>,
        Sender<Result<Vec<Position>, JournalError>>,
    ),
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
        let thread = background::spawn("journal-sealer", move || work.run(&waiting, &told))
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
            let _ = queue.send(Job::Seal(first));
        }
    }

    /// The sender of the thread's queue. The thread ends only once every such sender is dropped.
    pub(crate) fn queue(&self) -> Option<Sender<Job>> {
        self.queue.clone()
    }

    /// Where the last failure to seal is stored; the segment stays plain and readable.
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
    fn run(&self, waiting: &Receiver<Job>, trouble: &Mutex<Option<String>>) {
        // Full segments that are plain still: what failed is tried again when the next one is full.
        let mut plain = BTreeSet::new();
        for job in waiting {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            match job {
                Job::Seal(first) => {
                    plain.insert(first);
                    plain.retain(|first| {
                        !self.stop.load(Ordering::Relaxed) && !self.seal(*first, trouble)
                    });
                }
                Job::Erase(first, order, answer) => {
                    // Asked to stop, it leaves the answer out.
                    if let Some(erased) = erase_segment(&self.packing(), first, &order).transpose()
                    {
                        let _ = answer.send(erased);
                    }
                }
            }
        }
    }

    /// Whether nothing is left to do for the segment.
    fn seal(&self, first: Position, trouble: &Mutex<Option<String>>) -> bool {
        // Erasing seals too, and may have come first.
        let plain = self.dir.join(plain_name(first));
        let sealed = if plain.exists() {
            self.packing().seal(first)
        } else {
            Ok(true)
        };
        if let Err(error) = &sealed {
            let text = format!(
                "{} stays uncompressed: {}",
                plain_name(first),
                describe(error)
            );
            *trouble.lock() = Some(text);
        }
        sealed.is_ok()
    }

    fn packing(&self) -> Packing<'_> {
        Packing {
            disk: &*self.disk,
            dir: &self.dir,
            segments: &self.segments,
            stop: &self.stop,
        }
    }
}
