//! `g3n journal read`: the journal of a running server, at the operators' address.

use clap::Args;
use serde::Serialize;
use serde_json::Map;

use crate::cli::args::{Said, insert, with};
use crate::cli::call::invoke;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Printer;
use crate::cli::pages::PageArgs;
use crate::cli::profile::Profile;

/// Which entries to read.
#[derive(Args, Debug, Serialize)]
pub(super) struct ReadArgs {
    /// From this position on, in order; without it the newest entries, or with --all every one.
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["stream", "request_id"])]
    from: Option<u64>,
    /// Only entries of this stream, newest first, such as mrs/ORG/CONTAINER/ID, ofm/ORG, uas/USER_ID or ops/vacuum.
    #[arg(long, value_name = "NAME", conflicts_with = "request_id")]
    stream: Option<String>,
    /// Only entries of this request, newest first. No index leads to them: a page ends after 10,000 entries searched.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    page: PageArgs,
}

impl ReadArgs {
    pub(super) fn run(&self, profile: &Profile, printer: &Printer) -> Result<Exit, Failure> {
        let mut first = with(Map::new(), self);
        if self.page.is_all() && self.stream.is_none() && self.request_id.is_none() {
            insert(&mut first, "from", Some(self.from.unwrap_or(1)));
        }
        let ask = |said: &Said| invoke(profile, "journal_read", said.clone());
        self.page.list(printer, first, &ask)
    }
}
