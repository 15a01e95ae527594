//! `kill -9` while an org leaves or comes: what was begun goes on, and comes to the same end.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use metarecord::clock::Clock;
use metarecord::domain::offboarding::OffboardingEvent;
use metarecord::domain::{Event, OrgCode, StreamId, Timestamp};
use metarecord::journal::{Append, Journal, Origin, Outcome, Remarks, Source};
use metarecord::journal::{Options, SledJournal};
use serde_json::{Value, json};

use super::{done, export, make_org, put_file, put_text, records};
use crate::support::inside::{Inside, START_MS};
use crate::support::{ANY_DISK, Server, eventually};

pub(super) const ORG: &str = "ACME";
/// What an export writes besides its content.
const WRITTEN: &[&str] = &[
    "progress.json",
    "progress.json.part",
    "events.jsonl.gz.part",
    "records.jsonl.gz.part",
    "content.jsonl.part",
    "manifest.json.part",
];
const WINDOW_MS: i64 = 720 * 60 * 60 * 1_000;

pub(super) fn fill(server: &Server) {
    make_org(server, ORG);
    for number in 0..20 {
        put_text(server, ORG, &format!("n-{number}"), &number.to_string(), 0);
    }
    for (number, path) in super::equality::archives().iter().take(4).enumerate() {
        put_file(server, ORG, &format!("f-{number}"), path);
    }
}

pub(super) fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.expect("cp runs").success());
}

/// The only export below a data directory.
pub(super) fn export_of(dir: &Path) -> Option<PathBuf> {
    let mut found = std::fs::read_dir(dir.join("exports").join(ORG)).ok()?;
    Some(found.next()?.ok()?.path())
}

/// Every file of an export, without the one time in it that no two runs have in common.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for dir in [root.to_owned(), root.join("content")] {
        for entry in std::fs::read_dir(dir).expect("read").flatten() {
            let path = entry.path();
            if path.is_file() {
                let name = path.strip_prefix(root).expect("below it").to_owned();
                files.insert(name, std::fs::read(&path).expect("read"));
            }
        }
    }
    let manifest = files
        .get_mut(Path::new("manifest.json"))
        .expect("a manifest");
    let mut value: Value = serde_json::from_slice(manifest).expect("JSON");
    value["made_at"] = json!(null);
    *manifest = value.to_string().into_bytes();
    files
}

/// Serves until the export is finished, in a process of its own, and returns its files.
fn finish(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut server = Server::start_in(dir, &[]);
    let body = json!({"orgcode": ORG});
    let status = || server.invoke("utl_offboarding_status", &body).data();
    eventually("the export is finished", || {
        status()["exports"][0]["status"] == "completed"
    });
    assert_eq!(server.end("TERM"), Some(0));
    files(&export_of(dir).expect("an export"))
}

/// Serves until it is killed at a call of the file system, or the export is there. Whether it was killed.
fn killed_at(dir: &Path, id: &str, (call, when): (&str, usize)) -> bool {
    let root = dir.join("exports").join(ORG).join(id);
    let mut strace = Command::new("strace");
    // Only what the export does counts.
    strace.arg("-P").arg(&root);
    for name in WRITTEN {
        strace.arg("-P").arg(root.join(name));
    }
    let mut child = strace
        .args([
            "-f",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={call}"),
            "-e",
        ])
        .arg(format!("inject={call}:signal=KILL:when={when}"))
        .args([
            env!("CARGO_BIN_EXE_g3n"),
            "serve",
            "--dev",
            "--listen",
            "127.0.0.1:0",
        ])
        .args(["--operator-listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir)
        .envs(ANY_DISK.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("strace runs");
    let manifest = || export_of(dir).is_some_and(|dir| dir.join("manifest.json").exists());
    let mut ended = None;
    eventually("it is killed or done", || {
        ended = child.try_wait().expect("it can be asked");
        ended.is_some() || manifest()
    });
    if ended.is_none() {
        let parent = child.id().to_string();
        let sent = Command::new("pkill")
            .args(["-x", "-KILL", "-P", &parent, "g3n"])
            .status();
        sent.expect("pkill runs");
        child.wait().expect("it can be waited for");
    }
    // strace ends by the signal that ended what it ran.
    ended.is_some_and(|status| status.signal() == Some(9))
}

#[test]
fn an_export_killed_at_any_of_its_steps_is_the_same_in_the_end() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let base = scratch.path().join("base");
    // One that sleeps for long, so that nothing is made yet when it is killed.
    let mut server = Server::start_in(&base, &["--set", "ops.sweep_seconds=60"]);
    fill(&server);
    let asked = server.invoke("utl_export", &json!({"orgcode": ORG}));
    let asked = asked.data()["exports"][0]["export_id"].clone();
    let id = asked.as_str().expect("an id");
    server.end("KILL");
    assert_eq!(export_of(&base), None);
    let dir = |name: &str| scratch.path().join(name);
    copy(&base, &dir("reference"));
    let wanted = finish(&dir("reference"));
    assert_eq!(wanted.len(), 4 + 4, "four files and four contents");
    let mut killed = 0;
    for (call, whens) in [
        ("linkat", &[1, 2, 3][..]),
        ("rename", &[1, 2, 3, 5, 8]),
        ("fsync", &[1, 2, 3, 4, 5, 7, 9, 12, 15]),
        ("fdatasync", &[1, 2, 3]),
        ("unlink", &[1, 2, 3]),
    ] {
        for when in whens {
            copy(&base, &dir("killed"));
            killed += usize::from(killed_at(&dir("killed"), id, (call, *when)));
            assert!(
                finish(&dir("killed")) == wanted,
                "killed at {call} number {when}"
            );
            std::fs::remove_dir_all(dir("killed")).expect("removed");
        }
    }
    println!("killed at {killed} places");
    assert!(killed >= 20, "{killed} kills");
}

#[test]
fn an_import_that_was_broken_off_goes_on_where_it_was() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let here = Server::start();
    fill(&here);
    let out = scratch.path().join("acme");
    let told = export(&here, ORG, &out);
    let dir = scratch.path().join("there");
    let mut there = Server::start_in(&dir, &[]);
    let lines = super::lines(&out.join("events.jsonl.gz"));
    let begin = json!({"orgcode": ORG, "manifest_sha256": told["manifest_sha256"],
        "export_id": told["export_id"], "entries": lines.len()});
    there.invoke("utl_import_begin", &begin).data();
    let first: Vec<_> = lines.iter().skip(1).take(7).collect();
    let page = json!({"orgcode": ORG, "lines": first});
    assert_eq!(
        there.invoke("utl_import_events", &page).data()["appended"],
        7
    );
    there.end("KILL");
    let mut there = Server::start_in(&dir, &[]);
    // Nobody has it yet, and nobody else takes its name.
    let create = json!({"orgcode": ORG, "owner_email": "demo@example.com"});
    assert_eq!(
        there.invoke("ofm_org_create", &create).refusal().2,
        "import-running"
    );
    let owner = super::owner(&there);
    let path = out.to_str().expect("a readable path");
    done(&there, &["utl", "import", path, "--owner-user-id", &owner]);
    assert_eq!(records(&here, ORG), records(&there, ORG));
    there.end("KILL");
    let there = Server::start_in(&dir, &[]);
    assert_eq!(records(&here, ORG), records(&there, ORG));
}

/// Writes an event as if the process had been killed behind it.
fn write(dir: &Path, event: OffboardingEvent, expected: u64) {
    let clock = Clock::manual(Timestamp::from_millis(START_MS + WINDOW_MS));
    let (journal, _) = SledJournal::open(
        &dir.join("journal"),
        Options::default(),
        clock,
        &mut |_, _| {},
    )
    .expect("the journal opens");
    let append = Append {
        stream: StreamId::offboarding(&OrgCode::parse(ORG).expect("a code")),
        expected,
        guards: Vec::new(),
        events: vec![Event::Offboarding(event)],
        payload: None,
        idempotency: None,
        origin: Origin {
            at: Timestamp::from_millis(START_MS + WINDOW_MS),
            by: "job:offboarding".to_owned(),
            request_id: "r".to_owned(),
            source: Source::Job,
            remarks: Remarks::default(),
        },
    };
    let outcome = journal.append(append).blocking_recv();
    assert!(
        matches!(outcome, Ok(Outcome::Appended { .. })),
        "{outcome:?}"
    );
    journal.close().expect("it closes");
}

#[test]
fn a_purge_that_was_noted_and_not_begun_goes_on() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut server = Inside::start(scratch.path());
    let body = json!({"orgcode": ORG, "owner_email": "demo@example.com"});
    server.operator("ofm_org_create", &body).data();
    let body = json!({"orgcode": ORG, "reason": "moving"});
    server.post("/utl/offboarding/request", &body).data();
    let body = json!({"orgcode": ORG});
    server
        .invoke("utl_offboarding_approve", body.clone())
        .data();
    let status = |server: &Inside| server.operator("utl_offboarding_status", &body).data();
    eventually("it is exported", || {
        status(&server)["exports"][0]["status"] == "completed"
    });
    server.stop();
    // Requested, approved, the export asked for and finished.
    let vacuum_id = "00000000-0000-0000-0000-000000000009".to_owned();
    write(
        scratch.path(),
        OffboardingEvent::PurgeStarted {
            vacuum_id: vacuum_id.clone(),
        },
        4,
    );
    let clock = Clock::manual(Timestamp::from_millis(START_MS + WINDOW_MS));
    let server = Inside::start_by(scratch.path(), clock, &[]);
    eventually("it is purged", || status(&server)["status"] == "purged");
    assert_eq!(status(&server)["vacuum_id"], vacuum_id);
}
