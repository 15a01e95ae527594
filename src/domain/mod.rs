//! The rules: pure functions from what happened and what is asked to what happens next.
//!
//! Nothing here reads a clock, a disk or chance, and nothing waits. The actors, the projections, replay and time
//! travel all use the same [`Decider::evolve`].

pub mod account;
mod aggregate;
pub mod check;
pub mod clock_jump;
pub mod container;
mod declare;
pub mod duration;
pub mod erasure;
mod event;
pub mod hold;
pub mod job;
pub(crate) mod json;
pub mod known;
pub mod maintenance;
pub mod names;
pub mod offboarding;
pub mod operator_act;
pub mod operator_token;
pub mod org;
pub mod quota;
pub mod record;
pub mod rejection;
pub mod repair;
pub mod revoked_jwt;
pub mod secret;
pub mod signing_key;
pub mod stream;
pub mod trace_context;
pub mod user;
pub mod vacuum;

pub use aggregate::{Aggregate, Decider};
pub use event::{Event, EventError, EventFamily, fold};
pub use names::{
    CcCode, ContainerName, Md5, OrgCode, RecordId, Revision, Sha256Digest, Tag, TimeError,
    Timestamp,
};
pub use rejection::{Rejection, Tag as ErrorTag};
pub use stream::StreamId;

/// When and by whom a command is executed; the only facts about the world a rule may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The time of the decision.
    pub now: Timestamp,
    /// The principal's public id, such as a user id, or the name of a job.
    pub by: String,
}

/// Where and when an event was written in the journal, as far as state needs to know.
#[derive(Clone, Copy, Debug)]
pub struct EventMeta<'a> {
    /// The time of the decision that caused it.
    pub at: Timestamp,
    /// The principal that caused it.
    pub by: &'a str,
    /// The `actor` that the caller gave.
    pub actor: Option<&'a str>,
    /// The entry's position; 0 while the entry is not written yet.
    pub position: u64,
    /// The stream's version with this entry, from 1.
    pub version: u64,
}
