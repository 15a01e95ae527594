//! What tests of a program that embeds Metarecord need: a clock that only they move, and one in memory.

use crate::clock::Clock;
use uuid::Uuid;

use crate::domain::record::SealedObject;
use crate::domain::{Sha256Digest, Timestamp};
use crate::embedded::{EmbeddedError, Metarecord, Settings};

/// The time at which [`clock`] begins: 2027-01-15T08:00:00Z.
const BEGIN_MS: i64 = 1_800_000_000_000;

/// A clock that begins at 2027-01-15T08:00:00Z and moves by [`Clock::advance`] alone.
pub fn clock() -> Clock {
    Clock::manual(Timestamp::from_millis(BEGIN_MS))
}

/// A proof that an upload was sealed, for tests of what follows a completion without a content store behind it.
#[doc(hidden)]
pub fn sealed(object_id: Uuid, size: u64, sha256: Sha256Digest) -> SealedObject {
    SealedObject::new(object_id, size, sha256, None)
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
