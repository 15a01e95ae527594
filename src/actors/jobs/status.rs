//! How a job is: what operators see of it, and when it runs next.

use parking_lot::{Mutex, MutexGuard};

use crate::domain::Timestamp;
use crate::domain::job::{self, Counts};

/// The pause after the first failure in a row; each further one doubles it.
const BACK_OFF_MS: i64 = 1_000;
/// The longest pause after a failure.
const BACK_OFF_MS_MAX: i64 = 300_000;
/// When a job whose last run is not known has its first, at the latest: not while the server is opening.
const FIRST_RUN_MS_MAX: i64 = 600_000;

/// The activity of a job at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Waits for its time.
    Waiting,
    /// Is within a run.
    Running,
    /// Does nothing until it is resumed.
    Paused,
    /// Its last step failed; it waits before it tries again.
    Failing,
}

impl State {
    /// The text operators see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Failing => "failing",
        }
    }
}

/// A run that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// When the run began, or continued after a restart.
    pub started_at: Timestamp,
    /// What the run did so far.
    pub counts: Counts,
    /// The progress of the current step.
    pub done: u64,
    /// The total of that progress; 0 when that is not known.
    pub total: u64,
}

/// The status of a job, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Name of the job, such as `ttl-sweep`.
    pub name: &'static str,
    /// The job's purpose, in one sentence.
    pub purpose: &'static str,
    /// Milliseconds between the beginnings of two runs; `None` for one that follows what is due.
    pub every_ms: Option<i64>,
    /// Whether the job does nothing until it is resumed.
    pub paused: bool,
    /// The run that is not over.
    pub run: Option<Run>,
    /// When it next runs or continues, unless it is paused; `None` when it waits to be woken.
    pub next_run_at: Option<Timestamp>,
    /// When the last known run ended.
    pub last_run_at: Option<Timestamp>,
    /// What that run did.
    pub last_counts: Counts,
    /// Steps in a row that failed.
    pub failing: u32,
    /// Why the last run failed.
    pub error: Option<String>,
    /// Runs completed since the process began.
    pub runs: u64,
    /// Steps that failed, since the process began.
    pub failures: u64,
}

impl Status {
    /// How a job is when the process begins, after what was journaled of it.
    pub(super) fn new(job: &dyn super::Job, kept: &job::Job, now: Timestamp) -> Self {
        let next_run_at = match (job.every_ms(), kept.position, kept.finished_at) {
            (None, _, _) | (Some(_), Some(_), _) => now,
            (Some(every), None, Some(at)) => at.plus_millis(every),
            (Some(every), None, None) => now.plus_millis(every.min(FIRST_RUN_MS_MAX)),
        };
        Self {
            name: job.name(),
            purpose: job.purpose(),
            every_ms: job.every_ms(),
            paused: kept.paused,
            run: None,
            next_run_at: Some(next_run_at),
            last_run_at: kept.finished_at,
            last_counts: kept.counts.clone(),
            failing: 0,
            error: None,
            runs: 0,
            failures: 0,
        }
    }

    /// The activity of the job at the moment.
    pub fn state(&self) -> State {
        if self.paused {
            return State::Paused;
        }
        match (self.failing, &self.run) {
            (1.., _) => State::Failing,
            (0, Some(_)) => State::Running,
            (0, None) => State::Waiting,
        }
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        !self.paused && self.next_run_at.is_some_and(|at| at <= now)
    }

    pub(super) fn did_something(&self) -> bool {
        self.run.as_ref().is_some_and(|run| !run.counts.is_empty())
    }

    pub(super) fn begin(&mut self, now: Timestamp) {
        self.run.get_or_insert_with(|| Run {
            started_at: now,
            counts: Counts::new(),
            done: 0,
            total: 0,
        });
    }

    /// A step was done: so it does not fail any more.
    pub(super) fn add(&mut self, counts: &Counts) {
        (self.failing, self.error) = (0, None);
        let Some(run) = &mut self.run else { return };
        for (name, count) in counts {
            *run.counts.entry(name.clone()).or_default() += count;
        }
    }

    /// Ends a run; the next one follows its interval, or comes at the time given.
    pub(super) fn end(&mut self, now: Timestamp, next: Option<Timestamp>) {
        let Some(run) = self.run.take() else { return };
        self.runs += 1;
        self.last_run_at = Some(now);
        self.last_counts = run.counts;
        self.follow(run.started_at, next);
    }

    /// Ends a run that found nothing to do: it does not count as a run.
    pub(super) fn leave(&mut self, now: Timestamp, next: Option<Timestamp>) {
        (self.failing, self.error) = (0, None);
        let started_at = self.run.take().map_or(now, |run| run.started_at);
        self.follow(started_at, next);
    }

    fn follow(&mut self, started_at: Timestamp, next: Option<Timestamp>) {
        let regular = self.every_ms.map(|every| started_at.plus_millis(every));
        self.next_run_at = match (next, regular) {
            (Some(next), Some(regular)) => Some(next.min(regular)),
            (next, regular) => next.or(regular),
        };
    }

    /// A step failed: it is tried again after a pause that doubles with each failure in a row.
    pub(super) fn fail(&mut self, now: Timestamp, error: String) {
        let pause = BACK_OFF_MS << self.failing.min(16);
        self.failing = self.failing.saturating_add(1);
        self.failures += 1;
        self.error = Some(error);
        self.next_run_at = Some(now.plus_millis(pause.min(BACK_OFF_MS_MAX)));
    }
}

pub(super) fn lock(status: &Mutex<Status>) -> MutexGuard<'_, Status> {
    status.lock()
}
