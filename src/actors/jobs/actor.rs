//! One job's actor: wakes when the job is due, runs one step after the other, and keeps its progress.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorFutureExt, AsyncContext, AtomicResponse, Context, Handler, Message, SpawnHandle,
    WrapFuture,
};
use tokio::sync::{Semaphore, oneshot};

use super::status::{Status, lock};
use super::{Job, Place, Step, StepContext};
use crate::actors::Caller;
use crate::actors::execute::execute;
use crate::actors::{ActorDeps, Refused};
use crate::clock::Stopwatch;
use crate::domain::job::{self, Counts, JobCommand, JobDecider};
use crate::domain::{ErrorTag, Rejection, Timestamp};
use crate::offload;
use crate::os_error::describe;
use crate::projections::ops;
use crate::report;

/// How long a run continues before its progress is journaled again.
const KEEP_EVERY_MS: i64 = 60_000;
/// How often a job that waits for the clock to be trusted checks it again.
const CLOCK_LOOK_MS: i64 = 1_000;
/// The shortest rest between two steps.
const REST_MIN: Duration = Duration::from_millis(1);
/// The longest rest: longer steps rest within themselves, and one that only waits for the journal need not rest.
const REST_MAX: Duration = Duration::from_millis(50);

/// An order of an operator to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Runs the job at once.
    Run,
    /// Do nothing until it is resumed.
    Pause,
    /// Resumes a job that was paused.
    Resume,
}

/// What of a job could not be journaled.
#[derive(Debug, thiserror::Error)]
enum JobError {
    #[error("the run of the job could not be journaled")]
    Run(#[source] Refused),
    #[error("its progress could not be journaled")]
    Progress(#[source] Refused),
}

/// The actor of one job.
pub(super) struct JobActor {
    job: Arc<dyn Job>,
    deps: Arc<ActorDeps>,
    permits: Arc<Semaphore>,
    longest_sleep_ms: u64,
    status: Arc<Mutex<Status>>,
    step: Arc<StepContext>,
    /// Where the next step begins.
    at: Option<Place>,
    /// The progress that is journaled, and since when.
    kept: Option<u64>,
    kept_at: Timestamp,
    /// The run was ordered, and is journaled whatever it did.
    ordered: bool,
    working: bool,
    resting: bool,
    /// Whether it was woken since the last step began.
    woken: bool,
    /// Whether it does no further step.
    closed: bool,
    /// Callers that wait for its end.
    closing: Vec<oneshot::Sender<()>>,
    alarm: Option<SpawnHandle>,
}

impl JobActor {
    pub(super) fn new(
        job: Arc<dyn Job>,
        deps: Arc<ActorDeps>,
        permits: Arc<Semaphore>,
        longest_sleep_ms: u64,
    ) -> Self {
        let now = deps.clock.now();
        let kept = match ops::jobs(&deps.store) {
            Ok(jobs) => jobs.find(job.name()),
            Err(error) => {
                report::job_failed(job.name(), &error.to_string());
                job::Job::default()
            }
        };
        let status = Status::new(&*job, &kept, now);
        Self {
            job,
            deps,
            permits,
            longest_sleep_ms: longest_sleep_ms.max(1),
            status: Arc::new(Mutex::new(status)),
            step: Arc::default(),
            at: kept.position.map(Place::Kept),
            kept: kept.position,
            kept_at: now,
            ordered: false,
            working: false,
            resting: false,
            woken: false,
            closed: false,
            closing: Vec::new(),
            alarm: None,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.job.name()
    }

    pub(super) fn status(&self) -> Arc<Mutex<Status>> {
        self.status.clone()
    }

    pub(super) fn step_context(&self) -> Arc<StepContext> {
        self.step.clone()
    }

    /// Does what follows from the state and the clock. A second call in the same state does nothing.
    fn evaluate(&mut self, context: &mut Context<Self>) {
        if self.working || self.resting || self.closed {
            return;
        }
        let now = self.deps.clock.now();
        let waits = self.waits_for_clock();
        let next = {
            let mut status = lock(&self.status);
            if waits && status.is_due(now) {
                Some(Some(now.plus_millis(CLOCK_LOOK_MS)))
            } else if status.is_due(now) {
                if status.run.is_none() {
                    self.kept_at = now;
                    self.step.report_progress(0, 0);
                }
                status.begin(now);
                None
            } else {
                Some(status.next_run_at)
            }
        };
        match next {
            None => self.work(context),
            Some(next) => {
                let left = next.map(|at| u64::try_from(at.millis() - now.millis()));
                let left = left.and_then(Result::ok).unwrap_or(u64::MAX);
                let sleep = left.clamp(1, self.longest_sleep_ms);
                self.sleep(Duration::from_millis(sleep), context);
            }
        }
    }

    /// Whether it would remove something by a clock that is not trusted.
    fn waits_for_clock(&self) -> bool {
        self.job.destroys() && self.deps.clock.may_destroy().is_err()
    }

    /// The timer only wakes; the clock decides.
    fn sleep(&mut self, sleep: Duration, context: &mut Context<Self>) {
        if let Some(alarm) = self.alarm.take() {
            context.cancel_future(alarm);
        }
        self.alarm = Some(context.run_later(sleep, |actor, context| {
            actor.resting = false;
            actor.evaluate(context);
        }));
    }

    /// Has a step done on a thread that may block. A panic there is a failure like any other.
    fn work(&mut self, context: &mut Context<Self>) {
        (self.working, self.woken) = (true, false);
        let (job, state, from) = (self.job.clone(), self.step.clone(), self.at.clone());
        let permits = self.permits.clone();
        let step = async move {
            // Never closed: without one it would only not wait.
            let permit = permits.acquire().await;
            let since = Stopwatch::start();
            let step = offload::blocking(move || job.step(from.as_ref(), &state)).await;
            drop(permit);
            // The text of a panic may quote anything; its place has been logged already.
            let panicked = |_| Step::failed("a step panicked; see the log");
            (step.unwrap_or_else(panicked), since.elapsed())
        };
        context.spawn(step.into_actor(self).then(|(step, took), actor, _| {
            let note = actor.take_in(step);
            let (deps, caller) = (actor.deps.clone(), actor.caller());
            let noted = async move {
                match note {
                    Some(note) => execute::<JobDecider>(&deps, &note, &caller).await.map(drop),
                    None => Ok(()),
                }
            };
            noted.into_actor(actor).map(move |noted, actor, context| {
                if let Err(error) = noted {
                    actor.fail(&JobError::Run(error));
                }
                actor.settle(took, context);
            })
        }));
    }

    /// What a step led to, and what of it is to be journaled.
    fn take_in(&mut self, step: Step) -> Option<JobCommand> {
        let now = self.deps.clock.now();
        match step {
            Step::More { at, counts } => {
                lock(&self.status).add(&counts);
                self.at = at;
                let old = now.millis() - self.kept_at.millis() >= KEEP_EVERY_MS;
                if old || self.step.stop_asked() {
                    return self.journal_progress(now);
                }
                None
            }
            Step::Done { counts, noted } => {
                let mut status = lock(&self.status);
                status.add(&counts);
                status.end(now, self.job.every_ms().is_none().then_some(now));
                let counts = status.last_counts.clone();
                drop(status);
                self.finish(noted, counts)
            }
            Step::Idle(until) => {
                let next = if self.woken { Some(now) } else { until };
                let mut status = lock(&self.status);
                if self.ordered || status.did_something() {
                    status.end(now, next);
                } else {
                    status.leave(now, next);
                }
                let counts = status.last_counts.clone();
                drop(status);
                self.finish(false, counts)
            }
            Step::Failed(error) => {
                self.fail(&error);
                self.step
                    .stop_asked()
                    .then(|| self.journal_progress(now))
                    .flatten()
            }
        }
    }

    fn fail(&mut self, error: &(dyn std::error::Error + 'static)) {
        let error = describe(error);
        report::job_failed(self.job.name(), &error);
        lock(&self.status).fail(self.deps.clock.now(), error);
    }

    /// Journals the end of a run: one that is noted or was ordered, and one of which a place is journaled.
    fn finish(&mut self, noted: bool, counts: Counts) -> Option<JobCommand> {
        self.at = None;
        let kept = self.kept.take().is_some();
        let ordered = std::mem::take(&mut self.ordered);
        let job = self.job.name().to_owned();
        (noted || ordered || kept).then_some(JobCommand::Finish { job, counts })
    }

    /// Journals the progress, when it can be journaled and has changed.
    fn journal_progress(&mut self, now: Timestamp) -> Option<JobCommand> {
        let Some(Place::Kept(position)) = self.at else {
            return None;
        };
        if self.kept == Some(position) {
            return None;
        }
        (self.kept, self.kept_at) = (Some(position), now);
        let job = self.job.name().to_owned();
        Some(JobCommand::Move { job, position })
    }

    /// After a step: rests as long as it worked, within bounds, so that the tenants go first.
    fn settle(&mut self, took: Duration, context: &mut Context<Self>) {
        (self.working, self.resting) = (false, true);
        self.notify_closed();
        self.sleep(took.clamp(REST_MIN, REST_MAX), context);
    }

    fn notify_closed(&mut self) {
        for waiting in self.closing.drain(..) {
            // The caller has stopped waiting.
            let _: Result<(), ()> = waiting.send(());
        }
    }

    fn caller(&self) -> Caller {
        Caller::job(&format!("job:{}", self.job.name()))
    }

    /// Applies a journaled order. Returns the progress to journal when the job is paused between two steps.
    fn apply_order(&mut self, order: Order) -> Option<JobCommand> {
        let now = self.deps.clock.now();
        let mut status = lock(&self.status);
        match order {
            Order::Run => {
                self.ordered = true;
                status.next_run_at = Some(now);
            }
            Order::Resume => {
                status.paused = false;
                if !self.closed {
                    self.step.ask_to_stop(false);
                }
                if status.run.is_some() || self.at.is_some() {
                    status.next_run_at = Some(now);
                }
            }
            Order::Pause => {
                status.paused = true;
                drop(status);
                self.step.ask_to_stop(true);
                if !self.working {
                    return self.journal_progress(now);
                }
            }
        }
        None
    }
}

impl Actor for JobActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let (job, address) = (self.job.clone(), context.address());
        let woken = async move {
            loop {
                job.woken().await;
                address.do_send(Woken);
            }
        };
        context.spawn(woken.into_actor(self));
        self.evaluate(context);
    }
}

/// Do what an operator says.
#[derive(Message)]
#[rtype(result = "Result<(), Refused>")]
pub(super) struct Ask {
    pub(super) order: Order,
    pub(super) caller: Caller,
}

impl Handler<Ask> for JobActor {
    type Result = AtomicResponse<Self, Result<(), Refused>>;

    fn handle(&mut self, ask: Ask, _: &mut Self::Context) -> Self::Result {
        let job = self.job.name().to_owned();
        let order = ask.order;
        let paused = lock(&self.status).paused;
        let unbelieved = match order {
            Order::Run if self.job.destroys() => self.deps.clock.may_destroy().err(),
            Order::Run | Order::Pause | Order::Resume => None,
        };
        let command = match order {
            Order::Run if paused => Err(is_paused()),
            Order::Run => match unbelieved {
                Some(why) => Err(why.into()),
                None => Ok(None),
            },
            Order::Pause => Ok(Some(JobCommand::Pause { job })),
            Order::Resume => Ok(Some(JobCommand::Resume { job })),
        };
        let deps = self.deps.clone();
        let journaled = async move {
            if let Some(command) = command? {
                execute::<JobDecider>(&deps, &command, &ask.caller).await?;
            }
            Ok(())
        };
        let done = journaled.into_actor(self).then(move |journaled, actor, _| {
            let note = journaled
                .is_ok()
                .then(|| actor.apply_order(order))
                .flatten();
            let (deps, caller) = (actor.deps.clone(), actor.caller());
            let kept = async move {
                if let Some(note) = note {
                    execute::<JobDecider>(&deps, &note, &caller).await?;
                }
                journaled
            };
            kept.into_actor(actor).map(|answer, actor, context| {
                actor.evaluate(context);
                answer
            })
        });
        AtomicResponse::new(Box::pin(done))
    }
}

fn is_paused() -> Refused {
    let message = "The job is paused and does not run; resume it first.";
    Rejection::new(ErrorTag::InvalidState, message)
        .with_minor("paused")
        .into()
}

/// A message: there may be something to do now. A job that failed waits all the same.
#[derive(Message)]
#[rtype(result = "()")]
struct Woken;

impl Handler<Woken> for JobActor {
    type Result = ();

    fn handle(&mut self, _: Woken, context: &mut Self::Context) {
        self.woken = true;
        let now = self.deps.clock.now();
        let mut status = lock(&self.status);
        if status.failing == 0 {
            status.next_run_at = Some(now);
        }
        drop(status);
        self.evaluate(context);
    }
}

/// Runs no further step, keeps the progress, and reports when that is done.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Close(pub(super) oneshot::Sender<()>);

impl Handler<Close> for JobActor {
    type Result = ();

    fn handle(&mut self, close: Close, context: &mut Self::Context) {
        self.closed = true;
        self.closing.push(close.0);
        if self.working {
            return;
        }
        let note = self.journal_progress(self.deps.clock.now());
        let (deps, caller) = (self.deps.clone(), self.caller());
        let kept = async move {
            match note {
                Some(note) => execute::<JobDecider>(&deps, &note, &caller).await.map(drop),
                None => Ok(()),
            }
        };
        context.wait(kept.into_actor(self).map(|kept, actor, _| {
            if let Err(error) = kept {
                actor.fail(&JobError::Progress(error));
            }
            actor.notify_closed();
        }));
    }
}
