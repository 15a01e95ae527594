//! Actors with jobs and without HTTP, over a journal in memory, by a clock that the test moves.

use parking_lot::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use metarecord::actors::Caller;
use metarecord::actors::jobs::{Job, Jobs, Order, Place, Status, Step, StepContext};
use metarecord::actors::{ActorDeps, ActorRegistry, Limits, Refused};
use metarecord::clock::Clock;
use metarecord::domain::job::{Counts, JobEvent};
use metarecord::domain::{Event, StreamId, Timestamp};
use metarecord::journal::memory::MemoryJournal;
use metarecord::journal::{Journal, Remarks, Source};
use metarecord::projections::{Runner, Store};
use tokio::sync::Notify;

/// More than any test waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// What a job of a test does in a step.
type Does = dyn Fn(Option<&Place>, &StepContext) -> Step + Send + Sync;

/// A job that does what the test says, and remembers from where.
pub(crate) struct Scripted {
    every_ms: Option<i64>,
    does: Box<Does>,
    froms: Mutex<Vec<Option<Place>>>,
    wake: Arc<Notify>,
}

impl Scripted {
    pub(crate) fn new(
        every_ms: Option<i64>,
        does: impl Fn(Option<&Place>, &StepContext) -> Step + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            every_ms,
            does: Box::new(does),
            froms: Mutex::default(),
            wake: Arc::default(),
        })
    }

    /// From where its steps were done.
    pub(crate) fn froms(&self) -> Vec<Option<Place>> {
        self.froms.lock().clone()
    }

    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }
}

impl Job for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn purpose(&self) -> &'static str {
        "Does what a test says."
    }

    fn every_ms(&self) -> Option<i64> {
        self.every_ms
    }

    fn step(&self, from: Option<&Place>, context: &StepContext) -> Step {
        self.froms.lock().push(from.cloned());
        (self.does)(from, context)
    }

    fn woken(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let wake = self.wake.clone();
        Box::pin(async move { wake.notified().await })
    }
}

/// Actors without HTTP.
pub(crate) struct World {
    pub(crate) deps: Arc<ActorDeps>,
    pub(crate) registry: Arc<ActorRegistry>,
    pub(crate) clock: Clock,
}

impl World {
    /// Starts one job, as the server does.
    pub(crate) fn start(&self, job: Arc<dyn Job>) -> Arc<Jobs> {
        Jobs::start(&self.deps, vec![job], 1)
    }

    /// The events of all jobs, in order.
    pub(crate) fn events(&self) -> Vec<JobEvent> {
        let stream = StreamId::named(StreamId::JOBS);
        let entries = self.deps.journal.stream(&stream, 1, 1_000);
        let bodies = entries
            .expect("entries")
            .into_iter()
            .filter_map(|entry| entry.body);
        let events = bodies.flat_map(|body| body.events);
        events
            .map(|event| match event {
                Event::Job(event) => event,
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

/// Runs a test within an actor system.
pub(crate) fn within<F: Future<Output = ()>>(test: impl FnOnce(World) -> F) {
    actix::System::new().block_on(async move {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let clock = Clock::manual(Timestamp::from_millis(1_800_000_000_000));
        let journal = Arc::new(MemoryJournal::new(clock.clone()));
        let store = Store::open(scratch.path(), 1 << 20).expect("a store");
        journal.attach(Box::new(Runner::new(store.clone())));
        let deps = Arc::new(ActorDeps::new(journal, store, clock.clone()).expect("attached"));
        let registry = ActorRegistry::open(deps.clone(), Limits::default());
        test(World {
            deps,
            registry: registry.clone(),
            clock,
        })
        .await;
        registry.close();
        registry.join();
    });
}

pub(crate) async fn order(jobs: &Jobs, order: Order) -> Result<Status, Refused> {
    let caller = Caller {
        by: "tester".to_owned(),
        request_id: "r".to_owned(),
        source: Source::Operator,
        remarks: Remarks::default(),
        idempotency: None,
    };
    jobs.order(jobs.list()[0].name, order, caller).await
}

/// How the only job is.
pub(crate) fn status(jobs: &Jobs) -> Status {
    jobs.list().remove(0)
}

/// Lets everything else run until something is so.
pub(crate) async fn until(what: &str, so: impl Fn() -> bool) {
    for _ in 0..60_000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("gave up waiting: {what}");
}

pub(crate) fn one(name: &str, count: u64) -> Counts {
    Counts::from([(name.to_owned(), count)])
}
