//! Given, when, then: maintenance windows.

use super::*;
use crate::domain::{Context, Decider, ErrorTag, EventMeta};

fn context(millis: i64) -> Context {
    Context {
        now: Timestamp::from_millis(millis),
        by: "tester".to_owned(),
    }
}

fn schedule(id: &str, start: i64) -> MaintenanceCommand {
    MaintenanceCommand::Schedule {
        maintenance_id: id.to_owned(),
        description: "d".to_owned(),
        duration_seconds: 60,
        start: Timestamp::from_millis(start),
    }
}

fn named(id: &str) -> Option<String> {
    Some(id.to_owned())
}

/// Executes commands one after the other, a second apart, and returns the state or the first refusal's tag.
fn given(commands: &[MaintenanceCommand]) -> Result<Windows, ErrorTag> {
    let mut state = Windows::default();
    for (number, command) in commands.iter().enumerate() {
        let at = 1_000 * (number as i64 + 1);
        let events = MaintenanceDecider::decide(&state, command, &context(at));
        for event in events.map_err(|rejection| rejection.tag)? {
            let occurrence = EventMeta {
                at: Timestamp::from_millis(at),
                by: "tester",
                actor: None,
                position: 0,
                version: state.version + 1,
            };
            state = MaintenanceDecider::evolve(state, &event, occurrence);
        }
    }
    Ok(state)
}

#[test]
fn a_window_lives_as_the_lifecycle_says() {
    use MaintenanceCommand::{Cancel, End, Start, StartDue, Update};
    let start = |id: &str| Start {
        maintenance_id: id.to_owned(),
    };
    let cancel = |id: &str| Cancel {
        maintenance_id: id.to_owned(),
    };
    let end = |id: Option<String>| End {
        maintenance_id: id,
        message: Some("m".to_owned()),
    };
    let tell = |id: Option<String>| Update {
        maintenance_id: id,
        text: Some("t".to_owned()),
        description: None,
        duration_seconds: None,
    };
    let later = 1_000_000;
    let a = || schedule("a", later);
    let b = || schedule("b", later + 1);
    let invalid = Err(ErrorTag::InvalidState);
    for (commands, wanted) in [
        (vec![a()], Ok(Some(WindowStatus::Scheduled))),
        (vec![a(), start("a")], Ok(Some(WindowStatus::Active))),
        (vec![a(), start("a"), start("a")], invalid),
        (
            vec![a(), b(), start("b"), start("a")],
            Err(ErrorTag::MaintenanceAlreadyActive),
        ),
        (vec![start("a")], Err(ErrorTag::NotFound)),
        (vec![a(), cancel("a")], Ok(Some(WindowStatus::Cancelled))),
        (vec![a(), cancel("a"), cancel("a")], invalid),
        (vec![a(), cancel("a"), start("a")], invalid),
        (vec![a(), start("a"), cancel("a")], invalid),
        (vec![a(), end(None)], invalid),
        (vec![a(), end(named("a"))], invalid),
        (
            vec![a(), start("a"), end(None)],
            Ok(Some(WindowStatus::Ended)),
        ),
        (vec![a(), start("a"), end(None), end(named("a"))], invalid),
        (vec![a(), start("a"), end(None), tell(named("a"))], invalid),
        (vec![a(), tell(None)], invalid),
        (
            vec![a(), tell(named("a"))],
            Ok(Some(WindowStatus::Scheduled)),
        ),
        (
            vec![a(), start("a"), tell(None)],
            Ok(Some(WindowStatus::Active)),
        ),
        // The second command comes at 2 s.
        (
            vec![schedule("a", 2_000), StartDue],
            Ok(Some(WindowStatus::Active)),
        ),
        (
            vec![schedule("a", 2_001), StartDue],
            Ok(Some(WindowStatus::Scheduled)),
        ),
        (
            vec![schedule("a", 0), StartDue, start("a")],
            Ok(Some(WindowStatus::Active)),
        ),
        (
            vec![b(), start("b"), schedule("a", 0), StartDue],
            Ok(Some(WindowStatus::Scheduled)),
        ),
    ] {
        let status = given(&commands).map(|state| state.find("a").map(|window| window.status));
        assert_eq!(status, wanted, "{commands:?}");
    }
}

#[test]
fn a_window_tells_what_happened_to_it() {
    let state = given(&[
        schedule("a", 0),
        MaintenanceCommand::StartDue,
        MaintenanceCommand::Update {
            maintenance_id: None,
            text: Some("half".to_owned()),
            description: Some("new".to_owned()),
            duration_seconds: Some(90),
        },
        MaintenanceCommand::End {
            maintenance_id: None,
            message: Some("done".to_owned()),
        },
    ]);
    let state = state.unwrap();
    let window = state.find("a").unwrap();
    assert!(state.open.is_empty());
    assert_eq!(window.start_source, Some(StartSource::Sweep));
    assert_eq!(window.estimated_end(), Some(Timestamp::from_millis(91_000)));
    assert_eq!(
        (window.description.as_str(), window.revision),
        ("new", Revision(4))
    );
    assert_eq!(window.updates[0].text, "half");
    assert_eq!(window.end_message.as_deref(), Some("done"));
    assert_eq!(state.version, 4);
}

#[test]
fn a_window_begins_within_the_command_that_makes_it_due() {
    let statuses = |commands: &[MaintenanceCommand]| {
        given(commands).map(|state| {
            let of = |id: &str| state.find(id).map(|window| window.status);
            (of("a"), of("b"))
        })
    };
    use WindowStatus::{Active, Ended, Scheduled};
    let end = |id: &str| MaintenanceCommand::End {
        maintenance_id: named(id),
        message: None,
    };
    // The first command is at 1 s, the second at 2 s, and each window lasts a minute.
    for (commands, wanted) in [
        (vec![schedule("a", 0)], Ok((Some(Active), None))),
        (vec![schedule("a", 1_000)], Ok((Some(Active), None))),
        (vec![schedule("a", 1_001)], Ok((Some(Scheduled), None))),
        (
            vec![schedule("a", 0), schedule("b", 0)],
            Ok((Some(Active), Some(Scheduled))),
        ),
        (
            vec![schedule("a", 0), schedule("b", 0), end("a")],
            Ok((Some(Ended), Some(Active))),
        ),
        (
            vec![schedule("a", 0), schedule("b", 3_001), end("a")],
            Ok((Some(Ended), Some(Scheduled))),
        ),
    ] {
        assert_eq!(statuses(&commands), wanted, "{commands:?}");
    }
}

#[test]
fn a_window_that_is_over_before_it_begins_is_refused() {
    for (start, refused) in [(40_001, None), (40_000, Some(ErrorTag::InvalidInput))] {
        let command = schedule("a", start);
        let decided = MaintenanceDecider::decide(&Windows::default(), &command, &context(100_000));
        assert_eq!(
            decided.err().map(|rejection| rejection.tag),
            refused,
            "{start}"
        );
    }
}

#[test]
fn of_several_that_are_due_the_earliest_starts() {
    let state = given(&[
        schedule("first", 0),
        schedule("late", 900),
        schedule("early", 100),
        MaintenanceCommand::End {
            maintenance_id: named("first"),
            message: None,
        },
    ]);
    let active = state
        .unwrap()
        .active()
        .map(|window| window.maintenance_id.clone());
    assert_eq!(active.as_deref(), Some("early"));
}
