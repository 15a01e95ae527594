//! `g3n journal verify`: the chain and what is erased, of a data directory or of an exported file, and heads that were kept
//! elsewhere.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{Exit, Trouble, move_bar};
use crate::cli::output::Printer;
use crate::cli::progress;
use crate::journal::database::DIRECTORY;
use crate::journal::verify::{Check, Report, verify_by, verify_file};
use crate::journal::{Head, replay, state};
use crate::os_error::describe;

/// Most heads that are expected in one run.
const EXPECTED_MAX: usize = 100_000;
/// Largest file of heads: about 80 bytes each, and as much again for comments.
const EXPECTED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What is checked, and against what.
#[derive(Args, Debug)]
pub(super) struct VerifyArgs {
    /// A file that g3n journal export wrote, instead of the data directory.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// A head that was kept elsewhere; may be repeated.
    #[arg(long, value_name = "POSITION:HASH")]
    expect: Vec<String>,
    /// A file of heads that were kept elsewhere, one a line: POSITION:HASH, or what g3n journal head writes. Text
    /// after # is ignored.
    #[arg(long, value_name = "FILE")]
    expect_file: Option<PathBuf>,
}

impl VerifyArgs {
    /// Whether no data directory is needed.
    pub(super) fn is_of_file(&self) -> bool {
        self.file.is_some()
    }

    pub(super) fn run(&self, dir: &Path, printer: &Printer) -> Result<Exit, Trouble> {
        let expected = self.expected()?;
        let bar = progress::of_entries("verifying");
        let mut progress = |done, total| move_bar(&bar, done, total);
        let (report, database) = match &self.file {
            Some(file) => (verify_file(file, &expected, &mut progress)?, None),
            None => {
                let database = why_not(dir)?;
                let check = Check {
                    database: database.is_none(),
                    expected: &expected,
                    progress: &mut progress,
                };
                let report = verify_by(dir, check)?;
                let database = match (database, &report.not_compared) {
                    (Some(why), _) => why,
                    (None, Some(why)) => format!("not compared: {why}"),
                    (None, None) => "compared".to_owned(),
                };
                (report, Some(database))
            }
        };
        bar.finish_and_clear();
        let mut facts = facts_of(&report);
        if let Some(database) = database {
            facts["database"] = json!(database);
        }
        if !expected.is_empty() {
            facts["expected"] = json!({"heads": expected.len(), "confirmed": report.confirmed});
        }
        printer.facts(&facts)?;
        if report.problems.is_empty() {
            return Ok(Exit::Success);
        }
        let count = report.problems.len();
        let s = if count == 1 { "" } else { "s" };
        printer.bad_news(&format!("the journal has {count} problem{s}"));
        Ok(Exit::Refused)
    }

    fn expected(&self) -> Result<Vec<Head>, Trouble> {
        let mut heads = Vec::new();
        for text in &self.expect {
            heads.push(parse_head(text).ok_or_else(|| wrong_head("--expect", text))?);
        }
        if let Some(path) = &self.expect_file {
            let place = path.display().to_string();
            let unread = |why: String| {
                Trouble::Usage(format!("--expect-file {place} cannot be read: {why}"))
            };
            let size = fs::metadata(path).map_err(|error| unread(error.to_string()))?;
            if size.len() > EXPECTED_BYTES_MAX {
                return Err(unread(format!(
                    "it is larger than {EXPECTED_BYTES_MAX} bytes"
                )));
            }
            let text = fs::read_to_string(path).map_err(|error| unread(error.to_string()))?;
            for (number, line) in (1..).zip(text.lines()) {
                let line = line.split('#').next().unwrap_or_default().trim();
                if line.is_empty() {
                    continue;
                }
                let head = parse_head(line);
                heads.push(
                    head.ok_or_else(|| wrong_head(&format!("{place}, line {number}"), line))?,
                );
            }
        }
        if heads.len() > EXPECTED_MAX {
            Err(Trouble::Usage(format!(
                "more than {EXPECTED_MAX} heads are expected; check some of them at a time"
            )))
        } else {
            Ok(heads)
        }
    }
}

/// `POSITION:HASH`, or the JSON that `g3n journal head` writes.
fn parse_head(text: &str) -> Option<Head> {
    let head = match text.split_once(':') {
        Some((position, hash)) if !text.starts_with('{') => Head {
            position: position.trim().parse().ok()?,
            hash: hash.trim().to_ascii_lowercase(),
        },
        Some(_) | None => serde_json::from_str(text).ok()?,
    };
    let is_hash = head.hash.len() == 64 && head.hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then_some(head)
}

fn wrong_head(place: &str, text: &str) -> Trouble {
    Trouble::Usage(format!(
        "{place}: {text} is not POSITION:HASH, a position and the 64 hex digits of its hash"
    ))
}

/// Why the database is not compared.
fn why_not(dir: &Path) -> Result<Option<String>, Trouble> {
    let stopped = match replay::is_stopped(dir) {
        Ok(stopped) => stopped,
        // Without its lock it is unknown whether a server writes to it.
        Err(error) => return Ok(Some(format!("not compared: {}", describe(&error)))),
    };
    let state = state::read(dir)?;
    let why = if !stopped {
        Some("not compared: a server is running")
    } else if !dir.join(DIRECTORY).exists() {
        // A directory that was just restored has none, and an operator may have removed it.
        Some("not compared: there is none; the next start rebuilds it from the log")
    } else if state.is_some_and(|state| !state.clean) {
        // Until the next start it is only as far as it had come.
        Some("not compared: the server did not shut down cleanly")
    } else {
        None
    };
    Ok(why.map(str::to_owned))
}

fn facts_of(report: &Report) -> serde_json::Value {
    let problems = report.problems.iter().map(
        |problem| json!({"file": problem.file, "byte": problem.byte, "position": problem.position, "what": problem.what}),
    );
    let unproven = report.unproven.iter();
    let unproven = unproven.map(|unproven| json!({"by": unproven.by, "entries": unproven.entries}));
    json!({
        "good": report.problems.is_empty(),
        "entries": report.entries,
        "segments": report.segments,
        "bytes": report.bytes,
        "head": report.head,
        "unfinished": report.unfinished.as_ref().map(|problem| problem.what.clone()),
        "unproven": unproven.collect::<Vec<_>>(),
        "problems": problems.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_is_typed_and_as_it_is_written() {
        let hash = "ab".repeat(32);
        for text in [
            format!("7:{hash}"),
            format!("7: {}", hash.to_uppercase()),
            format!("{{\"position\":7,\"hash\":\"{hash}\"}}"),
        ] {
            let head = parse_head(&text).unwrap();
            assert_eq!((head.position, &head.hash), (7, &hash), "{text}");
        }
        for text in ["", "7", "7:", "x:y", "7:abc", ":", "{}", "-1:00", &hash] {
            assert!(parse_head(text).is_none(), "{text}");
        }
    }
}
