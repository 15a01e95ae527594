//! Vacuums: everything, or everything of one org, is erased for good; one at a time, and never what is protected.
//!
//! All vacuums share one stream, so that "one at a time" is one expected version.

use serde::{Deserialize, Serialize};

use super::{Context, Decider, ErrorTag, Occurrence, OrgCode, Rejection, Revision, Timestamp};

/// What the caller must say to erase everything (OPS overview).
pub const CONFIRMATION_PHRASE: &str = "VACUUM ALL DATA PERMANENTLY";
/// What begins so, in any case, is never erased: orgs and containers (OPS overview: "Nothing prefixed g3nmhsadmin").
pub const PROTECTED_PREFIX: &str = "g3nmhsadmin";
/// How long a vacuum keeps others out at most (OPS overview: "24-hour TTL safety release").
pub const MUTEX_MS: i64 = 24 * 60 * 60 * 1_000;
/// The name under which a vacuum works.
pub const JOB: &str = "job:vacuum";

/// What is erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything that is not protected.
    All,
    /// Everything of one org that is not protected.
    Org(OrgCode),
}

impl Scope {
    /// `all` or `org`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Org(_) => "org",
        }
    }

    /// The org, when it is one.
    pub fn org(&self) -> Option<&OrgCode> {
        match self {
            Self::All => None,
            Self::Org(org) => Some(org),
        }
    }

    /// Whether an org's own data is erased, or that of one of its containers.
    pub fn covers(&self, org: &str, container: Option<&str>) -> bool {
        let mine = match self {
            Self::All => true,
            Self::Org(mine) => mine.as_str() == org,
        };
        mine && !is_protected(org) && !container.is_some_and(is_protected)
    }

    /// Whether a stream is erased. The operators' own streams and what tells of offboardings never are; users' only with
    /// everything.
    pub fn covers_stream(&self, stream: &str) -> bool {
        let mut parts = stream.split('/');
        match (parts.next(), parts.next()) {
            (Some("mrs"), Some(org)) => self.covers(org, parts.next()),
            (Some("ofm" | "usm"), Some(org)) => self.covers(org, None),
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

/// Where a vacuum is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VacuumStatus {
    /// Waits, and can be cancelled.
    Pending,
    /// Erases.
    Running,
    /// Has erased, or told what it would erase.
    Completed,
    /// Gave up.
    Failed,
    /// Was called off.
    Cancelled,
}

impl VacuumStatus {
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

    /// It holds the mutex.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }
}

/// Things, objects and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Rows: records, orgs and members, users, sessions.
    pub items: u64,
    /// Files.
    pub objects: u64,
    /// Bytes of files and of inline content.
    pub bytes: u64,
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.items += other.items;
        self.objects += other.objects;
        self.bytes += other.bytes;
    }
}

/// What a vacuum erases of one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAmount {
    /// Which.
    pub service: String,
    /// How much; nothing when it is skipped.
    pub amount: Amount,
    /// Why it is left out.
    pub skipped: Option<String>,
}

/// What a vacuum does not erase of one service, or may not without being told so, because it is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    /// Which.
    pub service: String,
    /// How many rows.
    pub items: u64,
    /// Why.
    pub reason: String,
}

/// What was done in the log, so that nobody can erase more under a vacuum's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// Entries that lost their body.
    pub entries: u64,
    /// SHA-256 in hex over their positions, 8 bytes each, big endian, in order.
    pub positions_sha256: String,
}

/// One part of the work. Each may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The lists and everything else that is read.
    Projections,
    /// The bodies and payloads in the commit log.
    Log,
    /// The journal's database.
    Database,
    /// The uploaded files.
    Content,
    /// What earlier repairs had set aside, and log files.
    Leftovers,
}

impl Step {
    /// Every step, in its order: what is read goes first, the bytes nothing names any more last.
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

/// One vacuum as its events made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vacuum {
    /// Its name.
    pub vacuum_id: String,
    /// What it erases.
    pub scope: Scope,
    /// It only tells.
    pub dry_run: bool,
    /// Why, in the operator's words.
    pub reason: String,
    /// The numbers it was asked to keep to.
    pub plan_id: Option<String>,
    /// Where it is in its life.
    pub status: VacuumStatus,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Until when it can be cancelled.
    pub execute_at: Option<Timestamp>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// The journal's position of its beginning; entries up to it are erased.
    pub started_position: u64,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// It erases what is held too.
    pub override_holds: bool,
    /// What it erases, known once it began.
    pub services: Vec<ServiceAmount>,
    /// What is held; a vacuum of an org leaves it, a dry run of everything only tells it.
    pub held: Vec<HeldBack>,
    /// Steps that are done.
    pub done: Vec<Step>,
    /// Why it gave up.
    pub error: Option<String>,
    /// How often it changed.
    pub revision: Revision,
}

impl Vacuum {
    /// All services together.
    pub fn totals(&self) -> Amount {
        let mut totals = Amount::default();
        for service in &self.services {
            totals += service.amount;
        }
        totals
    }
}

/// What is neither there nor gone: a vacuum gave up between the lists and the journal's database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HalfErased {
    /// What was to be erased.
    pub scope: Scope,
    /// By which vacuum.
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
    /// What takes no changes until it is vacuumed again.
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

/// What can happen to a vacuum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum VacuumEvent {
    /// It was asked for, and keeps others out from now on.
    #[serde(rename = "vacuum.requested")]
    Requested {
        /// Its name.
        vacuum_id: String,
        /// What it erases.
        scope: Scope,
        /// It only tells.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        dry_run: bool,
        /// Why.
        reason: String,
        /// Until when it can be cancelled.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        execute_at: Option<Timestamp>,
        /// The numbers it keeps to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plan_id: Option<String>,
        /// It erases what is held too.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        override_holds: bool,
    },
    /// It began: this is what it erases.
    #[serde(rename = "vacuum.started")]
    Started {
        /// Its name.
        vacuum_id: String,
        /// How much.
        services: Vec<ServiceAmount>,
        /// What is held.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        held: Vec<HeldBack>,
    },
    /// A step is done.
    #[serde(rename = "vacuum.step_done")]
    StepDone {
        /// Its name.
        vacuum_id: String,
        /// Which.
        step: Step,
    },
    /// All is done.
    #[serde(rename = "vacuum.completed")]
    Completed {
        /// Its name.
        vacuum_id: String,
        /// What was erased in the log; absent of a dry run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        erased: Option<Erased>,
    },
    /// It gave up.
    #[serde(rename = "vacuum.failed")]
    Failed {
        /// Its name.
        vacuum_id: String,
        /// Why.
        error: String,
    },
    /// It was called off.
    #[serde(rename = "vacuum.cancelled")]
    Cancelled {
        /// Its name.
        vacuum_id: String,
    },
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

/// What an operator, or the vacuum itself, may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VacuumCommand {
    /// Ask for one.
    Request {
        /// Its name, new.
        vacuum_id: String,
        /// What to erase.
        scope: Scope,
        /// Only tell.
        dry_run: bool,
        /// Why.
        reason: String,
        /// How long it can be cancelled; a dry run has no such time.
        pending_ms: i64,
        /// The numbers to keep to.
        plan_id: Option<String>,
        /// Erase what is held too; only of everything.
        override_holds: bool,
    },
    /// Begin, if its time has come.
    Start {
        /// Which.
        vacuum_id: String,
        /// What it erases.
        services: Vec<ServiceAmount>,
        /// What is held.
        held: Vec<HeldBack>,
    },
    /// Note a step.
    NoteStep {
        /// Which.
        vacuum_id: String,
        /// The step.
        step: Step,
    },
    /// End well.
    Complete {
        /// Which.
        vacuum_id: String,
        /// What was erased in the log.
        erased: Option<Erased>,
    },
    /// Give up.
    Fail {
        /// Which.
        vacuum_id: String,
        /// Why.
        error: String,
    },
    /// Call it off.
    Cancel {
        /// Which.
        vacuum_id: String,
    },
}

impl VacuumCommand {
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

/// Decides for vacuums.
pub struct VacuumDecider;

impl Decider for VacuumDecider {
    type Command = VacuumCommand;
    type State = Vacuums;
    type Event = VacuumEvent;

    fn decide(
        state: &Vacuums,
        command: &VacuumCommand,
        context: &Context,
    ) -> Result<Vec<VacuumEvent>, Rejection> {
        let now = context.now;
        Ok(match command {
            VacuumCommand::Request {
                vacuum_id,
                scope,
                dry_run,
                reason,
                pending_ms,
                plan_id,
                override_holds,
            } => {
                check_scope(scope)?;
                let mut events = release(state, now)?;
                events.push(VacuumEvent::Requested {
                    vacuum_id: vacuum_id.clone(),
                    scope: scope.clone(),
                    dry_run: *dry_run,
                    reason: reason.clone(),
                    execute_at: (!dry_run).then(|| now.plus_millis(*pending_ms)),
                    plan_id: plan_id.clone(),
                    override_holds: *override_holds,
                });
                events
            }
            VacuumCommand::Start {
                vacuum_id,
                services,
                held,
            } => {
                let vacuum = require(state, vacuum_id, VacuumStatus::Pending, "begin")?;
                if vacuum.execute_at.is_some_and(|at| at > now) {
                    return Err(wrong_state(vacuum, "begin yet"));
                }
                vec![VacuumEvent::Started {
                    vacuum_id: vacuum_id.clone(),
                    services: services.clone(),
                    held: held.clone(),
                }]
            }
            VacuumCommand::NoteStep { vacuum_id, step } => {
                let vacuum = require(state, vacuum_id, VacuumStatus::Running, "go on")?;
                if vacuum.done.contains(step) {
                    return Ok(Vec::new());
                }
                vec![VacuumEvent::StepDone {
                    vacuum_id: vacuum_id.clone(),
                    step: *step,
                }]
            }
            VacuumCommand::Complete { vacuum_id, erased } => {
                require(state, vacuum_id, VacuumStatus::Running, "be completed")?;
                vec![VacuumEvent::Completed {
                    vacuum_id: vacuum_id.clone(),
                    erased: erased.clone(),
                }]
            }
            VacuumCommand::Fail { vacuum_id, error } => {
                let vacuum = state.find(vacuum_id).ok_or_else(not_found)?;
                if !vacuum.status.is_open() {
                    return Err(wrong_state(vacuum, "fail"));
                }
                vec![VacuumEvent::Failed {
                    vacuum_id: vacuum_id.clone(),
                    error: error.clone(),
                }]
            }
            VacuumCommand::Cancel { vacuum_id } => {
                require(state, vacuum_id, VacuumStatus::Pending, "be cancelled")?;
                vec![VacuumEvent::Cancelled {
                    vacuum_id: vacuum_id.clone(),
                }]
            }
        })
    }

    fn evolve(mut state: Vacuums, event: &VacuumEvent, occurrence: Occurrence<'_>) -> Vacuums {
        state.version = occurrence.version;
        if let VacuumEvent::Requested {
            vacuum_id,
            scope,
            dry_run,
            reason,
            execute_at,
            plan_id,
            override_holds,
        } = event
        {
            state.open = Some(Vacuum {
                vacuum_id: vacuum_id.clone(),
                scope: scope.clone(),
                dry_run: *dry_run,
                reason: reason.clone(),
                plan_id: plan_id.clone(),
                status: VacuumStatus::Pending,
                requested_at: occurrence.at,
                execute_at: *execute_at,
                started_at: None,
                started_position: 0,
                finished_at: None,
                override_holds: *override_holds,
                services: Vec::new(),
                held: Vec::new(),
                done: Vec::new(),
                error: None,
                revision: Revision(1),
            });
            return state;
        }
        let Some(mut vacuum) = state
            .open
            .take_if(|open| open.vacuum_id == event.vacuum_id())
        else {
            return state;
        };
        vacuum.change(event, occurrence);
        if vacuum.status.is_open() {
            state.open = Some(vacuum);
            return state;
        }
        if vacuum.done.contains(&Step::Database) {
            let covered = |half: &HalfErased| [&Scope::All, &half.scope].contains(&&vacuum.scope);
            state.half_erased.retain(|half| !covered(half));
        } else if vacuum.started_at.is_some() && !vacuum.dry_run {
            state.half_erased.push(HalfErased {
                scope: vacuum.scope.clone(),
                vacuum_id: vacuum.vacuum_id.clone(),
            });
        }
        state.last = Some(vacuum);
        state
    }
}

impl Vacuum {
    fn change(&mut self, event: &VacuumEvent, occurrence: Occurrence<'_>) {
        self.revision = Revision(self.revision.0 + 1);
        let finished = match event {
            VacuumEvent::Requested { .. } => None,
            VacuumEvent::Started { services, held, .. } => {
                self.status = VacuumStatus::Running;
                self.started_at = Some(occurrence.at);
                self.started_position = occurrence.position;
                self.services.clone_from(services);
                self.held.clone_from(held);
                None
            }
            VacuumEvent::StepDone { step, .. } => {
                self.done.push(*step);
                None
            }
            VacuumEvent::Completed { .. } => Some(VacuumStatus::Completed),
            VacuumEvent::Failed { error, .. } => {
                self.error = Some(error.clone());
                Some(VacuumStatus::Failed)
            }
            VacuumEvent::Cancelled { .. } => Some(VacuumStatus::Cancelled),
        };
        if let Some(status) = finished {
            self.status = status;
            self.finished_at = Some(occurrence.at);
        }
    }
}

fn check_scope(scope: &Scope) -> Result<(), Rejection> {
    match scope.org().filter(|org| is_protected(org.as_str())) {
        None => Ok(()),
        Some(_) => Err(Rejection::new(
            ErrorTag::InvalidOrgcode,
            format!("Orgs whose name begins with {PROTECTED_PREFIX} are never vacuumed."),
        )),
    }
}

/// Takes the mutex from a vacuum that has had it for too long.
fn release(state: &Vacuums, now: Timestamp) -> Result<Vec<VacuumEvent>, Rejection> {
    let Some(open) = &state.open else {
        return Ok(Vec::new());
    };
    let held_until = open
        .execute_at
        .unwrap_or(open.requested_at)
        .plus_millis(MUTEX_MS);
    if held_until > now {
        return Err(Rejection::new(
            ErrorTag::VacuumMutexLocked,
            "Another vacuum is pending or running; wait for it, or cancel it while it is pending.",
        )
        .with_detail("vacuum_id", open.vacuum_id.as_str())
        .with_detail("status", open.status.as_str()));
    }
    Ok(vec![VacuumEvent::Failed {
        vacuum_id: open.vacuum_id.clone(),
        error: "it was not over after 24 hours and had to make room".to_owned(),
    }])
}

fn require<'a>(
    state: &'a Vacuums,
    vacuum_id: &str,
    status: VacuumStatus,
    what: &str,
) -> Result<&'a Vacuum, Rejection> {
    let vacuum = state.find(vacuum_id).ok_or_else(not_found)?;
    match vacuum.status == status {
        true => Ok(vacuum),
        false => Err(wrong_state(vacuum, what)),
    }
}

fn wrong_state(vacuum: &Vacuum, what: &str) -> Rejection {
    let status = vacuum.status.as_str();
    Rejection::new(
        ErrorTag::InvalidState,
        format!("The vacuum is {status} and cannot {what}."),
    )
    .with_detail("vacuum_id", vacuum.vacuum_id.as_str())
    .with_detail("status", status)
}

fn not_found() -> Rejection {
    Rejection::new(ErrorTag::NotFound, "There is no such vacuum.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: &str, dry_run: bool) -> VacuumCommand {
        VacuumCommand::Request {
            vacuum_id: id.to_owned(),
            scope: Scope::All,
            dry_run,
            reason: "r".to_owned(),
            pending_ms: 300_000,
            plan_id: None,
            override_holds: false,
        }
    }

    fn start(id: &str) -> VacuumCommand {
        VacuumCommand::Start {
            vacuum_id: id.to_owned(),
            services: Vec::new(),
            held: Vec::new(),
        }
    }

    fn complete(id: &str) -> VacuumCommand {
        VacuumCommand::Complete {
            vacuum_id: id.to_owned(),
            erased: None,
        }
    }

    fn cancel(id: &str) -> VacuumCommand {
        VacuumCommand::Cancel {
            vacuum_id: id.to_owned(),
        }
    }

    /// Carries out commands at given seconds, and returns the state or the first refusal's tag.
    fn given(commands: &[(i64, VacuumCommand)]) -> Result<Vacuums, ErrorTag> {
        let mut state = Vacuums::default();
        for (second, command) in commands {
            let context = Context {
                now: Timestamp::from_millis(second * 1_000),
                by: "tester".to_owned(),
            };
            let events = VacuumDecider::decide(&state, command, &context);
            for event in events.map_err(|rejection| rejection.tag)? {
                let occurrence = Occurrence {
                    at: context.now,
                    by: "tester",
                    position: 7,
                    version: state.version + 1,
                };
                state = VacuumDecider::evolve(state, &event, occurrence);
            }
        }
        Ok(state)
    }

    #[test]
    fn what_tells_of_operators_and_of_offboardings_is_covered_by_nothing() {
        let one = Scope::Org(OrgCode::parse("one").unwrap());
        for (stream, by_all, by_its_org) in [
            ("mrs/ONE/notes/n-1", true, true),
            ("ofm/ONE", true, true),
            ("uas/u-1", true, false),
            ("ops/vacuum", false, false),
            ("utl/ONE", false, false),
        ] {
            let covered = (Scope::All.covers_stream(stream), one.covers_stream(stream));
            assert_eq!(covered, (by_all, by_its_org), "{stream}");
        }
    }

    #[test]
    fn a_vacuum_lives_as_the_lifecycle_says() {
        use VacuumStatus::{Cancelled, Completed, Failed, Pending, Running};
        let day = MUTEX_MS / 1_000;
        let a = || (0, request("a", false));
        let invalid = Err(ErrorTag::InvalidState);
        let locked = Err(ErrorTag::VacuumMutexLocked);
        for (commands, wanted) in [
            (vec![a()], Ok(Pending)),
            (vec![a(), (299, start("a"))], invalid),
            (vec![a(), (300, start("a"))], Ok(Running)),
            (vec![a(), (300, start("a")), (301, start("a"))], invalid),
            (
                vec![a(), (300, start("a")), (301, complete("a"))],
                Ok(Completed),
            ),
            (vec![a(), (300, complete("a"))], invalid),
            (vec![a(), (5, cancel("a"))], Ok(Cancelled)),
            (vec![a(), (5, cancel("a")), (300, start("a"))], invalid),
            (vec![a(), (300, start("a")), (301, cancel("a"))], invalid),
            (vec![a(), (5, cancel("b"))], Err(ErrorTag::NotFound)),
            (vec![a(), (5, request("b", false))], locked),
            (vec![a(), (5, request("b", true))], locked),
            (
                vec![(0, request("a", true)), (0, start("a")), (0, complete("a"))],
                Ok(Completed),
            ),
            (
                vec![(0, request("a", true)), (1, request("b", false))],
                locked,
            ),
            (
                vec![a(), (5, cancel("a")), (6, request("b", false))],
                Ok(Cancelled),
            ),
            (vec![a(), (day + 299, request("b", false))], locked),
            (vec![a(), (day + 300, request("b", false))], Ok(Failed)),
            (
                vec![
                    a(),
                    (300, start("a")),
                    (day + 300, request("b", false)),
                    (day + 301, complete("a")),
                ],
                invalid,
            ),
        ] {
            let status = given(&commands).map(|state| state.find("a").map(|vacuum| vacuum.status));
            assert_eq!(status, wanted.map(Some), "{commands:?}");
        }
    }

    #[test]
    fn a_step_is_noted_once_and_the_start_keeps_its_position() {
        let note = VacuumCommand::NoteStep {
            vacuum_id: "a".to_owned(),
            step: Step::Log,
        };
        let commands = [
            (0, request("a", true)),
            (0, start("a")),
            (1, note.clone()),
            (2, note),
        ];
        let open = given(&commands).unwrap().open.unwrap();
        assert_eq!(
            (open.done.as_slice(), open.started_position),
            ([Step::Log].as_slice(), 7)
        );
        assert_eq!(open.revision, Revision(3));
    }

    #[test]
    fn what_is_protected_is_never_covered() {
        let org = |name: &str| Scope::Org(OrgCode::parse(name).unwrap());
        for (scope, stream, covered) in [
            (Scope::All, "mrs/DEMO/notes/n-1", true),
            (Scope::All, "mrs/DEMO/notes", true),
            (Scope::All, "mrs/DEMO/g3nmhsadmin-x/n-1", false),
            (Scope::All, "mrs/G3NMHSADMIN/notes/n-1", false),
            (Scope::All, "mrs/DEMO/notes/g3nmhsadmin", true),
            (Scope::All, "ofm/DEMO", true),
            (Scope::All, "ofm/G3NMHSADMIN_1", false),
            (Scope::All, "uas/u-1", true),
            (Scope::All, "ops/secret-code", false),
            (Scope::All, "ops/vacuum", false),
            (org("demo"), "mrs/DEMO/notes/n-1", true),
            (org("demo"), "mrs/DEMO2/notes/n-1", false),
            (org("demo"), "mrs/DEMO/g3nmhsadmin/n-1", false),
            (org("demo"), "ofm/DEMO", true),
            (org("demo"), "uas/u-1", false),
            (org("demo"), "ops/maintenance", false),
        ] {
            assert_eq!(scope.covers_stream(stream), covered, "{scope:?} {stream}");
        }
        let refused = check_scope(&org("g3nmhsadmin-1")).map_err(|rejection| rejection.tag);
        assert_eq!(refused, Err(ErrorTag::InvalidOrgcode));
    }
}
