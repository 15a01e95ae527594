//! Backups: under load, one after the other into one directory, damaged, broken off, restored; and directories of other
//! versions.

mod damage;
mod kill;
mod older;
mod places;
mod restore;
mod rounds;
mod vacuum;
mod versions;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use metarecord::backup::catalogue::{Catalogue, ObjectState};
use metarecord::domain::Md5;
use metarecord::journal::Entry;
use metarecord::journal::replay::replay;
use serde_json::{Value, json};

use crate::cli::run::{Ran, g3n};
use crate::support::Got;
use crate::support::inside::Inside;

/// The container of all uploads.
const BLOBS: &str = "blobs";
/// Segments as small as they may be, so that a few entries fill some.
const SMALL_SEGMENTS: &str = "journal.segment_bytes=65536";

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("in memory");
    encoder.finish().expect("in memory")
}

/// Promises an upload and does it; with `complete` it becomes the content. The last answer, good or bad.
fn upload(server: &Inside, id: &str, text: &str, over: Option<u64>, complete: bool) -> Got {
    let gz = gzip(text);
    let (size, md5) = (gz.len(), Md5::of(&gz).to_string());
    let mut body = json!({"orgcode": "demo", "container": BLOBS, "record_id": id,
        "content_type": "text/plain", "size": size, "content_md5": md5});
    if let Some(revision) = over {
        body["expected_revision"] = json!(revision);
    }
    let put = server.post("/mrs/record", &body);
    if put.status != 200 {
        return put;
    }
    let put = put.data();
    let url = put["upload"]["url"].as_str().expect("a url");
    let path = url.strip_prefix(&server.base_url).expect("a path");
    let sent = server.put_bytes(path, &gz);
    if !complete || sent.status != 200 {
        return sent;
    }
    let body = json!({"orgcode": "demo", "container": BLOBS, "record_id": id,
        "content_token": put["content_token"], "size": size, "content_md5": md5});
    server.post("/mrs/record/complete", &body)
}

/// Runs `g3n backup create` with a server.
fn create(server: &Inside, into: &Path, more: &str) -> Ran {
    let line = format!(
        "backup create {} --data-dir {} --operator-url {} --output json {more}",
        into.display(),
        server.dir.display(),
        server.operator_url
    );
    g3n(&line, &server.dir, &[], b"")
}

/// The same of a directory whose server is stopped, or is none.
fn create_of(data_dir: &Path, into: &Path) -> Ran {
    let line = format!(
        "backup create {} --data-dir {} --output json",
        into.display(),
        data_dir.display()
    );
    g3n(&line, Path::new("/"), &[], b"")
}

fn verify(backup: &Path) -> Ran {
    let line = format!("backup verify {} --output json", backup.display());
    g3n(&line, Path::new("/"), &[], b"")
}

fn restore(backup: &Path, data_dir: &Path, more: &str) -> Ran {
    let line = format!(
        "backup restore {} --data-dir {} --output json {more}",
        backup.display(),
        data_dir.display()
    );
    g3n(&line, Path::new("/"), &[], b"")
}

/// What a good run told.
fn good(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()
}

/// What a check found wrong, file by file.
fn problems(ran: &Ran) -> Vec<(String, String)> {
    assert_eq!(ran.code, 1, "{ran:?}");
    let told = ran.json();
    assert_eq!(told["good"], false);
    assert!(
        ran.stderr.contains("error: the backup is damaged"),
        "{ran:?}"
    );
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let problems = told["problems"].as_array().expect("problems").iter();
    problems
        .map(|problem| (text(&problem["file"]), text(&problem["what"])))
        .collect()
}

/// Every entry of a data directory's journal up to a position, inline content included.
fn entries(data_dir: &Path, until: u64) -> Vec<Entry> {
    let entries = replay(&data_dir.join("journal")).expect("a journal");
    let entries = entries.until(until).collect::<Result<_, _>>();
    entries.expect("sound entries")
}

/// The files of content that entries name as there.
fn kept(entries: &[Entry]) -> Vec<PathBuf> {
    let mut catalogue = Catalogue::default();
    for body in entries.iter().filter_map(|entry| entry.body.as_ref()) {
        catalogue.take(body);
    }
    let kept = catalogue
        .iter()
        .filter(|(_, object)| object.state == ObjectState::Kept);
    kept.map(|(name, _)| {
        let id = name.object_id.simple().to_string();
        PathBuf::from(format!("content/{}/{}/{id}.gz", name.org, &id[..2]))
    })
    .collect()
}

/// Every file below a directory by its path there, with its bytes.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let (mut found, mut left) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(at) = left.pop() {
        for entry in fs::read_dir(&at).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => left.push(path),
                false => {
                    let below = path.strip_prefix(directory).expect("it is below");
                    let bytes = fs::read(&path).expect("a file");
                    found.push((below.to_string_lossy().into_owned(), bytes));
                }
            }
        }
    }
    found.sort();
    found
}

/// What a server finds wrong between records, rows and files of a container, except overdue uploads.
fn drift(server: &Inside, container: &str) -> Vec<Value> {
    let (mut found, mut token) = (Vec::new(), Value::Null);
    loop {
        let mut body = json!({"orgcode": "demo", "container": container, "mode": "report-only",
            "max_items": 1_000});
        if !token.is_null() {
            body["next_token"] = token;
        }
        let page = server.operator("mrs_reconcile", &body).data();
        found.extend(page["drift"].as_array().expect("drift").clone());
        token = page["next_token"].clone();
        if token.is_null() {
            found.retain(|drift| drift["kind"] != "stale-pending");
            return found;
        }
    }
}
