//! Every kind of damage to a backup is found and named.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{SMALL_SEGMENTS, create, good, problems, restore, upload, verify};
use crate::support::inside::{Inside, START_MS};
use metarecord::clock::Clock;
use metarecord::domain::Timestamp;

/// A way to damage a file.
type Spoil = fn(&Path);

/// Copies a directory with all in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a directory").flatten() {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        match path.is_dir() {
            true => copy(&path, &to),
            false => drop(fs::copy(&path, &to).expect("copied")),
        }
    }
}

/// Changes a byte in the middle of a file.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("written");
}

fn cut(path: &Path) {
    let bytes = fs::read(path).expect("a file");
    fs::write(path, &bytes[..bytes.len() - 1]).expect("written");
}

/// The paths of a backup's files that begin and end so.
fn found(backup: &Path, begins: &str, ends: &str) -> Vec<String> {
    let files = super::files(backup).into_iter().map(|(name, _)| name);
    files
        .filter(|name| name.starts_with(begins) && name.ends_with(ends))
        .collect()
}

fn backed_up(scratch: &Path) -> PathBuf {
    let (data, backup) = (scratch.join("data"), scratch.join("backup"));
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let server = Inside::start_by(&data, clock, &[SMALL_SEGMENTS]);
    for number in 0..200 {
        let text = json!({"number": number, "more": "x".repeat(800)});
        server.put("notes", &format!("n-{number}"), &text);
    }
    for number in 0..3 {
        let id = format!("b-{number}");
        assert_eq!(upload(&server, &id, &id, None, true).status, 200);
    }
    good(&create(&server, &backup, "--with-keys"));
    backup
}

#[test]
fn every_damage_is_found_and_named_and_nothing_damaged_is_restored() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let backup = backed_up(scratch.path());
    let segments = found(&backup, "generation-1/journal/0", "");
    let content = found(&backup, "content/", ".gz");
    assert!(segments.len() > 2 && content.len() == 3, "{segments:?}");
    let mut files = vec![
        segments[0].as_str(),
        segments[1].as_str(),
        segments[segments.len() - 1].as_str(),
        content[0].as_str(),
        "generation-1/content.jsonl",
        "generation-1/metarecord.json",
        "generation-1/journal/state.json",
    ];
    let keys = found(&backup, "generation-1/keys/", "");
    assert!(keys.len() >= 2, "{keys:?}");
    files.extend(keys.iter().map(String::as_str));
    let ways: [(&str, Spoil); 3] = [
        ("changed", flip),
        ("cut", cut),
        ("removed", |path| fs::remove_file(path).expect("removed")),
    ];
    for (index, file) in files.iter().enumerate() {
        for (way, spoil) in ways {
            let spoiled = scratch.path().join(format!("{way}-{index}"));
            copy(&backup, &spoiled);
            spoil(&spoiled.join(file));
            let told = problems(&verify(&spoiled));
            let named = told.iter().any(|(name, _)| name == file);
            assert!(named, "{way} {file}: {told:?}");
            let data = scratch.path().join("never");
            let restored = restore(&spoiled, &data, "");
            problems(&restored);
            assert!(
                restored.stderr.contains("nothing was restored"),
                "{restored:?}"
            );
            assert!(!data.exists(), "{way} {file}");
            fs::remove_dir_all(&spoiled).expect("removed");
        }
    }
    good(&verify(&backup));
}

#[test]
fn a_manifest_that_is_damaged_or_missing_is_told_and_nothing_is_restored() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let backup = backed_up(scratch.path());
    let manifest = backup.join("manifest.json");
    let text = fs::read(&manifest).expect("a manifest");
    let data = scratch.path().join("never");
    flip(&manifest);
    for ran in [verify(&backup), restore(&backup, &data, "")] {
        assert_eq!(ran.refusal(), (1, "damaged-backup".to_owned()), "{ran:?}");
    }
    fs::remove_file(&manifest).expect("removed");
    for ran in [verify(&backup), restore(&backup, &data, "")] {
        assert_eq!(ran.refusal(), (2, "usage".to_owned()), "{ran:?}");
    }
    assert!(!data.exists());
    fs::write(&manifest, text).expect("written");
    good(&verify(&backup));
}

#[test]
fn what_does_not_belong_to_a_backup_is_told() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let backup = backed_up(scratch.path());
    let segment = found(&backup, "generation-1/journal/0", "")[0].clone();
    let more = "generation-1/journal/00000000000000099999.jsonl";
    fs::copy(backup.join(&segment), backup.join(more)).expect("copied");
    let told = problems(&verify(&backup));
    assert!(told.iter().any(|(name, _)| name == more), "{told:?}");
    fs::remove_file(backup.join(more)).expect("removed");
    // What a broken-off backup leaves is no damage.
    fs::create_dir_all(backup.join("generation-2/journal")).expect("made");
    let content = found(&backup, "content/", ".gz")[0].clone();
    fs::copy(
        backup.join(&content),
        backup.join(format!("{content}.left")),
    )
    .expect("copied");
    assert_eq!(good(&verify(&backup))["left_over"], 2);
}

#[test]
fn content_that_the_server_lost_is_told_at_once_and_no_reason_to_have_no_backup() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (data, backup) = (scratch.path().join("data"), scratch.path().join("backup"));
    let server = Inside::start(&data);
    for id in ["gone", "altered", "sound"] {
        assert_eq!(upload(&server, id, id, None, true).status, 200);
    }
    let content = found(&data, "content/DEMO/", ".gz");
    let of = |id: &str| {
        let gz = super::gzip(id);
        let mut names = content.iter().map(|name| data.join(name));
        let its = names.find(|path| fs::read(path).is_ok_and(|bytes| bytes == gz));
        its.expect("its file")
    };
    let altered = of("altered");
    fs::remove_file(of("gone")).expect("removed");
    flip(&altered);
    let ran = create(&server, &backup, "");
    assert_eq!(ran.code, 1, "{ran:?}");
    let told = ran.json();
    assert_eq!(
        (&told["objects"], &told["objects_absent"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(told["absent"].as_array().map(Vec::len), Some(2));
    // It is what the server had: sound in itself.
    assert_eq!(good(&verify(&backup))["objects_absent"], 2);
    // Once it is noted as lost nobody needs to be told again.
    let body = json!({"orgcode": "demo", "container": super::BLOBS, "mode": "repair"});
    server.operator("mrs_reconcile", &body).data();
    let told = good(&create(&server, &backup, ""));
    assert_eq!(told["objects_absent"], 0);
    good(&verify(&backup));
}
