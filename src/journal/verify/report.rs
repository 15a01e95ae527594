//! The report of a check, and what is to be checked.

use crate::journal::erasures::Unproven;
use crate::journal::{Head, Position};

/// Most problems a report lists; the walk ends there.
pub const PROBLEMS_MAX: usize = 1000;

/// The findings of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Entries that were read.
    pub entries: u64,
    /// Segments that were read.
    pub segments: u64,
    /// Bytes of their content, before gzip.
    pub bytes: u64,
    /// Position and hash of the last entry.
    pub head: Head,
    /// Expected hashes that were found.
    pub confirmed: u64,
    /// What is wrong, in the order of the log; at most [`PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
    /// Erased entries whose order is not proven: see [`Unproven`].
    pub unproven: Vec<Unproven>,
    /// An entry at the very end that is not complete: a server is writing it, or was when it ended. Not a problem;
    /// the next open cuts it off.
    pub unfinished: Option<Problem>,
    /// Why the database was to be compared and was not, with what to do. Not a problem: the chain was verified without it.
    pub not_compared: Option<String>,
}

/// One problem that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's name within the directory.
    pub file: String,
    /// The byte: of a plain file its own, of a sealed one that of its content, unless the gzip itself is wrong.
    pub byte: u64,
    /// The position there, or the one that belongs there.
    pub position: Position,
    /// What is wrong, in a sentence for operators.
    pub what: String,
}

/// What is checked besides the log, and where progress is reported.
pub struct Check<'a> {
    /// Whether the database is compared with the log, entry by entry; this needs a stopped server. A copy of it is read, in the
    /// directory for temporary files, because to open one is to write to it.
    pub database: bool,
    /// Heads that were kept elsewhere: a position and the hash that its entry had.
    pub expected: &'a [Head],
    /// Called with the entries so far, and 0 while the number of all is not known.
    pub progress: &'a mut dyn FnMut(u64, u64),
}
