//! How many requests are worked on at once: of one caller, of one org, and in all.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;

use crate::domain::{ErrorTag, Rejection};

/// Shards, so that threads seldom wait for each other.
const SHARDS: usize = 16;

/// Requests, by who asked. There are never more keys than requests.
#[derive(Clone, Debug)]
pub struct Places(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    hasher: RandomState,
    shards: [Mutex<HashMap<u64, u32, RandomState>>; SHARDS],
    working: AtomicUsize,
    working_max: usize,
}

/// A caller's place, or several; dropping it makes room for others.
#[derive(Debug)]
pub struct InFlight(Option<(Places, u64, u32)>);

/// Why there is no place for one more request to an org.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrgFull {
    /// It has as many as its limit allows, which is this.
    Own(u64),
    /// It has as many as are free of all places.
    All,
}

/// Some of all the places of requests being worked on; dropping it makes room for others.
#[derive(Debug)]
pub struct Working(Places, u32);

impl Places {
    /// With `working_max` places in all.
    pub fn new(working_max: usize) -> Self {
        Self(Arc::new(Counts {
            hasher: RandomState::default(),
            shards: Default::default(),
            working: AtomicUsize::new(0),
            working_max,
        }))
    }

    /// Takes one of a caller's places; 0 is for no limit.
    ///
    /// # Errors
    /// `throttled`.
    pub fn enter(&self, key: impl Hash, max: u32) -> Result<InFlight, Rejection> {
        self.enter_many(key, max, 1)
    }

    /// The same for a request that counts as several: all of its places, or none.
    ///
    /// # Errors
    /// `throttled`.
    pub fn enter_many(&self, key: impl Hash, max: u32, many: u32) -> Result<InFlight, Rejection> {
        if max == 0 {
            return Ok(InFlight::uncounted());
        }
        self.count(key, max, many).map_err(|_| {
            let message = "Too many of your requests are in progress; this one was not processed. Wait until one of them has been answered.";
            Rejection::new(ErrorTag::Throttled, message).with_minor("in-flight-limit")
        })
    }

    /// Takes one of an org's places. Besides its limit, an org never has more than are free: so there is one for every
    /// other org, however many take as many as they can.
    ///
    /// # Errors
    /// [`OrgFull`], with the limit that is reached.
    pub fn enter_org(&self, key: impl Hash, max: u32) -> Result<InFlight, OrgFull> {
        self.enter_org_many(key, max, 1)
    }

    /// The same for a request that counts as several, which has as many of all places: all of the org's, or none.
    ///
    /// # Errors
    /// [`OrgFull`], with the limit that is reached.
    pub fn enter_org_many(&self, key: impl Hash, max: u32, many: u32) -> Result<InFlight, OrgFull> {
        let max = if max == 0 { u32::MAX } else { max };
        // These are this request's own, and taken already.
        let free = self.free().saturating_add(many as usize);
        let free = u32::try_from(free).unwrap_or(u32::MAX);
        self.count(key, max.min(free), many).map_err(|used| {
            if used.saturating_add(many) > max {
                OrgFull::Own(u64::from(used))
            } else {
                OrgFull::All
            }
        })
    }

    /// The number of places that a caller or an org has.
    pub fn count_of(&self, key: impl Hash) -> u64 {
        let key = self.0.hasher.hash_one(key);
        let held = self.shard(key).lock();
        held.get(&key).copied().map_or(0, u64::from)
    }

    /// Takes one of all the places, for a request that has arrived. While at most half are free, a caller never has
    /// more places of its own than are free.
    ///
    /// # Errors
    /// `throttled`.
    pub fn work(&self, caller: &InFlight) -> Result<Working, Rejection> {
        self.work_many(caller, 1)
    }

    /// The same for a request that counts as several: all of its places, or none.
    ///
    /// # Errors
    /// `throttled`.
    pub fn work_many(&self, caller: &InFlight, many: u32) -> Result<Working, Rejection> {
        self.0.working.fetch_add(many as usize, Ordering::Relaxed);
        // Given back if they may not be kept.
        let working = Working(self.clone(), many);
        let used = self.0.working.load(Ordering::Relaxed);
        let free = self.free().saturating_add(many as usize);
        let over = used > self.0.working_max;
        if over || free <= self.0.working_max / 2 && caller.count() > free {
            return Err(super::reply::throttled());
        }
        Ok(working)
    }

    fn free(&self) -> usize {
        let used = self.0.working.load(Ordering::Relaxed);
        self.0.working_max.saturating_sub(used)
    }

    /// Takes some of `max` places of a key, or returns how many it has.
    fn count(&self, key: impl Hash, max: u32, many: u32) -> Result<InFlight, u32> {
        let key = self.0.hasher.hash_one(key);
        let mut held = self.shard(key).lock();
        let count = held.entry(key).or_default();
        if count.saturating_add(many) > max {
            let used = *count;
            if used == 0 {
                held.remove(&key);
            }
            return Err(used);
        }
        *count += many;
        Ok(InFlight(Some((self.clone(), key, many))))
    }

    fn shard(&self, key: u64) -> &Mutex<HashMap<u64, u32, RandomState>> {
        &self.0.shards[key as usize % SHARDS]
    }
}

impl InFlight {
    /// The place of a request that takes none.
    pub fn uncounted() -> Self {
        Self(None)
    }

    /// The number of places that its caller has.
    fn count(&self) -> usize {
        let count = self.0.as_ref().and_then(|(places, key, _)| {
            let held = places.shard(*key).lock();
            held.get(key).copied()
        });
        count.map_or(0, |count| count as usize)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let Some((places, key, many)) = self.0.take() else {
            return;
        };
        if let Entry::Occupied(mut count) = places.shard(key).lock().entry(key) {
            *count.get_mut() -= many;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0
            .0
            .working
            .fetch_sub(self.1 as usize, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_empty(places: &Places) -> bool {
        places.0.shards.iter().all(|shard| shard.lock().is_empty())
    }

    #[test]
    fn a_place_is_given_back_and_a_caller_without_requests_is_forgotten() {
        let places = Places::new(100);
        let first = places.enter("one", 2).unwrap();
        let second = places.enter("one", 2).unwrap();
        assert!(places.enter("one", 2).is_err());
        let other = places.enter("other", 2).unwrap();
        drop(first);
        let third = places.enter("one", 2).unwrap();
        assert!(places.enter("one", 2).is_err());
        drop((second, third, other));
        assert!(is_empty(&places));
        drop(places.enter("one", 0).unwrap());
    }

    /// As many requests to an org as it may have, each of another caller.
    fn fill(places: &Places, org: &str) -> Vec<(Working, InFlight)> {
        let one = || {
            let working = places.work(&InFlight::uncounted()).ok()?;
            Some((working, places.enter_org(org, 0).ok()?))
        };
        std::iter::from_fn(one).collect()
    }

    #[test]
    fn however_many_orgs_take_all_they_can_there_is_a_place_for_another() {
        let places = Places::new(120);
        let mut held = Vec::new();
        for number in 0..5 {
            held.push(fill(&places, &format!("hostile {number}")));
        }
        let counts: Vec<_> = held.iter().map(Vec::len).collect();
        assert_eq!(counts, [60, 30, 15, 8, 4]);
        assert!(!fill(&places, "honest").is_empty());
        drop(held);
        assert_eq!(fill(&places, "honest").len(), 60);
        assert!(is_empty(&places));
    }

    #[test]
    fn a_request_that_counts_as_several_takes_all_or_none() {
        let places = Places::new(10);
        let three = places.enter_many("one", 4, 3).unwrap();
        assert!(places.enter_many("one", 4, 2).is_err());
        let fourth = places.enter("one", 4).unwrap();
        assert_eq!(places.count_of("one"), 4);
        let none = InFlight::uncounted();
        let six = places.work_many(&none, 6).unwrap();
        assert!(places.work_many(&none, 5).is_err());
        let of_org = places.enter_org_many("org", 7, 6).unwrap();
        let full = places.enter_org_many("org", 7, 2).unwrap_err();
        assert_eq!(full, OrgFull::Own(6));
        let full = places.enter_org_many("org", 0, 5).unwrap_err();
        assert_eq!(full, OrgFull::All);
        drop((three, fourth, six, of_org));
        assert!(is_empty(&places));
        assert_eq!(places.free(), 10);
    }

    #[test]
    fn one_caller_does_not_take_all_places() {
        let places = Places::new(8);
        let mut held = Vec::new();
        let one = || {
            let place = places.enter("one", 100).ok()?;
            Some((places.work(&place).ok()?, place))
        };
        held.extend(std::iter::from_fn(one));
        assert_eq!(held.len(), 4);
        let place = places.enter("other", 100).unwrap();
        assert!(places.work(&place).is_ok());
    }
}
