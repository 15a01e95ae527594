//! A record's changes, read from the end of its stream: a page costs the same however many there are.

use super::StoreError;
use crate::domain::record::RecordKey;
use crate::domain::{StreamId, Timestamp};
use crate::journal::{Entry, Journal, Version};

/// One change of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// The record's revision with it.
    pub revision: Version,
    /// The entry, which may have been erased.
    pub entry: Entry,
}

impl Changed {
    /// When it was decided; of an erased one, when it was written.
    pub fn at(&self) -> Timestamp {
        let body = self.entry.body.as_ref();
        body.map_or(self.entry.header.recorded_at, |body| body.origin.at)
    }
}

/// At most `count` changes up to a revision, newest first. Fewer when older ones were erased.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn newest_until(
    journal: &dyn Journal,
    key: &RecordKey,
    until: Version,
    count: usize,
) -> Result<Vec<Changed>, StoreError> {
    let count = Version::try_from(count).unwrap_or(Version::MAX).min(until);
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    let entries = journal.stream(&StreamId::record(key), until - count + 1, limit)?;
    // What is left of a stream ends at its end: a body says its own version, and the numbers have no gaps.
    let newest_first = entries.into_iter().rev().zip(0..);
    Ok(newest_first
        .map(|(entry, back)| Changed {
            revision: entry
                .body
                .as_ref()
                .map_or(until - back, |body| body.version),
            entry,
        })
        .collect())
}
