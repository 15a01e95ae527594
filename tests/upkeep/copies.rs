//! Copies of damaged content, and other things that lie in the data directory: each has an end, or the doctor shows it.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use metarecord::clock::Clock;
use metarecord::domain::Timestamp;
use metarecord::journal::replay::replay;
use serde_json::{Value, json};

use super::damage::{CONTAINER, uploaded};
use super::reconcile::reconcile;
use crate::cli::run::g3n;
use crate::support::eventually;
use crate::support::inside::Inside;

const HOUR_MS: i64 = 60 * 60 * 1_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const JOB: &str = "damaged-copies";

/// A clock that begins at the time that files get.
fn clock_of_files(dir: &Path) -> Clock {
    let file = dir.join("now");
    std::fs::write(&file, b"").expect("written");
    let written = std::fs::metadata(&file).and_then(|file| file.modified());
    std::fs::remove_file(file).expect("removed");
    let since = written
        .expect("a time")
        .duration_since(UNIX_EPOCH)
        .expect("past");
    let millis = i64::try_from(since.as_millis()).expect("a time");
    Clock::manual(Timestamp::from_millis(millis + 1))
}

/// Every file of the development org's that a repair has set aside.
fn copies(dir: &Path) -> Vec<PathBuf> {
    let shelves = std::fs::read_dir(dir.join("content/DEMO"))
        .into_iter()
        .flatten()
        .flatten();
    let files = shelves.flat_map(|shelf| std::fs::read_dir(shelf.path()).into_iter().flatten());
    let paths = files.flatten().map(|file| file.path());
    paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "damaged"))
        .collect()
}

/// Uploads something, damages it, and has a repair set it aside.
fn damaged(server: &Inside, ids: &[&str]) {
    for id in ids {
        let file = uploaded(server, id, &format!("the content of {id}"));
        let mut bytes = std::fs::read(&file).expect("read");
        bytes[12] ^= 1;
        std::fs::write(&file, bytes).expect("written");
    }
    let found = reconcile(server, "repair", 100);
    assert_eq!(found.len(), ids.len(), "{found:?}");
}

fn doctor(dir: &Path) -> Value {
    let line = format!("doctor --dev --output json --data-dir {}", dir.display());
    let told = g3n(&line, dir, &[], b"").json();
    let rows = told["checks"].as_array().expect("rows").iter();
    let mut row = rows.filter(|row| row["name"] == "leftovers");
    row.next().expect("a row").clone()
}

fn runs(server: &Inside) -> Value {
    server.operator("jobs_show", &json!({"job": JOB})).data()
}

/// Has the job run to its end; returns what it counted.
fn run(server: &Inside) -> Value {
    server.clock.advance(1);
    let before = runs(server)["last_run_at"].clone();
    server.operator("jobs_run", &json!({"job": JOB})).data();
    eventually("it ran", || {
        let now = runs(server);
        now["last_run_at"] != before && now["state"] == "waiting"
    });
    runs(server)["last_counts"].clone()
}

fn hold(server: &Inside, verb: &str, id: &str) {
    let meta = format!("/mrs/record/meta?orgcode=demo&container={CONTAINER}&record_id={id}");
    let body = json!({"orgcode": "demo", "container": CONTAINER, "record_id": id, "reason": "a case",
        "expected_revision": server.get(&meta).data()["revision"]});
    server.post(&format!("/mrs/hold/{verb}"), &body).data();
}

#[test]
fn a_copy_of_damaged_content_is_kept_for_its_time_and_while_it_is_held_and_then_removed() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let clock = clock_of_files(scratch.path());
    let sets = ["mrs.damaged_retention_days=2"];
    let mut server = Inside::start_by(scratch.path(), clock.clone(), &sets);
    damaged(&server, &["held", "one", "two"]);
    hold(&server, "set", "held");
    assert_eq!(copies(scratch.path()).len(), 3);
    assert_eq!(doctor(scratch.path())["state"], "warn");
    let found = doctor(scratch.path())["found"].to_string();
    assert!(found.contains("3 copies of damaged content"), "{found}");
    clock.advance(2 * DAY_MS - HOUR_MS);
    run(&server);
    assert_eq!(copies(scratch.path()).len(), 3, "their time is not over");
    // A clock that somebody set removes nothing.
    clock.jump(DAY_MS);
    let ordered = server.operator("jobs_run", &json!({"job": JOB}));
    assert_eq!(ordered.refusal().2, "clock");
    clock.jump(-DAY_MS);
    server.operator("ops_clock_confirm", &json!({})).data();
    assert_eq!(copies(scratch.path()).len(), 3);
    clock.advance(2 * HOUR_MS);
    assert_eq!(run(&server)["files"], 2);
    assert_eq!(copies(scratch.path()).len(), 1, "what is held stays");
    hold(&server, "release", "held");
    // A legal hold on the container keeps it as well.
    let legal = json!({"orgcode": "demo", "container": CONTAINER, "reason": "suit"});
    server.operator("mrs_hold_set", &legal).data();
    run(&server);
    assert_eq!(copies(scratch.path()).len(), 1);
    server.operator("mrs_hold_release", &legal).data();
    assert_eq!(run(&server)["files"], 1);
    assert_eq!(copies(scratch.path()), [] as [PathBuf; 0]);
    assert_eq!(doctor(scratch.path())["state"], "ok");
    // Each was removed by an entry first.
    let entries = replay(&scratch.path().join("journal")).expect("it can be read");
    let told = entries
        .filter_map(|entry| entry.expect("sound").body)
        .filter(|body| body.origin.by == JOB)
        .filter(|body| body.stream.as_str().starts_with("mrs/"))
        .count();
    assert_eq!(told, 2);
    server.stop();
}

#[test]
fn a_vacuum_of_an_org_leaves_no_copy_of_its_damaged_content() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    damaged(&server, &["one", "two"]);
    assert_eq!(copies(scratch.path()).len(), 2);
    server.put("notes", "n", &json!(1));
    let body = json!({"orgcode": "demo", "reason": "Cleanup"});
    let asked = server.invoke("ops_vacuum_org", body).data();
    let about = json!({"vacuum_id": asked["vacuum_id"]});
    server.clock.advance(301_000);
    eventually("it is erased", || {
        server.invoke("ops_vacuum_status", about.clone()).data()["status"] == "completed"
    });
    assert_eq!(copies(scratch.path()), [] as [PathBuf; 0]);
    assert!(!scratch.path().join("content/DEMO").exists());
}

#[test]
fn strays_in_content_keep_no_server_from_starting_and_are_shown_or_removed() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut server = Inside::start(scratch.path());
    server.put("notes", "n", &json!(1));
    server.stop();
    let at = |name: &str| scratch.path().join(name);
    // What a start that was killed leaves of trying whether it can write.
    let attempts = ["content", "audit", "."]
        .map(|place| at(place).join("00112233445566778899aabbccddeeff.tmp"));
    for attempt in &attempts {
        std::fs::write(attempt, b"").expect("written");
    }
    // What only somebody else can have put there.
    std::fs::create_dir(at("content/tmp/mine")).expect("made");
    std::fs::write(at("content/notes.txt"), b"mine").expect("written");
    std::fs::create_dir(at("content/lower-case")).expect("made");
    std::fs::create_dir(at("journal/sled.broken-1700000000000")).expect("made");
    let shown = doctor(scratch.path());
    for place in [
        "content/tmp/mine",
        "content/notes.txt",
        "content/lower-case",
        "journal/sled.broken-17",
    ] {
        assert!(
            shown["found"].to_string().contains(place),
            "{place}: {shown}"
        );
    }
    let server = Inside::start(scratch.path());
    assert!(attempts.iter().all(|attempt| !attempt.exists()));
    server.clock.advance(DAY_MS);
    for job in ["abandoned-uploads", JOB] {
        server.operator("jobs_run", &json!({"job": job})).data();
        eventually("it ran", || {
            let shown = server.operator("jobs_show", &json!({"job": job})).data();
            assert_ne!(shown["state"], "failing", "{shown}");
            shown["last_run_at"].is_string()
        });
    }
    assert_eq!(
        std::fs::read(at("content/notes.txt")).expect("read"),
        b"mine"
    );
    assert!(at("content/tmp/mine").exists() && at("content/lower-case").exists());
}
