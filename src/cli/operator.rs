//! `g3n mrs reconcile`, `tag-scrub` and `cleanup`: upkeep of a container, at the operators' address; and how a function
//! there is called.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::{Map, Value};

use super::args::{RemarkArgs, about, insert, with};
use super::call::{invoke, orgcode};
use super::failure::{Failure, granted};
use super::profile::Profile;
use super::progress;
use super::time::days;
use crate::client::Reply;

/// Most items of one call: what a walk through all pages asks for.
const ITEMS_MAX: u64 = 1_000;

/// Which container, and how much of it at a time.
#[derive(Args, Debug, Serialize)]
pub struct StepArgs {
    /// The container.
    #[arg(long)]
    container: String,
    /// Maximum number of items per call, 1 to 1000.
    #[arg(long, value_name = "NUMBER")]
    max_items: Option<u64>,
    /// The next_token of the call before.
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    next_token: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: RemarkArgs,
}

/// What to compare, and what to do about it.
#[derive(Args, Debug)]
pub struct ReconcileArgs {
    #[command(flatten)]
    walk: WalkArgs,
    /// Only report differences, or also repair them.
    #[arg(long, value_enum, default_value_t = ReconcileMode::ReportOnly)]
    mode: ReconcileMode,
}

/// One page, or all of them.
#[derive(Args, Debug)]
pub struct WalkArgs {
    #[command(flatten)]
    page: StepArgs,
    /// Process all pages, with --next-token from there on; the counts are those of all pages together.
    #[arg(long)]
    all: bool,
}

/// What content to remove.
#[derive(Args, Debug)]
pub struct CleanupArgs {
    #[command(flatten)]
    walk: WalkArgs,
    /// Retention in days, or such as 12w.
    #[arg(long, value_name = "DAYS", value_parser = days)]
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
        let mut body = self.walk.page.body(profile)?;
        let mode = match self.mode {
            ReconcileMode::ReportOnly => "report-only",
            ReconcileMode::Repair => "repair",
        };
        insert(&mut body, "mode", Some(mode));
        self.walk.run(profile, "mrs_reconcile", body)
    }
}

impl CleanupArgs {
    pub(super) fn run(&self, profile: &Profile) -> Result<Reply, Failure> {
        let mut body = self.walk.page.body(profile)?;
        insert(&mut body, "retention_days", self.retention_days);
        self.walk.run(profile, "mrs_cleanup", body)
    }
}

impl WalkArgs {
    pub(super) fn scrub(&self, profile: &Profile) -> Result<Reply, Failure> {
        self.run(profile, "mrs_tag_scrub", self.page.body(profile)?)
    }

    fn run(
        &self,
        profile: &Profile,
        function: &str,
        mut body: Map<String, Value>,
    ) -> Result<Reply, Failure> {
        if self.all && self.page.max_items.is_none() {
            insert(&mut body, "max_items", Some(ITEMS_MAX));
        }
        let mut reply = invoke(profile, function, body.clone())?;
        if !self.all || !reply.is_success() {
            return Ok(reply);
        }
        let mut sum = reply.data().clone();
        let bar = progress::line();
        while let Some(token) = reply.data()["next_token"].as_str() {
            told(&bar, &sum);
            insert(&mut body, "next_token", Some(token));
            reply = granted(invoke(profile, function, body.clone())?)?;
            add(&mut sum, reply.data());
        }
        reply.replace_data(sum);
        Ok(reply)
    }
}

/// Shows the progress of a walk on standard error: in one line that changes when it is a terminal. The total is not
/// known.
fn told(bar: &ProgressBar, sum: &Value) {
    let found = sum["drift"].as_array().map_or(0, Vec::len);
    let what = match found {
        0 => format!("{} checked so far", sum["scanned"]),
        _ => format!("{} checked so far, {found} differences", sum["scanned"]),
    };
    if bar.is_hidden() {
        // With standard error gone nobody can read it.
        drop(writeln!(io::stderr(), "{what}"))
    } else {
        bar.set_message(what);
        bar.tick();
    }
}

/// Adds the numbers and lists of a page to those of the pages before it.
fn add(sum: &mut Value, page: &Value) {
    match (sum, page) {
        (Value::Object(sum), Value::Object(page)) => {
            sum.remove("next_token");
            for (name, more) in page {
                if let Some(number) = sum.get_mut(name) {
                    add(number, more);
                }
            }
        }
        (Value::Number(number), Value::Number(more)) => {
            let both = number.as_u64().zip(more.as_u64());
            *number = both.map_or(0, |(number, more)| number + more).into();
        }
        (Value::Array(all), Value::Array(more)) => all.extend(more.iter().cloned()),
        _ => {}
    }
}

impl StepArgs {
    fn body(&self, profile: &Profile) -> Result<Map<String, Value>, Failure> {
        Ok(with(about(orgcode(profile)?), self))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_numbers_of_pages_add_up_and_the_last_page_has_no_token() {
        let mut sum = json!({"scanned": 2, "removed": {"versions": 1, "uploads": 0}, "drift": ["a"], "next_token": "t"});
        add(
            &mut sum,
            &json!({"scanned": 3, "removed": {"versions": 0, "uploads": 4}, "drift": ["b"]}),
        );
        assert_eq!(
            sum,
            json!({"scanned": 5, "removed": {"versions": 1, "uploads": 4}, "drift": ["a", "b"]})
        );
    }
}
