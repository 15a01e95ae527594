//! Reads a segment entry by entry, and distinguishes an unfinished end from a wrong byte.

use std::sync::Arc;

use super::EntryError;
use super::Position;
use super::entry::{LINE_BYTES_MAX, Line};
use super::erased::filler_behind;
use super::segment::{Fault, Location, Segment};

/// Most bytes read from the disk at a time, unless one entry needs more.
const CHUNK_BYTES: usize = 256 * 1024;
/// Most bytes of a payload the scanner takes from an entry's word.
const PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The first bytes of every entry, with the line feed before it.
const ENTRY_START: &[u8] = b"\n{\"header\":{\"position\":";
/// The first bytes of every group but a segment's first, with the line feed before it.
const GROUP_START: &[u8] = b"\n{\"group\":";
/// Longest line that marks a group.
const MARK_BYTES_MAX: usize = 40;

/// Reads entries one after the other.
pub(crate) struct Scanner {
    segment: Arc<Segment>,
    buffer: Vec<u8>,
    /// Offset of the buffer's first byte.
    start: u64,
    /// The next entry's place in the buffer.
    at: usize,
    /// Bytes read from the disk at a time.
    chunk_bytes: usize,
    /// Bytes read from the disk so far.
    bytes_read: u64,
}

/// What was read at the scanner's offset.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every step finds an entry, and boxing it would cost an allocation each"
)]
pub(crate) enum Step<'a> {
    /// An entry that agrees with itself.
    Found(Found<'a>),
    /// The end of the segment.
    End,
    /// The beginning of an entry, and then the end.
    Unfinished { offset: u64 },
    /// Something else. When the line itself is right and only its payload is wrong, `after` is the offset after both.
    Wrong {
        offset: u64,
        what: String,
        after: u64,
    },
}

/// An entry in a segment.
pub(crate) struct Found<'a> {
    /// Offset of its line.
    pub(crate) offset: u64,
    /// Bytes of its line with the line feed.
    pub(crate) line_bytes: u32,
    /// Whether a mark precedes it: everything above was durable when this was written.
    pub(crate) first_of_group: bool,
    pub(crate) line: Line<'a>,
    pub(crate) payload: Option<&'a [u8]>,
    /// All of its bytes as they were written: the line, and the payload or filler after it.
    pub(crate) written: &'a [u8],
}

#[derive(Clone, Copy)]
struct Mark {
    position: Position,
    bytes: usize,
}

/// How many bytes belong to the item at the offset; whether it is right is not known yet.
enum Extent {
    End,
    Unfinished,
    Wrong(String),
    Whole { line: usize, total: usize },
}

impl Scanner {
    pub(crate) fn new(segment: Arc<Segment>, offset: u64) -> Self {
        Self {
            segment,
            buffer: Vec::new(),
            start: offset,
            at: 0,
            chunk_bytes: CHUNK_BYTES,
            bytes_read: 0,
        }
    }

    /// Offset of what the next step reads.
    pub(crate) fn offset(&self) -> u64 {
        self.start + self.at as u64
    }

    /// Continues at another offset.
    pub(crate) fn seek(&mut self, offset: u64) {
        self.buffer.clear();
        self.start = offset;
        self.at = 0;
    }

    /// Reads at a time no more than what is between two entries that are both to be read.
    pub(crate) fn expect_bytes(&mut self, first: Location, last: Location) {
        if first.segment == last.segment {
            let end = last.offset + u64::from(last.line_bytes);
            let bytes = usize::try_from(end.saturating_sub(first.offset)).unwrap_or(CHUNK_BYTES);
            self.chunk_bytes = bytes.min(CHUNK_BYTES);
        }
    }

    /// The segment it reads.
    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Reads the next entry and moves past it; at anything else it stays.
    pub(crate) fn step(&mut self) -> Result<Step<'_>, Fault> {
        if self.at > CHUNK_BYTES {
            self.buffer.drain(..self.at);
            self.start += self.at as u64;
            self.at = 0;
        }
        let offset = self.offset();
        let mark = match self.mark()? {
            Ok(mark) => mark,
            Err(what) => return Ok(wrong(offset, what, 1)),
        };
        let skip = mark.map_or(0, |mark| mark.bytes);
        let (line, total) = match self.extent(skip)? {
            Extent::End => return Ok(Step::End),
            Extent::Unfinished => return Ok(Step::Unfinished { offset }),
            Extent::Wrong(what) => return Ok(wrong(offset, what, 1)),
            Extent::Whole { line, total } => (line, total),
        };
        let bytes = &self.buffer[self.at + skip..self.at + total];
        let (parsed, payload) = match read_whole(bytes, line) {
            Ok(read) => read,
            // A line that is right gives the end of its payload.
            Err((what, line_is_right)) => {
                let reach = if line_is_right { total } else { 1 };
                return Ok(wrong(offset, what, reach));
            }
        };
        if mark.is_some_and(|mark| mark.position != parsed.header.position) {
            return Ok(wrong(offset, "the group's mark names another position", 1));
        }
        self.at += total;
        Ok(Step::Found(Found {
            offset: offset + skip as u64,
            line_bytes: u32::try_from(line).unwrap_or(u32::MAX),
            first_of_group: mark.is_some(),
            line: parsed,
            payload,
            written: &self.buffer[self.at - (total - skip)..self.at],
        }))
    }

    /// The group's mark, when there is one at the offset.
    fn mark(&mut self) -> Result<Result<Option<Mark>, EntryError>, Fault> {
        self.fill(MARK_BYTES_MAX)?;
        let rest = self.rest();
        let Some(number) = rest.strip_prefix(&GROUP_START[1..]) else {
            return Ok(Ok(None));
        };
        let Some(end) = find_byte(&number[..number.len().min(MARK_BYTES_MAX)]) else {
            // At the end it is unfinished, which the missing line shows.
            let unfinished = number.len() < MARK_BYTES_MAX - GROUP_START.len();
            return Ok(if unfinished {
                Ok(None)
            } else {
                Err(EntryError::MarkEnd)
            });
        };
        let mark = number[..end]
            .strip_suffix(b"}")
            .filter(|digits| digits.first().is_some_and(|digit| *digit != b'0'))
            .filter(|digits| digits.iter().all(u8::is_ascii_digit))
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        Ok(mark
            .map(|position| {
                Some(Mark {
                    position,
                    bytes: GROUP_START.len() + end,
                })
            })
            .ok_or(EntryError::MarkPosition))
    }

    fn extent(&mut self, skip: usize) -> Result<Extent, Fault> {
        if self.rest().is_empty() {
            return Ok(Extent::End);
        }
        let Some(line) = self.find_line(skip)? else {
            return Ok(self.without_line_feed(skip));
        };
        let whole = &self.rest()[skip..skip + line];
        let size = payload_size(whole).or_else(|| filler_behind(whole));
        let Some(size) = size else {
            return Ok(Extent::Whole {
                line,
                total: skip + line,
            });
        };
        let total = skip + line + size + 1;
        let claims_much = size > CHUNK_BYTES;
        if claims_much || !self.fill(total)? {
            // So much is read on the word of a line that is right alone.
            if let Err(what) = Line::parse(&self.rest()[skip..skip + line - 1]) {
                return Ok(Extent::Wrong(what.into()));
            }
        }
        if size <= PAYLOAD_BYTES_MAX && self.fill(total)? {
            Ok(Extent::Whole { line, total })
        } else {
            Ok(Extent::Unfinished)
        }
    }

    /// The end came before a line feed: the beginning of a line, or a whole one whose line feed became another byte.
    fn without_line_feed(&self, skip: usize) -> Extent {
        let rest = &self.rest()[skip..];
        let Some((_, line)) = rest.split_last() else {
            return Extent::Unfinished;
        };
        if rest.len() >= LINE_BYTES_MAX {
            return Extent::Wrong("no line feed for 16 MiB".to_owned());
        }
        match Line::parse(line) {
            Ok(_) => Extent::Wrong("a line feed was expected".to_owned()),
            Err(_) => Extent::Unfinished,
        }
    }

    /// The length of the line from `skip` on, line feed included.
    fn find_line(&mut self, skip: usize) -> Result<Option<usize>, Fault> {
        let mut searched = skip;
        loop {
            let rest = self.rest();
            if let Some(found) = find_byte(&rest[searched.min(rest.len())..]) {
                return Ok(Some(searched + found + 1 - skip));
            }
            searched = rest.len().max(skip);
            if searched >= LINE_BYTES_MAX || !self.fill(searched + 1)? {
                return Ok(None);
            }
        }
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// Reads until `wanted` bytes are in the buffer; false when the segment ends before.
    fn fill(&mut self, wanted: usize) -> Result<bool, Fault> {
        while self.rest().len() < wanted {
            let before = self.buffer.len();
            let offset = self.start + before as u64;
            let missing = wanted - self.rest().len();
            self.segment
                .read(offset, missing.max(self.chunk_bytes), &mut self.buffer)?;
            if self.buffer.len() == before {
                return Ok(false);
            }
            self.bytes_read += (self.buffer.len() - before) as u64;
        }
        Ok(true)
    }

    /// Searches from an offset on for a consistent entry past a position, and moves there.
    /// With `group` only the first of a group counts.
    pub(crate) fn find_entry(
        &mut self,
        from: u64,
        past: Position,
        group: bool,
    ) -> Result<Option<u64>, Fault> {
        let wanted = if group { GROUP_START } else { ENTRY_START };
        self.seek(from);
        loop {
            let Some(found) = find_bytes(self.rest(), wanted) else {
                let keep = self.rest().len().min(wanted.len() - 1);
                self.at = self.buffer.len() - keep;
                self.buffer.drain(..self.at);
                self.start += self.at as u64;
                self.at = 0;
                if !self.fill(keep + 1)? {
                    return Ok(None);
                }
                continue;
            };
            // What was read stays: a payload may hold thousands of candidates.
            self.at += found + 1;
            let candidate = self.offset();
            if let Step::Found(entry) = self.step()?
                && entry.line.header.position > past
            {
                self.seek(candidate);
                return Ok(Some(candidate));
            }
            self.at = usize::try_from(candidate - self.start).expect("it is within the buffer");
        }
    }
}

fn wrong<'a>(offset: u64, what: impl Into<String>, reach: usize) -> Step<'a> {
    Step::Wrong {
        offset,
        what: what.into(),
        after: offset + reach as u64,
    }
}

type Whole<'a> = (Line<'a>, Option<&'a [u8]>);

/// Reads a line and the payload after it; an error says whether at least the line is right.
fn read_whole(bytes: &[u8], line: usize) -> Result<Whole<'_>, (EntryError, bool)> {
    let (head, tail) = bytes.split_at(line);
    let parsed = Line::parse(&head[..line - 1]).map_err(|what| (what, false))?;
    let Some((end, payload)) = tail.split_last() else {
        let filler = parsed.erased.and_then(|erased| erased.filler);
        return match (parsed.payload(), filler) {
            (None, None) => Ok((parsed, None)),
            (Some(_), _) | (_, Some(_)) => Err((EntryError::PayloadPlace, false)),
        };
    };
    parsed.check_payload(payload).map_err(|what| (what, true))?;
    if *end != b'\n' {
        return Err((EntryError::PayloadEnd, true));
    }
    let payload = parsed.erased.is_none().then_some(payload);
    Ok((parsed, payload))
}

/// The payload's size from a line's end, where the journal always writes it: cheaper than reading the line twice.
fn payload_size(line: &[u8]) -> Option<usize> {
    const LABEL: &[u8] = br#","payload":{"sha256":""#;
    const SIZE: &[u8] = br#"","size":"#;
    let rest = line.strip_suffix(b"}}}\n")?;
    let digits = rest
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (rest, size) = rest.split_at(rest.len() - digits);
    let rest = rest.strip_suffix(SIZE)?;
    let label = rest.len().checked_sub(64)?;
    if !rest[..label].ends_with(LABEL) {
        return None;
    }
    std::str::from_utf8(size).ok()?.parse().ok()
}

fn find_byte(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

fn find_bytes(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = find_byte(&bytes[from..]) {
        if bytes[from + found..].starts_with(wanted) {
            return Some(from + found);
        }
        from += found + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches for an entry where there is none, in a segment of these bytes. Returns how many bytes were read.
    fn looked_through(bytes: &[u8]) -> u64 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("00000000000000000001.jsonl");
        std::fs::write(&path, bytes).unwrap();
        let segment = Segment::at(&path).unwrap();
        let mut scanner = Scanner::new(Arc::new(segment), 0);
        let Ok(found) = scanner.find_entry(0, 0, false) else {
            panic!("it can be read");
        };
        assert_eq!(found, None);
        scanner.bytes_read
    }

    #[test]
    fn looking_behind_damage_reads_each_byte_once_whatever_tenants_stored() {
        let begins = b"x\n{\"header\":{\"position\":1}}".repeat(40_000);
        let claim = format!(
            "x\n{{\"header\":{{\"position\":7}},\"body\":{{\"salt\":\"\",\"payload\":{{\"sha256\":\"{}\",\"size\":900000}}}}}}\n",
            "0".repeat(64)
        );
        let claims = claim.repeat(10_000).into_bytes();
        for bytes in [begins, claims] {
            let read = looked_through(&bytes);
            let allowed = bytes.len() as u64 + CHUNK_BYTES as u64;
            assert!(read <= allowed, "{read} of {allowed}");
        }
    }
}
