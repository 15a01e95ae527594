//! Erasing in the log: bodies and payloads are replaced by filler of the same length, so that offsets and hashes stay.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::bgzf::{END, MEMBER_BYTES, Packer};
use super::erased::{Erasure, FILLER};
use super::scan::{Scanner, Step};
use super::segment::{Listed, Segment, Segments, damaged, failed, list, plain_name, sealed_name};
use super::{EraseOrder, JournalError, Position};
use crate::clock::Pace;
use crate::disk::Disk;

/// Bytes packed between two writes, and between two pauses.
const WRITE_BYTES: usize = 256 * 1024;

/// Entries read between two rests, some milliseconds' worth.
const ENTRIES_BETWEEN_RESTS: u64 = 256;

/// The stores and flags that packing a segment needs.
pub(crate) struct Packing<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) dir: &'a Path,
    pub(crate) segments: &'a Segments,
    pub(crate) stop: &'a AtomicBool,
}

/// A place of a segment that gets other bytes of the same length.
struct Patch {
    offset: u64,
    /// The erased line with its line feed.
    line: Vec<u8>,
    /// Bytes of filler after it, with its line feed.
    filler: usize,
}

impl Patch {
    fn end(&self) -> u64 {
        self.offset + (self.line.len() + self.filler) as u64
    }

    /// The byte at an offset of the segment within the patch.
    fn byte(&self, offset: u64) -> u8 {
        let at = usize::try_from(offset - self.offset).unwrap_or(usize::MAX);
        match self.line.get(at) {
            Some(byte) => *byte,
            None if offset + 1 == self.end() => b'\n',
            None => FILLER,
        }
    }
}

/// Erases what an order covers in one segment that is not being written any more. Returns the positions the order has
/// erased in it, now or before; `None` when asked to stop. Afterwards the segment is sealed.
pub(crate) fn erase_segment(
    packing: &Packing<'_>,
    first: Position,
    order: &EraseOrder,
) -> Result<Option<Vec<Position>>, JournalError> {
    let segment =
        Segment::open(packing.dir, first).map_err(|(name, fault)| fault.at(&name, first))?;
    let segment = Arc::new(segment);
    let (positions, patches, last) = survey(&segment, order)?;
    if let Err(what) = order.holds((first, last), &positions) {
        return Err(damaged(&segment.name, 0, first, what.to_string()));
    }
    if patches.is_empty() {
        return Ok(Some(positions));
    }
    Ok(packing
        .pack(first, &segment, &patches)?
        .then_some(positions))
}

/// The positions that an order has erased in a segment or is to erase, how, and the segment's last position.
fn survey(
    segment: &Arc<Segment>,
    order: &EraseOrder,
) -> Result<(Vec<Position>, Vec<Patch>, Position), JournalError> {
    let (mut positions, mut patches) = (Vec::new(), Vec::new());
    let mut scanner = Scanner::new(Arc::clone(segment), 0);
    let (mut next, mut pace) = (segment.first, Pace::start());
    loop {
        if next % ENTRIES_BETWEEN_RESTS == 0 {
            pace.rest();
        }
        let (position, offset, line_bytes, payload) = match scanner
            .step()
            .map_err(|fault| fault.at(&segment.name, next))?
        {
            Step::End => return Ok((positions, patches, next - 1)),
            Step::Found(found) => {
                next = found.line.header.position + 1;
                let position = found.line.header.position;
                if found
                    .line
                    .erased
                    .is_some_and(|erased| erased.by == order.by)
                {
                    positions.push(position);
                }
                let body = found.line.body.as_ref();
                let covered = body.is_some_and(|body| (order.covers)(body.stream.as_str()));
                if !covered || position >= order.by {
                    continue;
                }
                let payload = found.payload.map(<[u8]>::len);
                (position, found.offset, found.line_bytes, payload)
            }
            Step::Unfinished { offset } => {
                let what = "the segment ends within an entry".to_owned();
                return Err(damaged(&segment.name, offset, next, what));
            }
            Step::Wrong { offset, what, .. } => {
                return Err(damaged(&segment.name, offset, next, what));
            }
        };
        let mut line = Vec::new();
        segment
            .read(offset, line_bytes as usize, &mut line)
            .map_err(|fault| fault.at(&segment.name, position))?;
        line.pop();
        let erasure = Erasure {
            by: order.by,
            filler: payload,
        };
        let mut line = erasure
            .write(&line)
            .map_err(|what| damaged(&segment.name, offset, position, what))?;
        line.push(b'\n');
        positions.push(position);
        patches.push(Patch {
            offset,
            line,
            filler: payload.map_or(0, |bytes| bytes + 1),
        });
    }
}

impl Packing<'_> {
    /// Packs a segment's content with patches into a sealed file that replaces it, durable on return; false when asked to
    /// stop.
    pub(crate) fn seal(&self, first: Position) -> Result<bool, JournalError> {
        let segment =
            Segment::open(self.dir, first).map_err(|(name, fault)| fault.at(&name, first))?;
        self.pack(first, &segment, &[])
    }

    fn pack(
        &self,
        first: Position,
        segment: &Segment,
        patches: &[Patch],
    ) -> Result<bool, JournalError> {
        let plain = self.dir.join(plain_name(first));
        let sealed = self.dir.join(sealed_name(first));
        let temporary = self.dir.join(format!("{}.tmp", sealed_name(first)));
        let io = |error| failed("sealing a segment", &sealed, error);
        if !self.write(&temporary, segment, patches)? {
            self.disk.remove(&temporary).map_err(io)?;
            return Ok(false);
        }
        self.disk.rename(&temporary, &sealed).map_err(io)?;
        self.disk.sync_dir(self.dir).map_err(io)?;
        if plain.try_exists().map_err(io)? {
            self.disk.remove(&plain).map_err(io)?;
            self.disk.sync_dir(self.dir).map_err(io)?;
        }
        self.segments.close(first);
        Ok(true)
    }

    fn write(
        &self,
        temporary: &Path,
        segment: &Segment,
        patches: &[Patch],
    ) -> Result<bool, JournalError> {
        let io = |error| failed("sealing a segment", temporary, error);
        let mut file = self.disk.create(temporary).map_err(io)?;
        let (mut packer, mut packed, mut content) = (Packer::new(), Vec::new(), Vec::new());
        let (mut read, mut written, mut unpaused) = (0, 0, 0);
        let mut patches = patches;
        let mut pace = Pace::start();
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            content.clear();
            segment
                .read(read, MEMBER_BYTES, &mut content)
                .map_err(|fault| fault.at(&segment.name, segment.first))?;
            patches = apply(patches, read, &mut content);
            read += content.len() as u64;
            unpaused += content.len();
            if content.is_empty() {
                packed.extend_from_slice(&END)
            } else {
                packer
                    .pack(&content, &mut packed)
                    .map_err(|what| io(std::io::Error::other(what)))?
            }
            if content.is_empty() || unpaused >= WRITE_BYTES {
                file.write_at(written, &packed).map_err(io)?;
                written += packed.len() as u64;
                packed.clear();
            }
            if content.is_empty() {
                file.sync().map_err(io)?;
                return Ok(true);
            }
            if unpaused >= WRITE_BYTES {
                pace.rest();
                unpaused = 0;
            }
        }
    }
}

/// Writes the patches that overlap a part of the content into it. Returns those that extend beyond it.
fn apply<'a>(mut patches: &'a [Patch], start: u64, content: &mut [u8]) -> &'a [Patch] {
    let end = start + content.len() as u64;
    while let Some((patch, rest)) = patches.split_first()
        && patch.offset < end
    {
        for offset in patch.offset.max(start)..patch.end().min(end) {
            content[usize::try_from(offset - start).unwrap_or(usize::MAX)] = patch.byte(offset);
        }
        if patch.end() > end {
            break;
        }
        patches = rest;
    }
    patches
}

/// The segments that may hold entries up to a position and are not being written.
pub(crate) fn closed_segments(
    dir: &Path,
    until: Position,
    open: Position,
) -> Result<Vec<Listed>, JournalError> {
    let mut listed = list(dir)?;
    listed.retain(|listed| listed.first < until && listed.first != open);
    Ok(listed)
}
