//! Many records by one command: each line of a file is one, and each line gets an outcome of its own.

pub(super) mod get;
mod lines;
pub(super) mod put;
mod report;

use std::path::Path;

use parking_lot::Mutex;

use self::lines::{Line, Lines};
use self::report::{Outcome, Report};
use super::exit::Exit;
use super::failure::Failure;
use super::output::{Output, Printer, ended, note};

/// Calls that are under way at once: with 256 lines in each they stay below the places of one caller
/// (`limits.principal_in_flight_max`, 1,024), so that none is refused and waits for a second.
const LANES: usize = 3;

/// How many lines one call takes.
#[derive(Clone, Copy)]
struct PartSize {
    lines: usize,
    bytes: usize,
}

/// Takes a file part by part, several at once, and tells the outcome of every line.
///
/// # Errors
/// What the program cannot go on with: lines whose call it ended have no outcome, and are counted on standard error.
fn run(
    path: &Path,
    most: PartSize,
    report: Report,
    printer: &Printer,
    step: &(dyn Fn(Vec<Line>) -> Result<Vec<Outcome>, Failure> + Sync),
) -> Result<Exit, Failure> {
    let lines = Mutex::new(Lines::open(path, most)?);
    let report = Mutex::new(report);
    let stopped: Mutex<Option<Failure>> = Mutex::new(None);
    let next = || match *stopped.lock() {
        Some(_) => Ok(Vec::new()),
        None => lines.lock().part(),
    };
    let lane = || -> Result<(), Failure> {
        loop {
            let part = next()?;
            if part.is_empty() {
                return Ok(());
            }
            let outcomes = step(part)?;
            report.lock().tell(&outcomes)?;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                if let Err(failure) = lane() {
                    stopped.lock().get_or_insert(failure);
                }
            });
        }
    });
    let lines = lines.into_inner();
    let taken = lines.taken();
    drop(lines);
    let mut report = report.into_inner();
    let ended_well = match stopped.into_inner() {
        None => report.finish(),
        Some(failure) => report.finish().and(Err(failure)),
    };
    let summary = report.summary(taken);
    if let Err(failure) = ended_well {
        note(&summary.text());
        return Err(failure);
    }
    let exit = summary.exit();
    if report.is_whole_output() {
        note(&summary.text());
        return Ok(exit);
    }
    match printer.output() {
        Output::Jsonl => {
            note(&summary.text());
            Ok(exit)
        }
        Output::Json | Output::Table => Ok(ended(printer.facts(&summary.facts()), exit)),
    }
}
