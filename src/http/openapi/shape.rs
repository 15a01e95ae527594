//! The shape that linters and generators of clients expect of the OpenAPI document: ids, described tags, a server, and
//! components instead of copies.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::http::auth::access::{Access, GRANTS};

/// The tags of operations, each with its description.
pub(super) const TAGS: &[(&str, &str)] = &[
    (
        "mrs",
        "Records: create, read, list, tag, expire and doom them.",
    ),
    (
        "content",
        "Content by presigned URLs, which need no other credential.",
    ),
    ("ops", "Service status and maintenance windows."),
    (
        "usm",
        "Sessions of people, service accounts and their API keys.",
    ),
    ("ofm", "Orgs, their members, and their usage."),
    ("uas", "Users."),
    ("utl", "Offboarding of orgs, and their exports."),
    (
        "system",
        "The server itself: health, callers, this document.",
    ),
];

/// Names of answers by status, of those that several operations have in common.
const STATUS_NAMES: &[(&str, &str)] = &[
    ("200", "Ok"),
    ("304", "NotModified"),
    ("400", "BadRequest"),
    ("401", "Unauthorized"),
    ("403", "Forbidden"),
    ("404", "NotFound"),
    ("405", "MethodNotAllowed"),
    ("409", "Conflict"),
    ("413", "ContentTooLarge"),
    ("416", "RangeNotSatisfiable"),
    ("428", "PreconditionRequired"),
    ("429", "TooManyRequests"),
    ("500", "InternalError"),
    ("503", "Unavailable"),
];
/// How often a parameter, an answer or a property must be there to become a component.
const SHARED_TIMES: usize = 2;
/// Shortest property that becomes a component, in lines of the document: a reference takes three.
const SHARED_LINES: usize = 5;

/// The prefix of the names of good answers; the type of their `data` follows it.
const GOOD: &str = "Good_";
/// How deep objects may be nested at most, before all are components.
const NESTED_MAX: usize = 8;

/// Verbs that a path's last part may be: an operation by GET then needs no other.
const VERBS: &[&str] = &["get", "list", "status"];

/// Gives a document its shape, once every operation is described, with a text about the server and the tags of operations.
pub(super) fn finish(document: &mut Value, (server, tags): (&str, &[(&str, &str)])) {
    document["servers"] = json!([{"url": ".", "description": server}]);
    document["info"]["contact"] = json!({"name": "The maintainers of Metarecord; SECURITY.md of its source says how to reach them"});
    document["tags"] = tags
        .iter()
        .map(|(name, description)| json!({"name": name, "description": description}))
        .collect();
    name_answers(document);
    name_data(document);
    refer_to_components(document);
    join_envelopes(document);
    share_responses(document);
    share_parameters(document);
    share_properties(document);
    drop_unused(document);
}

/// An operation's id, such as `mrsRecordPut`: its path, and what it does where a path has several. `shared` says so.
pub(super) fn operation_id(method: &str, path: &str, shared: bool) -> String {
    let parts = path.split('/').filter(|part| !part.starts_with('{'));
    let words: Vec<_> = parts
        .flat_map(|part| part.split(['_', '-', '.']))
        .filter(|word| !word.is_empty())
        .collect();
    let last = words.last().copied().unwrap_or_default();
    let suffix = match (method, path) {
        _ if !shared => "",
        ("post", "/mrs/record") => "Put",
        ("get", _) if VERBS.contains(&last) => "",
        ("post", _) if VERBS.contains(&last) => "ByPost",
        ("get", _) => "Get",
        ("put", _) => "Put",
        ("post", _) => "Post",
        ("delete", _) => "Delete",
        _ => method,
    };
    let mut id = String::new();
    for (number, word) in words.iter().enumerate() {
        match number {
            0 => id.push_str(word),
            _ => id.push_str(&capitalized(word)),
        }
    }
    id + suffix
}

/// The sentence that says who may call an operation.
pub(super) fn who_may(path: &str, access: Access) -> String {
    match access {
        Access::Public if path.starts_with("/content/") => {
            "The URL is the credential: it is valid for one object, one method and a limited time."
                .to_owned()
        }
        Access::Public => "Needs no credential.".to_owned(),
        Access::Authenticated => {
            "Needs a session, an API key or a token of an identity provider.".to_owned()
        }
        Access::UserSession => "Needs a session: a person's, and no program's.".to_owned(),
        Access::Org(right) => {
            let roles: Vec<_> = GRANTS
                .iter()
                .filter(|(_, rights)| rights.contains(&right))
                .map(|(role, _)| format!("`{}`", role.as_str()))
                .collect();
            format!("Roles: {}.", roles.join(", "))
        }
    }
}

/// A schema of bytes, which are not JSON.
pub(super) fn binary() -> Value {
    json!({"type": "string", "format": "binary"})
}

/// Every operation with its method and path.
pub(super) fn each_operation(document: &mut Value, mut each: impl FnMut(&str, &str, &mut Value)) {
    let paths = document["paths"].as_object_mut();
    for (path, methods) in paths.into_iter().flatten() {
        for (method, operation) in methods.as_object_mut().into_iter().flatten() {
            each(method, path, operation);
        }
    }
}

/// Moves a good answer that is described inline to a component, named by its operation.
fn name_answers(document: &mut Value) {
    let known = known_objects(document);
    let mut named = Map::new();
    each_operation(document, |_, _, operation| {
        let id = operation["operationId"].as_str().unwrap_or_default();
        let name = format!("{GOOD}{}", capitalized(id));
        let schema = operation.pointer_mut("/responses/200/content/application~1json/schema");
        if let Some(schema) = schema
            && let Some(data) = schema.pointer_mut("/properties/data")
        {
            if let Some(there) = known.get(&without_description(data)) {
                *data = reference("schemas", there);
            }
            named.insert(name.clone(), schema.take());
            *schema = reference("schemas", &name);
        }
    });
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        schemas.extend(named);
    }
}

/// What an answer's `data` is becomes a component under the name that its type has in `Good_NAME`.
fn name_data(document: &mut Value) {
    let mut named = Map::new();
    let schemas = document["components"]["schemas"].as_object_mut();
    for (name, schema) in schemas.into_iter().flatten() {
        let data = schema.pointer_mut("/properties/data");
        let (Some(name), Some(data)) = (name.strip_prefix(GOOD), data) else {
            continue;
        };
        if data.get("$ref").is_none() {
            named.insert(name.to_owned(), data.take());
            *data = reference("schemas", name);
        }
    }
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        for (name, schema) in named {
            schemas.entry(name).or_insert(schema);
        }
    }
}

/// Objects within other schemas that are what a component is become references to it.
fn refer_to_components(document: &mut Value) {
    for _ in 0..NESTED_MAX {
        let known = known_objects(document);
        let mut changed = false;
        let schemas = document["components"]["schemas"].as_object_mut();
        for schema in schemas.into_iter().flat_map(Map::values_mut) {
            let inner: Vec<_> = match schema {
                Value::Object(fields) => fields.values_mut().collect(),
                _ => Vec::new(),
            };
            for value in inner {
                changed |= refer(value, &known);
            }
        }
        if !changed {
            return;
        }
    }
}

/// The components that are objects with fields, by what they are apart from their description.
fn known_objects(document: &Value) -> BTreeMap<String, String> {
    let schemas = document["components"]["schemas"].as_object();
    let objects = schemas.into_iter().flatten();
    let objects = objects.filter(|(_, schema)| is_object(schema));
    objects
        .map(|(name, schema)| (without_description(schema), name.clone()))
        .collect()
}

/// Returns whether anything was replaced.
fn refer(value: &mut Value, known: &BTreeMap<String, String>) -> bool {
    if is_object(value)
        && let Some(name) = known.get(&without_description(value))
    {
        *value = reference("schemas", name);
        return true;
    }
    let inner: Vec<_> = match value {
        Value::Object(fields) => fields.values_mut().collect(),
        Value::Array(items) => items.iter_mut().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    let replaced = inner.into_iter().map(|inner| refer(inner, known));
    replaced.fold(false, |any, one| any | one)
}

/// A schema of an object with fields of its own.
fn is_object(schema: &Value) -> bool {
    let fields = schema["properties"].as_object();
    schema["type"] == "object" && fields.is_some_and(|fields| fields.len() >= 2)
}

fn without_description(schema: &Value) -> String {
    let mut schema = schema.clone();
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("description");
    }
    schema.to_string()
}

fn reference(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

/// Makes a component of what all good answers have in common; each then adds what its `data` is.
fn join_envelopes(document: &mut Value) {
    let mut envelope = None;
    let schemas = document["components"]["schemas"].as_object_mut();
    for (name, schema) in schemas.into_iter().flatten() {
        let data = schema["properties"]["data"].clone();
        if !name.starts_with(GOOD) || data.is_null() {
            continue;
        }
        let found = schema.take();
        *schema = json!({"allOf": [
            reference("schemas", "Envelope"),
            {"type": "object", "required": ["data"], "properties": {"data": data}},
        ]});
        envelope = Some(found);
    }
    if let Some(mut envelope) = envelope {
        if let Some(properties) = envelope["properties"].as_object_mut() {
            properties.remove("data");
        }
        if let Some(required) = envelope["required"].as_array_mut() {
            required.retain(|name| name != "data");
        }
        document["components"]["schemas"]["Envelope"] = envelope;
    }
}

/// How often equal values are there, by a text of them, in the order in which they come.
#[derive(Default)]
struct Counted(BTreeMap<String, usize>);

impl Counted {
    fn add(&mut self, value: &Value) {
        *self.0.entry(value.to_string()).or_default() += 1;
    }

    fn is_shared(&self, value: &Value) -> bool {
        self.0.get(&value.to_string()).copied().unwrap_or_default() >= SHARED_TIMES
    }
}

/// Components of one kind that values were moved to.
struct Moved {
    kind: &'static str,
    names: BTreeMap<String, String>,
    components: Map<String, Value>,
}

impl Moved {
    fn into_kind(document: &mut Value, kind: &'static str) -> Self {
        let components = match document["components"][kind].take() {
            Value::Object(there) => there,
            _ => Map::new(),
        };
        Self {
            kind,
            names: BTreeMap::new(),
            components,
        }
    }

    /// Puts a reference in a value's place; equal values get the same one. A name that is taken gets a number.
    fn take(&mut self, value: &mut Value, wanted: &str) {
        let text = value.to_string();
        let name = match self.names.get(&text) {
            Some(name) => name.clone(),
            None => {
                let numbers = std::iter::once(wanted.to_owned())
                    .chain((2_u32..).map(|number| format!("{wanted}{number}")));
                let free = |name: &String| !self.components.contains_key(name);
                let name = numbers.into_iter().find(free).unwrap_or_default();
                self.components.insert(name.clone(), value.clone());
                self.names.insert(text, name.clone());
                name
            }
        };
        *value = reference(self.kind, &name);
    }

    fn keep(self, document: &mut Value) {
        document["components"][self.kind] = Value::Object(self.components);
    }
}

fn share_responses(document: &mut Value) {
    let mut counted = Counted::default();
    each_operation(document, |_, _, operation| {
        let responses = operation["responses"].as_object();
        let all = responses.into_iter().flat_map(Map::values);
        all.for_each(|response| counted.add(response));
    });
    let mut moved = Moved::into_kind(document, "responses");
    each_operation(document, |_, _, operation| {
        let responses = operation["responses"].as_object_mut();
        for (status, response) in responses.into_iter().flatten() {
            if counted.is_shared(response) {
                let named = STATUS_NAMES.iter().find(|(known, _)| known == status);
                let name = named.map_or("Answer", |(_, name)| name);
                moved.take(response, name);
            }
        }
    });
    moved.keep(document);
}

fn share_parameters(document: &mut Value) {
    let mut counted = Counted::default();
    each_operation(document, |_, _, operation| {
        let all = operation["parameters"].as_array().into_iter().flatten();
        all.for_each(|parameter| counted.add(parameter));
    });
    let mut moved = Moved::into_kind(document, "parameters");
    each_operation(document, |_, _, operation| {
        let all = operation
            .get_mut("parameters")
            .and_then(Value::as_array_mut);
        for parameter in all.into_iter().flatten() {
            if counted.is_shared(parameter) {
                let name = pascal(parameter["name"].as_str().unwrap_or_default());
                moved.take(parameter, &name);
            }
        }
    });
    moved.keep(document);
}

/// Properties that many requests have in common, such as those that say who acts and why.
fn share_properties(document: &mut Value) {
    let long = |property: &Value| {
        let text = serde_json::to_string_pretty(property).unwrap_or_default();
        property.get("$ref").is_none() && text.lines().count() >= SHARED_LINES
    };
    let mut counted = Counted::default();
    let schemas = document["components"]["schemas"].as_object();
    for schema in schemas.into_iter().flat_map(Map::values) {
        let properties = schema["properties"].as_object();
        let all = properties.into_iter().flat_map(Map::values);
        all.filter(|property| long(property))
            .for_each(|property| counted.add(property));
    }
    let mut moved = Moved::into_kind(document, "schemas");
    let mut schemas = moved.components.clone();
    for schema in schemas.values_mut() {
        let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
            continue;
        };
        for (name, property) in properties {
            if long(property) && counted.is_shared(property) {
                moved.take(property, &format!("{}Field", pascal(name)));
            }
        }
    }
    moved.components.extend(schemas);
    moved.keep(document);
}

/// Kinds of components that are left out where nothing refers to them.
const DROPPED_KINDS: &[&str] = &["headers", "parameters", "responses", "schemas"];

/// Components that nothing refers to are left out, and those that only they referred to.
pub(super) fn drop_unused(document: &mut Value) {
    loop {
        let text = document.to_string();
        let mut dropped = false;
        for kind in DROPPED_KINDS {
            if let Some(components) = document["components"][kind].as_object_mut() {
                let before = components.len();
                components
                    .retain(|name, _| text.contains(&format!("\"#/components/{kind}/{name}\"")));
                dropped |= components.len() < before;
            }
        }
        if !dropped {
            return;
        }
    }
}

fn pascal(name: &str) -> String {
    name.split(['_', '-', '.']).map(capitalized).collect()
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}
