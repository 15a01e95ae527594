//! Reading a file to its end for what it is, and copying it with the same look.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::catalogue::Object;
use crate::domain::Md5;
use crate::private;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// What a file was found to be.
pub(super) struct Hashed {
    pub(super) size: u64,
    pub(super) sha256: String,
    md5: Md5,
}

impl Hashed {
    /// Whether it is what was promised.
    pub(super) fn is(&self, object: &Object) -> bool {
        (self.size, self.md5) == (object.size, object.md5) && object.may_be(&self.sha256)
    }
}

/// Reads a file to its end; `None` when it is not there.
pub(super) fn hash_file(path: &Path) -> io::Result<Option<Hashed>> {
    match File::open(path) {
        Ok(mut file) => pass_on(&mut file, &mut io::sink()).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Copies a file into a new one, durable on return.
pub(super) fn copy_hashed(from: &mut File, to: &Path) -> io::Result<Hashed> {
    let mut file = private::create(to)?;
    let hashed = pass_on(from, &mut file)?;
    file.sync_all()?;
    Ok(hashed)
}

fn pass_on(from: &mut impl Read, to: &mut impl Write) -> io::Result<Hashed> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let (mut sha256, mut md5, mut size) = (Sha256::new(), md5::Md5::new(), 0);
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        sha256.update(&chunk[..read]);
        md5.update(&chunk[..read]);
        to.write_all(&chunk[..read])?;
        size += read as u64;
    }
    Ok(Hashed {
        size,
        sha256: hex::encode(sha256.finalize()),
        md5: Md5::from_bytes(md5.finalize().into()),
    })
}
