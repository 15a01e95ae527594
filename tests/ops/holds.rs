//! Everything that removes against a small model of what is held: in any order of dooms, due times, vacuums, holds and
//! restarts nothing held is ever gone, and everything else that should go goes.

use std::sync::Arc;

use metarecord::actors::identity::Directory;
use metarecord::actors::sweep::Wake;
use metarecord::actors::{Carry, Refused};
use metarecord::clock::{Clock, random_uuid};
use metarecord::content::local::LocalStore;
use metarecord::content::sign::Signer;
use metarecord::disk::RealDisk;
use metarecord::domain::org::OrgCommand;
use metarecord::domain::record::{Record, RecordCommand, RecordKey, Status};
use metarecord::domain::vacuum::{Amount, Scope, Vacuum, VacuumCommand, VacuumStatus};
use metarecord::domain::{ContainerName, ErrorTag, OrgCode, RecordId, StreamId, Timestamp};
use metarecord::journal::verify::verify;
use metarecord::journal::{Remarks, Source};
use metarecord::projections::{RecordName, Runner, Store, due, identity, ops, records, runner};
use proptest::prelude::{BoxedStrategy, ProptestConfig, Strategy, prop, prop_oneof};
use proptest::strategy::Just;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use super::store::{content, inline, upload};
use super::world::{PENDING_MS, Standing, caller, wait};
use crate::support::eventually;

const START_MS: i64 = 1_800_000_000_000;
const HOUR_MS: i64 = 60 * 60 * 1_000;
const ORGS: usize = 2;
/// Containers of all orgs together, the same number each.
const CONTAINERS: usize = 4;
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
struct Known {
    due: Option<i64>,
    doomed: bool,
    held: bool,
}

/// What the house should be.
#[derive(Clone, Debug)]
pub(super) struct Model {
    now: i64,
    records: Vec<Option<Known>>,
    containers: [bool; CONTAINERS],
    orgs: [bool; ORGS],
    /// What the last step should have been answered.
    answer: Result<(), ErrorTag>,
}

fn container_of(record: usize) -> usize {
    record % CONTAINERS
}

fn org_of(container: usize) -> usize {
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

/// The house itself.
struct House {
    scratch: tempfile::TempDir,
    clock: Clock,
    standing: Option<Standing>,
}

fn org(number: usize) -> OrgCode {
    OrgCode::parse(["ONE", "TWO"][number]).expect("an org code")
}

fn container(number: usize) -> ContainerName {
    ContainerName::parse(&format!("box-{number}")).expect("a name")
}

fn key(record: usize) -> RecordKey {
    let number = container_of(record);
    RecordKey {
        org: org(org_of(number)),
        container: container(number),
        record_id: RecordId::parse(&format!("r-{record}")).expect("an id"),
    }
}

fn tag(refused: Refused) -> ErrorTag {
    match refused {
        Refused::Rejected { rejection, .. } => rejection.tag,
        other => panic!("{other:?}"),
    }
}

impl House {
    fn stand(&mut self) {
        self.standing = None;
        let content = LocalStore::open(Arc::new(RealDisk), &self.scratch.path().join("content"));
        let content = Arc::new(content.expect("it opens"));
        let standing = Standing::start(self.scratch.path(), content, self.clock.clone());
        standing.world.operations.start();
        self.standing = Some(standing);
    }

    fn world(&self) -> &super::world::World {
        &self.standing.as_ref().expect("it stands").world
    }

    fn find(&self, record: usize) -> Option<Record> {
        let key = key(record);
        let found = records::find(&self.world().desk.store, RecordName::from(&key));
        found.expect("it can be read")
    }

    /// Asks for a change of a record as it is now.
    fn ask(
        &self,
        record: usize,
        command: impl FnOnce(&Record) -> RecordCommand,
    ) -> Result<(), ErrorTag> {
        let found = self.find(record).ok_or(ErrorTag::NotFound)?;
        let carry = Carry {
            key: key(record),
            command: Ok(command(&found)),
            payload: None,
            idempotency: None,
            by: "tester".to_owned(),
            request_id: "r".to_owned(),
            source: Source::Gateway,
            remarks: Remarks::default(),
        };
        let carried = wait(self.world().book.carry(carry));
        carried.map(drop).map_err(tag)
    }

    fn hold(&self, on: On, held: bool) -> Result<(), ErrorTag> {
        let reason = "audit".to_owned();
        let (org, container) = match on {
            On::Record(record) => {
                return self.ask(record, |found| {
                    let expected = Some(found.revision);
                    match held {
                        true => RecordCommand::SetHold { reason, expected },
                        false => RecordCommand::ReleaseHold { expected },
                    }
                });
            }
            On::Container(number) => (org(org_of(number)), Some(container(number))),
            On::Org(number) => (org(number), None),
        };
        let command = match held {
            true => OrgCommand::SetHold {
                org,
                container,
                reason,
            },
            false => OrgCommand::ReleaseHold { org, container },
        };
        let directory = Directory::new(self.world().desk.clone(), Arc::new(Signer::new([7; 32])));
        wait(directory.org(command, &caller()))
            .map(drop)
            .map_err(tag)
    }

    fn request(
        &self,
        scope: &Scope,
        dry_run: bool,
        override_holds: bool,
    ) -> Result<String, ErrorTag> {
        let request = VacuumCommand::Request {
            vacuum_id: random_uuid().to_string(),
            scope: scope.clone(),
            dry_run,
            reason: "r".to_owned(),
            pending_ms: PENDING_MS,
            plan_id: None,
            override_holds,
        };
        let asked = self.world().vacuum(request).map_err(tag)?;
        Ok(asked.vacuum_id)
    }

    fn end(&self, id: &str) -> Vacuum {
        let look = || {
            let vacuum = ops::vacuum(&self.world().desk.store, id);
            vacuum.expect("it can be read").expect("it is there")
        };
        eventually("the vacuum is over", || !look().status.is_open());
        look()
    }

    /// Vacuums, and finds that the dry run told what the real one did.
    fn vacuum(&self, scope: &Scope, override_holds: bool) -> Result<(), ErrorTag> {
        let real = self.request(scope, false, override_holds)?;
        // Another cannot be asked for while it is pending: it is called off and asked for again behind the dry run.
        let cancel = VacuumCommand::Cancel { vacuum_id: real };
        self.world().vacuum(cancel).expect("it is pending");
        self.clock.advance(PENDING_MS);
        self.sweep();
        let dry = self.end(&self.request(scope, true, override_holds)?);
        let real = self.request(scope, false, override_holds)?;
        self.clock.advance(PENDING_MS);
        let real = self.end(&real);
        assert_eq!(real.status, VacuumStatus::Completed, "{:?}", real.error);
        assert_eq!((&real.services, &real.held), (&dry.services, &dry.held));
        let left = self.end(&self.request(scope, true, override_holds)?);
        assert_eq!(left.totals(), Amount::default(), "nothing is left of it");
        assert_eq!(left.held, real.held, "what was held is there");
        self.check_rebuilt();
        for number in 0..ORGS {
            let store = &self.world().desk.store;
            let status = identity::org_status(store, org(number).as_str());
            if status.expect("it can be read").is_none() {
                self.world().make_org(&org(number));
            }
        }
        Ok(())
    }

    /// What a replay of the journal makes is what there is, and the journal is good.
    fn check_rebuilt(&self) {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(scratch.path(), 1 << 20).expect("it opens");
        let journal = &*self.world().desk.journal;
        let caught_up = Runner::new(store.clone()).catch_up(journal, &mut |_, _| ());
        caught_up.expect("it can be replayed");
        let live = &self.world().desk.store;
        let differing = runner::differing_rows(live, &store, &runner::prefixes());
        assert_eq!(differing.expect("they can be read"), 0, "rebuilt is live");
        let journal = self.scratch.path().join("journal");
        let report = verify(&journal, false, &mut |_, _| ()).expect("it can be read");
        assert_eq!(report.problems, []);
    }

    /// Has the sweep look until it has nothing more to do.
    fn sweep(&self) {
        let world = self.world();
        let walk = || {
            due::walk(
                &world.desk.store,
                None,
                self.clock.now(),
                (1, usize::MAX),
                |_| false,
            )
        };
        while !walk().expect("it can be read").due.is_empty() {
            wait(world.sweep.send(Wake))
                .expect("it lives")
                .expect("it can be read");
        }
    }

    fn take(&mut self, step: Step) -> Result<(), ErrorTag> {
        match step {
            Step::Put(record, as_upload) => match as_upload {
                true => upload(self.world(), &key(record), 500, true),
                false => drop(inline(self.world(), &key(record), 100, None)),
            },
            Step::Due(record, wait) => {
                let doom_at = Some(self.clock.now().plus_millis(wait));
                self.ask(record, |found| RecordCommand::SetTtl {
                    doom_at,
                    expected: Some(found.revision),
                })?;
            }
            Step::Doom(record) => self.ask(record, |found| RecordCommand::Doom {
                reason: None,
                expected: Some(found.revision),
            })?,
            Step::Hold(on) => self.hold(on, true)?,
            Step::Release(on) => self.hold(on, false)?,
            Step::Wait(millis) => self.clock.advance(millis),
            Step::VacuumOrg(number) => self.vacuum(&Scope::Org(org(number)), false)?,
            Step::VacuumAll { overriding } => self.vacuum(&Scope::All, overriding)?,
            Step::HoldInTime(on) => {
                let id = self.request(&Scope::All, false, false)?;
                self.hold(on, true)?;
                self.clock.advance(PENDING_MS);
                let vacuum = self.end(&id);
                assert_eq!(vacuum.status, VacuumStatus::Failed);
                assert!(vacuum.started_at.is_none(), "it had not begun");
            }
            Step::Restart => self.stand(),
        }
        Ok(())
    }
}

struct Holds;

impl StateMachineTest for Holds {
    type SystemUnderTest = House;
    type Reference = Model;

    fn init_test(_: &Model) -> House {
        let mut house = House {
            scratch: tempfile::tempdir().expect("a temporary directory"),
            clock: Clock::manual(Timestamp::from_millis(START_MS)),
            standing: None,
        };
        house.stand();
        (0..ORGS).for_each(|number| house.world().make_org(&org(number)));
        house
    }

    fn apply(mut house: House, model: &Model, step: Step) -> House {
        let answer = house.take(step);
        assert_eq!(answer, model.answer, "{step:?}");
        house.sweep();
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
            // It panics when there is none.
            assert!(!content(house.world(), &key.org, found).is_empty());
        }
        for number in 0..ORGS {
            let store = &house.world().desk.store;
            let holds = identity::holds(store, org(number).as_str()).expect("they can be read");
            assert_eq!(holds.org.is_some(), model.orgs[number]);
            let mine = (0..CONTAINERS).filter(|container| org_of(*container) == number);
            for of in mine {
                let held = holds.containers.contains_key(&container(of));
                assert_eq!(held, model.containers[of], "container {of}");
            }
        }
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, max_shrink_time: 20_000, ..ProptestConfig::default() })]
    #[test]
    fn nothing_held_is_ever_gone_and_everything_else_that_should_go_goes(sequential 1..40 => Holds);
}
