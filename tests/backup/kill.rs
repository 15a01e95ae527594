//! `g3n backup create` killed anywhere leaves the last finished backup, and the next one goes on.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::{SMALL_SEGMENTS, create, entries, files, good, restore, upload, verify};
use crate::support::inside::{Inside, START_MS};
use metarecord::clock::Clock;
use metarecord::domain::Timestamp;

/// Backups that are to be killed.
const TRIES: usize = 12;

/// Runs a backup and kills it as soon as something is so, or lets it end.
fn kill_when(server: &Inside, into: &Path, is_so: &dyn Fn() -> bool) -> bool {
    let mut child = Command::new(env!("CARGO_BIN_EXE_g3n"))
        .args(["backup", "create"])
        .arg(into)
        .arg("--data-dir")
        .arg(&server.dir)
        .args(["--operator-url", &server.operator_url])
        .env_clear()
        .envs(crate::support::measured())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    loop {
        if let Some(status) = child.try_wait().expect("it can be asked") {
            assert!(status.success());
            return false;
        }
        if is_so() {
            child.kill().expect("killed");
            child.wait().expect("it ended");
            return true;
        }
        std::thread::yield_now();
    }
}

/// Files below a directory that may change meanwhile.
fn count(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.path().is_dir() {
            true => count(&entry.path()),
            false => 1,
        })
        .sum()
}

fn fill(server: &Inside, round: usize) {
    for number in 0..40 {
        let text = json!({"number": number, "more": "x".repeat(2_000)});
        server.put("notes", &format!("n-{round}-{number}"), &text);
        let id = format!("b-{round}-{number}");
        assert_eq!(upload(server, &id, &id, None, true).status, 200);
    }
}

#[test]
fn a_backup_killed_anywhere_leaves_the_last_one_and_the_next_goes_on() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (data, backup) = (scratch.path().join("data"), scratch.path().join("backup"));
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let server = Inside::start_by(&data, clock, &[SMALL_SEGMENTS]);
    fill(&server, 0);
    // The very first one too: what it left is no reason to refuse.
    let begun = || count(&backup) >= 5;
    assert!(kill_when(&server, &backup, &begun), "it ended before");
    let mut told = good(&create(&server, &backup, ""));
    let mut killed = 0;
    for round in 1..=TRIES {
        fill(&server, round);
        let before = count(&backup);
        let last = backup.join(format!("generation-{}", told["generation"]));
        // Ever later while files are copied, and when what only the last one had goes.
        let copied = || count(&backup) >= before + round * 4;
        let removed = || !last.exists();
        let is_so: &dyn Fn() -> bool = match round % 2 {
            0 => &copied,
            _ => &removed,
        };
        killed += usize::from(kill_when(&server, &backup, is_so));
        // The last finished one, or this one.
        let found = good(&verify(&backup));
        assert!(found["position"].as_u64() >= told["position"].as_u64());
        told = good(&create(&server, &backup, ""));
        assert_eq!(good(&verify(&backup))["left_over"], 0);
    }
    assert!(killed >= TRIES / 3, "only {killed} kills");
    let restored = scratch.path().join("restored");
    good(&restore(&backup, &restored, ""));
    let position = told["position"].as_u64().expect("a position");
    assert!(entries(&restored, u64::MAX) == entries(&data, position));
}

#[test]
fn a_second_backup_copies_nothing_that_the_first_has() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (data, backup) = (scratch.path().join("data"), scratch.path().join("backup"));
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let mut server = Inside::start_by(&data, clock.clone(), &[SMALL_SEGMENTS]);
    for round in 0..4 {
        fill(&server, round);
    }
    // Stopped, nothing is sealed any more between two backups.
    server.stop();
    let first = good(&super::create_of(&data, &backup));
    let copied = |told: &serde_json::Value, what: &str| told["copied"][what].as_u64().expect(what);
    let contents = files(&backup.join("content"));
    assert_eq!(copied(&first, "objects"), 160);
    assert_eq!(contents.len(), 160);
    let lists = |told: &serde_json::Value| {
        let number = &told["generation"];
        let directory = backup.join(format!("generation-{number}"));
        let sizes = ["content.jsonl", "metarecord.json", "journal/state.json"].map(|name| {
            let metadata = std::fs::metadata(directory.join(name));
            metadata.expect("a file").len()
        });
        sizes.iter().sum::<u64>()
    };
    // Repeat it: only the small files that tell of it are written.
    let second = good(&super::create_of(&data, &backup));
    assert_eq!(
        (copied(&second, "segments"), copied(&second, "objects")),
        (0, 0)
    );
    assert_eq!(copied(&second, "bytes"), lists(&second));
    assert_eq!(second["kept"]["segments"], first["segments"]);
    assert_eq!(second["position"], first["position"]);
    // One entry and one content more: the open segment and that content.
    let server = Inside::start_by(&data, clock, &[SMALL_SEGMENTS]);
    assert_eq!(
        upload(&server, "one-more", "one more", None, true).status,
        200
    );
    let third = good(&create(&server, &backup, ""));
    assert_eq!(copied(&third, "objects"), 1);
    assert!(copied(&third, "segments") <= 3, "{third}");
    let whole = first["bytes"].as_u64().expect("bytes");
    assert!(copied(&third, "bytes") < whole / 2, "{third} of {whole}");
    good(&verify(&backup));
}
