//! Arguments that several verbs take, and the bodies and queries made of them.

use clap::Args;
use serde_json::{Map, Value, json};

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

/// Which record.
#[derive(Args, Debug)]
pub(super) struct Place {
    /// The container.
    #[arg(long)]
    pub(super) container: String,
    /// The record's id.
    #[arg(long)]
    pub(super) record_id: String,
    /// The cost centre.
    #[arg(long)]
    pub(super) cccode: Option<String>,
}

/// How much of a list.
#[derive(Args, Debug)]
pub(super) struct PageArgs {
    /// Items per page: 8 by default, 1 to 256.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
    /// The next_token of the page before.
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    next_token: Option<String>,
}

impl PageArgs {
    /// A body that asks for a page of an org's list.
    pub(super) fn body(&self, orgcode: &str) -> Value {
        let mut body = about(orgcode);
        insert(&mut body, "limit", self.limit);
        insert(&mut body, "next_token", self.next_token.as_deref());
        Value::Object(body)
    }
}

impl Place {
    /// As parameters of a query.
    pub(super) fn query(&self, orgcode: &str) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        ask(&mut query, "orgcode", Some(orgcode));
        ask(&mut query, "container", Some(&self.container));
        ask(&mut query, "record_id", Some(&self.record_id));
        ask(&mut query, "cccode", self.cccode.as_deref());
        query
    }
}

/// A body about an org.
pub(super) fn about(orgcode: &str) -> Map<String, Value> {
    let mut body = Map::new();
    insert(&mut body, "orgcode", Some(orgcode));
    body
}

/// Adds a member to a body, if there is a value.
pub(super) fn insert(
    body: &mut Map<String, Value>,
    name: &str,
    value: Option<impl serde::Serialize>,
) {
    if let Some(value) = value {
        body.insert(name.to_owned(), json!(value));
    }
}

/// Adds a parameter to a query, if there is a value.
pub(super) fn ask(
    query: &mut Vec<(&'static str, String)>,
    name: &'static str,
    value: Option<&str>,
) {
    if let Some(value) = value {
        query.push((name, value.to_owned()));
    }
}

/// How a query spells a flag.
pub(super) fn flag(set: bool) -> Option<&'static str> {
    set.then_some("true")
}
