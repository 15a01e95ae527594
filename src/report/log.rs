//! The log of a server: events go through a bounded queue to one thread, which writes them together; nobody who tells of
//! one waits for the disk or for whoever reads standard output.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::event::Event;
use super::field::Text;
use super::files::{Daily, Day, day_of};
use super::line::Lines;
use crate::clock::{self, Clock};
use crate::domain::Timestamp;

/// Events that may wait for the writing thread; past it they are counted and not kept.
pub const EVENTS_MAX: usize = 32_768;
/// Bytes of lines that are written together, about.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that may wait for the reader of standard output: 4 MiB.
const CHUNKS_MAX: usize = 64;
/// How long lines are gathered before they are written, beside a first one.
const GATHER_MS: u64 = 5;
/// How long the end of the log is waited for, when nobody takes what is left.
const CLOSE: Duration = Duration::from_secs(2);

/// Where the log goes, and what is in it.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Daily files here too.
    pub dir: Option<PathBuf>,
    /// Days that they are kept, today included.
    pub keep_days: u64,
    /// Reads that went well have a line too.
    pub reads: bool,
}

/// A log that was started. Cheap to tell: see [`Log::tell`].
pub struct Log {
    shared: Arc<Shared>,
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

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
}

#[derive(Default)]
struct Queue {
    events: Vec<(Timestamp, Event)>,
    /// Not kept since the last batch.
    dropped: u64,
    /// To be told when the files are removed.
    forget: Vec<Sender<io::Result<()>>>,
    closing: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All there is, once there is something.
    fn take(&self, spare: Vec<(Timestamp, Event)>) -> Queue {
        let mut queue = self.queue();
        while queue.events.is_empty() && queue.forget.is_empty() && !queue.closing {
            queue = self
                .filled
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
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

impl Log {
    /// Starts a log on an output, such as standard output, and in files when the options say so.
    ///
    /// # Errors
    /// When the directory cannot be used, or there can be no more threads.
    pub fn start(
        options: &LogOptions,
        clock: Clock,
        output: Box<dyn Write + Send>,
    ) -> io::Result<Arc<Self>> {
        let daily = match &options.dir {
            Some(dir) => Some(Daily::open(dir, options.keep_days)?),
            None => None,
        };
        let shared = Arc::new(Shared::default());
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
            let mut writer = Writer::new(daily, chunks, clock);
            Builder::new().name("log".to_owned()).spawn(move || {
                writer.run(&shared);
                drop(writer);
                drop(ending);
            })?
        };
        Ok(Arc::new(Self {
            shared,
            reads: options.reads,
            files: options.dir.clone(),
            clock,
            threads: Mutex::new(Some(Threads { writing, ended })),
        }))
    }

    /// Tells of an event. It never waits: when too much waits already it is counted, and the log says how many were.
    pub fn tell(&self, event: Event) {
        let at = self.clock.now();
        let mut queue = self.shared.queue();
        if queue.events.len() >= EVENTS_MAX {
            queue.dropped += 1;
            return;
        }
        queue.events.push((at, event));
        let first = queue.events.len() == 1;
        drop(queue);
        if first {
            self.shared.filled.notify_one();
        }
    }

    /// Whether reads that went well have a line.
    pub fn takes_reads(&self) -> bool {
        self.reads
    }

    /// Where the files are, when there are any.
    pub fn dir(&self) -> Option<&PathBuf> {
        self.files.as_ref()
    }

    /// Removes all files there are; what is told from now on begins a new one. Blocks until it is done.
    ///
    /// # Errors
    /// The disk's, or a log that has ended or is far behind.
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

    /// Writes what was told until now, and ends. It waits two seconds at most for an output that nobody reads.
    pub fn close(&self) {
        let threads = self
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(threads) = threads else { return };
        self.shared.queue().closing = true;
        self.shared.filled.notify_one();
        // Nothing is ever sent: it is closed when both have ended.
        if let Err(RecvTimeoutError::Disconnected) = threads.ended.recv_timeout(CLOSE) {
            // It has ended already, and its panic, if there was one, is told.
            drop(threads.writing.join());
        }
    }
}

/// Lines that are written together: all of one day.
#[derive(Default)]
struct Chunk {
    day: Day,
    lines: u64,
    bytes: Vec<u8>,
}

/// What the writing thread works with.
struct Writer {
    lines: Lines,
    /// The day whose file is written.
    day: Day,
    daily: Option<Daily>,
    /// Lines that the files could not take since they could last.
    missing_in_files: u64,
    output: Sender<Vec<u8>>,
    /// Lines that the output's reader did not take in time since it did last.
    missing_in_output: u64,
    clock: Clock,
}

impl Writer {
    fn new(daily: Option<Daily>, output: Sender<Vec<u8>>, clock: Clock) -> Self {
        Self {
            lines: Lines::default(),
            day: 0,
            daily,
            missing_in_files: 0,
            output,
            missing_in_output: 0,
            clock,
        }
    }

    fn run(&mut self, shared: &Shared) {
        let mut spare = Vec::new();
        loop {
            let mut batch = shared.take(spare);
            for done in batch.forget.drain(..) {
                let removed = self.daily.as_mut().map_or(Ok(()), Daily::remove_all);
                // Whoever asked may have given up.
                let _: Result<(), _> = done.send(removed);
            }
            let ended = batch.closing && batch.events.is_empty();
            self.write(&mut batch);
            if ended {
                return self.last_words();
            }
            spare = batch.events;
            if !batch.closing {
                clock::pause(GATHER_MS);
            }
        }
    }

    fn write(&mut self, batch: &mut Queue) {
        let mut chunk = Chunk::default();
        for (at, event) in batch.events.drain(..) {
            let day = self.file_day(at);
            if chunk.bytes.len() >= CHUNK_BYTES || (chunk.lines > 0 && chunk.day != day) {
                self.hand_over(std::mem::take(&mut chunk));
            }
            chunk.day = day;
            chunk.lines += 1;
            self.lines.add(at, &event, &mut chunk.bytes);
        }
        if batch.dropped > 0 {
            let event = Event::LinesDropped {
                output: "queue",
                lines: batch.dropped,
            };
            chunk.day = self.file_day(self.clock.now());
            chunk.lines += 1;
            self.lines.add(self.clock.now(), &event, &mut chunk.bytes);
        }
        if chunk.lines > 0 {
            self.hand_over(chunk);
        }
    }

    /// The day whose file a line goes into: its own, unless it comes a little late and the next has begun, so that
    /// whoever follows the files need not look back.
    fn file_day(&mut self, at: Timestamp) -> Day {
        let day = day_of(at);
        if day + 1 != self.day {
            self.day = day;
        }
        self.day
    }

    fn hand_over(&mut self, mut chunk: Chunk) {
        self.write_file(&mut chunk);
        if self.missing_in_output > 0 {
            let lines = self.missing_in_output;
            self.add_dropped("standard-output", lines, &mut chunk.bytes);
        }
        match self.output.try_send(chunk.bytes) {
            Ok(()) => self.missing_in_output = 0,
            Err(TrySendError::Full(_)) => self.missing_in_output += chunk.lines,
            // Nobody will read it any more; the files go on.
            Err(TrySendError::Disconnected(_)) => {}
        }
    }

    /// Writes lines into their file. That it fails is told once, to the output alone.
    fn write_file(&mut self, chunk: &mut Chunk) {
        let Some(mut daily) = self.daily.take() else {
            return;
        };
        let mut head = Vec::new();
        if self.missing_in_files > 0 {
            let lines = self.missing_in_files;
            self.add_dropped("files", lines, &mut head);
        }
        let written = match head.is_empty() {
            true => Ok(()),
            false => daily.write(chunk.day, &head),
        };
        match written.and_then(|()| daily.write(chunk.day, &chunk.bytes)) {
            Ok(()) => self.missing_in_files = 0,
            Err(error) => {
                if self.missing_in_files == 0 {
                    let error = Text::of(&error.to_string());
                    let event = Event::LogFilesFailed { error };
                    self.lines.add(self.clock.now(), &event, &mut chunk.bytes);
                }
                self.missing_in_files += chunk.lines;
            }
        }
        self.daily = Some(daily);
    }

    /// How many lines are missing at the end, when nobody has heard yet.
    fn last_words(&mut self) {
        if self.missing_in_output > 0 {
            let (lines, mut bytes) = (self.missing_in_output, Vec::new());
            self.add_dropped("standard-output", lines, &mut bytes);
            // Whoever reads none of it is not waited for longer than for the end itself.
            let _: Result<(), _> = self.output.send_timeout(bytes, CLOSE);
        }
    }

    fn add_dropped(&mut self, output: &'static str, lines: u64, bytes: &mut Vec<u8>) {
        let event = Event::LinesDropped { output, lines };
        self.lines.add(self.clock.now(), &event, bytes);
    }
}

/// Writes chunks to the output, until there are no more or it takes none any more.
fn pass_on(chunks: &Receiver<Vec<u8>>, mut output: Box<dyn Write + Send>) {
    for chunk in chunks {
        if output
            .write_all(&chunk)
            .and_then(|()| output.flush())
            .is_err()
        {
            return;
        }
    }
}
