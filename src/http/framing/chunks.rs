//! A body that comes in chunks (RFC 9112, section 7.1), as far as is needed to find its end.

use super::Fault;

/// Bytes of sizes, extensions and trailers that one body may have for each chunk, on average, and once more. They are no
/// part of the body, whose length is limited elsewhere.
const OVERHEAD_BYTES_MAX: u32 = 8_192;

/// The state of a chunked body.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    place: Place,
    /// What is left of the chunk, or its size so far.
    size: u64,
    /// Bytes of the framing, without the body's own.
    overhead: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    SizeFirst,
    Size,
    SizeSpace,
    Extension,
    SizeEnd,
    Data,
    DataEnd,
    DataLineEnd,
    LastLine,
    LastLineEnd,
    Trailer,
    TrailerEnd,
}

impl Chunks {
    /// Takes some of the bytes; returns how many, and whether the body ends with them.
    pub(super) fn step(&mut self, bytes: &[u8]) -> (usize, Result<bool, Fault>) {
        let mut at = 0;
        while at < bytes.len() {
            if self.place == Place::Data {
                let left = usize::try_from(self.size).unwrap_or(usize::MAX);
                let count = left.min(bytes.len() - at);
                self.size -= count as u64;
                at += count;
                // The content of a chunk pays for the framing of the next.
                self.overhead = self
                    .overhead
                    .saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
                if self.size == 0 {
                    self.place = Place::DataEnd;
                }
                continue;
            }
            let is_last = self.place == Place::LastLineEnd;
            match self.next(bytes[at]) {
                Some(place) => self.place = place,
                None => return (at, Err(Fault::Chunk)),
            }
            at += 1;
            if is_last {
                return (at, Ok(true));
            }
            self.overhead += 1;
            if self.overhead > OVERHEAD_BYTES_MAX {
                return (at, Err(Fault::Chunk));
            }
        }
        (at, Ok(false))
    }

    fn next(&mut self, byte: u8) -> Option<Place> {
        match (self.place, byte) {
            (Place::SizeFirst, _) => {
                self.size = u64::from(digit(byte)?);
                Some(Place::Size)
            }
            (Place::Size | Place::SizeSpace, b' ' | b'\t') => Some(Place::SizeSpace),
            (Place::Size | Place::SizeSpace, b';') => Some(Place::Extension),
            (Place::Size | Place::SizeSpace | Place::Extension, b'\r') => Some(Place::SizeEnd),
            (Place::Size, _) => {
                let size = self.size.checked_mul(16)?;
                self.size = size + u64::from(digit(byte)?);
                Some(Place::Size)
            }
            (Place::Extension, b'\t' | b' '..=b'~' | 0x80..) => Some(Place::Extension),
            (Place::SizeEnd, b'\n') if self.size == 0 => Some(Place::LastLine),
            (Place::SizeEnd, b'\n') => Some(Place::Data),
            (Place::DataEnd, b'\r') => Some(Place::DataLineEnd),
            (Place::DataLineEnd, b'\n') => Some(Place::SizeFirst),
            (Place::LastLine, b'\r') => Some(Place::LastLineEnd),
            (Place::LastLineEnd, b'\n') => Some(Place::SizeFirst),
            (Place::Trailer, b'\r') => Some(Place::TrailerEnd),
            (Place::TrailerEnd, b'\n') => Some(Place::LastLine),
            (Place::LastLine | Place::Trailer, b'\t' | b' '..=b'~' | 0x80..) => {
                Some(Place::Trailer)
            }
            (
                Place::SizeSpace
                | Place::Extension
                | Place::SizeEnd
                | Place::Data
                | Place::DataEnd
                | Place::DataLineEnd
                | Place::LastLine
                | Place::LastLineEnd
                | Place::Trailer
                | Place::TrailerEnd,
                _,
            ) => None,
        }
    }
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_and_trailers_have_an_end() {
        let mut chunks = Chunks::default();
        let text = format!("1;{}", "a".repeat(10_000));
        assert_eq!(chunks.step(text.as_bytes()).1, Err(Fault::Chunk));
        let mut chunks = Chunks::default();
        let small = "400;name=value\r\n".to_owned() + &"x".repeat(1_024) + "\r\n";
        for _ in 0..100 {
            assert_eq!(chunks.step(small.as_bytes()), (small.len(), Ok(false)));
        }
        assert_eq!(chunks.step(b"0\r\n\r\nGET"), (5, Ok(true)));
    }
}
