//! A window whose time has come keeps tenants out from the answer on that schedules it.

use metarecord::domain::Timestamp;
use serde_json::{Value, json};

use crate::support::inside::Inside;

fn schedule(server: &Inside, description: &str, from_now_ms: i64) -> crate::support::Got {
    let start = server.clock.now().plus_millis(from_now_ms).to_string();
    server.invoke(
        "ops_maintenance_schedule",
        json!({"description": description, "duration": 600, "start": start}),
    )
}

fn status(server: &Inside, window: &Value) -> Value {
    let id = &window["maintenance_id"];
    let id = id.as_str().expect("an id");
    let path = format!("/ops/maintenance/get?maintenance_id={id}");
    server.get(&path).data()["status"].clone()
}

#[test]
fn a_window_that_is_due_begins_within_its_request() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Inside::start(directory.path());
    let list = || server.get("/mrs/list?orgcode=DEMO&container=demo").status;
    for from_now_ms in [0, -1, -999, -1_000, -299_000] {
        assert_eq!(list(), 200);
        let window = schedule(&server, "due", from_now_ms).data();
        assert_eq!(
            (&window["status"], list()),
            (&json!("active"), 503),
            "{from_now_ms}"
        );
        assert_eq!(window["start_source"], json!("sweep"));
        assert_eq!(status(&server, &window), json!("active"));
        // Whoever starts it as well has what was asked for.
        let id = &window["maintenance_id"];
        let started = server.invoke("ops_maintenance_start", json!({"maintenance_id": id}));
        assert_eq!(started.data()["status"], json!("active"));
        let ended = server.invoke("ops_maintenance_end", json!({})).data();
        assert_eq!(
            (&ended["maintenance_id"], &ended["status"]),
            (id, &json!("ended"))
        );
    }
    let later = schedule(&server, "later", 1).data();
    assert_eq!((&later["status"], list()), (&json!("scheduled"), 200));
}

#[test]
fn the_window_that_waits_begins_when_the_one_before_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Inside::start(directory.path());
    let first = schedule(&server, "first", 0).data();
    let second = schedule(&server, "second", 0).data();
    assert_eq!(
        (&first["status"], &second["status"]),
        (&json!("active"), &json!("scheduled"))
    );
    // The same once more, as after a lost answer, is the same window.
    let again = schedule(&server, "first", 0).data();
    assert_eq!(again["maintenance_id"], first["maintenance_id"]);
    server.invoke("ops_maintenance_end", json!({})).data();
    assert_eq!(status(&server, &second), json!("active"));
    assert_eq!(server.invoke("ops_maintenance_end", json!({})).status, 200);
}

#[test]
fn a_window_that_would_be_over_already_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Inside::start(directory.path());
    let start = Timestamp::plus_millis(server.clock.now(), -120_000).to_string();
    let body = json!({"description": "over", "duration": 60, "start": start});
    let refused = server.invoke("ops_maintenance_schedule", body);
    assert_eq!(
        refused.refusal(),
        (400, "invalid-input".to_owned(), "start".to_owned())
    );
    assert!(
        refused.json()["error"]["major"]["message"]["en_US"]
            .as_str()
            .is_some_and(|text| text.contains("already be over"))
    );
}
