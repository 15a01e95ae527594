//! The size and digests of files, and copies that yield them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use md5::{Digest, Md5 as Md5Hasher};

use crate::domain::Md5;
use crate::journal::copy::pass_on;
use crate::private;

/// The size and digests of a file that was read to its end.
pub(super) struct Hashed {
    pub(super) size: u64,
    pub(super) sha256: String,
    pub(super) md5: Md5,
}

/// Reads a file to its end; `None` when it is not there.
pub(super) fn hash_file(path: &Path) -> io::Result<Option<Hashed>> {
    match File::open(path) {
        Ok(mut file) => hash(&mut file, &mut io::sink()).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Copies a file into a new one, durable on return.
pub(super) fn copy_hashed(from: &mut File, to: &Path) -> io::Result<Hashed> {
    let mut file = private::create(to)?;
    let hashed = hash(from, &mut file)?;
    file.sync_all()?;
    Ok(hashed)
}

fn hash(from: &mut impl Read, to: &mut impl Write) -> io::Result<Hashed> {
    let mut md5 = Md5Hasher::new();
    let written = pass_on(from, to, |chunk| md5.update(chunk))?;
    Ok(Hashed {
        size: written.size,
        sha256: written.sha256,
        md5: Md5::from_bytes(md5.finalize().into()),
    })
}
