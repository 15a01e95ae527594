//! Memory stays flat: the largest upload and download there may be.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use metarecord::client::{Client, Credential, Transfer};
use serde_json::json;

use crate::support::Server;

/// Bytes of content: noise, so that its gzip is a little larger and still below 134,217,728.
const CONTENT_BYTES: u64 = 134_150_000;
/// What the server may take more of.
const GROWTH_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Resident memory of a process at its peak, in bytes; the peak is forgotten first when `reset`.
fn peak(pid: u32, reset: bool) -> u64 {
    if reset {
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the peak can be reset");
    }
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("a peak");
    let kilobytes: u64 = line
        .split_whitespace()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .expect("a number");
    kilobytes * 1024
}

/// Noise through the system's gzip into a file.
fn make(path: &Path) {
    let mut gzip = Command::new("gzip")
        .args(["-1", "-c"])
        .stdin(Stdio::piped())
        .stdout(File::create(path).expect("a file"))
        .spawn()
        .expect("gzip runs");
    let mut noise = File::open("/dev/urandom")
        .expect("noise")
        .take(CONTENT_BYTES);
    std::io::copy(&mut noise, &mut gzip.stdin.take().expect("its input")).expect("gzip takes it");
    assert!(gzip.wait().expect("gzip ends").success());
}

#[test]
fn the_largest_upload_and_download_take_little_memory() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let path = scratch.path().join("content.gz");
    make(&path);
    let size = path.metadata().expect("the file").len();
    assert!((134_000_000..=134_217_728).contains(&size), "{size}");
    let md5 = Command::new("md5sum")
        .arg(&path)
        .output()
        .expect("md5sum runs")
        .stdout;
    let md5 = String::from_utf8_lossy(&md5[..32]).into_owned();
    let server = Server::start();
    let client = Client::new(
        &server.base_url,
        Credential::SessionGuid(server.session_guid.clone()),
    );
    let mut body = json!({"orgcode": "demo", "container": "blobs", "record_id": "b", "content_type": "application/octet-stream",
        "size": size, "content_md5": md5});
    let put = server.post("/mrs/record", &body).data();
    let before = peak(server.pid(), true);
    let url = put["upload"]["url"].as_str().expect("a url");
    let headers = [("content-encoding".to_owned(), "gzip".to_owned())];
    let sent = client.upload(
        url,
        &headers,
        &mut File::open(&path).expect("the file"),
        size,
        &mut |_| {},
    );
    assert!(matches!(sent, Ok(Transfer::Done { .. })), "{sent:?}");
    let uploaded = peak(server.pid(), false).saturating_sub(before);
    body = json!({"orgcode": "demo", "container": "blobs", "record_id": "b", "content_token": put["content_token"],
        "size": size, "content_md5": md5});
    server.post("/mrs/record/complete", &body).data();
    let got = server
        .get(
            "/mrs/record",
            &[
                ("orgcode", "demo"),
                ("container", "blobs"),
                ("record_id", "b"),
            ],
        )
        .data();
    let before = peak(server.pid(), true);
    let mut back = Counted(0);
    let received = client.download(
        got["download"]["url"].as_str().expect("a url"),
        &mut back,
        &mut |_| {},
    );
    assert!(
        matches!(received, Ok(Transfer::Done { .. })),
        "{received:?}"
    );
    assert_eq!(back.0, size);
    let downloaded = peak(server.pid(), false).saturating_sub(before);
    println!("{size} bytes: upload +{uploaded} bytes of memory, download +{downloaded}");
    assert!(
        uploaded < GROWTH_BYTES_MAX && downloaded < GROWTH_BYTES_MAX,
        "{uploaded} {downloaded}"
    );
}

struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
