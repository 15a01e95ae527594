//! Upkeep driven without HTTP: uploads that are given up, and orders that meet changes on their way.

mod holds;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use metarecord::actors::upkeep::{Page, Place, Upkeep, UpkeepSettings};
use metarecord::actors::{Caller, Requested};
use metarecord::content::local::LocalStore;
use metarecord::disk::RealDisk;
use metarecord::domain::org::OrgEvent;
use metarecord::domain::record::{ContentPlace, Retention, UploadTimeouts};
use metarecord::journal::SinkError;
use metarecord::projections::{RecordName, contents, records};
use uuid::Uuid;

use super::*;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

fn upkeep(world: &World) -> Upkeep {
    let directory = world._scratch.path().join("content");
    let content = LocalStore::open(Arc::new(RealDisk), &directory).expect("a directory");
    let settings = UpkeepSettings {
        retention: Retention {
            versions_ms: 365 * DAY_MS,
            leftovers_ms: 90 * DAY_MS,
        },
        patience: UploadTimeouts {
            upload_ms: DAY_MS,
            complete_ms: HOUR_MS,
        },
    };
    Upkeep::new(world.registry.clone(), Arc::new(content), settings)
}

fn caller() -> Caller {
    Caller {
        by: "job:test".to_owned(),
        request_id: "r".to_owned(),
        source: Source::Job,
        remarks: Remarks::default(),
        idempotency: None,
    }
}

fn place() -> Place {
    let key = key("notes", "n");
    Place {
        org: key.org,
        container: key.container,
    }
}

fn page(items_max: usize) -> Page {
    Page {
        from: None,
        items_max,
    }
}

fn put_over(id: &str, revision: u64) -> RecordRequest {
    let mut over = put(id, None);
    if let Requested::Command(RecordCommand::Put(put)) = &mut over.command {
        put.expected = Some(Revision(revision));
    }
    over
}

/// A put that promises an upload.
fn promise(world: &World, id: &str, number: u128, expected: Option<u64>) -> RecordRequest {
    let mut execute = put(id, None);
    execute.payload = None;
    if let Requested::Command(RecordCommand::Put(put)) = &mut execute.command {
        put.expected = expected.map(Revision);
        put.content = NewContent::Upload {
            content_type: "text/plain".to_owned(),
            size: 9,
            md5: Md5::of(b"gz"),
            object_id: Uuid::from_u128(number),
            expires_at: world.clock.now().plus_millis(900_000),
        };
    }
    execute
}

#[test]
fn an_upload_that_never_came_dooms_its_record_and_leaves_active_ones_as_they_are() {
    within(Limits::default(), |world| async move {
        let upkeep = upkeep(&world);
        let (registry, store) = (&world.registry, &world.registry.deps().store);
        for (id, number) in [("a", 1), ("b", 2)] {
            registry
                .execute(promise(&world, id, number, None))
                .await
                .expect("promised");
        }
        registry.execute(put("c", None)).await.expect("created");
        registry
            .execute(promise(&world, "c", 3, Some(1)))
            .await
            .expect("promised");
        world.clock.advance(DAY_MS - 1);
        let done = upkeep.abandoned(&page(10), &caller()).await.expect("done");
        assert_eq!((done.scanned, done.doomed, done.given_up), (0, 0, 0));
        world.clock.advance(1);
        let first = upkeep.abandoned(&page(2), &caller()).await.expect("done");
        assert_eq!((first.scanned, first.doomed, first.given_up), (2, 2, 0));
        let rest = Page {
            from: first.next,
            items_max: 2,
        };
        let rest = upkeep.abandoned(&rest, &caller()).await.expect("done");
        assert_eq!(
            (rest.scanned, rest.doomed, rest.given_up, rest.next),
            (1, 0, 1, None)
        );
        let found = |id: &str| {
            let found = records::find(store, RecordName::from(&key("notes", id)));
            found.expect("a row").expect("a record")
        };
        let doom = found("a").doom.expect("doomed");
        assert_eq!(
            (doom.cause, doom.at),
            (DoomCause::Abandoned, world.clock.now())
        );
        let active = found("c");
        assert_eq!(
            (active.status, active.revision),
            (Status::Active, Revision(2))
        );
        let again = upkeep.abandoned(&page(10), &caller()).await.expect("done");
        assert_eq!(again.scanned, 0, "nobody waits any more");
        world.clock.advance(90 * DAY_MS);
        let cleaned = upkeep
            .cleanup(&place(), &page(10), 90 * DAY_MS, &caller())
            .await;
        assert_eq!(cleaned.expect("done").removed.uploads, 3);
        assert_eq!(
            contents::owner(store, "DEMO", Uuid::from_u128(3)).expect("a row"),
            None
        );
    });
}

#[test]
fn an_upload_given_up_and_completed_all_the_same_is_content_that_cleanup_does_not_touch() {
    within(Limits::default(), |world| async move {
        let upkeep = upkeep(&world);
        world.created("n").await;
        world
            .registry
            .execute(promise(&world, "n", 7, Some(1)))
            .await
            .expect("promised");
        world.clock.advance(DAY_MS);
        let done = upkeep.abandoned(&page(10), &caller()).await.expect("done");
        assert_eq!(done.given_up, 1);
        let object_id = Uuid::from_u128(7);
        let complete = RecordCommand::Complete(Complete {
            object_id,
            size: 9,
            md5: Md5::of(b"gz"),
            uploaded_size: Some(9),
            sealed: Some(metarecord::testing::sealed(
                object_id,
                9,
                metarecord::domain::Sha256Digest::of(b"gz"),
            )),
            content_version: None,
            expected: None,
        });
        world
            .registry
            .execute(execute(key("notes", "n"), complete))
            .await
            .expect("completed");
        world.clock.advance(90 * DAY_MS);
        let cleaned = upkeep
            .cleanup(&place(), &page(10), 90 * DAY_MS, &caller())
            .await
            .expect("done");
        // What was promised and given up; the earlier version is kept for longer.
        assert_eq!((cleaned.scanned, cleaned.removed.uploads), (1, 0));
        let owner = contents::owner(&world.registry.deps().store, "DEMO", object_id);
        assert!(owner.expect("a row").is_some());
        let record = records::find(
            &world.registry.deps().store,
            RecordName::from(&key("notes", "n")),
        );
        let record = record.expect("a row").expect("a record");
        assert_eq!(record.content.place, ContentPlace::Object(object_id));
    });
}

fn remembered(mut execute: RecordRequest) -> RecordRequest {
    execute.idempotency = Some(Idempotency {
        scope: "5".repeat(64),
        fingerprint: "f".repeat(64),
    });
    execute
}

/// Projections that lag behind the journal until they continue.
struct Lagging {
    runner: Runner,
    lag: Arc<AtomicBool>,
    missed: Vec<Entry>,
}

impl Sink for Lagging {
    fn apply(&mut self, group: &[Entry]) -> Result<(), SinkError> {
        self.missed.extend_from_slice(group);
        if self.lag.load(Ordering::SeqCst) {
            return Ok(());
        }
        let missed = std::mem::take(&mut self.missed);
        self.runner.apply(&missed)
    }
}

/// Projections that lag from the moment on that the flag is set, until something is written after it is taken back.
fn lagging() -> (Arc<AtomicBool>, impl FnOnce(Runner) -> Box<dyn Sink>) {
    let lag = Arc::new(AtomicBool::new(false));
    let flag = lag.clone();
    let sink = |runner| -> Box<dyn Sink> {
        Box::new(Lagging {
            runner,
            lag: flag,
            missed: Vec::new(),
        })
    };
    (lag, sink)
}

#[test]
fn an_old_answer_whose_successor_is_on_its_way_is_not_forgotten() {
    let (lag, sink) = lagging();
    within_by(Limits::default(), sink, |world| async move {
        let upkeep = upkeep(&world);
        let first = remembered(put("n", None));
        world.registry.execute(first).await.expect("created");
        world.clock.advance(DAY_MS);
        // The journal has the second answer already, and nobody can see it.
        lag.store(true, Ordering::SeqCst);
        world.journal.hold();
        let second = world.send(remembered(tag("n", "T", 1)));
        until("the second is handed over", || world.journal.held() == 1).await;
        let cleaning =
            actix::spawn(
                async move { upkeep.cleanup(&place(), &page(10), DAY_MS, &caller()).await },
            );
        let journal = world.journal.clone();
        let carried_out = || cleaning.is_finished() || journal.held() == 2;
        until("cleanup is carried out", carried_out).await;
        lag.store(false, Ordering::SeqCst);
        world.journal.release();
        let cleaned = cleaning.await.expect("no panic").expect("done");
        assert_eq!((cleaned.scanned, cleaned.removed.idempotency), (1, 0));
        second.await.expect("no panic").expect("tagged");
        world
            .registry
            .execute(put("other", None))
            .await
            .expect("shown");
        let again = remembered(tag("n", "T", 1));
        let replayed = world.registry.execute(again).await.expect("tagged");
        assert!(replayed.replayed, "the second answer is still given");
    });
}

/// A cleanup that sees what was, while the journal has gone on: something must be found again before anything goes.
fn overtaken_by(change: impl FnOnce(&World) -> Append, removed: u64) {
    let (lag, sink) = lagging();
    within_by(Limits::default(), sink, |world| async move {
        let upkeep = upkeep(&world);
        world.created("n").await;
        world
            .registry
            .execute(put_over("n", 1))
            .await
            .expect("put over");
        world.clock.advance(365 * DAY_MS);
        lag.store(true, Ordering::SeqCst);
        let done = world.journal.append(change(&world)).await;
        assert!(matches!(done, Ok(Outcome::Appended { .. })), "{done:?}");
        let clean = || async { upkeep.cleanup(&place(), &page(10), DAY_MS, &caller()).await };
        assert_eq!(clean().await.expect_err("it saw what was"), Refused::Busy);
        lag.store(false, Ordering::SeqCst);
        world
            .registry
            .execute(put("other", None))
            .await
            .expect("shown");
        assert_eq!(clean().await.expect("done").removed.versions, removed);
    });
}

#[test]
fn what_moved_at_the_end_of_a_page_does_not_keep_its_beginning() {
    let (lag, sink) = lagging();
    within_by(Limits::default(), sink, |world| async move {
        let upkeep = upkeep(&world);
        for id in ["a", "b", "c", "d"] {
            world
                .registry
                .execute(put(id, None))
                .await
                .expect("created");
            world
                .registry
                .execute(put_over(id, 1))
                .await
                .expect("put over");
        }
        world.clock.advance(365 * DAY_MS);
        lag.store(true, Ordering::SeqCst);
        let tags = vec![Tag::parse("T").expect("a tag")];
        let event = Event::Record(RecordEvent::TagsAdded { tags });
        let tagged = append(&world, StreamId::record(&key("notes", "d")), event);
        let tagged = world.journal.append(tagged).await;
        assert!(matches!(tagged, Ok(Outcome::Appended { .. })), "{tagged:?}");
        let clean = |from| {
            let page = Page { from, ..page(4) };
            let upkeep = &upkeep;
            async move { upkeep.cleanup(&place(), &page, DAY_MS, &caller()).await }
        };
        let half = clean(None).await.expect("half a page");
        assert_eq!((half.scanned, half.removed.versions), (2, 2));
        lag.store(false, Ordering::SeqCst);
        world
            .registry
            .execute(put("other", None))
            .await
            .expect("shown");
        let rest = clean(half.next).await.expect("the rest");
        assert_eq!((rest.removed.versions, rest.next), (2, None));
    });
}

fn append(world: &World, stream: StreamId, event: Event) -> Append {
    Append {
        expected: world.journal.version(&stream).expect("a version"),
        stream,
        guards: Vec::new(),
        events: vec![event],
        payload: None,
        idempotency: None,
        origin: Origin {
            at: world.clock.now(),
            by: "tester".to_owned(),
            request_id: "r".to_owned(),
            source: Source::Operator,
            remarks: Remarks::default(),
        },
    }
}

#[test]
fn a_change_of_the_record_that_was_first_is_seen() {
    let change = |world: &World| {
        let tags = vec![Tag::parse("T").expect("a tag")];
        let event = Event::Record(RecordEvent::TagsAdded { tags });
        append(world, StreamId::record(&key("notes", "n")), event)
    };
    overtaken_by(change, 1);
}

#[test]
fn refusals_and_upkeep_write_to_a_containers_stream_one_after_the_other() {
    within(Limits::default(), |world| async move {
        let upkeep = upkeep(&world);
        world.created("n").await;
        world
            .registry
            .execute(put_over("n", 1))
            .await
            .expect("put over");
        let refused = |scope: &str| {
            let mut execute = remembered(put("n", None));
            if let Some(idempotency) = &mut execute.idempotency {
                idempotency.scope = scope.repeat(64);
            }
            execute
        };
        let first = world.registry.execute(refused("1")).await;
        assert_eq!(refusal(first), ErrorTag::ExpectedRevisionRequired);
        world.clock.advance(365 * DAY_MS);
        world.journal.hold();
        let cleaning =
            actix::spawn(
                async move { upkeep.cleanup(&place(), &page(1), DAY_MS, &caller()).await },
            );
        until("cleanup is handed over", || world.journal.held() == 1).await;
        let second = actix::spawn({
            let (registry, execute) = (world.registry.clone(), refused("2"));
            async move { registry.execute(execute).await }
        });
        until("the refusal is handed over", || world.journal.held() == 2).await;
        world.journal.release();
        assert_eq!(
            cleaning
                .await
                .expect("no panic")
                .expect("done")
                .removed
                .versions,
            1
        );
        assert_eq!(
            refusal(second.await.expect("no panic")),
            ErrorTag::ExpectedRevisionRequired
        );
        let stream = StreamId::container(&place().org, &place().container);
        assert_eq!(world.journal.version(&stream).expect("a version"), 3);
    });
}
