//! Requests that come again: under equal ids from two sessions, and after a crash between an answer and its repetition.

use serde_json::{Value, json};

use super::agent::{Client, api_key, said};
use crate::support::Server;

fn create(client: &Client, id: u64, arguments: Value) -> Value {
    let params = json!({"name": "record_create", "arguments": arguments});
    let got = client.ask_as(json!(id), "tools/call", params).json();
    assert_eq!(got["id"], json!(id));
    said(&got["result"])
}

#[test]
fn equal_ids_of_two_sessions_never_share_a_result() {
    let server = Server::start_with(&["--set", "mcp.mode=write"]);
    let one = Client::of(&server);
    let two = Client::new(&*one.url, "x-api-key", api_key(&server, "mrs_writer"));
    let again = Client::of(&server);
    let mut ids = Vec::new();
    for (client, payload) in [(&one, 1), (&two, 2), (&again, 3), (&two, 4)] {
        // Every client's first request has the id 0.
        let made = create(
            client,
            0,
            json!({"container": "notes", "payload": {"n": payload}}),
        );
        let id = made["record"]["record_id"]
            .as_str()
            .expect("an id")
            .to_owned();
        let read = client.result(
            "tools/call",
            json!({"name": "record_get",
            "arguments": {"container": "notes", "record_id": id}}),
        );
        assert!(
            read.to_string()
                .contains(&format!("{{\\\\\"n\\\\\":{payload}}}"))
                || read.to_string().contains(&format!("\\\"n\\\":{payload}")),
            "{read}"
        );
        ids.push(id);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4, "four calls, four records");
}

#[test]
fn a_crash_between_answer_and_repetition_leaves_one_record() {
    let scratch = tempfile::tempdir().expect("a directory");
    let dir = scratch.path().join("data");
    let arguments = json!({"container": "notes", "payload": {"n": 1}, "tags": ["ONCE"]});
    let key;
    let first = {
        let mut server = Server::start_in(&dir, &["--set", "mcp.mode=write"]);
        key = api_key(&server, "mrs_writer");
        let client = Client::new(format!("{}/mcp", server.base_url), "x-api-key", &*key);
        let first = create(&client, 1, arguments.clone());
        server.end("KILL");
        first
    };
    let server = Server::start_in(&dir, &["--set", "mcp.mode=write"]);
    let client = Client::new(format!("{}/mcp", server.base_url), "x-api-key", &*key);
    // A client that lost the answer asks again under a new id.
    let again = create(&client, 2, arguments);
    assert_eq!(again["record"]["record_id"], first["record"]["record_id"]);
    assert_eq!(again["replayed"], json!(true), "{again}");
    let found = client.call("records_list", json!({"tag": "once"}));
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "{found}");
}

#[test]
fn a_doom_without_a_plan_only_plans() {
    let server = Server::start_with(&["--set", "mcp.mode=write"]);
    let client = Client::of(&server);
    server.put_inline("notes", "n-1", &json!({"a": 1}), &[]);
    let doom = json!({"container": "notes", "record_id": "n-1", "expected_revision": 1, "reason": "tests"});
    let planned = client.call("record_doom", doom.clone());
    let plan_id = planned["plan_id"].as_str().expect("a plan").to_owned();
    let active = |server: &Server| {
        server
            .get(
                "/mrs/record/meta",
                &[
                    ("orgcode", &server.orgcode),
                    ("container", "notes"),
                    ("record_id", "n-1"),
                ],
            )
            .status
    };
    assert_eq!(active(&server), 200, "nothing was done");
    // A plan is its caller's own.
    let mut with_plan = doom;
    with_plan["plan_id"] = json!(plan_id);
    let other = Client::new(&*client.url, "x-api-key", api_key(&server, "mrs_writer"));
    let refused = other.call("record_doom", with_plan.clone());
    assert_eq!(refused["is_error"], json!(true), "{refused}");
    assert_eq!(active(&server), 200);
    let done = client.call("record_doom", with_plan);
    assert_eq!(done["record"]["status"], json!("doomed"), "{done}");
    assert_eq!(active(&server), 404);
}

#[test]
fn a_person_at_the_client_is_asked_where_it_can_show_a_form() {
    let server = Server::start_with(&["--set", "mcp.mode=write"]);
    let client = Client::of(&server);
    server.put_inline("notes", "n-1", &json!({"a": 1}), &[]);
    let able = json!({"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}});
    let doom = |more: Value| {
        let mut params = json!({"name": "record_doom", "_meta": able, "arguments": {"container": "notes",
            "record_id": "n-1", "expected_revision": 1, "reason": "tests"}});
        for (name, value) in more.as_object().into_iter().flatten() {
            params[name] = value.clone();
        }
        client.result("tools/call", params)
    };
    let asked = doom(json!({}));
    assert_eq!(asked["resultType"], json!("input_required"), "{asked}");
    let question = &asked["inputRequests"]["confirm"];
    assert_eq!(question["method"], json!("elicitation/create"));
    assert_eq!(question["params"]["mode"], json!("form"));
    let field = question["params"]["requestedSchema"]["required"][0]
        .as_str()
        .expect("a field")
        .to_owned();
    let state = asked["requestState"].clone();
    let answer = |action: &str, typed: &str| {
        json!({"requestState": state, "inputResponses":
        {"confirm": {"action": action, "content": {&*field: typed}}}})
    };
    for (action, typed) in [("decline", "n-1"), ("cancel", "n-1"), ("accept", "n-2")] {
        let refused = doom(answer(action, typed));
        assert_eq!(
            refused["isError"],
            json!(true),
            "{action} {typed}: {refused}"
        );
    }
    let mut forged = answer("accept", "n-1");
    forged["requestState"] = json!(format!("{}x", state.as_str().expect("a state")));
    assert_eq!(doom(forged)["isError"], json!(true));
    let done = doom(answer("accept", "n-1"));
    assert_eq!(said(&done)["record"]["status"], json!("doomed"), "{done}");
}
