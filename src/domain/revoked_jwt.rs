//! Tokens of an identity provider that count no longer, by their `jti` (RFC 7519, section 4.1.7).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::declare::events;
use super::{Aggregate, Context, Decider, ErrorTag, EventMeta, Rejection, StreamId, Timestamp};

/// Longest `jti` of a token, in characters.
pub const JTI_CHARS_MAX: usize = 255;

/// Most revocations kept. For one more, the one is forgotten whose token ended first.
pub const REVOCATIONS_MAX: usize = 4_096;

/// The revocations as their events made them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedJwts {
    /// The version of their stream.
    pub version: u64,
    /// Revoked tokens by `jti`, each with the time until which it is kept.
    pub until: BTreeMap<String, Timestamp>,
    /// Revocations that the last event removed, because their tokens have expired.
    pub forgotten: Vec<String>,
}

events! {
    /// The events of an identity provider's tokens.
    pub enum JwtEvent {
        /// A token of an identity provider is refused from now on.
        #[event("jwt.revoked", 1)]
        Revoked {
            /// The `jti` claim of the token.
            jti: String,
            /// The end that the token has by itself; the revocation is not needed after it.
            until: Timestamp,
        },
    }
}

/// A token that is to count no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokeJwt {
    /// The `jti` claim of the token.
    pub jti: String,
    /// The time at which the token expires anyway.
    pub until: Timestamp,
}

/// Decides for tokens of an identity provider.
pub struct JwtDecider;

impl Decider for JwtDecider {
    type Command = RevokeJwt;
    type State = RevokedJwts;
    type Event = JwtEvent;

    fn decide(
        state: &RevokedJwts,
        command: &RevokeJwt,
        context: &Context,
    ) -> Result<Vec<JwtEvent>, Rejection> {
        let kept = state.until.get(&command.jti);
        if kept.is_some_and(|until| *until >= command.until) {
            return Ok(Vec::new());
        }
        let live = state.until.values().filter(|until| **until > context.now);
        if kept.is_none() && live.count() >= REVOCATIONS_MAX {
            let message = format!(
                "There are already {REVOCATIONS_MAX} revoked tokens that have not expired; have the issuer replace its key instead."
            );
            return Err(Rejection::new(ErrorTag::InvalidState, message));
        }
        Ok(vec![JwtEvent::Revoked {
            jti: command.jti.clone(),
            until: command.until,
        }])
    }

    fn evolve(mut state: RevokedJwts, event: &JwtEvent, occurrence: EventMeta<'_>) -> RevokedJwts {
        state.version = occurrence.version;
        let JwtEvent::Revoked { jti, until } = event;
        state.until.insert(jti.clone(), *until);
        state.forgotten = Vec::new();
        // Only for room: by a clock that had jumped, one would count again once the clock is set right.
        while state.until.len() > REVOCATIONS_MAX {
            let others = state.until.iter().filter(|(known, _)| *known != jti);
            let ended = others.filter(|(_, until)| **until <= occurrence.at);
            let first = ended.min_by_key(|(_, until)| **until);
            let Some(first) = first.map(|(known, _)| known.clone()) else {
                break;
            };
            state.until.remove(&first);
            state.forgotten.push(first);
        }
        state
    }
}

impl Aggregate for JwtDecider {
    fn initial(stream: &StreamId) -> Option<RevokedJwts> {
        (stream.as_str() == StreamId::REVOKED_JWTS).then(RevokedJwts::default)
    }

    fn version(state: &RevokedJwts) -> u64 {
        state.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_is_kept_until_the_token_has_ended_and_once() {
        let at = |millis| Timestamp::from_millis(millis);
        let context = |now| Context {
            now: at(now),
            by: "operator".to_owned(),
        };
        let command = |jti: &str, until| RevokeJwt {
            jti: jti.to_owned(),
            until: at(until),
        };
        let step = |state: RevokedJwts, command: &RevokeJwt, now: i64| {
            let events = JwtDecider::decide(&state, command, &context(now)).unwrap();
            let version = state.version + 1;
            let occurrence = EventMeta {
                at: at(now),
                by: "operator",
                actor: None,
                position: version,
                version,
            };
            let count = events.len();
            let state = events.iter().fold(state, |state, event| {
                JwtDecider::evolve(state, event, occurrence)
            });
            (state, count)
        };
        let (state, _) = step(RevokedJwts::default(), &command("a", 100), 1);
        let (state, count) = step(state, &command("a", 100), 2);
        assert_eq!(count, 0, "twice is once");
        let (state, count) = step(state, &command("a", 200), 3);
        assert_eq!((count, state.until["a"]), (1, at(200)));
        let (mut state, _) = step(state, &command("b", 900), 200);
        // A clock that was set to 200 may be set back.
        assert_eq!(state.until.keys().collect::<Vec<_>>(), ["a", "b"]);
        for number in 2..REVOCATIONS_MAX {
            state.until.insert(format!("c{number}"), at(1_000));
        }
        let (state, _) = step(state, &command("d", 900), 500);
        assert_eq!(state.forgotten, ["a"]);
        assert_eq!(state.until.len(), REVOCATIONS_MAX);
    }
}
