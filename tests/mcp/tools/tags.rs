//! Tags in two steps, to add and to remove: each guarded by the revision that the caller read, whatever others do meanwhile.

use std::cell::RefCell;

use metarecord::cli::mcp::api::ClientApi;
use metarecord::client::{Client, Credential};
use serde_json::{Value, json};

use super::{Agent, Interrupted, tenant};
use crate::support::Server;

/// A server with a record that has these tags at revision 1.
fn start(tags: &[&str]) -> Server {
    let server = Server::start();
    server.put_inline("notes", "a", &json!(1), tags);
    server
}

fn api(server: &Server) -> ClientApi {
    let session = Credential::SessionGuid(server.session_guid.clone());
    let gateway = Client::new(&server.base_url, session);
    ClientApi::new(gateway.clone(), gateway, None)
}

/// Somebody else changes the tags.
fn change(server: &Server, path: &str, tags: &[&str], revision: u64) {
    let body = json!({"orgcode": server.orgcode, "container": "notes", "record_id": "a",
        "tags": tags, "expected_revision": revision});
    server.post(path, &body).data();
}

fn tags(add: &[&str], remove: &[&str], revision: u64) -> Value {
    json!({"container": "notes", "record_id": "a", "add": add, "remove": remove,
        "expected_revision": revision})
}

fn present(server: &Server) -> Value {
    let query = [
        ("orgcode", &*server.orgcode),
        ("container", "notes"),
        ("record_id", "a"),
    ];
    server.get("/mrs/record/meta", &query).data()["tags"].clone()
}

#[test]
fn a_removal_is_guarded_even_if_the_added_tags_are_there() {
    let server = start(&["X", "Y"]);
    let agent = Agent::by(api(&server), tenant());
    // Also after a single change of others, which could be one that adds the same.
    for revision in 2..4 {
        change(
            &server,
            "/mrs/tag/add",
            &[&format!("T{revision}")],
            revision - 1,
        );
        let error = agent.bad("record_tag", tags(&["X"], &["Y"], 1));
        assert_eq!(error["tag"], "conflict", "{error}");
        assert_eq!(error["details"]["current"]["revision"], revision);
        let message = error["message"].as_str().expect("a text");
        assert!(!message.contains("were added"), "{message}");
    }
    assert_eq!(present(&server), json!(["T2", "T3", "X", "Y"]));
}

#[test]
fn both_steps_asked_for_twice_are_done_once() {
    let server = start(&["Y"]);
    let agent = Agent::by(api(&server), tenant());
    let done = agent.good("record_tag", tags(&["X"], &["Y"], 1));
    assert_eq!(done["record"]["revision"], 3);
    let again = agent.good("record_tag", tags(&["X"], &["Y"], 1));
    assert_eq!(
        (&again["already_so"], &again["record"]["revision"]),
        (&json!(true), &json!(3)),
        "{again}"
    );
}

#[test]
fn a_change_of_others_between_the_steps_is_said() {
    let server = start(&["Y"]);
    let others = || change(&server, "/mrs/tag/add", &["Z"], 2);
    let interrupted = Interrupted {
        api: api(&server),
        after: "/mrs/tag/add",
        act: RefCell::new(Some(Box::new(others))),
    };
    let agent = Agent::by(interrupted, tenant());
    let error = agent.bad("record_tag", tags(&["X"], &["Y"], 1));
    assert_eq!(error["tag"], "conflict", "{error}");
    assert_eq!(error["details"]["current"]["revision"], 3, "{error}");
    let message = error["message"].as_str().expect("a text");
    assert!(
        message.starts_with("The tags were added, which made revision 2, but none was removed: "),
        "{message}"
    );
    assert_eq!(present(&server), json!(["X", "Y", "Z"]));
}

#[test]
fn a_call_that_did_one_step_does_not_say_that_all_was_so() {
    let server = start(&["Y"]);
    let others = || change(&server, "/mrs/tag/remove", &["Y"], 2);
    let interrupted = Interrupted {
        api: api(&server),
        after: "/mrs/tag/add",
        act: RefCell::new(Some(Box::new(others))),
    };
    let agent = Agent::by(interrupted, tenant());
    let done = agent.good("record_tag", tags(&["X"], &["Y"], 1));
    assert_eq!(done["record"]["tags"], json!(["X"]), "{done}");
    assert!(done.get("already_so").is_none(), "{done}");
}

#[test]
fn a_tag_is_not_added_and_removed_at_once() {
    let server = start(&["Y"]);
    let agent = Agent::by(api(&server), tenant());
    let error = agent.bad("record_tag", tags(&["a", "X"], &["x"], 1));
    assert_eq!(
        (&error["tag"], &error["minor"]),
        (&json!("invalid-input"), &json!("remove"))
    );
    assert_eq!(present(&server), json!(["Y"]));
}
