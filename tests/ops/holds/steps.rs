//! What may be done next, and how often what is.

use proptest::prelude::{BoxedStrategy, Strategy, prop, prop_oneof};
use proptest::strategy::{Just, Union};

use super::model::{CONTAINERS, Leaving, Model, ORGS, RECORDS, container_of, org_of};
use crate::ops::world::PENDING_MS;

pub(super) const HOUR_MS: i64 = 60 * 60 * 1_000;

/// The scope of a hold.
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
    /// Takes what has long been doomed off the lists of tags.
    ScrubTags,
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

/// How often a step comes, and what it may be about.
type Choice = (u32, BoxedStrategy<Step>);

fn choice(weight: u32, step: impl Strategy<Value = Step> + 'static) -> Option<Choice> {
    Some((weight, step.boxed()))
}

/// A step about one of these; none when there are none.
fn one_of<T: Clone + std::fmt::Debug + 'static>(
    weight: u32,
    these: &[T],
    step: impl Fn(T) -> Step + 'static,
) -> Option<Choice> {
    let some = (!these.is_empty()).then(|| these.to_vec())?;
    choice(weight, prop::sample::select(some).prop_map(step))
}

fn put(weight: u32, records: &[usize]) -> Option<Choice> {
    let how = prop_oneof![
        3 => Just(How::Inline),
        3 => Just(How::Upload),
        3 => prop::bool::ANY.prop_map(How::Promise),
    ];
    let some = (!records.is_empty()).then(|| records.to_vec())?;
    let step = (prop::sample::select(some), how);
    choice(
        weight,
        step.prop_map(|(record, how)| Step::Put(record, how)),
    )
}

/// Everything that a hold is on.
fn held(model: &Model) -> Vec<On> {
    let is_held = |record: &usize| {
        let known = model.records[*record].as_ref();
        known.is_some_and(|known| known.held)
    };
    let records = (0..RECORDS).filter(is_held).map(On::Record);
    let containers = (0..CONTAINERS).filter(|container| model.containers[*container]);
    let orgs = (0..ORGS).filter(|org| model.orgs[*org]);
    let legal = containers.map(On::Container).chain(orgs.map(On::Org));
    records.chain(legal).collect()
}

/// Mostly what leads to something; what is refused is asked for now and then.
pub(super) fn transitions(model: &Model) -> BoxedStrategy<Step> {
    let choices = [changes(model), holds(model), removes(), leaves(model)];
    Union::new_weighted(choices.into_iter().flatten().flatten().collect()).boxed()
}

fn those(is: impl Fn(usize) -> bool) -> Vec<usize> {
    (0..RECORDS).filter(|record| is(*record)).collect()
}

fn hours(halves: i64) -> i64 {
    halves * HOUR_MS / 2
}

fn changes(model: &Model) -> Vec<Option<Choice>> {
    let absent = those(|record| model.records[record].is_none());
    let living = those(|record| model.is_living(record));
    let waited = those(|record| model.can_complete(record));
    let due = (0..RECORDS, 1..4_i64);
    vec![
        put(8, &absent),
        put(14, &living),
        one_of(4, &waited, Step::Complete),
        choice(
            5,
            due.prop_map(|(record, halves)| Step::Due(record, hours(halves))),
        ),
        one_of(3, &living, Step::Doom),
        choice(1, (0..RECORDS).prop_map(Step::Doom)),
        choice(1, Just(Step::Wait(1))),
        choice(15, (1..9_i64).prop_map(|halves| Step::Wait(hours(halves)))),
        choice(1, Just(Step::Restart)),
    ]
}

fn holds(model: &Model) -> Vec<Option<Choice>> {
    let there = those(|record| model.records[record].is_some());
    vec![
        one_of(5, &there, |record| Step::Hold(On::Record(record))),
        choice(
            2,
            (0..CONTAINERS).prop_map(|container| Step::Hold(On::Container(container))),
        ),
        choice(1, (0..ORGS).prop_map(|org| Step::Hold(On::Org(org)))),
        one_of(10, &held(model), Step::Release),
        choice(
            1,
            (0..RECORDS).prop_map(|record| Step::Release(On::Record(record))),
        ),
        choice(1, (0..ORGS).prop_map(|org| Step::HoldInTime(On::Org(org)))),
        one_of(1, &there, |record| Step::HoldInTime(On::Record(record))),
    ]
}

fn removes() -> Vec<Option<Choice>> {
    vec![
        choice(10, Just(Step::Cleanup)),
        choice(6, Just(Step::ScrubTags)),
        choice(8, Just(Step::Abandon)),
        choice(3, (0..ORGS).prop_map(Step::VacuumOrg)),
        choice(
            1,
            prop::bool::ANY.prop_map(|overriding| Step::VacuumAll { overriding }),
        ),
    ]
}

fn leaves(model: &Model) -> Vec<Option<Choice>> {
    let orgs = |leaving: Leaving| {
        let its = |org: &usize| model.leaving[*org] == leaving;
        (0..ORGS).filter(its).collect::<Vec<_>>()
    };
    vec![
        one_of(3, &orgs(Leaving::No), Step::Request),
        one_of(8, &orgs(Leaving::Requested), Step::Approve),
        choice(1, (0..ORGS).prop_map(Step::Approve)),
        choice(1, (0..ORGS).prop_map(Step::Request)),
        choice(1, (0..ORGS).prop_map(Step::Cancel)),
    ]
}

/// Whether no purge of an org that leaves can begin while a vacuum is pending: of the two, who is first is not known.
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
        | Step::ScrubTags
        | Step::Abandon
        | Step::Request(_)
        | Step::Approve(_)
        | Step::Cancel(_)
        | Step::Restart => true,
    }
}
