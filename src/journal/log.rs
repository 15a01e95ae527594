//! The commit log: groups of entries appended to segment files, each group durable before the next begins.
//!
//! A mark, `{"group":position}`, precedes every group but a segment's first. It proves that everything above it
//! was durable when the group was written, which distinguishes a group torn by a power cut from damage.

use parking_lot::Mutex;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::chain::End;
use super::entry::Hash;
use super::meters::{Failing, JournalMeters};
use super::seal::{Job, Sealer};
use super::segment::{Segments, damaged, failed, list, plain_name, sealed_name};
use super::tail::{LastShutdown, Tail, make_durable, read_tail, whole_segment};
use super::{JournalError, Position};
use crate::clock::Stopwatch;
use crate::disk::{Disk, DiskFile};

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

/// A log that was just opened.
pub(crate) struct Opened {
    pub(crate) log: CommitLog,
    pub(crate) end: End,
    /// The last segment's first position and the hash its first entry names as the one ahead.
    pub(crate) base_hash: Option<(Position, Hash)>,
    pub(crate) notices: Vec<String>,
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
    /// made durable in its place, so that nothing is read that a power cut could undo.
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

    /// Appends a group and makes it durable with one sync. The group begins with its mark of `mark_bytes`, which is
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

    /// The counters of the log.
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

    /// Where the last failure to seal a segment is stored.
    pub(crate) fn seal_trouble(&self) -> Arc<Mutex<Option<String>>> {
        self.sealer.trouble()
    }
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

/// A file in place of the last segment's until one is created; every write fails.
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
