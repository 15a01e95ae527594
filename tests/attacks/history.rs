//! Records that were changed very often, and requests about their past.

use serde_json::{Value, json};

use crate::support::Server;

/// More changes than are folded to give an answer again.
const CHANGES: u64 = 300;

fn changed_often(server: &Server) -> Value {
    server.put_inline("notes", "often", &json!(0), &[]);
    for revision in 1..CHANGES {
        let verb = if revision % 2 == 1 { "add" } else { "remove" };
        let body = json!({"orgcode": "demo", "container": "notes", "record_id": "often", "tags": ["T"],
            "expected_revision": revision});
        server.post(&format!("/mrs/tag/{verb}"), &body).data();
    }
    json!({"orgcode": "demo", "container": "notes", "record_id": "often", "payload": {"last": true},
        "content_type": "application/json", "expected_revision": CHANGES, "idempotency_key": "k"})
}

#[test]
fn a_repeated_put_over_a_long_history_gets_its_first_answer_after_a_restart_too() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let dir = directory.path().join("data");
    let mut server = Server::start_in(&dir, &[]);
    let put = changed_often(&server);
    let first = server.post("/mrs/record", &put).data();
    assert_eq!(first["revision"], json!(CHANGES + 1));
    let change = json!({"orgcode": "demo", "container": "notes", "record_id": "often", "tags": ["LATER"],
        "expected_revision": CHANGES + 1});
    server.post("/mrs/tag/add", &change).data();
    for _ in 0..2 {
        let again = server.post("/mrs/record", &put);
        assert_eq!(again.header("idempotent-replay"), Some("true"));
        assert_eq!(again.data(), first);
        server.end("KILL");
        server = Server::start_in(&dir, &[]);
    }
}

#[test]
fn others_are_answered_while_an_org_reads_its_history_again_and_again() {
    let server = Server::start_with(&["--set", "mrs.history_reads_max=1"]);
    let put = changed_often(&server);
    server.post("/mrs/record", &put).data();
    let query = [
        ("orgcode", "demo"),
        ("container", "notes"),
        ("record_id", "often"),
    ];
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    for path in ["/mrs/record/meta", "/mrs/record"] {
                        let at = [&query[..], &[("as_of", "2026-01-01T00:00:00Z")]].concat();
                        assert_eq!(server.get(path, &at).status, 404);
                    }
                    server.get("/mrs/record/history", &query).data();
                    server.get("/mrs/record/versions", &query).data()
                })
            })
            .collect();
        for _ in 0..20 {
            assert_eq!(server.get("/mrs/record", &query).status, 200);
        }
        for reader in readers {
            let versions = reader.join().expect("it ends");
            assert_eq!(versions["items"].as_array().map(Vec::len), Some(2));
        }
    });
}
