//! Checks gzip while it streams: its length, that it decodes to its very end, and its digests, in constant memory.

use std::fs::File;
use std::io::{self, Read, Write};

use flate2::write::MultiGzDecoder;
use md5::{Digest, Md5 as Md5Hasher};
use sha2::Sha256;

use super::{Promise, Sealed};
use crate::domain::record::Decoded;
use crate::domain::{ErrorTag, Md5, Rejection, Sha256Digest};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// Takes bytes and says whether they are what was promised.
pub struct Check {
    promise: Promise,
    bytes: u64,
    md5: Md5Hasher,
    sha256: Sha256,
    decoder: MultiGzDecoder<Counted>,
}

/// Forgets what was decoded, counts and hashes it: a gzip bomb costs no memory, and little time.
struct Counted {
    left: Option<u64>,
    is_over: bool,
    size: u64,
    md5: Md5Hasher,
}

impl Counted {
    fn new(left: Option<u64>) -> Self {
        Self {
            left,
            is_over: false,
            size: 0,
            md5: Md5Hasher::new(),
        }
    }

    fn decoded(&self) -> Decoded {
        Decoded {
            size: self.size,
            md5: Md5::from_bytes(self.md5.clone().finalize().into()),
        }
    }
}

/// What the bytes of an upload are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests {
    /// SHA-256 of the bytes.
    pub sha256: Sha256Digest,
    /// What they decode to.
    pub decoded: Decoded,
}

/// Reads gzip to its end for what it decodes to; nothing when it is damaged.
struct Decoding(Option<MultiGzDecoder<Counted>>);

impl Decoding {
    fn new() -> Self {
        Self(Some(MultiGzDecoder::new(Counted::new(None))))
    }

    fn take(&mut self, bytes: &[u8]) {
        let taken = self.0.as_mut().map(|decoder| decoder.write_all(bytes));
        if taken.is_some_and(|taken| taken.is_err()) {
            self.0 = None;
        }
    }

    fn finish(self) -> Option<Decoded> {
        let mut decoder = self.0?;
        decoder.try_finish().ok()?;
        Some(decoder.get_ref().decoded())
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(left) = self.left {
            let left = left.checked_sub(bytes.len() as u64);
            self.is_over |= left.is_none();
            self.left = Some(left.ok_or(io::ErrorKind::QuotaExceeded)?);
        }
        self.size += bytes.len() as u64;
        self.md5.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Check {
    /// Starts with nothing taken.
    pub fn new(promise: Promise) -> Self {
        Self {
            promise,
            bytes: 0,
            md5: Md5Hasher::new(),
            sha256: Sha256::new(),
            decoder: MultiGzDecoder::new(Counted::new(promise.decoded_bytes_max)),
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// `size-mismatch` as soon as there are too many, `gzip-required` as soon as they are not gzip, `too-large` as soon as they
    /// decode to too much.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Rejection> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.promise.size {
            return Err(self.size_mismatch());
        }
        self.md5.update(bytes);
        self.sha256.update(bytes);
        let written = self.decoder.write_all(bytes);
        written.map_err(|error| self.refused(&error))
    }

    /// Ends: all bytes were taken. Returns the SHA-256 of what was received, and what it decodes to.
    ///
    /// # Errors
    /// `size-mismatch` when bytes are missing, then `gzip-required` when the gzip does not end here, then
    /// `md5-mismatch`, with the minor `sha256` when a promised SHA-256 is another.
    pub fn finish(mut self) -> Result<Digests, Rejection> {
        if self.bytes != self.promise.size {
            return Err(self.size_mismatch());
        }
        let finished = self.decoder.try_finish();
        finished.map_err(|error| self.refused(&error))?;
        let md5 = Md5::from_bytes(self.md5.finalize().into());
        if md5 != self.promise.md5 {
            return Err(Rejection::new(
                ErrorTag::Md5Mismatch,
                "The uploaded bytes do not have the announced content_md5; upload the right ones or put the record again.",
            )
            .with_detail("uploaded_md5", md5.to_string()));
        }
        let sha256 = Sha256Digest::from_bytes(self.sha256.finalize().into());
        if self
            .promise
            .sha256
            .is_none_or(|promised| promised == sha256)
        {
            let decoded = self.decoder.get_ref().decoded();
            Ok(Digests { sha256, decoded })
        } else {
            Err(Rejection::new(
                ErrorTag::Md5Mismatch,
                "The uploaded bytes have the announced MD5 and another SHA-256; upload the right ones.",
            )
            .with_minor("sha256")
            .with_detail("uploaded_sha256", sha256.to_string()))
        }
    }

    fn size_mismatch(&self) -> Rejection {
        size_mismatch(self.promise.size)
    }

    fn refused(&self, error: &io::Error) -> Rejection {
        match self.promise.decoded_bytes_max {
            Some(most) if self.decoder.get_ref().is_over => decodes_to_too_much(most),
            Some(_) | None => not_gzip(error),
        }
    }
}

/// Reads a file to its end for what it is.
pub(super) fn digests_of(mut file: File) -> io::Result<Sealed> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let (mut sha256, mut md5, mut size) = (Sha256::new(), Md5Hasher::new(), 0);
    let mut decoding = Decoding::new();
    loop {
        let read = match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        sha256.update(&chunk[..read]);
        md5.update(&chunk[..read]);
        decoding.take(&chunk[..read]);
        size += read as u64;
    }
    Ok(Sealed {
        size,
        sha256: Sha256Digest::from_bytes(sha256.finalize().into()),
        decoded: decoding.finish(),
        md5: Some(Md5::from_bytes(md5.finalize().into())),
    })
}

/// The refusal of an upload that is longer or shorter than promised.
pub fn size_mismatch(promised: u64) -> Rejection {
    Rejection::new(
        ErrorTag::SizeMismatch,
        "The upload does not have the announced size; upload the right bytes or put the record again.",
    )
    .with_detail("promised_size", promised)
}

fn decodes_to_too_much(most: u64) -> Rejection {
    let message = format!(
        "The upload decodes to more than {most} bytes, the maximum for its size; split the content."
    );
    Rejection::new(ErrorTag::TooLarge, message)
        .with_minor("decoded")
        .with_detail("decoded_bytes_max", most)
}

fn not_gzip(error: &io::Error) -> Rejection {
    Rejection::new(
        ErrorTag::GzipRequired,
        format!("The upload is not gzip to its end ({error}); gzip the content and upload that."),
    )
}
