//! `g3n mrs get --batch`: every line names a record, and every record comes back as a line.

use std::path::Path;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::PartSize;
use super::lines::{Line, Members};
use super::report::{Outcome, Report};
use crate::cli::args::{about, named};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::out_file::{OutFile, Readers};
use crate::cli::output::Printer;
use crate::client::Client;

/// Members of a line that say which record is read. Others, such as those of a list's items, say nothing.
const NAMES: [&str; 3] = ["container", "record_id", "cccode"];
/// Each record is a request of its own.
const PART: PartSize = PartSize {
    lines: 1,
    bytes: usize::MAX,
};

/// Reads whose lines may leave out what the command line says for all.
pub(crate) struct BatchGet<'a> {
    pub(crate) client: &'a Client,
    pub(crate) orgcode: &'a str,
    /// Parameters for the lines that do not have them.
    pub(crate) defaults: Map<String, Value>,
}

impl BatchGet<'_> {
    /// Reads the record of every line into a file, or to standard output.
    ///
    /// # Errors
    /// [`Failure`] when a file cannot be used, or the service refuses the caller.
    pub(crate) fn run(
        &self,
        path: &Path,
        out: Option<&Path>,
        printer: &Printer,
    ) -> Result<Exit, Failure> {
        let out = out.filter(|path| path.as_os_str() != "-");
        let file = match out {
            Some(path) => Some((OutFile::open(path, Readers::Umask)?, path.to_owned())),
            None => None,
        };
        let report = Report::of_content("read", file);
        super::run(path, PART, report, printer, &|part| {
            part.into_iter().map(|line| self.read(line)).collect()
        })
    }

    fn read(&self, line: Line) -> Result<Outcome, Failure> {
        let members = match line.members {
            Ok(members) => members,
            Err(why) => return Ok(Outcome::unreadable(line.number, &why)),
        };
        let mut parameters = about(self.orgcode);
        parameters.extend(self.defaults.clone());
        parameters.extend(said(&members));
        let reply = self.client.record(&named(&parameters).pairs())?;
        if !reply.is_success() {
            // These are about the caller or the server, so that every other line would be refused as well.
            return match reply.status {
                401 | 429 | 503 => Err(Failure::Refused(Box::new(reply))),
                _ => Ok(Outcome::of_refusal(line.number, &reply)),
            };
        }
        let record = reply
            .data_text()
            .map(|text| RawValue::from_string(text.to_owned()));
        Ok(Outcome {
            line: line.number,
            status: reply.status,
            record: record.and_then(Result::ok),
            replayed: false,
            error: None,
        })
    }
}

/// What a line says about its record.
fn said(members: &Members) -> impl Iterator<Item = (String, Value)> {
    NAMES.into_iter().filter_map(|name| {
        let value: Value = serde_json::from_str(members.get(name)?.get()).ok()?;
        (!value.is_null()).then(|| (name.to_owned(), value))
    })
}
