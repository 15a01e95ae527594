//! Why a vacuum cannot count, or cannot erase.

use std::io;

use crate::actors::request::Refused;
use crate::content::ContentError;
use crate::domain::erasure::TooManySpans;
use crate::journal::{JournalError, Position};
use crate::offload::TaskFailed;
use crate::projections::StoreError;

/// Why a vacuum's work ended early.
#[derive(Debug, thiserror::Error)]
pub enum VacuumError {
    /// The projections cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal cannot be read or erased.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Objects cannot be listed or removed.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// Files of the log cannot be listed or removed.
    #[error(transparent)]
    Log(#[from] io::Error),
    /// The erasure has too many parts for one event.
    #[error(transparent)]
    TooManySpans(#[from] TooManySpans),
    /// The journal has no plan at the position that the vacuum names.
    #[error("position {0} is not the start of a vacuum")]
    NotTheStart(Position),
    /// The counts are not those of the dry run.
    #[error(
        "the plan is stale: the counts have changed since the dry run; make another dry run and give its plan_id"
    )]
    StalePlan,
    /// Something is held, or the user to be erased cannot leave.
    #[error(transparent)]
    Prevented(Refused),
    /// A command of its own was refused; where a rule said no, the vacuum has been changed by another command meanwhile.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A thread of its own failed.
    #[error(transparent)]
    Task(Box<dyn std::error::Error + Send + Sync>),
}

impl From<TaskFailed> for VacuumError {
    fn from(failed: TaskFailed) -> Self {
        Self::Task(Box::new(failed))
    }
}
