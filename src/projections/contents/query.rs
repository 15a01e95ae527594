//! Questions about content other than the current one: what ended and is kept, whose an object is, which uploads are awaited.

use uuid::Uuid;

use super::{
    EndedRow, Kept, Owner, PENDING, PREFIX, RECORD_AT, Waiting, class_byte, ended_base, ended_key,
    object_of, owner_key, pending_key, split_ended, time_of, waiting,
};
use crate::domain::record::{Class, Content, ContentPlace, Ended, PendingUpload};
use crate::domain::{RecordId, Timestamp};
use crate::projections::{RecordName, Store, StoreError};

/// A container's content that ended by its class's time and is still kept, a class at a time and in it oldest first, each
/// with its place in this order. Begins after a place; a bounded number is up to the caller.
pub fn ended_by(
    store: &Store,
    (org, container): (&str, &str),
    behind: Option<&[u8]>,
    until: impl Fn(Class) -> Timestamp,
) -> impl Iterator<Item = Result<(Vec<u8>, Kept), StoreError>> {
    let begun = behind.and_then(|place| place.first()).copied();
    let left = Class::ALL.map(|class| {
        let byte = class_byte(class);
        let behind = behind.filter(|_| begun == Some(byte));
        (begun <= Some(byte)).then(|| {
            let until = until(class);
            let rows = ended_of(store, (org, container), byte, behind);
            rows.take_while(move |row| {
                row.as_ref()
                    .map_or(true, |(_, kept)| kept.ended.until <= until)
            })
        })
    });
    left.into_iter().flatten().flatten()
}

/// The rows of one class, after a place.
fn ended_of(
    store: &Store,
    (org, container): (&str, &str),
    class: u8,
    behind: Option<&[u8]>,
) -> impl Iterator<Item = Result<(Vec<u8>, Kept), StoreError>> + use<> {
    let mut base = ended_base(org, container);
    let base_bytes = base.len();
    let mut from = base.clone();
    base.push(class);
    match behind {
        Some(place) => {
            from.extend_from_slice(place);
            from.push(0);
        }
        None => from.push(class),
    }
    store.scan(base, &from).map(move |row| {
        let (key, value) = row?;
        let place = key[base_bytes..].to_vec();
        let row: EndedRow = postcard::from_bytes(&value)?;
        let kept = kept(&place, row).ok_or(postcard::Error::DeserializeBadEncoding)?;
        Ok((place, kept))
    })
}

fn kept(place: &[u8], row: EndedRow) -> Option<Kept> {
    let until = time_of(place.get(1..RECORD_AT))?;
    let (record_id, rest) = split_ended(place)?;
    let version = u64::from_be_bytes(rest.get(..8)?.try_into().ok()?);
    let lies = rest.get(9..)?;
    let place = match rest.get(8)? {
        b'i' => ContentPlace::Inline(row.position),
        b'o' => ContentPlace::Object(Uuid::from_slice(lies).ok()?),
        _ => return None,
    };
    Some(Kept {
        record_id: RecordId::parse(record_id).ok()?,
        ended: Ended {
            content: Content {
                content_type: row.content_type,
                size: row.size,
                md5: row.md5,
                sha256: row.sha256,
                decoded: row.decoded,
                version,
                place,
            },
            until,
            by: row.by,
        },
    })
}

/// Whether content of a record that ended is still kept.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn is_kept(store: &Store, name: RecordName<'_>, ended: &Ended) -> Result<bool, StoreError> {
    let content = &ended.content;
    let key = ended_key(name, ended.by, ended.until, content.version, content.place);
    Ok(store.get(&key)?.is_some())
}

/// The record that an object was promised to, until the object is removed.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub fn owner(store: &Store, org: &str, object_id: Uuid) -> Result<Option<Owner>, StoreError> {
    match store.get(&owner_key(org, object_id))? {
        Some(row) => Ok(Some(postcard::from_bytes(&row)?)),
        None => Ok(None),
    }
}

/// Whether an upload of a record is still waited for.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn is_waited_for(
    store: &Store,
    name: RecordName<'_>,
    upload: &PendingUpload,
) -> Result<bool, StoreError> {
    match object_of(upload) {
        Some((object_id, since)) => Ok(store.get(&pending_key(since, name, object_id))?.is_some()),
        None => Ok(false),
    }
}

/// Uploads that are waited for and were promised by a time, oldest first, over all orgs, each with its place in this
/// order. Begins after a place; a bounded number is up to the caller.
pub fn promised_by(
    store: &Store,
    behind: Option<&[u8]>,
    since: Timestamp,
) -> impl Iterator<Item = Result<(Vec<u8>, Waiting), StoreError>> + use<> {
    let base = vec![PREFIX, PENDING];
    let mut from = base.clone();
    if let Some(place) = behind {
        from.extend_from_slice(place);
        from.push(0);
    }
    let rows = store.scan(base, &from).map(|row| {
        let (key, _) = row?;
        let waiting = waiting(&key).ok_or(postcard::Error::DeserializeBadEncoding)?;
        Ok((key[2..].to_vec(), waiting))
    });
    rows.take_while(move |row| {
        row.as_ref()
            .map_or(true, |(_, waiting)| waiting.since <= since)
    })
}
