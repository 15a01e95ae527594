//! `g3n mrs watch`: prints the changes of an org's records as they come, and goes on where a lost connection broke off.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value};

use super::args::{about, insert, named};
use super::exit::Exit;
use super::failure::{Failure, granted};
use super::output::{Output, Printer, note};
use super::table::clean;
use crate::client::{Client, Reply, TransportError};

/// How long the service is asked to wait for a change, in seconds.
const WAIT_SECONDS: u64 = 30;
/// The first and the longest wait before a server that does not answer is asked again.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// The `--after` that stands for the first change there is.
const BEGINNING: &str = "beginning";

/// Which changes are printed, and how many.
#[derive(Args, Debug)]
pub(super) struct WatchArgs {
    /// Only changes of this container's records.
    #[arg(long)]
    container: Option<String>,
    /// Where to begin: now, beginning, or the token that an earlier watch ended with.
    #[arg(
        long,
        value_name = "TOKEN",
        default_value = "now",
        allow_hyphen_values = true
    )]
    after: String,
    /// End after so many changes.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End at the last change there is, instead of waiting for more.
    #[arg(long)]
    no_wait: bool,
}

/// How far a watch is.
struct Place {
    after: Option<String>,
    left: Option<u64>,
}

impl WatchArgs {
    /// Prints changes until there are enough, or for ever. Where it ended is told on standard error.
    ///
    /// # Errors
    /// [`Failure`] when the service refuses, or standard output cannot be written.
    pub(super) fn run(
        &self,
        client: &Client,
        orgcode: &str,
        printer: &Printer,
    ) -> Result<Exit, Failure> {
        let mut place = Place {
            after: (self.after != BEGINNING).then(|| self.after.clone()),
            left: self.count,
        };
        let ended = self.follow(client, orgcode, printer.output(), &mut place);
        if let Some(token) = &place.after
            && token != "now"
        {
            note(&format!("to go on from here: --after {token}"));
        }
        match ended {
            Ok(()) => Ok(Exit::Success),
            // A reader such as `head` has seen enough.
            Err(Failure::ReaderGone) => Ok(Exit::Success),
            Err(failure) => Err(failure),
        }
    }

    fn follow(
        &self,
        client: &Client,
        orgcode: &str,
        output: Output,
        place: &mut Place,
    ) -> Result<(), Failure> {
        let mut pause = RETRY_AFTER.0;
        loop {
            let parameters = self.parameters(orgcode, place);
            let page = match client.changes(&named(&parameters).pairs()) {
                Ok(reply) if is_busy(&reply) => {
                    std::thread::sleep(retry_after(&reply));
                    continue;
                }
                Ok(reply) => granted(reply)?,
                // One that never answered is not there; one that did comes back.
                Err(error @ TransportError::Unreachable { .. }) => {
                    if place.after.as_deref().is_none_or(|after| after == "now") {
                        return Err(error.into());
                    }
                    if pause == RETRY_AFTER.0 {
                        note("the server does not answer; it is asked again until it does");
                    }
                    std::thread::sleep(pause);
                    pause = RETRY_AFTER.1.min(pause * 2);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            pause = RETRY_AFTER.0;
            print(&page, output)?;
            let status = page.status;
            let token = page.data()["next_token"].as_str().map(str::to_owned);
            place.after = Some(token.ok_or(TransportError::NotAnEnvelope { status })?);
            if let Some(left) = &mut place.left {
                *left = left.saturating_sub(page.items().len() as u64);
            }
            let at_the_end = self.no_wait && page.data()["more"] != true;
            if at_the_end || place.left == Some(0) {
                return Ok(());
            }
        }
    }

    fn parameters(&self, orgcode: &str, place: &Place) -> Map<String, Value> {
        let mut parameters = about(orgcode);
        insert(&mut parameters, "container", self.container.as_deref());
        insert(&mut parameters, "after", place.after.as_deref());
        // The first page says only where the present is.
        let waits = !self.no_wait && place.after.as_deref() != Some("now");
        insert(&mut parameters, "wait", waits.then_some(WAIT_SECONDS));
        let limit = place.left.map(|left| left.min(256));
        insert(&mut parameters, "limit", limit);
        parameters
    }
}

/// Whether the service may have room for the request a little later.
fn is_busy(reply: &Reply) -> bool {
    matches!(
        (reply.status, reply.tag()),
        (429, _) | (503, Some("unavailable"))
    )
}

fn retry_after(reply: &Reply) -> Duration {
    let seconds = reply
        .header("retry-after")
        .and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1)).min(RETRY_AFTER.1)
}

/// Writes each change as a line.
fn print(page: &Reply, output: Output) -> Result<(), Failure> {
    let mut text = String::new();
    for item in page.items() {
        match output {
            Output::Json | Output::Jsonl => text.push_str(item.get()),
            Output::Table => text.push_str(&in_words(item.get())),
        }
        text.push('\n');
    }
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(Failure::stdout)
}

/// A change in one line for a person: when, what, which record with its revision, and by whom.
fn in_words(item: &str) -> String {
    let item: Value = serde_json::from_str(item).unwrap_or_default();
    let text = |name: &str| clean(item[name].as_str().unwrap_or("-"));
    let by = match item["actor"].as_str() {
        Some(actor) => format!("{} ({})", text("by"), clean(actor)),
        None => text("by"),
    };
    format!(
        "{}  {:<20}  {}/{} r{}  by {by}",
        text("at"),
        text("type"),
        text("container"),
        text("record_id"),
        item["revision"],
    )
}
