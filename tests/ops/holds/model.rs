//! What is held and what should be gone, as simple as can be.

use std::collections::BTreeMap;

use metarecord::domain::ErrorTag;
use proptest::prelude::{BoxedStrategy, Strategy};
use proptest::strategy::Just;
use proptest_state_machine::ReferenceStateMachine;

use super::record::Known;
use super::steps::{self, How, On, Step};

pub(super) const START_MS: i64 = 1_800_000_000_000;
pub(super) const ORGS: usize = 2;
/// Containers of all orgs together, the same number each.
pub(super) const CONTAINERS: usize = 4;
/// Records of all containers together, the same number each.
pub(super) const RECORDS: usize = 8;
/// How long an org that could not be purged is left alone.
pub(super) const REST_MS: i64 = 60_000;

/// How far an org has begun to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    No,
    Requested,
    /// It takes no changes, and is erased from this time on.
    Approved {
        ends: i64,
    },
}

/// What the server should be.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) now: i64,
    pub(super) records: Vec<Option<Known>>,
    pub(super) containers: [bool; CONTAINERS],
    pub(super) orgs: [bool; ORGS],
    pub(super) leaving: [Leaving; ORGS],
    /// Not after a vacuum took it while it was leaving; all others are made again at once.
    pub(super) is_org_there: [bool; ORGS],
    pub(super) exports: [usize; ORGS],
    /// The files there are, by what they are of, each with its record.
    pub(super) files: BTreeMap<u32, usize>,
    /// The last put.
    pub(super) serial: u32,
    /// What the last step should have been answered.
    pub(super) answer: Result<(), ErrorTag>,
    /// The orgs that left with it, in this order.
    pub(super) purged: Vec<usize>,
}

pub(super) fn container_of(record: usize) -> usize {
    record % CONTAINERS
}

pub(super) fn org_of(container: usize) -> usize {
    container % ORGS
}

impl Model {
    /// Two empty orgs.
    pub(super) fn start() -> Self {
        Self {
            now: START_MS,
            records: vec![None; RECORDS],
            containers: [false; CONTAINERS],
            orgs: [false; ORGS],
            leaving: [Leaving::No; ORGS],
            is_org_there: [true; ORGS],
            exports: [0; ORGS],
            files: BTreeMap::new(),
            serial: 0,
            answer: Ok(()),
            purged: Vec::new(),
        }
    }

    pub(super) fn is_held(&self, record: usize) -> bool {
        let container = container_of(record);
        let known = self.records[record].as_ref();
        known.is_some_and(|known| known.held)
            || self.containers[container]
            || self.orgs[org_of(container)]
    }

    pub(super) fn is_anything_held(&self, org: usize) -> bool {
        let mut containers = (0..CONTAINERS).filter(|container| org_of(*container) == org);
        let mut records = (0..RECORDS).filter(|record| org_of(container_of(*record)) == org);
        let own = |record: usize| {
            self.records[record]
                .as_ref()
                .is_some_and(|known| known.held)
        };
        self.orgs[org] || containers.any(|container| self.containers[container]) || records.any(own)
    }

    /// Whether an org takes no changes because it leaves.
    pub(super) fn is_closed(&self, org: usize) -> bool {
        matches!(self.leaving[org], Leaving::Approved { .. })
    }

    /// Whether a record is there, not doomed, and takes changes.
    pub(super) fn is_living(&self, record: usize) -> bool {
        let known = self.records[record].as_ref();
        self.open(record).is_ok() && known.is_some_and(|known| !known.doomed)
    }

    pub(super) fn can_complete(&self, record: usize) -> bool {
        let known = self.records[record].as_ref();
        self.open(record).is_ok() && known.is_some_and(|known| known.can_complete(self.now))
    }

    fn open(&self, record: usize) -> Result<(), ErrorTag> {
        match self.is_closed(org_of(container_of(record))) {
            true => Err(ErrorTag::OrgWriteBlocked),
            false => Ok(()),
        }
    }

    /// A record that is there and takes changes of some kind.
    fn known(&mut self, record: usize) -> Result<&mut Known, ErrorTag> {
        let open = self.open(record);
        let known = self.records[record].as_mut().ok_or(ErrorTag::NotFound)?;
        open.map(|()| known)
    }

    /// A living record, which takes all changes.
    pub(super) fn living(&mut self, record: usize) -> Result<&mut Known, ErrorTag> {
        let known = self.known(record)?;
        match known.doomed {
            true => Err(ErrorTag::Doomed),
            false => Ok(known),
        }
    }

    pub(super) fn put(&mut self, record: usize, how: How) -> Result<(), ErrorTag> {
        self.serial += 1;
        self.open(record)?;
        let known = self.records[record].get_or_insert_default();
        if known.doomed {
            return Err(ErrorTag::Doomed);
        }
        known.put(self.now, self.serial, how);
        if matches!(how, How::Upload | How::Promise(true)) {
            self.files.insert(self.serial, record);
        }
        Ok(())
    }

    pub(super) fn complete(&mut self, record: usize) -> Result<(), ErrorTag> {
        let now = self.now;
        let piece = self.living(record)?.complete(now);
        let piece = piece.ok_or(ErrorTag::NotFound)?;
        self.files.insert(piece.serial, record);
        Ok(())
    }

    pub(super) fn set(&mut self, on: On, held: bool) -> Result<(), ErrorTag> {
        let now = self.now;
        match on {
            On::Record(record) => {
                let known = self.known(record)?;
                if known.held != held {
                    known.changed = now;
                }
                known.held = held;
                return Ok(());
            }
            On::Container(container) if self.is_org_there[org_of(container)] => {
                self.containers[container] = held;
            }
            On::Org(org) if self.is_org_there[org] => self.orgs[org] = held,
            On::Container(_) | On::Org(_) => return Err(ErrorTag::NotFound),
        }
        Ok(())
    }

    /// Records that what removes by itself may touch.
    fn loose(&self) -> Vec<usize> {
        let is_loose = |record: &usize| !self.is_held(*record) && self.open(*record).is_ok();
        (0..RECORDS).filter(is_loose).collect()
    }

    /// Lets go of what ended long enough ago.
    pub(super) fn clean_up(&mut self) {
        for record in self.loose() {
            let known = self.records[record].as_mut();
            for ended in known.map_or_else(Vec::new, |known| known.clean_up(self.now)) {
                self.files.remove(&ended.piece.serial);
            }
        }
    }

    /// Takes what has long been doomed off the lists of its tag.
    pub(super) fn scrub_tags(&mut self) {
        for record in self.loose() {
            if let Some(known) = &mut self.records[record] {
                known.scrub(self.now);
            }
        }
    }

    pub(super) fn abandon(&mut self) {
        for record in self.loose() {
            let known = self.records[record].as_mut();
            if let Some(known) = known.filter(|known| !known.doomed) {
                known.abandon(self.now);
            }
        }
    }

    pub(super) fn erase(&mut self, record: usize) {
        self.records[record] = None;
        self.files.retain(|_, its| *its != record);
    }

    pub(super) fn erase_org(&mut self, org: usize) {
        for record in (0..RECORDS).filter(|record| org_of(container_of(*record)) == org) {
            if !self.is_held(record) {
                self.erase(record);
            }
        }
        self.is_org_there[org] = self.is_anything_held(org) || !self.is_closed(org);
    }

    pub(super) fn pass_time(&mut self, millis: i64) {
        self.now += millis;
        self.sweep();
    }

    fn sweep(&mut self) {
        for record in self.loose() {
            if let Some(known) = &mut self.records[record]
                && let Some(due) = known.due.filter(|due| *due <= self.now)
                && !known.doomed
            {
                known.end(due.max(known.changed));
            }
        }
    }

    /// What happens by itself.
    fn settle(&mut self) {
        self.sweep();
        let is_over = |model: &Self, org: &usize| match model.leaving[*org] {
            Leaving::No | Leaving::Requested => false,
            Leaving::Approved { ends } => ends <= model.now && !model.is_anything_held(*org),
        };
        while let Some(org) = (0..ORGS).find(|org| is_over(self, org)) {
            self.leaving[org] = Leaving::No;
            self.erase_org(org);
            self.purged.push(org);
            self.pass_time(REST_MS);
        }
    }
}

impl ReferenceStateMachine for Model {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Self::start()).boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Step> {
        steps::transitions(model)
    }

    fn apply(mut model: Model, step: &Step) -> Model {
        model.purged.clear();
        model.answer = model.answer(*step);
        model.settle();
        model
    }

    fn preconditions(model: &Model, step: &Step) -> bool {
        steps::may(model, step)
    }
}
