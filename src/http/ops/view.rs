//! Windows and vacuums as callers see them.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::Timestamp;
use crate::domain::maintenance::{ProgressNote, Window, WindowStatus, Windows};
use crate::domain::vacuum::{Amount, ServiceAmount, Step, Vacuum, VacuumStatus};

/// A status message of a window.
#[derive(Debug, Serialize, ToSchema)]
pub struct Note {
    #[schema(format = DateTime)]
    at: String,
    text: String,
}

/// A window's notes, oldest first.
pub fn notes(updates: &[ProgressNote]) -> Vec<Note> {
    let note = |note: &ProgressNote| Note {
        at: note.at.to_string(),
        text: note.text.clone(),
    };
    updates.iter().map(note).collect()
}

/// A maintenance window as operators see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct WindowView {
    maintenance_id: String,
    /// `scheduled`, `active`, `ended` or `cancelled`.
    status: &'static str,
    description: String,
    estimated_duration_seconds: u64,
    #[schema(format = DateTime)]
    scheduled_start_utc: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    started_at: Option<String>,
    /// Who started it: `manual` for an operator, `sweep` for its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    start_source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    cancelled_at: Option<String>,
    #[schema(inline)]
    updates: Vec<Note>,
    revision: u64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    /// The active window that this scheduled one waits for: it begins when that one ends, and is cancelled if it is still waiting
    /// at its own planned end.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<String>,
    /// The window that begins now that this one has ended, because it was waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    begins_next: Option<String>,
}

impl WindowView {
    /// A window that was just changed, with what it means for the others that are open.
    pub fn among(window: &Window, windows: &Windows, now: Timestamp) -> Self {
        let mut view = Self::from(window);
        let active = windows
            .active()
            .filter(|active| active.maintenance_id != window.maintenance_id);
        match window.status {
            WindowStatus::Scheduled => {
                let active =
                    active.filter(|active| window.scheduled_start <= now.max(active.planned_end()));
                view.waits_for = active.map(|active| active.maintenance_id.clone());
            }
            WindowStatus::Ended => {
                let next = active.or_else(|| windows.next_due(now));
                view.begins_next = next.map(|next| next.maintenance_id.clone());
            }
            WindowStatus::Active | WindowStatus::Cancelled => {}
        }
        view
    }
}

impl From<&Window> for WindowView {
    fn from(window: &Window) -> Self {
        Self {
            maintenance_id: window.maintenance_id.clone(),
            status: window.status.as_str(),
            description: window.description.clone(),
            estimated_duration_seconds: window.duration_seconds,
            scheduled_start_utc: window.scheduled_start.to_string(),
            started_at: text(window.started_at),
            start_source: window.start_source.map(|source| source.as_str()),
            ended_at: text(window.ended_at),
            end_message: window.end_message.clone(),
            cancelled_at: text(window.cancelled_at),
            updates: notes(&window.updates),
            revision: window.revision.0,
            created_at: window.created_at.to_string(),
            updated_at: window.updated_at.to_string(),
            waits_for: None,
            begins_next: None,
        }
    }
}

/// The amount that a vacuum erases of one service.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServiceView {
    service: String,
    /// `skipped`, or the vacuum's own.
    status: &'static str,
    #[serde(flatten)]
    amount: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
    /// What stays of an org because it is held; of everything, what has to be released or overridden first.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<HeldView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What is held, and why.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeldView {
    items: u64,
    reason: String,
}

/// The progress of a running vacuum.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProgressView {
    /// The step being done.
    pub step: &'static str,
    /// What is done of it, in the step's own units.
    pub done: u64,
    /// The total; 0 when that is not known.
    pub total: u64,
}

/// A vacuum as operators see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct VacuumView {
    vacuum_id: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    orgcode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    dry_run: bool,
    /// Whether it erases what is held too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    override_holds: bool,
    reason: String,
    status: &'static str,
    requested_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    execute_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    revision: u64,
    /// Names the numbers; the real run of a plan refuses when they have moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    services: Vec<ServiceView>,
    totals: Amount,
    steps_done: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressView>,
}

impl VacuumView {
    /// A vacuum with the plan its numbers make, and how far it is.
    pub fn new(vacuum: &Vacuum, plan_id: Option<String>, progress: Option<ProgressView>) -> Self {
        Self {
            vacuum_id: vacuum.vacuum_id.clone(),
            kind: vacuum.scope.kind(),
            orgcode: vacuum.scope.org().map(|org| org.as_str().to_owned()),
            user_id: vacuum.scope.user_id().map(str::to_owned),
            dry_run: vacuum.dry_run,
            override_holds: vacuum.override_holds,
            reason: vacuum.reason.clone(),
            status: vacuum.status.as_str(),
            requested_at: vacuum.requested_at.to_string(),
            execute_at: text(vacuum.execute_at),
            started_at: text(vacuum.started_at),
            finished_at: text(vacuum.finished_at),
            revision: vacuum.revision.0,
            plan_id,
            error: vacuum.error.clone(),
            services: vacuum
                .services
                .iter()
                .map(|service| service_view(vacuum, service))
                .collect(),
            totals: vacuum.totals(),
            steps_done: vacuum.done.iter().map(|step| Step::as_str(*step)).collect(),
            progress,
        }
    }
}

fn service_view(vacuum: &Vacuum, service: &ServiceAmount) -> ServiceView {
    let failed = vacuum.status == VacuumStatus::Failed;
    ServiceView {
        service: service.service.clone(),
        status: match service.skipped {
            Some(_) => "skipped",
            None => vacuum.status.as_str(),
        },
        amount: service.amount,
        skipped: service.skipped.clone(),
        held: held_view(vacuum, service),
        error: vacuum
            .error
            .clone()
            .filter(|_| failed && service.skipped.is_none()),
    }
}

fn held_view(vacuum: &Vacuum, service: &ServiceAmount) -> Option<HeldView> {
    let mut held = vacuum.held.iter();
    let its = held.find(|held| held.service == service.service)?;
    Some(HeldView {
        items: its.items,
        reason: its.reason.clone(),
    })
}

fn text(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}
