//! Legal holds as the actors meet them: one that is set at the same moment, and many in the sweep's way.

use std::sync::Arc;

use metarecord::actors::jobs::sweep::TtlSweep;
use metarecord::actors::jobs::{Job, Step, StepContext};
use metarecord::actors::{Limits, Refused};
use metarecord::domain::org::OrgEvent;
use metarecord::domain::record::{RecordCommand, Status};
use metarecord::domain::{ContainerName, ErrorTag, Event, OrgCode, Revision, StreamId, Timestamp};
use metarecord::journal::{Append, Journal, Origin, Remarks, Source};
use metarecord::projections::{RecordName, due, records};

use super::{START_MS, World, aside, doom, execute, key, put, within};

/// Steps of the sweep that are more than enough.
const STEPS_MAX: usize = 8;

impl World {
    fn org_event(&self, event: OrgEvent) -> Append {
        let stream = StreamId::org(&OrgCode::parse("DEMO").expect("an org"));
        Append {
            expected: self.journal.version(&stream).expect("a version"),
            stream,
            guards: Vec::new(),
            events: vec![Event::Org(event)],
            payload: None,
            idempotency: None,
            origin: Origin {
                at: self.clock.now(),
                by: "operator".to_owned(),
                request_id: "r".to_owned(),
                source: Source::Operator,
                remarks: Remarks::default(),
            },
        }
    }

    fn status(&self, id: &str) -> Status {
        let key = key("notes", id);
        let store = &self.registry.deps().store;
        let record = records::find(store, RecordName::from(&key)).expect("it can be read");
        record.expect("it is there").status
    }
}

/// On the container of all these records.
fn hold() -> OrgEvent {
    OrgEvent::HoldSet {
        container: Some(ContainerName::parse("notes").expect("a container")),
        reason: "suit".to_owned(),
    }
}

#[test]
fn a_hold_that_is_set_between_a_decision_and_its_append_wins() {
    within(Limits::default(), |world| async move {
        world
            .registry
            .execute(put("a", None))
            .await
            .expect("created");
        let due = world.clock.now().plus_millis(1_000);
        world
            .registry
            .execute(put("b", Some(due)))
            .await
            .expect("created");
        let ahead = world.org_event(hold());
        *world.journal.ahead.lock() = Some(ahead);
        let refused = world.registry.execute(doom("a", 1)).await;
        let Err(Refused::Rejected { rejection, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(
            (rejection.tag, rejection.minor.as_deref()),
            (ErrorTag::InvalidState, Some("held"))
        );
        let released = OrgEvent::HoldReleased {
            container: Some(ContainerName::parse("notes").expect("a container")),
        };
        drop(world.journal.append(world.org_event(released)));
        world.clock.advance(2_000);
        let ahead = world.org_event(hold());
        *world.journal.ahead.lock() = Some(ahead);
        let end = execute(key("notes", "b"), RecordCommand::DoomIfDue);
        world.registry.execute(end).await.expect("nothing to do");
        assert_eq!(
            (world.status("a"), world.status("b")),
            (Status::Active, Status::Active)
        );
        // Other changes do not care for the org's stream.
        let ahead = world.org_event(OrgEvent::HoldReleased { container: None });
        *world.journal.ahead.lock() = Some(ahead);
        let before = world.journal.head().position;
        world
            .registry
            .execute(put("c", None))
            .await
            .expect("created");
        assert_eq!(world.journal.head().position, before + 2);
    });
}

#[test]
fn what_is_held_keeps_the_sweep_from_nothing_and_is_looked_at_again_when_released() {
    within(Limits::default(), |world| async move {
        let at = world.clock.now().plus_millis(1_000);
        // More than one step of the sweep dooms.
        for number in 0..300 {
            let put = put(&format!("held-{number}"), Some(at));
            world.registry.execute(put).await.expect("created");
        }
        drop(world.journal.append(world.org_event(hold())));
        let later = world.clock.now().plus_millis(2_000);
        let mut free = put("free", Some(later));
        free.key.container = ContainerName::parse("other").expect("a container");
        world.registry.execute(free).await.expect("created");
        world.clock.advance(5_000);
        let store = &world.registry.deps().store;
        // In pieces, each of a bounded number of rows.
        let (mut from, mut due, mut walks) = (None, Vec::new(), 0);
        loop {
            let walk = due::walk(
                store,
                from.as_deref(),
                world.clock.now(),
                (256, 100),
                |_| false,
            );
            let walk = walk.expect("it can be read");
            due.extend(walk.due);
            walks += 1;
            from = walk.seen;
            if !walk.more {
                break;
            }
        }
        assert_eq!((due, walks), (vec!["mrs/DEMO/other/free".to_owned()], 4));
        let sweep = Arc::new(TtlSweep::new(&world.registry, 3_600_000));
        let wake = || async {
            let sweep = sweep.clone();
            aside(move || sweep.step(None, &StepContext::default())).await
        };
        let swept = || due::walk(store, None, world.clock.now(), (256, 10_000), |_| false);
        for _ in 0..STEPS_MAX {
            wake().await;
        }
        assert_eq!(swept().expect("it can be read").due, Vec::<String>::new());
        assert!(matches!(wake().await, Step::Idle(Some(_))));
        let released = OrgEvent::HoldReleased {
            container: Some(ContainerName::parse("notes").expect("a container")),
        };
        drop(world.journal.append(world.org_event(released)));
        world
            .registry
            .deps()
            .due_resets
            .fetch_add(1, std::sync::atomic::Ordering::Release);
        for _ in 0..STEPS_MAX {
            wake().await;
        }
        assert!((0..300).all(|number| world.status(&format!("held-{number}")) == Status::Doomed));
    });
}

#[test]
fn a_record_released_behind_the_sweeps_back_is_swept() {
    within(Limits::default(), |world| async move {
        let at = |seconds: i64| Some(Timestamp::from_millis(START_MS + seconds * 1_000));
        world
            .registry
            .execute(put("held", at(1)))
            .await
            .expect("created");
        world
            .registry
            .execute(put("free", at(2)))
            .await
            .expect("created");
        let ask = |command| {
            world
                .registry
                .execute(execute(key("notes", "held"), command))
        };
        let set = RecordCommand::SetHold {
            reason: "audit".to_owned(),
            expected: Some(Revision(1)),
        };
        ask(set).await.expect("held");
        world.clock.advance(5_000);
        let sweep = Arc::new(TtlSweep::new(&world.registry, 3_600_000));
        let wake = || async {
            let sweep = sweep.clone();
            aside(move || sweep.step(None, &StepContext::default())).await
        };
        // It passes the other's place.
        for _ in 0..STEPS_MAX {
            wake().await;
        }
        assert_eq!(world.status("free"), Status::Doomed);
        assert_eq!(world.status("held"), Status::Active);
        let release = RecordCommand::ReleaseHold {
            expected: Some(Revision(2)),
        };
        ask(release).await.expect("released");
        for _ in 0..STEPS_MAX {
            wake().await;
        }
        assert_eq!(world.status("held"), Status::Doomed);
    });
}
