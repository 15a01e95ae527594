//! Input schemas of tools: taken from the OpenAPI document where a route has the field, so that they cannot drift from it.

use serde_json::{Map, Value, json};

use super::table::{Field, From, Spec};

/// The members of a route's schema that a tool's has too.
const KEPT: &[&str] = &[
    "type",
    "format",
    "pattern",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "items",
];

/// Why the tools cannot be described.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolboxError {
    /// A tool takes a field from a route that does not have it.
    #[error("the tool {tool} takes {field} from {route}, which has no such field")]
    NoSuchField {
        /// The name of the tool.
        tool: &'static str,
        /// The field that is missing there.
        field: &'static str,
        /// The route, as method and path.
        route: &'static str,
    },
}

/// The schema of a tool's arguments: an object that takes these and no others.
pub(super) fn input(
    spec: &'static Spec,
    openapi: &Value,
) -> Result<Map<String, Value>, ToolboxError> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in spec.fields {
        let mut schema = match field.from {
            From::Route(route, name) => {
                of_route(openapi, route, name).ok_or(ToolboxError::NoSuchField {
                    tool: spec.name,
                    field: field.name,
                    route,
                })?
            }
            From::Own(schema) => object(schema()),
        };
        if !field.words.is_empty() {
            schema.insert("description".to_owned(), field.words.into());
        }
        if field.required {
            required.push(field.name);
        }
        properties.insert(field.name.to_owned(), Value::Object(schema));
    }
    let mut schema = object(json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    }));
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    Ok(schema)
}

/// The members of an object that is written out.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// A field of a route: a parameter of its query, or a property of its body.
fn of_route(openapi: &Value, route: &str, name: &str) -> Option<Map<String, Value>> {
    let (method, path) = route.split_once(' ')?;
    let operation = &openapi["paths"][path][method.to_ascii_lowercase()];
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let parameter = parameters
        .map(|parameter| followed(openapi, parameter))
        .find(|parameter| parameter["in"] == "query" && parameter["name"] == name);
    let schema = match parameter {
        Some(parameter) => &parameter["schema"],
        None => {
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            &followed(openapi, body)["properties"][name]
        }
    };
    let schema = followed(openapi, schema);
    let mut kept = Map::new();
    for name in KEPT {
        if let Some(value) = schema.get(*name) {
            kept.insert((*name).to_owned(), value.clone());
        }
    }
    // "May be null" there means that the field may be absent, which an argument may be anyway.
    if let Some([kind, Value::String(null)]) = kept
        .get("type")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        && null == "null"
    {
        let kind = kind.clone();
        kept.insert("type".to_owned(), kind);
    }
    (schema.is_object()).then_some(kept)
}

/// What a value refers to, when it does.
fn followed<'a>(openapi: &'a Value, value: &'a Value) -> &'a Value {
    let reference = value["$ref"].as_str();
    let pointer = reference.and_then(|reference| reference.strip_prefix('#'));
    pointer.map_or(value, |pointer| {
        openapi.pointer(pointer).unwrap_or(&Value::Null)
    })
}

impl Field {
    /// A field that a route has.
    pub(super) const fn of(route: &'static str, name: &'static str) -> Self {
        Self {
            name,
            from: From::Route(route, name),
            words: "",
            required: false,
        }
    }

    /// The same under another name.
    pub(super) const fn named(
        name: &'static str,
        route: &'static str,
        field: &'static str,
    ) -> Self {
        Self {
            name,
            ..Self::of(route, field)
        }
    }

    /// A field of the tool alone.
    pub(super) const fn own(name: &'static str, schema: fn() -> Value) -> Self {
        Self {
            name,
            from: From::Own(schema),
            words: "",
            required: false,
        }
    }

    /// The same with words of its own.
    pub(super) const fn words(self, words: &'static str) -> Self {
        Self { words, ..self }
    }

    /// The same, which must be given.
    pub(super) const fn required(self) -> Self {
        Self {
            required: true,
            ..self
        }
    }
}
