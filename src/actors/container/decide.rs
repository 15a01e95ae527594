//! Deciding a command on the state that its record will have, and remembering a refusal.

use actix::Context;

use super::settle::{Handed, Refusal};
use super::{ContainerActor, PendingCommand, PendingRecord};
use crate::actors::record::{self, Decision};
use crate::actors::request::{RecordOutcome, Refused, Requested};
use crate::domain::StreamId;
use crate::domain::container::{ContainerCommand, decide};
use crate::domain::record::RecordState;
use crate::journal::{Append, Version};
use crate::projections::usage::reservations::Wanted;

/// A change that was decided, on its way to the journal.
struct Change {
    append: Append,
    /// The state with it.
    state: RecordState,
    /// What it adds to what its org has.
    wanted: Wanted,
}

impl ContainerActor {
    /// Decides a command, unless others of its record have to be settled first.
    pub(super) fn run(&mut self, mut job: PendingCommand, context: &mut Context<Self>) {
        let pending = self.pending.get_mut(&job.request.key.record_id);
        if let Some(pending) = pending
            && (pending.stale || !pending.waiting.is_empty())
        {
            pending.waiting.push(job);
            return;
        }
        if let Requested::AlreadyRefused(rejection) = &job.request.command {
            let refusal = Refusal::of_itself(rejection.clone());
            return self.refuse(job, refusal, context);
        }
        let (decision, version) = match self.decide(&mut job) {
            Ok(decided) => decided,
            Err(failure) => return self.finish(job, Err(failure), context),
        };
        let pending = self.pending.get_mut(&job.request.key.record_id);
        match (decision, pending) {
            (
                Decision::Append {
                    append,
                    state,
                    wanted,
                },
                _,
            ) => {
                let change = Change {
                    append,
                    state,
                    wanted,
                };
                self.change(job, change, context);
            }
            (Decision::Nothing(_) | Decision::Rejected(_), Some(pending)) => {
                pending.waiting.push(job);
            }
            (Decision::Nothing(record), None) => {
                let executed = RecordOutcome {
                    record,
                    record_id: None,
                    replayed: false,
                };
                self.finish(job, Ok(executed), context);
            }
            (Decision::Rejected(rejection), None) => {
                let seen = (StreamId::record(&job.request.key), version);
                let refusal = Refusal {
                    rejection,
                    seen: Some(seen),
                };
                self.refuse(job, refusal, context);
            }
        }
    }

    /// What a command leads to, and the version of the record that this was decided on.
    fn decide(&self, job: &mut PendingCommand) -> Result<(Decision, Version), Refused> {
        let Requested::Command(command) = &mut job.request.command else {
            return Err(Refused::failed("a refusal has nothing to decide"));
        };
        let now = self.deps.clock.now();
        let mut state = match self.pending.get(&job.request.key.record_id) {
            Some(pending) => pending.state.clone(),
            None => record::load(&self.deps, &job.request.key)?,
        };
        let guards = record::look(&self.deps, &mut state, command, now)?;
        let version = state.version();
        let decision = record::decide((state, guards), &job.request, now);
        Ok((decision, version))
    }

    /// Takes what a change adds to the org's quotas, keeps its state as pending, and hands it over.
    fn change(&mut self, mut job: PendingCommand, change: Change, context: &mut Context<Self>) {
        let Change {
            append,
            state,
            wanted,
        } = change;
        match self.deps.claim_object(&self.container.0, &append.events) {
            Ok(claimed) => job.claimed = claimed,
            Err(Refused::Rejected { rejection, .. }) => {
                let refusal = Refusal {
                    rejection,
                    seen: None,
                };
                return self.refuse(job, refusal, context);
            }
            Err(refused) => return self.finish(job, Err(refused), context),
        }
        match self.deps.reserve(&self.container.0, &append, &wanted) {
            Ok(reserved) => job.reserved = reserved,
            // Of the moment, and never remembered: it waits for nothing.
            Err(refused) => return self.finish(job, Err(refused), context),
        }
        let record_id = &job.request.key.record_id;
        match self.pending.get_mut(record_id) {
            Some(pending) => {
                pending.state = state.clone();
                pending.appends += 1;
            }
            None => {
                let pending = PendingRecord {
                    state: state.clone(),
                    appends: 1,
                    inline_at: 0,
                    stale: false,
                    waiting: Vec::new(),
                };
                self.pending.insert(record_id.clone(), pending);
            }
        }
        self.hand_over(job, append, Handed::Change(state), context);
    }

    /// Refuses; with an idempotency key only once the refusal is durable, so that it can be given again. The same request
    /// may have had its first answer meanwhile by another way than this actor: that one counts.
    pub(super) fn refuse(
        &mut self,
        job: PendingCommand,
        refusal: Refusal,
        context: &mut Context<Self>,
    ) {
        let Refusal { rejection, seen } = refusal.clone();
        let Some(idempotency) = &job.request.idempotency else {
            return self.finish(job, Err(rejection.into()), context);
        };
        match record::first_answer(&self.deps, &job.request.key, idempotency) {
            Ok(None) => {}
            Ok(Some(answer)) => return self.finish(job, answer, context),
            Err(failure) => return self.finish(job, Err(failure), context),
        }
        let now = self.deps.clock.now();
        let remember = ContainerCommand::RememberRefusal {
            rejection: rejection.clone(),
        };
        let Some(event) = decide(&remember, now) else {
            return self.finish(job, Err(rejection.into()), context);
        };
        let (org, container) = &self.container;
        let stream = StreamId::container(org, container);
        let expected = match self.own_version {
            Some(version) => version,
            None => match self.deps.journal.version(&stream) {
                Ok(version) => version,
                Err(error) => {
                    return self.finish(job, Err(Refused::failed(error)), context);
                }
            },
        };
        self.own_version = Some(expected + 1);
        let append = Append {
            stream,
            expected,
            guards: Vec::from_iter(seen),
            events: vec![event.into()],
            payload: None,
            idempotency: job.request.idempotency.clone(),
            origin: record::origin(&job.request, now),
        };
        self.hand_over(job, append, Handed::Refusal(refusal), context);
    }
}
