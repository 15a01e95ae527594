//! The log of a server: events go through a bounded queue to one thread, which writes them together; nobody who tells of
//! one waits for the disk or for whoever reads standard output.

use parking_lot::{Condvar, Mutex, MutexGuard};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::event::Event;
use super::field::{Text, Word};
use super::files::{Daily, Day, day_of};
use super::line::Lines;
use super::sample::{Sampler, TELL_EVERY_MS};
use crate::clock::{self, Clock};
use crate::domain::Timestamp;
use crate::os_error::told;

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

/// How often the writing thread looks whether to tell what was left out.
const TELL_EVERY: Duration = Duration::from_millis(TELL_EVERY_MS);
/// What lines are missing in, or why.
const QUEUE: Word = "queue";
const STANDARD_OUTPUT: Word = "standard-output";
const FILES: Word = "files";
const FULL_FILE: Word = "full-file";
const REFUSALS: Word = "refusals";

/// Where the log goes, and what is in it.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Daily files here too.
    pub dir: Option<PathBuf>,
    /// Days that they are kept, today included.
    pub keep_days: u64,
    /// Reads that went well have a line too.
    pub reads: bool,
    /// Refusals of one cause from one address that have lines in a second; 0 for all.
    pub refusals_per_second: u64,
    /// Bytes of a day's file, past which it takes no lines of requests.
    pub day_bytes_max: u64,
}

/// A log that was started. Cheap to tell: see [`Log::emit`].
pub struct Log {
    shared: Arc<Shared>,
    sampler: Arc<Sampler>,
    missing: Arc<Missing>,
    reads: bool,
    files: Option<PathBuf>,
    clock: Clock,
    threads: Mutex<Option<Threads>>,
}

/// Lines that are missing since the start.
#[derive(Debug, Default)]
struct Missing {
    in_queue: AtomicU64,
    in_output: AtomicU64,
    in_files: AtomicU64,
    in_full_files: AtomicU64,
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
    /// The file is to be opened again.
    reopen: bool,
    closing: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }

    /// All there is, once there is something, or once it may be time to tell what was left out.
    fn take(&self, spare: Vec<(Timestamp, Event)>, sampler: &Sampler) -> Queue {
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
            let mut writer = Writer::new(daily, chunks, clock);
            writer.sampler = sampler;
            writer.missing = missing;
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

    /// Tells of an event. It never waits: when too much waits already it is counted, and the log says how many were.
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

    /// Whether a refused request has its lines; otherwise it is counted, and the log tells how many were.
    pub fn keeps_refusal(&self, cause: Word, address: Option<IpAddr>) -> bool {
        let (keeps, first) = self.sampler.keeps(cause, address, steady_ms(&self.clock));
        if first {
            // Taken once, so that the writing thread is not just about to wait without a time.
            drop(self.shared.queue());
            self.shared.filled.notify_one();
        }
        keeps
    }

    /// Lines that are missing since the start, by what they are missing in or why.
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

    /// Whether reads that went well have a line.
    pub fn takes_reads(&self) -> bool {
        self.reads
    }

    /// Where the files are, when there are any.
    pub fn dir(&self) -> Option<&PathBuf> {
        self.files.as_ref()
    }

    /// Has the next lines open their file again, by its name.
    pub fn reopen(&self) {
        self.shared.queue().reopen = true;
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
        let threads = self.threads.lock().take();
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

fn steady_ms(clock: &Clock) -> u64 {
    u64::try_from(clock.steady().as_millis()).unwrap_or(u64::MAX)
}

/// Lines that are written together: all of one day.
#[derive(Default)]
struct Chunk {
    day: Day,
    lines: u64,
    bytes: Vec<u8>,
    /// The lines among them that callers do not cause, once more: a full file takes these.
    own: Vec<u8>,
    own_lines: u64,
}

impl Chunk {
    fn add(&mut self, lines: &mut Lines, at: Timestamp, event: &Event) {
        let begin = self.bytes.len();
        lines.add(at, event, &mut self.bytes);
        self.lines += 1;
        if !event.is_callers() {
            self.own.extend_from_slice(&self.bytes[begin..]);
            self.own_lines += 1;
        }
    }
}

/// What the writing thread works with.
struct Writer {
    lines: Lines,
    /// The day whose file is written.
    day: Day,
    daily: Option<Daily>,
    /// Lines that the files could not take since they could last.
    missing_in_files: u64,
    /// Lines that a full file did not take, and what day that is.
    full: Option<(Day, u64)>,
    sampler: Arc<Sampler>,
    missing: Arc<Missing>,
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
            full: None,
            sampler: Arc::default(),
            missing: Arc::default(),
            output,
            missing_in_output: 0,
            clock,
        }
    }

    fn run(&mut self, shared: &Shared) {
        let mut spare = Vec::new();
        loop {
            let mut batch = shared.take(spare, &self.sampler);
            let left_out = self.sampler.due(steady_ms(&self.clock), batch.closing);
            let now = self.clock.now();
            let left_out = left_out.into_iter().map(|event| (now, event));
            batch.events.extend(left_out);
            for done in batch.forget.drain(..) {
                let removed = self.daily.as_mut().map_or(Ok(()), Daily::remove_all);
                // Whoever asked may have given up.
                let _: Result<(), _> = done.send(removed);
            }
            if let Some(daily) = self.daily.as_mut().filter(|_| batch.reopen) {
                daily.close();
            }
            let ended = batch.closing && batch.events.is_empty();
            self.write(&mut batch);
            if ended {
                return self.flush();
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
            chunk.add(&mut self.lines, at, &event);
        }
        if batch.dropped > 0 {
            let event = Event::LinesDropped {
                output: QUEUE,
                lines: batch.dropped,
            };
            chunk.day = self.file_day(self.clock.now());
            chunk.add(&mut self.lines, self.clock.now(), &event);
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
            self.add_dropped(STANDARD_OUTPUT, lines, &mut chunk.bytes);
        }
        match self.output.try_send(chunk.bytes) {
            Ok(()) => self.missing_in_output = 0,
            Err(TrySendError::Full(_)) => {
                self.missing_in_output += chunk.lines;
                let missing = &self.missing.in_output;
                missing.fetch_add(chunk.lines, Ordering::Relaxed);
            }
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
            self.add_dropped(FILES, lines, &mut head);
        }
        // The day whose file was full is over, or its file was renamed or removed: the next one tells how many lines it lacks.
        let begins = daily.close_if_lost();
        if let Some((_, lines)) = self.full.take_if(|(day, _)| begins || *day != chunk.day) {
            self.add_dropped(FULL_FILE, lines, &mut head);
        }
        match self.write_some(&mut daily, chunk, head) {
            Ok(()) => self.missing_in_files = 0,
            Err(error) => {
                if self.missing_in_files == 0 {
                    let error = Text::of(&told(&error));
                    let event = Event::LogFilesFailed { error };
                    self.lines.add(self.clock.now(), &event, &mut chunk.bytes);
                }
                self.missing_in_files += chunk.lines;
                let missing = &self.missing.in_files;
                missing.fetch_add(chunk.lines, Ordering::Relaxed);
            }
        }
        self.daily = Some(daily);
    }

    /// Writes all lines, or, when the file has no room for them, those that callers do not cause, which it has some room
    /// for beyond. That it is full is told once, in it and to the output.
    fn write_some(
        &mut self,
        daily: &mut Daily,
        chunk: &mut Chunk,
        mut head: Vec<u8>,
    ) -> io::Result<()> {
        if self.full.is_none() && daily.has_room(chunk.day, chunk.bytes.len() as u64)? {
            head.extend_from_slice(&chunk.bytes);
            return daily.write(chunk.day, &head);
        }
        if self.full.is_none() {
            let bytes = daily.bytes();
            let event = Event::LogFileFull { bytes };
            chunk.add(&mut self.lines, self.clock.now(), &event);
        }
        head.extend_from_slice(&chunk.own);
        let (_, left_out) = self.full.get_or_insert((chunk.day, 0));
        let fits = daily.has_room_beyond(chunk.day, head.len() as u64)?;
        let lines = match fits {
            true => chunk.lines - chunk.own_lines,
            false => chunk.lines,
        };
        *left_out += lines;
        self.missing
            .in_full_files
            .fetch_add(lines, Ordering::Relaxed);
        match fits && !head.is_empty() {
            true => daily.write(chunk.day, &head),
            false => Ok(()),
        }
    }

    /// How many lines are missing at the end, when nobody has heard yet.
    fn flush(&mut self) {
        if self.missing_in_output > 0 {
            let (lines, mut bytes) = (self.missing_in_output, Vec::new());
            self.add_dropped(STANDARD_OUTPUT, lines, &mut bytes);
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
