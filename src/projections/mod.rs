//! Read models: the journal's content, arranged for queries. All of it can be deleted and is rebuilt by replay.
//!
//! A projection maps an event, with the record before and after it, to puts and deletes, and can read nothing else.
//! All rows share one ordered key space; the first byte of a key names its projection.

pub mod as_of;
pub mod contents;
pub mod due;
pub mod error;
pub mod feed;
pub mod forget;
pub mod generation;
pub mod history;
pub mod holds;
pub mod idempotency;
pub mod identity;
pub mod list;
pub mod lost;
pub mod offboarding;
pub mod ops;
pub mod record_changed;
pub mod records;
pub mod restore;
pub mod row_cache;
pub mod runner;
pub mod store;
pub mod tag_entries;
pub mod usage;
pub mod versions;
pub mod watchers;

use std::path::Path;

use uuid::Uuid;

use crate::domain::offboarding::OrgTransfer;
use crate::domain::record::Record;
use crate::domain::{Aggregate, EventFamily, fold};
use crate::journal::{Body, Entry, Position};

pub use crate::storage::Row;
pub use error::StoreError;
pub use runner::Runner;
pub use store::Store;

/// What one journal entry did, as a projection sees it.
#[derive(Debug)]
pub struct Change<'a> {
    /// Entry that is applied, with its payload.
    pub entry: &'a Entry,
    /// Body of the entry: stream, version, events.
    pub body: &'a Body,
    /// The state that it changed.
    pub state: StateChange<'a>,
}

impl<'a> Change<'a> {
    /// A change of which nothing but the entry matters.
    pub(crate) fn of_entry(entry: &'a Entry, body: &'a Body) -> Self {
        Self {
            entry,
            body,
            state: StateChange::None,
        }
    }

    /// The record before and after the entry; `None` for other streams.
    pub fn record(&self) -> Option<&RecordChange<'a>> {
        if let StateChange::Record(record) = &self.state {
            Some(record)
        } else {
            None
        }
    }
}

/// What an entry did to the state of its stream, by the kind of the stream.
#[derive(Debug)]
pub enum StateChange<'a> {
    /// No state to show: the rows have it already, or the stream has none.
    None,
    /// A record changed; before and after.
    Record(RecordChange<'a>),
    /// A container changed; its records have streams of their own.
    Container {
        /// The objects of the expired uploads whose records are still there.
        expired: Vec<Uuid>,
    },
    /// A stream of the operators changed.
    Operators(Box<ops::OpsState>),
    /// A user, an org or a service account changed.
    Identity(Box<identity::IdentityChange>),
    /// The offboarding, exports and imports of an org after the entry.
    Transfer(Box<OrgTransfer>),
}

/// The state of a stream after an entry; `None` when the state before is not older than the entry.
pub(crate) fn state_after<A: Aggregate<Event: EventFamily>>(
    before: A::State,
    (position, body): (Position, &Body),
) -> Option<A::State> {
    (A::version(&before) < body.version)
        .then(|| fold::<A>(before, &body.events, body.meta(position)))
}

/// A record before and after an entry.
#[derive(Clone, Copy, Debug)]
pub struct RecordChange<'a> {
    /// Org, container and id of the record.
    pub name: RecordName<'a>,
    /// Before; `None` when the entry creates it.
    pub before: Option<&'a Record>,
    /// State after the applied entry.
    pub after: &'a Record,
}

/// The three parts of a record's name, as in its stream's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordName<'a> {
    /// Code of the owning org.
    pub org: &'a str,
    /// Name of the container in that org.
    pub container: &'a str,
    /// Id of the record within the container.
    pub record_id: &'a str,
}

impl<'a> RecordName<'a> {
    /// The name of the record whose stream this is; `None` when the stream is not a record's.
    pub fn of_stream(stream: &'a str) -> Option<Self> {
        let mut parts = stream.strip_prefix("mrs/")?.split('/');
        let name = Self {
            org: parts.next()?,
            container: parts.next()?,
            record_id: parts.next()?,
        };
        parts.next().is_none().then_some(name)
    }
}

/// One key that changes: `None` deletes it.
pub type Write = (Vec<u8>, Option<Vec<u8>>);

/// One arrangement of the journal.
///
/// Promise: `apply` is a function of its arguments alone, and applying the same change twice is applying it once.
pub trait Projection: Send + Sync {
    /// Name under which its version is stored.
    fn name(&self) -> &'static str;

    /// Increased whenever the same journal would give other keys or values; the projection is then rebuilt.
    fn version(&self) -> u32;

    /// The first byte of its keys.
    fn prefix(&self) -> u8;

    /// Whether its rows are read from a cache in memory, which every write of them invalidates.
    fn is_cached(&self) -> bool {
        false
    }

    /// Adds the rows to write or remove.
    fn apply(&self, change: &Change<'_>, writes: &mut Vec<Write>);

    /// The name of the stream that a row comes from, and is erased with; `None` for a row that is none of its own.
    fn stream_of(&self, key: &[u8], value: &[u8]) -> Option<String>;
}

/// Every projection, in the order they are written: the records last, so that a record's row is there only when
/// everything derived from it is.
pub fn all() -> Vec<Box<dyn Projection>> {
    vec![
        Box::new(usage::Usage),
        Box::new(feed::Feed),
        Box::new(list::Lists),
        Box::new(list::Tags),
        Box::new(due::DueTimes),
        Box::new(contents::Contents),
        Box::new(holds::Holds),
        Box::new(idempotency::Answers),
        Box::new(lost::LostContents),
        Box::new(identity::Identities),
        Box::new(ops::Operations),
        Box::new(offboarding::Offboardings),
        Box::new(records::Records),
    ]
}

impl Store {
    /// Opens or creates a generation in a directory of its own, with a page cache of `cache_bytes`.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be opened; it can then be deleted and rebuilt.
    pub fn open(directory: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let cached = all()
            .into_iter()
            .filter(|projection| projection.is_cached());
        let cached = cached.map(|projection| projection.prefix()).collect();
        Self::open_caching(directory, cache_bytes, cached)
    }
}
