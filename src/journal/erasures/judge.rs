//! Checks the erased entries of a page against the events that ordered it, for callers that read a journal in pages and
//! not all of it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{ErasureNote, Findings, ORDERING_STREAMS, Plan, Problem, note_of};
use crate::domain::erasure::ErasedSpan;
use crate::journal::{Entry, Journal, JournalError, Position};

/// Orders, and spans, that are remembered: a page has entries of few.
const REMEMBERED: usize = 8;
/// How often a span is read that does not fit: a vacuum may be erasing it.
const READS_MAX: usize = 3;
/// Entries read at a time.
const READ_ENTRIES: u64 = 512;

/// What an event at a position orders: nothing, something that it does not state (`vacuum.started` version 1), or exactly
/// these.
type Order = Option<Option<Arc<Vec<ErasedSpan>>>>;

/// Judges pages one after the other. What was read for one is not read again for the next.
#[derive(Debug, Default)]
pub struct Judge {
    orders: VecDeque<(Position, Order)>,
    /// Spans that were checked, by the position of their order and their first one.
    judged: VecDeque<(Position, Position)>,
}

impl Judge {
    /// What is wrong with the erased ones among entries: each was ordered by the event that it names, with all others of
    /// its span. Whether a vacuum of an older program erased exactly these is not checked.
    ///
    /// # Errors
    /// [`JournalError`] for a failed read, or damage that the journal itself finds.
    pub fn check(
        &mut self,
        journal: &dyn Journal,
        entries: &[Entry],
    ) -> Result<Vec<Problem>, JournalError> {
        let mut findings = Findings::default();
        for entry in entries {
            if let Some(by) = entry.erased_by {
                self.check_one(journal, (entry.header.position, by), &mut findings)?;
            }
        }
        Ok(findings.problems)
    }

    fn check_one(
        &mut self,
        journal: &dyn Journal,
        (position, by): (Position, Position),
        findings: &mut Findings,
    ) -> Result<(), JournalError> {
        let spans = match self.order(journal, by)? {
            None => {
                let what = format!(
                    "position {position} is erased by position {by}, which orders no erasure"
                );
                findings.problem(position, what);
                return Ok(());
            }
            Some(None) => return Ok(()),
            Some(Some(spans)) => spans,
        };
        let at = spans.partition_point(|span| span.until < position);
        let Some(span) = spans.get(at).filter(|span| span.contains(position)) else {
            findings.not_by(position, by);
            return Ok(());
        };
        if self.judged.contains(&(by, span.from)) {
            return Ok(());
        }
        remember(&mut self.judged, (by, span.from));
        let mut erased = erased_of(journal, span, by)?;
        for _ in 1..READS_MAX {
            if span.is_of(&erased) {
                return Ok(());
            }
            erased = erased_of(journal, span, by)?;
        }
        let plan = Plan {
            by,
            spans: &spans,
            from: 1,
        };
        plan.check_span(span, &erased, true, findings);
        Ok(())
    }

    fn order(&mut self, journal: &dyn Journal, by: Position) -> Result<Order, JournalError> {
        if let Some((_, order)) = self.orders.iter().find(|(known, _)| *known == by) {
            return Ok(order.clone());
        }
        let entries = journal.read(by, 1)?;
        let bodies = entries.iter().filter_map(|entry| entry.body.as_ref());
        let mut events = bodies
            .filter(|body| ORDERING_STREAMS.contains(&body.stream.as_str()))
            .flat_map(|body| &body.events);
        let order = events.find_map(|event| match note_of(event) {
            Some(ErasureNote::Ordered { plan, .. }) => {
                Some(plan.map(|spans| Arc::new(spans.to_vec())))
            }
            Some(ErasureNote::Asked { .. } | ErasureNote::Done { .. }) | None => None,
        });
        remember(&mut self.orders, (by, order.clone()));
        Ok(order)
    }
}

/// Adds something in place of the oldest.
fn remember<T>(known: &mut VecDeque<T>, new: T) {
    if known.len() >= REMEMBERED {
        known.pop_front();
    }
    known.push_back(new);
}

/// The positions within a span that are erased by an order.
fn erased_of(
    journal: &dyn Journal,
    span: &ErasedSpan,
    by: Position,
) -> Result<Vec<Position>, JournalError> {
    let (mut erased, mut next) = (Vec::new(), span.from);
    while next <= span.until {
        let limit = READ_ENTRIES.min(span.until - next + 1);
        let entries = journal.read(next, usize::try_from(limit).unwrap_or(usize::MAX))?;
        let Some(last) = entries.last().map(|entry| entry.header.position) else {
            break;
        };
        let its = entries.iter().filter(|entry| entry.erased_by == Some(by));
        erased.extend(its.map(|entry| entry.header.position));
        next = last + 1;
    }
    Ok(erased)
}
