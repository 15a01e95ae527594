//! Walking a whole journal and saying where it breaks.

mod compare;
mod copied;
mod database;
mod report;
mod resume;

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::chain::Chain;
use super::database::Database;
use super::entry::NO_HASH;
use super::erasures::Erasures;
use super::scan::{Found, Scanner, Step};
use super::segment::{Fault, Listed, Segment, list};
use super::state;
use super::{Head, JournalError, Position, Version, exported, replay};
use crate::domain::StreamId;
use crate::os_error;
use copied::DatabaseCopy;
pub use report::{Check, PROBLEMS_MAX, Problem, Report};
use resume::Following;

/// What a problem names that is not of one file.
const LOG: &str = "the log";
/// Entries between two reports of progress.
const PROGRESS_EVERY: u64 = 1000;
/// Memory for the database's pages while it is compared.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// How often a journal is walked again because a server erased in it meanwhile.
const WALKS_MAX: usize = 3;

/// Checks every segment of a directory: lines, dense positions, the chain, digests of bodies and payloads, dense stream
/// versions, and that what is erased was ordered. With `database`, which needs a stopped server, also that the database
/// says the same, entry by entry. `progress` is called with the entries so far, and 0 while the number of all is not known.
///
/// Memory grows with the number of streams, and with that of runs of erased entries.
///
/// # Errors
/// [`JournalError`] when it cannot be read, or is of a newer format. Damage is in the report.
pub fn verify(
    dir: &Path,
    database: bool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, JournalError> {
    let check = Check {
        database,
        expected: &[],
        progress,
    };
    verify_by(dir, check)
}

/// The same, and that entries have the hashes they are expected to have.
///
/// # Errors
/// As [`verify`].
pub fn verify_by(dir: &Path, mut check: Check<'_>) -> Result<Report, JournalError> {
    for _ in 1..WALKS_MAX {
        let (report, misled) = walk_directory(dir, &mut check)?;
        // An order that came, or was completed, during the walk explains what it found.
        if !misled || replay::head(dir)?.position == report.head.position {
            return Ok(report);
        }
    }
    Ok(walk_directory(dir, &mut check)?.0)
}

/// Walks a directory once; the second value is whether erased entries are among the problems.
fn walk_directory(dir: &Path, check: &mut Check<'_>) -> Result<(Report, bool), JournalError> {
    let state = state::read(dir)?;
    let mut walk = Walk::new(1, check.expected, check.progress);
    // Dropped after the database that is in it.
    let copied;
    if check.database {
        copied = DatabaseCopy::of(dir);
        let opened = copied.as_ref().map_err(Clone::clone);
        match opened.and_then(|copy| Database::open(copy.dir(), CACHE_BYTES)) {
            Ok(database) => walk.database = Some(database),
            Err(error @ JournalError::Io { .. }) => {
                walk.report.not_compared = Some(os_error::describe(&error));
            }
            Err(error) => walk.problem(super::database::DIRECTORY, 0, error.to_string()),
        }
    }
    let listed = list(dir)?;
    for (index, segment) in listed.iter().enumerate() {
        if walk.report.problems.len() >= PROBLEMS_MAX {
            break;
        }
        let next = listed.get(index + 1).map(|next| next.first);
        walk.segment(dir, *segment, next)?;
    }
    let end = walk.end();
    if let Some(head) = state.and_then(|state| state.head)
        && (head.position, &head.hash) != (end.position, &end.hash)
    {
        let what = format!(
            "the journal was closed at position {} with hash {}, the log ends otherwise",
            head.position, head.hash
        );
        walk.problem(state::FILE, 0, what);
    }
    let misled = walk.check_erasures();
    walk.compare_counts()?;
    Ok((walk.finish(), misled))
}

/// Checks a file that was exported in the format that verifies by itself ([`super::exported`]), as a directory is
/// checked. Of one that does not begin with position 1 the previous hash is taken as it is named.
///
/// # Errors
/// As [`verify`], and when it is no such file.
pub fn verify_file(
    path: &Path,
    expected: &[Head],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, JournalError> {
    let segment = Arc::new(Segment::plain(path)?);
    let name = segment.name.clone();
    let (from, offset) = exported::begin(&segment)?;
    let mut walk = Walk::new(from, expected, progress);
    walk.is_export = true;
    walk.report.bytes = segment.len()?;
    let mut scanner = Scanner::new(Arc::clone(&segment), offset);
    walk.scan((&name, from), &mut scanner, false, None)?;
    let told = exported::end(&segment, scanner.offset());
    let end = walk.end();
    match told {
        Some(told) if told == end => {}
        Some(told) => {
            let what = format!(
                "the file says that it ends at position {} with hash {}, and it ends at position {} with hash {}",
                told.position, told.hash, end.position, end.hash
            );
            walk.problem(&name, scanner.offset(), what);
        }
        None if walk.report.problems.is_empty() => {
            let what = "the file ends without its last line: it was not written to its end";
            walk.problem(&name, scanner.offset(), what.to_owned());
        }
        // It was not read to its end.
        None => {}
    }
    walk.check_erasures();
    Ok(walk.finish())
}

/// The first position of a segment, and the hash that it names as the one ahead, when that can be read.
fn begins(dir: &Path, first: Position) -> Option<(Position, String)> {
    let segment = Arc::new(Segment::open(dir, first).ok()?);
    let mut scanner = Scanner::new(segment, 0);
    match scanner.step().ok()? {
        Step::Found(found) => Some((first, found.line.header.prev)),
        Step::End | Step::Unfinished { .. } | Step::Wrong { .. } => None,
    }
}

struct Walk<'a> {
    chain: Chain,
    versions: HashMap<StreamId, (Version, Position)>,
    /// Set once a body could not be read: versions may then have gaps.
    gaps: bool,
    database: Option<Database>,
    erasures: Erasures,
    /// Streams whose first stored entry is not their first version: their names, its version and position.
    begins_late: Vec<(StreamId, Version, Position)>,
    /// Hashes that positions are expected to have.
    expected: BTreeMap<Position, Vec<&'a str>>,
    from: Position,
    /// Whether an export is read, which has a last line of its own.
    is_export: bool,
    report: Report,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl<'a> Walk<'a> {
    fn new(from: Position, expected: &'a [Head], progress: &'a mut dyn FnMut(u64, u64)) -> Self {
        let mut by_position: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for head in expected {
            let hashes = by_position.entry(head.position).or_default();
            hashes.push(head.hash.as_str());
        }
        let mut walk = Self {
            chain: Chain::at(from),
            versions: HashMap::new(),
            // Of a part of the journal it is not known how its streams began.
            gaps: from > 1,
            database: None,
            erasures: Erasures::from(from),
            begins_late: Vec::new(),
            expected: by_position,
            from,
            is_export: false,
            report: Report {
                entries: 0,
                segments: 0,
                bytes: 0,
                head: Head {
                    position: 0,
                    hash: String::new(),
                },
                confirmed: 0,
                problems: Vec::new(),
                unproven: Vec::new(),
                unfinished: None,
                not_compared: None,
            },
            progress,
        };
        if from == 1 {
            walk.expect(0, &hex::encode(NO_HASH));
        }
        walk
    }

    /// The last entry that was taken.
    fn end(&mut self) -> Head {
        let end = self.chain.end();
        self.report.head = Head {
            position: end.position,
            hash: hex::encode(end.hash),
        };
        self.report.head.clone()
    }

    fn finish(mut self) -> Report {
        let end = self.report.head.position;
        for (position, hashes) in std::mem::take(&mut self.expected) {
            let why = if position < self.from {
                format!("what was read begins at position {}", self.from)
            } else if position > end {
                format!("the journal ends at position {end}")
            } else {
                // There is damage around it.
                "no entry was read there".to_owned()
            };
            for hash in hashes {
                self.of_log(position, format!("hash {hash} is expected here, and {why}"));
            }
        }
        (self.progress)(self.report.entries, self.report.entries);
        self.report
    }

    fn problem(&mut self, file: &str, byte: u64, what: impl Into<String>) {
        let position = self.chain.next;
        self.report.problems.push(Problem {
            file: file.to_owned(),
            byte,
            position,
            what: what.into(),
        });
    }

    /// Notes damage; a failed read ends the walk.
    fn fault(&mut self, file: &str, fault: Fault) -> Result<(), JournalError> {
        match fault {
            Fault::Failed(error) => return Err(error),
            Fault::Damage { byte, what } => self.problem(file, byte, what),
        }
        self.lose_chain(self.chain.next);
        Ok(())
    }

    /// Continues after a gap, where the previous hash is not known.
    fn lose_chain(&mut self, next: Position) {
        self.gaps = true;
        self.chain = Chain::at(next);
        self.chain.prev = None;
    }

    /// Reads a segment; `next` is the first position of the next one.
    fn segment(
        &mut self,
        dir: &Path,
        listed: Listed,
        next: Option<Position>,
    ) -> Result<(), JournalError> {
        let segment = match Segment::open(dir, listed.first) {
            Ok(segment) => Arc::new(segment),
            Err((name, fault)) => {
                self.lose_chain(listed.first);
                return self.fault(&name, fault);
            }
        };
        let name = segment.name.clone();
        if self.chain.next != listed.first {
            if !self.gaps || self.chain.prev.is_some() {
                let what = format!("the segment begins where {} belongs", self.chain.next);
                self.problem(&name, 0, what);
            }
            self.lose_chain(listed.first);
        }
        self.report.segments += 1;
        self.report.bytes += segment.len()?;
        let mut scanner = Scanner::new(segment, 0);
        let next = next.map(|first| (dir, first));
        self.scan((&name, listed.first), &mut scanner, next.is_none(), next)
    }

    /// Takes one entry after the other up to the end, or to what is no entry.
    fn scan(
        &mut self,
        (name, first): (&str, Position),
        scanner: &mut Scanner,
        last: bool,
        next: Option<(&Path, Position)>,
    ) -> Result<(), JournalError> {
        while self.report.problems.len() < PROBLEMS_MAX {
            let segment = Arc::clone(scanner.segment());
            match scanner.step() {
                Err(fault) => return self.fault(name, fault),
                Ok(Step::End) => break,
                Ok(Step::Found(found)) => self.entry(name, first, &found)?,
                Ok(Step::Unfinished { offset }) => {
                    let what = "the entry is not complete".to_owned();
                    if last {
                        self.report.unfinished = Some(Problem {
                            file: name.to_owned(),
                            byte: offset,
                            position: self.chain.next,
                            what,
                        });
                    } else {
                        self.problem(name, offset, what);
                        self.lose_chain(self.chain.next);
                    }
                    break;
                }
                // The last line of an export; what it says is for the caller to hold against what was read.
                Ok(Step::Wrong { offset, .. })
                    if self.is_export && exported::end(&segment, offset).is_some() =>
                {
                    break;
                }
                Ok(Step::Wrong {
                    offset,
                    what,
                    after,
                }) => {
                    self.problem(name, offset, what);
                    let past = self.chain.next.saturating_sub(1);
                    let is_export = self.is_export;
                    let ends = |segment: &Segment, offset| {
                        is_export && exported::end(segment, offset).is_some()
                    };
                    let following = Following {
                        next: next.and_then(|(dir, first)| begins(dir, first)),
                        ends: &ends,
                    };
                    match resume::find(scanner, after.saturating_sub(1), past, &following) {
                        Err(fault) => return self.fault(name, fault),
                        Ok(None) => {
                            self.lose_chain(self.chain.next);
                            break;
                        }
                        Ok(Some(_)) => self.lose_chain(self.chain.next),
                    }
                }
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        file: &str,
        segment: Position,
        found: &Found<'_>,
    ) -> Result<(), JournalError> {
        if self.chain.prev.is_none() {
            // After a gap any position is accepted.
            self.chain.next = self.chain.next.max(found.line.header.position);
        }
        if let Err(what) = self.chain.follow(found) {
            self.problem(file, found.offset, what);
            self.chain.take(found);
        }
        if !self.expected.is_empty() {
            let position = found.line.header.position;
            if position == self.from && position > 1 {
                self.expect(position - 1, &found.line.header.prev);
            }
            self.expect(position, &hex::encode(found.line.hash));
        }
        self.report.entries += 1;
        found.line.check_schemas(file)?;
        self.erasures.take_found(found, file)?;
        let mut ahead = None;
        match &found.line.body {
            None => {}
            Some(body) => {
                let position = found.line.header.position;
                let tip = (body.version, position);
                let last = self.versions.insert(body.stream.clone(), tip);
                let (before, place) = last.unwrap_or_default();
                // After a gap it is not known.
                ahead = (body.version == before + 1).then_some(place);
                match body.version.cmp(&(before + 1)) {
                    Ordering::Equal => {}
                    // Nothing of an erased stream's beginning stays, so that what is stored is dense.
                    Ordering::Greater if last.is_none() && !self.gaps => {
                        let late = (body.stream.clone(), body.version, position);
                        self.begins_late.push(late);
                    }
                    Ordering::Greater if self.gaps => {}
                    Ordering::Greater | Ordering::Less => {
                        let what = format!(
                            "{} has version {} after {before}",
                            body.stream, body.version
                        );
                        self.note(file, found, what);
                    }
                }
            }
        }
        self.compare(file, segment, (found, ahead))?;
        if self.report.entries.is_multiple_of(PROGRESS_EVERY) {
            (self.progress)(self.report.entries, 0);
        }
        Ok(())
    }
}
