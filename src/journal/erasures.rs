//! Holding what is erased against the events that ordered it: an erased entry that no event accounts for is damage.
//!
//! The chain covers headers, so it does not cover a body that is erased. The events that order erasures are chained and
//! never erased, and state exactly which positions they erase ([`crate::domain::erasure`]).

mod judge;
mod positions;

use std::collections::BTreeMap;

use positions::Positions;

use super::scan::Found;
use super::{Entry, JournalError, Position};
use crate::domain::Event;
use crate::domain::erasure::{
    Coverage, ErasedSpan, ErasureNote, ORDERING_STREAMS, SPAN_POSITIONS_MAX, digest, note_of,
};
use crate::domain::vacuum::Erased;

pub use judge::Judge;

/// Positions that one problem lists.
const LISTED_MAX: usize = 10;

/// Erased entries that no event accounts for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The first of them; where it is not known which ones they are, the position of the event that orders others.
    pub position: Position,
    /// What is wrong, in a sentence for operators.
    pub what: String,
}

/// Erased entries whose order did not list them: a vacuum of an older program that failed, or is still running. Whether
/// it ordered these is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unproven {
    /// The position of the event.
    pub by: Position,
    /// The number of entries it erased.
    pub entries: u64,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What is wrong, in the order of positions.
    pub problems: Vec<Problem>,
    /// Erased entries whose order is not proven.
    pub unproven: Vec<Unproven>,
}

/// Gathers what is erased and what was ordered while entries are read in their order.
///
/// Memory grows with the number of separate runs of erased positions, by two to twenty bytes each.
#[derive(Debug)]
pub struct Erasures {
    /// The first position that is checked; what is before it is not known.
    from: Position,
    /// Position of the last erasure that is known.
    until: Position,
    runs: BTreeMap<String, Run>,
    orders: BTreeMap<Position, Order>,
    /// Erased positions, by the position of the order that they name.
    found: BTreeMap<Position, Positions>,
}

#[derive(Debug)]
struct Run {
    covers: Coverage,
    erases: bool,
}

#[derive(Debug)]
struct Order {
    run: String,
    plan: Option<Vec<ErasedSpan>>,
    covers: Option<Coverage>,
    done: Option<Option<Erased>>,
}

impl Erasures {
    /// For entries from a position on; 1 for a whole journal.
    pub fn from(position: Position) -> Self {
        Self {
            from: position.max(1),
            until: 0,
            runs: BTreeMap::new(),
            orders: BTreeMap::new(),
            found: BTreeMap::new(),
        }
    }

    /// Takes the next entry.
    pub fn take(&mut self, entry: &Entry) {
        let position = entry.header.position;
        self.take_erased(position, entry.erased_by);
        if let Some(body) = &entry.body
            && ORDERING_STREAMS.contains(&body.stream.as_str())
        {
            body.events
                .iter()
                .for_each(|event| self.take_event(position, event));
        }
    }

    /// The same for an entry whose events are not read yet.
    pub(crate) fn take_found(
        &mut self,
        found: &Found<'_>,
        place: &str,
    ) -> Result<(), JournalError> {
        let position = found.line.header.position;
        self.take_erased(position, found.line.erased.map(|erased| erased.by));
        let body = found.line.body.as_ref();
        if body.is_some_and(|body| ORDERING_STREAMS.contains(&body.stream.as_str())) {
            let events = found.line.events(place)?;
            events
                .iter()
                .for_each(|event| self.take_event(position, event));
        }
        Ok(())
    }

    fn take_erased(&mut self, position: Position, by: Option<Position>) {
        self.until = self.until.max(position);
        if let Some(by) = by {
            self.found.entry(by).or_default().push(position);
        }
    }

    fn take_event(&mut self, position: Position, event: &Event) {
        match note_of(event) {
            None => {}
            Some(ErasureNote::Asked {
                run,
                covers,
                erases,
            }) => {
                self.runs.insert(run.to_owned(), Run { covers, erases });
            }
            Some(ErasureNote::Ordered { run, plan, covers }) => {
                let order = Order {
                    run: run.to_owned(),
                    plan: plan.map(<[ErasedSpan]>::to_vec),
                    covers,
                    done: None,
                };
                self.orders.insert(position, order);
            }
            Some(ErasureNote::Done { run, erased }) => {
                let mut orders = self.orders.values_mut();
                if let Some(order) = orders.find(|order| order.run == run) {
                    order.done = Some(erased.cloned());
                }
            }
        }
    }

    /// Whether an unfinished order may have erased a part of a stream that has an entry at a position. A finished one
    /// has erased all of the stream before the order, or nothing.
    pub(crate) fn may_lack_its_start(&self, stream: &str, position: Position) -> bool {
        let mut orders = self.orders.range(position..);
        orders.any(|(_, order)| {
            let run = self.runs.get(&order.run);
            let covers = order.covers.as_ref().or(run.map(|run| &run.covers));
            order.done.is_none()
                && run.is_none_or(|run| run.erases)
                && covers.is_none_or(|covers| covers.covers_stream(stream))
        })
    }

    /// Compares the orders with what was found erased.
    pub fn finish(self) -> Findings {
        let mut findings = Findings::default();
        for (by, positions) in &self.found {
            if !self.orders.contains_key(by) {
                let all = positions.list();
                let what = if *by > self.until {
                    format!(
                        "position {all} is erased by position {by}, behind the end at {}",
                        self.until
                    )
                } else {
                    format!("position {all} is erased by position {by}, which orders no erasure")
                };
                findings.problem(positions.first(), what);
            }
        }
        let none = Positions::default();
        for (by, order) in &self.orders {
            self.judge(
                *by,
                order,
                self.found.get(by).unwrap_or(&none),
                &mut findings,
            );
        }
        findings.problems.sort_by_key(|problem| problem.position);
        findings
    }

    /// Whether an order has erased what it states, and nothing else.
    fn judge(&self, by: Position, order: &Order, found: &Positions, findings: &mut Findings) {
        let run = self.runs.get(&order.run);
        if run.is_some_and(|run| !run.erases) {
            if found.len() > 0 {
                let all = found.list();
                let what = format!(
                    "position {all} is erased by the dry run at position {by}, which erases nothing"
                );
                findings.problem(found.first(), what);
            }
            return;
        }
        match (&order.plan, &order.done) {
            (Some(plan), done) => {
                let plan = Plan {
                    by,
                    spans: plan,
                    from: self.from,
                };
                plan.judge(found, done.as_ref(), findings);
            }
            (None, Some(Some(told))) if self.from == 1 => {
                compare_with_numbers(by, told, found, findings);
            }
            // Of a part of the journal its numbers say nothing.
            (None, Some(Some(_))) => {}
            (None, Some(None)) if found.len() > 0 => {
                let all = found.list();
                let what = format!(
                    "position {all} is erased by position {by}, which was completed without erasing anything"
                );
                findings.problem(found.first(), what);
            }
            (None, None) if found.len() > 0 => findings.unproven.push(Unproven {
                by,
                entries: found.len(),
            }),
            (None, Some(None) | None) => {}
        }
    }
}

/// Compares what is erased with the numbers that a vacuum of an older program recorded at its end.
fn compare_with_numbers(by: Position, told: &Erased, found: &Positions, findings: &mut Findings) {
    if found.len() == told.entries && found.digest() == told.positions_sha256 {
        return;
    }
    let extra = match found.len() {
        few @ 0..=SPAN_POSITIONS_MAX if few == told.entries + 1 => {
            let gone: Vec<_> = found.iter().collect();
            one_too_many(&gone, told.entries, &told.positions_sha256)
        }
        _ => None,
    };
    match extra {
        Some(position) => findings.not_by(position, by),
        None => findings.problem(
            by,
            format!(
                "the vacuum that began here says it erased {} entries; {} are, or others: {}",
                told.entries,
                found.len(),
                found.list()
            ),
        ),
    }
}

/// The positions that an order states.
struct Plan<'a> {
    by: Position,
    spans: &'a [ErasedSpan],
    /// The first position that was checked.
    from: Position,
}

impl Plan<'_> {
    /// Within a span all that is stated is erased, or nothing is; once the order is done, all is.
    fn judge(&self, found: &Positions, done: Option<&Option<Erased>>, findings: &mut Findings) {
        let by = self.by;
        let known = |span: &&ErasedSpan| span.from >= self.from;
        let (mut spans, mut within) = (self.spans.iter().filter(known).peekable(), Vec::new());
        // A span that begins before what was checked is not known to be whole.
        let begun = self.spans.iter().rfind(|span| span.from < self.from);
        let mut outside = Positions::default();
        for position in found.iter() {
            if begun.is_some_and(|span| span.contains(position)) {
                continue;
            }
            while let Some(span) = spans.next_if(|span| span.until < position) {
                self.check_span(span, &within, done.is_some(), findings);
                within.clear();
            }
            match spans.peek() {
                Some(span) if span.contains(position) => within.push(position),
                Some(_) | None => outside.push(position),
            }
        }
        for span in spans {
            self.check_span(span, &within, done.is_some(), findings);
            within.clear();
        }
        if outside.len() > 0 {
            let what = format!(
                "position {} is erased by position {by}, which does not erase it",
                outside.list()
            );
            findings.problem(outside.first(), what);
        }
        let planned: u64 = self.spans.iter().map(|span| span.entries).sum();
        let told = done.map(|erased| erased.as_ref().map_or(0, |erased| erased.entries));
        if let Some(told) = told.filter(|told| *told != planned) {
            let what = format!(
                "the erasure that begins here states {planned} entries and ends with {told}"
            );
            findings.problem(by, what);
        }
    }

    fn check_span(
        &self,
        span: &ErasedSpan,
        within: &[Position],
        done: bool,
        findings: &mut Findings,
    ) {
        let by = self.by;
        if span.is_of(within) || (within.is_empty() && !done) {
            return;
        }
        if let Some(position) = one_too_many(within, span.entries, &span.positions_sha256) {
            return findings.not_by(position, by);
        }
        let what = format!(
            "position {by} erases {} entries from position {} to {}; {} are erased{}",
            span.entries,
            span.from,
            span.until,
            within.len(),
            match within {
                [] => String::new(),
                [..] => format!(
                    ", or others: {}",
                    list(within.iter().copied(), within.len() as u64)
                ),
            }
        );
        findings.problem(within.first().copied().unwrap_or(span.from), what);
    }
}

/// The position without which these are the ones that a digest is of.
fn one_too_many(positions: &[Position], entries: u64, sha256: &str) -> Option<Position> {
    let all = positions.len() as u64;
    if all != entries + 1 || all > SPAN_POSITIONS_MAX + 1 {
        return None;
    }
    (0..positions.len()).find_map(|left_out| {
        let mut others = positions.to_vec();
        let position = others.remove(left_out);
        (digest(&others) == sha256).then_some(position)
    })
}

/// Some positions in words, such as `3, 5 and 12 more`.
fn list(positions: impl Iterator<Item = Position>, count: u64) -> String {
    let listed: Vec<_> = positions
        .take(LISTED_MAX)
        .map(|position| position.to_string())
        .collect();
    match count - listed.len() as u64 {
        0 => listed.join(", "),
        more => format!("{} and {more} more", listed.join(", ")),
    }
}

impl Positions {
    fn list(&self) -> String {
        list(self.iter(), self.len())
    }
}

impl Findings {
    fn problem(&mut self, position: Position, what: String) {
        self.problems.push(Problem { position, what });
    }

    /// A position is known that an order has not erased.
    fn not_by(&mut self, position: Position, by: Position) {
        let what =
            format!("position {position} is erased by position {by}, which does not erase it");
        self.problem(position, what);
    }

    /// The first problem as the reason why the journal cannot be used.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] with the position.
    pub fn into_result(self) -> Result<(), JournalError> {
        match self.problems.into_iter().next() {
            None => Ok(()),
            Some(problem) => Err(problem.into()),
        }
    }
}

impl From<Problem> for JournalError {
    fn from(problem: Problem) -> Self {
        Self::Damaged {
            place: format!("position {}", problem.position),
            what: problem.what,
        }
    }
}

#[cfg(test)]
mod tests;
