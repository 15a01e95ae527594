//! What a restore refuses, what it moves away, and what a restored server is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use super::{create, create_of, entries, files, good, restore, upload, verify};
use crate::support::Server;
use crate::support::inside::Inside;

fn refused(ran: &crate::cli::run::Ran) -> (i32, String) {
    ran.refusal()
}

/// A server with a record of each kind, and its backup.
fn backed_up(scratch: &Path, more: &str) -> (Inside, std::path::PathBuf) {
    let (data, backup) = (scratch.join("data"), scratch.join("backup"));
    let server = Inside::start(&data);
    server.put("notes", "n-1", &json!({"hello": "world"}));
    assert_eq!(upload(&server, "b-1", "content", None, true).status, 200);
    good(&create(&server, &backup, more));
    (server, backup)
}

#[test]
fn nothing_is_restored_over_data_unless_told_and_then_it_is_set_aside() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (mut server, backup) = backed_up(scratch.path(), "");
    let data = server.dir.clone();
    let before = entries(&data, u64::MAX);
    assert_eq!(
        refused(&restore(&backup, &data, "")),
        (6, "not-empty".to_owned())
    );
    // Not under a server's feet either.
    assert_eq!(
        refused(&restore(&backup, &data, "--replace")),
        (6, "in-use".to_owned())
    );
    server.put("notes", "later", &json!(1));
    server.stop();
    assert_eq!(
        refused(&restore(&backup, &data, "")),
        (6, "not-empty".to_owned())
    );
    let told = good(&restore(&backup, &data, "--replace"));
    let aside = told["set_aside"].as_str().expect("a path");
    assert_eq!(Path::new(aside).parent(), data.parent());
    // Only that the backup ended is no part of it.
    assert_eq!(entries(&data, u64::MAX).len(), before.len() - 1);
    assert!(entries(Path::new(aside), u64::MAX).len() > before.len());
    // What belongs to nobody is data too.
    let other = scratch.path().join("other");
    fs::create_dir(&other).expect("made");
    fs::write(other.join("letter.txt"), "dear").expect("written");
    let ran = restore(&backup, &other, "");
    assert_eq!(refused(&ran), (6, "not-empty".to_owned()));
    assert_eq!(files(&other).len(), 1);
}

#[test]
fn an_empty_directory_is_filled_and_an_absent_one_is_made() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (_server, backup) = backed_up(scratch.path(), "");
    let (empty, absent) = (scratch.path().join("empty"), scratch.path().join("absent"));
    fs::create_dir(&empty).expect("made");
    for data in [&empty, &absent] {
        assert_eq!(good(&restore(&backup, data, ""))["set_aside"], json!(null));
        let mode = fs::metadata(data.join("journal")).expect("a journal");
        assert_eq!(mode.permissions().mode() & 0o777, 0o700);
        let server = Inside::start(data);
        let got = server.get("/mrs/record?orgcode=demo&container=notes&record_id=n-1");
        assert_eq!(got.data()["content"]["hello"], "world");
    }
    let left: Vec<_> = fs::read_dir(scratch.path()).expect("listed").collect();
    assert_eq!(left.len(), 4, "data, backup, and the two: {left:?}");
}

#[test]
fn without_keys_sessions_end_and_with_them_they_go_on() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (server, backup) = backed_up(scratch.path(), "");
    assert!(!files(&backup).iter().any(|(name, _)| name.contains("keys")));
    let bare = scratch.path().join("bare");
    good(&restore(&backup, &bare, ""));
    assert!(!bare.join("keys").exists());
    let with = scratch.path().join("backup-with-keys");
    let told = good(&create(&server, &with, "--with-keys"));
    assert_eq!(told["with_keys"], true);
    let whole = scratch.path().join("whole");
    good(&restore(&with, &whole, ""));
    for (name, _) in files(&with) {
        if name.contains("keys/") {
            let mode = fs::metadata(with.join(&name)).expect("a file");
            assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{name}");
        }
    }
    let header = [("x-session-guid", server.session_guid.as_str())];
    for (data, status) in [(&bare, 401), (&whole, 200)] {
        let restored = Inside::start(data);
        let path = "/mrs/record?orgcode=demo&container=notes&record_id=n-1";
        let got = restored.call("GET", path, &header, None);
        assert_eq!(got.status, status, "{}", got.json());
        // Whoever signs in again has everything.
        assert_eq!(restored.get(path).status, 200);
    }
    // Once they are not asked for any more they are gone from the backup.
    good(&create(&server, &with, ""));
    assert!(!files(&with).iter().any(|(name, _)| name.contains("keys/")));
}

#[test]
fn a_backup_of_a_stopped_server_is_the_same_and_holds_the_server_back_meanwhile() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (mut server, running) = backed_up(scratch.path(), "");
    let data = server.dir.clone();
    server.stop();
    let stopped = scratch.path().join("stopped");
    let told = good(&create_of(&data, &stopped));
    assert_eq!(
        told["position"].as_u64(),
        Some(entries(&data, u64::MAX).len() as u64)
    );
    // Since the one of the running server it was only told that this one ended.
    let both = [&running, &stopped].map(|backup| good(&verify(backup))["position"].as_u64());
    assert_eq!(both[0].map(|position| position + 1), both[1]);
    // A directory that was killed, and not closed.
    let killed = scratch.path().join("killed");
    let mut other = Server::start_in(&killed, &[]);
    other.put_inline("notes", "n", &json!(1), &[]);
    other.end("KILL");
    good(&create_of(&killed, &scratch.path().join("of-killed")));
    good(&verify(&scratch.path().join("of-killed")));
}

#[test]
fn a_backup_goes_only_into_its_own_directory() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (server, backup) = backed_up(scratch.path(), "");
    // Somebody's files.
    let ran = create(&server, scratch.path(), "");
    assert_eq!(refused(&ran), (2, "usage".to_owned()), "{ran:?}");
    // Another server's backup.
    let other = Inside::start(&scratch.path().join("other"));
    let ran = create(&other, &backup, "");
    assert_eq!(refused(&ran), (6, "other-journal".to_owned()), "{ran:?}");
    // The backup of a later state: an earlier one must not take its place.
    server.put("notes", "more", &json!(1));
    let early = scratch.path().join("early");
    good(&restore(&backup, &early, ""));
    good(&create(&server, &backup, ""));
    let ran = create_of(&early, &backup);
    assert_eq!(refused(&ran), (6, "other-journal".to_owned()), "{ran:?}");
    good(&verify(&backup));
    // No data directory.
    let ran = create_of(&scratch.path().join("nothing"), &scratch.path().join("new"));
    assert_eq!(refused(&ran), (2, "usage".to_owned()), "{ran:?}");
}

#[test]
fn the_server_that_answers_must_be_the_one_of_the_data_directory() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (server, backup) = backed_up(scratch.path(), "");
    let other = Inside::start(&scratch.path().join("other"));
    other.put("notes", "n-1", &json!(1));
    let line = format!(
        "backup create {} --data-dir {} --operator-url {} --output json",
        backup.display(),
        server.dir.display(),
        other.operator_url
    );
    // Its token is another one; with its own it is another journal.
    let ran = crate::cli::run::g3n(&line, scratch.path(), &[], b"");
    assert_eq!(refused(&ran), (4, "not-authorized".to_owned()), "{ran:?}");
    let token = fs::read_to_string(other.dir.join("keys/operator.token")).expect("a token");
    let environment = [("G3N_OPERATOR_TOKEN", token.as_str())];
    let ran = crate::cli::run::g3n(&line, scratch.path(), &environment, b"");
    assert_eq!(ran.code, 6, "{ran:?}");
    good(&verify(&backup));
}
