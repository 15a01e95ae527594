//! Gzips content of any length into a nameless temporary file, in constant memory.

use std::fs::File;
use std::io::{self, Read, Seek, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest, Md5};
use sha2::Sha256;

use super::failure::Failure;
use crate::domain::record::OBJECT_BYTES_MAX;

/// Gzip that is ready to be uploaded.
#[derive(Debug)]
pub(super) struct Packed {
    /// The bytes, from the first on.
    pub(super) file: File,
    /// The number of bytes.
    pub(super) size: u64,
    /// Their MD5 in hex.
    pub(super) md5: String,
    /// Their SHA-256 in hex.
    pub(super) sha256: String,
}

/// Counts, hashes, and stops what becomes too large.
struct Sink {
    file: File,
    hash: Md5,
    sha256: Sha256,
    size: u64,
    size_max: u64,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.size + bytes.len() as u64 > self.size_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let count = self.file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.sha256.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Gzips all of `content`.
///
/// # Errors
/// `too-large` as soon as the gzip is over what a record may hold; whatever reading or writing fails with.
pub(super) fn pack(
    content: &mut dyn Read,
    unreadable: &dyn Fn(io::Error) -> Failure,
) -> Result<Packed, Failure> {
    pack_at_most(OBJECT_BYTES_MAX, content, unreadable)
}

fn pack_at_most(
    size_max: u64,
    content: &mut dyn Read,
    unreadable: &dyn Fn(io::Error) -> Failure,
) -> Result<Packed, Failure> {
    let sink = Sink {
        // Without a name, so that nothing stays behind however the program ends.
        file: tempfile::tempfile().map_err(unwritable)?,
        hash: Md5::new(),
        sha256: Sha256::new(),
        size: 0,
        size_max,
    };
    let mut encoder = GzEncoder::new(sink, Compression::default());
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => encoder.write_all(&buffer[..count]).map_err(unwritable)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
    let mut sink = encoder.finish().map_err(unwritable)?;
    sink.file.rewind().map_err(unwritable)?;
    Ok(Packed {
        file: sink.file,
        size: sink.size,
        md5: hex::encode(sink.hash.finalize()),
        sha256: hex::encode(sink.sha256.finalize()),
    })
}

fn unwritable(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::FileTooLarge => Failure::Content {
            tag: "too-large",
            message: format!(
                "the gzip is over {OBJECT_BYTES_MAX} bytes, the most one record may hold"
            ),
        },
        _ => Failure::file(&std::env::temp_dir(), error),
    }
}

#[cfg(test)]
mod tests {
    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn what_is_packed_unpacks_to_the_same_and_packs_to_the_same() {
        let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let failed = |error| Failure::file("content".as_ref(), error);
        let packed = pack(&mut content.as_slice(), &failed).expect("packs");
        let again = pack(&mut content.as_slice(), &failed).expect("packs");
        assert_eq!((packed.size, &packed.md5), (again.size, &again.md5));
        let mut gzip = Vec::new();
        (&packed.file).read_to_end(&mut gzip).expect("reads");
        assert_eq!(gzip.len() as u64, packed.size);
        assert_eq!(hex::encode(Md5::digest(&gzip)), packed.md5);
        let mut back = Vec::new();
        GzDecoder::new(gzip.as_slice())
            .read_to_end(&mut back)
            .expect("unpacks");
        assert_eq!(back, content);
    }
    #[test]
    fn gzip_over_the_limit_is_refused_before_all_content_is_read() {
        let failed = |error| Failure::file("content".as_ref(), error);
        let content = [7; 1_000];
        let exact = pack(&mut content.as_slice(), &failed).expect("packs").size;
        let packed = pack_at_most(exact, &mut content.as_slice(), &failed);
        assert_eq!(packed.expect("fits").size, exact);
        let refused = pack_at_most(exact - 1, &mut content.as_slice(), &failed);
        assert_eq!(refused.expect_err("one byte over").tag(), "too-large");
        // Without an end, only the limit can stop it.
        let refused = pack_at_most(10_000, &mut io::repeat(7), &failed);
        assert_eq!(refused.expect_err("no end").tag(), "too-large");
    }
}
