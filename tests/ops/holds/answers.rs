//! What each step should be answered, and what follows from it.

use metarecord::domain::ErrorTag;
use metarecord::domain::offboarding::EXPORTS_MAX;

use super::model::{CONTAINERS, Leaving, Model, ORGS, RECORDS};
use super::steps::Step;
use crate::ops::world::{LEAVING, PENDING_MS};

impl Model {
    pub(super) fn answer(&mut self, step: Step) -> Result<(), ErrorTag> {
        match step {
            Step::Put(record, how) => self.put(record, how)?,
            Step::Complete(record) => self.complete(record)?,
            Step::Due(record, wait) => {
                let now = self.now;
                let known = self.living(record)?;
                (known.due, known.changed) = (Some(now + wait), now);
            }
            Step::Doom(record) => {
                let now = self.now;
                self.living(record)?;
                if self.is_held(record) {
                    return Err(ErrorTag::InvalidState);
                }
                self.living(record)?.end(now);
            }
            Step::Hold(on) => self.set(on, true)?,
            Step::Release(on) => self.set(on, false)?,
            Step::Wait(millis) => self.now += millis,
            Step::Cleanup => self.clean_up(),
            Step::ScrubTags => self.scrub_tags(),
            Step::Abandon => self.abandon(),
            Step::VacuumOrg(org) => {
                self.pass_time(2 * PENDING_MS);
                self.erase_org(org);
            }
            Step::VacuumAll { overriding } => {
                let held = (0..ORGS).any(|org| self.is_anything_held(org));
                if held && !overriding {
                    return Err(ErrorTag::InvalidState);
                }
                self.pass_time(2 * PENDING_MS);
                self.containers = [false; CONTAINERS];
                self.orgs = [false; ORGS];
                (0..RECORDS).for_each(|record| self.erase(record));
                (0..ORGS).for_each(|org| self.erase_org(org));
            }
            Step::HoldInTime(on) => {
                let held = (0..ORGS).any(|org| self.is_anything_held(org));
                if held {
                    return Err(ErrorTag::InvalidState);
                }
                let set = self.set(on, true);
                self.pass_time(PENDING_MS);
                return set;
            }
            Step::Request(org) => match self.leaving[org] {
                Leaving::No => self.leaving[org] = Leaving::Requested,
                Leaving::Requested | Leaving::Approved { .. } => {
                    return Err(ErrorTag::InvalidState);
                }
            },
            Step::Approve(org) => self.approve(org)?,
            Step::Cancel(org) => match self.leaving[org] {
                Leaving::No => return Err(ErrorTag::InvalidState),
                Leaving::Requested | Leaving::Approved { .. } => {
                    (self.leaving[org], self.is_org_there[org]) = (Leaving::No, true);
                }
            },
            Step::Restart => {}
        }
        Ok(())
    }

    fn approve(&mut self, org: usize) -> Result<(), ErrorTag> {
        match self.leaving[org] {
            _ if !self.is_org_there[org] => Err(ErrorTag::NotFound),
            Leaving::Requested if self.exports[org] < EXPORTS_MAX => {
                let ends = self.now + LEAVING.window_ms;
                self.leaving[org] = Leaving::Approved { ends };
                self.exports[org] += 1;
                Ok(())
            }
            Leaving::No | Leaving::Requested | Leaving::Approved { .. } => {
                Err(ErrorTag::InvalidState)
            }
        }
    }
}
