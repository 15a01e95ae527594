//! `g3n ops signing-key-…`: the keys that sign URLs, upload tokens and cursors.

use clap::Args;
use serde::Serialize;

use super::Operator;
use crate::cli::args::MakeArgs;
use crate::cli::bare::BareArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Printer;

/// How a signing key is replaced.
#[derive(Args, Debug, Serialize)]
pub(super) struct RotateArgs {
    /// End the current key and all earlier ones at once, for a key that may have leaked. All URLs, upload tokens and
    /// cursors signed by them become invalid.
    #[arg(long)]
    at_once: bool,
    #[command(flatten)]
    #[serde(flatten)]
    remarks: MakeArgs,
    #[command(flatten)]
    #[serde(skip)]
    bare: BareArgs,
}

impl RotateArgs {
    pub(super) fn run(&self, operator: &Operator, printer: &Printer) -> Result<Exit, Failure> {
        let made = operator.send("ops_signing_key_rotate", self);
        // The key that signs comes first.
        self.bare.tell(printer, "items.first.key_id", made)
    }
}
