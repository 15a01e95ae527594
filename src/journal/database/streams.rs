//! Streams in the database: a row for the end of each, and marks along long ones.

use std::ops::Bound;

use super::super::index::Tip;
use super::super::{JournalError, Position, Version};
use super::rows::StreamRow;
use super::{Database, number, odd};
use crate::domain::StreamId;

impl Database {
    /// Version of a stream; 0 when it has no entries.
    pub(crate) fn version(&self, stream: &StreamId) -> Result<Version, JournalError> {
        Ok(self.tip(stream)?.unwrap_or_default().version)
    }

    /// The last entry of a stream.
    pub(crate) fn tip(&self, stream: &StreamId) -> Result<Option<Tip>, JournalError> {
        match self.rows.get(&stream_key(stream, Version::MAX))? {
            Some(StreamRow::End(tip)) => Ok(Some(tip)),
            Some(StreamRow::Version(_)) | None => Ok(None),
        }
    }

    /// Positions of a stream's entries from a version on, with their versions.
    pub(crate) fn stream(
        &self,
        stream: &StreamId,
        from: Version,
        limit: usize,
    ) -> Result<Vec<(Version, Position)>, JournalError> {
        let last = from.saturating_add(limit as u64).saturating_sub(1);
        let mut rows = Vec::new();
        if limit == 0 {
            return Ok(rows);
        }
        let Some((mut version, mut position)) = self.at_or_behind(stream, last)? else {
            return Ok(rows);
        };
        while version >= from && position > 0 {
            let offset = self.offset(position)?;
            if offset.erased {
                break;
            }
            if version <= last {
                rows.push((version, position));
            }
            if offset.before >= position {
                return Err(odd("a stream's offsets run in a circle"));
            }
            (version, position) = (version.saturating_sub(1), offset.before);
        }
        rows.reverse();
        Ok(rows)
    }

    /// The first version of a stream that is known from a version on, with its position: a mark, or the stream's end,
    /// which may be before that version.
    fn at_or_behind(
        &self,
        stream: &StreamId,
        version: Version,
    ) -> Result<Option<(Version, Position)>, JournalError> {
        let from = stream_key(stream, version);
        let until = stream_key(stream, Version::MAX);
        let range = (Bound::Included(&*from), Bound::Included(&*until));
        let Some((key, row)) = self.rows.first(range)? else {
            return Ok(None);
        };
        let found = match row {
            StreamRow::End(tip) => Some((tip.version, tip.position)),
            StreamRow::Version(position) => version_in(&key, stream).zip(Some(position)),
        };
        found
            .map(Some)
            .ok_or_else(|| odd("a stream's row cannot be read"))
    }

    /// Names of streams that begin with a prefix, after a given name: one look-up each, however long they are.
    pub(crate) fn stream_names(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StreamId>, JournalError> {
        let mut names: Vec<StreamId> = Vec::new();
        let mut from = match after {
            Some(after) => first_key_after(after),
            None => prefix.as_bytes().to_vec(),
        };
        while names.len() < limit {
            let range = (Bound::Included(from.as_slice()), Bound::Unbounded);
            let Some((key, _)) = self.rows.first(range)? else {
                break;
            };
            let name = key.len().checked_sub(9).and_then(|end| key.get(..end));
            let name = name.and_then(|name| std::str::from_utf8(name).ok());
            let name = name.ok_or_else(|| odd("a stream's row cannot be read"))?;
            if !name.starts_with(prefix) {
                break;
            }
            from = first_key_after(name);
            names.push(StreamId::named(name));
        }
        Ok(names)
    }
}

pub(super) fn stream_key(stream: &StreamId, version: Version) -> Vec<u8> {
    let name = stream.as_str().as_bytes();
    let mut key = Vec::with_capacity(name.len() + 9);
    key.extend_from_slice(name);
    key.push(0);
    key.extend_from_slice(&version.to_be_bytes());
    key
}

/// The first key after all versions of a stream.
fn first_key_after(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 1);
    key.extend_from_slice(name.as_bytes());
    // Versions follow a byte 0, and no name has a byte 1.
    key.push(1);
    key
}

fn version_in(key: &[u8], stream: &StreamId) -> Option<Version> {
    let rest = key.strip_prefix(stream.as_str().as_bytes())?;
    number(rest.strip_prefix(&[0])?)
}
