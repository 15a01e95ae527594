//! A record's content versions, from its history: what it had as its content, from when until when.

use std::collections::VecDeque;

use super::{StoreError, as_of};
use crate::domain::Timestamp;
use crate::domain::record::{Content, Ended, EndedBy, Record, RecordKey, Status};
use crate::journal::Journal;

/// An earlier or the current content of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Content of this version.
    pub content: Content,
    /// Time from which it was current.
    pub since: Timestamp,
    /// The principal that put it.
    pub by: String,
    /// How it ended; `None` while it is current, and while the end of a due record is not journaled yet.
    pub ended: Option<Ended>,
}

/// The newest versions below a number, at most `count`, oldest first. An upload that was never completed is none.
///
/// Blocks: it reads the record's history from its beginning to the last of them, and keeps no more than `count` in
/// memory.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn newest_below(
    journal: &dyn Journal,
    key: &RecordKey,
    below: Option<u64>,
    count: usize,
) -> Result<VecDeque<Version>, StoreError> {
    let mut versions: VecDeque<Version> = VecDeque::new();
    let mut before: Option<Record> = None;
    as_of::fold_record(journal, key, |body, after| {
        if let (Some(before), Some(last)) = (&before, versions.back_mut()) {
            let mut ended = after.ended_since(before);
            let its = ended.find(|ended| ended.by != EndedBy::Abandoned);
            last.ended = its.or(last.ended.take());
        }
        let was = before.as_ref().filter(|was| was.status == Status::Active);
        let same = was.is_some_and(|was| was.content.place == after.content.place);
        if after.status == Status::Active && !same {
            if below.is_some_and(|below| after.content.version >= below) {
                return false;
            }
            versions.push_back(Version {
                content: after.content.clone(),
                since: body.origin.at,
                by: body.origin.by.clone(),
                ended: None,
            });
            if versions.len() > count {
                versions.pop_front();
            }
        }
        before = Some(after.clone());
        true
    })?;
    Ok(versions)
}
