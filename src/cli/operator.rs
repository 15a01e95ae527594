//! `g3n mrs reconcile`, `tag-scrub` and `cleanup`: upkeep of a container, at the operators' address; and how a function
//! there is called.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::failure::Failure;
use super::mrs::{insert, orgcode};
use super::profile::Profile;
use crate::client::{Client, Reply};

/// Which container, and how much of it at a time.
#[derive(Args, Debug)]
pub struct PageArgs {
    /// The container.
    #[arg(long)]
    container: String,
    /// Most items of one call, 1 to 1000.
    #[arg(long, value_name = "NUMBER")]
    max_items: Option<u64>,
    /// Where the call before ended.
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    next_token: Option<String>,
}

/// What to compare, and what to do about it.
#[derive(Args, Debug)]
pub struct ReconcileArgs {
    #[command(flatten)]
    page: PageArgs,
    /// Only tell, or put right too.
    #[arg(long, value_enum, default_value_t = ReconcileMode::ReportOnly)]
    mode: ReconcileMode,
}

/// What to remove.
#[derive(Args, Debug)]
pub struct CleanupArgs {
    #[command(flatten)]
    page: PageArgs,
    /// Days that leftovers are kept.
    #[arg(long, value_name = "DAYS")]
    retention_days: Option<u64>,
}

/// What to do about drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReconcileMode {
    /// Tell.
    ReportOnly,
    /// Put right.
    Repair,
}

impl ReconcileArgs {
    pub(super) fn run(&self, profile: &Profile) -> Result<Reply, Failure> {
        let mut body = self.page.body(profile)?;
        let mode = match self.mode {
            ReconcileMode::ReportOnly => "report-only",
            ReconcileMode::Repair => "repair",
        };
        insert(&mut body, "mode", Some(mode));
        invoke(profile, "mrs_reconcile", body)
    }
}

impl CleanupArgs {
    pub(super) fn run(&self, profile: &Profile) -> Result<Reply, Failure> {
        let mut body = self.page.body(profile)?;
        insert(&mut body, "retention_days", self.retention_days);
        invoke(profile, "mrs_cleanup", body)
    }
}

impl PageArgs {
    pub(super) fn scrub(&self, profile: &Profile) -> Result<Reply, Failure> {
        invoke(profile, "mrs_tag_scrub", self.body(profile)?)
    }

    fn body(&self, profile: &Profile) -> Result<Map<String, Value>, Failure> {
        let mut body = Map::new();
        insert(&mut body, "orgcode", Some(orgcode(profile)?));
        insert(&mut body, "container", Some(self.container.as_str()));
        insert(&mut body, "max_items", self.max_items);
        insert(&mut body, "next_token", self.next_token.as_deref());
        Ok(body)
    }
}

/// Calls an operator function.
pub(super) fn invoke(
    profile: &Profile,
    function: &str,
    body: Map<String, Value>,
) -> Result<Reply, Failure> {
    let client = Client::new(&profile.operator_url.value, profile.operator());
    Ok(client.invoke(function, &Value::Object(body))?)
}
