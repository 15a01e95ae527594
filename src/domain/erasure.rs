//! Which entries of the journal an event has erased: the plan it states before the first body goes, and how events say so.
//!
//! An erased entry has lost the name of its stream, so nothing in it tells whether it was to be erased. The event that
//! orders the erasure tells instead, in the chain and ahead of the first erased body, the exact set of positions.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::vacuum::{Erased, Scope, VacuumEvent};
use super::{Event, StreamId};

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
    /// Whether a position lies within.
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
        match self.spans.len() > SPANS_MAX {
            true => Err(TooManySpans),
            false => Ok(self.spans),
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

/// Whose entries are erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Those that a vacuum of this scope covers.
    Scope(Scope),
    /// Those of the one stream with this name.
    Stream(String),
}

impl Coverage {
    /// Whether a stream's entries are among them.
    pub fn covers_stream(&self, stream: &str) -> bool {
        match self {
            Self::Scope(scope) => scope.covers_stream(stream),
            Self::Stream(name) => name == stream,
        }
    }
}

/// The streams whose events may order an erasure. Nothing erases these streams themselves.
pub const ORDERING_STREAMS: &[&str] = &[StreamId::VACUUM];

/// What an event says about erasing entries. Whatever may erase says it in one of these ways, on one of
/// [`ORDERING_STREAMS`], and only the entries of such an order may be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// A run was asked for, which begins with a [`Said::Ordered`] of the same name.
    Asked {
        /// Id of the erasing run.
        run: &'a str,
        /// Streams that the run may erase.
        covers: Coverage,
        /// Whether it erases; a dry run does not.
        erases: bool,
    },
    /// From here on entries ahead of this one are erased, and name the position of this event's entry.
    Ordered {
        /// Id of the erasing run.
        run: &'a str,
        /// Exactly which; `None` of an event that was written before plans were stated (`vacuum.started` version 1).
        plan: Option<&'a [ErasedSpan]>,
        /// What it covers, unless a [`Said::Asked`] has told so.
        covers: Option<Coverage>,
    },
    /// All of it is erased.
    Done {
        /// Id of the erasing run.
        run: &'a str,
        /// How many and which entries; `None` of a run that erased nothing.
        erased: Option<&'a Erased>,
    },
}

/// What an event says about erasing; `None` of all others.
pub fn said(event: &Event) -> Option<Said<'_>> {
    match event {
        Event::Vacuum(event) => said_of_vacuum(event),
        Event::Record(_)
        | Event::Container(_)
        | Event::Org(_)
        | Event::User(_)
        | Event::Account(_)
        | Event::Secret(_)
        | Event::Maintenance(_)
        | Event::Job(_)
        | Event::Offboarding(_)
        | Event::OperatorToken(_)
        | Event::Jwt(_)
        | Event::SigningKey(_)
        | Event::OperatorAct(_)
        | Event::Clock(_) => None,
    }
}

fn said_of_vacuum(event: &VacuumEvent) -> Option<Said<'_>> {
    match event {
        VacuumEvent::Requested {
            vacuum_id,
            scope,
            dry_run,
            ..
        } => Some(Said::Asked {
            run: vacuum_id,
            covers: Coverage::Scope(scope.clone()),
            erases: !dry_run,
        }),
        VacuumEvent::Started {
            vacuum_id, erases, ..
        } => Some(Said::Ordered {
            run: vacuum_id,
            plan: erases.as_deref(),
            covers: None,
        }),
        VacuumEvent::Completed { vacuum_id, erased } => Some(Said::Done {
            run: vacuum_id,
            erased: erased.as_ref(),
        }),
        VacuumEvent::StepDone { .. }
        | VacuumEvent::Failed { .. }
        | VacuumEvent::Cancelled { .. } => None,
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
