//! `g3n ops`: maintenance windows, vacuum, their audit, and the secret code they need.

mod audit;
pub(super) mod code;
mod maintenance;
mod secret_set;
mod signing_key;
mod token;
pub(super) mod vacuum;
mod watch;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::cli::args::{RemarkArgs, Said, about, insert, named, parameters, with};
use crate::cli::cli_env::CliEnv;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::hold;
use crate::cli::output::Printer;
use crate::cli::profile::Profile;
use crate::cli::secret::Secret;
use crate::client::{Client, Reply};
use code::CodeArgs;

/// Maintenance windows, vacuum, holds, tokens, clock and audit.
#[derive(Args, Debug)]
pub struct OpsArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Check whether the service answers, and whether a maintenance window is active.
    #[command(after_help = "Example:\n  g3n ops ping")]
    Ping,
    /// Show the status of the operators' service.
    #[command(after_help = "Example:\n  g3n ops stat")]
    Stat,
    /// Set the secret code that maintenance and vacuum need, or replace it.
    ///
    /// The first code is given, or asked for, as for every other verb. To replace it, give the current one and the
    /// new one.
    #[command(
        after_help = "Examples:\n  g3n ops secret-set --secret-code-file code.txt\n  g3n ops secret-set --secret-code-file code.txt --new-secret-code-file new.txt\n  g3n ops secret-set --rotate"
    )]
    SecretSet(secret_set::SecretSetArgs),
    /// Reset the count of wrong secret codes, by giving the right one: nobody is locked out any more.
    #[command(after_help = "Example:\n  g3n ops secret-lock-lift --secret-code-file code.txt")]
    SecretLockLift(ChangeArgs),
    /// Schedule a maintenance window.
    #[command(
        after_help = "Examples:\n  g3n ops maintenance-schedule --secret-code-file code.txt --description \"move to a larger disk\" --duration 3600 --start 2030-03-01T02:00:00Z\n  g3n ops maintenance-schedule --secret-code-file code.txt --description \"move to a larger disk\" --duration 1h --start +15m"
    )]
    MaintenanceSchedule(maintenance::ScheduleArgs),
    /// Start a scheduled window now: tenants get 503 until it is ended.
    #[command(
        after_help = "Example:\n  g3n ops maintenance-start --secret-code-file code.txt --maintenance-id 01a22dc4-bf3b-7329-bd4b-8c8df5186966"
    )]
    MaintenanceStart(maintenance::WindowArgs),
    /// Post a status message to a window, or change its description or duration.
    #[command(
        after_help = "Examples:\n  g3n ops maintenance-update --secret-code-file code.txt --text \"Phase 1 complete\"\n  g3n ops maintenance-update --secret-code-file code.txt --maintenance-id 01a22dc4-bf3b-7329-bd4b-8c8df5186966 --duration 7200"
    )]
    MaintenanceUpdate(maintenance::UpdateArgs),
    /// End the active window: tenants are served again.
    #[command(
        after_help = "Example:\n  g3n ops maintenance-end --secret-code-file code.txt --end-message \"Complete\""
    )]
    MaintenanceEnd(maintenance::EndArgs),
    /// Cancel a scheduled window that has not started.
    #[command(
        after_help = "Example:\n  g3n ops maintenance-cancel --secret-code-file code.txt --maintenance-id 01a22dc4-bf3b-7329-bd4b-8c8df5186966"
    )]
    MaintenanceCancel(maintenance::WindowArgs),
    /// List maintenance windows, one page at a time; with --operator also who did what, and why.
    #[command(
        after_help = "Examples:\n  g3n ops maintenance-list --status scheduled --limit 5\n  g3n ops maintenance-list --operator --limit 5"
    )]
    MaintenanceList(maintenance::ListArgs),
    /// Show a maintenance window; with --operator also who did what, and why.
    #[command(
        after_help = "Examples:\n  g3n ops maintenance-get --maintenance-id 01a22dc4-bf3b-7329-bd4b-8c8df5186966\n  g3n ops maintenance-get --operator --maintenance-id 01a22dc4-bf3b-7329-bd4b-8c8df5186966"
    )]
    MaintenanceGet(maintenance::GetArgs),
    /// Erase all data of the server, after a pending time in which it can be cancelled.
    #[command(
        after_help = "Examples:\n  g3n ops vacuum-all --secret-code-file code.txt --reason Reset --confirmation-phrase \"VACUUM ALL DATA PERMANENTLY\" --dry-run\n  g3n ops vacuum-all --secret-code-file code.txt --reason Reset --confirmation-phrase \"VACUUM ALL DATA PERMANENTLY\""
    )]
    VacuumAll(vacuum::AllArgs),
    /// Erase all data of one org, after a pending time in which it can be cancelled.
    #[command(
        after_help = "Examples:\n  g3n ops vacuum-org --secret-code-file code.txt --orgcode TESTORG --reason Cleanup --dry-run\n  g3n ops vacuum-org --secret-code-file code.txt --orgcode TESTORG --reason Cleanup"
    )]
    VacuumOrg(vacuum::OrgArgs),
    /// Cancel a vacuum while it is pending.
    #[command(
        after_help = "Example:\n  g3n ops vacuum-cancel --secret-code-file code.txt --vacuum-id 01a22dc4-bf3b-7329-bd4b-8c8df5186966"
    )]
    VacuumCancel(vacuum::CancelArgs),
    /// Show a vacuum: what it removed, or would remove.
    #[command(
        after_help = "Examples:\n  g3n ops vacuum-status\n  g3n ops vacuum-status --vacuum-id 01a22dc4-bf3b-7329-bd4b-8c8df5186966 --watch"
    )]
    VacuumStatus(vacuum::StatusArgs),
    /// List the vacuums, newest first, one page at a time.
    #[command(
        after_help = "Examples:\n  g3n ops vacuum-list --output table\n  g3n ops vacuum-list --status failed --orgcode ACME"
    )]
    VacuumList(vacuum::ListArgs),
    /// Put a legal hold on an org or one of its containers: nothing of it is removed.
    #[command(
        after_help = "Examples:\n  g3n ops hold-set --orgcode ACME --reason \"suit 12\"\n  g3n ops hold-set --orgcode ACME --container notes --reason \"suit 12\""
    )]
    HoldSet(hold::LegalHoldArgs),
    /// Release a legal hold; records that came due in the meantime are doomed at once.
    #[command(after_help = "Example:\n  g3n ops hold-release --orgcode ACME --container notes")]
    HoldRelease(hold::ReleaseArgs),
    /// List the legal holds of an org, and how many of its records have a hold of their own.
    #[command(after_help = "Example:\n  g3n ops hold-list --orgcode ACME")]
    HoldList(hold::LegalHoldsArgs),
    /// Create an operator token with a name and scopes, for example for Prometheus or a colleague. It is shown only
    /// once.
    #[command(
        after_help = "Examples:\n  g3n ops token-create --name ann --scope read --scope tenants\n  g3n ops token-create --name prometheus --scope metrics --bare > metarecord-operator.token"
    )]
    TokenCreate(token::CreateArgs),
    /// List the operator tokens with names, scopes and whether they are valid.
    #[command(after_help = "Example:\n  g3n ops token-list --output table")]
    TokenList,
    /// Replace an operator token by a new one with the same name and scopes. It is shown only once.
    #[command(
        after_help = "Examples:\n  g3n ops token-rotate --name prometheus --overlap-seconds 1h\n  g3n ops token-rotate --name operator"
    )]
    TokenRotate(token::RotateArgs),
    /// Revoke an operator token at once.
    #[command(
        after_help = "Example:\n  g3n ops token-revoke --name ann --reason \"left the team\""
    )]
    TokenRevoke(token::RevokeArgs),
    /// Revoke a token of an identity provider, by its jti.
    #[command(
        after_help = "Example:\n  g3n ops jwt-revoke --jti 3f6c1c1e --reason \"laptop was stolen\""
    )]
    JwtRevoke(token::RevokeJwtArgs),
    /// List the revoked tokens of an identity provider that have not expired yet.
    #[command(after_help = "Example:\n  g3n ops jwt-list")]
    JwtList,
    /// Start signing URLs, upload tokens and cursors with a new key; the old one still verifies for
    /// ops.key_overlap_seconds.
    #[command(
        after_help = "Examples:\n  g3n ops signing-key-rotate\n  g3n ops signing-key-rotate --at-once --reason \"a backup with keys was lost\""
    )]
    SigningKeyRotate(signing_key::RotateArgs),
    /// List the keys that sign and verify URLs, upload tokens and cursors: their ids and times.
    #[command(after_help = "Example:\n  g3n ops signing-key-list")]
    SigningKeyList,
    /// Show whether the server trusts the machine's clock: after a jump nothing is removed.
    #[command(after_help = "Example:\n  g3n ops clock-status")]
    ClockStatus,
    /// Confirm the machine's time after its clock jumped: removals by time resume.
    #[command(
        after_help = "Examples:\n  g3n ops clock-confirm --reason \"the machine was suspended\"\n  date -u && g3n ops clock-confirm"
    )]
    ClockConfirm(ClockConfirmArgs),
    /// List operators' actions, with who and why, and what happened to windows and vacuums. The
    /// server also writes it to audit/maintenance-audit.jsonl in its data directory.
    #[command(
        after_help = "Examples:\n  g3n ops audit --maintenance-id 01a22dc4-bf3b-7329-bd4b-8c8df5186966\n  g3n ops audit --subject ACME\n  g3n ops audit --since 7d --limit 50\n  g3n ops audit --orgcode ACME --all --output jsonl"
    )]
    Audit(audit::AuditArgs),
    /// Show the last hour of some metrics: requests, durations, the journal, memory, disk. Prometheus has more.
    #[command(
        after_help = "Examples:\n  g3n ops metrics --output table\n  g3n ops metrics --minutes 5 --name requests --name request_seconds_p99"
    )]
    Metrics(MetricsArgs),
}

/// How much of the last hour, and which series.
#[derive(Args, Debug, Serialize)]
struct MetricsArgs {
    /// Only the last minutes, 1 to 60.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=60))]
    minutes: Option<u64>,
    /// Only this series; may be repeated.
    #[arg(long = "name", value_name = "NAME")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,
}

/// Who says that the time is right, and why.
#[derive(Args, Debug)]
struct ClockConfirmArgs {
    #[command(flatten)]
    remarks: RemarkArgs,
}

/// Who changes something, by what right, and why.
#[derive(Args, Debug)]
struct ChangeArgs {
    #[command(flatten)]
    code: CodeArgs,
    #[command(flatten)]
    remarks: RemarkArgs,
}

/// Runs one verb.
///
/// # Errors
/// The [`Failure`] of the verb.
pub(super) fn run(
    arguments: &OpsArgs,
    profile: &Profile,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let anyone = || profile.anyone();
    let caller = || profile.gateway();
    let operator = Operator::of(profile);
    let named_org = || profile.named_org("which org?").map(about);
    let filtered = || profile.filtered_org().map(about).unwrap_or_default();
    let reply = match &arguments.verb {
        Verb::Ping => anyone().ops_ping(&[])?,
        Verb::Stat => anyone().ops_stat(&[])?,
        Verb::SecretSet(arguments) => arguments.run(&operator)?,
        Verb::SecretLockLift(change) => operator.change("ops_secret_lock_lift", change, &())?,
        Verb::MaintenanceSchedule(arguments) => return arguments.run(&operator, printer),
        Verb::MaintenanceStart(window) => window.run(&operator, "ops_maintenance_start")?,
        Verb::MaintenanceUpdate(arguments) => arguments.run(&operator)?,
        Verb::MaintenanceEnd(arguments) => arguments.run(&operator)?,
        Verb::MaintenanceCancel(window) => window.run(&operator, "ops_maintenance_cancel")?,
        Verb::MaintenanceList(arguments) if arguments.operator => {
            let ask = |said: &Said| operator.invoke("ops_maintenance_list", said.clone());
            let first = with(Map::new(), arguments);
            return arguments.page.list(printer, first, &ask);
        }
        Verb::MaintenanceList(arguments) => {
            let client = caller();
            let ask = |said: &Said| Ok(client.maintenance_list(&named(said).pairs())?);
            let first = with(Map::new(), arguments);
            return arguments.page.list(printer, first, &ask);
        }
        Verb::MaintenanceGet(arguments) if arguments.operator => {
            operator.send("ops_maintenance_get", arguments)?
        }
        Verb::MaintenanceGet(arguments) => {
            caller().maintenance_get(&parameters(arguments).pairs())?
        }
        Verb::VacuumAll(arguments) => return arguments.run(&operator, printer),
        Verb::VacuumOrg(arguments) => {
            let orgcode = profile.named_org("which org?")?;
            return arguments.run(&operator, orgcode, printer);
        }
        Verb::VacuumCancel(arguments) => arguments.run(&operator)?,
        Verb::VacuumStatus(arguments) => return arguments.run(&operator, filtered(), printer),
        Verb::VacuumList(arguments) => {
            let ask = |said: &Said| operator.invoke("ops_vacuum_list", said.clone());
            let first = with(filtered(), arguments);
            return arguments.page.list(printer, first, &ask);
        }
        Verb::HoldSet(arguments) => {
            operator.invoke("mrs_hold_set", with(named_org()?, arguments))?
        }
        Verb::HoldRelease(arguments) => {
            operator.invoke("mrs_hold_release", with(named_org()?, arguments))?
        }
        Verb::HoldList(arguments) => {
            operator.invoke("mrs_hold_list", with(named_org()?, arguments))?
        }
        Verb::TokenCreate(arguments) => return arguments.run(&operator, printer),
        Verb::TokenList => operator.invoke("ops_token_list", Map::new())?,
        Verb::TokenRotate(arguments) => return arguments.run(&operator, printer),
        Verb::TokenRevoke(arguments) => operator.send("ops_token_revoke", arguments)?,
        Verb::JwtRevoke(arguments) => operator.send("ops_jwt_revoke", arguments)?,
        Verb::JwtList => operator.invoke("ops_jwt_list", Map::new())?,
        Verb::SigningKeyRotate(arguments) => return arguments.run(&operator, printer),
        Verb::SigningKeyList => operator.invoke("ops_signing_key_list", Map::new())?,
        Verb::ClockStatus => operator.invoke("ops_clock_status", Map::new())?,
        Verb::ClockConfirm(arguments) => operator.send("ops_clock_confirm", &arguments.remarks)?,
        Verb::Audit(arguments) => {
            let ask = |said: &Said| operator.invoke("ops_audit", said.clone());
            let first = with(filtered(), arguments);
            return arguments.page.list(printer, first, &ask);
        }
        Verb::Metrics(arguments) => operator.send("metrics_recent", arguments)?,
    };
    Ok(printer.reply(&reply))
}

/// The operators' address, and its functions.
pub(super) struct Operator {
    client: Client,
    address: String,
}

impl Operator {
    pub(super) fn of(profile: &Profile) -> Self {
        let address = profile.operator_url.value.clone();
        let client = profile.operators();
        Self { client, address }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    fn invoke(&self, function: &str, body: Map<String, Value>) -> Result<Reply, Failure> {
        Ok(self.client.invoke(function, &Value::Object(body))?)
    }

    /// Calls a function with what was said on the command line.
    fn send(&self, function: &str, arguments: &impl Serialize) -> Result<Reply, Failure> {
        self.invoke(function, with(Map::new(), arguments))
    }

    /// The same with the secret code, and who and why.
    fn change(
        &self,
        function: &str,
        change: &ChangeArgs,
        arguments: &impl Serialize,
    ) -> Result<Reply, Failure> {
        let code = change.code.find(&mut CliEnv::of_process())?;
        self.invoke(function, change.sign(&code, with(Map::new(), arguments)))
    }
}

impl ChangeArgs {
    fn sign(&self, code: &Secret, mut body: Map<String, Value>) -> Map<String, Value> {
        insert(&mut body, "secret_code", Some(code.reveal()));
        with(body, &self.remarks)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        change: ChangeArgs,
    }

    #[test]
    fn a_change_says_by_what_right_who_and_why() {
        let signed = |line: &str| {
            let words = std::iter::once("change").chain(line.split_whitespace());
            let parsed = Line::try_parse_from(words).expect(line);
            let code = Secret::parse("CODE").expect("is one");
            let mut body = Map::new();
            insert(&mut body, "maintenance_id", Some("mw_1"));
            Value::Object(parsed.change.sign(&code, body))
        };
        assert_eq!(
            signed("--actor ann --reason disk"),
            json!({"secret_code": "CODE", "actor": "ann", "reason": "disk", "maintenance_id": "mw_1"})
        );
        assert_eq!(
            signed(""),
            json!({"secret_code": "CODE", "maintenance_id": "mw_1"})
        );
    }
}
