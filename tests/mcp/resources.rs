//! Records as resources, what arguments could be, and prompts.

use serde_json::json;

use super::agent::{Client, code};
use crate::support::Server;

#[test]
fn a_record_is_a_resource_and_a_strangers_is_not_there() {
    let server = Server::start();
    let client = Client::of(&server);
    server.put_inline("notes", "n-1", &json!({"hello": "there"}), &[]);
    let listed = client.result("resources/list", json!({}));
    assert_eq!(
        listed["resources"].as_array().map(Vec::len),
        Some(1),
        "{listed}"
    );
    let templates = client.result("resources/templates/list", json!({}));
    let template = &templates["resourceTemplates"][0]["uriTemplate"];
    assert!(
        template
            .as_str()
            .is_some_and(|uri| uri.starts_with("metarecord://")),
        "{templates}"
    );
    let uri = format!("metarecord://{}/notes/n-1", server.orgcode);
    let read = client.result("resources/read", json!({ "uri": uri }));
    assert_eq!(
        (&read["ttlMs"], &read["cacheScope"]),
        (&json!(0), &json!("private"))
    );
    assert!(
        read["contents"][0]["text"]
            .as_str()
            .is_some_and(|text| text.contains("there")),
        "{read}"
    );
    let mut refusals = Vec::new();
    for uri in [
        format!("metarecord://{}/notes/n-2", server.orgcode),
        "metarecord://NOBODYS/notes/n-1".to_owned(),
    ] {
        let got = client.ask("resources/read", json!({ "uri": uri }));
        let error = got.json()["error"].clone();
        assert_eq!((code(&got), &error["data"]["uri"]), (-32602, &json!(uri)));
        refusals.push(error["message"].clone());
    }
    assert_eq!(
        refusals[0], refusals[1],
        "a stranger's is as absent as one that is not"
    );
    for uri in ["metarecord://", "file:///etc/passwd", "x"] {
        assert_eq!(
            code(&client.ask("resources/read", json!({ "uri": uri }))),
            -32602,
            "{uri}"
        );
    }
}

#[test]
fn arguments_of_the_template_are_completed() {
    let server = Server::start();
    let client = Client::of(&server);
    for id in ["n-1", "n-2", "m-1"] {
        server.put_inline("notes", id, &json!(1), &[]);
    }
    let template = "metarecord://{orgcode}/{container}/{record_id}";
    let complete = |name: &str, value: &str, context: serde_json::Value| {
        let params = json!({"ref": {"type": "ref/resource", "uri": template},
            "argument": {"name": name, "value": value}, "context": {"arguments": context}});
        client.result("completion/complete", params)["completion"]["values"].clone()
    };
    assert_eq!(
        complete("container", "no", json!({"orgcode": server.orgcode})),
        json!(["notes"])
    );
    let chosen = json!({"orgcode": server.orgcode, "container": "notes"});
    assert_eq!(complete("record_id", "n-", chosen), json!(["n-1", "n-2"]));
}

#[test]
fn prompts_are_there_for_tenants_and_for_operators() {
    let server = Server::start();
    let client = Client::of(&server);
    let listed = client.result("prompts/list", json!({}));
    let prompts = listed["prompts"].as_array().expect("prompts");
    assert!(!prompts.is_empty());
    for prompt in prompts {
        let arguments = prompt["arguments"].as_array().cloned().unwrap_or_default();
        let given: serde_json::Map<_, _> = arguments
            .iter()
            .map(|argument| {
                (
                    argument["name"].as_str().expect("a name").to_owned(),
                    json!("x1"),
                )
            })
            .collect();
        let params = json!({"name": prompt["name"], "arguments": given});
        let got = client.result("prompts/get", params);
        assert!(
            got["messages"][0]["content"]["text"].is_string(),
            "{prompt}: {got}"
        );
    }
    assert_eq!(
        code(&client.ask("prompts/get", json!({"name": "none"}))),
        -32602
    );
    let token = format!("Bearer {}", server.operator_token);
    let operator = Client::new(
        format!("{}/mcp", server.operator_url),
        "authorization",
        token,
    );
    let listed = operator.result("prompts/list", json!({}));
    assert_eq!(
        listed["prompts"][0]["name"],
        json!("plan-maintenance"),
        "{listed}"
    );
}
