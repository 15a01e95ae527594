//! One backup after the other of a server with 64 writers, each checked, restored and compared with the journal.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use super::{BLOBS, SMALL_SEGMENTS, create, drift, entries, good, kept, restore, upload, verify};
use crate::support::inside::{Inside, START_MS};
use metarecord::clock::Clock;
use metarecord::domain::Timestamp;

/// Writers at once.
const WRITERS: u64 = 64;
/// What each writer does at most in a round, so that later rounds take no longer than the first.
const TURNS_MAX: u64 = 3;
/// Rounds unless `METARECORD_BACKUP_ROUNDS` says otherwise.
const ROUNDS: u64 = 3;
/// How often a server that is started on what was restored compares records, rows and files: it takes long.
const LOOK_EVERY_ROUNDS: u64 = 5;
/// Longer than content that has ended is kept.
const RETENTION_MS: i64 = 400 * 24 * 60 * 60 * 1_000;

/// Counts what was answered as done while others look.
#[derive(Default)]
struct Load {
    done: AtomicU64,
    removed: AtomicU64,
    /// The backup begins: until then each writer takes one turn only.
    begun: AtomicBool,
    stop: AtomicBool,
}

impl Load {
    fn is_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn count(&self, status: u16) {
        self.done
            .fetch_add(u64::from(status == 200), Ordering::Relaxed);
    }

    fn wait_for(&self, done: u64) {
        while self.done.load(Ordering::Relaxed) < done {
            std::thread::yield_now();
        }
    }
}

/// One writer: inline content, uploads, uploads over uploads, uploads that nobody completes, dooms.
fn write(server: &Inside, load: &Load, name: &str) {
    for number in 0..TURNS_MAX {
        while load.is_on() && number > 0 && !load.begun.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        if !load.is_on() {
            return;
        }
        let (note, blob) = (format!("n-{name}-{number}"), format!("b-{name}-{number}"));
        let body = json!({"orgcode": "demo", "container": "notes", "record_id": note,
            "content_type": "application/json", "payload": {"note": note}, "tags": ["t"]});
        load.count(server.post("/mrs/record", &body).status);
        let first = upload(server, &blob, &format!("first of {blob}"), None, true);
        load.count(first.status);
        let revision = first.json()["revision"].as_u64();
        if number.is_multiple_of(2) {
            let text = format!("second of {blob}");
            load.count(upload(server, &blob, &text, revision, true).status);
        } else {
            let doom = json!({"orgcode": "demo", "container": BLOBS, "record_id": blob, "expected_revision": revision});
            load.count(server.post("/mrs/doom", &doom).status);
        }
        let waiting = format!("w-{name}-{number}");
        load.count(upload(server, &waiting, &waiting, None, false).status);
    }
}

/// Removes what has been kept long enough, over and over.
fn clean(server: &Inside, load: &Load) {
    while load.is_on() {
        let body = json!({"orgcode": "demo", "container": BLOBS, "max_items": 50});
        let cleaned = server.operator("mrs_cleanup", &body).json();
        let removed = &cleaned["data"]["removed"];
        for kind in ["versions", "doomed_content", "uploads"] {
            let count = removed[kind].as_u64().unwrap_or_default();
            load.removed.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// Backs up while all write. Returns what the backup told, and how many contents were removed meanwhile.
fn back_up(server: &Inside, into: &Path, round: u64) -> (Value, u64) {
    let load = Load::default();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (load, name) = (&load, format!("{round}-{writer}"));
            scope.spawn(move || write(server, load, &name));
        }
        scope.spawn(|| clean(server, &load));
        load.wait_for(WRITERS);
        let before = load.done.load(Ordering::Relaxed);
        load.begun.store(true, Ordering::Relaxed);
        let told = good(&create(server, into, ""));
        let after = load.done.load(Ordering::Relaxed);
        assert!(after > before, "they wrote while it was copied");
        load.stop.store(true, Ordering::Relaxed);
        (told, load.removed.load(Ordering::Relaxed))
    })
}

/// What was restored is the journal up to the position, with all the content it names there.
fn compare(server: &Inside, restored: &Path, told: &Value) {
    let position = told["position"].as_u64().expect("a position");
    let (source, copy) = (entries(&server.dir, position), entries(restored, u64::MAX));
    assert_eq!(copy.len() as u64, position);
    assert!(copy == source, "the entries are not the same");
    let kept = kept(&copy);
    assert!(!kept.is_empty());
    for file in &kept {
        let bytes = std::fs::read(restored.join(file)).expect("the content is there");
        // The server may have removed it since.
        if let Ok(own) = std::fs::read(server.dir.join(file)) {
            assert!(bytes == own, "{}", file.display());
        }
    }
}

#[test]
fn backups_under_load_restore_to_the_journal_at_their_position() {
    let rounds = std::env::var("METARECORD_BACKUP_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(ROUNDS);
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (data, backup) = (scratch.path().join("data"), scratch.path().join("backup"));
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let server = Inside::start_by(&data, clock.clone(), &[SMALL_SEGMENTS]);
    let (mut removed_in_all, mut kept_in_all) = (0, 0);
    for round in 0..rounds {
        let (told, removed) = back_up(&server, &backup, round);
        removed_in_all += removed;
        let found = good(&verify(&backup));
        assert_eq!(
            (&found["good"], &found["left_over"], &found["position"]),
            (&json!(true), &json!(0), &told["position"])
        );
        let restored = scratch.path().join(format!("restored-{round}"));
        good(&restore(&backup, &restored, ""));
        compare(&server, &restored, &told);
        kept_in_all += told["kept"]["segments"].as_u64().expect("a number");
        if round % LOOK_EVERY_ROUNDS == 0 || round + 1 == rounds {
            let served = Inside::start_by(&restored, clock.clone(), &[]);
            for container in ["notes", BLOBS] {
                assert_eq!(drift(&served, container), Vec::<Value>::new());
            }
        }
        println!("round {round}: {told}, {removed} removed meanwhile");
        std::fs::remove_dir_all(&restored).expect("removed");
        clock.advance(RETENTION_MS);
    }
    assert!(removed_in_all > 0, "cleanup removed something meanwhile");
    assert!(kept_in_all > 0, "later backups copied only what is new");
}
