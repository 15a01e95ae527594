//! Arguments that several verbs take, and the bodies and queries made of them.

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Who changes something, and what it belongs to.
#[derive(Args, Debug, Serialize)]
pub(super) struct ContextArgs {
    /// Who is acting; stored in the history.
    #[arg(long)]
    actor: Option<String>,
    /// A code of your own for the reason; stored in the history.
    #[arg(long, value_name = "CODE")]
    reason_code: Option<String>,
    /// An id of your own that ties calls together; stored in the history.
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
}

/// The same, and why.
#[derive(Args, Debug, Serialize)]
pub(super) struct RemarkArgs {
    #[command(flatten)]
    #[serde(flatten)]
    context: ContextArgs,
    /// The reason; stored in the history.
    #[arg(long)]
    reason: Option<String>,
}

/// A key under which the same request makes nothing twice.
#[derive(Args, Debug, Serialize)]
pub(super) struct KeyArgs {
    /// Makes repeating the same request harmless for 24 hours: it makes nothing twice.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

/// What a verb that makes something takes: remarks, and a key.
#[derive(Args, Debug, Serialize)]
pub(super) struct MakeArgs {
    #[command(flatten)]
    #[serde(flatten)]
    remarks: RemarkArgs,
    #[command(flatten)]
    #[serde(flatten)]
    key: KeyArgs,
}

/// Container and id of a record.
#[derive(Args, Debug, Serialize)]
pub(super) struct Place {
    /// The name of the container.
    #[arg(long)]
    pub(super) container: String,
    /// The id of the record.
    #[arg(long)]
    pub(super) record_id: String,
    /// The code of the record's cost centre, such as ABCD-1234-EFGH.
    #[arg(long, visible_alias = "cost-centre")]
    pub(super) cccode: Option<String>,
}

impl Place {
    /// As parameters of a query.
    pub(super) fn query(&self, orgcode: &str) -> Query {
        query(orgcode, self)
    }
}

/// The parameters of a query: names and texts.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Adds one more parameter.
    pub(super) fn and(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As the client takes them.
    pub(super) fn pairs(&self) -> Vec<(&str, String)> {
        let pairs = self.0.iter();
        pairs
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect()
    }
}

/// A body about an org.
pub(super) fn about(orgcode: &str) -> Map<String, Value> {
    let mut body = Map::new();
    insert(&mut body, "orgcode", Some(orgcode));
    body
}

/// A body with what was said on the command line added to it. An option without a value, a flag that is not set and an
/// empty list add nothing.
pub(super) fn with(mut body: Map<String, Value>, arguments: &impl Serialize) -> Map<String, Value> {
    if let Value::Object(members) = json!(arguments) {
        let said = |value: &Value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::Array(items) => !items.is_empty(),
            Value::Bool(true) | Value::Number(_) | Value::String(_) | Value::Object(_) => true,
        };
        body.extend(members.into_iter().filter(|(_, value)| said(value)));
    }
    body
}

/// Parameters of a query about an org, with what was said on the command line.
pub(super) fn query(orgcode: &str, arguments: &impl Serialize) -> Query {
    parameters(&with(about(orgcode), arguments))
}

/// What was said on the command line, by name.
pub(super) type Said = Map<String, Value>;

/// What was said on the command line as parameters of a query.
pub(super) fn parameters(arguments: &impl Serialize) -> Query {
    named(&with(Map::new(), arguments))
}

/// The same of what was put together already.
pub(super) fn named(said: &Said) -> Query {
    let said = said.clone().into_iter();
    let text = |value| match value {
        Value::String(text) => text,
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_)) => other.to_string(),
    };
    Query(said.map(|(name, value)| (name, text(value))).collect())
}

/// Adds a member to a body, if there is a value.
pub(super) fn insert(body: &mut Map<String, Value>, name: &str, value: Option<impl Serialize>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), json!(value));
    }
}
