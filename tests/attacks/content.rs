//! Content that was completed stays what it was: late bytes, other bytes of the same MD5, and files put in its place.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use metarecord::domain::{Md5, Sha256Digest};
use serde_json::{Value, json};

use crate::support::{Got, Server, eventually};

/// The same public url after each start, so that an upload url outlives a server.
const PUBLIC: [&str; 2] = ["--set", "http.public_url=http://x"];

pub(super) fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("in memory");
    encoder.finish().expect("in memory")
}

/// Two different gzip files of one MD5, where there are such next to the repository.
fn pair() -> Option<(Vec<u8>, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/md5-pair");
    let read = |name: &str| fs::read(root.join(name)).ok();
    let (one, other) = (read("1.gz")?, read("2.gz")?);
    assert_eq!((Md5::of(&one), one.len()), (Md5::of(&other), other.len()));
    assert_ne!(one, other);
    Some((one, other))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256Digest::of(bytes).to_string()
}

/// A record that waits for an upload.
struct Promise {
    path: String,
    token: Value,
    object: Facts,
}

/// What is promised of it.
#[derive(Clone)]
struct Facts {
    id: &'static str,
    size: usize,
    md5: String,
}

impl Promise {
    fn ask(server: &Server, id: &'static str, gz: &[u8], revision: Option<u64>) -> Self {
        let (size, md5) = (gz.len(), Md5::of(gz).to_string());
        let mut body = json!({"orgcode": "demo", "container": "blobs", "record_id": id,
            "content_type": "text/plain", "size": size, "content_md5": md5});
        if let Some(revision) = revision {
            body["expected_revision"] = json!(revision);
        }
        let put = server.post("/mrs/record", &body).data();
        let url = put["upload"]["url"].as_str().expect("a url");
        Self {
            path: url.strip_prefix("http://x").expect("a path").to_owned(),
            token: put["content_token"].clone(),
            object: Facts { id, size, md5 },
        }
    }

    fn send(&self, server: &Server, gz: &[u8]) -> Got {
        server.put_url(&format!("{}{}", server.base_url, self.path), &[], gz)
    }

    fn complete(&self, server: &Server) -> Got {
        let Facts { id, size, md5 } = &self.object;
        let body = json!({"orgcode": "demo", "container": "blobs", "record_id": id,
            "content_token": self.token, "size": size, "content_md5": md5});
        server.post("/mrs/record/complete", &body)
    }

    /// Sends all but the last byte, and waits until the server has them.
    fn begin(&self, server: &Server, gz: &[u8]) -> Late {
        let address = server.base_url.strip_prefix("http://").expect("http");
        let mut stream = TcpStream::connect(address).expect("the server listens");
        let head = format!(
            "PUT {} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.path,
            gz.len()
        );
        let (last, most) = gz.split_last().expect("it is not empty");
        stream.write_all(head.as_bytes()).expect("sent");
        stream.write_all(most).expect("sent");
        let before = most.len() as u64;
        eventually("the server has all but the last byte", || {
            let files = server.content_files();
            let held = |(path, size): &(PathBuf, u64)| {
                path.to_string_lossy().contains("content/tmp/") && *size == before
            };
            files.iter().any(held)
        });
        Late {
            stream,
            last: *last,
        }
    }
}

/// An upload whose last byte is held back.
struct Late {
    stream: TcpStream,
    last: u8,
}

impl Late {
    /// Sends the last byte; returns the status of the answer.
    fn end(mut self) -> u16 {
        self.stream.write_all(&[self.last]).expect("sent");
        let mut answer = String::new();
        let read = self.stream.read_to_string(&mut answer);
        read.expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|text| text.parse().ok());
        status.expect("a status")
    }
}

/// The record as it reads, and the bytes that it gives.
fn read(server: &Server, id: &str, version: Option<&str>) -> (Value, Vec<u8>) {
    let mut query = vec![
        ("orgcode", "demo"),
        ("container", "blobs"),
        ("record_id", id),
    ];
    query.extend(version.map(|version| ("version", version)));
    let record = server.get("/mrs/record", &query).data();
    let url = record["download"]["url"].as_str().expect("a url");
    let path = url.strip_prefix("http://x").expect("a path");
    let got = server.get_url(&format!("{}{path}", server.base_url), &[]);
    assert_eq!(got.status, 200);
    (record, got.bytes)
}

/// The record gives exactly these bytes and tells their SHA-256.
fn gives(server: &Server, id: &str, gz: &[u8]) {
    let (record, bytes) = read(server, id, None);
    assert_eq!(bytes, gz);
    for told in [
        &record["content_sha256"],
        &record["download"]["content_sha256"],
    ] {
        assert_eq!(*told, sha256(gz));
    }
}

/// The only content file there is.
fn only_file(server: &Server) -> PathBuf {
    let mut files = server.content_files();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0).0
}

fn reconcile(server: &Server) -> Vec<(String, String)> {
    let body = json!({"orgcode": "demo", "container": "blobs"});
    let found = server.invoke("mrs_reconcile", &body).data();
    let drift = found["drift"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let drift = drift.iter();
    drift
        .map(|one| (text(&one["record_id"]), text(&one["kind"])))
        .collect()
}

#[test]
fn a_late_byte_does_not_exchange_what_was_completed() {
    let one = gzip("what was agreed");
    let (first, second) = pair().unwrap_or_else(|| (one.clone(), one));
    let server = Server::start_with(&PUBLIC);
    let promise = Promise::ask(&server, "n", &first, None);
    let late = promise.begin(&server, &second);
    assert_eq!(promise.send(&server, &first).status, 200);
    let done = promise.complete(&server).data();
    assert_eq!(done["content_sha256"], sha256(&first));
    let (_, kept): (Vec<_>, Vec<_>) = server
        .content_files()
        .into_iter()
        .partition(|(path, _)| path.to_string_lossy().contains("content/tmp/"));
    assert_eq!(
        kept.len(),
        1,
        "beside the late one there is the content alone: {kept:?}"
    );
    let file = |path: &Path| {
        let metadata = fs::metadata(path).expect("it is there");
        (metadata.ino(), metadata.modified().expect("a time"))
    };
    let before = file(&kept[0].0);
    assert_eq!(late.end(), 409);
    // Nobody has written it again, with what bytes ever.
    assert_eq!(file(&only_file(&server)), before);
    gives(&server, "n", &first);
    assert_eq!(reconcile(&server), []);
    assert_eq!(promise.complete(&server).data(), done, "once more");
    assert_eq!(promise.send(&server, &second).status, 409);
}

#[test]
fn late_bytes_of_uploads_that_were_replaced_or_doomed_leave_nothing() {
    let server = Server::start_with(&PUBLIC);
    let (first, second) = (gzip("the first"), gzip("the second"));
    let put = Promise::ask(&server, "n", &first, None);
    let late = put.begin(&server, &first);
    let over = Promise::ask(&server, "n", &second, Some(1));
    assert_eq!(late.end(), 409);
    assert_eq!(server.content_files(), []);
    assert_eq!(over.send(&server, &second).status, 200);
    let late = over.begin(&server, &second);
    let doom =
        json!({"orgcode": "demo", "container": "blobs", "record_id": "n", "expected_revision": 2});
    server.post("/mrs/doom", &doom).data();
    assert_eq!(late.end(), 409);
    // What was uploaded ahead of that goes with what was given up.
    let kept = only_file(&server);
    assert!(kept.to_string_lossy().contains(".uploads/"), "{kept:?}");
}

#[test]
fn of_two_uploads_to_one_url_the_one_that_ended_last_is_taken() {
    let one = gzip("what was agreed");
    let (first, second) = pair().unwrap_or_else(|| (one.clone(), one));
    let server = Server::start_with(&PUBLIC);
    for (id, overtakes) in [("in-order", false), ("overtaken", true)] {
        let promise = Promise::ask(&server, id, &first, None);
        let late = promise.begin(&server, &second);
        assert_eq!(promise.send(&server, &first).status, 200);
        let wanted = match overtakes {
            true => {
                assert_eq!(late.end(), 200);
                &second
            }
            false => {
                drop(late);
                &first
            }
        };
        let done = promise.complete(&server).data();
        assert_eq!(done["content_sha256"], sha256(wanted), "{id}");
        gives(&server, id, wanted);
    }
    eventually("only the two contents are left", || {
        server.content_files().len() == 2
    });
}

/// Where the only upload that is kept lies.
fn kept_upload(server: &Server) -> PathBuf {
    let file = only_file(server);
    assert!(file.to_string_lossy().contains(".uploads/"), "{file:?}");
    file
}

/// The place of the object that a kept upload is to become.
fn object_of(upload: &Path) -> PathBuf {
    let name = upload.file_name().and_then(|name| name.to_str());
    let (id, _) = name.and_then(|name| name.split_once('.')).expect("a name");
    let org = upload.parent().and_then(Path::parent).expect("an org's");
    org.join(&id[..2]).join(format!("{id}.gz"))
}

#[test]
fn a_kill_between_any_two_steps_changes_no_content() {
    let one = gzip("what was agreed");
    let (first, second) = pair().unwrap_or_else(|| (one.clone(), one));
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let mut server = Server::start_in(&dir, &PUBLIC);
    // Behind a kept upload, with another under way.
    let promise = Promise::ask(&server, "n", &first, None);
    let late = promise.begin(&server, &second);
    assert_eq!(promise.send(&server, &first).status, 200);
    server.end("KILL");
    drop(late);
    let mut server = Server::start_in(&dir, &PUBLIC);
    let upload = kept_upload(&server);
    server.end("KILL");
    // With two uploads that were kept, the later one with the higher number.
    let name = upload.file_name().and_then(|name| name.to_str());
    let id = name.and_then(|name| name.split('.').next()).expect("an id");
    let later = upload.with_file_name(format!("{id}.2.{}", sha256(&second)));
    fs::write(&later, &second).expect("written");
    // The object is there and nothing is journaled of it.
    let object = object_of(&upload);
    fs::create_dir_all(object.parent().expect("a directory")).expect("made");
    fs::hard_link(&later, &object).expect("linked");
    let mut server = Server::start_in(&dir, &PUBLIC);
    let sent = promise.send(&server, &first);
    let refused = (409, "invalid-state".to_owned(), "sealed".to_owned());
    if first != second {
        assert_eq!(sent.refusal(), refused);
    }
    let done = promise.complete(&server).data();
    assert_eq!(done["content_sha256"], sha256(&second));
    assert_eq!(only_file(&server), object);
    server.end("KILL");
    // An upload that outlived its completion is not content.
    fs::write(&upload, &first).expect("written");
    let server = Server::start_in(&dir, &PUBLIC);
    assert_eq!(promise.complete(&server).data(), done);
    assert_eq!(promise.send(&server, &first).status, 409);
    gives(&server, "n", &second);
    let drift = reconcile(&server);
    assert_eq!(drift, [], "it goes with the object, or when it is old");
}

#[test]
fn an_object_whose_upload_was_forgotten_is_read_again_for_its_digest() {
    let gz = gzip("what was agreed");
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    for damaged in [false, true] {
        let id = if damaged { "damaged" } else { "whole" };
        let mut server = Server::start_in(&dir, &PUBLIC);
        let promise = Promise::ask(&server, id, &gz, None);
        assert_eq!(promise.send(&server, &gz).status, 200);
        let upload = server.content_files().into_iter().map(|(path, _)| path);
        let mut upload = upload.filter(|path| path.to_string_lossy().contains(".uploads/"));
        let upload = upload.next_back().expect("it is kept");
        server.end("KILL");
        let object = object_of(&upload);
        fs::create_dir_all(object.parent().expect("a directory")).expect("made");
        fs::rename(&upload, &object).expect("moved");
        if damaged {
            let mut bytes = gz.clone();
            bytes[10] ^= 1;
            fs::write(&object, bytes).expect("written");
        }
        let mut server = Server::start_in(&dir, &PUBLIC);
        let done = promise.complete(&server);
        match damaged {
            true => assert_eq!(done.refusal().1, "md5-mismatch"),
            false => {
                assert_eq!(done.data()["content_sha256"], sha256(&gz));
                gives(&server, id, &gz);
            }
        }
        server.end("TERM");
    }
}

/// Runs `g3n` with a server's profile.
fn g3n(server: &Server, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_g3n"))
        .args(["--output", "json"])
        .args(arguments)
        .env("G3N_CONFIG", &server.config_file)
        .env("G3N_PROFILE", "dev")
        .output()
        .expect("g3n runs");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.code(), text)
}

#[test]
fn other_bytes_of_the_same_md5_in_the_place_of_content_are_found_by_whoever_reads_it() {
    let Some((first, second)) = pair() else {
        return;
    };
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start();
    let path = |url: &Value| url.as_str().expect("a url").to_owned();
    let (size, md5) = (first.len(), Md5::of(&first).to_string());
    let body = json!({"orgcode": "demo", "container": "blobs", "record_id": "n",
        "content_type": "text/plain", "size": size, "content_md5": md5});
    let put = server.post("/mrs/record", &body).data();
    let sent = server.put_url(&path(&put["upload"]["url"]), &[], &first);
    assert_eq!(sent.status, 200);
    let body = json!({"orgcode": "demo", "container": "blobs", "record_id": "n",
        "content_token": put["content_token"], "size": size, "content_md5": md5});
    server.post("/mrs/record/complete", &body).data();
    let backup = scratch.path().join("backup");
    let to = backup.to_str().expect("a path");
    let data = server.dir.to_str().expect("a path").to_owned();
    let create = ["backup", "create", "--data-dir", &data, to];
    let (code, told) = g3n(&server, &create);
    assert_eq!(code, Some(0), "{told}");
    fs::write(only_file(&server), &second).expect("exchanged");
    // The server.
    let query = [
        ("orgcode", "demo"),
        ("container", "blobs"),
        ("record_id", "n"),
    ];
    let record = server.get("/mrs/record", &query).data();
    let url = path(&record["download"]["url"]);
    let address = server.base_url.strip_prefix("http://").expect("http");
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let wanted = url.strip_prefix(&server.base_url).expect("a path");
    let head = format!("GET {wanted} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    // That it breaks off is the point.
    let _: std::io::Result<usize> = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = &answer[end.map_or(0, |end| end + 4)..];
    assert!(body.len() < size, "the last part is not sent");
    let drift = [("n".to_owned(), "sha256-mismatch".to_owned())];
    assert_eq!(reconcile(&server), drift);
    let get = [
        "mrs",
        "get",
        "--orgcode",
        "demo",
        "--container",
        "blobs",
        "--record-id",
        "n",
    ];
    assert_ne!(g3n(&server, &get).0, Some(0));
    // A backup does not take it, and finds it in itself.
    let fresh = scratch.path().join("fresh");
    let create = [
        "backup",
        "create",
        "--data-dir",
        &data,
        fresh.to_str().expect("a path"),
    ];
    let (_, told) = g3n(&server, &create);
    assert!(
        told.contains("absent") || told.contains("missing"),
        "{told}"
    );
    let (code, told) = g3n(&server, &["backup", "verify", to]);
    assert_eq!(code, Some(0), "{told}");
    let mut files = Vec::new();
    crate::support::walk(&backup.join("content"), &mut files);
    fs::write(&files[0].0, &second).expect("exchanged");
    let (code, told) = g3n(&server, &["backup", "verify", to]);
    assert_ne!(code, Some(0), "{told}");
    assert!(told.contains("SHA-256"), "{told}");
    // A repair marks it lost, and what it was stays to be inspected with what is moved later.
    let repair = json!({"orgcode": "demo", "container": "blobs", "mode": "repair"});
    let repaired = server.invoke("mrs_reconcile", &repair).data();
    assert_eq!(repaired["repaired"], 1);
    assert!(only_file(&server).to_string_lossy().ends_with(".damaged"));
}

#[test]
fn an_import_does_not_replace_an_object_that_it_brought() {
    let server = Server::start();
    let begin = json!({"orgcode": "COMING", "manifest_sha256": "ab".repeat(32), "export_id": "e-1", "entries": 1});
    server.invoke("utl_import_begin", &begin).data();
    let object = "0123456789abcdef0123456789abcdef";
    let bearer = format!("Bearer {}", server.operator_token);
    let put = |gz: &[u8], told: &[u8]| {
        let url = format!(
            "{}/import/COMING/{object}?size={}&md5={}&sha256={}",
            server.operator_url,
            gz.len(),
            Md5::of(gz),
            sha256(told)
        );
        server.put_url(&url, &[("authorization", &bearer)], gz)
    };
    let (first, second) = (gzip("the first"), gzip("the second"));
    let (status, tag, minor) = put(&first, &second).refusal();
    assert_eq!(
        (status, tag.as_str(), minor.as_str()),
        (409, "md5-mismatch", "sha256")
    );
    assert_eq!(server.content_files(), []);
    let asked = json!({"orgcode": "COMING", "object_ids": [object]});
    let missing = || server.invoke("utl_import_objects", &asked).data()["missing"].clone();
    assert_eq!(missing().as_array().map(Vec::len), Some(1));
    assert_eq!(put(&first, &first).status, 200);
    assert_eq!(missing(), json!([]));
    assert_eq!(put(&first, &first).status, 200, "once more");
    assert_eq!(put(&second, &second).refusal().2, "sealed");
    assert_eq!(fs::read(only_file(&server)).expect("read"), first);
}
