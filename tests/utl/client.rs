//! `kill -9` of `g3n utl export` itself: run again, it fetches what is not there yet, and what it ends with is whole and checked.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::kill::{ORG, export_of, fill};
use super::{done, export};
use crate::support::Server;

/// Every file below a directory.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for dir in [root.to_owned(), root.join("content")] {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_file() {
                let name = path.strip_prefix(root).expect("below it").to_owned();
                files.insert(name, std::fs::read(&path).expect("read"));
            }
        }
    }
    files
}

/// The command line that downloads the latest export to a directory.
fn arguments(out: &Path) -> [&str; 7] {
    let out = out.to_str().expect("a readable path");
    [
        "utl",
        "export",
        "--operator",
        "--orgcode",
        ORG,
        "--out",
        out,
    ]
}

/// Downloads until it is killed at a call of the file system that is about a file. Whether it was killed.
fn killed_at(
    server: &Server,
    out: &Path,
    (call, when): (&str, usize),
    file: Option<&Path>,
) -> bool {
    let mut strace = Command::new("strace");
    if let Some(file) = file {
        strace.arg("-P").arg(out.join(file));
    }
    let ended = strace
        .args([
            "-f",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={call}"),
            "-e",
        ])
        .arg(format!("inject={call}:signal=KILL:when={when}"))
        .arg(env!("CARGO_BIN_EXE_g3n"))
        .args(arguments(out))
        .args(["--output", "json", "--profile", "dev", "--config"])
        .arg(&server.config_file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    // strace ends by the signal that ended what it ran.
    ended.expect("strace runs").signal() == Some(9)
}

#[test]
fn a_download_that_is_killed_goes_on_with_what_is_not_there_yet() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start();
    fill(&server);
    export(&server, ORG, &scratch.path().join("first"));
    let wanted = files(&export_of(&server.dir).expect("an export"));
    assert_eq!(wanted.len(), 4 + 4, "four files and four contents");
    let (largest, _) = wanted
        .iter()
        .max_by_key(|(_, bytes)| bytes.len())
        .expect("files");
    let part = PathBuf::from(format!("{}.part", largest.display()));
    let places = [
        (("rename", 1), None),
        (("rename", 4), None),
        (("rename", 8), None),
        (("fsync", 3), None),
        (("write", 1), Some(&part)),
        (("write", 2), Some(&part)),
    ];
    for (number, (place, file)) in places.into_iter().enumerate() {
        let out = scratch.path().join(number.to_string());
        assert!(
            killed_at(&server, &out, place, file.map(PathBuf::as_path)),
            "it was not killed at {place:?}"
        );
        let mut there = files(&out);
        let parts = there
            .keys()
            .filter(|name| name.extension().is_some_and(|end| end == "part"));
        let parts: Vec<_> = parts.cloned().collect();
        assert_eq!(
            parts.len(),
            1,
            "{place:?} leaves one file that is not whole: {parts:?}"
        );
        parts.iter().for_each(|name| drop(there.remove(name)));
        let mark = there.remove(Path::new("unfinished.json"));
        assert!(mark.is_some(), "it names what was not finished");
        let right = there
            .iter()
            .all(|(name, bytes)| wanted.get(name) == Some(bytes));
        assert!(right, "what has its name is whole, killed at {place:?}");
        let import = super::g3n(&server, &["utl", "import", out.to_str().expect("readable")]);
        let said = String::from_utf8_lossy(&import.stdout).into_owned()
            + &String::from_utf8_lossy(&import.stderr);
        assert!(said.contains("the download is not finished"), "{said}");
        let told = done(&server, &arguments(&out));
        let fetched = (wanted.len() - there.len()) as u64;
        assert_eq!(
            told["fetched"], fetched,
            "what was there is not fetched again"
        );
        assert_eq!(told["files"], wanted.len() as u64);
        assert!(files(&out) == wanted, "killed at {place:?}");
    }
    // Damaged meanwhile, a file is fetched again.
    let out = scratch.path().join("0");
    std::fs::write(out.join(largest), b"damaged").expect("written");
    assert_eq!(done(&server, &arguments(&out))["fetched"], 1);
    assert!(files(&out) == wanted);
}

/// Every file below a directory, however deep, with its bytes.
fn all(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = Vec::new();
    crate::support::walk(root, &mut found);
    let read = found.into_iter().map(|(path, _)| {
        let bytes = std::fs::read(&path).unwrap_or_default();
        (path, bytes)
    });
    read.collect()
}

#[test]
fn an_export_goes_only_where_nothing_else_is() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let root = scratch.path();
    let server = Server::start_in(&root.join("data"), &[]);
    fill(&server);
    let good = root.join("good");
    export(&server, ORG, &good);
    for (name, file) in [
        ("web", "manifest.json"),
        ("web", "content.jsonl"),
        ("letters", "dear.txt"),
        ("site", "content/index.html"),
        ("partial", "unfinished.json"),
    ] {
        let path = root.join(name).join(file);
        std::fs::create_dir_all(path.parent().expect("above")).expect("made");
        std::fs::write(path, "{}").expect("the user's own");
    }
    let mark = r#"{"manifest_sha256":"0000"}"#;
    std::fs::write(root.join("partial/unfinished.json"), mark).expect("written");
    std::fs::write(root.join("partial/events.jsonl.gz.part"), "x").expect("written");
    let more = root.join("more");
    std::fs::create_dir(&more).expect("made");
    export(&server, ORG, &more.join("later"));
    std::fs::write(more.join("later/readme.txt"), "mine").expect("written");
    std::os::unix::fs::symlink(root.join("letters"), root.join("link")).expect("linked");
    for out in [
        "web",
        "letters",
        "link",
        "site",
        "partial",
        "data",
        "data/exports/mine",
        "data/content/not/yet",
        // An earlier export of the same org, and the latest with a file of the user's.
        "good",
        "more/later",
    ] {
        let before = all(root);
        let output = super::g3n(&server, &arguments(&root.join(out)));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(6), "{out}: {said}");
        assert!(said.contains("not-empty"), "{out}: {said}");
        let mut after = all(root);
        // What the server writes of its own.
        after.retain(|path, _| !path.starts_with(root.join("data")) || !before.contains_key(path));
        let theirs = before
            .iter()
            .filter(|(path, _)| !path.starts_with(root.join("data")));
        let kept = theirs
            .clone()
            .all(|(path, bytes)| after.get(path) == Some(bytes));
        assert!(
            kept && after.len() == theirs.count(),
            "{out}: {:?}",
            after.keys()
        );
    }
    // An empty one is taken, and one that is finished is checked again.
    std::fs::create_dir(root.join("empty")).expect("made");
    let counts =
        [4 + 4, 0].map(|_| done(&server, &arguments(&root.join("empty")))["fetched"].clone());
    assert_eq!(counts, [4 + 4, 0]);
    assert!(!root.join("empty/unfinished.json").exists());
}
