//! Checks a call's arguments against the tool's schema, so that what is wrong is said in one way whatever the route.

use serde_json::{Map, Value};

use super::api::Refused;

/// Checks arguments: no unknown ones, all that are required, each of its type and within its limits. What else a text must be is
/// for the route to say.
pub(super) fn check(
    schema: &Map<String, Value>,
    arguments: &Map<String, Value>,
) -> Result<(), Refused> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let property = |name: &str| properties.and_then(|properties| properties.get(name));
    for (name, value) in arguments {
        let Some(schema) = property(name) else {
            let known: Vec<_> = properties
                .into_iter()
                .flat_map(Map::keys)
                .map(String::as_str)
                .collect();
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            let message = format!("There is no argument of that name; this tool takes: {known}.");
            return Err(Refused::argument(&shown(name), message));
        };
        if let Some(wrong) = misfit(schema, value) {
            return Err(Refused::argument(name, format!("{name} {wrong}.")));
        }
    }
    let required = schema.get("required").and_then(Value::as_array);
    let mut required = required.into_iter().flatten().filter_map(Value::as_str);
    match required.find(|name| !arguments.contains_key(*name)) {
        Some(name) => Err(Refused::argument(name, format!("{name} is missing."))),
        None => Ok(()),
    }
}

/// A name that a caller made up, as far as it can be shown.
fn shown(name: &str) -> String {
    let safe = name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_');
    safe.take(64).collect()
}

/// What is wrong with a value.
fn misfit(schema: &Value, value: &Value) -> Option<String> {
    let types: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    if !types.iter().any(|kind| is_of(kind, value)) {
        return Some(format!(
            "must be {}",
            types
                .iter()
                .map(|kind| words(kind))
                .collect::<Vec<_>>()
                .join(" or ")
        ));
    }
    if let Some(choices) = schema["enum"].as_array()
        && !choices.contains(value)
    {
        let choices: Vec<_> = choices.iter().filter_map(Value::as_str).collect();
        return Some(format!("must be one of {}", choices.join(", ")));
    }
    match value {
        Value::Number(number) => limits(
            schema,
            number.as_f64().unwrap_or_default(),
            ("minimum", "maximum"),
            "",
        ),
        Value::String(text) => limits(
            schema,
            count(text.chars().count()),
            ("minLength", "maxLength"),
            " characters",
        ),
        Value::Array(items) => limits(
            schema,
            count(items.len()),
            ("minItems", "maxItems"),
            " items",
        )
        .or_else(|| {
            items
                .iter()
                .find_map(|item| misfit(&schema["items"], item))
                .map(|wrong| format!("has an item that {wrong}"))
        }),
        Value::Null | Value::Bool(_) | Value::Object(_) => None,
    }
}

fn limits(schema: &Value, number: f64, (least, most): (&str, &str), unit: &str) -> Option<String> {
    if let Some(least) = schema[least].as_f64().filter(|least| number < *least) {
        return Some(format!("must be at least {least}{unit}"));
    }
    let most = schema[most].as_f64().filter(|most| number > *most);
    most.map(|most| format!("must be at most {most}{unit}"))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "lengths of arguments are far below 2^52"
)]
fn count(number: usize) -> f64 {
    number as f64
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    }
}

fn words(kind: &str) -> &'static str {
    match kind {
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "null" => "null",
        _ => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::schema::object;
    use super::*;

    #[test]
    fn what_is_wrong_with_arguments_is_said_by_name() {
        let schema = object(json!({
            "properties": {
                "limit": {"type": "integer", "minimum": 1, "maximum": 32},
                "view": {"type": "string", "enum": ["brief", "full"]},
                "tags": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
                "doom_at": {"type": ["string", "null"]},
                "payload": {},
                "id": {"type": "string", "maxLength": 2},
            },
            "required": ["id"],
        }));
        for (arguments, minor, message) in [
            (json!({}), "id", "id is missing."),
            (json!({"id": 1}), "id", "id must be a text."),
            (
                json!({"id": "abc"}),
                "id",
                "id must be at most 2 characters.",
            ),
            (
                json!({"id": "a", "limit": 33}),
                "limit",
                "limit must be at most 32.",
            ),
            (
                json!({"id": "a", "limit": 0}),
                "limit",
                "limit must be at least 1.",
            ),
            (
                json!({"id": "a", "limit": "8"}),
                "limit",
                "limit must be a whole number.",
            ),
            (
                json!({"id": "a", "view": "all"}),
                "view",
                "view must be one of brief, full.",
            ),
            (
                json!({"id": "a", "tags": ["A", 1]}),
                "tags",
                "tags has an item that must be a text.",
            ),
            (
                json!({"id": "a", "tags": ["A", "B", "C"]}),
                "tags",
                "tags must be at most 2 items.",
            ),
            (
                json!({"id": "a", "doom_at": 1}),
                "doom_at",
                "doom_at must be a text or null.",
            ),
            (
                json!({"id": "a", "<b>x": 1}),
                "bx",
                "There is no argument of that name; this tool takes: doom_at, id, limit, payload, tags, view.",
            ),
        ] {
            let refused = check(&schema, &object(arguments.clone())).expect_err(message);
            assert_eq!(
                (refused.minor.as_deref(), &*refused.message),
                (Some(minor), message)
            );
        }
        let good = json!({"id": "a", "payload": null, "doom_at": null, "limit": 32});
        assert!(check(&schema, &object(good)).is_ok());
    }
}
