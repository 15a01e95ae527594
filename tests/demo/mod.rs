//! The demonstration: real archives and real JSON that nobody here made, stored, found, read back, restarted, rebuilt.
//!
//! `make demo` runs it and shows what it prints: every `.crate` archive in Cargo's registry cache, and what
//! `cargo metadata` says of this project, one record a package.

use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metarecord::clock::Stopwatch;
use serde_json::Value;

use crate::support::Server;

/// Command lines run at a time.
const WORKERS: usize = 4;
/// Largest inline payload, in bytes.
const INLINE_BYTES_MAX: u64 = 262_144;
/// Every so many records one is doomed.
const DOOM_EVERY: usize = 10;

/// One file to store.
struct Item {
    container: &'static str,
    record_id: String,
    path: PathBuf,
    content_type: &'static str,
    licences: Vec<String>,
}

#[test]
fn real_files_survive_restart_and_rebuild() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let items = gather(scratch.path());
    let bytes: u64 = items
        .iter()
        .filter_map(|item| item.path.metadata().ok())
        .map(|file| file.len())
        .sum();
    println!("{} files, {bytes} bytes", items.len());
    let mut server = Server::start_in(&dir, &[]);
    step("store", &items, |item| store(&server, item));
    step("tag", &items, |item| tag(&server, item));
    step("read back", &items, |item| read_back(&server, item));
    find(&server, &items);
    let (doomed, kept): (Vec<_>, Vec<_>) = items
        .into_iter()
        .enumerate()
        .partition(|(index, _)| index % DOOM_EVERY == 0);
    let (doomed, kept): (Vec<_>, Vec<_>) = (
        doomed.into_iter().map(|(_, item)| item).collect(),
        kept.into_iter().map(|(_, item)| item).collect(),
    );
    step("doom", &doomed, |item| doom(&server, item));

    let since = Stopwatch::start();
    assert_eq!(server.end("TERM"), Some(0), "the server ends in order");
    server = Server::start_in(&dir, &[]);
    told("restart", 1, since);
    check(&server, &kept, &doomed);

    let since = Stopwatch::start();
    assert_eq!(server.end("TERM"), Some(0), "the server ends in order");
    std::fs::remove_dir_all(dir.join("projections")).expect("the projections can be deleted");
    server = Server::start_in(&dir, &[]);
    told("restart without projections", 1, since);
    check(&server, &kept, &doomed);

    assert_eq!(server.end("TERM"), Some(0), "the server ends in order");
    let since = Stopwatch::start();
    let verified = Command::new(env!("CARGO_BIN_EXE_g3n"))
        .args(["journal", "verify", "--output", "json", "--data-dir"])
        .arg(&dir)
        .output()
        .expect("g3n runs");
    assert!(verified.status.success(), "{verified:?}");
    told("verify the journal", 1, since);
}

/// The archives of the registry cache, and one JSON file for each package of this project.
fn gather(scratch: &Path) -> Vec<Item> {
    let metadata = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--offline",
            // What this platform does not need was not fetched.
            "--filter-platform",
            crate::support::platform().trim(),
            "--manifest-path",
        ])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(
        metadata.status.success(),
        "{}",
        String::from_utf8_lossy(&metadata.stderr)
    );
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let mut items = Vec::new();
    for package in packages {
        let name = record_id(&format!(
            "{}-{}",
            text(&package["name"]),
            text(&package["version"])
        ));
        let path = scratch.join(format!("{name}.json"));
        std::fs::write(&path, package.to_string()).expect("the file can be written");
        items.push(Item {
            container: "packages",
            record_id: name,
            path,
            content_type: "application/json",
            licences: licences(package),
        });
    }
    let home = std::env::var("CARGO_HOME")
        .unwrap_or_else(|_| format!("{}/.cargo", std::env::var("HOME").expect("HOME")));
    for index in std::fs::read_dir(Path::new(&home).join("registry/cache"))
        .expect("a registry cache")
        .flatten()
    {
        for file in std::fs::read_dir(index.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = file.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "crate")
            {
                let name = record_id(&path.file_stem().expect("a name").to_string_lossy());
                let package = items.iter().find(|item| item.record_id == name);
                items.push(Item {
                    container: "crates",
                    licences: package.map_or_else(Vec::new, |package| package.licences.clone()),
                    record_id: name,
                    path,
                    content_type: "application/gzip",
                });
            }
        }
    }
    items.sort_by(|a, b| (a.container, &a.record_id).cmp(&(b.container, &b.record_id)));
    items.dedup_by(|a, b| (a.container, &a.record_id) == (b.container, &b.record_id));
    items
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Version numbers may hold a `+`, record ids may not.
fn record_id(name: &str) -> String {
    name.replace('+', "_")
}

fn licences(package: &Value) -> Vec<String> {
    let words = text(&package["license"]).split([' ', '/', '(', ')']);
    let mut tags: Vec<String> = words
        .map(|word| {
            word.chars()
                .filter(char::is_ascii_alphanumeric)
                .collect::<String>()
                .to_uppercase()
        })
        .filter(|tag| !tag.is_empty() && tag != "OR" && tag != "AND" && tag != "WITH")
        .collect();
    tags.sort();
    tags.dedup();
    tags
}

fn letter(item: &Item) -> String {
    item.record_id
        .chars()
        .take(1)
        .collect::<String>()
        .to_uppercase()
}

/// Runs one command line; panics with what it said when it fails.
fn g3n(server: &Server, arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_g3n"))
        .args(arguments)
        .args(["--profile", "g3nretailstack", "--config"])
        .arg(&server.config_file)
        .output()
        .expect("g3n runs");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    output
}

fn store(server: &Server, item: &Item) {
    let path = item.path.to_str().expect("a readable path");
    let small = item
        .path
        .metadata()
        .is_ok_and(|file| file.len() <= INLINE_BYTES_MAX);
    let source = if item.content_type == "application/json" && small {
        "--inline-payload-file"
    } else {
        "--file"
    };
    g3n(
        server,
        &[
            "mrs",
            "put",
            "--container",
            item.container,
            "--record-id",
            &item.record_id,
            "--content-type",
            item.content_type,
            source,
            path,
        ],
    );
}

fn tag(server: &Server, item: &Item) {
    let letter = letter(item);
    let mut arguments = vec![
        "mrs",
        "tag-add",
        "--container",
        item.container,
        "--record-id",
        &item.record_id,
        "--tag",
        &letter,
    ];
    for licence in &item.licences {
        arguments.extend(["--tag", licence]);
    }
    g3n(server, &arguments);
}

fn read_back(server: &Server, item: &Item) {
    let got = g3n(
        server,
        &[
            "mrs",
            "get",
            "--container",
            item.container,
            "--record-id",
            &item.record_id,
        ],
    );
    let sent = std::fs::read(&item.path).expect("the file is still there");
    assert!(got.stdout == sent, "{} came back otherwise", item.record_id);
}

fn doom(server: &Server, item: &Item) {
    g3n(
        server,
        &[
            "mrs",
            "doom",
            "--container",
            item.container,
            "--record-id",
            &item.record_id,
            "--reason",
            "demonstration",
        ],
    );
}

/// Lists by tag and by prefix, and compares with what was stored.
fn find(server: &Server, items: &[Item]) {
    let since = Stopwatch::start();
    let mut pages = 0;
    for (flag, value, wanted) in [
        (
            "--tag",
            "MIT",
            items
                .iter()
                .filter(|item| item.licences.iter().any(|tag| tag == "MIT"))
                .count(),
        ),
        (
            "--tag",
            "S",
            items.iter().filter(|item| letter(item) == "S").count(),
        ),
        (
            "--prefix",
            "serde",
            items
                .iter()
                .filter(|item| item.record_id.starts_with("serde"))
                .count(),
        ),
    ] {
        assert_eq!(
            list(server, &[flag, value], &mut pages).len(),
            wanted,
            "{flag} {value}"
        );
    }
    told("list by tag and prefix (pages)", pages, since);
}

/// Every page of a list: container and record id of each item.
fn list(server: &Server, filter: &[&str], pages: &mut usize) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let mut arguments = vec!["mrs", "list", "--output", "json", "--limit", "64"];
        arguments.extend(filter);
        if let Some(token) = &token {
            arguments.extend(["--next-token", token]);
        }
        let output = g3n(server, &arguments);
        let page: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
        *pages += 1;
        for item in page["data"]["items"].as_array().into_iter().flatten() {
            found.push((
                text(&item["container"]).to_owned(),
                text(&item["record_id"]).to_owned(),
            ));
        }
        token = page["data"]["next_token"].as_str().map(str::to_owned);
        if token.is_none() {
            return found;
        }
    }
}

fn check(server: &Server, kept: &[Item], doomed: &[Item]) {
    step("read back", kept, |item| read_back(server, item));
    let since = Stopwatch::start();
    let mut pages = 0;
    let name = |item: &Item| (item.container.to_owned(), item.record_id.clone());
    assert_eq!(
        list(server, &["--status", "active"], &mut pages),
        kept.iter().map(name).collect::<Vec<_>>()
    );
    assert_eq!(
        list(server, &["--status", "doomed"], &mut pages),
        doomed.iter().map(name).collect::<Vec<_>>()
    );
    told("list everything (pages)", pages, since);
}

/// Does something with every item, several at a time, and says how long it took.
fn step(what: &str, items: &[Item], work: impl Fn(&Item) + Sync) {
    let since = Stopwatch::start();
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                scope.spawn(|| {
                    while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                        work(item);
                    }
                })
            })
            .collect();
        for worker in workers {
            if let Err(panic) = worker.join() {
                *failed.lock() = Some(panic);
            }
        }
    });
    if let Some(panic) = failed.into_inner() {
        std::panic::resume_unwind(panic);
    }
    told(what, items.len(), since);
}

fn told(what: &str, count: usize, since: Stopwatch) {
    let took = Duration::from_secs_f64(since.seconds());
    println!("{what:<32} {count:>6}  {:>8.2} s", took.as_secs_f64());
}
