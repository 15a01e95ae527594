//! `kill -9` at places of an offboarding's purge: after a restart it ends, and nothing else is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use metarecord::clock::Clock;
use metarecord::domain::{Md5, Timestamp};
use serde_json::{Value, json};

use super::kill::{ORG, copy};
use crate::durability::check_stopped;
use crate::ops::kill::{counts, killed_at, reached};
use crate::ops::store::is_anywhere;
use crate::support::inside::Inside;
use crate::support::{Server, eventually};

/// Long ago: by the system's clock the window has ended.
const THEN_MS: i64 = 1_600_000_000_000;
/// Stands in everything of the org that leaves.
const CANARY: &str = "canary-of-who-leaves";
const OTHER: &str = "OTHER";
/// Kills tried of each system call, spread over how often one thread makes it.
const KILLS_EACH: usize = 2;
/// Kills that come while it erases, at least.
const KILLS_MIN: usize = 5;

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(text.as_bytes()).expect("in memory");
    encoder.finish().expect("in memory")
}

/// Makes a record, as an upload or inline.
fn put(server: &Inside, org: &str, id: &str, text: &str, as_upload: bool) {
    let mut body = json!({"orgcode": org, "container": "notes", "record_id": id, "tags": ["t"]});
    if !as_upload {
        body["content_type"] = json!("application/json");
        body["payload"] = json!(text);
        server.post("/mrs/record", &body).data();
        return;
    }
    let gz = gzip(text);
    let (size, md5) = (json!(gz.len()), json!(Md5::of(&gz).to_string()));
    body["content_type"] = json!("text/plain");
    (body["size"], body["content_md5"]) = (size.clone(), md5.clone());
    let put = server.post("/mrs/record", &body).data();
    let url = put["upload"]["url"].as_str().expect("a url");
    let path = url.strip_prefix(&server.base_url).expect("a path");
    assert_eq!(server.put_bytes(path, &gz).status, 200);
    let complete = json!({"orgcode": org, "container": "notes", "record_id": id,
        "content_token": put["content_token"], "size": size, "content_md5": md5});
    server.post("/mrs/record/complete", &complete).data();
}

/// Two orgs, of which one is about to be erased: its window ended while nobody served.
fn prepare(dir: &Path) {
    let clock = Clock::manual(Timestamp::from_millis(THEN_MS));
    let mut server = Inside::start_by(dir, clock, &[]);
    for (org, text) in [(ORG, CANARY), (OTHER, "of-who-stays")] {
        let body = json!({"orgcode": org, "owner_email": "demo@example.com"});
        server.operator("ofm_org_create", &body).data();
        for number in 0..30 {
            let text = format!("{text} {number}");
            put(&server, org, &format!("n-{number}"), &text, number % 3 == 0);
        }
    }
    let body = json!({"orgcode": ORG, "reason": "moving"});
    server.post("/utl/offboarding/request", &body).data();
    let body = json!({"orgcode": ORG});
    server
        .invoke("utl_offboarding_approve", body.clone())
        .data();
    eventually("it is exported", || {
        let status = server.operator("utl_offboarding_status", &body).data();
        status["exports"][0]["status"] == "completed"
    });
    server.stop();
}

fn is_purged(server: &Server) -> bool {
    let status = server.invoke("utl_offboarding_status", &json!({"orgcode": ORG}));
    status.data()["status"] == "purged"
}

/// What there is of the org that stays, with its content.
fn others(server: &Server) -> BTreeMap<String, (Value, Vec<u8>)> {
    let mut others = BTreeMap::new();
    for record in super::records(server, OTHER) {
        let id = record["record_id"].as_str().expect("an id").to_owned();
        let content = super::content(server, &record, 1);
        others.insert(id, (record, content));
    }
    assert_eq!(others.len(), 30);
    others
}

/// Serves until the org is purged, and checks what is left. Returns what there is of the other.
fn finish(dir: &Path, what: &str) -> BTreeMap<String, (Value, Vec<u8>)> {
    let mut server = Server::start_in(dir, &[]);
    eventually("it is purged", || is_purged(&server));
    let others = others(&server);
    let list = server.get("/mrs/list", &[("orgcode", ORG)]);
    assert_eq!(list.status, 404, "{what}");
    assert_eq!(server.end("TERM"), Some(0));
    check_stopped(dir);
    // Its export stays for a while.
    for part in ["journal", "projections", "content"] {
        let found = is_anywhere(&dir.join(part), CANARY);
        assert!(!found, "{what}: something is left in {part}");
    }
    assert!(dir.join("exports").join(ORG).exists(), "{what}");
    others
}

#[test]
fn a_purge_that_is_killed_ends_after_a_restart_and_nothing_else_is_gone() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = |name: &str| scratch.path().join(name);
    prepare(&dir("base"));
    copy(&dir("base"), &dir("reference"));
    let wanted = finish(&dir("reference"), "never killed");
    copy(&dir("base"), &dir("traced"));
    let counts = counts(&dir("traced"), &dir("trace"), &is_purged);
    let mut places = BTreeSet::new();
    for (call, most) in &counts {
        for number in 1..=KILLS_EACH {
            places.insert((call.clone(), (most * number).div_ceil(KILLS_EACH)));
        }
    }
    let mut steps = BTreeMap::<String, usize>::new();
    for (call, when) in places {
        let what = format!("killed at {call} number {when} of a thread");
        copy(&dir("base"), &dir("killed"));
        let by_kill = killed_at(&dir("killed"), &call, when);
        *steps.entry(reached(&dir("killed"))).or_default() += usize::from(by_kill);
        assert!(finish(&dir("killed"), &what) == wanted, "{what}");
        std::fs::remove_dir_all(dir("killed")).expect("removed");
    }
    println!("killed behind {steps:?} of {counts:?}");
    let within = steps
        .iter()
        .filter(|(step, _)| step.starts_with("started") || step.starts_with("step"));
    let within: usize = within.map(|(_, kills)| kills).sum();
    assert!(within >= KILLS_MIN, "{steps:?}");
}
