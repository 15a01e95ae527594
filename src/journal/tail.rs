//! The end of the log at open: what a crash may have torn, and what is damage.

use std::sync::Arc;

use super::chain::{Chain, End};
use super::entry::Hash;
use super::scan::{Scanner, Step};
use super::segment::{Listed, Segments, damaged};
use super::{JournalError, Position};
use crate::disk::DiskFile;

/// Bytes written again at a time while the last group is made durable.
const REWRITE_BYTES: usize = 1024 * 1024;

/// How the journal was shut down last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastShutdown {
    /// The last process closed the journal in order.
    Closed,
    /// The process ended; what it wrote is complete up to some byte.
    Killed,
    /// The machine may have lost power; of what was not synced any part may be there.
    PowerCut,
}

/// The content of the last segment.
#[derive(Default)]
pub(super) struct Tail {
    pub(super) end: End,
    /// The hash that its first entry names as the previous one; `None` while it has no entry.
    pub(super) base: Option<Hash>,
    /// Offset of the last group.
    pub(super) group: u64,
    /// Bytes of it that stay; the rest is cut off.
    pub(super) length: u64,
}

/// Walks the last segment, and decides where it ends.
pub(super) fn read_tail(
    segments: &Segments,
    first: Position,
    left: LastShutdown,
    notices: &mut Vec<String>,
) -> Result<Tail, JournalError> {
    let segment = segments.get(first)?;
    let name = segment.name.clone();
    let mut scanner = Scanner::new(segment, 0);
    let mut chain = Chain::at(first);
    let mut tail = Tail::default();
    let (offset, what, after) = loop {
        let next = chain.next;
        match scanner.step().map_err(|fault| fault.at(&name, next))? {
            Step::End => break (scanner.offset(), None, 0),
            Step::Unfinished { offset } => break (offset, None, offset + 1),
            Step::Wrong {
                offset,
                what,
                after,
            } => break (offset, Some(what), after),
            Step::Found(found) => {
                if let Err(what) = chain.follow(&found) {
                    return Err(damaged(&name, found.offset, next, what));
                }
                found.line.check_schemas(&name)?;
                tail.base.get_or_insert(found.line.prev);
                if found.first_of_group {
                    tail.group = found.offset;
                }
            }
        }
    };
    tail.end = chain.end();
    tail.length = offset;
    let length = scanner
        .segment()
        .len()?
        .max(offset + u64::from(what.is_some()));
    if length == offset {
        return Ok(tail);
    }
    let last = chain.next.saturating_sub(1);
    let torn = match (left, &what) {
        (LastShutdown::Closed, _) => false,
        // Nothing follows it: it extends past the end.
        (LastShutdown::PowerCut | LastShutdown::Killed, None) => true,
        // A killed process leaves a beginning of what it wrote, and no wrong byte.
        (LastShutdown::Killed, Some(_)) => false,
        // Any page of the last group may be missing. A later group proves that this one had been durable.
        (LastShutdown::PowerCut, Some(_)) => scanner
            .find_entry(after.saturating_sub(1), last, true)
            .map_err(|fault| fault.at(&name, chain.next))?
            .is_none(),
    };
    let what = what.unwrap_or_else(|| "the entry is not complete".to_owned());
    if !torn {
        return Err(damaged(&name, offset, chain.next, what));
    }
    notices.push(format!(
        "{name}: cut off {} bytes at byte {offset}, where position {} was being written when the {} ({what})",
        length - offset,
        chain.next,
        match left {
            LastShutdown::PowerCut => "machine went down",
            LastShutdown::Killed | LastShutdown::Closed => "process ended",
        },
    ));
    Ok(tail)
}

/// Cuts off what is torn. After a crash the last group is written again in place and synced: it may have been read
/// back from memory although an earlier sync of it failed, and would then never reach the disk.
pub(super) fn make_durable(
    file: &mut dyn DiskFile,
    segments: &Segments,
    first: Position,
    (left, cut, tail): (LastShutdown, bool, &Tail),
) -> std::io::Result<()> {
    if cut {
        file.truncate(tail.length)?;
    }
    if left != LastShutdown::Closed {
        let segment = segments.get(first).map_err(std::io::Error::other)?;
        let (mut at, mut bytes) = (tail.group, Vec::new());
        while at < tail.length {
            let limit = usize::try_from(tail.length - at)
                .map_or(REWRITE_BYTES, |rest| rest.min(REWRITE_BYTES));
            bytes.clear();
            segment
                .read(at, limit, &mut bytes)
                .map_err(|fault| std::io::Error::other(fault.at(&segment.name, first)))?;
            if bytes.is_empty() {
                break;
            }
            file.write_at(at, &bytes)?;
            at += bytes.len() as u64;
        }
    }
    if cut || left != LastShutdown::Closed {
        file.sync()?;
    }
    Ok(())
}

/// The end of a segment that must be whole.
pub(super) fn whole_segment(segments: &Segments, listed: Listed) -> Result<End, JournalError> {
    let segment = segments.get(listed.first)?;
    let mut chain = Chain::at(listed.first);
    let mut scanner = Scanner::new(Arc::clone(&segment), 0);
    loop {
        match scanner
            .step()
            .map_err(|fault| fault.at(&segment.name, chain.next))?
        {
            Step::End => return Ok(chain.end()),
            Step::Found(found) => chain
                .follow(&found)
                .map_err(|what| damaged(&segment.name, found.offset, chain.next, what))?,
            Step::Unfinished { offset } => {
                let what = "the segment ends within an entry".to_owned();
                return Err(damaged(&segment.name, offset, chain.next, what));
            }
            Step::Wrong { offset, what, .. } => {
                return Err(damaged(&segment.name, offset, chain.next, what));
            }
        }
    }
}
