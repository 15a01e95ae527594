//! `kill -9` in the middle of many writers.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use metarecord::client::{Client, Credential};
use serde_json::{Value, json};

use super::{check_stopped, journal};
use crate::support::Server;

/// Writers at once.
const WRITERS: usize = 64;
/// Rounds unless `METARECORD_KILL_ROUNDS` says otherwise.
const ROUNDS: u64 = 4;

/// What the writers know: the revision each record was last acknowledged with, and requests that were not answered.
#[derive(Default)]
struct Known {
    acknowledged: BTreeMap<String, u64>,
    unanswered: Vec<(String, Value)>,
}

fn create(record_id: &str) -> Value {
    json!({"orgcode": "DEMO", "container": format!("c{}", record_id.len() % 3), "record_id": record_id,
        "content_type": "application/json", "payload": {"id": record_id}, "tags": ["t"], "idempotency_key": record_id})
}

fn tag(record_id: &str) -> Value {
    let created = create(record_id);
    json!({"orgcode": "DEMO", "container": created["container"], "record_id": record_id, "tags": ["more"], "expected_revision": 1})
}

/// Writes until the server is gone: a create, and for every other record a tag.
fn write(server: &Server, next: &AtomicU64, stop: &AtomicBool, known: &Mutex<Known>) {
    let client = Client::new(
        &server.base_url,
        Credential::SessionGuid(server.session_guid.clone()),
    );
    while !stop.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let record_id = format!("r-{number}");
        let mut requests = vec![("/mrs/record", create(&record_id))];
        if number.is_multiple_of(2) {
            requests.push(("/mrs/tag/add", tag(&record_id)));
        }
        for (path, body) in requests {
            match client.call("POST", path, &[], Some(&body)) {
                Ok(reply) if reply.is_success() => {
                    let revision = reply.revision().expect("a revision");
                    known
                        .lock()
                        .acknowledged
                        .insert(record_id.clone(), revision);
                }
                Ok(reply) => panic!("{path}: {}", reply.text),
                Err(_) => {
                    known.lock().unanswered.push((path.to_owned(), body));
                    return;
                }
            }
        }
    }
}

/// Nothing acknowledged is missing, and what was not answered can be sent again without happening twice.
fn check(server: &Server, known: &mut Known) {
    for (path, body) in std::mem::take(&mut known.unanswered) {
        let got = server.post(&path, &body);
        let record_id = body["record_id"].as_str().expect("an id").to_owned();
        let done_before = path == "/mrs/tag/add" && got.refusal().1 == "conflict";
        assert!(
            got.status == 200 || done_before,
            "{path} {body}: {}",
            got.json()
        );
        let revision = if path == "/mrs/tag/add" { 2 } else { 1 };
        known.acknowledged.insert(record_id, revision);
    }
    let mut found = BTreeMap::new();
    let mut token: Option<String> = None;
    loop {
        let mut query = vec![("orgcode", "DEMO"), ("status", "all"), ("limit", "256")];
        if let Some(token) = &token {
            query.push(("next_token", token));
        }
        let page = server.get("/mrs/list", &query).data();
        for item in page["items"].as_array().expect("items") {
            let id = item["record_id"].as_str().expect("an id").to_owned();
            let twice = found.insert(id, item["revision"].as_u64().expect("a revision"));
            assert_eq!(twice, None);
        }
        token = page["next_token"].as_str().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert_eq!(found, known.acknowledged);
}

fn round(dir: &Path, next: &AtomicU64, known: &Mutex<Known>, goal: u64) {
    let arguments = ["--set", "journal.segment_bytes=262144"];
    let mut server = Server::start_in(dir, &arguments);
    check(&server, &mut known.lock());
    assert_eq!(server.end("TERM"), Some(0));
    check_stopped(dir);
    let mut server = Server::start_in(dir, &arguments);
    let stop = AtomicBool::new(false);
    let pid = server.pid().to_string();
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| write(&server, next, &stop, known));
        }
        let goal = next.load(Ordering::Relaxed) + goal;
        while next.load(Ordering::Relaxed) < goal {
            std::thread::yield_now();
        }
        let killed = std::process::Command::new("kill")
            .args(["-s", "KILL", &pid])
            .status();
        assert!(killed.expect("kill runs").success());
        stop.store(true, Ordering::Relaxed);
    });
    server.wait();
    assert_eq!(journal(dir, "verify")["good"], true);
}

#[test]
fn kills_lose_and_duplicate_no_acknowledged_write() {
    let rounds = std::env::var("METARECORD_KILL_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(ROUNDS);
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let (next, known) = (AtomicU64::new(0), Mutex::new(Known::default()));
    for number in 0..rounds {
        round(&dir, &next, &known, 200 + 97 * (number % 7));
    }
    let server = Server::start_in(&dir, &[]);
    let mut known = known.into_inner();
    check(&server, &mut known);
    println!("{rounds} kills, {} records", known.acknowledged.len());
}
