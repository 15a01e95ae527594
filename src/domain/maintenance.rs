//! Maintenance windows: scheduled, active, ended or cancelled, and at most one active at a time.
//!
//! All windows share one stream, so that "only one is active" is one expected version.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Context, Decider, ErrorTag, Occurrence, Rejection, Revision, Timestamp};

/// The name under which the sweep starts windows whose time has come.
pub const SWEEP: &str = "job:maintenance-sweep";
/// Longest window in seconds: thirty days.
pub const DURATION_SECONDS_MAX: u64 = 30 * 24 * 60 * 60;
/// Most windows scheduled or active at once.
pub const OPEN_MAX: usize = 100;
/// Most progress notes of one window.
pub const UPDATES_MAX: usize = 1_000;

/// Where a window is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowStatus {
    /// Waits for its time.
    Scheduled,
    /// Tenants are kept out.
    Active,
    /// It is over.
    Ended,
    /// It never began.
    Cancelled,
}

impl WindowStatus {
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
    /// An operator.
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

/// What an operator told about a window on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressNote {
    /// When.
    pub at: Timestamp,
    /// What.
    pub text: String,
}

/// One window as its events made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its name.
    pub maintenance_id: String,
    /// Where it is in its life.
    pub status: WindowStatus,
    /// What is done.
    pub description: String,
    /// How long it should take.
    pub duration_seconds: u64,
    /// When it should start.
    pub scheduled_start: Timestamp,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// Who started it.
    pub start_source: Option<StartSource>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What was said at its end.
    pub end_message: Option<String>,
    /// When it was cancelled.
    pub cancelled_at: Option<Timestamp>,
    /// What was told on its way, oldest first.
    pub updates: Vec<ProgressNote>,
    /// How often it changed.
    pub revision: Revision,
    /// First event.
    pub created_at: Timestamp,
    /// Last event.
    pub updated_at: Timestamp,
}

impl Window {
    /// When it should be over; known once it has started.
    pub fn estimated_end(&self) -> Option<Timestamp> {
        let millis = i64::try_from(self.duration_seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
        self.started_at.map(|at| at.plus_millis(millis))
    }
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
    /// The active one.
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

    fn scheduled(&self) -> impl Iterator<Item = &Window> {
        let open = self.open.values();
        open.filter(|window| window.status == WindowStatus::Scheduled)
    }

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

/// What can happen to a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum MaintenanceEvent {
    /// It was planned.
    #[serde(rename = "maintenance.scheduled")]
    Scheduled {
        /// Its name.
        maintenance_id: String,
        /// What is done.
        description: String,
        /// How long it should take.
        duration_seconds: u64,
        /// When it should start.
        start: Timestamp,
    },
    /// It began.
    #[serde(rename = "maintenance.started")]
    Started {
        /// Its name.
        maintenance_id: String,
        /// Who began it.
        source: StartSource,
    },
    /// Something about it is otherwise, or was told.
    #[serde(rename = "maintenance.updated")]
    Updated {
        /// Its name.
        maintenance_id: String,
        /// What was told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// The new description.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// The new duration.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_seconds: Option<u64>,
    },
    /// It is over.
    #[serde(rename = "maintenance.ended")]
    Ended {
        /// Its name.
        maintenance_id: String,
        /// What was said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// It will not be.
    #[serde(rename = "maintenance.cancelled")]
    Cancelled {
        /// Its name.
        maintenance_id: String,
    },
}

impl MaintenanceEvent {
    /// The window it is about.
    pub fn maintenance_id(&self) -> &str {
        match self {
            Self::Scheduled { maintenance_id, .. }
            | Self::Started { maintenance_id, .. }
            | Self::Updated { maintenance_id, .. }
            | Self::Ended { maintenance_id, .. }
            | Self::Cancelled { maintenance_id } => maintenance_id,
        }
    }
}

/// What an operator, or the sweep, may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MaintenanceCommand {
    /// Plan a window.
    Schedule {
        /// Its name, new.
        maintenance_id: String,
        /// What is done.
        description: String,
        /// How long it should take, at most [`DURATION_SECONDS_MAX`].
        duration_seconds: u64,
        /// When it should start; one in the past is due at once.
        start: Timestamp,
    },
    /// Begin a scheduled window by hand.
    Start {
        /// Which.
        maintenance_id: String,
    },
    /// Begin the window that is due, if there is one and none is active (the sweep).
    StartDue,
    /// Change or tell something.
    Update {
        /// Which; the active one when absent.
        maintenance_id: Option<String>,
        /// What to tell.
        text: Option<String>,
        /// The new description.
        description: Option<String>,
        /// The new duration.
        duration_seconds: Option<u64>,
    },
    /// End the active window.
    End {
        /// Which; the active one when absent.
        maintenance_id: Option<String>,
        /// What to say.
        message: Option<String>,
    },
    /// Call off a scheduled window.
    Cancel {
        /// Which.
        maintenance_id: String,
    },
}

impl MaintenanceCommand {
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

    /// The same about a named window.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn context(millis: i64) -> Context {
        Context {
            now: Timestamp::from_millis(millis),
            by: "tester".to_owned(),
        }
    }

    fn schedule(id: &str, start: i64) -> MaintenanceCommand {
        MaintenanceCommand::Schedule {
            maintenance_id: id.to_owned(),
            description: "d".to_owned(),
            duration_seconds: 60,
            start: Timestamp::from_millis(start),
        }
    }

    fn named(id: &str) -> Option<String> {
        Some(id.to_owned())
    }

    /// Carries commands out one after the other, a second apart, and returns the state or the first refusal's tag.
    fn given(commands: &[MaintenanceCommand]) -> Result<Windows, ErrorTag> {
        let mut state = Windows::default();
        for (number, command) in commands.iter().enumerate() {
            let at = 1_000 * (number as i64 + 1);
            let events = MaintenanceDecider::decide(&state, command, &context(at));
            for event in events.map_err(|rejection| rejection.tag)? {
                let occurrence = Occurrence {
                    at: Timestamp::from_millis(at),
                    by: "tester",
                    position: 0,
                    version: state.version + 1,
                };
                state = MaintenanceDecider::evolve(state, &event, occurrence);
            }
        }
        Ok(state)
    }

    #[test]
    fn a_window_lives_as_the_lifecycle_says() {
        use MaintenanceCommand::{Cancel, End, Start, StartDue, Update};
        let start = |id: &str| Start {
            maintenance_id: id.to_owned(),
        };
        let cancel = |id: &str| Cancel {
            maintenance_id: id.to_owned(),
        };
        let end = |id: Option<String>| End {
            maintenance_id: id,
            message: Some("m".to_owned()),
        };
        let tell = |id: Option<String>| Update {
            maintenance_id: id,
            text: Some("t".to_owned()),
            description: None,
            duration_seconds: None,
        };
        let later = 1_000_000;
        let a = || schedule("a", later);
        let b = || schedule("b", later);
        let invalid = Err(ErrorTag::InvalidState);
        for (commands, wanted) in [
            (vec![a()], Ok(Some(WindowStatus::Scheduled))),
            (vec![a(), start("a")], Ok(Some(WindowStatus::Active))),
            (vec![a(), start("a"), start("a")], invalid),
            (
                vec![a(), b(), start("b"), start("a")],
                Err(ErrorTag::MaintenanceAlreadyActive),
            ),
            (vec![start("a")], Err(ErrorTag::NotFound)),
            (vec![a(), cancel("a")], Ok(Some(WindowStatus::Cancelled))),
            (vec![a(), cancel("a"), cancel("a")], invalid),
            (vec![a(), cancel("a"), start("a")], invalid),
            (vec![a(), start("a"), cancel("a")], invalid),
            (vec![a(), end(None)], invalid),
            (vec![a(), end(named("a"))], invalid),
            (
                vec![a(), start("a"), end(None)],
                Ok(Some(WindowStatus::Ended)),
            ),
            (vec![a(), start("a"), end(None), end(named("a"))], invalid),
            (vec![a(), start("a"), end(None), tell(named("a"))], invalid),
            (vec![a(), tell(None)], invalid),
            (
                vec![a(), tell(named("a"))],
                Ok(Some(WindowStatus::Scheduled)),
            ),
            (
                vec![a(), start("a"), tell(None)],
                Ok(Some(WindowStatus::Active)),
            ),
            // Due at 2 s: the third command comes at 3 s.
            (
                vec![schedule("a", 2_000), StartDue],
                Ok(Some(WindowStatus::Active)),
            ),
            (
                vec![schedule("a", 2_001), StartDue],
                Ok(Some(WindowStatus::Scheduled)),
            ),
            (
                vec![schedule("a", 0), StartDue, start("a")],
                Ok(Some(WindowStatus::Active)),
            ),
            (
                vec![b(), start("b"), schedule("a", 0), StartDue],
                Ok(Some(WindowStatus::Scheduled)),
            ),
        ] {
            let status = given(&commands).map(|state| state.find("a").map(|window| window.status));
            assert_eq!(status, wanted, "{commands:?}");
        }
    }

    #[test]
    fn a_window_tells_what_happened_to_it() {
        let state = given(&[
            schedule("a", 0),
            MaintenanceCommand::StartDue,
            MaintenanceCommand::Update {
                maintenance_id: None,
                text: Some("half".to_owned()),
                description: Some("new".to_owned()),
                duration_seconds: Some(90),
            },
            MaintenanceCommand::End {
                maintenance_id: None,
                message: Some("done".to_owned()),
            },
        ]);
        let state = state.unwrap();
        let window = state.find("a").unwrap();
        assert!(state.open.is_empty());
        assert_eq!(window.start_source, Some(StartSource::Sweep));
        assert_eq!(window.estimated_end(), Some(Timestamp::from_millis(92_000)));
        assert_eq!(
            (window.description.as_str(), window.revision),
            ("new", Revision(4))
        );
        assert_eq!(window.updates[0].text, "half");
        assert_eq!(window.end_message.as_deref(), Some("done"));
        assert_eq!(state.version, 4);
    }

    #[test]
    fn of_several_that_are_due_the_earliest_starts() {
        let state = given(&[
            schedule("late", 900),
            schedule("early", 100),
            MaintenanceCommand::StartDue,
        ]);
        let active = state
            .unwrap()
            .active()
            .map(|window| window.maintenance_id.clone());
        assert_eq!(active.as_deref(), Some("early"));
    }
}
