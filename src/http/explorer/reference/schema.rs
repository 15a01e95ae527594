//! Schemas as people read them: the fields of an object in a table, and the type of a value in words.

use serde_json::Value;

use super::{items, members, text};
use crate::http::explorer::html::Html;

/// How many schemas may be within each other in `allOf`.
const DEPTH_MAX: usize = 4;
const SCHEMAS: &str = "#/components/schemas/";

/// A field of an object.
pub(super) struct Field<'a> {
    pub(super) name: &'a str,
    required: bool,
    pub(super) schema: &'a Value,
}

/// A row of a table of inputs or fields.
pub(super) struct Row<'a> {
    pub(super) name: &'a str,
    /// Where it is sent; `None` for fields.
    pub(super) place: Option<&'a str>,
    pub(super) required: bool,
    pub(super) schema: &'a Value,
    pub(super) description: &'a str,
}

/// The fields of an object, those of the schemas that it joins included.
pub(super) fn fields<'a>(document: &'a Value, schema: &'a Value) -> Vec<Field<'a>> {
    let mut found = Vec::new();
    collect(document, schema, &mut found, 0);
    found
}

fn collect<'a>(document: &'a Value, schema: &'a Value, found: &mut Vec<Field<'a>>, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    let pointer = schema["$ref"].as_str().and_then(|to| to.strip_prefix('#'));
    let target = pointer.and_then(|pointer| document.pointer(pointer));
    if let Some(target) = target {
        return collect(document, target, found, depth + 1);
    }
    for part in items(&schema["allOf"]) {
        collect(document, part, found, depth + 1);
    }
    let required = items(&schema["required"]);
    found.extend(members(&schema["properties"]).map(|(name, schema)| Field {
        name,
        required: required.iter().any(|known| known == name.as_str()),
        schema: plain_target(document, schema),
    }));
}

/// What a reference leads to, unless that is a type of its own.
fn plain_target<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let pointer = schema["$ref"].as_str().and_then(|to| to.strip_prefix('#'));
    let target = pointer.and_then(|pointer| document.pointer(pointer));
    match target {
        Some(target) if target["properties"].is_null() && target["allOf"].is_null() => target,
        Some(_) | None => schema,
    }
}

/// The rows of a table of fields, those that are required first.
pub(super) fn rows<'a>(fields: &[Field<'a>]) -> Vec<Row<'a>> {
    let rows = fields.iter().map(|field| Row {
        name: field.name,
        place: None,
        required: field.required,
        schema: field.schema,
        description: text(&field.schema["description"]),
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|row| !row.required);
    rows
}

/// A table of inputs or fields.
pub(super) fn table(html: &mut Html, document: &Value, rows: &[Row<'_>]) {
    if rows.is_empty() {
        html.element("p", &[], "An empty object.");
        return;
    }
    html.open("table", &[]);
    html.open("thead", &[]);
    html.open("tr", &[]);
    for title in ["Name", "Type", "Meaning"] {
        html.element("th", &[("scope", "col")], title);
    }
    html.close("tr");
    html.close("thead");
    html.open("tbody", &[]);
    for row in rows {
        html.open("tr", &[]);
        html.open("th", &[("scope", "row")]);
        html.element("code", &[], row.name);
        if let Some(place) = row.place {
            html.element("small", &[], place);
        }
        if row.required {
            html.element("small", &[], "required");
        }
        html.close("th");
        html.open("td", &[]);
        kind(html, document, row.schema);
        html.close("td");
        html.open("td", &[]);
        html.prose(row.description);
        bounds(html, row.schema);
        html.close("td");
        html.close("tr");
    }
    html.close("tbody");
    html.close("table");
}

/// The id of a named type on the page.
pub(super) fn type_id(name: &str) -> String {
    format!("type-{name}")
}

/// The type of a value, in words.
pub(super) fn kind(html: &mut Html, document: &Value, schema: &Value) {
    let schema = plain_target(document, schema);
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|to| to.strip_prefix(SCHEMAS))
    {
        html.element("a", &[("href", &format!("#{}", type_id(name)))], name);
        return;
    }
    for (several, joined) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")] {
        let all = items(&schema[several]);
        if !all.is_empty() {
            for (number, one) in all.iter().enumerate() {
                if number > 0 {
                    html.write(joined);
                }
                kind(html, document, one);
            }
            return;
        }
    }
    if let Some(constant) = schema.get("const") {
        html.prose(&format!("`{constant}`"));
        return;
    }
    let allowed = items(&schema["enum"]);
    if !allowed.is_empty() {
        let allowed: Vec<_> = allowed
            .iter()
            .map(|one| format!("`{}`", text(one)))
            .collect();
        html.prose(&allowed.join(", "));
        return;
    }
    plain(html, document, schema);
}

/// The same of a type that is said by its name.
fn plain(html: &mut Html, document: &Value, schema: &Value) {
    let types: Vec<_> = match &schema["type"] {
        Value::Array(all) => all.iter().map(text).collect(),
        one => one.as_str().into_iter().collect(),
    };
    if types.is_empty() {
        html.write("any JSON");
    }
    for (number, one) in types.iter().enumerate() {
        if number > 0 {
            html.write(" or ");
        }
        match *one {
            "array" => {
                html.write("list of ");
                kind(html, document, &schema["items"]);
            }
            "object" if schema["additionalProperties"].is_object() => {
                html.write("object, by name, of ");
                kind(html, document, &schema["additionalProperties"]);
            }
            other => html.write(other),
        }
    }
    if let Some(format) = schema["format"].as_str() {
        html.write(&format!(" ({format})"));
    }
}

/// What a value is limited to, and an example.
fn bounds(html: &mut Html, schema: &Value) {
    for (name, label) in [
        ("minLength", "Characters, at least"),
        ("maxLength", "Characters, at most"),
        ("minimum", "At least"),
        ("maximum", "At most"),
        ("maxItems", "Items, at most"),
        ("default", "Default"),
        ("example", "Example"),
    ] {
        if let Some(value) = schema.get(name) {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            html.prose(&format!(" {label}: `{value}`."));
        }
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        html.write(" Pattern: ");
        html.element("code", &[], pattern);
    }
}
