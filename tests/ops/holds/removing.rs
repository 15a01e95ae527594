//! What removes, as the server does it: vacuums, cleanup, uploads that are given up, and orgs that leave.

use metarecord::actors::Refused;
use metarecord::actors::upkeep::{Page, Place, Upkeep};
use metarecord::actors::vacuum::VacuumOrder;
use metarecord::clock::random_uuid;
use metarecord::domain::offboarding::{Offboarding, OffboardingStatus};
use metarecord::domain::vacuum::{Amount, Scope, Vacuum, VacuumStatus};
use metarecord::domain::{ErrorTag, OrgCode};
use metarecord::projections::{offboarding, ops};

use super::app::{AppState, container, org, tag};
use super::model::{CONTAINERS, ORGS, org_of};
use super::steps::On;
use crate::ops::world::{PENDING_MS, UPKEEP, caller, wait};
use crate::support::eventually;

/// Items looked at in one step of upkeep: few, so that there is more than one.
const STEP_ITEMS: usize = 2;

impl AppState {
    fn request(
        &self,
        scope: &Scope,
        dry_run: bool,
        override_holds: bool,
    ) -> Result<String, ErrorTag> {
        let request = VacuumOrder::Request {
            vacuum_id: random_uuid().to_string(),
            scope: scope.clone(),
            dry_run,
            reason: "r".to_owned(),
            plan_id: None,
            override_holds,
        };
        let asked = self.world().vacuum(request).map_err(tag)?;
        Ok(asked.vacuum_id)
    }

    fn end(&self, id: &str) -> Vacuum {
        let look = || {
            let vacuum = ops::vacuum(&self.world().deps.store, id);
            vacuum.expect("it can be read").expect("it is there")
        };
        eventually("the vacuum is over", || !look().status.is_open());
        // Changes are let in just behind that.
        eventually("changes are let in", || {
            (0..ORGS).all(|org| self.takes_changes(org))
        });
        look()
    }

    /// Whether no vacuum keeps changes out of an org.
    fn takes_changes(&self, number: usize) -> bool {
        let admission = &self.world().deps.admission;
        let org = org(number);
        match self.is_closed(&org) {
            true => admission.enter_legal_hold(&org).is_ok(),
            false => (0..CONTAINERS)
                .filter(|container| org_of(*container) == number)
                .all(|number| admission.enter(&org, &container(number)).is_ok()),
        }
    }

    /// Vacuums, and finds that the dry run told what the real one did.
    pub(super) fn vacuum(&self, scope: &Scope, override_holds: bool) -> Result<(), ErrorTag> {
        let real = self.request(scope, false, override_holds)?;
        // Another cannot be asked for while it is pending: it is called off and asked for again behind the dry run.
        let cancel = VacuumOrder::Cancel { vacuum_id: real };
        self.world().vacuum(cancel).expect("it is pending");
        self.clock.advance(PENDING_MS);
        self.sweep();
        let dry = self.end(&self.request(scope, true, override_holds)?);
        let real = self.request(scope, false, override_holds)?;
        self.clock.advance(PENDING_MS);
        let real = self.end(&real);
        assert_eq!(real.status, VacuumStatus::Completed, "{:?}", real.error);
        assert_eq!((&real.services, &real.held), (&dry.services, &dry.held));
        let left = self.end(&self.request(scope, true, override_holds)?);
        assert_eq!(left.totals(), Amount::default(), "nothing is left of it");
        assert_eq!(left.held, real.held, "what was held is there");
        self.check_rebuilt();
        Ok(())
    }

    pub(super) fn hold_in_time(&self, on: On) -> Result<(), ErrorTag> {
        let id = self.request(&Scope::All, false, false)?;
        self.hold(on, true)?;
        self.clock.advance(PENDING_MS);
        let vacuum = self.end(&id);
        assert_eq!(vacuum.status, VacuumStatus::Failed);
        assert!(vacuum.started_at.is_none(), "it had not begun");
        Ok(())
    }

    /// Every step of a cleanup of every container.
    pub(super) fn clean_up(&self) {
        let leftovers_ms = UPKEEP.retention.leftovers_ms;
        self.maintain(async |upkeep, place, page| {
            let cleaned = upkeep.cleanup(place, page, leftovers_ms, &caller()).await?;
            Ok(cleaned.next)
        });
    }

    /// Every step of a tag scrub of every container.
    pub(super) fn scrub_tags(&self) {
        self.maintain(async |upkeep, place, page| {
            Ok(upkeep.scrub(place, page, &caller()).await?.next)
        });
    }

    fn maintain(
        &self,
        step: impl AsyncFn(&Upkeep, &Place, &Page) -> Result<Option<Vec<u8>>, Refused>,
    ) {
        for number in 0..CONTAINERS {
            let place = Place {
                org: org(org_of(number)),
                container: container(number),
            };
            let mut page = page(None);
            loop {
                match wait(step(&self.world().upkeep, &place, &page)) {
                    Ok(next) => page.from = next,
                    // It leaves.
                    Err(Refused::Rejected { rejection, .. }) => {
                        assert_eq!(rejection.tag, ErrorTag::OrgWriteBlocked);
                        assert!(self.is_closed(&place.org));
                        break;
                    }
                    Err(refused) => panic!("{refused}"),
                }
                if page.from.is_none() {
                    break;
                }
            }
        }
        self.check_rebuilt();
    }

    pub(super) fn abandon(&self) {
        let mut page = page(None);
        loop {
            let done = wait(self.world().upkeep.abandoned(&page, &caller()));
            page.from = done.expect("done").next;
            if page.from.is_none() {
                break;
            }
        }
        self.check_rebuilt();
    }

    fn leaving(&self, org: &OrgCode) -> Option<Offboarding> {
        let org_transfer = offboarding::org_transfer(&self.world().deps.store, org);
        org_transfer.expect("it can be read").offboarding
    }

    /// Whether an org takes no changes because it leaves.
    pub(super) fn is_closed(&self, org: &OrgCode) -> bool {
        let closed = [OffboardingStatus::Approved, OffboardingStatus::Purging];
        let leaving = self.leaving(org);
        leaving.is_some_and(|leaving| closed.contains(&leaving.status))
    }

    pub(super) fn request_leaving(&self, number: usize) -> Result<(), ErrorTag> {
        let (org, reason) = (org(number), "moving".to_owned());
        let asked = wait(self.world().offboardings.request(&org, reason, &caller()));
        asked.map(drop).map_err(tag)
    }

    /// Approves, and waits for the export: nothing is erased before it.
    pub(super) fn approve(&self, number: usize) -> Result<(), ErrorTag> {
        let org = org(number);
        let approved = wait(self.world().offboardings.approve(&org, &caller()));
        let leaving = approved.map_err(tag)?.offboarding.expect("it is approved");
        eventually("it is exported", || {
            let org_transfer = offboarding::org_transfer(&self.world().deps.store, &org);
            let org_transfer = org_transfer.expect("it can be read");
            let export = org_transfer.export(&leaving.offboarding_id);
            export.is_some_and(|export| export.made.is_some())
        });
        Ok(())
    }

    pub(super) fn cancel(&self, number: usize) -> Result<(), ErrorTag> {
        let cancelled = wait(self.world().offboardings.cancel(&org(number), &caller()));
        cancelled.map(drop).map_err(tag)
    }

    pub(super) fn wait_until_purged(&self, number: usize) {
        let org = org(number);
        eventually("it is purged", || {
            let leaving = self.leaving(&org).expect("it leaves");
            leaving.status == OffboardingStatus::Purged && self.takes_changes(number)
        });
    }
}

fn page(from: Option<Vec<u8>>) -> Page {
    Page {
        from,
        items_max: STEP_ITEMS,
    }
}
