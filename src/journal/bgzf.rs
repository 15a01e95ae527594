//! Gzip in members of at most 64 KiB, each with its own length, so that a sealed segment can be read at any offset.
//!
//! The layout is BGZF, as the SAM specification (section 4.1) describes it; `gzip -d` reads it too.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status};

/// Most bytes of content in one member; with the worst deflate can do, a member stays below 64 KiB.
pub(crate) const MEMBER_BYTES_MAX: usize = 0xff00;
/// Bytes of content in each member that is written: to read a little of it, all of it is inflated.
pub(crate) const MEMBER_BYTES: usize = 0x4000;
/// The empty member every complete file ends with.
pub(crate) const END: [u8; 28] = [
    0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 6, 0, 0x42, 0x43, 2, 0, 0x1b, 0, 3, 0, 0, 0, 0, 0, 0, 0,
    0, 0,
];

const HEAD_BYTES: usize = 18;
const FIXED_BYTES: usize = 16;
const TAIL_BYTES: usize = 8;

/// One member: where it is and what part of the content it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    /// The offset of its first byte in the file.
    pub(crate) file_offset: u64,
    /// Its length in the file, in bytes.
    pub(crate) file_bytes: usize,
    /// The offset of its first byte in the content.
    pub(crate) offset: u64,
    /// Bytes of its content, decoded.
    pub(crate) bytes: usize,
}

/// What is wrong with a file, or why it cannot be read.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The disk said no.
    Io(io::Error),
    /// The bytes at this offset of the file are not a member.
    At(u64, MemberError),
}

/// Why content could not be made into a member, or a member not into its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MemberError {
    #[error("a member could not be compressed")]
    NotCompressed,
    #[error("a member is too long")]
    TooLong,
    #[error("a compressed member reads back as something else")]
    ReadsBackOtherwise,
    #[error("a gzip member does not have the checksum it names")]
    Checksum,
    #[error("no gzip member as the journal writes it")]
    Header,
    #[error("a gzip member reaches past the end")]
    PastEnd,
    #[error("a gzip member claims more than 64 KiB")]
    ClaimsTooMuch,
    #[error("the closing gzip member is wrong")]
    ClosingWrong,
    #[error("the closing gzip member is missing")]
    ClosingMissing,
    #[error("a gzip member is cut short")]
    Unfinished,
}

/// Makes members; keeps its working memory between them.
pub(crate) struct Packer {
    deflate: Compress,
    inflate: Decompress,
}

impl Packer {
    pub(crate) fn new() -> Self {
        Self {
            deflate: Compress::new(Compression::new(1), false),
            inflate: Decompress::new(false),
        }
    }

    /// Appends one member that holds the content, and reads it back: the content is about to lose its only other copy.
    pub(crate) fn pack(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), MemberError> {
        let start = out.len();
        out.extend_from_slice(&END[..FIXED_BYTES]);
        out.extend_from_slice(&[0; 2]);
        out.reserve(0x1_0000);
        self.deflate.reset();
        let status = self
            .deflate
            .compress_vec(content, out, FlushCompress::Finish);
        if !matches!(status, Ok(Status::StreamEnd)) {
            return Err(MemberError::NotCompressed);
        }
        let mut crc = Crc::new();
        crc.update(content);
        out.extend_from_slice(&crc.sum().to_le_bytes());
        let length = u32::try_from(content.len()).map_err(|_| MemberError::TooLong)?;
        out.extend_from_slice(&length.to_le_bytes());
        let size = u16::try_from(out.len() - start - 1).map_err(|_| MemberError::TooLong)?;
        out[start + FIXED_BYTES..start + HEAD_BYTES].copy_from_slice(&size.to_le_bytes());
        if unpack(&mut self.inflate, &out[start..], content.len())? == content {
            Ok(())
        } else {
            Err(MemberError::ReadsBackOtherwise)
        }
    }
}

/// Walks the members' headers. The closing empty member is checked and not listed.
pub(crate) fn index(file: &File) -> Result<Vec<Member>, Broken> {
    let length = file.metadata().map_err(Broken::Io)?.len();
    let mut members = Vec::new();
    let (mut at, mut offset, mut ended) = (0, 0, false);
    while at < length {
        let mut head = [0; HEAD_BYTES];
        read_exact(file, &mut head, at)?;
        if ended || head[..FIXED_BYTES] != END[..FIXED_BYTES] {
            return Err(Broken::At(at, MemberError::Header));
        }
        let file_bytes = usize::from(u16::from_le_bytes([head[16], head[17]])) + 1;
        if file_bytes < HEAD_BYTES + TAIL_BYTES || at + file_bytes as u64 > length {
            return Err(Broken::At(at, MemberError::PastEnd));
        }
        let mut tail = [0; 4];
        read_exact(file, &mut tail, at + file_bytes as u64 - 4)?;
        let bytes = u32::from_le_bytes(tail) as usize;
        if bytes > MEMBER_BYTES_MAX {
            return Err(Broken::At(at, MemberError::ClaimsTooMuch));
        }
        if bytes == 0 {
            let mut end = [0; END.len()];
            read_exact(file, &mut end, at)?;
            ended = end == END && file_bytes == END.len();
            if !ended {
                return Err(Broken::At(at, MemberError::ClosingWrong));
            }
        } else {
            members.push(Member {
                file_offset: at,
                file_bytes,
                offset,
                bytes,
            });
        }
        at += file_bytes as u64;
        offset += bytes as u64;
    }
    if ended {
        Ok(members)
    } else {
        Err(Broken::At(at, MemberError::ClosingMissing))
    }
}

/// The content of one member.
pub(crate) fn read_member(file: &File, member: Member) -> Result<Vec<u8>, Broken> {
    let mut packed = vec![0; member.file_bytes];
    read_exact(file, &mut packed, member.file_offset)?;
    unpack(&mut Decompress::new(false), &packed, member.bytes)
        .map_err(|what| Broken::At(member.file_offset, what))
}

fn unpack(
    inflate: &mut Decompress,
    member: &[u8],
    content_bytes: usize,
) -> Result<Vec<u8>, MemberError> {
    inflate.reset(false);
    let (packed, tail) = member[HEAD_BYTES..].split_at(member.len() - HEAD_BYTES - TAIL_BYTES);
    // One byte more than expected, so that longer content is seen.
    let mut content = Vec::with_capacity(content_bytes + 1);
    let status = inflate.decompress_vec(packed, &mut content, FlushDecompress::Finish);
    let mut crc = Crc::new();
    crc.update(&content);
    let whole = matches!(status, Ok(Status::StreamEnd))
        && inflate.total_in() == packed.len() as u64
        && content.len() == content_bytes
        && tail[..4] == crc.sum().to_le_bytes();
    whole.then_some(content).ok_or(MemberError::Checksum)
}

fn read_exact(file: &File, out: &mut [u8], at: u64) -> Result<(), Broken> {
    file.read_exact_at(out, at)
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Broken::At(at, MemberError::Unfinished),
            _ => Broken::Io(error),
        })
}
