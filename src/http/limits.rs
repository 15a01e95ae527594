//! How often callers may call: by principal, by org, and by address for whoever shows no valid credential; and how many
//! calls of one principal are worked on at once.
//!
//! The rule is GCRA, a bucket that refills evenly, as the `governor` crate has it. What is kept of a key is one number,
//! and only until its bucket is full again; the number of keys has an end too.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderName, HeaderValue};
use governor::clock::Clock as Ticks;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::{Quota as Allowed, RateLimiter};

use super::auth::principal::Principal;
use super::org_limits::{LimitsOfOrgs, OrgLimits};
use super::places::{InFlight, OrgFull, Places, Working};
use super::reply::Refusal;
use crate::actors::identity::Peer;
use crate::clock::Clock;
use crate::domain::quota::Quota;
use crate::domain::{ErrorTag, OrgCode, Rejection};

/// What is left of the principal's limit: `draft-ietf-httpapi-ratelimit-headers-11`, section 4.
pub const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The principal's limit: the same draft, section 3.
pub const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Most keys that one limit keeps apart. Past it, keys that are new share one bucket.
const KEYS_MAX: usize = 65_536;
/// How often at most keys whose buckets are full again are forgotten.
const SWEEP_MS: u64 = 1_000;

/// One limit: a rate with a burst.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Requests a second; 0 for no limit.
    pub per_second: u32,
    /// Requests at once, after a pause.
    pub burst: u32,
}

/// All limits of requests.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Requests of one principal.
    pub principal: Rate,
    /// Of all that is asked of one org by those it is open to.
    pub org: Rate,
    /// Of one address, without a valid credential.
    pub address: Rate,
    /// Passcodes that one address tries, right or wrong: each takes a processor for a while.
    pub sign_in: Rate,
    /// TLS handshakes of one address: each takes a processor for a while.
    pub handshake: Rate,
    /// Calls of one principal at once, so that nobody's slow ones take all the places there are; 0 for no limit.
    pub principal_in_flight_max: u32,
    /// The same of one address, without a credential.
    pub address_in_flight_max: u32,
    /// What one org may have going on at once, if it has no limits of its own.
    pub org_at_once: OrgLimits,
}

/// What an answer tells its caller of the principal's limit.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The value of `RateLimit-Policy`.
    pub policy: HeaderValue,
    /// The value of `RateLimit`.
    pub left: HeaderValue,
}

/// Counts requests and says which are too many.
pub struct RateLimits {
    principals: Option<Limiter<String>>,
    orgs: Option<Limiter<OrgCode>>,
    addresses: Option<Limiter<IpAddr>>,
    sign_ins: Option<Limiter<IpAddr>>,
    in_flight: Places,
    principal_in_flight_max: u32,
    address_in_flight_max: u32,
    orgs_at_once: LimitsOfOrgs,
}

impl RateLimits {
    /// With nobody counted yet, and at most so many requests in progress at once.
    pub fn new(rates: &Rates, requests_in_flight_max: usize, clock: &Clock) -> Self {
        Self {
            principals: Limiter::new("principal", rates.principal, clock),
            orgs: Limiter::new("org", rates.org, clock),
            addresses: Limiter::new("address", rates.address, clock),
            sign_ins: Limiter::new("sign-in", rates.sign_in, clock),
            in_flight: Places::new(requests_in_flight_max),
            principal_in_flight_max: rates.principal_in_flight_max,
            address_in_flight_max: rates.address_in_flight_max,
            orgs_at_once: LimitsOfOrgs::new(rates.org_at_once),
        }
    }

    /// Counts a request of a principal. The first half is for the answer's headers, whatever the answer is. The second is
    /// to be kept until there is one, or the refusal: `throttled`.
    pub fn enter(&self, principal: &Principal) -> (Option<Shown>, Result<InFlight, Rejection>) {
        let key = limit_key(principal);
        let place = || self.in_flight.enter(key, self.principal_in_flight_max);
        let Some(limiter) = &self.principals else {
            return (None, place());
        };
        let taken = limiter.take(key);
        let entered = taken.map_err(TooMany::rejection).and_then(|_| place());
        (limiter.shown(taken), entered)
    }

    /// The same for a request that needs no credential but has a body to be read.
    ///
    /// # Errors
    /// `throttled`.
    pub fn enter_anonymous(&self, request: &HttpRequest) -> Result<InFlight, Rejection> {
        self.anonymous(request)?;
        match request.peer_addr() {
            Some(peer) => {
                let key = network(peer.ip());
                self.in_flight.enter(key, self.address_in_flight_max)
            }
            None => Ok(InFlight::uncounted()),
        }
    }

    /// Takes a place for a request that has arrived, to be kept until it is answered.
    ///
    /// # Errors
    /// `throttled`.
    pub fn work(&self, caller: &InFlight) -> Result<Working, Rejection> {
        self.in_flight.work(caller)
    }

    /// Counts a request to an org; the place is to be kept until it is answered. To be asked only for a caller whom the
    /// org is open to: strangers must neither use up an org's limit nor learn from it that there is such an org.
    ///
    /// # Errors
    /// `throttled`, or `quota-exceeded` when the org has as many requests as it may have.
    pub fn org(&self, org: &OrgCode) -> Result<InFlight, Rejection> {
        take(self.orgs.as_ref(), || org.clone())?;
        let max = self.orgs_at_once.of(org).in_flight_max;
        let entered = self.in_flight.enter_org(org, max);
        entered.map_err(|full| match full {
            OrgFull::Own(used) => {
                let (quota, limit) = (Quota::RequestsInFlight, u64::from(max));
                self.orgs_at_once.refuse(quota, limit, used)
            }
            OrgFull::All => {
                let message = "Too many concurrent requests to this org; the request was not processed. Try again after the seconds in Retry-After.";
                Rejection::new(ErrorTag::Throttled, message).with_minor("org-in-flight-limit")
            }
        })
    }

    /// How many requests to an org are being worked on.
    pub fn org_in_flight(&self, org: &OrgCode) -> u64 {
        self.in_flight.count_of(org)
    }

    /// What orgs may have going on at once.
    pub fn orgs_at_once(&self) -> &LimitsOfOrgs {
        &self.orgs_at_once
    }

    /// Counts a request without a valid credential. Connections without an address are not counted.
    ///
    /// # Errors
    /// `throttled`.
    pub fn anonymous(&self, request: &HttpRequest) -> Result<(), Rejection> {
        self.anonymous_as(request, 1)
    }

    /// The same for an answer that costs as much as so many requests.
    ///
    /// # Errors
    /// `throttled`.
    pub fn anonymous_as(&self, request: &HttpRequest, requests: u32) -> Result<(), Rejection> {
        take_by_address(self.addresses.as_ref(), request, requests)
    }

    /// Counts a passcode that is to be looked at. Not a wrong one alone: a right one costs as much.
    ///
    /// # Errors
    /// `throttled`.
    pub fn sign_in(&self, request: &HttpRequest) -> Result<(), Rejection> {
        take_by_address(self.sign_ins.as_ref(), request, 1)
    }

    /// What is answered to a request that was refused. If that was for want of a valid credential, as the tag tells, it is
    /// counted, and once there are too many, that is the answer.
    pub fn refuse(&self, request: &HttpRequest, refusal: Refusal, guessed: ErrorTag) -> Refusal {
        match &refusal {
            Refusal::Rejected { rejection, .. } if rejection.tag == guessed => {
                let too_many = self.anonymous(request).err();
                too_many.map_or(refusal, Refusal::from)
            }
            Refusal::Rejected { .. } | Refusal::Failed(_) => refusal,
        }
    }
}

/// Counts TLS handshakes of one listener by address, and says which are too many.
pub struct Handshakes(Option<Limiter<IpAddr>>);

impl Handshakes {
    /// With nobody counted yet.
    pub fn new(rate: Rate, clock: &Clock) -> Self {
        Self(Limiter::new("handshake", rate, clock))
    }

    /// Counts one; whether there may be one more now. Connections without an address are not counted.
    pub(super) fn take(&self, peer: Option<IpAddr>) -> bool {
        let (Some(limiter), Some(peer)) = (&self.0, peer) else {
            return true;
        };
        limiter.take(&network(peer)).is_ok()
    }
}

/// What a principal is counted under: its public id, so that another session or key is no other limit.
fn limit_key(principal: &Principal) -> &String {
    &principal.user_id
}

/// The address a request comes from, as limits count it.
pub(super) fn peer(request: &HttpRequest) -> Peer {
    Peer(request.peer_addr().map(|peer| network(peer.ip())))
}

/// What an address is counted under: an IPv6 subscriber has a whole /64 of them (RFC 6177, section 2).
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

/// Connections without an address are not counted.
fn take_by_address(
    limiter: Option<&Limiter<IpAddr>>,
    request: &HttpRequest,
    requests: u32,
) -> Result<(), Rejection> {
    let (Some(limiter), Some(peer)) = (limiter, request.peer_addr()) else {
        return Ok(());
    };
    let taken = limiter.take_many(&network(peer.ip()), requests);
    taken.map(drop).map_err(TooMany::rejection)
}

fn take<K: Hash + Eq + Clone>(
    limiter: Option<&Limiter<K>>,
    key: impl FnOnce() -> K,
) -> Result<(), Rejection> {
    let Some(limiter) = limiter else {
        return Ok(());
    };
    let taken = limiter.take(&key());
    taken.map(drop).map_err(TooMany::rejection)
}

/// One request too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TooMany {
    /// Which limit.
    limit: &'static str,
    /// Seconds, at least 1, after which one more may pass.
    wait_seconds: u64,
}

impl TooMany {
    fn rejection(self) -> Rejection {
        let message = "Rate limit exceeded; the request was not processed. Try again after the seconds in Retry-After.";
        Rejection::new(ErrorTag::Throttled, message)
            .with_minor(&format!("{}-limit", self.limit))
            .with_retry_after(self.wait_seconds)
    }
}

/// One limit with its keys.
struct Limiter<K: Hash + Eq + Clone> {
    name: &'static str,
    limiter: RateLimiter<K, Buckets<K>, Steady, StateInformationMiddleware>,
    policy: HeaderValue,
    /// What a full bucket holds.
    burst: NonZeroU32,
    /// Seconds in which an empty bucket fills.
    window_seconds: u64,
    swept_at_ms: AtomicU64,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    /// Nothing when there is no limit.
    fn new(name: &'static str, rate: Rate, clock: &Clock) -> Option<Self> {
        let per_second = NonZeroU32::new(rate.per_second)?;
        let burst = NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN);
        let window_seconds = u64::from(burst.get().div_ceil(per_second.get()));
        let policy = format!("\"{name}\";q={burst};w={window_seconds}");
        let quota = Allowed::per_second(per_second).allow_burst(burst);
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

    /// Takes one from a key's bucket; tells what is left in it.
    fn take(&self, key: &K) -> Result<u32, TooMany> {
        self.take_many(key, 1)
    }

    /// Takes so many, or none of them; more than a full bucket holds is what it holds.
    fn take_many(&self, key: &K, count: u32) -> Result<u32, TooMany> {
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

    /// Once a second, whoever comes first forgets the keys whose buckets are full again.
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

    /// The headers about a request that was counted. What is left may be used within the time that is told with it.
    fn shown(&self, taken: Result<u32, TooMany>) -> Option<Shown> {
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
    fn addresses_are_counted_by_subscriber() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
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
