//! Reading a journal back from its directory alone, while a server runs or is stopped.
//!
//! Takes no lock and opens no database. What a running server has written but not yet synced may be seen, so this is
//! for reading, exporting and time travel, not for answering.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::chain::Chain;
use super::entry::{Hash, NO_HASH};
use super::erasures::Erasures;
use super::scan::{Scanner, Step};
use super::segment::{Listed, Segment, damaged, list};
use super::{Entry, Head, JournalError, Position};
use crate::domain::{StreamId, Timestamp};

/// An iterator over the entries of a directory, in order, with their payloads, each checked against the chain.
///
/// It ends after the last complete entry, or after the first error.
pub struct Replay {
    dir: PathBuf,
    /// The segments as they were when last looked for; listing them for each would be quadratic.
    listed: Vec<Listed>,
    scanner: Option<Scanner>,
    chain: Chain,
    /// An entry to be given out once the next one names its hash, or the end is there.
    held: Option<Written>,
    /// Whether the bytes of each entry are kept for who asks.
    keeps_bytes: bool,
    from: Position,
    until: Position,
    as_of: Option<Timestamp>,
    stream: Option<StreamId>,
    /// What is erased and what was ordered, when that is asked for.
    erasures: Option<Erasures>,
    ended: bool,
}

/// How often a directory is read again because something in it was erased meanwhile.
const WALKS_MAX: usize = 3;

/// An entry with its hash, and its bytes in the log.
#[derive(Debug)]
pub struct Written {
    /// The entry that was written.
    pub entry: Entry,
    /// Hash of the entry, which the next one names.
    pub hash: Hash,
    /// Its line and the payload after it; empty unless [`Replay::written`] is asked.
    pub bytes: Vec<u8>,
}

/// Reads a journal's directory from its first entry on.
///
/// # Errors
/// [`JournalError::Newer`] when a newer program wrote the directory, [`JournalError::Io`] when it cannot be read.
pub fn replay(dir: &Path) -> Result<Replay, JournalError> {
    super::state::read(dir)?;
    Ok(Replay {
        dir: dir.to_owned(),
        listed: Vec::new(),
        scanner: None,
        chain: Chain::at(1),
        held: None,
        keeps_bytes: false,
        from: 1,
        until: Position::MAX,
        as_of: None,
        stream: None,
        erasures: None,
        ended: false,
    })
}

impl Replay {
    /// Skips what is before a position; its segments are not read.
    #[must_use]
    pub fn from(mut self, position: Position) -> Self {
        self.from = position.max(1);
        self
    }

    /// Ends with a position.
    #[must_use]
    pub fn until(mut self, position: Position) -> Self {
        self.until = position;
        self
    }

    /// Ends before the first entry recorded after a time.
    #[must_use]
    pub fn as_of(mut self, time: Timestamp) -> Self {
        self.as_of = Some(time);
        self
    }

    /// Leaves out every other stream, and entries that were erased.
    #[must_use]
    pub fn stream(mut self, stream: StreamId) -> Self {
        self.stream = Some(stream);
        self
    }

    /// Checks what is erased against the events that ordered it. A contradiction is an error after the last entry. The
    /// orders come after what they erased, so this is for reading up to the journal's end.
    #[must_use]
    pub fn judged(mut self) -> Self {
        self.erasures = Some(Erasures::from(self.from));
        self
    }

    /// The same entries, with their bytes in the log.
    pub fn written(mut self) -> impl Iterator<Item = Result<Written, JournalError>> {
        self.keeps_bytes = true;
        std::iter::from_fn(move || self.next_written())
    }

    fn next_written(&mut self) -> Option<Result<Written, JournalError>> {
        if self.ended {
            return None;
        }
        let next = match self.advance() {
            Ok(None) => self.judge().err().map(Err),
            Ok(Some(written)) => Some(Ok(written)),
            Err(error) => Some(Err(error)),
        };
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }

    fn judge(&mut self) -> Result<(), JournalError> {
        match self.erasures.take().map(Erasures::finish) {
            Some(findings) if !findings.problems.is_empty() => judge(&self.dir, self.from),
            Some(_) | None => Ok(()),
        }
    }

    /// The next entry that was asked for.
    fn advance(&mut self) -> Result<Option<Written>, JournalError> {
        if self.scanner.is_none() && !self.begin()? {
            return Ok(None);
        }
        while self.chain.next <= self.until || self.held.is_some() {
            let Some(scanner) = &mut self.scanner else {
                return Ok(None);
            };
            let segment = Arc::clone(scanner.segment());
            let position = self.chain.next;
            let step = scanner.step();
            match step.map_err(|fault| fault.at(&segment.name, position))? {
                Step::Found(found) => {
                    if let Err(what) = self.chain.follow(&found) {
                        return Err(damaged(&segment.name, found.offset, position, what));
                    }
                    if let Some(erasures) = &mut self.erasures
                        && position >= self.from
                    {
                        erasures.take_found(&found, &segment.name)?;
                    }
                    let confirmed = self.held.take();
                    let header = &found.line.header;
                    if self.as_of.is_some_and(|time| header.recorded_at > time) {
                        self.until = 0;
                    }
                    let stream = found.line.body.as_ref().map(|body| &body.stream);
                    let other = self.stream.is_some() && stream != self.stream.as_ref();
                    if position >= self.from && position <= self.until && !other {
                        let payload = found.payload.map(Bytes::copy_from_slice);
                        self.held = Some(Written {
                            hash: found.line.hash,
                            bytes: if self.keeps_bytes {
                                found.written.to_vec()
                            } else {
                                Vec::new()
                            },
                            entry: found.line.into_entry(payload, &segment.name)?,
                        });
                    }
                    if confirmed.is_some() {
                        return Ok(confirmed);
                    }
                }
                Step::End => match self.next_segment(&segment)? {
                    Some(next) => self.scanner = Some(next),
                    None => return Ok(self.held.take()),
                },
                Step::Unfinished { offset } => {
                    if !self.look_again(&segment, offset)? {
                        return Ok(self.held.take());
                    }
                }
                Step::Wrong { offset, what, .. } => {
                    return Err(damaged(&segment.name, offset, position, what));
                }
            }
        }
        Ok(None)
    }

    /// Opens the segment the first wanted position is in; false when there is none.
    fn begin(&mut self) -> Result<bool, JournalError> {
        self.listed = list(&self.dir)?;
        let listed = &self.listed;
        let Some(first) = listed.first() else {
            return Ok(false);
        };
        let start = listed
            .iter()
            .rev()
            .find(|listed| listed.first <= self.from)
            .unwrap_or(first)
            .first;
        if start > self.from {
            let what = "the segments before it are missing".to_owned();
            return Err(damaged("the journal", 0, start, what));
        }
        self.chain = Chain::at(start);
        self.scanner = Some(Scanner::new(self.segment(start)?, 0));
        Ok(true)
    }

    /// The segment after one that has ended; `None` at the journal's end.
    fn next_segment(&mut self, ended: &Segment) -> Result<Option<Scanner>, JournalError> {
        let behind = |listed: &[Listed]| {
            let at = listed.partition_point(|listed| listed.first <= ended.first);
            listed.get(at).map(|listed| listed.first)
        };
        if behind(&self.listed).is_none() {
            self.listed = list(&self.dir)?;
        }
        let Some(next) = behind(&self.listed) else {
            return Ok(None);
        };
        if next != self.chain.next {
            let what = format!("the next segment begins at position {next}");
            return Err(damaged(&ended.name, ended.len()?, self.chain.next, what));
        }
        Ok(Some(Scanner::new(self.segment(next)?, 0)))
    }

    /// An entry that is not complete: the journal's end, or a server that was still writing it when it was read, or
    /// damage. False for the end.
    fn look_again(&mut self, segment: &Segment, offset: u64) -> Result<bool, JournalError> {
        let last = list(&self.dir)?.last().map(|listed| listed.first);
        if last == Some(segment.first) {
            return Ok(false);
        }
        let mut scanner = Scanner::new(self.segment(segment.first)?, offset);
        if let Ok(Step::Found(_)) = scanner.step() {
            scanner.seek(offset);
            self.scanner = Some(scanner);
            return Ok(true);
        }
        let what = "the segment ends within an entry".to_owned();
        Err(damaged(&segment.name, offset, self.chain.next, what))
    }

    fn segment(&self, first: Position) -> Result<Arc<Segment>, JournalError> {
        Segment::open(&self.dir, first)
            .map(Arc::new)
            .map_err(|(name, fault)| fault.at(&name, first))
    }
}

impl Iterator for Replay {
    type Item = Result<Entry, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_written()?;
        Some(next.map(|written| written.entry))
    }
}

/// Holds what is erased from a position on against the events that ordered it.
///
/// # Errors
/// As the iterator's; [`JournalError::Damaged`] with the first position that no event accounts for.
pub fn judge(dir: &Path, from: Position) -> Result<(), JournalError> {
    let mut walks = 1;
    loop {
        let mut entries = replay(dir)?.from(from).judged();
        while let Some(entry) = entries.advance()? {
            drop(entry);
        }
        let end = entries.chain.next - 1;
        let erasures = entries.erasures.take();
        let judged = erasures.map_or(Ok(()), |erasures| erasures.finish().into_result());
        // An order that came, or was completed, meanwhile explains what was found.
        if judged.is_ok() || walks == WALKS_MAX || head(dir)?.position == end {
            return judged;
        }
        walks += 1;
    }
}

/// Whether no process has the journal open, so that its database may be read.
///
/// # Errors
/// [`JournalError`] when the directory cannot be read.
pub fn is_stopped(dir: &Path) -> Result<bool, JournalError> {
    super::lock::is_stopped(dir)
}

/// The first position of the newest segment; 1 for an empty journal.
///
/// # Errors
/// [`JournalError`] when the directory cannot be read.
pub fn last_segment(dir: &Path) -> Result<Position, JournalError> {
    Ok(list(dir)?.last().map_or(1, |listed| listed.first))
}

/// The journal's last complete entry, found by reading its newest segments only.
///
/// # Errors
/// As the iterator's.
pub fn head(dir: &Path) -> Result<Head, JournalError> {
    // The newest segment may have no entry yet, so the one before it is read too.
    let mut entries = replay(dir)?.from(last_segment(dir)?.saturating_sub(1));
    for entry in entries.by_ref() {
        entry?;
    }
    Ok(Head {
        position: entries.chain.next - 1,
        hash: hex::encode(entries.chain.prev.unwrap_or(NO_HASH)),
    })
}
