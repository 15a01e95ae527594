//! `g3n ops token-…` and `jwt-…`: operators' tokens, and tokens of an identity provider that are to count no longer.

use clap::Args;
use serde_json::Map;

use super::Operator;
use crate::cli::args::{MakeArgs, RemarkArgs, insert};
use crate::cli::bare::BareArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Printer;
use crate::client::Reply;

/// A token to make.
#[derive(Args, Debug)]
pub(super) struct CreateArgs {
    /// The token's name, which the audit shows.
    #[arg(long)]
    name: String,
    /// A scope; may be repeated. `all` is everything, including other tokens and the secret code.
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = ["metrics", "read", "tenants", "destroy", "all"])]
    scopes: Vec<String>,
    /// When it expires (RFC 3339).
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    #[command(flatten)]
    remarks: MakeArgs,
    #[command(flatten)]
    bare: BareArgs,
}

/// A token that gets a successor.
#[derive(Args, Debug)]
pub(super) struct RotateArgs {
    /// The token's name; `operator` is the token of the first start, whose file is rewritten.
    #[arg(long)]
    name: String,
    /// Seconds for which the old token stays valid, at most 86400; 0 ends it at once.
    #[arg(long, value_name = "SECONDS")]
    overlap_seconds: Option<u64>,
    #[command(flatten)]
    remarks: MakeArgs,
    #[command(flatten)]
    bare: BareArgs,
}

/// A token to end.
#[derive(Args, Debug)]
pub(super) struct RevokeArgs {
    /// The token's name, as token-list shows it.
    #[arg(long)]
    name: String,
    #[command(flatten)]
    remarks: RemarkArgs,
}

/// A token of an identity provider to end.
#[derive(Args, Debug)]
pub(super) struct RevokeJwtArgs {
    /// The jti claim of the token, known from its issuer or from g3n token mint.
    #[arg(long)]
    jti: String,
    /// When the token expires anyway (RFC 3339), if known; the revocation is kept until then.
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    #[command(flatten)]
    remarks: RemarkArgs,
}

impl CreateArgs {
    pub(super) fn run(&self, operator: &Operator, printer: &Printer) -> Result<Exit, Failure> {
        let mut body = Map::new();
        insert(&mut body, "name", Some(self.name.as_str()));
        insert(&mut body, "scopes", Some(self.scopes.clone()));
        insert(&mut body, "expires_at", self.expires_at.as_deref());
        let made = operator.invoke("ops_token_create", self.remarks.sign(body));
        self.bare.tell_secret(printer, "operator_token", made)
    }
}

impl RotateArgs {
    pub(super) fn run(&self, operator: &Operator, printer: &Printer) -> Result<Exit, Failure> {
        let mut body = Map::new();
        insert(&mut body, "name", Some(self.name.as_str()));
        insert(&mut body, "overlap_seconds", self.overlap_seconds);
        let made = operator.invoke("ops_token_rotate", self.remarks.sign(body));
        self.bare.tell_secret(printer, "operator_token", made)
    }
}

impl RevokeArgs {
    pub(super) fn run(&self, operator: &Operator) -> Result<Reply, Failure> {
        let mut body = Map::new();
        insert(&mut body, "name", Some(self.name.as_str()));
        operator.invoke("ops_token_revoke", self.remarks.sign(body))
    }
}

impl RevokeJwtArgs {
    pub(super) fn run(&self, operator: &Operator) -> Result<Reply, Failure> {
        let mut body = Map::new();
        insert(&mut body, "jti", Some(self.jti.as_str()));
        insert(&mut body, "expires_at", self.expires_at.as_deref());
        operator.invoke("ops_jwt_revoke", self.remarks.sign(body))
    }
}
