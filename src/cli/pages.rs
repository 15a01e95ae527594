//! Lists that come in pages: one page, or with `--all` every page behind each other, of which one is in memory at a time.

use std::io::{self, BufWriter, Write};

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

use super::args::insert;
use super::exit::Exit;
use super::failure::{Failure, granted};
use super::output::{Output, Printer, envelope, note};
use super::table;
use crate::client::{Reply, TransportError};

/// Items of a page when all are asked for: the most that the service puts on one.
const ALL_LIMIT: &str = "256";

/// Asks the service for a page.
type Ask<'a> = dyn Fn(&Map<String, Value>) -> Result<Reply, Failure> + 'a;

/// How much of a list.
#[derive(Args, Clone, Debug, Default, Serialize)]
pub(super) struct PageArgs {
    /// Items per page, 1 to 256: 8 by default, 256 with --all.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    limit: Option<String>,
    /// The next_token of the page before; with --all the list starts there.
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    next_token: Option<String>,
    /// Show every page, one after the other; with --output jsonl each item is a line.
    #[arg(long)]
    #[serde(skip)]
    all: bool,
}

impl PageArgs {
    /// Whether every page is asked for.
    pub(super) fn is_all(&self) -> bool {
        self.all
    }

    /// Prints a page, or all of them. `first` is what is asked for the first page, and `ask` asks for one.
    ///
    /// # Errors
    /// Whatever keeps the first page from being shown. Once something is printed, the failure is told on standard error and
    /// becomes the number that the program ends with.
    pub(super) fn list(
        &self,
        printer: &Printer,
        first: Map<String, Value>,
        ask: &Ask<'_>,
    ) -> Result<Exit, Failure> {
        if !self.all {
            let page = ask(&first)?;
            self.tell_limit(&page);
            return Ok(printer.reply(&page));
        }
        let mut parameters = first;
        if self.limit.is_none() {
            insert(&mut parameters, "limit", Some(ALL_LIMIT));
        }
        let page = granted(ask(&parameters)?)?;
        self.tell_limit(&page);
        let mut list = List {
            out: BufWriter::new(io::stdout().lock()),
            output: printer.output(),
            items: 0,
        };
        match list.all(parameters, page, ask) {
            Ok(()) => Ok(Exit::Success),
            // A reader such as `head` has seen enough.
            Err(Failure::ReaderGone) => Ok(Exit::Success),
            Err(failure) => {
                drop(list);
                Ok(printer.without_envelopes().failure(&failure))
            }
        }
    }
}

impl PageArgs {
    /// Says on standard error what counted, where the service took another limit than it was asked for.
    fn tell_limit(&self, page: &Reply) {
        let Some(asked) = &self.limit else { return };
        if let Some(limit) = page.data()["limit"].as_u64()
            && limit.to_string() != *asked
        {
            note(&format!("a page has 1 to 256 items; used --limit {limit}"));
        }
    }
}

/// A list as it is printed.
struct List<W: Write> {
    out: W,
    output: Output,
    /// Items printed so far.
    items: u64,
}

impl<W: Write> List<W> {
    /// Prints the first page and those behind it.
    fn all(
        &mut self,
        mut parameters: Map<String, Value>,
        mut page: Reply,
        ask: &Ask<'_>,
    ) -> Result<(), Failure> {
        self.begin().map_err(Failure::stdout)?;
        loop {
            let shown = self.page(&page).and_then(|()| self.out.flush());
            shown.map_err(Failure::stdout)?;
            let Some(token) = page.data()["next_token"].as_str() else {
                return self.end(None).map_err(Failure::stdout);
            };
            let next = if parameters.get("next_token").and_then(Value::as_str) == Some(token) {
                // It would go on for ever.
                let status = page.status;
                Err(TransportError::NotAnEnvelope { status }.into())
            } else {
                insert(&mut parameters, "next_token", Some(token));
                ask(&parameters).and_then(granted)
            };
            page = match next {
                Ok(page) => page,
                Err(failure) => {
                    // What went wrong first is what is told.
                    drop(self.end(Some(&failure)));
                    return Err(failure);
                }
            };
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        match self.output {
            Output::Json => self.out.write_all(b"{\"data\":{\"items\":["),
            Output::Jsonl | Output::Table => Ok(()),
        }
    }

    fn page(&mut self, page: &Reply) -> io::Result<()> {
        if self.output == Output::Table {
            let items = page.data()["items"]
                .as_array()
                .map_or(&[][..], Vec::as_slice);
            self.items += items.len() as u64;
            return match items {
                [] => Ok(()),
                items => writeln!(self.out, "{}", table::rows(items)),
            };
        }
        for item in page.items() {
            let between = match (self.output, self.items) {
                (Output::Json, 0) => "\n",
                (Output::Json, _) => ",\n",
                (Output::Jsonl | Output::Table, _) => "",
            };
            self.items += 1;
            write!(self.out, "{between}{}", item.get())?;
            if self.output == Output::Jsonl {
                self.out.write_all(b"\n")?;
            }
        }
        Ok(())
    }

    /// Ends the document, which says so when the list is not whole.
    fn end(&mut self, failure: Option<&Failure>) -> io::Result<()> {
        match (self.output, failure) {
            (Output::Json, None) => writeln!(self.out, "\n]}},\"success\":true}}")?,
            (Output::Json, Some(failure)) => {
                let error = error_of(failure);
                writeln!(self.out, "\n]}},\"success\":false,\"error\":{error}}}")?;
            }
            (Output::Table, None) if self.items == 0 => writeln!(self.out, "{}", table::NOTHING)?,
            (Output::Table | Output::Jsonl, _) => {}
        }
        self.out.flush()
    }
}

fn error_of(failure: &Failure) -> Value {
    match failure {
        Failure::Refused(reply) => reply.envelope["error"].clone(),
        failure => envelope(failure.tag(), &failure.text())["error"].clone(),
    }
}
