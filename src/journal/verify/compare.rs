//! What a walk finds is compared with: the expected hashes, the orders of erasures, and the database.

use super::super::erasures::Erasures;
use super::super::scan::Found;
use super::super::segment::Location;
use super::super::{JournalError, Position};
use super::database::{compare, compare_ends};
use super::{LOG, Problem, Walk};

impl Walk<'_> {
    /// Compares the hash of a position with the expected ones.
    pub(super) fn expect(&mut self, position: Position, found: &str) {
        for hash in self.expected.remove(&position).unwrap_or_default() {
            if hash == found {
                self.report.confirmed += 1
            } else {
                let what = format!(
                    "hash {hash} is expected here, and it is {found}: the history up to here is another one"
                );
                self.of_log(position, what);
            }
        }
    }

    /// Compares what is erased with what was ordered, once all of it is known. Returns whether something does not fit.
    pub(super) fn check_erasures(&mut self) -> bool {
        let before = self.report.problems.len();
        let erasures = std::mem::replace(&mut self.erasures, Erasures::from(1));
        for (stream, version, position) in std::mem::take(&mut self.begins_late) {
            if !erasures.may_lack_its_start(stream.as_str(), position) {
                let what = format!(
                    "{stream} begins here with version {version}: its earlier entries were erased, and no erasure leaves part of a stream"
                );
                self.of_log(position, what);
            }
        }
        let findings = erasures.finish();
        for problem in findings.problems {
            self.of_log(problem.position, problem.what);
        }
        self.report.unproven = findings.unproven;
        self.report.problems.len() > before
    }

    pub(super) fn of_log(&mut self, position: Position, what: String) {
        self.report.problems.push(Problem {
            file: LOG.to_owned(),
            byte: 0,
            position,
            what,
        });
    }

    /// A problem of an entry that was just taken.
    pub(super) fn note(&mut self, file: &str, found: &Found<'_>, what: String) {
        self.report.problems.push(Problem {
            file: file.to_owned(),
            byte: found.offset,
            position: found.line.header.position,
            what,
        });
    }

    /// Checks that the database has the same of an entry, also of which entry precedes it in its stream.
    pub(super) fn compare(
        &mut self,
        file: &str,
        segment: Position,
        (found, ahead): (&Found<'_>, Option<Position>),
    ) -> Result<(), JournalError> {
        let Some(database) = &self.database else {
            return Ok(());
        };
        let location = Location {
            segment,
            offset: found.offset,
            line_bytes: found.line_bytes,
        };
        let what = match compare(database, location, found, ahead) {
            Ok(None) => return Ok(()),
            Ok(Some(what)) => what.to_owned(),
            Err(JournalError::Database(error)) => error,
            Err(error) => return Err(error),
        };
        self.note(file, found, format!("the database: {what}"));
        Ok(())
    }

    /// Checks that the database has each stream's end, and no rows the log has not.
    pub(super) fn compare_counts(&mut self) -> Result<(), JournalError> {
        let Some(database) = &self.database else {
            return Ok(());
        };
        let entries = self.report.entries;
        let streams = self.versions.len() as u64;
        let what = match compare_ends(database, &self.versions, entries, streams) {
            Ok(None) => return Ok(()),
            Ok(Some(what)) => what,
            Err(JournalError::Database(error)) => error,
            Err(error) => return Err(error),
        };
        self.problem(super::super::database::DIRECTORY, 0, what);
        Ok(())
    }
}
