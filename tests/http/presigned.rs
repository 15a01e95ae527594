//! Uploads and downloads by presigned urls, with gzip that other programs made.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use metarecord::domain::Md5;
use serde_json::{Value, json};

use crate::support::{Got, Server};

/// Runs a program on some bytes and takes what it prints.
fn pipe(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut stdin = child.stdin.take().expect("its input");
    let input = input.to_vec();
    let writing = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("it ends");
    writing
        .join()
        .expect("no panic")
        .expect("it took everything");
    assert!(output.status.success());
    output.stdout
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    pipe("gzip", &["-c"], content)
}

pub(crate) fn md5(bytes: &[u8]) -> String {
    Md5::of(bytes).to_string()
}

pub(crate) fn presign(
    server: &Server,
    id: &str,
    size: u64,
    md5: &str,
    revision: Option<u64>,
) -> Value {
    let mut body = json!({"orgcode": "demo", "container": "blobs", "record_id": id, "content_type": "text/plain; charset=utf-8",
        "size": size, "content_md5": md5});
    if let Some(revision) = revision {
        body["expected_revision"] = json!(revision);
    }
    server.post("/mrs/record", &body).data()
}

pub(crate) fn url(put: &Value) -> &str {
    put["upload"]["url"].as_str().expect("an upload url")
}

pub(crate) fn complete(server: &Server, id: &str, token: &Value, size: u64, md5: &str) -> Got {
    let body = json!({"orgcode": "demo", "container": "blobs", "record_id": id, "content_token": token, "size": size, "content_md5": md5});
    server.post("/mrs/record/complete", &body)
}

pub(crate) fn get(server: &Server, id: &str, more: &[(&str, &str)]) -> Got {
    let mut query = vec![
        ("orgcode", "demo"),
        ("container", "blobs"),
        ("record_id", id),
    ];
    query.extend(more);
    server.get("/mrs/record", &query)
}

/// Puts, uploads and completes; returns the record.
pub(crate) fn store(server: &Server, id: &str, gz: &[u8], revision: Option<u64>) -> Value {
    let put = presign(server, id, gz.len() as u64, &md5(gz), revision);
    let sent = server.put_url(url(&put), &[("content-encoding", "gzip")], gz);
    assert_eq!((sent.status, sent.bytes.len()), (200, 0));
    assert_eq!(
        sent.header("etag"),
        Some(format!("\"{}\"", md5(gz)).as_str())
    );
    complete(server, id, &put["content_token"], gz.len() as u64, &md5(gz)).data()
}

#[test]
fn content_is_uploaded_completed_and_downloaded_as_it_was() {
    let server = Server::start();
    let content = "some text, often repeated. ".repeat(10_000).into_bytes();
    let gz = gzip(&content);
    let put = presign(&server, "b", gz.len() as u64, &md5(&gz), None);
    assert_eq!(
        (
            &put["status"],
            &put["upload"]["method"],
            &put["upload"]["expires_in"]
        ),
        (&json!("pending_upload"), &json!("PUT"), &json!(900))
    );
    assert_eq!(get(&server, "b", &[]).refusal().1, "invalid-state");
    let pending = server
        .get(
            "/mrs/list",
            &[("orgcode", "demo"), ("status", "pending_upload")],
        )
        .data();
    assert_eq!(pending["items"][0]["record_id"], "b");
    let token = &put["content_token"];
    let size = gz.len() as u64;
    assert_eq!(
        complete(&server, "b", token, size, &md5(&gz)).refusal().1,
        "md5-missing"
    );
    for _ in 0..2 {
        assert_eq!(
            server
                .put_url(url(&put), &[("content-encoding", "gzip")], &gz)
                .status,
            200,
            "a second upload replaces the first"
        );
    }
    assert_eq!(
        complete(&server, "b", token, size + 1, &md5(&gz))
            .refusal()
            .1,
        "size-mismatch"
    );
    assert_eq!(
        complete(&server, "b", token, size, &md5(b"other"))
            .refusal()
            .1,
        "md5-mismatch"
    );
    let done = complete(&server, "b", token, size, &md5(&gz)).data();
    assert_eq!(
        (&done["status"], &done["revision"], &done["content_kind"]),
        (&json!("active"), &json!(2), &json!("object"))
    );
    assert_eq!(
        complete(&server, "b", token, size, &md5(&gz)).data(),
        done,
        "the same facts again"
    );
    assert_eq!(
        server.put_url(url(&put), &[], &gz).refusal().1,
        "invalid-state",
        "it is complete"
    );
    let download = &get(&server, "b", &[]).data()["download"];
    assert_eq!(
        (
            &download["size"],
            &download["content_md5"],
            &download["content_encoding"]
        ),
        (&json!(size), &json!(md5(&gz)), &json!("gzip"))
    );
    let url = download["url"].as_str().expect("a url").to_owned();
    let got = server.get_url(&url, &[("accept-encoding", "identity")]);
    assert_eq!(
        got.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(got.header("content-encoding"), Some("gzip"));
    assert_eq!(
        got.header("content-length"),
        Some(size.to_string().as_str())
    );
    let file = &server.content_files()[0];
    assert_eq!(std::fs::read(&file.0).expect("the object"), gz);
    assert_eq!(
        pipe(
            "gzip",
            &["-dc"],
            &std::fs::read(&file.0).expect("the object")
        ),
        content
    );
}

#[test]
fn a_caller_may_want_urls_for_a_shorter_time() {
    let server = Server::start_with(&["--set", "mrs.download_url_seconds=600"]);
    let gz = gzip(b"text");
    store(&server, "stored", &gz, None);
    let begin = |key: &str, seconds: Value| {
        let body = json!({"orgcode": "demo", "container": "blobs", "record_id": "up", "content_type": "text/plain",
            "size": gz.len(), "content_md5": md5(&gz), "idempotency_key": key, "url_seconds": seconds});
        server.post("/mrs/record", &body)
    };
    // The same key: the first answer's promise, by a URL that is valid as long as each caller wants.
    for (wanted, given) in [(json!(60), 60), (json!(86_401), 900), (json!(300), 300)] {
        let upload = &begin("k", wanted.clone()).data()["upload"];
        let seconds = upload["expires_in"].as_u64().expect("a number");
        assert!(
            (given - 30..=given).contains(&seconds),
            "{wanted}: {upload}"
        );
    }
    for (wanted, given) in [("60", 60), ("601", 600), ("18446744073709551615", 600)] {
        let read = get(&server, "stored", &[("url_seconds", wanted)]).data();
        assert_eq!(read["download"]["expires_in"], given, "{wanted}");
    }
    for wrong in ["0", "-1", "1.5", "x", ""] {
        let refused = get(&server, "stored", &[("url_seconds", wrong)]).refusal();
        assert_eq!(refused.1, "invalid-input", "{wrong}");
    }
    for wrong in [json!(0), json!(-1), json!("60")] {
        assert_eq!(
            begin("other", wrong.clone()).refusal().1,
            "invalid-input",
            "{wrong}"
        );
    }
    let inline = json!({"orgcode": "demo", "container": "blobs", "content_type": "application/json", "payload": 1, "url_seconds": 60});
    assert_eq!(
        server.post("/mrs/record", &inline).refusal().1,
        "invalid-input"
    );
}

#[test]
fn a_bad_upload_gets_its_tag_and_leaves_nothing() {
    let server = Server::start_with(&["--set", "mrs.upload_decoded_ratio_max=0"]);
    let good = gzip(b"some content that is long enough to be cut somewhere");
    let bomb = pipe(
        "sh",
        &["-c", "head -c 200000000 /dev/zero | gzip -1 -c"],
        b"",
    );
    let mut trailing = good.clone();
    trailing.extend_from_slice(b"garbage");
    let truncated = good[..good.len() - 4].to_vec();
    let mut flipped = good.clone();
    *flipped.last_mut().expect("bytes") ^= 1;
    let mut crc = good.clone();
    let at = crc.len() - 6;
    crc[at] ^= 1;
    let none: &[(&str, &str)] = &[];
    for (name, promised, sent, headers, tag) in [
        (
            "plain",
            b"not gzip at all".to_vec(),
            b"not gzip at all".to_vec(),
            none,
            "gzip-required",
        ),
        (
            "truncated",
            truncated.clone(),
            truncated,
            none,
            "gzip-required",
        ),
        (
            "trailing",
            trailing.clone(),
            trailing,
            none,
            "gzip-required",
        ),
        ("length", flipped.clone(), flipped, none, "gzip-required"),
        ("crc", crc.clone(), crc, none, "gzip-required"),
        (
            "longer",
            good.clone(),
            [good.clone(), good.clone()].concat(),
            none,
            "size-mismatch",
        ),
        (
            "shorter",
            good.clone(),
            good[..10].to_vec(),
            none,
            "size-mismatch",
        ),
        (
            "brotli",
            good.clone(),
            good.clone(),
            &[("content-encoding", "br")],
            "gzip-required",
        ),
    ] {
        let put = presign(&server, name, promised.len() as u64, &md5(&promised), None);
        assert_eq!(
            server.put_url(url(&put), headers, &sent).refusal().1,
            tag,
            "{name}"
        );
        assert_eq!(server.content_files(), [], "{name} left something");
    }
    let put = presign(&server, "md5", good.len() as u64, &md5(b"other"), None);
    assert_eq!(
        server.put_url(url(&put), &[], &good).refusal().1,
        "md5-mismatch"
    );
    assert_eq!(server.content_files(), []);
    let done = store(&server, "bomb", &bomb, None);
    assert_eq!(
        done["content_size"],
        bomb.len(),
        "decoding counts, it does not keep"
    );
    let members = [gzip(b"one"), gzip(b"two")].concat();
    store(&server, "members", &members, None);
}

#[test]
fn an_upload_that_decodes_to_too_much_is_refused_and_leaves_nothing() {
    let zeros = |bytes: u64| {
        let line = format!("head -c {bytes} /dev/zero | gzip -9 -c");
        pipe("sh", &["-c", &line], b"")
    };
    let refused = |server: &Server, id: &str, gz: &[u8], most: u64| {
        let put = presign(server, id, gz.len() as u64, &md5(gz), None);
        let got = server.put_url(url(&put), &[], gz);
        let told = (400, "too-large".to_owned(), "decoded".to_owned());
        assert_eq!(got.refusal(), told, "{id}");
        assert_eq!(got.json()["error"]["details"]["decoded_bytes_max"], most);
        assert_eq!(server.content_files(), [], "{id} left something");
    };
    // 1 MiB that is 1 GiB, by the ratio.
    let server = Server::start();
    let large = zeros(1 << 30);
    refused(&server, "ratio", &large, 200 * large.len() as u64);
    // What is small anyway is taken whatever its ratio is; what is over by one byte is not, in several members either.
    let free = zeros(16 << 20);
    let server = Server::start();
    refused(&server, "one-more", &zeros((16 << 20) + 1), 16 << 20);
    let members = [&free[..], &gzip(b"x")].concat();
    refused(&server, "members", &members, 16 << 20);
    store(&server, "free", &free, None);
    let settings = ["--set", "mrs.upload_decoded_bytes_max=1000"];
    let server = Server::start_with(&settings);
    refused(&server, "bytes", &gzip(&[b'x'; 1_001]), 1_000);
    store(&server, "just", &gzip(&[b'x'; 1_000]), None);
}

#[test]
fn an_upload_that_is_cut_off_leaves_nothing() {
    let server = Server::start();
    let gz = gzip("content ".repeat(5_000).as_bytes());
    let put = presign(&server, "cut", gz.len() as u64, &md5(&gz), None);
    let address = server.base_url.strip_prefix("http://").expect("an address");
    let path = url(&put)
        .strip_prefix(&server.base_url)
        .expect("a url of this server");
    let mut stream = TcpStream::connect(address).expect("the server listens");
    write!(
        stream,
        "PUT {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        gz.len()
    )
    .expect("sent");
    stream.write_all(&gz[..gz.len() / 2]).expect("sent");
    stream
        .shutdown(std::net::Shutdown::Write)
        .expect("the end is sent");
    let mut answer = Vec::new();
    // What came until the end of the connection counts, however it ended.
    let _: std::io::Result<usize> = stream.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 200"));
    crate::support::eventually("nothing is left", || server.content_files().is_empty());
    assert_eq!(
        server.put_url(url(&put), &[], &gz).status,
        200,
        "and it can be sent again"
    );
}

#[test]
fn a_signed_url_works_unchanged_with_its_method_until_its_end() {
    let server = Server::start_with(&[
        "--set",
        "mrs.upload_url_seconds=1",
        "--set",
        "mrs.download_url_seconds=1",
    ]);
    let gz = gzip(b"content");
    let put = presign(&server, "b", gz.len() as u64, &md5(&gz), None);
    assert_eq!(server.put_url(url(&put), &[], &gz).status, 200);
    complete(
        &server,
        "b",
        &put["content_token"],
        gz.len() as u64,
        &md5(&gz),
    )
    .data();
    let download = get(&server, "b", &[]).data()["download"]["url"]
        .as_str()
        .expect("a url")
        .to_owned();
    assert_eq!(server.get_url(&download, &[]).status, 200);
    assert_eq!(
        server.get_url(url(&put), &[]).refusal().1,
        "not-authorized",
        "an upload url does not download"
    );
    assert_eq!(
        server.put_url(&download, &[], &gz).refusal().1,
        "not-authorized",
        "a download url does not upload"
    );
    let start = download.rfind('/').expect("a path") + 1;
    for at in (start..download.len()).step_by(3) {
        let mut altered = download.clone().into_bytes();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).expect("ASCII");
        assert_eq!(
            server.get_url(&altered, &[]).refusal().1,
            "not-authorized",
            "character {at}"
        );
    }
    crate::support::eventually("the download url expires", || {
        server.get_url(&download, &[]).refusal().1 == "expired-url"
    });
    assert_eq!(
        server.put_url(url(&put), &[], &gz).refusal().1,
        "expired-url"
    );
    assert_eq!(server.get_url(&download, &[]).status, 403);
}

#[test]
fn a_content_token_is_good_for_its_own_upload_only() {
    let server = Server::start();
    let gz = gzip(b"content");
    let (size, md5) = (gz.len() as u64, md5(&gz));
    let (one, two) = (
        presign(&server, "one", size, &md5, None),
        presign(&server, "two", size, &md5, None),
    );
    for put in [&one, &two] {
        assert_eq!(server.put_url(url(put), &[], &gz).status, 200);
    }
    let mut altered = one["content_token"].as_str().expect("a token").to_owned();
    altered.replace_range(4..5, if &altered[4..5] == "x" { "y" } else { "x" });
    for token in [
        &two["content_token"],
        &json!(altered),
        &json!(""),
        &one["upload"]["url"],
    ] {
        assert_eq!(
            complete(&server, "one", token, size, &md5).refusal().1,
            "invalid-content-token"
        );
    }
    let again = presign(&server, "one", size, &md5, Some(1));
    assert_eq!(
        complete(&server, "one", &one["content_token"], size, &md5)
            .refusal()
            .1,
        "invalid-content-token",
        "replaced"
    );
    assert_eq!(
        server.put_url(url(&one), &[], &gz).refusal().1,
        "invalid-state",
        "replaced"
    );
    assert_eq!(server.put_url(url(&again), &[], &gz).status, 200);
    assert_eq!(
        complete(&server, "one", &again["content_token"], size, &md5).data()["revision"],
        3
    );
}

#[test]
fn a_content_token_expires() {
    let server = Server::start_with(&[
        "--set",
        "mrs.upload_url_seconds=1",
        "--set",
        "mrs.complete_grace_seconds=0",
    ]);
    let gz = gzip(b"content");
    let (size, md5) = (gz.len() as u64, md5(&gz));
    let put = presign(&server, "b", size, &md5, None);
    assert_eq!(
        complete(&server, "b", &put["content_token"], size, &md5)
            .refusal()
            .1,
        "md5-missing"
    );
    crate::support::eventually("the token expires", || {
        complete(&server, "b", &put["content_token"], size, &md5)
            .refusal()
            .1
            == "invalid-content-token"
    });
}
