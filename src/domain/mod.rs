//! The rules: pure functions from what happened and what is asked to what happens next.
//!
//! Nothing here reads a clock, a disk or chance, and nothing waits. The actors, the projections, replay and time
//! travel all use the same [`Decider::evolve`].

pub mod account;
pub mod clock_jump;
pub mod container;
pub mod erasure;
pub mod hold;
pub mod job;
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
pub mod user;
pub mod vacuum;

use serde::Serialize;
use serde_json::Value;

pub use names::{
    CcCode, ContainerName, Md5, OrgCode, RecordId, Revision, Sha256Digest, Tag, Timestamp,
};
pub use rejection::{Rejection, Tag as ErrorTag};
pub use stream::StreamId;

/// When and by whom a command is carried out; the only facts about the world a rule may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The time of the decision.
    pub now: Timestamp,
    /// The principal's public id, such as a user id, or the name of a job.
    pub by: String,
}

/// Where and when an event stands in the journal, as far as state needs to know.
#[derive(Clone, Copy, Debug)]
pub struct EventMeta<'a> {
    /// The time of the decision that caused it.
    pub at: Timestamp,
    /// The principal that caused it.
    pub by: &'a str,
    /// The `actor` that the caller gave.
    pub actor: Option<&'a str>,
    /// The entry's position; 0 while the entry is still on its way to the journal.
    pub position: u64,
    /// The stream's version with this entry, from 1.
    pub version: u64,
}

/// One kind of stream: what may happen next, and what its state is after it happened.
pub trait Decider {
    /// What somebody asks for.
    type Command;
    /// Everything a decision looks at.
    type State;
    /// Events of the stream.
    type Event;

    /// The events that carry the command out; none when it changes nothing.
    ///
    /// # Errors
    /// The rule that says no.
    fn decide(
        state: &Self::State,
        command: &Self::Command,
        context: &Context,
    ) -> Result<Vec<Self::Event>, Rejection>;

    /// The state after an event. Total: an event once written is always accepted.
    fn evolve(state: Self::State, event: &Self::Event, occurrence: EventMeta<'_>) -> Self::State;
}

/// Every event there is, whatever its stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// Events of one record.
    Record(record::RecordEvent),
    /// Events of one container.
    Container(container::ContainerEvent),
    /// About one org and its members.
    Org(org::OrgEvent),
    /// About one user and the sessions of that user.
    User(user::UserEvent),
    /// About one service account and its keys.
    Account(account::AccountEvent),
    /// About the operators' secret code.
    Secret(secret::SecretEvent),
    /// Events of maintenance windows.
    Maintenance(maintenance::MaintenanceEvent),
    /// Events of all vacuums.
    Vacuum(vacuum::VacuumEvent),
    /// Events of all jobs.
    Job(job::JobEvent),
    /// About an org's leaving and coming.
    Offboarding(offboarding::OffboardingEvent),
    /// Events of operators' tokens.
    OperatorToken(operator_token::OperatorTokenEvent),
    /// About tokens of an identity provider.
    Jwt(revoked_jwt::JwtEvent),
    /// About the keys that sign urls and tokens.
    SigningKey(signing_key::SigningKeyEvent),
    /// About what operators asked for.
    OperatorAct(operator_act::OperatorActEvent),
    /// About jumps of the machine's clock.
    Clock(clock_jump::ClockEvent),
}

impl Event {
    /// Reads an event of the current schema from its type, such as `record.created`, and its data.
    ///
    /// # Errors
    /// What is wrong with it; also for a type this version does not know.
    pub fn from_parts(kind: &str, data: Value) -> Result<Self, serde_json::Error> {
        let tagged = serde_json::json!({"type": kind, "data": data});
        let family = kind.split_once('.').map_or(kind, |(family, _)| family);
        Ok(match family {
            "container" => Self::Container(serde_json::from_value(tagged)?),
            "org" => Self::Org(serde_json::from_value(tagged)?),
            "user" => Self::User(serde_json::from_value(tagged)?),
            "account" => Self::Account(serde_json::from_value(tagged)?),
            "secret" => Self::Secret(serde_json::from_value(tagged)?),
            "maintenance" => Self::Maintenance(serde_json::from_value(tagged)?),
            "vacuum" => Self::Vacuum(serde_json::from_value(tagged)?),
            "job" => Self::Job(serde_json::from_value(tagged)?),
            "offboarding" | "export" | "import" => {
                Self::Offboarding(serde_json::from_value(tagged)?)
            }
            "operator_token" => Self::OperatorToken(serde_json::from_value(tagged)?),
            "jwt" => Self::Jwt(serde_json::from_value(tagged)?),
            "signing_key" => Self::SigningKey(serde_json::from_value(tagged)?),
            "operator_act" => Self::OperatorAct(serde_json::from_value(tagged)?),
            "clock" => Self::Clock(serde_json::from_value(tagged)?),
            // The record family names the unknown type in its error.
            _ => Self::Record(serde_json::from_value(tagged)?),
        })
    }

    /// The schema version this program writes for the event's type, from 1.
    pub fn schema_version(&self) -> u16 {
        match self {
            Self::Vacuum(
                vacuum::VacuumEvent::Requested { .. } | vacuum::VacuumEvent::Started { .. },
            )
            | Self::Account(account::AccountEvent::KeyCreated { .. })
            | Self::Record(record::RecordEvent::UploadCompleted { .. })
            | Self::Container(container::ContainerEvent::Repaired { .. })
            | Self::Secret(secret::SecretEvent::Mismatched { .. }) => 2,
            Self::Record(_)
            | Self::Container(_)
            | Self::Org(_)
            | Self::User(_)
            | Self::Account(_)
            | Self::Secret(_)
            | Self::Maintenance(_)
            | Self::Vacuum(_)
            | Self::Job(_)
            | Self::Offboarding(_)
            | Self::OperatorToken(_)
            | Self::Jwt(_)
            | Self::SigningKey(_)
            | Self::OperatorAct(_)
            | Self::Clock(_) => 1,
        }
    }
}
