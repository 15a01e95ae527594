//! Inserts the rows of a group that is durable in the log.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use foldhash::fast::RandomState;

use super::super::index::{Index, Row, Tip};
use super::super::offsets::EntryOffset;
use super::super::{JournalError, Position, Version};
use super::streams::{read_tip, stream_key};
use super::{Database, PAYLOADS, REACH, STATE, STREAMS};
use crate::domain::StreamId;
use crate::journal::index::MARK_EVERY;
use crate::storage::{Generation, StorageError, guarded};

impl Index for Database {
    fn tip(&self, stream: &StreamId) -> Result<Tip, JournalError> {
        Ok(Database::tip(self, stream)?.unwrap_or_default())
    }

    fn insert(&self, rows: &[Row]) -> Result<(), JournalError> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Ok(());
        };
        let (offsets, tips) = self.placed(rows)?;
        // Before the database's rows: the offsets of any rows that a killed process wrote are there.
        self.offsets.put(first.position, &offsets)?;
        let begun = offsets
            .iter()
            .filter(|offset| !offset.erased && offset.before == 0)
            .count() as u64;
        self.streams.fetch_add(begun, Ordering::Relaxed);
        let write = |into: &Generation| {
            for (row, tip) in rows.iter().zip(&tips) {
                put(into, row, *tip)?;
            }
            self.note(into, last.position)
        };
        Ok(guarded(|| self.rows.write(write))?)
    }

    fn release_payloads(&self, positions: &[Position]) -> Result<(), JournalError> {
        Database::release_payloads(self, positions)
    }
}

impl Database {
    /// The offsets of rows, and the tips of their streams after each.
    fn placed(&self, rows: &[Row]) -> Result<(Vec<EntryOffset>, Vec<Tip>), JournalError> {
        let mut tips: HashMap<&StreamId, Tip, RandomState> = HashMap::default();
        let (mut offsets, mut after) = (Vec::new(), Vec::new());
        for row in rows {
            let (mut before, mut tip) = (0, Tip::default());
            if let Some((stream, version)) = &row.stream {
                let last = match tips.get(stream).copied().or(row.before) {
                    Some(tip) => tip,
                    None => Index::tip(self, stream)?,
                };
                (before, tip) = if last.position >= row.position {
                    // A killed process had come so far.
                    (self.offset(row.position)?.before, last)
                } else {
                    let tip = last.then(row.position, *version, row.payload.is_some());
                    (last.position, tip)
                };
                tips.insert(stream, tip);
            }
            offsets.push(EntryOffset {
                location: row.location,
                hash: row.hash,
                before,
                payload: row.payload.is_some(),
                erased: row.stream.is_none(),
            });
            after.push(tip);
        }
        Ok((offsets, after))
    }

    fn note(&self, into: &Generation, position: Position) -> Result<(), StorageError> {
        let row = self.reach_row(position);
        into.table(STATE).insert(REACH, row.as_slice())?;
        Ok(())
    }

    pub(super) fn reach_row(&self, position: Position) -> [u8; 16] {
        let mut row = [0; 16];
        row[..8].copy_from_slice(&position.to_be_bytes());
        row[8..].copy_from_slice(&self.streams.load(Ordering::Relaxed).to_be_bytes());
        row
    }
}

/// Writes the rows of an entry, the stream's last.
fn put(into: &Generation, row: &Row, tip: Tip) -> Result<(), StorageError> {
    let Some((stream, version)) = &row.stream else {
        return Ok(());
    };
    let (position, streams) = (row.position.to_be_bytes(), into.table(STREAMS));
    // One that is not the last any more was replaced, before a killed process ended.
    if let Some(payload) = &row.payload
        && tip.payload == row.position
    {
        into.table(PAYLOADS).insert(position, payload.as_ref())?;
    }
    if version.is_multiple_of(MARK_EVERY) {
        streams.insert(stream_key(stream, *version), position.as_slice())?;
    }
    let mut value = [0; 24];
    value[..8].copy_from_slice(&tip.version.to_be_bytes());
    value[8..16].copy_from_slice(&tip.position.to_be_bytes());
    value[16..].copy_from_slice(&tip.payload.to_be_bytes());
    let key = stream_key(stream, Version::MAX);
    let old = streams.insert(key, value.as_slice())?;
    // What it says now came before: the log still has it.
    let old = old.as_deref().and_then(read_tip).unwrap_or_default();
    if old.payload > 0 && old.payload < tip.payload {
        into.table(PAYLOADS).remove(old.payload.to_be_bytes())?;
    }
    Ok(())
}
