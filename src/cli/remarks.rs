//! What a caller may say about a change beside the change itself: the same for every verb that changes something.

use clap::Args;
use serde_json::{Map, Value};

use super::mrs::insert;

/// Who changes something, and what it belongs to.
#[derive(Args, Debug)]
pub(super) struct ContextArgs {
    /// Who is acting; stored in the history.
    #[arg(long)]
    actor: Option<String>,
    /// A reason code of your own.
    #[arg(long, value_name = "CODE")]
    reason_code: Option<String>,
    /// A correlation id of your own.
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
}

/// The same, and why.
#[derive(Args, Debug)]
pub(super) struct RemarkArgs {
    #[command(flatten)]
    context: ContextArgs,
    /// The reason; stored in the history.
    #[arg(long)]
    reason: Option<String>,
}

/// A key under which the same request makes nothing twice.
#[derive(Args, Debug)]
pub(super) struct KeyArgs {
    /// Makes repeating the same request harmless for 24 hours: it makes nothing twice.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

/// What a verb that makes something takes: remarks, and a key.
#[derive(Args, Debug)]
pub(super) struct MakeArgs {
    #[command(flatten)]
    remarks: RemarkArgs,
    #[command(flatten)]
    key: KeyArgs,
}

impl KeyArgs {
    /// A body with the key added to it.
    pub(super) fn add(&self, mut body: Map<String, Value>) -> Map<String, Value> {
        let key = self.idempotency_key.as_deref();
        insert(&mut body, "idempotency_key", key);
        body
    }
}

impl MakeArgs {
    /// A body with what was said and the key added to it.
    pub(super) fn sign(&self, body: Map<String, Value>) -> Map<String, Value> {
        self.remarks.sign(self.key.add(body))
    }
}

impl ContextArgs {
    /// A body with what was said added to it.
    pub(super) fn sign(&self, mut body: Map<String, Value>) -> Map<String, Value> {
        insert(&mut body, "actor", self.actor.as_deref());
        insert(&mut body, "reason_code", self.reason_code.as_deref());
        insert(&mut body, "correlation_id", self.correlation_id.as_deref());
        body
    }
}

impl RemarkArgs {
    /// A body with what was said added to it.
    pub(super) fn sign(&self, body: Map<String, Value>) -> Map<String, Value> {
        let mut body = self.context.sign(body);
        insert(&mut body, "reason", self.reason.as_deref());
        body
    }
}
