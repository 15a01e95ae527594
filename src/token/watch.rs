//! Keys that have an age, and a file of keys that is read again when it changes.

use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Denied;
use super::files::{KeyFileError, Mark, read_keys};
use super::keys::KeySet;
use super::settings::Kind;
use crate::domain::Timestamp;
use crate::report;

/// How long keys are used after they were last known to be those of the issuer: two hours.
const STALE_MS: u64 = 7_200_000;
/// How often a file is looked at, at most.
const LOOK_MS: u64 = 1_000;

/// Good keys, and when they were last known to be.
#[derive(Debug)]
pub(super) struct Held {
    keys: Arc<KeySet>,
    good_at: Timestamp,
}

impl Held {
    /// Keys that are good now.
    pub(super) fn new(keys: KeySet, now: Timestamp) -> Self {
        Self {
            keys: Arc::new(keys),
            good_at: now,
        }
    }

    /// Milliseconds since they were last known to be good.
    pub(super) fn age_ms(&self, now: Timestamp) -> u64 {
        apart(self.good_at, now)
    }

    /// The keys, unless it is too long ago that they were known to be good.
    pub(super) fn keys(&self, now: Timestamp) -> Result<Arc<KeySet>, Denied> {
        match apart(self.good_at, now) < STALE_MS {
            true => Ok(self.keys.clone()),
            false => Err(Denied::KeysStale),
        }
    }
}

/// Milliseconds between two times. A clock that was set back counts as one that was set forward.
pub(super) fn apart(one: Timestamp, other: Timestamp) -> u64 {
    one.millis().abs_diff(other.millis())
}

/// Tells the operator once that keys cannot be had, and once that they can again.
#[derive(Debug)]
pub(super) struct Telling {
    setting: &'static str,
    failing: bool,
}

impl Telling {
    /// Of the keys that a setting names.
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            setting: kind.setting(),
            failing: false,
        }
    }

    /// How it went this time.
    pub(super) fn hear<T>(&mut self, result: &Result<T, impl std::error::Error>) {
        match result {
            Ok(_) if self.failing => report::token_keys_good(self.setting),
            Err(error) if !self.failing => {
                let cause = error.source().map(|cause| format!(": {cause}"));
                let error = format!("{error}{}", cause.unwrap_or_default());
                report::token_keys_failed(self.setting, &error);
            }
            Ok(_) | Err(_) => {}
        }
        self.failing = result.is_err();
    }
}

/// A file of keys.
pub(super) struct KeyFile {
    path: PathBuf,
    seen: Mutex<Seen>,
}

/// What was last seen of it.
struct Seen {
    held: Held,
    /// Of the file that the keys are from.
    mark: Mark,
    looked_at: Timestamp,
    telling: Telling,
}

impl KeyFile {
    /// Reads it.
    pub(super) fn open(path: &Path, now: Timestamp) -> Result<Self, KeyFileError> {
        let mark = Mark::of(path)?;
        let seen = Seen {
            held: Held::new(read_keys(path)?, now),
            mark,
            looked_at: now,
            telling: Telling::new(Kind::File),
        };
        Ok(Self {
            path: path.to_owned(),
            seen: Mutex::new(seen),
        })
    }

    /// Its keys. Whoever comes first in a second looks whether it has changed, while the others wait.
    pub(super) fn keys(&self, now: Timestamp) -> Result<Arc<KeySet>, Denied> {
        let mut seen = self.seen.lock();
        if apart(seen.looked_at, now) >= LOOK_MS {
            seen.looked_at = now;
            let looked = seen.look(&self.path, now);
            seen.telling.hear(&looked);
        }
        seen.held.keys(now)
    }

    /// Milliseconds since its keys were last known to be good.
    pub(super) fn age_ms(&self, now: Timestamp) -> u64 {
        let seen = self.seen.lock();
        seen.held.age_ms(now)
    }
}

impl Seen {
    /// Looks at the file, and reads it if it is not the one that the keys are from.
    fn look(&mut self, path: &Path, now: Timestamp) -> Result<(), KeyFileError> {
        // Ahead of the reading: what is written meanwhile is seen the next time.
        let mark = Mark::of(path)?;
        if mark != self.mark {
            self.held = Held::new(read_keys(path)?, now);
            self.mark = mark;
        }
        self.held.good_at = now;
        Ok(())
    }
}
