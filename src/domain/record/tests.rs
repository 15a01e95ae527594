//! Given these events, when this is asked, then that happens.

mod ended;
mod holds;

use uuid::Uuid;

use super::*;
use crate::domain::{
    ContainerName, Context, Decider, ErrorTag, EventMeta, OrgCode, RecordId, Sha256Digest,
};

const START_MS: i64 = 1_800_000_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(START_MS + seconds * 1_000)
}

fn tags(texts: &[&str]) -> Vec<Tag> {
    texts.iter().map(|text| Tag::parse(text).unwrap()).collect()
}

fn inline() -> NewContent {
    NewContent::Inline {
        size: 1,
        md5: Md5::of(b"1"),
    }
}

fn upload(number: u128) -> NewContent {
    NewContent::Upload {
        content_type: "text/plain".to_owned(),
        size: 9,
        md5: Md5::of(b"gz"),
        object_id: Uuid::from_u128(number),
        expires_at: at(900),
    }
}

fn created(content: NewContent, doom_at: Option<Timestamp>) -> RecordEvent {
    RecordEvent::Created {
        cccode: None,
        tags: tags(&["A", "B"]),
        doom_at,
        content,
    }
}

fn doomed() -> RecordEvent {
    RecordEvent::Doomed {
        doomed_at: at(1),
        cause: DoomCause::Request,
        reason: None,
    }
}

fn key() -> RecordKey {
    RecordKey {
        org: OrgCode::parse("DEMO").unwrap(),
        container: ContainerName::parse("notes").unwrap(),
        record_id: RecordId::parse("n").unwrap(),
    }
}

/// The slot after events, one a second.
fn given(events: &[RecordEvent]) -> RecordState {
    let mut slot = RecordState {
        key: key(),
        record: None,
        legal: None,
    };
    for (number, event) in (1..).zip(events) {
        let occurrence = EventMeta {
            at: at(number),
            by: "tester",
            actor: None,
            position: number as u64 * 10,
            version: number as u64,
        };
        slot = RecordDecider::evolve(slot, event, occurrence);
    }
    slot
}

fn when(
    slot: &RecordState,
    command: RecordCommand,
    seconds: i64,
) -> Result<Vec<RecordEvent>, ErrorTag> {
    let context = Context {
        now: at(seconds),
        by: "tester".to_owned(),
    };
    RecordDecider::decide(slot, &command, &context).map_err(|rejection| rejection.tag)
}

fn put(content: NewContent, expected: Option<u64>) -> Put {
    Put {
        cccode: None,
        tags: None,
        doom_at: None,
        content,
        expected: expected.map(Revision),
    }
}

fn complete(number: u128) -> Complete {
    Complete {
        object_id: Uuid::from_u128(number),
        size: 9,
        md5: Md5::of(b"gz"),
        uploaded_size: Some(9),
        sealed: Some(SealedObject::new(
            Uuid::from_u128(number),
            9,
            Sha256Digest::of(b"gz"),
            None,
        )),
        content_version: None,
        expected: None,
    }
}

fn add(texts: &[&str], expected: u64) -> RecordCommand {
    RecordCommand::AddTags {
        tags: tags(texts),
        expected: Some(Revision(expected)),
    }
}

fn every_change(expected: Option<u64>) -> Vec<RecordCommand> {
    let expected_revision = expected.map(Revision);
    vec![
        RecordCommand::Put(put(inline(), expected)),
        RecordCommand::AddTags {
            tags: tags(&["T"]),
            expected: expected_revision,
        },
        RecordCommand::RemoveTags {
            tags: tags(&["T"]),
            expected: expected_revision,
        },
        RecordCommand::SetTtl {
            doom_at: None,
            expected: expected_revision,
        },
        RecordCommand::Doom {
            reason: None,
            expected: expected_revision,
        },
    ]
}

#[test]
fn nothing_can_be_created_and_not_be_changed() {
    let nothing = given(&[]);
    assert!(when(&nothing, RecordCommand::Put(put(inline(), None)), 1).is_ok());
    assert_eq!(
        when(&nothing, RecordCommand::Put(put(inline(), Some(1))), 1),
        Err(ErrorTag::Conflict)
    );
    for command in every_change(Some(1)).into_iter().skip(1) {
        assert_eq!(when(&nothing, command, 1), Err(ErrorTag::NotFound));
    }
    assert_eq!(
        when(&nothing, RecordCommand::Complete(complete(1)), 1),
        Err(ErrorTag::NotFound)
    );
    assert_eq!(when(&nothing, RecordCommand::DoomIfDue, 1), Ok(vec![]));
}

#[test]
fn a_change_needs_the_revision_it_saw() {
    let record = given(&[created(inline(), None)]);
    for command in every_change(None) {
        assert_eq!(
            when(&record, command, 2),
            Err(ErrorTag::ExpectedRevisionRequired)
        );
    }
    for command in every_change(Some(2)) {
        assert_eq!(when(&record, command, 2), Err(ErrorTag::Conflict));
    }
    for command in every_change(Some(1)) {
        assert!(when(&record, command, 2).is_ok());
    }
}

#[test]
fn a_doomed_record_takes_no_change_nor_does_one_that_is_due() {
    let gone = given(&[created(inline(), None), doomed()]);
    let due = given(&[created(inline(), Some(at(5)))]);
    for (slot, revision) in [(gone, 2), (due, 1)] {
        for command in every_change(Some(revision)) {
            assert_eq!(when(&slot, command, 5), Err(ErrorTag::Doomed));
        }
        assert_eq!(
            when(&slot, RecordCommand::Complete(complete(1)), 5),
            Err(ErrorTag::Doomed)
        );
    }
}

#[test]
fn the_sweep_dooms_only_what_is_due_and_only_once() {
    let due = given(&[created(inline(), Some(at(5)))]);
    assert_eq!(when(&due, RecordCommand::DoomIfDue, 4), Ok(vec![]));
    let ends = RecordEvent::Doomed {
        doomed_at: at(5),
        cause: DoomCause::Ttl,
        reason: None,
    };
    assert_eq!(
        when(&due, RecordCommand::DoomIfDue, 9),
        Ok(vec![ends.clone()])
    );
    let swept = given(&[created(inline(), Some(at(5))), ends]);
    assert_eq!(when(&swept, RecordCommand::DoomIfDue, 9), Ok(vec![]));
    let cleared = given(&[
        created(inline(), Some(at(5))),
        RecordEvent::TtlSet { doom_at: None },
    ]);
    assert_eq!(when(&cleared, RecordCommand::DoomIfDue, 9), Ok(vec![]));
}

#[test]
fn a_due_record_reads_as_it_will_once_the_sweep_was_there() {
    let due = given(&[created(inline(), Some(at(5)))]).record.unwrap();
    assert_eq!(due.clone().as_of(at(4), None), due);
    let reads = due.as_of(at(6), None);
    let ends = RecordEvent::Doomed {
        doomed_at: at(5),
        cause: DoomCause::Ttl,
        reason: None,
    };
    let slot = given(&[created(inline(), Some(at(5)))]);
    let occurrence = EventMeta {
        at: at(77),
        by: SWEEP,
        actor: None,
        position: 99,
        version: 2,
    };
    assert_eq!(
        RecordDecider::evolve(slot, &ends, occurrence).record,
        Some(reads)
    );
}

#[test]
fn tags_are_a_set_of_at_most_twenty() {
    let record = given(&[created(inline(), None)]);
    assert_eq!(
        when(&record, add(&["c", "a", "C"], 1), 2),
        Ok(vec![RecordEvent::TagsAdded { tags: tags(&["C"]) }])
    );
    assert_eq!(
        when(&record, add(&["a", "b"], 1), 2),
        Ok(vec![]),
        "it has them"
    );
    let many: Vec<_> = (0..19).map(|number| format!("t{number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert!(when(&record, add(&many[..18], 1), 2).is_ok());
    assert_eq!(when(&record, add(&many, 1), 2), Err(ErrorTag::InvalidTag));
    let remove = RecordCommand::RemoveTags {
        tags: tags(&["b", "x"]),
        expected: Some(Revision(1)),
    };
    assert_eq!(
        when(&record, remove, 2),
        Ok(vec![RecordEvent::TagsRemoved { tags: tags(&["B"]) }])
    );
}

#[test]
fn a_due_time_lies_in_the_future() {
    let record = given(&[created(inline(), None)]);
    let set = |doom_at| RecordCommand::SetTtl {
        doom_at,
        expected: Some(Revision(1)),
    };
    assert_eq!(
        when(&record, set(Some(at(2))), 2),
        Err(ErrorTag::InvalidDoomAt)
    );
    assert!(when(&record, set(Some(at(3))), 2).is_ok());
    assert!(when(&record, set(None), 2).is_ok());
    let late = Put {
        doom_at: Some(at(1)),
        ..put(inline(), None)
    };
    assert_eq!(
        when(&given(&[]), RecordCommand::Put(late), 2),
        Err(ErrorTag::InvalidDoomAt)
    );
}

#[test]
fn only_the_sealed_object_of_the_promised_size_completes_an_upload() {
    let pending = given(&[created(upload(1), None)]);
    let shorter = SealedObject::new(Uuid::from_u128(1), 8, Sha256Digest::of(b"gz"), None);
    for (sealed, size, tag) in [
        (None, 9, ErrorTag::Md5Missing),
        (complete(2).sealed, 9, ErrorTag::Md5Missing),
        (Some(shorter), 8, ErrorTag::SizeMismatch),
    ] {
        let forged = Complete {
            sealed,
            size,
            ..complete(1)
        };
        assert_eq!(when(&pending, RecordCommand::Complete(forged), 2), Err(tag));
    }
}

#[test]
fn an_upload_is_completed_with_the_facts_that_were_promised() {
    let pending = given(&[created(upload(1), None)]);
    assert_eq!(
        pending.record.as_ref().map(|record| record.status),
        Some(Status::PendingUpload)
    );
    for (wrong, tag) in [
        (
            Complete {
                uploaded_size: None,
                sealed: None,
                ..complete(1)
            },
            ErrorTag::Md5Missing,
        ),
        (
            Complete {
                size: 8,
                ..complete(1)
            },
            ErrorTag::SizeMismatch,
        ),
        (
            Complete {
                md5: Md5::of(b"other"),
                ..complete(1)
            },
            ErrorTag::Md5Mismatch,
        ),
        (
            Complete {
                content_version: Some(2),
                ..complete(1)
            },
            ErrorTag::InvalidInput,
        ),
        (
            Complete {
                expected: Some(Revision(9)),
                ..complete(1)
            },
            ErrorTag::Conflict,
        ),
        (complete(2), ErrorTag::InvalidContentToken),
    ] {
        assert_eq!(when(&pending, RecordCommand::Complete(wrong), 2), Err(tag));
    }
    let done = RecordEvent::UploadCompleted {
        object_id: Uuid::from_u128(1),
        sha256: Some(Sha256Digest::of(b"gz")),
        decoded: None,
    };
    assert_eq!(
        when(&pending, RecordCommand::Complete(complete(1)), 2),
        Ok(vec![done.clone()])
    );
    let active = given(&[created(upload(1), None), done]);
    assert_eq!(
        when(&active, RecordCommand::Complete(complete(1)), 3),
        Ok(vec![]),
        "again"
    );
}

#[test]
fn content_put_over_a_record_counts_once_it_is_there() {
    let replaced = |content| RecordEvent::Replaced {
        cccode: None,
        tags: None,
        doom_at: None,
        content,
    };
    let waiting = given(&[created(inline(), Some(at(99))), replaced(upload(7))])
        .record
        .unwrap();
    assert_eq!(
        (
            waiting.status,
            waiting.content.version,
            waiting.content.place
        ),
        (Status::Active, 1, ContentPlace::Inline(10))
    );
    assert_eq!(
        waiting.upload.as_ref().map(|upload| upload.content.version),
        Some(2)
    );
    assert_eq!(
        (waiting.tags.clone(), waiting.doom_at),
        (tags(&["A", "B"]), Some(at(99))),
        "what is absent stays"
    );
    let done = RecordEvent::UploadCompleted {
        object_id: Uuid::from_u128(7),
        sha256: None,
        decoded: None,
    };
    let there = given(&[created(inline(), None), replaced(upload(7)), done])
        .record
        .unwrap();
    assert_eq!(
        (there.content.version, there.content.place, there.upload),
        (2, ContentPlace::Object(Uuid::from_u128(7)), None)
    );
    let overtaken = given(&[
        created(inline(), None),
        replaced(upload(7)),
        replaced(inline()),
    ]);
    assert_eq!(
        overtaken
            .record
            .as_ref()
            .map(|record| record.content.version),
        Some(2)
    );
    assert_eq!(
        when(&overtaken, RecordCommand::Complete(complete(7)), 4),
        Err(ErrorTag::InvalidContentToken)
    );
}
