//! Content other than the current one: what has ended and is still kept, the record of each object, and pending uploads.
//!
//! Three kinds of rows, by their second byte. `e`: content that ended, in its container by how long it is kept and by time;
//! removed once the journal removed it. `o`: the record that an object was promised to, from the promise until the object is
//! removed, whether or not anything was uploaded. `p`: uploads that are waited for, over all orgs, oldest promise first.
//! It holds the bytes promised. Inline content that is current has no row here, so creating it costs none.

mod query;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Change, Projection, RecordChange, RecordName, StateChange, Store, StoreError, Write, records,
};
use crate::domain::container::{ContainerEvent, GivenUpUpload, RemovedContent};
use crate::domain::record::{
    Class, Content, ContentPlace, Decoded, Ended, EndedBy, PendingUpload, Record, RecordKey,
};
use crate::domain::{Event, Md5, RecordId, Sha256Digest, StreamId, Timestamp};
use crate::journal::Body;

pub use query::{ended_by, is_kept, is_waited_for, owner, promised_by};

const PREFIX: u8 = b'c';
const ENDED: u8 = b'e';
const OWNER: u8 = b'o';
const PENDING: u8 = b'p';
const UUID_BYTES: usize = 16;
/// Where the record's id begins after the base of ended content: a class and a time precede it.
const RECORD_AT: usize = 9;
/// Where the stream's name begins in the key of an upload that is waited for.
const NAME_AT: usize = 10;

/// The projection of content other than a record's current one.
pub struct Contents;

/// Content that ended and is still kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The record it belonged to.
    pub record_id: RecordId,
    /// What ended the content, and when.
    pub ended: Ended,
}

/// The record that an object belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Name of the container it is in.
    pub container: String,
    /// The record it was promised to.
    pub record_id: String,
    /// The content version it is, was, or was to become.
    pub version: u64,
}

/// An upload that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// When it was promised.
    pub since: Timestamp,
    /// Record that waits for the upload.
    pub key: RecordKey,
    /// Id of the promised object.
    pub object_id: Uuid,
}

/// The value of a row of ended content.
#[derive(Serialize, Deserialize)]
struct EndedRow {
    /// The position of inline content; 0 for an object.
    position: u64,
    size: u64,
    md5: Md5,
    sha256: Option<Sha256Digest>,
    decoded: Option<Decoded>,
    content_type: String,
    by: EndedBy,
}

impl Projection for Contents {
    fn name(&self) -> &'static str {
        "contents"
    }

    fn version(&self) -> u32 {
        5
    }

    fn prefix(&self) -> u8 {
        PREFIX
    }

    fn apply(&self, change: &Change<'_>, writes: &mut Vec<Write>) {
        if let Some(record) = change.record() {
            apply_record(record, writes);
        }
        let Some((org, container)) = container_of(&change.body.stream) else {
            return;
        };
        for event in &change.body.events {
            let Event::Container(event) = event else {
                continue;
            };
            match event {
                ContainerEvent::ContentRemoved { contents, .. } => {
                    for content in contents {
                        apply_removed(org, container, content, writes);
                    }
                }
                ContainerEvent::UploadsGivenUp { uploads } => {
                    let StateChange::Container { expired } = &change.state else {
                        continue;
                    };
                    let is_there = |upload: &&GivenUpUpload| expired.contains(&upload.object_id);
                    for upload in uploads.iter().filter(is_there) {
                        apply_given_up(org, container, upload, change.body.origin.at, writes);
                    }
                }
                ContainerEvent::RefusalRemembered { .. }
                | ContainerEvent::AnswersForgotten { .. }
                | ContainerEvent::TagsScrubbed { .. }
                | ContainerEvent::Repaired { .. } => {}
            }
        }
    }

    fn stream_of(&self, key: &[u8], value: &[u8]) -> Option<String> {
        match *key.get(1)? {
            ENDED => {
                let mut parts = key.get(2..)?.splitn(3, |byte| *byte == 0);
                let org = std::str::from_utf8(parts.next()?).ok()?;
                let container = std::str::from_utf8(parts.next()?).ok()?;
                let (record_id, _) = split_ended(parts.next()?)?;
                Some(format!("mrs/{org}/{container}/{record_id}"))
            }
            OWNER => {
                let org = key.get(2..key.len().checked_sub(UUID_BYTES + 1)?)?;
                let org = std::str::from_utf8(org).ok()?;
                let owner: Owner = postcard::from_bytes(value).ok()?;
                Some(format!("mrs/{org}/{}/{}", owner.container, owner.record_id))
            }
            PENDING => {
                let name = key.get(NAME_AT..key.len().checked_sub(UUID_BYTES)?)?;
                Some(format!("mrs/{}", std::str::from_utf8(name).ok()?))
            }
            _ => None,
        }
    }
}

/// The org and the container that a container's own stream is about.
pub(super) fn container_of(stream: &StreamId) -> Option<(&str, &str)> {
    let (org, container) = stream.as_str().strip_prefix("mrs/")?.split_once('/')?;
    (!container.contains('/')).then_some((org, container))
}

/// The objects of the uploads that an entry expires and whose records are there: a vacuum leaves a container's history for
/// the sake of one record that is held, and it names others.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub(super) fn expired_uploads(store: &Store, body: &Body) -> Result<Vec<Uuid>, StoreError> {
    let mut objects = Vec::new();
    let Some((org, container)) = container_of(&body.stream) else {
        return Ok(objects);
    };
    for event in &body.events {
        let Event::Container(ContainerEvent::UploadsGivenUp { uploads }) = event else {
            continue;
        };
        for upload in uploads {
            let name = RecordName {
                org,
                container,
                record_id: upload.record_id.as_str(),
            };
            if records::find(store, name)?.is_some() {
                objects.push(upload.object_id);
            }
        }
    }
    Ok(objects)
}

fn apply_record(change: &RecordChange<'_>, writes: &mut Vec<Write>) {
    let (name, after) = (change.name, change.after);
    let upload_of = |record: &Record| record.upload.as_ref().and_then(object_of);
    let (before_upload, after_upload) = (change.before.and_then(upload_of), upload_of(after));
    if before_upload != after_upload {
        if let Some((object_id, since)) = before_upload {
            writes.push((pending_key(since, name, object_id), None));
        }
        if let Some((object_id, since)) = after_upload {
            let owner = Owner {
                container: name.container.to_owned(),
                record_id: name.record_id.to_owned(),
                version: after
                    .upload
                    .as_ref()
                    .map_or(0, |upload| upload.content.version),
            };
            writes.push((owner_key(name.org, object_id), Some(encoded(&owner))));
            let promised = after.upload.as_ref().map(|upload| upload.content.size);
            let promised = encoded(&promised.unwrap_or_default());
            writes.push((pending_key(since, name, object_id), Some(promised)));
        }
    }
    // A copy has its object at once, without a promise.
    let copied = match after.content.place {
        ContentPlace::Object(object_id) if change.before.is_none() && after.upload.is_none() => {
            Some(object_id)
        }
        ContentPlace::Object(_) | ContentPlace::Inline(_) => None,
    };
    if let Some(object_id) = copied {
        let owner = Owner {
            container: name.container.to_owned(),
            record_id: name.record_id.to_owned(),
            version: after.content.version,
        };
        writes.push((owner_key(name.org, object_id), Some(encoded(&owner))));
    }
    for ended in change
        .before
        .into_iter()
        .flat_map(|before| after.ended_since(before))
    {
        writes.push(ended_write(name, &ended));
    }
}

/// Whether a row is of an upload that is waited for, or of content that ended; `None` for one without bytes.
pub(super) fn is_promise(key: &[u8]) -> Option<bool> {
    match key {
        [PREFIX, PENDING, ..] => Some(true),
        [PREFIX, ENDED, ..] => Some(false),
        _ => None,
    }
}

/// The bytes that such a row counts.
pub(super) fn bytes_of(key: &[u8], value: &[u8]) -> Option<u64> {
    if is_promise(key)? {
        postcard::from_bytes(value).ok()
    } else {
        postcard::from_bytes(value)
            .ok()
            .map(|row: EndedRow| row.size)
    }
}

/// Bytes of content other than the current one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OtherBytes {
    /// Bytes of content that ended and is kept.
    pub ended: u64,
    /// Promised by uploads that are waited for.
    pub promised: u64,
}

/// The bytes of an org's content other than the current one, by their rows.
pub(super) fn bytes_of_org(store: &Store, org: &str) -> Result<OtherBytes, StoreError> {
    let mut others = OtherBytes::default();
    let ended = [&[PREFIX, ENDED], org.as_bytes(), &[0]].concat();
    for row in store.scan(ended.clone(), &ended) {
        let (key, value) = row?;
        others.ended += bytes_of(&key, &value).unwrap_or_default();
    }
    let promised = vec![PREFIX, PENDING];
    for row in store.scan(promised.clone(), &promised) {
        let (key, value) = row?;
        if waiting(&key).is_some_and(|waiting| waiting.key.org.as_str() == org) {
            others.promised += bytes_of(&key, &value).unwrap_or_default();
        }
    }
    Ok(others)
}

/// The rows that a change of a record moves.
pub(super) fn rows_of(change: &RecordChange<'_>) -> Vec<Write> {
    let mut writes = Vec::new();
    apply_record(change, &mut writes);
    writes
}

fn object_of(upload: &PendingUpload) -> Option<(Uuid, Timestamp)> {
    match upload.content.place {
        ContentPlace::Object(object_id) => Some((object_id, upload.since)),
        ContentPlace::Inline(_) => None,
    }
}

fn apply_removed(org: &str, container: &str, content: &RemovedContent, writes: &mut Vec<Write>) {
    let name = RecordName {
        org,
        container,
        record_id: content.record_id.as_str(),
    };
    writes.push((
        ended_key(
            name,
            content.ended,
            content.until,
            content.version,
            content.place,
        ),
        None,
    ));
    if let ContentPlace::Object(object_id) = content.place {
        writes.push((owner_key(org, object_id), None));
    }
}

/// What is given up here may be given up once more by a later put over its record, and has then two rows: the record
/// still names it, because upkeep changes no record.
fn apply_given_up(
    org: &str,
    container: &str,
    upload: &GivenUpUpload,
    at: Timestamp,
    writes: &mut Vec<Write>,
) {
    let name = RecordName {
        org,
        container,
        record_id: upload.record_id.as_str(),
    };
    writes.push((pending_key(upload.since, name, upload.object_id), None));
    let ended = Ended {
        content: Content {
            content_type: upload.content_type.clone(),
            size: upload.size,
            md5: upload.md5,
            sha256: None,
            decoded: None,
            version: upload.version,
            place: ContentPlace::Object(upload.object_id),
        },
        until: at,
        by: EndedBy::Abandoned,
    };
    writes.push(ended_write(name, &ended));
}

fn ended_write(name: RecordName<'_>, ended: &Ended) -> Write {
    let content = &ended.content;
    let row = EndedRow {
        position: match content.place {
            ContentPlace::Inline(position) => position,
            ContentPlace::Object(_) => 0,
        },
        size: content.size,
        md5: content.md5,
        sha256: content.sha256,
        decoded: content.decoded,
        content_type: content.content_type.clone(),
        by: ended.by,
    };
    let key = ended_key(name, ended.by, ended.until, content.version, content.place);
    (key, Some(encoded(&row)))
}

/// Strings and numbers only: always encodable.
fn encoded(row: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(row).unwrap_or_default()
}

/// What the rows of a container's ended content begin with: `c e org 0 container 0`.
fn ended_base(org: &str, container: &str) -> Vec<u8> {
    let mut base = vec![PREFIX, ENDED];
    base.extend_from_slice(org.as_bytes());
    base.push(0);
    base.extend_from_slice(container.as_bytes());
    base.push(0);
    base
}

/// The base, then `class until record_id 0 version place`.
fn ended_key(
    name: RecordName<'_>,
    by: EndedBy,
    until: Timestamp,
    version: u64,
    place: ContentPlace,
) -> Vec<u8> {
    let mut key = ended_base(name.org, name.container);
    key.push(class_byte(by.class()));
    key.extend_from_slice(&until.millis().to_be_bytes());
    key.extend_from_slice(name.record_id.as_bytes());
    key.push(0);
    key.extend_from_slice(&version.to_be_bytes());
    match place {
        // Not its position: that is another one once its org has moved to another journal.
        ContentPlace::Inline(_) => key.push(b'i'),
        ContentPlace::Object(object_id) => {
            key.push(b'o');
            key.extend_from_slice(object_id.as_bytes());
        }
    }
    key
}

/// `c o org 0 object_id`.
fn owner_key(org: &str, object_id: Uuid) -> Vec<u8> {
    let mut key = vec![PREFIX, OWNER];
    key.extend_from_slice(org.as_bytes());
    key.push(0);
    key.extend_from_slice(object_id.as_bytes());
    key
}

/// `c p since org/container/record_id object_id`.
fn pending_key(since: Timestamp, name: RecordName<'_>, object_id: Uuid) -> Vec<u8> {
    let mut key = vec![PREFIX, PENDING];
    // Times are never negative, so big-endian order is time order.
    key.extend_from_slice(&since.millis().to_be_bytes());
    for part in [name.org, "/", name.container, "/", name.record_id] {
        key.extend_from_slice(part.as_bytes());
    }
    key.extend_from_slice(object_id.as_bytes());
    key
}

/// The byte of a class in keys, which orders a container's rows.
fn class_byte(class: Class) -> u8 {
    match class {
        Class::Leftover => b'l',
        Class::Version => b'v',
    }
}

/// The record id within the part of a key after its base, and what follows it.
fn split_ended(part: &[u8]) -> Option<(&str, &[u8])> {
    let rest = part.get(RECORD_AT..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    let record_id = std::str::from_utf8(&rest[..end]).ok()?;
    Some((record_id, &rest[end + 1..]))
}

fn time_of(bytes: Option<&[u8]>) -> Option<Timestamp> {
    let millis = i64::from_be_bytes(bytes?.try_into().ok()?);
    Some(Timestamp::from_millis(millis))
}

fn waiting(key: &[u8]) -> Option<Waiting> {
    let object_at = key.len().checked_sub(UUID_BYTES)?;
    let name = std::str::from_utf8(key.get(NAME_AT..object_at)?).ok()?;
    Some(Waiting {
        since: time_of(key.get(2..NAME_AT))?,
        key: StreamId::named(&format!("mrs/{name}")).record_key()?,
        object_id: Uuid::from_slice(&key[object_at..]).ok()?,
    })
}
