//! A job of the server that does no more steps than a test lets it.

use parking_lot::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metarecord::actors::jobs::{Job, Place, Step, StepContext};
use metarecord::domain::job::Counts;

/// A job that does no more steps than the test lets it, and remembers from where it did them.
pub(super) struct Held {
    job: Arc<dyn Job>,
    /// Steps that it may still do.
    pub(super) left: AtomicUsize,
    froms: Mutex<Vec<Option<Place>>>,
}

impl Held {
    pub(super) fn new(job: &Arc<dyn Job>, steps: usize) -> Arc<Self> {
        Arc::new(Self {
            job: job.clone(),
            left: AtomicUsize::new(steps),
            froms: Mutex::default(),
        })
    }

    pub(super) fn froms(&self) -> Vec<Option<Place>> {
        self.froms.lock().clone()
    }
}

impl Job for Held {
    fn name(&self) -> &'static str {
        self.job.name()
    }

    fn purpose(&self) -> &'static str {
        self.job.purpose()
    }

    fn every_ms(&self) -> Option<i64> {
        self.job.every_ms()
    }

    fn step(&self, from: Option<&Place>, context: &StepContext) -> Step {
        let take = |left: usize| left.checked_sub(1);
        let taken = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        if taken.is_err() {
            let (at, counts) = (from.cloned(), Counts::new());
            return Step::More { at, counts };
        }
        self.froms.lock().push(from.cloned());
        self.job.step(from, context)
    }

    fn woken(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.job.woken()
    }
}
