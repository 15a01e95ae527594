//! One container's own stream: refusals that must be given again to a repeated request, and its upkeep.

use serde::{Deserialize, Serialize};

use super::repair::Repair;
use super::{Context, Decider, Occurrence, Rejection, Timestamp};

/// What can happen to a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum ContainerEvent {
    /// A request with an idempotency key was refused; repeating it gives the same refusal for 24 hours.
    #[serde(rename = "container.refusal_remembered")]
    RefusalRemembered {
        /// The first answer.
        rejection: Rejection,
    },
    /// What did not fit together was mended.
    #[serde(rename = "container.repaired")]
    Repaired {
        /// Each of it.
        repairs: Vec<Repair>,
    },
}

/// What names a request that may come twice. Written beside the events it caused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Idempotency {
    /// SHA-256 in hex over org, container, and record id or key: where the key counts.
    pub scope: String,
    /// SHA-256 in hex over the request's canonical JSON: whether it is the same request.
    pub fingerprint: String,
}

/// What may be asked of a container itself.
#[derive(Clone, Debug, PartialEq)]
pub enum ContainerCommand {
    /// Remember a refusal, so that it can be given again.
    RememberRefusal {
        /// The first answer.
        rejection: Rejection,
    },
    /// Mend what does not fit together.
    Repair {
        /// Each of it.
        repairs: Vec<Repair>,
    },
}

/// What a container's own stream has told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Refusals remembered, however old.
    pub refusals: u64,
    /// Things mended.
    pub repairs: u64,
    /// When the last event was.
    pub last_at: Option<Timestamp>,
}

/// Decides for containers.
pub struct ContainerDecider;

impl Decider for ContainerDecider {
    type Command = ContainerCommand;
    type State = Container;
    type Event = ContainerEvent;

    /// A refusal is remembered only when it is one that a repeated request must get again: 429 and 5xx are not.
    fn decide(
        _: &Container,
        command: &ContainerCommand,
        _: &Context,
    ) -> Result<Vec<ContainerEvent>, Rejection> {
        Ok(match command {
            ContainerCommand::RememberRefusal { rejection } if is_remembered(rejection) => {
                vec![ContainerEvent::RefusalRemembered {
                    rejection: rejection.clone(),
                }]
            }
            ContainerCommand::Repair { repairs } if !repairs.is_empty() => {
                vec![ContainerEvent::Repaired {
                    repairs: repairs.clone(),
                }]
            }
            ContainerCommand::RememberRefusal { .. } | ContainerCommand::Repair { .. } => {
                Vec::new()
            }
        })
    }

    fn evolve(
        mut state: Container,
        event: &ContainerEvent,
        occurrence: Occurrence<'_>,
    ) -> Container {
        match event {
            ContainerEvent::RefusalRemembered { .. } => state.refusals += 1,
            ContainerEvent::Repaired { repairs } => state.repairs += repairs.len() as u64,
        }
        state.last_at = Some(occurrence.at);
        state
    }
}

/// Whether a repeated request gets this refusal again.
fn is_remembered(rejection: &Rejection) -> bool {
    (400..500).contains(&rejection.status()) && rejection.status() != 429
}

/// How long a first answer is given again (MRS overview: "Window 24h").
pub const IDEMPOTENCY_WINDOW_MS: i64 = 24 * 60 * 60 * 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ErrorTag;

    #[test]
    fn refusals_of_rules_are_remembered_and_refusals_of_the_moment_are_not() {
        let context = Context {
            now: Timestamp::from_millis(5),
            by: "tester".to_owned(),
        };
        for (tag, remembered) in [
            (ErrorTag::InvalidTag, true),
            (ErrorTag::Conflict, true),
            (ErrorTag::ExpectedRevisionRequired, true),
            (ErrorTag::Throttled, false),
            (ErrorTag::InternalError, false),
            (ErrorTag::Unavailable, false),
        ] {
            let rejection = Rejection::new(tag, "no");
            let command = ContainerCommand::RememberRefusal {
                rejection: rejection.clone(),
            };
            let events = ContainerDecider::decide(&Container::default(), &command, &context);
            let wanted = remembered.then_some(ContainerEvent::RefusalRemembered { rejection });
            assert_eq!(events, Ok(Vec::from_iter(wanted)), "{tag:?}");
        }
    }

    #[test]
    fn a_container_counts_what_it_remembers() {
        let event = ContainerEvent::RefusalRemembered {
            rejection: Rejection::not_found(),
        };
        let occurrence = Occurrence {
            at: Timestamp::from_millis(7),
            by: "tester",
            position: 1,
            version: 1,
        };
        let once = ContainerDecider::evolve(Container::default(), &event, occurrence);
        assert_eq!(
            once,
            Container {
                refusals: 1,
                repairs: 0,
                last_at: Some(Timestamp::from_millis(7))
            }
        );
        assert_eq!(
            ContainerDecider::evolve(once, &event, occurrence).refusals,
            2
        );
    }
}
