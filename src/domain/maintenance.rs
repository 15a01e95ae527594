//! Maintenance windows: scheduled, active, ended or cancelled, and at most one active at a time.
//!
//! All windows share one stream, so that "only one is active" is one expected version.

mod decide;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::declare::events;
use super::{Rejection, Revision, Timestamp, check};

pub use decide::MaintenanceDecider;

/// The name under which the sweep starts windows whose time has come.
pub const SWEEP: &str = "job:maintenance-sweep";
/// Longest window in seconds: thirty days.
pub const DURATION_SECONDS_MAX: u64 = 30 * 24 * 60 * 60;
/// Longest description, note or closing message of a window, in characters.
pub const TEXT_CHARS_MAX: usize = 1_000;
/// Most windows scheduled or active at once.
pub const OPEN_MAX: usize = 100;
/// Most progress notes of one window.
pub const UPDATES_MAX: usize = 1_000;

/// The status of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowStatus {
    /// Waits for its time.
    Scheduled,
    /// Tenants are kept out.
    Active,
    /// Ended by an operator or by its planned end.
    Ended,
    /// Cancelled before it began.
    Cancelled,
}

impl WindowStatus {
    /// All of them, in the order of a window's life.
    pub const ALL: [Self; 4] = [Self::Scheduled, Self::Active, Self::Ended, Self::Cancelled];

    /// The text callers see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Active => "active",
            Self::Ended => "ended",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Who started a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartSource {
    /// Started by an operator.
    Manual,
    /// The sweep, when its time had come.
    Sweep,
}

impl StartSource {
    /// The text callers see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Sweep => "sweep",
        }
    }
}

/// A note of an operator about an active window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressNote {
    /// Time of the note.
    pub at: Timestamp,
    /// Text for those who wait.
    pub text: String,
}

/// One window, folded from its events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Id of the window.
    pub maintenance_id: String,
    /// Whether it is scheduled, under way, or over.
    pub status: WindowStatus,
    /// Description that tenants are shown.
    pub description: String,
    /// The planned duration in seconds.
    pub duration_seconds: u64,
    /// The planned start of the window.
    pub scheduled_start: Timestamp,
    /// Time of the start; `None` before it.
    pub started_at: Option<Timestamp>,
    /// Whether an operator or the schedule started it.
    pub start_source: Option<StartSource>,
    /// Time of the end; `None` before it.
    pub ended_at: Option<Timestamp>,
    /// The message to tenants at its end.
    pub end_message: Option<String>,
    /// When it was cancelled.
    pub cancelled_at: Option<Timestamp>,
    /// Status messages, oldest first.
    pub updates: Vec<ProgressNote>,
    /// The number of its changes.
    pub revision: Revision,
    /// Time of the first event.
    pub created_at: Timestamp,
    /// Time of the last event.
    pub updated_at: Timestamp,
}

impl Window {
    /// When it should be over; known once it has started.
    pub fn estimated_end(&self) -> Option<Timestamp> {
        let started_at = self.started_at?;
        Some(planned_end(started_at, self.duration_seconds))
    }

    /// When it should be over if it starts when it is scheduled to.
    pub fn planned_end(&self) -> Timestamp {
        planned_end(self.scheduled_start, self.duration_seconds)
    }
}

fn planned_end(start: Timestamp, duration_seconds: u64) -> Timestamp {
    let duration_ms = duration_seconds.saturating_mul(1_000);
    start.plus_millis(i64::try_from(duration_ms).unwrap_or(i64::MAX))
}

/// The windows that are not over, and the one that was over last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    /// The version of the stream.
    pub version: u64,
    /// Scheduled and active ones by name.
    pub open: BTreeMap<String, Window>,
    /// One that is over: after an event, the one it ended; before a decision, the one the command names.
    pub closed: Option<Window>,
}

impl Windows {
    /// The active window, of which there is at most one.
    pub fn active(&self) -> Option<&Window> {
        let mut open = self.open.values();
        open.find(|window| window.status == WindowStatus::Active)
    }

    /// The window of a name, open or the closed one that is known.
    pub fn find(&self, maintenance_id: &str) -> Option<&Window> {
        let closed = self.closed.as_ref();
        let closed = closed.filter(|window| window.maintenance_id == maintenance_id);
        self.open.get(maintenance_id).or(closed)
    }

    /// When the next scheduled one is due.
    pub fn next_start(&self) -> Option<Timestamp> {
        self.scheduled().map(|window| window.scheduled_start).min()
    }

    /// The windows that have not started yet, by name.
    pub fn scheduled(&self) -> impl Iterator<Item = &Window> {
        let open = self.open.values();
        open.filter(|window| window.status == WindowStatus::Scheduled)
    }

    /// The window that is due first, of those that are not over before they begin.
    pub fn next_due(&self, now: Timestamp) -> Option<&Window> {
        let due = self
            .scheduled()
            .filter(|window| window.scheduled_start <= now && window.planned_end() > now);
        due.min_by_key(|window| (window.scheduled_start, window.maintenance_id.clone()))
    }
}

events! {
    /// The events of maintenance windows.
    pub enum MaintenanceEvent {
        /// The window was scheduled.
        #[event("maintenance.scheduled", 1)]
        Scheduled {
            /// Id of the window.
            maintenance_id: String,
            /// Description that tenants are shown.
            description: String,
            /// The planned duration in seconds.
            duration_seconds: u64,
            /// The planned start of the window.
            start: Timestamp,
        },
        /// The window started; tenants get 503.
        #[event("maintenance.started", 1)]
        Started {
            /// Id of the window.
            maintenance_id: String,
            /// Whether an operator or the schedule started it.
            source: StartSource,
        },
        /// The window has a note more, another description or another duration.
        #[event("maintenance.updated", 1)]
        Updated {
            /// Id of the window.
            maintenance_id: String,
            /// Text of the note, if one was added.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            text: Option<String>,
            /// New description, if it changed.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            description: Option<String>,
            /// New planned duration in seconds, if it changed.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            duration_seconds: Option<u64>,
        },
        /// The window ended; tenants are served again.
        #[event("maintenance.ended", 1)]
        Ended {
            /// Id of the window.
            maintenance_id: String,
            /// Closing message, if there was one.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            message: Option<String>,
        },
        /// Its estimated end had passed before it could begin: it will not take place.
        #[event("maintenance.missed", 1)]
        Missed {
            /// The id of the window.
            maintenance_id: String,
        },
        /// The window was cancelled before it began.
        #[event("maintenance.cancelled", 1)]
        Cancelled {
            /// Id of the window.
            maintenance_id: String,
        },
    }
}

impl MaintenanceEvent {
    /// The window it is about.
    pub fn maintenance_id(&self) -> &str {
        match self {
            Self::Scheduled { maintenance_id, .. }
            | Self::Started { maintenance_id, .. }
            | Self::Updated { maintenance_id, .. }
            | Self::Ended { maintenance_id, .. }
            | Self::Missed { maintenance_id }
            | Self::Cancelled { maintenance_id } => maintenance_id,
        }
    }
}

/// The commands of operators, and of the sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MaintenanceCommand {
    /// Schedules a new maintenance window.
    Schedule {
        /// Id of the new window, never used before.
        maintenance_id: String,
        /// Description that tenants are shown.
        description: String,
        /// The planned duration in seconds, at most [`DURATION_SECONDS_MAX`].
        duration_seconds: u64,
        /// When it should start; one in the past is due at once.
        start: Timestamp,
    },
    /// Start a scheduled window by hand.
    Start {
        /// Id of the window.
        maintenance_id: String,
    },
    /// Begin the window that is due, if there is one and none is active, and cancel those that were missed (the sweep).
    StartDue,
    /// Change its texts or times, or add a note.
    Update {
        /// Id of the window; the active one when absent.
        maintenance_id: Option<String>,
        /// Text of a note to add.
        text: Option<String>,
        /// New description, if it changed.
        description: Option<String>,
        /// New planned duration in seconds, if it changed.
        duration_seconds: Option<u64>,
    },
    /// End the active window.
    End {
        /// Id of the window; the active one when absent.
        maintenance_id: Option<String>,
        /// Closing message for tenants.
        message: Option<String>,
    },
    /// Call off a scheduled window.
    Cancel {
        /// Id of the window.
        maintenance_id: String,
    },
}

impl MaintenanceCommand {
    /// Whether what it says can be carried out at all, whatever windows there are.
    ///
    /// # Errors
    /// `invalid-input` naming the field.
    pub fn check(&self) -> Result<(), Rejection> {
        match self {
            Self::Schedule {
                maintenance_id,
                description,
                duration_seconds,
                ..
            } => {
                check::id("maintenance_id", maintenance_id)?;
                check::text("description", description, TEXT_CHARS_MAX)?;
                check_duration(*duration_seconds)
            }
            Self::Update {
                text,
                description,
                duration_seconds,
                ..
            } => {
                if text.is_none() && description.is_none() && duration_seconds.is_none() {
                    return Err(Rejection::field(
                        "text",
                        "Nothing to update: give text, description or duration.",
                    ));
                }
                check::optional_text("text", text.as_deref(), TEXT_CHARS_MAX)?;
                check::optional_text("description", description.as_deref(), TEXT_CHARS_MAX)?;
                duration_seconds.map_or(Ok(()), check_duration)
            }
            Self::End { message, .. } => {
                check::optional_text("end_message", message.as_deref(), TEXT_CHARS_MAX)
            }
            Self::Start { .. } | Self::StartDue | Self::Cancel { .. } => Ok(()),
        }
    }

    /// The window it names.
    pub fn maintenance_id(&self) -> Option<&str> {
        match self {
            Self::Schedule { maintenance_id, .. }
            | Self::Start { maintenance_id }
            | Self::Cancel { maintenance_id } => Some(maintenance_id),
            Self::Update { maintenance_id, .. } | Self::End { maintenance_id, .. } => {
                maintenance_id.as_deref()
            }
            Self::StartDue => None,
        }
    }

    /// The same command for a named window.
    #[must_use]
    pub fn about(self, id: &str) -> Self {
        match self {
            Self::Update {
                text,
                description,
                duration_seconds,
                ..
            } => Self::Update {
                maintenance_id: Some(id.to_owned()),
                text,
                description,
                duration_seconds,
            },
            Self::End { message, .. } => Self::End {
                maintenance_id: Some(id.to_owned()),
                message,
            },
            Self::Schedule { .. } | Self::Start { .. } | Self::StartDue | Self::Cancel { .. } => {
                self
            }
        }
    }
}

fn check_duration(seconds: u64) -> Result<(), Rejection> {
    match seconds {
        1..=DURATION_SECONDS_MAX => Ok(()),
        _ => Err(Rejection::field(
            "duration",
            format!("duration is whole seconds, from 1 to {DURATION_SECONDS_MAX}."),
        )),
    }
}
