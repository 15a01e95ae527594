//! Checks gzip while it streams: its length, that it decodes to its very end, and its digests, in constant memory.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use md5::{Digest, Md5 as Md5Hasher};
use sha2::Sha256;

use super::Promise;
use crate::domain::{ErrorTag, Md5, Rejection, Sha256Digest};

/// Takes bytes and says whether they are what was promised.
pub struct Check {
    promise: Promise,
    bytes: u64,
    md5: Md5Hasher,
    sha256: Sha256,
    decoder: MultiGzDecoder<Counted>,
}

/// Forgets what was decoded, and counts it: a gzip bomb costs no memory, and little time.
struct Counted {
    left: Option<u64>,
    is_over: bool,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(left) = self.left {
            let left = left.checked_sub(bytes.len() as u64);
            self.is_over |= left.is_none();
            self.left = Some(left.ok_or(io::ErrorKind::QuotaExceeded)?);
        }
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
            decoder: MultiGzDecoder::new(Counted {
                left: promise.decoded_bytes_max,
                is_over: false,
            }),
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

    /// Ends: all bytes were taken. Returns the SHA-256 of what was received.
    ///
    /// # Errors
    /// `size-mismatch` when bytes are missing, then `gzip-required` when the gzip does not end here, then
    /// `md5-mismatch`, with the minor `sha256` when a promised SHA-256 is another.
    pub fn finish(mut self) -> Result<Sha256Digest, Rejection> {
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
            Ok(sha256)
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
