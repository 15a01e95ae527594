//! The plan of an erasure: the positions that it erases, in spans that are erased wholly or not at all.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Most positions of one span. A span of which one position too many was erased is searched for it by leaving each out,
/// which takes time with the square of this.
pub const SPAN_POSITIONS_MAX: u64 = 4_096;
/// Most spans of one plan: at about 140 bytes each they stay well below the longest line of the journal (16 MiB).
pub const SPANS_MAX: usize = 65_536;

/// A part of what is erased together: either all of its entries are erased by the order, or none yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasedSpan {
    /// The first position that is erased.
    pub from: u64,
    /// The last position that is erased.
    pub until: u64,
    /// How many are erased, both included; others between them stay.
    pub entries: u64,
    /// SHA-256 in hex over the erased positions, 8 bytes each, big endian, in order.
    pub positions_sha256: String,
}

impl ErasedSpan {
    /// Whether a position is in the span.
    pub fn contains(&self, position: u64) -> bool {
        (self.from..=self.until).contains(&position)
    }

    /// Whether these positions, in order, are exactly the ones that are erased.
    pub fn is_of(&self, positions: &[u64]) -> bool {
        positions.len() as u64 == self.entries && digest(positions) == self.positions_sha256
    }
}

/// SHA-256 in hex over positions, 8 bytes each, big endian, in their order.
pub fn digest(positions: &[u64]) -> String {
    let mut hash = Sha256::new();
    for position in positions {
        hash.update(position.to_be_bytes());
    }
    hex::encode(hash.finalize())
}

/// Gathers the positions that will be erased, in order, into spans.
///
/// The journal erases one segment at a time, whole. No span reaches from one segment into the next, so that a span is
/// erased wholly or not at all at every moment, also after a crash.
#[derive(Debug)]
pub struct PlanBuilder {
    /// First positions of the segments, in order.
    segments: Vec<u64>,
    /// How many of them begin at or before the last position taken.
    passed: usize,
    open: Vec<u64>,
    spans: Vec<ErasedSpan>,
}

/// A plan has more spans than an event can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the erasure has more than {SPANS_MAX} parts; erase one org at a time")]
pub struct TooManySpans;

impl PlanBuilder {
    /// A plan for a journal whose segments begin at these positions, in order.
    pub fn new(segments: Vec<u64>) -> Self {
        Self {
            segments,
            passed: 0,
            open: Vec::new(),
            spans: Vec::new(),
        }
    }

    /// Takes the next position, greater than the one before.
    pub fn take(&mut self, position: u64) {
        let before = self.passed;
        while self
            .segments
            .get(self.passed)
            .is_some_and(|first| *first <= position)
        {
            self.passed += 1;
        }
        if self.passed > before || self.open.len() as u64 >= SPAN_POSITIONS_MAX {
            self.close();
        }
        self.open.push(position);
    }

    /// The spans.
    ///
    /// # Errors
    /// [`TooManySpans`] past [`SPANS_MAX`].
    pub fn finish(mut self) -> Result<Vec<ErasedSpan>, TooManySpans> {
        self.close();
        if self.spans.len() > SPANS_MAX {
            Err(TooManySpans)
        } else {
            Ok(self.spans)
        }
    }

    fn close(&mut self) {
        if let (Some(from), Some(until)) = (self.open.first(), self.open.last()) {
            self.spans.push(ErasedSpan {
                from: *from,
                until: *until,
                entries: self.open.len() as u64,
                positions_sha256: digest(&self.open),
            });
        }
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_ends_with_its_segment_and_when_it_is_full() {
        let mut plan = PlanBuilder::new(vec![1, 10, 20, 30]);
        for position in [3, 5, 9, 10, 31, 40] {
            plan.take(position);
        }
        let spans = plan.finish().unwrap();
        let limits: Vec<_> = spans.iter().map(|span| (span.from, span.until)).collect();
        assert_eq!(limits, [(3, 9), (10, 10), (31, 40)]);
        assert!(spans[0].is_of(&[3, 5, 9]));
        assert!(!spans[0].is_of(&[3, 6, 9]));
        let mut plan = PlanBuilder::new(Vec::new());
        (1..=SPAN_POSITIONS_MAX + 1).for_each(|position| plan.take(position));
        assert_eq!(plan.finish().unwrap().len(), 2);
        let mut plan = PlanBuilder::new((1..=SPANS_MAX as u64 + 1).collect());
        (1..=SPANS_MAX as u64 + 1).for_each(|position| plan.take(position));
        assert_eq!(plan.finish(), Err(TooManySpans));
    }
}
