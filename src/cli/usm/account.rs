//! `g3n usm service-account-create` and `service-account-status`.

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::cli::args::{MakeArgs, RemarkArgs, about, with};
use crate::cli::bare::BareArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Printer;
use crate::client::Client;

/// A service account to make.
#[derive(Args, Debug, Serialize)]
pub(super) struct CreateArgs {
    /// What to call it.
    #[arg(long)]
    label: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: MakeArgs,
    #[command(flatten)]
    #[serde(skip)]
    bare: BareArgs,
}

/// A service account to show, enable or disable.
#[derive(Args, Debug, Serialize)]
pub(super) struct StatusArgs {
    /// The id of the service account.
    #[arg(long, value_name = "ID")]
    service_account_id: String,
    /// The new status; without it the account is shown.
    #[arg(long, value_parser = ["active", "disabled"])]
    status: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: RemarkArgs,
}

impl CreateArgs {
    pub(super) fn run(
        &self,
        client: &Client,
        orgcode: &str,
        printer: &Printer,
    ) -> Result<Exit, Failure> {
        let made = client.service_account_create(&Value::Object(with(about(orgcode), self)));
        let made = made.map_err(Failure::from);
        self.bare.tell(printer, "service_account_id", made)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    enum Line {
        Create(CreateArgs),
        Status(StatusArgs),
    }

    #[test]
    fn a_body_holds_what_was_said_and_nothing_else() {
        for (line, sent) in [
            ("create", json!({"orgcode": "ACME"})),
            (
                "create --label importer --actor ann --reason new --reason-code R1 --correlation-id C1",
                json!({"orgcode": "ACME", "label": "importer", "actor": "ann", "reason": "new",
                    "reason_code": "R1", "correlation_id": "C1"}),
            ),
            (
                "create --idempotency-key k-1",
                json!({"orgcode": "ACME", "idempotency_key": "k-1"}),
            ),
            (
                "status --service-account-id A",
                json!({"orgcode": "ACME", "service_account_id": "A"}),
            ),
            (
                "status --service-account-id A --status disabled --actor ann",
                json!({"orgcode": "ACME", "service_account_id": "A", "status": "disabled", "actor": "ann"}),
            ),
        ] {
            let words = std::iter::once("usm").chain(line.split(' '));
            let body = match Line::try_parse_from(words).expect(line) {
                Line::Create(arguments) => Value::Object(with(about("ACME"), &arguments)),
                Line::Status(arguments) => Value::Object(with(about("ACME"), &arguments)),
            };
            assert_eq!(body, sent, "{line}");
        }
    }
}
