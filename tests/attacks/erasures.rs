//! Somebody with the disk of a stopped server takes a record away by erasing its entry in the name of some event, and
//! removes the databases, which may be removed. No hash of the chain changes by that.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use metarecord::domain::vacuum::VacuumEvent;
use metarecord::domain::{Event, StreamId};
use metarecord::journal::replay::replay;
use serde_json::{Value, json};

use crate::cli::run::{Ran, g3n};
use crate::support::{Server, eventually, forge};

/// Vacuums begin after a second.
const SETTINGS: &[&str] = &["--set", "ops.vacuum_pending_seconds=1"];

/// A data directory with a dry run, a real vacuum of another org, and records that no vacuum erased.
pub(crate) struct History {
    scratch: tempfile::TempDir,
    /// The last position and its hash.
    pub(crate) head: Value,
    /// The first and the second entry of a record that was replaced.
    pub(crate) replaced: [u64; 2],
    /// The only entry of a record.
    pub(crate) single: u64,
    /// The record behind the vacuums.
    pub(crate) late: u64,
    /// Where a dry run of the same org began.
    pub(crate) dry_run: u64,
    /// Where the vacuum of another org began.
    pub(crate) vacuum: u64,
}

impl History {
    pub(crate) fn of_server(scratch: tempfile::TempDir) -> Self {
        let mut server = Server::start_in(&scratch.path().join("data"), SETTINGS);
        fill(&server);
        assert_eq!(server.end("TERM"), Some(0));
        let data = scratch.path().join("data");
        let head = g3n("journal head --data-dir data", scratch.path(), &[], b"").json();
        let org = server.orgcode.clone();
        let stream = |name: &str| positions(&data, &StreamId::named(&format!("mrs/{org}/{name}")));
        let replaced = stream("notes/replaced");
        let starts = started(&data);
        Self {
            head,
            replaced: [replaced[0], replaced[1]],
            single: stream("notes/single")[0],
            late: stream("notes/late")[0],
            dry_run: starts[0],
            vacuum: starts[1],
            scratch,
        }
    }

    /// A copy of the data directory as the server left it.
    pub(crate) fn copy(&self, name: &str) -> PathBuf {
        let to = self.scratch.path().join(name).join("data");
        forge::copy(&self.scratch.path().join("data"), &to);
        to.parent().expect("a parent").to_owned()
    }
}

/// Records of two orgs, a dry run of the first, and a vacuum of the second.
pub(crate) fn fill(server: &Server) {
    server.put_inline("notes", "single", &json!({"n": 1}), &[]);
    server.put_inline("notes", "replaced", &json!({"n": 1}), &[]);
    let body = json!({"orgcode": server.orgcode, "container": "notes", "record_id": "replaced",
        "content_type": "application/json", "payload": {"n": 2}, "expected_revision": 1});
    assert_eq!(server.post("/mrs/record", &body).status, 200);
    let snapshot = server.get("/whoami", &[]).data();
    let body =
        json!({"orgcode": "GONE", "owner_user_id": snapshot["user_id"], "status": "verified"});
    server.invoke("ofm_org_create", &body).data();
    for number in 0..5 {
        let body = json!({"orgcode": "GONE", "container": "notes", "record_id": format!("g-{number}"),
            "content_type": "application/json", "payload": {"n": number}});
        assert_eq!(server.post("/mrs/record", &body).status, 200);
    }
    vacuum(server, &server.orgcode, true);
    vacuum(server, "GONE", false);
    server.put_inline("notes", "late", &json!({"n": 1}), &[]);
}

fn vacuum(server: &Server, org: &str, dry_run: bool) {
    let body = json!({"orgcode": org, "reason": "r", "dry_run": dry_run, "secret_code": server.secret_code});
    let asked = server.invoke("ops_vacuum_org", &body).data();
    let about = json!({"vacuum_id": asked["vacuum_id"]});
    eventually("the vacuum is over", || {
        server.invoke("ops_vacuum_status", &about).data()["status"] == "completed"
    });
}

fn positions(data: &Path, stream: &StreamId) -> Vec<u64> {
    let entries = replay(&data.join("journal")).expect("readable");
    let entries = entries.stream(stream.clone());
    entries
        .map(|entry| entry.expect("sound").header.position)
        .collect()
}

fn started(data: &Path) -> Vec<u64> {
    let entries = replay(&data.join("journal")).expect("readable");
    let entries = entries.stream(StreamId::named(StreamId::VACUUM));
    let starts = |events: &[Event]| {
        events
            .iter()
            .any(|event| matches!(event, Event::Vacuum(VacuumEvent::Started { .. })))
    };
    entries
        .map(|entry| entry.expect("sound"))
        .filter(|entry| entry.body.as_ref().is_some_and(|body| starts(&body.events)))
        .map(|entry| entry.header.position)
        .collect()
}

/// How a start ends that must not succeed: its number, and what it said.
fn start(dir: &Path) -> (Option<i32>, String) {
    let facts = dir.join("data/dev.json");
    let _: Result<_, _> = std::fs::remove_file(&facts);
    let mut child = Command::new(env!("CARGO_BIN_EXE_g3n"))
        .args(["serve", "--dev", "--data-dir", "data"])
        .args([
            "--listen",
            "127.0.0.1:0",
            "--operator-listen",
            "127.0.0.1:0",
        ])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it begins");
    loop {
        if child.try_wait().expect("it can be asked").is_some() {
            let output = child.wait_with_output().expect("it ended");
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            return (output.status.code(), told);
        }
        if facts.exists() {
            child.kill().expect("it ends");
            child.wait().expect("it ended");
            return (None, "it serves".to_owned());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The check that shares no code with the program.
pub(super) fn check(place: &Path, heads: &[&str]) -> std::process::Output {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/journal-check/journal_check.py"
    );
    let mut command = Command::new("python3");
    command.arg(script).arg(place).args(heads);
    command.output().expect("python3 runs")
}

fn run(dir: &Path, line: &str) -> Ran {
    g3n(line, dir, &[], b"")
}

/// What an erasure of a position by another is called.
fn is_damage(history: &History, name: &str, position: u64, by: u64, why: &str) {
    let dir = history.copy(name);
    forge::erase(&dir.join("data"), position, by);
    let verified = run(&dir, "journal verify --data-dir data");
    let report = verified.json();
    assert_eq!(
        (verified.code, &report["good"]),
        (1, &json!(false)),
        "{name}: {report}"
    );
    let problems = report["problems"].as_array().expect("problems");
    let named = problems.iter().any(|problem| {
        let what = problem["what"].as_str().unwrap_or_default();
        problem["position"] == json!(position) && what.contains(why)
    });
    assert!(named, "{name}: {report}");
    let backup = run(&dir, "backup create copy --data-dir data");
    assert_ne!(backup.code, 0, "{name}: {backup:?}");
    // Entries that a later position erased may come from a server that runs.
    let named = [position, by].map(|position| format!("position {position}"));
    assert!(
        named
            .iter()
            .any(|named| backup.stderr.contains(named.as_str())),
        "{name}: {backup:?}"
    );
    // Not the second time either, when a part of the databases is there again.
    for _ in 0..2 {
        let (code, told) = start(&dir);
        assert!(code.is_some_and(|code| code != 0), "{name}: {told}");
        assert!(
            told.contains(&format!("position {position}")),
            "{name}: {told}"
        );
    }
    let script = check(&dir.join("data/journal"), &[]);
    let told = String::from_utf8_lossy(&script.stderr).into_owned();
    assert_eq!(script.status.code(), Some(1), "{name}: {script:?}");
    assert!(told.contains(&position.to_string()), "{name}: {told}");
    let exported = run(&dir, "journal export --data-dir data --out all.log");
    let verified = run(&dir, "journal verify all.log");
    assert_ne!(exported.code + verified.code, 0, "{name}: {verified:?}");
    let rebuilt = run(&dir, "journal rebuild --data-dir data");
    assert_ne!(rebuilt.code, 0, "{name}: {rebuilt:?}");
}

#[test]
fn an_entry_erased_in_the_name_of_what_did_not_erase_it_is_damage() {
    let history = History::of_server(tempfile::tempdir().expect("a directory"));
    let (single, late) = (history.single, history.late);
    let [first, second] = history.replaced;
    let (dry_run, vacuum) = (history.dry_run, history.vacuum);
    is_damage(&history, "dry-run", single, dry_run, "dry run");
    is_damage(&history, "other-scope", single, vacuum, "does not erase it");
    is_damage(
        &history,
        "first-of-a-stream",
        first,
        vacuum,
        "does not erase it",
    );
    is_damage(
        &history,
        "last-of-a-stream",
        second,
        vacuum,
        "does not erase it",
    );
    is_damage(
        &history,
        "no-order",
        single,
        vacuum + 1,
        "orders no erasure",
    );
    is_damage(&history, "by-itself", single, single, "not behind it");
    is_damage(&history, "by-one-ahead", late, vacuum, "not behind it");
    let end = history.head["position"].as_u64().expect("a position");
    is_damage(&history, "by-nothing", single, end + 7, "behind the end");
}

#[test]
fn what_a_vacuum_did_erase_is_good_with_and_without_the_databases() {
    let history = History::of_server(tempfile::tempdir().expect("a directory"));
    let dir = history.copy("sound");
    for database in ["journal/sled", "projections", "nothing"] {
        let _: Result<_, _> = std::fs::remove_dir_all(dir.join("data").join(database));
        let verified = run(&dir, "journal verify --data-dir data");
        let report = verified.json();
        assert_eq!(
            (verified.code, &report["good"]),
            (0, &json!(true)),
            "{report}"
        );
        assert_eq!(report["unproven"], json!([]));
        let mut server = Server::start_in(&dir.join("data"), SETTINGS);
        let query = [
            ("orgcode", server.orgcode.as_str()),
            ("container", "notes"),
            ("record_id", "single"),
        ];
        assert_eq!(server.get("/mrs/record", &query).status, 200);
        assert_eq!(server.end("TERM"), Some(0));
    }
}

#[test]
fn the_check_in_another_language_agrees_beside_a_running_server_and_of_an_export() {
    let scratch = tempfile::tempdir().expect("a directory");
    let server = Server::start_in(&scratch.path().join("data"), SETTINGS);
    fill(&server);
    let journal = scratch.path().join("data/journal");
    let head = run(scratch.path(), "journal head --data-dir data").json();
    let kept = format!(
        "{}:{}",
        head["position"],
        head["hash"].as_str().expect("text")
    );
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                server.put_inline("busy", &format!("b-{number}"), &json!({"n": number}), &[]);
                if done.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
            }
        });
        for _ in 0..5 {
            let good = check(&journal, &[&kept]);
            assert!(good.status.success(), "{good:?}");
            let said = String::from_utf8_lossy(&good.stdout).into_owned();
            assert!(said.contains("erased (0 of them unproven)"), "{said}");
            assert!(!said.contains(" 0 erased"), "{said}");
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let other = format!("{}:{}", head["position"], "0".repeat(64));
    assert_eq!(check(&journal, &[&other]).status.code(), Some(1));
    let exported = run(
        scratch.path(),
        "journal export --data-dir data --out all.log",
    );
    assert_eq!(exported.code, 0, "{exported:?}");
    let file = scratch.path().join("all.log");
    let good = check(&file, &[&kept]);
    assert!(good.status.success(), "{good:?}");
    let mut bytes = std::fs::read(&file).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).expect("written");
    assert_eq!(check(&file, &[]).status.code(), Some(1));
}
