//! What follows the journal's answer: the callers' answers, and what has waited.

use actix::{Context, Handler, Message};

use super::{ATTEMPTS_MAX, ContainerActor, PendingCommand};
use crate::actors::request::{RecordOutcome, Refused, not_appended};
use crate::domain::record::RecordState;
use crate::domain::{RecordId, Rejection, StreamId};
use crate::journal::{Outcome, Version};

/// What was handed to the journal.
#[expect(clippy::large_enum_variant, reason = "nearly all are changes")]
pub(super) enum Handed {
    /// A change that leads to this state.
    Change(RecordState),
    /// A refusal to remember.
    Refusal(Refusal),
}

/// A refusal, and what it was decided on.
#[derive(Clone)]
pub(super) struct Refusal {
    pub(super) rejection: Rejection,
    /// The record's stream, with the version seen; `None` for what no record was looked at for.
    pub(super) seen: Option<(StreamId, Version)>,
}

impl Refusal {
    /// Of what is wrong whatever there is.
    pub(super) fn of_itself(rejection: Rejection) -> Self {
        Self {
            rejection,
            seen: None,
        }
    }
}

/// The journal has answered.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Settled {
    pub(super) job: PendingCommand,
    pub(super) handed: Handed,
    pub(super) outcome: Outcome,
}

impl Handler<Settled> for ContainerActor {
    type Result = ();

    fn handle(&mut self, settled: Settled, context: &mut Self::Context) {
        let Settled {
            job,
            handed,
            outcome,
        } = settled;
        match handed {
            Handed::Change(state) => self.settle_change(job, state, outcome, context),
            Handed::Refusal(refusal) => self.settle_refusal(job, refusal, outcome, context),
        }
    }
}

impl ContainerActor {
    fn settle_change(
        &mut self,
        mut job: PendingCommand,
        mut state: RecordState,
        outcome: Outcome,
        context: &mut Context<Self>,
    ) {
        let record_id = job.request.key.record_id.clone();
        let Some(pending) = self.pending.get_mut(&record_id) else {
            return self.finish(job, Err(Refused::Unavailable), context);
        };
        pending.appends -= 1;
        (job.reserved, job.claimed) = (None, None);
        let answer = match outcome {
            Outcome::Appended { position, version } => {
                job.place = Some((position, version));
                if job.request.payload.is_some() {
                    pending.inline_at = position;
                }
                state.set_inline_position(pending.inline_at);
                let record = state.record.as_ref();
                let now = self.deps.clock.now();
                if record.is_some_and(|record| record.is_due(now)) {
                    self.deps.reset_due();
                } else if record.is_some_and(|record| record.doom_at.is_some()) {
                    self.deps.due_changed.notify_one();
                }
                let fresh = job.fresh.then_some(record_id.clone());
                state
                    .record
                    .map(|record| RecordOutcome {
                        record,
                        record_id: fresh,
                        replayed: false,
                    })
                    .ok_or_else(|| Refused::failed("a change left no record"))
            }
            Outcome::Moved { .. } if job.attempts < ATTEMPTS_MAX => {
                job.attempts += 1;
                pending.stale = true;
                // Settled in the order they were handed over, so ahead of everything that came later.
                let place = pending
                    .waiting
                    .iter()
                    .take_while(|job| job.attempts > 0)
                    .count();
                pending.waiting.insert(place, job);
                return self.decide_waiting(&record_id, context);
            }
            refused => {
                pending.stale = true;
                Err(not_appended(refused))
            }
        };
        self.finish(job, answer, context);
        self.decide_waiting(&record_id, context);
    }

    /// Once nothing of a record is pending, decides what has waited for that.
    fn decide_waiting(&mut self, record_id: &RecordId, context: &mut Context<Self>) {
        if self
            .pending
            .get(record_id)
            .is_some_and(|pending| pending.appends == 0)
            && let Some(pending) = self.pending.remove(record_id)
        {
            for job in pending.waiting {
                self.run(job, context);
            }
        }
    }

    fn settle_refusal(
        &mut self,
        mut job: PendingCommand,
        refusal: Refusal,
        outcome: Outcome,
        context: &mut Context<Self>,
    ) {
        let answer = match outcome {
            Outcome::Appended { .. } => Err(refusal.rejection.into()),
            Outcome::Moved { stream, .. } if job.attempts < ATTEMPTS_MAX => {
                job.attempts += 1;
                self.own_version = None;
                // The record that it was refused because of is another now, and so may be the decision.
                return match refusal.seen {
                    Some((seen, _)) if seen == stream => self.run(job, context),
                    Some(_) | None => self.refuse(job, refusal, context),
                };
            }
            refused => {
                self.own_version = None;
                Err(not_appended(refused))
            }
        };
        self.finish(job, answer, context);
    }
}
