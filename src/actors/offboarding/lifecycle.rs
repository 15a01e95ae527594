//! The actor that wakes by the clock and does what is due for each org that is leaving.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, WrapFuture};

use super::Offboardings;
use crate::actors::Caller;
use crate::actors::Refused;
use crate::actors::admission::Hold;
use crate::actors::export::Order;
use crate::actors::request::failed;
use crate::actors::vacuum::VacuumOrder;
use crate::clock::ordered_uuid;
use crate::domain::offboarding::{
    Export, JOB, Offboarding, OffboardingAction, OffboardingStatus, OrgTransfer,
};
use crate::domain::vacuum::{Scope, VacuumStatus};
use crate::domain::{ErrorTag, OrgCode, Timestamp};
use crate::offload;
use crate::os_error::describe;
use crate::projections::{holds, offboarding, ops};
use crate::report;

/// How long an org is left alone after something failed for it.
const REST_MS: i64 = 60_000;

/// Why an org's data cannot be erased yet.
#[derive(Debug, thiserror::Error)]
enum PurgeError {
    #[error("a legal hold keeps the data ({0})")]
    LegalHold(String),
    #[error("{0} records are held by their owners")]
    OwnerHolds(usize),
    #[error("the vacuum {vacuum_id} did not erase all: {how}")]
    Left { vacuum_id: String, how: String },
}

/// Wakes every `sweep_ms`, and starts what is due for each org.
pub(super) struct Lifecycle {
    offboardings: Weak<Offboardings>,
    sweep_ms: u64,
}

impl Lifecycle {
    pub(super) fn new(offboardings: Weak<Offboardings>, sweep_ms: u64) -> Self {
        Self {
            offboardings,
            sweep_ms: sweep_ms.max(1),
        }
    }
}

impl Actor for Lifecycle {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.address().do_send(Look);
    }
}

/// A message: check what is due.
#[derive(Message)]
#[rtype(result = "()")]
struct Look;

impl Handler<Look> for Lifecycle {
    type Result = ();

    fn handle(&mut self, _: Look, context: &mut Self::Context) {
        let Some(offboardings) = self.offboardings.upgrade() else {
            return context.stop();
        };
        match offboarding::with_work(&offboardings.deps.store) {
            Ok(orgs) => {
                for org in orgs {
                    if !offboardings.is_resting(&org) && offboardings.working().insert(org.clone())
                    {
                        let work = offboardings.clone().work_on(org);
                        context.spawn(work.into_actor(self));
                    }
                }
            }
            Err(error) => report::notice_error("the offboardings cannot be read", &error),
        }
        // The timer only wakes; the clock decides. It may have been set meanwhile, so the sleep is short.
        let sleep = Duration::from_millis(self.sweep_ms);
        context.run_later(sleep, |_, context| context.address().do_send(Look));
    }
}

impl Offboardings {
    /// Does what is due for an org.
    async fn work_on(self: Arc<Self>, org: OrgCode) {
        match self.advance(&org).await {
            Ok(()) => drop(self.resting().remove(&org)),
            Err(refused) => {
                self.back_off(&org, REST_MS, &describe(&refused));
                // Tenants read this one: causes name files of the server.
                self.record_blocked(&org, refused.to_string()).await;
            }
        }
        self.working().remove(&org);
    }

    async fn advance(self: &Arc<Self>, org: &OrgCode) -> Result<(), Refused> {
        self.keep_closed(org).await?;
        let org_transfer = self.org_transfer(org)?;
        for export in &org_transfer.exports {
            let gone = self.removed_at(&org_transfer, export);
            if gone.is_some_and(|at| self.has_come(at)) {
                self.remove(org, export).await?;
            } else if export.made.is_none() {
                self.make(org, &org_transfer, export).await?;
            }
        }
        let org_transfer = self.org_transfer(org)?;
        match org_transfer.open_offboarding() {
            Some(open) if open.status == OffboardingStatus::Approved => {
                self.purge_if_due(org, &org_transfer, open).await
            }
            Some(open) if open.status == OffboardingStatus::Purging => self.watch(org, open).await,
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a time at which something is erased has come, by the trusted clock.
    fn has_come(&self, at: Timestamp) -> bool {
        self.deps.clock.may_destroy().is_ok_and(|now| now >= at)
    }

    /// When an export is to be removed: a complete one is kept for a while after the last moment in which somebody waited
    /// for it, a cancelled one is not.
    fn removed_at(&self, org_transfer: &OrgTransfer, export: &Export) -> Option<Timestamp> {
        let made = export.made.as_ref().map(|made| made.at);
        let kept = |from: Timestamp| from.plus_millis(self.settings.export_kept_ms);
        let its = org_transfer
            .offboarding
            .as_ref()
            .filter(|offboarding| offboarding.offboarding_id == export.export_id);
        match (its.map(|its| its.finished_at), made) {
            (Some(None), _) | (None, None) => None,
            (Some(Some(finished)), None) => Some(finished),
            (Some(Some(finished)), Some(made)) => Some(kept(finished.max(made))),
            (None, Some(made)) => Some(kept(made)),
        }
    }

    /// Removes an export, and then notes it: a crash between the two has it removed again, which is nothing.
    async fn remove(&self, org: &OrgCode, export: &Export) -> Result<(), Refused> {
        let (exports, its_org) = (self.exports().clone(), org.clone());
        let export_id = export.export_id.clone();
        let id = export_id.clone();
        let remove = move || exports.remove(&its_org, &id).map_err(Refused::failed);
        offload::try_blocking(remove).await?;
        let action = OffboardingAction::RemoveExport { export_id };
        self.execute(org, action, &Caller::job(JOB)).await?;
        Ok(())
    }

    /// Makes an export, for as long as it is wanted.
    async fn make(
        self: &Arc<Self>,
        org: &OrgCode,
        org_transfer: &OrgTransfer,
        export: &Export,
    ) -> Result<(), Refused> {
        let mine = org_transfer.offboarding.as_ref();
        let mine = mine.filter(|mine| mine.offboarding_id == export.export_id);
        let approval = mine.and_then(|mine| mine.approval.as_ref());
        let order = Order {
            org: org.clone(),
            export_id: export.export_id.clone(),
            position: export.position,
            org_version: approval.map(|approval| approval.org_version),
        };
        let (itself, offboarding) = (self.clone(), mine.is_some());
        let made = offload::try_blocking(move || {
            let wanted = || {
                let org_transfer = itself.org_transfer(&order.org).ok();
                let open = org_transfer
                    .is_none_or(|org_transfer| org_transfer.open_offboarding().is_some());
                !itself.stopping.load(Ordering::Relaxed) && (open || !offboarding)
            };
            let made = itself.exports().make(&order, &wanted);
            made.map_err(Refused::failed)
        });
        if let Some((manifest_sha256, counts)) = made.await? {
            let action = OffboardingAction::FinishExport {
                export_id: export.export_id.clone(),
                manifest_sha256,
                counts,
            };
            self.execute(org, action, &Caller::job(JOB)).await?;
        }
        Ok(())
    }

    /// Begins to erase once the window has ended and all can have been taken away.
    async fn purge_if_due(
        &self,
        org: &OrgCode,
        org_transfer: &OrgTransfer,
        open: &Offboarding,
    ) -> Result<(), Refused> {
        let end = open
            .approval
            .as_ref()
            .map(|approval| approval.window_ends_at);
        let made = org_transfer.export(&open.offboarding_id);
        let due = end.is_some_and(|end| self.has_come(end))
            && made.is_some_and(|export| export.made.is_some());
        if due { self.purge(org).await } else { Ok(()) }
    }

    /// Requests a vacuum of the org, unless another one is open: then it is tried again.
    async fn purge(&self, org: &OrgCode) -> Result<(), Refused> {
        let _alone = self.changing.lock().await;
        let vacuums = ops::vacuums(&self.deps.store).map_err(failed)?;
        if vacuums.open.is_some() {
            return Ok(());
        }
        // From here on no hold can be set; those that are being set are waited for.
        self.deps.admission.hold(org, Some(Hold::Purge));
        self.deps.admission.drained(&Scope::Org(org.clone())).await;
        let vacuum_id = ordered_uuid(self.deps.clock.now()).to_string();
        let action = OffboardingAction::StartPurge {
            vacuum_id: vacuum_id.clone(),
        };
        let started = match self.check_holds(org) {
            Ok(()) => self.execute(org, action, &Caller::job(JOB)).await,
            Err(kept) => Err(kept),
        };
        self.settle_hold(org).map_err(failed)?;
        let org_transfer = started?;
        match org_transfer.open_offboarding() {
            Some(open) => self.ask_for_vacuum(org, open, vacuum_id).await,
            None => Ok(()),
        }
    }

    /// What is held is not erased, and the rest of its org not without it.
    fn check_holds(&self, org: &OrgCode) -> Result<(), Refused> {
        let holds = holds::of_org(&self.deps.store, org).map_err(failed)?;
        let reason = |hold: &crate::domain::hold::Hold| hold.reason.clone();
        let containers = holds.legal.containers.iter();
        let mut named = containers.map(|(name, hold)| format!("{name}: {}", hold.reason));
        let legal = holds
            .legal
            .org
            .as_ref()
            .map(reason)
            .or_else(|| named.next());
        Err(Refused::failed(match (legal, holds.records) {
            (Some(reason), _) => PurgeError::LegalHold(reason),
            (None, records @ 1..) => PurgeError::OwnerHolds(records),
            (None, 0) => return Ok(()),
        }))
    }

    async fn ask_for_vacuum(
        &self,
        org: &OrgCode,
        open: &Offboarding,
        vacuum_id: String,
    ) -> Result<(), Refused> {
        let request = VacuumOrder::Request {
            vacuum_id,
            scope: Scope::Org(org.clone()),
            dry_run: false,
            reason: format!("offboarding {}", open.offboarding_id),
            plan_id: None,
            override_holds: false,
        };
        match self.operations.vacuum(request, Caller::job(JOB)).await {
            // Another vacuum was first: this one is requested again later.
            Err(Refused::Rejected { rejection, .. })
                if rejection.tag == ErrorTag::VacuumMutexLocked =>
            {
                Ok(())
            }
            asked => asked.map(drop),
        }
    }

    /// Checks the progress of the vacuum.
    async fn watch(&self, org: &OrgCode, open: &Offboarding) -> Result<(), Refused> {
        let vacuum_id = open.vacuum_id.clone().unwrap_or_default();
        let vacuum = ops::vacuum(&self.deps.store, &vacuum_id).map_err(failed)?;
        let Some(vacuum) = vacuum else {
            // A crash came between the two events, or another vacuum.
            return self.ask_for_vacuum(org, open, vacuum_id).await;
        };
        match vacuum.status {
            VacuumStatus::Pending | VacuumStatus::Running => Ok(()),
            VacuumStatus::Completed if vacuum.held.is_empty() => {
                let _alone = self.changing.lock().await;
                let finish = OffboardingAction::FinishPurge;
                self.execute(org, finish, &Caller::job(JOB)).await?;
                self.settle_hold(org).map_err(failed)
            }
            VacuumStatus::Completed | VacuumStatus::Failed | VacuumStatus::Cancelled
                if open.blocked.is_none() =>
            {
                let left = vacuum.held.first().map(|held| held.reason.clone());
                let status = || vacuum.status.as_str().to_owned();
                let how = vacuum.error.clone().or(left).unwrap_or_else(status);
                Err(Refused::failed(PurgeError::Left { vacuum_id, how }))
            }
            VacuumStatus::Completed | VacuumStatus::Failed | VacuumStatus::Cancelled => {
                self.purge(org).await
            }
        }
    }

    /// Records in the offboarding why it does not continue.
    async fn record_blocked(&self, org: &OrgCode, why: String) {
        let block = OffboardingAction::Block { why };
        match self.execute(org, block, &Caller::job(JOB)).await {
            // An export without an offboarding has no event for it; the operator was notified.
            Ok(_) | Err(Refused::Rejected { .. }) => {}
            Err(refused) => report::notice_error(&format!("the offboarding of {org}"), &refused),
        }
    }
}
