//! The operators' secret code: one for the whole installation, kept only as a hash, locked after too many wrong tries.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::declare::events;
use super::known::KnownAddresses;
use super::{
    Aggregate, Context, Decider, ErrorTag, EventMeta, Rejection, StreamId, Timestamp, check,
};

/// Wrong codes from one address within [`FAILURES_WINDOW_MS`] after which none from there is checked.
pub const FAILURES_MAX: usize = 5;
/// Wrong codes from all addresses within [`FAILURES_WINDOW_MS`] after which one is checked only from where a right one
/// came before: as many as four addresses may give.
pub const FAILURES_ALL_MAX: usize = 20;
/// Wrong codes kept. More than [`FAILURES_ALL_MAX`], so that the newest of others do not make one address's forgotten
/// before all are locked.
const FAILURES_KEPT: usize = 64;
/// Functions that end or cancel what is under way, and the one that lifts the lock itself. Wrong codes never lock them:
/// otherwise a caller could prevent the cancelling of a vacuum by giving wrong ones.
const WAYS_OUT: [&str; 4] = [
    "ops_maintenance_cancel",
    "ops_maintenance_end",
    "ops_secret_lock_lift",
    "ops_vacuum_cancel",
];
/// How far back wrong codes count.
pub const FAILURES_WINDOW_MS: i64 = 15 * 60 * 1_000;

events! {
    /// The events of the secret code.
    pub enum SecretEvent {
        /// The secret code is set, in place of the one before.
        #[event("secret.set", 1)]
        Set {
            /// scrypt in PHC form.
            code_hash: String,
        },
        /// A wrong code was given.
        #[event("secret.mismatched", 2)]
        Mismatched {
            /// The operator function it was given for.
            function: String,
            /// Keyed hash of the address it came from, in hex; absent before schema version 2.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            address_hash: Option<String>,
        },
        /// The right code came from an address for the first time in a while.
        #[event("secret.address_known", 1)]
        AddressKnown {
            /// Keyed hash of the address, in hex.
            address_hash: String,
        },
        /// The lock that wrong codes had caused was ended by somebody with the right one.
        #[event("secret.locks_lifted", 1)]
        LocksLifted {},
    }
}

/// A wrong code that counts towards a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The time it was given.
    pub at: Timestamp,
    /// Keyed hash of the address it came from, in hex.
    pub address_hash: Option<String>,
}

/// The code as its events made it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretCode {
    /// The version of its stream.
    pub version: u64,
    /// scrypt in PHC form; `None` until it was set.
    pub code_hash: Option<String>,
    /// The last wrong codes, oldest first, at most 64.
    pub failures: Vec<Failure>,
    /// Addresses that the right code came from.
    pub known: KnownAddresses,
}

impl std::fmt::Debug for SecretCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretCode(version {})", self.version)
    }
}

impl SecretCode {
    /// Whether a code for a function from an address may be checked.
    ///
    /// # Errors
    /// `throttled`, with the seconds until then, after too many wrong ones; never for what ends or cancels something.
    pub fn check_lock(
        &self,
        function: &str,
        address_hash: &str,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        if is_way_out(function) {
            return Ok(());
        }
        let recent = || {
            let failures = self.failures.iter();
            failures.filter(move |failure| failure.at.plus_millis(FAILURES_WINDOW_MS) > now)
        };
        let own = recent().filter(|failure| failure.address_hash.as_deref() == Some(address_hash));
        let own = frees(own, FAILURES_MAX);
        let all = if self.known.knows(address_hash, now) {
            None
        } else {
            frees(recent(), FAILURES_ALL_MAX)
        };
        let Some(at) = own.max(all) else {
            return Ok(());
        };
        let seconds = (at.millis() - now.millis() + 999) / 1_000;
        Err(Rejection::new(
            ErrorTag::Throttled,
            format!(
                "Too many wrong secret codes within 15 minutes: none is accepted for {seconds} seconds, except to end or cancel something, and by ops_secret_lock_lift, which resets the count with the right code."
            ),
        )
        .with_minor("secret-code-locked")
        .with_retry_after(seconds.unsigned_abs()))
    }
}

/// The time at which fewer than `max` of some wrong codes count; `None` when there are fewer already.
fn frees<'a>(failures: impl Iterator<Item = &'a Failure>, max: usize) -> Option<Timestamp> {
    let failures: Vec<_> = failures.collect();
    let first = failures.len().checked_sub(max)?;
    let first = failures.get(first)?;
    Some(first.at.plus_millis(FAILURES_WINDOW_MS))
}

/// Whether a function ends or calls off what is under way.
pub fn is_way_out(function: &str) -> bool {
    WAYS_OUT.contains(&function)
}

/// The commands on the secret code.
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
        /// The operator function it was given for.
        function: String,
        /// Keyed hash of the address it came from, in hex.
        address_hash: String,
    },
    /// Remember that the right one came from an address.
    NoteAddress {
        /// Keyed hash of the address, in hex.
        address_hash: String,
    },
    /// Forget all wrong codes; the right one was given.
    LiftLocks {},
}

/// Characters of the secret code.
const CODE_CHARS: RangeInclusive<usize> = 12..=128;

/// Checks the length of a new secret code.
///
/// # Errors
/// `invalid-input` naming `secret_code`.
pub fn check_new_code(code: &str) -> Result<(), Rejection> {
    if CODE_CHARS.contains(&code.chars().count()) {
        return Ok(());
    }
    let message = "secret_code is the new code and has 12 to 128 characters.";
    Err(Rejection::field("secret_code", message))
}

impl SecretCommand {
    /// Whether what it says can be carried out at all. No code is in it in plain.
    ///
    /// # Errors
    /// `invalid-input` naming the field.
    pub fn check(&self) -> Result<(), Rejection> {
        match self {
            Self::Set { code_hash, .. } => check::scrypt_hash("code_hash", code_hash),
            Self::NoteMismatch {
                function,
                address_hash,
            } => {
                check::id("function", function)?;
                check::id("address_hash", address_hash)
            }
            Self::NoteAddress { address_hash } => check::id("address_hash", address_hash),
            Self::LiftLocks {} => Ok(()),
        }
    }
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
        context: &Context,
    ) -> Result<Vec<SecretEvent>, Rejection> {
        Ok(vec![match command {
            SecretCommand::Set { proven: false, .. } if state.code_hash.is_some() => {
                return Err(mismatch(
                    "The secret code is already set; give the old one to change it.",
                )
                .with_minor("old_secret_code"));
            }
            SecretCommand::Set { code_hash, .. } => SecretEvent::Set {
                code_hash: code_hash.clone(),
            },
            SecretCommand::NoteMismatch {
                function,
                address_hash,
            } => SecretEvent::Mismatched {
                function: function.clone(),
                address_hash: Some(address_hash.clone()),
            },
            SecretCommand::NoteAddress { address_hash } => {
                if !state.known.is_news(address_hash, context.now) {
                    return Ok(Vec::new());
                }
                SecretEvent::AddressKnown {
                    address_hash: address_hash.clone(),
                }
            }
            SecretCommand::LiftLocks {} if state.failures.is_empty() => return Ok(Vec::new()),
            SecretCommand::LiftLocks {} => SecretEvent::LocksLifted {},
        }])
    }

    fn evolve(mut state: SecretCode, event: &SecretEvent, occurrence: EventMeta<'_>) -> SecretCode {
        state.version = occurrence.version;
        match event {
            SecretEvent::Set { code_hash } => state.code_hash = Some(code_hash.clone()),
            SecretEvent::Mismatched { address_hash, .. } => {
                state.failures.push(Failure {
                    at: occurrence.at,
                    address_hash: address_hash.clone(),
                });
                let old = state.failures.len().saturating_sub(FAILURES_KEPT);
                state.failures.drain(..old);
            }
            SecretEvent::AddressKnown { address_hash } => {
                state.known.add(address_hash, occurrence.at);
            }
            SecretEvent::LocksLifted {} => state.failures.clear(),
        }
        state
    }
}

impl Aggregate for SecretDecider {
    fn initial(stream: &StreamId) -> Option<SecretCode> {
        (stream.as_str() == StreamId::SECRET_CODE).then(SecretCode::default)
    }

    fn version(state: &SecretCode) -> u64 {
        state.version
    }
}

/// 403 for a code that is wrong, missing or not yet set.
pub fn mismatch(message: &str) -> Rejection {
    Rejection::new(ErrorTag::SecretCodeMismatch, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(state: SecretCode, minute: i64, event: &SecretEvent) -> SecretCode {
        let occurrence = EventMeta {
            at: Timestamp::from_millis(minute * 60_000),
            by: "tester",
            actor: None,
            position: 0,
            version: state.version + 1,
        };
        SecretDecider::evolve(state, event, occurrence)
    }

    fn fail(state: SecretCode, minute: i64, address: &str) -> SecretCode {
        let mismatched = SecretEvent::Mismatched {
            function: "f".to_owned(),
            address_hash: Some(address.to_owned()),
        };
        event(state, minute, &mismatched)
    }

    fn is_open(state: &SecretCode, function: &str, address: &str, minute: i64) -> bool {
        let at = Timestamp::from_millis(minute * 60_000);
        state.check_lock(function, address, at).is_ok()
    }

    #[test]
    fn five_wrong_codes_in_a_quarter_of_an_hour_lock_their_address_for_the_rest_of_that() {
        let state = (0..4).fold(SecretCode::default(), |state, at| fail(state, at, "a"));
        assert!(is_open(&state, "f", "a", 4));
        let state = fail(state, 4, "a");
        for (minute, open) in [(4, false), (14, false), (15, true)] {
            assert_eq!(is_open(&state, "f", "a", minute), open, "minute {minute}");
            assert!(is_open(&state, "f", "b", minute));
            for function in WAYS_OUT {
                assert!(is_open(&state, function, "a", minute), "{function}");
            }
        }
        let at = Timestamp::from_millis(14 * 60_000);
        let locked = state.check_lock("f", "a", at).expect_err("locked");
        assert_eq!(locked.retry_after_seconds(), Some(60));
        // The next wrong one locks it again until the second oldest is old.
        let state = fail(state, 15, "a");
        assert!(!is_open(&state, "f", "a", 15));
        assert!(is_open(&state, "f", "a", 16));
    }

    #[test]
    fn many_addresses_together_lock_all_but_where_the_right_code_came_from() {
        let known = SecretEvent::AddressKnown {
            address_hash: "ours".to_owned(),
        };
        let state = event(SecretCode::default(), 0, &known);
        let locked = (0..20).fold(state, |state, number| {
            fail(state, 1, &format!("a-{number}"))
        });
        assert!(!is_open(&locked, "f", "new", 15));
        assert!(is_open(&locked, "f", "ours", 15));
        assert!(is_open(&locked, "f", "new", 16));
        // It is not used up by others' wrong codes, but by its own.
        let own = (0..5).fold(locked, |state, _| fail(state, 1, "ours"));
        assert!(!is_open(&own, "f", "ours", 15));
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
