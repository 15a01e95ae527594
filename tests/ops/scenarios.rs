//! The three acceptance scenarios of the OPS overview, over HTTP, with a clock that the test moves.

use metarecord::clock::{Clock, Stopwatch};
use metarecord::domain::Timestamp;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::inside::{Inside, START_MS};

const HOUR_MS: i64 = 60 * 60 * 1_000;
/// Half of what the contract allows until tenants are served again.
const SERVED_MS_MAX: u64 = 10_000;

fn time(millis: i64) -> String {
    Timestamp::from_millis(millis).to_string()
}

fn schedule(server: &Inside, start: i64) -> String {
    schedule_for(server, start, 3_600)
}

fn schedule_for(server: &Inside, start: i64, seconds: u64) -> String {
    let body = json!({"description": "new disks", "duration": seconds, "start": time(start)});
    let window = server.invoke("ops_maintenance_schedule", body).data();
    assert_eq!(window["status"], "scheduled");
    window["maintenance_id"].as_str().expect("an id").to_owned()
}

/// The events of the audit about one window or vacuum, oldest first.
fn audited(server: &Inside, subject: (&str, &str)) -> Vec<String> {
    let answer = server
        .invoke("ops_audit", json!({subject.0: subject.1, "limit": 100}))
        .data();
    assert_eq!(answer["audit"], "/g3nretailstack/ops/maintenance-audit");
    let items = answer["items"].as_array().expect("items");
    items
        .iter()
        .map(|item| {
            for known in ["at", "by", "request_id", "source", "outcome"] {
                assert!(!item[known].is_null(), "{known} of {item}");
            }
            item["event"].as_str().expect("an event").to_owned()
        })
        .collect()
}

fn is_served(server: &Inside) -> bool {
    server.get("/mrs/list?orgcode=demo").status == 200
}

#[test]
fn a_scheduled_window_starts_when_its_time_has_come_and_ends_when_told() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    server.put("notes", "n-1", &json!(1));
    let id = schedule(&server, START_MS + HOUR_MS);
    server.clock.advance(HOUR_MS - 1);
    assert!(is_served(&server));
    server.clock.advance(1);
    eventually("the sweep starts the window", || !is_served(&server));
    let refused = server.get("/mrs/record?orgcode=demo&container=notes&record_id=n-1");
    assert_eq!(
        (refused.refusal().0, refused.refusal().1.as_str()),
        (503, "maintenance-mode")
    );
    let wait: u64 = refused
        .header("retry-after")
        .and_then(|text| text.parse().ok())
        .expect("seconds");
    assert!((3600..3620).contains(&wait), "{wait}");
    let details = &refused.json()["error"]["details"];
    assert_eq!(details["maintenance_id"], *id);
    assert_eq!(details["estimated_end_utc"], time(START_MS + 2 * HOUR_MS));
    for exempt in [
        "/health",
        "/ready",
        "/ops/ping",
        "/ops/stat",
        "/ops/maintenance/list",
    ] {
        assert_eq!(server.get(exempt).status, 200, "{exempt}");
    }
    assert_eq!(server.get("/health").json()["maintenance"], true);
    let told = server
        .invoke("ops_maintenance_update", json!({"text": "half"}))
        .data();
    assert_eq!(told["updates"][0]["text"], "half");
    let ping = server.get("/ops/ping").data();
    assert_eq!(ping["maintenance"]["updates"][0]["text"], "half");
    let since = Stopwatch::start();
    let ended = server
        .invoke("ops_maintenance_end", json!({"end_message": "done"}))
        .data();
    assert_eq!(
        (&ended["status"], &ended["start_source"]),
        (&json!("ended"), &json!("sweep"))
    );
    eventually("tenants are served again", || is_served(&server));
    println!("served {} ms after the end was asked for", since.millis());
    assert!(since.millis() < SERVED_MS_MAX);
    assert_eq!(
        audited(&server, ("maintenance_id", &id)),
        ["scheduled", "started", "updated", "ended"].map(|event| format!("maintenance.{event}"))
    );
}

#[test]
fn a_window_that_came_due_while_the_process_was_down_starts_with_it() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut server = Inside::start(scratch.path());
    let first = schedule_for(&server, START_MS + HOUR_MS, 8 * 3_600);
    let second = schedule_for(&server, START_MS + 2 * HOUR_MS, 8 * 3_600);
    server.stop();
    let clock = Clock::manual(Timestamp::from_millis(START_MS + 3 * HOUR_MS));
    let server = Inside::start_by(scratch.path(), clock, &[]);
    eventually("the first starts", || !is_served(&server));
    let get = |id: &str| {
        server
            .get(&format!("/ops/maintenance/get?maintenance_id={id}"))
            .data()
    };
    assert_eq!(
        (&get(&first)["status"], &get(&second)["status"]),
        (&json!("active"), &json!("scheduled"))
    );
    // The next that is due starts when this one ends.
    server.invoke("ops_maintenance_end", json!({})).data();
    eventually("the second starts", || get(&second)["status"] == "active");
    // Nobody was answered for it, so what the gate knows may be a moment behind.
    eventually("tenants are kept out again", || !is_served(&server));
    server
        .invoke("ops_maintenance_end", json!({"maintenance_id": second}))
        .data();
    eventually("tenants are served again", || is_served(&server));
}

fn records(server: &Inside) -> Vec<Value> {
    let page = server
        .get("/mrs/list?orgcode=demo&status=all&limit=256")
        .data();
    page["items"].as_array().expect("items").clone()
}

#[test]
fn a_vacuum_cancelled_in_time_erases_nothing() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    for number in 0..5 {
        server.put("notes", &format!("n-{number}"), &json!(number));
    }
    let before = records(&server);
    let body = json!({"orgcode": "demo", "reason": "Cleanup"});
    let vacuum = server.invoke("ops_vacuum_org", body.clone()).data();
    assert_eq!(
        (&vacuum["status"], &vacuum["execute_at"]),
        (&json!("pending"), &json!(time(START_MS + 300_000)))
    );
    let id = vacuum["vacuum_id"].as_str().expect("an id");
    let locked = server.invoke("ops_vacuum_org", body);
    assert_eq!(
        (locked.refusal().0, locked.refusal().1.as_str()),
        (409, "vacuum-mutex-locked")
    );
    server.clock.advance(299_999);
    let cancelled = server
        .invoke("ops_vacuum_cancel", json!({"vacuum_id": id}))
        .data();
    assert_eq!(cancelled["status"], "cancelled");
    server.clock.advance(HOUR_MS);
    let status = server
        .invoke("ops_vacuum_status", json!({"vacuum_id": id}))
        .data();
    assert_eq!(status["status"], "cancelled");
    assert_eq!(records(&server), before);
    assert_eq!(server.put("notes", "later", &json!(1))["revision"], 1);
    let again = server.invoke("ops_vacuum_cancel", json!({"vacuum_id": id}));
    assert_eq!(
        (again.refusal().0, again.refusal().1.as_str()),
        (409, "invalid-state")
    );
    assert_eq!(
        audited(&server, ("vacuum_id", id)),
        ["vacuum.requested", "vacuum.cancelled"]
    );
}

#[test]
fn a_full_vacuum_erases_what_its_dry_run_told_and_the_audit_stays() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut server = Inside::start(scratch.path());
    for number in 0..20 {
        server.put("notes", &format!("n-{number}"), &json!({"number": number}));
    }
    let kept = server.put("g3nmhsadmin-notes", "kept", &json!("kept"));
    let phrase = "VACUUM ALL DATA PERMANENTLY";
    let all = |dry_run: bool, plan: Option<&Value>| {
        let mut body =
            json!({"reason": "Reset", "confirmation_phrase": phrase, "dry_run": dry_run});
        if let Some(plan) = plan {
            body["plan_id"] = plan.clone();
        }
        server.invoke("ops_vacuum_all", body)
    };
    let status = |id: &Value| {
        server
            .invoke("ops_vacuum_status", json!({"vacuum_id": id}))
            .data()
    };
    let dry = || {
        let asked = all(true, None).data();
        eventually("the dry run is over", || {
            status(&asked["vacuum_id"])["status"] == "completed"
        });
        status(&asked["vacuum_id"])
    };
    let wrong = server.invoke(
        "ops_vacuum_all",
        json!({"reason": "r", "confirmation_phrase": "vacuum all data permanently"}),
    );
    assert_eq!(
        (wrong.refusal().0, wrong.refusal().1.as_str()),
        (400, "confirmation-phrase-mismatch")
    );
    let old = dry();
    assert_eq!(records(&server).len(), 21, "a dry run erases nothing");
    server.put("notes", "one-more", &json!(1));
    let moved = all(false, Some(&old["plan_id"]));
    assert_eq!(
        (moved.refusal().0, moved.refusal().1.as_str()),
        (409, "conflict")
    );
    let plan = dry();
    assert_eq!(
        (
            &plan["services"][0]["service"],
            &plan["services"][0]["items"]
        ),
        (&json!("mrs"), &json!(21))
    );
    let real = all(false, Some(&plan["plan_id"])).data();
    assert_eq!(real["status"], "pending");
    server.clock.advance(300_000);
    let id = &real["vacuum_id"];
    eventually("the vacuum is over", || status(id)["status"] == "completed");
    let done = status(id);
    assert_eq!(done["totals"], plan["totals"]);
    let amounts = |vacuum: &Value| -> Vec<Value> {
        let services = vacuum["services"].as_array().expect("services");
        services
            .iter()
            .map(|service| {
                json!([
                    service["service"],
                    service["items"],
                    service["objects"],
                    service["bytes"]
                ])
            })
            .collect()
    };
    assert_eq!(amounts(&done), amounts(&plan));
    // Development mode has its org and owner again, and what is protected was never touched.
    eventually("the development org is there again", || is_served(&server));
    assert_eq!(records(&server), [kept]);
    let content = server
        .get("/mrs/record?orgcode=demo&container=g3nmhsadmin-notes&record_id=kept")
        .data();
    assert_eq!(content["content"], "kept");
    server.put("notes", "n-1", &json!("new"));
    let vacuum_id = id.as_str().expect("an id");
    let told = audited(&server, ("vacuum_id", vacuum_id));
    assert_eq!(
        (told[0].as_str(), told[told.len() - 1].as_str()),
        ("vacuum.requested", "vacuum.completed")
    );
    server.stop();
    // The audit's file is made again when it is lost.
    let file = scratch.path().join("audit/maintenance-audit.jsonl");
    let lines = std::fs::read_to_string(&file).expect("the audit's file");
    std::fs::remove_file(&file).expect("removed");
    let server = Inside::start(scratch.path());
    let again = || std::fs::read_to_string(&file).unwrap_or_default();
    eventually("the audit's file is there again", || {
        again().len() >= lines.len()
    });
    assert_eq!(again(), lines);
    assert_eq!(audited(&server, ("vacuum_id", vacuum_id)), told);
}
