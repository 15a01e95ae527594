//! Keys with their age, and a key file that is reloaded when it changes.

use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Denied;
use super::files::{KeyFileError, Mark, read_keys};
use super::keys::KeySet;
use super::settings::Kind;
use crate::domain::Timestamp;
use crate::os_error::with_causes;
use crate::report;

/// Milliseconds that keys are used after they were last known to be the issuer's: two hours.
const STALE_MS: u64 = 7_200_000;
/// Minimum milliseconds between two checks of a file.
const LOOK_MS: u64 = 1_000;

/// Keys, and when they were last known to be good.
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
        if apart(self.good_at, now) >= STALE_MS {
            return Err(Denied::KeysStale);
        }
        Ok(self.keys.clone())
    }
}

/// Milliseconds between two times. A clock that was set back counts as one that was set forward.
pub(super) fn apart(one: Timestamp, other: Timestamp) -> u64 {
    one.millis().abs_diff(other.millis())
}

/// Logs once that keys are not available, and once that they are again.
#[derive(Debug)]
pub(super) struct Telling {
    setting: &'static str,
    failing: bool,
}

impl Telling {
    /// A reporter for the keys that a setting names.
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            setting: kind.setting(),
            failing: false,
        }
    }

    /// Takes note of an attempt to get keys.
    pub(super) fn hear<T>(&mut self, result: &Result<T, impl std::error::Error + 'static>) {
        match result {
            Ok(_) if self.failing => report::token_keys_good(self.setting),
            Err(error) if !self.failing => {
                report::token_keys_failed(self.setting, &with_causes(error));
            }
            Ok(_) | Err(_) => {}
        }
        self.failing = result.is_err();
    }
}

/// A key file that is checked for changes when its keys are used.
pub(super) struct KeyFile {
    path: PathBuf,
    seen: Mutex<Seen>,
}

/// The state of a key file at its last check.
struct Seen {
    held: Held,
    /// The mark of the file that the keys are from.
    mark: Mark,
    looked_at: Timestamp,
    telling: Telling,
}

impl KeyFile {
    /// Reads the file for the first time.
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

    /// The file's keys. The first caller in a second checks it for changes while the others wait.
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
    /// Reads the file if its mark has changed.
    fn look(&mut self, path: &Path, now: Timestamp) -> Result<(), KeyFileError> {
        // Taken before reading: what is written meanwhile is noticed at the next check.
        let mark = Mark::of(path)?;
        if mark != self.mark {
            self.held = Held::new(read_keys(path)?, now);
            self.mark = mark;
        }
        self.held.good_at = now;
        Ok(())
    }
}
