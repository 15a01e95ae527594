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

/// The streams of records due by a time, soonest first, at most `limit`.
///
/// # Errors
/// A failed read.
pub fn due_by(store: &Store, now: Timestamp, limit: usize) -> Result<Vec<String>, StoreError> {
    Ok(due_page(store, now, None, limit)?.streams)
}

/// Some of what is due, and where the rest begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DuePage {
    /// The streams of the records, soonest first.
    pub streams: Vec<String>,
    /// Where to go on; `None` when nothing more is due.
    pub next: Option<Vec<u8>>,
}

/// The streams of records due by a time, soonest first, at most `limit`, from a place on.
///
/// # Errors
/// A failed read.
pub fn due_page(
    store: &Store,
    now: Timestamp,
    from: Option<&[u8]>,
    limit: usize,
) -> Result<DuePage, StoreError> {
    let mut page = DuePage::default();
    for row in store.scan(vec![PREFIX], from.unwrap_or(&[PREFIX])) {
        let (key, _) = row?;
        if time_of(&key).is_none_or(|at| at > now) {
            break;
        }
        if page.streams.len() == limit {
            page.next = Some(key.to_vec());
            break;
        }
        page.streams
            .push(String::from_utf8_lossy(&key[TIME_END..]).into_owned());
    }
    Ok(page)
}

/// The soonest due time after a time.
///
/// # Errors
/// A failed read.
pub fn next_due(store: &Store, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let from = key(after.plus_millis(1), "");
    let first = store.scan(vec![PREFIX], &from).next().transpose()?;
    Ok(first.and_then(|(key, _)| time_of(&key)))
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
