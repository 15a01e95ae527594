//! Takes in the rows of a group that is durable in the log.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::super::index::{Index, MARK_EVERY, Row, Tip};
use super::super::offsets::EntryOffset;
use super::super::{JournalError, Version};
use super::Database;
use super::rows::StreamRow;
use super::streams::stream_key;
use crate::domain::StreamId;

impl Index for Database {
    fn tip(&self, stream: &StreamId) -> Result<Tip, JournalError> {
        Ok(Database::tip(self, stream)?.unwrap_or_default())
    }

    fn insert(&self, rows: &[Row]) -> Result<(), JournalError> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Ok(());
        };
        let (offsets, ends) = self.placed(rows)?;
        // Before the streams' rows: the offsets of any rows that a killed process wrote are there.
        self.offsets.put(first.position, &offsets)?;
        let begun = offsets
            .iter()
            .filter(|offset| !offset.erased && offset.before == 0)
            .count() as u64;
        let marks = rows.iter().filter_map(|row| {
            let (stream, version) = row.stream.as_ref()?;
            let key = || stream_key(stream, *version);
            let mark = || (key(), StreamRow::Version(row.position));
            version.is_multiple_of(MARK_EVERY).then(mark)
        });
        let ends = ends
            .into_iter()
            .map(|(stream, tip)| (stream_key(stream, Version::MAX), StreamRow::End(tip)));
        let reach = (last.position, rows.len() as u64, begun);
        if self.rows.take(marks.chain(ends), reach)? {
            self.row_writer.wake();
        }
        Ok(())
    }
}

/// Ends of streams by their names.
type Ends<'a> = HashMap<&'a StreamId, Tip, RandomState>;

impl Database {
    /// The offsets of entries, and the ends of their streams after all of them.
    fn placed<'a>(&self, rows: &'a [Row]) -> Result<(Vec<EntryOffset>, Ends<'a>), JournalError> {
        let (mut offsets, mut ends) = (Vec::with_capacity(rows.len()), Ends::default());
        for row in rows {
            let mut before = 0;
            if let Some((stream, version)) = &row.stream {
                let last = match ends.get(stream).copied().or(row.before) {
                    Some(tip) => tip,
                    None => Index::tip(self, stream)?,
                };
                let (version, position) = (*version, row.position);
                let tip;
                (before, tip) = if last.position >= position {
                    // A killed process had come so far.
                    (self.offset(position)?.before, last)
                } else {
                    (last.position, Tip { version, position })
                };
                ends.insert(stream, tip);
            }
            offsets.push(EntryOffset {
                location: row.location,
                hash: row.hash,
                before,
                payload: row.has_payload,
                erased: row.stream.is_none(),
            });
        }
        Ok((offsets, ends))
    }
}
