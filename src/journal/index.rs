//! What the writer thread needs of the log's index: the ends of streams, and a row for each entry.

use super::entry::Hash;
use super::segment::Location;
use super::{JournalError, Position, Version};
use crate::domain::StreamId;

/// Versions of a stream between two marks: a long one is not walked from its end.
pub(crate) const MARK_EVERY: Version = 64;

/// The last entry of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) version: Version,
    pub(crate) position: Position,
}

/// The index of a log: derived from it, and updated with it by the writer thread.
pub(crate) trait Index: Clone + Send + Sync + 'static {
    /// The last entry of a stream; the default when it has none.
    fn tip(&self, stream: &StreamId) -> Result<Tip, JournalError>;
    /// Inserts the rows of a group that is durable in the log, in order.
    fn insert(&self, rows: &[Row]) -> Result<(), JournalError>;
}

/// The index's facts of an entry.
pub(crate) struct Row {
    pub(crate) position: Position,
    /// `None` once the entry was erased.
    pub(crate) stream: Option<(StreamId, Version)>,
    /// The stream's last entry before this one, when it is known already.
    pub(crate) before: Option<Tip>,
    pub(crate) location: Location,
    pub(crate) hash: Hash,
    pub(crate) has_payload: bool,
}
