//! The projection check: finds rows that are gone, altered or behind, and leaves good ones alone.

use metarecord::actors::jobs::check::ProjectionCheck;
use metarecord::actors::jobs::{Job, Place, Step, StepContext};
use metarecord::actors::{RecordRequest, Requested};
use metarecord::domain::job::Counts;
use metarecord::domain::record::{InlineJson, NewContent, Put, RecordCommand, RecordKey};
use metarecord::domain::{ContainerName, Md5, OrgCode, RecordId, Revision, Tag};
use metarecord::journal::{Remarks, Source};

use super::world::{World, within};

pub(super) fn key(id: &str) -> RecordKey {
    RecordKey {
        org: OrgCode::parse("DEMO").expect("an org"),
        container: ContainerName::parse("notes").expect("a container"),
        record_id: RecordId::parse(id).expect("an id"),
    }
}

fn row_key(id: &str) -> Vec<u8> {
    format!("rDEMO\0notes\0{id}").into_bytes()
}

pub(super) fn carry_of(key: RecordKey, command: RecordCommand) -> RecordRequest {
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

pub(super) fn put_of(payload: &[u8], expected: Option<Revision>) -> RecordCommand {
    RecordCommand::Put(Put {
        cccode: None,
        tags: None,
        doom_at: None,
        content: NewContent::Inline {
            size: payload.len() as u64,
            md5: Md5::of(payload),
        },
        expected,
    })
}

pub(super) async fn put(world: &World, id: &str) {
    let put = RecordRequest {
        payload: Some(InlineJson::parse("1").expect("JSON")),
        ..carry_of(key(id), put_of(b"1", None))
    };
    world.registry.execute(put).await.expect("created");
}

async fn tag(world: &World, id: &str) {
    let tags = vec![Tag::parse("T").expect("a tag")];
    let expected = Some(Revision(1));
    let tag = carry_of(key(id), RecordCommand::AddTags { tags, expected });
    world.registry.execute(tag).await.expect("tagged");
}

/// A whole run: what it counted, and whether it is worth an event.
fn run(check: &ProjectionCheck) -> (Counts, bool) {
    let (mut all, mut from): (Counts, Option<Place>) = (Counts::new(), None);
    loop {
        let (counts, ended) = match check.step(from.as_ref(), &StepContext::default()) {
            Step::More { at, counts } => {
                from = at;
                (counts, None)
            }
            Step::Done { counts, noted } => (counts, Some(noted)),
            other => panic!("{other:?}"),
        };
        for (name, count) in counts {
            *all.entry(name).or_default() += count;
        }
        if let Some(noted) = ended {
            return (all, noted);
        }
    }
}

#[test]
fn rows_that_are_gone_altered_or_behind_are_found_and_nothing_is_repaired() {
    within(|world| async move {
        // More than one step looks at.
        for number in 0..150 {
            put(&world, &format!("n-{number}")).await;
        }
        let store = &world.deps.store;
        let check = ProjectionCheck::new(&world.deps);
        let all = |differing: u64| {
            let mut counts = Counts::from([("records".to_owned(), 150)]);
            if differing > 0 {
                counts.insert("differing".to_owned(), differing);
            }
            (counts, differing > 0)
        };
        assert_eq!(run(&check), all(0));

        let behind = store.get(&row_key("n-1")).expect("a row").expect("there");
        tag(&world, "n-1").await;
        tag(&world, "n-2").await;
        assert_eq!(run(&check), all(0));
        let other = store.get(&row_key("n-2")).expect("a row").expect("there");
        let first = store.get(&row_key("n-99")).expect("a row").expect("there");
        let mut writes = vec![
            (row_key("n-1"), Some(behind.to_vec())),
            (row_key("n-99"), Some(other.to_vec())),
            (row_key("n-100"), None),
            (row_key("n-101"), Some(b"no row".to_vec())),
        ];
        store.write(&mut writes).expect("written");
        assert_eq!(run(&check), all(4));
        assert_eq!(run(&check), all(4), "it is still as it was");
        let mut writes = vec![(row_key("n-99"), Some(first.to_vec()))];
        store.write(&mut writes).expect("written");
        assert_eq!(run(&check), all(3));
    });
}

#[test]
fn a_check_ends_where_the_projections_were_when_it_began() {
    within(|world| async move {
        for number in 0..100 {
            put(&world, &format!("n-{number}")).await;
        }
        let check = ProjectionCheck::new(&world.deps);
        let Step::More { at, .. } = check.step(None, &StepContext::default()) else {
            panic!("there is more");
        };
        for number in 100..300 {
            put(&world, &format!("n-{number}")).await;
        }
        let Step::Done { counts, .. } = check.step(at.as_ref(), &StepContext::default()) else {
            panic!("what came later is for the next run");
        };
        assert_eq!(counts["records"], 36);
    });
}
