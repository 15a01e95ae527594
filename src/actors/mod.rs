//! Actors: one for each container, reached through a registry that starts them and admits their commands.
//!
//! This is the surface that HTTP and tests share: make a [`RecordRequest`], hand it to [`ActorRegistry::execute`], get an
//! [`Answer`]. An `Ok` is durable and shown by every projection.

pub mod act;
pub mod admission;
pub mod audit;
pub mod container;
mod execute;
pub mod export;
pub mod first_answers;
pub mod identity;
pub mod jobs;
pub mod maintenance;
pub mod offboarding;
pub mod ops;
mod pace;
mod passcodes;
mod record;
pub mod signing_keys;
mod thread;
pub mod upkeep;
pub mod vacuum;

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use actix::{Actor, Addr, Arbiter, MailboxError};
use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use self::thread::ActorThread;
use crate::clock::{Clock, Untrusted};
use crate::domain::container::Idempotency;
use crate::domain::record::{Record, RecordCommand, RecordKey};
use crate::domain::{ContainerName, ErrorTag, OrgCode, RecordId, Rejection};
use crate::journal::{Append, Journal, Remarks, Source};
use crate::projections::Store;
use crate::projections::usage::reservations::{Reservation, Wanted};
use crate::report::Decided;

use admission::Pass;
use container::{MaintainContainer, MaintenanceOutcome};

pub use admission::Admission;
pub use container::ContainerActor;

/// A command for one record, with everything that is journaled beside it.
#[derive(Clone, Debug)]
pub struct RecordRequest {
    /// The record.
    pub key: RecordKey,
    /// What to do; or why the request was refused already, which an idempotency key must remember too.
    pub command: Result<RecordCommand, Rejection>,
    /// Inline content of a put.
    pub payload: Option<Bytes>,
    /// Names the request, when it may come twice.
    pub idempotency: Option<Idempotency>,
    /// The principal's public id.
    pub by: String,
    /// The request's id.
    pub request_id: String,
    /// Which entry point it came through: gateway, operators or a job.
    pub source: Source,
    /// The caller's own remarks.
    pub remarks: Remarks,
}

/// What a command led to.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordOutcome {
    /// The record with it.
    pub record: Record,
    /// The record's id, where it is not that of the command: the one made of the idempotency key was taken.
    pub record_id: Option<RecordId>,
    /// This is the first answer to a request that came again.
    pub replayed: bool,
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// A rule said no.
    #[error("{rejection}")]
    Rejected {
        /// The rule's words.
        rejection: Rejection,
        /// This is the first answer to a request that came again.
        replayed: bool,
    },
    /// Too much is waiting already; nothing was done.
    #[error("too many commands are waiting")]
    Busy,
    /// The journal takes no writes; whether this one outlives a restart is not known.
    #[error("the journal takes no writes")]
    Unavailable,
    /// Something that must not fail did; the text is for the operator.
    #[error("{0}")]
    Failed(String),
}

impl Refused {
    /// Whether a rule said no with this tag.
    pub fn is(&self, tag: ErrorTag) -> bool {
        matches!(self, Self::Rejected { rejection, .. } if rejection.tag == tag)
    }

    /// What the log tells of it.
    fn decided(&self) -> Decided {
        match self {
            Self::Rejected { rejection, .. } => Decided::Rejected(rejection.tag.as_str()),
            Self::Busy | Self::Unavailable | Self::Failed(_) => Decided::NotDone,
        }
    }
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected {
            rejection,
            replayed: false,
        }
    }
}

impl From<Untrusted> for Refused {
    fn from(why: Untrusted) -> Self {
        Rejection::new(ErrorTag::InvalidState, format!("{why}."))
            .with_minor("clock")
            .into()
    }
}

/// The answer to a [`RecordRequest`].
pub type Answer = Result<RecordOutcome, Refused>;

impl actix::Message for RecordRequest {
    type Result = Answer;
}

/// What every actor works with.
pub struct ActorDeps {
    /// The truth.
    pub journal: Arc<dyn Journal>,
    /// The answers.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Who may change what.
    pub admission: Arc<Admission>,
    /// Told when a record got a due time or a hold was released, so that the sweep can look when to wake.
    pub due_set: Notify,
    /// How often something became due at a place that the sweep may have passed.
    pub due_again: AtomicU64,
}

impl ActorDeps {
    /// Takes what an entry adds of its org's quotas until it is settled; with the entry's rows it is counted by those.
    ///
    /// # Errors
    /// `quota-exceeded`.
    fn reserve(
        &self,
        org: &OrgCode,
        append: &Append,
        wanted: &Wanted,
    ) -> Result<Option<Reservation>, Refused> {
        let place = (append.stream.as_str(), append.expected + 1);
        let reservations = self.store.reservations();
        let reserved = reservations.reserve(&self.store, org, place, wanted);
        let reserved = reserved.map_err(|error| Refused::Failed(error.to_string()))?;
        reserved.map_err(|exceeded| Rejection::from(exceeded).into())
    }

    /// Has the sweep look again at everything that is due.
    fn tell_due_again(&self) {
        self.due_again.fetch_add(1, Ordering::Release);
        self.due_set.notify_one();
    }
}

/// How many actors, how much they take in, and how long they stay.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Threads of the actors' own; with 0 each actor lives on the thread that needed it first, which saves its callers
    /// there the way to another.
    pub threads: usize,
    /// Commands one container may have accepted and not answered; past it callers get [`Refused::Busy`].
    pub in_flight_max: usize,
    /// A container's actor without work for this long is put to sleep.
    pub idle_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            threads: 0,
            in_flight_max: 1_024,
            idle_ms: 60_000,
        }
    }
}

fn died<T>(error: MailboxError) -> Result<T, Refused> {
    match error {
        MailboxError::Closed | MailboxError::Timeout => Err(Refused::Unavailable),
    }
}

type ContainerKey = (OrgCode, ContainerName);

struct Entry {
    address: Addr<ContainerActor>,
    permits: Arc<Semaphore>,
}

/// Finds or starts the actor of a container. Cheap to share.
pub struct ActorRegistry {
    deps: Arc<ActorDeps>,
    limits: Limits,
    threads: Vec<ActorThread>,
    entries: Mutex<HashMap<ContainerKey, Entry>>,
    itself: Weak<ActorRegistry>,
}

impl ActorRegistry {
    /// Opens the book and starts its threads.
    pub fn open(deps: Arc<ActorDeps>, limits: Limits) -> Arc<Self> {
        // One in any case, for callers on threads that are no arbiters.
        let threads = (0..limits.threads.max(1))
            .map(|_| ActorThread::start())
            .collect();
        Arc::new_cyclic(|itself| Self {
            deps,
            limits,
            threads,
            entries: Mutex::new(HashMap::new()),
            itself: itself.clone(),
        })
    }

    /// Carries a command out.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn execute(&self, execute: RecordRequest) -> Answer {
        let container = (execute.key.org.clone(), execute.key.container.clone());
        let (address, _admitted) = self.enter(container)?;
        // When the actor died under it, what it had handed to the journal may still become durable.
        let answer = address.send(execute).await;
        answer.unwrap_or_else(died)
    }

    /// Has the actor of a container carry out an order of upkeep.
    async fn maintain(
        &self,
        org: &OrgCode,
        container: &ContainerName,
        order: MaintainContainer,
    ) -> Result<MaintenanceOutcome, Refused> {
        let (address, _admitted) = self.enter((org.clone(), container.clone()))?;
        let answer = address.send(order).await;
        answer.unwrap_or_else(died)
    }

    /// The actor of a container, with leave to change something there and one of the actor's permits.
    fn enter(
        &self,
        container: ContainerKey,
    ) -> Result<(Addr<ContainerActor>, (Pass, OwnedSemaphorePermit)), Refused> {
        let pass = self.deps.admission.enter(&container.0, &container.1)?;
        let mut entries = self.entries();
        if entries
            .get(&container)
            .is_none_or(|entry| !entry.address.connected())
        {
            let entry = self.start(&container);
            entries.insert(container.clone(), entry);
        }
        let Some(entry) = entries.get(&container) else {
            return Err(Refused::Busy);
        };
        let Ok(permit) = entry.permits.clone().try_acquire_owned() else {
            return Err(Refused::Busy);
        };
        Ok((entry.address.clone(), (pass, permit)))
    }

    /// How many actors are awake.
    pub fn awake(&self) -> usize {
        self.entries().len()
    }

    /// How many commands the actors have taken and not answered.
    pub fn in_flight(&self) -> usize {
        let entries = self.entries();
        let in_flight = entries.values().map(|entry| {
            let free = entry.permits.available_permits();
            self.limits.in_flight_max.saturating_sub(free)
        });
        in_flight.sum()
    }

    /// What the actors work with.
    pub fn deps(&self) -> &Arc<ActorDeps> {
        &self.deps
    }

    /// Ends the actors' threads. Commands on their way are answered [`Refused::Unavailable`].
    pub fn close(&self) {
        for thread in &self.threads {
            thread.stop();
        }
    }

    /// Waits for the end of the actors' own threads after [`ActorRegistry::close`].
    pub fn join(&self) {
        for thread in &self.threads {
            thread.join();
        }
    }

    /// Takes a container out of the book when nobody is talking to it; its actor may then stop.
    pub(crate) fn retire(&self, container: &ContainerKey) -> bool {
        let mut entries = self.entries();
        let idle = entries
            .get(container)
            .is_none_or(|entry| entry.permits.available_permits() == self.limits.in_flight_max);
        if idle {
            entries.remove(container);
        }
        idle
    }

    fn start(&self, container: &ContainerKey) -> Entry {
        let shared = Arbiter::try_current().filter(|_| self.limits.threads == 0);
        let thread = shared.unwrap_or_else(|| {
            let mut hasher = DefaultHasher::new();
            container.hash(&mut hasher);
            let index = hasher.finish() % self.threads.len() as u64;
            self.threads[usize::try_from(index).unwrap_or_default()]
                .handle()
                .clone()
        });
        let actor = ContainerActor::new(
            container.clone(),
            self.deps.clone(),
            self.itself.clone(),
            self.limits.idle_ms,
        );
        Entry {
            address: ContainerActor::start_in_arbiter(&thread, move |_| actor),
            permits: Arc::new(Semaphore::new(self.limits.in_flight_max)),
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<ContainerKey, Entry>> {
        self.entries.lock()
    }
}
