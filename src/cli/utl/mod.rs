//! `g3n utl`: an org leaves, its data is taken away, and brought in elsewhere.

mod destination;
mod export;
mod import;
mod verify;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Map, Value};

use super::args::{KeyArgs, MakeArgs, RemarkArgs, Said, about, insert, with};
use super::bare::BareArgs;
use super::call::invoke;
use super::cli_env::CliEnv;
use super::exit::Exit;
use super::failure::Failure;
use super::ops::code::CodeArgs;
use super::output::Printer;
use super::pages::PageArgs;
use super::profile::Profile;
use crate::client::Reply;

/// The statuses of an offboarding.
const STATUSES: [&str; 5] = ["requested", "approved", "purging", "purged", "cancelled"];

/// Offboard, export and import an org.
#[derive(Args, Debug)]
pub struct UtlArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Request the offboarding of an org (owners).
    ///
    /// Once an operator approves, the org is frozen; its data can be downloaded for a limited time, and is then erased.
    #[command(
        after_help = "Example:\n  g3n utl offboarding-request --orgcode ACME --reason \"closing down\""
    )]
    OffboardingRequest(RequestArgs),
    /// Show the state of an org's offboarding (owners; operators with --operator).
    #[command(
        after_help = "Examples:\n  g3n utl offboarding-status --orgcode ACME\n  g3n utl offboarding-status --orgcode ACME --operator"
    )]
    OffboardingStatus(AsArgs),
    /// Cancel an offboarding before anything is erased (owners; operators with --operator).
    #[command(after_help = "Example:\n  g3n utl offboarding-cancel --orgcode ACME --reason stays")]
    OffboardingCancel(CancelArgs),
    /// List offboardings (operators).
    #[command(after_help = "Example:\n  g3n utl offboarding-list --status requested")]
    OffboardingList(ListArgs),
    /// Approve an offboarding: the org is frozen, exported, and erased when its window has ended (operators).
    #[command(
        after_help = "Example:\n  g3n utl offboarding-approve --orgcode ACME --secret-code-file code.txt"
    )]
    OffboardingApprove(ApproveArgs),
    /// Create an export of an org without offboarding it (operators).
    #[command(after_help = "Example:\n  g3n utl export-make --orgcode ACME")]
    ExportMake(ExportMakeArgs),
    /// Download an org's export into a directory, and check every byte of it (owners; operators with --operator).
    ///
    /// Waits until the export is finished. Files that are already complete and correct are not downloaded again.
    #[command(after_help = "Example:\n  g3n utl export --orgcode ACME --out acme")]
    Export(export::ExportArgs),
    /// Verify a downloaded export without a server: hashes, history, content and manifest; exits with 1 when something is wrong.
    #[command(
        after_help = "Examples:\n  g3n utl verify acme\n  g3n utl verify acme --orgcode ACME --manifest-sha256 HEX"
    )]
    Verify(verify::VerifyArgs),
    /// Import an export into the server at the operator URL (operators).
    ///
    /// Every byte of it is checked first. After an interruption, the same command continues where it stopped. With --orgcode the
    /// export must be of that org.
    #[command(
        after_help = "Examples:\n  g3n utl import acme --dry-run\n  g3n utl import acme\n  g3n utl import acme --owner-user-id 78eb52f0-9534-4c13-8516-c80f0c3112d1"
    )]
    Import(import::ImportArgs),
}

/// As whom to ask.
#[derive(Args, Debug, Serialize)]
struct AsArgs {
    /// Ask at the operators' address, with the operator token.
    #[arg(long)]
    #[serde(skip)]
    operator: bool,
}

/// An offboarding to ask for.
#[derive(Args, Debug, Serialize)]
struct RequestArgs {
    /// Why.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    /// Who is acting; stored in the history.
    #[arg(long)]
    actor: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    #[serde(skip)]
    bare: BareArgs,
}

/// An export to make.
#[derive(Args, Debug, Serialize)]
struct ExportMakeArgs {
    #[command(flatten)]
    #[serde(flatten)]
    make: MakeArgs,
    #[command(flatten)]
    #[serde(skip)]
    bare: BareArgs,
}

/// An offboarding to call off.
#[derive(Args, Debug, Serialize)]
struct CancelArgs {
    #[command(flatten)]
    #[serde(flatten)]
    by: AsArgs,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: RemarkArgs,
}

/// Which offboardings.
#[derive(Args, Debug, Serialize)]
struct ListArgs {
    /// Only of this status.
    #[arg(long, value_parser = STATUSES)]
    status: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    page: PageArgs,
}

/// An offboarding to approve.
#[derive(Args, Debug)]
struct ApproveArgs {
    #[command(flatten)]
    code: CodeArgs,
    #[command(flatten)]
    remarks: RemarkArgs,
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
}

/// Runs one verb.
///
/// # Errors
/// The [`Failure`] of the verb.
pub(super) fn run(
    arguments: &UtlArgs,
    profile: &Profile,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let client = profile.gateway();
    let org = || profile.org("which org?").map(about);
    let reply = match &arguments.verb {
        Verb::OffboardingRequest(arguments) => {
            let body = with(about(profile.named_org("which org?")?), arguments);
            let made = client.offboarding_request(&Value::Object(body));
            let made = made.map_err(Failure::from);
            return arguments.bare.tell(printer, "offboarding_id", made);
        }
        Verb::OffboardingStatus(by) if by.operator => {
            invoke(profile, "utl_offboarding_status", org()?)?
        }
        Verb::OffboardingStatus(_) => client.offboarding_status(&Value::Object(org()?))?,
        Verb::OffboardingCancel(arguments) => {
            let body = with(org()?, arguments);
            if arguments.by.operator {
                invoke(profile, "utl_offboarding_cancel", body)?
            } else {
                client.offboarding_cancel(&Value::Object(body))?
            }
        }
        Verb::OffboardingList(arguments) => {
            let ask = |said: &Said| invoke(profile, "utl_offboarding_list", said.clone());
            let first = with(Map::new(), arguments);
            return arguments.page.list(printer, first, &ask);
        }
        Verb::OffboardingApprove(arguments) => arguments.run(profile)?,
        Verb::ExportMake(arguments) => {
            let made = invoke(profile, "utl_export", with(org()?, arguments));
            return arguments.bare.tell(printer, "exports.last.export_id", made);
        }
        Verb::Export(arguments) => return arguments.run(profile, printer),
        Verb::Verify(arguments) => return arguments.run(profile.filtered_org(), printer),
        Verb::Import(arguments) => return arguments.run(profile, printer),
    };
    Ok(printer.reply(&reply))
}

impl ApproveArgs {
    /// Approves. At a terminal it has to be confirmed first: unless it is cancelled, the data is erased.
    fn run(&self, profile: &Profile) -> Result<Reply, Failure> {
        let org = profile.named_org("which org?")?;
        let mut env = CliEnv::of_process();
        let code = self.code.find(&mut env)?;
        if !self.yes {
            let address = &profile.operator_url.value;
            let what = format!("all data of the org {org} at {address} once its window has ended");
            env.confirm(&what)?;
        }
        let mut body = with(about(org), &self.remarks);
        insert(&mut body, "secret_code", Some(code.reveal()));
        invoke(profile, "utl_offboarding_approve", body)
    }
}
