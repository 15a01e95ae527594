//! The job that makes databases anew when their files have grown far beyond what is in them.
//!
//! sled reuses the place of what was removed and gives none back to the disk, and how much of its files is dead cannot
//! be asked. So they are held against what they were when they were made anew last.

use std::sync::Arc;

use super::{Heed, Job, Place, Step, counted};
use crate::actors::Desk;
use crate::domain::vacuum::VacuumStatus;
use crate::journal::Sizes;
use crate::projections::ops;

/// What a database may have beside twice its last size, in bytes: small ones are left alone.
pub const SLACK_BYTES: u64 = 64 * 1024 * 1024;
/// How often it is looked how large the databases are.
const LOOK_EVERY_MS: i64 = 60_000;
/// What is left free on the disk beside the new files, in bytes.
const SPARE_BYTES: u64 = 64 * 1024 * 1024;

/// Makes the projections' and the journal's database anew, one after the other, while both are used.
pub struct Compaction {
    desk: Arc<Desk>,
    slack_bytes: u64,
}

/// The databases there are.
#[derive(Clone, Copy, Debug)]
enum Database {
    Projections,
    Journal,
}

impl Database {
    const ALL: [Self; 2] = [Self::Projections, Self::Journal];

    fn name(self) -> &'static str {
        match self {
            Self::Projections => "the projections' database",
            Self::Journal => "the journal's database",
        }
    }
}

impl Compaction {
    /// A compaction that lets each database have so many bytes beside twice its last size.
    pub fn new(desk: &Arc<Desk>, slack_bytes: u64) -> Self {
        Self {
            desk: desk.clone(),
            slack_bytes,
        }
    }

    fn sizes(&self, database: Database) -> Result<Option<Sizes>, Step> {
        match database {
            Database::Projections => self.desk.store.sizes().map(Some).map_err(failed),
            Database::Journal => self.desk.journal.sizes().map_err(failed),
        }
    }

    fn has_grown(&self, sizes: Sizes) -> bool {
        sizes.now
            > sizes
                .renewed
                .saturating_mul(2)
                .saturating_add(self.slack_bytes)
    }

    fn look(&self, heed: &Heed) -> Result<Step, Step> {
        let later = Step::Idle(Some(self.desk.clock.now().plus_millis(LOOK_EVERY_MS)));
        for database in Database::ALL {
            let Some(sizes) = self.sizes(database)?.filter(|sizes| self.has_grown(*sizes)) else {
                continue;
            };
            if self.is_vacuuming() {
                return Ok(later);
            }
            if sizes.free < sizes.now.saturating_add(SPARE_BYTES) {
                return Err(Step::Failed(format!(
                    "{} has {} bytes and could be smaller, and {} are free, which may not be enough to make it anew",
                    database.name(),
                    sizes.now,
                    sizes.free
                )));
            }
            return self.renew(database, sizes, heed);
        }
        Ok(later)
    }

    fn renew(&self, database: Database, before: Sizes, heed: &Heed) -> Result<Step, Step> {
        let mut go_on = |rows| {
            heed.tell(rows, 0);
            // A vacuum makes them anew too, and does not wait.
            !heed.stop_asked() && !self.is_vacuuming()
        };
        let whole = match database {
            Database::Projections => self.desk.store.compact(&mut go_on).map_err(failed)?,
            Database::Journal => self.desk.journal.compact(&mut go_on).map_err(failed)?,
        };
        if !whole {
            let (at, counts) = (None, counted([]));
            return Ok(Step::More { at, counts });
        }
        let after = self.sizes(database)?.unwrap_or_default();
        let freed = before.now.saturating_sub(after.now);
        Ok(Step::Done {
            counts: counted([("databases", 1), ("freed_bytes", freed)]),
            noted: true,
        })
    }

    /// What cannot be read is no reason to wait: the vacuum would not go on either.
    fn is_vacuuming(&self) -> bool {
        let running = |status| status == VacuumStatus::Running;
        ops::vacuums(&self.desk.store)
            .is_ok_and(|vacuums| vacuums.open.is_some_and(|vacuum| running(vacuum.status)))
    }
}

impl Job for Compaction {
    fn name(&self) -> &'static str {
        "compaction"
    }

    fn purpose(&self) -> &'static str {
        "Makes databases anew whose files have grown far beyond what is in them."
    }

    fn every_ms(&self) -> Option<i64> {
        None
    }

    fn step(&self, _: Option<&Place>, heed: &Heed) -> Step {
        self.look(heed).unwrap_or_else(|failed| failed)
    }
}

fn failed(error: impl std::error::Error) -> Step {
    Step::failed(&error)
}
