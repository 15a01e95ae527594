//! A copy of a running server's disk, started next to it on the same machine.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Server, eventually};

/// The status of a change of the record at its only revision.
fn change(server: &Server) -> u16 {
    let body = json!({"orgcode": "demo", "container": "notes", "record_id": "n-1", "content_type": "application/json",
        "payload": "changed", "expected_revision": 1});
    server.post("/mrs/record", &body).status
}

/// Copies a directory that is being written to, as it is.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp runs").success());
}

/// Puts another end of the record's stream into the journal's database of a copy, as a page from another moment would: nothing of
/// the log tells of it. False while the copy has none yet.
fn falsify(dir: &Path) -> bool {
    #[expect(clippy::disallowed_methods, reason = "a database that is made false")]
    let database = sled::open(dir.join("journal/sled/1")).expect("it opens");
    let streams = database.open_tree("tips").expect("it opens");
    let key = [b"mrs/DEMO/notes/n-1\0".as_slice(), &[0xff; 8]].concat();
    let Some(end) = streams.get(&key).expect("read") else {
        return false;
    };
    // The first number is its version.
    let end = [&99_u64.to_be_bytes(), &end[8..]].concat();
    streams.insert(key, end).expect("written");
    database.flush().expect("flushed");
    true
}

/// Makes a copy's marker say that it was written there, as a program would have it that knows of no copies.
fn claim(dir: &Path) {
    let (marker, found) = (
        dir.join("journal/state.json"),
        fs::metadata(dir.join("journal")),
    );
    let found = found.expect("it is there");
    let text = fs::read(&marker).expect("read");
    let mut state: Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(state["clean"], json!(false));
    state["directory"] = json!(format!("{}:{}", found.dev(), found.ino()));
    fs::write(&marker, state.to_string()).expect("written");
}

#[test]
fn of_a_snapshot_nothing_is_believed_that_its_log_does_not_confirm() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut running = Server::start_in(&scratch.path().join("data"), &[]);
    running.put_inline("notes", "n-1", &json!("true"), &[]);
    // What one process leaves to its database is there from the start of the next on.
    running.end("TERM");
    let running = Server::start_in(&scratch.path().join("data"), &[]);
    let mut copies: Vec<PathBuf> = Vec::new();
    for name in ["believed", "snapshot"] {
        let place = scratch.path().join(name);
        eventually("the database has written the end of the stream", || {
            let _: std::io::Result<()> = fs::remove_dir_all(&place);
            copy(&running.dir, &place);
            falsify(&place)
        });
        copies.push(place);
    }
    // That the copy is false shows where it is taken for the directory that was open.
    claim(&copies[0]);
    assert_ne!(change(&Server::start_in(&copies[0], &[])), 200);
    let mut beside = Server::start_in(&copies[1], &[]);
    assert_eq!(change(&beside), 200);
    assert_eq!(change(&running), 200);
    assert!(beside.ends());
    let told = beside.told();
    assert!(
        told.contains("it is a copy or a snapshot of one that was open"),
        "{told}"
    );
    // From now on it is a directory of its own.
    let mut again = Server::start_in(&copies[1], &[]);
    assert!(again.ends());
    assert!(!again.told().contains("a copy or a snapshot"));
}
