//! The most bytes of a result, with the largest lists and contents there can be.

use metarecord::client::Credential;
use metarecord::mcp::ToolResult;
use serde_json::{Value, json};

use super::{Agent, facts, within};
use crate::support::Server;

/// Records with as many and as long tags as there can be.
const RECORDS: usize = 256;

/// Bytes of a result in an answer.
pub(super) fn bytes(result: &ToolResult) -> usize {
    let texts = result
        .texts
        .iter()
        .map(|text| json!({"type": "text", "text": text}));
    let links = result.links.iter().map(|link| {
        json!({"type": "resource_link", "uri": link.uri, "name": link.name, "mimeType": link.mime_type, "size": link.size})
    });
    let content: Vec<_> = texts.chain(links).collect();
    let mut value = json!({"content": content, "isError": result.is_error});
    if let Some(structured) = &result.structured {
        value["structuredContent"] = structured.clone();
    }
    value.to_string().len()
}

fn check(result: &ToolResult) {
    assert!(bytes(result) <= 32_768, "{} bytes", bytes(result));
    assert!(!result.is_error, "{result:?}");
}

#[test]
fn no_list_is_larger_than_a_result_and_none_of_it_is_lost() {
    let server = Server::start();
    let agent = Agent::of(
        &server.base_url,
        Credential::SessionGuid(server.session_guid.clone()),
    );
    for number in 0..RECORDS {
        let tags: Vec<_> = (0..20)
            .map(|tag| format!("{tag:0>8}{:0>120}", number))
            .collect();
        let body = json!({"orgcode": server.orgcode, "container": "wide", "record_id": format!("r{number:03}"),
            "content_type": "application/json", "payload": number, "tags": tags});
        assert_eq!(server.post("/mrs/record", &body).status, 200);
    }
    for view in ["brief", "full"] {
        let mut seen = Vec::new();
        let mut token = Value::Null;
        loop {
            let mut arguments = json!({"container": "wide", "limit": 32, "view": view});
            if token.is_string() {
                arguments["next_token"] = token;
            }
            let result = agent.call("records_list", arguments);
            check(&result);
            let page = facts(&result);
            let items = page["items"].as_array().expect("items").clone();
            assert!(!items.is_empty());
            assert_eq!(page["truncated"], true, "32 such records do not fit");
            seen.extend(
                items
                    .iter()
                    .map(|item| item["record_id"].as_str().expect("an id").to_owned()),
            );
            token = page.get("next_token").cloned().unwrap_or_default();
            if token.is_null() || seen.len() > 40 {
                break;
            }
        }
        let wanted: Vec<_> = (0..seen.len())
            .map(|number| format!("r{number:03}"))
            .collect();
        assert_eq!(seen, wanted, "{view}");
    }
}

#[test]
fn no_content_is_larger_than_a_result() {
    let server = Server::start();
    let agent = Agent::of(
        &server.base_url,
        Credential::SessionGuid(server.session_guid.clone()),
    );
    // Each character takes six bytes in an answer, or two, or its own.
    for (record_id, text) in [
        ("control", "\u{1}".repeat(40_000)),
        ("quotes", "\"".repeat(120_000)),
        ("wide", "\u{1f600}".repeat(60_000)),
        ("plain", "x".repeat(250_000)),
    ] {
        let body = json!({"orgcode": server.orgcode, "container": "notes", "record_id": record_id,
            "content_type": "application/json", "payload": text});
        assert_eq!(server.post("/mrs/record", &body).status, 200, "{record_id}");
        for wanted in [1, 8_192, 32_768] {
            let place =
                json!({"container": "notes", "record_id": record_id, "content_bytes": wanted});
            let result = agent.call("record_get", place);
            check(&result);
            let shown = within(result.texts.last().expect("content"));
            assert!(
                !shown.is_empty() && shown.len() <= wanted,
                "{record_id}: {}",
                shown.len()
            );
            let facts: Value = serde_json::from_str(&result.texts[0]).expect("facts");
            assert_eq!(facts["content_truncated"], true);
            assert_eq!(facts["content_bytes_shown"], shown.len());
            assert_eq!(result.links.len(), 1);
        }
    }
    let payload = "y".repeat(64 * 1024);
    let error = agent.bad(
        "record_create",
        json!({"container": "notes", "payload": payload}),
    );
    assert_eq!(
        (&error["tag"], &error["minor"]),
        (&json!("inline-too-large"), &json!("payload"))
    );
}

#[test]
fn a_long_history_comes_in_pages_that_fit() {
    let server = Server::start();
    let agent = Agent::of(
        &server.base_url,
        Credential::SessionGuid(server.session_guid.clone()),
    );
    let place = json!({"orgcode": server.orgcode, "container": "notes", "record_id": "a"});
    let reason = "\u{1}".repeat(250);
    let mut body = place.clone();
    body["content_type"] = "application/json".into();
    body["payload"] = 1.into();
    assert_eq!(server.post("/mrs/record", &body).status, 200);
    for revision in 1..=40_u64 {
        let mut body = place.clone();
        body["tags"] = json!([format!("T{}", revision % 2)]);
        body["expected_revision"] = revision.into();
        body["reason"] = reason.clone().into();
        let path = if revision % 2 == 1 {
            "/mrs/tag/add"
        } else {
            "/mrs/tag/remove"
        };
        body["tags"] = json!(["T"]);
        assert_eq!(server.post(path, &body).status, 200, "{revision}");
    }
    for name in ["record_history", "record_versions"] {
        let result = agent.call(
            name,
            json!({"container": "notes", "record_id": "a", "limit": 32}),
        );
        check(&result);
    }
}
