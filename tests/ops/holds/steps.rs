//! What may be done next, and how often what is.

use proptest::prelude::{BoxedStrategy, Strategy, prop, prop_oneof};
use proptest::strategy::Just;

use super::model::{CONTAINERS, Leaving, Model, ORGS, RECORDS, container_of, org_of};
use crate::ops::world::PENDING_MS;

pub(super) const HOUR_MS: i64 = 60 * 60 * 1_000;

/// What a hold is on.
#[derive(Clone, Copy, Debug)]
pub(super) enum On {
    Record(usize),
    Container(usize),
    Org(usize),
}

/// How content comes.
#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    Inline,
    /// Promised, uploaded and completed.
    Upload,
    /// Only promised; whether its bytes came.
    Promise(bool),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Makes a record, or puts other content over it.
    Put(usize, How),
    /// Completes what was promised, while that is possible.
    Complete(usize),
    /// Has a record doom itself so long from now.
    Due(usize, i64),
    Doom(usize),
    Hold(On),
    Release(On),
    Wait(i64),
    /// Cleans all containers up.
    Cleanup,
    /// Gives up uploads that never came.
    Abandon,
    VacuumOrg(usize),
    /// Vacuums everything, or tries to.
    VacuumAll {
        overriding: bool,
    },
    /// Asks for a vacuum of everything, and holds something before it begins.
    HoldInTime(On),
    /// Asks for an org to leave. It is erased when its window has ended and nothing of it is held.
    Request(usize),
    Approve(usize),
    Cancel(usize),
    Restart,
}

/// One of these records, or a short wait when there is none.
fn one_of(records: Vec<usize>, step: fn(usize) -> Step) -> BoxedStrategy<Step> {
    match records.is_empty() {
        true => Just(Step::Wait(1)).boxed(),
        false => prop::sample::select(records).prop_map(step).boxed(),
    }
}

fn put(records: Vec<usize>) -> BoxedStrategy<Step> {
    let how = prop_oneof![
        3 => Just(How::Inline),
        3 => Just(How::Upload),
        2 => prop::bool::ANY.prop_map(How::Promise),
    ];
    match records.is_empty() {
        true => Just(Step::Wait(1)).boxed(),
        false => (prop::sample::select(records), how)
            .prop_map(|(record, how)| Step::Put(record, how))
            .boxed(),
    }
}

pub(super) fn transitions(model: &Model) -> BoxedStrategy<Step> {
    let record = || 0..RECORDS;
    let org = || 0..ORGS;
    let on = || {
        prop_oneof![
            4 => record().prop_map(On::Record),
            2 => (0..CONTAINERS).prop_map(On::Container),
            1 => org().prop_map(On::Org),
        ]
    };
    let those = |is: &dyn Fn(usize) -> bool| record().filter(|record| is(*record)).collect();
    let absent = those(&|record| model.records[record].is_none());
    let living = those(&|record| {
        let known = model.records[record].as_ref();
        known.is_some_and(|known| !known.doomed)
    });
    let waited = those(&|record| model.can_complete(record));
    let waits = [
        1,
        HOUR_MS / 2,
        HOUR_MS,
        2 * HOUR_MS,
        3 * HOUR_MS,
        4 * HOUR_MS,
    ];
    let removes = prop_oneof![
        8 => Just(Step::Cleanup),
        5 => Just(Step::Abandon),
        4 => org().prop_map(Step::VacuumOrg),
        1 => prop::bool::ANY.prop_map(|overriding| Step::VacuumAll { overriding }),
        1 => on().prop_map(Step::HoldInTime),
    ];
    let leaves = prop_oneof![
        3 => org().prop_map(Step::Request),
        4 => org().prop_map(Step::Approve),
        1 => org().prop_map(Step::Cancel),
    ];
    prop_oneof![
        7 => put(absent),
        7 => put(living),
        2 => one_of(waited, Step::Complete),
        4 => (record(), 1..4_i64).prop_map(|(record, halves)| Step::Due(record, halves * HOUR_MS / 2)),
        4 => record().prop_map(Step::Doom),
        6 => on().prop_map(Step::Hold),
        5 => on().prop_map(Step::Release),
        8 => prop::sample::select(waits.to_vec()).prop_map(Step::Wait),
        14 => removes,
        5 => leaves,
        1 => Just(Step::Restart),
    ]
    .boxed()
}

/// Whether no purge of an org that leaves can begin while a vacuum is on its way: of the two, who is first is not known.
fn is_quiet(model: &Model, erases_held: bool) -> bool {
    (0..ORGS).all(|org| match model.leaving[org] {
        Leaving::No | Leaving::Requested => true,
        Leaving::Approved { ends } => {
            let stays = model.is_anything_held(org) && !erases_held;
            stays || ends > model.now + 3 * PENDING_MS
        }
    })
}

pub(super) fn may(model: &Model, step: &Step) -> bool {
    match step {
        Step::Complete(record) => model.can_complete(*record),
        Step::VacuumOrg(_) => is_quiet(model, false),
        Step::VacuumAll { overriding } => is_quiet(model, *overriding),
        Step::HoldInTime(on) => {
            let (is_there, org) = match on {
                // A record that is not there cannot be held in time.
                On::Record(record) => {
                    let org = org_of(container_of(*record));
                    (model.records[*record].is_some(), org)
                }
                On::Container(container) => (true, org_of(*container)),
                On::Org(org) => (true, *org),
            };
            is_there && !model.is_closed(org) && is_quiet(model, false)
        }
        Step::Put(..)
        | Step::Due(..)
        | Step::Doom(_)
        | Step::Hold(_)
        | Step::Release(_)
        | Step::Wait(_)
        | Step::Cleanup
        | Step::Abandon
        | Step::Request(_)
        | Step::Approve(_)
        | Step::Cancel(_)
        | Step::Restart => true,
    }
}
