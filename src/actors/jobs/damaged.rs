//! The job that removes copies of damaged content, after operators have had time to inspect them.

use std::sync::Arc;

use super::containers::{after, wait};
use super::{Job, Place, Step, StepContext, counted};
use crate::actors::Caller;
use crate::actors::upkeep::Upkeep;
use crate::content::{ContentError, ContentStore};
use crate::domain::OrgCode;

/// Between two runs, in milliseconds: a day, of which the copies are kept many.
const EVERY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Removes the damaged copies that repairs kept, one org a step.
pub struct DamagedCopies {
    /// The content store with the copies.
    pub content: Arc<dyn ContentStore>,
    /// Removes those of one org.
    pub upkeep: Arc<Upkeep>,
    /// Milliseconds that a copy is kept.
    pub keep_ms: i64,
}

impl Job for DamagedCopies {
    fn name(&self) -> &'static str {
        "damaged-copies"
    }

    fn purpose(&self) -> &'static str {
        "Removes copies of damaged content that repairs had set aside for an operator to look at."
    }

    fn every_ms(&self) -> Option<i64> {
        Some(EVERY_MS)
    }

    fn destroys(&self) -> bool {
        true
    }

    fn step(&self, from: Option<&Place>, _: &StepContext) -> Step {
        let behind = match from {
            Some(Place::Passing(org)) => org.as_slice(),
            Some(Place::Kept(_)) | None => &[],
        };
        let org = match self.next(behind) {
            Ok(Some(org)) => org,
            Ok(None) => return after(None, counted([])),
            Err(error) => return Step::failed(error),
        };
        let caller = Caller::job(self.name());
        match wait(self.upkeep.remove_damaged(&org, self.keep_ms, &caller)) {
            Ok(removed) => {
                let (files, bytes) = removed.unwrap_or_default();
                let counts = counted([("files", files), ("bytes", bytes)]);
                after(Some(org.as_str().as_bytes().to_vec()), counts)
            }
            Err(error) => Step::failed(error),
        }
    }
}

impl DamagedCopies {
    fn next(&self, behind: &[u8]) -> Result<Option<OrgCode>, ContentError> {
        let orgs = self.content.orgs()?;
        let later = orgs.into_iter();
        let later = later.filter(|org| org.as_str().as_bytes() > behind);
        Ok(later.min_by(|one, two| one.as_str().cmp(two.as_str())))
    }
}
