//! `g3n ops token-…` and `jwt-…`: operators' tokens, and tokens of an identity provider that are to count no longer.

use clap::Args;
use serde::Serialize;

use super::Operator;
use crate::cli::args::{MakeArgs, RemarkArgs};
use crate::cli::bare::BareArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Printer;
use crate::cli::time::{Time, ahead, seconds_from_now};

/// A token to make.
#[derive(Args, Debug, Serialize)]
pub(super) struct CreateArgs {
    /// The token's name, which the audit shows.
    #[arg(long)]
    name: String,
    /// A scope; may be repeated. `all` is everything, including other tokens and the secret code.
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = ["metrics", "read", "tenants", "destroy", "all"])]
    scopes: Vec<String>,
    /// When it expires: RFC 3339, or how long from now, such as 30d.
    #[arg(long, value_name = "TIME", value_parser = ahead, allow_hyphen_values = true)]
    expires_at: Option<Time>,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: MakeArgs,
    #[command(flatten)]
    #[serde(skip)]
    bare: BareArgs,
}

/// A token that gets a successor.
#[derive(Args, Debug, Serialize)]
pub(super) struct RotateArgs {
    /// The token's name; `operator` is the token of the first start, whose file is rewritten.
    #[arg(long)]
    name: String,
    /// Seconds for which the old token stays valid, or such as 1h, or until when (RFC 3339); at most 86400. 0 ends it at
    /// once.
    #[arg(long, value_name = "SECONDS", value_parser = seconds_from_now)]
    overlap_seconds: Option<u64>,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: MakeArgs,
    #[command(flatten)]
    #[serde(skip)]
    bare: BareArgs,
}

/// A token to end.
#[derive(Args, Debug, Serialize)]
pub(super) struct RevokeArgs {
    /// The token's name, as token-list shows it.
    #[arg(long)]
    name: String,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: RemarkArgs,
}

/// A token of an identity provider to end.
#[derive(Args, Debug, Serialize)]
pub(super) struct RevokeJwtArgs {
    /// The jti claim of the token, known from its issuer or from g3n token mint.
    #[arg(long)]
    jti: String,
    /// When the token expires anyway, if known: RFC 3339, or how long from now, such as 1d. The revocation is kept until
    /// then.
    #[arg(long, value_name = "TIME", value_parser = ahead, allow_hyphen_values = true)]
    expires_at: Option<Time>,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: RemarkArgs,
}

impl CreateArgs {
    pub(super) fn run(&self, operator: &Operator, printer: &Printer) -> Result<Exit, Failure> {
        let made = operator.send("ops_token_create", self);
        self.bare.tell_secret(printer, "operator_token", made)
    }
}

impl RotateArgs {
    pub(super) fn run(&self, operator: &Operator, printer: &Printer) -> Result<Exit, Failure> {
        let made = operator.send("ops_token_rotate", self);
        self.bare.tell_secret(printer, "operator_token", made)
    }
}
