//! What a record and an org's holds were: their streams, folded as far as is asked for.

use super::StoreError;
use crate::domain::hold::LegalHolds;
use crate::domain::org::OrgDecider;
use crate::domain::record::{Record, RecordDecider, RecordKey, RecordState};
use crate::domain::{Aggregate, EventFamily, OrgCode, StreamId, Timestamp, fold};
use crate::journal::{Body, Entry, Journal, Position, Version};

/// Entries of a stream read at a time.
const STREAM_ENTRIES: usize = 1_000;

/// The record an entry leads to.
pub fn evolve_entry(
    key: RecordKey,
    before: Option<Record>,
    entry: &Entry,
    body: &Body,
) -> Option<Record> {
    let state = RecordState {
        key,
        record: before,
        legal: None,
    };
    fold::<RecordDecider>(state, &body.events, body.meta(entry.header.position)).record
}

/// The record just before an entry; read from its stream when the row is not exactly that.
pub(super) fn before_in_journal(
    journal: &dyn Journal,
    key: &RecordKey,
    row: Option<Record>,
    body: &Body,
) -> Result<Option<Record>, StoreError> {
    match row {
        Some(record) if record.revision.0 + 1 == body.version => Ok(Some(record)),
        Some(_) | None => record_at(journal, key, body.version - 1),
    }
}

/// A record as of a version of its stream.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn record_at(
    journal: &dyn Journal,
    key: &RecordKey,
    version: u64,
) -> Result<Option<Record>, StoreError> {
    record_when(journal, key, |body| body.version <= version)
}

/// A record after the last entry of its stream that counts, reading no further than the first that does not.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn record_when(
    journal: &dyn Journal,
    key: &RecordKey,
    counts: impl Fn(&Body) -> bool,
) -> Result<Option<Record>, StoreError> {
    let mut last = None;
    fold_record(journal, key, |body, record| {
        let go_on = counts(body);
        if go_on {
            last = Some(record.clone());
        }
        go_on
    })?;
    Ok(last)
}

/// Folds a record's stream from its beginning; calls `visit` with each entry and its record, until that returns false.
///
/// # Errors
/// [`StoreError`] when the journal cannot be read.
pub fn fold_record(
    journal: &dyn Journal,
    key: &RecordKey,
    mut visit: impl FnMut(&Body, &Record) -> bool,
) -> Result<(), StoreError> {
    fold_entries(journal, key, |_, body, record| visit(body, record))
}

/// The record as the entries of its stream up to a position made it.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub(super) fn record_until(
    journal: &dyn Journal,
    key: &RecordKey,
    until: Position,
) -> Result<Option<Record>, StoreError> {
    let mut last = None;
    fold_entries(journal, key, |entry, _, record| {
        let go_on = entry.header.position <= until;
        if go_on {
            last = Some(record.clone());
        }
        go_on
    })?;
    Ok(last)
}

fn fold_entries(
    journal: &dyn Journal,
    key: &RecordKey,
    mut visit: impl FnMut(&Entry, &Body, &Record) -> bool,
) -> Result<(), StoreError> {
    let stream = StreamId::record(key);
    let mut record = None;
    let mut from = 1;
    loop {
        let entries = journal.stream(&stream, from, STREAM_ENTRIES)?;
        // Entries may have been erased since, and then none of the stream is left to read.
        if entries.iter().all(|entry| entry.body.is_none()) {
            return Ok(());
        }
        for entry in &entries {
            let Some(body) = &entry.body else { continue };
            from = body.version + 1;
            record = evolve_entry(key.clone(), record, entry, body);
            if let Some(record) = &record
                && !visit(entry, body, record)
            {
                return Ok(());
            }
        }
    }
}

/// The state of a stream as of a version; `None` when its name is not one of this kind of stream. Erased entries count as
/// if they had never been.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn state_at<A: Aggregate<Event: EventFamily>>(
    journal: &dyn Journal,
    (stream, version): (&StreamId, Version),
) -> Result<Option<A::State>, StoreError> {
    state_while::<A>(journal, (stream, version), |_| true)
}

/// The state of a stream after its last entry that counts, up to a version; nothing is read beyond the first that does not.
fn state_while<A: Aggregate<Event: EventFamily>>(
    journal: &dyn Journal,
    (stream, version): (&StreamId, Version),
    counts: impl Fn(&Body) -> bool,
) -> Result<Option<A::State>, StoreError> {
    let Some(mut state) = A::initial(stream) else {
        return Ok(None);
    };
    let mut from = 1;
    while from <= version {
        let entries = journal.stream(stream, from, STREAM_ENTRIES)?;
        if entries.is_empty() {
            break;
        }
        from += entries.len() as u64;
        for entry in &entries {
            let Some(body) = &entry.body else { continue };
            if body.version > version || !counts(body) {
                return Ok(Some(state));
            }
            state = fold::<A>(state, &body.events, body.meta(entry.header.position));
        }
    }
    Ok(Some(state))
}

/// The legal holds on an org as of a time, from its stream.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn holds_when(
    journal: &dyn Journal,
    org: &OrgCode,
    at: Timestamp,
) -> Result<LegalHolds, StoreError> {
    let state = state_while::<OrgDecider>(journal, (&StreamId::org(org), Version::MAX), |body| {
        body.origin.at <= at
    })?;
    Ok(state.map_or_else(LegalHolds::default, |org| org.holds))
}
