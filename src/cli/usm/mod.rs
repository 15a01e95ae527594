//! `g3n usm`: sessions, service accounts and their keys.

mod account;
mod key;
mod session;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::args::{RemarkArgs, Said, about, with};
use super::call::{invoke, of_org};
use super::cli_env::CliEnv;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Printer;
use super::pages::PageArgs;
use super::profile::Profile;
use super::secret::{Secret, secret};
use super::secret_source::SecretSource;
use super::uas::UserArgs;
use crate::client::CredentialKind;

/// Sessions of users; service accounts of programs and their API keys.
#[derive(Args, Debug)]
pub struct UsmArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Sign in. The session's guid is shown only once.
    #[command(
        after_help = "Examples:\n  g3n usm session-create --email ann@example.com\n  g3n usm session-create --email ann@example.com --passcode-file passcode.txt --label laptop\n\nInto a shell's variable:\n  export G3N_SESSION_GUID=$(g3n usm session-create --email ann@example.com --bare)"
    )]
    SessionCreate(session::CreateArgs),
    /// Check whether a session is open, by default your own; exits with 4 when it is not.
    #[command(
        after_help = "Examples:\n  g3n usm session-validate\n  g3n usm session-validate --which-file session.txt"
    )]
    SessionValidate(session::WhichArgs),
    /// End a session, by default your own.
    #[command(
        after_help = "Examples:\n  g3n usm session-close\n  g3n usm session-close --which-file session.txt"
    )]
    SessionClose(session::CloseArgs),
    /// List your open sessions.
    #[command(after_help = "Example:\n  g3n usm session-list")]
    SessionList,
    /// End all your sessions, including this one.
    #[command(after_help = "Example:\n  g3n usm logout-everywhere --reason \"lost laptop\"")]
    LogoutEverywhere(RemarkArgs),
    /// End all sessions of a user (operators).
    #[command(
        after_help = "Example:\n  g3n usm sessions-close --email ann@example.com --reason \"lost laptop\""
    )]
    SessionsClose(UserArgs),
    /// Create a service account for a program (owners).
    #[command(
        after_help = "Example:\n  g3n usm service-account-create --orgcode ACME --label importer"
    )]
    ServiceAccountCreate(account::CreateArgs),
    /// List an org's service accounts, one page at a time (owners).
    #[command(after_help = "Example:\n  g3n usm service-account-list --orgcode ACME --limit 5")]
    ServiceAccountList(PageArgs),
    /// Show a service account, or enable or disable it and all its keys (owners).
    #[command(
        after_help = "Examples:\n  g3n usm service-account-status --service-account-id 78eb52f0-9534-4c13-8516-c80f0c3112d1\n  g3n usm service-account-status --service-account-id 78eb52f0-9534-4c13-8516-c80f0c3112d1 --status disabled"
    )]
    ServiceAccountStatus(account::StatusArgs),
    /// Create an API key for a service account. It is shown only once (owners).
    #[command(
        after_help = "Examples:\n  g3n usm api-key-create --service-account-id 78eb52f0-9534-4c13-8516-c80f0c3112d1 --role mrs_writer\n  g3n usm api-key-create --service-account-id 78eb52f0-9534-4c13-8516-c80f0c3112d1 --role mrs_reader --label nightly\n  g3n usm api-key-create --service-account-id 78eb52f0-9534-4c13-8516-c80f0c3112d1 --role mrs_reader --expires-at 90d --allowed-address 10.0.0.0/8\n\nInto a shell's variable:\n  export G3N_API_KEY=$(g3n usm api-key-create --service-account-id 78eb52f0-9534-4c13-8516-c80f0c3112d1 --role mrs_reader --bare)"
    )]
    ApiKeyCreate(key::CreateArgs),
    /// List a service account's keys, including revoked ones (owners).
    #[command(
        after_help = "Example:\n  g3n usm api-key-list --service-account-id 78eb52f0-9534-4c13-8516-c80f0c3112d1"
    )]
    ApiKeyList(key::AccountArgs),
    /// Revoke a key (owners).
    #[command(
        after_help = "Example:\n  g3n usm api-key-revoke --service-account-id 78eb52f0-9534-4c13-8516-c80f0c3112d1 --key-id 142d9fe1-279a-458a-a05f-853191081435"
    )]
    ApiKeyRevoke(key::RevokeArgs),
    /// Revoke all keys of a service account (owners).
    #[command(
        after_help = "Example:\n  g3n usm api-key-revoke-all --service-account-id 78eb52f0-9534-4c13-8516-c80f0c3112d1"
    )]
    ApiKeyRevokeAll(key::RevokeAllArgs),
    /// Check whether a key is valid, by default your own; exits with 4 when it is not.
    #[command(
        after_help = "Examples:\n  g3n usm api-key-validate\n  g3n usm api-key-validate --which-file key.txt"
    )]
    ApiKeyValidate(key::WhichArgs),
}

/// Runs one verb.
///
/// # Errors
/// The [`Failure`] of the verb.
pub(super) fn run(
    arguments: &UsmArgs,
    profile: &Profile,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let client = profile.gateway();
    // Where the secret in the body is all there is to show, no other is sent along.
    let anyone = profile.anyone();
    let org = || profile.org("which org?");
    let reply = match &arguments.verb {
        Verb::SessionCreate(arguments) => return arguments.run(&anyone, printer),
        Verb::SessionValidate(which) => {
            let reply = anyone.session_validate(&Value::Object(which.body(profile)?))?;
            reply.called_with(CredentialKind::Session)
        }
        Verb::SessionClose(arguments) => {
            let reply = anyone.session_close(&Value::Object(arguments.body(profile)?))?;
            reply.called_with(CredentialKind::Session)
        }
        Verb::SessionList => client.session_list(&Value::Object(Map::new()))?,
        Verb::LogoutEverywhere(remarks) => {
            client.logout_everywhere(&Value::Object(with(Map::new(), remarks)))?
        }
        Verb::SessionsClose(user) => invoke(profile, "usm_sessions_close", with(Map::new(), user))?,
        Verb::ServiceAccountCreate(arguments) => return arguments.run(&client, org()?, printer),
        Verb::ServiceAccountList(page) => {
            let ask = |said: &Said| Ok(client.service_account_list(&Value::Object(said.clone()))?);
            return page.list(printer, with(about(org()?), page), &ask);
        }
        Verb::ServiceAccountStatus(arguments) => {
            client.service_account_status(&of_org(profile, arguments)?)?
        }
        Verb::ApiKeyCreate(arguments) => return arguments.run(&client, org()?, printer),
        Verb::ApiKeyList(account) => client.api_key_list(&of_org(profile, account)?)?,
        Verb::ApiKeyRevoke(arguments) => client.api_key_revoke(&of_org(profile, arguments)?)?,
        Verb::ApiKeyRevokeAll(arguments) => {
            client.api_key_revoke_all(&of_org(profile, arguments)?)?
        }
        Verb::ApiKeyValidate(which) => {
            let reply = anyone.api_key_validate(&which.body(profile)?)?;
            reply.called_with(CredentialKind::ApiKey)
        }
    };
    Ok(printer.reply(&reply))
}

/// A secret that is itself asked about.
#[derive(Args, Debug)]
struct SubjectArgs {
    /// The session or key to check or end. Other users of the machine can see it in the process list.
    #[arg(long, value_name = "SECRET", value_parser = secret())]
    which: Option<Secret>,
    /// A file that holds the session or key; - is standard input.
    #[arg(long, value_name = "FILE")]
    which_file: Option<PathBuf>,
}

impl SubjectArgs {
    /// The one a flag names, else the one there is to call with; at last a terminal is asked.
    fn find(
        &self,
        what: &'static str,
        own: Option<Secret>,
        how: &str,
        env: &mut CliEnv,
    ) -> Result<Secret, Failure> {
        let places = SecretSource {
            what,
            flag: self.which.as_ref(),
            file: self.which_file.as_deref(),
            variable: None,
        };
        let found = match places.find(env)?.or(own) {
            Some(found) => found,
            None => env.ask("Which one: ", how)?,
        };
        // No session and no key has white space around it.
        let nothing = || Failure::Usage(format!("the {what} is empty; {how}"));
        Secret::parse(found.reveal().trim()).ok_or_else(nothing)
    }
}
