//! `g3n usm api-key-…`: what programs call with.

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::SubjectArgs;
use crate::cli::args::{MakeArgs, RemarkArgs, about, with};
use crate::cli::bare::BareArgs;
use crate::cli::cli_env::CliEnv;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Printer;
use crate::cli::profile::Profile;
use crate::cli::time::{Time, ahead};
use crate::client::Client;

/// How to name the key where nobody can be asked for it.
const HOW: &str = "which key? Give --which-file FILE (- is standard input), set G3N_API_KEY, or use a profile with an api_key";

/// A service account whose keys to list.
#[derive(Args, Debug, Serialize)]
pub(super) struct AccountArgs {
    /// The service account.
    #[arg(long, value_name = "ID")]
    service_account_id: String,
}

/// A key to make.
#[derive(Args, Debug, Serialize)]
pub(super) struct CreateArgs {
    #[command(flatten)]
    #[serde(flatten)]
    account: AccountArgs,
    /// The key's role: mrs_reader reads records, mrs_writer changes them, too.
    #[arg(long, value_parser = ["mrs_reader", "mrs_writer"])]
    role: String,
    /// What to call it.
    #[arg(long)]
    label: Option<String>,
    /// When the key expires: RFC 3339, or how long from now, such as 90d; without it, it is valid until it is revoked.
    #[arg(long, value_name = "TIME", value_parser = ahead, allow_hyphen_values = true)]
    expires_at: Option<Time>,
    /// A network that the key may be used from, such as 10.0.0.0/8; may be repeated, up to 16 times. Without it, from
    /// everywhere.
    #[arg(long = "allowed-address", value_name = "CIDR")]
    allowed_addresses: Vec<String>,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: MakeArgs,
    #[command(flatten)]
    #[serde(skip)]
    bare: BareArgs,
}

/// A key to end.
#[derive(Args, Debug, Serialize)]
pub(super) struct RevokeArgs {
    #[command(flatten)]
    #[serde(flatten)]
    account: AccountArgs,
    /// The key's id, not the key itself.
    #[arg(long, value_name = "ID")]
    key_id: String,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: RemarkArgs,
}

/// An account whose keys are all to end.
#[derive(Args, Debug, Serialize)]
pub(super) struct RevokeAllArgs {
    #[command(flatten)]
    #[serde(flatten)]
    account: AccountArgs,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: RemarkArgs,
}

/// A key to check.
#[derive(Args, Debug)]
pub(super) struct WhichArgs {
    #[command(flatten)]
    subject: SubjectArgs,
}

impl CreateArgs {
    pub(super) fn run(
        &self,
        client: &Client,
        orgcode: &str,
        printer: &Printer,
    ) -> Result<Exit, Failure> {
        let made = client.api_key_create(&Value::Object(with(about(orgcode), self)));
        let made = made.map_err(Failure::from);
        self.bare.tell_secret(printer, "api_key", made)
    }
}

impl WhichArgs {
    pub(super) fn body(&self, profile: &Profile) -> Result<Value, Failure> {
        let own = profile.key();
        let mut env = CliEnv::of_process();
        let key = self.subject.find("key", own, HOW, &mut env)?;
        Ok(json!({"api_key": key.reveal()}))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    enum Line {
        Create(CreateArgs),
        Revoke(RevokeArgs),
        RevokeAll(RevokeAllArgs),
    }

    #[test]
    fn a_body_holds_what_was_said_and_nothing_else() {
        for (line, sent) in [
            (
                "create --service-account-id A --role mrs_reader",
                json!({"orgcode": "ACME", "service_account_id": "A", "role": "mrs_reader"}),
            ),
            (
                "create --service-account-id A --role mrs_writer --label nightly --reason new",
                json!({"orgcode": "ACME", "service_account_id": "A", "role": "mrs_writer",
                    "label": "nightly", "reason": "new"}),
            ),
            (
                "create --service-account-id A --role mrs_reader --expires-at 2030-01-01T00:00:00Z --allowed-address 10.0.0.0/8 --allowed-address ::1",
                json!({"orgcode": "ACME", "service_account_id": "A", "role": "mrs_reader",
                    "expires_at": "2030-01-01T00:00:00Z", "allowed_addresses": ["10.0.0.0/8", "::1"]}),
            ),
            (
                "revoke --service-account-id A --key-id K --actor ann",
                json!({"orgcode": "ACME", "service_account_id": "A", "key_id": "K", "actor": "ann"}),
            ),
            (
                "revoke-all --service-account-id A",
                json!({"orgcode": "ACME", "service_account_id": "A"}),
            ),
        ] {
            let words = std::iter::once("usm").chain(line.split(' '));
            let body = match Line::try_parse_from(words).expect(line) {
                Line::Create(arguments) => Value::Object(with(about("ACME"), &arguments)),
                Line::Revoke(arguments) => Value::Object(with(about("ACME"), &arguments)),
                Line::RevokeAll(arguments) => Value::Object(with(about("ACME"), &arguments)),
            };
            assert_eq!(body, sent, "{line}");
        }
    }
}
