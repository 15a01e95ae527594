//! The job that compacts the journal's database when its files have grown far beyond its content. That of the projections
//! merges its files by itself.
//!
//! sled reuses the space of what was removed but returns none to the disk, and does not report how much of its files is
//! unused. So the size of the files is compared with their size after the last compaction.

use std::sync::Arc;

use super::{Job, Place, Step, StepContext, counted};
use crate::actors::ActorDeps;
use crate::domain::vacuum::VacuumStatus;
use crate::journal::Sizes;
use crate::projections::{StoreError, ops};

/// Bytes that the database may have in excess of twice its last size: a small one is not compacted.
pub const SLACK_BYTES: u64 = 64 * 1024 * 1024;
/// How often the database's bytes may be those of its rows. sled's files come to ten to twelve times their rows where many small ones
/// change: beyond that it is worth a copy.
const ROWS_TIMES: u64 = 12;
/// How often it is looked how large the database is.
const LOOK_EVERY_MS: i64 = 60_000;
/// What stays free on the disk in addition to the new files, in bytes.
const SPARE_BYTES: u64 = 64 * 1024 * 1024;

/// Compacts the journal's database while it is used.
pub struct Compaction {
    deps: Arc<ActorDeps>,
    slack_bytes: u64,
}

/// Too little is free for a copy of the database next to it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "the journal's database has {} bytes and could be compacted, but only {} are free, which may not be enough", .0.now, .0.free
)]
struct NoRoom(Sizes);

impl Compaction {
    /// A compaction that allows the database `slack_bytes` in excess of twice its last size.
    pub fn new(deps: &Arc<ActorDeps>, slack_bytes: u64) -> Self {
        Self {
            deps: deps.clone(),
            slack_bytes,
        }
    }

    fn look(&self, context: &StepContext) -> Result<Step, StoreError> {
        let sizes = self.deps.journal.sizes()?;
        let has_grown = sizes.now > allowed(sizes).saturating_add(self.slack_bytes);
        if !has_grown || self.is_vacuuming() {
            let later = self.deps.clock.now().plus_millis(LOOK_EVERY_MS);
            return Ok(Step::Idle(Some(later)));
        }
        if sizes.free < sizes.now.saturating_add(SPARE_BYTES) {
            return Ok(Step::failed(NoRoom(sizes)));
        }
        self.compact(sizes, context)
    }

    fn compact(&self, before: Sizes, context: &StepContext) -> Result<Step, StoreError> {
        let mut go_on = |rows| {
            context.report_progress(rows, 0);
            // A vacuum compacts the database too, and does not wait.
            !context.stop_asked() && !self.is_vacuuming()
        };
        let whole = self.deps.journal.compact(&mut go_on)?;
        if !whole {
            let (at, counts) = (None, counted([]));
            return Ok(Step::More { at, counts });
        }
        let freed = before.now.saturating_sub(self.deps.journal.sizes()?.now);
        Ok(Step::Done {
            counts: counted([("databases", 1), ("freed_bytes", freed)]),
            noted: true,
        })
    }

    /// Whether a vacuum runs. A failed read counts as no: the vacuum could not continue either.
    fn is_vacuuming(&self) -> bool {
        let vacuums = ops::vacuums(&self.deps.store);
        let open = vacuums.ok().and_then(|vacuums| vacuums.open);
        open.is_some_and(|vacuum| vacuum.status == VacuumStatus::Running)
    }
}

/// How large a database may be, without the slack: twice its size after the last compaction, or what its rows justify if that
/// is less. What is written during the copy makes it larger than its rows alone; so a growth of a quarter is always allowed, or
/// one compaction would follow the other.
fn allowed(sizes: Sizes) -> u64 {
    let (compacted, rows) = (sizes.compacted, sizes.rows.saturating_mul(ROWS_TIMES));
    let twice = compacted.saturating_mul(2);
    match rows {
        0 => twice,
        rows => twice.min(rows).max(compacted.saturating_add(compacted / 4)),
    }
}

impl Job for Compaction {
    fn name(&self) -> &'static str {
        "compaction"
    }

    fn purpose(&self) -> &'static str {
        "Compacts the journal's database when its files have grown far beyond their content."
    }

    fn every_ms(&self) -> Option<i64> {
        None
    }

    fn step(&self, _: Option<&Place>, context: &StepContext) -> Step {
        self.look(context).unwrap_or_else(Step::failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_may_have_twice_what_it_had_or_what_befits_its_rows() {
        for (compacted, rows, may) in [
            (0, 0, 0),
            (100, 0, 200),
            (100, 40, 200),
            (100, 15, 180),
            (100, 9, 125),
            (u64::MAX, u64::MAX, u64::MAX),
        ] {
            let sizes = Sizes {
                compacted,
                rows,
                ..Sizes::default()
            };
            assert_eq!(allowed(sizes), may, "{sizes:?}");
        }
    }
}
