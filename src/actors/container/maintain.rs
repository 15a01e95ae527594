//! Upkeep of a container, through its actor, so that the container's own stream has one writer.

use actix::fut::{ActorFutureExt, ready};
use actix::{Context, Handler, Message, ResponseActFuture, WrapFuture};

use super::{ATTEMPTS_MAX, ContainerActor};
use crate::actors::Caller;
use crate::actors::Refused;
use crate::actors::request::not_appended;
use crate::clock::Stopwatch;
use crate::domain::container::{ContainerCommand, ContainerEvent, OldAnswer, decide};
use crate::domain::{Event, StreamId};
use crate::journal::{Append, Origin, Outcome, Version};
use crate::projections::idempotency;

/// An order of upkeep.
#[derive(Clone, Message)]
#[rtype(result = "Result<MaintenanceOutcome, Refused>")]
pub struct MaintainContainer {
    /// Command to decide for the container.
    pub command: ContainerCommand,
    /// The other streams that were read, with their versions.
    pub guards: Vec<(StreamId, Version)>,
    /// The caller, and the request.
    pub caller: Caller,
}

/// The outcome of an order of upkeep.
#[derive(Debug)]
pub enum MaintenanceOutcome {
    /// This happened, which may be nothing.
    Done(Vec<ContainerEvent>),
    /// A stream that was read has changed meanwhile; nothing was done.
    Moved,
}

type MaintenanceFuture = ResponseActFuture<ContainerActor, Result<MaintenanceOutcome, Refused>>;

impl Handler<MaintainContainer> for ContainerActor {
    type Result = MaintenanceFuture;

    fn handle(&mut self, order: MaintainContainer, _: &mut Context<Self>) -> Self::Result {
        self.last_used = Stopwatch::start();
        self.maintain(order, 0)
    }
}

impl ContainerActor {
    /// Decides and hands to the journal in one step: commands that arrive later are decided, and written, after it.
    fn maintain(&mut self, order: MaintainContainer, attempts: u8) -> MaintenanceFuture {
        let (append, events) = match self.decide_on(&order) {
            Ok((append, events)) if !events.is_empty() => (append, events),
            Ok((_, events)) => return Box::pin(ready(Ok(MaintenanceOutcome::Done(events)))),
            Err(refused) => return Box::pin(ready(Err(refused))),
        };
        let own = append.stream.clone();
        self.own_version = Some(append.expected + 1);
        let pending = self.deps.journal.append(append).into_actor(self);
        Box::pin(pending.then(move |outcome, actor, _| {
            let outcome = outcome.unwrap_or(Outcome::Unavailable);
            if !matches!(outcome, Outcome::Appended { .. }) {
                actor.own_version = None;
            }
            match outcome {
                Outcome::Appended { .. } => {
                    Box::pin(ready(Ok(MaintenanceOutcome::Done(events)))) as MaintenanceFuture
                }
                Outcome::Moved { stream, .. } if stream != own => {
                    Box::pin(ready(Ok(MaintenanceOutcome::Moved)))
                }
                Outcome::Moved { .. } if attempts < ATTEMPTS_MAX => {
                    actor.maintain(order, attempts + 1)
                }
                refused => Box::pin(ready(Err(not_appended(refused)))),
            }
        }))
    }

    fn decide_on(
        &self,
        order: &MaintainContainer,
    ) -> Result<(Append, Vec<ContainerEvent>), Refused> {
        let now = self.deps.clock.now();
        let command = self.as_it_stands(&order.command)?;
        let events = Vec::from_iter(decide(&command, now));
        let (org, container) = &self.container;
        let stream = StreamId::container(org, container);
        let expected = match self.own_version {
            Some(version) => version,
            None => self
                .deps
                .journal
                .version(&stream)
                .map_err(Refused::failed)?,
        };
        let append = Append {
            stream,
            expected,
            guards: order.guards.clone(),
            events: events.iter().cloned().map(Event::Container).collect(),
            payload: None,
            idempotency: None,
            origin: Origin {
                at: now,
                by: order.caller.by.clone(),
                request_id: order.caller.request_id.clone(),
                source: order.caller.source,
                remarks: order.caller.remarks.clone(),
            },
        };
        Ok((append, events))
    }

    /// The order without answers that have a successor by now or are about to get one: their scope would be forgotten
    /// with the new answer in it.
    fn as_it_stands(&self, command: &ContainerCommand) -> Result<ContainerCommand, Refused> {
        let ContainerCommand::ForgetAnswers { answers } = command else {
            return Ok(command.clone());
        };
        let place = (self.container.0.as_str(), self.container.1.as_str());
        let mut old = Vec::new();
        for OldAnswer { scope, .. } in answers {
            let found = idempotency::find(&self.deps.store, place, scope);
            let found = found.map_err(Refused::failed)?;
            if let Some(answer) = found.filter(|_| !self.scopes.contains_key(scope)) {
                old.push(OldAnswer {
                    scope: scope.clone(),
                    at: answer.at,
                });
            }
        }
        Ok(ContainerCommand::ForgetAnswers { answers: old })
    }
}
