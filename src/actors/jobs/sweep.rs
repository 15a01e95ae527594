//! The job that journals the end of records whose time has come. They read as doomed from that time on, swept or not.
//!
//! A record under a legal hold stays. The sweep passes it once, and checks it again when a hold is released.

use parking_lot::{Mutex, MutexGuard};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use futures_util::future::join_all;

use super::super::request::Failure;
use super::{Job, Place, Step, StepContext, counted};
use crate::actors::{ActorDeps, ActorRegistry, RecordRequest, Refused, Requested};
use crate::domain::record::{RecordCommand, SWEEP};
use crate::domain::{StreamId, Timestamp};
use crate::journal::{Remarks, Source};
use crate::projections::due;

/// Records doomed in one step.
const STEP_RECORDS: usize = 256;
/// Rows read in one step; more than are doomed, for held ones in between.
const STEP_ROWS: usize = 4_096;
/// When what could not be doomed because of a vacuum is tried again.
const REFUSED_MS: i64 = 60_000;

/// Dooms what is due. It wakes when the next record is, or when a due time is set.
pub struct TtlSweep {
    deps: Arc<ActorDeps>,
    registry: Weak<ActorRegistry>,
    longest_sleep_ms: i64,
    pass: Mutex<Pass>,
}

/// State kept from step to step.
#[derive(Clone, Default)]
struct Pass {
    /// Due times before this place need not be read again: their records are held.
    passed: Option<Vec<u8>>,
    /// The time at which it was passed: what is added later is due later, unless the clock was set back.
    at: Option<Timestamp>,
    /// The value of `due_resets` of the actors' state when this pass began.
    again: u64,
    /// Records of this pass that take no changes at the moment.
    refused: u64,
}

impl Pass {
    /// Forgets what does not count any more.
    fn refresh(&mut self, deps: &ActorDeps) {
        let again = deps.due_resets.load(Ordering::Acquire);
        let set_back = self.at.is_some_and(|at| deps.clock.trusted() < at);
        if again != self.again || set_back {
            *self = Self {
                again,
                ..Self::default()
            };
        }
    }
}

/// What became of the records of one step.
#[derive(Default)]
struct Doomed {
    doomed: u64,
    /// A vacuum keeps changes out of them.
    refused: u64,
    /// The journal or its queues took nothing.
    failed: Option<Failure>,
}

impl TtlSweep {
    /// A sweep that reads the due times at least every `longest_sleep_ms`, whatever it is notified of.
    pub fn new(registry: &Arc<ActorRegistry>, longest_sleep_ms: u64) -> Self {
        Self {
            deps: registry.deps().clone(),
            registry: Arc::downgrade(registry),
            longest_sleep_ms: i64::try_from(longest_sleep_ms).unwrap_or(i64::MAX),
            pass: Mutex::default(),
        }
    }

    /// Nothing more is due: when something may be, from a place of the due times on.
    fn sleep_until(&self, now: Timestamp, seen: Option<&[u8]>) -> Step {
        let longest = match std::mem::take(&mut self.pass().refused) {
            0 => self.longest_sleep_ms,
            _ => self.longest_sleep_ms.min(REFUSED_MS),
        };
        let at_the_latest = now.plus_millis(longest);
        match due::next_due(&self.deps.store, seen) {
            Ok(next) => Step::Idle(Some(next.unwrap_or(at_the_latest).min(at_the_latest))),
            Err(error) => Step::failed(error),
        }
    }

    fn pass(&self) -> MutexGuard<'_, Pass> {
        // Each change is one step: a panic elsewhere leaves nothing half done.
        self.pass.lock()
    }

    fn doom(&self, streams: &[String]) -> Doomed {
        let mut doomed = Doomed::default();
        let (Some(registry), Ok(runtime)) = (self.registry.upgrade(), waiting()) else {
            doomed.failed = Some(Failure::new("the server is shutting down"));
            return doomed;
        };
        let carries = streams.iter().filter_map(|stream| execute(stream));
        let answers = runtime.block_on(join_all(carries.map(|execute| registry.execute(execute))));
        for answer in answers {
            match answer {
                Ok(_) => doomed.doomed += 1,
                Err(Refused::Rejected { .. }) => doomed.refused += 1,
                Err(refused @ (Refused::Busy | Refused::Unavailable | Refused::Failed(_))) => {
                    doomed.failed = Some(Failure::new(refused));
                }
            }
        }
        doomed
    }
}

impl Job for TtlSweep {
    fn name(&self) -> &'static str {
        "ttl-sweep"
    }

    fn purpose(&self) -> &'static str {
        "Dooms records whose due time has passed."
    }

    fn every_ms(&self) -> Option<i64> {
        None
    }

    fn destroys(&self) -> bool {
        true
    }

    fn step(&self, from: Option<&Place>, _: &StepContext) -> Step {
        let now = self.deps.clock.trusted();
        let passed = {
            let mut pass = self.pass();
            pass.refresh(&self.deps);
            pass.passed.clone()
        };
        let from = match from {
            Some(Place::Passing(key)) => Some(key.clone()),
            Some(Place::Kept(_)) | None => passed,
        };
        let limits = (STEP_RECORDS, STEP_ROWS);
        // An org that takes no changes is swept when it takes them again.
        let skips = |stream: &str| self.deps.admission.is_held(stream);
        let walk = match due::walk(&self.deps.store, from.as_deref(), now, limits, skips) {
            Ok(walk) => walk,
            Err(error) => return Step::failed(error),
        };
        let doomed = if walk.due.is_empty() {
            Doomed::default()
        } else {
            self.doom(&walk.due)
        };
        if let Some(error) = doomed.failed {
            return Step::Failed(error);
        }
        {
            let mut pass = self.pass();
            pass.refused += doomed.refused;
            if pass.refused == 0 {
                pass.passed.clone_from(&walk.seen);
                pass.at = Some(now);
            }
        }
        let counts = counted([("doomed", doomed.doomed)]);
        if walk.more {
            return Step::More {
                at: walk.seen.map(Place::Passing),
                counts,
            };
        }
        match doomed.doomed {
            0 => self.sleep_until(now, walk.seen.as_deref()),
            _ => Step::Done {
                counts,
                // Each end is an event of its own.
                noted: false,
            },
        }
    }

    fn woken(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let deps = self.deps.clone();
        Box::pin(async move { deps.due_changed.notified().await })
    }
}

/// Waits for actors on a thread that may block, and starts none there: tenants would wait for that thread.
fn waiting() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().build()
}

fn execute(stream: &str) -> Option<RecordRequest> {
    Some(RecordRequest {
        key: StreamId::named(stream).record_key()?,
        command: Requested::Command(RecordCommand::DoomIfDue),
        payload: None,
        idempotency: None,
        by: SWEEP.to_owned(),
        request_id: format!("sweep-{}", crate::clock::random_uuid()),
        source: Source::Job,
        remarks: Remarks::default(),
    })
}
