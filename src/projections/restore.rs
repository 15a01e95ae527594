//! The rows that a record must have by its stream, and putting them back where they are not.

use super::list::TAGS;
use super::{
    Change, RecordChange, RecordName, StateChange, Store, StoreError, Write, all, records,
};
use crate::domain::record::{Record, RecordKey, Status};
use crate::domain::{StreamId, Timestamp};
use crate::journal::{Body, Entry, Header, Origin, Remarks, Source};

/// The projections whose rows follow from the record alone, by their prefixes: the record, lists, tags and due times.
const OF_RECORDS: &[u8] = &[RECORDS, b'l', TAGS, DUE];
const RECORDS: u8 = b'r';
const DUE: u8 = b'd';

/// Some rows of a container.
#[derive(Debug, Default)]
pub struct Walked {
    /// Each with the stream it comes from; empty for one that comes from none.
    pub rows: Vec<(Vec<u8>, String)>,
    /// Rows of others that were passed by.
    pub passed: usize,
    /// The last key read; `None` at the end.
    pub next: Option<Vec<u8>>,
}

/// The rows that a record must have, the record's own last.
pub fn rows_of(key: &RecordKey, record: &Record) -> Vec<Write> {
    let nothing = Header {
        position: 0,
        recorded_at: Timestamp::default(),
        body_digest: String::new(),
        prev: String::new(),
    };
    let entry = Entry {
        header: nothing,
        body: None,
        payload: None,
        erased_by: None,
    };
    let body = Body {
        salt: String::new(),
        stream: StreamId::record(key),
        version: record.revision.0,
        events: Vec::new(),
        origin: Origin {
            at: record.updated_at,
            by: record.updated_by.clone(),
            request_id: String::new(),
            source: Source::Job,
            remarks: Remarks::default(),
        },
        idempotency: None,
        payload: None,
    };
    // As if it had come to be with one entry.
    let change = Change {
        entry: &entry,
        body: &body,
        state: StateChange::Record(RecordChange {
            name: RecordName::from(key),
            before: None,
            after: record,
        }),
    };
    let mut rows = Vec::new();
    for projection in all() {
        if OF_RECORDS.contains(&projection.prefix()) {
            projection.apply(&change, &mut rows);
        }
    }
    rows
}

/// The rows of a record that are not there, or are others. Those of the tags of a doomed one may have been scrubbed, and
/// are not missed.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn missing(store: &Store, key: &RecordKey, record: &Record) -> Result<Vec<Write>, StoreError> {
    let mut missing = Vec::new();
    for (key, value) in rows_of(key, record) {
        let row = store.get(&key)?;
        let scrubbed =
            row.is_none() && record.status == Status::Doomed && key.first() == Some(&TAGS);
        if row.as_deref() != value.as_deref() && !scrubbed {
            missing.push((key, value));
        }
    }
    Ok(missing)
}

/// Writes the rows of a record again, and removes those of `too_many` that it must not have. To be called where nobody else
/// writes rows, with the record's current state there: later changes add rows of their own.
///
/// # Errors
/// [`StoreError`] when a read or write fails.
pub(super) fn restore(
    store: &Store,
    key: &RecordKey,
    record: Option<&Record>,
    too_many: &[Vec<u8>],
) -> Result<(), StoreError> {
    let wanted = match record {
        Some(record) => rows_of(key, record),
        None => Vec::new(),
    };
    let mut writes: Vec<Write> = too_many
        .iter()
        .filter(|row| is_of_records(row) && wanted.iter().all(|(key, _)| key != *row))
        .map(|row| (row.clone(), None))
        .collect();
    if let Some(record) = record {
        writes.extend(missing(store, key, record)?);
    }
    store.write(&mut writes)
}

/// Removes rows that no record can have.
///
/// # Errors
/// [`StoreError`] when a write fails.
pub(super) fn remove(store: &Store, rows: &[Vec<u8>]) -> Result<(), StoreError> {
    let rows = rows.iter().filter(|row| is_of_records(row));
    store.write(&mut rows.map(|row| (row.clone(), None)).collect())
}

/// Whether a row follows from a record alone.
pub fn is_of_records(key: &[u8]) -> bool {
    key.first()
        .is_some_and(|prefix| OF_RECORDS.contains(prefix))
}

/// Whether a row follows from a record of a container, or from none at all.
pub(super) fn is_within(key: &[u8], (org, container): (&str, &str)) -> bool {
    let mut projections = all().into_iter();
    let its = projections.find(|projection| key.first() == Some(&projection.prefix()));
    let stream = its.and_then(|projection| projection.stream_of(key, &[]));
    is_of_records(key)
        && stream.is_none_or(|stream| {
            RecordName::of_stream(&stream)
                .is_none_or(|name| (name.org, name.container) == (org, container))
        })
}

/// Whether a row is a record's own.
pub fn is_record(key: &[u8]) -> bool {
    key.first() == Some(&RECORDS)
}

/// The name of the index to which a row belongs.
pub fn index_name(key: &[u8]) -> &'static str {
    let prefix = key.first().copied();
    let mut projections = all().into_iter();
    let its = projections.find(|projection| prefix == Some(projection.prefix()));
    its.map_or("unknown", |projection| projection.name())
}

/// The record as its row has it; `None` also when the row cannot be read.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn row_record(store: &Store, key: &RecordKey) -> Result<Option<Record>, StoreError> {
    match records::find(store, RecordName::from(key)) {
        Err(StoreError::Row(_)) => Ok(None),
        found => found,
    }
}

/// The rows of a container that follow from records, after a key: at most `room`, skipping at most `passed_max`
/// others.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn rows_in(
    store: &Store,
    (org, container): (&str, &str),
    after: &[u8],
    (room, passed_max): (usize, usize),
) -> Result<Walked, StoreError> {
    let projections = all();
    let mut walked = Walked::default();
    let begun = after.first().copied();
    let first = OF_RECORDS.iter().position(|prefix| begun == Some(*prefix));
    for prefix in &OF_RECORDS[first.unwrap_or_default()..] {
        let base = base_of(*prefix, org, container);
        let mut from = if begun == Some(*prefix) {
            [after, &[0]].concat()
        } else {
            base.clone()
        };
        let mut its = projections.iter();
        let its = its.find(|projection| projection.prefix() == *prefix);
        while let Some((key, value)) = store.scan(base.clone(), &from).next().transpose()? {
            let stream = its.and_then(|projection| projection.stream_of(&key, &value));
            let is_ours = stream.as_deref().is_none_or(|stream| {
                RecordName::of_stream(stream)
                    .is_none_or(|name| (name.org, name.container) == (org, container))
            });
            from = [&*key, &[0]].concat();
            if is_ours {
                walked.rows.push((key.to_vec(), stream.unwrap_or_default()));
            } else {
                walked.passed += 1;
                from = past_others(&key, container).unwrap_or(from);
            }
            if walked.rows.len() == room || walked.passed == passed_max {
                walked.next = Some(key.to_vec());
                return Ok(walked);
            }
        }
    }
    Ok(walked)
}

/// What the rows begin with among which those of a container are.
fn base_of(prefix: u8, org: &str, container: &str) -> Vec<u8> {
    let mut base = vec![prefix];
    let parts: &[&str] = match prefix {
        DUE => &[],
        RECORDS => &[org, container],
        _ => &[org],
    };
    for part in parts {
        base.extend_from_slice(part.as_bytes());
        base.push(0);
    }
    base
}

/// In a list, where a container's rows are next, or those of the next status: after `org 0 facet 0 status container 0`.
fn past_others(key: &[u8], container: &str) -> Option<Vec<u8>> {
    if matches!(key.first(), Some(&DUE | &RECORDS) | None) {
        return None;
    }
    let mut zeros = key.iter().enumerate().filter(|(_, byte)| **byte == 0);
    let place = zeros.nth(1)?.0 + 2;
    let name = key.get(place..zeros.next()?.0)?;
    let mut past = key.get(..place)?.to_vec();
    if name < container.as_bytes() {
        past.extend_from_slice(container.as_bytes());
        past.push(0);
    } else {
        // No name has this byte.
        past.push(u8::MAX)
    }
    Some(past)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repair_reaches_rows_of_its_own_container_and_of_nobody() {
        let its = ("ONE", "notes");
        for row in [
            "rONE\0notes\0r",
            "lONE\0\0anotes\0r",
            "tONE\0T\0xnotes\0r",
            "lnobody's",
        ] {
            assert!(is_within(row.as_bytes(), its), "{row:?}");
        }
        for row in [
            "rTWO\0notes\0r",
            "rONE\0other\0r",
            "lTWO\0\0anotes\0r",
            "tONE\0T\0xother\0r",
            "uoTWO\0",
        ] {
            assert!(!is_within(row.as_bytes(), its), "{row:?}");
        }
    }
}
