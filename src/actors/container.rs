//! One container: orders its commands, keeps what is on its way to the journal, and answers repeated requests.
//!
//! The mailbox is never held while the disk works. A command is decided on the state that its record will have once
//! everything handed over is durable; a refusal or a command without effect waits until that state is durable, because
//! it would tell of something a crash could still take back.

mod maintain;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::dev::{MessageResponse, OneshotSender};
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message};
use parking_lot::Mutex;

use super::deps::ActorDeps;
use super::record::{self, Decision};
use super::request::{Answer, RecordOutcome, RecordRequest, Refused, Requested};
use crate::clock::Stopwatch;
use crate::domain::container::{ContainerCommand, decide};
use crate::domain::record::RecordState;
use crate::domain::{ContainerName, OrgCode, RecordId, Rejection, StreamId};
use crate::journal::{Append, Outcome, Position, Version};
use crate::projections::usage::reservations::Reservation;
use crate::report::{self, Decided};

pub(super) use maintain::{MaintainContainer, MaintenanceOutcome};

/// How often a command is decided again because a stream had moved, before the caller is told to come back.
const ATTEMPTS_MAX: u8 = 8;
/// Commands the mailbox holds; admission by permits keeps it from ever being full.
const MAILBOX_MAX: usize = 65_536;

/// The name of a container among all.
pub(super) type ContainerKey = (OrgCode, ContainerName);
/// Asks the registry to forget an actor that has no work; false when a caller holds one of its permits.
pub(super) type Retire = Box<dyn Fn(&ContainerKey) -> bool + Send>;

/// The actor of one container.
pub struct ContainerActor {
    container: ContainerKey,
    deps: Arc<ActorDeps>,
    retire: Retire,
    idle_ms: u64,
    last_used: Stopwatch,
    pending: HashMap<RecordId, PendingRecord>,
    /// Idempotent requests on their way, and the same requests that came meanwhile.
    scopes: HashMap<String, Vec<PendingCommand>>,
    /// The version its own stream will have once everything handed over is durable.
    own_version: Option<Version>,
}

/// A record with commands on their way to the journal.
struct PendingRecord {
    /// The record as it will be.
    state: RecordState,
    /// Appends handed over and not settled.
    appends: usize,
    /// An append did not come through: what was decided on top of it must be decided again.
    stale: bool,
    /// Commands to decide when nothing is pending any more, in their order.
    waiting: Vec<PendingCommand>,
}

/// A command with its caller.
struct PendingCommand {
    request: RecordRequest,
    reply: PendingAnswer,
    attempts: u8,
    /// Its change's place in the journal, once it is durable.
    place: Option<(Position, Version)>,
    /// What it takes of the org's quotas while it is on its way.
    reserved: Option<Reservation>,
    /// Its record has another id than the one made of its idempotency key.
    fresh: bool,
}

impl ContainerActor {
    pub(super) fn new(
        container: ContainerKey,
        deps: Arc<ActorDeps>,
        retire: Retire,
        idle_ms: u64,
    ) -> Self {
        Self {
            container,
            deps,
            retire,
            idle_ms,
            last_used: Stopwatch::start(),
            pending: HashMap::new(),
            scopes: HashMap::new(),
            own_version: None,
        }
    }

    /// Answers a repeated request from its first answer, before any rule is asked; otherwise runs it.
    fn take(&mut self, mut job: PendingCommand, context: &mut Context<Self>) {
        let Some(idempotency) = &job.request.idempotency else {
            return self.run(job, context);
        };
        if let Some(waiting) = self.scopes.get_mut(&idempotency.scope) {
            waiting.push(job);
            return;
        }
        match record::first_answer(&self.deps, &job.request.key, idempotency) {
            Ok(Some(answer)) => {
                report::decided(&job.request.request_id, Decided::Repeated);
                job.reply.give(answer);
            }
            Ok(None) => {
                self.scopes.insert(idempotency.scope.clone(), Vec::new());
                let asked = job.request.key.record_id.clone();
                match record::give_fresh_id(&self.deps, &mut job.request) {
                    Ok(()) => {
                        job.fresh = job.request.key.record_id != asked;
                        self.run(job, context);
                    }
                    Err(failure) => self.finish(job, Err(failure), context),
                }
            }
            Err(failure) => job.reply.give(Err(failure)),
        }
    }

    fn run(&mut self, mut job: PendingCommand, context: &mut Context<Self>) {
        let record_id = &job.request.key.record_id;
        if let Some(pending) = self.pending.get_mut(record_id)
            && (pending.stale || !pending.waiting.is_empty())
        {
            pending.waiting.push(job);
            return;
        }
        let command = match &job.request.command {
            Requested::Command(command) => command,
            Requested::AlreadyRefused(rejection) => {
                let refusal = Refusal::of_itself(rejection.clone());
                return self.refuse(job, refusal, context);
            }
        };
        let now = self.deps.clock.now();
        let pending = self.pending.get_mut(record_id);
        let state = match &pending {
            Some(pending) => Ok(pending.state.clone()),
            None => record::load(&self.deps, &job.request.key),
        };
        let looked = state.and_then(|mut state| {
            let guards = record::look_at_holds(&self.deps, &mut state, command, now)?;
            Ok((state, guards))
        });
        let version = looked.as_ref().map_or(0, |(state, _)| state.version());
        let decision = match looked {
            Ok(looked) => record::decide(looked, command, &job.request, now),
            Err(failure) => return self.finish(job, Err(failure), context),
        };
        match (decision, pending) {
            (
                Decision::Append {
                    append,
                    state,
                    wanted,
                },
                pending,
            ) => {
                match self.deps.reserve(&self.container.0, &append, &wanted) {
                    Ok(reserved) => job.reserved = reserved,
                    // Of the moment, and never remembered: it waits for nothing.
                    Err(refused) => return self.finish(job, Err(refused), context),
                }
                match pending {
                    Some(pending) => {
                        pending.state = state.clone();
                        pending.appends += 1;
                    }
                    None => {
                        let pending = PendingRecord {
                            state: state.clone(),
                            appends: 1,
                            stale: false,
                            waiting: Vec::new(),
                        };
                        self.pending.insert(record_id.clone(), pending);
                    }
                }
                self.hand_over(job, append, Handed::Change(state), context);
            }
            (Decision::Nothing(_) | Decision::Rejected(_), Some(pending)) => {
                pending.waiting.push(job)
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

    /// Refuses; with an idempotency key only once the refusal is durable, so that it can be given again. The same request
    /// may have had its first answer meanwhile by another way than this actor: that one counts.
    fn refuse(&mut self, job: PendingCommand, refusal: Refusal, context: &mut Context<Self>) {
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

    /// Hands an append to the journal and comes back with its outcome, without holding the mailbox.
    fn hand_over(
        &mut self,
        job: PendingCommand,
        append: Append,
        handed: Handed,
        context: &mut Context<Self>,
    ) {
        let pending = self.deps.journal.append(append);
        let address = context.address();
        actix::spawn(async move {
            let outcome = pending.await.unwrap_or(Outcome::Unavailable);
            address.do_send(Settled {
                job,
                handed,
                outcome,
            });
        });
    }

    fn finish(&mut self, job: PendingCommand, answer: Answer, context: &mut Context<Self>) {
        tell(&job, &answer);
        job.reply.give(answer);
        let scope = job.request.idempotency.map(|idempotency| idempotency.scope);
        for waiting in scope
            .and_then(|scope| self.scopes.remove(&scope))
            .unwrap_or_default()
        {
            self.take(waiting, context);
        }
    }

    fn settle_change(
        &mut self,
        mut job: PendingCommand,
        state: RecordState,
        outcome: Outcome,
        context: &mut Context<Self>,
    ) {
        let record_id = job.request.key.record_id.clone();
        let Some(pending) = self.pending.get_mut(&record_id) else {
            return self.finish(job, Err(Refused::Unavailable), context);
        };
        pending.appends -= 1;
        job.reserved = None;
        let answer = match outcome {
            Outcome::Appended { position, version } => {
                job.place = Some((position, version));
                let record = state.record.as_ref();
                let now = self.deps.clock.now();
                if record.is_some_and(|record| record.is_due(now)) {
                    self.deps.tell_due_again();
                } else if record.is_some_and(|record| record.doom_at.is_some()) {
                    self.deps.due_set.notify_one();
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
            Outcome::Moved { .. } | Outcome::Busy => {
                pending.stale = true;
                Err(Refused::Busy)
            }
            Outcome::Unavailable | Outcome::Unknown => {
                pending.stale = true;
                Err(Refused::Unavailable)
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
            Outcome::Moved { .. } | Outcome::Busy => {
                self.own_version = None;
                Err(Refused::Busy)
            }
            Outcome::Unavailable | Outcome::Unknown => {
                self.own_version = None;
                Err(Refused::Unavailable)
            }
        };
        self.finish(job, answer, context);
    }
}

/// Tells the log what was decided.
fn tell(job: &PendingCommand, answer: &Answer) {
    let decided = match (answer, job.place) {
        (Ok(_), Some((position, version))) => Decided::Accepted(position, version),
        (Ok(_), None) => Decided::Nothing,
        (Err(refused), _) => refused.decided(),
    };
    report::decided(&job.request.request_id, decided);
}

impl Actor for ContainerActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_MAX);
        context.run_interval(
            Duration::from_millis(self.idle_ms.max(1)),
            |actor, context| {
                let idle = actor.pending.is_empty() && actor.last_used.millis() >= actor.idle_ms;
                if idle && (actor.retire)(&actor.container) {
                    context.stop();
                }
            },
        );
    }
}

impl Handler<RecordRequest> for ContainerActor {
    type Result = PendingAnswer;

    fn handle(&mut self, execute: RecordRequest, context: &mut Self::Context) -> PendingAnswer {
        self.last_used = Stopwatch::start();
        let reply = PendingAnswer::default();
        let job = PendingCommand {
            request: execute,
            reply: reply.clone(),
            attempts: 0,
            place: None,
            reserved: None,
            fresh: false,
        };
        self.take(job, context);
        reply
    }
}

/// What was handed to the journal.
#[expect(clippy::large_enum_variant, reason = "nearly all are changes")]
enum Handed {
    /// A change that leads to this state.
    Change(RecordState),
    /// A refusal to remember.
    Refusal(Refusal),
}

/// A refusal, and what it was decided on.
#[derive(Clone)]
struct Refusal {
    rejection: Rejection,
    /// The record's stream, with the version seen; `None` for what no record was looked at for.
    seen: Option<(StreamId, Version)>,
}

impl Refusal {
    /// Of what is wrong whatever there is.
    fn of_itself(rejection: Rejection) -> Self {
        Self {
            rejection,
            seen: None,
        }
    }
}

/// The journal has answered.
#[derive(Message)]
#[rtype(result = "()")]
struct Settled {
    job: PendingCommand,
    handed: Handed,
    outcome: Outcome,
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

/// A caller's answer, given now or later, from anywhere in the actor.
#[derive(Clone, Default)]
pub struct PendingAnswer(Arc<Mutex<AnswerState>>);

#[derive(Default)]
#[expect(
    clippy::large_enum_variant,
    reason = "lives for one command, and most end with an answer"
)]
enum AnswerState {
    /// Neither the answer nor the caller is there yet.
    #[default]
    Open,
    /// The answer is there before the caller.
    Answered(Answer),
    /// The caller waits.
    Awaited(OneshotSender<Answer>),
    /// Both have met.
    Done,
}

impl PendingAnswer {
    fn give(&self, answer: Answer) {
        let mut state = self.0.lock();
        match std::mem::replace(&mut *state, AnswerState::Done) {
            AnswerState::Open => *state = AnswerState::Answered(answer),
            // A caller that has gone away does not need its answer.
            AnswerState::Awaited(caller) => drop(caller.send(answer)),
            AnswerState::Answered(_) | AnswerState::Done => {}
        }
    }
}

impl MessageResponse<ContainerActor, RecordRequest> for PendingAnswer {
    fn handle(self, _: &mut Context<ContainerActor>, caller: Option<OneshotSender<Answer>>) {
        let Some(caller) = caller else { return };
        let mut state = self.0.lock();
        match std::mem::replace(&mut *state, AnswerState::Done) {
            AnswerState::Answered(answer) => drop(caller.send(answer)),
            AnswerState::Open | AnswerState::Awaited(_) | AnswerState::Done => {
                *state = AnswerState::Awaited(caller)
            }
        }
    }
}
