//! One maintenance window: takes its commands one after the other, and starts itself when its time has come.

use parking_lot::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};
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
use crate::clock::Stopwatch;
use crate::domain::maintenance::{
    MaintenanceCommand, MaintenanceDecider, SWEEP, Window, WindowStatus, Windows,
};
use crate::projections::{Store, ops};
use crate::report;

/// The actor of one window, from when it is scheduled until it is over.
pub struct WindowActor {
    maintenance_id: String,
    operations: Weak<Operations>,
    sweep_ms: u64,
    alarm: Option<SpawnHandle>,
}

impl WindowActor {
    pub(super) fn new(maintenance_id: &str, operations: Weak<Operations>, sweep_ms: u64) -> Self {
        Self {
            maintenance_id: maintenance_id.to_owned(),
            operations,
            sweep_ms: sweep_ms.max(1),
            alarm: None,
        }
    }

    /// What follows from the state: sleep until its time, or stop when it is over.
    fn settle(&mut self, windows: &Windows, context: &mut Context<Self>) {
        let status = windows
            .find(&self.maintenance_id)
            .map(|window| window.status);
        match status {
            Some(WindowStatus::Scheduled) => self.sleep(context),
            Some(WindowStatus::Active) => {}
            Some(WindowStatus::Ended | WindowStatus::Cancelled) | None => {
                if let Some(operations) = self.operations.upgrade() {
                    operations.retire_window(&self.maintenance_id);
                }
                context.stop();
            }
        }
    }

    /// The timer only wakes; the clock decides. It may have been set meanwhile, so the sleep is short.
    fn sleep(&mut self, context: &mut Context<Self>) {
        if let Some(alarm) = self.alarm.take() {
            context.cancel_future(alarm);
        }
        let address = context.address();
        let sleep = Duration::from_millis(self.sweep_ms);
        self.alarm = Some(context.run_later(sleep, move |_, _| address.do_send(Look)));
    }
}

impl Actor for WindowActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.sleep(context);
    }
}

/// Carry a command about this window out. The answer is all windows with it.
#[derive(Debug, Message)]
#[rtype(result = "Result<Windows, Refused>")]
pub struct AskWindow {
    /// What to do.
    pub command: MaintenanceCommand,
    /// Who asks.
    pub caller: Caller,
}

impl Handler<AskWindow> for WindowActor {
    type Result = AtomicResponse<Self, Result<Windows, Refused>>;

    fn handle(&mut self, ask: AskWindow, _: &mut Self::Context) -> Self::Result {
        let operations = self.operations.clone();
        let work = async move {
            let operations = operations.upgrade().ok_or(Refused::Unavailable)?;
            let executed =
                execute::<MaintenanceDecider>(&operations.deps, &ask.command, &ask.caller).await;
            if executed.is_ok() {
                operations.tell_changed();
            }
            executed
        };
        AtomicResponse::new(Box::pin(work.into_actor(self).map(
            |executed, actor, context| {
                match &executed {
                    Ok(windows) => actor.settle(windows, context),
                    Err(_) => actor.sleep(context),
                }
                executed
            },
        )))
    }
}

/// Look whether the time has come.
#[derive(Message)]
#[rtype(result = "()")]
struct Look;

impl Handler<Look> for WindowActor {
    type Result = ();

    fn handle(&mut self, _: Look, context: &mut Self::Context) {
        let Some(operations) = self.operations.upgrade() else {
            return context.stop();
        };
        match ops::windows(&operations.deps.store) {
            Ok(windows) => {
                let now = operations.deps.clock.now();
                let mine = windows.find(&self.maintenance_id);
                let mine = mine.filter(|window| window.status == WindowStatus::Scheduled);
                let due = mine.is_some_and(|window| window.scheduled_start <= now);
                let missed = mine.is_some_and(|window| window.planned_end() <= now);
                if missed || (due && windows.active().is_none()) {
                    context.address().do_send(AskWindow {
                        command: MaintenanceCommand::StartDue,
                        caller: Caller::job(SWEEP),
                    });
                }
                self.settle(&windows, context);
            }
            Err(error) => {
                operations.watch().count_failure(&error.to_string());
                self.sleep(context);
            }
        }
    }
}

/// What the gate looks at before each tenant's request: the active window, read ahead of time and never older than a
/// limit. What cannot be read, or is too old, lets everybody through.
pub struct Watch {
    seen: RwLock<Seen>,
    age_ms_max: u64,
    failures: AtomicU64,
    /// Since there is one.
    made: Stopwatch,
}

struct Seen {
    since: Option<Stopwatch>,
    active: Option<Arc<Window>>,
    failing: bool,
}

impl Watch {
    /// One that knows nothing yet; what it knows is believed so many milliseconds.
    pub fn new(age_ms_max: u64) -> Self {
        Self {
            seen: RwLock::new(Seen {
                since: None,
                active: None,
                failing: false,
            }),
            age_ms_max,
            failures: AtomicU64::new(0),
            made: Stopwatch::start(),
        }
    }

    /// The active window. Reads memory alone.
    pub fn active(&self) -> Option<Arc<Window>> {
        let seen = self.seen.read();
        match seen.since {
            Some(since) if since.millis() <= self.age_ms_max => seen.active.clone(),
            Some(_) | None => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// How old what it knows is; since there is a watch, while it knows nothing.
    pub fn age(&self) -> Duration {
        let seen = self.seen.read();
        seen.since.unwrap_or(self.made).elapsed()
    }

    /// The age past which what it knows counts no more.
    pub fn age_max(&self) -> Duration {
        Duration::from_millis(self.age_ms_max)
    }

    /// Whether a window is known to be active. Unlike [`Watch::active`] it counts nothing, because nobody is let through.
    pub fn is_active(&self) -> bool {
        let seen = self.seen.read();
        let known = seen
            .since
            .is_some_and(|since| since.millis() <= self.age_ms_max);
        known && seen.active.is_some()
    }

    /// How often it failed open: reads that failed, and requests that found what is known too old.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Reads what is active now. A failure keeps what is known until that is too old.
    pub fn refresh(&self, store: &Store) {
        match ops::windows(store) {
            Ok(windows) => {
                let active = windows.active().cloned().map(Arc::new);
                *self.seen.write() = Seen {
                    since: Some(Stopwatch::start()),
                    active,
                    failing: false,
                };
            }
            Err(error) => self.count_failure(&error.to_string()),
        }
    }

    /// Counts a failed read; the first of a row is told to the operator.
    pub(super) fn count_failure(&self, error: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut seen = self.seen.write();
        if !std::mem::replace(&mut seen.failing, true) {
            report::maintenance_unknown(error);
        }
    }
}
