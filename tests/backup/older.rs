//! A data directory as an older program left it: kept as text, served from, and answering as it did then.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use metarecord::clock::Clock;
use metarecord::journal::copy;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{create, entries, good, kept, restore, verify};
use crate::cli::run::g3n;
use crate::support::agent;
use crate::support::inside::Inside;

/// What differs with every call: who answers and when, and urls that are signed.
const OF_THE_CALL: [&str; 6] = [
    "stats",
    "build",
    "url",
    "expires_in",
    "expires_at",
    "next_token",
];
/// A minute behind the last entry: nothing is overdue.
const LATER_MS: i64 = 60_000;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/directory-v1")
}

fn lines(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(golden().join(name)).expect("a golden file");
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// Makes the directory as it was: the first segment sealed, the content as files.
fn unpack(data: &Path) {
    let journal = data.join("journal");
    fs::create_dir_all(&journal).expect("made");
    fs::copy(
        golden().join("metarecord.json"),
        data.join("metarecord.json"),
    )
    .expect("copied");
    for entry in fs::read_dir(golden().join("journal"))
        .expect("listed")
        .flatten()
    {
        fs::copy(entry.path(), journal.join(entry.file_name())).expect("copied");
    }
    let content = fs::read_to_string(golden().join("content.txt")).expect("a golden file");
    for line in content.lines() {
        let (name, bytes) = line.split_once(' ').expect("a name and bytes");
        let path = data.join(name);
        fs::create_dir_all(path.parent().expect("a shelf")).expect("made");
        fs::write(path, STANDARD.decode(bytes).expect("base64")).expect("written");
    }
}

/// An answer without what differs with every call.
fn lasting(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter();
            let lasting = fields.filter(|(name, _)| !OF_THE_CALL.contains(&name.as_str()));
            let lasting = lasting.map(|(name, value)| (name.clone(), self::lasting(value)));
            Value::Object(lasting.collect())
        }
        Value::Array(items) => items.iter().map(lasting).collect(),
        other => other.clone(),
    }
}

/// Every question that was asked then is answered as it was.
fn ask_all(server: &Inside) {
    for line in lines("answers.jsonl") {
        let path = line["path"].as_str().expect("a path");
        let got = server.get(path);
        assert_eq!(Value::from(got.status), line["status"], "{path}");
        assert_eq!(lasting(&got.json()), line["body"], "{path}");
    }
    for line in lines("content.jsonl") {
        let path = line["path"].as_str().expect("a path");
        let url = server.get(path).data()["download"]["url"].clone();
        let mut body = agent()
            .get(url.as_str().expect("a url"))
            .call()
            .expect("an answer")
            .into_body();
        let mut bytes = Vec::new();
        body.as_reader().read_to_end(&mut bytes).expect("all of it");
        assert_eq!(hex::encode(Sha256::digest(bytes)), line["sha256"], "{path}");
    }
}

fn later(data: &Path) -> Clock {
    let all = entries(data, u64::MAX);
    let last = all.last().expect("an entry").header.recorded_at;
    Clock::manual(last.plus_millis(LATER_MS))
}

fn verify_journal(data: &Path) {
    let line = format!("journal verify --data-dir {} --output json", data.display());
    let told = good(&g3n(&line, Path::new("/"), &[], b""));
    assert_eq!(told["good"], true, "{told}");
}

#[test]
fn a_directory_of_the_first_format_is_served_from_and_answers_as_it_did() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let data = scratch.path().join("data");
    unpack(&data);
    verify_journal(&data);
    let before = entries(&data, u64::MAX);
    let clock = later(&data);
    let mut server = Inside::start_by(&data, clock.clone(), &[]);
    ask_all(&server);
    server.stop();
    let first = copy::open(&data.join("journal"), 1).expect("a segment");
    assert!(first.name.ends_with(".gz"), "the full segment is sealed");
    // Once more, now that its databases are there and the segment is sealed.
    let mut server = Inside::start_by(&data, clock, &[]);
    ask_all(&server);
    let new = serde_json::json!({"written": "by this program"});
    server.put("notes", "new", &new);
    server.stop();
    verify_journal(&data);
    let after = entries(&data, before.len() as u64);
    assert!(after == before, "not an entry has changed");
}

#[test]
fn a_backup_of_an_older_directory_is_taken_and_restored_as_it_is() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (data, backup) = (scratch.path().join("data"), scratch.path().join("backup"));
    unpack(&data);
    let before = entries(&data, u64::MAX);
    let told = good(&super::create_of(&data, &backup));
    assert_eq!(told["objects"], kept(&before).len());
    good(&verify(&backup));
    let restored = scratch.path().join("restored");
    good(&restore(&backup, &restored, ""));
    assert!(entries(&restored, u64::MAX) == before);
    let server = Inside::start_by(&restored, later(&data), &[]);
    ask_all(&server);
    // The restored server is backed up into the same directory: it goes on where the backup ended.
    let more = good(&create(&server, &backup, ""));
    assert!(more["position"].as_u64() > told["position"].as_u64());
    assert_eq!(more["copied"]["objects"], 0);
    good(&verify(&backup));
}
