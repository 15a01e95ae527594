//! Where a backup or a restore may write: only where nothing else is, which is asked before the first byte.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::{create, create_of, files, good, restore, upload, verify};
use crate::cli::run::{Ran, g3n};
use crate::support::inside::Inside;

/// All names below a directory with the bytes of files, but for what the server in `data` writes.
fn seen(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = files(root);
    found.retain(|(name, _)| !name.starts_with("data/") && !name.starts_with("link/"));
    found.sort();
    found
}

fn served(scratch: &Path) -> Inside {
    let server = Inside::start(&scratch.join("data"));
    server.put("notes", "n-1", &json!({"hello": "world"}));
    assert_eq!(upload(&server, "b-1", "content", None, true).status, 200);
    server
}

fn says(ran: &Ran, text: &str) {
    assert!(format!("{ran:?}").contains(text), "{ran:?}");
}

#[test]
fn a_backup_is_written_only_where_nothing_else_is() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let root = scratch.path();
    let server = served(root);
    for (name, file) in [
        ("web", "manifest.json"),
        ("site", "content/index.html"),
        ("locked", "lock.d/file"),
        ("other", "unfinished.json"),
        ("other", "content/DEMO/00/0.gz"),
    ] {
        let path = root.join(name).join(file);
        fs::create_dir_all(path.parent().expect("above")).expect("made");
        fs::write(path, r#"{"directory_id":"another"}"#).expect("the user's own");
    }
    std::os::unix::fs::symlink(root.join("data"), root.join("link")).expect("linked");
    for (place, code, tag) in [
        ("web", 2, "usage"),
        ("site", 2, "usage"),
        ("locked", 2, "usage"),
        ("other", 6, "not-empty"),
        ("data", 6, "not-empty"),
        ("data/backup", 6, "not-empty"),
        ("data/content/backup/of/mine", 6, "not-empty"),
        ("link", 6, "not-empty"),
        ("link/backup", 6, "not-empty"),
    ] {
        let before = seen(root);
        let ran = create(&server, &root.join(place), "");
        assert_eq!(ran.refusal(), (code, tag.to_owned()), "{place}: {ran:?}");
        assert!(seen(root) == before, "{place}: {:?}", seen(root));
        assert!(!root.join("data/backup").exists() && !root.join("data/content/backup").exists());
    }
}

#[test]
fn a_backup_of_another_server_is_refused_before_anything_is_read() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let root = scratch.path();
    let server = served(root);
    let other = Inside::start(&root.join("other"));
    for number in 0..3 {
        other.put("notes", &format!("n-{number}"), &json!(number));
    }
    let token = fs::read_to_string(other.dir.join("keys/operator.token")).expect("a token");
    fs::create_dir(root.join("empty")).expect("made");
    for into in ["absent", "empty"] {
        for (url, token, code, text) in [
            (
                other.operator_url.as_str(),
                token.as_str(),
                6,
                "is not the data directory of the server at",
            ),
            (&other.operator_url, "wrong", 4, "not-authorized"),
            ("http://127.0.0.1:1", &token, 3, "does not answer"),
        ] {
            let line =
                format!("backup create {into} --data-dir data --operator-url {url} --output json");
            let ran = g3n(&line, root, &[("G3N_OPERATOR_TOKEN", token)], b"");
            assert_eq!(ran.code, code, "{ran:?}");
            says(&ran, text);
            assert!(!root.join("absent").exists(), "{url}");
            assert_eq!(fs::read_dir(root.join("empty")).expect("read").count(), 0);
        }
    }
    // A copy that is served elsewhere is another directory, once it was restored.
    let backup = root.join("backup");
    good(&create(&server, &backup, ""));
    good(&restore(&backup, &root.join("restored"), ""));
    let copy = Inside::start(&root.join("restored"));
    let token = fs::read_to_string(copy.dir.join("keys/operator.token")).expect("a token");
    let line = format!(
        "backup create absent --data-dir data --operator-url {}",
        copy.operator_url
    );
    let ran = g3n(&line, root, &[("G3N_OPERATOR_TOKEN", token.trim())], b"");
    assert_eq!(ran.code, 6, "{ran:?}");
    says(&ran, "is not the data directory of the server at");
    assert!(!root.join("absent").exists());
}

#[test]
fn a_restore_goes_neither_into_the_backup_nor_into_other_data() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let root = scratch.path();
    let server = served(root);
    let backup = root.join("backup");
    good(&create(&server, &backup, ""));
    fs::create_dir(root.join("around")).expect("made");
    let within = root.join("around/backup");
    good(&create(&server, &within, ""));
    for (from, data_dir, more) in [
        (&backup, "backup", "--replace"),
        (&backup, "backup/data", ""),
        (&backup, "data/restored", ""),
        (&within, "around", "--replace"),
    ] {
        let before = seen(root);
        let ran = restore(from, &root.join(data_dir), more);
        assert!(ran.code == 2 || ran.code == 6, "{data_dir}: {ran:?}");
        assert!(seen(root) == before, "{data_dir}: {:?}", seen(root));
        assert!(!root.join("data/restored").exists());
    }
    good(&verify(&backup));
}

/// Restores until it is killed at a call of the file system. Whether it was killed.
fn killed_at(backup: &Path, data_dir: &Path, call: &str, when: usize) -> bool {
    ended_at(backup, data_dir, (call, when), "KILL")
}

/// The same with another signal.
fn ended_at(backup: &Path, data_dir: &Path, (call, when): (&str, usize), signal: &str) -> bool {
    let ended = Command::new("strace")
        .args([
            "-f",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={call}"),
            "-e",
        ])
        .arg(format!("inject={call}:signal={signal}:when={when}"))
        .arg(env!("CARGO_BIN_EXE_g3n"))
        .args(["backup", "restore"])
        .arg(backup)
        .arg("--data-dir")
        .arg(data_dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    !ended.expect("strace runs").success()
}

#[test]
fn a_restore_that_a_signal_ends_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let root = scratch.path();
    let mut server = served(root);
    server.stop();
    let backup = root.join("backup");
    good(&create_of(&server.dir, &backup));
    let data_dir = root.join("restored");
    let mut ended = 0;
    for signal in ["TERM", "INT", "HUP"] {
        for there in [false, true] {
            if there {
                fs::create_dir(&data_dir).expect("made");
            }
            if ended_at(&backup, &data_dir, ("fsync", 2), signal) {
                ended += 1;
                let names = |dir: &Path| -> Vec<String> {
                    let names = fs::read_dir(dir).expect("read").flatten();
                    let mut names: Vec<_> = names
                        .map(|entry| entry.file_name().display().to_string())
                        .filter(|name| name != "lock")
                        .collect();
                    names.sort();
                    names
                };
                if there {
                    assert_eq!(names(&data_dir), [""; 0], "{signal}");
                } else {
                    assert_eq!(names(root), ["backup", "data"], "{signal}");
                }
            }
            let _: std::io::Result<()> = fs::remove_dir_all(&data_dir);
        }
    }
    assert!(ended >= 4, "{ended} were ended");
}

#[test]
fn a_restore_that_was_killed_is_taken_up_by_the_next() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let root = scratch.path();
    let mut server = served(root);
    server.stop();
    let backup = root.join("backup");
    good(&create_of(&server.dir, &backup));
    let mut killed = 0;
    for there in [false, true] {
        for (call, when) in [
            ("fsync", 1),
            ("fsync", 6),
            ("rename", 1),
            ("rename", 2),
            ("rename", 4),
            ("unlink,unlinkat", 1),
        ] {
            let data_dir = root.join("restored");
            if there {
                fs::create_dir(&data_dir).expect("made");
            }
            if killed_at(&backup, &data_dir, call, when) {
                killed += 1;
                if !data_dir.join("metarecord.json").exists() {
                    good(&restore(&backup, &data_dir, ""));
                }
            }
            assert!(
                Inside::start(&data_dir)
                    .get("/mrs/record?orgcode=demo&container=notes&record_id=n-1")
                    .status
                    == 200
            );
            let names = fs::read_dir(root).expect("read").flatten();
            let mut names: Vec<_> = names.map(|entry| entry.file_name()).collect();
            names.sort();
            assert_eq!(
                names,
                ["backup", "data", "restored"],
                "{call} {when} {there}"
            );
            fs::remove_dir_all(&data_dir).expect("removed");
        }
    }
    assert!(killed >= 6, "{killed} kills");
}
