//! Inline payloads that were read from the log and checked, in memory.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::Position;

/// What an entry of the cache takes besides its payload, in bytes, about.
const ENTRY_BYTES: u64 = 96;
/// Bytes of a payload that a cache is laid out for, with its entry.
const TYPICAL_BYTES: u64 = 512;

/// The payloads that were read last, within a number of bytes.
pub(crate) struct PayloadCache {
    payloads: Cache<Position, Bytes, Weight>,
    /// How often it was cleared.
    clearings: AtomicU64,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Position, Bytes> for Weight {
    fn weight(&self, _: &Position, payload: &Bytes) -> u64 {
        ENTRY_BYTES + payload.len() as u64
    }
}

impl PayloadCache {
    /// An empty one for `bytes_max` bytes.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let entries = usize::try_from(bytes_max / TYPICAL_BYTES).unwrap_or(usize::MAX);
        Self {
            payloads: Cache::with_weighter(entries, bytes_max, Weight),
            clearings: AtomicU64::new(0),
        }
    }

    /// The payload of an entry; read, and kept, when it is not there.
    pub(crate) fn get_or_read<E>(
        &self,
        position: Position,
        read: impl FnOnce() -> Result<Option<Bytes>, E>,
    ) -> Result<Option<Bytes>, E> {
        if let Some(payload) = self.payloads.get(&position) {
            return Ok(Some(payload));
        }
        let clearings = self.clearings.load(Ordering::SeqCst);
        let payload = read()?;
        if let Some(payload) = &payload {
            self.payloads.insert(position, payload.clone());
            // It may have been erased since it was read, and the cache cleared before it was in.
            if self.clearings.load(Ordering::SeqCst) != clearings {
                self.payloads.remove(&position);
            }
        }
        Ok(payload)
    }

    /// Removes every payload, because some were erased.
    pub(crate) fn clear(&self) {
        self.clearings.fetch_add(1, Ordering::SeqCst);
        self.payloads.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: u64 = 64 * 1024;

    fn read(cache: &PayloadCache, position: Position, payload: Option<Bytes>) -> Option<Bytes> {
        let read = cache.get_or_read(position, || Ok::<_, ()>(payload));
        read.expect("no failure")
    }

    #[test]
    fn a_payload_is_read_once_until_the_cache_is_cleared() {
        let cache = PayloadCache::new(BYTES_MAX);
        let whole = Bytes::from_static(b"whole");
        assert_eq!(read(&cache, 1, None), None, "nothing is kept of nothing");
        assert_eq!(read(&cache, 1, Some(whole.clone())), Some(whole.clone()));
        assert_eq!(read(&cache, 1, None), Some(whole));
        cache.clear();
        assert_eq!(read(&cache, 1, None), None);
    }

    #[test]
    fn a_payload_that_is_erased_while_it_is_read_is_not_kept() {
        let cache = PayloadCache::new(BYTES_MAX);
        let raced = cache.get_or_read(1, || {
            cache.clear();
            Ok::<_, ()>(Some(Bytes::from_static(b"old")))
        });
        assert_eq!(raced, Ok(Some(Bytes::from_static(b"old"))));
        assert_eq!(read(&cache, 1, None), None);
    }

    #[test]
    fn it_keeps_within_its_bytes() {
        let cache = PayloadCache::new(BYTES_MAX);
        for position in 1..=1_000 {
            read(&cache, position, Some(Bytes::from(vec![7; 1_000])));
        }
        assert!(cache.payloads.weight() <= BYTES_MAX);
        assert!(cache.payloads.len() > 20, "{}", cache.payloads.len());
        read(&cache, 5_000, Some(Bytes::from(vec![7; 100_000])));
        assert!(
            cache.payloads.weight() <= BYTES_MAX,
            "one that is larger than all of it"
        );
    }
}
