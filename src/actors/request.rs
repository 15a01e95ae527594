//! Requests: what callers ask of actors, on whose behalf, and the answers they get.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use actix::MailboxError;

use crate::clock::{Untrusted, random_uuid};
use crate::domain::container::Idempotency;
use crate::domain::record::{InlineJson, Record, RecordCommand, RecordKey};
use crate::domain::{ErrorTag, RecordId, Rejection, check};
use crate::journal::{Outcome, Remarks, Source};
use crate::offload::TaskFailed;
use crate::projections::StoreError;
use crate::report::Decided;

/// A command for one record, with everything that is journaled with it.
#[derive(Clone, Debug)]
pub struct RecordRequest {
    /// Org, container and id of the record.
    pub key: RecordKey,
    /// The command, unless the request was refused already.
    pub command: Requested,
    /// Inline content of a put, whose size and MD5 the command names.
    pub payload: Option<InlineJson>,
    /// Names the request, when it may come twice.
    pub idempotency: Option<Idempotency>,
    /// The principal's public id.
    pub by: String,
    /// Id of the request, as in the log.
    pub request_id: String,
    /// Which entry point it came through: gateway, operators or a job.
    pub source: Source,
    /// The caller's own remarks.
    pub remarks: Remarks,
}

/// Longest public id of a principal or a job, in characters. A subject of an identity provider has 255 at most.
const BY_CHARS_MAX: usize = 300;
/// Longest id of a request, in characters.
const REQUEST_ID_CHARS_MAX: usize = 128;

impl RecordRequest {
    /// Whether it can be carried out at all, whatever record there is: everything that HTTP checks of a body.
    ///
    /// # Errors
    /// The rejection that HTTP callers get, with the name of the field.
    pub(super) fn check(&self) -> Result<(), Rejection> {
        check_origin(&self.by, &self.request_id, &self.remarks)?;
        if let Some(idempotency) = &self.idempotency {
            idempotency.check()?;
        }
        let Requested::Command(command) = &self.command else {
            return Ok(());
        };
        command.check(self.payload.as_ref())
    }
}

/// Checks who asks and by which request, as both are journaled.
fn check_origin(by: &str, request_id: &str, remarks: &Remarks) -> Result<(), Rejection> {
    check::name("by", by, BY_CHARS_MAX)?;
    check::name("request_id", request_id, REQUEST_ID_CHARS_MAX)?;
    remarks.check()
}

/// The refusal of a message that names another thing than the one whose actor got it.
pub(super) fn other_actor(field: &str, own: &str) -> Rejection {
    let message = format!("This is the actor of {own}; a message to it must name that one.");
    Rejection::field(field, message)
}

/// What a request asks of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Requested {
    /// The command to execute.
    Command(RecordCommand),
    /// Nothing: the request was refused for what it says, which an idempotency key remembers as any refusal.
    AlreadyRefused(Rejection),
}

impl From<RecordCommand> for Requested {
    fn from(command: RecordCommand) -> Self {
        Self::Command(command)
    }
}

/// What a command led to.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordOutcome {
    /// The record with it.
    pub record: Record,
    /// The record's id, where it is not that of the command: the one made of the idempotency key was taken.
    pub record_id: Option<RecordId>,
    /// This is the first answer to a request that came again.
    pub replayed: bool,
}

/// Why a command was not executed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// A rule said no.
    #[error("{rejection}")]
    Rejected {
        /// Tag and message of the rule.
        rejection: Rejection,
        /// This is the first answer to a request that came again.
        replayed: bool,
    },
    /// Too much is waiting already; nothing was done.
    #[error("too many commands are waiting")]
    Busy,
    /// The journal takes no writes; whether this one outlives a restart is not known.
    #[error("the journal takes no writes")]
    Unavailable,
    /// Something that must not fail did; its text and its causes are for the operator.
    #[error(transparent)]
    Failed(Failure),
}

/// An error that is no caller's fault, shared by all that report it. Two are equal when their texts are.
#[derive(Clone, Debug)]
pub struct Failure(Arc<dyn Error + Send + Sync>);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl Eq for Failure {}

impl PartialEq for Failure {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Failure {
    /// A failure with its causes, or one that a text says.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::from(error.into()))
    }
}

impl Refused {
    /// A failure with its causes, or one that a text says.
    pub(super) fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(Failure::new(error))
    }

    /// Whether a rule said no with this tag.
    pub fn is(&self, tag: ErrorTag) -> bool {
        matches!(self, Self::Rejected { rejection, .. } if rejection.tag == tag)
    }

    /// What is logged of it.
    pub(super) fn decided(&self) -> Decided {
        match self {
            Self::Rejected { rejection, .. } => Decided::Rejected(rejection.tag.as_str()),
            Self::Busy | Self::Unavailable | Self::Failed(_) => Decided::NotDone,
        }
    }
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected {
            rejection,
            replayed: false,
        }
    }
}

impl From<TaskFailed> for Refused {
    fn from(failed: TaskFailed) -> Self {
        Self::failed(failed)
    }
}

impl From<Untrusted> for Refused {
    fn from(why: Untrusted) -> Self {
        Rejection::new(ErrorTag::InvalidState, format!("{why}."))
            .with_minor("clock")
            .into()
    }
}

/// The answer to a [`RecordRequest`].
pub type Answer = Result<RecordOutcome, Refused>;

/// Who asks for a command, and by which request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The principal's public id.
    pub by: String,
    /// Id of the request, as in the log.
    pub request_id: String,
    /// Which entry point it came through: gateway, operators or a job.
    pub source: Source,
    /// The caller's own remarks.
    pub remarks: Remarks,
    /// Names the request, when it came with an idempotency key. It is stored with the first events that are written for
    /// this caller, so it is set for the one command that makes what was requested.
    pub idempotency: Option<Idempotency>,
}

impl Caller {
    /// Whether it can be journaled.
    ///
    /// # Errors
    /// `invalid-input` naming the field.
    pub(super) fn check(&self) -> Result<(), Rejection> {
        if let Some(idempotency) = &self.idempotency {
            idempotency.check()?;
        }
        check_origin(&self.by, &self.request_id, &self.remarks)
    }

    /// A job of our own.
    pub(super) fn job(name: &str) -> Self {
        Self {
            by: name.to_owned(),
            request_id: format!("job-{}", random_uuid()),
            source: Source::Job,
            remarks: Remarks::default(),
            idempotency: None,
        }
    }
}

/// The refusal for an outcome of the journal by which nothing was appended.
pub(super) fn not_appended(outcome: Outcome) -> Refused {
    match outcome {
        Outcome::Busy | Outcome::Moved { .. } => Refused::Busy,
        Outcome::Unavailable | Outcome::Unknown => Refused::Unavailable,
        Outcome::Malformed => Refused::failed("the journal takes no entry of this form"),
        Outcome::Appended { .. } => Refused::failed("an entry was appended that none waited for"),
    }
}

pub(super) fn died<T>(error: MailboxError) -> Result<T, Refused> {
    match error {
        MailboxError::Closed | MailboxError::Timeout => Err(Refused::Unavailable),
    }
}

pub(super) fn failed(error: StoreError) -> Refused {
    Refused::failed(error)
}
