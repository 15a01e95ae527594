//! What the log's callers and its writing thread share: the bounded queue of events, and counters of missing lines.

use std::io;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::event::Event;
use super::field::Word;
use super::sample::{Sampler, TELL_EVERY_MS};
use crate::clock::Clock;
use crate::domain::Timestamp;

/// Events that may wait for the writing thread; past it they are counted and dropped.
pub const EVENTS_MAX: usize = 32_768;
/// How long the end of the log is waited for when an output takes nothing.
pub(super) const CLOSE: Duration = Duration::from_secs(2);

/// How often the writing thread checks whether refusals without lines are to be reported.
const TELL_EVERY: Duration = Duration::from_millis(TELL_EVERY_MS);
/// Where lines are missing, or why: values of `output` in `lines_dropped`.
pub(super) const QUEUE: Word = "queue";
pub(super) const STANDARD_OUTPUT: Word = "standard-output";
pub(super) const FILES: Word = "files";
pub(super) const FULL_FILE: Word = "full-file";
pub(super) const REFUSALS: Word = "refusals";

/// Counters of lines that are missing since the start.
#[derive(Debug, Default)]
pub(super) struct Missing {
    pub(super) in_queue: AtomicU64,
    pub(super) in_output: AtomicU64,
    pub(super) in_files: AtomicU64,
    pub(super) in_full_files: AtomicU64,
}

/// The queue, and the signal that something is in it.
#[derive(Default)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    pub(super) filled: Condvar,
}

/// Events, and what the writing thread is asked for besides.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) events: Vec<(Timestamp, Event)>,
    /// Events dropped since the last batch.
    pub(super) dropped: u64,
    /// Callers that wait for the removal of the files.
    pub(super) forget: Vec<Sender<io::Result<()>>>,
    /// Whether the file is to be opened again.
    pub(super) reopen: bool,
    pub(super) closing: bool,
}

impl Shared {
    /// The queue, locked for as long as the guard lives.
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }

    /// Waits for events, or for the time to report refusals without lines, and takes everything that is there.
    pub(super) fn take(&self, spare: Vec<(Timestamp, Event)>, sampler: &Sampler) -> Queue {
        let mut queue = self.queue();
        while queue.events.is_empty() && queue.forget.is_empty() && !queue.closing {
            if sampler.is_pending() {
                self.filled.wait_for(&mut queue, TELL_EVERY);
                break;
            }
            self.filled.wait(&mut queue);
        }
        let closing = queue.closing;
        let left = Queue {
            events: spare,
            closing,
            ..Queue::default()
        };
        std::mem::replace(&mut queue, left)
    }
}

/// Milliseconds of the clock that is never set back.
pub(super) fn steady_ms(clock: &Clock) -> u64 {
    u64::try_from(clock.steady().as_millis()).unwrap_or(u64::MAX)
}
