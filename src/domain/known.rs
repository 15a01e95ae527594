//! Addresses from which a right passcode or secret code came: wrong ones given elsewhere do not keep their owner out from
//! there.

use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;

/// Addresses kept of one account: a home, a mobile network and an office, several times over.
const KNOWN_MAX: usize = 16;
/// How long an address is known after the last right code from it, 90 days: providers give it to another user in time.
const KNOWN_MS: i64 = 90 * 86_400_000;
/// Right codes from one address are journaled at most this often: once a day.
const NEWS_MS: i64 = 86_400_000;

/// An address from which a right code came, by a keyed hash of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownAddress {
    /// Keyed hash of account and address, in hex, so that the addresses of two accounts cannot be compared.
    pub hash: String,
    /// The last right code from it, to the day.
    pub at: Timestamp,
}

/// The addresses of one account, the one used longest ago first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownAddresses(Vec<KnownAddress>);

impl KnownAddresses {
    /// Whether a right code came from an address within the last 90 days.
    pub fn knows(&self, hash: &str, now: Timestamp) -> bool {
        let live = |known: &KnownAddress| known.at.plus_millis(KNOWN_MS) > now;
        self.0.iter().any(|known| known.hash == hash && live(known))
    }

    /// Whether a right code from an address is worth an event.
    pub(super) fn is_news(&self, hash: &str, now: Timestamp) -> bool {
        let fresh = |known: &KnownAddress| known.at.plus_millis(NEWS_MS) > now;
        !self
            .0
            .iter()
            .any(|known| known.hash == hash && fresh(known))
    }

    /// Adds an address, in place of the one used longest ago when there are too many.
    pub(super) fn add(&mut self, hash: &str, at: Timestamp) {
        self.0.retain(|known| known.hash != hash);
        if self.0.len() >= KNOWN_MAX {
            self.0.remove(0);
        }
        self.0.push(KnownAddress {
            hash: hash.to_owned(),
            at,
        });
    }
}
