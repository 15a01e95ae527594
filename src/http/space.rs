//! What is refused while the disk is short, and while the journal takes no changes.

use std::sync::Arc;

use super::reply::{Refusal, unavailable};
use crate::content::ContentError;
use crate::domain::{ErrorTag, Rejection};
use crate::journal::{Health, Journal};
use crate::os_error::{self, OsError};
use crate::report;
use crate::reserve::{Level, Promised, Reserve};

/// Seconds after which a caller may retry: the disk is checked more often, but somebody has to make room.
const WAIT_SECONDS: u64 = 60;

/// Whether there is room for changes.
pub struct Space {
    /// The monitor of the free disk space.
    pub reserve: Arc<Reserve>,
    /// Whether the journal takes changes.
    pub journal: Arc<dyn Journal>,
}

impl Space {
    /// Admits a request unless the disk is at the level where its like is refused. Reads memory alone.
    ///
    /// # Errors
    /// `unavailable`, minor `disk-low`.
    pub fn check(&self, stops: Option<Level>) -> Result<(), Rejection> {
        let level = self.reserve.level();
        if level > Level::Enough && stops.is_some_and(|stops| level >= stops) {
            Err(self
                .why_nothing_is_taken()
                .unwrap_or_else(|| disk_low(level)))
        } else {
            Ok(())
        }
    }

    /// Room for an upload of `bytes`, until what is returned is dropped.
    ///
    /// # Errors
    /// `unavailable`, minor `disk-low`, or `read-only` while no content can be written.
    pub fn promise(&self, bytes: u64) -> Result<Promised, Rejection> {
        if !self.reserve.is_writable() {
            return Err(read_only(CANNOT_WRITE));
        }
        let promised = self.reserve.promise(bytes);
        promised.ok_or_else(|| disk_low(self.reserve.level().max(Level::Low)))
    }

    /// Whether changes are taken at all.
    ///
    /// # Errors
    /// `unavailable`: minor `read-only` while the journal takes none, `disk-low` while tenants' are not taken.
    pub fn check_changes(&self) -> Result<(), Rejection> {
        match (self.why_nothing_is_taken(), self.reserve.level()) {
            (Some(refused), _) => Err(refused),
            (None, Level::Critical) => Err(disk_low(Level::Critical)),
            (None, Level::Enough | Level::Low) => Ok(()),
        }
    }

    /// What is said while not even an operator's change can be written.
    fn why_nothing_is_taken(&self) -> Option<Rejection> {
        let health = self.journal.health();
        let text = match &health {
            Health::ReadOnly(_) if health.waits_for_room() => WAITS_FOR_ROOM,
            Health::ReadOnly(_) => WAITS_FOR_OPERATOR,
            Health::Open if !self.reserve.is_writable() => CANNOT_WRITE,
            Health::Open => return None,
        };
        Some(read_only(text))
    }

    /// Says of a change that was not taken why not, where that is known: to come back in a second would not help.
    pub fn explain<T>(&self, answer: Result<T, Refusal>) -> Result<T, Refusal> {
        match answer {
            Err(Refusal::Rejected { rejection, .. })
                if rejection.tag == ErrorTag::Unavailable && rejection.minor.is_none() =>
            {
                Err(self.check_changes().err().unwrap_or(rejection).into())
            }
            answer => answer,
        }
    }
}

/// Reports to operators that content could not be written or read, and returns the caller's answer.
pub fn content_failed(what: &str, error: &ContentError) -> Rejection {
    report::storage_failed(&format!("{what}: {}", os_error::describe(error)));
    match OsError::of(error) {
        Some(known) if known.is_no_room() => disk_low(Level::Low),
        Some(_) => read_only(CANNOT_WRITE),
        None => unavailable().with_retry_after(WAIT_SECONDS),
    }
}

const WAITS_FOR_ROOM: &str = "The server's disk was full and a write failed: changes are refused until there is space and the server has reopened its journal, which it does automatically. Reads work. Try again later with the same idempotency_key.";
const WAITS_FOR_OPERATOR: &str = "A write of the server failed: changes are refused until its operator has checked the disk and restarted it. Reads work. Try again later with the same idempotency_key.";
const CANNOT_WRITE: &str = "The server cannot write its content directory: uploads are refused until its operator has fixed that. Reads work. Try again later with the same idempotency_key.";

/// 503: nothing is written after a failure; to come back in a second would not help.
fn read_only(text: &str) -> Rejection {
    Rejection::new(ErrorTag::Unavailable, text)
        .with_minor("read-only")
        .with_retry_after(WAIT_SECONDS)
}

/// 503: the disk is too short for what was asked.
fn disk_low(level: Level) -> Rejection {
    let text = match level {
        Level::Enough | Level::Low => {
            "The server's disk is nearly full: uploads and puts are refused until its operator has freed space. Try again later with the same idempotency_key."
        }
        Level::Critical => {
            "The server's disk is full: changes are refused until its operator has freed space. Reads work. Try again later with the same idempotency_key."
        }
    };
    Rejection::new(ErrorTag::Unavailable, text)
        .with_minor("disk-low")
        .with_retry_after(WAIT_SECONDS)
}
