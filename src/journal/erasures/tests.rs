//! What an erased entry may name as its cause, order by order.

use super::*;
use crate::domain::OrgCode;
use crate::domain::erasure::PlanBuilder;
use crate::domain::vacuum::{Scope, VacuumEvent};

fn requested(id: &str, dry_run: bool) -> Event {
    Event::Vacuum(VacuumEvent::Requested {
        vacuum_id: id.to_owned(),
        scope: Scope::Org(OrgCode::parse("DEMO").unwrap()),
        dry_run,
        reason: "r".to_owned(),
        execute_at: None,
        plan_id: None,
        override_holds: false,
    })
}

fn started(id: &str, erases: Option<Vec<ErasedSpan>>) -> Event {
    Event::Vacuum(VacuumEvent::Started {
        vacuum_id: id.to_owned(),
        services: Vec::new(),
        held: Vec::new(),
        erases,
    })
}

fn completed(id: &str, positions: Option<&[Position]>) -> Event {
    Event::Vacuum(VacuumEvent::Completed {
        vacuum_id: id.to_owned(),
        erased: positions.map(|positions| Erased {
            entries: positions.len() as u64,
            positions_sha256: digest(positions),
        }),
    })
}

fn plan(positions: &[Position]) -> Option<Vec<ErasedSpan>> {
    let mut plan = PlanBuilder::new(vec![1, 5]);
    positions.iter().for_each(|position| plan.take(*position));
    Some(plan.finish().unwrap())
}

/// The findings when these are erased by position 20, and these events are at position 19 and after.
fn found(from: Position, erased: &[Position], events: &[Event]) -> Findings {
    let mut erasures = Erasures::from(from);
    for position in from..19 {
        let by = erased.contains(&position).then_some(20);
        erasures.take_erased(position, by);
    }
    for (position, event) in (19..).zip(events) {
        erasures.take_erased(position, None);
        erasures.take_event(position, event);
    }
    erasures.finish()
}

fn problems(erased: &[Position], events: &[Event]) -> Vec<(Position, String)> {
    let problems = found(1, erased, events).problems;
    problems
        .into_iter()
        .map(|problem| (problem.position, problem.what))
        .collect()
}

#[test]
fn what_a_real_vacuum_states_is_good_wholly_or_not_at_all_until_it_is_done() {
    let begun = [requested("v", false), started("v", plan(&[2, 3, 7, 9]))];
    for erased in [&[][..], &[2, 3], &[7, 9], &[2, 3, 7, 9]] {
        assert_eq!(problems(erased, &begun), []);
    }
    let done = [&begun[..], &[completed("v", Some(&[2, 3, 7, 9]))]].concat();
    assert_eq!(problems(&[2, 3, 7, 9], &done), []);
    let missing = problems(&[2, 3], &done);
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert_eq!(missing[0].0, 7);
    let other = [&begun[..], &[completed("v", Some(&[2]))]].concat();
    assert_eq!(problems(&[2, 3, 7, 9], &other)[0].0, 20);
}

#[test]
fn one_entry_more_is_named() {
    for done in [false, true] {
        let mut events = vec![requested("v", false), started("v", plan(&[2, 4, 7, 9]))];
        events.extend(done.then(|| completed("v", Some(&[2, 4, 7, 9]))));
        for extra in [1, 3, 8, 12] {
            let mut erased = vec![2, 4, 7, 9, extra];
            erased.sort_unstable();
            let problems = problems(&erased, &events);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert_eq!(problems[0].0, extra);
            assert!(
                problems[0].1.contains(&format!("position {extra} ")),
                "{problems:?}"
            );
        }
        // Two within one part cannot be distinguished from the others, and are listed with them.
        let problems = problems(&[2, 3, 4, 5, 6, 7, 8, 9], &events);
        assert!(!problems.is_empty(), "{problems:?}");
    }
}

#[test]
fn a_dry_run_erases_nothing_whether_or_not_it_says_so() {
    for erases in [None, Some(Vec::new()), plan(&[2])] {
        let events = [requested("v", true), started("v", erases)];
        let problems = problems(&[2], &events);
        assert!(problems[0].1.contains("dry run"), "{problems:?}");
        assert_eq!(problems[0].0, 2);
    }
}

#[test]
fn what_names_another_event_or_none_is_damage() {
    let events = [
        requested("v", false),
        requested("w", false),
        started("w", plan(&[2])),
    ];
    assert!(problems(&[2], &events)[0].1.contains("orders no erasure"));
    assert!(problems(&[2], &[])[0].1.contains("behind the end"));
}

#[test]
fn an_older_vacuum_is_held_to_the_numbers_of_its_end() {
    let begun = [requested("v", false), started("v", None)];
    let unproven = found(1, &[2, 3], &begun);
    assert_eq!(unproven.problems, []);
    assert_eq!(
        unproven.unproven,
        [Unproven { by: 20, entries: 2 }],
        "it may have been these"
    );
    let done = [&begun[..], &[completed("v", Some(&[2, 3]))]].concat();
    assert_eq!(found(1, &[2, 3], &done), Findings::default());
    assert_eq!(problems(&[2, 3, 9], &done)[0].0, 9);
    assert_eq!(problems(&[2, 9], &done)[0].0, 20);
    assert_eq!(problems(&[2], &done)[0].0, 20);
    let nothing = [&begun[..], &[completed("v", None)]].concat();
    assert!(
        problems(&[2], &nothing)[0]
            .1
            .contains("without erasing anything")
    );
}

#[test]
fn of_a_part_of_the_journal_what_lies_ahead_of_it_is_not_asked_for() {
    let events = [
        completed("another", None),
        started("v", plan(&[2, 4, 7, 9])),
        completed("v", Some(&[2, 4, 7, 9])),
    ];
    for from in [1, 3, 5, 6] {
        let findings = found(from, &[2, 4, 7, 9], &events);
        assert_eq!(findings.problems, [], "from {from}");
    }
    assert_eq!(
        found(6, &[2, 4, 7, 9, 12], &events).problems[0].position,
        12
    );
}

#[test]
fn a_stream_may_lack_its_start_only_of_a_real_run_of_its_scope_that_is_not_done() {
    let gather = |events: &[Event]| {
        let mut erasures = Erasures::from(1);
        for (position, event) in (19..).zip(events) {
            erasures.take_event(position, event);
        }
        erasures
    };
    let begun = [requested("v", false), started("v", plan(&[2]))];
    let erasures = gather(&begun);
    assert!(erasures.may_lack_its_start("mrs/DEMO/notes/n-1", 5));
    assert!(!erasures.may_lack_its_start("mrs/DEMO/notes/n-1", 21));
    assert!(!erasures.may_lack_its_start("mrs/OTHER/notes/n-1", 5));
    let done = [&begun[..], &[completed("v", Some(&[2]))]].concat();
    assert!(!gather(&done).may_lack_its_start("mrs/DEMO/notes/n-1", 5));
    let dry = [requested("v", true), started("v", Some(Vec::new()))];
    assert!(!gather(&dry).may_lack_its_start("mrs/DEMO/notes/n-1", 5));
}
