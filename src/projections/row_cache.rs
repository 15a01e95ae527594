//! A cache of rows that nearly every request reads: sessions, keys, memberships and orgs.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;

/// Shards, so that threads seldom wait for each other.
const SHARDS: usize = 16;
/// Most rows of one shard; past it the shard is cleared.
const ROWS_MAX: usize = 4_096;
/// Counters of changes. Rows share them, so that they fit into a processor's cache: 8 KiB.
const COUNTERS: usize = 1_024;

/// The rows by key. Absence is cached too.
#[derive(Debug)]
pub(super) struct RowCache<V> {
    shards: [Mutex<Shard<V>>; SHARDS],
    /// Not the one within the shards: their rows would all begin alike.
    chooser: RandomState,
    /// How often rows changed; each row has one of them.
    counters: [AtomicU64; COUNTERS],
}

/// How often a row, or one that shares its counter, had changed at some moment. A row read after that moment is current
/// while `RowCache::is_current` says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowVersion {
    counter: u16,
    changes: u64,
}

#[derive(Debug)]
struct Shard<V> {
    /// With a quick hash: nearly every request asks three times, and a shard is too small to be flooded.
    rows: HashMap<Box<[u8]>, V, RandomState>,
    /// How often something in it changed: what was read before a change is not kept after it.
    changes: u64,
}

impl<V> Default for RowCache<V> {
    fn default() -> Self {
        let shard = || {
            Mutex::new(Shard {
                rows: HashMap::default(),
                changes: 0,
            })
        };
        Self {
            shards: std::array::from_fn(|_| shard()),
            chooser: RandomState::default(),
            counters: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl<V: Clone> RowCache<V> {
    /// A row, read if it is not cached.
    pub(super) fn get<E>(&self, key: &[u8], read: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        let shard = self.shard(key);
        let changes = {
            let shard = lock(shard);
            if let Some(value) = shard.rows.get(key) {
                return Ok(value.clone());
            }
            shard.changes
        };
        let value = read()?;
        let mut shard = lock(shard);
        if shard.changes == changes {
            if shard.rows.len() >= ROWS_MAX {
                shard.rows.clear();
            }
            shard.rows.insert(key.into(), value.clone());
        }
        Ok(value)
    }

    /// Removes a row. To be called before it is written and after: a concurrent reader then caches nothing.
    pub(super) fn invalidate(&self, key: &[u8]) {
        self.counters[usize::from(self.counter(key))].fetch_add(1, Ordering::AcqRel);
        let mut shard = lock(self.shard(key));
        shard.changes += 1;
        shard.rows.remove(key);
    }

    /// Removes all rows, after an erasure.
    pub(super) fn clear(&self) {
        for counter in &self.counters {
            counter.fetch_add(1, Ordering::AcqRel);
        }
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.changes += 1;
            shard.rows.clear();
        }
    }

    /// The version of a row. To be taken before the row is read.
    pub(super) fn version(&self, key: &[u8]) -> RowVersion {
        let counter = self.counter(key);
        RowVersion {
            counter,
            changes: self.changes(counter),
        }
    }

    /// Whether a row has not changed since its version was taken. False negatives are possible: rows share counters.
    pub(super) fn is_current(&self, version: RowVersion) -> bool {
        self.changes(version.counter) == version.changes
    }

    fn changes(&self, counter: u16) -> u64 {
        self.counters[usize::from(counter)].load(Ordering::Acquire)
    }

    fn counter(&self, key: &[u8]) -> u16 {
        let hash = self.chooser.hash_one(key) >> 32;
        u16::try_from(hash % COUNTERS as u64).unwrap_or_default()
    }

    fn shard(&self, key: &[u8]) -> &Mutex<Shard<V>> {
        let hash = self.chooser.hash_one(key);
        let number = usize::try_from(hash % SHARDS as u64).unwrap_or_default();
        &self.shards[number]
    }
}

fn lock<V>(shard: &Mutex<Shard<V>>) -> MutexGuard<'_, Shard<V>> {
    // Each change is one step: a panic elsewhere leaves nothing half done.
    shard.lock()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    type Read = Result<Option<u8>, Infallible>;

    fn row(byte: u8) -> Read {
        Ok(Some(byte))
    }

    #[test]
    fn a_row_is_read_once_until_it_is_invalidated() {
        let cache = RowCache::default();
        let never = || -> Read { panic!("it is cached") };
        assert_eq!(cache.get(b"k", || row(1)), row(1));
        assert_eq!(cache.get(b"k", never), row(1));
        cache.invalidate(b"k");
        assert_eq!(cache.get(b"k", || Read::Ok(None)), Ok(None));
        assert_eq!(
            cache.get(b"k", never).unwrap(),
            None,
            "absence is cached too"
        );
        cache.clear();
        assert_eq!(cache.get(b"k", || row(2)), row(2));
    }

    #[test]
    fn a_row_read_during_a_write_is_not_cached() {
        let cache = RowCache::default();
        // The old value is read between the two calls around a write.
        cache.invalidate(b"k");
        let old = cache.get(b"k", || {
            cache.invalidate(b"k");
            row(1)
        });
        assert_eq!(old, row(1));
        assert_eq!(cache.get(b"k", || row(2)), row(2));
    }

    #[test]
    fn a_version_is_current_until_its_row_is_invalidated() {
        let cache = RowCache::<Option<u8>>::default();
        let version = cache.version(b"k");
        assert!(cache.is_current(version));
        cache.invalidate(b"k");
        assert!(!cache.is_current(version));
        let version = cache.version(b"k");
        assert!(cache.is_current(version));
        cache.clear();
        assert!(!cache.is_current(version));
    }

    #[test]
    fn the_number_of_cached_rows_is_bounded() {
        let cache = RowCache::<Option<u8>>::default();
        for number in 0..200_000_u32 {
            cache.get(&number.to_be_bytes(), || Read::Ok(None)).unwrap();
        }
        let rows: usize = cache
            .shards
            .iter()
            .map(|shard| lock(shard).rows.len())
            .sum();
        assert!(rows <= SHARDS * ROWS_MAX, "{rows}");
    }
}
