//! One vacuum: waits until it can no longer be cancelled, then erases step by step, and goes on after a crash.

pub(super) mod held;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, AtomicResponse, Context, Handler, Message,
    SpawnHandle, WrapFuture,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Refused;
use super::carry::carry;
use super::ops::{Caller, Operations};
use crate::aside;
use crate::clock::Pace;
use crate::content::{ContentStore, ObjectName};
use crate::domain::Event;
use crate::domain::record::{NewContent, RecordEvent};
use crate::domain::vacuum::{
    Amount, Erased, HeldBack, JOB, Scope, ServiceAmount, Step, Vacuum, VacuumCommand,
    VacuumDecider, VacuumStatus, Vacuums,
};
use crate::journal::{EraseOrder, Journal, Position};
use crate::projections::forget::Reach;
use crate::projections::{Store, forget, ops};
use crate::report;

/// How often a failed deletion is tried (OPS overview: "up to 7 attempts").
const ATTEMPTS_MAX: u32 = 7;
/// The pause after the first failure (OPS overview: "100ms to 5s cap").
const BACK_OFF: Duration = Duration::from_millis(100);
/// The longest pause.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// Entries read from the journal at a time.
const READ_ENTRIES: usize = 1_000;
/// Objects removed between two reports of progress.
const OBJECTS_REPORTED: u64 = 64;

/// What a vacuum works on.
pub(super) struct Work {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) store: Store,
    pub(super) content: Arc<dyn ContentStore>,
    pub(super) progress: Arc<Progress>,
}

/// How far the running vacuum is.
#[derive(Default)]
pub struct Progress(Mutex<Option<(Step, u64, u64)>>);

impl Progress {
    /// The step, what is done of it, and of how much (0 when that is not known).
    pub fn now(&self) -> Option<(Step, u64, u64)> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, progress: Option<(Step, u64, u64)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }
}

/// What a vacuum would erase, and what is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// What is erased, service by service.
    pub services: Vec<ServiceAmount>,
    /// What is held; of everything it is among what is erased.
    pub held: Vec<HeldBack>,
}

/// Names the numbers of a scope, so that a real run can be held to those of a dry run.
pub fn plan_id(scope: &Scope, services: &[ServiceAmount]) -> String {
    // Strings and numbers only: always serializable.
    let text = serde_json::to_vec(&(scope, services)).unwrap_or_default();
    hex::encode(&Sha256::digest(text)[..16])
}

impl Work {
    /// What a vacuum would erase now, service by service, and what is held of that.
    pub(super) fn survey(&self, scope: &Scope) -> Result<Survey, String> {
        let reach = Reach::new(&self.store, scope);
        let count = forget::count(&reach).map_err(told)?;
        let covered = count.covered;
        let mut records = Amount {
            items: covered.records,
            ..Amount::default()
        };
        let kept = self.walk_journal(&reach, &mut records.bytes)?;
        self.each_object(scope, &kept, &mut |object| {
            records.objects += 1;
            records.bytes += self.content.size(object).map_err(told)?.unwrap_or(0);
            Ok(())
        })?;
        let items = |items| Amount {
            items,
            ..Amount::default()
        };
        let cross = scope.org().map(|_| "user accounts belong to no one org");
        let services = vec![
            service("mrs", records, None),
            service("ofm", items(covered.orgs_and_members), None),
            service("uas", items(covered.users), cross),
            // Sessions are the users'; of one org only its service accounts and keys are covered.
            service("usm", items(covered.sessions_and_keys), None),
            service("ops", Amount::default(), Some("never vacuumed")),
            log_files(scope)?,
        ];
        let held = held::back(&count);
        Ok(Survey { services, held })
    }

    /// Adds up the inline bytes that are erased, and gathers the objects of what stays.
    fn walk_journal(&self, reach: &Reach, bytes: &mut u64) -> Result<BTreeSet<Uuid>, String> {
        let (mut kept, mut next, mut pace) = (BTreeSet::new(), 1, Pace::start());
        loop {
            let entries = self.journal.read(next, READ_ENTRIES).map_err(told)?;
            let Some(last) = entries.last().map(|entry| entry.header.position) else {
                reach.check().map_err(told)?;
                return Ok(kept);
            };
            for body in entries.iter().filter_map(|entry| entry.body.as_ref()) {
                match reach.covers_stream(body.stream.as_str()) {
                    true => *bytes += body.payload.as_ref().map_or(0, |payload| payload.size),
                    false => kept.extend(body.events.iter().filter_map(object_of)),
                }
            }
            next = last + 1;
            pace.rest();
        }
    }

    fn each_object(
        &self,
        scope: &Scope,
        kept: &BTreeSet<Uuid>,
        visit: &mut dyn FnMut(&ObjectName) -> Result<(), String>,
    ) -> Result<(), String> {
        for org in self.content.orgs().map_err(told)? {
            if !scope.covers(org.as_str(), None) {
                continue;
            }
            for object_id in self.content.list(&org).map_err(told)? {
                if !kept.contains(&object_id) {
                    let org = org.clone();
                    visit(&ObjectName { org, object_id })?;
                }
            }
        }
        Ok(())
    }

    /// Does one step; the log's is done when its erased positions are known. Repeating it is harmless.
    fn step(&self, step: Step, scope: &Scope, erased: &[Position]) -> Result<(), String> {
        let told_progress = |done, total| self.progress.set(Some((step, done, total)));
        told_progress(0, 0);
        match step {
            Step::Projections => retried(|| {
                let reach = Reach::new(&self.store, scope);
                forget::forget(&reach, &mut |done| told_progress(done, 0)).map_err(told)
            }),
            Step::Log => Ok(()),
            Step::Database => retried(|| {
                let mut progress = told_progress;
                self.journal.forget(erased, &mut progress).map_err(told)
            }),
            Step::Content => self.remove_content(scope, &mut |done| told_progress(done, 0)),
            Step::Leftovers => {
                let orgs = self.content.orgs().map_err(told)?;
                let mut covered = orgs.iter().filter(|org| scope.covers(org.as_str(), None));
                covered.try_for_each(|org| retried(|| self.content.forget(org).map_err(told)))?;
                match (scope.org(), report::log()) {
                    (None, Some(log)) => retried(|| log.remove_files().map_err(told)),
                    (Some(_), _) | (_, None) => Ok(()),
                }
            }
        }
    }

    /// Erases in the log; what was erased before is found again.
    fn erase(&self, vacuum: &Vacuum) -> Result<Vec<Position>, String> {
        let reach = Arc::new(Reach::new(&self.store, &vacuum.scope));
        let asked = Arc::clone(&reach);
        let order = Arc::new(EraseOrder {
            covers: Box::new(move |stream| asked.covers_stream(stream)),
            by: vacuum.started_position,
        });
        let removals = self.content.removals();
        retried(|| {
            let mut pass = None;
            // It is told ahead of each segment: there a backup may begin, which then reads no half of one.
            let mut told_progress = |done, total| {
                drop(pass.take());
                pass = Some(removals.pass());
                self.progress.set(Some((Step::Log, done, total)));
            };
            let erased = self.journal.erase(Arc::clone(&order), &mut told_progress);
            reach.check().map_err(told)?;
            erased.map_err(told)
        })
    }

    fn remove_content(&self, scope: &Scope, progress: &mut dyn FnMut(u64)) -> Result<(), String> {
        // The journal has let go of everything else, so what it still names is what stays.
        let kept = self.walk_journal(&Reach::new(&self.store, scope), &mut 0)?;
        let mut removed = 0;
        self.each_object(scope, &kept, &mut |object| {
            retried(|| self.content.remove(object).map_err(told))?;
            removed += 1;
            if removed % OBJECTS_REPORTED == 0 {
                progress(removed);
            }
            Ok(())
        })
    }
}

/// What a vacuum of everything removes of the log. Its bytes are not counted: they grow with every look at them, and a
/// real run is held to the numbers of its plan.
fn log_files(scope: &Scope) -> Result<ServiceAmount, String> {
    if scope.org().is_some() {
        let why = "log lines name orgs, and hold nothing of theirs";
        return Ok(service("logs", Amount::default(), Some(why)));
    }
    let log = report::log();
    let Some(dir) = log.as_ref().and_then(|log| log.dir()) else {
        let why = "this server keeps no log files";
        return Ok(service("logs", Amount::default(), Some(why)));
    };
    let amount = Amount {
        objects: report::files::list(dir).map_err(told)?.len() as u64,
        ..Amount::default()
    };
    Ok(service("logs", amount, None))
}

fn service(name: &str, amount: Amount, skipped: Option<&str>) -> ServiceAmount {
    ServiceAmount {
        service: name.to_owned(),
        amount: match skipped {
            Some(_) => Amount::default(),
            None => amount,
        },
        skipped: skipped.map(str::to_owned),
    }
}

/// The object that an event brings.
fn object_of(event: &Event) -> Option<Uuid> {
    match event {
        Event::Record(
            RecordEvent::Created {
                content: NewContent::Upload { object_id, .. },
                ..
            }
            | RecordEvent::Replaced {
                content: NewContent::Upload { object_id, .. },
                ..
            },
        ) => Some(*object_id),
        Event::Record(_)
        | Event::Container(_)
        | Event::Org(_)
        | Event::User(_)
        | Event::Account(_)
        | Event::Secret(_)
        | Event::Maintenance(_)
        | Event::Vacuum(_)
        | Event::Job(_)
        | Event::Offboarding(_) => None,
    }
}

/// Tries a deletion again after a pause, a bounded number of times. Blocks.
fn retried<T>(mut work: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let mut pause = BACK_OFF;
    for _ in 1..ATTEMPTS_MAX {
        match work() {
            Ok(done) => return Ok(done),
            Err(error) => report::notice(&format!(
                "a vacuum's deletion failed, trying again: {error}"
            )),
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(BACK_OFF_MAX);
    }
    work()
}

/// An error with its cause, for the operator.
fn told(error: impl std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn erased_of(positions: &[Position]) -> Erased {
    let mut hash = Sha256::new();
    for position in positions {
        hash.update(position.to_be_bytes());
    }
    Erased {
        entries: positions.len() as u64,
        positions_sha256: hex::encode(hash.finalize()),
    }
}

/// Does something that blocks for long on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    match aside::blocking(work).await {
        Ok(done) => done,
        Err(broke_off) => Err(broke_off.to_string()),
    }
}

/// Why a vacuum stopped without being over.
enum Stopped {
    /// Somebody else has decided on it meanwhile.
    Overtaken,
    /// It cannot go on.
    Failed(String),
}

impl From<Refused> for Stopped {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Rejected { .. } => Self::Overtaken,
            Refused::Busy | Refused::Unavailable | Refused::Failed(_) => {
                Self::Failed(refused.to_string())
            }
        }
    }
}

impl From<String> for Stopped {
    fn from(error: String) -> Self {
        Self::Failed(error)
    }
}

/// Carries a vacuum out to its end, or as far as the journal takes it.
async fn execute(operations: &Operations, vacuum: Vacuum) {
    let id = vacuum.vacuum_id.clone();
    let done = match vacuum.dry_run {
        true => tell(operations, vacuum).await,
        false => erase(operations, vacuum).await,
    };
    operations.work().progress.set(None);
    if let Err(Stopped::Failed(error)) = done {
        report::notice(&format!("the vacuum {id} failed: {error}"));
        let fail = VacuumCommand::Fail {
            vacuum_id: id.clone(),
            error,
        };
        if let Err(Refused::Busy | Refused::Unavailable | Refused::Failed(_)) =
            ask(operations, fail).await
        {
            // The journal takes nothing: it is still running, and changes are kept out until it goes on.
            return;
        }
    }
    match ops::vacuums(&operations.desk.store) {
        Ok(vacuums) => {
            let admission = &operations.desk.admission;
            admission.keep_out_of(&vacuums.half_erased);
            admission.open(&id);
        }
        Err(error) => report::notice(&format!("the vacuums cannot be read: {error}")),
    }
    operations.tell_changed();
    operations.vacuum_is_over().await;
}

async fn ask(operations: &Operations, command: VacuumCommand) -> Result<Vacuum, Refused> {
    let id = command.vacuum_id().to_owned();
    let vacuums = carry::<VacuumDecider>(&operations.desk, &command, &Caller::job(JOB)).await?;
    operations.tell_changed();
    let vacuum = vacuums.find(&id).cloned();
    vacuum.ok_or_else(|| Refused::Failed("a command left no vacuum".to_owned()))
}

/// A dry run: counts, and says so.
async fn tell(operations: &Operations, vacuum: Vacuum) -> Result<(), Stopped> {
    let vacuum_id = vacuum.vacuum_id.clone();
    if vacuum.status == VacuumStatus::Pending {
        let Survey { services, mut held } = survey(operations, &vacuum.scope).await?;
        if vacuum.override_holds {
            held.clear();
        }
        let start = VacuumCommand::Start {
            vacuum_id: vacuum_id.clone(),
            services,
            held,
        };
        ask(operations, start).await?;
    }
    let complete = VacuumCommand::Complete {
        vacuum_id,
        erased: None,
    };
    ask(operations, complete).await?;
    Ok(())
}

/// A real run: keeps changes out, counts, begins, and does one step after the other.
async fn erase(operations: &Operations, mut vacuum: Vacuum) -> Result<(), Stopped> {
    let vacuum_id = vacuum.vacuum_id.clone();
    let admission = &operations.desk.admission;
    admission.close(&vacuum.scope, &vacuum_id);
    admission.drained(&vacuum.scope).await;
    if vacuum.status == VacuumStatus::Pending {
        let Survey { services, mut held } = survey(operations, &vacuum.scope).await?;
        if vacuum.scope == Scope::All {
            // It may have been held while the vacuum was pending.
            let free = held::check(&operations.desk.store, vacuum.override_holds);
            free.map_err(|refused| Stopped::Failed(refused.to_string()))?;
            held.clear();
        }
        let moved = |plan: &String| *plan != plan_id(&vacuum.scope, &services);
        if vacuum.plan_id.as_ref().is_some_and(moved) {
            return Err(Stopped::Failed(
                "the numbers have moved since the dry run that was the plan".to_owned(),
            ));
        }
        let start = VacuumCommand::Start {
            vacuum_id: vacuum_id.clone(),
            services,
            held,
        };
        vacuum = ask(operations, start).await?;
    }
    // Known once the log was walked; after a restart it is walked again.
    let mut erased = None;
    for step in Step::ALL {
        if vacuum.done.contains(&step) {
            continue;
        }
        if matches!(step, Step::Log | Step::Database) && erased.is_none() {
            erased = Some(erased_positions(operations, &vacuum).await?);
        }
        let positions = erased.clone().unwrap_or_default();
        let (work, scope) = (operations.work().clone(), vacuum.scope.clone());
        blocking(move || work.step(step, &scope, &positions)).await?;
        let note = VacuumCommand::NoteStep {
            vacuum_id: vacuum_id.clone(),
            step,
        };
        vacuum = ask(operations, note).await?;
    }
    let positions = match erased {
        Some(positions) => positions,
        None => erased_positions(operations, &vacuum).await?,
    };
    let complete = VacuumCommand::Complete {
        vacuum_id,
        erased: Some(erased_of(&positions)),
    };
    ask(operations, complete).await?;
    Ok(())
}

async fn erased_positions(
    operations: &Operations,
    vacuum: &Vacuum,
) -> Result<Arc<Vec<Position>>, String> {
    let (work, of) = (operations.work().clone(), vacuum.clone());
    blocking(move || work.erase(&of).map(Arc::new)).await
}

pub(super) async fn survey(operations: &Operations, scope: &Scope) -> Result<Survey, String> {
    let (work, scope) = (operations.work().clone(), scope.clone());
    blocking(move || work.survey(&scope)).await
}

/// The actor of one vacuum, from when it is asked for until it is over.
pub struct VacuumActor {
    vacuum_id: String,
    operations: Weak<Operations>,
    sweep_ms: u64,
    working: bool,
    alarm: Option<SpawnHandle>,
}

impl VacuumActor {
    pub(super) fn new(vacuum_id: &str, operations: Weak<Operations>, sweep_ms: u64) -> Self {
        Self {
            vacuum_id: vacuum_id.to_owned(),
            operations,
            sweep_ms: sweep_ms.max(1),
            working: false,
            alarm: None,
        }
    }

    /// What follows from the state: wait, work, or stop.
    fn settle(&mut self, vacuums: &Vacuums, context: &mut Context<Self>) {
        let Some(operations) = self.operations.upgrade() else {
            return context.stop();
        };
        let mine = vacuums.find(&self.vacuum_id);
        let open = mine.filter(|vacuum| vacuum.status.is_open());
        let Some(vacuum) = open.cloned() else {
            if !self.working {
                operations.retire_vacuum(&self.vacuum_id);
                context.stop();
            }
            return;
        };
        let now = operations.desk.clock.now();
        if self.working {
            return;
        }
        if vacuum.execute_at.is_some_and(|at| at > now) {
            return self.sleep(context);
        }
        self.working = true;
        let work = async move { execute(&operations, vacuum).await };
        context.spawn(work.into_actor(self).map(|(), actor, context| {
            actor.working = false;
            actor.sleep(context);
        }));
    }

    /// The timer only wakes; the clock decides. It may have been set meanwhile, so the sleep is short.
    fn sleep(&mut self, context: &mut Context<Self>) {
        if let Some(alarm) = self.alarm.take() {
            context.cancel_future(alarm);
        }
        let sleep = Duration::from_millis(self.sweep_ms);
        let look = |_: &mut Self, context: &mut Context<Self>| context.address().do_send(Look);
        self.alarm = Some(context.run_later(sleep, look));
    }
}

impl Actor for VacuumActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.address().do_send(Look);
    }
}

/// Carry a command about this vacuum out. The answer is the state with it.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vacuums, Refused>")]
pub struct AskVacuum {
    /// What to do.
    pub command: VacuumCommand,
    /// Who asks.
    pub caller: Caller,
}

impl Handler<AskVacuum> for VacuumActor {
    type Result = AtomicResponse<Self, Result<Vacuums, Refused>>;

    fn handle(&mut self, ask: AskVacuum, _: &mut Self::Context) -> Self::Result {
        let operations = self.operations.clone();
        let work = async move {
            let operations = operations.upgrade().ok_or(Refused::Unavailable)?;
            let carried = carry::<VacuumDecider>(&operations.desk, &ask.command, &ask.caller).await;
            if carried.is_ok() {
                operations.tell_changed();
            }
            carried
        };
        AtomicResponse::new(Box::pin(work.into_actor(self).map(
            |carried, _, context| {
                context.address().do_send(Look);
                carried
            },
        )))
    }
}

/// Look what there is to do.
#[derive(Message)]
#[rtype(result = "()")]
struct Look;

impl Handler<Look> for VacuumActor {
    type Result = ();

    fn handle(&mut self, _: Look, context: &mut Self::Context) {
        let Some(operations) = self.operations.upgrade() else {
            return context.stop();
        };
        match ops::vacuums(&operations.desk.store) {
            Ok(vacuums) => self.settle(&vacuums, context),
            Err(error) => {
                report::notice(&format!(
                    "the vacuum {} cannot be read: {error}",
                    self.vacuum_id
                ));
                self.sleep(context);
            }
        }
    }
}
