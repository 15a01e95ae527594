//! The command line: parses it, runs one verb, and says how it went.

mod args;
pub mod backup;
mod bare;
mod batch;
mod call;
mod choice;
mod cli_env;
mod complaint;
pub mod doctor;
mod exit;
pub mod failure;
mod finding;
pub mod get;
pub mod hold;
pub mod jobs;
pub mod journal;
pub mod login;
pub mod logs;
pub mod mcp;
pub mod mrs;
pub mod ofm;
pub mod operator;
pub mod ops;
mod out_file;
pub mod output;
mod pack;
mod pages;
mod passcode;
pub mod profile;
mod progress;
pub mod put;
mod quoted;
mod secret;
mod secret_source;
pub mod serve;
pub mod shell;
mod table;
mod time;
pub mod token;
pub mod trace;
pub mod uas;
mod unfinished;
mod uses;
pub mod usm;
pub mod utl;
pub mod verify;
mod watch;

use std::ffi::OsString;
use std::io::Write;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::OF_COMMAND_LINE;
use crate::private;
use exit::Exit;
use failure::Failure;
use output::{Printer, ended};
use profile::{Connection, Profile};

/// Store and read tenants' records, and run the server that keeps them.
#[derive(Parser)]
#[command(
    name = "g3n",
    version,
    max_term_width = 100,
    subcommand_required = true,
    after_help = "A first day, with the export lines that the server prints in a shell of their own:\n  g3n serve --dev\n  g3n mrs put --container demo --record-id note-1 --inline-payload-file note.json --content-type application/json\n  g3n mrs list\n\nThe names of the services are those of the API's paths; each has an alias that says what it is: records (mrs), orgs (ofm), users (uas), sessions (usm), exports (utl), operations (ops). g3n help VERB explains one."
)]
pub struct Cli {
    /// What every verb takes.
    #[command(flatten)]
    pub connection: Connection,
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the server until it is stopped.
    Serve(serve::ServeArgs),
    /// Check whether a server can start here, or the health of the running one. Changes nothing; exits with 1 when
    /// something is wrong.
    #[command(
        after_help = "Examples:\n  g3n doctor --dev\n  g3n doctor --data-dir /var/lib/metarecord --settings metarecord.toml --strict\n  g3n doctor --json"
    )]
    Doctor(Box<doctor::DoctorArgs>),
    /// Sign in, and keep the session in a profile: later calls with that profile use it.
    ///
    /// The profile is the one of --profile or G3N_PROFILE, else the one named default, which counts when no other is named.
    #[command(
        after_help = "Examples:\n  g3n login --email ann@example.com\n  g3n login --profile work --base-url https://records.example --email ann@example.com --orgcode ACME\n\nWithout a terminal:\n  g3n login --email ann@example.com --passcode-file passcode.txt"
    )]
    Login(login::LoginArgs),
    /// End the session that a profile keeps, and remove it from the profile.
    #[command(after_help = "Examples:\n  g3n logout\n  g3n logout --profile work")]
    Logout(login::LogoutArgs),
    /// Serve an agent's tools over standard input and output, by the Model Context Protocol (MCP).
    ///
    /// An agent starts this program, whose tools work with the credential of a profile; the agent never sees that. They only read
    /// unless --mode write is given. The best credential is a key with the role mrs_reader.
    #[command(
        after_help = "Examples:\n  g3n mcp --profile agent\n  g3n mcp --profile agent --mode write --confirm plan\n  g3n mcp --operator --profile ops --secret-code-file code.txt\n\nIn the configuration of an agent:\n  {\"mcpServers\": {\"metarecord\": {\"command\": \"g3n\", \"args\": [\"mcp\", \"--profile\", \"agent\"]}}}"
    )]
    Mcp(mcp::McpArgs),
    /// Put, read, list and end records.
    #[command(visible_alias = "records")]
    Mrs(Box<mrs::MrsArgs>),
    /// Sessions, service accounts and their API keys.
    #[command(visible_alias = "sessions")]
    Usm(Box<usm::UsmArgs>),
    /// Orgs, their members, invitations and quotas.
    #[command(visible_alias = "orgs")]
    Ofm(Box<ofm::OfmArgs>),
    /// Users, as operators see them.
    #[command(visible_alias = "users")]
    Uas(Box<uas::UasArgs>),
    /// Exports and imports of an org, and its offboarding.
    #[command(visible_alias = "exports")]
    Utl(Box<utl::UtlArgs>),
    /// Show who the service takes you for.
    #[command(after_help = "Examples:\n  g3n whoami\n  g3n whoami --api-key KEY")]
    Whoami,
    /// Maintenance windows, vacuums, holds, operators' tokens and audit (operators).
    #[command(visible_alias = "operations")]
    Ops(Box<ops::OpsArgs>),
    /// Background jobs of the server (operators).
    Jobs(jobs::JobsArgs),
    /// Read and verify the history of a running or a stopped server.
    Journal(journal::JournalArgs),
    /// Create, verify and restore backups.
    Backup(backup::BackupArgs),
    /// Show a server's log, or check it against its schema.
    Logs(logs::LogsArgs),
    /// Show everything known about a request: its log lines, its journal entries, and whether reads show them.
    Trace(Box<trace::TraceArgs>),
    /// Create tokens and keys to try out an identity provider.
    Token(token::TokenArgs),
    /// Check whether the server is alive, or with --ready whether it can serve.
    #[command(after_help = "Example:\n  g3n health --ready")]
    Health(HealthArgs),
    /// Check from outside, within 90 seconds, whether a server keeps its promises; exits with 1 when it does not.
    ///
    /// Creates records with ids that begin with g3n-verify, and dooms them at the end.
    #[command(
        after_help = "Examples:\n  g3n verify --profile dev\n  g3n verify --url https://records.example --orgcode ACME --jwt-file token\n  g3n verify --url http://127.0.0.1:8000 --orgcode ACME --api-key KEY --json"
    )]
    Verify(Box<verify::VerifyArgs>),
    /// Show the configuration of the command line or of a server.
    Config(ConfigArgs),
    /// Write a shell's completions to standard output.
    #[command(
        after_help = "Example:\n  g3n completions bash > ~/.local/share/bash-completion/completions/g3n"
    )]
    Completions(shell::CompletionsArgs),
    /// Write the manual: one page to standard output, or one page per verb into a directory.
    #[command(after_help = "Example:\n  g3n man --dir ~/.local/share/man/man1")]
    Man(shell::ManArgs),
}

/// Which question to ask.
#[derive(Args, Debug)]
pub struct HealthArgs {
    /// Check whether it can serve.
    #[arg(long)]
    ready: bool,
    /// Accept any certificate, such as one that does not name this machine's address. Nothing secret is sent.
    #[arg(long, conflicts_with_all = ["ca_file"])]
    any_certificate: bool,
}

/// The command line's own configuration.
#[derive(Args, Debug)]
pub struct ConfigArgs {
    #[command(subcommand)]
    verb: ConfigVerb,
}

#[derive(Subcommand, Debug)]
enum ConfigVerb {
    /// Show each value and where it came from: flag, environment, file or default.
    #[command(after_help = "Example:\n  g3n config show --profile dev")]
    Show,
    /// Show each setting a server would start with, and where it came from.
    #[command(
        after_help = "Example:\n  g3n config server --settings metarecord.toml --set mrs.sweep_seconds=10"
    )]
    Server(Box<serve::ServeArgs>),
}

/// Parses a command line, runs it, and prints what is to be said.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    match parse(&arguments) {
        Ok(cli) => cli.run(),
        Err(error) => misunderstood(&arguments, &error),
    }
}

fn parse(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    let matches = Cli::command().try_get_matches_from(arguments)?;
    uses::check(&matches)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut Cli::command()))
}

impl Cli {
    fn run(&self) -> Exit {
        if self.command.writes_what_is_kept() {
            private::close_what_is_made();
        }
        let printer = Printer::asked(self.connection.output);
        let ran = check_variables().and_then(|()| self.command.run(&self.connection, &printer));
        match ran {
            Ok(exit) => exit,
            Err(failure) => printer.failure(&failure),
        }
    }
}

/// Refuses variables of the command line that are no text, or empty: taken for absent, another org, another caller or nobody
/// would be meant. Paths need be no text.
fn check_variables() -> Result<(), Failure> {
    const PATHS: &[&str] = &["G3N_CONFIG"];
    for name in OF_COMMAND_LINE {
        let Some(value) = std::env::var_os(name) else {
            continue;
        };
        let why = match value.to_str() {
            None if !PATHS.contains(name) => "not UTF-8 text; set it again, or unset it",
            Some("") => "set, but empty; give it a value, or unset it",
            None | Some(_) => continue,
        };
        return Err(Failure::Usage(format!("the variable {name} is {why}")));
    }
    Ok(())
}

impl Command {
    /// Whether it writes into a data directory or out of one. Completions, manuals and what `g3n mrs get` downloads are as
    /// open as the shell says.
    fn writes_what_is_kept(&self) -> bool {
        match self {
            Self::Serve(_)
            | Self::Doctor(_)
            | Self::Journal(_)
            | Self::Backup(_)
            | Self::Trace(_)
            | Self::Token(_)
            | Self::Login(_)
            | Self::Logout(_)
            | Self::Utl(_) => true,
            Self::Mrs(_)
            | Self::Usm(_)
            | Self::Ofm(_)
            | Self::Uas(_)
            | Self::Whoami
            | Self::Mcp(_)
            | Self::Ops(_)
            | Self::Jobs(_)
            | Self::Logs(_)
            | Self::Health(_)
            | Self::Verify(_)
            | Self::Config(_)
            | Self::Completions(_)
            | Self::Man(_) => false,
        }
    }

    fn run(&self, connection: &Connection, printer: &Printer) -> Result<Exit, Failure> {
        let load = || Profile::load(connection, &|name| std::env::var_os(name));
        match self {
            Self::Serve(arguments) => Ok(serve::run(arguments)),
            Self::Doctor(arguments) => doctor::run(arguments, connection, printer),
            Self::Journal(arguments) => journal::run(arguments, connection, printer),
            Self::Backup(arguments) => backup::run(arguments, connection, printer),
            Self::Logs(arguments) => logs::run(arguments, printer),
            Self::Trace(arguments) => trace::run(arguments, load, printer),
            Self::Token(arguments) => token::run(arguments, connection.output, printer),
            Self::Login(arguments) => arguments.run(connection, printer),
            Self::Logout(arguments) => arguments.run(connection, printer),
            Self::Mcp(arguments) => mcp::run(arguments, &load()?),
            Self::Mrs(arguments) => mrs::run(arguments, &load()?, printer),
            Self::Usm(arguments) => usm::run(arguments, &load()?, printer),
            Self::Ofm(arguments) => ofm::run(arguments, &load()?, printer),
            Self::Uas(arguments) => uas::run(arguments, &load()?, printer),
            Self::Utl(arguments) => utl::run(arguments, &load()?, printer),
            Self::Whoami => {
                let profile = load()?;
                let client = profile.gateway();
                Ok(printer.reply(&client.whoami(&[])?))
            }
            Self::Ops(arguments) => ops::run(arguments, &load()?, printer),
            Self::Jobs(arguments) => jobs::run(arguments, &load()?, printer),
            Self::Health(arguments) => {
                let profile = load()?;
                let client = if arguments.any_certificate {
                    profile.anyone_at_any()
                } else {
                    profile.anyone()
                };
                let reply = if arguments.ready {
                    client.ready()?
                } else {
                    client.health()?
                };
                Ok(printer.reply(&reply))
            }
            Self::Verify(arguments) => verify::run(arguments, connection, printer),
            Self::Config(ConfigArgs {
                verb: ConfigVerb::Show,
            }) => {
                let told = printer.facts(&load()?.show());
                Ok(ended(told, Exit::Success))
            }
            Self::Config(ConfigArgs {
                verb: ConfigVerb::Server(arguments),
            }) => serve::show_settings(arguments, printer),
            Self::Completions(arguments) => shell::completions(arguments),
            Self::Man(arguments) => shell::man(arguments),
        }
    }
}

/// Help and version are answers. Everything else is a usage error: text on standard error, and an envelope for who asked
/// for JSON.
fn misunderstood(arguments: &[OsString], error: &clap::Error) -> Exit {
    let help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    let printed = output::quiet_when_closed(error.print());
    if help {
        return ended(printed, Exit::Success);
    }
    if asks_for_json(arguments) {
        let text = error.render().to_string();
        let first = text.split("\n\n").next().unwrap_or_default();
        let message = first.trim_start_matches("error: ").trim();
        let envelope = output::envelope("usage", message);
        let _: std::io::Result<()> = writeln!(std::io::stdout().lock(), "{envelope}");
    }
    Exit::Usage
}

/// Whether a command line that could not be parsed asks for JSON, and not for a single value alone.
fn asks_for_json(arguments: &[OsString]) -> bool {
    let mut json = false;
    let mut texts = arguments.iter().filter_map(|argument| argument.to_str());
    while let Some(text) = texts.next() {
        match text {
            "--bare" => return false,
            // What doctor and verify take for the same.
            "--output=json" | "--json" => json = true,
            "--output" => json |= texts.next() == Some("json"),
            "--" => break,
            _ => {}
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn json_is_seen_to_be_asked_for_in_a_line_that_cannot_be_parsed() {
        let of = |line: &str| {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            asks_for_json(&arguments)
        };
        for (line, json) in [
            ("g3n nonsense --output json", true),
            ("g3n --output=json nonsense", true),
            ("g3n doctor --nonsense --json", true),
            ("g3n --output=table nonsense", false),
            ("g3n nonsense --output", false),
            ("g3n nonsense", false),
            ("g3n nonsense -- --output json", false),
            ("g3n usm session-create --bare --output json", false),
        ] {
            assert_eq!(of(line), json, "{line}");
        }
    }
}
