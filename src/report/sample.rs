//! Sampling of refusals: some a second of each cause from each address have lines; the rest is counted, and reported together.

use parking_lot::{Mutex, MutexGuard};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::event::Event;
use super::field::Word;

/// Causes and addresses that are counted apart; past it, new ones share the lines of their cause. With the default of
/// ten a second it takes as many hostile addresses to fill the log by refusals as there may be here.
const KEYS_MAX: usize = 1_024;
/// Milliseconds between two reports of refusals without lines.
pub(super) const TELL_EVERY_MS: u64 = 10_000;
const SECOND_MS: u64 = 1_000;

/// A cause, and the client's address, when there is one.
type Key = (Word, Option<IpAddr>);

/// Decides which refusals have lines, and counts the rest.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    /// Lines a second of one cause and address; 0 for no limit.
    per_second: u64,
    held: Mutex<Held>,
    /// Whether refusals without lines are waiting to be reported.
    pending: AtomicBool,
    left_out: AtomicU64,
}

#[derive(Debug, Default)]
struct Held {
    told: HashMap<Key, Told>,
    left_out: HashMap<Word, LeftOut>,
    told_at_ms: u64,
    /// When those that are quiet were last forgotten to make room.
    swept_second: u64,
}

/// The refusals of one second that have lines.
#[derive(Debug, Default)]
struct Told {
    second: u64,
    lines: u64,
}

#[derive(Debug, Default)]
struct LeftOut {
    requests: u64,
    addresses: HashSet<Option<IpAddr>>,
}

impl Sampler {
    pub(super) fn new(per_second: u64) -> Self {
        Self {
            per_second,
            ..Self::default()
        }
    }

    /// Whether a refusal has its lines, and whether it is the first without since the last report.
    pub(super) fn keeps(&self, cause: Word, address: Option<IpAddr>, now_ms: u64) -> (bool, bool) {
        if self.per_second == 0 {
            return (true, false);
        }
        let second = now_ms / SECOND_MS;
        let mut held = self.lock();
        let mut full = held.told.len() >= KEYS_MAX && !held.told.contains_key(&(cause, address));
        if full && held.swept_second != second {
            held.swept_second = second;
            held.told.retain(|_, told| told.second == second);
            full = held.told.len() >= KEYS_MAX;
        }
        let key = (cause, address.filter(|_| !full));
        let told = held.told.entry(key).or_default();
        if told.second != second {
            *told = Told { second, lines: 0 };
        }
        if told.lines < self.per_second {
            told.lines += 1;
            return (true, false);
        }
        let left_out = held.left_out.entry(cause).or_default();
        left_out.requests += 1;
        if left_out.addresses.len() < KEYS_MAX {
            left_out.addresses.insert(address);
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        let first = !self.pending.swap(true, Ordering::Relaxed);
        if first {
            held.told_at_ms = now_ms;
        }
        (false, first)
    }

    /// Refusals that were left out since the start.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// Whether refusals without lines are waiting to be reported.
    pub(super) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Relaxed)
    }

    /// The counts of refusals without lines, when they are due to be reported, or at the end. Causes and addresses without
    /// recent ones are removed.
    pub(super) fn due(&self, now_ms: u64, ending: bool) -> Vec<Event> {
        if !self.is_pending() {
            return Vec::new();
        }
        let mut held = self.lock();
        let since_ms = now_ms.saturating_sub(held.told_at_ms);
        if since_ms < TELL_EVERY_MS && !ending {
            return Vec::new();
        }
        self.pending.store(false, Ordering::Relaxed);
        let second = now_ms / SECOND_MS;
        held.told.retain(|_, told| told.second == second);
        let mut left_out: Vec<_> = held.left_out.drain().collect();
        left_out.sort_by_key(|(cause, _)| *cause);
        let events = left_out
            .into_iter()
            .map(|(cause, left_out)| Event::RefusalsLeftOut {
                tag: cause,
                requests: left_out.requests,
                addresses: left_out.addresses.len() as u64,
                within_ms: since_ms,
            });
        events.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn each_cause_and_address_has_its_lines_and_the_rest_is_counted() {
        let sampler = Sampler::new(2);
        let kept = |cause, last, now_ms| {
            let kept = (0..5).filter(|_| sampler.keeps(cause, address(last), now_ms).0);
            kept.count()
        };
        assert_eq!(kept("throttled", 1, 1_000), 2);
        assert_eq!(kept("throttled", 2, 1_999), 2);
        assert_eq!(kept("not-found", 1, 1_999), 2);
        assert_eq!(kept("throttled", 1, 2_000), 2);
        assert!(sampler.due(10_999, false).is_empty());
        let told = sampler.due(11_000, false);
        let told: Vec<_> = told.iter().map(|event| format!("{event:?}")).collect();
        assert_eq!(
            told,
            [
                "RefusalsLeftOut { tag: \"not-found\", requests: 3, addresses: 1, within_ms: 10000 }",
                "RefusalsLeftOut { tag: \"throttled\", requests: 9, addresses: 2, within_ms: 10000 }",
            ]
        );
        assert!(sampler.due(30_000, true).is_empty());
        assert_eq!(sampler.left_out(), 12);
    }

    #[test]
    fn addresses_past_the_limit_share_the_lines_of_their_cause() {
        let sampler = Sampler::new(1);
        let mut kept = 0;
        for number in 0..10 * KEYS_MAX as u32 {
            let address = Some(IpAddr::from(number.to_be_bytes()));
            kept += usize::from(sampler.keeps("throttled", address, 1_000).0);
        }
        assert_eq!(kept, KEYS_MAX + 1);
        assert!(sampler.lock().told.len() <= KEYS_MAX + 1);
        assert!(!sampler.due(1_000, true).is_empty());
        sampler.keeps("throttled", address(1), 9_000);
        sampler.keeps("throttled", address(1), 9_000);
        assert_eq!(sampler.due(9_000, true).len(), 1);
        assert_eq!(sampler.lock().told.len(), 1);
    }

    #[test]
    fn without_a_limit_each_has_its_lines() {
        let sampler = Sampler::new(0);
        assert!((0..100).all(|_| sampler.keeps("throttled", address(1), 0).0));
    }
}
