//! The journal of one machine: the log, its database and the writer thread.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use crossbeam_channel::Sender;
use parking_lot::{Mutex, MutexGuard};

use super::catch_up::{CatchUp, Progress};
use super::chain::{Chain, End};
use super::database::{Database, IndexEntry, remove_renamed};
use super::entry::Line;
use super::erase::closed_segments;
use super::lock::lock;
use super::log::{CommitLog, Opened};
use super::options::Options;
use super::scan::{Scanner, Step};
use super::seal::Job;
use super::segment::{Segment, Segments, damaged, failed, list};
use super::shared::Shared;
use super::shutdown::{check_head, how_left};
use super::state::{self, Doubt, State};
use super::tail::LastShutdown;
use super::writer::{Queue, Writer};
use super::{
    Append, Entry, EraseOrder, Head, Health, Journal, JournalError, JournalMeters, Pending,
    Position, Sink, Sizes, Version,
};
use crate::clock::Clock;
use crate::disk::Disk;
use crate::domain::StreamId;
use crate::meters::Meters;
use crate::storage::ReadCache;

/// Bytes of a typical inline payload, for which their cache is laid out.
const PAYLOAD_BYTES: u64 = 512;
/// What a payload takes in the cache besides its bytes, about.
const PAYLOAD_PLACE_BYTES: u64 = 96;

/// The embedded journal. Dropping it closes it.
pub struct SledJournal {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    database: Database,
    payloads: ReadCache<Position, Bytes>,
    segments: Segments,
    shared: Arc<Shared>,
    queue: Queue,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// The queue of the thread that seals and erases; `None` once the journal is closed.
    jobs: Mutex<Option<Sender<Job>>>,
    seal_trouble: Arc<Mutex<Option<String>>>,
    /// Set by a failed read of the database: the journal is then closed so that the next open reads all of it.
    doubt: AtomicBool,
    _lock: File,
}

impl SledJournal {
    /// Opens the journal of a directory, or makes an empty one. Returns it with notices for the operator: what a
    /// crash left, and what was done about it. `progress` is called with positions done and in all while the
    /// database is rebuilt.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when the last segment is not what was written, or ends before the journal did;
    /// [`JournalError::Newer`] when a newer program wrote it; [`JournalError::Io`], also when it is open elsewhere.
    pub fn open(
        dir: &Path,
        options: Options,
        clock: Clock,
        progress: Progress<'_>,
    ) -> Result<(Self, Vec<String>), JournalError> {
        fs::create_dir_all(dir).map_err(|error| failed("making the journal", dir, error))?;
        Self::open_in((dir, dir), options, clock, None, progress)
    }

    /// Opens a journal whose disk has no room for reading alone: it takes no writes, for a reason that is reported to operators,
    /// and leaves its directory unchanged. Its database is in another directory, which may have a copy of it.
    ///
    /// # Errors
    /// As [`SledJournal::open`].
    pub fn open_to_read(
        dirs: (&Path, &Path),
        options: Options,
        clock: Clock,
        reason: &str,
        progress: Progress<'_>,
    ) -> Result<(Self, Vec<String>), JournalError> {
        Self::open_in(dirs, options, clock, Some(reason), progress)
    }

    /// Opens it for reading alone when there is a reason for that.
    fn open_in(
        (dir, database_dir): (&Path, &Path),
        options: Options,
        clock: Clock,
        reason: Option<&str>,
        progress: Progress<'_>,
    ) -> Result<(Self, Vec<String>), JournalError> {
        let lock = lock(dir)?;
        let state = state::read(dir)?;
        let left = how_left(state.as_ref());
        let disk = options.disk;
        let Opened {
            log,
            end,
            base_hash,
            mut notices,
        } = match reason {
            None => CommitLog::open(Arc::clone(&disk), dir, options.segment_bytes, left)?,
            Some(_) => CommitLog::open_to_read(Arc::clone(&disk), dir, left)?,
        };
        check_head(state.as_ref(), end)?;
        let segments = Segments::new(dir);
        let mut catch_up = CatchUp {
            dir: database_dir,
            log: dir,
            cache_bytes: options.cache_bytes / 2,
            now: clock.now(),
            segments: &segments,
            end,
            base_hash,
            read_all: left != LastShutdown::Closed,
            progress,
            misled: false,
        };
        if left == LastShutdown::PowerCut {
            // Before the marker says that this run of the machine began with a database to trust.
            let doubt = state.as_ref().and_then(State::doubt);
            catch_up.set_aside_for(doubt.unwrap_or(Doubt::MachineWentDown), &mut notices)?;
        }
        if reason.is_none() {
            state::write(&*disk, dir, &State::open(dir))?;
        }
        let database = catch_up.open(&mut notices)?;
        let opened = Parts {
            dir,
            disk,
            database,
            payloads: ReadCache::new(options.cache_bytes / 2, PAYLOAD_BYTES, |_, payload| {
                PAYLOAD_PLACE_BYTES + payload.len() as u64
            }),
            segments,
            lock,
            queue_max: (options.queue_max, options.queue_bytes_max),
        };
        Ok((opened.start((log, end), clock, reason)?, notices))
    }

    /// Answers everything handed over so far, then stops taking writes and leaves the directory as closed in order.
    /// Reads still work. Twice is once. A journal that had become read-only, or whose database failed a read, is left as if
    /// the process had been killed.
    ///
    /// # Errors
    /// [`JournalError`] when the disk or the database fails; the next open then goes by the log alone.
    pub fn close(&self) -> Result<(), JournalError> {
        let mut thread = self.thread.lock();
        let Some(handle) = thread.take() else {
            return Ok(());
        };
        // An erasure in progress ends with the thread.
        drop(self.jobs().take());
        let end = self.queue.close();
        // A panic there is already reported by the journal's health.
        let _ = handle.join();
        let Some(end) = end else {
            return Ok(());
        };
        if self.doubt.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.database.sync(&self.dir)?;
        let head = Head {
            position: end.position,
            hash: hex::encode(end.hash),
        };
        state::write(&*self.disk, &self.dir, &State::closed(head))
    }

    /// Adds what is counted of it to what a server counts.
    pub fn measure(&self, meters: &Meters) {
        self.shared.measure(meters);
    }

    /// The counters of the journal.
    pub fn meters(&self) -> &Arc<JournalMeters> {
        self.shared.meters()
    }

    fn jobs(&self) -> MutexGuard<'_, Option<Sender<Job>>> {
        self.jobs.lock()
    }

    /// What the operator should know of although it stops nothing: why a full segment could not be sealed.
    pub fn trouble(&self) -> Option<String> {
        self.seal_trouble.lock().clone()
    }

    fn closed(&self) -> JournalError {
        let closed = std::io::Error::other("the journal takes no writes");
        failed("erasing", &self.dir, closed)
    }

    fn known(&self, position: Position) -> Result<IndexEntry, JournalError> {
        let known = self.database.entry(position).and_then(|known| {
            known.ok_or_else(|| {
                JournalError::Database(format!("position {position} is missing from it"))
            })
        });
        self.heed(known)
    }

    /// Remembers that the database failed.
    fn heed<T>(&self, answer: Result<T, JournalError>) -> Result<T, JournalError> {
        if matches!(answer, Err(JournalError::Database(_))) {
            self.doubt.store(true, Ordering::Relaxed);
        }
        answer
    }

    /// One entry, by where the database says it is, checked against the hash the database has.
    fn one(&self, position: Position) -> Result<Entry, JournalError> {
        self.at(position, self.known(position)?, |line, segment| {
            line.into_entry(None, &segment.name)
        })
    }

    /// The payload after an entry's line in the log, checked against what the entry records of it.
    fn payload_in_log(
        &self,
        position: Position,
        known: IndexEntry,
    ) -> Result<Option<Bytes>, JournalError> {
        self.at(position, known, |line, segment| {
            let Some(digest) = line.payload() else {
                // A vacuum erased it between the two reads.
                return Ok(None);
            };
            let size = usize::try_from(digest.size).unwrap_or(usize::MAX);
            let offset = known.location.offset + u64::from(known.location.line_bytes);
            let mut payload = Vec::new();
            segment
                .read(offset, size, &mut payload)
                .map_err(|fault| fault.at(&segment.name, position))?;
            line.check_payload(&payload)
                .map_err(|what| damaged(&segment.name, offset, position, what))?;
            Ok(Some(payload.into()))
        })
    }

    /// Reads the line of an entry from where it is, checks it, and does something with it.
    fn at<T>(
        &self,
        position: Position,
        known: IndexEntry,
        read: impl FnOnce(Line<'_>, &Segment) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let location = known.location;
        let segment = self.segments.get(location.segment)?;
        let wrong = |what: String| damaged(&segment.name, location.offset, position, what);
        let mut line = Vec::new();
        segment
            .read(location.offset, location.line_bytes as usize, &mut line)
            .map_err(|fault| fault.at(&segment.name, position))?;
        if line.len() != location.line_bytes as usize || line.pop() != Some(b'\n') {
            return Err(wrong("the line does not end where it should".to_owned()));
        }
        let line = Line::parse(&line).map_err(|error| wrong(error.into()))?;
        if line.hash != known.hash || line.header.position != position {
            return Err(wrong(
                "the entry does not have the hash the database has".to_owned(),
            ));
        }
        read(line, &segment)
    }
}

/// What a journal is put together of, besides its log.
struct Parts<'a> {
    dir: &'a Path,
    disk: Arc<dyn Disk>,
    database: Database,
    payloads: ReadCache<Position, Bytes>,
    segments: Segments,
    lock: File,
    /// Most appends that wait, and their bytes.
    queue_max: (usize, usize),
}

impl Parts<'_> {
    /// Starts the writing thread; with a reason it never writes.
    fn start(
        self,
        (log, end): (CommitLog, End),
        clock: Clock,
        read_only: Option<&str>,
    ) -> Result<SledJournal, JournalError> {
        let shared = Shared::new(end, Arc::clone(log.meters()));
        if let Some(reason) = read_only {
            shared.read_only(reason);
        }
        let (seal_trouble, jobs) = (log.seal_trouble(), Mutex::new(log.jobs()));
        let (queue, thread) = Writer::start(
            (log, end),
            self.database.clone(),
            clock,
            Arc::clone(&shared),
            self.queue_max,
        )
        .map_err(|error| failed("starting the writing thread", self.dir, error))?;
        Ok(SledJournal {
            dir: self.dir.to_owned(),
            disk: self.disk,
            database: self.database,
            payloads: self.payloads,
            segments: self.segments,
            shared,
            queue,
            thread: Mutex::new(Some(thread)),
            jobs,
            seal_trouble,
            doubt: AtomicBool::new(false),
            _lock: self.lock,
        })
    }
}

impl Drop for SledJournal {
    fn drop(&mut self) {
        // After an error the marker is unchanged, and the next open goes by the log.
        let _ = self.close();
    }
}

impl Journal for SledJournal {
    fn append(&self, append: Append) -> Pending {
        self.queue.append(append)
    }

    fn head(&self) -> Head {
        self.shared.head()
    }

    fn health(&self) -> Health {
        self.shared.health()
    }

    fn read(&self, from: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let from = from.max(1);
        let last = from
            .saturating_add(limit as u64)
            .saturating_sub(1)
            .min(self.head().position);
        if limit == 0 || from > last {
            return Ok(Vec::new());
        }
        let (start, finish) = (self.known(from)?, self.known(last)?);
        let segment = self.segments.get(start.location.segment)?;
        let mut scanner = Scanner::new(segment, start.location.offset);
        scanner.expect_bytes(start.location, finish.location);
        let mut chain = Chain::at(from);
        let mut entries = Vec::new();
        while chain.next <= last {
            let position = chain.next;
            let name = scanner.segment().name.clone();
            let wrong = |offset, what: String| Err(damaged(&name, offset, position, what));
            match scanner.step().map_err(|fault| fault.at(&name, position))? {
                Step::Found(found) => {
                    if let Err(what) = chain.follow(&found) {
                        return wrong(found.offset, what.into());
                    }
                    let first = position == from && found.line.hash != start.hash;
                    if first || position == last && found.line.hash != finish.hash {
                        let what = "the entry does not have the hash the database has";
                        return wrong(found.offset, what.to_owned());
                    }
                    entries.push(found.line.into_entry(None, &name)?);
                }
                Step::End => scanner = Scanner::new(self.segments.get(position)?, 0),
                Step::Unfinished { offset } => {
                    return wrong(offset, "the entry is not complete".to_owned());
                }
                Step::Wrong { offset, what, .. } => return wrong(offset, what),
            }
        }
        Ok(entries)
    }

    fn stream(
        &self,
        stream: &StreamId,
        from: Version,
        limit: usize,
    ) -> Result<Vec<Entry>, JournalError> {
        let rows = self.heed(self.database.stream(stream, from.max(1), limit))?;
        rows.into_iter()
            .map(|(version, position)| {
                let entry = self.one(position)?;
                match &entry.body {
                    Some(body) if body.stream != *stream || body.version != version => {
                        let what = format!("position {position} is not {stream} version {version}");
                        self.heed(Err(JournalError::Database(what)))
                    }
                    Some(_) | None => Ok(entry),
                }
            })
            .collect()
    }

    fn streams(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StreamId>, JournalError> {
        self.heed(self.database.stream_names(prefix, after, limit))
    }

    fn version(&self, stream: &StreamId) -> Result<Version, JournalError> {
        self.heed(self.database.version(stream))
    }

    fn payload(&self, position: Position) -> Result<Option<Bytes>, JournalError> {
        self.payloads.get(&position, || {
            let known = self.heed(self.database.with_payload(position))?;
            known.map_or(Ok(None), |known| self.payload_in_log(position, known))
        })
    }

    fn sizes(&self) -> Result<Sizes, JournalError> {
        self.heed(self.database.sizes())
    }

    fn compact(&self, go_on: &mut dyn FnMut(u64) -> bool) -> Result<bool, JournalError> {
        self.heed(self.database.compact(go_on))
    }

    fn segment_starts(&self) -> Result<Vec<Position>, JournalError> {
        Ok(list(&self.dir)?.iter().map(|listed| listed.first).collect())
    }

    fn erase(
        &self,
        order: Arc<EraseOrder>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<Position>, JournalError> {
        let open = self.queue.roll().ok_or_else(|| self.closed())?;
        let segments = closed_segments(&self.dir, order.by, open)?;
        let (mut erased, total) = (Vec::new(), segments.len() as u64);
        for (done, listed) in (0..).zip(segments) {
            progress(done, total);
            let (answer, answered) = crossbeam_channel::bounded(1);
            let jobs = self.jobs().clone().ok_or_else(|| self.closed())?;
            // A thread that has ended drops the job, and the answer with it.
            let _ = jobs.send(Job::Erase(listed.first, Arc::clone(&order), answer));
            drop(jobs);
            let positions = answered.recv().map_err(|_| self.closed())??;
            // What was read until now stays readable through an open file.
            self.segments.close(listed.first);
            self.payloads.clear();
            erased.extend(positions);
        }
        progress(total, total);
        Ok(erased)
    }

    fn erase_index(
        &self,
        erased: &[Position],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), JournalError> {
        let rows = self.head().position.saturating_mul(2);
        self.database
            .erase_index(erased, &mut |done| progress(done, rows.max(done)))?;
        self.queue.forget_tips();
        self.payloads.clear();
        remove_renamed(&self.dir)
    }

    fn attach(&self, sink: Box<dyn Sink>) {
        self.shared.attach(sink);
    }

    fn is_attached(&self) -> bool {
        self.shared.is_attached()
    }
}
