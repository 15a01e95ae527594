//! Everything that removes against a small model of what is held: in any order of dooms, due times, cleanups, tag scrubs, uploads
//! that are given up, vacuums, orgs that leave, holds and restarts nothing held is ever gone, and everything else that should go
//! goes.

mod answers;
mod content;
mod house;
mod model;
mod record;
mod removing;
mod steps;

use metarecord::domain::StreamId;
use metarecord::domain::record::Status;
use metarecord::projections::identity;
use proptest::prelude::ProptestConfig;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use self::house::{House, container, key, org};
use self::model::{CONTAINERS, Model, ORGS, org_of};
use self::steps::{HOUR_MS, How, On, Step};

struct Holds;

impl StateMachineTest for Holds {
    type SystemUnderTest = House;
    type Reference = Model;

    fn init_test(_: &Model) -> House {
        House::build()
    }

    fn apply(mut house: House, model: &Model, step: Step) -> House {
        let answer = house.take(model, step);
        assert_eq!(answer, model.answer, "{step:?}");
        house.settle(model);
        assert_eq!(house.clock.now().millis(), model.now, "{step:?}");
        house
    }

    fn check_invariants(house: &House, model: &Model) {
        for (record, known) in model.records.iter().enumerate() {
            let found = house.find(record);
            let key = key(record);
            let (Some(known), Some(found)) = (known, &found) else {
                assert_eq!(known.is_some(), found.is_some(), "{key:?}");
                let version = house.world().desk.journal.version(&StreamId::record(&key));
                assert_eq!(version.expect("it can be read"), 0, "{key:?}");
                continue;
            };
            assert_eq!(found.status == Status::Doomed, known.doomed, "{key:?}");
            assert_eq!(found.hold.is_some(), known.held, "{key:?}");
            house.check_versions(record, known);
        }
        house.check_files(model);
        for number in 0..ORGS {
            let store = &house.world().desk.store;
            assert_eq!(house.is_closed(&org(number)), model.is_closed(number));
            let holds = identity::holds(store, org(number).as_str()).expect("they can be read");
            assert_eq!(holds.org.is_some(), model.orgs[number]);
            let mine = (0..CONTAINERS).filter(|container| org_of(*container) == number);
            for of in mine {
                let held = holds.containers.contains_key(&container(of));
                assert_eq!(held, model.containers[of], "container {of}");
                house.check_tags(model, of);
            }
        }
    }
}

/// Does these steps one after the other.
fn walk(steps: &[Step]) {
    let mut model = Model::start();
    let mut house = Holds::init_test(&model);
    for step in steps {
        assert!(Model::preconditions(&model, step), "{step:?}");
        model = Model::apply(model, step);
        house = Holds::apply(house, &model, *step);
        Holds::check_invariants(&house, &model);
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
