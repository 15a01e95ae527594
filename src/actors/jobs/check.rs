//! The job that compares the records' rows with the journal: it reports differences, and repairs nothing.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Job, Place, Step, StepContext, counted};
use crate::actors::ActorDeps;
use crate::domain::record::RecordKey;
use crate::journal::erasures::Judge;
use crate::journal::{Body, Entry, Position};
use crate::projections::{RecordName, StoreError, as_of, ops, records};
use crate::report;

/// Milliseconds between two runs: a day.
const EVERY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Entries of the journal read in one step.
const STEP_ENTRIES: usize = 64;

/// Reads the journal, and compares the row of each record in it with the record's own stream.
pub struct ProjectionCheck {
    deps: Arc<ActorDeps>,
    /// The last position that this run reads; 0 before it is known.
    last: AtomicU64,
    /// Rows that differ, in this run.
    differing: AtomicU64,
    judge: Mutex<Judge>,
}

impl ProjectionCheck {
    /// A check of the projections of the actors.
    pub fn new(deps: &Arc<ActorDeps>) -> Self {
        Self {
            deps: deps.clone(),
            last: AtomicU64::new(0),
            differing: AtomicU64::new(0),
            judge: Mutex::default(),
        }
    }

    /// The last position that this run reads: what the projections had shown when it began.
    fn last(&self, from: Option<Position>) -> Result<Position, StoreError> {
        match (from, self.last.load(Ordering::Relaxed)) {
            (Some(_), known @ 1..) => Ok(known),
            (None, _) | (Some(_), 0) => {
                let last = self.deps.store.checkpoint()?;
                self.last.store(last, Ordering::Relaxed);
                if from.is_none() {
                    self.differing.store(0, Ordering::Relaxed);
                }
                Ok(last)
            }
        }
    }

    fn check(&self, from: Option<Position>, context: &StepContext) -> Result<Step, StoreError> {
        let last = self.last(from)?;
        let from = from.unwrap_or(1);
        let entries = self.deps.journal.read(from, STEP_ENTRIES)?;
        let damaged = self.hold_erased(&entries)?;
        let (mut checked, mut differing, mut next) = (0, 0, from);
        for entry in entries.iter().filter(|entry| entry.header.position <= last) {
            next = entry.header.position + 1;
            let Some((body, key)) = created(entry) else {
                continue;
            };
            checked += 1;
            if self.differs(&key, body, last)? && !self.was_erased(entry)? {
                differing += 1;
            }
        }
        context.report_progress(next - 1, last);
        let all = self.differing.fetch_add(differing, Ordering::Relaxed) + differing;
        let counts = counted([
            ("records", checked),
            ("differing", differing),
            ("damaged", damaged),
        ]);
        if next <= last && next > from {
            let at = Some(Place::Kept(next));
            return Ok(Step::More { at, counts });
        }
        if all > 0 {
            report::projections_differ(all);
        }
        let noted = all > 0;
        Ok(Step::Done { counts, noted })
    }

    /// Reports erased entries that no event accounts for. Returns their number.
    fn hold_erased(&self, entries: &[Entry]) -> Result<u64, StoreError> {
        let mut judge = self.judge.lock();
        let problems = judge.check(&*self.deps.journal, entries)?;
        for problem in &problems {
            report::notice(&format!(
                "the journal is damaged: {}; stop the server, see all of it with g3n journal verify, and restore journal/ \
                 from a backup",
                problem.what
            ));
        }
        Ok(problems.len() as u64)
    }

    /// Whether a record's row is not what its stream says.
    fn differs(&self, key: &RecordKey, body: &Body, last: Position) -> Result<bool, StoreError> {
        let row = match records::find(&self.deps.store, RecordName::from(key)) {
            Ok(Some(row)) => row,
            // No row, or one that cannot be read.
            Ok(None) | Err(StoreError::Row(_)) => return Ok(true),
            Err(error) => return Err(error),
        };
        let journal = &*self.deps.journal;
        let told = as_of::record_at(journal, key, row.revision.0)?;
        if told.as_ref() != Some(&row) {
            return Ok(true);
        }
        // What comes after the row may be too new to be shown; what the projections had passed may not.
        let later = journal.stream(&body.stream, row.revision.0 + 1, 1)?;
        Ok(later
            .first()
            .is_some_and(|entry| entry.header.position <= last))
    }

    /// A vacuum came between reading the entry and comparing its row.
    fn was_erased(&self, entry: &Entry) -> Result<bool, StoreError> {
        let now = self.deps.journal.read(entry.header.position, 1)?;
        let gone = now.iter().all(|entry| entry.body.is_none());
        let vacuums = ops::vacuums(&self.deps.store)?;
        let open = vacuums.open.iter().map(|vacuum| &vacuum.scope);
        let mut scopes = open.chain(vacuums.half_erased.iter().map(|half| &half.scope));
        let stream = entry.body.as_ref().map(|body| body.stream.as_str());
        let covered = stream.is_some_and(|name| scopes.any(|scope| scope.covers_stream(name)));
        Ok(gone || covered)
    }
}

impl Job for ProjectionCheck {
    fn name(&self) -> &'static str {
        "projection-check"
    }

    fn purpose(&self) -> &'static str {
        "Compares the records' rows with the journal, and reports differences."
    }

    fn every_ms(&self) -> Option<i64> {
        Some(EVERY_MS)
    }

    fn step(&self, from: Option<&Place>, context: &StepContext) -> Step {
        let from = match from {
            Some(Place::Kept(position)) => Some(*position),
            Some(Place::Passing(_)) | None => None,
        };
        self.check(from, context).unwrap_or_else(Step::failed)
    }
}

/// The record that an entry creates.
fn created(entry: &Entry) -> Option<(&Body, RecordKey)> {
    let body = entry.body.as_ref().filter(|body| body.version == 1)?;
    Some((body, body.stream.record_key()?))
}
