//! The job that journals the end of records whose time has come. They read as doomed from that time on, swept or not.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures_util::future::join_all;

use super::{Heed, Job, Place, Step, counted};
use crate::actors::{AddressBook, Carry, Desk, Refused};
use crate::domain::record::{RecordCommand, SWEEP};
use crate::domain::{StreamId, Timestamp};
use crate::journal::{Remarks, Source};
use crate::projections::due;

/// Records doomed in one step.
const STEP_RECORDS: usize = 256;
/// When what could not be doomed because of a vacuum is looked at again.
const REFUSED_MS: i64 = 60_000;

/// Dooms what is due. It wakes when the next record is, or when a due time is set.
pub struct TtlSweep {
    desk: Arc<Desk>,
    book: Weak<AddressBook>,
    longest_sleep_ms: i64,
    /// Records of this pass that take no changes at the moment.
    refused: Mutex<u64>,
}

/// What became of the records of one step.
#[derive(Default)]
struct Doomed {
    doomed: u64,
    /// A vacuum keeps changes out of them.
    refused: u64,
    /// The journal or its queues took nothing.
    failed: Option<String>,
}

impl TtlSweep {
    /// One that looks at least every `longest_sleep_ms`, whatever it was told meanwhile.
    pub fn new(book: &Arc<AddressBook>, longest_sleep_ms: u64) -> Self {
        Self {
            desk: book.desk().clone(),
            book: Arc::downgrade(book),
            longest_sleep_ms: i64::try_from(longest_sleep_ms).unwrap_or(i64::MAX),
            refused: Mutex::new(0),
        }
    }

    /// Nothing more is due: when something may be.
    fn sleep_until(&self, now: Timestamp) -> Step {
        let refused =
            std::mem::take(&mut *self.refused.lock().unwrap_or_else(PoisonError::into_inner));
        let longest = match refused {
            0 => self.longest_sleep_ms,
            _ => self.longest_sleep_ms.min(REFUSED_MS),
        };
        let at_the_latest = now.plus_millis(longest);
        match due::next_due(&self.desk.store, now) {
            Ok(next) => Step::Idle(Some(next.unwrap_or(at_the_latest).min(at_the_latest))),
            Err(error) => Step::failed(&error),
        }
    }

    fn doom(&self, streams: &[String]) -> Doomed {
        let mut doomed = Doomed::default();
        let (Some(book), Ok(runtime)) = (self.book.upgrade(), waiting()) else {
            doomed.failed = Some("the desks are closed".to_owned());
            return doomed;
        };
        let carries = streams.iter().filter_map(|stream| carry(stream));
        let answers = runtime.block_on(join_all(carries.map(|carry| book.carry(carry))));
        for answer in answers {
            match answer {
                Ok(_) => doomed.doomed += 1,
                Err(Refused::Rejected { .. }) => doomed.refused += 1,
                Err(refused @ (Refused::Busy | Refused::Unavailable | Refused::Failed(_))) => {
                    doomed.failed = Some(refused.to_string());
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
        "Journals the end of records whose time has come."
    }

    fn every_ms(&self) -> Option<i64> {
        None
    }

    fn step(&self, from: Option<&Place>, _: &Heed) -> Step {
        let now = self.desk.clock.now();
        let from = match from {
            Some(Place::Passing(key)) => Some(key.as_slice()),
            Some(Place::Kept(_)) | None => None,
        };
        let page = match due::due_page(&self.desk.store, now, from, STEP_RECORDS) {
            Ok(page) => page,
            Err(error) => return Step::failed(&error),
        };
        if page.streams.is_empty() {
            return self.sleep_until(now);
        }
        let doomed = self.doom(&page.streams);
        if let Some(error) = doomed.failed {
            return Step::Failed(error);
        }
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) += doomed.refused;
        match page.next {
            Some(next) => Step::More {
                at: Some(Place::Passing(next)),
                counts: counted([("doomed", doomed.doomed)]),
            },
            None if doomed.doomed == 0 => self.sleep_until(now),
            None => Step::Done {
                counts: counted([("doomed", doomed.doomed)]),
                // Each end is an event of its own.
                noted: false,
            },
        }
    }

    fn woken(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let desk = self.desk.clone();
        Box::pin(async move { desk.due_set.notified().await })
    }
}

/// Waits for actors on a thread that may block, and starts none there: tenants would wait for that thread.
fn waiting() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().build()
}

fn carry(stream: &str) -> Option<Carry> {
    Some(Carry {
        key: StreamId::named(stream).record_key()?,
        command: Ok(RecordCommand::DoomIfDue),
        payload: None,
        idempotency: None,
        by: SWEEP.to_owned(),
        request_id: format!("sweep-{}", crate::clock::random_uuid()),
        source: Source::Job,
        remarks: Remarks::default(),
    })
}
