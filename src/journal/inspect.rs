//! Reads a journal as the next start would open it, and changes nothing.

use std::path::Path;
use std::sync::Arc;

use super::segment::{Segments, damaged, list, plain_name};
use super::shutdown::{check_head, how_left};
use super::state::Doubt;
use super::tail::{LastShutdown, Tail, read_tail, whole_segment};
use super::{Head, JournalError, Position, replay, state};
use crate::domain::{StreamId, Timestamp};

/// The end of a journal's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Position and hash of the last entry.
    pub head: Head,
    /// When it was recorded; `None` for an empty journal.
    pub recorded_at: Option<Timestamp>,
    /// The first of the entries that were read.
    pub first: Position,
    /// Whether the journal was closed in order. A server that has it open has not closed it yet.
    pub closed: bool,
    /// Why the next start rebuilds its databases, when it does.
    pub doubt: Option<Doubt>,
    /// What the next start would cut off, in the text of its notices.
    pub torn: Vec<String>,
}

/// Reads the newest segment and the one before it with the checks of a start: lines, digests, positions, the chain,
/// the end that the journal was closed with, and that what is erased there was ordered. `None` when there is no journal yet.
///
/// # Errors
/// The [`JournalError`] with which the journal would not open.
pub fn end(dir: &Path) -> Result<Option<End>, JournalError> {
    let state = state::read(dir)?;
    let listed = list(dir)?;
    if state.is_none() && listed.is_empty() {
        return Ok(None);
    }
    let left = how_left(state.as_ref());
    let segments = Arc::new(Segments::new(dir));
    let (written, ahead) = match listed.split_last() {
        Some((last, ahead)) if last.plain => (Some(last.first), ahead),
        Some(_) | None => (None, listed.as_slice()),
    };
    let mut torn = Vec::new();
    let mut tail = match written {
        Some(first) => read_tail(&segments, first, left, &mut torn)?,
        None => Tail::default(),
    };
    let mut first = written.unwrap_or(1);
    if let Some(ahead) = ahead.last() {
        let end = whole_segment(&segments, *ahead)?;
        let follows = written.is_none_or(|written| written == end.position + 1);
        if !follows || tail.base.is_some_and(|base| base != end.hash) {
            let what = format!("the previous segment ends at position {}", end.position);
            return Err(damaged(&plain_name(first), 0, first, what));
        }
        if tail.base.is_none() {
            tail.end = end;
        }
        first = ahead.first;
    }
    check_head(state.as_ref(), tail.end)?;
    replay::judge(dir, first)?;
    let position = tail.end.position;
    Ok(Some(End {
        head: Head {
            position,
            hash: hex::encode(tail.end.hash),
        },
        recorded_at: (position > 0).then_some(tail.end.recorded_at),
        first,
        closed: left == LastShutdown::Closed,
        doubt: state.and_then(|state| state.doubt()),
        torn,
    }))
}

/// Whether a stream has an entry at a position up to `until`.
///
/// # Errors
/// As [`replay::replay`], and for damage up to there.
pub fn begins_within(dir: &Path, stream: StreamId, until: Position) -> Result<bool, JournalError> {
    let mut entries = replay::replay(dir)?.stream(stream).until(until);
    Ok(entries.next().transpose()?.is_some())
}
