//! Checks passcodes: few at once, few waiting, few of one account and address, and nothing that reveals which accounts
//! exist.

mod queue;
mod tries;

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::Arc;

use super::Refused;
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::passcode;

use queue::Queue;
pub(super) use tries::Attempt;
use tries::Tries;
pub use tries::WrongMax;

/// Accounts and addresses remembered in memory; past it the oldest are forgotten.
const REMEMBERED_MAX: usize = 100_000;

/// A keyed hash of the e-mail address given at sign-in.
pub(super) type Name = [u8; 32];

/// The address a passcode comes from, as limits count it: an IPv6 one is reduced to its /64. All connections without
/// one, such as those of a Unix socket, count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(pub Option<IpAddr>);

/// Makes hashes of passcodes and holds passcodes against them.
pub(super) struct Passcodes {
    clock: Clock,
    queue: Arc<Queue>,
    /// The hash of nobody's passcode: checked when there is no such account, so that both take as long.
    decoy: String,
    tries: Mutex<Tries>,
}

impl Passcodes {
    /// With no wrong passcode counted.
    pub(super) fn new(clock: Clock, max: WrongMax) -> Self {
        Self {
            clock,
            queue: Arc::default(),
            decoy: passcode::decoy(),
            tries: Mutex::new(Tries::new(max)),
        }
    }

    /// The number of passcodes that are checked or wait for a check.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Hashes a new passcode, for a caller whose right to set it was checked.
    ///
    /// # Errors
    /// [`Refused`] when too many wait already, or the work panicked.
    pub(super) async fn hash(&self, passcode: &str, from: Peer) -> Result<String, Refused> {
        let passcode = passcode.to_owned();
        let place = self.queue.enter(from, true).await?;
        let hashed = place.look(move || passcode::hash(&passcode)).await?;
        hashed.map_err(Refused::failed)
    }

    /// Whether a passcode is the one of an account's hash; never, when there is none.
    ///
    /// # Errors
    /// `throttled` after too many wrong ones, `Busy` when too many wait, or the work broke off.
    pub(super) async fn prove(
        &self,
        attempt: Attempt,
        passcode: &str,
        hash: Option<&str>,
    ) -> Result<bool, Refused> {
        self.tries().check(attempt, self.clock.now())?;
        let exists = hash.is_some();
        let hash = hash.unwrap_or(&self.decoy).to_owned();
        let passcode = passcode.to_owned();
        let place = self.queue.enter(attempt.peer, attempt.known).await?;
        self.tries().begin(attempt, self.clock.now())?;
        let look = place.look(move || passcode::verify(&passcode, &hash));
        let right = look.await? && exists;
        if right {
            self.tries().was_right(attempt);
        }
        Ok(right)
    }

    /// Forgets all wrong passcodes of an account.
    pub(super) fn lift(&self, name: &Name) {
        self.tries().lift(name);
    }

    fn tries(&self) -> MutexGuard<'_, Tries> {
        // Each change is one step: a panic elsewhere leaves nothing half done.
        self.tries.lock()
    }
}

/// Forgets the older half when there is too much to remember: 100,000 of anything.
pub(super) fn make_room<K: Eq + Hash, V, S: BuildHasher>(
    map: &mut HashMap<K, V, S>,
    at: impl Fn(&V) -> Timestamp,
) {
    if map.len() < REMEMBERED_MAX {
        return;
    }
    let mut times: Vec<_> = map.values().map(&at).collect();
    let half = times.len() / 2;
    let (_, middle, _) = times.select_nth_unstable(half);
    let middle = *middle;
    map.retain(|_, value| at(value) > middle);
}
