//! The server itself: its actors over real files, and each step as it asks for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use metarecord::actors::identity::{Directory, IdentitySettings};
use metarecord::actors::jobs::{Job, StepContext};
use metarecord::actors::{RecordRequest, Refused, Requested};
use metarecord::clock::{Clock, random_uuid};
use metarecord::content::local::LocalStore;
use metarecord::content::sign::Signer;
use metarecord::disk::RealDisk;
use metarecord::domain::container::Idempotency;
use metarecord::domain::org::OrgCommand;
use metarecord::domain::record::{Record, RecordCommand, RecordKey};
use metarecord::domain::vacuum::Scope;
use metarecord::domain::{ContainerName, ErrorTag, OrgCode, RecordId, Timestamp};
use metarecord::journal::verify::verify;
use metarecord::journal::{Remarks, Source};
use metarecord::projections::{
    RecordName, Runner, Store, due, generation, identity, records, usage,
};
use uuid::Uuid;

use super::model::{Model, ORGS, REST_MS, START_MS, container_of, org_of};
use super::steps::{On, Step};
use crate::ops::world::{Standing, World, caller, wait};
use crate::support::eventually;

/// How often projections are rebuilt, when something is written meanwhile.
const REBUILDS_MAX: u32 = 20;

pub(super) struct AppState {
    standing: Option<Standing>,
    /// Behind what stands in it: it goes away last.
    pub(super) scratch: tempfile::TempDir,
    pub(super) clock: Clock,
    /// Which object each promised piece is.
    pub(super) objects: BTreeMap<u32, Uuid>,
}

pub(super) fn org(number: usize) -> OrgCode {
    OrgCode::parse(["ONE", "TWO"][number]).expect("an org code")
}

pub(super) fn container(number: usize) -> ContainerName {
    ContainerName::parse(&format!("box-{number}")).expect("a name")
}

pub(super) fn key(record: usize) -> RecordKey {
    let number = container_of(record);
    RecordKey {
        org: org(org_of(number)),
        container: container(number),
        record_id: RecordId::parse(&format!("r-{record}")).expect("an id"),
    }
}

pub(super) fn tag(refused: Refused) -> ErrorTag {
    match refused {
        Refused::Rejected { rejection, .. } => rejection.tag,
        other => panic!("{other:?}"),
    }
}

/// A change as a caller asks for it.
pub(super) fn execute(record: usize, command: RecordCommand) -> RecordRequest {
    RecordRequest {
        key: key(record),
        command: Requested::Command(command),
        payload: None,
        idempotency: Some(Idempotency {
            scope: random_uuid().simple().to_string().repeat(2),
            fingerprint: "f".repeat(64),
        }),
        by: "tester".to_owned(),
        request_id: "r".to_owned(),
        source: Source::Gateway,
        remarks: Remarks::default(),
    }
}

impl AppState {
    pub(super) fn build() -> Self {
        let mut app = Self {
            scratch: tempfile::tempdir().expect("a temporary directory"),
            clock: Clock::manual(Timestamp::from_millis(START_MS)),
            standing: None,
            objects: BTreeMap::new(),
        };
        app.stand();
        (0..ORGS).for_each(|number| app.world().make_org(&org(number)));
        app
    }

    fn stand(&mut self) {
        if let Some(before) = self.standing.take() {
            let deps = Arc::downgrade(&before.world.deps);
            drop(before);
            // Who leaves is looked at by a thread of its own, which ends in its own time.
            eventually("all of it is gone", || deps.upgrade().is_none());
        }
        let content = LocalStore::open(Arc::new(RealDisk), &self.scratch.path().join("content"));
        let content = Arc::new(content.expect("it opens"));
        let standing = Standing::start(self.scratch.path(), content, self.clock.clone());
        standing.world.operations.start();
        standing.world.offboardings.start();
        self.standing = Some(standing);
    }

    pub(super) fn world(&self) -> &World {
        &self.standing.as_ref().expect("it stands").world
    }

    pub(super) fn find(&self, record: usize) -> Option<Record> {
        let key = key(record);
        let found = records::find(&self.world().deps.store, RecordName::from(&key));
        found.expect("it can be read")
    }

    /// Asks for a change of a record as it is now.
    fn ask(
        &self,
        record: usize,
        command: impl FnOnce(&Record) -> RecordCommand,
    ) -> Result<(), ErrorTag> {
        let found = self.find(record).ok_or(ErrorTag::NotFound)?;
        let executed = wait(
            self.world()
                .registry
                .execute(execute(record, command(&found))),
        );
        executed.map(drop).map_err(tag)
    }

    pub(super) fn hold(&self, on: On, held: bool) -> Result<(), ErrorTag> {
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
                org: org.clone(),
                container,
                reason,
            },
            false => OrgCommand::ReleaseHold {
                org: org.clone(),
                container,
            },
        };
        let directory = Directory::new(
            self.world().deps.clone(),
            Arc::new(Signer::new([7; 32])),
            IdentitySettings::default(),
        );
        let ask = || {
            let asked = wait(directory.org(command.clone(), &caller()));
            asked.map(drop).map_err(tag)
        };
        let mut answer = ask();
        // While it is looked whether anything stands in a purge's way, no hold is set for a moment.
        let may_be_purged = self.is_closed(&org);
        eventually("the holds can be changed", || {
            let again = may_be_purged && answer == Err(ErrorTag::OrgWriteBlocked);
            if again {
                answer = ask();
            }
            !again
        });
        answer
    }

    /// What a replay of the journal makes is what there is, and the journal is good.
    pub(super) fn check_rebuilt(&self) {
        let journal = &*self.world().deps.journal;
        let mut differing = 1;
        for _ in 0..REBUILDS_MAX {
            let head = journal.head().position;
            let scratch = tempfile::tempdir().expect("a temporary directory");
            let store = Store::open(scratch.path(), 1 << 20).expect("it opens");
            let caught_up = Runner::new(store.clone()).catch_up(journal, &mut |_, _| ());
            caught_up.expect("it can be replayed");
            let live = &self.world().deps.store;
            let rows = generation::differing_rows(live, &store, &generation::prefixes());
            differing = rows.expect("they can be read");
            // Why an org does not leave is noted in its own time.
            if head == journal.head().position {
                break;
            }
        }
        assert_eq!(differing, 0, "rebuilt is live");
        self.check_counted();
        let journal = self.scratch.path().join("journal");
        let report = verify(&journal, false, &mut |_, _| ()).expect("it can be read");
        assert_eq!(report.problems, []);
    }

    /// The counters of every org are what its rows come to.
    fn check_counted(&self) {
        let store = &self.world().deps.store;
        for number in 0..ORGS {
            let org = org(number);
            let (counts, names) = usage::count(store, org.as_str()).expect("they can be read");
            let kept = usage::counts(store, org.as_str()).expect("they can be read");
            assert_eq!(kept, counts, "{org}");
            assert_eq!(
                usage::names(store, org.as_str()).expect("they can be read"),
                names
            );
        }
        assert_eq!(store.reservations().waiting(), 0);
    }

    /// Has the sweep look until it has nothing more to do.
    pub(super) fn sweep(&self) {
        let world = self.world();
        let admission = &world.deps.admission;
        let walk = || {
            due::walk(
                &world.deps.store,
                None,
                self.clock.now(),
                (1, usize::MAX),
                |stream| admission.is_held(stream),
            )
        };
        while !walk().expect("it can be read").due.is_empty() {
            drop(world.sweep.step(None, &StepContext::default()));
        }
    }

    /// Orgs that are gone and do not leave are made again.
    pub(super) fn make_orgs(&self) {
        for number in 0..ORGS {
            let (store, org) = (&self.world().deps.store, org(number));
            let status = identity::org_status(store, org.as_str()).expect("it can be read");
            if status.is_none() && !self.is_closed(&org) {
                self.world().make_org(&org);
            }
        }
    }

    pub(super) fn take(&mut self, model: &Model, step: Step) -> Result<(), ErrorTag> {
        match step {
            Step::Put(record, how) => self.put(record, how, model.serial)?,
            Step::Complete(record) => self.complete(record)?,
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
            Step::Cleanup => self.clean_up(),
            Step::ScrubTags => self.scrub_tags(),
            Step::Abandon => self.abandon(),
            Step::VacuumOrg(number) => self.vacuum(&Scope::Org(org(number)), false)?,
            Step::VacuumAll { overriding } => self.vacuum(&Scope::All, overriding)?,
            Step::HoldInTime(on) => self.hold_in_time(on)?,
            Step::Request(number) => self.request_leaving(number)?,
            Step::Approve(number) => self.approve(number)?,
            Step::Cancel(number) => self.cancel(number)?,
            Step::Restart => self.stand(),
        }
        Ok(())
    }

    /// What happens by itself.
    pub(super) fn settle(&mut self, model: &Model) {
        self.sweep();
        for number in &model.purged {
            // One that was just found in the way of it is not tried at once.
            self.clock.advance(REST_MS);
            self.wait_until_purged(*number);
        }
        self.make_orgs();
        self.sweep();
        if !model.purged.is_empty() {
            self.check_rebuilt();
        }
    }
}
