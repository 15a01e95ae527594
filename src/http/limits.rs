//! How often callers may call: by principal, by org, and by address for callers without a valid credential; and how many
//! calls of one principal are worked on at once.
//!
//! The rule is GCRA, a bucket that refills evenly, as the `governor` crate has it. What is kept of a key is one number,
//! and only until its bucket is full again; the number of keys has an end too.

pub(super) mod limiter;

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use actix_web::http::header::{HeaderName, HeaderValue};

use self::limiter::{Limiter, TooMany};
use super::auth::principal::Principal;
use super::org_limits::{LimitsOfOrgs, OrgLimits};
use super::places::{InFlight, OrgFull, Places, Working};
use super::reply::Refusal;
use crate::actors::identity::Peer;
use crate::clock::Clock;
use crate::domain::quota::Quota;
use crate::domain::rejection::RETRY_AFTER_SECONDS;
use crate::domain::{ErrorTag, OrgCode, Rejection};

/// What is left of the principal's limit: `draft-ietf-httpapi-ratelimit-headers-11`, section 4.
pub const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The principal's limit: the same draft, section 3.
pub const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

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
    /// The rate of one address, without a valid credential.
    pub address: Rate,
    /// Passcodes that one address tries, right or wrong: each takes a processor for a while.
    pub sign_in: Rate,
    /// TLS handshakes of one address: each takes a processor for a while.
    pub handshake: Rate,
    /// Calls of one principal at once, so that one principal's slow ones do not take all the places; 0 for no limit.
    pub principal_in_flight_max: u32,
    /// Calls of one address at once, without a credential; 0 for no limit.
    pub address_in_flight_max: u32,
    /// What one org may have in progress at once, if it has no limits of its own.
    pub org_at_once: OrgLimits,
}

/// The state of the principal's limit, for the headers of an answer.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The value of `RateLimit-Policy`.
    pub policy: HeaderValue,
    /// The value of `RateLimit`.
    pub left: HeaderValue,
}

/// The places of a request that counts as several, to be kept until it is answered.
#[expect(dead_code, reason = "the places are given back when they are dropped")]
pub struct Several(InFlight, Working, InFlight);

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
    /// With nothing counted yet, and at most `requests_in_flight_max` requests in progress at once.
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
    pub fn enter_anonymous(&self, peer: Option<SocketAddr>) -> Result<InFlight, Rejection> {
        self.anonymous(peer)?;
        match peer {
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
    /// org is open to: others must neither use up an org's limit nor learn from it that there is such an org.
    ///
    /// # Errors
    /// `throttled`, or `quota-exceeded` when the org has as many requests as it may have.
    pub fn org(&self, org: &OrgCode) -> Result<InFlight, Rejection> {
        take(self.orgs.as_ref(), || org.clone())?;
        self.places_of_org(org, 1)
    }

    /// Counts `many` more requests, with their places, for one that is admitted to an org and counts as several. Nothing
    /// is counted unless the caller may have all; what the org's rate refuses has been counted to the caller.
    ///
    /// # Errors
    /// As [`RateLimits::enter`] and [`RateLimits::org`].
    pub fn several(
        &self,
        principal: &Principal,
        org: &OrgCode,
        many: u32,
    ) -> (Option<Shown>, Result<Several, Rejection>) {
        let key = limit_key(principal);
        let max = self.principal_in_flight_max;
        let places = || -> Result<Several, Rejection> {
            let caller = self.in_flight.enter_many(key, max, many)?;
            let working = self.in_flight.work_many(&caller, many)?;
            let of_org = self.places_of_org(org, many)?;
            Ok(Several(caller, working, of_org))
        };
        let several = match places() {
            Ok(several) => several,
            Err(refused) => return (None, Err(refused)),
        };
        let (shown, taken) = match &self.principals {
            None => (None, Ok(())),
            Some(limiter) => match limiter.take_more(key, many) {
                Ok(taken) => (
                    limiter.shown(taken),
                    taken.map(drop).map_err(TooMany::rejection),
                ),
                Err(never) => (None, Err(never)),
            },
        };
        let taken = taken.and_then(|()| match &self.orgs {
            None => Ok(()),
            Some(limiter) => limiter
                .take_more(org, many)?
                .map(drop)
                .map_err(TooMany::rejection),
        });
        (shown, taken.map(|()| several))
    }

    fn places_of_org(&self, org: &OrgCode, many: u32) -> Result<InFlight, Rejection> {
        let max = self.orgs_at_once.of(org).in_flight_max;
        let entered = self.in_flight.enter_org_many(org, max, many);
        entered.map_err(|full| match full {
            OrgFull::Own(used) => {
                let (quota, limit) = (Quota::RequestsInFlight, u64::from(max));
                self.orgs_at_once.refuse(quota, limit, used)
            }
            OrgFull::All => {
                let message =
                    "Too many concurrent requests to this org; the request was not processed.";
                Rejection::new(ErrorTag::Throttled, message)
                    .with_minor("org-in-flight-limit")
                    .to_be_repeated_in(RETRY_AFTER_SECONDS)
            }
        })
    }

    /// How many requests to an org are being worked on.
    pub fn org_in_flight(&self, org: &OrgCode) -> u64 {
        self.in_flight.count_of(org)
    }

    /// What orgs may have in progress at once.
    pub fn orgs_at_once(&self) -> &LimitsOfOrgs {
        &self.orgs_at_once
    }

    /// Counts a request without a valid credential. Connections without an address are not counted.
    ///
    /// # Errors
    /// `throttled`.
    pub fn anonymous(&self, peer: Option<SocketAddr>) -> Result<(), Rejection> {
        self.anonymous_as(peer, 1)
    }

    /// The same for an answer that costs as much as several requests.
    ///
    /// # Errors
    /// `throttled`.
    pub fn anonymous_as(&self, peer: Option<SocketAddr>, requests: u32) -> Result<(), Rejection> {
        take_by_address(self.addresses.as_ref(), peer, requests)
    }

    /// Counts a passcode that is to be checked. Not a wrong one alone: a right one costs as much.
    ///
    /// # Errors
    /// `throttled`.
    pub fn sign_in(&self, peer: Option<SocketAddr>) -> Result<(), Rejection> {
        take_by_address(self.sign_ins.as_ref(), peer, 1)
    }

    /// The answer to a request that was refused. If it had no valid credential, as the tag shows, it is counted, and once
    /// there are too many, that is the answer.
    pub fn refuse(&self, peer: Option<SocketAddr>, refusal: Refusal, guessed: ErrorTag) -> Refusal {
        match &refusal {
            Refusal::Rejected { rejection, .. } if rejection.tag == guessed => {
                let too_many = self.anonymous(peer).err();
                too_many.map_or(refusal, Refusal::from)
            }
            Refusal::Rejected { .. } | Refusal::Failed(_) => refusal,
        }
    }
}

/// Counts TLS handshakes of one listener by address, and says which are too many.
pub struct Handshakes(Option<Limiter<IpAddr>>);

impl Handshakes {
    /// With nothing counted yet.
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
pub(super) fn peer(peer: Option<SocketAddr>) -> Peer {
    Peer(peer.map(|peer| network(peer.ip())))
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
    peer: Option<SocketAddr>,
    requests: u32,
) -> Result<(), Rejection> {
    let (Some(limiter), Some(peer)) = (limiter, peer) else {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_counted_by_subscriber() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
