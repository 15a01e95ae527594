//! Due times: judged when read, journaled when due.

use metarecord::clock::Clock;
use serde_json::{Value, json};

use crate::support::{Server, eventually};

fn soon(millis: i64) -> String {
    Clock::system().now().plus_millis(millis).to_string()
}

#[test]
fn a_due_record_reads_as_doomed_before_the_sweep() {
    let server = Server::start();
    let body = json!({"orgcode": "demo", "container": "notes", "record_id": "n", "content_type": "application/json",
        "payload": 1, "tags": ["t"], "doom_at": soon(400)});
    assert_eq!(server.post("/mrs/record", &body).data()["status"], "active");
    let query = [
        ("orgcode", "demo"),
        ("container", "notes"),
        ("record_id", "n"),
    ];
    let with_doomed = [query[0], query[1], query[2], ("include_doomed", "true")];
    eventually("the record is doomed", || {
        server.get("/mrs/head", &query).status == 404
    });
    let meta = server.get("/mrs/record/meta", &with_doomed).data();
    assert_eq!(
        (&meta["status"], &meta["doom_cause"], &meta["revision"]),
        (&json!("doomed"), &json!("ttl"), &json!(2))
    );
    assert_eq!(meta["doomed_at"], meta["doom_at"]);
    assert_eq!(
        server.get("/mrs/record", &with_doomed).refusal().1,
        "doomed"
    );
    for (status, count) in [("active", 0), ("doomed", 1), ("all", 1)] {
        let listed = server
            .get("/mrs/list", &[query[0], ("status", status), ("tag", "t")])
            .data();
        assert_eq!(
            listed["items"].as_array().map(Vec::len),
            Some(count),
            "{status}"
        );
    }
    let change = json!({"orgcode": "demo", "container": "notes", "record_id": "n", "expected_revision": 1, "doom_at": null});
    assert_eq!(server.post("/mrs/ttl/set", &change).refusal().1, "doomed");
    let before = server.get("/mrs/record/meta", &with_doomed).data();
    eventually("the sweep journaled it", || journaled_dooms(&server) == 1);
    assert_eq!(server.get("/mrs/record/meta", &with_doomed).data(), before);
}

fn journaled_dooms(server: &Server) -> usize {
    let entries = metarecord::journal::replay::replay(&server.dir.join("journal"))
        .expect("the journal can be read");
    let bodies = entries.filter_map(|entry| entry.expect("a good entry").body);
    bodies
        .filter(|body| body.origin.by == "job:ttl-sweep")
        .count()
}

#[test]
fn a_due_time_can_be_moved_and_cleared_before_it_comes() {
    let server = Server::start();
    server.put_inline("notes", "n", &json!(1), &[]);
    let set = |doom_at: Value, revision: u64| {
        let body = json!({"orgcode": "demo", "container": "notes", "record_id": "n", "doom_at": doom_at, "expected_revision": revision});
        server.post("/mrs/ttl/set", &body)
    };
    let at = soon(3_600_000);
    assert_eq!(set(json!(at), 1).data()["doom_at"], json!(at));
    assert_eq!(
        set(json!("2030-01-01T01:00:00+01:00"), 2).data()["doom_at"],
        "2030-01-01T00:00:00.000Z"
    );
    assert!(set(Value::Null, 3).data().get("doom_at").is_none());
    // What is so already changes nothing.
    assert_eq!(set(Value::Null, 4).data()["revision"], 4);
    for bad in [json!("2001-01-01T00:00:00Z"), json!("tomorrow"), json!("")] {
        assert_eq!(set(bad, 4).refusal().1, "invalid-doom-at");
    }
}
