//! Where an org's changes are in the journal, so that they are read in order without those of other orgs.
//!
//! A row's key is `org 0 block`, where a block is 64 positions, and its value is empty: one row for up to 64
//! changes. What a change was is read from the journal itself, so that there is no second copy to erase.

use std::sync::Arc;

use super::record_changed::{Changes, Selection};
use super::{Change, Projection, RecordName, Store, StoreError, Write};
use crate::journal::{Journal, Position};

const FEED: u8 = b'f';
/// Positions of a block: an entry of an org that changes seldom is found by reading at most so many.
const BLOCK: Position = 64;
/// Most entries that one read of the journal takes.
const READ_MAX: Position = 1_024;
/// Entries that a page may pass without showing them, before it ends early with a token to continue with.
const PASSED_MAX: u64 = 8_192;
/// Rows before it in the same batch among which a row of the same block is looked for.
const LOOKED_BACK: usize = 16;

/// The blocks in which an org's records changed.
pub struct Feed;

impl Projection for Feed {
    fn name(&self) -> &'static str {
        "feed"
    }

    fn version(&self) -> u32 {
        1
    }

    fn prefix(&self) -> u8 {
        FEED
    }

    fn apply(&self, change: &Change<'_>, writes: &mut Vec<Write>) {
        let Some(name) = RecordName::of_stream(change.body.stream.as_str()) else {
            return;
        };
        let key = key(name.org, change.entry.header.position / BLOCK);
        // Most changes follow one of the same org.
        let mut before = writes.iter().rev().take(LOOKED_BACK);
        if !before.any(|(written, _)| *written == key) {
            writes.push((key, Some(Vec::new())));
        }
    }

    fn stream_of(&self, key: &[u8], value: &[u8]) -> Option<String> {
        let _ = (key, value);
        // It names no record; what it points to is erased in the journal.
        None
    }
}

fn key(org: &str, block: u64) -> Vec<u8> {
    let mut key = base(org);
    key.extend_from_slice(&block.to_be_bytes());
    key
}

fn base(org: &str) -> Vec<u8> {
    let mut base = Vec::with_capacity(org.len() + 10);
    base.push(FEED);
    base.extend_from_slice(org.as_bytes());
    base.push(0);
    base
}

/// The org and the block of a row; `None` for rows of other projections.
pub(super) fn place_of(key: &[u8]) -> Option<(&str, u64)> {
    let (place, block) = key.split_last_chunk()?;
    let org = place.strip_prefix(&[FEED])?.strip_suffix(&[0])?;
    Some((std::str::from_utf8(org).ok()?, u64::from_be_bytes(*block)))
}

/// Whether a block of the journal has a change of a record of an org, in a stream that is `wanted`.
///
/// # Errors
/// [`StoreError`] when the journal cannot be read.
pub(super) fn has_change(
    journal: &dyn Journal,
    (org, block): (&str, u64),
    wanted: impl Fn(&str) -> bool,
) -> Result<bool, StoreError> {
    let from = (block * BLOCK).max(1);
    let end = (block + 1) * BLOCK;
    let entries = journal.read(from, usize::try_from(end - from).unwrap_or(usize::MAX))?;
    let in_block = entries.iter().filter(|entry| entry.header.position < end);
    let mut streams = in_block.filter_map(|entry| Some(entry.body.as_ref()?.stream.as_str()));
    Ok(streams.any(|stream| {
        let name = RecordName::of_stream(stream);
        name.is_some_and(|name| name.org == org) && wanted(stream)
    }))
}

/// Reads at most `limit` changes after a position. All of them are durable and in the projections.
///
/// # Errors
/// [`StoreError`] when a read fails.
pub fn changes_after(
    (store, journal): (&Store, &dyn Journal),
    selection: &Selection,
    after: Position,
    limit: usize,
) -> Result<Changes, StoreError> {
    // Before the rows: what is written meanwhile is of the next page.
    let end = store.checkpoint()?;
    let mut found = Changes {
        until: after,
        ..Changes::default()
    };
    let mut ranges = Ranges::new(store, selection.org.as_str(), (after + 1, end));
    let mut passed = 0;
    while let Some((from, to)) = ranges.next(limit)? {
        let count = usize::try_from(to - from + 1).unwrap_or(usize::MAX);
        for entry in journal.read(from, count)? {
            if found.items.len() == limit || passed == PASSED_MAX {
                found.more = true;
                return Ok(found);
            }
            found.until = entry.header.position;
            match selection.find(&entry) {
                Some(change) => found.items.push(Arc::new(change)),
                None => passed += 1,
            }
        }
        found.until = to;
    }
    found.until = end.max(after);
    Ok(found)
}

/// Ranges of positions in which an org's records changed, up to an end.
struct Ranges<'a> {
    rows: Box<dyn Iterator<Item = Result<u64, StoreError>> + 'a>,
    next: Option<u64>,
    from: Position,
    end: Position,
}

impl<'a> Ranges<'a> {
    fn new(store: &'a Store, org: &str, (from, end): (Position, Position)) -> Self {
        let base = base(org);
        let start = base.len();
        let rows = store.scan(base, &key(org, from / BLOCK));
        let rows = rows.filter_map(move |row| {
            let block = row.map(|(key, _)| {
                let block = key.get(start..)?.try_into().ok()?;
                Some(u64::from_be_bytes(block))
            });
            block.transpose()
        });
        Self {
            rows: Box::new(rows),
            next: None,
            from,
            end,
        }
    }

    /// The next range: blocks that follow each other are one, as far as `wanted` changes may take.
    fn next(&mut self, wanted: usize) -> Result<Option<(Position, Position)>, StoreError> {
        let next = match self.next.take() {
            Some(block) => Some(block),
            None => self.rows.next().transpose()?,
        };
        let Some(first) = next else { return Ok(None) };
        let wanted = Position::try_from(wanted).unwrap_or(READ_MAX);
        let blocks_max = wanted.min(READ_MAX).div_ceil(BLOCK) + 1;
        let mut last = first;
        while last - first + 1 < blocks_max {
            match self.rows.next().transpose()? {
                Some(block) if block == last + 1 => last = block,
                other => {
                    self.next = other;
                    break;
                }
            }
        }
        let from = (first * BLOCK).max(self.from);
        let to = ((last + 1) * BLOCK - 1).min(self.end);
        // What comes after the end is of the next page.
        Ok((from <= to).then_some((from, to)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store_with(blocks: &[u64]) -> (tempfile::TempDir, Store) {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(scratch.path(), 1 << 20).unwrap();
        let row = |org: &str, block| (key(org, block), Some(Vec::new()));
        let mut writes: Vec<_> = blocks.iter().map(|block| row("ORG", *block)).collect();
        writes.extend([row("OR", 3), row("ORGA", 3)]);
        store.write(&mut writes).unwrap();
        (scratch, store)
    }

    fn ranges(store: &Store, (from, end): (u64, u64), wanted: usize) -> Vec<(u64, u64)> {
        let mut ranges = Ranges::new(store, "ORG", (from, end));
        std::iter::from_fn(|| ranges.next(wanted).unwrap()).collect()
    }

    #[test]
    fn blocks_that_follow_each_other_are_read_at_once_and_others_are_passed() {
        let (_scratch, store) = store_with(&[0, 1, 2, 7, 8, 200]);
        let all = [(1, 191), (448, 575), (12_800, 12_863)];
        assert_eq!(ranges(&store, (1, 100_000), 1_000), all);
        let few = [(1, 127), (128, 191), (448, 575), (12_800, 12_863)];
        assert_eq!(ranges(&store, (1, 100_000), 64), few);
        assert_eq!(ranges(&store, (130, 500), 64), [(130, 191), (448, 500)]);
        assert_eq!(ranges(&store, (600, 12_799), 64), []);
        assert_eq!(ranges(&store, (12_810, 12_810), 64), [(12_810, 12_810)]);
    }
}
