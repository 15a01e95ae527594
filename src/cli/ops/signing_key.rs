//! `g3n ops signing-key-…`: the keys that sign urls, upload tokens and cursors.

use clap::Args;
use serde_json::Map;

use super::Operator;
use crate::cli::args::{MakeArgs, insert};
use crate::cli::failure::Failure;
use crate::client::Reply;

/// How a signing key is replaced.
#[derive(Args, Debug)]
pub(super) struct RotateArgs {
    /// End the current key and all earlier ones at once, for a key that may have leaked. All URLs, upload tokens and
    /// cursors signed by them become invalid.
    #[arg(long)]
    at_once: bool,
    #[command(flatten)]
    remarks: MakeArgs,
}

impl RotateArgs {
    pub(super) fn run(&self, operator: &Operator) -> Result<Reply, Failure> {
        let mut body = Map::new();
        insert(&mut body, "at_once", self.at_once.then_some(true));
        operator.invoke("ops_signing_key_rotate", self.remarks.sign(body))
    }
}
