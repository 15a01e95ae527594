//! A request that comes twice at once, by two ways: the answer that was first is the one that both get.

use metarecord::actors::{RecordRequest, Requested};
use metarecord::domain::container::{ContainerEvent, Idempotency};
use metarecord::domain::record::{NewContent, RecordEvent};
use metarecord::domain::{Event, Md5, Revision, StreamId};
use metarecord::journal::{Append, Journal, Origin, Remarks, Source};

use super::{Limits, World, key, put, within};

fn idempotency() -> Idempotency {
    Idempotency {
        scope: "5".repeat(64),
        fingerprint: "f".repeat(64),
    }
}

fn repeated(execute: RecordRequest) -> RecordRequest {
    RecordRequest {
        idempotency: Some(idempotency()),
        ..execute
    }
}

fn over(expected: u64) -> RecordRequest {
    let mut execute = put("n", None);
    if let Requested::Command(metarecord::domain::record::RecordCommand::Put(put)) =
        &mut execute.command
    {
        put.expected = Some(Revision(expected));
    }
    execute
}

/// What the same request leads to where another writer of the journal carries it out.
fn elsewhere(world: &World, expected: u64, event: RecordEvent) -> Append {
    Append {
        stream: StreamId::record(&key("notes", "n")),
        expected,
        guards: Vec::new(),
        events: vec![Event::Record(event)],
        payload: Some(bytes::Bytes::from_static(b"1")),
        idempotency: Some(idempotency()),
        origin: Origin {
            at: world.clock.now(),
            by: "tester".to_owned(),
            request_id: "elsewhere".to_owned(),
            source: Source::Gateway,
            remarks: Remarks::default(),
        },
    }
}

fn inline() -> NewContent {
    NewContent::Inline {
        size: 1,
        md5: Md5::of(b"1"),
    }
}

fn created() -> RecordEvent {
    RecordEvent::Created {
        cccode: None,
        tags: Vec::new(),
        doom_at: None,
        content: inline(),
    }
}

fn replaced() -> RecordEvent {
    RecordEvent::Replaced {
        cccode: None,
        tags: None,
        doom_at: None,
        content: inline(),
    }
}

/// Refusals that the journal remembers.
fn remembered(world: &World) -> usize {
    let entries = world.journal.read(1, 1_000).expect("entries");
    let bodies = entries.iter().filter_map(|entry| entry.body.as_ref());
    let events = bodies.flat_map(|body| &body.events);
    events
        .filter(|event| {
            matches!(
                event,
                Event::Container(ContainerEvent::RefusalRemembered { .. })
            )
        })
        .count()
}

#[test]
fn a_create_that_another_writer_was_first_with_gets_the_first_answer_and_no_refusal_is_remembered()
{
    within(Limits::default(), |world| async move {
        let first = elsewhere(&world, 0, created());
        *world.journal.ahead.lock() = Some(first);
        for _ in 0..2 {
            let answer = world.registry.execute(repeated(put("n", None))).await;
            let executed = answer.expect("the first answer");
            assert_eq!(
                (executed.record.revision, executed.replayed),
                (Revision(1), true)
            );
        }
        assert_eq!(remembered(&world), 0);
    });
}

#[test]
fn a_put_over_that_another_writer_was_first_with_gets_the_first_answer() {
    within(Limits::default(), |world| async move {
        world.created("n").await;
        let first = elsewhere(&world, 1, replaced());
        *world.journal.ahead.lock() = Some(first);
        for _ in 0..2 {
            let answer = world.registry.execute(repeated(over(1))).await;
            let executed = answer.expect("the first answer");
            assert_eq!(
                (executed.record.revision, executed.replayed),
                (Revision(2), true)
            );
        }
        assert_eq!(remembered(&world), 0);
    });
}

#[test]
fn a_refusal_is_not_remembered_once_the_record_has_moved_under_it() {
    within(Limits::default(), |world| async move {
        world.created("n").await;
        // It comes ahead of the refusal, which is what is appended next: the revision is not there yet.
        let first = elsewhere(&world, 1, replaced());
        *world.journal.ahead.lock() = Some(first);
        for _ in 0..2 {
            let answer = world.registry.execute(repeated(over(9))).await;
            let executed = answer.expect("the first answer");
            assert_eq!(
                (executed.record.revision, executed.replayed),
                (Revision(2), true)
            );
        }
        assert_eq!(remembered(&world), 0);
    });
}
