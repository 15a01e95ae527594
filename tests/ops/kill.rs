//! `kill -9` at many places of a vacuum: after a restart it finishes, and only what it covers is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;

use metarecord::actors::{RecordRequest, Requested};
use metarecord::clock::Clock;
use metarecord::content::local::LocalStore;
use metarecord::disk::RealDisk;
use metarecord::domain::record::{Record, RecordCommand, RecordKey};
use metarecord::domain::vacuum::{Scope, VacuumEvent};
use metarecord::domain::{ContainerName, Event, RecordId, StreamId};
use metarecord::journal::{Remarks, Source};
use metarecord::projections::{RecordName, records};
use serde_json::{Value, json};

use super::store::{
    CONTAINERS, Item, ORGS, What, canary, content, fill, inline, is_anywhere, org, seen,
};
use super::world::{World, wait, within_directory};
use crate::durability::check_stopped;
use crate::support::{ANY_DISK, Server, eventually};

/// Places at which the process is killed, at least.
const KILLS_MIN: usize = 30;
/// Kills tried of each system call, spread over how often one thread makes it.
const KILLS_EACH: usize = 7;
/// What changes files: each is a place at which a kill leaves something else behind.
const CALLS: [&str; 7] = [
    "fdatasync",
    "fsync",
    "rename",
    "unlink",
    "unlinkat",
    "rmdir",
    "pwrite64",
];
pub(crate) const VACUUM: &str = "v-killed";

type Seen = BTreeMap<String, (Record, Vec<u8>)>;

pub(crate) fn files(dir: &Path) -> Arc<LocalStore> {
    let opened = LocalStore::open(Arc::new(RealDisk), &dir.join("content"));
    Arc::new(opened.expect("it opens"))
}

/// A record of the vacuumed org that is held.
fn held() -> RecordKey {
    RecordKey {
        org: org(0),
        container: ContainerName::parse("held").expect("a container"),
        record_id: RecordId::parse("h-1").expect("an id"),
    }
}

/// Puts it and holds it.
fn hold(world: &World) {
    let record = inline(world, &held(), 300, None);
    let set = RecordCommand::SetHold {
        reason: "audit".to_owned(),
        expected: Some(record.revision),
    };
    let execute = RecordRequest {
        key: held(),
        command: Requested::Command(set),
        payload: None,
        idempotency: None,
        by: "tester".to_owned(),
        request_id: "r".to_owned(),
        source: Source::Gateway,
        remarks: Remarks::default(),
    };
    wait(world.registry.execute(execute)).expect("held");
}

/// What is there besides what the vacuum covers, and what is held.
fn others(dir: &Path) -> Seen {
    let (tell, told) = mpsc::channel();
    within_directory(dir, files(dir), Clock::system(), move |world| {
        let mut others = seen(world, &Scope::Org(org(0)), false);
        let key = held();
        let found = records::find(&world.deps.store, RecordName::from(&key));
        let record = found.expect("it can be read").expect("it is held");
        let bytes = content(world, &key.org, &record);
        others.insert("held".to_owned(), (record, bytes));
        tell.send(others).expect("somebody waits");
    });
    told.recv().expect("it was looked at")
}

/// A data directory with three orgs, and a vacuum of one of them that is due.
fn prepare(dir: &Path) {
    Server::start_in(dir, &[]).end("TERM");
    let items: Vec<Item> = (0..90)
        .map(|number| {
            let what = match number % 5 {
                0 => What::Upload(3_000, number % 2 == 0),
                1 => What::Doomed,
                2 => What::Refusal,
                _ => What::Inline(300, number % 2 == 0),
            };
            (
                number % ORGS.len(),
                number / ORGS.len() % CONTAINERS.len(),
                what,
            )
        })
        .collect();
    within_directory(dir, files(dir), Clock::system(), move |world| {
        fill(world, &items);
        hold(world);
        request(world, Scope::Org(org(0)));
    });
}

/// Journals a vacuum that is due.
pub(crate) fn request(world: &World, scope: Scope) {
    let requested = VacuumEvent::Requested {
        vacuum_id: VACUUM.to_owned(),
        scope,
        dry_run: false,
        reason: "r".to_owned(),
        execute_at: Some(world.clock.now()),
        plan_id: None,
        override_holds: false,
    };
    world.append(StreamId::named(StreamId::VACUUM), Event::Vacuum(requested));
}

pub(crate) fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp runs").success());
}

pub(crate) fn status(server: &Server) -> Value {
    server
        .invoke("ops_vacuum_status", &json!({"vacuum_id": VACUUM}))
        .data()
}

/// Lets the vacuum finish, and checks what is left. Returns its numbers.
fn finish(dir: &Path, before: &Seen, what: &str) -> Value {
    let mut server = Server::start_in(dir, &[]);
    eventually("the vacuum is over", || {
        status(&server)["finished_at"].is_string()
    });
    let vacuum = status(&server);
    assert_eq!(vacuum["status"], "completed", "{what}: {vacuum}");
    server.end("TERM");
    check_stopped(dir);
    for container in CONTAINERS {
        let text = canary(ORGS[0], container);
        let protected = container.starts_with("g3nmhsadmin");
        assert_eq!(is_anywhere(dir, &text), protected, "{what}: {text}");
    }
    assert_eq!(&others(dir), before, "{what}: nothing else is touched");
    vacuum["services"].clone()
}

/// How often one thread makes each call at most, from the start of the process to the end of the vacuum.
pub(crate) fn counts(
    dir: &Path,
    trace: &Path,
    is_over: &dyn Fn(&Server) -> bool,
) -> BTreeMap<String, usize> {
    let mut command = Command::new("strace");
    command
        .args(["-f", "-e", &format!("trace={}", CALLS.join(",")), "-o"])
        .arg(trace);
    let mut server = Server::start_by(command, dir, &[]);
    eventually("the vacuum is over", || is_over(&server));
    server.end_below("KILL");
    let mut by_thread = BTreeMap::<(String, String), usize>::new();
    for line in std::fs::read_to_string(trace)
        .expect("strace writes")
        .lines()
    {
        let Some((thread, call)) = line.split_once(' ') else {
            continue;
        };
        let name = call.trim_start().split('(').next().unwrap_or_default();
        if !CALLS.contains(&name) {
            continue;
        }
        *by_thread
            .entry((name.to_owned(), thread.to_owned()))
            .or_default() += 1;
    }
    let mut most = BTreeMap::new();
    for ((name, _), count) in by_thread {
        let known = most.entry(name).or_insert(0);
        *known = count.max(*known);
    }
    most
}

/// Runs the server until it is killed at the given call, or until the vacuum is over. Whether it was killed.
pub(crate) fn killed_at(dir: &Path, call: &str, when: usize) -> bool {
    let mut child = Command::new("strace")
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
    // The audit's file is written behind each event of the vacuum.
    let audit = dir.join("audit/maintenance-audit.jsonl");
    let over =
        || std::fs::read_to_string(&audit).is_ok_and(|lines| lines.contains("vacuum.completed"));
    let mut ended = None;
    eventually("it is killed or done", || {
        ended = child.try_wait().expect("it can be asked");
        ended.is_some() || over()
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

/// The last event of the vacuum in the journal.
pub(crate) fn reached(dir: &Path) -> String {
    let script = "cat \"$1\"/journal/*.jsonl; gzip -dc \"$1\"/journal/*.gz 2>/dev/null";
    let output = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(dir)
        .output();
    let text = String::from_utf8_lossy(&output.expect("sh runs").stdout).into_owned();
    let events = text.split("\"type\":\"vacuum.").skip(1);
    let event = events.max_by_key(|event| event.split("\"at\":").nth(1).map(str::to_owned));
    let event = event.unwrap_or_default();
    let step = event
        .split("\"step\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let name = event.split('"').next().unwrap_or_default();
    format!("{name} {}", step.unwrap_or_default())
        .trim()
        .to_owned()
}

#[test]
fn a_vacuum_killed_anywhere_finishes_after_a_restart() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let good = scratch.path().join("good");
    prepare(&good);
    let before = others(&good);
    let dir = |name: &str| -> PathBuf { scratch.path().join(name) };
    copy(&good, &dir("reference"));
    let numbers = finish(&dir("reference"), &before, "never killed");
    copy(&good, &dir("traced"));
    let is_over = |server: &Server| status(server)["finished_at"].is_string();
    let counts = counts(&dir("traced"), &dir("trace"), &is_over);
    let mut places = BTreeSet::new();
    for (call, most) in &counts {
        for number in 1..=KILLS_EACH {
            places.insert((call.clone(), (most * number).div_ceil(KILLS_EACH)));
        }
    }
    let (mut killed, mut steps) = (0, BTreeMap::<String, usize>::new());
    for (call, when) in places {
        let what = format!("killed at {call} number {when} of a thread");
        copy(&good, &dir("killed"));
        let by_kill = killed_at(&dir("killed"), &call, when);
        killed += usize::from(by_kill);
        *steps.entry(reached(&dir("killed"))).or_default() += usize::from(by_kill);
        assert_eq!(finish(&dir("killed"), &before, &what), numbers, "{what}");
        std::fs::remove_dir_all(dir("killed")).expect("removed");
    }
    println!("killed at {killed} places of {counts:?}, behind {steps:?}");
    assert!(killed >= KILLS_MIN, "{killed} kills");
}
