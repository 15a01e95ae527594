//! When which record dooms itself, soonest first.

use super::{Change, Projection, RecordName, Store, StoreError, Write};
use crate::domain::Timestamp;
use crate::domain::record::{Record, Status};

const PREFIX: u8 = b'd';
const TIME_END: usize = 9;

/// Keeps the due times of living records.
pub struct DueTimes;

impl Projection for DueTimes {
    fn name(&self) -> &'static str {
        "due"
    }

    fn version(&self) -> u32 {
        1
    }

    fn prefix(&self) -> u8 {
        PREFIX
    }

    fn apply(&self, change: &Change<'_>, writes: &mut Vec<Write>) {
        let Some(record) = &change.record else { return };
        let before = record.before.and_then(due_at);
        let after = due_at(record.after);
        if before == after {
            return;
        }
        if let Some(at) = before {
            writes.push((key(at, change.body.stream.as_str()), None));
        }
        if let Some(at) = after {
            writes.push((key(at, change.body.stream.as_str()), Some(Vec::new())));
        }
    }

    fn stream_of(&self, key: &[u8], value: &[u8]) -> Option<String> {
        let _ = value;
        let stream = std::str::from_utf8(key.get(TIME_END..)?).ok()?;
        Some(stream.to_owned())
    }
}

fn due_at(record: &Record) -> Option<Timestamp> {
    record.doom_at.filter(|_| record.status != Status::Doomed)
}

fn key(at: Timestamp, stream: &str) -> Vec<u8> {
    let mut key = vec![PREFIX];
    // Times are never negative, so big-endian order is time order.
    key.extend_from_slice(&at.millis().to_be_bytes());
    key.extend_from_slice(stream.as_bytes());
    key
}

/// The streams of records due by a time, soonest first, at most `limit`, without those that are to be skipped.
///
/// # Errors
/// A failed read.
pub fn due_by(
    store: &Store,
    now: Timestamp,
    limit: usize,
    skips: impl Fn(&str) -> bool,
) -> Result<Vec<String>, StoreError> {
    let mut due = Vec::new();
    for row in store.scan(vec![PREFIX], &[PREFIX]) {
        let (key, _) = row?;
        if due.len() == limit || time_of(&key).is_none_or(|at| at > now) {
            break;
        }
        let stream = String::from_utf8_lossy(&key[TIME_END..]);
        if !skips(&stream) {
            due.push(stream.into_owned());
        }
    }
    Ok(due)
}

/// The soonest due time there is, but for those that are to be skipped.
///
/// # Errors
/// A failed read.
pub fn next_due(
    store: &Store,
    skips: impl Fn(&str) -> bool,
) -> Result<Option<Timestamp>, StoreError> {
    for row in store.scan(vec![PREFIX], &[PREFIX]) {
        let (key, _) = row?;
        if !skips(&String::from_utf8_lossy(&key[TIME_END.min(key.len())..])) {
            return Ok(time_of(&key));
        }
    }
    Ok(None)
}

fn time_of(key: &[u8]) -> Option<Timestamp> {
    let bytes = key.get(1..TIME_END)?.try_into().ok()?;
    Some(Timestamp::from_millis(i64::from_be_bytes(bytes)))
}

/// The names of due records of one org within `due_by`'s answer.
pub(crate) fn names_of_org<'a>(
    due: &'a [String],
    org: &'a str,
) -> impl Iterator<Item = RecordName<'a>> {
    due.iter()
        .filter_map(|stream| RecordName::of_stream(stream))
        .filter(move |name| name.org == org)
}
