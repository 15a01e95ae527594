//! The commit log: groups of entries appended to segment files, each group durable before the next begins.
//!
//! A mark, `{"group":position}`, stands ahead of every group but a segment's first. It proves that everything above it
//! was durable when the group was written, which is how a group torn by a power cut is told from damage.

use parking_lot::Mutex;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entry::{Hash, NO_HASH};
use super::meters::{Failing, JournalMeters};
use super::scan::{Found, Scanner, Step};
use super::seal::{Job, Sealer};
use super::segment::{Listed, Segments, damaged, failed, list, plain_name, sealed_name};
use super::{JournalError, Position};
use crate::clock::Stopwatch;
use crate::disk::{Disk, DiskFile};
use crate::domain::Timestamp;

/// Bytes written again at a time while the last group is made durable.
const REWRITE_BYTES: usize = 1024 * 1024;

/// The log, open for appending. Owned by the one writing thread.
pub(crate) struct CommitLog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    file: Box<dyn DiskFile>,
    first: Position,
    length: u64,
    segment_bytes: u64,
    sealer: Sealer,
    meters: Arc<JournalMeters>,
}

/// Where a log ends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct End {
    pub(crate) position: Position,
    pub(crate) hash: Hash,
    pub(crate) recorded_at: Timestamp,
}

/// A log that was just opened.
pub(crate) struct Opened {
    pub(crate) log: CommitLog,
    pub(crate) end: End,
    /// The last segment's first position and the hash its first entry names as the one ahead.
    pub(crate) base_hash: Option<(Position, Hash)>,
    pub(crate) notices: Vec<String>,
}

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// First position of its segment.
    pub(crate) segment: Position,
    /// Offset of its line in the segment's content.
    pub(crate) offset: u64,
    /// Bytes of its line with the line feed.
    pub(crate) line_bytes: u32,
}

/// How the journal was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastShutdown {
    /// Closed in order.
    Closed,
    /// The process ended; what it wrote is there up to some byte.
    Killed,
    /// The machine may have gone down; of what was not synced any part may be there.
    PowerCut,
}

impl CommitLog {
    /// Opens the log, finishes what a crash interrupted, and checks the last segment's chain.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        segment_bytes: u64,
        left: LastShutdown,
    ) -> Result<Opened, JournalError> {
        let io = |error| failed("opening the journal", dir, error);
        remove_leftovers(&*disk, dir)?;
        let segments = Arc::new(Segments::new(dir));
        let listed = list(dir)?;
        let (last, before) = match listed.split_last() {
            Some((last, before)) if last.plain => (Some(last.first), before),
            Some(_) | None => (None, listed.as_slice()),
        };
        let mut notices = Vec::new();
        let mut tail = Tail::default();
        let (mut file, first) = match last {
            Some(first) => {
                tail = read_tail(&segments, first, left, &mut notices)?;
                (
                    disk.open(&dir.join(plain_name(first))).map_err(io)?,
                    Some(first),
                )
            }
            None => (Box::new(Nothing) as Box<dyn DiskFile>, None),
        };
        if tail.base.is_none() {
            tail.end = match before.last() {
                Some(sealed) => whole_segment(&segments, *sealed)?,
                None => End::default(),
            };
        }
        let first = match first {
            Some(first) => {
                let cut = segments.get(first)?.len()? > tail.length;
                make_durable(&mut *file, &segments, first, (left, cut, &tail)).map_err(io)?;
                first
            }
            None => {
                let first = tail.end.position + 1;
                file = disk.create(&dir.join(plain_name(first))).map_err(io)?;
                first
            }
        };
        if tail.base.is_none() && first != tail.end.position + 1 {
            let what = format!(
                "the previous segment ends at position {}",
                tail.end.position
            );
            return Err(damaged(&plain_name(first), 0, first, what));
        }
        disk.sync_dir(dir).map_err(io)?;
        let sealer = Sealer::start(Arc::clone(&disk), dir, Arc::clone(&segments))?;
        for listed in before.iter().filter(|listed| listed.plain) {
            sealer.seal(listed.first);
        }
        Ok(Opened {
            log: Self {
                disk,
                dir: dir.to_owned(),
                file,
                first,
                length: tail.length,
                segment_bytes,
                sealer,
                meters: JournalMeters::new(tail.end.position),
            },
            end: tail.end,
            base_hash: tail.base.map(|base| (first, base)),
            notices,
        })
    }

    /// Opens the log for reading alone, on a disk that has no room: nothing is made, cut off or removed. The last group is
    /// made durable where it lies, so that nothing is read that a power cut could take back.
    pub(crate) fn open_to_read(
        disk: Arc<dyn Disk>,
        dir: &Path,
        left: LastShutdown,
    ) -> Result<Opened, JournalError> {
        let io = |error| failed("opening the journal to read it", dir, error);
        let segments = Arc::new(Segments::new(dir));
        let listed = list(dir)?;
        let (last, before) = match listed.split_last() {
            Some((last, before)) if last.plain => (Some(last.first), before),
            Some(_) | None => (None, listed.as_slice()),
        };
        let mut tail = Tail::default();
        if let Some(first) = last {
            tail = read_tail(&segments, first, left, &mut Vec::new())?;
            if left != LastShutdown::Closed {
                let mut file = disk.open(&dir.join(plain_name(first))).map_err(io)?;
                make_durable(&mut *file, &segments, first, (left, false, &tail)).map_err(io)?;
            }
        }
        if tail.base.is_none()
            && let Some(sealed) = before.last()
        {
            tail.end = whole_segment(&segments, *sealed)?;
        }
        let first = last.unwrap_or(tail.end.position + 1);
        if tail.base.is_none() && first != tail.end.position + 1 {
            let what = format!(
                "the previous segment ends at position {}",
                tail.end.position
            );
            return Err(damaged(&plain_name(first), 0, first, what));
        }
        Ok(Opened {
            log: Self {
                sealer: Sealer::start(Arc::clone(&disk), dir, segments)?,
                disk,
                dir: dir.to_owned(),
                file: Box::new(Nothing),
                first,
                length: tail.length,
                segment_bytes: u64::MAX,
                meters: JournalMeters::new(tail.end.position),
            },
            end: tail.end,
            base_hash: tail.base.map(|base| (first, base)),
            notices: Vec::new(),
        })
    }

    /// Appends a group and makes it durable with one sync. The group begins with its mark of so many bytes, which is
    /// left out at the head of a segment. Returns the segment and the offset of the group's first entry.
    ///
    /// After an error nothing more may be appended: what the disk holds is not known.
    pub(crate) fn append(
        &mut self,
        next: Position,
        group: &[u8],
        mark_bytes: usize,
    ) -> Result<(Position, u64), JournalError> {
        if self.length >= self.segment_bytes {
            self.roll(next)
                .inspect_err(|_| self.meters.failed(Failing::Segment))?;
        }
        let skip = if self.length == 0 { mark_bytes } else { 0 };
        let io = |error| failed("writing the journal", &self.dir, error);
        self.file
            .write_at(self.length, &group[skip..])
            .inspect_err(|_| self.meters.failed(Failing::Write))
            .map_err(io)?;
        let since = Stopwatch::start();
        self.file
            .sync()
            .inspect_err(|_| self.meters.failed(Failing::Sync))
            .map_err(io)?;
        self.meters.synced(since);
        let first_entry = self.length + (mark_bytes - skip) as u64;
        self.length += (group.len() - skip) as u64;
        Ok((self.first, first_entry))
    }

    /// Begins a new segment, unless the present one is empty. Returns the first position of the one being written.
    pub(crate) fn begin_segment(&mut self, next: Position) -> Result<Position, JournalError> {
        if self.length > 0 {
            self.roll(next)?;
        }
        Ok(self.first)
    }

    /// The way to the thread that seals and erases.
    pub(crate) fn jobs(&self) -> Option<crossbeam_channel::Sender<Job>> {
        self.sealer.queue()
    }

    /// What is counted of it.
    pub(crate) fn meters(&self) -> &Arc<JournalMeters> {
        &self.meters
    }

    fn roll(&mut self, next: Position) -> Result<(), JournalError> {
        let path = self.dir.join(plain_name(next));
        let io = |error| failed("beginning a segment", &path, error);
        self.file = self.disk.create(&path).map_err(io)?;
        self.disk.sync_dir(&self.dir).map_err(io)?;
        self.sealer.seal(self.first);
        self.first = next;
        self.length = 0;
        Ok(())
    }

    /// Where the last failure to seal a segment is told.
    pub(crate) fn seal_trouble(&self) -> Arc<Mutex<Option<String>>> {
        self.sealer.trouble()
    }
}

/// What the last segment holds.
#[derive(Default)]
pub(super) struct Tail {
    pub(super) end: End,
    /// What its first entry names as the one ahead; `None` while it has no entry.
    pub(super) base: Option<Hash>,
    /// Offset of the last group.
    group: u64,
    /// Bytes that stay.
    length: u64,
}

/// Removes temporary files, and the gzip of a segment whose plain file is still there.
fn remove_leftovers(disk: &dyn Disk, dir: &Path) -> Result<(), JournalError> {
    let io = |error| failed("tidying the journal", dir, error);
    for name in fs::read_dir(dir).map_err(io)? {
        let path = name.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "tmp") {
            disk.remove(&path).map_err(io)?;
        }
    }
    for listed in list(dir)? {
        if listed.plain && listed.sealed {
            disk.remove(&dir.join(sealed_name(listed.first)))
                .map_err(io)?;
        }
    }
    Ok(())
}

/// Walks the last segment, and decides where it ends.
pub(super) fn read_tail(
    segments: &Segments,
    first: Position,
    left: LastShutdown,
    notices: &mut Vec<String>,
) -> Result<Tail, JournalError> {
    let segment = segments.get(first)?;
    let name = segment.name.clone();
    let mut scanner = Scanner::new(segment, 0);
    let mut chain = Chain::at(first);
    let mut tail = Tail::default();
    let (offset, what, after) = loop {
        let next = chain.next;
        match scanner.step().map_err(|fault| fault.at(&name, next))? {
            Step::End => break (scanner.offset(), None, 0),
            Step::Unfinished { offset } => break (offset, None, offset + 1),
            Step::Wrong {
                offset,
                what,
                after,
            } => break (offset, Some(what), after),
            Step::Found(found) => {
                if let Err(what) = chain.follow(&found) {
                    return Err(damaged(&name, found.offset, next, what));
                }
                found.line.check_schemas(&name)?;
                tail.base.get_or_insert(found.line.prev);
                if found.first_of_group {
                    tail.group = found.offset;
                }
            }
        }
    };
    tail.end = chain.end();
    tail.length = offset;
    let length = scanner
        .segment()
        .len()?
        .max(offset + u64::from(what.is_some()));
    if length == offset {
        return Ok(tail);
    }
    let last = chain.next.saturating_sub(1);
    let torn = match (left, &what) {
        (LastShutdown::Closed, _) => false,
        // Nothing stands behind it: it reaches past the end.
        (LastShutdown::PowerCut | LastShutdown::Killed, None) => true,
        // A killed process leaves a beginning of what it wrote, and no wrong byte.
        (LastShutdown::Killed, Some(_)) => false,
        // Any page of the last group may be missing. A later group proves that this one had been durable.
        (LastShutdown::PowerCut, Some(_)) => scanner
            .find_entry(after.saturating_sub(1), last, true)
            .map_err(|fault| fault.at(&name, chain.next))?
            .is_none(),
    };
    let what = what.unwrap_or_else(|| "the entry is not complete".to_owned());
    if !torn {
        return Err(damaged(&name, offset, chain.next, what));
    }
    notices.push(format!(
        "{name}: cut off {} bytes at byte {offset}, where position {} was being written when the {} ({what})",
        length - offset,
        chain.next,
        match left {
            LastShutdown::PowerCut => "machine went down",
            LastShutdown::Killed | LastShutdown::Closed => "process ended",
        },
    ));
    Ok(tail)
}

/// Cuts off what is torn. After a crash the last group is written again in place and synced: it may have been read
/// back from memory although an earlier sync of it failed, and would then never reach the disk.
fn make_durable(
    file: &mut dyn DiskFile,
    segments: &Segments,
    first: Position,
    (left, cut, tail): (LastShutdown, bool, &Tail),
) -> std::io::Result<()> {
    if cut {
        file.truncate(tail.length)?;
    }
    if left != LastShutdown::Closed {
        let segment = segments.get(first).map_err(std::io::Error::other)?;
        let (mut at, mut bytes) = (tail.group, Vec::new());
        while at < tail.length {
            let limit = usize::try_from(tail.length - at)
                .map_or(REWRITE_BYTES, |rest| rest.min(REWRITE_BYTES));
            bytes.clear();
            segment
                .read(at, limit, &mut bytes)
                .map_err(|fault| std::io::Error::other(fault.at(&segment.name, first)))?;
            if bytes.is_empty() {
                break;
            }
            file.write_at(at, &bytes)?;
            at += bytes.len() as u64;
        }
    }
    if cut || left != LastShutdown::Closed {
        file.sync()?;
    }
    Ok(())
}

/// The end of a segment that must be whole.
pub(super) fn whole_segment(segments: &Segments, listed: Listed) -> Result<End, JournalError> {
    let segment = segments.get(listed.first)?;
    let mut chain = Chain::at(listed.first);
    let mut scanner = Scanner::new(Arc::clone(&segment), 0);
    loop {
        match scanner
            .step()
            .map_err(|fault| fault.at(&segment.name, chain.next))?
        {
            Step::End => return Ok(chain.end()),
            Step::Found(found) => chain
                .follow(&found)
                .map_err(|what| damaged(&segment.name, found.offset, chain.next, what))?,
            Step::Unfinished { offset } => {
                let what = "the segment ends within an entry".to_owned();
                return Err(damaged(&segment.name, offset, chain.next, what));
            }
            Step::Wrong { offset, what, .. } => {
                return Err(damaged(&segment.name, offset, chain.next, what));
            }
        }
    }
}

/// Follows the chain from entry to entry.
pub(crate) struct Chain {
    /// The position that comes next.
    pub(crate) next: Position,
    /// The hash of the entry before it, once one was seen.
    pub(crate) prev: Option<Hash>,
    recorded_at: Timestamp,
}

impl Chain {
    /// A chain whose next entry has this position; what lies ahead is known only for the first.
    pub(crate) fn at(next: Position) -> Self {
        Self {
            next,
            prev: (next <= 1).then_some(NO_HASH),
            recorded_at: Timestamp::default(),
        }
    }

    /// Goes on from a known end.
    pub(crate) fn after(end: End) -> Self {
        Self {
            next: end.position + 1,
            prev: Some(end.hash),
            recorded_at: end.recorded_at,
        }
    }

    /// Takes the next entry, or says how it does not fit.
    pub(crate) fn follow(&mut self, found: &Found<'_>) -> Result<(), String> {
        let header = &found.line.header;
        if header.position != self.next {
            return Err(format!(
                "found position {} where {} was expected",
                header.position, self.next
            ));
        }
        if self.prev.is_some_and(|prev| prev != found.line.prev) {
            return Err(
                "prev is not the hash of the previous entry: the chain is broken".to_owned(),
            );
        }
        if header.recorded_at < self.recorded_at {
            return Err("recorded before the previous entry".to_owned());
        }
        self.take(found);
        Ok(())
    }

    /// Takes the next entry whether it fits or not.
    pub(crate) fn take(&mut self, found: &Found<'_>) {
        self.next = found.line.header.position.saturating_add(1);
        self.prev = Some(found.line.hash);
        self.recorded_at = found.line.header.recorded_at;
    }

    /// The last entry taken.
    pub(crate) fn end(&self) -> End {
        End {
            position: self.next.saturating_sub(1),
            hash: self.prev.unwrap_or(NO_HASH),
            recorded_at: self.recorded_at,
        }
    }
}

/// Stands in until a segment is created.
struct Nothing;

impl DiskFile for Nothing {
    fn write_at(&mut self, _: u64, _: &[u8]) -> std::io::Result<()> {
        Err(std::io::ErrorKind::NotConnected.into())
    }

    fn truncate(&mut self, _: u64) -> std::io::Result<()> {
        Err(std::io::ErrorKind::NotConnected.into())
    }

    fn sync(&mut self) -> std::io::Result<()> {
        Err(std::io::ErrorKind::NotConnected.into())
    }
}
