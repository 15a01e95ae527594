//! The time for destructive work: the wall clock, but never ahead of what the process itself has counted.
//!
//! Somebody may set the machine's clock, or a suspended machine wakes with another time. Destructive work therefore uses this
//! time: the smaller one of the wall clock and of what the wall clock would show if nobody had set it. A
//! difference between the two is adopted slowly, so that a clock that NTP slews is followed; one that is larger than a
//! limit is a jump, and then nothing is destroyed before an operator has confirmed that the time is right.

use parking_lot::{Mutex, MutexGuard};
use std::time::Duration;

use crate::domain::Timestamp;

/// Of the time that passes, the part by which a difference is made good: a hundredth. NTP slews by at most a
/// two-thousandth (adjtimex(8): 500 parts per million), so that a clock it corrects is followed at once.
const MADE_GOOD: i64 = 100;

/// Limits within which the wall clock is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustLimits {
    /// Milliseconds past which a difference is a jump.
    pub jump_ms_max: i64,
    /// Milliseconds since the start before which nothing is destroyed.
    pub wait_ms: i64,
}

impl Default for TrustLimits {
    /// Everything is trusted at once.
    fn default() -> Self {
        Self {
            jump_ms_max: i64::MAX,
            wait_ms: 0,
        }
    }
}

/// Why nothing may be destroyed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// The process has not run for long enough.
    #[error("the server has just started; nothing is removed for another {} seconds", (left_ms + 999) / 1_000)]
    Starting {
        /// Milliseconds until it has.
        left_ms: i64,
    },
    /// The clock jumped, and no operator has said that the time is right.
    #[error("the machine's clock jumped by {} seconds; nothing is removed until an operator confirms the time", by_ms / 1_000)]
    Jumped {
        /// Milliseconds, negative for one backwards.
        by_ms: i64,
    },
}

/// The trust in a clock. A reading is two times: the wall clock's, and that of the process's own count.
#[derive(Debug)]
pub(super) struct Trust(Mutex<State>);

#[derive(Debug)]
struct State {
    limits: TrustLimits,
    /// The process's own count at the start.
    began: Duration,
    /// What the wall clock would show at `looked`.
    expected_ms: i64,
    looked: Duration,
    /// Milliseconds that have passed and made nothing good yet: less than a whole one's worth.
    rest: i64,
    /// By how much the clock jumped.
    jumped: Option<i64>,
}

impl Trust {
    pub(super) fn new((wall, steady): (Timestamp, Duration)) -> Self {
        Self(Mutex::new(State {
            limits: TrustLimits::default(),
            began: steady,
            expected_ms: wall.millis(),
            looked: steady,
            rest: 0,
            jumped: None,
        }))
    }

    /// Starts over with other limits.
    pub(super) fn limit(&self, limits: TrustLimits, (wall, steady): (Timestamp, Duration)) {
        *self.state() = State {
            limits,
            began: steady,
            expected_ms: wall.millis(),
            looked: steady,
            rest: 0,
            jumped: None,
        };
    }

    /// The time for destructive work.
    pub(super) fn time(&self, read: (Timestamp, Duration)) -> Timestamp {
        self.state().look(read)
    }

    /// The time for destructive work, when the clock is trusted.
    pub(super) fn check(&self, read: (Timestamp, Duration)) -> Result<Timestamp, Untrusted> {
        let mut state = self.state();
        let time = state.look(read);
        if let Some(by_ms) = state.jumped {
            return Err(Untrusted::Jumped { by_ms });
        }
        let left_ms = state.limits.wait_ms - millis(read.1.saturating_sub(state.began));
        if left_ms > 0 {
            return Err(Untrusted::Starting { left_ms });
        }
        Ok(time)
    }

    /// By how much the clock jumped, until that is confirmed.
    pub(super) fn jumped(&self, read: (Timestamp, Duration)) -> Option<i64> {
        let mut state = self.state();
        state.look(read);
        state.jumped
    }

    /// Notes an unconfirmed jump of an earlier process.
    pub(super) fn distrust(&self, by_ms: i64) {
        self.state().jumped = Some(by_ms);
    }

    /// The wall clock is right.
    pub(super) fn confirm(&self, (wall, steady): (Timestamp, Duration)) {
        let mut state = self.state();
        state.jumped = None;
        state.expected_ms = wall.millis();
        state.looked = steady;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one step: a panic elsewhere leaves nothing half done.
        self.0.lock()
    }
}

impl State {
    fn look(&mut self, (wall, steady): (Timestamp, Duration)) -> Timestamp {
        // Another thread may have looked since the clocks were read.
        let passed = millis(steady.saturating_sub(self.looked));
        self.looked = self.looked.max(steady);
        self.expected_ms = self.expected_ms.saturating_add(passed);
        let ahead = wall.millis().saturating_sub(self.expected_ms);
        let good = self.rest + passed;
        self.rest = good % MADE_GOOD;
        if self.jumped.is_none() {
            match ahead {
                _ if ahead.saturating_abs() > self.limits.jump_ms_max => self.jumped = Some(ahead),
                0.. => self.expected_ms += ahead.min(good / MADE_GOOD),
                // When the clock is behind, nothing is destroyed too early.
                _ => self.expected_ms = wall.millis(),
            }
        }
        wall.min(Timestamp::from_millis(self.expected_ms))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use crate::clock::Clock;

    use super::*;

    const START_MS: i64 = 1_800_000_000_000;
    const LIMITS: TrustLimits = TrustLimits {
        jump_ms_max: 300_000,
        wait_ms: 60_000,
    };

    fn clock() -> Clock {
        let clock = Clock::manual(Timestamp::from_millis(START_MS));
        clock.limit(LIMITS);
        clock
    }

    fn after(clock: &Clock) -> i64 {
        clock.trusted().millis() - START_MS
    }

    #[test]
    fn nothing_is_destroyed_right_after_a_start() {
        let clock = clock();
        assert_eq!(
            clock.may_destroy(),
            Err(Untrusted::Starting { left_ms: 60_000 })
        );
        clock.advance(59_999);
        assert!(clock.may_destroy().is_err());
        clock.advance(1);
        assert_eq!(clock.may_destroy(), Ok(clock.now()));
    }

    #[test]
    fn a_small_step_forward_is_waited_for_and_made_good_slowly() {
        let clock = clock();
        clock.advance(60_000);
        assert_eq!(after(&clock), 60_000);
        clock.jump(120_000);
        assert_eq!(after(&clock), 60_000);
        assert!(clock.may_destroy().is_ok());
        clock.advance(60_000);
        assert_eq!(after(&clock), 120_000 + 600);
        for _ in 0..200 {
            clock.advance(60_000);
            clock.trusted();
        }
        assert_eq!(clock.trusted(), clock.now());
    }

    #[test]
    fn a_clock_that_is_slewed_is_followed_and_one_that_is_behind_counts_at_once() {
        let clock = clock();
        for _ in 0..1_000 {
            clock.advance(10_000);
            clock.jump(5);
            assert_eq!(clock.trusted(), clock.now());
        }
        clock.jump(-250_000);
        assert_eq!(clock.trusted(), clock.now());
        assert_eq!(clock.jumped(), None);
        clock.jump(250_000);
        assert_eq!(clock.now().millis() - clock.trusted().millis(), 250_000);
    }

    #[test]
    fn a_jump_either_way_stops_until_it_is_confirmed_even_when_it_is_undone() {
        for by_ms in [300_001, -300_001, 86_400_000 * 365] {
            let clock = clock();
            clock.advance(60_000);
            clock.jump(by_ms);
            let jumped = Err(Untrusted::Jumped { by_ms });
            assert_eq!(clock.may_destroy(), jumped);
            assert!(after(&clock) <= 60_000);
            clock.advance(86_400_000);
            assert_eq!(clock.may_destroy(), jumped);
            assert!(after(&clock) <= 86_460_000);
            clock.jump(-by_ms);
            assert_eq!((clock.may_destroy(), clock.jumped()), (jumped, Some(by_ms)));
            clock.confirm();
            assert_eq!(clock.may_destroy(), Ok(clock.now()));
        }
        let clock = clock();
        clock.distrust(5);
        assert_eq!(clock.may_destroy(), Err(Untrusted::Jumped { by_ms: 5 }));
    }
}
