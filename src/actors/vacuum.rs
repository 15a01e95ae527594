//! One vacuum: waits until it can no longer be cancelled, then erases step by step, and continues after a crash.

mod error;
mod held;
mod person;
mod run;
mod work;

use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, AtomicResponse, Context, Handler, Message,
    SpawnHandle, WrapFuture,
};
use tokio::sync::watch;

use super::execute::execute;
use super::ops_context::{OpsContext, OpsSettings};
use super::request::{Caller, Refused, other_actor};
use crate::clock::Clock;
use crate::domain::vacuum::{Scope, Vacuum, VacuumCommand, VacuumDecider, VacuumStatus};
use crate::domain::{ErrorTag, Rejection};
use crate::journal::Source;
use crate::projections::ops;
use crate::report;

pub use error::VacuumError;
pub use run::{AfterVacuum, VacuumContext};
pub use work::{Progress, Survey, plan_id};

/// The pause before a vacuum tries again to begin, to continue, or to read its state, after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// The actor of one vacuum, from when it is asked for until it is over.
pub struct VacuumActor {
    vacuum_id: String,
    vacuum: Arc<VacuumContext>,
    changes: watch::Receiver<u64>,
    /// Until when it can be cancelled, whatever the wall clock says.
    pending: Pending,
    working: bool,
    alarm: Option<SpawnHandle>,
}

/// What has been counted of the time in which a vacuum can be cancelled.
#[derive(Clone, Copy)]
enum Pending {
    /// The process's own count of time when the vacuum was first known.
    Since(Duration),
    /// It was requested before the process started: only the wall clock counts.
    Before,
}

/// Why a vacuum's actor wakes by itself; a change wakes it in any case.
enum Alarm {
    /// The vacuum can no longer be cancelled.
    Begin(Box<Vacuum>),
    /// Something failed, and may succeed after [`RETRY`].
    Retry,
}

impl VacuumActor {
    /// The actor of a vacuum that its first request asks for.
    pub fn new(vacuum_id: &str, vacuum: Arc<VacuumContext>) -> Self {
        let since = vacuum.ops.deps.clock.steady();
        Self::pending(vacuum_id, vacuum, Pending::Since(since))
    }

    /// The actor of a vacuum that was asked for before the process started.
    pub fn resumed(vacuum_id: &str, vacuum: Arc<VacuumContext>) -> Self {
        Self::pending(vacuum_id, vacuum, Pending::Before)
    }

    fn pending(vacuum_id: &str, vacuum: Arc<VacuumContext>, pending: Pending) -> Self {
        Self {
            vacuum_id: vacuum_id.to_owned(),
            changes: vacuum.ops.changes(),
            vacuum,
            pending,
            working: false,
            alarm: None,
        }
    }

    fn ops(&self) -> &Arc<OpsContext> {
        &self.vacuum.ops
    }

    /// Acts on the vacuum's state: sleeps until it can begin, works, or stops when it is over.
    fn settle(&mut self, context: &mut Context<Self>) {
        if self.working {
            return;
        }
        // Before the read: what changes after it wakes the actor again.
        self.changes.borrow_and_update();
        let vacuums = match ops::vacuums(&self.ops().deps.store) {
            Ok(vacuums) => vacuums,
            Err(error) => {
                let id = &self.vacuum_id;
                report::notice_error(&format!("the vacuum {id} cannot be read"), &error);
                return self.sleep(Alarm::Retry, context);
            }
        };
        let open = vacuums
            .open
            .filter(|vacuum| vacuum.vacuum_id == self.vacuum_id);
        let Some(vacuum) = open else {
            return context.stop();
        };
        if self.pending.left(&vacuum, &self.ops().deps.clock).is_some() {
            return self.sleep(Alarm::Begin(Box::new(vacuum)), context);
        }
        self.working = true;
        let work = run::run(self.vacuum.clone(), vacuum);
        context.spawn(work.into_actor(self).map(|over, actor, context| {
            actor.working = false;
            if over {
                actor.settle(context);
            } else {
                // Its own change must not wake it before the pause is over.
                actor.changes.borrow_and_update();
                actor.sleep(Alarm::Retry, context);
            }
        }));
    }

    /// Wakes at an alarm or after a change, whichever is first.
    fn sleep(&mut self, alarm: Alarm, context: &mut Context<Self>) {
        if let Some(alarm) = self.alarm.take() {
            context.cancel_future(alarm);
        }
        let clock = self.ops().deps.clock.clone();
        let (pending, mut changes) = (self.pending, self.changes.clone());
        let rings = async move {
            match alarm {
                Alarm::Begin(vacuum) => {
                    clock.wait_while(|clock| pending.left(&vacuum, clock)).await
                }
                Alarm::Retry => tokio::time::sleep(RETRY).await,
            }
        };
        let wakes = async move {
            tokio::select! {
                () = rings => {}
                _ = changes.changed() => {}
            }
        };
        let wakes = wakes.into_actor(self);
        self.alarm = Some(context.spawn(wakes.map(|(), actor, context| actor.settle(context))));
    }
}

impl Pending {
    /// How long a vacuum can still be cancelled; `None` once it may begin, by the wall clock and by what the process has
    /// counted since it was requested, whatever the wall clock was set to meanwhile. One that has begun continues.
    fn left(self, vacuum: &Vacuum, clock: &Clock) -> Option<Duration> {
        let (VacuumStatus::Pending, Some(at)) = (vacuum.status, vacuum.execute_at) else {
            return None;
        };
        let pending_ms = at.millis() - vacuum.requested_at.millis();
        let counted_ms = match self {
            Self::Since(since) => {
                let waited = clock.steady().saturating_sub(since);
                pending_ms.saturating_sub(i64::try_from(waited.as_millis()).unwrap_or(i64::MAX))
            }
            Self::Before => 0,
        };
        let left_ms = match clock.may_destroy() {
            Ok(now) => at.millis().saturating_sub(now.millis()).max(counted_ms),
            // Until an operator confirms the time, which is a change.
            Err(_) => i64::MAX,
        };
        let left_ms = u64::try_from(left_ms).ok().filter(|left| *left > 0);
        left_ms.map(Duration::from_millis)
    }
}

impl Actor for VacuumActor {
    type Context = Context<Self>;

    /// One that is not open waits for the request that it was started for.
    fn started(&mut self, context: &mut Self::Context) {
        let vacuums = ops::vacuums(&self.ops().deps.store);
        let open = vacuums.ok().and_then(|vacuums| vacuums.open);
        if open.is_some_and(|open| open.vacuum_id == self.vacuum_id) {
            self.settle(context);
        }
    }
}

/// What may be asked of a vacuum. All else it does by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VacuumOrder {
    /// Requests a vacuum or a dry run. A user's begins at once, and one of the offboarding job, which waited before it asked;
    /// any other can be cancelled for the time that the settings say.
    Request {
        /// Id of the new vacuum, never used before.
        vacuum_id: String,
        /// Scope of what is to be erased.
        scope: Scope,
        /// A dry run: count and erase nothing.
        dry_run: bool,
        /// Why it is asked for, in the operator's words.
        reason: String,
        /// The numbers to keep to, as a dry run gave them.
        plan_id: Option<String>,
        /// Erase what is held too; only of everything, and of a user.
        override_holds: bool,
    },
    /// Cancels a vacuum that is still pending.
    Cancel {
        /// Id of the vacuum.
        vacuum_id: String,
    },
}

impl VacuumOrder {
    /// The vacuum it names.
    pub fn vacuum_id(&self) -> &str {
        match self {
            Self::Request { vacuum_id, .. } | Self::Cancel { vacuum_id } => vacuum_id,
        }
    }

    /// The command that carries it out.
    fn into_command(self, settings: &OpsSettings, source: Source) -> VacuumCommand {
        match self {
            Self::Request {
                vacuum_id,
                scope,
                dry_run,
                reason,
                plan_id,
                override_holds,
            } => VacuumCommand::Request {
                pending_ms: match (&scope, source) {
                    (Scope::User(_), _) | (_, Source::Job) => 0,
                    (Scope::All | Scope::Org(_), _) => settings.vacuum_pending_ms,
                },
                vacuum_id,
                scope,
                dry_run,
                reason,
                plan_id,
                override_holds,
            },
            Self::Cancel { vacuum_id } => VacuumCommand::Cancel { vacuum_id },
        }
    }
}

/// An order about the actor's vacuum. The answer is the vacuum with it.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Vacuum, Refused>")]
pub struct VacuumRequest {
    /// The order, which names the actor's vacuum.
    pub order: VacuumOrder,
    /// The caller, with the reason given.
    pub caller: Caller,
}

impl Handler<VacuumRequest> for VacuumActor {
    type Result = AtomicResponse<Self, Result<Vacuum, Refused>>;

    fn handle(&mut self, request: VacuumRequest, _: &mut Self::Context) -> Self::Result {
        let (vacuum, id) = (self.vacuum.clone(), self.vacuum_id.clone());
        let work = async move { carry_out(&vacuum, &id, request).await };
        AtomicResponse::new(Box::pin(work.into_actor(self).map(
            |answer, actor, context| {
                actor.settle(context);
                answer
            },
        )))
    }
}

async fn carry_out(
    vacuum: &VacuumContext,
    vacuum_id: &str,
    request: VacuumRequest,
) -> Result<Vacuum, Refused> {
    let VacuumRequest { order, caller } = request;
    if order.vacuum_id() != vacuum_id {
        return Err(other_actor("vacuum_id", vacuum_id).into());
    }
    let command = &order.into_command(&vacuum.ops.settings, caller.source);
    command.check()?;
    check(vacuum, command).await?;
    let deps = &vacuum.ops.deps;
    let vacuums = execute::<VacuumDecider>(deps, command, &caller).await?;
    vacuum.ops.tell_changed();
    let found = vacuums.find(command.vacuum_id()).cloned();
    found.ok_or_else(|| Refused::failed("a command left no vacuum"))
}

/// Refuses to ask for a vacuum of everything while something is held, of a user who cannot leave, or with a stale plan.
async fn check(vacuum: &VacuumContext, command: &VacuumCommand) -> Result<(), Refused> {
    let VacuumCommand::Request {
        scope,
        dry_run,
        plan_id: plan,
        override_holds,
        ..
    } = command
    else {
        return Ok(());
    };
    let deps = &vacuum.ops.deps;
    match scope {
        Scope::All if !dry_run => held::check(&deps.store, *override_holds)?,
        Scope::User(user_id) => person::check(deps, user_id, *override_holds)?,
        Scope::All | Scope::Org(_) => {}
    }
    let Some(plan) = plan else { return Ok(()) };
    let survey = vacuum.survey(scope).await.map_err(Refused::failed)?;
    let now = plan_id(scope, &survey.services);
    if *plan == now {
        return Ok(());
    }
    Err(Rejection::new(
        ErrorTag::Conflict,
        "The plan is stale: the counts have changed since the dry run. Make a new dry run and review it.",
    )
    .with_minor("plan_id")
    .with_detail("plan_id", now)
    .into())
}
