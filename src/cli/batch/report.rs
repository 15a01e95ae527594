//! What became of a batch's lines: a line of JSON each, refusals in words on standard error, and a count of all.

use std::io::{self, BufWriter, Write};

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::out_file::OutFile;
use crate::cli::output::Output;
use crate::cli::table::clean;
use crate::client::Reply;

/// Refusals that are told in words; the lines of JSON have all.
const REFUSALS_TOLD_MAX: u64 = 100;

/// What became of one line.
#[derive(Serialize)]
pub(super) struct Outcome {
    /// Number of the line in the file, from 1.
    pub(super) line: u64,
    /// HTTP status of the answer, or the one that the service would have given.
    pub(super) status: u16,
    /// The record as the service answered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<Box<RawValue>>,
    /// Whether the answer is that of an earlier request with the same key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) replayed: bool,
    /// The error, as in an envelope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Box<RawValue>>,
}

impl Outcome {
    /// A line that the program itself refuses, because the service could not read it.
    pub(super) fn unreadable(line: u64, why: &str) -> Self {
        Self::refused(
            line,
            400,
            &json!({"major": {"tag": "invalid-json", "message": {"en_US": format!("The line cannot be sent: {why}.")}}}),
        )
    }

    /// A line that the service refused by an answer of its own.
    pub(super) fn of_refusal(line: u64, reply: &Reply) -> Self {
        Self::refused(line, reply.status, &reply.envelope["error"])
    }

    fn refused(line: u64, status: u16, error: &Value) -> Self {
        Self {
            line,
            status,
            record: None,
            replayed: false,
            error: to_raw_value(error).ok(),
        }
    }

    fn is_success(&self) -> bool {
        self.error.is_none()
    }

    /// The refusal in words.
    fn complaint(&self) -> String {
        let error = self.error.as_ref().map(|error| error.get());
        let error: Value = error
            .and_then(|error| serde_json::from_str(error).ok())
            .unwrap_or_default();
        let major = &error["major"];
        let text = |value: &Value| clean(value.as_str().unwrap_or("unknown"));
        let (message, tag) = (text(&major["message"]["en_US"]), text(&major["tag"]));
        format!("error: line {}: {message}\n  {tag}", self.line)
    }
}

/// Where outcomes are told.
pub(super) struct Report {
    out: Option<Sink>,
    done: u64,
    replayed: u64,
    refused: u64,
    /// Verb of the summary, such as `stored`.
    verb: &'static str,
    whole_output: bool,
}

/// Where the lines of JSON go.
enum Sink {
    Stdout(BufWriter<io::Stdout>),
    File(Box<OutFile>, std::path::PathBuf),
}

impl Report {
    /// A report whose lines are shown if that is how output was asked for.
    pub(super) fn of_outcomes(verb: &'static str, output: Output) -> Self {
        let stdout = || Sink::Stdout(BufWriter::new(io::stdout()));
        Self::new(verb, (output == Output::Jsonl).then(stdout), false)
    }

    /// A report whose lines are what was asked for, on standard output or in a file that is replaced at the end.
    pub(super) fn of_content(
        verb: &'static str,
        file: Option<(OutFile, std::path::PathBuf)>,
    ) -> Self {
        match file {
            Some((file, path)) => Self::new(verb, Some(Sink::File(Box::new(file), path)), false),
            None => {
                let sink = Sink::Stdout(BufWriter::new(io::stdout()));
                Self::new(verb, Some(sink), true)
            }
        }
    }

    fn new(verb: &'static str, out: Option<Sink>, whole_output: bool) -> Self {
        Self {
            out,
            done: 0,
            replayed: 0,
            refused: 0,
            verb,
            whole_output,
        }
    }

    /// Whether the lines on standard output are the answer, so that nothing else may be there.
    pub(super) fn is_whole_output(&self) -> bool {
        self.whole_output
    }

    /// Tells what became of some lines.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be written.
    pub(super) fn tell(&mut self, outcomes: &[Outcome]) -> Result<(), Failure> {
        for outcome in outcomes {
            if outcome.is_success() {
                self.done += 1;
                self.replayed += u64::from(outcome.replayed);
            } else {
                self.refused += 1;
                self.complain(outcome);
            }
            self.write(outcome)?;
        }
        match &mut self.out {
            Some(Sink::Stdout(out)) => out.flush().map_err(Failure::stdout),
            Some(Sink::File(..)) | None => Ok(()),
        }
    }

    fn write(&mut self, outcome: &Outcome) -> Result<(), Failure> {
        let Some(sink) = &mut self.out else {
            return Ok(());
        };
        let mut line = serde_json::to_vec(outcome)
            .map_err(|error| Failure::Stdout(io::Error::other(error)))?;
        line.push(b'\n');
        match sink {
            Sink::Stdout(out) => out.write_all(&line).map_err(Failure::stdout),
            Sink::File(out, path) => out
                .write_all(&line)
                .map_err(|error| Failure::output(path, error)),
        }
    }

    fn complain(&self, outcome: &Outcome) {
        let text = match self.refused {
            ..=REFUSALS_TOLD_MAX => outcome.complaint(),
            more if more == REFUSALS_TOLD_MAX + 1 => {
                "note: more lines were refused; --output jsonl shows every line's outcome"
                    .to_owned()
            }
            _ => return,
        };
        // With standard error gone nobody can read it.
        let _: io::Result<()> = writeln!(io::stderr().lock(), "{text}");
    }

    /// Puts a file in its place.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be written.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        match self.out.take() {
            Some(Sink::File(file, _)) => file.finish(),
            Some(Sink::Stdout(mut out)) => out.flush().map_err(Failure::stdout),
            None => Ok(()),
        }
    }

    /// Counts of a run that took this many lines.
    pub(super) fn summary(&self, lines: u64) -> Summary {
        Summary {
            lines,
            verb: self.verb,
            done: self.done,
            replayed: self.replayed,
            refused: self.refused,
        }
    }
}

/// How many lines had which outcome.
pub(super) struct Summary {
    lines: u64,
    verb: &'static str,
    done: u64,
    replayed: u64,
    refused: u64,
}

impl Summary {
    fn without_answer(&self) -> u64 {
        self.lines - self.done - self.refused
    }

    /// As facts for tables and programs.
    pub(super) fn facts(&self) -> Value {
        let mut facts = json!({
            "lines": self.lines,
            (self.verb): self.done,
            "refused": self.refused,
        });
        if self.replayed > 0 {
            facts["replayed"] = json!(self.replayed);
        }
        facts
    }

    /// All counts in one sentence, with those of lines that got no answer.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{} lines: {} {}, {} refused",
            self.lines, self.done, self.verb, self.refused
        );
        if self.without_answer() > 0 {
            let count = self.without_answer();
            text.push_str(&format!(
                ", {count} without an answer: whether they were carried out is not known"
            ));
        }
        text
    }

    /// The number that the program ends with.
    pub(super) fn exit(&self) -> Exit {
        match self.refused {
            0 => Exit::Success,
            _ => Exit::Refused,
        }
    }
}
