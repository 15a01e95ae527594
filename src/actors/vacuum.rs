//! One vacuum: waits until it can no longer be cancelled, then erases step by step, and goes on after a crash.

pub(super) mod held;
pub(super) mod person;
mod work;

use std::sync::{Arc, Weak};
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, AtomicResponse, Context, Handler, Message,
    SpawnHandle, WrapFuture,
};

use super::Refused;
use super::execute::execute;
use super::ops::Operations;
use super::request::Caller;
use crate::clock::Clock;
use crate::domain::vacuum::{
    JOB, Scope, Step, Vacuum, VacuumCommand, VacuumDecider, VacuumStatus, Vacuums,
};
use crate::journal::Position;
use crate::offload;
use crate::projections::ops;
use crate::report;

pub(super) use work::Work;
use work::erased_of;
pub use work::{Progress, Survey, plan_id};

/// Does something that blocks for long on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    match offload::blocking(work).await {
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

/// Executes a vacuum to its end, or as far as the journal takes it.
async fn run_vacuum(operations: &Operations, vacuum: Vacuum) {
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
    match ops::vacuums(&operations.deps.store) {
        Ok(vacuums) => {
            let admission = &operations.deps.admission;
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
    let vacuums = execute::<VacuumDecider>(&operations.deps, &command, &Caller::job(JOB)).await?;
    operations.tell_changed();
    let vacuum = vacuums.find(&id).cloned();
    vacuum.ok_or_else(|| Refused::Failed("a command left no vacuum".to_owned()))
}

/// A dry run: counts, and says so.
async fn tell(operations: &Operations, vacuum: Vacuum) -> Result<(), Stopped> {
    let vacuum_id = vacuum.vacuum_id.clone();
    if vacuum.status == VacuumStatus::Pending {
        let Survey {
            services, mut held, ..
        } = survey(operations, &vacuum.scope).await?;
        if vacuum.override_holds {
            held.clear();
        }
        let start = VacuumCommand::Start {
            vacuum_id: vacuum_id.clone(),
            services,
            held,
            erases: Vec::new(),
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

/// What has to be so, and what is done, before a user's entries are counted.
async fn prepare(operations: &Operations, vacuum: &Vacuum) -> Result<(), Stopped> {
    let Some(user_id) = vacuum.scope.user_id() else {
        return Ok(());
    };
    let told = |refused: Refused| Stopped::Failed(refused.to_string());
    let check = || person::check(&operations.deps, user_id, vacuum.override_holds);
    check().map_err(told)?;
    person::depart(operations, user_id).await.map_err(told)
}

/// A real run: keeps changes out, counts, begins, and does one step after the other.
async fn erase(operations: &Operations, mut vacuum: Vacuum) -> Result<(), Stopped> {
    let vacuum_id = vacuum.vacuum_id.clone();
    let admission = &operations.deps.admission;
    admission.close(&vacuum.scope, &vacuum_id);
    admission.drained(&vacuum.scope).await;
    if vacuum.status == VacuumStatus::Pending {
        prepare(operations, &vacuum).await?;
        let Survey {
            services,
            mut held,
            erases,
        } = survey(operations, &vacuum.scope).await?;
        if vacuum.scope == Scope::All {
            // It may have been held while the vacuum was pending.
            let free = held::check(&operations.deps.store, vacuum.override_holds);
            free.map_err(|refused| Stopped::Failed(refused.to_string()))?;
            held.clear();
        }
        if let Some(user_id) = vacuum.scope.user_id() {
            // So it may have been meanwhile.
            let free = person::check(&operations.deps, user_id, vacuum.override_holds);
            free.map_err(|refused| Stopped::Failed(refused.to_string()))?;
        }
        let moved = |plan: &String| *plan != plan_id(&vacuum.scope, &services);
        if vacuum.plan_id.as_ref().is_some_and(moved) {
            return Err(Stopped::Failed(
                "the plan is stale: the counts have changed since the dry run".to_owned(),
            ));
        }
        let start = VacuumCommand::Start {
            vacuum_id: vacuum_id.clone(),
            services,
            held,
            erases,
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
    /// The process's own count of time when it was first known.
    since: Duration,
    /// It was asked for before the process started.
    resumed: bool,
    working: bool,
    alarm: Option<SpawnHandle>,
}

impl VacuumActor {
    pub(super) fn new(
        vacuum_id: &str,
        operations: Weak<Operations>,
        (sweep_ms, since): (u64, Duration),
        resumed: bool,
    ) -> Self {
        Self {
            vacuum_id: vacuum_id.to_owned(),
            operations,
            sweep_ms: sweep_ms.max(1),
            since,
            resumed,
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
        if self.working {
            return;
        }
        if !self.may_begin(&vacuum, &operations.deps.clock) {
            return self.sleep(context);
        }
        self.working = true;
        let work = async move { run_vacuum(&operations, vacuum).await };
        context.spawn(work.into_actor(self).map(|(), actor, context| {
            actor.working = false;
            actor.sleep(context);
        }));
    }

    /// Whether it can no longer be cancelled: its time has come by the wall clock and by what the process has counted since
    /// it was asked for, whatever the wall clock was set to meanwhile. One that has begun goes on.
    fn may_begin(&self, vacuum: &Vacuum, clock: &Clock) -> bool {
        let (VacuumStatus::Pending, Some(at)) = (vacuum.status, vacuum.execute_at) else {
            return true;
        };
        let pending_ms = at.millis() - vacuum.requested_at.millis();
        let waited = clock.steady().saturating_sub(self.since);
        let waited_ms = i64::try_from(waited.as_millis()).unwrap_or(i64::MAX);
        clock.may_destroy().is_ok_and(|now| now >= at) && (self.resumed || waited_ms >= pending_ms)
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
            let executed =
                execute::<VacuumDecider>(&operations.deps, &ask.command, &ask.caller).await;
            if executed.is_ok() {
                operations.tell_changed();
            }
            executed
        };
        AtomicResponse::new(Box::pin(work.into_actor(self).map(
            |executed, _, context| {
                context.address().do_send(Look);
                executed
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
        match ops::vacuums(&operations.deps.store) {
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
