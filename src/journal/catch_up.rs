//! Bringing the database up to the log's end at open, or making it again when it cannot be trusted.

use std::path::Path;

use super::chain::{Chain, End};
use super::database::{Database, rename_broken};
use super::entry::Hash;
use super::erasures::Erasures;
use super::index::{Index, Row};
use super::scan::{Found, Scanner, Step};
use super::segment::{Location, Segments, damaged, list};
use super::state::Doubt;
use super::{JournalError, Position};
use crate::domain::Timestamp;

/// Called with positions done and positions in all.
pub(crate) type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Rows written between two reports of progress.
const ROWS_MAX: usize = 1000;

/// What is needed to bring the database up to date.
pub(crate) struct CatchUp<'a> {
    /// The parent of the database's directory.
    pub(crate) dir: &'a Path,
    /// Directory of the commit log.
    pub(crate) log: &'a Path,
    pub(crate) cache_bytes: u64,
    pub(crate) now: Timestamp,
    pub(crate) segments: &'a Segments,
    /// End of the commit log, which the database has to reach.
    pub(crate) end: End,
    /// The last segment's first position, and the hash it names as the one ahead.
    pub(crate) base_hash: Option<(Position, Hash)>,
    /// Whether every row is read before the database is trusted: after anything but an orderly close.
    pub(crate) read_all: bool,
    pub(crate) progress: Progress<'a>,
    /// Set when entries turn out to be erased without an order for it.
    pub(crate) misled: bool,
}

/// Why a database does not fit the log, and is rebuilt from it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Misfit {
    #[error("it reaches position {furthest}, the log {log}")]
    Ahead { furthest: Position, log: Position },
    #[error("it disagrees with the log at {0}")]
    Disagrees(Position),
    #[error("it lacks streams up to position {last}: of {streams} it has {found}")]
    LacksStreams {
        last: Position,
        streams: u64,
        found: u64,
    },
}

impl CatchUp<'_> {
    /// Renames a database whose pages cannot be trusted, so that it is rebuilt.
    pub(crate) fn set_aside_for(
        &self,
        doubt: Doubt,
        notices: &mut Vec<String>,
    ) -> Result<(), JournalError> {
        self.rename_database(doubt.as_str(), notices)
    }

    /// Opens the database and brings it up to the log's end.
    ///
    /// # Errors
    /// [`JournalError`] for a failed read, or damage. Erased entries that no event accounts for are damage, and the database is
    /// renamed then: the next open has to read all of the log again and to find the same.
    pub(crate) fn open(&mut self, notices: &mut Vec<String>) -> Result<Database, JournalError> {
        let opened = self.open_or_make(notices);
        if opened.is_err() && self.misled {
            self.rename_database("entries are erased that no event accounts for", notices)?;
        }
        opened
    }

    fn open_or_make(&mut self, notices: &mut Vec<String>) -> Result<Database, JournalError> {
        match self.open_as_it_is() {
            Ok(Ok(database)) => return Ok(database),
            Ok(Err(why)) => self.rename_database(&why.to_string(), notices)?,
            Err(JournalError::Database(why)) => self.rename_database(&why, notices)?,
            Err(error) => return Err(error),
        }
        let database = Database::open(self.dir, self.cache_bytes)?;
        self.fill(&database, None)?;
        Ok(database)
    }

    /// The inner error says why the database does not fit the log.
    fn open_as_it_is(&mut self) -> Result<Result<Database, Misfit>, JournalError> {
        let database = Database::open(self.dir, self.cache_bytes)?;
        let (furthest, log) = (database.furthest()?, self.end.position);
        if furthest > log {
            return Ok(Err(Misfit::Ahead { furthest, log }));
        }
        let Some((last, known)) = database.last()? else {
            self.fill(&database, None)?;
            return Ok(Ok(database));
        };
        let disagrees = |position| Ok(Err(Misfit::Disagrees(position)));
        if self.read_all {
            let (count, streams) = (database.count()?, database.streams_noted()?);
            if count.streams < streams {
                return Ok(Err(Misfit::LacksStreams {
                    last,
                    streams,
                    found: count.streams,
                }));
            }
        }
        match self.log_hash(known.location, last)? {
            Some(hash) if hash == known.hash => {}
            Some(_) | None => return disagrees(last),
        }
        if let Some((first, prev)) = self.base_hash
            && first > 1
            && let Some(before) = database.entry(first - 1)?
            && before.hash != prev
        {
            return disagrees(first - 1);
        }
        self.fill(&database, Some((last, known.hash, known.location)))?;
        Ok(Ok(database))
    }

    fn rename_database(&self, why: &str, notices: &mut Vec<String>) -> Result<(), JournalError> {
        if let Some(aside) = rename_broken(self.dir, self.now)? {
            let name = aside.file_name().unwrap_or_default().display();
            notices.push(format!(
                "the journal's database was renamed to {name} and rebuilt from the log: {why}"
            ));
        }
        Ok(())
    }

    /// The hash of the entry the log has at a location; `None` when it has no such entry there.
    fn log_hash(
        &self,
        location: Location,
        position: Position,
    ) -> Result<Option<Hash>, JournalError> {
        if !list(self.log)?
            .iter()
            .any(|listed| listed.first == location.segment)
        {
            return Ok(None);
        }
        let segment = self.segments.get(location.segment)?;
        let mut scanner = Scanner::new(segment, location.offset);
        Ok(match scanner.step() {
            Ok(Step::Found(found)) if found.line.header.position == position => {
                Some(found.line.hash)
            }
            Ok(_) | Err(_) => None,
        })
    }

    /// Writes the rows of all entries after a known one, or of all entries.
    fn fill(
        &mut self,
        database: &Database,
        known: Option<(Position, Hash, Location)>,
    ) -> Result<(), JournalError> {
        let total = self.end.position;
        let (mut chain, segment, offset) = match known {
            Some((position, hash, location)) => {
                let recorded_at = Timestamp::default();
                let end = End {
                    position,
                    hash,
                    recorded_at,
                };
                (Chain::after(end), location.segment, location.offset)
            }
            None => (Chain::at(1), 1, 0),
        };
        if chain.next > total {
            return Ok(());
        }
        let mut erasures = Erasures::from(chain.next);
        let mut scanner = Scanner::new(self.segments.get(segment)?, offset);
        if known.is_some() {
            let name = scanner.segment().name.clone();
            scanner
                .step()
                .map_err(|fault| fault.at(&name, chain.next))?;
        }
        let mut rows = Vec::new();
        while chain.next <= total {
            let (name, first) = (scanner.segment().name.clone(), scanner.segment().first);
            let at = chain.next;
            match scanner.step().map_err(|fault| fault.at(&name, at))? {
                Step::Found(found) => {
                    if let Err(what) = chain.follow(&found) {
                        return Err(damaged(&name, found.offset, at, what));
                    }
                    erasures.take_found(&found, &name)?;
                    rows.push(row(found, first));
                }
                Step::End => scanner = Scanner::new(self.segments.get(at)?, 0),
                Step::Unfinished { offset } => {
                    let what = "the entry is not complete".to_owned();
                    return Err(damaged(&name, offset, at, what));
                }
                Step::Wrong { offset, what, .. } => {
                    return Err(damaged(&name, offset, at, what));
                }
            }
            if rows.len() >= ROWS_MAX {
                database.insert(&rows)?;
                rows.clear();
                (self.progress)(chain.next - 1, total);
            }
        }
        let accounted_for = erasures.finish().into_result();
        self.misled = accounted_for.is_err();
        accounted_for?;
        database.insert(&rows)?;
        database.write_rows()?;
        (self.progress)(total, total);
        Ok(())
    }
}

fn row(found: Found<'_>, segment: Position) -> Row {
    Row {
        position: found.line.header.position,
        stream: found.line.body.map(|body| (body.stream, body.version)),
        before: None,
        location: Location {
            segment,
            offset: found.offset,
            line_bytes: found.line_bytes,
        },
        hash: found.line.hash,
        has_payload: found.payload.is_some(),
    }
}
