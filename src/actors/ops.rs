//! The entry for operators: sends commands to the actors of windows and vacuums, and keeps the watch and the audit up to date.

mod code;

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;

use super::audit::AuditFile;
use super::deps::ActorDeps;
use super::execute::execute;
use super::lifecycles::Lifecycles;
use super::maintenance::{WindowActor, WindowRequest};
use super::ops_context::OpsContext;
use super::pace::Pace;
use super::request::{Caller, Refused, failed};
use super::thread::ActorThread;
use super::vacuum::{Progress, Survey, VacuumActor, VacuumContext, VacuumOrder, VacuumRequest};
use super::watch::Watch;
use crate::content::ContentStore;
use crate::domain::clock_jump::{ClockCommand, ClockDecider, ClockJump};
use crate::domain::maintenance::{MaintenanceCommand, StartSource, Window};
use crate::domain::operator_token::{OperatorTokenCommand, OperatorTokenDecider, OperatorTokens};
use crate::domain::revoked_jwt::{JwtDecider, RevokeJwt};
use crate::domain::vacuum::{Scope, Vacuum, VacuumStatus};
use crate::offload;
use crate::os_error::describe;
use crate::projections::ops;
use crate::report;

pub use super::ops_context::OpsSettings;
pub use super::vacuum::AfterVacuum;

/// The author of a jump of the clock in the journal.
const CLOCK_WATCH: &str = "clock-watch";
/// The actor that refuses a command about the active window while none is active.
const NONE_ACTIVE: &str = "none-active";

/// The operators' part of the server: the way of every command to the actor of its window or vacuum, and the check of the
/// secret code.
pub struct Operations {
    ops: Arc<OpsContext>,
    vacuum: Arc<VacuumContext>,
    audit: Arc<AuditFile>,
    thread: ActorThread,
    windows: Lifecycles<WindowActor>,
    vacuums: Lifecycles<VacuumActor>,
    /// One code is checked at a time, so that parallel wrong ones cannot exceed the lock's limit.
    checking: tokio::sync::Mutex<()>,
    /// The turns of those who would end or cancel something.
    pace: Pace,
}

impl Operations {
    /// Creates it; no existing window and no existing vacuum wakes before [`Operations::start`].
    ///
    /// # Panics
    /// Outside of an actor system.
    pub fn open(
        deps: Arc<ActorDeps>,
        content: Arc<dyn ContentStore>,
        settings: OpsSettings,
        audit: Arc<AuditFile>,
        after_vacuum: Option<AfterVacuum>,
    ) -> Arc<Self> {
        let ops = OpsContext::new(deps, settings);
        let vacuum = VacuumContext::new(ops.clone(), content, after_vacuum);
        let thread = ActorThread::start();
        Arc::new(Self {
            windows: Lifecycles::new(thread.handle().clone()),
            vacuums: Lifecycles::new(thread.handle().clone()),
            ops,
            vacuum,
            audit,
            thread,
            checking: tokio::sync::Mutex::new(()),
            pace: Pace::default(),
        })
    }

    /// The gate's knowledge of the active window.
    pub fn watch(&self) -> &Arc<Watch> {
        &self.ops.watch
    }

    /// The dependencies of the operators' actors.
    pub fn context(&self) -> &Arc<OpsContext> {
        &self.ops
    }

    /// The actor of a window, started unless it runs. It takes [`WindowRequest`], as [`Operations::maintain`] sends it.
    pub fn window_actor(&self, maintenance_id: &str) -> Addr<WindowActor> {
        let new = || WindowActor::new(maintenance_id, self.ops.clone());
        self.windows.find_or_start(maintenance_id, new)
    }

    /// The actor of a vacuum, started unless it runs. It takes [`VacuumRequest`], as [`Operations::vacuum`] sends it.
    pub fn vacuum_actor(&self, vacuum_id: &str) -> Addr<VacuumActor> {
        let new = || VacuumActor::new(vacuum_id, self.vacuum.clone());
        self.vacuums.find_or_start(vacuum_id, new)
    }

    /// The numbers of windows and vacuums that have an actor.
    pub fn awake(&self) -> (usize, usize) {
        (self.windows.awake(), self.vacuums.awake())
    }

    /// Wakes what was open when the process ended, and keeps the watch and the audit's file up to date from now on.
    /// Nothing of it stops the tenants when it fails.
    pub fn start(&self) {
        let deps = &self.ops.deps;
        self.ops.watch.refresh(&deps.store);
        match ops::clock_jumps(&deps.store) {
            Ok(jumps) => {
                if let Some(jump) = jumps.open {
                    deps.clock.distrust(jump.by_ms);
                }
            }
            Err(error) => report::notice_error("jumps of the clock cannot be read", &error),
        }
        match ops::windows(&deps.store) {
            Ok(windows) => {
                for id in windows.open.keys() {
                    let new = || WindowActor::new(id, self.ops.clone());
                    drop(self.windows.find_or_start(id, new));
                }
            }
            Err(error) => self.ops.watch.count_failure(&error.to_string()),
        }
        match ops::vacuums(&deps.store) {
            Ok(vacuums) => {
                deps.admission.keep_out_of(&vacuums.half_erased);
                vacuums.open.iter().for_each(|vacuum| self.resume(vacuum));
            }
            Err(error) => report::notice_error("the vacuums cannot be read", &error),
        }
        self.thread.handle().spawn(keep_watch(self.ops.clone()));
        let audit = keep_audit(self.ops.clone(), self.audit.clone());
        self.thread.handle().spawn(audit);
    }

    /// Refuses changes to what is being erased already, and continues the vacuum.
    fn resume(&self, vacuum: &Vacuum) {
        let id = &vacuum.vacuum_id;
        if vacuum.status == VacuumStatus::Running && !vacuum.dry_run {
            self.ops.deps.admission.close(&vacuum.scope, id);
        }
        let new = || VacuumActor::resumed(id, self.vacuum.clone());
        drop(self.vacuums.find_or_start(id, new));
    }

    /// Ends the thread of its actors.
    pub fn close(&self) {
        self.thread.stop();
    }

    /// Waits for the end of its thread after [`Operations::close`], and so for a vacuum's step that is being done.
    pub fn join(&self) {
        self.thread.join();
    }

    /// Executes a command about a window; one that names none is about the active one. Returns the window with it.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn maintain(
        &self,
        command: MaintenanceCommand,
        caller: Caller,
    ) -> Result<Window, Refused> {
        let id = match command.maintenance_id() {
            Some(id) => Some(id.to_owned()),
            None => {
                let windows = ops::windows(&self.ops.deps.store).map_err(failed)?;
                windows.active().map(|window| window.maintenance_id.clone())
            }
        };
        let command = match &id {
            Some(id) => command.about(id),
            None => command,
        };
        let id = id.as_deref().unwrap_or(NONE_ACTIVE);
        let request = WindowRequest { command, caller };
        let new = || WindowActor::new(id, self.ops.clone());
        self.windows.send(id, &request, new).await
    }

    /// The open window that a command would schedule once more, as when its answer was lost; one whose start had come is
    /// active already.
    ///
    /// # Errors
    /// [`Refused::Failed`] when a row cannot be read or decoded.
    pub fn scheduled_already(
        &self,
        command: &MaintenanceCommand,
    ) -> Result<Option<Window>, Refused> {
        let MaintenanceCommand::Schedule {
            description,
            duration_seconds,
            start,
            ..
        } = command
        else {
            return Ok(None);
        };
        let windows = ops::windows(&self.ops.deps.store).map_err(failed)?;
        let same = windows.open.values().find(|window| {
            window.start_source != Some(StartSource::Manual)
                && window.scheduled_start == *start
                && window.duration_seconds == *duration_seconds
                && window.description == *description
        });
        Ok(same.cloned())
    }

    /// Executes a command about a vacuum: asking for one, or cancelling it. Returns the vacuum with it.
    ///
    /// # Errors
    /// See [`Refused`]; `conflict` when the numbers are not those of the plan, `invalid-state` with the minor `held` when
    /// everything is to be erased and something is held; of a user also `last-owner` and `offboarding`.
    pub async fn vacuum(&self, order: VacuumOrder, caller: Caller) -> Result<Vacuum, Refused> {
        let id = order.vacuum_id().to_owned();
        let request = VacuumRequest { order, caller };
        let new = || VacuumActor::new(&id, self.vacuum.clone());
        self.vacuums.send(&id, &request, new).await
    }

    /// Counts what a vacuum of a scope would erase now, service by service.
    ///
    /// # Errors
    /// [`Refused`] when the projections cannot be read.
    pub async fn survey(&self, scope: &Scope) -> Result<Survey, Refused> {
        self.vacuum.survey(scope).await.map_err(Refused::failed)
    }

    /// The progress of the running vacuum.
    pub fn progress(&self) -> &Progress {
        self.vacuum.progress()
    }

    /// Lets destructive work continue after a jump of the clock: an operator confirms that the time is right. Returns the
    /// jump, if there was one.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn confirm_clock(&self, caller: &Caller) -> Result<Option<ClockJump>, Refused> {
        // One that was seen only now is written down first, so that the journal says what was confirmed.
        note_jump(&self.ops).await?;
        let before = ops::clock_jumps(&self.ops.deps.store).map_err(failed)?.open;
        execute::<ClockDecider>(&self.ops.deps, &ClockCommand::Confirm, caller).await?;
        self.ops.deps.clock.confirm();
        self.ops.tell_changed();
        Ok(before)
    }

    /// Makes, rotates or revokes an operator's token. Returns all of them.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn change_token(
        &self,
        command: OperatorTokenCommand,
        caller: &Caller,
    ) -> Result<OperatorTokens, Refused> {
        let tokens = execute::<OperatorTokenDecider>(&self.ops.deps, &command, caller).await?;
        self.ops.tell_changed();
        Ok(tokens)
    }

    /// Has a token of an identity provider count no longer.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn revoke_jwt(&self, command: RevokeJwt, caller: &Caller) -> Result<(), Refused> {
        execute::<JwtDecider>(&self.ops.deps, &command, caller).await?;
        self.ops.tell_changed();
        Ok(())
    }
}

/// Journals an unconfirmed jump of the clock, once.
async fn note_jump(context: &OpsContext) -> Result<(), Refused> {
    let deps = &context.deps;
    let Some(by_ms) = deps.clock.jumped() else {
        return Ok(());
    };
    let known = ops::clock_jumps(&deps.store).map_err(failed)?.open;
    if known.is_none() {
        let note = ClockCommand::NoteJump { by_ms };
        execute::<ClockDecider>(deps, &note, &Caller::job(CLOCK_WATCH)).await?;
        report::notice(&format!(
            "the machine's clock jumped by {} seconds; nothing is removed until an operator confirms the time (g3n ops clock-confirm)",
            by_ms / 1_000
        ));
        context.tell_changed();
    }
    Ok(())
}

async fn keep_watch(context: Arc<OpsContext>) {
    let every = (context.settings.watch_age_ms_max / 4).clamp(1, 1_000);
    loop {
        tokio::time::sleep(Duration::from_millis(every)).await;
        context.watch.refresh(&context.deps.store);
        if let Err(refused) = note_jump(&context).await {
            report::notice_error("a jump of the clock could not be journaled", &refused);
        }
    }
}

async fn keep_audit(context: Arc<OpsContext>, audit: Arc<AuditFile>) {
    let mut changes = context.changes();
    loop {
        changes.borrow_and_update();
        let (audit, store) = (audit.clone(), context.deps.store.clone());
        let written = offload::blocking(move || audit.catch_up(&store)).await;
        if let Ok(Err(error)) = written {
            report::storage_failed(&format!("the audit's file is behind: {}", describe(&error)));
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}
