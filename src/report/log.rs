//! The log of a server: events go through a bounded queue to a thread that writes them, so that no caller waits for the disk or
//! for the reader of standard output. Why no library does this: `docs/decisions/0050-the-log-writes-itself.md`.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use parking_lot::Mutex;

use super::event::Event;
use super::field::Word;
use super::files::Daily;
use super::queue::{
    CLOSE, EVENTS_MAX, FILES, FULL_FILE, Missing, QUEUE, REFUSALS, STANDARD_OUTPUT, Shared,
    steady_ms,
};
use super::sample::Sampler;
use super::writer::{Writer, pass_on};
use crate::clock::Clock;

/// Chunks that may wait for the reader of standard output: 4 MiB.
const CHUNKS_MAX: usize = 64;
/// Where the log is written, and which events are in it.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// A directory for daily files besides the output; `None` for none.
    pub dir: Option<PathBuf>,
    /// Days that these files are kept, including today.
    pub keep_days: u64,
    /// Whether successful reads have a line, too.
    pub reads: bool,
    /// Refusals of one cause from one address that have lines per second; 0 for all.
    pub refusals_per_second: u64,
    /// Bytes of a day's file past which it takes no lines of requests.
    pub day_bytes_max: u64,
}

/// A running log. Emitting an event takes a short lock and never waits: see [`Log::emit`].
pub struct Log {
    shared: Arc<Shared>,
    sampler: Arc<Sampler>,
    missing: Arc<Missing>,
    reads: bool,
    files: Option<PathBuf>,
    clock: Clock,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    writing: JoinHandle<()>,
    /// Closed when both threads have ended.
    ended: Receiver<()>,
}

impl Log {
    /// Starts a log on an output, such as standard output, and in files when the options say so.
    ///
    /// # Errors
    /// An I/O error when the directory cannot be used, or no thread can be started.
    pub fn start(
        options: &LogOptions,
        clock: Clock,
        output: Box<dyn Write + Send>,
    ) -> io::Result<Arc<Self>> {
        let daily = match &options.dir {
            Some(dir) => {
                let (keep, most) = (options.keep_days, options.day_bytes_max);
                Some(Daily::open(dir, keep, most, clock.clone())?)
            }
            None => None,
        };
        let shared = Arc::new(Shared::default());
        let sampler = Arc::new(Sampler::new(options.refusals_per_second));
        let missing = Arc::new(Missing::default());
        let (ending, ended) = bounded::<()>(0);
        let (chunks, taken) = bounded(CHUNKS_MAX);
        let both = ending.clone();
        Builder::new()
            .name("log-output".to_owned())
            .spawn(move || {
                pass_on(&taken, output);
                drop(both);
            })?;
        let writing = {
            let (shared, clock) = (shared.clone(), clock.clone());
            let (sampler, missing) = (sampler.clone(), missing.clone());
            let mut writer = Writer::new(daily, chunks, clock, sampler, missing);
            Builder::new().name("log".to_owned()).spawn(move || {
                writer.run(&shared);
                drop(writer);
                drop(ending);
            })?
        };
        Ok(Arc::new(Self {
            shared,
            sampler,
            missing,
            reads: options.reads,
            files: options.dir.clone(),
            clock,
            threads: Mutex::new(Some(Threads { writing, ended })),
        }))
    }

    /// Queues an event without waiting. When the queue is full the event is counted instead, and the log reports how many were.
    pub fn emit(&self, event: Event) {
        let at = self.clock.now();
        let mut queue = self.shared.queue();
        if queue.events.len() >= EVENTS_MAX {
            queue.dropped += 1;
            self.missing.in_queue.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.events.push((at, event));
        let first = queue.events.len() == 1;
        drop(queue);
        if first {
            self.shared.filled.notify_one();
        }
    }

    /// Whether a refused request has its lines; otherwise it is counted, and the log reports how many were.
    pub fn keeps_refusal(&self, cause: Word, address: Option<IpAddr>) -> bool {
        let (keeps, first) = self.sampler.keeps(cause, address, steady_ms(&self.clock));
        if first {
            // Locked once, so that the writing thread is not between its check and a wait without a timeout.
            drop(self.shared.queue());
            self.shared.filled.notify_one();
        }
        keeps
    }

    /// Lines missing since the start, by where or why.
    pub fn missing(&self) -> Vec<(Word, u64)> {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        vec![
            (QUEUE, count(&self.missing.in_queue)),
            (STANDARD_OUTPUT, count(&self.missing.in_output)),
            (FILES, count(&self.missing.in_files)),
            (FULL_FILE, count(&self.missing.in_full_files)),
            (REFUSALS, self.sampler.left_out()),
        ]
    }

    /// Whether successful reads have a line.
    pub fn takes_reads(&self) -> bool {
        self.reads
    }

    /// The directory of the daily files, if there are any.
    pub fn dir(&self) -> Option<&PathBuf> {
        self.files.as_ref()
    }

    /// Makes the next lines open their file again by its name.
    pub fn reopen(&self) {
        self.shared.queue().reopen = true;
    }

    /// Removes all files of the log; later events begin a new one. Blocks until that is done, two seconds at most.
    ///
    /// # Errors
    /// When a file cannot be removed, or when the log has ended or takes longer.
    pub fn remove_files(&self) -> io::Result<()> {
        if self.files.is_none() {
            return Ok(());
        }
        let (done, told) = bounded(1);
        self.shared.queue().forget.push(done);
        self.shared.filled.notify_one();
        match told.recv_timeout(CLOSE) {
            Ok(removed) => removed,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Writes what was queued until now, and ends the threads. Waits two seconds at most for an output that is not read.
    pub fn close(&self) {
        let threads = self.threads.lock().take();
        let Some(threads) = threads else { return };
        self.shared.queue().closing = true;
        self.shared.filled.notify_one();
        // Nothing is ever sent: it is closed when both have ended.
        if let Err(RecvTimeoutError::Disconnected) = threads.ended.recv_timeout(CLOSE) {
            // The thread has ended; a panic of it was logged by the panic hook.
            drop(threads.writing.join());
        }
    }
}
