//! What a vacuum erases and how: counting, removing rows, bodies and files, each step done as often as it takes.

use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{VacuumError, held};
use crate::clock::Pace;
use crate::content::{ContentStore, ObjectName};
use crate::domain::Event;
use crate::domain::erasure::{ErasedSpan, PlanBuilder, digest};
use crate::domain::vacuum::{
    Amount, Erased, HeldBack, Scope, ServiceAmount, Step, Vacuum, VacuumEvent,
};
use crate::export::line::objects_of;
use crate::journal::{EraseOrder, Journal, Position};
use crate::projections::forget::EffectiveScope;
use crate::projections::{Store, forget};
use crate::report;

/// How often a failed deletion is tried (OPS overview: "up to 7 attempts").
const ATTEMPTS_MAX: u32 = 7;
/// The pause after the first failure (OPS overview: "100ms to 5s cap").
const BACK_OFF: Duration = Duration::from_millis(100);
/// The longest pause between two tries.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// Entries read from the journal at a time.
const READ_ENTRIES: usize = 1_000;
/// Objects removed between two reports of progress.
const OBJECTS_REPORTED: u64 = 64;

/// The stores that a vacuum works on.
pub(super) struct Work {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) store: Store,
    pub(super) content: Arc<dyn ContentStore>,
    pub(super) progress: Arc<Progress>,
}

/// The progress of the running vacuum: its step, what is done, and the total.
#[derive(Default)]
pub struct Progress(Mutex<Option<(Step, u64, u64)>>);

impl Progress {
    /// The step, what is done of it, and of how much (0 when that is not known).
    pub fn now(&self) -> Option<(Step, u64, u64)> {
        *self.0.lock()
    }

    pub(super) fn set(&self, progress: Option<(Step, u64, u64)>) {
        *self.0.lock() = progress;
    }
}

/// What a vacuum would erase, and what is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// What is erased, service by service.
    pub services: Vec<ServiceAmount>,
    /// What is held; of everything it is among what is erased.
    pub held: Vec<HeldBack>,
    /// Which entries of the journal are erased.
    pub erases: Vec<ErasedSpan>,
}

/// Hashes the numbers of a scope, so that a real run can be compared with a dry run.
pub fn plan_id(scope: &Scope, services: &[ServiceAmount]) -> String {
    // Strings and numbers only: always serializable.
    let text = serde_json::to_vec(&(scope, services)).unwrap_or_default();
    hex::encode(&Sha256::digest(text)[..16])
}

impl Work {
    /// What a vacuum would erase now, service by service, and what is held of that.
    pub(super) fn survey(&self, scope: &Scope) -> Result<Survey, VacuumError> {
        let reach = EffectiveScope::new(&self.store, scope);
        let count = forget::count(&reach)?;
        let covered = count.covered;
        let mut records = Amount {
            items: covered.records,
            ..Amount::default()
        };
        let starts = self.journal.segment_starts()?;
        let mut plan = PlanBuilder::new(starts);
        let kept = self.walk_journal(&reach, &mut |position, bytes| {
            plan.take(position);
            records.bytes += bytes;
        })?;
        let erases = plan.finish()?;
        self.each_object(scope, &kept, &mut |object| {
            records.objects += 1;
            records.bytes += self.content.size(object)?.unwrap_or(0);
            Ok(())
        })?;
        let items = |items| Amount {
            items,
            ..Amount::default()
        };
        let (only_users, cross) = match scope {
            Scope::All => (None, None),
            Scope::Org(_) => (None, Some("user accounts do not belong to a single org")),
            Scope::User(_) => (Some("data of orgs stays with the orgs"), None),
        };
        let services = vec![
            service("mrs", records, only_users),
            service("ofm", items(covered.orgs_and_members), only_users),
            service("uas", items(covered.users), cross),
            // Sessions are the users'; of one org only its service accounts and keys are covered, of a user only sessions.
            service("usm", items(covered.sessions_and_keys), None),
            service("ops", Amount::default(), Some("never vacuumed")),
            log_files(scope)?,
        ];
        let held = held::back(&count);
        Ok(Survey {
            services,
            held,
            erases,
        })
    }

    /// Gathers the objects of what stays. `erased` is called with the position of each entry that is erased, and the bytes
    /// of its inline content.
    fn walk_journal(
        &self,
        reach: &EffectiveScope,
        erased: &mut dyn FnMut(Position, u64),
    ) -> Result<BTreeSet<Uuid>, VacuumError> {
        let (mut kept, mut next, mut pace) = (BTreeSet::new(), 1, Pace::start());
        loop {
            let entries = self.journal.read(next, READ_ENTRIES)?;
            let Some(last) = entries.last().map(|entry| entry.header.position) else {
                reach.check()?;
                return Ok(kept);
            };
            for (entry, body) in entries
                .iter()
                .filter_map(|entry| Some((entry, entry.body.as_ref()?)))
            {
                if reach.covers_stream(body.stream.as_str()) {
                    let bytes = body.payload.as_ref().map_or(0, |payload| payload.size);
                    erased(entry.header.position, bytes);
                } else {
                    kept.extend(objects_of(&body.events).map(|(id, ..)| id))
                }
            }
            next = last + 1;
            pace.rest();
        }
    }

    fn each_object(
        &self,
        scope: &Scope,
        kept: &BTreeSet<Uuid>,
        visit: &mut dyn FnMut(&ObjectName) -> Result<(), VacuumError>,
    ) -> Result<(), VacuumError> {
        for org in self.content.orgs()? {
            if !scope.covers(org.as_str(), None) {
                continue;
            }
            for object_id in self.content.list(&org)? {
                if !kept.contains(&object_id) {
                    let org = org.clone();
                    visit(&ObjectName { org, object_id })?;
                }
            }
        }
        Ok(())
    }

    /// Removes the rows of a scope from the projections. Twice is once, as with every step.
    pub(super) fn erase_rows(&self, scope: &Scope) -> Result<(), VacuumError> {
        retried(|| {
            let reach = EffectiveScope::new(&self.store, scope);
            let mut progress = |done| self.report(Step::Projections, (done, 0));
            Ok(forget::remove_covered(
                &reach,
                &*self.journal,
                &mut progress,
            )?)
        })
    }

    /// Removes erased positions from the journal's database.
    pub(super) fn erase_database(&self, erased: &[Position]) -> Result<(), VacuumError> {
        retried(|| {
            let mut progress = |done, total| self.report(Step::Database, (done, total));
            Ok(self.journal.erase_index(erased, &mut progress)?)
        })
    }

    /// Removes the files that content leaves, and those of the log once everything is erased.
    pub(super) fn erase_leftovers(&self, scope: &Scope) -> Result<(), VacuumError> {
        let orgs = self.content.orgs()?;
        let mut covered = orgs.iter().filter(|org| scope.covers(org.as_str(), None));
        covered.try_for_each(|org| retried(|| Ok(self.content.forget(org)?)))?;
        match (scope, report::log()) {
            (Scope::All, Some(log)) => retried(|| Ok(log.remove_files()?)),
            (Scope::Org(_) | Scope::User(_), _) | (Scope::All, None) => Ok(()),
        }
    }

    fn report(&self, step: Step, (done, total): (u64, u64)) {
        self.progress.set(Some((step, done, total)));
    }

    /// Erases in the log; what was erased before is found again.
    pub(super) fn erase(&self, vacuum: &Vacuum) -> Result<Vec<Position>, VacuumError> {
        let reach = Arc::new(EffectiveScope::new(&self.store, &vacuum.scope));
        let asked = Arc::clone(&reach);
        let order = Arc::new(EraseOrder {
            covers: Box::new(move |stream| asked.covers_stream(stream)),
            by: vacuum.started_position,
            plan: self.plan(vacuum)?,
        });
        let removals = self.content.removals();
        retried(|| {
            let mut pass = None;
            // Called before each segment: there a backup may begin, which then reads no half of one.
            let mut told_progress = |done, total| {
                drop(pass.take());
                pass = Some(removals.pass());
                self.progress.set(Some((Step::Log, done, total)));
            };
            let erased = self.journal.erase(Arc::clone(&order), &mut told_progress);
            // Also of one that failed half way.
            self.store.watchers().forget_kept();
            reach.check()?;
            Ok(erased?)
        })
    }

    /// Which entries a vacuum has stated that it erases, read from the journal: the rows do not keep it.
    fn plan(&self, vacuum: &Vacuum) -> Result<Option<Vec<ErasedSpan>>, VacuumError> {
        let entries = self.journal.read(vacuum.started_position, 1)?;
        let bodies = entries.into_iter().filter_map(|entry| entry.body);
        let mut events = bodies.flat_map(|body| body.events);
        let plan = events.find_map(|event| match event {
            Event::Vacuum(VacuumEvent::Started {
                vacuum_id, erases, ..
            }) if vacuum_id == vacuum.vacuum_id => Some(erases),
            Event::Vacuum(_)
            | Event::Record(_)
            | Event::Container(_)
            | Event::Org(_)
            | Event::User(_)
            | Event::Account(_)
            | Event::Secret(_)
            | Event::Maintenance(_)
            | Event::Job(_)
            | Event::Offboarding(_)
            | Event::OperatorToken(_)
            | Event::Jwt(_)
            | Event::SigningKey(_)
            | Event::OperatorAct(_)
            | Event::Clock(_) => None,
        });
        plan.ok_or_else(|| {
            let position = vacuum.started_position;
            VacuumError::NotTheStart(position)
        })
    }

    /// Removes the objects of a scope that no entry names any more.
    pub(super) fn erase_content(&self, scope: &Scope) -> Result<(), VacuumError> {
        // The journal has removed everything else, so what it still names is what stays.
        let kept = self.walk_journal(&EffectiveScope::new(&self.store, scope), &mut |_, _| ())?;
        let mut removed = 0;
        self.each_object(scope, &kept, &mut |object| {
            retried(|| Ok(self.content.remove(object)?))?;
            removed += 1;
            if removed % OBJECTS_REPORTED == 0 {
                self.report(Step::Content, (removed, 0));
            }
            Ok(())
        })
    }
}

/// What a vacuum of everything removes of the log. Its bytes are not counted: they grow with every count, and a real run
/// is compared with the numbers of its plan.
fn log_files(scope: &Scope) -> Result<ServiceAmount, VacuumError> {
    let why = match scope {
        Scope::All => None,
        Scope::Org(_) => Some("log lines name orgs and contain none of their data"),
        Scope::User(_) => Some("log lines name users only by keyed hashes"),
    };
    if why.is_some() {
        return Ok(service("logs", Amount::default(), why));
    }
    let log = report::log();
    let Some(dir) = log.as_ref().and_then(|log| log.dir()) else {
        let why = "this server keeps no log files";
        return Ok(service("logs", Amount::default(), Some(why)));
    };
    let amount = Amount {
        objects: report::files::list(dir)?.len() as u64,
        ..Amount::default()
    };
    Ok(service("logs", amount, None))
}

fn service(name: &str, amount: Amount, skipped: Option<&str>) -> ServiceAmount {
    ServiceAmount {
        service: name.to_owned(),
        amount: match skipped {
            Some(_) => Amount::default(),
            None => amount,
        },
        skipped: skipped.map(str::to_owned),
    }
}

/// Tries a deletion again after a pause, a bounded number of times. Blocks.
fn retried<T>(mut work: impl FnMut() -> Result<T, VacuumError>) -> Result<T, VacuumError> {
    let mut pause = BACK_OFF;
    for _ in 1..ATTEMPTS_MAX {
        match work() {
            Ok(done) => return Ok(done),
            Err(error) => {
                report::notice_error("a deletion of a vacuum failed and is retried", &error)
            }
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(BACK_OFF_MAX);
    }
    work()
}

pub(super) fn erased_of(positions: &[Position]) -> Erased {
    Erased {
        entries: positions.len() as u64,
        positions_sha256: digest(positions),
    }
}
