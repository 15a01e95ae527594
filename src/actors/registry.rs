//! The registry of containers' actors: finds or starts the actor of a container and admits its commands.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use actix::{Actor, Addr, Arbiter};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::admission::Pass;
use super::container::{
    ContainerActor, ContainerKey, End, Execute, MaintainContainer, MaintenanceOutcome,
};
use super::deps::ActorDeps;
use super::request::{Answer, RecordRequest, Refused, died};
use super::thread::ActorThread;
use crate::domain::{ContainerName, OrgCode};

/// How many actors, how much they take in, and how long they stay.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Threads of the actors' own; with 0 each actor runs on the thread that needed it first, which saves callers on that
    /// thread a switch to another.
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
    /// Set under the lock of `entries`: none is added afterwards.
    closed: AtomicBool,
    itself: Weak<ActorRegistry>,
}

impl ActorRegistry {
    /// Creates the registry and starts its threads.
    ///
    /// # Panics
    /// Outside of an actor system.
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
            closed: AtomicBool::new(false),
            itself: itself.clone(),
        })
    }

    /// Executes a command on a record.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn execute(&self, execute: RecordRequest) -> Answer {
        let container = (execute.key.org.clone(), execute.key.container.clone());
        let (address, _admitted) = self.enter(container)?;
        let (reply, answer) = oneshot::channel();
        address.do_send(Execute {
            request: execute,
            reply,
        });
        // When the actor died under it, what it had handed to the journal may still become durable.
        answer.await.unwrap_or(Err(Refused::Unavailable))
    }

    /// Has the actor of a container execute an order of upkeep.
    pub(super) async fn maintain(
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
        if self.closed.load(Ordering::Acquire) {
            return Err(Refused::Unavailable);
        }
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

    /// The number of containers' actors that run.
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

    /// The dependencies of the actors.
    pub fn deps(&self) -> &Arc<ActorDeps> {
        &self.deps
    }

    /// Ends the actors and their threads. Commands on their way, and all from now on, are answered
    /// [`Refused::Unavailable`]. Actors on callers' threads (`threads` is 0) end at those threads' next turn.
    pub fn close(&self) {
        let ending: Vec<_> = {
            let mut entries = self.entries();
            self.closed.store(true, Ordering::Release);
            entries.drain().map(|(_, entry)| entry.address).collect()
        };
        for address in ending {
            address.do_send(End);
        }
        for thread in &self.threads {
            thread.stop();
        }
    }

    /// Closes, and waits until every actor has ended, wherever it lived, and so until all that they held is dropped.
    pub async fn end(&self) {
        let addresses: Vec<_> = {
            let entries = self.entries();
            entries
                .values()
                .map(|entry| entry.address.clone())
                .collect()
        };
        self.close();
        for address in addresses {
            while address.connected() {
                tokio::task::yield_now().await;
            }
        }
        self.join();
    }

    /// Waits for the end of the actors' own threads after [`ActorRegistry::close`].
    pub fn join(&self) {
        for thread in &self.threads {
            thread.join();
        }
    }

    /// Removes an idle container from the registry; its actor may then stop.
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
        let registry = self.itself.clone();
        let retire = move |container: &ContainerKey| {
            let registry = registry.upgrade();
            registry.is_none_or(|registry| registry.retire(container))
        };
        let actor = ContainerActor::new(
            container.clone(),
            self.deps.clone(),
            Box::new(retire),
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
