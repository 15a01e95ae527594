//! Metarecord within a program: it opens, closes and opens again, and refuses what it must.

mod uploads;

use std::path::Path;
use std::sync::{Arc, Weak};

use metarecord::actors::{ActorDeps, ActorRegistry, Limits, Refused};
use metarecord::domain::record::{INLINE_BYTES_MAX, RecordCommand, RecordKey, Status};
use metarecord::domain::{ContainerName, ErrorTag, OrgCode, RecordId, Revision};
use metarecord::journal::Journal;
use metarecord::journal::memory::MemoryJournal;
use metarecord::projections::list::Filter;
use metarecord::projections::{Runner, Store, as_of, records};
use metarecord::{EmbeddedError, Metarecord, Put, Settings, request, testing};

use crate::ops::world::wait;

fn key(id: &str) -> RecordKey {
    RecordKey {
        org: OrgCode::parse("ACME").expect("an org"),
        container: ContainerName::parse("notes").expect("a container"),
        record_id: RecordId::parse(id).expect("an id"),
    }
}

fn put(metarecord: &Metarecord, id: &str) {
    let put = Put::inline(r#"{"a": 1.0}"#).expect("JSON");
    wait(metarecord.execute(put.of(key(id), "ann"))).expect("executed");
}

fn revision(metarecord: &Metarecord, id: &str) -> Option<Revision> {
    let record = records::find(metarecord.projections(), (&key(id)).into());
    record.expect("read").map(|record| record.revision)
}

fn open(dir: &Path) -> Metarecord {
    Metarecord::open(dir).expect("it opens")
}

#[test]
fn a_closed_directory_opens_again_at_once_with_all_it_had() {
    let scratch = tempfile::tempdir().expect("a directory");
    for round in 0..5 {
        let metarecord = open(scratch.path());
        let ids: Vec<String> = (0..=round).map(|number| format!("n-{number}")).collect();
        let (new, old) = ids.split_last().expect("one");
        put(&metarecord, new);
        for id in old {
            assert_eq!(revision(&metarecord, id), Some(Revision(1)), "{id}");
        }
        assert_eq!(metarecord.journal().head().position, round + 1);
        metarecord.close().expect("it closes");
    }
}

#[test]
fn a_directory_is_open_once_and_free_when_what_was_handed_out_is_dropped() {
    let scratch = tempfile::tempdir().expect("a directory");
    let first = open(scratch.path());
    let second = Metarecord::open(scratch.path());
    assert!(matches!(second, Err(EmbeddedError::Directory(_))));
    let journal = first.journal().clone();
    put(&first, "n-1");
    assert!(matches!(first.close(), Err(EmbeddedError::InUse)));
    drop(journal);
    let again = open(scratch.path());
    assert_eq!(revision(&again, "n-1"), Some(Revision(1)));
    again.close().expect("it closes");
}

#[test]
fn only_a_test_moves_the_clock_of_one_in_memory() {
    let metarecord = testing::memory().expect("it opens");
    let clock = metarecord.clock().clone();
    let (before, due) = (clock.now(), clock.now().plus_millis(1_000));
    assert_eq!(clock.now(), before);
    let put = Put::inline("1").expect("JSON").doom_at(due);
    wait(metarecord.execute(put.of(key("n-1"), "ann"))).expect("executed");
    clock.advance(5_000);
    let doom = RecordCommand::DoomIfDue;
    let doomed = wait(metarecord.execute(request(key("n-1"), "ann", doom)));
    assert_eq!(doomed.expect("it is due").record.status, Status::Doomed);
    let journal = metarecord.journal().as_ref();
    let then = as_of::record_when(journal, &key("n-1"), |body| body.origin.at <= before);
    assert_eq!(
        then.expect("read").map(|record| record.status),
        Some(Status::Active)
    );
    metarecord.close().expect("it closes");
}

#[test]
fn a_put_is_checked_as_it_is_made() {
    let tag = |put: Result<Put, metarecord::domain::Rejection>| put.err().map(|why| why.tag);
    assert_eq!(tag(Put::inline("{")), Some(ErrorTag::InvalidInput));
    let large = format!("\"{}\"", "x".repeat(INLINE_BYTES_MAX));
    assert_eq!(tag(Put::inline(large)), Some(ErrorTag::InlineTooLarge));
    let put = Put::inline("1").expect("JSON");
    assert_eq!(
        tag(put.clone().tags(&["no tag!"])),
        Some(ErrorTag::InvalidTag)
    );
    assert!(put.tags(&["TAG"]).is_ok());
    let development = Settings {
        development: true,
        ..Settings::default()
    };
    let scratch = tempfile::tempdir().expect("a directory");
    open(scratch.path()).close().expect("it closes");
    let opened = Metarecord::open_with(scratch.path(), development);
    assert!(matches!(opened, Err(EmbeddedError::Directory(_))));
}

#[test]
fn a_directory_opens_again_after_actors_on_the_callers_own_thread() {
    let scratch = tempfile::tempdir().expect("a directory");
    let settings = Settings {
        actors: Limits {
            threads: 0,
            ..Limits::default()
        },
        ..Settings::default()
    };
    actix::System::new().block_on(async {
        for round in 1..=3 {
            let opened = Metarecord::open_with(scratch.path(), settings.clone());
            let metarecord = opened.expect("it opens");
            let put = Put::inline("1").expect("JSON");
            let request = put.of(key(&format!("n-{round}")), "ann");
            metarecord.execute(request).await.expect("executed");
            assert_eq!(metarecord.journal().head().position, round);
            metarecord.close().expect("it closes, and nothing holds it");
        }
    });
}

#[test]
fn a_registry_that_ended_leaves_nothing_of_its_actors() {
    let scratch = tempfile::tempdir().expect("a directory");
    actix::System::new().block_on(async {
        for threads in [0, 1, 2] {
            let clock = testing::clock();
            let journal = Arc::new(MemoryJournal::new(clock.clone()));
            let place = scratch.path().join(threads.to_string());
            let store = Store::open(&place, 1 << 20).expect("a store");
            journal.attach(Box::new(Runner::new(store.clone())));
            let watched: Weak<dyn Journal> = Arc::downgrade(&(journal.clone() as Arc<dyn Journal>));
            let deps = ActorDeps::new(journal, store, clock).expect("attached");
            let limits = Limits {
                threads,
                ..Limits::default()
            };
            let registry = ActorRegistry::open(Arc::new(deps), limits);
            let put = |id: &str| Put::inline("1").expect("JSON").of(key(id), "ann");
            registry.execute(put("n-1")).await.expect("executed");
            registry.end().await;
            let late = registry.execute(put("n-2")).await;
            assert_eq!(late, Err(Refused::Unavailable));
            drop(registry);
            assert_eq!(watched.strong_count(), 0, "{threads} threads");
        }
    });
}

#[test]
fn what_needs_an_actor_system_says_so() {
    let clock = testing::clock();
    let journal = Arc::new(MemoryJournal::new(clock.clone()));
    let scratch = tempfile::tempdir().expect("a directory");
    let store = Store::open(scratch.path(), 1 << 20).expect("a store");
    journal.attach(Box::new(Runner::new(store.clone())));
    let deps = Arc::new(ActorDeps::new(journal, store, clock).expect("attached"));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        drop(ActorRegistry::open(deps, Limits::default()));
    }));
    let panic = panic.expect_err("there is no actor system here");
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    assert!(
        text.is_some_and(|text| text.contains("actix system")),
        "{text:?}"
    );
}

#[test]
fn futures_can_be_awaited_in_any_runtime() {
    let metarecord = testing::memory().expect("it opens");
    let operations = metarecord.operations();
    let caller = metarecord::operator("ann");
    // Of no runtime at all: the blocking work within finds a thread of its own.
    let set = operations.set_code("a secret code of mine", None, ("f", "h"), &caller);
    block_on(set).expect("set");
    let survey = block_on(operations.survey(&metarecord::domain::vacuum::Scope::All));
    survey.expect("counted");
    metarecord.close().expect("it closes");
}

/// Polls a future on this thread, which has no runtime.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let std::task::Poll::Ready(answer) = future.as_mut().poll(&mut context) {
            return answer;
        }
        std::thread::park();
    }
}

#[test]
fn a_list_without_statuses_shows_records_of_all() {
    let metarecord = testing::memory().expect("it opens");
    put(&metarecord, "n-1");
    put(&metarecord, "n-2");
    let doom = RecordCommand::Doom {
        reason: None,
        expected: Some(Revision(1)),
    };
    wait(metarecord.execute(request(key("n-2"), "ann", doom))).expect("doomed");
    let filter = |statuses: &[Status]| Filter {
        org: OrgCode::parse("ACME").expect("an org"),
        container: None,
        cccode: None,
        tag: None,
        statuses: statuses.to_vec(),
        prefix: String::new(),
    };
    let shown = |statuses: &[Status]| {
        let now = metarecord.clock().now();
        let page = filter(statuses).page(metarecord.projections(), None, 10, now);
        page.expect("read").items.len()
    };
    assert_eq!(shown(&[]), 2);
    assert_eq!(shown(&[Status::Active]), 1);
    assert_eq!(shown(Status::ALL), 2);
    metarecord.close().expect("it closes");
}

/// Every error that a function of the library's public modules gives back.
#[test]
fn every_public_error_is_an_error() {
    fn is<T: std::error::Error + Send + Sync + 'static>() {}
    is::<metarecord::EmbeddedError>();
    is::<metarecord::actors::Failure>();
    is::<metarecord::actors::NotAttached>();
    is::<metarecord::actors::Refused>();
    is::<metarecord::actors::vacuum::VacuumError>();
    is::<metarecord::clock::Untrusted>();
    is::<metarecord::domain::EventError>();
    is::<metarecord::domain::Rejection>();
    is::<metarecord::journal::JournalError>();
    is::<metarecord::projections::StoreError>();
}
