//! What a clock that is set while the server runs must not lead to: something removed before its time.

use std::path::PathBuf;
use std::process::Command;

use metarecord::clock::Clock;
use metarecord::domain::Timestamp;
use serde_json::{Value, json};

use crate::metrics::{scrape, value};
use crate::support::inside::{Inside, START_MS};
use crate::support::{Server, eventually};

const SECOND_MS: i64 = 1_000;
const DAY_MS: i64 = 24 * 60 * 60 * SECOND_MS;

fn time(millis: i64) -> String {
    Timestamp::from_millis(millis).to_string()
}

fn minor(got: &crate::support::Got) -> (u16, String) {
    let (status, _, minor) = got.refusal();
    (status, minor)
}

#[test]
fn a_vacuum_waits_by_the_processs_own_count_whatever_the_clock_is_set_to() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let server = Inside::start_by(scratch.path(), clock, &["ops.vacuum_pending_seconds=60"]);
    server.put("notes", "n", &json!(1));
    let body = json!({"orgcode": "demo", "reason": "Cleanup"});
    let asked = server.invoke("ops_vacuum_org", body).data();
    let id = json!({"vacuum_id": asked["vacuum_id"]});
    let status = || server.invoke("ops_vacuum_status", id.clone()).data()["status"].clone();
    // Less than a jump: it is waited for all the same.
    server.clock.jump(120 * SECOND_MS);
    server.clock.advance(59 * SECOND_MS);
    // A window's actor looks as often as a vacuum's: once it has begun, the vacuum has been looked at as well.
    for number in 0..2 {
        let window = json!({"description": number.to_string(), "duration": 600, "start": time(server.clock.now().millis())});
        let window = server.invoke("ops_maintenance_schedule", window).data();
        let get = format!(
            "/ops/maintenance/get?maintenance_id={}",
            window["maintenance_id"].as_str().expect("an id")
        );
        eventually("the sweep has passed", || {
            server.get(&get).data()["status"] == "active"
        });
        server.invoke("ops_maintenance_end", json!({})).data();
        assert_eq!(status(), "pending");
    }
    server.clock.advance(120 * SECOND_MS);
    eventually("its time has come", || status() == "completed");
}

/// A record that is due, in the past of a clock that is then set forward by ten days.
fn put_due(server: &Inside, id: &str, days: i64) {
    let body = json!({"orgcode": "demo", "container": "notes", "record_id": id, "content_type": "application/json",
        "payload": 1, "doom_at": time(START_MS + days * DAY_MS)});
    server.post("/mrs/record", &body).data();
}

/// Records that the last run of the sweep that did something has ended, in this process.
fn doomed_events(server: &Inside) -> u64 {
    let sweep = server
        .operator("jobs_show", &json!({"job": "ttl-sweep"}))
        .data();
    sweep["last_counts"]["doomed"].as_u64().unwrap_or_default()
}

#[test]
fn a_jump_of_the_clock_stops_what_removes_until_an_operator_says_that_the_time_is_right() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut server = Inside::start(scratch.path());
    put_due(&server, "due", 5);
    let jobs = ["ttl-sweep", "abandoned-uploads", "tag-scrub", "cleanup"];
    let run = |server: &Inside, job: &str| server.operator("jobs_run", &json!({"job": job}));
    let cleanup = json!({"orgcode": "demo", "container": "notes"});
    server.clock.jump(10 * DAY_MS);
    let stopped = |server: &Inside| {
        for job in jobs {
            assert_eq!(minor(&run(server, job)), (409, "clock".to_owned()), "{job}");
        }
        for function in ["mrs_cleanup", "mrs_tag_scrub"] {
            let refused = server.operator(function, &cleanup);
            assert_eq!(minor(&refused), (409, "clock".to_owned()), "{function}");
        }
        let status = server.operator("ops_clock_status", &json!({})).data();
        assert_eq!(status["state"], "jumped");
        assert_eq!(server.get("/ready").data()["clock"], "jumped");
        assert_eq!(doomed_events(server), 0);
    };
    stopped(&server);
    let audited = |server: &Inside| -> Vec<String> {
        let rows = server.invoke("ops_audit", json!({"limit": 100})).data();
        let rows = rows["items"].as_array().expect("rows").clone();
        let of_clock = rows.iter().filter(|row| {
            row["event"]
                .as_str()
                .is_some_and(|event| event.starts_with("clock."))
        });
        of_clock
            .map(|row| {
                format!(
                    "{} {}",
                    row["event"].as_str().unwrap(),
                    row["by"].as_str().unwrap()
                )
            })
            .collect()
    };
    eventually("the jump is journaled", || {
        audited(&server) == ["clock.jumped clock-watch"]
    });
    // It reads as doomed by then, and comes back when the clock is set right: nothing was written.
    let meta = "/mrs/record/meta?orgcode=demo&container=notes&record_id=due";
    assert_eq!(server.get(meta).status, 404);
    server.clock.jump(-10 * DAY_MS);
    assert_eq!(server.get(meta).data()["revision"], 1);
    stopped(&server);
    // A restart does not make the time right.
    server.stop();
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let server = Inside::start_by(scratch.path(), clock, &[]);
    eventually("it is known again", || {
        server.operator("ops_clock_status", &json!({})).data()["state"] == "jumped"
    });
    stopped(&server);
    let confirm = json!({"actor": "ann", "reason": "NTP was off"});
    let confirmed = server.operator("ops_clock_confirm", &confirm).data();
    assert_eq!(
        (&confirmed["state"], &confirmed["confirmed"]["by_seconds"]),
        (&json!("believed"), &json!(10 * 86_400))
    );
    let again = server.operator("ops_clock_confirm", &confirm).data();
    assert_eq!(
        (&again["state"], &again["confirmed"]),
        (&json!("believed"), &Value::Null)
    );
    assert_eq!(
        audited(&server),
        [
            "clock.jumped clock-watch",
            "clock.confirmed operator",
            "clock.confirmed operator"
        ]
    );
    server.clock.advance(5 * DAY_MS);
    eventually("what is due ends", || doomed_events(&server) == 1);
    for job in jobs {
        assert_eq!(run(&server, job).status, 200, "{job}");
    }
}

#[test]
fn nothing_is_removed_right_after_a_start() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut server = Inside::start(scratch.path());
    put_due(&server, "due", 1);
    server.stop();
    let clock = Clock::manual(Timestamp::from_millis(START_MS + 2 * DAY_MS));
    let server = Inside::start_by(scratch.path(), clock, &["ops.destroy_wait_seconds=30"]);
    let status = server.operator("ops_clock_status", &json!({})).data();
    assert_eq!(
        (&status["state"], &status["seconds_left"]),
        (&json!("starting"), &json!(30))
    );
    let run = || server.operator("jobs_run", &json!({"job": "ttl-sweep"}));
    assert_eq!(minor(&run()), (409, "clock".to_owned()));
    assert_eq!(doomed_events(&server), 0);
    server.clock.advance(30 * SECOND_MS);
    run().data();
    eventually("what is due ends", || doomed_events(&server) == 1);
}

#[test]
fn a_window_whose_start_is_long_past_is_a_slip_and_one_that_was_missed_is_cancelled() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    let schedule = |start: i64, seconds: i64| {
        let body = json!({"description": format!("from {start}"), "duration": seconds, "start": time(start)});
        server.invoke("ops_maintenance_schedule", body)
    };
    let slip = schedule(START_MS - 365 * DAY_MS, 3_600);
    assert_eq!(
        slip.refusal(),
        (400, "invalid-input".to_owned(), "start".to_owned())
    );
    assert_eq!(schedule(START_MS - 301 * SECOND_MS, 3_600).status, 400);
    let is_served = || server.get("/mrs/list?orgcode=demo").status == 200;
    assert!(is_served());
    let id = |window: &Value| window["maintenance_id"].as_str().expect("an id").to_owned();
    let first = id(&schedule(START_MS + 60 * SECOND_MS, 600).data());
    let second = id(&schedule(START_MS + 120 * SECOND_MS, 600).data());
    let third = id(&schedule(START_MS + 180 * SECOND_MS, 86_400).data());
    server.clock.advance(60 * SECOND_MS);
    let get = |id: &str| {
        server
            .get(&format!("/ops/maintenance/get?maintenance_id={id}"))
            .data()
    };
    eventually("the first begins", || get(&first)["status"] == "active");
    // It takes hours: the second has no time left, the third has.
    server.clock.advance(3_600 * SECOND_MS);
    eventually("the second is missed", || {
        get(&second)["status"] == "cancelled"
    });
    assert!(
        get(&second)["end_message"]
            .as_str()
            .expect("why")
            .contains("Missed")
    );
    assert_eq!(get(&first)["status"], "active");
    server.invoke("ops_maintenance_end", json!({})).data();
    eventually("the third begins", || get(&third)["status"] == "active");
    let rows = server
        .invoke("ops_audit", json!({"maintenance_id": second}))
        .data();
    let events: Vec<_> = rows["items"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["event"].clone())
        .collect();
    assert_eq!(events, ["maintenance.scheduled", "maintenance.missed"]);
}

/// The library by which a process sees another wall clock; its own count of time stays what it is.
fn faketime() -> Option<PathBuf> {
    let found = Command::new("find")
        .args([
            concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/"),
            "/usr/lib",
            "-name",
            "libfaketimeMT.so.1",
        ])
        .output()
        .expect("find runs");
    let found = String::from_utf8(found.stdout).expect("text");
    found.lines().next().map(PathBuf::from)
}

#[test]
fn a_real_process_whose_clock_is_set_forward_removes_nothing_before_it_is_confirmed() {
    let Some(library) = faketime() else {
        println!("libfaketime is not here; tests/tools.sh gets it");
        return;
    };
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let offset = scratch.path().join("offset");
    let set = |by: &str| std::fs::write(&offset, by).expect("written");
    set("+0");
    let mut command = Command::new("env");
    command
        .arg(format!("LD_PRELOAD={}", library.display()))
        .arg(format!("FAKETIME_TIMESTAMP_FILE={}", offset.display()))
        .args(["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"]);
    let sets = [
        "--set",
        "ops.vacuum_pending_seconds=60",
        "--set",
        "ops.clock_jump_seconds_max=60",
    ];
    let server = Server::start_by(command, &scratch.path().join("data"), &sets);
    server.put_inline("notes", "n", &json!(1), &[]);
    let body =
        json!({"orgcode": server.orgcode, "reason": "Cleanup", "secret_code": server.secret_code});
    let asked = server.invoke("ops_vacuum_org", &body).data();
    let id = json!({"vacuum_id": asked["vacuum_id"]});
    let status = || server.invoke("ops_vacuum_status", &id).data()["status"].clone();
    set("+120s");
    eventually("the process sees it", || {
        server.get("/ready", &[]).data()["clock"] == "jumped"
    });
    let jumped = value(&scrape(&server), "metarecord_clock_jump_seconds");
    assert!((110.0..130.0).contains(&jumped), "{jumped}");
    assert_eq!(status(), "pending");
    let told = server.invoke("ops_clock_confirm", &json!({})).data();
    assert_eq!(told["state"], "believed");
    // The time is right, and the vacuum's has not passed: it can be cancelled still.
    assert_eq!(status(), "pending");
    let mut cancel = id.clone();
    cancel["secret_code"] = json!(server.secret_code);
    let cancelled = server.invoke("ops_vacuum_cancel", &cancel).data();
    assert_eq!(cancelled["status"], "cancelled");
    let got = server.get(
        "/mrs/record",
        &[
            ("orgcode", "demo"),
            ("container", "notes"),
            ("record_id", "n"),
        ],
    );
    assert_eq!(got.data()["content"], 1);
}
