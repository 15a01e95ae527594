//! Which entries of the journal an event has erased: the plan it states before the first body is erased, and how events say so.
//!
//! An erased entry has lost the name of its stream, so nothing in it shows whether it was to be erased. The event that
//! orders the erasure states it instead, in the chain and before the first erased body: the exact set of positions.

pub(super) mod plan;

use super::vacuum::{Erased, Scope, VacuumEvent};
use super::{Event, StreamId};

pub use plan::{ErasedSpan, PlanBuilder, SPAN_POSITIONS_MAX, SPANS_MAX, TooManySpans, digest};

/// The streams whose entries are erased.
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
pub enum ErasureNote<'a> {
    /// A run was asked for, which begins with a [`ErasureNote::Ordered`] of the same name.
    Asked {
        /// Id of the erasing run.
        run: &'a str,
        /// Streams that the run may erase.
        covers: Coverage,
        /// Whether it erases; a dry run does not.
        erases: bool,
    },
    /// After this, entries before this one are erased, and name the position of this event's entry.
    Ordered {
        /// Id of the erasing run.
        run: &'a str,
        /// Exactly which; `None` of an event that was written before plans were stated (`vacuum.started` version 1).
        plan: Option<&'a [ErasedSpan]>,
        /// What it covers, unless a [`ErasureNote::Asked`] has stated it.
        covers: Option<Coverage>,
    },
    /// The run has erased all of it.
    Done {
        /// Id of the erasing run.
        run: &'a str,
        /// How many and which entries; `None` of a run that erased nothing.
        erased: Option<&'a Erased>,
    },
}

/// What an event says about erasing; `None` of all others.
pub fn note_of(event: &Event) -> Option<ErasureNote<'_>> {
    match event {
        Event::Vacuum(event) => note_of_vacuum(event),
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

fn note_of_vacuum(event: &VacuumEvent) -> Option<ErasureNote<'_>> {
    match event {
        VacuumEvent::Requested {
            vacuum_id,
            scope,
            dry_run,
            ..
        } => Some(ErasureNote::Asked {
            run: vacuum_id,
            covers: Coverage::Scope(scope.clone()),
            erases: !dry_run,
        }),
        VacuumEvent::Started {
            vacuum_id, erases, ..
        } => Some(ErasureNote::Ordered {
            run: vacuum_id,
            plan: erases.as_deref(),
            covers: None,
        }),
        VacuumEvent::Completed { vacuum_id, erased } => Some(ErasureNote::Done {
            run: vacuum_id,
            erased: erased.as_ref(),
        }),
        VacuumEvent::StepDone { .. }
        | VacuumEvent::Failed { .. }
        | VacuumEvent::Cancelled { .. } => None,
    }
}
