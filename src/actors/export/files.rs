//! Writing the files of an export, so that a step is durable before the next one begins.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::ExportsError;

/// Bytes copied at a time.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;
/// The suffix of an unfinished file's name.
pub(super) const PART: &str = ".part";

/// Writes a value as a line of JSON. Returns the line's bytes.
pub(super) fn write_line(
    out: &mut impl Write,
    value: &impl Serialize,
) -> Result<usize, ExportsError> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    out.write_all(&line)?;
    Ok(line.len())
}

/// Writes after the counted length of a file; durable on return.
pub(super) fn append(file: &mut File, length: u64, bytes: &[u8]) -> io::Result<u64> {
    file.seek(SeekFrom::Start(length))?;
    file.write_all(bytes)?;
    file.sync_data()?;
    Ok(bytes.len() as u64)
}

/// Creates a file for its owner alone, or empties it.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(true).write(true);
    options.mode(0o600).open(path)
}

/// Writes a file whole or not at all; durable on return.
pub(super) fn write_whole(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let part = directory.join(format!("{name}{PART}"));
    let mut file = create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, directory.join(name))?;
    sync_dir(directory)
}

/// The size of a file, and its SHA-256 in hex.
pub(super) fn digest(path: &Path) -> io::Result<(u64, String)> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let (mut chunk, mut size) = (vec![0; CHUNK_BYTES], 0);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok((size, hex::encode(hash.finalize()))),
            count => {
                hash.update(&chunk[..count]);
                size += count as u64;
            }
        }
    }
}

/// Removes a file; one that is absent is fine.
pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
