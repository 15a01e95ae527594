//! What a newer program wrote: every command that reads it says so, ends with 65, and changes nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use metarecord::backup::Manifest;
use metarecord::journal::entry::{hash_header, sha256};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{create_of, entries, good, restore, verify};
use crate::cli::run::{Ran, g3n};
use crate::support::inside::Inside;

/// `EX_DATAERR` of sysexits.h.
const NEWER: i32 = 65;

/// Starts a server that is to refuse; one that does not is ended after a minute.
fn serve(data: &Path) -> Ran {
    let output = Command::new("timeout")
        .args(["60", env!("CARGO_BIN_EXE_g3n"), "serve", "--dev"])
        .args([
            "--listen",
            "127.0.0.1:0",
            "--operator-listen",
            "127.0.0.1:0",
        ])
        .arg("--data-dir")
        .arg(data)
        .output()
        .expect("timeout runs");
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn journal(verb: &str, data: &Path) -> Ran {
    let line = format!("journal {verb} --data-dir {} --output json", data.display());
    g3n(&line, Path::new("/"), &[], b"")
}

/// The refusal names what is newer and tells what to do.
fn refuses(ran: &Ran, names: &str, what: &str) {
    assert_eq!(ran.code, NEWER, "{what}: {ran:?}");
    let text = format!("{}{}", ran.text(), ran.stderr);
    for words in [names, "newer", "install"] {
        assert!(text.contains(words), "{what}: {words:?} is not in {text}");
    }
    // A server's own lines are its log.
    if !ran.stdout.is_empty() && !ran.stdout.starts_with(b"{\"v\":") {
        assert_eq!(ran.refusal().1, "newer-format", "{what}");
    }
}

fn rewrite(path: &Path, change: &dyn Fn(&mut Value)) {
    let text = fs::read(path).expect("a file");
    let mut value = serde_json::from_slice(&text).expect("JSON");
    change(&mut value);
    fs::write(path, value.to_string()).expect("written");
}

/// Changes a manifest as a newer program would have written it: its own hash is right.
fn seal(path: &Path, change: &dyn Fn(&mut Manifest)) {
    let text = fs::read_to_string(path).expect("a manifest");
    let mut manifest = Manifest::parse(&text).expect("a sound manifest");
    change(&mut manifest);
    fs::write(path, manifest.to_text().expect("its text")).expect("written");
}

/// A directory that was served from and closed.
fn closed(scratch: &Path) -> std::path::PathBuf {
    let data = scratch.join("data");
    let mut server = Inside::start(&data);
    server.put("notes", "n", &json!(1));
    server.stop();
    data
}

/// Appends an entry with one event, right in itself, as a newer program would have left it.
fn append(data: &Path, kind: &str, v: u16) {
    let journal = data.join("journal");
    let state: Value =
        serde_json::from_slice(&fs::read(journal.join("state.json")).expect("a marker"))
            .expect("JSON");
    let all = entries(data, u64::MAX);
    let last = &all.last().expect("an entry").header;
    let position = last.position + 1;
    let body = format!(
        r#"{{"salt":"00112233445566778899aabbccddeeff","stream":"mrs/DEMO/notes/newer","version":1,"events":[{{"type":"{kind}","v":{v},"data":{{}}}}],"at":{at},"by":"x","request_id":"y","source":"gateway"}}"#,
        at = last.recorded_at.millis()
    );
    let header = format!(
        r#"{{"position":{position},"recorded_at":{at},"body_digest":"{digest}","prev":"{prev}"}}"#,
        at = last.recorded_at.millis(),
        digest = hex::encode(sha256(body.as_bytes())),
        prev = state["head"]["hash"].as_str().expect("a hash")
    );
    let path = journal.join("00000000000000000001.jsonl");
    let mut log = fs::read(&path).expect("a segment");
    log.extend_from_slice(
        format!("{{\"group\":{position}}}\n{{\"header\":{header},\"body\":{body}}}\n").as_bytes(),
    );
    fs::write(&path, log).expect("written");
    let hash = hex::encode(hash_header(header.as_bytes()));
    rewrite(&journal.join("state.json"), &|state| {
        state["head"] = json!({"position": position, "hash": hash});
    });
}

#[test]
fn a_newer_marker_is_refused_by_every_command_and_left_as_it_is() {
    for (file, change, names) in [
        (
            "metarecord.json",
            (|marker| marker["format_version"] = json!(2)) as fn(&mut Value),
            "format 2",
        ),
        (
            // Whatever else it says.
            "metarecord.json",
            |marker| *marker = json!({"format_version": 3, "realm": ["x"]}),
            "format 3",
        ),
        (
            "metarecord.json",
            |marker| marker["events"]["moon.landed"] = json!(1),
            "moon.landed",
        ),
        (
            "metarecord.json",
            |marker| marker["events"]["record.created"] = json!(2),
            "record.created",
        ),
        (
            "journal/state.json",
            |state| state["format_version"] = json!(2),
            "format 2",
        ),
    ] {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let data = closed(scratch.path());
        rewrite(&data.join(file), &change);
        let marker = fs::read(data.join(file)).expect("a file");
        let what = format!("{file}, {names}");
        refuses(&serve(&data), names, &what);
        for verb in ["verify", "head", "rebuild", "tail"] {
            refuses(&journal(verb, &data), names, &format!("{verb}: {what}"));
        }
        let backup = scratch.path().join("backup");
        refuses(&create_of(&data, &backup), names, &what);
        assert!(!backup.join("manifest.json").exists());
        assert_eq!(fs::read(data.join(file)).expect("a file"), marker);
    }
}

#[test]
fn a_newer_event_in_the_journal_is_refused_although_no_marker_tells_of_it() {
    for (kind, v) in [("moon.landed", 1), ("record.created", 2)] {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let data = closed(scratch.path());
        append(&data, kind, v);
        refuses(&journal("verify", &data), kind, "verify");
        refuses(&serve(&data), kind, "serve");
        let backup = scratch.path().join("backup");
        refuses(&create_of(&data, &backup), kind, "create");
        // Also while its databases are not there.
        fs::remove_dir_all(data.join("journal/sled")).expect("removed");
        fs::remove_dir_all(data.join("projections")).expect("removed");
        refuses(&serve(&data), kind, "serve anew");
    }
}

#[test]
fn the_marker_names_the_events_that_may_be_there_and_an_older_one_gets_them() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let data = closed(scratch.path());
    let path = data.join("metarecord.json");
    let read =
        || -> Value { serde_json::from_slice(&fs::read(&path).expect("a marker")).expect("JSON") };
    let mut marker = read();
    assert_eq!(marker["events"]["record.created"], 1);
    drop(Inside::start(&data));
    assert_eq!(read(), marker, "its name stays");
    let first = json!({"format_version": 1, "environment": "development"});
    fs::write(&path, first.to_string()).expect("written");
    drop(Inside::start(&data));
    let mut again = read();
    let names = [&mut again, &mut marker].map(|marker| marker["directory_id"].take());
    assert!(names[0].is_string() && names[0] != names[1], "{names:?}");
    assert_eq!(again, marker);
}

#[test]
fn a_newer_backup_is_neither_checked_nor_restored_nor_written_over() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let data = closed(scratch.path());
    let backup = scratch.path().join("backup");
    good(&create_of(&data, &backup));
    let to = scratch.path().join("never");
    // Its own form.
    let path = backup.join("manifest.json");
    let text = fs::read_to_string(&path).expect("a manifest");
    seal(&path, &|manifest| manifest.format_version = 2);
    for ran in [
        verify(&backup),
        restore(&backup, &to, ""),
        create_of(&data, &backup),
    ] {
        assert_eq!(ran.refusal(), (NEWER, "newer-format".to_owned()), "{ran:?}");
        assert!(ran.text().contains("format 2"), "{ran:?}");
    }
    fs::write(&path, text).expect("written");
    good(&verify(&backup));
    // The form of the data directory in it.
    let marker = backup.join("generation-1/metarecord.json");
    rewrite(&marker, &|marker| {
        marker["events"]["moon.landed"] = json!(1)
    });
    let marker = fs::read(&marker).expect("a marker");
    seal(&path, &|manifest| {
        let mut files = manifest.files.iter_mut();
        let file = files.find(|file| file.name == "metarecord.json");
        let file = file.expect("the marker");
        file.size = marker.len() as u64;
        file.sha256 = hex::encode(Sha256::digest(&marker));
    });
    for ran in [verify(&backup), restore(&backup, &to, "")] {
        refuses(&ran, "moon.landed", "the marker in a backup");
    }
    assert!(!to.exists());
}
