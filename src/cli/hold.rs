//! `g3n mrs hold-…`, `due` and `g3n ops hold-…`: what nothing removes, and what will be removed when.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Map, Value};

use super::args::{ContextArgs, RemarkArgs, about, ask, insert};
use super::call::{RecordChangeArgs, invoke, orgcode};
use super::failure::Failure;
use super::profile::Profile;
use crate::client::{Client, Reply};

/// A record to hold.
#[derive(Args, Debug)]
pub struct RecordHoldArgs {
    #[command(flatten)]
    pub(super) change: RecordChangeArgs,
}

/// Which due records.
#[derive(Args, Debug)]
pub struct DueArgs {
    /// Only records of this container.
    #[arg(long)]
    container: Option<String>,
    /// Only records due before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// Records per page: 8 by default, 1 to 256.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    limit: Option<String>,
    /// The next_token of the page before.
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    next_token: Option<String>,
}

/// A legal hold to set. The org is the connection's.
#[derive(Args, Debug)]
pub struct LegalHoldArgs {
    /// Only this container; the whole org without it.
    #[arg(long)]
    container: Option<String>,
    /// The reason; tenants see it.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    #[command(flatten)]
    context: ContextArgs,
}

/// A legal hold to release.
#[derive(Args, Debug)]
pub struct ReleaseArgs {
    /// Only that of this container; without it that of the whole org.
    #[arg(long)]
    container: Option<String>,
    #[command(flatten)]
    remarks: RemarkArgs,
}

/// Whose legal holds.
#[derive(Args, Debug)]
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

impl DueArgs {
    pub(super) fn query(&self, orgcode: &str) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        ask(&mut query, "orgcode", Some(orgcode));
        ask(&mut query, "container", self.container.as_deref());
        ask(&mut query, "before", self.before.as_deref());
        ask(&mut query, "limit", self.limit.as_deref());
        ask(&mut query, "next_token", self.next_token.as_deref());
        query
    }
}

impl LegalHoldArgs {
    pub(super) fn run(&self, profile: &Profile) -> Result<Reply, Failure> {
        let org = profile.named_org("which org?")?;
        invoke(profile, "mrs_hold_set", self.body(about(org)))
    }

    fn body(&self, mut body: Map<String, Value>) -> Map<String, Value> {
        insert(&mut body, "container", self.container.as_deref());
        insert(&mut body, "reason", Some(self.reason.as_str()));
        self.context.sign(body)
    }
}

impl ReleaseArgs {
    pub(super) fn run(&self, profile: &Profile) -> Result<Reply, Failure> {
        let org = profile.named_org("which org?")?;
        invoke(profile, "mrs_hold_release", self.body(about(org)))
    }

    fn body(&self, mut body: Map<String, Value>) -> Map<String, Value> {
        insert(&mut body, "container", self.container.as_deref());
        self.remarks.sign(body)
    }
}

impl LegalHoldsArgs {
    pub(super) fn run(&self, profile: &Profile) -> Result<Reply, Failure> {
        let mut body = about(profile.named_org("which org?")?);
        insert(&mut body, "container", self.container.as_deref());
        invoke(profile, "mrs_hold_list", body)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

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
                Line::Set(arguments) => arguments.body(about("ACME")),
                Line::Release(arguments) => arguments.body(about("ACME")),
            };
            assert_eq!(Value::Object(body), sent, "{line}");
        }
    }
}
