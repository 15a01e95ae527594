//! Jumps of the machine's clock: that one was seen, and that an operator has said that the time is right.

use serde::{Deserialize, Serialize};

use super::declare::events;
use super::{Aggregate, Context, Decider, EventMeta, Rejection, StreamId, Timestamp};

/// The last unconfirmed jump, folded from the events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockJumps {
    /// The version of their stream.
    pub version: u64,
    /// The unconfirmed jump: nothing destructive continues while there is one.
    pub open: Option<ClockJump>,
}

/// A jump of the clock that no operator has confirmed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockJump {
    /// The size of the jump in milliseconds; negative for one backwards.
    pub by_ms: i64,
    /// When it was seen, by the clock that had jumped.
    pub seen_at: Timestamp,
}

events! {
    /// The events of the machine's clock.
    pub enum ClockEvent {
        /// The machine's clock jumped by more than `ops.clock_jump_seconds_max`; what removes waits until it is confirmed.
        #[event("clock.jumped", 1)]
        Jumped {
            /// The size of the jump in milliseconds; negative for one backwards.
            by_ms: i64,
        },
        /// An operator said that the time is right.
        #[event("clock.confirmed", 1)]
        Confirmed {
            /// Of the jump that was confirmed; 0 when there was none.
            by_ms: i64,
        },
    }
}

/// The commands about the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockCommand {
    /// Remember that it jumped.
    NoteJump {
        /// The size of the jump in milliseconds.
        by_ms: i64,
    },
    /// The time is right.
    Confirm,
}

/// Decides about the clock.
pub struct ClockDecider;

impl Decider for ClockDecider {
    type Command = ClockCommand;
    type State = ClockJumps;
    type Event = ClockEvent;

    fn decide(
        state: &ClockJumps,
        command: &ClockCommand,
        _: &Context,
    ) -> Result<Vec<ClockEvent>, Rejection> {
        Ok(match (command, &state.open) {
            (ClockCommand::NoteJump { by_ms }, None) => vec![ClockEvent::Jumped { by_ms: *by_ms }],
            // Also when there was none: what an operator says is kept.
            (ClockCommand::Confirm, open) => {
                let by_ms = open.as_ref().map_or(0, |jump| jump.by_ms);
                vec![ClockEvent::Confirmed { by_ms }]
            }
            (ClockCommand::NoteJump { .. }, Some(_)) => Vec::new(),
        })
    }

    fn evolve(mut state: ClockJumps, event: &ClockEvent, occurrence: EventMeta<'_>) -> ClockJumps {
        state.version = occurrence.version;
        state.open = match event {
            ClockEvent::Jumped { by_ms } => Some(ClockJump {
                by_ms: *by_ms,
                seen_at: occurrence.at,
            }),
            ClockEvent::Confirmed { .. } => None,
        };
        state
    }
}

impl Aggregate for ClockDecider {
    fn initial(stream: &StreamId) -> Option<ClockJumps> {
        (stream.as_str() == StreamId::CLOCK).then(ClockJumps::default)
    }

    fn version(state: &ClockJumps) -> u64 {
        state.version
    }
}
