//! Writes `PROTOCOL.md` of each service from the table of tools.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::audience::Surface;
use super::table::Needs;
use super::{Tool, Toolbox};

/// A service with a document of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Records: what tenants have at `/mcp` of the gateway.
    Mrs,
    /// Operators: what they have at `/mcp` of their address, and over `g3n mcp --operator`.
    Ops,
}

impl Service {
    /// Both, in the order of their names.
    pub const ALL: [Self; 2] = [Self::Mrs, Self::Ops];

    /// The name in paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mrs => "mrs",
            Self::Ops => "ops",
        }
    }

    fn surface(self) -> Surface {
        match self {
            Self::Mrs => Surface::Tenant,
            Self::Ops => Surface::Operator,
        }
    }

    fn beginning(self) -> &'static str {
        match self {
            Self::Mrs => include_str!("protocol/mrs.md"),
            Self::Ops => include_str!("protocol/ops.md"),
        }
    }
}

/// The document of a service.
pub(super) fn document(toolbox: &Toolbox, service: Service) -> String {
    let mut text = service.beginning().to_owned();
    text.push_str(
        "\n## Tools\n\n| tool | mode | hints | needs | maps to |\n|---|---|---|---|---|\n",
    );
    let tools = toolbox.all().iter();
    let tools: Vec<_> = tools
        .filter(|tool| tool.spec().surface == service.surface())
        .collect();
    for tool in &tools {
        // Writing to a string cannot fail.
        let _: std::fmt::Result = writeln!(
            text,
            "| [`{0}`](#{0}) | {1} | {2} | {3} | {4} |",
            tool.spec().name,
            mode(tool),
            hints(tool),
            needs(tool.spec().needs),
            routes(tool),
        );
    }
    for tool in tools {
        describe(&mut text, tool);
    }
    text
}

fn describe(text: &mut String, tool: &Tool) {
    let _: std::fmt::Result = write!(
        text,
        "\n### {}\n\n{}\n",
        tool.spec().name,
        tool.spec().words
    );
    let properties = tool
        .input_schema
        .get("properties")
        .and_then(Value::as_object);
    let properties = properties.filter(|properties| !properties.is_empty());
    let Some(properties) = properties else {
        text.push_str("\nTakes no arguments.\n");
        return;
    };
    text.push_str("\n| argument | is | |\n|---|---|---|\n");
    let required = tool.input_schema.get("required").and_then(Value::as_array);
    for (name, schema) in properties {
        let must = required.is_some_and(|required| required.iter().any(|field| field == name));
        let _: std::fmt::Result = writeln!(
            text,
            "| `{name}`{} | {} | {} |",
            if must { ", required" } else { "" },
            kind(schema),
            schema["description"].as_str().unwrap_or_default(),
        );
    }
}

fn mode(tool: &Tool) -> String {
    let spec = tool.spec();
    let mut mode = if spec.hints.read_only {
        "read"
    } else {
        "write"
    }
    .to_owned();
    if spec.needs_code {
        mode.push_str(", stdio alone");
    }
    if spec.gives_urls {
        mode.push_str(", with `mcp.urls`");
    }
    mode
}

fn hints(tool: &Tool) -> String {
    let hints = tool.spec().hints;
    let named = [
        (hints.read_only, "readOnly"),
        (hints.destructive, "destructive"),
        (hints.idempotent, "idempotent"),
        (hints.open_world, "openWorld"),
    ];
    let named = named
        .into_iter()
        .filter(|(is, _)| *is)
        .map(|(_, name)| name);
    named.collect::<Vec<_>>().join(", ")
}

fn needs(needs: Needs) -> String {
    match needs {
        Needs::Public => "nothing".to_owned(),
        Needs::Authenticated => "a credential".to_owned(),
        Needs::Read => "to read records".to_owned(),
        Needs::Write => "to change records".to_owned(),
        Needs::Manage => "to be an owner".to_owned(),
        Needs::Scopes(scopes) => {
            let scopes = scopes
                .iter()
                .map(|scope| format!("scope `{}`", scope.as_str()));
            scopes.collect::<Vec<_>>().join(" and ")
        }
    }
}

fn routes(tool: &Tool) -> String {
    let routes = tool.spec().routes.iter().map(|route| format!("`{route}`"));
    routes.collect::<Vec<_>>().join(", ")
}

/// The kind of an argument, in words of JSON Schema.
fn kind(schema: &Value) -> String {
    let Some(schema) = schema.as_object() else {
        return String::new();
    };
    let mut parts = vec![types(schema)];
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        let choices = choices.iter().filter_map(Value::as_str);
        parts = vec![
            choices
                .map(|choice| format!("`{choice}`"))
                .collect::<Vec<_>>()
                .join(", "),
        ];
    }
    for name in ["minimum", "maximum", "maxLength", "maxItems", "default"] {
        if let Some(value) = schema.get(name) {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            parts.push(format!("{name} {value}"));
        }
    }
    if let Some(format) = schema.get("format").and_then(Value::as_str)
        && format != "int64"
    {
        parts.push(format.to_owned());
    }
    parts.join(", ")
}

fn types(schema: &Map<String, Value>) -> String {
    match schema.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => {
            let kinds = kinds.iter().filter_map(Value::as_str);
            kinds.collect::<Vec<_>>().join(" or ")
        }
        Some(_) | None => "any JSON".to_owned(),
    }
}
