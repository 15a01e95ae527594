//! Walking a whole journal and saying where it breaks.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::erasures::{Erasures, Unproven};
use super::log::{Chain, Location};
use super::scan::{Found, Scanner, Step};
use super::segment::{Fault, Listed, Segment, list};
use super::sled::streams::MARK_EVERY;
use super::sled::{Beside, Database};
use super::state;
use super::{Head, JournalError, Position, Version};
use crate::domain::StreamId;

/// Most problems a report lists; the walk ends there.
pub const PROBLEMS_MAX: usize = 1000;
/// What a problem names that is not of one file.
const LOG: &str = "the log";
/// Entries between two reports of progress.
const PROGRESS_EVERY: u64 = 1000;
/// Memory for the database's pages while it is compared.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// What a walk found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Entries that were read.
    pub entries: u64,
    /// Segments that were read.
    pub segments: u64,
    /// Bytes of their content, before gzip.
    pub bytes: u64,
    /// The last entry.
    pub head: Head,
    /// What is wrong, in the order of the log; at most [`PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
    /// Erased entries of which nothing tells whether they were to be: see [`Unproven`].
    pub unproven: Vec<Unproven>,
    /// An entry at the very end that is not complete: a server is writing it, or was when it ended. Not a problem;
    /// the next open cuts it off.
    pub unfinished: Option<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's name within the directory.
    pub file: String,
    /// The byte: of a plain file its own, of a sealed one that of its content, unless the gzip itself is wrong.
    pub byte: u64,
    /// The position there, or the one that belongs there.
    pub position: Position,
    /// What is wrong.
    pub what: String,
}

/// Checks every segment of a directory: lines, dense positions, the chain, digests of bodies and payloads, dense stream
/// versions. With `database`, which needs a stopped server, also that the database says the same, entry by entry.
/// `progress` is told entries so far, and 0 while the number of all is not known.
///
/// Memory grows with the number of streams.
///
/// # Errors
/// What keeps it from looking: the disk, or a newer format or event. Damage is in the report.
pub fn verify(
    dir: &Path,
    database: bool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, JournalError> {
    let state = state::read(dir)?;
    let mut walk = Walk {
        chain: Chain::at(1),
        versions: HashMap::new(),
        gaps: false,
        database: None,
        erasures: Erasures::from(1),
        begins_late: Vec::new(),
        report: Report {
            entries: 0,
            segments: 0,
            bytes: 0,
            head: Head {
                position: 0,
                hash: String::new(),
            },
            problems: Vec::new(),
            unproven: Vec::new(),
            unfinished: None,
        },
        progress,
    };
    if database {
        match Database::open(dir, CACHE_BYTES) {
            Ok(database) => walk.database = Some(database),
            Err(error) => walk.problem(super::sled::DIRECTORY, 0, error.to_string()),
        }
    }
    let listed = list(dir)?;
    for (index, segment) in listed.iter().enumerate() {
        if walk.report.problems.len() >= PROBLEMS_MAX {
            break;
        }
        walk.segment(dir, *segment, index + 1 == listed.len())?;
    }
    let end = walk.chain.end();
    walk.report.head = Head {
        position: end.position,
        hash: hex::encode(end.hash),
    };
    if let Some(head) = state.and_then(|state| state.head)
        && (head.position != end.position || head.hash != walk.report.head.hash)
    {
        let what = format!(
            "the journal was closed at position {} with hash {}, the log ends otherwise",
            head.position, head.hash
        );
        walk.problem(state::FILE, 0, what);
    }
    walk.hold_erasures();
    walk.compare_counts()?;
    (walk.progress)(walk.report.entries, walk.report.entries);
    Ok(walk.report)
}

struct Walk<'a> {
    chain: Chain,
    versions: HashMap<StreamId, (Version, Position)>,
    /// Set once a body could not be read: versions may then have gaps.
    gaps: bool,
    database: Option<Database>,
    erasures: Erasures,
    /// Streams of which the first entry that stands is not the first: their names, its version and position.
    begins_late: Vec<(StreamId, Version, Position)>,
    report: Report,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl Walk<'_> {
    fn problem(&mut self, file: &str, byte: u64, what: String) {
        let position = self.chain.next;
        self.report.problems.push(Problem {
            file: file.to_owned(),
            byte,
            position,
            what,
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

    /// Goes on behind a gap, where the hash ahead is not known.
    fn lose_chain(&mut self, next: Position) {
        self.gaps = true;
        self.chain = Chain::at(next);
        self.chain.prev = None;
    }

    fn segment(&mut self, dir: &Path, listed: Listed, last: bool) -> Result<(), JournalError> {
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
        while self.report.problems.len() < PROBLEMS_MAX {
            match scanner.step() {
                Err(fault) => return self.fault(&name, fault),
                Ok(Step::End) => break,
                Ok(Step::Found(found)) => self.entry(&name, listed.first, &found)?,
                Ok(Step::Unfinished { offset }) => {
                    let what = "the entry is not complete".to_owned();
                    if last {
                        self.report.unfinished = Some(Problem {
                            file: name.clone(),
                            byte: offset,
                            position: self.chain.next,
                            what,
                        });
                    } else {
                        self.problem(&name, offset, what);
                        self.lose_chain(self.chain.next);
                    }
                    break;
                }
                Ok(Step::Wrong {
                    offset,
                    what,
                    after,
                }) => {
                    self.problem(&name, offset, what);
                    let past = self.chain.next.saturating_sub(1);
                    match scanner.find_entry(after.saturating_sub(1), past, false) {
                        Err(fault) => return self.fault(&name, fault),
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
            // Behind a gap the position is taken as it comes.
            self.chain.next = self.chain.next.max(found.line.header.position);
        }
        if let Err(what) = self.chain.follow(found) {
            self.problem(file, found.offset, what);
            self.chain.take(found);
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
                // Behind a gap it is not known.
                ahead = (body.version == before + 1).then_some(place);
                match body.version.cmp(&(before + 1)) {
                    Ordering::Equal => {}
                    // Of a stream that is erased nothing stays, so that what stands is dense.
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

    /// Holds what is erased against what was ordered, once all of it is known.
    fn hold_erasures(&mut self) {
        let erasures = std::mem::replace(&mut self.erasures, Erasures::from(1));
        for (stream, version, position) in std::mem::take(&mut self.begins_late) {
            if !erasures.may_lack_its_start(stream.as_str(), position) {
                let what = format!(
                    "{stream} begins here with version {version}: what stood ahead of it was erased, and no erasure leaves \
                     a part of a stream"
                );
                self.of_log(position, what);
            }
        }
        let findings = erasures.finish();
        for problem in findings.problems {
            self.of_log(problem.position, problem.what);
        }
        self.report.unproven = findings.unproven;
    }

    fn of_log(&mut self, position: Position, what: String) {
        self.report.problems.push(Problem {
            file: LOG.to_owned(),
            byte: 0,
            position,
            what,
        });
    }

    /// A problem of an entry that was just taken.
    fn note(&mut self, file: &str, found: &Found<'_>, what: String) {
        self.report.problems.push(Problem {
            file: file.to_owned(),
            byte: found.offset,
            position: found.line.header.position,
            what,
        });
    }

    /// Checks that the database has the same of an entry, also of which entry is ahead of it in its stream.
    fn compare(
        &mut self,
        file: &str,
        segment: Position,
        (found, ahead): (&Found<'_>, Option<Position>),
    ) -> Result<(), JournalError> {
        let Some(database) = &self.database else {
            return Ok(());
        };
        let location = Location {
            segment,
            offset: found.offset,
            line_bytes: found.line_bytes,
        };
        let what = match compare(database, location, found, ahead) {
            Ok(None) => return Ok(()),
            Ok(Some(what)) => what.to_owned(),
            Err(JournalError::Database(error)) => error,
            Err(error) => return Err(error),
        };
        self.note(file, found, format!("the database: {what}"));
        Ok(())
    }

    /// Checks that the database has each stream's end, and no rows the log has not.
    fn compare_counts(&mut self) -> Result<(), JournalError> {
        let Some(database) = &self.database else {
            return Ok(());
        };
        let entries = self.report.entries;
        let streams = self.versions.len() as u64;
        let what = match compare_ends(database, &self.versions, entries, streams) {
            Ok(None) => return Ok(()),
            Ok(Some(what)) => what,
            Err(JournalError::Database(error)) => error,
            Err(error) => return Err(error),
        };
        self.problem(super::sled::DIRECTORY, 0, what);
        Ok(())
    }
}

fn compare(
    database: &Database,
    location: Location,
    found: &Found<'_>,
    ahead: Option<Position>,
) -> Result<Option<&'static str>, JournalError> {
    let position = found.line.header.position;
    match database.known(position)? {
        None => return Ok(Some("it lacks the entry")),
        Some(known) if known.hash != found.line.hash => return Ok(Some("it has another hash")),
        Some(known) if known.location != location => return Ok(Some("it has another place")),
        Some(_) => {}
    }
    let payload = match (database.payload(position)?, found.payload) {
        (Beside::Nothing, None) | (Beside::InLog(_), Some(_)) => true,
        (Beside::Payload(payload), Some(found)) => payload == found,
        (Beside::Payload(_) | Beside::InLog(_), None) | (Beside::Nothing, Some(_)) => false,
    };
    if !payload {
        return Ok(Some("it has another payload"));
    }
    let Some(body) = &found.line.body else {
        return Ok(None);
    };
    if let Some(ahead) = ahead
        && database.before(position)? != ahead
    {
        return Ok(Some("its stream has another entry ahead of it"));
    }
    // Only these have a row of their own; of the others it follows from the stream's end.
    if body.version.is_multiple_of(MARK_EVERY)
        && database.stream(&body.stream, body.version, 1)? != [(body.version, position)]
    {
        return Ok(Some("its stream has another position"));
    }
    Ok(None)
}

fn compare_ends(
    database: &Database,
    versions: &HashMap<StreamId, (Version, Position)>,
    entries: u64,
    streams: u64,
) -> Result<Option<String>, JournalError> {
    let count = database.count()?;
    if (count.entries, count.streams) != (entries, streams) || database.furthest()? != entries {
        return Ok(Some(format!(
            "the database has other rows than the log: {count:?}"
        )));
    }
    for (stream, (version, position)) in versions {
        let tip = database.tip(stream)?;
        if tip.map(|tip| (tip.version, tip.position)) != Some((*version, *position)) {
            return Ok(Some(format!("the database has another end of {stream}")));
        }
    }
    Ok(None)
}
