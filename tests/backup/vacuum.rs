//! Backups and a vacuum: while it erases, and what the next backup does with what was erased.

use std::path::Path;

use serde_json::json;

use super::{SMALL_SEGMENTS, create, entries, files, good, restore, upload, verify};
use crate::support::eventually;
use crate::support::inside::{Inside, START_MS};
use metarecord::clock::Clock;
use metarecord::domain::Timestamp;

const CANARY: &str = "the-words-that-are-erased";

fn world(dir: &Path, clock: &Clock) -> Inside {
    let sets = [SMALL_SEGMENTS, "ops.sweep_seconds=1"];
    let server = Inside::start_by(dir, clock.clone(), &sets);
    for number in 0..200 {
        let text = json!({"words": CANARY, "more": "x".repeat(800)});
        server.put("notes", &format!("n-{number}"), &text);
    }
    for number in 0..20 {
        let text = format!("{CANARY} {number}");
        assert_eq!(
            upload(&server, &format!("b-{number}"), &text, None, true).status,
            200
        );
    }
    server
}

/// Asks for a vacuum of the org, and lets its time come.
fn begin_vacuum(server: &Inside) -> String {
    let body = json!({"orgcode": "demo", "reason": "Cleanup"});
    let vacuum = server.invoke("ops_vacuum_org", body).data();
    server.clock.advance(600_000);
    vacuum["vacuum_id"].as_str().expect("an id").to_owned()
}

fn status(server: &Inside, vacuum: &str) -> String {
    let body = json!({"vacuum_id": vacuum});
    let told = server.invoke("ops_vacuum_status", body).data();
    told["status"].as_str().expect("a status").to_owned()
}

fn is_in(directory: &Path, words: &str) -> bool {
    let words = words.as_bytes();
    let mut files = files(directory).into_iter();
    files.any(|(name, bytes)| {
        let content = match name.ends_with(".gz") {
            true => {
                let mut out = Vec::new();
                let mut gz = flate2::read::MultiGzDecoder::new(&bytes[..]);
                std::io::Read::read_to_end(&mut gz, &mut out).expect("gzip");
                out
            }
            false => bytes,
        };
        content.windows(words.len()).any(|part| part == words)
    })
}

#[test]
fn what_a_vacuum_erased_is_gone_from_the_next_backup_too() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (data, backup) = (scratch.path().join("data"), scratch.path().join("backup"));
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let server = world(&data, &clock);
    let first = good(&create(&server, &backup, ""));
    assert!(is_in(&backup, CANARY));
    assert_eq!(first["objects"], 20);
    let vacuum = begin_vacuum(&server);
    eventually("the vacuum is over", || {
        status(&server, &vacuum) == "completed"
    });
    let second = good(&create(&server, &backup, ""));
    assert!(!is_in(&backup, CANARY), "what was erased is in the backup");
    assert_eq!(second["objects"], 0);
    assert!(second["copied"]["segments"].as_u64() > Some(1), "{second}");
    good(&verify(&backup));
    let restored = scratch.path().join("restored");
    good(&restore(&backup, &restored, ""));
    let position = second["position"].as_u64().expect("a position");
    assert!(entries(&restored, u64::MAX) == entries(&data, position));
    let third = good(&create(&server, &backup, ""));
    assert_eq!(third["copied"]["objects"], 0);
    assert!(third["kept"]["segments"].as_u64() > Some(1), "{third}");
}

#[test]
fn a_vacuum_waits_while_a_backup_has_its_lease_and_the_backup_is_of_before() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (data, backup) = (scratch.path().join("data"), scratch.path().join("backup"));
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let server = world(&data, &clock);
    let lease = server.operator("ops_backup_begin", &json!({})).data();
    let position = lease["position"].as_u64().expect("a position");
    let before = entries(&data, position);
    let vacuum = begin_vacuum(&server);
    eventually("the vacuum has begun", || {
        status(&server, &vacuum) == "running"
    });
    // A backup that is made now has the vacuum's beginning in it, and all that it will erase.
    let told = good(&create(&server, &backup, ""));
    assert!(told["position"].as_u64() > Some(position), "{told}");
    assert_eq!(told["objects"], 20);
    assert!(entries(&data, position) == before, "it waits");
    assert!(is_in(&backup, CANARY));
    good(&verify(&backup));
    let ended = server.operator("ops_backup_end", &json!({"lease_id": lease["lease_id"]}));
    assert_eq!(ended.data()["kept"], true);
    eventually("the vacuum is over", || {
        status(&server, &vacuum) == "completed"
    });
    assert!(!is_in(&data.join("journal"), CANARY));
    // Restored, the vacuum goes on where the backup has it.
    let restored = scratch.path().join("restored");
    good(&restore(&backup, &restored, ""));
    let served = Inside::start_by(&restored, clock.clone(), &["ops.sweep_seconds=1"]);
    let body = json!({"vacuum_id": vacuum});
    eventually("the vacuum goes on", || {
        let told = served.operator("ops_vacuum_status", &body).data();
        told["status"] == "completed"
    });
    assert!(!is_in(&restored.join("journal"), CANARY));
    assert!(!is_in(&restored.join("content"), CANARY));
}

#[test]
fn a_lease_is_asked_for_with_the_operator_token_and_ends_once() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    let begun = server.operator("ops_backup_begin", &json!({})).data();
    assert_eq!(begun["lease_seconds"], 60);
    let body = json!({"lease_id": begun["lease_id"]});
    assert_eq!(server.operator("ops_backup_renew", &body).status, 200);
    assert_eq!(server.operator("ops_backup_end", &body).status, 200);
    let gone = (404, "not-found".to_owned(), "backup-lease".to_owned());
    assert_eq!(server.operator("ops_backup_end", &body).refusal(), gone);
    assert_eq!(server.operator("ops_backup_renew", &body).refusal(), gone);
    let nothing = server.operator("ops_backup_end", &json!({})).refusal();
    assert_eq!(nothing.0, 400);
    for function in ["ops_backup_begin", "ops_backup_renew", "ops_backup_end"] {
        let url = format!("{}/invoke/{function}", server.operator_url);
        let bare = crate::support::agent().post(url).send("{}");
        assert_eq!(crate::support::got(bare).status, 403, "{function}");
    }
}
