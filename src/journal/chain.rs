//! The hash chain, followed from entry to entry.

use super::entry::{Hash, NO_HASH};
use super::scan::Found;
use super::{EntryError, Position};
use crate::domain::Timestamp;

/// The end of a log: its last entry.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct End {
    pub(crate) position: Position,
    pub(crate) hash: Hash,
    pub(crate) recorded_at: Timestamp,
}

/// The chain up to some entry.
pub(crate) struct Chain {
    /// The position that comes next.
    pub(crate) next: Position,
    /// The hash of the entry before it, once one was seen.
    pub(crate) prev: Option<Hash>,
    recorded_at: Timestamp,
}

impl Chain {
    /// A chain whose next entry has this position; the hash before it is known only for the first.
    pub(crate) fn at(next: Position) -> Self {
        Self {
            next,
            prev: (next <= 1).then_some(NO_HASH),
            recorded_at: Timestamp::default(),
        }
    }

    /// A chain that continues from a known end.
    pub(crate) fn after(end: End) -> Self {
        Self {
            next: end.position + 1,
            prev: Some(end.hash),
            recorded_at: end.recorded_at,
        }
    }

    /// Takes the next entry, or says how it does not fit.
    pub(crate) fn follow(&mut self, found: &Found<'_>) -> Result<(), EntryError> {
        let header = &found.line.header;
        if header.position != self.next {
            return Err(EntryError::OtherPosition {
                found: header.position,
                expected: self.next,
            });
        }
        if self.prev.is_some_and(|prev| prev != found.line.prev) {
            return Err(EntryError::ChainBroken);
        }
        if header.recorded_at < self.recorded_at {
            return Err(EntryError::EarlierTime);
        }
        self.take(found);
        Ok(())
    }

    /// Takes the next entry whether it fits or not.
    pub(crate) fn take(&mut self, found: &Found<'_>) {
        self.next = found.line.header.position.saturating_add(1);
        self.prev = Some(found.line.hash);
        self.recorded_at = found.line.header.recorded_at;
    }

    /// The last entry taken.
    pub(crate) fn end(&self) -> End {
        End {
            position: self.next.saturating_sub(1),
            hash: self.prev.unwrap_or(NO_HASH),
            recorded_at: self.recorded_at,
        }
    }
}
