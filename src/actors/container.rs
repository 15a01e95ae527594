//! One container: orders its commands, keeps those that are being journaled, and answers repeated requests.
//!
//! The mailbox is never blocked while the disk works. A command is decided on the state that its record will have once
//! everything handed to the journal is durable; a refusal or a command without effect waits until that state is durable,
//! because its answer would report something that a crash could still undo.

mod decide;
mod maintain;
mod settle;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message};
use tokio::sync::oneshot;

use self::settle::{Handed, Settled};
use super::deps::{ActorDeps, ClaimedObject};
use super::record;
use super::request::{Answer, RecordRequest, Refused, other_actor};
use crate::clock::Stopwatch;
use crate::domain::record::RecordState;
use crate::domain::{ContainerName, OrgCode, RecordId, Rejection};
use crate::journal::{Append, Outcome, Position, Version};
use crate::projections::usage::reservations::Reservation;
use crate::report::{self, Decided};

pub(super) use maintain::{MaintainContainer, MaintenanceOutcome};

/// How often a command is decided again because a stream had moved, before the caller is asked to retry.
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
    /// Idempotent requests in progress, and the same requests that arrived meanwhile.
    scopes: HashMap<String, Vec<PendingCommand>>,
    /// The version its own stream will have once everything handed over is durable.
    own_version: Option<Version>,
}

/// A record with commands that are being journaled.
struct PendingRecord {
    /// The record as it will be.
    state: RecordState,
    /// Appends handed over and not settled.
    appends: usize,
    /// Position of the inline content that became durable last; 0 when none did.
    inline_at: Position,
    /// An append did not come through: what was decided on top of it must be decided again.
    stale: bool,
    /// Commands to decide when nothing is pending any more, in their order.
    waiting: Vec<PendingCommand>,
}

/// A command with its caller.
struct PendingCommand {
    request: RecordRequest,
    /// Where the answer goes. A caller that has gone away does not need it.
    reply: oneshot::Sender<Answer>,
    attempts: u8,
    /// Its change's place in the journal, once it is durable.
    place: Option<(Position, Version)>,
    /// What it reserves of the org's quotas until it is durable.
    reserved: Option<Reservation>,
    /// The object that it promises, until the promise is durable.
    claimed: Option<ClaimedObject>,
    /// Its record has another id than the one made of its idempotency key.
    fresh: bool,
}

impl PendingCommand {
    fn answer(self, answer: Answer) {
        drop(self.reply.send(answer));
    }
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

    /// Whether a request is one for this container and can be carried out at all.
    fn check(&self, request: &RecordRequest) -> Result<(), Rejection> {
        let (org, container) = &self.container;
        if (&request.key.org, &request.key.container) != (org, container) {
            return Err(other_actor("container", container.as_str()));
        }
        request.check()
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
                job.answer(answer);
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
            Err(failure) => job.answer(Err(failure)),
        }
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
        log_decision(&job, &answer);
        let idempotency = &job.request.idempotency;
        let waiting = idempotency
            .as_ref()
            .and_then(|idempotency| self.scopes.remove(&idempotency.scope));
        job.answer(answer);
        for waiting in waiting.unwrap_or_default() {
            self.take(waiting, context);
        }
    }
}

/// Writes to the log what was decided.
fn log_decision(job: &PendingCommand, answer: &Answer) {
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

/// A request with its caller. Whoever sends it waits for the reply, which is dropped with an actor that dies.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Execute {
    pub(super) request: RecordRequest,
    pub(super) reply: oneshot::Sender<Answer>,
}

impl Handler<Execute> for ContainerActor {
    type Result = ();

    fn handle(&mut self, execute: Execute, context: &mut Self::Context) {
        self.last_used = Stopwatch::start();
        let checked = self.check(&execute.request);
        let job = PendingCommand {
            request: execute.request,
            reply: execute.reply,
            attempts: 0,
            place: None,
            reserved: None,
            claimed: None,
            fresh: false,
        };
        match checked {
            Ok(()) => self.take(job, context),
            Err(rejection) => {
                let answer = Err(Refused::from(rejection));
                log_decision(&job, &answer);
                job.answer(answer);
            }
        }
    }
}

/// Ends the actor; commands in progress are answered as unavailable.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct End;

impl Handler<End> for ContainerActor {
    type Result = ();

    fn handle(&mut self, _: End, context: &mut Self::Context) {
        context.stop();
    }
}
