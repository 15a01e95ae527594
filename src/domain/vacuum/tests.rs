//! Given, when, then: vacuums.

use super::decide::check_scope;
use super::*;
use crate::domain::{Context, Decider, ErrorTag, EventMeta};

fn request(id: &str, dry_run: bool) -> VacuumCommand {
    VacuumCommand::Request {
        vacuum_id: id.to_owned(),
        scope: Scope::All,
        dry_run,
        reason: "r".to_owned(),
        pending_ms: 300_000,
        plan_id: None,
        override_holds: false,
    }
}

fn start(id: &str) -> VacuumCommand {
    VacuumCommand::Start {
        vacuum_id: id.to_owned(),
        services: Vec::new(),
        held: Vec::new(),
        erases: Vec::new(),
    }
}

fn complete(id: &str) -> VacuumCommand {
    VacuumCommand::Complete {
        vacuum_id: id.to_owned(),
        erased: None,
    }
}

fn cancel(id: &str) -> VacuumCommand {
    VacuumCommand::Cancel {
        vacuum_id: id.to_owned(),
    }
}

/// Executes commands at given seconds, and returns the state or the first refusal's tag.
fn given(commands: &[(i64, VacuumCommand)]) -> Result<Vacuums, ErrorTag> {
    let mut state = Vacuums::default();
    for (second, command) in commands {
        let context = Context {
            now: Timestamp::from_millis(second * 1_000),
            by: "tester".to_owned(),
        };
        let events = VacuumDecider::decide(&state, command, &context);
        for event in events.map_err(|rejection| rejection.tag)? {
            let occurrence = EventMeta {
                at: context.now,
                by: "tester",
                actor: None,
                position: 7,
                version: state.version + 1,
            };
            state = VacuumDecider::evolve(state, &event, occurrence);
        }
    }
    Ok(state)
}

#[test]
fn what_tells_of_operators_and_of_offboardings_is_covered_by_nothing() {
    let one = Scope::Org(OrgCode::parse("one").unwrap());
    for (stream, by_all, by_its_org) in [
        ("mrs/ONE/notes/n-1", true, true),
        ("ofm/ONE", true, true),
        ("uas/u-1", true, false),
        ("ops/vacuum", false, false),
        ("utl/ONE", false, false),
    ] {
        let covered = (Scope::All.covers_stream(stream), one.covers_stream(stream));
        assert_eq!(covered, (by_all, by_its_org), "{stream}");
    }
}

#[test]
fn a_vacuum_lives_as_the_lifecycle_says() {
    use VacuumStatus::{Cancelled, Completed, Failed, Pending, Running};
    let day = MUTEX_MS / 1_000;
    let a = || (0, request("a", false));
    let invalid = Err(ErrorTag::InvalidState);
    let locked = Err(ErrorTag::VacuumMutexLocked);
    for (commands, wanted) in [
        (vec![a()], Ok(Pending)),
        (vec![a(), (299, start("a"))], invalid),
        (vec![a(), (300, start("a"))], Ok(Running)),
        (vec![a(), (300, start("a")), (301, start("a"))], invalid),
        (
            vec![a(), (300, start("a")), (301, complete("a"))],
            Ok(Completed),
        ),
        (vec![a(), (300, complete("a"))], invalid),
        (vec![a(), (5, cancel("a"))], Ok(Cancelled)),
        (vec![a(), (5, cancel("a")), (300, start("a"))], invalid),
        (vec![a(), (300, start("a")), (301, cancel("a"))], invalid),
        (vec![a(), (5, cancel("b"))], Err(ErrorTag::NotFound)),
        (vec![a(), (5, request("b", false))], locked),
        (vec![a(), (5, request("b", true))], locked),
        (
            vec![(0, request("a", true)), (0, start("a")), (0, complete("a"))],
            Ok(Completed),
        ),
        (
            vec![(0, request("a", true)), (1, request("b", false))],
            locked,
        ),
        (
            vec![a(), (5, cancel("a")), (6, request("b", false))],
            Ok(Cancelled),
        ),
        (vec![a(), (day + 299, request("b", false))], locked),
        (vec![a(), (day + 300, request("b", false))], Ok(Failed)),
        (
            vec![
                a(),
                (300, start("a")),
                (day + 300, request("b", false)),
                (day + 301, complete("a")),
            ],
            invalid,
        ),
    ] {
        let status = given(&commands).map(|state| state.find("a").map(|vacuum| vacuum.status));
        assert_eq!(status, wanted.map(Some), "{commands:?}");
    }
}

#[test]
fn a_step_is_noted_once_and_the_start_keeps_its_position() {
    let note = VacuumCommand::NoteStep {
        vacuum_id: "a".to_owned(),
        step: Step::Log,
    };
    let commands = [
        (0, request("a", true)),
        (0, start("a")),
        (1, note.clone()),
        (2, note),
    ];
    let open = given(&commands).unwrap().open.unwrap();
    assert_eq!(
        (open.done.as_slice(), open.started_position),
        ([Step::Log].as_slice(), 7)
    );
    assert_eq!(open.revision, Revision(3));
}

#[test]
fn what_is_protected_is_never_covered() {
    let org = |name: &str| Scope::Org(OrgCode::parse(name).unwrap());
    for (scope, stream, covered) in [
        (Scope::All, "mrs/DEMO/notes/n-1", true),
        (Scope::All, "mrs/DEMO/notes", true),
        (Scope::All, "mrs/DEMO/g3nmhsadmin-x/n-1", false),
        (Scope::All, "mrs/G3NMHSADMIN/notes/n-1", false),
        (Scope::All, "mrs/DEMO/notes/g3nmhsadmin", true),
        (Scope::All, "ofm/DEMO", true),
        (Scope::All, "ofm/G3NMHSADMIN_1", false),
        (Scope::All, "uas/u-1", true),
        (Scope::User("u-1".to_owned()), "uas/u-1", true),
        (Scope::User("u-1".to_owned()), "uas/u-12", false),
        (Scope::User("u-1".to_owned()), "ofm/u-1", false),
        (Scope::User("u-1".to_owned()), "mrs/u-1/notes/n-1", false),
        (Scope::User("u-1".to_owned()), "ops/vacuum", false),
        (org("DEMO"), "uas/u-1", false),
        (Scope::All, "ops/secret-code", false),
        (Scope::All, "ops/vacuum", false),
        (org("demo"), "mrs/DEMO/notes/n-1", true),
        (org("demo"), "mrs/DEMO2/notes/n-1", false),
        (org("demo"), "mrs/DEMO/g3nmhsadmin/n-1", false),
        (org("demo"), "ofm/DEMO", true),
        (org("demo"), "uas/u-1", false),
        (org("demo"), "ops/maintenance", false),
    ] {
        assert_eq!(scope.covers_stream(stream), covered, "{scope:?} {stream}");
    }
    let refused = check_scope(&org("g3nmhsadmin-1")).map_err(|rejection| rejection.tag);
    assert_eq!(refused, Err(ErrorTag::InvalidOrgcode));
}

#[test]
fn amounts_add_up_each_part_by_itself() {
    let amount = |items, objects, bytes| Amount {
        items,
        objects,
        bytes,
    };
    let mut sum = Amount::default();
    for part in [amount(1, 20, 300), amount(4, 50, 600), amount(0, 0, 7)] {
        sum += part;
    }
    assert_eq!(sum, amount(5, 70, 907));
}
