//! What a change ended, and when an upload is given up.

use super::holds::{held, legal};
use super::*;

fn inline_at(position: u64) -> ContentPlace {
    ContentPlace::Inline(position)
}

fn object(number: u128) -> ContentPlace {
    ContentPlace::Object(Uuid::from_u128(number))
}

fn replaced(content: NewContent) -> RecordEvent {
    RecordEvent::Replaced {
        cccode: None,
        tags: None,
        doom_at: None,
        content,
    }
}

fn completed(number: u128) -> RecordEvent {
    RecordEvent::UploadCompleted {
        object_id: Uuid::from_u128(number),
        sha256: Some(Sha256Digest::of(b"gz")),
        decoded: None,
    }
}

#[test]
fn every_change_tells_which_content_it_ended() {
    use EndedBy::{Abandoned, Doomed, Replaced};
    let create = |content| created(content, None);
    let tag = RecordEvent::TagsAdded { tags: tags(&["T"]) };
    for (name, events, ended) in [
        (
            "inline over inline",
            vec![create(inline()), replaced(inline())],
            vec![(inline_at(10), 1, Replaced)],
        ),
        ("a tag", vec![create(inline()), tag], vec![]),
        (
            "a promise over inline",
            vec![create(inline()), replaced(upload(1))],
            vec![],
        ),
        (
            "a first upload completed",
            vec![create(upload(1)), completed(1)],
            vec![],
        ),
        (
            "an upload completed over inline",
            vec![create(inline()), replaced(upload(1)), completed(1)],
            vec![(inline_at(10), 1, Replaced)],
        ),
        (
            "inline over inline and a promise",
            vec![create(inline()), replaced(upload(1)), replaced(inline())],
            vec![(inline_at(10), 1, Replaced), (object(1), 2, Abandoned)],
        ),
        (
            "a promise over a promise",
            vec![create(upload(1)), replaced(upload(2))],
            vec![(object(1), 1, Abandoned)],
        ),
        (
            "inline over a promise",
            vec![create(upload(1)), replaced(inline())],
            vec![(object(1), 1, Abandoned)],
        ),
        (
            "doom of inline",
            vec![create(inline()), doomed()],
            vec![(inline_at(10), 1, Doomed)],
        ),
        (
            "doom while pending",
            vec![create(upload(1)), doomed()],
            vec![(object(1), 1, Abandoned)],
        ),
        (
            "doom with an upload on its way",
            vec![create(inline()), replaced(upload(1)), doomed()],
            vec![(inline_at(10), 1, Doomed), (object(1), 2, Abandoned)],
        ),
    ] {
        let before = given(&events[..events.len() - 1]).record.unwrap();
        let after = given(&events).record.unwrap();
        let found: Vec<_> = after.ended_since(&before).collect();
        let facts: Vec<_> = found
            .iter()
            .map(|ended| (ended.content.place, ended.content.version, ended.by))
            .collect();
        assert_eq!(facts, ended, "{name}");
        assert!(
            found.iter().all(|ended| ended.until == after.updated_at),
            "{name}"
        );
    }
}

#[test]
fn a_record_whose_first_upload_never_came_is_doomed_once_nobody_can_complete_it() {
    let patience = |upload_ms, complete_ms| {
        RecordCommand::DoomIfAbandoned(UploadTimeouts {
            upload_ms,
            complete_ms,
        })
    };
    let pending = given(&[created(upload(1), None)]);
    let ended = |seconds| {
        Ok(vec![RecordEvent::Doomed {
            doomed_at: at(seconds),
            cause: DoomCause::Abandoned,
            reason: None,
        }])
    };
    // Promised at second 1, with a url until second 900.
    assert_eq!(when(&pending, patience(2_000_000, 0), 2_000), Ok(vec![]));
    assert_eq!(when(&pending, patience(2_000_000, 0), 2_001), ended(2_001));
    assert_eq!(when(&pending, patience(1_000, 600_000), 1_499), Ok(vec![]));
    assert_eq!(
        when(&pending, patience(1_000, 600_000), 1_500),
        ended(1_500)
    );
    for events in [
        vec![],
        vec![created(inline(), None), replaced(upload(1))],
        vec![created(upload(1), None), completed(1)],
        vec![created(upload(1), None), doomed()],
        vec![created(upload(1), Some(at(100)))],
    ] {
        let slot = given(&events);
        assert_eq!(when(&slot, patience(0, 0), 9_999), Ok(vec![]), "{events:?}");
    }
    let own = given(&[created(upload(1), None), held("audit")]);
    let mut of_org = given(&[created(upload(1), None)]);
    of_org.legal = Some(legal());
    for slot in [own, of_org] {
        assert_eq!(when(&slot, patience(0, 0), 9_999), Ok(vec![]), "it is held");
    }
}
