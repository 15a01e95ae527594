//! Where the entries continue after damage. Inline content of tenants may look like entries, so a line that could be one does
//! not count by itself.

use super::super::Position;
use super::super::entry::{Hash, Line};
use super::super::scan::{Found, Scanner, Step};
use super::super::segment::{Fault, Segment};
use crate::domain::record::INLINE_BYTES_MAX;

/// Consecutive entries of more than this many bytes cannot be in one payload.
const CERTAIN_BYTES: u64 = 2 * INLINE_BYTES_MAX as u64;

/// What follows the bytes that are searched.
pub(super) struct Following<'a> {
    /// The hash, in hex, that the next segment's first entry names as the previous one, and its position.
    pub(super) next: Option<(Position, String)>,
    /// Whether the bytes at an offset are what ends the entries.
    pub(super) ends: &'a dyn Fn(&Segment, u64) -> bool,
}

/// Entries that follow one another.
struct Run {
    offset: u64,
    first: Position,
    last: Position,
    hash: Hash,
    /// The offset after its last entry, where something else begins.
    stop: u64,
    /// Whether it ends where the segment does.
    reaches_end: bool,
}

impl Run {
    /// Whether no payload can hold it.
    fn is_certain(&self, following: &Following<'_>) -> bool {
        let joins = match &following.next {
            Some((position, prev)) => *position == self.last + 1 && *prev == hex::encode(self.hash),
            None => true,
        };
        self.stop - self.offset > CERTAIN_BYTES || self.reaches_end && joins
    }
}

/// The first offset after `from` that may be an entry past a position, as far as that can be decided.
///
/// A run of entries counts when it is longer than any payload, or extends to the segment's end and what follows there. Before
/// such a run, between two places of damage, a shorter one counts when its positions fit in between. Bytes are read
/// at most twice.
pub(super) fn find(
    scanner: &mut Scanner,
    from: u64,
    past: Position,
    following: &Following<'_>,
) -> Result<Option<u64>, Fault> {
    let (mut short, mut at, mut certain) = (Vec::new(), from, None);
    while let Some(offset) = scanner.find_entry(at, past, false)? {
        let Some(run) = follow(scanner, offset, following)? else {
            break;
        };
        // What breaks a run off may begin one.
        at = run.stop.saturating_sub(1).max(offset + 1);
        if run.is_certain(following) {
            certain = Some(run);
            break;
        } else {
            short.push(run)
        }
    }
    let below = match (&certain, &following.next) {
        (Some(run), _) => run.first,
        (None, Some((position, _))) => *position,
        (None, None) => Position::MAX,
    };
    let fits = short.into_iter().find(|run| run.last < below);
    let found = fits.or(certain).map(|run| run.offset);
    if let Some(offset) = found {
        scanner.seek(offset);
    }
    Ok(found)
}

/// Reads on from an entry as long as each names the one ahead.
fn follow(
    scanner: &mut Scanner,
    offset: u64,
    following: &Following<'_>,
) -> Result<Option<Run>, Fault> {
    scanner.seek(offset);
    let Step::Found(found) = scanner.step()? else {
        return Ok(None);
    };
    let (first, mut last, mut hash) = {
        let header = &found.line.header;
        (header.position, header.position, found.line.hash)
    };
    let (stop, reaches_end) = loop {
        let here = scanner.offset();
        if here - offset > CERTAIN_BYTES {
            break (here, false);
        }
        match scanner.step()? {
            Step::Found(found) if follows(&found, last, &hash) => {
                last += 1;
                hash = found.line.hash;
            }
            Step::Found(found) => break (found.offset, false),
            Step::End => break (here, true),
            Step::Unfinished { .. } => break (here, following.next.is_none()),
            Step::Wrong { offset, after, .. } => {
                let ends = (following.ends)(scanner.segment(), offset);
                break (after, ends);
            }
        }
    };
    Ok(Some(Run {
        offset,
        first,
        last,
        hash,
        stop,
        reaches_end,
    }))
}

fn follows(found: &Found<'_>, last: Position, hash: &Hash) -> bool {
    let line: &Line<'_> = &found.line;
    line.header.position == last + 1 && line.header.prev == hex::encode(hash)
}
