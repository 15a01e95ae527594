//! `g3n ops vacuum-…`: destroying data, cancelling that, and seeing how far it is.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;
use serde_json::{Map, Value};

use super::code::CodeArgs;
use super::{ChangeArgs, Operator, watch};
use crate::cli::args::{ContextArgs, KeyArgs, about, insert, with};
use crate::cli::bare::BareArgs;
use crate::cli::cli_env::CliEnv;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, granted};
use crate::cli::output::Printer;
use crate::cli::pages::PageArgs;
use crate::client::Reply;

/// Who destroys something, why, and whether really.
#[derive(Args, Debug, Serialize)]
pub(in crate::cli) struct RemovalArgs {
    #[command(flatten)]
    #[serde(skip)]
    code: CodeArgs,
    #[command(flatten)]
    #[serde(flatten)]
    context: ContextArgs,
    #[command(flatten)]
    #[serde(flatten)]
    key: KeyArgs,
    /// The reason; stored in the audit.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    /// Only count what would be erased.
    #[arg(long)]
    dry_run: bool,
    /// The plan_id of the dry run to carry out.
    #[arg(long, value_name = "ID")]
    plan_id: Option<String>,
    /// Do not ask for confirmation.
    #[arg(long)]
    #[serde(skip)]
    yes: bool,
}

/// The data of one org.
#[derive(Args, Debug, Serialize)]
pub(super) struct OrgArgs {
    #[command(flatten)]
    #[serde(flatten)]
    removal: RemovalArgs,
    #[command(flatten)]
    #[serde(skip)]
    bare: BareArgs,
}

/// A vacuum of all data.
#[derive(Args, Debug, Serialize)]
pub(super) struct AllArgs {
    #[command(flatten)]
    #[serde(flatten)]
    removal: RemovalArgs,
    #[command(flatten)]
    #[serde(skip)]
    bare: BareArgs,
    /// VACUUM ALL DATA PERMANENTLY, as confirmation.
    #[arg(long, value_name = "PHRASE")]
    confirmation_phrase: String,
    /// Erase even what is held.
    #[arg(long)]
    override_holds: bool,
}

/// A vacuum to cancel.
#[derive(Args, Debug, Serialize)]
pub(super) struct CancelArgs {
    #[command(flatten)]
    #[serde(skip)]
    change: ChangeArgs,
    /// The vacuum's id.
    #[arg(long, value_name = "ID")]
    vacuum_id: String,
}

/// Which vacuum to show.
#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    /// The vacuum's id; without it the running or the latest one.
    #[arg(long, value_name = "ID")]
    vacuum_id: Option<String>,
    /// Wait for its end, with a countdown and a bar on a terminal; exit 1 when it failed.
    #[arg(long)]
    watch: bool,
}

/// Which vacuums to list.
#[derive(Args, Debug, Serialize)]
pub(super) struct ListArgs {
    /// Only these: pending, running, completed, failed or cancelled.
    #[arg(long)]
    status: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) page: PageArgs,
}

impl OrgArgs {
    pub(super) fn run(
        &self,
        operator: &Operator,
        orgcode: &str,
        printer: &Printer,
    ) -> Result<Exit, Failure> {
        let what = format!("all data of the org {orgcode} at {}", operator.address);
        let body = with(about(orgcode), self);
        let made = self.removal.remove(operator, "ops_vacuum_org", &what, body);
        self.bare.tell(printer, "vacuum_id", made)
    }
}

impl RemovalArgs {
    /// Destroys something. The question comes last, so that a yes is not followed by another way to fail.
    pub(in crate::cli) fn remove(
        &self,
        operator: &Operator,
        function: &str,
        what: &str,
        mut body: Map<String, Value>,
    ) -> Result<Reply, Failure> {
        let mut env = CliEnv::of_process();
        let code = self.code.find(&mut env)?;
        insert(&mut body, "secret_code", Some(code.reveal()));
        if !self.dry_run && !self.yes {
            env.confirm(what)?;
        }
        operator.invoke(function, body)
    }
}

impl AllArgs {
    pub(super) fn run(&self, operator: &Operator, printer: &Printer) -> Result<Exit, Failure> {
        let what = format!("all data of every org at {}", operator.address);
        let body = with(Map::new(), self);
        let made = self.removal.remove(operator, "ops_vacuum_all", &what, body);
        self.bare.tell(printer, "vacuum_id", made)
    }
}

impl CancelArgs {
    pub(super) fn run(&self, operator: &Operator) -> Result<Reply, Failure> {
        operator.change("ops_vacuum_cancel", &self.change, self)
    }
}

impl StatusArgs {
    /// Shows it; the org it must be of, if any, is in `filter`.
    pub(super) fn run(
        &self,
        operator: &Operator,
        filter: Map<String, Value>,
        printer: &Printer,
    ) -> Result<Exit, Failure> {
        let mut body = filter;
        insert(&mut body, "vacuum_id", self.vacuum_id.as_deref());
        let reply = operator.invoke("ops_vacuum_status", body)?;
        if self.watch {
            let reply = granted(reply)?;
            return watched(operator, printer, reply.data()["vacuum_id"].as_str());
        }
        Ok(printer.reply(&reply))
    }
}

/// Waits for a vacuum's end, and prints it.
pub(in crate::cli) fn watched(
    operator: &Operator,
    printer: &Printer,
    vacuum_id: Option<&str>,
) -> Result<Exit, Failure> {
    let ask = |id: Option<&str>| operator.invoke("ops_vacuum_status", naming(id));
    let reply = watch::until_ended(vacuum_id, ask)?;
    Ok(match printer.reply(&reply) {
        Exit::Success => match watch::exit(&reply) {
            Exit::Success => Exit::Success,
            failed => {
                printer.bad_news("the vacuum did not complete: its services say why");
                failed
            }
        },
        told => told,
    })
}

/// A body that names a vacuum, or leaves it to the service which one.
fn naming(vacuum_id: Option<&str>) -> Map<String, Value> {
    let mut body = Map::new();
    insert(&mut body, "vacuum_id", vacuum_id);
    body
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    enum Line {
        All(AllArgs),
        Org(OrgArgs),
    }

    #[test]
    fn a_body_holds_what_was_said_and_nothing_else() {
        for (line, sent) in [
            (
                "all --reason Reset --confirmation-phrase VACUUM --dry-run",
                json!({"reason": "Reset", "confirmation_phrase": "VACUUM", "dry_run": true}),
            ),
            (
                "all --reason Reset --confirmation-phrase VACUUM --yes --plan-id p_1",
                json!({"reason": "Reset", "confirmation_phrase": "VACUUM", "plan_id": "p_1"}),
            ),
            (
                "all --reason Reset --confirmation-phrase VACUUM --override-holds",
                json!({"reason": "Reset", "confirmation_phrase": "VACUUM", "override_holds": true}),
            ),
            (
                "org --reason Cleanup --dry-run",
                json!({"orgcode": "TESTORG", "reason": "Cleanup", "dry_run": true}),
            ),
            (
                "org --reason Cleanup",
                json!({"orgcode": "TESTORG", "reason": "Cleanup"}),
            ),
        ] {
            let words = std::iter::once("ops").chain(line.split(' '));
            let body = match Line::try_parse_from(words).expect(line) {
                Line::All(arguments) => with(Map::new(), &arguments),
                Line::Org(arguments) => with(about("TESTORG"), &arguments),
            };
            assert_eq!(Value::Object(body), sent, "{line}");
        }
    }
}
