//! Holds, and what upkeep was about to remove.

use super::*;

#[test]
fn a_hold_that_was_first_keeps_what_cleanup_was_about_to_let_go() {
    let reason = || "audit".to_owned();
    let own = |world: &World| {
        let event = Event::Record(RecordEvent::HoldSet { reason: reason() });
        append(world, StreamId::record(&key("notes", "n")), event)
    };
    overtaken_by(own, 0);
    let legal = |world: &World| {
        let event = Event::Org(OrgEvent::HoldSet {
            container: None,
            reason: reason(),
        });
        append(world, StreamId::org(&place().org), event)
    };
    overtaken_by(legal, 0);
}

#[test]
fn uploads_of_what_is_held_are_waited_for() {
    within(Limits::default(), |world| async move {
        let upkeep = upkeep(&world);
        for id in ["a", "b"] {
            world
                .registry
                .execute(put(id, None))
                .await
                .expect("created");
        }
        for (id, number, expected) in [
            ("a", 1, Some(1)),
            ("b", 2, Some(1)),
            ("c", 3, None),
            ("d", 4, None),
        ] {
            let promised = promise(&world, id, number, expected);
            world.registry.execute(promised).await.expect("promised");
        }
        let reason = "audit".to_owned();
        for (id, revision) in [("a", 2), ("c", 1)] {
            let hold = RecordCommand::SetHold {
                reason: reason.clone(),
                expected: Some(Revision(revision)),
            };
            world
                .registry
                .execute(execute(key("notes", id), hold))
                .await
                .expect("held");
        }
        world.clock.advance(DAY_MS);
        let hold = Event::Org(OrgEvent::HoldSet {
            container: Some(place().container),
            reason,
        });
        let org = StreamId::org(&place().org);
        let set = world
            .journal
            .append(append(&world, org.clone(), hold))
            .await;
        assert!(matches!(set, Ok(Outcome::Appended { .. })));
        let done = upkeep.abandoned(&page(10), &caller()).await.expect("done");
        assert_eq!((done.scanned, done.doomed, done.given_up), (4, 0, 0));
        let release = Event::Org(OrgEvent::HoldReleased {
            container: Some(place().container),
        });
        let released = world.journal.append(append(&world, org, release)).await;
        assert!(matches!(released, Ok(Outcome::Appended { .. })));
        let done = upkeep.abandoned(&page(10), &caller()).await.expect("done");
        assert_eq!((done.scanned, done.doomed, done.given_up), (4, 1, 1));
    });
}
