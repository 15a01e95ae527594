//! Disks that fail: nothing false is answered, reads go on, and a restart heals.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use metarecord::content::local::LocalStore;
use metarecord::content::{ContentStore, ObjectName, Promise};
use metarecord::domain::{Md5, OrgCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::check_stopped;
use crate::journal::disk::{FailingDisk, Fault};
use crate::support::{Got, Server};

/// A server whose system call fails on the newest segment, from the given call on.
fn failing(dir: &Path, fault: &str) -> Server {
    let log = dir.join("journal/00000000000000000001.jsonl");
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-P"]).arg(log);
    command.args([
        "-e",
        &format!("trace={}", fault.split(':').next().expect("a call")),
        "-e",
        &format!("inject={fault}"),
    ]);
    Server::start_by(command, dir, &[])
}

fn put(server: &Server, id: &str) -> Got {
    let body = json!({"orgcode": "demo", "container": "notes", "record_id": id, "content_type": "application/json", "payload": id});
    server.post("/mrs/record", &body)
}

fn read(server: &Server, id: &str) -> Got {
    server.get(
        "/mrs/record",
        &[
            ("orgcode", "demo"),
            ("container", "notes"),
            ("record_id", id),
        ],
    )
}

fn a_failing_disk(fault: &str) {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let mut server = Server::start_in(&dir, &[]);
    put(&server, "before").data();
    server.end("TERM");
    let mut server = failing(&dir, fault);
    let mut done = Vec::new();
    let mut refused = 0;
    for number in 0..12 {
        let id = format!("n-{number}");
        let got = put(&server, &id);
        match got.status {
            200 => done.push(id),
            _ => {
                assert_eq!(
                    (got.refusal().0, got.refusal().1.as_str()),
                    (503, "unavailable"),
                    "{fault}"
                );
                assert!(got.header("retry-after").is_some());
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "{fault} was met");
    assert_eq!(
        put(&server, "later").refusal().0,
        503,
        "it takes nothing until it is reopened"
    );
    assert_eq!(server.get("/ready", &[]).refusal().1, "unavailable");
    assert_eq!(server.get("/health", &[]).status, 200);
    assert_eq!(
        read(&server, "before").data()["content"],
        "before",
        "reads go on"
    );
    server.end_below("TERM");
    let mut server = Server::start_in(&dir, &[]);
    assert_eq!(server.get("/ready", &[]).status, 200);
    for id in &done {
        assert_eq!(
            read(&server, id).data()["content"],
            *id,
            "{fault}: {id} was answered as done"
        );
    }
    put(&server, "after").data();
    server.end("TERM");
    check_stopped(&dir);
}

#[test]
fn a_sync_that_fails_is_never_answered_as_done() {
    a_failing_disk("fdatasync:error=EIO:when=4+");
}

#[test]
fn a_failed_sync_is_not_retried() {
    a_failing_disk("fdatasync:error=EIO:when=3");
}

#[test]
fn a_full_disk_is_never_answered_as_done() {
    a_failing_disk("pwrite64:error=ENOSPC:when=4+");
}

/// The same public url after each start, so that an upload url outlives a server.
const PUBLIC: [&str; 2] = ["--set", "http.public_url=http://x"];

/// An upload that was asked for.
struct Upload {
    gz: Vec<u8>,
    /// The path of its url.
    path: String,
    complete: Value,
}

impl Upload {
    /// Asks for one; its content is what a program prints.
    fn ask(server: &Server, printing: &str) -> Self {
        let gz = Command::new("sh")
            .args(["-c", &format!("{printing} | gzip -c")])
            .output()
            .expect("gzip runs")
            .stdout;
        let md5 = Md5::of(&gz).to_string();
        let presign = json!({"orgcode": "demo", "container": "blobs", "record_id": "b", "content_type": "text/plain",
            "size": gz.len(), "content_md5": md5});
        let put = server.post("/mrs/record", &presign).data();
        let url = put["upload"]["url"].as_str();
        let path = url.and_then(|url| url.strip_prefix("http://x"));
        Self {
            path: path.expect("a url").to_owned(),
            complete: json!({"orgcode": "demo", "container": "blobs", "record_id": "b",
                "content_token": put["content_token"], "size": gz.len(), "content_md5": md5}),
            gz,
        }
    }

    fn send(&self, server: &Server) -> Got {
        server.put_url(&format!("{}{}", server.base_url, self.path), &[], &self.gz)
    }

    /// Nothing counts as content that was not kept.
    fn is_pending(&self, server: &Server) {
        let complete = server.post("/mrs/record/complete", &self.complete);
        assert_eq!(complete.refusal().1, "md5-missing");
        let query = [
            ("orgcode", "demo"),
            ("container", "blobs"),
            ("record_id", "b"),
        ];
        let pending = server.get("/mrs/record", &query);
        assert_eq!(pending.refusal().1, "invalid-state");
    }

    fn complete(&self, server: &Server) {
        assert_eq!(self.send(server).status, 200);
        let complete = server.post("/mrs/record/complete", &self.complete);
        assert_eq!(complete.data()["status"], "active");
    }
}

/// An upload that the disk refuses: 503, nothing is kept, everything else goes on, and a restart heals.
fn a_disk_that_refuses_an_upload(dir: &Path, printing: &str, failing: Command) {
    let mut server = Server::start_in(dir, &PUBLIC);
    let upload = Upload::ask(&server, printing);
    server.end("TERM");
    let mut server = Server::start_by(failing, dir, &PUBLIC);
    let got = upload.send(&server);
    assert_eq!(
        (got.refusal().0, got.refusal().1.as_str()),
        (503, "unavailable")
    );
    assert!(got.header("retry-after").is_some());
    let files = server.content_files();
    assert!(files.is_empty(), "nothing is left of it: {files:?}");
    upload.is_pending(&server);
    put(&server, "meanwhile").data();
    assert_eq!(server.get("/ready", &[]).status, 200);
    server.end_below("TERM");
    let mut server = Server::start_in(dir, &PUBLIC);
    upload.is_pending(&server);
    upload.complete(&server);
    server.end("TERM");
    check_stopped(dir);
}

#[test]
fn an_upload_that_cannot_be_written_is_not_kept() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut limited = Command::new("bash");
    // No file may pass 4 MiB: the write fails as on a full disk, and only the upload is that long.
    limited.args(["-c", "trap '' XFSZ; ulimit -f 4096; \"$@\" & wait", "bash"]);
    let printing = "head -c 4400000 /dev/urandom";
    a_disk_that_refuses_an_upload(&scratch.path().join("data"), printing, limited);
}

/// strace with a fault in a call on the org's directory of content.
fn failing_directory(dir: &Path, call: &str, error: &str) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-P"]);
    command.arg(dir.join("content/DEMO"));
    command.args(["-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={call}:error={error}")]);
    command
}

#[test]
fn an_upload_without_room_for_its_directory_is_not_kept() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let failing = failing_directory(&dir, "mkdir", "ENOSPC");
    a_disk_that_refuses_an_upload(&dir, "seq 1 2000", failing);
}

#[test]
fn an_upload_whose_directory_cannot_be_synced_is_not_kept() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let failing = failing_directory(&dir, "fsync", "EIO");
    a_disk_that_refuses_an_upload(&dir, "seq 1 2000", failing);
}

#[test]
fn an_upload_that_the_disk_refuses_can_be_repeated() {
    let gz = Command::new("sh")
        .args(["-c", "seq 1 2000 | gzip -c"])
        .output()
        .expect("gzip runs")
        .stdout;
    let object = ObjectName {
        org: OrgCode::parse("demo").expect("an org code"),
        object_id: Uuid::from_u128(7),
    };
    let promise = Promise {
        size: gz.len() as u64,
        md5: Md5::of(&gz),
        sha256: None,
        decoded_bytes_max: None,
    };
    let (full, broken) = (ErrorKind::StorageFull, ErrorKind::Other);
    let mut faults = vec![Fault::Write(1, full), Fault::ShortWrite(2, full)];
    // The bytes, the root, the org's directory, the file's.
    faults.extend((1..=4).map(|sync| Fault::Sync(sync, broken)));
    for fault in faults {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let disk = FailingDisk::default();
        let store = LocalStore::open(Arc::new(disk.clone()), scratch.path()).expect("it opens");
        disk.arm(fault);
        for fails in [true, false] {
            let mut upload = store.receive(&object, promise).expect("begun");
            let taken = gz.chunks(2000).try_for_each(|part| upload.take(part));
            let kept = taken.and_then(|()| upload.keep());
            assert_eq!(kept.is_err(), fails, "{fault:?}: {kept:?}");
            let size = store.size(&object).expect("it can be read");
            assert_eq!(size.is_none(), fails, "{fault:?}");
            let left = std::fs::read_dir(scratch.path().join("tmp")).expect("it is there");
            assert_eq!(left.count(), 0, "{fault:?}");
        }
        assert!(disk.failed(), "{fault:?} was met");
    }
}

/// What a power cut may leave of an upload that was not answered: any part of its bytes, or its directory alone.
#[test]
fn an_upload_cut_off_by_a_power_cut_can_be_repeated() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let mut server = Server::start_in(&dir, &PUBLIC);
    let upload = Upload::ask(&server, "seq 1 2000");
    for part in (0..=upload.gz.len()).step_by(upload.gz.len() / 20) {
        server.end("KILL");
        let left = dir.join("content/tmp").join(format!("left-{part}"));
        std::fs::write(&left, &upload.gz[..part]).expect("left behind");
        std::fs::create_dir_all(dir.join(format!("content/DEMO/{:02x}", part % 256)))
            .expect("left behind");
        server = Server::start_in(&dir, &PUBLIC);
        assert!(!left.exists(), "what {part} bytes left is cleared");
        upload.is_pending(&server);
    }
    assert_eq!(upload.send(&server).status, 200);
    // Answered, and then the process is gone at once: the object is there.
    server.end("KILL");
    let server = Server::start_in(&dir, &PUBLIC);
    let complete = server.post("/mrs/record/complete", &upload.complete);
    assert_eq!(complete.data()["status"], "active");
}
