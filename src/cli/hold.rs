//! `g3n mrs hold-…`, `due` and `g3n ops hold-…`: what nothing removes, and what will be removed when.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Map, Value};

use super::failure::Failure;
use super::mrs::{ChangeArgs, ask, insert, orgcode};
use super::operator::invoke;
use super::profile::Profile;
use super::remarks::RemarkArgs;
use super::usm::about;
use crate::client::{Client, Reply};

/// A record to hold.
#[derive(Args, Debug)]
pub struct RecordHoldArgs {
    #[command(flatten)]
    pub(super) change: ChangeArgs,
}

/// Which due records.
#[derive(Args, Debug)]
pub struct DueArgs {
    /// Only of this container.
    #[arg(long)]
    container: Option<String>,
    /// Only those due ahead of this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// Records a page: 8 by default, 1 to 256.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    limit: Option<String>,
    /// Where the page before ended.
    #[arg(long, value_name = "TOKEN")]
    next_token: Option<String>,
}

/// A legal hold to set. The org is the connection's.
#[derive(Args, Debug)]
pub struct LegalHoldArgs {
    /// Only this container; the whole org without it.
    #[arg(long)]
    container: Option<String>,
    /// Why; tenants see it.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    /// Who is acting, for the history.
    #[arg(long)]
    actor: Option<String>,
}

/// A legal hold to release.
#[derive(Args, Debug)]
pub struct ReleaseArgs {
    /// Only this container's; the whole org's without it.
    #[arg(long)]
    container: Option<String>,
    #[command(flatten)]
    remarks: RemarkArgs,
}

/// Whose legal holds.
#[derive(Args, Debug)]
pub struct LegalHoldsArgs {
    /// Only those that cover this container.
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
        insert(&mut body, "actor", self.actor.as_deref());
        body
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
