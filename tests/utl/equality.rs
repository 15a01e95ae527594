//! Real files leave one server and come to another: equal record by record and byte by byte.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{content, done, export, g3n, lines, make_org, owner, put_file, put_text, records};
use crate::support::Server;

const ORG: &str = "ACME";
/// Archives that are stored.
const ARCHIVES: usize = 24;
/// Largest archive that is stored, in bytes.
const ARCHIVE_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// Packages that are stored as JSON.
const PACKAGES: usize = 40;

/// Archives of the registry cache, which nobody here made.
pub(crate) fn archives() -> Vec<PathBuf> {
    let home = std::env::var("CARGO_HOME")
        .unwrap_or_else(|_| format!("{}/.cargo", std::env::var("HOME").expect("HOME")));
    let cache = Path::new(&home).join("registry/cache");
    let mut found = Vec::new();
    for index in std::fs::read_dir(cache)
        .expect("a registry cache")
        .flatten()
    {
        for file in std::fs::read_dir(index.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            let small = file
                .metadata()
                .is_ok_and(|file| file.len() <= ARCHIVE_BYTES_MAX);
            if small && file.path().extension().is_some_and(|name| name == "crate") {
                found.push(file.path());
            }
        }
    }
    found.sort();
    found.truncate(ARCHIVES);
    assert_eq!(found.len(), ARCHIVES, "archives in the registry cache");
    found
}

/// What cargo says of this project's packages.
fn packages() -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        // What this platform does not need was not fetched.
        .args(["--filter-platform", crate::support::platform().trim()])
        .args([
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ])
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let small = packages.iter().map(Value::to_string);
    small
        .filter(|text| text.len() < 200_000)
        .take(PACKAGES)
        .collect()
}

fn change(server: &Server, path: &str, id: &str, revision: u64, more: Value) -> Value {
    let mut body = json!({"orgcode": ORG, "container": "notes", "record_id": id, "expected_revision": revision});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    server.post(path, &body).data()
}

/// Everything that can be in an org: real content inline and in files, earlier versions of both, uploads that wait,
/// tags, due times, ends, requests that may come again, and answers to them that were refusals.
fn fill(server: &Server) {
    make_org(server, ORG);
    for (number, path) in archives().iter().enumerate() {
        put_file(server, ORG, &format!("a-{number}"), path);
    }
    // An earlier content version in a file.
    let other = archives()[1].clone();
    let first = archives()[0].clone();
    for (path, revision) in [(other, "2"), (first, "4")] {
        let path = path.to_str().expect("a readable path");
        done(
            server,
            &[
                "mrs",
                "put",
                "--orgcode",
                ORG,
                "--container",
                "files",
                "--record-id",
                "a-0",
                "--file",
                path,
                "--mode",
                "presign",
                "--expected-revision",
                revision,
            ],
        );
    }
    for (number, text) in packages().iter().enumerate() {
        put_text(server, ORG, &format!("p-{number}"), text, 0);
    }
    put_text(
        server,
        ORG,
        "p-0",
        "{\"b\": 1.00,\n \"a\":1e400,\t\"b\":\"\\u0041\"}",
        1,
    );
    put_text(server, ORG, "p-0", "\"third\"", 2);
    change(
        server,
        "/mrs/tag/add",
        "p-1",
        1,
        json!({"tags": ["red", "blue"], "actor": "ann", "reason": "colour"}),
    );
    change(
        server,
        "/mrs/tag/remove",
        "p-1",
        2,
        json!({"tags": ["red"]}),
    );
    change(
        server,
        "/mrs/ttl/set",
        "p-2",
        1,
        json!({"doom_at": "2999-01-01T00:00:00Z"}),
    );
    change(server, "/mrs/ttl/set", "p-2", 2, json!({"doom_at": null}));
    change(
        server,
        "/mrs/ttl/set",
        "p-3",
        1,
        json!({"doom_at": "2999-01-01T00:00:00Z"}),
    );
    change(
        server,
        "/mrs/doom",
        "p-4",
        1,
        json!({"reason": "not needed"}),
    );
    let waiting = json!({"orgcode": ORG, "container": "files", "record_id": "waits", "mode": "presign",
        "content_type": "text/plain", "size": 5, "content_md5": "0".repeat(32), "cccode": "AB12-CD34-EF56"});
    server.post("/mrs/record", &waiting).data();
    server.post("/mrs/record", &repeated("once")).data();
    let refused = server.post("/mrs/record", &refused_put());
    assert_eq!(refused.status, 409, "{:?}", refused.json());
}

fn repeated(payload: &str) -> Value {
    json!({"orgcode": ORG, "container": "notes", "idempotency_key": "again", "payload": payload,
        "content_type": "application/json"})
}

fn refused_put() -> Value {
    json!({"orgcode": ORG, "container": "refusals", "record_id": "none", "idempotency_key": "no",
        "payload": 1, "content_type": "application/json", "expected_revision": 7})
}

#[test]
fn an_org_of_real_files_is_the_same_in_another_instance() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (here, there) = (Server::start(), Server::start());
    fill(&here);
    let out = scratch.path().join("acme");
    let told = export(&here, ORG, &out);
    assert_eq!(told["fetched"], told["files"], "{told}");
    let path = out.to_str().expect("a readable path");
    // What is there, whole and right, is not fetched again; what is not, is.
    std::fs::remove_file(out.join("events.jsonl.gz")).expect("removed");
    std::fs::write(out.join("content.jsonl"), b"other").expect("written");
    let again = done(
        &here,
        &[
            "utl",
            "export",
            "--operator",
            "--orgcode",
            ORG,
            "--out",
            path,
        ],
    );
    assert_eq!(
        (&again["fetched"], &again["bytes"]),
        (&json!(2), &told["bytes"])
    );

    let new_owner = owner(&there);
    assert_ne!(
        new_owner,
        owner(&here),
        "the two servers know different users"
    );
    let import = ["utl", "import", path, "--owner-user-id", &new_owner];
    let imported = done(&there, &import);
    assert_eq!(
        (&imported["data"]["status"], &imported["data"]["owners"]),
        (&json!("verified"), &json!(2))
    );
    compare(&here, &there);

    // A request that comes again gets its first answer there too, be it good or bad.
    for (body, status) in [
        (repeated("once"), 200),
        (refused_put(), 409),
        (repeated("other"), 409),
    ] {
        let (a, b) = (
            here.post("/mrs/record", &body),
            there.post("/mrs/record", &body),
        );
        assert_eq!((a.status, b.status), (status, status), "{body}");
        let told = |got: &crate::support::Got| {
            let json = got.json();
            (
                json["data"].clone(),
                json["error"].clone(),
                got.header("idempotent-replay").map(str::to_owned),
            )
        };
        assert_eq!(told(&a), told(&b));
    }

    // What is exported there again is what came: only positions, the journal's own times and the entry point differ.
    let back = scratch.path().join("back");
    export(&there, ORG, &back);
    let listed = |dir: &Path| std::fs::read(dir.join("content.jsonl")).expect("the list");
    assert!(
        listed(&out) == listed(&back),
        "the content files are others"
    );
    let (mut sent, mut got) = (history(&out), history(&back));
    let added = got.pop().expect("the new owner");
    assert_eq!(added["events"][0]["type"], "org.member_added");
    sent.sort_by_key(Value::to_string);
    got.sort_by_key(Value::to_string);
    assert_eq!(sent, got);

    // The name is taken now, and nothing of the org has changed.
    let before = records(&there, ORG);
    let twice = g3n(&there, &import);
    let said: Value = serde_json::from_slice(&twice.stdout).expect("one JSON document");
    assert_eq!(twice.status.code(), Some(6), "{said}");
    assert_eq!(said["error"]["major"]["tag"], "conflict", "{said}");
    assert_eq!(records(&there, ORG), before);
    // It is an org like any other from now on.
    put_text(&there, ORG, "p-0", "\"fourth\"", 3);
}

/// Every record in every field, and every content version of it in every byte.
fn compare(here: &Server, there: &Server) {
    let (left, right) = (records(here, ORG), records(there, ORG));
    assert_eq!(left.len(), ARCHIVES + PACKAGES + 2);
    assert_eq!(left, right);
    let mut bytes = 0;
    for record in left.iter().filter(|record| record["status"] == "active") {
        for version in 1..=record["content_version"].as_u64().expect("a version") {
            let sent = content(here, record, version);
            assert!(
                sent == content(there, record, version),
                "{record} version {version}"
            );
            bytes += sent.len();
        }
        let query = [
            ("orgcode", ORG),
            (
                "container",
                record["container"].as_str().expect("a container"),
            ),
            ("record_id", record["record_id"].as_str().expect("an id")),
            ("as_of", record["created_at"].as_str().expect("a time")),
        ];
        let meta = |server: &Server| server.get("/mrs/record/meta", &query).data();
        assert_eq!(meta(here), meta(there), "as it began");
    }
    println!("{} records, {bytes} bytes of content are equal", left.len());
}

/// The lines of the history, without what no other journal can have.
fn history(directory: &Path) -> Vec<Value> {
    let mut lines = lines(&directory.join("events.jsonl.gz"));
    for line in &mut lines {
        let line = line.as_object_mut().expect("an object");
        for name in ["position", "recorded_at", "source"] {
            assert!(line.remove(name).is_some(), "{name}");
        }
    }
    lines
}
