//! Vacuums: everything, or everything of one org, is erased for good; one at a time, and never what is protected.
//!
//! All vacuums share one stream, so that "one at a time" is one expected version.

mod amount;
mod decide;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::declare::events;
use super::erasure::plan::ErasedSpan;
use super::{OrgCode, Rejection, Revision, Timestamp, check};

pub use amount::{Amount, HeldBack, ServiceAmount};
pub use decide::VacuumDecider;

/// What the caller must say to erase everything (OPS overview).
pub const CONFIRMATION_PHRASE: &str = "VACUUM ALL DATA PERMANENTLY";
/// What begins so, in any case, is never erased: orgs and containers (OPS overview: "Nothing prefixed g3nmhsadmin").
pub const PROTECTED_PREFIX: &str = "g3nmhsadmin";
/// How long a vacuum keeps others out at most (OPS overview: "24-hour TTL safety release").
pub const MUTEX_MS: i64 = 24 * 60 * 60 * 1_000;
/// Longest reason of a vacuum, in characters.
pub const REASON_CHARS_MAX: usize = 256;
/// The name under which a vacuum works.
pub const JOB: &str = "job:vacuum";

/// The scope of a vacuum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything that is not protected.
    All,
    /// Everything of one org that is not protected.
    Org(OrgCode),
    /// What there is of one user, by user id: the address, the passcode's hash, the sessions. Since `vacuum.requested` version 2.
    User(String),
}

impl Scope {
    /// `all`, `org` or `user`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Org(_) => "org",
            Self::User(_) => "user",
        }
    }

    /// The org, when it is one.
    pub fn org(&self) -> Option<&OrgCode> {
        match self {
            Self::All | Self::User(_) => None,
            Self::Org(org) => Some(org),
        }
    }

    /// The id of the user, when it is one.
    pub fn user_id(&self) -> Option<&str> {
        match self {
            Self::All | Self::Org(_) => None,
            Self::User(user_id) => Some(user_id),
        }
    }

    /// Whether what there is of a user is erased.
    pub fn covers_user(&self, user_id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Org(_) => false,
            Self::User(mine) => mine == user_id,
        }
    }

    /// Whether an org's own data is erased, or that of one of its containers.
    pub fn covers(&self, org: &str, container: Option<&str>) -> bool {
        let mine = match self {
            Self::All => true,
            Self::Org(mine) => mine.as_str() == org,
            Self::User(_) => false,
        };
        mine && !is_protected(org) && !container.is_some_and(is_protected)
    }

    /// Whether a stream is erased. The operators' own streams and those of offboardings never are; a user's with
    /// everything, or alone.
    pub fn covers_stream(&self, stream: &str) -> bool {
        let mut parts = stream.split('/');
        match (parts.next(), parts.next()) {
            (Some("mrs"), Some(org)) => self.covers(org, parts.next()),
            (Some("ofm" | "usm"), Some(org)) => self.covers(org, None),
            (Some("uas"), Some(user_id)) => self.covers_user(user_id),
            (Some("ops" | "utl"), _) | (None, _) => false,
            (Some(_), _) => *self == Self::All,
        }
    }
}

/// Whether a name is one that nothing erases.
pub fn is_protected(name: &str) -> bool {
    let start = name.get(..PROTECTED_PREFIX.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(PROTECTED_PREFIX))
}

/// The status of a vacuum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VacuumStatus {
    /// Waits, and can be cancelled.
    Pending,
    /// Erases now; it cannot be cancelled any more.
    Running,
    /// Has erased, or counted what it would erase.
    Completed,
    /// Ended before all steps were done; `error` says why.
    Failed,
    /// Cancelled by an operator while it was pending.
    Cancelled,
}

impl VacuumStatus {
    /// All of them, in the order of a vacuum's life.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The text callers see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether a vacuum in this status keeps another from being requested.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }
}

/// What was erased from the log: exact, so that it cannot hide further erasures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// Entries that lost their body.
    pub entries: u64,
    /// SHA-256 in hex over their positions, 8 bytes each, big endian, in order.
    pub positions_sha256: String,
}

/// One step of the work. Each may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The lists and everything else that is read.
    Projections,
    /// The bodies and payloads in the commit log.
    Log,
    /// The journal's database: first answers, payloads, offsets.
    Database,
    /// The uploaded files that nothing names any more.
    Content,
    /// Damaged copies that earlier repairs kept, and log files.
    Leftovers,
}

impl Step {
    /// Every step, in its order: what is read is erased first, the bytes that nothing names any more last.
    pub const ALL: [Self; 5] = [
        Self::Projections,
        Self::Log,
        Self::Database,
        Self::Content,
        Self::Leftovers,
    ];

    /// The text callers see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Projections => "projections",
            Self::Log => "log",
            Self::Database => "database",
            Self::Content => "content",
            Self::Leftovers => "leftovers",
        }
    }
}

/// One vacuum, folded from its events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vacuum {
    /// Id of the vacuum, unique among all vacuums.
    pub vacuum_id: String,
    /// Scope of what it erases.
    pub scope: Scope,
    /// A dry run: it counts and erases nothing.
    pub dry_run: bool,
    /// The reason, in the operator's words.
    pub reason: String,
    /// The numbers it was asked to keep to.
    pub plan_id: Option<String>,
    /// How far it has come, or how it ended.
    pub status: VacuumStatus,
    /// When it was requested.
    pub requested_at: Timestamp,
    /// Until when it can be cancelled.
    pub execute_at: Option<Timestamp>,
    /// Time at which erasing began; `None` while pending.
    pub started_at: Option<Timestamp>,
    /// The journal's position of its beginning; entries up to it are erased.
    pub started_position: u64,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// Whether it erases what is held too.
    pub override_holds: bool,
    /// What it erases by service, known once it began.
    pub services: Vec<ServiceAmount>,
    /// What is held; a vacuum of an org leaves it, a dry run of everything only reports it.
    pub held: Vec<HeldBack>,
    /// Steps that are done.
    pub done: Vec<Step>,
    /// Why it failed, for operators.
    pub error: Option<String>,
    /// The number of its changes.
    pub revision: Revision,
}

impl Vacuum {
    /// Sum of the amounts of all services.
    pub fn totals(&self) -> Amount {
        let mut totals = Amount::default();
        for service in &self.services {
            totals += service.amount;
        }
        totals
    }
}

/// What is partly erased: a vacuum gave up between the lists and the journal's database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HalfErased {
    /// What was to be erased.
    pub scope: Scope,
    /// Id of the vacuum that failed half way.
    pub vacuum_id: String,
}

/// The vacuum that keeps others out, and the one that was over last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vacuums {
    /// The version of the stream.
    pub version: u64,
    /// The pending or running one.
    pub open: Option<Vacuum>,
    /// The one that was over last.
    pub last: Option<Vacuum>,
    /// Scopes that take no changes until they are vacuumed again.
    pub half_erased: Vec<HalfErased>,
}

impl Vacuums {
    /// The vacuum of a name, if it is one of the two.
    pub fn find(&self, vacuum_id: &str) -> Option<&Vacuum> {
        let both = self.open.iter().chain(&self.last);
        both.into_iter()
            .find(|vacuum| vacuum.vacuum_id == vacuum_id)
    }
}

events! {
    /// The events of vacuums.
    pub enum VacuumEvent {
        /// A vacuum was asked for; no other can be until it has ended.
        #[event("vacuum.requested", 2)]
        Requested {
            /// Id of the vacuum, unique among all vacuums.
            vacuum_id: String,
            /// Scope of what it erases.
            scope: Scope,
            /// A dry run: it counts and erases nothing.
            #[serde(default, skip_serializing_if = "std::ops::Not::not")]
            dry_run: bool,
            /// The operator's reason for the vacuum.
            reason: String,
            /// Until when it can be cancelled.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            execute_at: Option<Timestamp>,
            /// Id of the dry run whose numbers it must have.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            plan_id: Option<String>,
            /// Whether it erases what is held too.
            #[serde(default, skip_serializing_if = "std::ops::Not::not")]
            override_holds: bool,
        },
        /// The vacuum began, and erases exactly this. Erased entries name the position of this event in `by`.
        #[event("vacuum.started", 2)]
        Started {
            /// Id of the vacuum, unique among all vacuums.
            vacuum_id: String,
            /// Amounts to erase, by service.
            services: Vec<ServiceAmount>,
            /// Amounts kept by legal holds, by service.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            held: Vec<HeldBack>,
            /// Exactly which entries of the journal it erases; absent of a dry run, and at schema version 1, where only
            /// `vacuum.completed` says how many there were.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            erases: Option<Vec<ErasedSpan>>,
        },
        /// A step of the vacuum is done.
        #[event("vacuum.step_done", 1)]
        StepDone {
            /// Id of the vacuum, unique among all vacuums.
            vacuum_id: String,
            /// The step that is done.
            step: Step,
        },
        /// The vacuum is over: everything of it is erased.
        #[event("vacuum.completed", 1)]
        Completed {
            /// Id of the vacuum, unique among all vacuums.
            vacuum_id: String,
            /// What was erased in the log; absent of a dry run.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            erased: Option<Erased>,
        },
        /// The vacuum ended before all steps were done.
        #[event("vacuum.failed", 1)]
        Failed {
            /// Id of the vacuum, unique among all vacuums.
            vacuum_id: String,
            /// Why it failed, for operators.
            error: String,
        },
        /// The vacuum was cancelled before it began.
        #[event("vacuum.cancelled", 1)]
        Cancelled {
            /// Id of the vacuum, unique among all vacuums.
            vacuum_id: String,
        },
    }
}

impl VacuumEvent {
    /// The vacuum it is about.
    pub fn vacuum_id(&self) -> &str {
        match self {
            Self::Requested { vacuum_id, .. }
            | Self::Started { vacuum_id, .. }
            | Self::StepDone { vacuum_id, .. }
            | Self::Completed { vacuum_id, .. }
            | Self::Failed { vacuum_id, .. }
            | Self::Cancelled { vacuum_id } => vacuum_id,
        }
    }
}

/// The commands of operators, and of the vacuum itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VacuumCommand {
    /// Requests a vacuum or a dry run.
    Request {
        /// Id of the new vacuum, never used before.
        vacuum_id: String,
        /// Scope of what is to be erased.
        scope: Scope,
        /// A dry run: count and erase nothing.
        dry_run: bool,
        /// The operator's reason for the vacuum.
        reason: String,
        /// How long it can be cancelled; a dry run has no such time.
        pending_ms: i64,
        /// The numbers to keep to.
        plan_id: Option<String>,
        /// Erase what is held too; only of everything, and of a user.
        override_holds: bool,
    },
    /// Begin, if its time has come.
    Start {
        /// Id of the vacuum.
        vacuum_id: String,
        /// Amounts it erases, by service.
        services: Vec<ServiceAmount>,
        /// Amounts kept by legal holds, by service.
        held: Vec<HeldBack>,
        /// Which entries of the journal it erases.
        erases: Vec<ErasedSpan>,
    },
    /// Notes that a step is done.
    NoteStep {
        /// Id of the vacuum.
        vacuum_id: String,
        /// The step that is done.
        step: Step,
    },
    /// Ends the vacuum after its last step.
    Complete {
        /// Id of the vacuum.
        vacuum_id: String,
        /// What was erased in the log.
        erased: Option<Erased>,
    },
    /// Ends the vacuum with an error.
    Fail {
        /// Id of the vacuum.
        vacuum_id: String,
        /// Why it failed, for operators.
        error: String,
    },
    /// Cancels a vacuum that is still pending.
    Cancel {
        /// Id of the vacuum.
        vacuum_id: String,
    },
}

impl VacuumCommand {
    /// Whether what it says can be carried out at all, whatever vacuums there are.
    ///
    /// # Errors
    /// `invalid-input` naming the field.
    pub fn check(&self) -> Result<(), Rejection> {
        match self {
            Self::Request {
                vacuum_id,
                scope,
                reason,
                override_holds,
                ..
            } => {
                check::id("vacuum_id", vacuum_id)?;
                check::text("reason", reason, REASON_CHARS_MAX)?;
                scope
                    .user_id()
                    .map_or(Ok(()), |id| check::id("user_id", id))?;
                if *override_holds && scope.org().is_some() {
                    return Err(Rejection::field(
                        "override_holds",
                        "A vacuum of an org leaves what is held; override_holds is for everything, or for a user.",
                    ));
                }
                Ok(())
            }
            Self::Start { .. } | Self::NoteStep { .. } | Self::Complete { .. } => Ok(()),
            Self::Fail { .. } | Self::Cancel { .. } => Ok(()),
        }
    }

    /// The vacuum it names.
    pub fn vacuum_id(&self) -> &str {
        match self {
            Self::Request { vacuum_id, .. }
            | Self::Start { vacuum_id, .. }
            | Self::NoteStep { vacuum_id, .. }
            | Self::Complete { vacuum_id, .. }
            | Self::Fail { vacuum_id, .. }
            | Self::Cancel { vacuum_id } => vacuum_id,
        }
    }
}
