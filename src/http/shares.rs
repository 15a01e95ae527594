//! A bounded amount that many callers share: when it is used up, the owner with most loses a share to one with less.
//!
//! The amount may be connections, transfers, or bytes of memory. Each share belongs to an owner (an org, a principal or an
//! address) and may count against further bounds, such as that of one url. There is no waiting: a newcomer gets a share at
//! once, if need be that of another, or is refused.

use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::future::poll_fn;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use foldhash::fast::RandomState;
use futures_util::task::AtomicWaker;

use crate::clock::Stopwatch;

/// Names an owner or another bound: a keyed hash, so that no text is kept. Two that are equal by chance share a bound.
pub type Key = u64;

/// The progress of a share that is at work, and is revoked last.
const AT_WORK: u64 = u64::MAX;

/// Something that counts a share: the owner, first, then others.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// The owner that is counted.
    pub key: Key,
    /// Most that it may hold; 0 for no bound of its own.
    pub max: u64,
    /// Its name in refusals.
    pub name: &'static str,
}

/// Why there is no share: the name of the bound, or `total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full(pub &'static str);

/// Notifies one task, the last that waited, that something is over.
#[derive(Debug, Default)]
pub struct Signal {
    raised: AtomicBool,
    waker: AtomicWaker,
}

impl Signal {
    /// Raises it, for good.
    pub fn raise(&self) {
        self.raised.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether it was raised.
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    /// Ready once it is raised.
    pub fn poll_raised(&self, context: &Context<'_>) -> Poll<()> {
        if self.is_raised() {
            return Poll::Ready(());
        }
        self.waker.register(context.waker());
        // It may have been raised before the waker was there.
        if self.is_raised() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Waits until it is raised.
    pub async fn raised(&self) {
        poll_fn(|context| self.poll_raised(context)).await;
    }
}

/// The amount, and who holds what of it.
#[derive(Debug)]
pub struct Shares {
    total_max: u64,
    idle_ms: u64,
    since: Stopwatch,
    hasher: RandomState,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    used: u64,
    next_id: u64,
    entries: HashMap<u64, Entry>,
    groups: HashMap<Key, Group>,
    /// Owners by what they hold.
    owners: BTreeSet<(u64, Key)>,
}

#[derive(Debug)]
struct Entry {
    amount: u64,
    bounds: Vec<Bound>,
    moved: Arc<AtomicU64>,
    signal: Arc<Signal>,
}

/// The shares that count against one bound.
#[derive(Debug, Default)]
struct Group {
    amount: u64,
    ids: BTreeSet<u64>,
}

/// Part of the amount; dropping it gives it back.
#[derive(Debug)]
pub struct Share {
    shares: Arc<Shares>,
    id: u64,
    moved: Arc<AtomicU64>,
    signal: Arc<Signal>,
}

impl Shares {
    /// An amount of which nothing is used. A share without progress for `idle_ms` can be revoked for any other.
    pub fn new(total_max: u64, idle_ms: u64) -> Arc<Self> {
        Arc::new(Self {
            total_max,
            idle_ms,
            since: Stopwatch::start(),
            hasher: RandomState::default(),
            held: Mutex::default(),
        })
    }

    /// The key of an owner or another bound. Different kinds need different types, or a word with the value.
    pub fn key(&self, of: impl Hash) -> Key {
        self.hasher.hash_one(of)
    }

    /// The amount in use by all.
    pub fn used(&self) -> u64 {
        self.held.lock().used
    }

    /// The amount that counts against a bound.
    pub fn held_by(&self, key: Key) -> u64 {
        self.held.lock().amount_of(key)
    }

    /// A share for the first bound's owner. When a share is revoked, its signal is raised.
    ///
    /// # Errors
    /// The bound that is used up, by shares that cannot be revoked.
    pub fn enter(
        self: &Arc<Self>,
        bounds: &[Bound],
        amount: u64,
        signal: Arc<Signal>,
    ) -> Result<Share, Full> {
        let now = self.since.millis();
        let moved = Arc::new(AtomicU64::new(now));
        let mut held = self.held.lock();
        held.make_room((self.total_max, self.idle_ms, now), bounds, amount)?;
        let id = held.next_id;
        held.next_id += 1;
        let entry = Entry {
            amount: 0,
            bounds: bounds.to_vec(),
            moved: moved.clone(),
            signal: signal.clone(),
        };
        for bound in bounds {
            held.groups.entry(bound.key).or_default().ids.insert(id);
        }
        held.entries.insert(id, entry);
        held.set(id, amount);
        drop(held);
        Ok(Share {
            shares: self.clone(),
            id,
            moved,
            signal,
        })
    }
}

impl Held {
    fn amount_of(&self, key: Key) -> u64 {
        self.groups.get(&key).map_or(0, |group| group.amount)
    }

    /// Revokes shares of others until there is room.
    fn make_room(
        &mut self,
        (total_max, idle_ms, now): (u64, u64, u64),
        bounds: &[Bound],
        amount: u64,
    ) -> Result<(), Full> {
        // The progress of one that is at work is later than now.
        let is_idle = |moved: u64| now.checked_sub(moved).is_some_and(|age| age >= idle_ms);
        for bound in bounds.iter().filter(|bound| bound.max > 0) {
            while self.amount_of(bound.key).saturating_add(amount) > bound.max {
                let slowest = self.slowest(bound.key);
                let (_, id) = slowest
                    .filter(|(moved, _)| is_idle(*moved))
                    .ok_or(Full(bound.name))?;
                self.displace(id);
            }
        }
        let owner = bounds.first().map_or(0, |bound| bound.key);
        while self.used.saturating_add(amount) > total_max {
            let &(largest, key) = self.owners.last().ok_or(Full("total"))?;
            let (moved, id) = self.slowest(key).ok_or(Full("total"))?;
            let own = self.amount_of(owner).saturating_add(amount);
            let idle = is_idle(moved) && (largest >= own || key == owner);
            if largest <= own && !idle {
                return Err(Full("total"));
            }
            self.displace(id);
        }
        Ok(())
    }

    /// The share of a group whose last progress is longest ago, with when that was.
    fn slowest(&self, key: Key) -> Option<(u64, u64)> {
        let ids = self.groups.get(&key)?.ids.iter();
        let entries = ids.filter_map(|id| Some((self.entries.get(id)?, *id)));
        entries
            .map(|(entry, id)| (entry.moved.load(Ordering::Relaxed), id))
            .min()
    }

    fn displace(&mut self, id: u64) {
        if let Some(entry) = self.entries.get(&id) {
            entry.signal.raise();
        }
        self.remove(id);
    }

    fn remove(&mut self, id: u64) {
        self.set(id, 0);
        let Some(entry) = self.entries.remove(&id) else {
            return;
        };
        for bound in &entry.bounds {
            if let Some(group) = self.groups.get_mut(&bound.key) {
                group.ids.remove(&id);
                if group.ids.is_empty() {
                    self.groups.remove(&bound.key);
                }
            }
        }
    }

    /// Sets what a share holds.
    fn set(&mut self, id: u64, amount: u64) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let before = std::mem::replace(&mut entry.amount, amount);
        self.used = self.used.saturating_sub(before).saturating_add(amount);
        for (index, bound) in entry.bounds.iter().enumerate() {
            let Some(group) = self.groups.get_mut(&bound.key) else {
                continue;
            };
            let old = group.amount;
            group.amount = old.saturating_sub(before).saturating_add(amount);
            if index == 0 {
                self.owners.remove(&(old, bound.key));
                if group.amount > 0 {
                    self.owners.insert((group.amount, bound.key));
                }
            }
        }
    }
}

impl Share {
    /// Changes what it holds. When it may not grow, it holds what it held.
    ///
    /// # Errors
    /// [`Full`] with the bound that is used up.
    pub fn set_amount(&self, amount: u64) -> Result<(), Full> {
        let now = self.shares.since.millis();
        let limits = (self.shares.total_max, self.shares.idle_ms, now);
        self.note_progress();
        let mut held = self.shares.held.lock();
        let Some(entry) = held.entries.get(&self.id) else {
            return Err(Full("total"));
        };
        let (before, bounds) = (entry.amount, entry.bounds.clone());
        if let Some(more) = amount.checked_sub(before).filter(|more| *more > 0) {
            held.make_room(limits, &bounds, more)?;
        }
        held.set(self.id, amount);
        Ok(())
    }

    /// Notes that it made progress.
    pub fn note_progress(&self) {
        let now = self.shares.since.millis();
        self.moved.store(now, Ordering::Relaxed);
    }

    /// Notes that it is at work, and is revoked last, until the next progress is noted.
    pub fn note_at_work(&self) {
        self.moved.store(AT_WORK, Ordering::Relaxed);
    }

    /// The signal that is raised when it is revoked.
    pub fn signal(&self) -> &Arc<Signal> {
        &self.signal
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shares.held.lock().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(key: Key, max: u64) -> Bound {
        Bound {
            key,
            max,
            name: "owner",
        }
    }

    fn enter(shares: &Arc<Shares>, owner: Key, amount: u64) -> Result<Share, Full> {
        shares.enter(&[bound(owner, 0)], amount, Arc::default())
    }

    #[test]
    fn whoever_holds_most_gives_way_until_all_hold_the_same() {
        let shares = Shares::new(8, 60_000);
        let first: Vec<_> = (0..8).map(|_| enter(&shares, 1, 1).unwrap()).collect();
        assert_eq!(enter(&shares, 1, 1).unwrap_err(), Full("total"));
        let second: Vec<_> = (0..4).map(|_| enter(&shares, 2, 1).unwrap()).collect();
        assert_eq!(enter(&shares, 2, 1).unwrap_err(), Full("total"));
        let lost = |held: &[Share]| {
            let raised = |share: &&Share| share.signal().is_raised();
            held.iter().filter(raised).count()
        };
        assert_eq!((lost(&first), lost(&second)), (4, 0));
        // Whatever order they come in: there is one for each of eight.
        let others: Vec<_> = (3..9)
            .map(|owner| enter(&shares, owner, 1).unwrap())
            .collect();
        assert_eq!((lost(&first), lost(&second), lost(&others)), (7, 3, 0));
        assert_eq!(enter(&shares, 9, 1).unwrap_err(), Full("total"));
        drop((first, second, others));
        let held = shares.held.lock();
        assert_eq!(held.used, 0);
        assert!(held.entries.is_empty() && held.groups.is_empty() && held.owners.is_empty());
    }

    #[test]
    fn an_idle_share_gives_way_within_its_bounds_and_one_at_work_does_not() {
        let shares = Shares::new(8, 0);
        let url = |owner| [bound(owner, 4), bound(77, 2)];
        let take = |owner| shares.enter(&url(owner), 1, Arc::default());
        let (one, two) = (take(1).unwrap(), take(2).unwrap());
        two.note_at_work();
        let three = take(3).unwrap();
        assert!(one.signal().is_raised() && !two.signal().is_raised());
        three.note_at_work();
        assert_eq!(take(4).unwrap_err(), Full("owner"));
    }

    #[test]
    fn a_share_that_grows_takes_from_whoever_holds_more() {
        let shares = Shares::new(100, 60_000);
        let large = enter(&shares, 1, 90).unwrap();
        let small = enter(&shares, 2, 10).unwrap();
        small.set_amount(30).unwrap();
        assert!(large.signal().is_raised());
        assert_eq!(shares.used(), 30);
        small.set_amount(100).unwrap();
        assert_eq!(small.set_amount(101).unwrap_err(), Full("total"));
        assert_eq!(shares.used(), 100);
        assert_eq!(large.set_amount(1).unwrap_err(), Full("total"));
    }
}
