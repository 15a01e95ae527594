//! `g3n logs`: shows the lines of a server's log, and holds them against their schema.

pub(super) mod follow;
mod pick;
pub(super) mod source;

use std::io::{self, Write};

use clap::Args;
use serde_json::{Map, Value, json};

use super::exit::Exit;
use super::failure::Failure;
use super::output::{Output, Printer, ended};
use super::table::clean;
use crate::report::schema;
use pick::Pick;
use source::{Source, SourceArgs};

/// Most unreadable lines of a file that the linter lists.
const WRONGS_MAX: usize = 100;

/// Show the log that a server keeps with --log-dir, or that was kept of its standard output.
///
/// Lines are shown as they are with --output json, and as columns on a terminal. What is no line of a log is left out.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  g3n logs --log-dir /var/log/metarecord --since 15m --status 5xx\n  g3n logs --log-dir logs --follow --event access_denied\n  g3n logs --request-id 7d0c8a52-3f0e-4c6b-9c1e-5b1a6d0f2e11 --log-dir logs\n  journalctl -u metarecord -o cat | g3n logs - --event panic\n  g3n logs --log-dir logs --lint"
)]
pub struct LogsArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    pick: pick::PickArgs,
    /// Keep waiting for new lines, also past midnight.
    #[arg(long, conflicts_with_all = ["lint", "files"])]
    follow: bool,
    /// Check every line against the schema, show those that do not match, and exit with 1 when there is one.
    #[arg(long)]
    lint: bool,
}

/// Shows lines, or checks them.
///
/// # Errors
/// [`Failure`] when the log cannot be read.
pub(super) fn run(arguments: &LogsArgs, printer: &Printer) -> Result<Exit, Failure> {
    let source = arguments.source.find()?;
    if arguments.lint {
        return lint(&source, printer);
    }
    let pick = arguments.pick.read()?;
    let mut show = Show {
        out: io::stdout().lock(),
        output: printer.output(),
        pick: &pick,
    };
    let shown = match &source {
        Source::Directory(dir) if arguments.follow => {
            follow::follow(dir, pick.first_day(), &mut |line| show.line(line))
        }
        source => source.each(pick.first_day(), &mut |line| show.line(line)),
    };
    match shown.and_then(|()| show.end()) {
        Ok(()) | Err(Failure::ReaderGone) => Ok(Exit::Success),
        Err(failure) => Err(failure),
    }
}

/// Shows the lines that were picked.
struct Show<'a, W> {
    out: W,
    output: Output,
    pick: &'a Pick,
}

impl<W: Write> Show<'_, W> {
    fn line(&mut self, line: &str) -> Result<(), Failure> {
        let Ok(Value::Object(fields)) = serde_json::from_str(line) else {
            return Ok(());
        };
        if !self.pick.takes(&fields) {
            return Ok(());
        }
        let told = match self.output {
            Output::Json | Output::Jsonl => writeln!(self.out, "{line}"),
            Output::Table => writeln!(self.out, "{}", columns(&fields)),
        };
        told.map_err(Failure::stdout)
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(Failure::stdout)
    }
}

/// A line for people: when, how much it matters, what, of which request, and everything else by name.
pub(super) fn columns(fields: &Map<String, Value>) -> String {
    let text = |name: &str| clean(fields.get(name).and_then(Value::as_str).unwrap_or("-"));
    let mut line = format!(
        "{}  {:<5}  {:<13}  {:<36}",
        text("at"),
        text("level"),
        text("event"),
        text("request_id")
    );
    for (name, value) in fields {
        if ["v", "at", "level", "event", "request_id"].contains(&name.as_str()) {
            continue;
        }
        let value = match value {
            Value::String(text) if text.contains(' ') => format!("{text:?}"),
            Value::String(text) => clean(text),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => clean(&value.to_string()),
        };
        line.push_str(&format!("  {}={value}", clean(name)));
    }
    line
}

fn lint(source: &Source, printer: &Printer) -> Result<Exit, Failure> {
    let (mut lines, mut wrong, mut wrongs) = (0_u64, 0_u64, Vec::new());
    source.each(None, &mut |line| {
        lines += 1;
        if let Err(error) = schema::lint(line) {
            wrong += 1;
            if wrongs.len() < WRONGS_MAX {
                wrongs.push(json!({"line": lines, "what": error.to_string()}));
            }
        }
        Ok(())
    })?;
    let facts = json!({"good": wrong == 0, "lines": lines, "wrong": wrong, "problems": wrongs});
    let told = printer.facts(&facts);
    if wrong == 0 {
        return Ok(ended(told, Exit::Success));
    }
    printer.bad_news(&format!("{wrong} of {lines} lines do not match the schema"));
    Ok(ended(told, Exit::Refused))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_hold_all_of_a_line_and_nothing_that_moves_a_cursor() {
        let line = json!({"v": 1, "at": "T", "level": "info", "event": "notice", "text": "a \u{1b}[2J", "n\u{7}": 7});
        let Value::Object(fields) = line else {
            panic!("an object");
        };
        let line = columns(&fields);
        assert!(line.starts_with("T  info   notice"), "{line}");
        assert!(
            line.contains("n\\u{7}=7") && line.contains("text=\"a \\u{1b}[2J\""),
            "{line}"
        );
        assert!(!line.contains('\u{1b}'));
    }
}
