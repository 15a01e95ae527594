//! The registry of actors with a lifecycle, such as windows and vacuums: finds or starts the one of a name.

use std::collections::HashMap;

use actix::dev::{MessageResponse, ToEnvelope};
use actix::{Actor, Addr, ArbiterHandle, Context, Handler, Message};
use parking_lot::Mutex;

use super::request::Refused;

/// How often a request is sent again to a new actor because the old one had just ended its lifecycle.
const ATTEMPTS_MAX: u8 = 8;

/// The actors of one kind by name, on one thread. An actor that stopped is forgotten.
pub(super) struct Lifecycles<A: Actor> {
    thread: ArbiterHandle,
    actors: Mutex<HashMap<String, Addr<A>>>,
}

impl<A: Actor<Context = Context<A>> + Send> Lifecycles<A> {
    /// An empty registry whose actors run on a thread.
    pub(super) fn new(thread: ArbiterHandle) -> Self {
        Self {
            thread,
            actors: Mutex::default(),
        }
    }

    /// The number of actors that run.
    pub(super) fn awake(&self) -> usize {
        let actors = self.actors.lock();
        actors.values().filter(|actor| actor.connected()).count()
    }

    /// The running actor of a name, or a new one.
    pub(super) fn find_or_start(&self, name: &str, new: impl FnOnce() -> A) -> Addr<A> {
        let mut actors = self.actors.lock();
        actors.retain(|_, actor| actor.connected());
        if let Some(actor) = actors.get(name) {
            return actor.clone();
        }
        let actor = new();
        let address = A::start_in_arbiter(&self.thread, move |_| actor);
        actors.insert(name.to_owned(), address.clone());
        address
    }

    /// Sends a request to the actor of a name. One that ended before it took the request is replaced.
    ///
    /// # Errors
    /// The refusal of the actor; [`Refused::Unavailable`] while the process ends.
    pub(super) async fn send<M, T>(
        &self,
        name: &str,
        request: &M,
        new: impl Fn() -> A,
    ) -> Result<T, Refused>
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        A::Result: MessageResponse<A, M>,
        M: Message<Result = Result<T, Refused>> + Clone + Send + 'static,
        T: Send + 'static,
    {
        for _ in 0..ATTEMPTS_MAX {
            let actor = self.find_or_start(name, &new);
            if let Ok(answer) = actor.send(request.clone()).await {
                return answer;
            }
        }
        Err(Refused::Unavailable)
    }
}
