//! Inline records from creation to doom.

use serde_json::json;

use crate::support::Server;

#[test]
fn a_record_is_created_found_read_and_retired() {
    let server = Server::start();
    let created = server.put_inline("notes", "n-1", &json!({"a": 1}), &["mit"]);
    assert_eq!(
        (&created["status"], &created["revision"]),
        (&json!("active"), &json!(1))
    );
    let query = [
        ("orgcode", "demo"),
        ("container", "notes"),
        ("record_id", "n-1"),
    ];
    assert_eq!(
        server.get("/mrs/record", &query).data()["content"],
        json!({"a": 1})
    );
    let listed = server
        .get("/mrs/list", &[("orgcode", "demo"), ("tag", "mit")])
        .data();
    assert_eq!(listed["items"][0]["record_id"], "n-1");
    let doom = json!({"orgcode": "demo", "container": "notes", "record_id": "n-1", "expected_revision": 1});
    assert_eq!(server.post("/mrs/doom", &doom).data()["status"], "doomed");
    assert_eq!(server.get("/mrs/record", &query).refusal().0, 404);
    assert_eq!(server.post("/mrs/doom", &doom).refusal().1, "doomed");
}
