//! What a caller may say about a change beside the change itself.

use clap::Args;
use serde_json::{Map, Value};

use super::mrs::insert;

/// Who changes something, and why.
#[derive(Args, Debug)]
pub(super) struct RemarkArgs {
    /// Who is acting, for the history.
    #[arg(long)]
    actor: Option<String>,
    /// Why, for the history.
    #[arg(long)]
    reason: Option<String>,
    /// Why, as a code of your own.
    #[arg(long, value_name = "CODE")]
    reason_code: Option<String>,
    /// What ties it to your other work.
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
}

impl RemarkArgs {
    /// A body with what was said added to it.
    pub(super) fn sign(&self, mut body: Map<String, Value>) -> Map<String, Value> {
        insert(&mut body, "actor", self.actor.as_deref());
        insert(&mut body, "reason", self.reason.as_deref());
        insert(&mut body, "reason_code", self.reason_code.as_deref());
        insert(&mut body, "correlation_id", self.correlation_id.as_deref());
        body
    }
}
