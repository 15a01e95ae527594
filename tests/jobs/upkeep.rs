//! The jobs that remove content, over containers of two orgs: a run comes to each, page by page, and does nothing twice.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use metarecord::actors::jobs::containers::{AbandonedUploads, Cleanup, TagScrub};
use metarecord::actors::jobs::{Job, Order};
use metarecord::actors::upkeep::{Upkeep, UpkeepSettings};
use metarecord::actors::{ActorDeps, RecordRequest};
use metarecord::clock::random_uuid;
use metarecord::content::local::LocalStore;
use metarecord::disk::RealDisk;
use metarecord::domain::container::ContainerEvent;
use metarecord::domain::job::Counts;
use metarecord::domain::record::{
    DoomCause, InlineJson, NewContent, Put, RecordCommand, RecordEvent, RecordKey, Retention,
    UploadTimeouts,
};
use metarecord::domain::vacuum::Scope;
use metarecord::domain::{ContainerName, Event, Md5, OrgCode, RecordId, Revision, Tag};

use super::check::carry_of;
use super::held::Held;
use super::world::{PATIENCE, World, order, status, until, within};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// When a job that never ran begins at the latest.
const FIRST_MS: i64 = 600_000;
/// Each container with its records: more containers than are walked at a time, and one with more than fit on a page of 128.
const CONTAINERS: [(&str, &str, usize); 10] = [
    ("ONE", "first", 2),
    ("ONE", "fourth", 1),
    ("ONE", "large", 130),
    ("ONE", "second", 1),
    ("ONE", "third", 1),
    ("TWO", "aa", 1),
    ("TWO", "bb", 1),
    ("TWO", "cc", 1),
    ("TWO", "other", 3),
    ("TWO", "small", 1),
];
/// All records.
const RECORDS: usize = 142;
/// Those of the second org.
const OTHERS: usize = 7;

fn upkeep(world: &World, dir: &std::path::Path) -> Arc<Upkeep> {
    let content = LocalStore::open(Arc::new(RealDisk), dir).expect("a directory");
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
    Arc::new(Upkeep::new(
        world.registry.clone(),
        Arc::new(content),
        settings,
    ))
}

fn key(org: &str, container: &str, id: &str) -> RecordKey {
    RecordKey {
        org: OrgCode::parse(org).expect("an org"),
        container: ContainerName::parse(container).expect("a container"),
        record_id: RecordId::parse(id).expect("an id"),
    }
}

fn put(key: &RecordKey, content: NewContent, expected: Option<u64>) -> RecordRequest {
    let put = Put {
        cccode: None,
        tags: Some(vec![Tag::parse("T").expect("a tag")]),
        doom_at: None,
        content,
        expected: expected.map(Revision),
    };
    carry_of(key.clone(), RecordCommand::Put(put))
}

fn inline(key: &RecordKey, expected: Option<u64>) -> RecordRequest {
    let content = NewContent::Inline {
        size: 1,
        md5: Md5::of(b"1"),
    };
    RecordRequest {
        payload: Some(InlineJson::parse("1").expect("JSON")),
        ..put(key, content, expected)
    }
}

/// In each container so many records, put twice and doomed, and as many uploads that never come.
async fn fill(world: &World) {
    for (org, container, records) in CONTAINERS {
        for number in 0..records {
            let record = key(org, container, &format!("r-{number}"));
            let doom = RecordCommand::Doom {
                reason: None,
                expected: Some(Revision(2)),
            };
            let promised = NewContent::Upload {
                content_type: "text/plain".to_owned(),
                size: 9,
                md5: Md5::of(b"gz"),
                object_id: random_uuid(),
                expires_at: world.clock.now().plus_millis(60_000),
            };
            let upload = key(org, container, &format!("u-{number}"));
            for execute in [
                inline(&record, None),
                inline(&record, Some(1)),
                carry_of(record.clone(), doom),
                put(&upload, promised, None),
            ] {
                world.registry.execute(execute).await.expect("carried out");
            }
        }
    }
    world.clock.advance(400 * DAY_MS);
}

/// Everything that was removed or given up, in its order.
fn done(deps: &ActorDeps) -> Vec<String> {
    let mut done = Vec::new();
    let entries = deps.journal.read(1, usize::MAX).expect("entries");
    for body in entries.into_iter().filter_map(|entry| entry.body) {
        let of = body.stream.as_str();
        for event in &body.events {
            if let Event::Container(ContainerEvent::ContentRemoved { contents, .. }) = event {
                done.extend(contents.iter().map(|content| format!("{of} {content:?}")));
            }
            if let Event::Container(ContainerEvent::TagsScrubbed { entries }) = event {
                done.extend(entries.iter().map(|entry| format!("{of} {entry:?}")));
            }
            if let Event::Record(RecordEvent::Doomed { cause, .. }) = event
                && *cause == DoomCause::Abandoned
            {
                done.push(of.to_owned());
            }
        }
    }
    done
}

/// Of each record the same number of things was done, none of them twice.
fn check_once(deps: &ActorDeps, each: usize) {
    let done = done(deps);
    assert_eq!(done.len(), each * RECORDS);
    assert_eq!(
        done.iter().collect::<BTreeSet<_>>().len(),
        done.len(),
        "nothing is done twice"
    );
}

/// The three jobs, each with how much it does of a record.
fn jobs(world: &World, upkeep: &Arc<Upkeep>) -> [(Arc<dyn Job>, usize); 3] {
    [
        (Arc::new(Cleanup(world.deps.clone(), upkeep.clone())), 2),
        (Arc::new(TagScrub(world.deps.clone(), upkeep.clone())), 1),
        (Arc::new(AbandonedUploads(upkeep.clone())), 1),
    ]
}

/// Does the same with each of the jobs, in a world of its own.
fn with_each<F: Future<Output = ()>>(test: impl Fn(World, Arc<dyn Job>, usize) -> F) {
    for number in 0..3 {
        within(|world| async {
            let scratch = tempfile::tempdir().expect("a directory");
            let upkeep = upkeep(&world, scratch.path());
            fill(&world).await;
            let [first, second, third] = jobs(&world, &upkeep);
            let (job, each) = [first, second, third]
                .into_iter()
                .nth(number)
                .expect("a job");
            test(world, job, each).await;
        });
    }
}

fn total(counts: &Counts) -> u64 {
    let done = counts.iter().filter(|(name, _)| *name != "bytes");
    done.map(|(_, count)| count).sum()
}

#[test]
fn a_run_comes_to_every_container_and_the_next_finds_nothing_more() {
    with_each(|world, job, each| async move {
        let held = Held::new(&job, usize::MAX);
        let jobs = world.start(held.clone());
        world.clock.advance(FIRST_MS);
        until("it ran", || status(&jobs).runs == 1).await;
        check_once(&world.deps, each);
        assert_eq!(total(&status(&jobs).last_counts), (each * RECORDS) as u64);
        let steps = held.froms().len();
        // Over all containers at once, or over eight at a time.
        assert!(steps > 1, "{steps} pages");
        world
            .clock
            .advance(job.every_ms().expect("it runs now and again"));
        until("it ran again", || status(&jobs).runs == 2).await;
        check_once(&world.deps, each);
        assert_eq!(total(&status(&jobs).last_counts), 0);
        jobs.close(PATIENCE).await;
    });
}

#[test]
fn a_run_that_is_paused_goes_on_where_it_was_and_after_a_restart_does_nothing_twice() {
    with_each(|world, job, each| async move {
        let held = Held::new(&job, 1);
        let jobs = world.start(held.clone());
        world.clock.advance(FIRST_MS);
        let did = || status(&jobs).run.is_some_and(|run| total(&run.counts) > 0);
        until("it did a step", did).await;
        order(&jobs, Order::Pause).await.expect("paused");
        let before = done(&world.deps).len();
        assert!(before > 0 && before < each * RECORDS, "in the middle of it");
        held.left.store(1, Ordering::SeqCst);
        order(&jobs, Order::Resume).await.expect("resumed");
        until("it did another", || held.froms().len() == 2).await;
        assert!(held.froms()[1].is_some(), "not from the beginning");
        jobs.close(PATIENCE).await;
        // Its place could tell a name, and is not journaled: the run begins again, and finds what is left.
        let held = Held::new(&job, usize::MAX);
        let left = each * RECORDS - done(&world.deps).len();
        let jobs = world.start(held.clone());
        world.clock.advance(FIRST_MS);
        until("it ran", || status(&jobs).runs == 1).await;
        assert_eq!(held.froms()[0], None);
        assert_eq!(total(&status(&jobs).last_counts), left as u64);
        check_once(&world.deps, each);
        jobs.close(PATIENCE).await;
    });
}

#[test]
fn what_is_being_vacuumed_is_left_to_the_next_run() {
    with_each(|world, job, each| async move {
        let (admission, org) = (
            &world.deps.admission,
            OrgCode::parse("ONE").expect("a code"),
        );
        admission.close(&Scope::Org(org), "v-1");
        let held = Held::new(&job, usize::MAX);
        let jobs = world.start(held.clone());
        world.clock.advance(FIRST_MS);
        until("it ran", || status(&jobs).runs == 1).await;
        let others = done(&world.deps);
        assert_eq!(others.len(), each * OTHERS, "{others:?}");
        assert!(others.iter().all(|done| done.starts_with("mrs/TWO/")));
        assert_eq!(status(&jobs).failures, 0);
        admission.open("v-1");
        world
            .clock
            .advance(job.every_ms().expect("it runs now and again"));
        until("it ran again", || status(&jobs).runs == 2).await;
        check_once(&world.deps, each);
        jobs.close(PATIENCE).await;
    });
}

#[test]
fn a_container_that_cannot_be_looked_at_does_not_hold_the_others_up() {
    const GARBAGE: &[u8] = &[0xff; 40];
    with_each(|world, job, each| async move {
        // Uploads are found by when they were promised, over all containers at once.
        if job.name() == "abandoned-uploads" {
            return;
        }
        let store = &world.deps.store;
        let rows = store.rows().map(|row| row.expect("it can be read"));
        let of_one = rows.filter(|(key, _)| key.windows(6).any(|part| part == b"fourth"));
        let kept: Vec<_> = of_one
            .map(|(key, value)| (key.to_vec(), Some(value.to_vec())))
            .collect();
        let spoiled = kept
            .iter()
            .map(|(key, _)| (key.clone(), Some(GARBAGE.to_vec())));
        store.write(&mut spoiled.collect()).expect("written");
        let jobs = world.start(job.clone());
        world.clock.advance(FIRST_MS);
        until("it failed", || status(&jobs).failures > 0).await;
        assert_eq!(done(&world.deps).len(), each * (RECORDS - 1));
        let run = status(&jobs).run.expect("it is not over");
        assert_eq!(total(&run.counts), (each * (RECORDS - 1)) as u64);
        store.write(&mut kept.clone()).expect("written");
        world.clock.advance(HOUR_MS);
        until("it ran", || status(&jobs).runs == 1).await;
        check_once(&world.deps, each);
        assert_eq!(total(&status(&jobs).last_counts), (each * RECORDS) as u64);
        jobs.close(PATIENCE).await;
    });
}
