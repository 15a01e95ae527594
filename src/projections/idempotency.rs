//! First answers: which request caused which entry, so that the same request gets the same answer.

use serde::{Deserialize, Serialize};

use super::{Change, Projection, Store, StoreError, Write};
use crate::domain::{StreamId, Timestamp};
use crate::journal::Version;

const PREFIX: u8 = b'i';

/// Keeps where the first answer of each idempotent request can be found.
pub struct Answers;

/// Where a first answer stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstAnswer {
    /// SHA-256 in hex of the request's canonical JSON.
    pub fingerprint: String,
    /// The stream it changed.
    pub stream: StreamId,
    /// The version it made.
    pub version: Version,
    /// When.
    pub at: Timestamp,
}

impl Projection for Answers {
    fn name(&self) -> &'static str {
        "idempotency"
    }

    fn version(&self) -> u32 {
        1
    }

    fn prefix(&self) -> u8 {
        PREFIX
    }

    fn apply(&self, change: &Change<'_>, writes: &mut Vec<Write>) {
        let Some(idempotency) = &change.body.idempotency else {
            return;
        };
        let answer = FirstAnswer {
            fingerprint: idempotency.fingerprint.clone(),
            stream: change.body.stream.clone(),
            version: change.body.version,
            at: change.body.origin.at,
        };
        // Strings and numbers only: always encodable.
        let row = postcard::to_stdvec(&answer).unwrap_or_default();
        writes.push((key(&idempotency.scope), Some(row)));
    }

    fn stream_of(&self, key: &[u8], value: &[u8]) -> Option<String> {
        let _ = key;
        let answer: FirstAnswer = postcard::from_bytes(value).ok()?;
        Some(answer.stream.as_str().to_owned())
    }
}

fn key(scope: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + scope.len());
    key.push(PREFIX);
    key.extend_from_slice(scope.as_bytes());
    key
}

/// The first answer of a scope, however old.
///
/// # Errors
/// A failed or unreadable row.
pub fn find(store: &Store, scope: &str) -> Result<Option<FirstAnswer>, StoreError> {
    match store.get(&key(scope))? {
        Some(row) => Ok(Some(postcard::from_bytes(&row)?)),
        None => Ok(None),
    }
}
