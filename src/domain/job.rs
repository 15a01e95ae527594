//! Jobs: which are paused, the position of a long one, and what their last runs did.
//!
//! All jobs share one stream. A job that finds nothing to do leaves no event, so an idle system writes nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::declare::events;
use super::{Aggregate, Context, Decider, EventMeta, Rejection, StreamId, Timestamp};

/// What a run did: how many of what, by a plain word such as `doomed`.
pub type Counts = BTreeMap<String, u64>;

events! {
    /// The events of a job.
    pub enum JobEvent {
        /// An operator paused the job.
        #[event("job.paused", 1)]
        Paused {
            /// Name of the job, such as `ttl-sweep`.
            job: String,
        },
        /// An operator ended the pause.
        #[event("job.resumed", 1)]
        Resumed {
            /// Name of the job, such as `ttl-sweep`.
            job: String,
        },
        /// The job has reached a position, and continues there after a restart.
        #[event("job.moved", 1)]
        Moved {
            /// Name of the job, such as `ttl-sweep`.
            job: String,
            /// The position reached. A number and no name, because this entry stays when what it names is erased.
            position: u64,
        },
        /// A run of the job came to its end.
        #[event("job.finished", 1)]
        Finished {
            /// Name of the job, such as `ttl-sweep`.
            job: String,
            /// Counts of what the run did.
            counts: Counts,
        },
    }
}

impl JobEvent {
    /// The job it is about.
    pub fn job(&self) -> &str {
        match self {
            Self::Paused { job }
            | Self::Resumed { job }
            | Self::Moved { job, .. }
            | Self::Finished { job, .. } => job,
        }
    }
}

/// One job, folded from its events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Whether the job does nothing until it is resumed.
    pub paused: bool,
    /// Where it continues; `None` between two runs.
    pub position: Option<u64>,
    /// When the last run that was journaled ended.
    pub finished_at: Option<Timestamp>,
    /// What that run did.
    pub counts: Counts,
}

/// All jobs that anything ever happened to: as many as the program has names for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jobs {
    /// The version of their stream.
    pub version: u64,
    /// Jobs by their names.
    pub named: BTreeMap<String, Job>,
}

impl Jobs {
    /// One job; as at the beginning when nothing happened to it yet.
    pub fn find(&self, job: &str) -> Job {
        self.named.get(job).cloned().unwrap_or_default()
    }
}

/// Commands to a job. The caller knows that there is such a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobCommand {
    /// Do nothing until it is resumed.
    Pause {
        /// Name of the job, such as `ttl-sweep`.
        job: String,
    },
    /// Resumes a paused job.
    Resume {
        /// Name of the job, such as `ttl-sweep`.
        job: String,
    },
    /// Record how far it is.
    Move {
        /// Name of the job, such as `ttl-sweep`.
        job: String,
        /// Journal position to continue from.
        position: u64,
    },
    /// Remember what a run did.
    Finish {
        /// Name of the job, such as `ttl-sweep`.
        job: String,
        /// Counts of what the run did.
        counts: Counts,
    },
}

/// Rules of the stream of jobs.
pub struct JobDecider;

impl Decider for JobDecider {
    type Command = JobCommand;
    type State = Jobs;
    type Event = JobEvent;

    fn decide(state: &Jobs, command: &JobCommand, _: &Context) -> Result<Vec<JobEvent>, Rejection> {
        let event = match command {
            JobCommand::Pause { job } => {
                (!state.find(job).paused).then(|| JobEvent::Paused { job: job.clone() })
            }
            JobCommand::Resume { job } => state
                .find(job)
                .paused
                .then(|| JobEvent::Resumed { job: job.clone() }),
            JobCommand::Move { job, position } => (state.find(job).position != Some(*position))
                .then(|| JobEvent::Moved {
                    job: job.clone(),
                    position: *position,
                }),
            JobCommand::Finish { job, counts } => Some(JobEvent::Finished {
                job: job.clone(),
                counts: counts.clone(),
            }),
        };
        Ok(Vec::from_iter(event))
    }

    fn evolve(mut state: Jobs, event: &JobEvent, occurrence: EventMeta<'_>) -> Jobs {
        state.version = occurrence.version;
        let job = state.named.entry(event.job().to_owned()).or_default();
        match event {
            JobEvent::Paused { .. } => job.paused = true,
            JobEvent::Resumed { .. } => job.paused = false,
            JobEvent::Moved { position, .. } => job.position = Some(*position),
            JobEvent::Finished { counts, .. } => {
                job.position = None;
                job.finished_at = Some(occurrence.at);
                job.counts = counts.clone();
            }
        }
        state
    }
}

impl Aggregate for JobDecider {
    fn initial(stream: &StreamId) -> Option<Jobs> {
        (stream.as_str() == StreamId::JOBS).then(Jobs::default)
    }

    fn version(state: &Jobs) -> u64 {
        state.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(state: &Jobs, command: &JobCommand) -> Jobs {
        let context = Context {
            now: Timestamp::from_millis(7),
            by: "tester".to_owned(),
        };
        let events = JobDecider::decide(state, command, &context).expect("no rule says no");
        events.iter().fold(state.clone(), |state, event| {
            let occurrence = EventMeta {
                at: context.now,
                by: "tester",
                actor: None,
                position: 0,
                version: state.version + 1,
            };
            JobDecider::evolve(state, event, occurrence)
        })
    }

    #[test]
    fn a_run_is_remembered_from_where_it_stands_to_its_end_and_pausing_changes_nothing_of_that() {
        let job = || "check".to_owned();
        let moved = JobCommand::Move {
            job: job(),
            position: 3,
        };
        let counts = Counts::from([("records".to_owned(), 9)]);
        let finish = JobCommand::Finish {
            job: job(),
            counts: counts.clone(),
        };
        let state = after(&Jobs::default(), &moved);
        let state = after(&state, &JobCommand::Pause { job: job() });
        assert_eq!(
            (state.find("check").paused, state.find("check").position),
            (true, Some(3))
        );
        let state = after(&state, &JobCommand::Resume { job: job() });
        assert_eq!(state.find("check").position, Some(3));
        let ended = after(&state, &finish).find("check");
        assert_eq!((ended.position, ended.counts), (None, counts));
        assert_eq!(ended.finished_at, Some(Timestamp::from_millis(7)));
        assert_eq!(state.find("other"), Job::default());
    }

    #[test]
    fn what_is_so_already_leaves_no_event() {
        let job = || "check".to_owned();
        let fresh = Jobs::default();
        assert_eq!(after(&fresh, &JobCommand::Resume { job: job() }), fresh);
        let paused = after(&fresh, &JobCommand::Pause { job: job() });
        assert_eq!(paused.version, 1);
        assert_eq!(after(&paused, &JobCommand::Pause { job: job() }), paused);
        let moved = JobCommand::Move {
            job: job(),
            position: 3,
        };
        let there = after(&paused, &moved);
        assert_eq!(after(&there, &moved), there);
    }
}
