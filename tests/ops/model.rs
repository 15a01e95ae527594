//! Both lifecycles against a small model: random commands, a clock that moves and restarts, and after each the windows,
//! the vacuums, the gate and the audit are exactly what the model says.

use std::collections::BTreeMap;
use std::sync::Arc;

use metarecord::actors::Refused;
use metarecord::actors::vacuum::VacuumOrder;
use metarecord::clock::{self, Clock};
use metarecord::content::local::LocalStore;
use metarecord::disk::RealDisk;
use metarecord::domain::maintenance::{MaintenanceCommand, Window};
use metarecord::domain::vacuum::{Scope, Vacuum};
use metarecord::domain::{ErrorTag, OrgCode, Timestamp};
use metarecord::projections::ops::{self, AuditFilter};
use proptest::prelude::{BoxedStrategy, ProptestConfig, Strategy, prop, prop_oneof};
use proptest::strategy::Just;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use super::world::{PENDING_MS, Standing};
use crate::support::eventually;

const START_MS: i64 = 1_800_000_000_000;
const HOUR_MS: i64 = 60 * 60 * 1_000;
/// How long every window is to take.
const DURATION_MS: i64 = HOUR_MS;
/// Names that commands choose from; some are never scheduled or asked for.
const NAMES: usize = 6;

/// What is done to the server.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Schedule the next window, so many milliseconds from now.
    Schedule(i64),
    Start(usize),
    /// Tell something about a window, or about the active one.
    Update(Option<usize>),
    End(Option<usize>),
    CancelWindow(usize),
    /// Ask for the next vacuum.
    Request {
        all: bool,
        dry_run: bool,
    },
    CancelVacuum(usize),
    /// The clock goes on.
    Wait(i64),
    Restart,
}

/// One window or vacuum, as simple as can be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Subject {
    status: &'static str,
    /// When it begins by itself.
    due: i64,
    /// By the sweep and not by hand.
    swept: bool,
    dry_run: bool,
    /// Its events, oldest first; a vacuum's steps are left out.
    events: Vec<&'static str>,
}

impl Subject {
    fn new(status: &'static str, due: i64, event: &'static str) -> Self {
        Self {
            status,
            due,
            swept: false,
            dry_run: false,
            events: vec![event],
        }
    }

    fn becomes(&mut self, status: &'static str, event: &'static str) {
        self.status = status;
        self.events.push(event);
    }
}

/// What the server should be.
#[derive(Clone, Debug)]
pub(super) struct Model {
    now: i64,
    windows: Vec<Subject>,
    vacuums: Vec<Subject>,
    /// What the last step should have answered: the subject's status, or the refusal's tag.
    answer: Result<Option<&'static str>, ErrorTag>,
}

impl Model {
    fn active(&self) -> Option<usize> {
        self.windows
            .iter()
            .position(|window| window.status == "active")
    }

    /// The window meant by a command.
    fn meant(&self, which: Option<usize>) -> Result<usize, ErrorTag> {
        match which {
            Some(which) if which < self.windows.len() => Ok(which),
            Some(_) => Err(ErrorTag::NotFound),
            None => self.active().ok_or(ErrorTag::InvalidState),
        }
    }

    fn answer(&mut self, step: &Step) -> Result<Option<&'static str>, ErrorTag> {
        match *step {
            Step::Schedule(wait) => {
                let due = self.now + wait;
                let mut window = Subject::new("scheduled", due, "maintenance.scheduled");
                if wait <= 0 && self.active().is_none() {
                    window.swept = true;
                    window.becomes("active", "maintenance.started");
                }
                let status = window.status;
                self.windows.push(window);
                Ok(Some(status))
            }
            Step::Start(which) => {
                let which = self.meant(Some(which))?;
                match (self.windows[which].status, self.active()) {
                    ("active", _) if self.windows[which].swept => {}
                    ("scheduled", Some(_)) => return Err(ErrorTag::MaintenanceAlreadyActive),
                    ("scheduled", None) => {
                        self.windows[which].becomes("active", "maintenance.started");
                    }
                    _ => return Err(ErrorTag::InvalidState),
                }
                Ok(Some("active"))
            }
            Step::Update(which) => {
                let which = self.meant(which)?;
                let window = &mut self.windows[which];
                if !["scheduled", "active"].contains(&window.status) {
                    return Err(ErrorTag::InvalidState);
                }
                window.becomes(window.status, "maintenance.updated");
                Ok(Some(window.status))
            }
            Step::End(which) => {
                let which = self.meant(which)?;
                if self.windows[which].status != "active" {
                    return Err(ErrorTag::InvalidState);
                }
                self.windows[which].becomes("ended", "maintenance.ended");
                Ok(Some("ended"))
            }
            Step::CancelWindow(which) => {
                let which = self.meant(Some(which))?;
                if self.windows[which].status != "scheduled" {
                    return Err(ErrorTag::InvalidState);
                }
                self.windows[which].becomes("cancelled", "maintenance.cancelled");
                Ok(Some("cancelled"))
            }
            Step::Request { dry_run, .. } => {
                if self.vacuums.iter().any(|vacuum| vacuum.status == "pending") {
                    return Err(ErrorTag::VacuumMutexLocked);
                }
                let due = self.now + if dry_run { 0 } else { PENDING_MS };
                let mut vacuum = Subject::new("pending", due, "vacuum.requested");
                vacuum.dry_run = dry_run;
                self.vacuums.push(vacuum);
                Ok(Some("pending"))
            }
            Step::CancelVacuum(which) => {
                let vacuum = self.vacuums.get_mut(which).ok_or(ErrorTag::NotFound)?;
                if vacuum.status != "pending" {
                    return Err(ErrorTag::InvalidState);
                }
                vacuum.becomes("cancelled", "vacuum.cancelled");
                Ok(Some("cancelled"))
            }
            Step::Wait(millis) => {
                self.now += millis;
                Ok(None)
            }
            Step::Restart => Ok(None),
        }
    }

    /// What happens by itself.
    fn settle(&mut self) {
        let now = self.now;
        let due = |subject: &&mut Subject| subject.due <= now;
        for window in &mut self.windows {
            if window.status == "scheduled" && window.due + DURATION_MS <= now {
                window.becomes("cancelled", "maintenance.missed");
            }
        }
        if self.active().is_none() {
            let scheduled = self.windows.iter_mut();
            let scheduled = scheduled.filter(|window| window.status == "scheduled");
            // Of several that are due at the same time the first that was scheduled: names count up.
            if let Some(first) = scheduled.filter(due).min_by_key(|window| window.due) {
                first.swept = true;
                first.becomes("active", "maintenance.started");
            }
        }
        let pending = self.vacuums.iter_mut();
        let pending = pending.filter(|vacuum| vacuum.status == "pending");
        for vacuum in pending.filter(due) {
            vacuum.events.push("vacuum.started");
            vacuum.becomes("completed", "vacuum.completed");
        }
    }
}

impl ReferenceStateMachine for Model {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model {
            now: START_MS,
            windows: Vec::new(),
            vacuums: Vec::new(),
            answer: Ok(None),
        })
        .boxed()
    }

    fn transitions(_: &Model) -> BoxedStrategy<Step> {
        let which = || 0..NAMES;
        let maybe = || prop::option::of(0..NAMES);
        prop_oneof![
            4 => (-1..6_i64).prop_map(|halves| Step::Schedule(halves * HOUR_MS / 2)),
            3 => which().prop_map(Step::Start),
            2 => maybe().prop_map(Step::Update),
            4 => maybe().prop_map(Step::End),
            2 => which().prop_map(Step::CancelWindow),
            3 => (prop::bool::ANY, prop::bool::ANY).prop_map(|(all, dry_run)| Step::Request { all, dry_run }),
            2 => which().prop_map(Step::CancelVacuum),
            3 => prop_oneof![Just(PENDING_MS - 1), Just(1), Just(PENDING_MS), Just(HOUR_MS)].prop_map(Step::Wait),
            1 => Just(Step::Restart),
        ]
        .boxed()
    }

    fn apply(mut model: Model, step: &Step) -> Model {
        model.answer = model.answer(step);
        model.settle();
        model
    }

    fn preconditions(model: &Model, step: &Step) -> bool {
        match step {
            Step::Schedule(_) => model.windows.len() < NAMES - 1,
            Step::Request { .. } => model.vacuums.len() < NAMES - 1,
            _ => true,
        }
    }
}

/// The server itself, and the model before the step.
struct AppState {
    standing: Option<Standing>,
    /// Behind what stands in it: it goes away last.
    scratch: tempfile::TempDir,
    clock: Clock,
    windows: usize,
    vacuums: usize,
}

fn window_id(which: usize) -> String {
    format!("window-{which}")
}

fn vacuum_id(which: usize) -> String {
    format!("vacuum-{which}")
}

impl AppState {
    fn stand(&mut self) {
        self.standing = None;
        let content = LocalStore::open(Arc::new(RealDisk), &self.scratch.path().join("content"));
        let content = Arc::new(content.expect("it opens"));
        let standing = Standing::start(self.scratch.path(), content, self.clock.clone());
        standing.world.operations.start();
        self.standing = Some(standing);
    }

    fn standing(&self) -> &Standing {
        self.standing.as_ref().expect("it stands")
    }

    fn maintain(&self, command: MaintenanceCommand) -> Result<Option<&'static str>, ErrorTag> {
        let window = self.standing().world.maintain(command);
        window
            .map(|window| Some(window.status.as_str()))
            .map_err(tag)
    }

    fn vacuum(&self, command: VacuumOrder) -> Result<Option<&'static str>, ErrorTag> {
        let vacuum = self.standing().world.vacuum(command);
        vacuum
            .map(|vacuum| Some(vacuum.status.as_str()))
            .map_err(tag)
    }

    fn take(&mut self, step: &Step) -> Result<Option<&'static str>, ErrorTag> {
        match *step {
            Step::Schedule(wait) => {
                self.windows += 1;
                self.maintain(MaintenanceCommand::Schedule {
                    maintenance_id: window_id(self.windows - 1),
                    description: "d".to_owned(),
                    duration_seconds: DURATION_MS.unsigned_abs() / 1_000,
                    start: self.clock.now().plus_millis(wait),
                })
            }
            Step::Start(which) => self.maintain(MaintenanceCommand::Start {
                maintenance_id: window_id(which),
            }),
            Step::Update(which) => self.maintain(MaintenanceCommand::Update {
                maintenance_id: which.map(window_id),
                // Each another: the same twice in a row is one.
                text: Some(format!("{}", clock::random_uuid())),
                description: None,
                duration_seconds: None,
            }),
            Step::End(which) => self.maintain(MaintenanceCommand::End {
                maintenance_id: which.map(window_id),
                message: None,
            }),
            Step::CancelWindow(which) => self.maintain(MaintenanceCommand::Cancel {
                maintenance_id: window_id(which),
            }),
            Step::Request { all, dry_run } => {
                let org = OrgCode::parse("demo").expect("an org code");
                let asked = self.vacuum(VacuumOrder::Request {
                    vacuum_id: vacuum_id(self.vacuums),
                    scope: if all { Scope::All } else { Scope::Org(org) },
                    dry_run,
                    reason: "r".to_owned(),
                    plan_id: None,
                    override_holds: false,
                });
                self.vacuums += usize::from(asked.is_ok());
                asked
            }
            Step::CancelVacuum(which) => self.vacuum(VacuumOrder::Cancel {
                vacuum_id: vacuum_id(which),
            }),
            Step::Wait(millis) => {
                self.clock.advance(millis);
                Ok(None)
            }
            Step::Restart => {
                self.stand();
                Ok(None)
            }
        }
    }

    fn window(&self, which: usize) -> Window {
        let window = ops::window(&self.standing().world.deps.store, &window_id(which));
        window.expect("it can be read").expect("it is there")
    }

    fn vacuum_of(&self, which: usize) -> Vacuum {
        let vacuum = ops::vacuum(&self.standing().world.deps.store, &vacuum_id(which));
        vacuum.expect("it can be read").expect("it is there")
    }

    /// The statuses of all windows and vacuums.
    fn statuses(&self) -> Vec<&'static str> {
        let windows = (0..self.windows).map(|which| self.window(which).status.as_str());
        let vacuums = (0..self.vacuums).map(|which| self.vacuum_of(which).status.as_str());
        windows.chain(vacuums).collect()
    }

    /// The audit's events by window and vacuum.
    fn audited(&self) -> BTreeMap<String, Vec<String>> {
        let store = &self.standing().world.deps.store;
        let page = ops::audit(store, &AuditFilter::default(), None, usize::MAX);
        let mut audited: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in page.expect("it can be read").items {
            if row.event != "vacuum.step_done" {
                let subject = row.subject.expect("no secret code is set");
                audited.entry(subject).or_default().push(row.event);
            }
        }
        audited
    }
}

fn tag(refused: Refused) -> ErrorTag {
    match refused {
        Refused::Rejected { rejection, .. } => rejection.tag,
        other => panic!("{other:?}"),
    }
}

struct Lifecycles;

impl StateMachineTest for Lifecycles {
    type SystemUnderTest = AppState;
    type Reference = Model;

    fn init_test(_: &Model) -> AppState {
        let mut app = AppState {
            scratch: tempfile::tempdir().expect("a temporary directory"),
            clock: Clock::manual(Timestamp::from_millis(START_MS)),
            standing: None,
            windows: 0,
            vacuums: 0,
        };
        app.stand();
        let org = OrgCode::parse("demo").expect("an org code");
        app.standing().world.make_org(&org);
        app
    }

    fn apply(mut app: AppState, model: &Model, step: Step) -> AppState {
        let answer = app.take(&step);
        assert_eq!(answer, model.answer, "{step:?}");
        let both = model.windows.iter().chain(&model.vacuums);
        let wanted: Vec<_> = both.map(|subject| subject.status).collect();
        eventually("all is as the model says", || app.statuses() == wanted);
        app
    }

    fn check_invariants(app: &AppState, model: &Model) {
        let watch = app.standing().world.operations.watch();
        let active = || watch.active().map(|window| window.maintenance_id.clone());
        let wanted = model.active().map(window_id);
        eventually("the gate knows", || active() == wanted);
        let named = |(which, subject): (usize, &Subject), name: fn(usize) -> String| {
            let events = subject.events.iter().map(|event| (*event).to_owned());
            (name(which), events.collect::<Vec<_>>())
        };
        let windows = model.windows.iter().enumerate();
        let vacuums = model.vacuums.iter().enumerate();
        let history: BTreeMap<_, _> = windows
            .map(|window| named(window, window_id))
            .chain(vacuums.map(|vacuum| named(vacuum, vacuum_id)))
            .collect();
        assert_eq!(app.audited(), history);
        for (which, window) in model.windows.iter().enumerate() {
            let revision = app.window(which).revision.0;
            assert_eq!(
                revision,
                window.events.len() as u64,
                "each event is a revision"
            );
        }
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, max_shrink_time: 20_000, ..ProptestConfig::default() })]
    #[test]
    fn both_lifecycles_are_what_their_model_says(sequential 1..30 => Lifecycles);
}
