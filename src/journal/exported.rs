//! A journal, or a part of it, in one file that can be checked by itself.
//!
//! `{"journal_export":1,"from":1}`, then every entry with the bytes it has in the log, payloads and erased lines included, then
//! `{"end":{"position":120,"hash":".."}}`. The marks of groups are left out: they are not part of the chain.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::replay::Replay;
use super::segment::Segment;
use super::{Head, JournalError, Position};

/// The format that this program writes, and the only one it reads.
pub const FORMAT: u32 = 1;
/// Longest first or last line.
const FRAME_BYTES_MAX: usize = 256;

/// First line of an export, before the entries.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begin {
    journal_export: u32,
    from: Position,
}

/// Last line of an export, after the entries.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    end: Head,
}

/// Why an export could not be written to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The journal could not be read. The entries before are written; the file has no last line.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The output could not be written.
    #[error(transparent)]
    Output(#[from] io::Error),
    /// No entry was asked for.
    #[error("there is no entry in that range")]
    Empty,
}

/// What an export has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Position and hash of the last exported entry.
    pub head: Head,
    /// The position of a later event that erased some of the entries: without that event the file does not show that they
    /// were to be erased.
    pub erased_by_later: Option<Position>,
}

/// Writes the entries that were asked for.
///
/// # Errors
/// See [`ExportError`].
pub fn write(entries: Replay, out: &mut impl Write) -> Result<Exported, ExportError> {
    let mut head = None;
    let mut erased_by = 0;
    for written in entries.written() {
        let written = written?;
        let header = &written.entry.header;
        if head.is_none() {
            let begin = Begin {
                journal_export: FORMAT,
                from: header.position,
            };
            write_frame(out, &begin)?;
        }
        out.write_all(&written.bytes)?;
        erased_by = erased_by.max(written.entry.erased_by.unwrap_or(0));
        head = Some((header.position, written.hash));
    }
    let (position, hash) = head.ok_or(ExportError::Empty)?;
    let head = Head {
        position,
        hash: hex::encode(hash),
    };
    write_frame(out, &End { end: head.clone() })?;
    Ok(Exported {
        head,
        erased_by_later: (erased_by > position).then_some(erased_by),
    })
}

fn write_frame(out: &mut impl Write, frame: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, frame)?;
    out.write_all(b"\n")
}

/// Reads the first line: the first position, and the bytes up to the first entry.
pub(crate) fn begin(segment: &Segment) -> Result<(Position, u64), JournalError> {
    let mut bytes = Vec::new();
    segment
        .read(0, FRAME_BYTES_MAX, &mut bytes)
        .map_err(|fault| fault.at(&segment.name, 0))?;
    let damaged = |what: &str| JournalError::Damaged {
        place: segment.name.clone(),
        what: what.to_owned(),
    };
    let line = bytes.iter().position(|byte| *byte == b'\n');
    let line = line.filter(|_| bytes.starts_with(b"{\"journal_export\":"));
    let begin = line.and_then(|end| serde_json::from_slice::<Begin>(&bytes[..end]).ok());
    match (begin, line) {
        (Some(begin), _) if begin.journal_export > FORMAT => Err(JournalError::Newer {
            place: segment.name.clone(),
            found: begin.journal_export,
            known: FORMAT,
        }),
        (Some(begin), Some(end)) if begin.journal_export == FORMAT && begin.from > 0 => {
            Ok((begin.from, end as u64 + 1))
        }
        (Some(_) | None, _) => Err(damaged(
            "it does not begin as what g3n journal export writes",
        )),
    }
}

/// The parsed last line, when exactly that is at an offset.
pub(crate) fn end(segment: &Segment, offset: u64) -> Option<Head> {
    let mut bytes = Vec::new();
    let read = segment.read(offset, FRAME_BYTES_MAX + 1, &mut bytes);
    let line = bytes.strip_suffix(b"\n").filter(|_| read.is_ok())?;
    let end: End = serde_json::from_slice(line).ok()?;
    Some(end.end)
}
