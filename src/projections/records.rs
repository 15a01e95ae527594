//! Every record as it is now, by name.

use std::sync::Arc;

use super::{Change, Projection, RecordName, Store, StoreError, Write};
use crate::domain::record::{Record, RecordKey};
use crate::domain::{ContainerName, OrgCode, StreamId};

pub(super) const PREFIX: u8 = super::store::RECORD;

/// Keeps each record's current state.
pub struct Records;

impl Projection for Records {
    fn name(&self) -> &'static str {
        "records"
    }

    fn version(&self) -> u32 {
        5
    }

    fn prefix(&self) -> u8 {
        PREFIX
    }

    fn apply(&self, change: &Change<'_>, writes: &mut Vec<Write>) {
        if let Some(record) = change.record() {
            // Postcard refuses only maps and sequences of unknown length, and a record has neither.
            let row = postcard::to_stdvec(record.after).unwrap_or_default();
            writes.push((key(record.name), Some(row)));
        }
    }

    fn stream_of(&self, key: &[u8], value: &[u8]) -> Option<String> {
        let _ = value;
        let name = std::str::from_utf8(key.get(1..)?).ok()?;
        Some(format!("mrs/{}", name.replace('\0', "/")))
    }
}

/// The key of a record's row.
pub(crate) fn key(name: RecordName<'_>) -> Vec<u8> {
    let mut key =
        Vec::with_capacity(3 + name.org.len() + name.container.len() + name.record_id.len());
    key.push(PREFIX);
    key.extend_from_slice(name.org.as_bytes());
    key.push(0);
    key.extend_from_slice(name.container.as_bytes());
    key.push(0);
    key.extend_from_slice(name.record_id.as_bytes());
    key
}

impl<'a> From<&'a RecordKey> for RecordName<'a> {
    fn from(key: &'a RecordKey) -> Self {
        Self {
            org: key.org.as_str(),
            container: key.container.as_str(),
            record_id: key.record_id.as_str(),
        }
    }
}

/// The record with a name, in its last journaled state.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn find(store: &Store, name: RecordName<'_>) -> Result<Option<Record>, StoreError> {
    let record = find_shared(store, name)?;
    Ok(record.map(Arc::unwrap_or_clone))
}

/// The same, shared with the cache of records.
///
/// # Errors
/// As [`find`].
pub(super) fn find_shared(
    store: &Store,
    name: RecordName<'_>,
) -> Result<Option<Arc<Record>>, StoreError> {
    store.record(&key(name))
}

/// Whether a container has ever held a record.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn container_exists(store: &Store, org: &str, container: &str) -> Result<bool, StoreError> {
    let prefix = key(RecordName {
        org,
        container,
        record_id: "",
    });
    Ok(store
        .scan(prefix.clone(), &prefix)
        .next()
        .transpose()?
        .is_some())
}

/// The first container after another, or the first of all, by org and name.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn next_container(
    store: &Store,
    after: Option<(&str, &str)>,
) -> Result<Option<(OrgCode, ContainerName)>, StoreError> {
    let mut from = vec![PREFIX];
    if let Some((org, container)) = after {
        from.extend_from_slice(org.as_bytes());
        from.push(0);
        from.extend_from_slice(container.as_bytes());
        // After all its rows: no name has this byte.
        from.push(1);
    }
    for row in store.scan(vec![PREFIX], &from) {
        let (key, _) = row?;
        let mut parts = key[1..].split(|byte| *byte == 0);
        let mut name = || std::str::from_utf8(parts.next()?).ok();
        let org = name().and_then(|org| OrgCode::parse(org).ok());
        let container = name().and_then(|container| ContainerName::parse(container).ok());
        if let (Some(org), Some(container)) = (org, container) {
            return Ok(Some((org, container)));
        }
    }
    Ok(None)
}

/// Every record of an org with its container.
pub(super) fn of_org(
    store: &Store,
    org: &str,
) -> impl Iterator<Item = Result<(String, Record), StoreError>> + use<> {
    let prefix = [&[PREFIX], org.as_bytes(), &[0]].concat();
    let base_bytes = prefix.len();
    store.scan(prefix.clone(), &prefix).map(move |row| {
        let (key, value) = row?;
        let rest = key.get(base_bytes..).unwrap_or_default();
        let container = rest.split(|byte| *byte == 0).next().unwrap_or_default();
        let container = String::from_utf8_lossy(container).into_owned();
        Ok((container, postcard::from_bytes(&value)?))
    })
}

/// The names of an org's records after a place, at most `limit`, each with the place after it; an empty
/// place is the beginning.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn names_of_org(
    store: &Store,
    org: &OrgCode,
    from: &[u8],
    limit: usize,
) -> Result<Vec<(RecordKey, Vec<u8>)>, StoreError> {
    let mut prefix = vec![PREFIX];
    prefix.extend_from_slice(org.as_str().as_bytes());
    prefix.push(0);
    let from = if from.is_empty() { &prefix } else { from };
    let mut names = Vec::new();
    for row in store.scan(prefix.clone(), from).take(limit) {
        let (key, _) = row?;
        // No name contains the byte 0, so this is after the row and before the next.
        let behind = [&*key, &[0]].concat();
        let stream = Records.stream_of(&key, &[]).unwrap_or_default();
        if let Some(name) = StreamId::named(&stream).record_key() {
            names.push((name, behind));
        }
    }
    Ok(names)
}

/// A record of one byte at a revision, for tests.
#[cfg(test)]
pub(super) fn record_of_revision(revision: u64) -> Record {
    use crate::domain::record::{Content, ContentPlace, Status};
    use crate::domain::{Md5, Revision, Timestamp};
    Record {
        cccode: None,
        status: Status::Active,
        revision: Revision(revision),
        content: Content {
            content_type: "application/json".to_owned(),
            size: 1,
            md5: Md5::of(b"1"),
            sha256: None,
            decoded: None,
            place: ContentPlace::Inline(7),
            version: revision,
        },
        upload: None,
        tags: Vec::new(),
        doom_at: None,
        doom: None,
        hold: None,
        created_at: Timestamp::default(),
        created_by: "u".to_owned(),
        updated_at: Timestamp::default(),
        updated_by: "u".to_owned(),
    }
}
