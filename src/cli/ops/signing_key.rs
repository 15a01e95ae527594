//! `g3n ops signing-key-…`: the keys that sign URLs, upload tokens and cursors.

use clap::Args;
use serde::Serialize;

use crate::cli::args::MakeArgs;

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
}
