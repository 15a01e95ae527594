//! Actors driven by their messages, without HTTP.

mod holds;
mod messages;
mod pending;
mod repeated;
mod upkeep;

use std::future::Future;
use std::sync::Arc;

use futures_util::future::join_all;
use metarecord::actors::jobs::sweep::TtlSweep;
use metarecord::actors::jobs::{Job, Step, StepContext};
use metarecord::actors::{
    ActorDeps, ActorRegistry, Answer, Limits, RecordRequest, Refused, Requested,
};
use metarecord::clock::Clock;
use metarecord::domain::container::Idempotency;
use metarecord::domain::record::{
    Complete, DoomCause, InlineJson, NewContent, Put, RecordCommand, RecordEvent, RecordKey, Status,
};
use metarecord::domain::{
    ContainerName, ErrorTag, Event, Md5, OrgCode, RecordId, Revision, StreamId, Tag, Timestamp,
};
use metarecord::journal::memory::MemoryJournal;
use metarecord::journal::{Append, Entry, Journal, Origin, Outcome, Remarks, Sink, Source};
use metarecord::projections::{Runner, Store};
use tokio::sync::oneshot;

use crate::support::watched::Watched;

const START_MS: i64 = 1_800_000_000_000;

struct World {
    journal: Arc<Watched<MemoryJournal>>,
    registry: Arc<ActorRegistry>,
    clock: Clock,
    _scratch: tempfile::TempDir,
}

impl World {
    /// Creates a record.
    async fn created(&self, id: &str) {
        let created = self.registry.execute(put(id, None)).await;
        created.expect("created");
    }

    /// Sends a request without waiting for its answer.
    fn send(&self, request: RecordRequest) -> tokio::task::JoinHandle<Answer> {
        actix::spawn({
            let registry = self.registry.clone();
            async move { registry.execute(request).await }
        })
    }
}

/// Runs a test within an actor system.
fn within<F: Future<Output = ()>>(limits: Limits, test: impl FnOnce(World) -> F) {
    within_by(limits, |runner| Box::new(runner), test);
}

/// The same with something between the journal and the projections.
fn within_by<F: Future<Output = ()>>(
    limits: Limits,
    sink: impl FnOnce(Runner) -> Box<dyn Sink>,
    test: impl FnOnce(World) -> F,
) {
    actix::System::new().block_on(async move {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let clock = Clock::manual(Timestamp::from_millis(START_MS));
        let journal = Arc::new(Watched::new(MemoryJournal::new(clock.clone())));
        let store = Store::open(scratch.path(), 1 << 20).expect("a store");
        journal.attach(sink(Runner::new(store.clone())));
        let deps =
            Arc::new(ActorDeps::new(journal.clone(), store, clock.clone()).expect("attached"));
        let registry = ActorRegistry::open(deps, limits);
        test(World {
            journal,
            registry: registry.clone(),
            clock,
            _scratch: scratch,
        })
        .await;
        registry.close();
        registry.join();
    });
}

fn key(container: &str, id: &str) -> RecordKey {
    RecordKey {
        org: OrgCode::parse("DEMO").expect("an org"),
        container: ContainerName::parse(container).expect("a container"),
        record_id: RecordId::parse(id).expect("an id"),
    }
}

fn execute(key: RecordKey, command: RecordCommand) -> RecordRequest {
    RecordRequest {
        key,
        command: Requested::Command(command),
        payload: None,
        idempotency: None,
        by: "tester".to_owned(),
        request_id: "r".to_owned(),
        source: Source::Gateway,
        remarks: Remarks::default(),
    }
}

fn put(id: &str, doom_at: Option<Timestamp>) -> RecordRequest {
    let key = key("notes", id);
    let put = Put {
        cccode: None,
        tags: None,
        doom_at,
        content: NewContent::Inline {
            size: 1,
            md5: Md5::of(b"1"),
        },
        expected: None,
    };
    RecordRequest {
        payload: Some(InlineJson::parse("1").expect("JSON")),
        ..execute(key, RecordCommand::Put(put))
    }
}

fn tag(id: &str, text: &str, expected: u64) -> RecordRequest {
    let tags = vec![Tag::parse(text).expect("a tag")];
    execute(
        key("notes", id),
        RecordCommand::AddTags {
            tags,
            expected: Some(Revision(expected)),
        },
    )
}

fn doom(id: &str, expected: u64) -> RecordRequest {
    execute(
        key("notes", id),
        RecordCommand::Doom {
            reason: None,
            expected: Some(Revision(expected)),
        },
    )
}

fn refusal(answer: Answer) -> ErrorTag {
    match answer {
        Err(Refused::Rejected { rejection, .. }) => rejection.tag,
        other => panic!("{other:?}"),
    }
}

/// Lets everything else run until something is so.
async fn until(what: &str, so: impl Fn() -> bool) {
    for _ in 0..6_000 {
        if so() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("gave up waiting: {what}");
}

#[test]
fn of_many_changes_that_saw_the_same_revision_one_is_carried_out() {
    within(Limits::default(), |world| async move {
        world.created("n").await;
        let changes =
            (0..64).map(|number| world.registry.execute(tag("n", &format!("T{number}"), 1)));
        let answers = join_all(changes).await;
        let (done, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!((done.len(), refused.len()), (1, 63));
        assert_eq!(done[0].as_ref().map(|done| done.record.revision.0), Ok(2));
        assert!(
            refused
                .into_iter()
                .all(|answer| refusal(answer) == ErrorTag::Conflict)
        );
    });
}

#[test]
fn a_container_takes_no_more_than_its_limit() {
    let limits = Limits {
        in_flight_max: 2,
        ..Limits::default()
    };
    within(limits, |world| async move {
        world.journal.hold();
        let waiting: Vec<_> = ["a", "b"]
            .map(|id| {
                let registry = world.registry.clone();
                actix::spawn(async move { registry.execute(put(id, None)).await })
            })
            .into();
        until("both are handed over", || world.journal.held() == 2).await;
        assert_eq!(
            world.registry.execute(put("c", None)).await,
            Err(Refused::Busy)
        );
        world.journal.release();
        for answer in join_all(waiting).await {
            answer.expect("no panic").expect("created");
        }
        world
            .registry
            .execute(put("c", None))
            .await
            .expect("there is room again");
    });
}

#[test]
fn a_journal_that_takes_nothing_is_told_and_reads_go_on() {
    within(Limits::default(), |world| async move {
        world
            .registry
            .execute(put("a", None))
            .await
            .expect("created");
        world.journal.inner.fail("a test");
        assert_eq!(
            world.registry.execute(put("b", None)).await,
            Err(Refused::Unavailable)
        );
        assert_eq!(
            world.registry.execute(doom("a", 1)).await,
            Err(Refused::Unavailable)
        );
        assert_eq!(
            refusal(world.registry.execute(doom("a", 7)).await),
            ErrorTag::Conflict
        );
    });
}

#[test]
fn of_many_idempotent_firsts_one_is_carried_out() {
    within(Limits::default(), |world| async move {
        let idempotency = Some(Idempotency {
            scope: "5".repeat(64),
            fingerprint: "f".repeat(64),
        });
        let requests = (0..16).map(|_| {
            world.registry.execute(RecordRequest {
                idempotency: idempotency.clone(),
                ..put("n", None)
            })
        });
        let answers: Vec<_> = join_all(requests)
            .await
            .into_iter()
            .map(|answer| answer.expect("done"))
            .collect();
        assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
        assert!(
            answers
                .iter()
                .all(|answer| answer.record.revision == Revision(1))
        );
        assert_eq!(world.journal.head().position, 1);
    });
}

#[test]
fn an_actor_without_work_goes_to_sleep_and_wakes_again() {
    let limits = Limits {
        idle_ms: 20,
        ..Limits::default()
    };
    within(limits, |world| async move {
        world
            .registry
            .execute(put("a", None))
            .await
            .expect("created");
        assert_eq!(world.registry.awake(), 1);
        until("it sleeps", || world.registry.awake() == 0).await;
        world.registry.execute(doom("a", 1)).await.expect("doomed");
    });
}

/// Does something that blocks next to the actors.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = oneshot::channel();
    let thread = std::thread::spawn(move || tell.send(work()).is_ok());
    let done = told.await.expect("no panic");
    assert!(thread.join().expect("no panic"));
    done
}

#[test]
fn the_sweep_dooms_what_is_due_and_waking_it_twice_does_nothing_twice() {
    within(Limits::default(), |world| async move {
        for (id, seconds) in [("a", 10), ("b", 20), ("c", 3_000)] {
            let at = world.clock.now().plus_millis(seconds * 1_000);
            world
                .registry
                .execute(put(id, Some(at)))
                .await
                .expect("created");
        }
        let sweep = Arc::new(TtlSweep::new(&world.registry, 3_600_000));
        let step = async || {
            let sweep = sweep.clone();
            aside(move || sweep.step(None, &StepContext::default())).await
        };
        let in_seconds = |seconds: i64| Some(world.clock.now().plus_millis(seconds * 1_000));
        assert_eq!(step().await, Step::Idle(in_seconds(10)));
        world.clock.advance(20_000);
        let Step::Done { counts, noted } = step().await else {
            panic!("two are due");
        };
        assert_eq!((counts["doomed"], noted), (2, false));
        let head = world.journal.head();
        assert_eq!(step().await, Step::Idle(in_seconds(2_980)));
        assert_eq!(world.journal.head(), head);
        let entries = world.journal.read(4, 9).expect("entries");
        let events = entries
            .iter()
            .filter_map(|entry| entry.body.as_ref())
            .flat_map(|body| &body.events);
        let causes = events.map(|event| match event {
            Event::Record(RecordEvent::Doomed { cause, .. }) => *cause,
            other => panic!("{other:?}"),
        });
        assert_eq!(causes.collect::<Vec<_>>(), [DoomCause::Ttl, DoomCause::Ttl]);
    });
}
