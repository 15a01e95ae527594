//! Where each entry is: a file of rows of equal length, one a position, derived from the log like the database next to it.
//!
//! A row costs no look-up, no copy and no garbage, however long the history grows. The file is written after the log's
//! sync and not synced itself: after a power cut it is rebuilt.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crc32fast::Hasher;

use super::entry::Hash;
use super::segment::{Location, failed};
use super::{JournalError, Position};

/// The file's name within the database's directory.
pub(crate) const FILE: &str = "places";
/// What the file begins with, filled up to a row's length: the form of the rows.
const HEADER: &[u8] = b"metarecord places 1\n";
/// Bytes of a row: segment, offset, position ahead in the stream, bytes of the line with flags, hash, and a checksum. No
/// row reaches over two pages of memory.
const ROW_BYTES: usize = 8 + 8 + 8 + 4 + 32 + 4;
/// Bytes of a row before its checksum.
const SUMMED_BYTES: usize = ROW_BYTES - 4;
/// Flag in the number of a line's bytes, which is far smaller: a payload follows it.
const PAYLOAD: u32 = 1 << 31;
/// Flag in the number of a line's bytes: the entry's body is erased.
const ERASED: u32 = 1 << 30;
/// Rows read at a time when all are.
const ROWS_AT_ONCE: usize = 4_096;
/// How often a row is read again that seems damaged: it may just be written.
const READS_MAX: u32 = 3;

/// The open file of offsets.
pub(crate) struct OffsetIndex {
    file: File,
    path: PathBuf,
}

/// Where an entry is, and how it hangs together with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryOffset {
    pub(crate) location: Location,
    pub(crate) hash: Hash,
    /// The previous entry of its stream; 0 when there is none, or none that is known.
    pub(crate) before: Position,
    /// A payload follows its line, unless it is erased.
    pub(crate) payload: bool,
    /// Whether its body is erased.
    pub(crate) erased: bool,
}

impl OffsetIndex {
    /// Opens the file of a directory, or makes it.
    pub(crate) fn open(dir: &Path) -> Result<Self, JournalError> {
        let path = dir.join(FILE);
        let open = || {
            let file = File::options()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)?;
            if file.metadata()?.len() == 0 {
                let mut header = HEADER.to_vec();
                header.resize(ROW_BYTES, 0);
                file.write_all_at(&header, 0)?;
            }
            Ok(file)
        };
        let file = open().map_err(|error| failed("opening the offsets", &path, error))?;
        let offsets = Self { file, path };
        let mut header = [0; ROW_BYTES];
        if offsets.read_at(&mut header, 0)? && header.starts_with(HEADER) {
            Ok(offsets)
        } else {
            Err(odd("its offsets have an unknown header"))
        }
    }

    /// The last row's position; 0 when there is none.
    pub(crate) fn last(&self) -> Result<Position, JournalError> {
        let length = self.file.metadata().map(|data| data.len());
        let length = length.map_err(|error| self.failed(error))?;
        Ok((length / ROW_BYTES as u64).saturating_sub(1))
    }

    /// Where an entry is; `None` when it has no row.
    pub(crate) fn get(&self, position: Position) -> Result<Option<EntryOffset>, JournalError> {
        let mut row = [0; ROW_BYTES];
        for _ in 0..READS_MAX {
            if position == 0 || !self.read_at(&mut row, position)? {
                return Ok(None);
            }
            if let Some(offset) = decode(position, &row) {
                return Ok(Some(offset));
            }
        }
        Err(odd(&format!("the offset of {position} is damaged")))
    }

    /// Writes the rows of entries that follow each other.
    pub(crate) fn put(&self, first: Position, offsets: &[EntryOffset]) -> Result<(), JournalError> {
        let mut rows = Vec::with_capacity(offsets.len() * ROW_BYTES);
        for (position, offset) in (first..).zip(offsets) {
            rows.extend_from_slice(&encode(position, offset));
        }
        self.file
            .write_all_at(&rows, offset(first))
            .map_err(|error| self.failed(error))
    }

    /// Marks entries as erased.
    pub(crate) fn erase(
        &self,
        positions: &[Position],
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), JournalError> {
        for (done, position) in (1..).zip(positions) {
            let offset = self.get(*position)?;
            let offset = offset.ok_or_else(|| odd(&format!("{position} has no offset")))?;
            let erased = EntryOffset {
                erased: true,
                payload: false,
                before: 0,
                ..offset
            };
            self.put(*position, &[erased])?;
            if done % ROWS_AT_ONCE as u64 == 0 {
                progress(done);
            }
        }
        Ok(())
    }

    /// Reads all rows up to a position and returns how many are flagged as erased.
    pub(crate) fn count_erased(&self, last: Position) -> Result<u64, JournalError> {
        let (mut position, mut erased) = (1, 0);
        while position <= last {
            let rows = (last - position + 1).min(ROWS_AT_ONCE as u64);
            let mut bytes = vec![0; rows as usize * ROW_BYTES];
            if !self.read_at(&mut bytes, position)? {
                return Err(odd("its offsets end too early"));
            }
            for (row, position) in bytes.chunks_exact(ROW_BYTES).zip(position..) {
                let offset = row.try_into().ok();
                let offset = offset.and_then(|row| decode(position, row));
                let offset =
                    offset.ok_or_else(|| odd(&format!("the offset of {position} is damaged")))?;
                erased += u64::from(offset.erased);
            }
            position += rows;
        }
        Ok(erased)
    }

    /// Reads a row into `bytes`; false when the file ends before.
    fn read_at(&self, bytes: &mut [u8], position: Position) -> Result<bool, JournalError> {
        match self.file.read_exact_at(bytes, offset(position)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: io::Error) -> JournalError {
        failed("reading or writing the offsets", &self.path, error)
    }
}

/// Where a row is. The header has the offset of position 0.
fn offset(position: Position) -> u64 {
    position.saturating_mul(ROW_BYTES as u64)
}

fn encode(position: Position, offset: &EntryOffset) -> [u8; ROW_BYTES] {
    let flags = u32::from(offset.payload) * PAYLOAD + u32::from(offset.erased) * ERASED;
    let mut row = [0; ROW_BYTES];
    row[..8].copy_from_slice(&offset.location.segment.to_be_bytes());
    row[8..16].copy_from_slice(&offset.location.offset.to_be_bytes());
    row[16..24].copy_from_slice(&offset.before.to_be_bytes());
    row[24..28].copy_from_slice(&(offset.location.line_bytes | flags).to_be_bytes());
    row[28..SUMMED_BYTES].copy_from_slice(&offset.hash);
    let sum = checksum(position, &row[..SUMMED_BYTES]);
    row[SUMMED_BYTES..].copy_from_slice(&sum.to_be_bytes());
    row
}

/// What the row of a position says; `None` when its checksum is another.
fn decode(position: Position, row: &[u8; ROW_BYTES]) -> Option<EntryOffset> {
    let long = |at: usize| Some(u64::from_be_bytes(row.get(at..at + 8)?.try_into().ok()?));
    let short = |at: usize| Some(u32::from_be_bytes(row.get(at..at + 4)?.try_into().ok()?));
    if short(SUMMED_BYTES)? != checksum(position, &row[..SUMMED_BYTES]) {
        return None;
    }
    let line_bytes = short(24)?;
    Some(EntryOffset {
        location: Location {
            segment: long(0)?,
            offset: long(8)?,
            line_bytes: line_bytes & !(PAYLOAD | ERASED),
        },
        hash: row[28..SUMMED_BYTES].try_into().ok()?,
        before: long(16)?,
        payload: line_bytes & PAYLOAD != 0,
        erased: line_bytes & ERASED != 0,
    })
}

/// Over the position too: a row in another's offset is as wrong as a damaged one.
fn checksum(position: Position, bytes: &[u8]) -> u32 {
    let mut sum = Hasher::new();
    sum.update(&position.to_be_bytes());
    sum.update(bytes);
    sum.finalize()
}

fn odd(what: &str) -> JournalError {
    JournalError::Database(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(number: u64) -> EntryOffset {
        EntryOffset {
            location: Location {
                segment: number,
                offset: number * 1_000,
                line_bytes: 300,
            },
            hash: [number as u8; 32],
            before: number - 1,
            payload: number.is_multiple_of(2),
            erased: false,
        }
    }

    #[test]
    fn rows_come_back_as_they_were_put_and_a_crash_may_leave_half_of_one() {
        let dir = tempfile::tempdir().unwrap();
        let offsets = OffsetIndex::open(dir.path()).unwrap();
        assert_eq!(offsets.last().unwrap(), 0);
        offsets.put(1, &[offset(1), offset(2), offset(3)]).unwrap();
        offsets.put(4, &[offset(4)]).unwrap();
        drop(offsets);
        let path = dir.path().join(FILE);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let offsets = OffsetIndex::open(dir.path()).unwrap();
        assert_eq!(offsets.last().unwrap(), 3);
        for number in 1..=3 {
            assert_eq!(offsets.get(number).unwrap(), Some(offset(number)));
        }
        assert_eq!(offsets.get(0).unwrap(), None);
        assert_eq!(offsets.get(4).unwrap(), None);
    }

    #[test]
    fn an_erased_entry_keeps_its_place_and_hash() {
        let dir = tempfile::tempdir().unwrap();
        let offsets = OffsetIndex::open(dir.path()).unwrap();
        offsets.put(1, &[offset(1), offset(2)]).unwrap();
        offsets.erase(&[2], &mut |_| ()).unwrap();
        let erased = offsets.get(2).unwrap().unwrap();
        assert!(erased.erased && !erased.payload && erased.before == 0);
        assert_eq!(erased.location, offset(2).location);
        assert_eq!(erased.hash, offset(2).hash);
        assert_eq!(offsets.count_erased(2).unwrap(), 1);
        assert!(offsets.erase(&[3], &mut |_| ()).is_err());
    }

    #[test]
    fn any_flipped_bit_of_a_row_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let offsets = OffsetIndex::open(dir.path()).unwrap();
        offsets.put(1, &[offset(1), offset(2)]).unwrap();
        let path = dir.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        for bit in 0..ROW_BYTES * 8 {
            let mut bytes = whole.clone();
            bytes[2 * ROW_BYTES + bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bytes).unwrap();
            assert!(offsets.get(2).is_err(), "bit {bit}");
            assert!(offsets.count_erased(2).is_err(), "bit {bit}");
            assert_eq!(offsets.get(1).unwrap(), Some(offset(1)));
        }
        assert!(offsets.count_erased(3).is_err(), "a row is missing");
    }
}
