//! What is held and what should be gone, as simple as can be.

use metarecord::domain::ErrorTag;
use proptest::prelude::{BoxedStrategy, Strategy, prop, prop_oneof};
use proptest::strategy::Just;
use proptest_state_machine::ReferenceStateMachine;

use crate::ops::world::PENDING_MS;

pub(super) const START_MS: i64 = 1_800_000_000_000;
const HOUR_MS: i64 = 60 * 60 * 1_000;
pub(super) const ORGS: usize = 2;
/// Containers of all orgs together, the same number each.
pub(super) const CONTAINERS: usize = 4;
/// Records of all containers together, the same number each.
const RECORDS: usize = 12;

/// What a hold is on.
#[derive(Clone, Copy, Debug)]
pub(super) enum On {
    Record(usize),
    Container(usize),
    Org(usize),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Makes a record, as an upload or inline.
    Put(usize, bool),
    /// Has a record doom itself so long from now.
    Due(usize, i64),
    Doom(usize),
    Hold(On),
    Release(On),
    Wait(i64),
    VacuumOrg(usize),
    /// Vacuums everything, or tries to.
    VacuumAll {
        overriding: bool,
    },
    /// Asks for a vacuum of everything, and holds something before it begins.
    HoldInTime(On),
    Restart,
}

/// A record as simple as can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    due: Option<i64>,
    pub(super) doomed: bool,
    pub(super) held: bool,
}

/// What the house should be.
#[derive(Clone, Debug)]
pub(super) struct Model {
    now: i64,
    pub(super) records: Vec<Option<Known>>,
    pub(super) containers: [bool; CONTAINERS],
    pub(super) orgs: [bool; ORGS],
    /// What the last step should have been answered.
    pub(super) answer: Result<(), ErrorTag>,
}

pub(super) fn container_of(record: usize) -> usize {
    record % CONTAINERS
}

pub(super) fn org_of(container: usize) -> usize {
    container % ORGS
}

impl Model {
    fn is_held(&self, record: usize) -> bool {
        let container = container_of(record);
        let known = self.records[record].as_ref();
        known.is_some_and(|known| known.held)
            || self.containers[container]
            || self.orgs[org_of(container)]
    }

    fn is_anything_held(&self, org: usize) -> bool {
        let mut containers = (0..CONTAINERS).filter(|container| org_of(*container) == org);
        let mut records = (0..RECORDS).filter(|record| org_of(container_of(*record)) == org);
        let own = |record: usize| {
            self.records[record]
                .as_ref()
                .is_some_and(|known| known.held)
        };
        self.orgs[org] || containers.any(|container| self.containers[container]) || records.any(own)
    }

    /// A living record, which takes changes.
    fn living(&mut self, record: usize) -> Result<&mut Known, ErrorTag> {
        let known = self.records[record].as_mut().ok_or(ErrorTag::NotFound)?;
        match known.doomed {
            true => Err(ErrorTag::Doomed),
            false => Ok(known),
        }
    }

    fn set(&mut self, on: On, held: bool) -> Result<(), ErrorTag> {
        match on {
            On::Record(record) => {
                let known = self.records[record].as_mut();
                known.ok_or(ErrorTag::NotFound)?.held = held;
            }
            On::Container(container) => self.containers[container] = held,
            On::Org(org) => self.orgs[org] = held,
        }
        Ok(())
    }

    fn answer(&mut self, step: Step) -> Result<(), ErrorTag> {
        match step {
            Step::Put(record, _) => {
                self.records[record] = Some(Known {
                    due: None,
                    doomed: false,
                    held: false,
                });
            }
            Step::Due(record, wait) => {
                let due = self.now + wait;
                self.living(record)?.due = Some(due);
            }
            Step::Doom(record) => {
                self.living(record)?;
                if self.is_held(record) {
                    return Err(ErrorTag::InvalidState);
                }
                self.living(record)?.doomed = true;
            }
            Step::Hold(on) => self.set(on, true)?,
            Step::Release(on) => self.set(on, false)?,
            Step::Wait(millis) => self.now += millis,
            Step::VacuumOrg(org) => {
                self.pass_time(2 * PENDING_MS);
                let gone = |model: &Self, record: usize| {
                    org_of(container_of(record)) == org && !model.is_held(record)
                };
                let gone: Vec<_> = (0..RECORDS).filter(|record| gone(self, *record)).collect();
                gone.into_iter()
                    .for_each(|record| self.records[record] = None);
            }
            Step::VacuumAll { overriding } => {
                let held = (0..ORGS).any(|org| self.is_anything_held(org));
                if held && !overriding {
                    return Err(ErrorTag::InvalidState);
                }
                self.pass_time(2 * PENDING_MS);
                self.records.fill(None);
                self.containers = [false; CONTAINERS];
                self.orgs = [false; ORGS];
            }
            Step::HoldInTime(on) => {
                let held = (0..ORGS).any(|org| self.is_anything_held(org));
                if held {
                    return Err(ErrorTag::InvalidState);
                }
                let set = self.set(on, true);
                self.pass_time(PENDING_MS);
                return set;
            }
            Step::Restart => {}
        }
        Ok(())
    }

    fn pass_time(&mut self, millis: i64) {
        self.now += millis;
        self.settle();
    }

    /// What happens by itself.
    fn settle(&mut self) {
        for record in 0..RECORDS {
            let held = self.is_held(record);
            if let Some(known) = &mut self.records[record] {
                known.doomed |= !held && known.due.is_some_and(|due| due <= self.now);
            }
        }
    }
}

impl ReferenceStateMachine for Model {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model {
            now: START_MS,
            records: vec![None; RECORDS],
            containers: [false; CONTAINERS],
            orgs: [false; ORGS],
            answer: Ok(()),
        })
        .boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Step> {
        let record = || 0..RECORDS;
        let on = || {
            prop_oneof![
                4 => record().prop_map(On::Record),
                2 => (0..CONTAINERS).prop_map(On::Container),
                1 => (0..ORGS).prop_map(On::Org),
            ]
        };
        let absent: Vec<_> = record().filter(|id| model.records[*id].is_none()).collect();
        let put = match absent.is_empty() {
            true => Just(Step::Restart).boxed(),
            false => (prop::sample::select(absent), prop::bool::ANY)
                .prop_map(|(record, upload)| Step::Put(record, upload))
                .boxed(),
        };
        prop_oneof![
            8 => put,
            5 => (record(), 1..4_i64).prop_map(|(record, halves)| Step::Due(record, halves * HOUR_MS / 2)),
            3 => record().prop_map(Step::Doom),
            5 => on().prop_map(Step::Hold),
            4 => on().prop_map(Step::Release),
            4 => prop_oneof![Just(1), Just(HOUR_MS / 2), Just(HOUR_MS)].prop_map(Step::Wait),
            3 => (0..ORGS).prop_map(Step::VacuumOrg),
            1 => prop::bool::ANY.prop_map(|overriding| Step::VacuumAll { overriding }),
            1 => on().prop_map(Step::HoldInTime),
            1 => Just(Step::Restart),
        ]
        .boxed()
    }

    fn apply(mut model: Model, step: &Step) -> Model {
        model.answer = model.answer(*step);
        model.settle();
        model
    }

    fn preconditions(model: &Model, step: &Step) -> bool {
        match step {
            Step::Put(record, _) => model.records[*record].is_none(),
            // A record that is not there cannot be held in time.
            Step::HoldInTime(On::Record(record)) => model.records[*record].is_some(),
            _ => true,
        }
    }
}
