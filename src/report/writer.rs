//! The log's writing thread: makes lines of events, writes them into the day's file, and hands them to the output's thread.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender, TrySendError};

use super::event::Event;
use super::field::Text;
use super::files::{Daily, Day, day_of};
use super::line::Lines;
use super::queue::{
    CLOSE, FILES, FULL_FILE, Missing, QUEUE, Queue, STANDARD_OUTPUT, Shared, steady_ms,
};
use super::sample::Sampler;
use crate::clock::{self, Clock};
use crate::domain::Timestamp;
use crate::os_error::describe;

/// Bytes of lines that are written together, about.
const CHUNK_BYTES: usize = 64 * 1024;
/// Milliseconds that lines are gathered after a write, so that a write is not made for each of them.
const GATHER_MS: u64 = 5;

/// Lines of one day that are written together.
#[derive(Default)]
struct Chunk {
    day: Day,
    lines: u64,
    bytes: Vec<u8>,
    /// A copy of the lines that callers do not cause, which a full file still takes.
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

/// The state of the writing thread.
pub(super) struct Writer {
    lines: Lines,
    /// The day whose file is being written.
    day: Day,
    daily: Option<Daily>,
    /// Lines lost to errors of the disk since the last write that succeeded.
    missing_in_files: u64,
    /// The day whose file is full, and how many lines it did not take.
    full: Option<(Day, u64)>,
    sampler: Arc<Sampler>,
    missing: Arc<Missing>,
    output: Sender<Vec<u8>>,
    /// Lines dropped since the reader of the output last kept up.
    missing_in_output: u64,
    clock: Clock,
}

impl Writer {
    /// A writer to daily files, if there are any, and to the queue of chunks for the output.
    pub(super) fn new(
        daily: Option<Daily>,
        output: Sender<Vec<u8>>,
        clock: Clock,
        sampler: Arc<Sampler>,
        missing: Arc<Missing>,
    ) -> Self {
        Self {
            lines: Lines::default(),
            day: 0,
            daily,
            missing_in_files: 0,
            full: None,
            sampler,
            missing,
            output,
            missing_in_output: 0,
            clock,
        }
    }

    /// Writes batches until the log is closed and everything is written.
    pub(super) fn run(&mut self, shared: &Shared) {
        let mut spare = Vec::new();
        loop {
            let mut batch = shared.take(spare, &self.sampler);
            let left_out = self.sampler.due(steady_ms(&self.clock), batch.closing);
            let now = self.clock.now();
            let left_out = left_out.into_iter().map(|event| (now, event));
            batch.events.extend(left_out);
            for done in batch.forget.drain(..) {
                let removed = self.daily.as_mut().map_or(Ok(()), Daily::remove_all);
                // The caller may have given up waiting.
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

    /// The day whose file takes a line: its own, unless the next day's file has begun, so that a reader of the files never has
    /// to return to an earlier one.
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
            // The output is closed for good; the files are still written.
            Err(TrySendError::Disconnected(_)) => {}
        }
    }

    /// Writes lines into their file. A failure is reported once, on the output alone.
    fn write_file(&mut self, chunk: &mut Chunk) {
        let Some(mut daily) = self.daily.take() else {
            return;
        };
        let mut head = Vec::new();
        if self.missing_in_files > 0 {
            let lines = self.missing_in_files;
            self.add_dropped(FILES, lines, &mut head);
        }
        // The full day is over, or its file was renamed or removed: the next file begins with how many lines are missing.
        let begins = daily.close_if_lost();
        if let Some((_, lines)) = self.full.take_if(|(day, _)| begins || *day != chunk.day) {
            self.add_dropped(FULL_FILE, lines, &mut head);
        }
        match self.write_some(&mut daily, chunk, head) {
            Ok(()) => self.missing_in_files = 0,
            Err(error) => {
                if self.missing_in_files == 0 {
                    let error = Text::of(&describe(&error));
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

    /// Writes all lines; to a full file only those that callers do not cause, for which it has some more room. That it is full
    /// is reported once, in the file and on the output.
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
        let lines = if fits {
            chunk.lines - chunk.own_lines
        } else {
            chunk.lines
        };
        *left_out += lines;
        self.missing
            .in_full_files
            .fetch_add(lines, Ordering::Relaxed);
        if fits && !head.is_empty() {
            daily.write(chunk.day, &head)?;
        }
        Ok(())
    }

    /// Reports at the end how many lines the output is missing, if that was not reported yet.
    fn flush(&mut self) {
        if self.missing_in_output > 0 {
            let (lines, mut bytes) = (self.missing_in_output, Vec::new());
            self.add_dropped(STANDARD_OUTPUT, lines, &mut bytes);
            // A reader that takes nothing is waited for no longer than the end itself is.
            let _: Result<(), _> = self.output.send_timeout(bytes, CLOSE);
        }
    }

    fn add_dropped(&mut self, output: &'static str, lines: u64, bytes: &mut Vec<u8>) {
        let event = Event::LinesDropped { output, lines };
        self.lines.add(self.clock.now(), &event, bytes);
    }
}

/// Writes chunks to the output until there are no more, or a write fails.
pub(super) fn pass_on(chunks: &Receiver<Vec<u8>>, mut output: Box<dyn Write + Send>) {
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
