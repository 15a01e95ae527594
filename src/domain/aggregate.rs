//! Deciders and aggregates: what may happen to a stream, and how its events become its state.

use super::{Context, EventMeta, Rejection, StreamId};

/// One kind of stream: what may happen next, and what its state is after it happened.
pub trait Decider {
    /// What a caller asks for.
    type Command;
    /// Everything a decision depends on.
    type State;
    /// Events of this kind of stream.
    type Event;

    /// The events that execute the command; none when it changes nothing.
    ///
    /// # Errors
    /// The [`Rejection`] of the rule that says no.
    fn decide(
        state: &Self::State,
        command: &Self::Command,
        context: &Context,
    ) -> Result<Vec<Self::Event>, Rejection>;

    /// The state after an event. Total: an event once written is always accepted.
    fn evolve(state: Self::State, event: &Self::Event, meta: EventMeta<'_>) -> Self::State;
}

/// A decider whose state is that of one stream.
pub trait Aggregate: Decider {
    /// The state of a stream before its first event; `None` when the name is not one of this kind of stream.
    fn initial(stream: &StreamId) -> Option<Self::State>;

    /// The version of the stream that a state shows, 0 before the first event.
    fn version(state: &Self::State) -> u64;
}
