//! The wire format: one entry as bytes and back, and its hash.
//!
//! A line is `{"header":{...},"body":{...}}` and a line feed. When the body names a payload, exactly that many raw
//! bytes and a line feed follow. Every byte counts: the header's bytes make the entry's hash, the header contains the
//! digest of the body's bytes, and the frame around both is fixed. What is erased keeps its length; see
//! [`super::erased`].

use std::io::Write;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::EntryError;
use super::erased::{Erasure, FILLER};
use super::schema::{check_schema, damaged, upcast};
use super::{
    Append, Body, Entry, Header, JournalError, Origin, PayloadDigest, Position, Remarks, Source,
    Version,
};
use crate::domain::container::Idempotency;
use crate::domain::record::INLINE_BYTES_MAX;
use crate::domain::{Event, StreamId, Timestamp};

/// Prefix hashed before a header (domain separation): an entry's hash is never the hash of anything else.
pub const HASH_DOMAIN: &[u8] = b"metarecord/journal/entry/1\n";

/// Longest line; a longer entry is not written.
pub const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An entry's hash, or a digest.
pub type Hash = [u8; 32];

/// The previous hash that the first entry names.
pub const NO_HASH: Hash = [0; 32];

/// What the journal adds to an [`Append`] to make it an entry.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Position of the entry in its partition.
    pub position: Position,
    /// The stream's version with it.
    pub version: Version,
    /// Time of the write, never before that of the entry before.
    pub recorded_at: Timestamp,
    /// The hash of the entry ahead.
    pub prev: Hash,
    /// Random bytes that keep an erased body from being guessed by its hash.
    pub salt: [u8; 16],
}

/// An entry that was just encoded.
pub struct Encoded {
    /// Hash of the entry, which the next one names.
    pub hash: Hash,
    /// Bytes of its line with the line feed, without the payload.
    pub line_bytes: u32,
    /// The entry, payload included.
    pub entry: Entry,
}

/// Writes an entry at the end of a buffer.
///
/// # Errors
/// [`JournalError::Damaged`] when an event cannot be written as JSON, or the line passes [`LINE_BYTES_MAX`]; the buffer
/// is then as before.
pub fn encode(out: &mut Vec<u8>, append: Append, place: Place) -> Result<Encoded, JournalError> {
    let start = out.len();
    match write_line(out, &append, place) {
        Ok((hash, body_digest, payload)) => {
            let line_bytes = out.len() - start;
            if line_bytes > LINE_BYTES_MAX {
                out.truncate(start);
                return Err(unwritable("the entry is too long".to_owned()));
            }
            let line_bytes = u32::try_from(line_bytes).unwrap_or(u32::MAX);
            if let Some(bytes) = &append.payload {
                out.extend_from_slice(bytes);
                out.push(b'\n');
            }
            Ok(Encoded {
                hash,
                line_bytes,
                entry: into_entry(append, place, body_digest, payload),
            })
        }
        Err(error) => {
            out.truncate(start);
            Err(unwritable(error.to_string()))
        }
    }
}

type Written = (Hash, Hash, Option<PayloadDigest>);

fn write_line(
    out: &mut Vec<u8>,
    append: &Append,
    place: Place,
) -> Result<Written, serde_json::Error> {
    out.extend_from_slice(br#"{"header":"#);
    let header = out.len();
    put_number(out, br#"{"position":"#, place.position);
    put_number(
        out,
        br#","recorded_at":"#,
        place.recorded_at.millis().unsigned_abs(),
    );
    out.extend_from_slice(br#","body_digest":""#);
    let digest = out.len();
    out.extend_from_slice(&[b'0'; 64]);
    out.extend_from_slice(br#"","prev":""#);
    put_hex(out, &place.prev);
    out.extend_from_slice(br#""}"#);
    let header_end = out.len();
    out.extend_from_slice(br#","body":"#);
    let body = out.len();
    let payload = append.payload.as_ref().map(|bytes| PayloadDigest {
        sha256: hex::encode(sha256(bytes)),
        size: bytes.len() as u64,
    });
    write_body(out, append, place, payload.as_ref())?;
    let body_digest = sha256(&out[body..]);
    out.extend_from_slice(b"}\n");
    hex::encode_to_slice(body_digest, &mut out[digest..digest + 64])
        .expect("64 places hold 32 bytes in hex");
    Ok((hash_header(&out[header..header_end]), body_digest, payload))
}

fn write_body(
    out: &mut Vec<u8>,
    append: &Append,
    place: Place,
    payload: Option<&PayloadDigest>,
) -> Result<(), serde_json::Error> {
    let origin = &append.origin;
    out.extend_from_slice(br#"{"salt":""#);
    put_hex(out, &place.salt);
    out.extend_from_slice(br#"","stream":"#);
    serde_json::to_writer(&mut *out, append.stream.as_str())?;
    put_number(out, br#","version":"#, place.version);
    out.extend_from_slice(br#","events":["#);
    for (index, event) in append.events.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_event(out, event)?;
    }
    put_number(out, br#"],"at":"#, origin.at.millis().unsigned_abs());
    out.extend_from_slice(br#","by":"#);
    serde_json::to_writer(&mut *out, &origin.by)?;
    out.extend_from_slice(br#","request_id":"#);
    serde_json::to_writer(&mut *out, &origin.request_id)?;
    out.extend_from_slice(br#","source":"#);
    serde_json::to_writer(&mut *out, &origin.source)?;
    if !origin.remarks.is_empty() {
        out.extend_from_slice(br#","remarks":"#);
        serde_json::to_writer(&mut *out, &origin.remarks)?;
    }
    if let Some(idempotency) = &append.idempotency {
        out.extend_from_slice(br#","idempotency":"#);
        serde_json::to_writer(&mut *out, idempotency)?;
    }
    if let Some(payload) = payload {
        out.extend_from_slice(br#","payload":"#);
        serde_json::to_writer(&mut *out, payload)?;
    }
    out.push(b'}');
    Ok(())
}

/// Writes `{"type":..,"data":..}` and slips `"v":..` in between, which spares a trip through [`Value`].
pub(crate) fn write_event(out: &mut Vec<u8>, event: &Event) -> Result<(), serde_json::Error> {
    const TYPE: &[u8] = br#"{"type":""#;
    let (kind, schema_version) = event.schema();
    let start = out.len();
    serde_json::to_writer(&mut *out, event)?;
    let name = start + TYPE.len();
    let quote = name + kind.len() + 1;
    let mut version = [0; 12];
    let mut rest = version.as_mut_slice();
    write!(rest, r#","v":{}"#, schema_version).expect("twelve bytes hold any 16-bit version");
    let added = 12 - rest.len();
    let end = out.len();
    out.extend_from_slice(&version[..added]);
    out.copy_within(quote..end, quote + added);
    out[quote..quote + added].copy_from_slice(&version[..added]);
    Ok(())
}

fn into_entry(
    append: Append,
    place: Place,
    body_digest: Hash,
    payload: Option<PayloadDigest>,
) -> Entry {
    Entry {
        header: Header {
            position: place.position,
            recorded_at: place.recorded_at,
            body_digest: hex::encode(body_digest),
            prev: hex::encode(place.prev),
        },
        body: Some(Body {
            salt: hex::encode(place.salt),
            stream: append.stream,
            version: place.version,
            events: append.events,
            origin: append.origin,
            idempotency: append.idempotency,
            payload,
        }),
        payload: append.payload,
        erased_by: None,
    }
}

/// Whether an append keeps the promises of its fields: at least one event, a payload within its limit. One that does
/// not is a fault of the program.
pub fn is_well_formed(append: &Append) -> bool {
    let payload = append.payload.as_ref().map_or(0, Bytes::len);
    !append.events.is_empty() && payload <= INLINE_BYTES_MAX
}

/// One line that was read and agrees with itself: its frame is right and its body has the digest its header names.
pub struct Line<'a> {
    /// Header, which an erasure leaves.
    pub header: Header,
    /// Hash of the entry, which the next one names.
    pub hash: Hash,
    /// The hash of the entry ahead.
    pub prev: Hash,
    /// The body, its events still as they were written; `None` once erased.
    pub body: Option<RawBody<'a>>,
    /// What replaces an erased body.
    pub erased: Option<Erasure>,
}

/// A body's bytes as they were written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawBody<'a> {
    salt: String,
    /// Stream that the entry belongs to.
    pub stream: StreamId,
    /// The stream's version with the entry.
    pub version: Version,
    #[serde(borrow)]
    events: Vec<RawEvent<'a>>,
    at: Timestamp,
    by: String,
    request_id: String,
    source: Source,
    #[serde(default)]
    remarks: Remarks,
    #[serde(default)]
    idempotency: Option<Idempotency>,
    /// Digest of the payload stored after the entry.
    #[serde(default)]
    pub payload: Option<PayloadDigest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEvent<'a> {
    #[serde(rename = "type")]
    kind: String,
    v: u16,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLine<'a> {
    #[serde(borrow)]
    header: &'a RawValue,
    #[serde(borrow)]
    body: &'a RawValue,
    #[serde(borrow, default)]
    erased: Option<&'a RawValue>,
}

impl<'a> Line<'a> {
    /// Reads a line without its line feed.
    ///
    /// # Errors
    /// [`EntryError`] for what is wrong with the line.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EntryError> {
        let raw: RawLine<'a> = serde_json::from_slice(bytes).map_err(EntryError::NotAnEntry)?;
        let (header, body) = (raw.header.get(), raw.body.get());
        let rest = behind_body(bytes, header, body)?;
        let erased = match raw.erased {
            None if rest == b"}" && body != "null" => None,
            Some(_) if body == "null" => Some(Erasure::parse(rest)?),
            None | Some(_) => return Err(EntryError::BodyFrame),
        };
        let hash = hash_header(header.as_bytes());
        let header: Header = serde_json::from_str(header).map_err(EntryError::Header)?;
        let prev = parse_hash(&header.prev).ok_or(EntryError::PrevNotHash)?;
        if let Some(erased) = erased.filter(|erased| erased.by <= header.position) {
            return Err(EntryError::ErasedByEarlier(erased.by));
        }
        let body = if body == "null" {
            None
        } else {
            if parse_hash(&header.body_digest) != Some(sha256(body.as_bytes())) {
                return Err(EntryError::BodyDigest);
            }
            let body: RawBody<'a> = serde_json::from_str(body).map_err(EntryError::Body)?;
            Some(body)
        };
        Ok(Self {
            header,
            hash,
            prev,
            body,
            erased,
        })
    }

    /// Its events, lifted to the current schema; none once erased. `place` is for the error.
    ///
    /// # Errors
    /// As [`Line::into_entry`].
    pub fn events(&self, place: &str) -> Result<Vec<Event>, JournalError> {
        let events = self.body.iter().flat_map(|body| &body.events);
        events.map(|event| read_event(event, place)).collect()
    }

    /// Checks that this program knows each of its events, without reading what they say. `place` is for the error.
    ///
    /// # Errors
    /// [`JournalError::Newer`] or [`JournalError::UnknownEvent`].
    pub fn check_schemas(&self, place: &str) -> Result<(), JournalError> {
        let mut events = self.body.iter().flat_map(|body| &body.events);
        events.try_for_each(|event| check_schema(&event.kind, event.v, place).map(drop))
    }

    /// Digest of the payload stored after the line.
    pub fn payload(&self) -> Option<&PayloadDigest> {
        self.body.as_ref().and_then(|body| body.payload.as_ref())
    }

    /// Checks the payload's bytes against their digest.
    ///
    /// # Errors
    /// [`EntryError`] when they have another digest.
    pub fn check_payload(&self, bytes: &[u8]) -> Result<(), EntryError> {
        match self.payload() {
            Some(digest) if parse_hash(&digest.sha256) != Some(sha256(bytes)) => {
                Err(EntryError::PayloadDigest)
            }
            None if bytes.iter().any(|byte| *byte != FILLER) => Err(EntryError::NotFiller),
            Some(_) | None => Ok(()),
        }
    }

    /// The entry, its events lifted to the current schema. `place` is for the error.
    ///
    /// # Errors
    /// [`JournalError::Newer`] for an event of a newer schema, [`JournalError::Damaged`] for one that cannot be read.
    pub fn into_entry(self, payload: Option<Bytes>, place: &str) -> Result<Entry, JournalError> {
        let body = match self.body {
            None => None,
            Some(raw) => Some(Body {
                salt: raw.salt,
                stream: raw.stream,
                version: raw.version,
                events: raw
                    .events
                    .iter()
                    .map(|event| read_event(event, place))
                    .collect::<Result<_, _>>()?,
                origin: Origin {
                    at: raw.at,
                    by: raw.by,
                    request_id: raw.request_id,
                    source: raw.source,
                    remarks: raw.remarks,
                },
                idempotency: raw.idempotency,
                payload: raw.payload,
            }),
        };
        Ok(Entry {
            header: self.header,
            body,
            payload,
            erased_by: self.erased.map(|erased| erased.by),
        })
    }
}

/// The bytes after the body. The bytes around header and body are always the same, so that no byte of a line is
/// outside the check.
fn behind_body<'b>(bytes: &'b [u8], header: &str, body: &str) -> Result<&'b [u8], EntryError> {
    let (header, body) = (header.as_bytes(), body.as_bytes());
    bytes
        .strip_prefix(br#"{"header":"#)
        .and_then(|rest| rest.strip_prefix(header))
        .and_then(|rest| rest.strip_prefix(br#","body":"#))
        .and_then(|rest| rest.strip_prefix(body))
        .ok_or(EntryError::Frame)
}

/// Reads one event of any schema version, `{"type":..,"v":..,"data":..}`.
///
/// # Errors
/// [`JournalError::Newer`] for a newer schema, [`JournalError::UnknownEvent`] for a newer type,
/// [`JournalError::Damaged`] when it cannot be read.
pub fn decode_event(json: &str, place: &str) -> Result<Event, JournalError> {
    let raw: RawEvent<'_> =
        serde_json::from_str(json).map_err(|error| damaged(place, error.to_string()))?;
    read_event(&raw, place)
}

fn read_event(raw: &RawEvent<'_>, place: &str) -> Result<Event, JournalError> {
    let data = serde_json::from_str(raw.data.get()).map_err(|e| damaged(place, e.to_string()))?;
    let data = upcast(&raw.kind, raw.v, data, place)?;
    Event::from_parts(&raw.kind, data)
        .map_err(|error| damaged(place, format!("event {} v{}: {error}", raw.kind, raw.v)))
}

/// The SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// The hash of an entry from its header's exact bytes.
pub fn hash_header(header: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(HASH_DOMAIN);
    hasher.update(header);
    hasher.finalize().into()
}

/// The hash of an entry from its header, whose bytes are always written alike.
pub fn hash_of(header: &Header) -> Hash {
    // Numbers and hex digits: writing them to memory cannot fail.
    hash_header(&serde_json::to_vec(header).unwrap_or_default())
}

/// Reads 64 lower-case hex digits.
pub fn parse_hash(text: &str) -> Option<Hash> {
    let mut hash = NO_HASH;
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    (lower && hex::decode_to_slice(text, &mut hash).is_ok()).then_some(hash)
}

fn put_number(out: &mut Vec<u8>, label: &[u8], number: u64) {
    out.extend_from_slice(label);
    write!(out, "{number}").expect("a vector takes every write");
}

fn put_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len() * 2, 0);
    hex::encode_to_slice(bytes, &mut out[start..]).expect("two places a byte hold it in hex");
}

fn unwritable(what: String) -> JournalError {
    damaged("an entry to be written", what)
}

#[cfg(test)]
mod tests;
