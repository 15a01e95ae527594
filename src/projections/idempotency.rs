//! First answers: which request caused which entry, so that the same request gets the same answer.
//!
//! A row's key is `org 0 container 0 scope`, so that old answers of one container can be found and forgotten.

use serde::{Deserialize, Serialize};

use super::contents::container_of;
use super::{Change, Projection, RecordName, Store, StoreError, Write};
use crate::domain::container::{ContainerEvent, OldAnswer};
use crate::domain::{Event, StreamId, Timestamp};
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
        2
    }

    fn prefix(&self) -> u8 {
        PREFIX
    }

    fn apply(&self, change: &Change<'_>, writes: &mut Vec<Write>) {
        let stream = &change.body.stream;
        let record = RecordName::of_stream(stream.as_str());
        let place = record.map(|name| (name.org, name.container));
        let Some(place) = place.or_else(|| container_of(stream)) else {
            return;
        };
        for event in &change.body.events {
            if let Event::Container(ContainerEvent::AnswersForgotten { scopes }) = event {
                writes.extend(scopes.iter().map(|scope| (key(place, scope), None)));
            }
        }
        let Some(idempotency) = &change.body.idempotency else {
            return;
        };
        let answer = FirstAnswer {
            fingerprint: idempotency.fingerprint.clone(),
            stream: stream.clone(),
            version: change.body.version,
            at: change.body.origin.at,
        };
        // Strings and numbers only: always encodable.
        let row = postcard::to_stdvec(&answer).unwrap_or_default();
        writes.push((key(place, &idempotency.scope), Some(row)));
    }

    fn stream_of(&self, key: &[u8], value: &[u8]) -> Option<String> {
        let _ = key;
        let answer: FirstAnswer = postcard::from_bytes(value).ok()?;
        Some(answer.stream.as_str().to_owned())
    }
}

fn key((org, container): (&str, &str), scope: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(3 + org.len() + container.len() + scope.len());
    key.push(PREFIX);
    for part in [org, "\0", container, "\0", scope] {
        key.extend_from_slice(part.as_bytes());
    }
    key
}

/// The first answer of a scope within an org and a container, however old.
///
/// # Errors
/// A failed or unreadable row.
pub fn find(
    store: &Store,
    place: (&str, &str),
    scope: &str,
) -> Result<Option<FirstAnswer>, StoreError> {
    match store.get(&key(place, scope))? {
        Some(row) => Ok(Some(postcard::from_bytes(&row)?)),
        None => Ok(None),
    }
}

/// The first answers of an org's container, in the order of their scopes, behind one of them; a bounded number is up to
/// the caller.
pub fn behind(
    store: &Store,
    place: (&str, &str),
    scope: Option<&str>,
) -> impl Iterator<Item = Result<OldAnswer, StoreError>> + use<> {
    let base = key(place, "");
    let base_bytes = base.len();
    let from = match scope {
        Some(scope) => key(place, &format!("{scope}\0")),
        None => base.clone(),
    };
    store.scan(base, &from).map(move |row| {
        let (key, value) = row?;
        let answer: FirstAnswer = postcard::from_bytes(&value)?;
        Ok(OldAnswer {
            scope: String::from_utf8_lossy(&key[base_bytes..]).into_owned(),
            at: answer.at,
        })
    })
}
