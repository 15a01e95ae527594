//! First answers: which request caused which entry, so that the same request gets the same answer.
//!
//! A row's key is `org 0 container 0 scope`, so that old answers of one container can be found and forgotten. What is no
//! record's or container's has neither an org nor a container there ([`ANYWHERE`]), and is removed with its stream.

use serde::{Deserialize, Serialize};

use super::contents::container_of;
use super::{Change, Projection, RecordName, Store, StoreError, Write};
use crate::domain::container::{ContainerEvent, OldAnswer};
use crate::domain::record::Record;
use crate::domain::{Event, StreamId, Timestamp};
use crate::journal::Version;

const PREFIX: u8 = b'i';
/// Most entries that are folded to give an answer again, some milliseconds' worth. Of a record with a longer history the
/// answer itself is kept, so that repeating a request costs the same however often the record was changed.
pub const FOLDED_MAX: Version = 256;

/// The place of first answers that are about no container: to requests that made an account, a user, a window and the like.
pub const ANYWHERE: (&str, &str) = ("", "");

/// Keeps where the first answer of each idempotent request can be found.
pub struct Answers;

/// Where the journal has a first answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstAnswer {
    /// SHA-256 in hex of the request's canonical JSON.
    pub fingerprint: String,
    /// The stream it changed.
    pub stream: StreamId,
    /// The version it made.
    pub version: Version,
    /// Time of the first answer.
    pub at: Timestamp,
    /// The record it led to, when its history is longer than [`FOLDED_MAX`].
    pub record: Option<Box<Record>>,
}

impl Projection for Answers {
    fn name(&self) -> &'static str {
        "idempotency"
    }

    fn version(&self) -> u32 {
        5
    }

    fn prefix(&self) -> u8 {
        PREFIX
    }

    fn apply(&self, change: &Change<'_>, writes: &mut Vec<Write>) {
        let stream = &change.body.stream;
        let record = RecordName::of_stream(stream.as_str());
        let place = record.map(|name| (name.org, name.container));
        let place = place.or_else(|| container_of(stream)).unwrap_or(ANYWHERE);
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
            record: change
                .record()
                .filter(|_| change.body.version > FOLDED_MAX)
                .map(|change| Box::new(change.after.clone())),
        };
        // Postcard refuses only maps and sequences of unknown length, and an answer has neither.
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
/// [`StoreError`] when a row cannot be read or decoded.
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

/// The first answers of an org's container, in the order of their scopes, after one of them; a bounded number is up to
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::container::Idempotency;
    use crate::domain::record::RecordKey;
    use crate::domain::{ContainerName, OrgCode, RecordId};
    use crate::journal::{Body, Entry, Header, Origin, Remarks, Source};
    use crate::projections::records::record_of_revision as record;
    use crate::projections::{RecordChange, StateChange};

    fn key() -> RecordKey {
        RecordKey {
            org: OrgCode::parse("DEMO").unwrap(),
            container: ContainerName::parse("demo").unwrap(),
            record_id: RecordId::parse("r").unwrap(),
        }
    }

    /// What is kept of the first answer of a put that made a revision.
    fn kept(revision: Version) -> FirstAnswer {
        let (key, after) = (key(), record(revision));
        let entry = Entry {
            header: Header {
                position: 1,
                recorded_at: Timestamp::default(),
                body_digest: String::new(),
                prev: String::new(),
            },
            body: None,
            payload: None,
            erased_by: None,
        };
        let body = Body {
            salt: String::new(),
            stream: StreamId::record(&key),
            version: revision,
            events: Vec::new(),
            origin: Origin {
                at: Timestamp::default(),
                by: "u".to_owned(),
                request_id: String::new(),
                source: Source::Gateway,
                remarks: Remarks::default(),
            },
            idempotency: Some(Idempotency {
                scope: "s".to_owned(),
                fingerprint: "f".to_owned(),
            }),
            payload: None,
        };
        let change = Change {
            entry: &entry,
            body: &body,
            state: StateChange::Record(RecordChange {
                name: RecordName::from(&key),
                before: None,
                after: &after,
            }),
        };
        let mut rows = Vec::new();
        Answers.apply(&change, &mut rows);
        let (_, row) = rows.pop().unwrap();
        postcard::from_bytes(&row.unwrap()).unwrap()
    }

    #[test]
    fn an_answer_about_a_record_with_a_long_history_is_kept_itself() {
        assert_eq!(kept(1).record, None);
        assert_eq!(kept(FOLDED_MAX).record, None);
        let revision = FOLDED_MAX + 1;
        assert_eq!(kept(revision).record.as_deref(), Some(&record(revision)));
    }
}
