//! `g3n mrs hold-…`, `due` and `g3n ops hold-…`: what nothing removes, and what will be removed when.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;
use serde_json::Value;

use super::args::{ContextArgs, RemarkArgs};
use super::call::{RecordChangeArgs, orgcode};
use super::failure::Failure;
use super::pages::PageArgs;
use super::profile::Profile;
use super::time::{Time, ahead};
use crate::client::{Client, Reply};

/// A record to hold.
#[derive(Args, Debug)]
pub struct RecordHoldArgs {
    #[command(flatten)]
    pub(super) change: RecordChangeArgs,
}

/// Which due records to list.
#[derive(Args, Debug, Serialize)]
pub struct DueArgs {
    /// Only records of this container.
    #[arg(long)]
    container: Option<String>,
    /// Only records due before this time: RFC 3339, or how long from now, such as 7d.
    #[arg(long, value_name = "TIME", value_parser = ahead, allow_hyphen_values = true)]
    before: Option<Time>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) page: PageArgs,
}

/// A legal hold to set. The org is the connection's.
#[derive(Args, Debug, Serialize)]
pub struct LegalHoldArgs {
    /// Only this container; the whole org without it.
    #[arg(long)]
    container: Option<String>,
    /// The reason; tenants see it.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    #[command(flatten)]
    #[serde(flatten)]
    context: ContextArgs,
}

/// A legal hold to release.
#[derive(Args, Debug, Serialize)]
pub struct ReleaseArgs {
    /// Only that of this container; without it that of the whole org.
    #[arg(long)]
    container: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: RemarkArgs,
}

/// Whose legal holds to list.
#[derive(Args, Debug, Serialize)]
pub struct LegalHoldsArgs {
    /// Only holds that cover this container.
    #[arg(long)]
    container: Option<String>,
}

impl RecordHoldArgs {
    pub(super) fn set(&self, client: &Client, profile: &Profile) -> Result<Reply, Failure> {
        let body = self.change.body(client, orgcode(profile)?)?;
        Ok(client.hold_set(&Value::Object(body))?)
    }

    pub(super) fn release(&self, client: &Client, profile: &Profile) -> Result<Reply, Failure> {
        let body = self.change.body(client, orgcode(profile)?)?;
        Ok(client.hold_release(&Value::Object(body))?)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::cli::args::{about, with};

    #[derive(Parser)]
    enum Line {
        Set(LegalHoldArgs),
        Release(ReleaseArgs),
    }

    #[test]
    fn a_body_holds_what_was_said_and_nothing_else() {
        for (line, sent) in [
            (
                "set --reason suit",
                json!({"orgcode": "ACME", "reason": "suit"}),
            ),
            (
                "set --container notes --reason suit --actor ann",
                json!({"orgcode": "ACME", "container": "notes", "reason": "suit", "actor": "ann"}),
            ),
            ("release", json!({"orgcode": "ACME"})),
            (
                "release --container notes --reason settled",
                json!({"orgcode": "ACME", "container": "notes", "reason": "settled"}),
            ),
        ] {
            let words = std::iter::once("ops").chain(line.split(' '));
            let body = match Line::try_parse_from(words).expect(line) {
                Line::Set(arguments) => with(about("ACME"), &arguments),
                Line::Release(arguments) => with(about("ACME"), &arguments),
            };
            assert_eq!(Value::Object(body), sent, "{line}");
        }
    }
}
