//! What tests of a program that embeds Metarecord need: a clock that only they move, and one in memory.

use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::embedded::{EmbeddedError, Metarecord, Settings};

/// The time at which [`clock`] begins: 2027-01-15T08:00:00Z.
const BEGIN_MS: i64 = 1_800_000_000_000;

/// A clock that begins at 2027-01-15T08:00:00Z and moves by [`Clock::advance`] alone.
pub fn clock() -> Clock {
    Clock::manual(Timestamp::from_millis(BEGIN_MS))
}

/// A [`Metarecord`] in memory with such a clock, which its `clock()` returns.
///
/// # Errors
/// As [`Metarecord::memory`].
pub fn memory() -> Result<Metarecord, EmbeddedError> {
    Metarecord::memory_with(Settings {
        clock: clock(),
        ..Settings::default()
    })
}
