//! Jobs: upkeep in small steps, each with a status anybody can read, a place to continue at, pause and resume.
//!
//! To add one: a type that implements [`Job`], and a line where the server is built.

mod actor;
pub mod check;
pub mod compaction;
pub mod containers;
pub mod damaged;
pub mod keys;
mod status;
pub mod sweep;

use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use actix::{Actor, Addr};
use tokio::sync::{Semaphore, oneshot};

use self::actor::{Ask, Close, JobActor};
use super::request::{Caller, Failure};
use super::thread::ActorThread;
use super::{ActorDeps, Refused};
use crate::domain::job::Counts;
use crate::domain::{ErrorTag, Rejection, Timestamp};

pub use self::actor::Order;
pub use self::status::{Run, State, Status};

/// Steps of all jobs at once. Each rests as long as it works, so that together they take about one processor at most.
const STEPS_AT_ONCE: usize = 2;

/// Upkeep that is done again and again. Shared by the threads that do its steps, which are never two at a time.
///
/// Promise: a step that is done twice has done it once, because a step whose end was not noted is done again.
pub trait Job: Send + Sync + 'static {
    /// Its name, such as `ttl-sweep`: what operators call it, and its events. Never changes.
    fn name(&self) -> &'static str;

    /// The purpose of the job, in one sentence.
    fn purpose(&self) -> &'static str;

    /// Milliseconds from the beginning of a run to that of the next; `None` for one that says itself when there is
    /// something to do.
    fn every_ms(&self) -> Option<i64>;

    /// Does some milliseconds' worth of work, from where the step before ended; `None` begins a run. May block. A longer step
    /// reports its progress, and ends soon when it is asked to stop.
    fn step(&self, from: Option<&Place>, context: &StepContext) -> Step;

    /// Whether it removes something for good by the clock: then it does nothing while the clock is not trusted.
    fn destroys(&self) -> bool {
        false
    }

    /// Comes back when there may be something to do sooner than the last step said.
    fn woken(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::pending())
    }
}

/// The progress at which a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Kept in the journal, so that the job continues there after a restart. A number, such as a position in the journal,
    /// because it must not identify a record that is erased later.
    Kept(u64),
    /// Any bytes of the job's own, lost with the process: after a restart the run begins again.
    Passing(Vec<u8>),
}

/// The outcome of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The run is not over yet.
    More {
        /// Where the next step begins; `None` for at the beginning.
        at: Option<Place>,
        /// What this step did.
        counts: Counts,
    },
    /// The run is over.
    Done {
        /// What this step did.
        counts: Counts,
        /// The run is worth an event. It is not when nothing was changed or found: an idle system writes nothing.
        noted: bool,
    },
    /// There is nothing to do before a time; without one, before the job is woken or its next run is due.
    Idle(Option<Timestamp>),
    /// It could not be done, and is tried again later. The error is for the operator.
    Failed(Failure),
}

impl Step {
    /// A failed step, for an error or a text that says why.
    pub fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(Failure::new(error))
    }
}

/// Counts with these names; a name with nothing counted is left out.
pub fn counted<const N: usize>(counts: [(&str, u64); N]) -> Counts {
    let some = counts.into_iter().filter(|(_, count)| *count > 0);
    some.map(|(name, count)| (name.to_owned(), count)).collect()
}

/// What a step checks and reports while it runs.
#[derive(Debug, Default)]
pub struct StepContext {
    stop: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
}

impl StepContext {
    /// The job is paused, or the process ends: a long step comes to an end now, and says [`Step::More`].
    pub fn stop_asked(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// How far the run is, and of how much (0 when that is not known).
    pub fn report_progress(&self, done: u64, total: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    fn progress(&self) -> (u64, u64) {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        (load(&self.done), load(&self.total))
    }

    fn ask_to_stop(&self, stop: bool) {
        self.stop.store(stop, Ordering::Relaxed);
    }
}

/// All jobs: starts their actors, reports their status, and stops them.
pub struct Jobs {
    entries: Vec<Entry>,
    thread: ActorThread,
}

struct Entry {
    name: &'static str,
    status: Arc<Mutex<Status>>,
    context: Arc<StepContext>,
    address: Addr<JobActor>,
}

impl Jobs {
    /// Starts jobs: each continues where it stopped. Whatever the clock was set to, each is checked every
    /// `longest_sleep_ms`.
    ///
    /// # Panics
    /// Outside of an actor system.
    pub fn start(
        deps: &Arc<ActorDeps>,
        jobs: Vec<Arc<dyn Job>>,
        longest_sleep_ms: u64,
    ) -> Arc<Self> {
        let thread = ActorThread::start();
        let permits = Arc::new(Semaphore::new(STEPS_AT_ONCE));
        let entries = jobs.into_iter().map(|job| {
            let actor = JobActor::new(job, deps.clone(), permits.clone(), longest_sleep_ms);
            let (name, status, context) = (actor.name(), actor.status(), actor.step_context());
            Entry {
                name,
                status,
                context,
                address: JobActor::start_in_arbiter(thread.handle(), move |_| actor),
            }
        });
        Arc::new(Self {
            entries: entries.collect(),
            thread,
        })
    }

    /// The status of every job.
    pub fn list(&self) -> Vec<Status> {
        self.entries.iter().map(Entry::look).collect()
    }

    /// The status of one job.
    ///
    /// # Errors
    /// `not-found` for a name that no job has.
    pub fn show(&self, name: &str) -> Result<Status, Rejection> {
        Ok(self.find(name)?.look())
    }

    /// Has a job do something, and answers at once with how it is then.
    ///
    /// # Errors
    /// `not-found` for a name that no job has; `invalid-state` for running what is paused; see [`Refused`].
    pub async fn order(&self, name: &str, order: Order, caller: Caller) -> Result<Status, Refused> {
        let entry = self.find(name)?;
        match entry.address.send(Ask { order, caller }).await {
            Ok(answer) => answer?,
            Err(_) => return Err(Refused::Unavailable),
        }
        Ok(entry.look())
    }

    /// Ends all jobs: a step that is being done has so long to end, and where it ended is kept.
    pub async fn close(&self, patience: Duration) {
        let ends = self.entries.iter().map(|entry| {
            let (ended, end) = oneshot::channel();
            entry.context.ask_to_stop(true);
            entry.address.do_send(Close(ended));
            end
        });
        let ends = futures_util::future::join_all(ends.collect::<Vec<_>>());
        // Whatever is not over then is done again after the next start.
        let _: Result<_, _> = tokio::time::timeout(patience, ends).await;
        self.thread.stop();
    }

    /// Waits for the end of its thread after [`Jobs::close`], and so for a step that took longer than its patience.
    pub fn join(&self) {
        self.thread.join();
    }

    fn find(&self, name: &str) -> Result<&Entry, Rejection> {
        let found = self.entries.iter().find(|entry| entry.name == name);
        found.ok_or_else(|| {
            let names: Vec<_> = self.entries.iter().map(|entry| entry.name).collect();
            let message = format!("There is no such job; the jobs are {}.", names.join(", "));
            Rejection::new(ErrorTag::NotFound, message).with_detail("jobs", names)
        })
    }
}

impl Entry {
    fn look(&self) -> Status {
        let mut status = status::lock(&self.status).clone();
        if let Some(run) = &mut status.run {
            (run.done, run.total) = self.context.progress();
        }
        status
    }
}
