//! One limit of requests a second with a bucket for each key, in memory that has an end.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::http::header::HeaderValue;
use governor::clock::Clock as Ticks;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::{Quota as Allowed, RateLimiter};
use parking_lot::{Mutex, MutexGuard};

use super::{Rate, Shown};
use crate::clock::Clock;
use crate::domain::{ErrorTag, Rejection};

/// Most keys that one limit keeps apart. Past it, keys that are new share one bucket.
const KEYS_MAX: usize = 65_536;
/// How often at most keys whose buckets are full again are forgotten.
const SWEEP_MS: u64 = 1_000;

/// The refusal of one request too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct TooMany {
    /// The name of the limit.
    limit: &'static str,
    /// Seconds, at least 1, after which one more may pass.
    wait_seconds: u64,
}

impl TooMany {
    pub(in crate::http) fn rejection(self) -> Rejection {
        let message = "Rate limit exceeded; the request was not processed.";
        Rejection::new(ErrorTag::Throttled, message)
            .with_minor(&format!("{}-limit", self.limit))
            .to_be_repeated_in(self.wait_seconds)
    }
}

/// One limit with its keys.
pub(in crate::http) struct Limiter<K: Hash + Eq + Clone> {
    name: &'static str,
    limiter: RateLimiter<K, Buckets<K>, Steady, StateInformationMiddleware>,
    policy: HeaderValue,
    /// The size of a full bucket.
    burst: NonZeroU32,
    /// Seconds in which an empty bucket fills.
    window_seconds: u64,
    swept_at_ms: AtomicU64,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    /// A limiter that has counted nothing; `None` when there is no limit.
    pub(super) fn new(name: &'static str, rate: Rate, clock: &Clock) -> Option<Self> {
        let per_second = NonZeroU32::new(rate.per_second)?;
        let burst = NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN);
        let window_seconds = u64::from(burst.get().div_ceil(per_second.get()));
        let quota = Allowed::per_second(per_second).allow_burst(burst);
        Self::of(name, quota, (burst, window_seconds), clock)
    }

    /// The same of so many a minute, which may all come at once.
    pub(in crate::http) fn per_minute(
        name: &'static str,
        count: u32,
        clock: &Clock,
    ) -> Option<Self> {
        let count = NonZeroU32::new(count)?;
        Self::of(name, Allowed::per_minute(count), (count, 60), clock)
    }

    fn of(
        name: &'static str,
        quota: Allowed,
        (burst, window_seconds): (NonZeroU32, u64),
        clock: &Clock,
    ) -> Option<Self> {
        let policy = format!("\"{name}\";q={burst};w={window_seconds}");
        Some(Self {
            name,
            limiter: RateLimiter::new(quota, Buckets::new(KEYS_MAX), Steady(clock.clone())),
            // Letters, digits and quotes: it is a header's value.
            policy: HeaderValue::try_from(policy).ok()?,
            burst,
            window_seconds,
            swept_at_ms: AtomicU64::new(0),
        })
    }

    /// Takes one from a key's bucket; returns what is left in it.
    pub(in crate::http) fn take(&self, key: &K) -> Result<u32, TooMany> {
        self.take_many(key, 1)
    }

    /// Takes `count`, or none of them; more than a full bucket holds is what it holds.
    pub(super) fn take_many(&self, key: &K, count: u32) -> Result<u32, TooMany> {
        self.sweep();
        let count = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let taken = self.limiter.check_key_n(key, count.min(self.burst));
        // No more than the bucket holds is asked for.
        let Ok(taken) = taken else { return Ok(0) };
        taken
            .map(|bucket| bucket.remaining_burst_capacity())
            .map_err(|until| {
                let wait = until.wait_time_from(self.limiter.clock().now());
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                TooMany {
                    limit: self.name,
                    wait_seconds: seconds.max(1),
                }
            })
    }

    /// Takes `count` for a request that has taken one already, or none of them.
    ///
    /// # Errors
    /// `throttled` when not even a full bucket holds all of it, so that waiting is no help.
    pub(super) fn take_more(&self, key: &K, count: u32) -> Result<Result<u32, TooMany>, Rejection> {
        if count >= self.burst.get() {
            let message = format!(
                "This request counts as {} requests, and {} at once are allowed; the request was not processed. Send smaller ones.",
                count.saturating_add(1),
                self.burst
            );
            let minor = format!("{}-limit", self.name);
            return Err(Rejection::new(ErrorTag::Throttled, message).with_minor(&minor));
        }
        Ok(self.take_many(key, count))
    }

    /// Removes the keys whose buckets are full again, at most once a second.
    fn sweep(&self) {
        let now = self.limiter.clock().now().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        let (last, order) = (self.swept_at_ms.load(Ordering::Relaxed), Ordering::Relaxed);
        if now < last.saturating_add(SWEEP_MS) {
            return;
        }
        let first = self.swept_at_ms.compare_exchange(last, now, order, order);
        if first.is_ok() {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
    }

    /// The headers about a request that was counted. What is left may be used within the time that comes with it.
    pub(super) fn shown(&self, taken: Result<u32, TooMany>) -> Option<Shown> {
        let (left, seconds) = match taken {
            Ok(left) => (left, self.window_seconds),
            Err(too_many) => (0, too_many.wait_seconds),
        };
        let left = format!("\"{}\";r={left};t={seconds}", self.name);
        Some(Shown {
            policy: self.policy.clone(),
            left: HeaderValue::try_from(left).ok()?,
        })
    }
}

/// The clock as governor reads it.
#[derive(Clone, Debug)]
struct Steady(Clock);

impl Ticks for Steady {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.steady()
    }
}

/// The buckets of one limit. When there are as many as may be, new keys share one.
struct Buckets<K> {
    held: Mutex<Held<K>>,
    keys_max: usize,
}

struct Held<K> {
    of: HashMap<K, Nanos>,
    shared: Option<Nanos>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    fn new(keys_max: usize) -> Self {
        Self {
            held: Mutex::new(Held {
                of: HashMap::new(),
                shared: None,
            }),
            keys_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held<K>> {
        self.held.lock()
    }
}

impl<K: Hash + Eq + Clone> StateStore for Buckets<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut held = self.lock();
        if let Some(state) = held.of.get_mut(key) {
            let (outcome, next) = measure(Some(*state))?;
            *state = next;
            return Ok(outcome);
        }
        if held.of.len() >= self.keys_max {
            let (outcome, next) = measure(held.shared)?;
            held.shared = Some(next);
            return Ok(outcome);
        }
        let (outcome, next) = measure(None)?;
        held.of.insert(key.clone(), next);
        Ok(outcome)
    }
}

impl<K: Hash + Eq + Clone> ShrinkableKeyedStateStore<K> for Buckets<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        self.lock().of.retain(|_, state| *state >= drop_below);
    }

    fn shrink_to_fit(&self) {
        let mut held = self.lock();
        if held.of.capacity() / 4 > held.of.len() {
            let twice = held.of.len() * 2;
            held.of.shrink_to(twice);
        }
    }

    fn len(&self) -> usize {
        self.lock().of.len()
    }

    fn is_empty(&self) -> bool {
        self.lock().of.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::random_uuid;
    use crate::domain::Timestamp;

    fn limiter(per_second: u32, burst: u32) -> (Limiter<String>, Clock) {
        let clock = Clock::manual(Timestamp::from_millis(1_000_000));
        let rate = Rate { per_second, burst };
        let limiter = Limiter::new("principal", rate, &clock).unwrap();
        (limiter, clock)
    }

    #[test]
    fn a_bucket_is_emptied_and_fills_evenly_and_others_have_their_own() {
        let (limiter, clock) = limiter(2, 4);
        let (one, other) = ("one".to_owned(), "other".to_owned());
        for left in [3, 2, 1, 0] {
            assert_eq!(limiter.take(&one), Ok(left));
        }
        let too_many = limiter.take(&one).unwrap_err();
        assert_eq!((too_many.limit, too_many.wait_seconds), ("principal", 1));
        assert_eq!(limiter.take(&other), Ok(3));
        clock.advance(500);
        assert_eq!(limiter.take(&one), Ok(0));
        assert!(limiter.take(&one).is_err());
        clock.advance(60_000);
        assert_eq!(limiter.take(&one), Ok(3));
    }

    #[test]
    fn a_slow_limit_tells_how_long_to_wait_in_whole_seconds() {
        let rate = Rate {
            per_second: 1,
            burst: 1,
        };
        let clock = Clock::manual(Timestamp::from_millis(0));
        let limiter = Limiter::new("principal", rate, &clock).unwrap();
        assert!(limiter.take(&0).is_ok());
        clock.advance(1);
        let taken = limiter.take(&0);
        assert_eq!(taken.unwrap_err().wait_seconds, 1);
        let shown = limiter.shown(taken).unwrap();
        assert_eq!(shown.policy, "\"principal\";q=1;w=1");
        assert_eq!(shown.left, "\"principal\";r=0;t=1");
    }

    #[test]
    fn memory_stays_flat_over_a_hundred_thousand_keys_at_once_and_is_given_back_later() {
        let (limiter, clock) = limiter(10, 10);
        let first = "first".to_owned();
        assert_eq!(limiter.take(&first), Ok(9));
        let mut refused = 0;
        for _ in 0..100_000 {
            refused += u32::from(limiter.take(&random_uuid().to_string()).is_err());
        }
        assert_eq!(limiter.limiter.len(), KEYS_MAX);
        // Those for whom there was no room shared one bucket.
        assert_eq!(refused, 100_000 - (65_536 - 1) - 10);
        // Who was known before is served as before.
        assert_eq!(limiter.take(&first), Ok(8));
        clock.advance(3_000);
        assert_eq!(limiter.take(&first), Ok(9));
        assert_eq!(limiter.limiter.len(), 1);
        let state = limiter.limiter.into_state_store();
        assert!(state.lock().of.capacity() < 100);
    }

    #[test]
    fn memory_stays_flat_over_a_hundred_thousand_keys_in_a_row() {
        let (limiter, clock) = limiter(100, 100);
        let mut most = 0;
        for _ in 0..100_000 {
            assert!(limiter.take(&random_uuid().to_string()).is_ok());
            clock.advance(1);
            most = most.max(limiter.limiter.len());
        }
        assert!(most < 3_000, "{most} keys");
    }

    #[test]
    fn a_table_that_shrinks_keeps_room_for_twice_its_keys() {
        let buckets = Buckets::new(KEYS_MAX);
        for key in 0..10_000_u64 {
            let full_again_at = Nanos::from(10_000 - key);
            let taken: Result<(), ()> =
                buckets.measure_and_replace(&key, |_| Ok(((), full_again_at)));
            taken.unwrap();
        }
        buckets.retain_recent(Nanos::from(9_901));
        assert_eq!(buckets.len(), 100);
        buckets.shrink_to_fit();
        let room = buckets.lock().of.capacity();
        assert!((200..400).contains(&room), "room for {room} keys");
        // A table that is a quarter full stays as it is.
        buckets.shrink_to_fit();
        assert_eq!(buckets.lock().of.capacity(), room);
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let off = Rate {
            per_second: 0,
            burst: 1,
        };
        let clock = Clock::manual(Timestamp::from_millis(0));
        assert!(Limiter::<u8>::new("org", off, &clock).is_none());
    }
}
