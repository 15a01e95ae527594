//! `kill -9` of a server while an org comes: what was written of a page stays, the rest is brought again, and the end is equal.

use std::path::Path;
use std::process::Command;

use metarecord::clock::Clock;
use metarecord::journal::{Journal, Source};
use metarecord::journal::{Options, SledJournal};
use serde_json::Value;

use super::kill::{ORG, copy};
use super::{content, done, export, g3n, lines, make_org, owner, put_file, put_text, records};
use crate::support::Server;

/// Records with so much content each, that their history is several pages.
const RECORDS: usize = 60;
const CONTENT_BYTES: usize = 8_000;
/// Kills tried of each call.
const KILLS_EACH: usize = 5;
/// Kills that leave a part of the history, at least.
const PARTS_MIN: usize = 3;

fn fill(server: &Server) {
    make_org(server, ORG);
    for number in 0..RECORDS {
        let payload = format!("\"{}\"", format!("{number} ").repeat(CONTENT_BYTES / 3));
        put_text(server, ORG, &format!("n-{number}"), &payload, 0);
    }
    for (number, path) in super::equality::archives().iter().take(3).enumerate() {
        put_file(server, ORG, &format!("f-{number}"), path);
    }
}

/// A server below strace, of which only what it does to the file of its log counts.
fn traced(dir: &Path, trace: &Path, arguments: &[&str]) -> Server {
    let log = dir.join("journal/00000000000000000001.jsonl");
    assert!(log.exists(), "{}", log.display());
    let mut command = Command::new("strace");
    command.arg("-f").arg("-o").arg(trace);
    command.arg("-P").arg(log).args(arguments);
    Server::start_by(command, dir, &[])
}

/// How often the one thread that writes the log has made the call that is traced.
fn made(trace: &Path) -> usize {
    let text = std::fs::read_to_string(trace).expect("strace writes");
    let calls = text.lines().filter(|line| line.contains('('));
    let threads: Vec<_> = calls
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(
        threads.iter().all(|thread| *thread == threads[0]),
        "another thread writes the log: {text}"
    );
    threads.len()
}

/// How many entries an import has written.
fn imported(dir: &Path) -> usize {
    let (journal, _) = SledJournal::open(
        &dir.join("journal"),
        Options::default(),
        Clock::system(),
        &mut |_, _| {},
    )
    .expect("the journal opens");
    let entries = journal.read(1, usize::MAX).expect("it can be read");
    journal.close().expect("it closes");
    let bodies = entries.into_iter().filter_map(|entry| entry.body);
    bodies
        .filter(|body| body.origin.source == Source::Import)
        .count()
}

/// Every record of the org with its content.
fn all(server: &Server) -> Vec<(Value, Vec<u8>)> {
    let records = records(server, ORG).into_iter();
    records
        .map(|record| {
            let bytes = content(server, &record, 1);
            (record, bytes)
        })
        .collect()
}

#[test]
fn an_import_whose_server_is_killed_within_a_page_goes_on_and_ends_equal() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = |name: &str| scratch.path().join(name);
    let here = Server::start();
    fill(&here);
    let out = dir("acme");
    export(&here, ORG, &out);
    let (wanted, entries) = (all(&here), lines(&out.join("events.jsonl.gz")).len());
    let mut there = Server::start_in(&dir("base"), &[]);
    let owner = owner(&there);
    there.end("TERM");
    let path = out.to_str().expect("a readable path");
    let import = ["utl", "import", path, "--owner-user-id", &owner];
    let mut parts = Vec::new();
    for call in ["fdatasync", "pwrite64"] {
        copy(&dir("base"), &dir("traced"));
        let calls = format!("trace={call}");
        let mut server = traced(&dir("traced"), &dir("trace"), &["-e", &calls]);
        let before = made(&dir("trace"));
        done(&server, &import);
        server.end_below("KILL");
        let during = made(&dir("trace")) - before;
        println!("{call}: {before} before, {during} during");
        // However the entries of a page come to be grouped, each page has its own.
        assert!(during > KILLS_EACH, "{during} of {call}");
        std::fs::remove_dir_all(dir("traced")).expect("removed");
        for number in 1..=KILLS_EACH {
            let when = before + number;
            let inject = format!("inject={call}:signal=KILL:when={when}");
            copy(&dir("base"), &dir("killed"));
            let arguments = ["-e", calls.as_str(), "-e", inject.as_str()];
            let mut server = traced(&dir("killed"), Path::new("/dev/null"), &arguments);
            let killed = !g3n(&server, &import).status.success();
            assert!(killed, "it was not killed at {call} number {when}");
            server.wait();
            // In a copy: what was left is the server's to mend.
            copy(&dir("killed"), &dir("copy"));
            parts.push(imported(&dir("copy")));
            std::fs::remove_dir_all(dir("copy")).expect("removed");
            let there = Server::start_in(&dir("killed"), &[]);
            done(&there, &import);
            assert!(all(&there) == wanted, "killed at {call} number {when}");
            drop(there);
            std::fs::remove_dir_all(dir("killed")).expect("removed");
        }
    }
    println!("of {entries} entries there were {parts:?}");
    let some = parts.iter().filter(|part| (1..entries).contains(*part));
    assert!(some.count() >= PARTS_MIN, "{parts:?} of {entries}");
}
