//! Rows that nearly every request reads, kept in memory as they stand in the database: who calls, and where they belong.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;

use super::StoreError;

/// Shards, so that threads seldom wait for each other.
const SHARDS: usize = 16;
/// Rows kept in one shard; past it the shard begins anew.
const ROWS_MAX: usize = 4_096;
/// Counters of changes. Rows share them, so that they fit into a processor's cache: 8 KiB.
const COUNTERS: usize = 1_024;

/// The rows, by key. What is not there is kept too.
#[derive(Debug)]
pub(super) struct RowCache<V> {
    shards: [Mutex<Shard<V>>; SHARDS],
    /// Not the one within the shards: their rows would all begin alike.
    chooser: RandomState,
    /// How often rows changed; each row has one of them.
    counters: [AtomicU64; COUNTERS],
}

/// How often a row, or one that shares its counter, had changed at some moment. What was read of the row after that moment
/// still stands while `RowCache::stands` says so.
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
    /// A row, read if it is not kept.
    pub(super) fn get(
        &self,
        key: &[u8],
        read: impl FnOnce() -> Result<V, StoreError>,
    ) -> Result<V, StoreError> {
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

    /// Forgets a row. To be called before it is written and after: who reads meanwhile keeps nothing.
    pub(super) fn forget(&self, key: &[u8]) {
        self.counters[usize::from(self.counter(key))].fetch_add(1, Ordering::AcqRel);
        let mut shard = lock(self.shard(key));
        shard.changes += 1;
        shard.rows.remove(key);
    }

    /// Forgets all rows.
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

    /// The changes of a row until now. To be asked before the row is read.
    pub(super) fn stamp(&self, key: &[u8]) -> RowVersion {
        let counter = self.counter(key);
        RowVersion {
            counter,
            changes: self.changes(counter),
        }
    }

    /// Whether a row is as it was when its stamp was taken. It may say no although it is.
    pub(super) fn stands(&self, stamp: RowVersion) -> bool {
        self.changes(stamp.counter) == stamp.changes
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
    use super::*;

    fn row(byte: u8) -> Option<u8> {
        Some(byte)
    }

    #[test]
    fn a_row_is_read_once_until_it_changes() {
        let kept = RowCache::default();
        let never = || panic!("it is kept");
        assert_eq!(kept.get(b"k", || Ok(row(1))).unwrap(), row(1));
        assert_eq!(kept.get(b"k", never).unwrap(), row(1));
        kept.forget(b"k");
        assert_eq!(kept.get(b"k", || Ok(None)).unwrap(), None);
        assert_eq!(kept.get(b"k", never).unwrap(), None, "absence is kept too");
        kept.clear();
        assert_eq!(kept.get(b"k", || Ok(row(2))).unwrap(), row(2));
    }

    #[test]
    fn what_was_read_while_it_changed_is_not_kept() {
        let kept = RowCache::default();
        // The old value is read between the two calls around a write.
        kept.forget(b"k");
        let old = kept.get(b"k", || {
            kept.forget(b"k");
            Ok(row(1))
        });
        assert_eq!(old.unwrap(), row(1));
        assert_eq!(kept.get(b"k", || Ok(row(2))).unwrap(), row(2));
    }

    #[test]
    fn a_stamp_stands_until_its_row_is_forgotten() {
        let kept = RowCache::<Option<u8>>::default();
        let stamp = kept.stamp(b"k");
        assert!(kept.stands(stamp));
        kept.forget(b"k");
        assert!(!kept.stands(stamp));
        let stamp = kept.stamp(b"k");
        assert!(kept.stands(stamp));
        kept.clear();
        assert!(!kept.stands(stamp));
    }

    #[test]
    fn a_bounded_number_is_kept() {
        let kept = RowCache::<Option<u8>>::default();
        for number in 0..200_000_u32 {
            kept.get(&number.to_be_bytes(), || Ok(None)).unwrap();
        }
        let rows: usize = kept.shards.iter().map(|shard| lock(shard).rows.len()).sum();
        assert!(rows <= SHARDS * ROWS_MAX, "{rows}");
    }
}
