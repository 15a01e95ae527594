//! Keys that sign urls, upload tokens and cursors: which one signs, and until when earlier ones verify. The keys
//! themselves are in files; an event has their ids alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::declare::events;
use super::{Aggregate, Context, Decider, ErrorTag, EventMeta, Rejection, StreamId, Timestamp};

/// Most earlier keys that verify besides the one that signs: rotating once an hour with the default overlap of a day
/// stays below it, and their file stays smaller than a page of the disk.
pub const EARLIER_MAX: usize = 32;

/// The rotations as their events made them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeys {
    /// The version of their stream.
    pub version: u64,
    /// The id of the key that signs; `None` before the first rotation, when the files alone say it.
    pub current: Option<String>,
    /// When the last rotation was.
    pub rotated_at: Option<Timestamp>,
    /// Until when the key before it verifies; `None` when the last rotation ended all earlier keys.
    pub previous_until: Option<Timestamp>,
    /// Until when each earlier key verifies, by id. Those that had ended at the last rotation are not here.
    pub earlier: BTreeMap<String, Timestamp>,
}

events! {
    /// The events of signing keys.
    pub enum SigningKeyEvent {
        /// Another key signs from now on.
        #[event("signing_key.rotated", 1)]
        Rotated {
            /// The id of the new key.
            key_id: String,
            /// The id of the key that signed until now.
            previous_id: String,
            /// Until when that one still verifies; absent when it and all before it ended at once.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            previous_until: Option<Timestamp>,
        },
    }
}

/// A key that is to sign from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotateKey {
    /// The id of the new key.
    pub key_id: String,
    /// The id of the key that signs now.
    pub previous_id: String,
    /// Milliseconds for which the key that signs now still verifies; 0 ends it, and all before it, at once.
    pub overlap_ms: i64,
}

/// Decides for signing keys.
pub struct SigningKeyDecider;

impl Decider for SigningKeyDecider {
    type Command = RotateKey;
    type State = SigningKeys;
    type Event = SigningKeyEvent;

    fn decide(
        state: &SigningKeys,
        command: &RotateKey,
        context: &Context,
    ) -> Result<Vec<SigningKeyEvent>, Rejection> {
        let previous_until =
            (command.overlap_ms > 0).then(|| context.now.plus_millis(command.overlap_ms));
        let verifying = || state.earlier.values().filter(|until| **until > context.now);
        if previous_until.is_some() && verifying().count() >= EARLIER_MAX {
            let first = verifying().min().copied().unwrap_or(context.now);
            let message = format!(
                "{EARLIER_MAX} earlier keys still verify what they signed; rotate again after {first}, or end them all with at_once."
            );
            return Err(Rejection::new(ErrorTag::InvalidState, message).with_minor("earlier-keys"));
        }
        Ok(vec![SigningKeyEvent::Rotated {
            key_id: command.key_id.clone(),
            previous_id: command.previous_id.clone(),
            previous_until,
        }])
    }

    fn evolve(
        mut state: SigningKeys,
        event: &SigningKeyEvent,
        occurrence: EventMeta<'_>,
    ) -> SigningKeys {
        let SigningKeyEvent::Rotated {
            key_id,
            previous_id,
            previous_until,
        } = event;
        state.version = occurrence.version;
        state.current = Some(key_id.clone());
        state.rotated_at = Some(occurrence.at);
        state.previous_until = *previous_until;
        match previous_until {
            Some(until) => {
                state.earlier.retain(|_, until| *until > occurrence.at);
                state.earlier.insert(previous_id.clone(), *until);
            }
            None => state.earlier.clear(),
        }
        state
    }
}

impl Aggregate for SigningKeyDecider {
    fn initial(stream: &StreamId) -> Option<SigningKeys> {
        (stream.as_str() == StreamId::SIGNING_KEYS).then(SigningKeys::default)
    }

    fn version(state: &SigningKeys) -> u64 {
        state.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn rotated(
        state: SigningKeys,
        (from, to): (&str, &str),
        overlap_seconds: i64,
        now: i64,
    ) -> Result<SigningKeys, Rejection> {
        let command = RotateKey {
            key_id: to.to_owned(),
            previous_id: from.to_owned(),
            overlap_ms: overlap_seconds * 1_000,
        };
        let context = Context {
            now: at(now),
            by: "operator".to_owned(),
        };
        let events = SigningKeyDecider::decide(&state, &command, &context)?;
        let version = state.version + 1;
        let occurrence = EventMeta {
            at: at(now),
            by: "operator",
            actor: None,
            position: version,
            version,
        };
        Ok(events.iter().fold(state, |state, event| {
            SigningKeyDecider::evolve(state, event, occurrence)
        }))
    }

    #[test]
    fn a_rotation_keeps_the_earlier_keys_for_their_overlap_and_at_once_keeps_none() {
        let state = rotated(SigningKeys::default(), ("a", "b"), 100, 0).unwrap();
        let state = rotated(state, ("b", "c"), 100, 50).unwrap();
        assert_eq!(state.current.as_deref(), Some("c"));
        let earlier: Vec<_> = state.earlier.clone().into_iter().collect();
        let wanted = [("a".to_owned(), at(100)), ("b".to_owned(), at(150))];
        assert_eq!(earlier, wanted);
        let later = rotated(state.clone(), ("c", "d"), 100, 120).unwrap();
        assert_eq!(later.earlier.keys().collect::<Vec<_>>(), ["b", "c"]);
        let ended = rotated(state, ("c", "d"), 0, 60).unwrap();
        assert!(ended.earlier.is_empty() && ended.previous_until.is_none());
    }

    #[test]
    fn so_many_earlier_keys_verify_and_no_more_unless_all_are_ended() {
        let mut state = SigningKeys::default();
        for number in 0..EARLIER_MAX {
            let pair = (format!("k{number}"), format!("k{}", number + 1));
            state = rotated(state, (&pair.0, &pair.1), 1_000, 1).unwrap();
        }
        let refused = rotated(state.clone(), ("x", "y"), 1_000, 2).unwrap_err();
        assert_eq!(refused.tag, ErrorTag::InvalidState);
        assert!(rotated(state.clone(), ("x", "y"), 0, 2).is_ok());
        assert!(rotated(state, ("x", "y"), 1_000, 1_001).is_ok());
    }
}
