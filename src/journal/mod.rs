//! The source of truth: an append-only, hash-chained history of everything that was confirmed to a caller.
//!
//! Everything above this module uses the [`Journal`] trait and may not know which journal it is. A journal is one or
//! more partitions, each with dense positions from 1 and its own chain; a stream belongs to the partition of its org.
//! The embedded journal is a single partition that holds all, so a cursor over it is one position.

mod apply;
mod bgzf;
mod catch_up;
mod chain;
pub mod copy;
pub mod database;

pub mod entry;
mod erase;
pub mod erased;
pub mod erasures;
mod error;
pub mod exported;
mod fair_queue;
#[cfg(test)]
mod fuzz;
mod index;
pub mod inspect;
mod lock;
mod log;
pub mod memory;
mod meters;
mod offsets;
mod options;
mod remarks;
pub mod replay;
mod scan;
pub mod schema;
mod seal;
mod segment;
mod shared;
mod shutdown;
mod sled_journal;
pub mod state;
mod tail;
pub mod verify;
mod writer;

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use self::error::PlanError;
use crate::domain::container::Idempotency;
use crate::domain::erasure::ErasedSpan;
use crate::domain::{Event, StreamId, Timestamp};
use crate::os_error::OsError;

pub use self::error::{EntryError, JournalError, SinkError};
pub use self::meters::JournalMeters;
pub use self::options::Options;
pub use self::remarks::{REMARK_CHARS_MAX, Remarks};
pub use self::sled_journal::SledJournal;
pub use crate::storage::Sizes;

/// An entry's place in its partition: 1 for the first, without gaps.
pub type Position = u64;
/// How many entries a stream has; 0 when it has none.
pub type Version = u64;

/// Who caused an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A tenant's request through the gateway.
    Gateway,
    /// An operator's request at the operators' address.
    Operator,
    /// A job of our own, such as the sweep.
    Job,
    /// An import: it happened in another instance, and was copied from there unchanged.
    Import,
}

/// The facts around a change, journaled with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The time of the decision.
    pub at: Timestamp,
    /// The principal's public id (never a credential).
    pub by: String,
    /// The request that asked for it.
    pub request_id: String,
    /// Which entry point it came through: gateway, operators or a job.
    pub source: Source,
    /// The caller's own remarks.
    #[serde(default, skip_serializing_if = "Remarks::is_empty")]
    pub remarks: Remarks,
}

/// One entry to be written: all of it or nothing.
#[derive(Clone, Debug)]
pub struct Append {
    /// The stream it belongs to.
    pub stream: StreamId,
    /// The version the decision was made on; the entry becomes the next one.
    pub expected: Version,
    /// Other streams that the decision read, with their versions.
    pub guards: Vec<(StreamId, Version)>,
    /// What happened, at least one event.
    pub events: Vec<Event>,
    /// Inline content that is stored with the entry, equally durable; at most 262,144 bytes.
    pub payload: Option<Bytes>,
    /// Names the request, when it may come twice.
    pub idempotency: Option<Idempotency>,
    /// The caller, the time, and the remarks.
    pub origin: Origin,
}

/// The outcome of an [`Append`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Durable, and every projection attached to the journal shows it.
    Appended {
        /// Position of the entry in its partition.
        position: Position,
        /// The stream's version with it.
        version: Version,
    },
    /// A stream is not at the version that the decision read; nothing was written. Decide again.
    Moved {
        /// The stream that moved.
        stream: StreamId,
        /// Version that the stream has instead.
        actual: Version,
    },
    /// The queue is full; nothing was written. Come back later.
    Busy,
    /// The journal accepts no writes until it is reopened. Whether this entry outlives a restart is not known.
    Unavailable,
    /// The entry has no event, a payload of more than 262,144 bytes, or is too large in all; nothing was written, and the
    /// same entry will be answered so again.
    Malformed,
    /// The connection to a remote journal broke; the caller must read the stream's tail before it says anything.
    Unknown,
}

/// An entry stored in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The part that is never erased, and that the hash chain covers.
    pub header: Header,
    /// The body; `None` once it was erased.
    pub body: Option<Body>,
    /// The inline content stored with it, when that was read too.
    pub payload: Option<Bytes>,
    /// The position of the event that erased the body.
    pub erased_by: Option<Position>,
}

/// The part of an entry that is chained and never erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Position of the entry in its partition.
    pub position: Position,
    /// When the journal wrote it; never before the previous entry.
    pub recorded_at: Timestamp,
    /// SHA-256 of the body's bytes, in hex.
    pub body_digest: String,
    /// The hash of the previous entry, in hex; 64 zeros for the first.
    pub prev: String,
}

/// The part of an entry that says what happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// 16 random bytes in hex, so that an erased body cannot be guessed from its digest.
    pub salt: String,
    /// Stream that the entry belongs to.
    pub stream: StreamId,
    /// The stream's version with this entry.
    pub version: Version,
    /// Events of the entry, one at least.
    pub events: Vec<Event>,
    /// The caller, the time, and the remarks.
    pub origin: Origin,
    /// Names the request, when it may come twice.
    pub idempotency: Option<Idempotency>,
    /// SHA-256 of the inline content in hex, and its size in bytes.
    pub payload: Option<PayloadDigest>,
}

/// What an entry records of its inline content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadDigest {
    /// SHA-256 of the payload's bytes, in hex.
    pub sha256: String,
    /// Size of the payload in bytes.
    pub size: u64,
}

/// The end of the journal: its last position and that entry's hash in hex (64 zeros when empty).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Position of the last durable entry, 0 when there is none.
    pub position: Position,
    /// Hash of the last entry, in hex.
    pub hash: String,
}

/// Whether the journal takes writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Appends are accepted and written.
    Open,
    /// It takes none until it is reopened; reads still work. The text is for the operator.
    ReadOnly(Arc<str>),
}

impl Health {
    /// Whether a disk without room is why it takes no writes: once there is room, opening it again helps.
    pub fn waits_for_room(&self) -> bool {
        match self {
            Self::Open => false,
            Self::ReadOnly(reason) => OsError::of_text(reason).is_some_and(OsError::is_no_room),
        }
    }
}

/// What is to be erased: every entry before a position whose stream is covered.
pub struct EraseOrder {
    /// Whether a stream, by its name, is erased.
    pub covers: Box<dyn Fn(&str) -> bool + Send + Sync>,
    /// The position of the event that orders it; entries before it are erased, and name this position.
    pub by: Position,
    /// Exactly which, as that event states; nothing else is erased, and when what is covered differs from it, nothing is.
    /// `None` for an event that was written before plans were stated.
    pub plan: Option<Vec<ErasedSpan>>,
}

impl EraseOrder {
    /// Whether exactly what is planned is erased in a segment with these first and last positions, when these positions are.
    ///
    /// # Errors
    /// [`PlanError`] for the first span or position that differs.
    pub(crate) fn holds(
        &self,
        (first, last): (Position, Position),
        positions: &[Position],
    ) -> Result<(), PlanError> {
        let Some(plan) = &self.plan else {
            return Ok(());
        };
        let planned = plan
            .iter()
            .filter(|span| span.until >= first && span.from <= last);
        let mut rest = positions;
        for span in planned {
            let within = rest.partition_point(|position| *position <= span.until);
            let (these, others) = rest.split_at(within);
            if !span.is_of(these) {
                return Err(PlanError::Others {
                    by: self.by,
                    entries: span.entries,
                    from: span.from,
                    until: span.until,
                    found: these.len(),
                });
            }
            rest = others;
        }
        match rest.first() {
            None => Ok(()),
            Some(position) => Err(PlanError::NotPlanned {
                by: self.by,
                position: *position,
            }),
        }
    }
}

/// Takes each group of entries once it is durable, in order, before the writers of the group are answered.
///
/// Called on one of the journal's own threads. A sink that fails makes the journal read-only: what is durable but not
/// shown must not be answered as done.
pub trait Sink: Send {
    /// Applies a group to the projections. Entries contain their payloads.
    ///
    /// # Errors
    /// [`SinkError`] for the operator when the group cannot be applied.
    fn apply(&mut self, group: &[Entry]) -> Result<(), SinkError>;
}

/// Where an append's outcome arrives. A closed channel means [`Outcome::Unavailable`].
pub type Pending = oneshot::Receiver<Outcome>;

/// A history that can be appended to and read back. Cheap to share; every method may be called from any thread.
///
/// Promises: an [`Outcome::Appended`] survives a power cut from the moment it is sent; positions and versions have no
/// gaps; of two appends that expect the same version of a stream at most one is appended; appends of one org, or
/// of one user, handed over by one thread are decided in that order; after a failed write or sync every append is [`Outcome::Unavailable`].
pub trait Journal: Send + Sync + 'static {
    /// Hands an entry over. Never blocks: a full queue is [`Outcome::Busy`].
    fn append(&self, append: Append) -> Pending;

    /// The last durable entry.
    fn head(&self) -> Head;

    /// Whether it takes writes.
    fn health(&self) -> Health;

    /// At most `limit` entries from a position on, in order, without payloads. Each is checked against its hash.
    ///
    /// # Errors
    /// [`JournalError`] for damage, or when a read fails.
    fn read(&self, from: Position, limit: usize) -> Result<Vec<Entry>, JournalError>;

    /// A stream's entries from a version on, at most `limit`, in order, without payloads.
    ///
    /// # Errors
    /// [`JournalError`] for damage, or when a read fails.
    fn stream(
        &self,
        stream: &StreamId,
        from: Version,
        limit: usize,
    ) -> Result<Vec<Entry>, JournalError>;

    /// The names of streams that begin with a prefix, in the order of their bytes, after the name `after`, at most `limit`.
    /// A stream that was erased has none.
    ///
    /// # Errors
    /// [`JournalError`] when a read fails.
    fn streams(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StreamId>, JournalError>;

    /// A stream's version, 0 when it has no entry.
    ///
    /// # Errors
    /// [`JournalError`] when a read fails.
    fn version(&self, stream: &StreamId) -> Result<Version, JournalError>;

    /// The inline content of an entry; `None` when it has none or was erased.
    ///
    /// # Errors
    /// [`JournalError`] for damage, or when a read fails.
    fn payload(&self, position: Position) -> Result<Option<Bytes>, JournalError>;

    /// The sizes of the journal's compactable index, for [`Journal::compact`]; all 0 when there is none.
    ///
    /// # Errors
    /// [`JournalError`] when a read fails.
    fn sizes(&self) -> Result<Sizes, JournalError> {
        Ok(Sizes::default())
    }

    /// Compacts the index: rewrites it without the space of removed rows. `progress` is called with the rows done and returns
    /// whether to continue; interrupted, everything is as before. Returns whether it was finished. Reads and appends continue.
    ///
    /// # Errors
    /// [`JournalError`] when a read or write fails; nothing has changed then.
    fn compact(&self, _progress: &mut dyn FnMut(u64) -> bool) -> Result<bool, JournalError> {
        Ok(true)
    }

    /// The first positions of the parts that [`Journal::erase`] erases one at a time, each wholly or not at all; none when
    /// it erases everything at once. What a plan's spans keep to.
    ///
    /// # Errors
    /// [`JournalError`] when a read fails.
    fn segment_starts(&self) -> Result<Vec<Position>, JournalError> {
        Ok(Vec::new())
    }

    /// Erases the bodies and payloads that an order covers, everywhere the journal keeps them, and returns the positions
    /// that order has erased, now or before, in order. Headers stay and the chain still verifies. Durable on return;
    /// twice is once. Nothing covered may be appended meanwhile. `progress` is called with steps done and steps in all.
    ///
    /// Blocks for long; reads and appends continue meanwhile.
    ///
    /// # Errors
    /// [`JournalError`] for damage, or a failure of the disk; it may be tried again.
    fn erase(
        &self,
        order: std::sync::Arc<EraseOrder>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<Position>, JournalError>;

    /// Rewrites the index without the entries that were erased at these positions. To be called after [`Journal::erase`];
    /// twice is once. `progress` is called with the rows done, and with 0 or the rows in all.
    ///
    /// Blocks for long; reads and appends continue meanwhile.
    ///
    /// # Errors
    /// [`JournalError`] when the disk or a database fails; it may be tried again.
    fn erase_index(
        &self,
        erased: &[Position],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), JournalError>;

    /// Attaches what shows the entries. Called once, before the first append.
    fn attach(&self, sink: Box<dyn Sink>);

    /// Whether something shows the entries. Without it an append is durable and no projection shows it.
    fn is_attached(&self) -> bool;
}
