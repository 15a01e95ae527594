//! Recent callers, with their orgs and roles: nearly every request comes from one of these.

use parking_lot::Mutex;
use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::principal::Principal;
use crate::domain::Timestamp;
use crate::http::reply::Refusal;
use crate::projections::Store;
use crate::projections::row_cache::RowVersion;

/// Shards, so that threads seldom wait for each other.
const SHARDS: usize = 16;
/// Callers kept in one shard; past it the shard is cleared. With their orgs they take at most about 16 MiB.
const CALLERS_MAX: usize = 1_024;
/// How long a caller is cached, in milliseconds: each look-up counts as use, and of an hour a second
/// is nothing.
const KNOWN_MS: i64 = 1_000;

/// Keyed hash of a credential.
type Digest = [u8; 32];

/// The callers, by the keyed hash of what they showed. Who showed nothing valid is not kept.
#[derive(Default)]
pub struct Callers {
    shards: [Mutex<HashMap<Digest, CacheEntry, RandomState>>; SHARDS],
}

/// A caller who was looked up.
pub(super) struct Lookup {
    /// The caller that was found.
    pub principal: Principal,
    /// The version of the credential's row before it was read.
    pub row: RowVersion,
    /// Until when the credential is good, if it is not used.
    pub expires_at: Option<Timestamp>,
    /// Whether the next look-up would do nothing that this one has not done.
    pub keep: bool,
}

struct CacheEntry {
    looked: Lookup,
    at: Timestamp,
}

impl CacheEntry {
    /// Whether nothing can have changed that a new look-up would find.
    fn stands(&self, store: &Store, now: Timestamp) -> bool {
        let age_ms = now.millis() - self.at.millis();
        self.looked.keep
            && (0..KNOWN_MS).contains(&age_ms)
            && self.looked.expires_at.is_none_or(|end| end > now)
            && store.is_current(self.looked.row)
    }
}

impl Callers {
    /// The caller with a credential, from the cache if the credential's row has not changed; otherwise as `look`
    /// finds.
    ///
    /// # Errors
    /// As `look`.
    pub(super) fn get(
        &self,
        (store, now): (&Store, Timestamp),
        digest: Digest,
        look: impl FnOnce() -> Result<Lookup, Refusal>,
    ) -> Result<Principal, Refusal> {
        let shard = self.shard(&digest);
        if let Some(known) = shard.lock().get(&digest)
            && known.stands(store, now)
        {
            return Ok(known.looked.principal.clone());
        }
        let looked = look();
        let mut shard = shard.lock();
        let mut looked = match looked {
            Ok(looked) => looked,
            Err(refusal) => {
                shard.remove(&digest);
                return Err(refusal);
            }
        };
        if let Some(known) = shard.get(&digest)
            && known.looked.row == looked.row
        {
            // The same caller, with the orgs that were looked up.
            looked.principal = known.looked.principal.clone();
        }
        if shard.len() >= CALLERS_MAX && !shard.contains_key(&digest) {
            shard.clear();
        }
        let principal = looked.principal.clone();
        shard.insert(digest, CacheEntry { looked, at: now });
        Ok(principal)
    }

    fn shard(&self, digest: &Digest) -> &Mutex<HashMap<Digest, CacheEntry, RandomState>> {
        // Any byte of a keyed hash is as good as chance.
        &self.shards[usize::from(digest[0]) % SHARDS]
    }
}
