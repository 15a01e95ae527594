//! Orgs that leave and come: each step of an offboarding, its export and its end, by the clock and without anybody asking.

mod import;
mod lifecycle;

use parking_lot::{Mutex, MutexGuard};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use actix::{Actor, Addr};

use super::admission::Hold;
use super::execute::execute;
use super::export::Exports;
use super::ops::Operations;
use super::request::Caller;
use super::request::failed;
use super::thread::ActorThread;
use super::{ActorDeps, Refused};
use crate::clock::random_uuid;
use crate::content::ContentStore;
use crate::domain::offboarding::{
    JOB, OffboardingAction, OffboardingCommand, OffboardingDecider, OffboardingStatus, OrgTransfer,
};
use crate::domain::org::{OrgCommand, OrgDecider, OrgStatus};
use crate::domain::vacuum::{PROTECTED_PREFIX, Scope, is_protected};
use crate::domain::{ErrorTag, OrgCode, Rejection, Timestamp};
use crate::projections::{identity, offboarding};
use crate::report;
use lifecycle::Lifecycle;

pub use import::ImportedPage;

/// Settings of offboardings and exports.
#[derive(Clone, Copy, Debug)]
pub struct OffboardingSettings {
    /// How long the data of an org that leaves can be taken away.
    pub window_ms: i64,
    /// How long an export is kept after its last use, in milliseconds.
    pub export_kept_ms: i64,
    /// How long what waits for its time sleeps at most, whatever the clock was set to meanwhile.
    pub sweep_ms: u64,
}

/// The actor for orgs that leave and come. Cheap to share.
pub struct Offboardings {
    deps: Arc<ActorDeps>,
    operations: Arc<Operations>,
    exports: Arc<Exports>,
    settings: OffboardingSettings,
    thread: ActorThread,
    /// Held while an org's status and its offboarding change together.
    changing: tokio::sync::Mutex<()>,
    /// Orgs that something is being done for.
    working: Mutex<HashSet<OrgCode>>,
    /// Orgs for which something failed: what, and until when it is not tried again.
    resting: Mutex<HashMap<OrgCode, (Timestamp, String)>>,
    stopping: AtomicBool,
    /// The actor, which ends when its last address is dropped.
    lifecycle: OnceLock<Addr<Lifecycle>>,
    itself: Weak<Offboardings>,
}

impl Offboardings {
    /// Creates the actor, and refuses changes to orgs that leave or are imported; nothing else is done before
    /// [`Offboardings::start`].
    ///
    /// # Errors
    /// A failed read of the projections: it is then not known which org takes no changes.
    ///
    /// # Panics
    /// Outside of an actor system.
    pub fn open(
        operations: Arc<Operations>,
        content: Arc<dyn ContentStore>,
        root: PathBuf,
        settings: OffboardingSettings,
    ) -> Result<Arc<Self>, crate::projections::StoreError> {
        let deps = operations.context().deps.clone();
        let exports = Arc::new(Exports {
            journal: deps.journal.clone(),
            store: deps.store.clone(),
            content,
            clock: deps.clock.clone(),
            root,
        });
        let opened = Arc::new_cyclic(|itself| Self {
            deps,
            operations,
            exports,
            settings,
            thread: ActorThread::start(),
            changing: tokio::sync::Mutex::new(()),
            working: Mutex::default(),
            resting: Mutex::default(),
            stopping: AtomicBool::new(false),
            lifecycle: OnceLock::new(),
            itself: itself.clone(),
        });
        for org in offboarding::with_work(&opened.deps.store)? {
            opened.settle_hold(&org)?;
        }
        Ok(opened)
    }

    /// Starts the thread that does what is due, from now on.
    pub fn start(&self) {
        self.lifecycle.get_or_init(|| {
            let lifecycle = Lifecycle::new(self.itself.clone(), self.settings.sweep_ms);
            Lifecycle::start_in_arbiter(self.thread.handle(), move |_| lifecycle)
        });
    }

    /// Ends its thread. Unfinished exports are continued after the next start.
    pub fn close(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.thread.stop();
    }

    /// Waits for the end of its thread after [`Offboardings::close`].
    pub fn join(&self) {
        self.thread.join();
    }

    /// The exports that are there.
    pub fn exports(&self) -> &Arc<Exports> {
        &self.exports
    }

    /// Asks for an org to be offboarded.
    ///
    /// # Errors
    /// `invalid-state` when it is being offboarded, `invalid-orgcode` for one that nothing erases.
    pub async fn request(
        &self,
        org: &OrgCode,
        reason: String,
        caller: &Caller,
    ) -> Result<OrgTransfer, Refused> {
        if is_protected(org.as_str()) {
            return Err(Rejection::new(
                ErrorTag::InvalidOrgcode,
                format!("Orgs whose name begins with {PROTECTED_PREFIX} are never erased and cannot be offboarded."),
            )
            .into());
        }
        let action = OffboardingAction::Request {
            offboarding_id: random_uuid().to_string(),
            reason,
        };
        self.execute(org, action, caller).await
    }

    /// Approves an offboarding: from now on the org takes no changes, is frozen, and is exported.
    ///
    /// # Errors
    /// `invalid-state` when none was asked for.
    pub async fn approve(&self, org: &OrgCode, caller: &Caller) -> Result<OrgTransfer, Refused> {
        let alone = self.changing.lock().await;
        let admission = &self.deps.admission;
        // First nothing changes any more, then it is written down what there is.
        admission.hold(org, Some(Hold::Offboarding));
        admission.drained(&Scope::Org(org.clone())).await;
        let state = identity::org(&self.deps.store, org.as_str()).map_err(failed)?;
        let approved = match state.status {
            None => Err(Rejection::new(ErrorTag::NotFound, "There is no such org.").into()),
            Some(org_status) => {
                let action = OffboardingAction::Approve {
                    window_ms: self.settings.window_ms,
                    org_status,
                    org_version: state.version,
                };
                self.execute(org, action, caller).await
            }
        };
        self.settle_hold(org).map_err(failed)?;
        drop(alone);
        approved?;
        self.keep_closed(org).await
    }

    /// Cancels an offboarding: the org gets back its earlier status.
    ///
    /// # Errors
    /// `invalid-state` when there is none that can be cancelled.
    pub async fn cancel(&self, org: &OrgCode, caller: &Caller) -> Result<OrgTransfer, Refused> {
        let _alone = self.changing.lock().await;
        let before = self.org_transfer(org)?;
        let open = before.open_offboarding();
        let approved = open.filter(|open| open.status == OffboardingStatus::Approved);
        if let Some(approval) = approved.and_then(|open| open.approval.as_ref()) {
            // Before the event, so that no crash leaves a cancelled org frozen: the other way round it is frozen again.
            self.set_status(org, approval.org_status).await?;
        }
        let after = self.execute(org, OffboardingAction::Cancel, caller).await?;
        self.settle_hold(org).map_err(failed)?;
        Ok(after)
    }

    /// Requests an export without an offboarding.
    ///
    /// # Errors
    /// `not-found` when there is no such org, `invalid-state` while another is made.
    pub async fn export(&self, org: &OrgCode, caller: &Caller) -> Result<OrgTransfer, Refused> {
        if identity::org_status(&self.deps.store, org.as_str())
            .map_err(failed)?
            .is_none()
        {
            return Err(Rejection::new(ErrorTag::NotFound, "There is no such org.").into());
        }
        let action = OffboardingAction::Export {
            export_id: random_uuid().to_string(),
            position: self.deps.journal.head().position,
        };
        self.execute(org, action, caller).await
    }

    /// The offboarding, export and import of an org.
    ///
    /// # Errors
    /// [`Refused::Failed`] when the projections cannot be read.
    pub fn org_transfer(&self, org: &OrgCode) -> Result<OrgTransfer, Refused> {
        offboarding::org_transfer(&self.deps.store, org).map_err(failed)
    }

    /// Freezes an org whose offboarding is approved, and has it exported as it is then.
    async fn keep_closed(&self, org: &OrgCode) -> Result<OrgTransfer, Refused> {
        let _alone = self.changing.lock().await;
        let org_transfer = self.org_transfer(org)?;
        let open = org_transfer.open_offboarding();
        let Some(open) = open.filter(|open| open.status == OffboardingStatus::Approved) else {
            return Ok(org_transfer);
        };
        self.set_status(org, OrgStatus::Frozen).await?;
        if org_transfer.export(&open.offboarding_id).is_some() {
            return Ok(org_transfer);
        }
        // A change that was running when the hold began is complete by now.
        self.deps.admission.drained(&Scope::Org(org.clone())).await;
        let action = OffboardingAction::Export {
            export_id: open.offboarding_id.clone(),
            position: self.deps.journal.head().position,
        };
        self.execute(org, action, &Caller::job(JOB)).await
    }

    /// Sets an org's status, unless it is doomed.
    async fn set_status(&self, org: &OrgCode, status: OrgStatus) -> Result<(), Refused> {
        let now = identity::org_status(&self.deps.store, org.as_str()).map_err(failed)?;
        if now.is_none_or(|now| now == OrgStatus::Doomed || now == status) {
            return Ok(());
        }
        let _pass = self.deps.admission.enter_held(org)?;
        let set = OrgCommand::SetStatus {
            org: org.clone(),
            status,
        };
        execute::<OrgDecider>(&self.deps, &set, &Caller::job(JOB)).await?;
        Ok(())
    }

    async fn execute(
        &self,
        org: &OrgCode,
        action: OffboardingAction,
        caller: &Caller,
    ) -> Result<OrgTransfer, Refused> {
        let command = OffboardingCommand {
            org: org.clone(),
            action,
        };
        execute::<OffboardingDecider>(&self.deps, &command, caller).await
    }

    /// Refuses changes to an org that leaves or is imported, and admits them again when it no longer does.
    fn settle_hold(&self, org: &OrgCode) -> Result<(), crate::projections::StoreError> {
        let org_transfer = offboarding::org_transfer(&self.deps.store, org)?;
        let leaving = org_transfer.open_offboarding().map(|open| open.status);
        let hold = match leaving {
            Some(OffboardingStatus::Approved) => Some(Hold::Offboarding),
            Some(OffboardingStatus::Purging) => Some(Hold::Purge),
            Some(
                OffboardingStatus::Requested
                | OffboardingStatus::Purged
                | OffboardingStatus::Cancelled,
            )
            | None => org_transfer.is_importing().then_some(Hold::Import),
        };
        self.deps.admission.hold(org, hold);
        if hold.is_none() {
            self.deps.reset_due();
        }
        Ok(())
    }

    /// Notes that something failed for an org, which is then skipped for a while. Logged once.
    fn back_off(&self, org: &OrgCode, millis: i64, why: &str) {
        let until = self.deps.clock.now().plus_millis(millis);
        let before = self.resting().insert(org.clone(), (until, why.to_owned()));
        if before.is_none_or(|(_, before)| before != why) {
            report::notice(&format!(
                "the offboarding or export of {org} cannot continue: {why}"
            ));
        }
    }

    fn is_resting(&self, org: &OrgCode) -> bool {
        let now = self.deps.clock.now();
        self.resting()
            .get(org)
            .is_some_and(|(until, _)| *until > now)
    }

    fn resting(&self) -> MutexGuard<'_, HashMap<OrgCode, (Timestamp, String)>> {
        // Each change is one step: a panic elsewhere leaves nothing half done.
        self.resting.lock()
    }

    fn working(&self) -> MutexGuard<'_, HashSet<OrgCode>> {
        // As above.
        self.working.lock()
    }
}
