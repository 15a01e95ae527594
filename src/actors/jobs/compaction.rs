//! The job that makes the projections' database anew when its files have grown far beyond what is in them.
//!
//! sled reuses the place of what was removed and gives none back to the disk, and how much of its files is dead cannot
//! be asked. So they are held against what they were when they were made anew last.

use std::sync::Arc;

use super::{Heed, Job, Place, Step, counted};
use crate::actors::Desk;
use crate::clock::Pace;
use crate::domain::vacuum::VacuumStatus;
use crate::journal::Sizes;
use crate::projections::{StoreError, ops};

/// What the database may have beside twice its last size, in bytes: a small one is left alone.
pub const SLACK_BYTES: u64 = 64 * 1024 * 1024;
/// How often it is looked how large the database is.
const LOOK_EVERY_MS: i64 = 60_000;
/// What is left free on the disk beside the new files, in bytes.
const SPARE_BYTES: u64 = 64 * 1024 * 1024;

/// Makes the projections' database anew while it is used.
pub struct Compaction {
    desk: Arc<Desk>,
    slack_bytes: u64,
}

impl Compaction {
    /// A compaction that lets the database have so many bytes beside twice its last size.
    pub fn new(desk: &Arc<Desk>, slack_bytes: u64) -> Self {
        Self {
            desk: desk.clone(),
            slack_bytes,
        }
    }

    fn look(&self, heed: &Heed) -> Result<Step, StoreError> {
        let sizes = self.desk.store.sizes()?;
        let allowed = sizes.renewed.saturating_mul(2);
        let has_grown = sizes.now > allowed.saturating_add(self.slack_bytes);
        if !has_grown || self.is_vacuuming() {
            let later = self.desk.clock.now().plus_millis(LOOK_EVERY_MS);
            return Ok(Step::Idle(Some(later)));
        }
        if sizes.free < sizes.now.saturating_add(SPARE_BYTES) {
            return Ok(Step::Failed(format!(
                "the projections have {} bytes and could have fewer, and {} are free, which may not be enough to make \
                 them anew",
                sizes.now, sizes.free
            )));
        }
        self.renew(sizes, heed)
    }

    fn renew(&self, before: Sizes, heed: &Heed) -> Result<Step, StoreError> {
        let store = &self.desk.store;
        let mut pace = Pace::start();
        let mut go_on = |rows| {
            heed.tell(rows, 0);
            // Copying rests as long as it works, and each of its writes is two meanwhile: so it rests once more.
            pace.rest();
            // A vacuum makes the database anew too, and does not wait.
            !heed.stop_asked() && !self.is_vacuuming()
        };
        if !store.compact(&mut go_on)? {
            let (at, counts) = (None, counted([]));
            return Ok(Step::More { at, counts });
        }
        let freed = before.now.saturating_sub(store.sizes()?.now);
        Ok(Step::Done {
            counts: counted([("databases", 1), ("freed_bytes", freed)]),
            noted: true,
        })
    }

    /// What cannot be read is no reason to wait: the vacuum would not go on either.
    fn is_vacuuming(&self) -> bool {
        let vacuums = ops::vacuums(&self.desk.store);
        let open = vacuums.ok().and_then(|vacuums| vacuums.open);
        open.is_some_and(|vacuum| vacuum.status == VacuumStatus::Running)
    }
}

impl Job for Compaction {
    fn name(&self) -> &'static str {
        "compaction"
    }

    fn purpose(&self) -> &'static str {
        "Makes the projections' database anew when its files have grown far beyond what is in it."
    }

    fn every_ms(&self) -> Option<i64> {
        None
    }

    fn step(&self, _: Option<&Place>, heed: &Heed) -> Step {
        self.look(heed).unwrap_or_else(|error| Step::failed(&error))
    }
}
