//! What the command line prints: answers of the service, facts of this machine, and failures.

use std::error::Error;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde_json::{Value, json};

use super::exit::Exit;
use super::failure::Failure;
use super::table;
use crate::client::Reply;
use crate::os_error::told;

/// For whom to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Programs: one JSON document on standard output, also for errors.
    Json,
    /// Programs: one line of JSON for each item of a list, or for the answer; errors on standard error.
    Jsonl,
    /// People: tables on standard output, errors on standard error.
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
}

impl Printer {
    /// A printer for programs or for people.
    pub fn new(output: Output) -> Self {
        Self { output }
    }

    /// For whom it prints.
    pub fn output(&self) -> Output {
        self.output
    }

    /// Prints an answer of the service, good or bad.
    pub fn reply(&self, reply: &Reply) -> Exit {
        let told = match self.output {
            Output::Json => print_line(reply.text.trim_end()),
            Output::Jsonl if reply.is_success() => print_lines(reply),
            Output::Table if reply.is_success() => print_line(&table::answer(reply.data())),
            Output::Jsonl | Output::Table => complain(&reply.envelope),
        };
        ended(told, Exit::of(reply))
    }

    /// Prints why the program did not do what was asked.
    pub fn failure(&self, failure: &Failure) -> Exit {
        if let Failure::Refused(reply) = failure {
            return self.reply(reply);
        }
        self.trouble(failure.tag(), failure, failure.exit())
    }

    /// Prints why something on this machine did not work, causes included.
    pub fn trouble(&self, tag: &str, error: &(dyn Error + 'static), exit: Exit) -> Exit {
        let envelope = envelope(tag, &told(error));
        let told = match self.output {
            Output::Json => print_line(&envelope.to_string()),
            Output::Jsonl | Output::Table => complain(&envelope),
        };
        ended(told, exit)
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
    let _: io::Result<()> = complain(&envelope(failure.tag(), &failure.text()));
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

/// Two lines for people: what went wrong, and how to find it again.
fn complain(envelope: &Value) -> io::Result<()> {
    let major = &envelope["error"]["major"];
    let text = |value: &Value| table::clean(value.as_str().unwrap_or("unknown"));
    let minor = match envelope["error"]["minor"]["tag"].as_str() {
        Some(minor) => format!(" ({})", table::clean(minor)),
        None => String::new(),
    };
    let request = match envelope["stats"]["request_id"].as_str() {
        Some(id) => format!("; request {}", table::clean(id)),
        None => String::new(),
    };
    // What somebody kept out by maintenance wants to know.
    let details = &envelope["error"]["details"];
    let mut more = String::new();
    for (name, label) in [
        ("estimated_end_utc", "until about"),
        ("latest_update", "latest"),
    ] {
        if let Some(value) = details[name].as_str() {
            more.push_str(&format!("\n  {label}: {}", table::clean(value)));
        }
    }
    let told = writeln!(
        io::stderr().lock(),
        "error: {}\n  {}{minor}{request}{more}",
        text(&major["message"]["en_US"]),
        text(&major["tag"]),
    );
    quiet_when_closed(told)
}

/// Writes a text and a line break to standard output.
///
/// # Errors
/// When it cannot be written; a reader that went away is no error.
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

/// Readers such as `head` go away when they have seen enough.
pub(super) fn quiet_when_closed(told: io::Result<()>) -> io::Result<()> {
    match told {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        told => told,
    }
}
