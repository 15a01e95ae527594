//! Signals that reopen the log, and files of the log that somebody renames or removes.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Server, eventually};

fn send(signal: &str, server: &Server) {
    let pid = server.pid().to_string();
    let sent = Command::new("kill").args(["-s", signal, &pid]).status();
    assert!(sent.expect("kill runs").success());
}

/// The log's files of a directory; others have other names.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .collect();
    paths.sort();
    paths
}

fn has(dir: &Path, text: &str) -> bool {
    let mut files = files(dir).into_iter();
    files.any(|path| std::fs::read_to_string(path).is_ok_and(|lines| lines.contains(text)))
}

#[test]
fn signals_reopen_the_log_file_and_end_nothing() {
    let scratch = tempfile::tempdir().expect("a directory");
    let dir = scratch.path().join("logs");
    let mut server = Server::start_with(&["--log-dir", dir.to_str().expect("text")]);
    // Rotations of logs that were written for other servers send the last two.
    for signal in ["HUP", "HUP", "USR1", "USR2"] {
        let told = format!("SIG{signal}: the log file is reopened");
        send(signal, &server);
        eventually(&told, || has(&dir, &told));
        let moved = dir.join(format!("moved-{signal}"));
        for path in files(&dir) {
            std::fs::rename(&path, &moved).expect("renamed");
        }
        send(signal, &server);
        eventually("a file is begun", || has(&dir, &told));
    }
    let url = format!("{}/health", server.base_url);
    assert_eq!(server.get_url(&url, &[]).status, 200);
    // As `nohup` and a terminal that is closed have it.
    assert_eq!(server.end("TERM"), Some(0));
}

#[test]
fn a_renamed_or_removed_log_file_is_reopened_without_sighup() {
    let scratch = tempfile::tempdir().expect("a directory");
    let dir = scratch.path().join("logs");
    let server = Server::start_with(&["--log-dir", dir.to_str().expect("text")]);
    let ask = |id: &str| {
        let url = format!("{}/mrs/list", server.base_url);
        server.get_url(&url, &[("x-request-id", id)]);
    };
    ask("in-the-first");
    eventually("it is written", || has(&dir, "in-the-first"));
    for path in files(&dir) {
        std::fs::rename(&path, dir.join("moved")).expect("renamed");
    }
    ask("after-the-renaming");
    eventually("it is written", || has(&dir, "after-the-renaming"));
    for path in files(&dir) {
        std::fs::remove_file(&path).expect("removed");
    }
    ask("after-the-removal");
    eventually("it is written", || has(&dir, "after-the-removal"));
    std::fs::remove_dir_all(&dir).expect("removed");
    ask("after-all-is-gone");
    eventually("it is written", || has(&dir, "after-all-is-gone"));
    let moved = std::fs::read_to_string(dir.join("moved"));
    assert!(moved.is_err(), "the directory was removed");
}
