//! What may be done about a window when, and what it is after each event.

use super::{
    MaintenanceCommand, MaintenanceEvent, OPEN_MAX, ProgressNote, StartSource, UPDATES_MAX, Window,
    WindowStatus, Windows,
};
use crate::domain::{Context, Decider, ErrorTag, Occurrence, Rejection, Revision, Timestamp};

/// Decides for maintenance windows.
pub struct MaintenanceDecider;

impl Decider for MaintenanceDecider {
    type Command = MaintenanceCommand;
    type State = Windows;
    type Event = MaintenanceEvent;

    fn decide(
        state: &Windows,
        command: &MaintenanceCommand,
        context: &Context,
    ) -> Result<Vec<MaintenanceEvent>, Rejection> {
        let event = match command {
            MaintenanceCommand::Schedule {
                maintenance_id,
                description,
                duration_seconds,
                start,
            } => {
                if state.open.len() >= OPEN_MAX {
                    return Err(Rejection::new(
                        ErrorTag::InvalidState,
                        format!(
                            "{OPEN_MAX} maintenance windows are open already; cancel one first."
                        ),
                    ));
                }
                MaintenanceEvent::Scheduled {
                    maintenance_id: maintenance_id.clone(),
                    description: description.clone(),
                    duration_seconds: *duration_seconds,
                    start: *start,
                }
            }
            MaintenanceCommand::Start { maintenance_id } => {
                return start_by_hand(state, maintenance_id);
            }
            MaintenanceCommand::StartDue => return Ok(start_due(state, context.now)),
            MaintenanceCommand::Update {
                maintenance_id,
                text,
                description,
                duration_seconds,
            } => {
                let window = state.subject(maintenance_id.as_deref())?;
                let open = [WindowStatus::Scheduled, WindowStatus::Active];
                require(window, &open, "be updated")?;
                if text.is_some() && window.updates.len() >= UPDATES_MAX {
                    return Err(Rejection::new(
                        ErrorTag::InvalidState,
                        format!("The maintenance window has {UPDATES_MAX} updates already."),
                    ));
                }
                MaintenanceEvent::Updated {
                    maintenance_id: window.maintenance_id.clone(),
                    text: text.clone(),
                    description: description.clone(),
                    duration_seconds: *duration_seconds,
                }
            }
            MaintenanceCommand::End {
                maintenance_id,
                message,
            } => {
                let window = state.subject(maintenance_id.as_deref())?;
                require(window, &[WindowStatus::Active], "be ended")?;
                MaintenanceEvent::Ended {
                    maintenance_id: window.maintenance_id.clone(),
                    message: message.clone(),
                }
            }
            MaintenanceCommand::Cancel { maintenance_id } => {
                let window = state.subject(Some(maintenance_id))?;
                require(window, &[WindowStatus::Scheduled], "be cancelled")?;
                MaintenanceEvent::Cancelled {
                    maintenance_id: maintenance_id.clone(),
                }
            }
        };
        Ok(vec![event])
    }

    fn evolve(mut state: Windows, event: &MaintenanceEvent, occurrence: Occurrence<'_>) -> Windows {
        state.version = occurrence.version;
        let id = event.maintenance_id().to_owned();
        if let MaintenanceEvent::Scheduled {
            description,
            duration_seconds,
            start,
            ..
        } = event
        {
            let window = Window {
                maintenance_id: id.clone(),
                status: WindowStatus::Scheduled,
                description: description.clone(),
                duration_seconds: *duration_seconds,
                scheduled_start: *start,
                started_at: None,
                start_source: None,
                ended_at: None,
                end_message: None,
                cancelled_at: None,
                updates: Vec::new(),
                revision: Revision(1),
                created_at: occurrence.at,
                updated_at: occurrence.at,
            };
            state.open.insert(id, window);
            return state;
        }
        let Some(mut window) = state.open.remove(&id) else {
            return state;
        };
        window.change(event, occurrence.at);
        match window.status {
            WindowStatus::Scheduled | WindowStatus::Active => {
                state.open.insert(id, window);
            }
            WindowStatus::Ended | WindowStatus::Cancelled => state.closed = Some(window),
        }
        state
    }
}

impl Windows {
    /// The named window, or the active one when none is named.
    fn subject(&self, maintenance_id: Option<&str>) -> Result<&Window, Rejection> {
        match maintenance_id {
            Some(id) => self.find(id).ok_or_else(not_found),
            None => self.active().ok_or_else(|| {
                Rejection::new(
                    ErrorTag::InvalidState,
                    "No maintenance window is active; name the one you mean with maintenance_id.",
                )
            }),
        }
    }
}

impl Window {
    fn change(&mut self, event: &MaintenanceEvent, at: Timestamp) {
        self.revision = Revision(self.revision.0 + 1);
        self.updated_at = at;
        match event {
            MaintenanceEvent::Scheduled { .. } => {}
            MaintenanceEvent::Started { source, .. } => {
                self.status = WindowStatus::Active;
                self.started_at = Some(at);
                self.start_source = Some(*source);
            }
            MaintenanceEvent::Updated {
                text,
                description,
                duration_seconds,
                ..
            } => {
                let note = text.clone().map(|text| ProgressNote { at, text });
                self.updates.extend(note);
                if let Some(description) = description {
                    self.description.clone_from(description);
                }
                self.duration_seconds = duration_seconds.unwrap_or(self.duration_seconds);
            }
            MaintenanceEvent::Ended { message, .. } => {
                self.status = WindowStatus::Ended;
                self.ended_at = Some(at);
                self.end_message.clone_from(message);
            }
            MaintenanceEvent::Cancelled { .. } => {
                self.status = WindowStatus::Cancelled;
                self.cancelled_at = Some(at);
            }
        }
    }
}

fn start_by_hand(
    state: &Windows,
    maintenance_id: &str,
) -> Result<Vec<MaintenanceEvent>, Rejection> {
    let window = state.find(maintenance_id).ok_or_else(not_found)?;
    // Who asks for what the sweep has just done has what was asked for.
    if window.status == WindowStatus::Active && window.start_source == Some(StartSource::Sweep) {
        return Ok(Vec::new());
    }
    require(window, &[WindowStatus::Scheduled], "be started")?;
    if let Some(active) = state.active() {
        return Err(Rejection::new(
            ErrorTag::MaintenanceAlreadyActive,
            "Another maintenance window is active; end that one first.",
        )
        .with_detail("maintenance_id", active.maintenance_id.as_str()));
    }
    Ok(vec![MaintenanceEvent::Started {
        maintenance_id: maintenance_id.to_owned(),
        source: StartSource::Manual,
    }])
}

/// The earliest that is due; none while one is active, so that it starts when that one ends.
fn start_due(state: &Windows, now: Timestamp) -> Vec<MaintenanceEvent> {
    if state.active().is_some() {
        return Vec::new();
    }
    let due = state
        .scheduled()
        .filter(|window| window.scheduled_start <= now);
    let first = due.min_by_key(|window| (window.scheduled_start, &window.maintenance_id));
    let started = first.map(|window| MaintenanceEvent::Started {
        maintenance_id: window.maintenance_id.clone(),
        source: StartSource::Sweep,
    });
    started.into_iter().collect()
}

fn require(window: &Window, wanted: &[WindowStatus], what: &str) -> Result<(), Rejection> {
    if wanted.contains(&window.status) {
        return Ok(());
    }
    let status = window.status.as_str();
    Err(Rejection::new(
        ErrorTag::InvalidState,
        format!("The maintenance window is {status} and cannot {what}."),
    )
    .with_detail("maintenance_id", window.maintenance_id.as_str())
    .with_detail("status", status))
}

fn not_found() -> Rejection {
    Rejection::new(
        ErrorTag::NotFound,
        "There is no such maintenance window; see the list of windows.",
    )
}
