//! The operators' part and the actors alone, over a real journal, real projections and real content files.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use metarecord::actors::Caller;
use metarecord::actors::audit::AuditFile;
use metarecord::actors::jobs::sweep::TtlSweep;
use metarecord::actors::offboarding::{OffboardingSettings, Offboardings};
use metarecord::actors::ops::{Operations, OpsSettings};
use metarecord::actors::upkeep::{Upkeep, UpkeepSettings};
use metarecord::actors::vacuum::VacuumOrder;
use metarecord::actors::{ActorDeps, ActorRegistry, Limits, Refused};
use metarecord::clock::Clock;
use metarecord::content::ContentStore;
use metarecord::content::local::LocalStore;
use metarecord::disk::RealDisk;
use metarecord::domain::maintenance::{MaintenanceCommand, Window};
use metarecord::domain::org::{OrgEvent, OrgStatus};
use metarecord::domain::record::{Retention, UploadTimeouts};
use metarecord::domain::vacuum::Vacuum;
use metarecord::domain::{Event, OrgCode, StreamId, Timestamp};
use metarecord::journal::{Append, Journal, Origin, Outcome, Remarks, Source};
use metarecord::journal::{Options, SledJournal};
use metarecord::projections::generation;
use tokio::sync::oneshot;

/// How long a vacuum is pending.
pub(crate) const PENDING_MS: i64 = 300_000;
/// How old what is known of maintenance becomes at most.
pub(crate) const WATCH_AGE_MS_MAX: u64 = 4_000;
/// Small, so that there are sealed segments and an open one.
const SEGMENT_BYTES: u64 = 16 * 1024;
const CACHE_BYTES: u64 = 1 << 20;
/// How long the sweep of due records sleeps by itself: longer than any test.
const SWEEP_MS: u64 = 3_600_000;

const HOUR_MS: i64 = 60 * 60 * 1_000;
/// How long an upload URL is valid.
pub(crate) const URL_MS: i64 = 60_000;
/// How long what is kept: short, so that a test's steps pass it.
pub(crate) const UPKEEP: UpkeepSettings = UpkeepSettings {
    retention: Retention {
        versions_ms: 3 * HOUR_MS,
        leftovers_ms: HOUR_MS,
    },
    patience: UploadTimeouts {
        upload_ms: 2 * HOUR_MS,
        complete_ms: 60_000,
    },
};
/// How orgs leave; their exports stay longer than any test.
pub(crate) const LEAVING: OffboardingSettings = OffboardingSettings {
    window_ms: 2 * HOUR_MS,
    export_kept_ms: 1_000_000 * HOUR_MS,
    sweep_ms: 3,
};

/// A server without HTTP.
pub(crate) struct World {
    pub(crate) dir: PathBuf,
    pub(crate) operations: Arc<Operations>,
    pub(crate) audit: Arc<AuditFile>,
    pub(crate) registry: Arc<ActorRegistry>,
    /// Steps when it is told to.
    pub(crate) sweep: TtlSweep,
    pub(crate) upkeep: Upkeep,
    /// Rest until they are started.
    pub(crate) offboardings: Arc<Offboardings>,
    pub(crate) deps: Arc<ActorDeps>,
    pub(crate) content: Arc<dyn ContentStore>,
    pub(crate) clock: Clock,
}

pub(crate) fn caller() -> Caller {
    Caller {
        by: "tester".to_owned(),
        request_id: "r".to_owned(),
        source: Source::Operator,
        remarks: Remarks::default(),
        idempotency: None,
    }
}

pub(crate) fn journal_options() -> Options {
    Options {
        segment_bytes: SEGMENT_BYTES,
        cache_bytes: CACHE_BYTES,
        ..Options::default()
    }
}

fn world(dir: &Path, content: Arc<dyn ContentStore>, clock: Clock) -> World {
    let (journal, _) = SledJournal::open(
        &dir.join("journal"),
        journal_options(),
        clock.clone(),
        &mut |_, _| (),
    )
    .expect("the journal opens");
    let runner = generation::open(
        &dir.join("projections"),
        CACHE_BYTES,
        &journal,
        &mut Vec::new(),
        &mut |_, _| (),
    )
    .expect("the projections open");
    let store = runner.store();
    journal.attach(Box::new(runner));
    let deps = Arc::new(ActorDeps::new(Arc::new(journal), store, clock.clone()).expect("attached"));
    let settings = OpsSettings {
        vacuum_pending_ms: PENDING_MS,
        watch_age_ms_max: WATCH_AGE_MS_MAX,
        schedule_past_ms_max: i64::MAX,
    };
    let audit = Arc::new(AuditFile::new(&dir.join("audit")));
    let registry = ActorRegistry::open(deps.clone(), Limits::default());
    let sweep = TtlSweep::new(&registry, SWEEP_MS);
    let operations = Operations::open(deps.clone(), content.clone(), settings, audit.clone(), None);
    let exports = dir.join("exports");
    let offboardings = Offboardings::open(operations.clone(), content.clone(), exports, LEAVING);
    World {
        dir: dir.to_owned(),
        operations,
        audit,
        upkeep: Upkeep::new(registry.clone(), content.clone(), UPKEEP),
        offboardings: offboardings.expect("they can be read"),
        registry,
        sweep,
        deps,
        content,
        clock,
    }
}

/// Runs a test on a thread of its own, next to the actors' system.
pub(crate) fn within(test: impl FnOnce(&World)) {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let content = LocalStore::open(Arc::new(RealDisk), &scratch.path().join("content"));
    let clock = Clock::manual(Timestamp::from_millis(1_800_000_000_000));
    within_directory(
        scratch.path(),
        Arc::new(content.expect("it opens")),
        clock,
        test,
    );
}

/// The same in a given directory, over a given content store, by a given clock.
pub(crate) fn within_directory(
    dir: &Path,
    content: Arc<dyn ContentStore>,
    clock: Clock,
    test: impl FnOnce(&World),
) {
    test(&Standing::start(dir, content, clock).world);
}

/// A world that stands until it is dropped: its actors have a system on a thread of its own.
pub(crate) struct Standing {
    pub(crate) world: World,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _closed: Closed,
}

/// Behind the world: nothing of it may be in progress any more, or it would write into a directory that goes away.
struct Closed(Weak<dyn Journal>);

impl Drop for Closed {
    fn drop(&mut self) {
        assert!(
            self.0.strong_count() == 0 || std::thread::panicking(),
            "the journal is open still"
        );
    }
}

impl Standing {
    pub(crate) fn start(dir: &Path, content: Arc<dyn ContentStore>, clock: Clock) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let dir = dir.to_owned();
        let thread = std::thread::spawn(move || {
            actix::System::new().block_on(async move {
                let world = world(&dir, content, clock);
                let (operations, registry) = (world.operations.clone(), world.registry.clone());
                let (audit, store) = (world.audit.clone(), world.deps.store.clone());
                let offboardings = world.offboardings.clone();
                tell.send(world).expect("the test waits");
                let _: Result<(), _> = stopped.await;
                operations.close();
                offboardings.close();
                registry.close();
                // A test may have spoiled what it is made of.
                let _: Result<_, _> = audit.close(&store);
                operations.join();
                offboardings.join();
                registry.join();
            });
        });
        let world = told.recv().expect("the world stands");
        Self {
            _closed: Closed(Arc::downgrade(&world.deps.journal)),
            world,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        drop(self.stop.take());
        let thread = self.thread.take().expect("it is dropped once");
        let ended = thread.join();
        assert!(
            ended.is_ok() || std::thread::panicking(),
            "the world ended well"
        );
    }
}

/// Waits for what another thread works on.
pub(crate) fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(work)
}

impl World {
    pub(crate) fn maintain(&self, command: MaintenanceCommand) -> Result<Window, Refused> {
        wait(self.operations.maintain(command, caller()))
    }

    pub(crate) fn vacuum(&self, command: VacuumOrder) -> Result<Vacuum, Refused> {
        wait(self.operations.vacuum(command, caller()))
    }

    /// Makes an org, so that there is something to erase.
    pub(crate) fn make_org(&self, org: &OrgCode) {
        let status = OrgStatus::Verified;
        self.append(StreamId::org(org), Event::Org(OrgEvent::Created { status }));
    }

    /// Appends an event that no actor is notified of.
    pub(crate) fn append(&self, stream: StreamId, event: Event) {
        let append = Append {
            expected: self.deps.journal.version(&stream).expect("a version"),
            stream,
            guards: Vec::new(),
            events: vec![event],
            payload: None,
            idempotency: None,
            origin: Origin {
                at: self.clock.now(),
                by: "tester".to_owned(),
                request_id: "r".to_owned(),
                source: Source::Operator,
                remarks: Remarks::default(),
            },
        };
        let appended = self.deps.journal.append(append).blocking_recv();
        assert!(matches!(appended, Ok(Outcome::Appended { .. })));
    }
}
