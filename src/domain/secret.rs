//! The operators' secret code: one for the whole installation, kept only as a hash, locked after too many wrong tries.

use serde::{Deserialize, Serialize};

use super::{Context, Decider, ErrorTag, Occurrence, Rejection, Timestamp};

/// Wrong codes within [`FAILURES_WINDOW_MS`] after which none is looked at.
pub const FAILURES_MAX: usize = 5;
/// How far back wrong codes count.
pub const FAILURES_WINDOW_MS: i64 = 15 * 60 * 1_000;

/// What can happen to the secret code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum SecretEvent {
    /// The code was set.
    #[serde(rename = "secret.set")]
    Set {
        /// scrypt in PHC form.
        code_hash: String,
    },
    /// A wrong code was given.
    #[serde(rename = "secret.mismatched")]
    Mismatched {
        /// For which operator function.
        function: String,
    },
}

/// The code as its events made it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretCode {
    /// The version of its stream.
    pub version: u64,
    /// scrypt in PHC form; `None` until it was set.
    pub code_hash: Option<String>,
    /// When wrong codes were given last, oldest first, at most [`FAILURES_MAX`].
    pub failures: Vec<Timestamp>,
}

impl std::fmt::Debug for SecretCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretCode(version {})", self.version)
    }
}

impl SecretCode {
    /// Whether a code may be looked at.
    ///
    /// # Errors
    /// `throttled`, with the seconds until then, after too many wrong ones.
    pub fn check_lock(&self, now: Timestamp) -> Result<(), Rejection> {
        let frees = self
            .failures
            .first()
            .map(|at| at.plus_millis(FAILURES_WINDOW_MS));
        match frees.filter(|at| *at > now && self.failures.len() >= FAILURES_MAX) {
            None => Ok(()),
            Some(at) => {
                let seconds = (at.millis() - now.millis() + 999) / 1_000;
                Err(Rejection::new(
                    ErrorTag::Throttled,
                    format!("{FAILURES_MAX} wrong secret codes within 15 minutes: none is looked at for {seconds} seconds."),
                )
                .with_minor("secret-code-locked")
                .with_retry_after(seconds.unsigned_abs()))
            }
        }
    }
}

/// What may be asked of the secret code.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretCommand {
    /// Set it, or set another.
    Set {
        /// scrypt of the new one in PHC form.
        code_hash: String,
        /// The one there is was given, and was right.
        proven: bool,
    },
    /// Remember that a wrong one was given.
    NoteMismatch {
        /// For which operator function.
        function: String,
    },
}

/// Decides for the secret code.
pub struct SecretDecider;

impl Decider for SecretDecider {
    type Command = SecretCommand;
    type State = SecretCode;
    type Event = SecretEvent;

    fn decide(
        state: &SecretCode,
        command: &SecretCommand,
        _: &Context,
    ) -> Result<Vec<SecretEvent>, Rejection> {
        Ok(vec![match command {
            SecretCommand::Set { proven: false, .. } if state.code_hash.is_some() => {
                return Err(
                    mismatch("The secret code is set; give the old one to change it.")
                        .with_minor("old_secret_code"),
                );
            }
            SecretCommand::Set { code_hash, .. } => SecretEvent::Set {
                code_hash: code_hash.clone(),
            },
            SecretCommand::NoteMismatch { function } => SecretEvent::Mismatched {
                function: function.clone(),
            },
        }])
    }

    fn evolve(
        mut state: SecretCode,
        event: &SecretEvent,
        occurrence: Occurrence<'_>,
    ) -> SecretCode {
        state.version = occurrence.version;
        match event {
            SecretEvent::Set { code_hash } => state.code_hash = Some(code_hash.clone()),
            SecretEvent::Mismatched { .. } => {
                state.failures.push(occurrence.at);
                let old = state.failures.len().saturating_sub(FAILURES_MAX);
                state.failures.drain(..old);
            }
        }
        state
    }
}

/// 403 for a code that is wrong, missing or not yet set.
pub fn mismatch(message: &str) -> Rejection {
    Rejection::new(ErrorTag::SecretCodeMismatch, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(state: SecretCode, minute: i64) -> SecretCode {
        let occurrence = Occurrence {
            at: Timestamp::from_millis(minute * 60_000),
            by: "tester",
            position: 0,
            version: state.version + 1,
        };
        let event = SecretEvent::Mismatched {
            function: "f".to_owned(),
        };
        SecretDecider::evolve(state, &event, occurrence)
    }

    #[test]
    fn five_wrong_codes_in_a_quarter_of_an_hour_lock_it_for_the_rest_of_that() {
        let state = (0..4).fold(SecretCode::default(), fail);
        let at = |minute: i64| Timestamp::from_millis(minute * 60_000);
        assert!(state.check_lock(at(4)).is_ok());
        let state = fail(state, 4);
        for (minute, open) in [(4, false), (14, false), (15, true)] {
            assert_eq!(
                state.check_lock(at(minute)).is_ok(),
                open,
                "minute {minute}"
            );
        }
        let locked = state.check_lock(at(14)).expect_err("locked");
        assert_eq!(locked.retry_after_seconds(), Some(60));
        // The next wrong one locks it again until the second oldest is old.
        let state = fail(state, 15);
        assert!(state.check_lock(at(15)).is_err());
        assert!(state.check_lock(at(16)).is_ok());
    }

    #[test]
    fn the_code_is_set_once_and_changed_only_with_the_old_one() {
        let context = Context {
            now: Timestamp::from_millis(1),
            by: "tester".to_owned(),
        };
        let set = |proven| SecretCommand::Set {
            code_hash: "h".to_owned(),
            proven,
        };
        let fresh = SecretCode::default();
        let there = SecretCode {
            code_hash: Some("x".to_owned()),
            ..SecretCode::default()
        };
        for (state, proven, fine) in [
            (&fresh, false, true),
            (&there, false, false),
            (&there, true, true),
        ] {
            let decided = SecretDecider::decide(state, &set(proven), &context);
            assert_eq!(decided.is_ok(), fine);
        }
        assert!(!format!("{there:?}").contains('x'));
    }
}
