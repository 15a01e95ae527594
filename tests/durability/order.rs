//! No answer leaves before the sync of its group returned: seen from outside, by the system calls.

use std::process::Command;

use serde_json::json;

use crate::support::Server;

/// Creates sent one after the other.
const CREATES: usize = 30;

/// What the trace shows, in the order in which it began or, for syncs, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Entry,
    Synced,
    Answer,
}

#[test]
fn every_answer_to_a_create_leaves_after_its_sync_returned() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let trace = scratch.path().join("trace");
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-y",
        "-s",
        "64",
        "-e",
        "trace=write,writev,pwrite64,pwritev,sendto,sendmsg,fdatasync,fsync",
        "-o",
    ]);
    command.arg(&trace);
    let mut server = Server::start_by(command, &scratch.path().join("data"), &[]);
    let from = std::fs::read_to_string(&trace)
        .expect("strace writes")
        .len();
    for number in 0..CREATES {
        server.put_inline("notes", &format!("n-{number}"), &json!(number), &[]);
    }
    // What strace has not written yet it writes at the server's end.
    server.end_below("TERM");
    let text = std::fs::read_to_string(&trace).expect("strace writes");
    let seen: Vec<_> = text[from..].lines().filter_map(what).collect();
    let answers = seen.iter().filter(|seen| **seen == Seen::Answer).count();
    assert!(answers >= CREATES, "the trace shows {answers} answers");
    let (mut durable, mut written, mut checked) = (0, 0, 0);
    for seen in seen {
        match seen {
            Seen::Entry => written += 1,
            Seen::Synced => durable = written,
            Seen::Answer => {
                checked += 1;
                assert!(
                    durable >= checked,
                    "answer {checked} left when {durable} entries were durable"
                );
            }
        }
    }
}

/// A line of the trace: `1234 write(7</dir/journal/000.jsonl>, "...", 99) = 99`, or its two halves when it was
/// interrupted; a sync counts when it returned.
fn what(line: &str) -> Option<Seen> {
    let call = line.split_once(' ')?.1.trim_start();
    if call.contains(".jsonl>") && call.starts_with("fdatasync(") && call.ends_with("= 0") {
        return Some(Seen::Synced);
    }
    // Only the writing thread syncs data, so the end of an interrupted call is the segment's.
    if call.starts_with("<... fdatasync resumed>") && call.ends_with("= 0") {
        return Some(Seen::Synced);
    }
    if call.contains(".jsonl>") && (call.starts_with("write(") || call.starts_with("pwrite64(")) {
        return Some(Seen::Entry);
    }
    (call.contains("\"HTTP/1.1 200 OK")).then_some(Seen::Answer)
}

/// The steps by which an upload becomes durable, in the order in which they must return.
const STEPS: [&str; 4] = [
    "the bytes are synced",
    "the file is in its place",
    "its directory is synced",
    "the answer leaves",
];

#[test]
fn an_upload_is_answered_only_when_its_bytes_its_name_and_its_directory_are_durable() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let trace = scratch.path().join("trace");
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-y",
        "-s",
        "64",
        "-e",
        "trace=rename,renameat,renameat2,fsync,write,writev,sendto,sendmsg",
        "-o",
    ]);
    command.arg(&trace);
    let mut server = Server::start_by(command, &scratch.path().join("data"), &[]);
    let gz = gzip();
    let md5 = metarecord::domain::Md5::of(&gz).to_string();
    let body = json!({"orgcode": "demo", "container": "blobs", "record_id": "b", "content_type": "text/plain", "size": gz.len(), "content_md5": md5});
    let put = server.post("/mrs/record", &body).data();
    let from = std::fs::read_to_string(&trace)
        .expect("strace writes")
        .len();
    assert_eq!(
        server
            .put_url(put["upload"]["url"].as_str().expect("a url"), &[], &gz)
            .status,
        200
    );
    server.end_below("TERM");
    let text = std::fs::read_to_string(&trace).expect("strace writes");
    let mut reached = 0;
    for line in text[from..].lines() {
        let call = line
            .split_once(' ')
            .map_or("", |(_, call)| call.trim_start());
        let done = call.ends_with("= 0");
        let step = match call {
            _ if call.starts_with("fsync(") && call.contains("/content/tmp/") && done => 1,
            _ if call.starts_with("rename") && call.contains("/content/tmp/") && done => 2,
            _ if call.starts_with("fsync(")
                && call.contains("/content/DEMO/")
                && done
                && reached >= 2 =>
            {
                3
            }
            _ if call.contains("\"HTTP/1.1 200 OK") => 4,
            _ => continue,
        };
        assert!(
            step <= reached + 1,
            "{}, and before it not yet: {}",
            STEPS[step - 1],
            STEPS[reached.min(3)]
        );
        reached = reached.max(step);
        if reached == STEPS.len() {
            return;
        }
    }
    panic!("the trace ends when {}", STEPS[reached.saturating_sub(1)]);
}

fn gzip() -> Vec<u8> {
    let printed = Command::new("sh")
        .args(["-c", "printf content | gzip -c"])
        .output();
    printed.expect("gzip runs").stdout
}
