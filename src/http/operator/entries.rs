//! Entries of the journal as operators ask for them: a few at a time, because one may have 16 MiB, and read around damage.

use std::ops::ControlFlow;

use crate::domain::StreamId;
use crate::journal::erasures::{Judge, Problem};
use crate::journal::{Entry, Journal, JournalError, Position, Version};

/// Entries that are read at a time.
pub(super) const READ_ENTRIES: u64 = 8;

/// An entry that was read, or why it could not be.
pub(super) struct Found {
    /// Where a page that begins with it continues: its position, or its version in a stream.
    pub(super) place: u64,
    pub(super) entry: Result<Entry, Damage>,
}

/// What cannot be read.
pub(super) struct Damage {
    pub(super) position: Option<Position>,
    pub(super) what: String,
}

/// The entries at a few positions, in order.
pub(super) fn at(
    journal: &dyn Journal,
    (first, last): (Position, Position),
) -> Result<Vec<Found>, JournalError> {
    let sound = |entry: Entry| Found {
        place: entry.header.position,
        entry: Ok(entry),
    };
    let count = usize::try_from(last.saturating_sub(first) + 1).unwrap_or(usize::MAX);
    match journal.read(first, count) {
        Ok(entries) => return Ok(entries.into_iter().map(sound).collect()),
        Err(JournalError::Damaged { .. }) => {}
        Err(error) => return Err(error),
    }
    let mut found = Vec::new();
    for position in first..=last {
        match journal.read(position, 1) {
            Ok(entries) => found.extend(entries.into_iter().map(sound)),
            Err(error @ JournalError::Damaged { .. }) => found.push(Found {
                place: position,
                entry: Err(Damage {
                    position: Some(position),
                    what: error.to_string(),
                }),
            }),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// A stream's entries of a few versions, newest first.
pub(super) fn of_stream(
    journal: &dyn Journal,
    stream: &StreamId,
    (first, last): (Version, Version),
) -> Result<Vec<Found>, JournalError> {
    let count = usize::try_from(last.saturating_sub(first) + 1).unwrap_or(usize::MAX);
    let versions = (first..=last).rev();
    match journal.stream(stream, first, count) {
        // When some were erased, those are left that come last.
        Ok(entries) => Ok(entries
            .into_iter()
            .rev()
            .zip(versions)
            .map(|(entry, place)| Found {
                place,
                entry: Ok(entry),
            })
            .collect()),
        Err(JournalError::Damaged { .. }) => {
            let read = versions.map(|version| one_of(journal, stream, version));
            read.filter_map(Result::transpose).collect()
        }
        Err(error) => Err(error),
    }
}

/// A stream's entry of a version; `None` when it was erased.
fn one_of(
    journal: &dyn Journal,
    stream: &StreamId,
    version: Version,
) -> Result<Option<Found>, JournalError> {
    let entry = match journal.stream(stream, version, 1) {
        Ok(entries) => entries.into_iter().next().map(Ok),
        Err(error @ JournalError::Damaged { .. }) => Some(Err(Damage {
            position: None,
            what: error.to_string(),
        })),
        Err(error) => return Err(error),
    };
    Ok(entry.map(|entry| Found {
        place: version,
        entry,
    }))
}

/// Hands on the entries of a request at these positions, newest first, until it is told to stop. Returns what is wrong in what was
/// searched: with erased entries, and with those that cannot be read, of which nobody knows whose they are.
pub(super) fn of_request(
    journal: &dyn Journal,
    id: &str,
    (from, until): (Position, Position),
    take: &mut dyn FnMut(Entry) -> Result<ControlFlow<()>, JournalError>,
) -> Result<Vec<String>, JournalError> {
    let (mut judge, mut damage, mut last) = (Judge::default(), Vec::new(), until);
    let what = |problem: Problem| problem.what;
    while last >= from {
        let first = last.saturating_sub(READ_ENTRIES - 1).max(from);
        for found in at(journal, (first, last))?.into_iter().rev() {
            let entry = match found.entry {
                Ok(entry) => entry,
                Err(unread) => {
                    damage.push(unread.what);
                    continue;
                }
            };
            let problems = judge.check(journal, std::slice::from_ref(&entry))?;
            damage.extend(problems.into_iter().map(what));
            let body = entry.body.as_ref();
            if body.is_some_and(|body| body.origin.request_id == id) && take(entry)?.is_break() {
                return Ok(damage);
            }
        }
        last = first - 1;
    }
    Ok(damage)
}
