//! Given, when, then: an org's leaving and coming.

use super::{
    Counts, OffboardingAction as Action, OffboardingCommand, OffboardingDecider,
    OffboardingEvent as Event, OffboardingStatus as Status, OrgTransfer,
};
use crate::domain::org::OrgStatus;
use crate::domain::{Context, Decider, ErrorTag, EventMeta, OrgCode, Timestamp};

/// How long the window is.
const WINDOW_MS: i64 = 1_000;

fn requested() -> Event {
    Event::Requested {
        offboarding_id: "o-1".to_owned(),
        reason: "moving".to_owned(),
    }
}

fn approved() -> Event {
    Event::Approved {
        window_ends_at: Timestamp::from_millis(WINDOW_MS),
        org_status: OrgStatus::Parked,
        org_version: 3,
    }
}

fn exported(id: &str) -> [Event; 2] {
    let (export_id, manifest_sha256) = (id.to_owned(), "ab".to_owned());
    let counts = Counts::default();
    let asked = Event::ExportRequested {
        export_id: export_id.clone(),
        position: 7,
    };
    let made = Event::ExportCompleted {
        export_id,
        manifest_sha256,
        counts,
    };
    [asked, made]
}

fn started() -> Event {
    Event::PurgeStarted {
        vacuum_id: "v-1".to_owned(),
    }
}

fn given(events: &[Event]) -> OrgTransfer {
    let mut org_transfer = OrgTransfer::default();
    for (version, event) in (1..).zip(events) {
        let occurrence = EventMeta {
            at: Timestamp::from_millis(version),
            by: "ann",
            actor: None,
            position: 10 + version.unsigned_abs(),
            version: version.unsigned_abs(),
        };
        org_transfer = OffboardingDecider::evolve(org_transfer, event, occurrence);
    }
    org_transfer
}

fn when(events: &[Event], action: Action, now: i64) -> Result<Vec<Event>, ErrorTag> {
    let command = OffboardingCommand {
        org: OrgCode::parse("one").unwrap(),
        action,
    };
    let context = Context {
        now: Timestamp::from_millis(now),
        by: "ann".to_owned(),
    };
    OffboardingDecider::decide(&given(events), &command, &context)
        .map_err(|rejection| rejection.tag)
}

fn request() -> Action {
    Action::Request {
        offboarding_id: "o-1".to_owned(),
        reason: "moving".to_owned(),
    }
}

fn approve() -> Action {
    Action::Approve {
        window_ms: WINDOW_MS,
        org_status: OrgStatus::Parked,
        org_version: 3,
    }
}

fn purge() -> Action {
    Action::StartPurge {
        vacuum_id: "v-1".to_owned(),
    }
}

const WRONG: Result<Vec<Event>, ErrorTag> = Err(ErrorTag::InvalidState);

#[test]
fn each_step_is_taken_from_the_states_it_belongs_to_and_from_no_other() {
    let none: &[Event] = &[];
    let [asked, made] = exported("o-1");
    let requested_only = [requested()];
    let window = [requested(), approved()];
    let making = [requested(), approved(), asked.clone()];
    let ready = [requested(), approved(), asked.clone(), made.clone()];
    let purging = [&ready[..], &[started()]].concat();
    let purged = [&purging[..], &[Event::Purged {}]].concat();
    let cancelled = [&window[..], &[Event::Cancelled {}]].concat();
    let late = WINDOW_MS;
    for (events, action, now, then) in [
        (none, request(), 0, Ok(vec![requested()])),
        (&requested_only, request(), 0, WRONG),
        (&purging, request(), 0, WRONG),
        (&purged, request(), 0, Ok(vec![requested()])),
        (&cancelled, request(), 0, Ok(vec![requested()])),
        (none, approve(), 0, WRONG),
        (&requested_only, approve(), 0, Ok(vec![approved()])),
        (&window, approve(), 0, WRONG),
        (&cancelled, approve(), 0, WRONG),
        (none, Action::Cancel, 0, WRONG),
        (
            &requested_only,
            Action::Cancel,
            0,
            Ok(vec![Event::Cancelled {}]),
        ),
        (&ready, Action::Cancel, late, Ok(vec![Event::Cancelled {}])),
        (&purging, Action::Cancel, 0, WRONG),
        (&purged, Action::Cancel, 0, WRONG),
        // Not before its time, and not before it can be taken away.
        (&ready, purge(), late - 1, WRONG),
        (&window, purge(), late, WRONG),
        (&making, purge(), late, WRONG),
        (&ready, purge(), late, Ok(vec![started()])),
        (&purging, purge(), late, Ok(vec![started()])),
        (&requested_only, purge(), late, WRONG),
        (&cancelled, purge(), late, WRONG),
        (&purging, Action::FinishPurge, 0, Ok(vec![Event::Purged {}])),
        (&ready, Action::FinishPurge, 0, WRONG),
    ] {
        assert_eq!(
            when(events, action.clone(), now),
            then,
            "{action:?} on {events:?}"
        );
    }
}

#[test]
fn why_it_does_not_go_on_is_noted_once_and_forgotten_when_it_does() {
    let [asked, made] = exported("o-1");
    let why = |why: &str| Action::Block {
        why: why.to_owned(),
    };
    let blocked = Event::Blocked {
        why: "held".to_owned(),
    };
    let events = [requested(), approved(), asked, made, blocked.clone()];
    assert_eq!(when(&events[..4], why("held"), 0), Ok(vec![blocked]));
    assert_eq!(when(&events, why("held"), 0), Ok(Vec::new()));
    assert_eq!(
        when(&events, why("other"), 0).map(|events| events.len()),
        Ok(1)
    );
    let blocked = |events: &[Event]| given(events).offboarding.and_then(|one| one.blocked);
    assert_eq!(blocked(&events).as_deref(), Some("held"));
    assert_eq!(blocked(&[&events[..], &[started()]].concat()), None);
    assert_eq!(when(&[requested()], why("held"), 0), WRONG);
}

#[test]
fn what_was_settled_is_there_to_be_put_back() {
    let one = given(&[requested(), approved()]).offboarding.unwrap();
    let approval = one.approval.unwrap();
    assert_eq!(
        (approval.org_status, approval.org_version),
        (OrgStatus::Parked, 3)
    );
    assert_eq!((one.status, one.revision), (Status::Approved, 2));
    let over = given(&[requested(), approved(), Event::Cancelled {}]);
    assert!(over.open_offboarding().is_none() && !over.has_work());
}

#[test]
fn one_export_is_made_at_a_time_and_only_some_are_kept() {
    let export = || Action::Export {
        export_id: "e".to_owned(),
        position: 7,
    };
    let [asked, made] = exported("e-1");
    assert_eq!(when(std::slice::from_ref(&asked), export(), 0), WRONG);
    assert_eq!(
        when(&[asked, made], export(), 0).map(|events| events.len()),
        Ok(1)
    );
    let mut many: Vec<Event> = Vec::new();
    for number in 0..super::EXPORTS_MAX {
        many.extend(exported(&format!("e-{number}")));
    }
    assert_eq!(when(&many, export(), 0), WRONG);
    let gone = Event::ExportRemoved {
        export_id: "e-0".to_owned(),
    };
    many.push(gone);
    assert_eq!(when(&many, export(), 0).map(|events| events.len()), Ok(1));
}

#[test]
fn an_import_takes_a_free_name_and_goes_on_with_the_same_manifest_alone() {
    let begin = |sha256: &str, taken: bool| Action::BeginImport {
        manifest_sha256: sha256.to_owned(),
        export_id: "e".to_owned(),
        entries: 5,
        taken,
    };
    let begun = Event::ImportBegun {
        manifest_sha256: "aa".to_owned(),
        export_id: "e".to_owned(),
        entries: 5,
    };
    let open = [begun.clone()];
    let conflict = Err(ErrorTag::Conflict);
    assert_eq!(when(&[], begin("aa", true), 0), conflict);
    assert_eq!(when(&[], begin("aa", false), 0), Ok(vec![begun.clone()]));
    assert_eq!(when(&open, begin("aa", true), 0), Ok(Vec::new()));
    assert_eq!(when(&open, begin("bb", false), 0), conflict);
    assert_eq!(given(&open).import.map(|import| import.position), Some(11));
    for (action, end) in [
        (Action::FinishImport, Event::ImportCompleted {}),
        (Action::CancelImport, Event::ImportCancelled {}),
    ] {
        assert_eq!(when(&open, action.clone(), 0), Ok(vec![end.clone()]));
        assert_eq!(when(&[begun.clone(), end], action.clone(), 0), WRONG);
        assert_eq!(when(&[], action, 0), WRONG);
    }
}
