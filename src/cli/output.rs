//! What the command line prints: answers of the service, facts of this machine, and failures.

use std::error::Error;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde_json::{Value, json};

use super::complaint;
use super::exit::Exit;
use super::failure::Failure;
use super::table;
use crate::client::Reply;
use crate::os_error::describe;

/// For whom to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// One JSON document on standard output, also for an error.
    Json,
    /// One line of JSON for each item of a list, or for the answer; errors on standard error.
    Jsonl,
    /// Tables for people to read.
    Table,
}

impl Output {
    /// What was asked for; else tables on a terminal and JSON everywhere else.
    pub fn or_default(asked: Option<Self>) -> Self {
        match asked {
            Some(output) => output,
            None if io::stdout().is_terminal() => Self::Table,
            None => Self::Json,
        }
    }
}

/// Prints answers and failures.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    output: Output,
    /// Whether an error is also an envelope on standard output. Everybody reads it on standard error.
    enveloped: bool,
}

impl Printer {
    /// A printer for what was asked for on the command line. Only who asks for JSON gets errors as JSON: a shell that keeps
    /// standard output in a variable must not find an error there.
    pub fn asked(output: Option<Output>) -> Self {
        Self {
            output: Output::or_default(output),
            enveloped: output == Some(Output::Json),
        }
    }

    /// The same with errors on standard error alone.
    #[must_use]
    pub fn without_envelopes(self) -> Self {
        Self {
            enveloped: false,
            ..self
        }
    }

    /// The kind of output that is printed.
    pub fn output(&self) -> Output {
        self.output
    }

    /// Prints an answer of the service, good or bad.
    pub fn reply(&self, reply: &Reply) -> Exit {
        let told = if reply.is_success() {
            match self.output {
                Output::Json => print_line(reply.text.trim_end()),
                Output::Jsonl => print_lines(reply),
                Output::Table => print_line(&table::answer(reply.data())),
            }
        } else {
            self.complain(&complaint::of_reply(reply), reply.text.trim_end())
        };
        ended(told, Exit::of(reply))
    }

    /// Prints why the program did not do what was asked.
    pub fn failure(&self, failure: &Failure) -> Exit {
        match failure {
            Failure::Refused(reply) => return self.reply(reply),
            // Whoever read has seen enough.
            Failure::ReaderGone => return failure.exit(),
            _ => {}
        }
        self.trouble(failure.tag(), failure, failure.exit())
    }

    /// Prints why something on this machine did not work, causes included.
    pub fn trouble(&self, tag: &str, error: &(dyn Error + 'static), exit: Exit) -> Exit {
        let message = describe(error);
        let envelope = envelope(tag, &message).to_string();
        let told = self.complain(&complaint::of_program(tag, &message), &envelope);
        ended(told, exit)
    }

    /// Says on standard error that what standard output has is bad news, for callers who keep that for later.
    pub fn bad_news(&self, text: &str) {
        // With standard error gone there is nobody left to tell.
        let _: io::Result<()> = writeln!(io::stderr().lock(), "error: {}", table::clean(text));
    }

    /// Writes what went wrong to standard error, and as an envelope to standard output where that was asked for.
    fn complain(&self, text: &str, envelope: &str) -> io::Result<()> {
        let told = writeln!(io::stderr().lock(), "{text}");
        let enveloped = if self.enveloped {
            print_line(envelope)
        } else {
            Ok(())
        };
        enveloped.and(quiet_when_closed(told))
    }

    /// Prints what was found out on this machine: a JSON document, or a table of names and values.
    ///
    /// # Errors
    /// When standard output cannot be written; a reader that went away is no error.
    pub fn facts(&self, facts: &Value) -> io::Result<()> {
        match self.output {
            Output::Json | Output::Jsonl => print_line(&facts.to_string()),
            Output::Table => print_line(&table::answer(facts)),
        }
    }
}

/// How a verb ends that printed something: as it would have, unless what it did well cannot be shown.
pub(super) fn ended(printed: io::Result<()>, exit: Exit) -> Exit {
    let Err(error) = printed else {
        return exit;
    };
    let failure = Failure::Stdout(error);
    // With standard error gone too there is nobody left to read it.
    let text = complaint::of_program(failure.tag(), &failure.text());
    let _: io::Result<()> = writeln!(io::stderr().lock(), "{text}");
    match exit {
        Exit::Success => failure.exit(),
        Exit::Refused
        | Exit::Usage
        | Exit::Unreachable
        | Exit::Credentials
        | Exit::NotFound
        | Exit::Conflict
        | Exit::Maintenance
        | Exit::Newer
        | Exit::OutputLost
        | Exit::Configuration => exit,
    }
}

/// An error of the program itself in the form of the service's.
pub fn envelope(tag: &str, message: &str) -> Value {
    json!({"success": false, "error": {"major": {"tag": tag, "message": {"en_US": message}}}})
}

/// Writes a text and a line break to standard output.
///
/// # Errors
/// An I/O error when the line cannot be written; a reader that went away is no error.
pub fn print_line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    quiet_when_closed(writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// Writes each item of a list as a line, and how to go on to standard error; an answer that is no list is one line.
fn print_lines(reply: &Reply) -> io::Result<()> {
    if !reply.data()["items"].is_array() {
        return print_line(reply.data_text().unwrap_or("null"));
    }
    let mut text = String::new();
    for item in reply.items() {
        text.push_str(item.get());
        text.push('\n');
    }
    let mut out = io::stdout().lock();
    quiet_when_closed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))?;
    match reply.data()["next_token"].as_str() {
        Some(token) => {
            let more = format!("more: --next-token {}, or --all", table::clean(token));
            quiet_when_closed(writeln!(io::stderr().lock(), "{more}"))
        }
        None => Ok(()),
    }
}

/// Says on standard error what an answer means besides, for whoever reads along.
pub(super) fn note(text: &str) {
    // With standard error gone nobody can read it.
    let _: io::Result<()> = writeln!(io::stderr().lock(), "note: {}", table::clean(text));
}

/// Readers such as `head` close the pipe when they have read enough.
pub(super) fn quiet_when_closed(told: io::Result<()>) -> io::Result<()> {
    match told {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        told => told,
    }
}
