//! The OpenAPI document: equal to the committed one, and complete.

mod answers;

use std::collections::BTreeSet;
use std::path::Path;

use metarecord::domain::ErrorTag;
use metarecord::http::auth::access::{Access, Right};
use metarecord::http::routes::{ROUTES, STREAMED};
use metarecord::http::{openapi, operator};
use serde_json::{Value, json};

use crate::support::{Got, Server, agent, got};

/// Tags that only the operators' address answers with.
const OPERATORS_ONLY: &[ErrorTag] = &[
    ErrorTag::ConfirmationPhraseMismatch,
    ErrorTag::SecretCodeMismatch,
    ErrorTag::VacuumMutexLocked,
    ErrorTag::MaintenanceAlreadyActive,
];

/// Errors of any request, which the document names once.
const ANY_REQUEST: &[ErrorTag] = &[
    ErrorTag::RequestTimeout,
    ErrorTag::UriTooLong,
    ErrorTag::HeadTooLarge,
];

/// Longest list that is printed on one line, in characters.
const LINE_CHARS_MAX: usize = 100;

fn document() -> Value {
    openapi::document(ROUTES, STREAMED).expect("the document can be made")
}

/// JSON for people: a field of its own line each, but references and short lists on one.
fn printed(value: &Value, indent: usize) -> String {
    let plain = |inner: &Value| !inner.is_array() && !inner.is_object();
    let flat = value.to_string();
    let short = match value {
        Value::Array(items) => items.iter().all(plain) && flat.len() + indent <= LINE_CHARS_MAX,
        Value::Object(fields) => fields.len() <= 1 && fields.values().all(plain),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    };
    let pad = " ".repeat(indent + 2);
    let lines: Vec<_> = match value {
        _ if short => return flat,
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| format!("{pad}{}: {}", json!(name), printed(field, indent + 2)))
            .collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| format!("{pad}{}", printed(item, indent + 2)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return flat,
    };
    let (open, close) = if value.is_array() {
        ('[', ']')
    } else {
        ('{', '}')
    };
    format!(
        "{open}\n{}\n{}{close}",
        lines.join(",\n"),
        " ".repeat(indent)
    )
}

#[test]
fn the_committed_document_is_what_the_server_gives() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let made = format!("{}\n", printed(&document(), 0));
    if std::env::var_os("METARECORD_RENEW").is_some() {
        std::fs::write(&path, &made).expect("the document can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == made,
        "docs/openapi.json is old; METARECORD_RENEW=1 cargo test openapi writes it anew"
    );
    let server = Server::start();
    let served = server.get("/openapi.json", &[]);
    assert_eq!((served.status, served.json()), (200, document()));
}

#[test]
fn the_committed_operators_document_is_what_operators_get() {
    let document = operator::openapi::document().expect("the document can be made");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi-operator.json");
    let made = format!("{}\n", printed(&document, 0));
    if std::env::var_os("METARECORD_RENEW").is_some() {
        std::fs::write(&path, &made).expect("the document can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == made,
        "docs/openapi-operator.json is old; METARECORD_RENEW=1 cargo test openapi renews it"
    );
    let server = Server::start();
    let get = |path: &str, headers: &[(&str, &str)]| {
        server.get_url(&format!("{}{path}", server.operator_url), headers)
    };
    let bearer = format!("Bearer {}", server.operator_token);
    let token = [("authorization", bearer.as_str())];
    let served = get("/openapi.json", &token);
    assert_eq!((served.status, served.json()), (200, document));
    let page = get("/docs/reference", &token);
    assert!(
        page.status == 200
            && String::from_utf8_lossy(&page.bytes).contains("/invoke/ops_vacuum_org")
    );
    // The pages' own files tell nothing of functions; what does is for operators.
    for (path, status) in [
        ("/openapi.json", 403),
        ("/docs/reference", 403),
        ("/docs", 200),
    ] {
        let got = get(path, &[]);
        assert_eq!(got.status, status, "{path}");
        assert!(
            !String::from_utf8_lossy(&got.bytes).contains("ops_vacuum"),
            "{path}"
        );
        let gateway = server.get_url(&format!("{}{path}", server.base_url), &[]);
        assert!(
            !String::from_utf8_lossy(&gateway.bytes).contains("ops_vacuum"),
            "{path}"
        );
    }
    for path in metarecord::http::explorer::assets::paths() {
        assert_eq!(get(&path, &[]).status, 200, "{path}");
    }
    let posted = server.invoke("../docs", &json!({}));
    assert_ne!(posted.status, 200);
}

/// What the document says a function requires is what it refuses to do without, and it takes what is said.
#[test]
fn operator_functions_take_the_fields_that_the_document_names() {
    let document = operator::openapi::document().expect("the document can be made");
    let server = Server::start();
    let mut count = 0;
    for (_, path, operation) in operations(&document) {
        let name = path.strip_prefix("/invoke/").expect("a function");
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let schema = resolved(&document, schema);
        let required: Vec<_> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .collect();
        // An unknown field is refused by its name, ahead of anything else.
        let unknown = server.invoke(name, &json!({"no_such_field": 1}));
        assert_eq!(
            unknown.refusal(),
            (400, "invalid-input".to_owned(), "no_such_field".to_owned()),
            "{name}"
        );
        let fields = schema["properties"].as_object().into_iter().flatten();
        for (field, of) in fields {
            // A wrong type is refused as that: the field itself is known.
            let of = resolved(&document, of);
            let any = of["type"].is_null() && of["oneOf"].is_null();
            if !any {
                let wrong = server.invoke(name, &json!({field.as_str(): [[]]}));
                let message = wrong.json()["error"]["major"]["message"]["en_US"].to_string();
                assert!(
                    wrong.status == 400 && !message.contains("no field"),
                    "{name} {field}: {message}"
                );
            }
            count += 1;
        }
        if !required.is_empty() {
            let without = server.invoke(name, &json!({}));
            assert_ne!(without.status, 200, "{name} does not need {required:?}");
        }
    }
    assert!(count > 150, "{count}");
}

#[test]
fn every_route_is_in_the_document_and_nothing_else() {
    let document = document();
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1."))
    );
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            described.insert((method.to_uppercase(), path.clone()));
        }
    }
    let routes = ROUTES.iter().map(metarecord::http::route::Route::operation);
    let mut routed = BTreeSet::new();
    for operation in routes.chain(STREAMED.iter().copied()) {
        let method = operation.method.to_string();
        let methods = (operation.described.methods)();
        let methods: Vec<_> = methods.iter().map(|method| json!(method)).collect();
        assert_eq!(
            methods,
            [json!(method.to_lowercase())],
            "{}",
            operation.path
        );
        assert!(routed.insert((method, operation.path.to_owned())));
    }
    assert_eq!(described, routed);
}

#[test]
fn every_tag_is_described_under_its_own_status() {
    let document = document();
    let mut described = BTreeSet::new();
    for methods in document["paths"].as_object().expect("paths").values() {
        for operation in methods.as_object().expect("methods").values() {
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let tags = &resolved(&document, response)["x-error-tags"];
                for tag in tags.as_array().into_iter().flatten() {
                    described.insert((status.clone(), tag.as_str().expect("a tag").to_owned()));
                }
            }
        }
    }
    let text = document["info"]["description"].as_str().expect("a text");
    for tag in ErrorTag::ALL
        .iter()
        .filter(|tag| !OPERATORS_ONLY.contains(tag))
    {
        if ANY_REQUEST.contains(tag) {
            let wanted = format!("{} `{}`", tag.status(), tag.as_str());
            assert!(text.contains(&wanted), "{wanted} is not described");
            continue;
        }
        let wanted = (tag.status().to_string(), tag.as_str().to_owned());
        assert!(described.contains(&wanted), "{wanted:?} is not described");
    }
    assert!(described.contains(&("413".to_owned(), "too-large".to_owned())));
}

#[test]
fn paged_operations_document_wrong_tokens() {
    let document = document();
    let mut found = Vec::new();
    for (method, path, operation) in operations(&document) {
        let mut takes_one = false;
        let mut see = |_: &str, value: &Value| {
            let schema = resolved(&document, value);
            takes_one |=
                schema["name"] == "next_token" || !schema["properties"]["next_token"].is_null();
        };
        each(&operation["parameters"], "", &mut see);
        each(&operation["requestBody"], "", &mut see);
        if takes_one {
            let tags = &resolved(&document, &operation["responses"]["400"])["x-error-tags"];
            let tags = tags.as_array().expect("tags");
            assert!(
                tags.contains(&"invalid-next-token".into()),
                "{method} {path}: {tags:?}"
            );
            found.push(path);
        }
    }
    assert!(found.len() >= 8, "{found:?}");
}

/// What a reference in the document leads to, or what is there itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(place) => {
            let pointer = place.strip_prefix('#').expect("within the document");
            document.pointer(pointer).expect("it leads somewhere")
        }
        None => value,
    }
}

/// Every value within a value, itself included, with its place.
fn each(value: &Value, place: &str, see: &mut impl FnMut(&str, &Value)) {
    see(place, value);
    match value {
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                each(item, &format!("{place}/{number}"), see);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                each(field, &format!("{place}/{name}"), see);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The rules of redocly's and spectral's recommended sets that a change is likely to break; `make openapi-check` has them all.
#[test]
fn the_documents_keep_the_rules_of_linters() {
    keeps_the_rules(&document(), &["mrsRecordPut", "mrsRecordGet"]);
    let operators = operator::openapi::document().expect("the document can be made");
    keeps_the_rules(&operators, &["opsVacuumOrg", "jobsList"]);
}

fn keeps_the_rules(document: &Value, some: &[&str]) {
    let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    assert!(text(&document["info"]["contact"]["name"]));
    assert!(text(&document["servers"][0]["url"]));
    let mut tags = BTreeSet::new();
    for tag in document["tags"].as_array().expect("tags") {
        assert!(text(&tag["description"]), "{tag}");
        assert!(tags.insert(tag["name"].clone().to_string()), "{tag} twice");
    }
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(document) {
        let id = operation["operationId"].as_str().expect("an id");
        assert!(ids.insert(id.to_owned()), "{id} twice");
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        for part in ["summary", "description"] {
            assert!(text(&operation[part]), "{method} {path} has no {part}");
        }
        for tag in operation["tags"].as_array().expect("tags") {
            assert!(tags.contains(&tag.to_string()), "{tag} is not described");
        }
        let statuses = operation["responses"]
            .as_object()
            .expect("responses")
            .keys();
        let classes: BTreeSet<_> = statuses.map(|status| &status[..1]).collect();
        assert!(
            classes.contains("2") && classes.contains("4"),
            "{method} {path}"
        );
        for part in path.split('/').filter_map(|part| part.strip_prefix('{')) {
            let name = part.trim_end_matches('}');
            let parameters = operation["parameters"].as_array().expect("parameters");
            let mut named = parameters.iter().map(|one| resolved(document, one));
            assert!(named.any(|one| one["in"] == "path" && one["name"] == name));
        }
    }
    assert!(some.iter().all(|id| ids.contains(*id)), "{ids:?}");
    let mut used = BTreeSet::new();
    each(document, "", &mut |place, value| {
        if let Some(to) = value["$ref"].as_str() {
            assert!(resolved(document, value).is_object(), "{place}: {to}");
            used.insert(to.to_owned());
        }
        if let Some(all) = value["enum"].as_array() {
            let different: BTreeSet<_> = all.iter().map(Value::to_string).collect();
            assert_eq!(different.len(), all.len(), "{place} has duplicates");
        }
    });
    for kind in ["headers", "parameters", "responses", "schemas"] {
        let components = document["components"][kind].as_object();
        for name in components.into_iter().flatten().map(|(name, _)| name) {
            let to = format!("#/components/{kind}/{name}");
            assert!(used.contains(&to), "{to} is not used");
        }
    }
}

/// Clients are generated from it, by name: what an answer is has one, and bytes are no list of numbers.
#[test]
fn every_example_of_a_request_is_taken_by_a_server() {
    let server = Server::start();
    for example in openapi::examples::examples() {
        let (method, path) = (example.method, example.path);
        let answer = match (method, &example.request) {
            ("post", Some(body)) if path == "/usm/session/create" => {
                let facts = std::fs::read(server.dir.join("dev.json")).expect("facts");
                let facts: Value = serde_json::from_slice(&facts).expect("JSON");
                let mut body = body.clone();
                body["passcode"] = facts["passcode"].clone();
                server.post(path, &body)
            }
            ("post", Some(body)) => server.post(path, body),
            _ => {
                let place = [
                    ("orgcode", "DEMO"),
                    ("container", "notes"),
                    ("record_id", "note-1"),
                ];
                let place = if path == "/mrs/list" {
                    &place[..1]
                } else {
                    &place[..]
                };
                server.get(path, place)
            }
        };
        let got = answer.data();
        // What is shown has the fields that an answer has.
        let mut shown = example.data.unwrap_or(Value::Null);
        let mut real = got;
        if let Some(item) = shown.pointer("/items/0").cloned() {
            (shown, real) = (item, real["items"][0].clone());
        }
        for name in shown
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name)
        {
            assert!(!real[name].is_null(), "{path}: {name} is not answered");
        }
    }
}

/// Every operation with its method and path.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods");
            methods
                .iter()
                .map(move |(method, operation)| (method.to_uppercase(), path.clone(), operation))
        })
        .collect()
}

#[test]
fn routes_document_their_credentials() {
    let document = document();
    let schemes = &document["components"]["securitySchemes"];
    for (name, header) in [("session", "x-session-guid"), ("apiKey", "x-api-key")] {
        let scheme = &schemes[name];
        assert_eq!(
            (&scheme["type"], &scheme["in"]),
            (&json!("apiKey"), &json!("header"))
        );
        assert_eq!(scheme["name"], header);
    }
    let jwt = &schemes["jwt"];
    assert_eq!(
        (&jwt["type"], &jwt["scheme"]),
        (&json!("http"), &json!("bearer"))
    );
    let all = json!([{"session": []}, {"apiKey": []}, {"jwt": []}]);
    for (method, path, operation) in operations(&document) {
        let mut routes = ROUTES.iter();
        let route = routes.find(|route| route.path == path && route.method.as_str() == method);
        let takes = match route.map_or(Access::Public, |route| route.access) {
            Access::Public => json!([]),
            Access::UserSession => json!([{"session": []}]),
            Access::Authenticated | Access::Org(Right::Read | Right::Write) => all.clone(),
            // No key has a role with these rights.
            Access::Org(Right::ViewOrg | Right::Manage | Right::Offboard) => {
                json!([{"session": []}, {"jwt": []}])
            }
        };
        let told = operation.get("security").unwrap_or(&document["security"]);
        assert_eq!(told, &takes, "{method} {path}");
    }
}
