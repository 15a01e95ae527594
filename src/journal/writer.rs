//! The one writer thread: takes all waiting appends, checks versions, writes, syncs once, and has the group applied and
//! answered.
//!
//! No timer: while one sync runs, the next group gathers. A lone writer waits for one sync.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use tokio::sync::oneshot;

use super::apply::{Applier, Durable};
use super::chain::End;
use super::entry::{self, Encoded, Place};
use super::error::GroupError;
use super::fair_queue::FairQueue;
use super::index::{Index, Row, Tip};
use super::log::CommitLog;
use super::segment::Location;
use super::shared::Shared;
use super::{Append, Entry, Health, JournalError, Outcome, Position};
use crate::clock::{Clock, Stopwatch, random_id};
use crate::domain::StreamId;
use crate::os_error::describe;

/// Most appends in a group.
pub(crate) const GROUP_APPENDS_MAX: usize = 1024;
/// A group takes no further append once it has this many bytes.
pub(crate) const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What an append costs the writer thread and the apply thread together, in nanoseconds, about: `docs/benchmarks.md`.
const APPEND_NS: u64 = 50_000;
/// The same of each byte: encoded, hashed, written and synced.
const BYTE_NS: u64 = 3;
/// Least time that a group takes while appends of several owners wait, in nanoseconds. It is longer where a sync takes
/// longer, so that syncs are at most half of the work.
const SHARED_GROUP_NS: u64 = 1_000_000;
/// Ends of streams kept in memory; twice as many at most.
const TIPS_KEPT: usize = 65_536;

/// A waiting append, and where its outcome is sent.
pub(crate) struct Queued {
    append: Append,
    bytes: usize,
    answer: oneshot::Sender<Outcome>,
}

#[expect(
    clippy::large_enum_variant,
    reason = "all but one message of a journal's life are appends"
)]
enum Message {
    Append(Queued),
    /// Begins a new segment and sends its first position.
    Roll(Sender<Position>),
    /// Drops the cached ends of streams: some were erased.
    ForgetTips(Sender<()>),
    Close(Sender<Option<End>>),
}

/// The callers' end of the queue.
pub(crate) struct Queue {
    sender: Sender<Message>,
    shared: Arc<Shared>,
    bytes_max: usize,
}

impl Queue {
    /// Hands an append over. Never blocks.
    pub(crate) fn append(&self, append: Append) -> oneshot::Receiver<Outcome> {
        let (answer, pending) = oneshot::channel();
        let refused = match self.shared.health() {
            Health::ReadOnly(_) => Some(Outcome::Unavailable),
            Health::Open => (!entry::is_well_formed(&append)).then_some(Outcome::Malformed),
        };
        if let Some(outcome) = refused {
            let _ = answer.send(outcome);
            return pending;
        }
        let bytes = weight(&append);
        if self.shared.add_queued(bytes) + bytes > self.bytes_max {
            self.shared.subtract_queued(bytes);
            let _ = answer.send(Outcome::Busy);
            return pending;
        }
        let message = Message::Append(Queued {
            append,
            bytes,
            answer,
        });
        self.shared.meters().queued();
        if let Err(refused) = self.sender.try_send(message) {
            self.shared.meters().taken();
            self.shared.subtract_queued(bytes);
            let outcome = match refused {
                crossbeam_channel::TrySendError::Full(_) => Outcome::Busy,
                crossbeam_channel::TrySendError::Disconnected(_) => Outcome::Unavailable,
            };
            if let Message::Append(queued) = refused.into_inner() {
                let _ = queued.answer.send(outcome);
            }
        }
        pending
    }

    /// Begins a new segment after everything handed over so far. Returns its first position; `None` when the journal
    /// takes no writes.
    pub(crate) fn roll(&self) -> Option<Position> {
        let (rolled, done) = crossbeam_channel::bounded(1);
        self.sender.send(Message::Roll(rolled)).ok()?;
        done.recv().ok()
    }

    /// Drops the cached ends of streams, because streams were erased.
    pub(crate) fn forget_tips(&self) {
        let (forgotten, done) = crossbeam_channel::bounded(1);
        if self.sender.send(Message::ForgetTips(forgotten)).is_ok() {
            // A thread that has ended has no tips to remove.
            let _ = done.recv();
        }
    }

    /// Waits until everything handed over so far is answered and the thread has ended. The log's end when all is well.
    pub(crate) fn close(&self) -> Option<End> {
        let (closed, done) = crossbeam_channel::bounded(1);
        self.sender.send(Message::Close(closed)).ok()?;
        done.recv().ok().flatten()
    }
}

/// About how much memory and log an append takes.
fn weight(append: &Append) -> usize {
    512 + 512 * append.events.len() + append.payload.as_ref().map_or(0, Bytes::len)
}

/// The state of the writer thread.
pub(crate) struct Writer<I> {
    log: CommitLog,
    index: I,
    clock: Clock,
    end: End,
    tips: Tips,
    shared: Arc<Shared>,
    applier: Applier,
    buffer: Vec<u8>,
    waiting: FairQueue<Queued>,
    /// What is to be done after everything that waits.
    behind: Option<Next>,
    /// How long the last write and its sync took, in nanoseconds.
    sync_ns: u64,
}

/// A group that is decided and encoded, not yet written.
#[derive(Default)]
struct Group {
    encoded: Vec<Encoded>,
    /// Offsets of the lines in the buffer.
    offsets: Vec<usize>,
    /// Where the streams ended before.
    before: Vec<Tip>,
    outcomes: Vec<Outcome>,
}

impl<I: Index> Writer<I> {
    /// Starts the writer thread and its applier.
    pub(crate) fn start(
        (log, end): (CommitLog, End),
        index: I,
        clock: Clock,
        shared: Arc<Shared>,
        (queue_max, queue_bytes_max): (usize, usize),
    ) -> std::io::Result<(Queue, std::thread::JoinHandle<()>)> {
        let (sender, receiver) = crossbeam_channel::bounded(queue_max);
        let queue = Queue {
            sender,
            shared: Arc::clone(&shared),
            bytes_max: queue_bytes_max,
        };
        let mut writer = Self {
            log,
            clock,
            end,
            tips: Tips::default(),
            applier: Applier::start(Arc::clone(&shared))?,
            index,
            shared,
            buffer: Vec::new(),
            waiting: FairQueue::default(),
            behind: None,
            sync_ns: 0,
        };
        let thread = std::thread::Builder::new()
            .name("journal-writer".to_owned())
            .spawn(move || writer.run(&receiver))?;
        Ok((queue, thread))
    }

    fn run(&mut self, receiver: &Receiver<Message>) {
        let mut appends = Vec::with_capacity(GROUP_APPENDS_MAX);
        let mut answers = Vec::with_capacity(GROUP_APPENDS_MAX);
        loop {
            let close = self.gather(receiver, (&mut appends, &mut answers));
            if !appends.is_empty() {
                self.carry_out(&mut appends, &mut answers);
            }
            match close {
                Next::More => {}
                Next::Roll(rolled) => self.roll(&rolled),
                Next::ForgetTips(forgotten) => {
                    self.tips = Tips::default();
                    let _ = forgotten.send(());
                }
                Next::Close(closed) => {
                    self.applier.close();
                    let end = (self.shared.health() == Health::Open).then_some(self.end);
                    self.shared.read_only("the journal was closed");
                    let _ = closed.send(end);
                    return;
                }
                Next::Gone => return self.applier.close(),
            }
        }
    }

    /// Waits for something to do and takes what makes up a group, as much of each owner as of any other; what was ordered after
    /// all appends so far is only returned once those are done.
    fn gather(
        &mut self,
        receiver: &Receiver<Message>,
        (appends, answers): (&mut Vec<Append>, &mut Vec<oneshot::Sender<Outcome>>),
    ) -> Next {
        if self.waiting.is_empty() && self.behind.is_none() {
            let Ok(message) = receiver.recv() else {
                return Next::Gone;
            };
            self.receive(message);
        }
        while self.behind.is_none() && Some(self.waiting.len()) < receiver.capacity() {
            let Ok(message) = receiver.try_recv() else {
                break;
            };
            self.receive(message);
        }
        let (shared, mut bytes) = (&self.shared, 0);
        let shared_cost_max = SHARED_GROUP_NS.max(self.sync_ns);
        self.waiting.pop_group(shared_cost_max, |queued| {
            shared.subtract_queued(queued.bytes);
            shared.meters().taken();
            bytes += queued.bytes;
            appends.push(queued.append);
            answers.push(queued.answer);
            if appends.len() < GROUP_APPENDS_MAX && bytes < GROUP_BYTES_MAX {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        if self.waiting.is_empty() {
            self.behind.take().unwrap_or(Next::More)
        } else {
            Next::More
        }
    }

    fn receive(&mut self, message: Message) {
        self.behind = Some(match message {
            Message::Append(queued) => {
                let cost = APPEND_NS + BYTE_NS * queued.bytes as u64;
                let stream = queued.append.stream.clone();
                return self.waiting.push(stream.owner(), cost, queued);
            }
            Message::Close(closed) => Next::Close(closed),
            Message::Roll(rolled) => Next::Roll(rolled),
            Message::ForgetTips(forgotten) => Next::ForgetTips(forgotten),
        });
    }

    /// Begins a new segment. Without an answer the journal has become read-only.
    fn roll(&mut self, rolled: &Sender<Position>) {
        if self.shared.health() != Health::Open {
            return;
        }
        match self.log.begin_segment(self.end.position + 1) {
            Ok(first) => drop(rolled.send(first)),
            Err(error) => self.shared.read_only(&describe(&error)),
        }
    }

    /// Writes a group and has it applied and answered; whatever fails, every caller is answered.
    fn carry_out(
        &mut self,
        appends: &mut Vec<Append>,
        answers: &mut Vec<oneshot::Sender<Outcome>>,
    ) {
        let written = match self.shared.health() {
            Health::ReadOnly(reason) => Err(GroupError::ReadOnly(reason)),
            Health::Open => catch_unwind(AssertUnwindSafe(|| self.write(appends.drain(..))))
                .unwrap_or(Err(GroupError::WriterPanicked)),
        };
        appends.clear();
        match written {
            Ok((entries, outcomes)) => self.applier.take(Durable {
                entries,
                end: self.end,
                answers: answers.drain(..).zip(outcomes).collect(),
            }),
            Err(error) => {
                self.shared.read_only(&describe(&error));
                for answer in answers.drain(..) {
                    let _ = answer.send(Outcome::Unavailable);
                }
            }
        }
    }

    /// Decides, writes, syncs and indexes a group. An error leaves the journal read-only.
    fn write(
        &mut self,
        appends: impl Iterator<Item = Append>,
    ) -> Result<(Vec<Entry>, Vec<Outcome>), GroupError> {
        self.tips.rotate();
        self.buffer.clear();
        let mark = format!("{{\"group\":{}}}\n", self.end.position + 1);
        self.buffer.extend_from_slice(mark.as_bytes());
        let now = self.clock.now().max(self.end.recorded_at);
        let mut group = Group::default();
        for append in appends {
            let outcome = self.take(append, now, &mut group)?;
            group.outcomes.push(outcome);
        }
        if group.encoded.is_empty() {
            return Ok((Vec::new(), group.outcomes));
        }
        let first = group.encoded[0].entry.header.position;
        let since = Stopwatch::start();
        let (segment, base) = self.log.append(first, &self.buffer, mark.len())?;
        self.sync_ns = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.shared
            .meters()
            .wrote(group.encoded.len(), self.end.position);
        // Where the buffer's first byte would be; at the head of a segment, where the mark is left out, before it.
        let base = base.wrapping_sub(mark.len() as u64);
        let (rows, entries) = rows(&mut group, segment, base);
        self.index.insert(&rows)?;
        Ok((entries, group.outcomes))
    }

    /// Decides one append against everything before it, its own group included.
    fn take(
        &mut self,
        append: Append,
        now: crate::domain::Timestamp,
        group: &mut Group,
    ) -> Result<Outcome, JournalError> {
        let expected = std::iter::once((&append.stream, append.expected))
            .chain(append.guards.iter().map(|(stream, seen)| (stream, *seen)));
        for (stream, expected) in expected {
            let actual = self.tips.get(stream, &self.index)?.version;
            if actual != expected {
                let stream = stream.clone();
                return Ok(Outcome::Moved { stream, actual });
            }
        }
        let place = Place {
            position: self.end.position + 1,
            version: append.expected + 1,
            recorded_at: now,
            prev: self.end.hash,
            salt: random_id(),
        };
        let offset = self.buffer.len();
        let stream = append.stream.clone();
        let before = self.tips.get(&stream, &self.index)?;
        let Ok(encoded) = entry::encode(&mut self.buffer, append, place) else {
            // It cannot be written at all, and nothing of it was; the others of its group are not to blame.
            return Ok(Outcome::Malformed);
        };
        self.end = End {
            position: place.position,
            hash: encoded.hash,
            recorded_at: now,
        };
        let tip = Tip {
            version: place.version,
            position: place.position,
        };
        self.tips.set(stream, tip);
        group.before.push(before);
        group.offsets.push(offset);
        group.encoded.push(encoded);
        Ok(Outcome::Appended {
            position: place.position,
            version: place.version,
        })
    }
}

enum Next {
    More,
    Roll(Sender<Position>),
    ForgetTips(Sender<()>),
    Close(Sender<Option<End>>),
    Gone,
}

fn rows(group: &mut Group, segment: Position, base: u64) -> (Vec<Row>, Vec<Entry>) {
    let encoded = std::mem::take(&mut group.encoded);
    let mut rows = Vec::with_capacity(encoded.len());
    let mut entries = Vec::with_capacity(encoded.len());
    let known = group.offsets.iter().zip(&group.before);
    for (encoded, (offset, before)) in encoded.into_iter().zip(known) {
        rows.push(Row {
            position: encoded.entry.header.position,
            stream: encoded
                .entry
                .body
                .as_ref()
                .map(|body| (body.stream.clone(), body.version)),
            before: Some(*before),
            location: Location {
                segment,
                offset: base.wrapping_add(*offset as u64),
                line_bytes: encoded.line_bytes,
            },
            hash: encoded.hash,
            has_payload: encoded.entry.payload.is_some(),
        });
        entries.push(encoded.entry);
    }
    (rows, entries)
}

/// Ends of streams in memory: the young generation becomes the old one when it is full. Generations change only
/// between groups, so one of the current group, which the database does not know yet, is never dropped.
#[derive(Default)]
struct Tips {
    young: HashMap<StreamId, Tip>,
    old: HashMap<StreamId, Tip>,
}

impl Tips {
    fn rotate(&mut self) {
        if self.young.len() >= TIPS_KEPT {
            self.old = std::mem::take(&mut self.young);
        }
    }

    fn get(&mut self, stream: &StreamId, index: &impl Index) -> Result<Tip, JournalError> {
        if let Some(tip) = self.young.get(stream).or_else(|| self.old.get(stream)) {
            return Ok(*tip);
        }
        let tip = index.tip(stream)?;
        self.young.insert(stream.clone(), tip);
        Ok(tip)
    }

    fn set(&mut self, stream: StreamId, tip: Tip) {
        self.young.insert(stream, tip);
    }
}
