//! The schemas of tools: strict, and without a secret.

use metarecord::mcp::Tool;
use serde_json::Value;

use super::{Agent, toolbox};
use crate::support::Server;
use metarecord::client::Credential;
use serde_json::json;

/// Words of arguments that would be secrets.
const SECRETS: &[&str] = &[
    "secret",
    "code",
    "passcode",
    "password",
    "token",
    "key",
    "guid",
    "jwt",
    "credential",
];
/// Arguments with such a word that are none.
const NO_SECRETS: &[&str] = &["orgcode", "next_token", "idempotency_key"];

/// Every argument of a tool.
fn arguments(tool: &Tool) -> Vec<(&String, &Value)> {
    let properties = tool.input_schema["properties"].as_object();
    properties.expect("properties").iter().collect()
}

#[test]
fn no_argument_and_no_answer_of_a_tool_is_a_secret() {
    for tool in toolbox().all() {
        let output = tool.output_schema.as_ref();
        let output = output.and_then(|output| output["properties"].as_object());
        let answered = output.into_iter().flatten().map(|(name, _)| name);
        for name in arguments(tool)
            .into_iter()
            .map(|(name, _)| name)
            .chain(answered)
        {
            let named = SECRETS
                .iter()
                .any(|word| name.split('_').any(|part| part.contains(word)));
            // An upload's token is there only where a person has allowed it.
            let allowed = tool.spec().gives_urls && name == "content_token";
            let is_fine = !named || NO_SECRETS.contains(&name.as_str()) || allowed;
            assert!(is_fine, "{} has {name}", tool.spec().name);
        }
    }
}

#[test]
fn schemas_take_nothing_else_and_describe_what_they_take() {
    for tool in toolbox().all() {
        assert_eq!(tool.input_schema["type"], "object", "{}", tool.spec().name);
        assert_eq!(
            tool.input_schema["additionalProperties"],
            false,
            "{}",
            tool.spec().name
        );
        for (name, schema) in arguments(tool) {
            let typed = schema.get("type").is_some() || name == "payload";
            assert!(typed, "{} {name}: {schema}", tool.spec().name);
            assert!(schema.get("$ref").is_none(), "{} {name}", tool.spec().name);
        }
        let required = tool.input_schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            assert!(
                tool.input_schema["properties"].get(name).is_some(),
                "{} {name}",
                tool.spec().name
            );
        }
    }
}

#[test]
fn every_change_of_a_record_requires_the_revision_that_was_read() {
    let creates = [
        "record_create",
        "record_upload_begin",
        "record_upload_complete",
    ];
    for tool in toolbox().all() {
        let changes = !tool.spec().hints.read_only && tool.spec().name.starts_with("record_");
        if !changes || creates.contains(&tool.spec().name) {
            continue;
        }
        let required = tool.input_schema["required"].as_array().expect("a list");
        assert!(
            required.contains(&json!("expected_revision")),
            "{}",
            tool.spec().name
        );
    }
}

#[test]
fn limits_are_those_of_the_routes() {
    let toolbox = toolbox();
    let tool = toolbox
        .all()
        .iter()
        .find(|tool| tool.spec().name == "record_create")
        .expect("a tool");
    let of = |name: &str| &tool.input_schema["properties"][name];
    assert_eq!(
        of("record_id")["pattern"],
        "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"
    );
    assert_eq!(of("tags")["maxItems"], 20);
    assert_eq!(of("tags")["items"]["pattern"], "^[0-9A-Za-z]{1,128}$");
    assert_eq!(of("reason")["maxLength"], 256);
    assert_eq!(of("record_id")["type"], "string");
}

#[test]
fn wrong_arguments_are_refused_before_anything_is_asked() {
    let server = Server::start();
    let agent = Agent::of(
        &server.base_url,
        Credential::SessionGuid(server.session_guid.clone()),
    );
    for tool in toolbox().list(&super::tenant()) {
        let error = agent.bad(tool.spec().name, json!({"nonsense": 1}));
        assert_eq!(
            (&error["tag"], &error["minor"]),
            (&json!("invalid-input"), &json!("nonsense")),
            "{}",
            tool.spec().name
        );
        let required = tool.input_schema.get("required").and_then(Value::as_array);
        if required.is_some() {
            let error = agent.bad(tool.spec().name, json!({}));
            assert_eq!(error["tag"], "invalid-input", "{}", tool.spec().name);
            assert!(
                error["message"]
                    .as_str()
                    .is_some_and(|text| text.ends_with("is missing.")),
                "{error}"
            );
        }
    }
    for (name, arguments, minor) in [
        ("records_list", json!({"limit": 33}), "limit"),
        ("records_list", json!({"limit": "8"}), "limit"),
        ("records_list", json!({"view": "all"}), "view"),
        (
            "record_get",
            json!({"container": "notes", "record_id": "a", "content_bytes": 32_769}),
            "content_bytes",
        ),
    ] {
        assert_eq!(agent.bad(name, arguments)["minor"], minor, "{name}");
    }
}
