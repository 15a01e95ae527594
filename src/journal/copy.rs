//! Copying segments out of a journal's directory, while a server writes it or without one.
//!
//! A file that was opened stays readable when it is sealed, erased or removed meanwhile, so one segment is always copied
//! in its state at one moment. The caller must ensure that nothing is erased between two segments.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::scan::{Scanner, Step};
use super::segment::{Segment, damaged, failed, list, plain_name, sealed_name};
use super::{JournalError, Position};
use crate::private;

/// How often a file is looked for again while it is being sealed under the reader's feet.
const TRIES_MAX: usize = 4;
/// Bytes copied at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// Identifies one file of a directory, not its successor of the same name: a segment that is sealed or erased is a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The file's number on its disk.
    pub inode: u64,
    /// Size of the file in bytes.
    pub size: u64,
    /// When it was written to last, in seconds since 1970.
    pub modified_seconds: i64,
    /// Nanoseconds within that second.
    pub modified_nanos: i64,
}

/// A segment's file, open.
pub struct Source {
    /// The position it begins with.
    pub first: Position,
    /// Name of the segment's file.
    pub name: String,
    /// The identity of the file.
    pub identity: Identity,
    file: File,
}

/// Size and hash of a written copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Size of the file in bytes.
    pub size: u64,
    /// SHA-256 of the copy's bytes, in hex.
    pub sha256: String,
}

/// The first positions of a directory's segments, in order. Each but the last is full.
///
/// # Errors
/// [`JournalError`] when the directory cannot be read.
pub fn segments(dir: &Path) -> Result<Vec<Position>, JournalError> {
    Ok(list(dir)?.into_iter().map(|listed| listed.first).collect())
}

/// The name that a segment's file has while it is not sealed.
pub fn open_name(first: Position) -> String {
    plain_name(first)
}

/// Whether a name is that of the segment with a first position.
pub fn is_name_of(name: &str, first: Position) -> bool {
    name == plain_name(first) || name == sealed_name(first)
}

/// Opens a segment's file, plain or sealed; of both the plain one counts.
///
/// # Errors
/// [`JournalError`] with the I/O error.
pub fn open(dir: &Path, first: Position) -> Result<Source, JournalError> {
    let mut missing = None;
    for _ in 0..TRIES_MAX {
        for name in [plain_name(first), sealed_name(first)] {
            let path = dir.join(&name);
            let io = |error| failed("opening a segment", &path, error);
            match File::open(&path) {
                Ok(file) => {
                    let identity = identity(&file).map_err(io)?;
                    return Ok(Source {
                        first,
                        name,
                        identity,
                        file,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing = Some(io(error)),
                Err(error) => return Err(io(error)),
            }
        }
    }
    Err(missing.expect("a file was looked for at least once"))
}

fn identity(file: &File) -> io::Result<Identity> {
    let metadata = file.metadata()?;
    Ok(Identity {
        inode: metadata.ino(),
        size: metadata.len(),
        modified_seconds: metadata.mtime(),
        modified_nanos: metadata.mtime_nsec(),
    })
}

impl Source {
    /// Copies the file's bytes as they are, durable on return.
    ///
    /// # Errors
    /// [`JournalError`] with the I/O error.
    pub fn copy(&mut self, to: &Path) -> Result<Written, JournalError> {
        let copied = copy_file(&mut self.file, to);
        copied.map_err(|error| failed("copying a segment", to, error))
    }
}

/// Copies a file's bytes into a new one, durable on return.
///
/// # Errors
/// An I/O error of the system call.
pub fn copy_file(from: &mut impl Read, to: &Path) -> io::Result<Written> {
    let mut file = private::create(to)?;
    let written = pass_on(from, &mut file, |_| ())?;
    file.sync_all()?;
    Ok(written)
}

/// Copies bytes to their end, shows each chunk, and returns their number and SHA-256.
///
/// # Errors
/// An I/O error when a read or write fails.
pub fn pass_on(
    from: &mut impl Read,
    to: &mut impl Write,
    mut show: impl FnMut(&[u8]),
) -> io::Result<Written> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let (mut hash, mut size) = (Sha256::new(), 0);
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&chunk[..read]);
        show(&chunk[..read]);
        to.write_all(&chunk[..read])?;
        size += read as u64;
    }
    Ok(Written {
        size,
        sha256: hex::encode(hash.finalize()),
    })
}

/// Copies the content of a segment up to and with a position that is in it, plain; durable on return.
///
/// # Errors
/// [`JournalError`] for an I/O error, or damage before that position.
pub fn copy_until(
    dir: &Path,
    first: Position,
    until: Position,
    to: &Path,
) -> Result<Written, JournalError> {
    let segment = Segment::open(dir, first).map_err(|(name, fault)| fault.at(&name, first))?;
    let segment = Arc::new(segment);
    let length = length_until(&segment, until)?;
    let mut content = Content {
        segment,
        at: 0,
        end: length,
    };
    copy_file(&mut content, to).map_err(|error| failed("copying a segment", to, error))
}

/// Bytes of a segment's content up to and with a position.
fn length_until(segment: &Arc<Segment>, until: Position) -> Result<u64, JournalError> {
    let (mut scanner, mut next) = (Scanner::new(Arc::clone(segment), 0), segment.first);
    loop {
        let step = scanner.step();
        let (offset, what) = match step.map_err(|fault| fault.at(&segment.name, next))? {
            Step::Found(found) if found.line.header.position < until => {
                next = found.line.header.position + 1;
                continue;
            }
            Step::Found(found) if found.line.header.position == until => {
                return Ok(scanner.offset());
            }
            Step::Found(found) => (found.offset, "a later position".to_owned()),
            Step::End => (scanner.offset(), "the segment's end".to_owned()),
            Step::Unfinished { offset } => (offset, "an entry that is not complete".to_owned()),
            Step::Wrong { offset, what, .. } => (offset, what),
        };
        let what = format!("position {until} was looked for, and here is: {what}");
        return Err(damaged(&segment.name, offset, next, what));
    }
}

/// A part of a segment's content, read as a file is.
struct Content {
    segment: Arc<Segment>,
    at: u64,
    end: u64,
}

impl Read for Content {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        let read = self
            .segment
            .read(self.at, left.min(out.len()), &mut bytes)
            .map_err(|fault| fault.at(&self.segment.name, self.segment.first));
        read.map_err(io::Error::other)?;
        out[..bytes.len()].copy_from_slice(&bytes);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
}

/// Whether the content of a segment begins with all the content that an earlier copy of it has: it only grew, or was
/// sealed, and nothing in it was erased.
///
/// # Errors
/// [`JournalError`] for an I/O error, or damage.
pub fn only_grew(earlier: &Path, now: &Path) -> Result<bool, JournalError> {
    let [earlier, now] = [earlier, now].map(Segment::at);
    let (earlier, now) = (earlier?, now?);
    let (mut at, mut left, mut right) = (0, Vec::new(), Vec::new());
    loop {
        for (segment, bytes) in [(&earlier, &mut left), (&now, &mut right)] {
            bytes.clear();
            segment
                .read(at, CHUNK_BYTES, bytes)
                .map_err(|fault| fault.at(&segment.name, segment.first))?;
        }
        if left.is_empty() {
            return Ok(true);
        }
        if !right.starts_with(&left) {
            return Ok(false);
        }
        at += left.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_copied_byte_for_byte_and_its_size_and_hash_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let bytes = b"{\"header\":{}}\n".repeat(CHUNK_BYTES / 8);
        std::fs::write(directory.path().join(plain_name(1)), &bytes).unwrap();
        let copy = directory.path().join("copy");
        let written = open(directory.path(), 1).unwrap().copy(&copy).unwrap();
        assert_eq!(std::fs::read(&copy).unwrap(), bytes);
        assert_eq!(written.size, bytes.len() as u64);
        assert_eq!(written.sha256, hex::encode(Sha256::digest(&bytes)));
        assert!(open(directory.path(), 2).is_err(), "there is no second");
    }
}
