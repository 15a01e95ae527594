//! One maintenance window: executes its commands one after the other, and starts itself when it is due.

use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, AtomicResponse, Context, Handler, Message,
    SpawnHandle, WrapFuture,
};
use tokio::sync::watch;

use super::execute::execute;
use super::ops_context::OpsContext;
use super::request::{Caller, Refused, failed, other_actor};
use crate::domain::maintenance::{
    MaintenanceCommand, MaintenanceDecider, SWEEP, Window, WindowStatus, Windows,
};
use crate::domain::{Rejection, Timestamp};
use crate::projections::ops;

/// The pause before a window tries again to start, or to read its state, after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// The actor of one window, from when it is scheduled until it is over.
pub struct WindowActor {
    maintenance_id: String,
    ops: Arc<OpsContext>,
    changes: watch::Receiver<u64>,
    alarm: Option<SpawnHandle>,
}

/// Why a window's actor wakes by itself; a change wakes it in any case.
enum Alarm {
    /// The wall clock shows this time.
    At(Timestamp),
    /// Something failed, and may succeed after [`RETRY`].
    Retry,
    /// No time: only a change can wake it.
    Never,
}

impl WindowActor {
    /// The actor of a window that is open, or that its first request opens.
    pub fn new(maintenance_id: &str, ops: Arc<OpsContext>) -> Self {
        Self {
            maintenance_id: maintenance_id.to_owned(),
            changes: ops.changes(),
            ops,
            alarm: None,
        }
    }

    /// Acts on the window's state: starts it, sleeps until its time, or stops when it is over.
    fn settle(&mut self, context: &mut Context<Self>) {
        // Before the read: what changes after it wakes the actor again.
        self.changes.borrow_and_update();
        let windows = match ops::windows(&self.ops.deps.store) {
            Ok(windows) => windows,
            Err(error) => {
                self.ops.watch.count_failure(&error.to_string());
                return self.sleep(Alarm::Retry, context);
            }
        };
        let Some(window) = windows.open.get(&self.maintenance_id) else {
            return context.stop();
        };
        match next_alarm(window, &windows) {
            Alarm::At(at) if at <= self.ops.deps.clock.now() => context.notify(WindowRequest {
                command: MaintenanceCommand::StartDue,
                caller: Caller::job(SWEEP),
            }),
            alarm => self.sleep(alarm, context),
        }
    }

    /// Wakes at an alarm or after a change, whichever is first.
    fn sleep(&mut self, alarm: Alarm, context: &mut Context<Self>) {
        if let Some(alarm) = self.alarm.take() {
            context.cancel_future(alarm);
        }
        let (clock, mut changes) = (self.ops.deps.clock.clone(), self.changes.clone());
        let rings = async move {
            match alarm {
                Alarm::At(at) => clock.reached(at).await,
                Alarm::Retry => tokio::time::sleep(RETRY).await,
                Alarm::Never => std::future::pending().await,
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

/// When a window can do something by itself: it starts, or is missed while another is active.
fn next_alarm(window: &Window, windows: &Windows) -> Alarm {
    match window.status {
        WindowStatus::Scheduled if windows.active().is_some() => Alarm::At(window.planned_end()),
        WindowStatus::Scheduled => Alarm::At(window.scheduled_start),
        WindowStatus::Active | WindowStatus::Ended | WindowStatus::Cancelled => Alarm::Never,
    }
}

impl Actor for WindowActor {
    type Context = Context<Self>;

    /// One that is not open waits for the request that it was started for.
    fn started(&mut self, context: &mut Self::Context) {
        let windows = ops::windows(&self.ops.deps.store);
        if windows.is_ok_and(|windows| windows.open.contains_key(&self.maintenance_id)) {
            self.settle(context);
        }
    }
}

/// A command about the actor's window. The answer is the window with it.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Window, Refused>")]
pub struct WindowRequest {
    /// The command; one that names no window is about the active one.
    pub command: MaintenanceCommand,
    /// The caller, with the reason given.
    pub caller: Caller,
}

impl Handler<WindowRequest> for WindowActor {
    type Result = AtomicResponse<Self, Result<Window, Refused>>;

    fn handle(&mut self, request: WindowRequest, _: &mut Self::Context) -> Self::Result {
        let (ops, id) = (self.ops.clone(), self.maintenance_id.clone());
        let work = async move { carry_out(&ops, &id, &request).await };
        AtomicResponse::new(Box::pin(work.into_actor(self).map(
            |answer, actor, context| {
                match &answer {
                    // The journal may take it a little later.
                    Err(Refused::Busy | Refused::Unavailable | Refused::Failed(_)) => {
                        actor.sleep(Alarm::Retry, context);
                    }
                    Ok(_) | Err(Refused::Rejected { .. }) => actor.settle(context),
                }
                answer
            },
        )))
    }
}

async fn carry_out(
    ops: &OpsContext,
    maintenance_id: &str,
    request: &WindowRequest,
) -> Result<Window, Refused> {
    if !is_about(ops, maintenance_id, &request.command)? {
        return Err(other_actor("maintenance_id", maintenance_id).into());
    }
    if let MaintenanceCommand::Schedule { start, .. } = &request.command {
        check_start(ops, *start)?;
    }
    let deps = &ops.deps;
    let windows = execute::<MaintenanceDecider>(deps, &request.command, &request.caller).await?;
    ops.tell_changed();
    let window = windows.find(maintenance_id).cloned();
    window.ok_or_else(|| Refused::failed("a command left no window"))
}

/// Whether a command is about a window: it names that one, or none while no other is active.
fn is_about(
    ops: &OpsContext,
    maintenance_id: &str,
    command: &MaintenanceCommand,
) -> Result<bool, Refused> {
    match (command.maintenance_id(), command) {
        (Some(named), _) => Ok(named == maintenance_id),
        (None, MaintenanceCommand::StartDue) => Ok(true),
        (None, _) => {
            let windows = ops::windows(&ops.deps.store).map_err(failed)?;
            let active = windows.active();
            Ok(active.is_none_or(|active| active.maintenance_id == maintenance_id))
        }
    }
}

/// A start that is long past is a slip, such as in the year, and would keep all tenants out at once.
fn check_start(ops: &OpsContext, start: Timestamp) -> Result<(), Rejection> {
    let now = ops.deps.clock.now();
    let past_ms = now.millis().saturating_sub(start.millis());
    let past_ms_max = ops.settings.schedule_past_ms_max;
    if past_ms <= past_ms_max {
        return Ok(());
    }
    let message = format!(
        "start is {} seconds in the past; at most {} are accepted. The server's time is {now}.",
        past_ms / 1_000,
        past_ms_max / 1_000
    );
    Err(Rejection::field("start", message))
}
