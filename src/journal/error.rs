//! Why the journal could not be read, applied or erased.

use std::error::Error;
use std::sync::Arc;

use super::Position;
use crate::os_error::with_causes;

/// A failure to read the journal: for the operator, never for the caller.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk said no.
    #[error("{action} failed in {place}")]
    Io {
        /// What was tried, for the message.
        action: &'static str,
        /// Path of the file or directory.
        place: String,
        /// Error of the operating system.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// Stored bytes are not what was written.
    #[error("damaged entry at {place}: {what}")]
    Damaged {
        /// File, byte and position as far as they are known.
        place: String,
        /// What does not fit.
        what: String,
    },
    /// The journal's database failed.
    #[error("the journal's database failed: {0}")]
    Database(String),
    /// The directory was written by a newer program.
    #[error(
        "{place} has format {found}, and this g3n reads up to {known}: a newer one wrote it; install that one"
    )]
    Newer {
        /// Path of the file or directory.
        place: String,
        /// Format version that was found.
        found: u32,
        /// The newest this program reads.
        known: u32,
    },
    /// It holds an event that only a newer program can have written: its digest is right.
    #[error(
        "the event type {kind} at {place} is not known to this g3n: a newer one wrote it; install that one"
    )]
    UnknownEvent {
        /// The file, or the entry.
        place: String,
        /// Type of the event, such as `record.created`.
        kind: String,
    },
}

impl JournalError {
    /// Whether a newer program is needed.
    pub fn is_newer(&self) -> bool {
        match self {
            Self::Newer { .. } | Self::UnknownEvent { .. } => true,
            Self::Io { .. } | Self::Damaged { .. } | Self::Database(_) => false,
        }
    }
}

/// Why bytes of the log are not an entry as it was written, or not the next one of the chain.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// The line is not the JSON of an entry.
    #[error("not an entry")]
    NotAnEntry(#[source] serde_json::Error),
    /// Bytes around the header and the body are not those of every line.
    #[error("the frame around header and body is not as written")]
    Frame,
    /// Bytes after the body are neither an end nor a placeholder.
    #[error("the frame around the body is not as written")]
    BodyFrame,
    /// What replaces an erased body is not what erasing writes.
    #[error("the placeholder of the erased body is invalid")]
    Placeholder,
    /// The header lacks a field, or has one of another type.
    #[error("the header cannot be read")]
    Header(#[source] serde_json::Error),
    /// The header's `prev` is not 64 hex digits.
    #[error("the header's prev is not a hash")]
    PrevNotHash,
    /// The entry claims to be erased by one that is not later.
    #[error("it says that position {0} erased it, which is not behind it")]
    ErasedByEarlier(Position),
    /// The body's SHA-256 is not the one in the header.
    #[error("the body does not have the digest its header names")]
    BodyDigest,
    /// The body lacks a field, or has one of another type.
    #[error("the body cannot be read")]
    Body(#[source] serde_json::Error),
    /// The payload's SHA-256 is not the one in the entry.
    #[error("the payload does not have the digest its entry names")]
    PayloadDigest,
    /// The line names a payload, and no bytes follow it.
    #[error("the payload is not at its offset")]
    PayloadPlace,
    /// The payload does not end with a line feed.
    #[error("no line feed after the payload")]
    PayloadEnd,
    /// Bytes of an erased payload are not spaces.
    #[error("bytes other than filler are in the place of an erased payload")]
    NotFiller,
    /// The entry has another position than the one after its predecessor.
    #[error("found position {found} where {expected} was expected")]
    OtherPosition {
        /// The position in the entry's header.
        found: Position,
        /// The position after the entry before.
        expected: Position,
    },
    /// The entry names another predecessor.
    #[error("prev is not the hash of the previous entry: the chain is broken")]
    ChainBroken,
    /// The entry has an earlier time than its predecessor.
    #[error("recorded before the previous entry")]
    EarlierTime,
    /// A group's mark does not end with a line feed.
    #[error("a group's mark does not end")]
    MarkEnd,
    /// A group's mark holds no number.
    #[error("a group's mark has no position")]
    MarkPosition,
    /// A line to be erased is no entry's.
    #[error("a line to be erased has no body")]
    NoBody,
    /// A body is too short for what replaces an erased one.
    #[error("a body is shorter than the placeholder of an erased one")]
    BodyTooShort,
}

/// As [`JournalError::Damaged`] names it: with its causes.
impl From<EntryError> for String {
    fn from(error: EntryError) -> Self {
        with_causes(&error)
    }
}

/// Why a sink could not apply a group of entries; its causes are the sink's own.
#[derive(Debug, thiserror::Error)]
#[error("a durable group could not be applied to the projections")]
pub struct SinkError(#[source] Box<dyn Error + Send + Sync>);

impl SinkError {
    /// The failure of a sink, for an error or a text that says why.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

/// Why entries that an erasure covers are not those that its event planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    /// Within a planned span other entries are covered than the planned ones.
    #[error(
        "the event at position {by} erases {entries} entries from position {from} to {until}, but would \
         erase {found} others here; nothing of this segment is erased"
    )]
    Others {
        /// Position of the event that orders the erasure.
        by: Position,
        /// Number of entries in the plan.
        entries: u64,
        /// First position of the span.
        from: Position,
        /// Last position of the span.
        until: Position,
        /// Number of entries that are covered.
        found: usize,
    },
    /// An entry is covered, and no span of the plan has it.
    #[error(
        "the event at position {by} does not erase position {position}, which is covered; nothing of this segment is \
         erased"
    )]
    NotPlanned {
        /// Position of the event that orders the erasure.
        by: Position,
        /// Position of the entry that is covered.
        position: Position,
    },
}

/// Why a group of appends was not written or not applied; the journal takes no writes afterwards.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GroupError {
    /// The journal took no writes before; the reason is the first one's.
    #[error("{0}")]
    ReadOnly(Arc<str>),
    /// The thread that writes panicked. The panic's text may quote anything and is dropped.
    #[error("the journal's writer thread panicked")]
    WriterPanicked,
    /// A projection panicked. The panic's text may quote anything and is dropped.
    #[error("a projection panicked")]
    ProjectionPanicked,
    /// A read, a write or the database failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The entries are durable and not in the projections.
    #[error(transparent)]
    Sink(#[from] SinkError),
}
