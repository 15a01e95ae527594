//! Everything that removes against a small model of what is held: in any order of dooms, due times, cleanups, tag scrubs, uploads
//! that are given up, vacuums, orgs that leave, holds and restarts nothing held is ever gone, and everything else that should go
//! goes.

mod answers;
mod app;
mod content;
mod model;
mod record;
mod removing;
mod steps;

use metarecord::domain::StreamId;
use metarecord::domain::record::Status;
use metarecord::projections::identity;
use proptest::prelude::ProptestConfig;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use self::app::{AppState, container, key, org};
use self::model::{CONTAINERS, Model, ORGS, org_of};
use self::steps::{HOUR_MS, How, On, Step};

struct Holds;

impl StateMachineTest for Holds {
    type SystemUnderTest = AppState;
    type Reference = Model;

    fn init_test(_: &Model) -> AppState {
        AppState::build()
    }

    fn apply(mut app: AppState, model: &Model, step: Step) -> AppState {
        let answer = app.take(model, step);
        assert_eq!(answer, model.answer, "{step:?}");
        app.settle(model);
        assert_eq!(app.clock.now().millis(), model.now, "{step:?}");
        app
    }

    fn check_invariants(app: &AppState, model: &Model) {
        for (record, known) in model.records.iter().enumerate() {
            let found = app.find(record);
            let key = key(record);
            let (Some(known), Some(found)) = (known, &found) else {
                assert_eq!(known.is_some(), found.is_some(), "{key:?}");
                let version = app.world().deps.journal.version(&StreamId::record(&key));
                assert_eq!(version.expect("it can be read"), 0, "{key:?}");
                continue;
            };
            assert_eq!(found.status == Status::Doomed, known.doomed, "{key:?}");
            assert_eq!(found.hold.is_some(), known.held, "{key:?}");
            app.check_versions(record, known);
        }
        app.check_files(model);
        for number in 0..ORGS {
            let store = &app.world().deps.store;
            assert_eq!(app.is_closed(&org(number)), model.is_closed(number));
            let holds = identity::holds(store, org(number).as_str()).expect("they can be read");
            assert_eq!(holds.org.is_some(), model.orgs[number]);
            let mine = (0..CONTAINERS).filter(|container| org_of(*container) == number);
            for of in mine {
                let held = holds.containers.contains_key(&container(of));
                assert_eq!(held, model.containers[of], "container {of}");
                app.check_tags(model, of);
            }
        }
    }
}

/// Does these steps one after the other.
fn walk(steps: &[Step]) {
    let mut model = Model::start();
    let mut app = Holds::init_test(&model);
    for step in steps {
        assert!(Model::preconditions(&model, step), "{step:?}");
        model = Model::apply(model, step);
        app = Holds::apply(app, &model, *step);
        Holds::check_invariants(&app, &model);
    }
}

#[test]
fn what_was_let_go_of_a_held_record_stays_gone_when_its_org_is_vacuumed() {
    walk(&[
        Step::Put(0, How::Inline),
        Step::Put(0, How::Upload),
        Step::Put(0, How::Upload),
        Step::Put(0, How::Promise(true)),
        // Another of the same container, which nothing holds.
        Step::Put(4, How::Upload),
        Step::Put(4, How::Promise(true)),
        Step::Wait(4 * HOUR_MS),
        Step::Abandon,
        Step::Wait(4 * HOUR_MS),
        Step::Cleanup,
        Step::Put(4, How::Promise(false)),
        Step::Wait(2 * HOUR_MS),
        Step::Abandon,
        Step::Hold(On::Record(0)),
        Step::VacuumOrg(0),
        Step::Restart,
        Step::Release(On::Record(0)),
        Step::Abandon,
        Step::Cleanup,
    ]);
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, max_shrink_time: 20_000, ..ProptestConfig::default() })]
    #[test]
    fn nothing_held_is_ever_gone_and_everything_else_that_should_go_goes(sequential 20..80 => Holds);
}
