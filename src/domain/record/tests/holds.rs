//! Given these events, what a hold keeps from, and what it does not.

use super::{add, at, created, doomed, given, inline, when};
use crate::domain::hold::{Kept, Level};
use crate::domain::record::{DoomCause, RecordCommand, RecordEvent, Status};
use crate::domain::{ErrorTag, Revision};

pub(super) fn held(reason: &str) -> RecordEvent {
    RecordEvent::HoldSet {
        reason: reason.to_owned(),
    }
}

fn set_hold(reason: &str, expected: u64) -> RecordCommand {
    RecordCommand::SetHold {
        reason: reason.to_owned(),
        expected: Some(Revision(expected)),
    }
}

fn release_hold(expected: u64) -> RecordCommand {
    RecordCommand::ReleaseHold {
        expected: Some(Revision(expected)),
    }
}

fn doom(expected: u64) -> RecordCommand {
    RecordCommand::Doom {
        reason: None,
        expected: Some(Revision(expected)),
    }
}

/// A legal hold on the org.
pub(super) fn legal() -> Kept {
    Kept {
        level: Level::Org,
        reason: "suit".to_owned(),
        since: at(0),
    }
}

#[test]
fn a_held_record_is_not_doomed_until_it_is_released() {
    let free = given(&[created(inline(), None)]);
    assert_eq!(
        when(&free, set_hold("audit", 1), 2),
        Ok(vec![held("audit")])
    );
    assert_eq!(when(&free, release_hold(1), 2), Ok(vec![]));
    let kept = given(&[created(inline(), None), held("audit")]);
    assert_eq!(when(&kept, doom(2), 3), Err(ErrorTag::InvalidState));
    assert_eq!(when(&kept, doom(1), 3), Err(ErrorTag::Conflict));
    assert_eq!(when(&kept, set_hold("audit", 2), 3), Ok(vec![]));
    let record = given(&[created(inline(), None), held("audit"), held("audit 7")]);
    let hold = record.record.and_then(|record| record.hold);
    let hold = hold.map(|hold| (hold.reason, hold.since));
    assert_eq!(hold, Some(("audit 7".to_owned(), at(2))));
    assert!(
        when(&kept, add(&["t"], 2), 3).is_ok(),
        "it takes other changes"
    );
    let freed = given(&[
        created(inline(), None),
        held("audit"),
        RecordEvent::HoldReleased {},
    ]);
    assert!(when(&freed, doom(3), 4).is_ok());
    for change in [set_hold("audit", 9), release_hold(9)] {
        assert_eq!(when(&kept, change, 3), Err(ErrorTag::Conflict));
    }
}

#[test]
fn a_legal_hold_keeps_a_record_from_every_end() {
    let mut slot = given(&[created(inline(), Some(at(5)))]);
    slot.legal = Some(legal());
    assert_eq!(when(&slot, doom(1), 2), Err(ErrorTag::InvalidState));
    assert_eq!(when(&slot, RecordCommand::DoomIfDue, 9), Ok(vec![]));
    assert!(
        when(&slot, add(&["t"], 1), 9).is_ok(),
        "it lives past its time"
    );
    let record = slot.record.unwrap();
    assert!(record.is_due(at(9)) && !record.doomed_by(at(9), Some(&legal())));
    assert_eq!(record.clone().as_of(at(9), Some(&legal())), record);
    assert_eq!(record.as_of(at(9), None).status, Status::Doomed);
}

#[test]
fn a_record_held_past_its_time_ends_when_it_is_released() {
    let due = [
        created(inline(), Some(at(5))),
        held("audit"),
        held("audit 7"),
    ];
    let kept = given(&due);
    assert_eq!(when(&kept, RecordCommand::DoomIfDue, 9), Ok(vec![]));
    assert!(!kept.record.as_ref().unwrap().is_due(at(9)));
    assert!(when(&kept, add(&["t"], 3), 9).is_ok());
    // Each event of `given` is a second later.
    let late = [
        &due[..],
        &[
            held("a"),
            held("b"),
            held("c"),
            RecordEvent::HoldReleased {},
        ],
    ]
    .concat();
    let freed = given(&late);
    let ends = RecordEvent::Doomed {
        doomed_at: at(7),
        cause: DoomCause::Ttl,
        reason: None,
    };
    assert_eq!(when(&freed, RecordCommand::DoomIfDue, 9), Ok(vec![ends]));
    let reads = freed.record.unwrap().as_of(at(9), None);
    assert_eq!((reads.status, reads.updated_at), (Status::Doomed, at(7)));
}

#[test]
fn a_doomed_record_is_held_and_one_that_is_due_has_to_end_first() {
    let gone = given(&[created(inline(), None), doomed()]);
    assert_eq!(
        when(&gone, set_hold("audit", 2), 3),
        Ok(vec![held("audit")])
    );
    let kept = given(&[created(inline(), None), doomed(), held("audit")]);
    assert_eq!(
        when(&kept, release_hold(3), 4),
        Ok(vec![RecordEvent::HoldReleased {}])
    );
    assert_eq!(when(&kept, doom(3), 4), Err(ErrorTag::Doomed));
    let due = given(&[created(inline(), Some(at(5)))]);
    assert_eq!(when(&due, set_hold("audit", 1), 5), Err(ErrorTag::Doomed));
}
