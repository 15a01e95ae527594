//! What may be done about a window when, and what it is after each event.

use super::{
    MaintenanceCommand, MaintenanceEvent, OPEN_MAX, ProgressNote, StartSource, UPDATES_MAX, Window,
    WindowStatus, Windows, planned_end,
};
use crate::domain::{
    Aggregate, Context, Decider, ErrorTag, EventMeta, Rejection, Revision, StreamId, Timestamp,
};

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
        match command {
            MaintenanceCommand::Schedule { .. } => state.schedule(command, context.now),
            MaintenanceCommand::Start { maintenance_id } => start_by_hand(state, maintenance_id),
            MaintenanceCommand::StartDue => Ok(start_due(state, context.now)),
            MaintenanceCommand::Update { .. } => state.update(command, context.now),
            MaintenanceCommand::End {
                maintenance_id,
                message,
            } => state.end(maintenance_id.as_deref(), message.as_ref(), context.now),
            MaintenanceCommand::Cancel { maintenance_id } => state.cancel(maintenance_id),
        }
    }

    fn evolve(mut state: Windows, event: &MaintenanceEvent, occurrence: EventMeta<'_>) -> Windows {
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

impl Aggregate for MaintenanceDecider {
    fn initial(stream: &StreamId) -> Option<Windows> {
        (stream.as_str() == StreamId::MAINTENANCE).then(Windows::default)
    }

    fn version(state: &Windows) -> u64 {
        state.version
    }
}

/// What the answer says of a window that was missed.
const MISSED: &str = "Missed: its estimated end had passed before it could begin.";

/// How long the same words about a window are taken for one request that came twice.
const SAME_TEXT_MS: i64 = 10 * 60 * 1_000;

impl Windows {
    fn schedule(
        &self,
        command: &MaintenanceCommand,
        now: Timestamp,
    ) -> Result<Vec<MaintenanceEvent>, Rejection> {
        let MaintenanceCommand::Schedule {
            maintenance_id,
            description,
            duration_seconds,
            start,
        } = command
        else {
            return Ok(Vec::new());
        };
        if let Some(window) = self.find(maintenance_id) {
            let same = window.status == WindowStatus::Scheduled
                && window.scheduled_start == *start
                && window.duration_seconds == *duration_seconds
                && window.description == *description;
            return Err(Rejection::new(
                ErrorTag::Conflict,
                "There is already a maintenance window with this id; choose another.",
            )
            .with_minor("maintenance_id")
            .already_there_if(same));
        }
        check_schedule(self, *start, *duration_seconds, now)?;
        let scheduled = MaintenanceEvent::Scheduled {
            maintenance_id: maintenance_id.clone(),
            description: description.clone(),
            duration_seconds: *duration_seconds,
            start: *start,
        };
        let started = starts_at_once(self, (maintenance_id.as_str(), *start), now);
        Ok([scheduled].into_iter().chain(started).collect())
    }

    fn update(
        &self,
        command: &MaintenanceCommand,
        now: Timestamp,
    ) -> Result<Vec<MaintenanceEvent>, Rejection> {
        let MaintenanceCommand::Update {
            maintenance_id,
            text,
            description,
            duration_seconds,
        } = command
        else {
            return Ok(Vec::new());
        };
        let window = self.subject(maintenance_id.as_deref())?;
        let open = [WindowStatus::Scheduled, WindowStatus::Active];
        require(window, &open, "be updated")?;
        if window.is_as_told(command, now) {
            return Ok(Vec::new());
        }
        if text.is_some() && window.updates.len() >= UPDATES_MAX {
            return Err(Rejection::new(
                ErrorTag::InvalidState,
                format!("The maintenance window has {UPDATES_MAX} updates already."),
            ));
        }
        Ok(vec![MaintenanceEvent::Updated {
            maintenance_id: window.maintenance_id.clone(),
            text: text.clone(),
            description: description.clone(),
            duration_seconds: *duration_seconds,
        }])
    }

    fn end(
        &self,
        maintenance_id: Option<&str>,
        message: Option<&String>,
        now: Timestamp,
    ) -> Result<Vec<MaintenanceEvent>, Rejection> {
        let ended = self.has_ended(maintenance_id, message.map(String::as_str));
        let window = self
            .subject(maintenance_id)
            .map_err(|none| none.already_there_if(ended))?;
        require(window, &[WindowStatus::Active], "be ended")
            .map_err(|wrong| wrong.already_there_if(ended))?;
        let ended = MaintenanceEvent::Ended {
            maintenance_id: window.maintenance_id.clone(),
            message: message.cloned(),
        };
        let next = start_of(self.next_due(now));
        Ok([ended].into_iter().chain(next).collect())
    }

    fn cancel(&self, maintenance_id: &str) -> Result<Vec<MaintenanceEvent>, Rejection> {
        let window = self.subject(Some(maintenance_id))?;
        let cancelled = window.status == WindowStatus::Cancelled;
        require(window, &[WindowStatus::Scheduled], "be cancelled")
            .map_err(|wrong| wrong.already_there_if(cancelled))?;
        Ok(vec![MaintenanceEvent::Cancelled {
            maintenance_id: maintenance_id.to_owned(),
        }])
    }

    /// Whether the window that ended last is the one that is to be ended.
    fn has_ended(&self, maintenance_id: Option<&str>, message: Option<&str>) -> bool {
        self.closed.as_ref().is_some_and(|closed| {
            closed.status == WindowStatus::Ended
                && closed.end_message.as_deref() == message
                && maintenance_id.is_none_or(|id| id == closed.maintenance_id)
        })
    }

    /// The named window, or the active one when none is named.
    fn subject(&self, maintenance_id: Option<&str>) -> Result<&Window, Rejection> {
        match maintenance_id {
            Some(id) => self.find(id).ok_or_else(not_found),
            None => self.active().ok_or_else(|| {
                Rejection::new(
                    ErrorTag::InvalidState,
                    "No maintenance window is active; give a maintenance_id.",
                )
            }),
        }
    }
}

impl Window {
    /// Whether an update repeats the one just before, as when its answer was lost.
    fn is_as_told(&self, command: &MaintenanceCommand, now: Timestamp) -> bool {
        let MaintenanceCommand::Update {
            text,
            description,
            duration_seconds,
            ..
        } = command
        else {
            return false;
        };
        let told = text.as_ref().is_none_or(|text| {
            let last = self.updates.last();
            last.is_some_and(|note| note.text == *text && note.at.plus_millis(SAME_TEXT_MS) > now)
        });
        told && description
            .as_ref()
            .is_none_or(|description| self.description == *description)
            && duration_seconds.is_none_or(|seconds| self.duration_seconds == seconds)
    }

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
            MaintenanceEvent::Missed { .. } => {
                self.status = WindowStatus::Cancelled;
                self.cancelled_at = Some(at);
                self.end_message = Some(MISSED.to_owned());
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
    let active = window.status == WindowStatus::Active;
    require(window, &[WindowStatus::Scheduled], "be started")
        .map_err(|wrong| wrong.already_there_if(active))?;
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

/// The end of one that was missed; or else the start of the earliest that is due, and of none while one is active, so that it
/// starts when that one ends. One event at a time, because the state remembers one window that is over.
fn start_due(state: &Windows, now: Timestamp) -> Vec<MaintenanceEvent> {
    let order = |window: &&Window| (window.scheduled_start, window.maintenance_id.clone());
    let missed = state
        .scheduled()
        .filter(|window| window.planned_end() <= now);
    if let Some(window) = missed.min_by_key(order) {
        return vec![MaintenanceEvent::Missed {
            maintenance_id: window.maintenance_id.clone(),
        }];
    }
    let due = state.next_due(now).filter(|_| state.active().is_none());
    start_of(due).into_iter().collect()
}

fn start_of(window: Option<&Window>) -> Option<MaintenanceEvent> {
    window.map(|window| MaintenanceEvent::Started {
        maintenance_id: window.maintenance_id.clone(),
        source: StartSource::Sweep,
    })
}

/// The start of a window that is being scheduled, when its time has come and no other one comes first.
fn starts_at_once(
    state: &Windows,
    (maintenance_id, start): (&str, Timestamp),
    now: Timestamp,
) -> Option<MaintenanceEvent> {
    let is_free = state.active().is_none() && state.next_due(now).is_none();
    (start <= now && is_free).then(|| MaintenanceEvent::Started {
        maintenance_id: maintenance_id.to_owned(),
        source: StartSource::Sweep,
    })
}

/// Refuses one window too many, and one that would be over already.
fn check_schedule(
    state: &Windows,
    start: Timestamp,
    duration_seconds: u64,
    now: Timestamp,
) -> Result<(), Rejection> {
    let end = planned_end(start, duration_seconds);
    if end <= now {
        let message = format!(
            "The window would already be over: it would have ended at {end}, and the server's time is {now}. Give a later start or a longer duration."
        );
        return Err(Rejection::field("start", message));
    }
    if state.open.len() < OPEN_MAX {
        return Ok(());
    }
    let message =
        format!("There are already {OPEN_MAX} open maintenance windows; cancel one first.");
    Err(Rejection::new(ErrorTag::InvalidState, message))
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
