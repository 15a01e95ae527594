//! A damaged export is refused before anything of it is taken.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{export, g3n, make_org, put_file, put_text};
use crate::support::Server;

const ORG: &str = "ACME";

/// Copies a directory of files and directories.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("read").flatten() {
        let place = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &place),
            false => drop(std::fs::copy(entry.path(), place).expect("copied")),
        }
    }
}

/// Puts a byte into the middle of a file that is not the one there.
fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("written");
}

/// A content file of an export.
fn content_file(root: &Path) -> PathBuf {
    let mut files = std::fs::read_dir(root.join("content")).expect("read");
    files.next().expect("one").expect("read").path()
}

type Damage = fn(&Path);

/// Every kind of damage, by its name.
const DAMAGES: &[(&str, Damage)] = &[
    ("a byte of the history", |root| {
        flip(&root.join("events.jsonl.gz"))
    }),
    ("a byte of the records", |root| {
        flip(&root.join("records.jsonl.gz"))
    }),
    ("a byte of the list of content", |root| {
        flip(&root.join("content.jsonl"))
    }),
    ("a byte of content", |root| flip(&content_file(root))),
    ("a count in the manifest", |root| {
        let path = root.join("manifest.json");
        let text = std::fs::read_to_string(&path).expect("read");
        let changed = text.replace("\"records\": 3", "\"records\": 4");
        assert_ne!(text, changed);
        std::fs::write(path, changed).expect("written");
    }),
    ("a hash in the manifest", |root| {
        let path = root.join("manifest.json");
        let text = std::fs::read_to_string(&path).expect("read");
        let at = text.find("sha256\": \"").expect("a hash") + 10;
        let mut bytes = text.into_bytes();
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        std::fs::write(path, bytes).expect("written");
    }),
    ("a newer form", |root| {
        let path = root.join("manifest.json");
        let text = std::fs::read_to_string(&path).expect("read");
        std::fs::write(
            path,
            text.replace("\"format_version\": 1", "\"format_version\": 2"),
        )
        .expect("written");
    }),
    ("no history", |root| {
        std::fs::remove_file(root.join("events.jsonl.gz")).expect("removed")
    }),
    ("no content", |root| {
        std::fs::remove_file(content_file(root)).expect("removed")
    }),
    ("no manifest", |root| {
        std::fs::remove_file(root.join("manifest.json")).expect("removed")
    }),
    ("content cut short", |root| {
        let path = content_file(root);
        let bytes = std::fs::read(&path).expect("read");
        std::fs::write(path, &bytes[..bytes.len() - 1]).expect("written");
    }),
    ("a file that does not belong", |root| {
        std::fs::write(root.join("more.txt"), b"x").expect("written");
    }),
    ("content that does not belong", |root| {
        std::fs::copy(
            content_file(root),
            root.join("content/00000000000000000000000000000007.gz"),
        )
        .expect("copied");
    }),
];

#[test]
fn a_damaged_export_is_refused_before_anything_is_written() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (here, there) = (Server::start(), Server::start());
    make_org(&here, ORG);
    put_text(&here, ORG, "n-1", "{\"a\":1}", 0);
    for (number, path) in super::equality::archives().iter().take(2).enumerate() {
        put_file(&here, ORG, &format!("f-{number}"), path);
    }
    let good = scratch.path().join("good");
    export(&here, ORG, &good);
    let position = || {
        let path = there.dir.join("journal");
        let files = std::fs::read_dir(path).expect("read").flatten();
        let sizes = files.filter_map(|file| {
            let name = file.file_name().into_string().ok()?;
            name.ends_with(".jsonl")
                .then(|| file.metadata().map_or(0, |file| file.len()))
        });
        sizes.sum::<u64>()
    };
    let before = position();
    for (what, damage) in DAMAGES {
        let bad = scratch.path().join("bad");
        copy(&good, &bad);
        damage(&bad);
        let output = g3n(
            &there,
            &["utl", "import", bad.to_str().expect("a readable path")],
        );
        let said: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
        assert_eq!(output.status.code(), Some(1), "{what}: {said}");
        assert_eq!(
            said["error"]["major"]["tag"], "damaged-export",
            "{what}: {said}"
        );
        assert_eq!(position(), before, "{what}: something was written");
        std::fs::remove_dir_all(&bad).expect("removed");
    }
    let path = good.to_str().expect("a readable path");
    let whole = g3n(&there, &["utl", "import", path]);
    assert!(whole.status.success(), "{whole:?}");
    assert!(position() > before);
    let status = there
        .invoke("utl_offboarding_status", &json!({"orgcode": ORG}))
        .data();
    assert_eq!(status["status"], "none");
}
