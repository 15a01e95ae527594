//! What operators ask: carried out on the operators' streams, each command on the version it was decided on.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use actix::{Actor, Addr};
use tokio::sync::Notify;

use super::audit::AuditFile;
use super::deps::ActorDeps;
use super::execute::execute;
use super::maintenance::{AskWindow, Watch, WindowActor};
use super::pace::Pace;
use super::request::{Caller, Refused, failed};
use super::thread::ActorThread;
use super::vacuum::{self, AskVacuum, Progress, Survey, VacuumActor, Work, held, person};
use crate::content::ContentStore;
use crate::domain::clock_jump::{ClockCommand, ClockDecider, ClockJump};
use crate::domain::maintenance::{MaintenanceCommand, MaintenanceDecider, Window, WindowStatus};
use crate::domain::operator_token::{OperatorTokenCommand, OperatorTokenDecider, OperatorTokens};
use crate::domain::revoked_jwt::{JwtDecider, RevokeJwt};
use crate::domain::secret::{SecretCommand, SecretDecider, is_way_out, mismatch};
use crate::domain::vacuum::{Scope, Vacuum, VacuumCommand, VacuumDecider, VacuumStatus};
use crate::domain::{ErrorTag, Rejection, Timestamp};
use crate::offload;
use crate::os_error::told;
use crate::passcode;
use crate::projections::ops;
use crate::report;

/// Who journals that the clock jumped.
const CLOCK_WATCH: &str = "clock-watch";

/// Makes again what must always be there, after a vacuum.
pub type AfterVacuum = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()>>> + Send + Sync>;

/// Settings of the operators' part.
#[derive(Clone, Copy, Debug)]
pub struct OpsSettings {
    /// How long a vacuum can be cancelled before it begins.
    pub vacuum_pending_ms: i64,
    /// How old what the gate knows may become before it lets everybody through.
    pub watch_age_ms_max: u64,
    /// How long what waits for its time sleeps at most, whatever the clock was set to meanwhile.
    pub sweep_ms: u64,
    /// How far in the past the start of a window that is scheduled may lie.
    pub schedule_past_ms_max: i64,
}

impl Default for OpsSettings {
    fn default() -> Self {
        Self {
            vacuum_pending_ms: 300_000,
            watch_age_ms_max: 20_000,
            sweep_ms: 1_000,
            schedule_past_ms_max: 300_000,
        }
    }
}

/// The operators' part of the server: starts the actors of windows and vacuums, and checks the secret code.
pub struct Operations {
    pub(super) deps: Arc<ActorDeps>,
    pub(super) settings: OpsSettings,
    watch: Arc<Watch>,
    audit: Arc<AuditFile>,
    thread: ActorThread,
    windows: Mutex<HashMap<String, Addr<WindowActor>>>,
    vacuums: Mutex<HashMap<String, Addr<VacuumActor>>>,
    work: Arc<Work>,
    /// What is to be made again when a vacuum is over.
    renew: Option<AfterVacuum>,
    /// One code is looked at at a time, so that no more wrong ones are than the lock allows.
    looking: tokio::sync::Mutex<()>,
    /// The turns of those who would end or cancel something.
    pace: Pace,
    /// Told when an operators' event is durable.
    changed: Notify,
    itself: Weak<Operations>,
}

impl Operations {
    /// Opens it; nothing waits for its time before [`Operations::start`].
    pub fn open(
        deps: Arc<ActorDeps>,
        content: Arc<dyn ContentStore>,
        settings: OpsSettings,
        audit: Arc<AuditFile>,
        renew: Option<AfterVacuum>,
    ) -> Arc<Self> {
        let work = Arc::new(Work {
            journal: deps.journal.clone(),
            store: deps.store.clone(),
            content,
            progress: Arc::default(),
        });
        Arc::new_cyclic(|itself| Self {
            deps,
            settings,
            watch: Arc::new(Watch::new(settings.watch_age_ms_max)),
            audit,
            thread: ActorThread::start(),
            windows: Mutex::new(HashMap::new()),
            vacuums: Mutex::new(HashMap::new()),
            work,
            renew,
            looking: tokio::sync::Mutex::new(()),
            pace: Pace::default(),
            changed: Notify::new(),
            itself: itself.clone(),
        })
    }

    /// How long a vacuum can be cancelled before it begins.
    pub fn vacuum_pending_ms(&self) -> i64 {
        self.settings.vacuum_pending_ms
    }

    /// What the gate looks at.
    pub fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// How many windows and vacuums have an actor.
    pub fn awake(&self) -> (usize, usize) {
        let windows = self.windows.lock();
        let vacuums = self.vacuums.lock();
        (windows.len(), vacuums.len())
    }

    /// Wakes what was open when the process ended, and keeps the watch and the audit's file up to date from now on.
    /// Nothing of it stops the tenants when it fails.
    pub fn start(&self) {
        self.watch.refresh(&self.deps.store);
        match ops::clock_jumps(&self.deps.store) {
            Ok(jumps) => {
                if let Some(jump) = jumps.open {
                    self.deps.clock.distrust(jump.by_ms);
                }
            }
            Err(error) => report::notice(&format!("jumps of the clock cannot be read: {error}")),
        }
        match ops::windows(&self.deps.store) {
            Ok(windows) => windows
                .open
                .keys()
                .for_each(|id| drop(self.window_actor(id))),
            Err(error) => self.watch.count_failure(&error.to_string()),
        }
        match ops::vacuums(&self.deps.store) {
            Ok(vacuums) => {
                self.deps.admission.keep_out_of(&vacuums.half_erased);
                vacuums.open.iter().for_each(|vacuum| self.resume(vacuum));
            }
            Err(error) => report::notice(&format!("the vacuums cannot be read: {error}")),
        }
        let Some(itself) = self.itself.upgrade() else {
            return;
        };
        self.thread.handle().spawn(itself.clone().keep_watch());
        self.thread.handle().spawn(itself.keep_audit());
    }

    /// Ends its thread.
    pub fn close(&self) {
        self.thread.stop();
    }

    /// Waits for the end of its thread after [`Operations::close`], and so for a vacuum's step that is being done.
    pub fn join(&self) {
        self.thread.join();
    }

    /// Carries a command about a window out. Returns the window with it.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn maintain(
        &self,
        command: MaintenanceCommand,
        caller: Caller,
    ) -> Result<Window, Refused> {
        if let MaintenanceCommand::Schedule { start, .. } = &command {
            self.check_start(*start)?;
        }
        let windows = ops::windows(&self.deps.store).map_err(failed)?;
        let new = matches!(command, MaintenanceCommand::Schedule { .. });
        let id = match command.maintenance_id() {
            Some(id) => Some(id.to_owned()),
            None => windows.active().map(|window| window.maintenance_id.clone()),
        };
        let executed = match &id {
            Some(id) if new || windows.open.contains_key(id) => {
                let ask = AskWindow {
                    command: command.clone().about(id),
                    caller: caller.clone(),
                };
                match self.window_actor(id).send(ask).await {
                    Ok(answer) => answer,
                    // It was just over, and its actor with it.
                    Err(_) => execute::<MaintenanceDecider>(&self.deps, &command, &caller).await,
                }
            }
            Some(_) | None => execute::<MaintenanceDecider>(&self.deps, &command, &caller).await,
        }?;
        let window = id.and_then(|id| executed.find(&id).cloned());
        let window =
            window.ok_or_else(|| Refused::Failed("a command left no window".to_owned()))?;
        if window.status == WindowStatus::Scheduled {
            // An actor that woke before its window was there has ended, and nobody would start the window.
            drop(self.window_actor(&window.maintenance_id));
        }
        Ok(window)
    }

    /// The scheduled window that a command would schedule once more, as when its answer was lost.
    ///
    /// # Errors
    /// A failed read.
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
        let windows = ops::windows(&self.deps.store).map_err(failed)?;
        let same = windows.scheduled().find(|window| {
            window.scheduled_start == *start
                && window.duration_seconds == *duration_seconds
                && window.description == *description
        });
        Ok(same.cloned())
    }

    /// A start that is long past is a slip, such as in the year, and would keep all tenants out at once.
    fn check_start(&self, start: Timestamp) -> Result<(), Rejection> {
        let now = self.deps.clock.now();
        let past_ms = now.millis().saturating_sub(start.millis());
        match past_ms > self.settings.schedule_past_ms_max {
            false => Ok(()),
            true => Err(Rejection::field(
                "start",
                format!(
                    "start is {} seconds in the past; at most {} are accepted. The server's time is {now}.",
                    past_ms / 1_000,
                    self.settings.schedule_past_ms_max / 1_000
                ),
            )),
        }
    }

    /// Has what destroys go on after a jump of the clock: an operator says that the time is right. Returns the jump, if
    /// there was one.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn confirm_clock(&self, caller: &Caller) -> Result<Option<ClockJump>, Refused> {
        // One that was seen only now is written down first, so that the journal says what was confirmed.
        self.note_jump().await?;
        let before = ops::clock_jumps(&self.deps.store).map_err(failed)?.open;
        execute::<ClockDecider>(&self.deps, &ClockCommand::Confirm, caller).await?;
        self.deps.clock.confirm();
        self.tell_changed();
        Ok(before)
    }

    /// Journals a jump of the clock that nobody has confirmed, once.
    async fn note_jump(&self) -> Result<(), Refused> {
        let Some(by_ms) = self.deps.clock.jumped() else {
            return Ok(());
        };
        let known = ops::clock_jumps(&self.deps.store).map_err(failed)?.open;
        if known.is_none() {
            let note = ClockCommand::NoteJump { by_ms };
            execute::<ClockDecider>(&self.deps, &note, &Caller::job(CLOCK_WATCH)).await?;
            report::notice(&format!(
                "the machine's clock jumped by {} seconds; nothing is removed until an operator confirms the time (g3n ops clock-confirm)",
                by_ms / 1_000
            ));
            self.tell_changed();
        }
        Ok(())
    }

    /// Carries a vacuum's command out: asking for one, or cancelling it. Returns the vacuum with it.
    ///
    /// # Errors
    /// See [`Refused`]; `conflict` when the numbers are not those of the plan, `invalid-state` with the minor `held` when
    /// everything is to be erased and something is held; of a user also `last-owner` and `offboarding`.
    pub async fn vacuum(&self, command: VacuumCommand, caller: Caller) -> Result<Vacuum, Refused> {
        if let VacuumCommand::Request {
            scope: Scope::All,
            dry_run: false,
            override_holds,
            ..
        } = &command
        {
            held::check(&self.deps.store, *override_holds)?;
        }
        if let VacuumCommand::Request {
            scope: Scope::User(user_id),
            override_holds,
            ..
        } = &command
        {
            person::check(&self.deps, user_id, *override_holds)?;
        }
        if let VacuumCommand::Request {
            scope,
            plan_id: Some(plan),
            ..
        } = &command
        {
            let services = self.survey(scope).await?.services;
            let now = vacuum::plan_id(scope, &services);
            if *plan != now {
                return Err(Rejection::new(
                    ErrorTag::Conflict,
                    "The plan is stale: the counts have changed since the dry run. Make a new dry run and review it.",
                )
                .with_minor("plan_id")
                .with_detail("plan_id", now)
                .into());
            }
        }
        let id = command.vacuum_id().to_owned();
        let open = ops::vacuums(&self.deps.store).map_err(failed)?.open;
        let named = open.is_some_and(|open| open.vacuum_id == id);
        let vacuums = if named {
            let ask = AskVacuum {
                command: command.clone(),
                caller: caller.clone(),
            };
            match self.vacuum_actor(&id, false).send(ask).await {
                Ok(answer) => answer,
                // It was just over, and its actor with it.
                Err(_) => execute::<VacuumDecider>(&self.deps, &command, &caller).await,
            }
        } else {
            execute::<VacuumDecider>(&self.deps, &command, &caller).await
        }?;
        let vacuum = vacuums.find(&id).cloned();
        let vacuum =
            vacuum.ok_or_else(|| Refused::Failed("a command left no vacuum".to_owned()))?;
        if vacuum.status.is_open() {
            drop(self.vacuum_actor(&id, false));
        }
        self.tell_changed();
        Ok(vacuum)
    }

    /// What a vacuum of a scope would erase now, service by service.
    ///
    /// # Errors
    /// A failed read.
    pub async fn survey(&self, scope: &Scope) -> Result<Survey, Refused> {
        vacuum::survey(self, scope).await.map_err(Refused::Failed)
    }

    /// How far the running vacuum is.
    pub fn progress(&self) -> &Progress {
        &self.work.progress
    }

    pub(super) fn work(&self) -> &Arc<Work> {
        &self.work
    }

    /// Keeps changes out of what is being erased already, and goes on with it.
    fn resume(&self, vacuum: &Vacuum) {
        if vacuum.status == VacuumStatus::Running && !vacuum.dry_run {
            self.deps.admission.close(&vacuum.scope, &vacuum.vacuum_id);
        }
        drop(self.vacuum_actor(&vacuum.vacuum_id, true));
    }

    pub(super) async fn vacuum_is_over(&self) {
        if let Some(renew) = &self.renew {
            renew().await;
        }
    }

    /// Takes a vacuum that is over out of the book.
    pub(super) fn retire_vacuum(&self, vacuum_id: &str) {
        self.vacuums().remove(vacuum_id);
    }

    /// The actor of a vacuum; one that was asked for before the process started is `resumed`.
    fn vacuum_actor(&self, vacuum_id: &str, resumed: bool) -> Addr<VacuumActor> {
        let mut vacuums = self.vacuums();
        if let Some(address) = vacuums.get(vacuum_id)
            && address.connected()
        {
            return address.clone();
        }
        let timing = (self.settings.sweep_ms, self.deps.clock.steady());
        let actor = VacuumActor::new(vacuum_id, self.itself.clone(), timing, resumed);
        let address = VacuumActor::start_in_arbiter(self.thread.handle(), move |_| actor);
        vacuums.insert(vacuum_id.to_owned(), address.clone());
        address
    }

    fn vacuums(&self) -> MutexGuard<'_, HashMap<String, Addr<VacuumActor>>> {
        self.vacuums.lock()
    }

    /// Checks the operators' secret code. A wrong one is journaled, without the code, before it is answered.
    ///
    /// # Errors
    /// `secret-code-mismatch`, and `throttled` after too many wrong ones. Who would end or cancel something is never kept
    /// out by wrong ones: they are only slowed down, each address by its own.
    pub async fn check_code(
        &self,
        code: Option<&str>,
        (function, address_hash): (&str, &str),
        caller: &Caller,
    ) -> Result<(), Refused> {
        let Some(code) = code else {
            let missing = "The secret code is required; give it as secret_code.";
            return Err(mismatch(missing).with_minor("secret_code").into());
        };
        let turn = match is_way_out(function) {
            true => Some(self.pace.enter(address_hash).await?),
            false => None,
        };
        let _alone = self.looking.lock().await;
        let secret = ops::secret(&self.deps.store).map_err(failed)?;
        secret.check_lock(function, address_hash, self.deps.clock.now())?;
        let Some(hash) = secret.code_hash else {
            let unset = "No secret code is set yet; set one with ops_secret_set.";
            return Err(mismatch(unset).with_minor("not-set").into());
        };
        let code = code.to_owned();
        let right = offload::blocking(move || passcode::verify(&code, &hash)).await;
        match right {
            Ok(true) => {
                let note = SecretCommand::NoteAddress {
                    address_hash: address_hash.to_owned(),
                };
                execute::<SecretDecider>(&self.deps, &note, caller).await?;
                Ok(())
            }
            Ok(false) => {
                if let Some(turn) = turn {
                    turn.was_wrong();
                }
                let note = SecretCommand::NoteMismatch {
                    function: function.to_owned(),
                    address_hash: address_hash.to_owned(),
                };
                execute::<SecretDecider>(&self.deps, &note, caller).await?;
                self.tell_changed();
                Err(mismatch("The secret code is wrong.").into())
            }
            Err(error) => Err(Refused::Failed(error.to_string())),
        }
    }

    /// Sets the secret code; once one is set, only with the old one.
    ///
    /// # Errors
    /// As [`Operations::check_code`].
    pub async fn set_code(
        &self,
        new: &str,
        old: Option<&str>,
        (function, address_hash): (&str, &str),
        caller: &Caller,
    ) -> Result<(), Refused> {
        let there = ops::secret(&self.deps.store)
            .map_err(failed)?
            .code_hash
            .is_some();
        if there
            && self
                .check_new_code(new, old, (function, address_hash), caller)
                .await?
        {
            return Ok(());
        }
        let new = new.to_owned();
        let hash = offload::blocking(move || passcode::hash(&new)).await;
        let code_hash = hash
            .map_err(|error| Refused::Failed(error.to_string()))?
            .map_err(|error| Refused::Failed(error.to_string()))?;
        let set = SecretCommand::Set {
            code_hash,
            proven: there,
        };
        execute::<SecretDecider>(&self.deps, &set, caller).await?;
        self.tell_changed();
        Ok(())
    }

    /// Has all wrong codes forgotten, for whoever gives the right one. The lock is on all addresses or on one; this call
    /// itself is never locked, and no faster after wrong codes than the others that are not.
    ///
    /// # Errors
    /// As [`Operations::check_code`].
    pub async fn lift_code_locks(
        &self,
        code: Option<&str>,
        asked: (&str, &str),
        caller: &Caller,
    ) -> Result<(), Refused> {
        self.check_code(code, asked, caller).await?;
        execute::<SecretDecider>(&self.deps, &SecretCommand::LiftLocks {}, caller).await?;
        self.tell_changed();
        Ok(())
    }

    /// Checks the code there is before another is set. True when that other one is set already, as when the answer to the
    /// same request was lost.
    async fn check_new_code(
        &self,
        new: &str,
        old: Option<&str>,
        place: (&str, &str),
        caller: &Caller,
    ) -> Result<bool, Refused> {
        let refused = match self.check_code(old, place, caller).await {
            Ok(()) => return Ok(false),
            Err(refused) if refused.is(ErrorTag::SecretCodeMismatch) => refused,
            Err(refused) => return Err(refused),
        };
        if old.is_none() {
            // Counted as any code that is tried.
            return match self.check_code(Some(new), place, caller).await {
                Ok(()) => Ok(true),
                Err(other) if other.is(ErrorTag::SecretCodeMismatch) => Err(refused),
                Err(other) => Err(other),
            };
        }
        // The old one has been counted.
        let secret = ops::secret(&self.deps.store).map_err(failed)?;
        secret.check_lock(place.0, place.1, self.deps.clock.now())?;
        let (new, hash) = (new.to_owned(), secret.code_hash.unwrap_or_default());
        match offload::blocking(move || passcode::verify(&new, &hash)).await {
            Ok(true) => Ok(true),
            Ok(false) => Err(refused),
            Err(error) => Err(Refused::Failed(error.to_string())),
        }
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
        let tokens = execute::<OperatorTokenDecider>(&self.deps, &command, caller).await?;
        self.tell_changed();
        Ok(tokens)
    }

    /// Has a token of an identity provider count no longer.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn revoke_jwt(&self, command: RevokeJwt, caller: &Caller) -> Result<(), Refused> {
        execute::<JwtDecider>(&self.deps, &command, caller).await?;
        self.tell_changed();
        Ok(())
    }

    /// Has the watch and the audit look at once.
    pub(super) fn tell_changed(&self) {
        self.watch.refresh(&self.deps.store);
        self.changed.notify_one();
    }

    /// Takes a window that is over out of the book.
    pub(super) fn retire_window(&self, maintenance_id: &str) {
        self.windows().remove(maintenance_id);
    }

    fn window_actor(&self, maintenance_id: &str) -> Addr<WindowActor> {
        let mut windows = self.windows();
        if let Some(address) = windows.get(maintenance_id)
            && address.connected()
        {
            return address.clone();
        }
        let actor = WindowActor::new(maintenance_id, self.itself.clone(), self.settings.sweep_ms);
        let address = WindowActor::start_in_arbiter(self.thread.handle(), move |_| actor);
        windows.insert(maintenance_id.to_owned(), address.clone());
        address
    }

    fn windows(&self) -> MutexGuard<'_, HashMap<String, Addr<WindowActor>>> {
        self.windows.lock()
    }

    async fn keep_watch(self: Arc<Self>) {
        let every = Duration::from_millis((self.settings.watch_age_ms_max / 4).clamp(1, 1_000));
        loop {
            tokio::time::sleep(every).await;
            self.watch.refresh(&self.deps.store);
            if let Err(refused) = self.note_jump().await {
                report::notice(&format!(
                    "a jump of the clock could not be journaled: {refused}"
                ));
            }
        }
    }

    async fn keep_audit(self: Arc<Self>) {
        loop {
            let (audit, store) = (self.audit.clone(), self.deps.store.clone());
            let written = offload::blocking(move || audit.catch_up(&store)).await;
            if let Ok(Err(error)) = written {
                report::storage_failed(&format!("the audit's file is behind: {}", told(&error)));
            }
            self.changed.notified().await;
        }
    }
}
