//! Many positions in order, kept as runs in few bytes.

use sha2::{Digest, Sha256};

use super::Position;

/// Positions in ascending order. A run of them takes about two bytes.
#[derive(Debug, Default)]
pub(super) struct Positions {
    /// For each closed run: the distance from the end of the previous one, and its length, in LEB128.
    closed: Vec<u8>,
    /// The end of the last closed run: the first position after it.
    closed_end: Position,
    /// The run that may still grow.
    start: Position,
    length: u64,
    first: Position,
    count: u64,
}

impl Positions {
    /// Adds a position greater than the last.
    pub(super) fn push(&mut self, position: Position) {
        if self.count == 0 {
            self.first = position;
        }
        self.count += 1;
        if self.length > 0 && position == self.start + self.length {
            self.length += 1;
            return;
        }
        if self.length > 0 {
            put(&mut self.closed, self.start - self.closed_end);
            put(&mut self.closed, self.length);
            self.closed_end = self.start + self.length;
        }
        self.start = position;
        self.length = 1;
    }

    /// The number of positions.
    pub(super) fn len(&self) -> u64 {
        self.count
    }

    /// The first; 0 when there is none.
    pub(super) fn first(&self) -> Position {
        self.first
    }

    /// All positions in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Position> + '_ {
        let mut rest = self.closed.as_slice();
        let mut end = 0;
        let closed = std::iter::from_fn(move || {
            let gap = get(&mut rest)?;
            let length = get(&mut rest)?;
            let start = end + gap;
            end = start + length;
            Some(start..end)
        });
        let open = self.start..self.start + self.length;
        closed.chain(std::iter::once(open)).flatten()
    }

    /// SHA-256 in hex over all of them, as [`crate::domain::erasure::digest`].
    pub(super) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        self.iter()
            .for_each(|position| hash.update(position.to_be_bytes()));
        hex::encode(hash.finalize())
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

fn get(bytes: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(number);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_come_back_as_they_were_put() {
        let mut positions = Positions::default();
        assert_eq!(positions.iter().count(), 0);
        let put = [1, 2, 3, 9, 200, 201, 100_000, u64::from(u32::MAX) * 9];
        put.iter().for_each(|position| positions.push(*position));
        assert_eq!(positions.iter().collect::<Vec<_>>(), put);
        assert_eq!((positions.len(), positions.first()), (8, 1));
        assert_eq!(positions.digest(), crate::domain::erasure::digest(&put));
    }
}
