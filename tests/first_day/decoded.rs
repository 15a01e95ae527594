//! What an upload decodes to: told in every view of a record, and sent to clients that do not decode gzip.

use serde_json::{Value, json};

use crate::http::presigned::{complete, gzip, md5, presign, url};
use crate::support::wire::Wire;
use crate::support::{Got, Server};

/// Puts a text as an upload; returns the record.
fn upload(server: &Server, id: &str, text: &[u8], revision: Option<u64>) -> Value {
    let gz = gzip(text);
    let put = presign(server, id, gz.len() as u64, &md5(&gz), revision);
    let put_there = server.put_url(url(&put), &[("content-encoding", "gzip")], &gz);
    assert_eq!(put_there.status, 200);
    complete(
        server,
        id,
        &put["content_token"],
        gz.len() as u64,
        &md5(&gz),
    )
    .data()
}

fn record(server: &Server, id: &str) -> Value {
    let query = [
        ("orgcode", "demo"),
        ("container", "blobs"),
        ("record_id", id),
    ];
    server.get("/mrs/record", &query).data()
}

fn decoded(server: &Server, record: &Value, headers: &[(&str, &str)]) -> Got {
    let url = record["download"]["url_decoded"].as_str().expect("a url");
    server.get_url(url, headers)
}

#[test]
fn every_view_tells_what_an_upload_decodes_to() {
    let server = Server::start();
    for (number, text) in [&b"hello, hello, hello"[..], b"", &vec![7; 3_000_000]]
        .into_iter()
        .enumerate()
    {
        let id = format!("r-{number}");
        let query = [
            ("orgcode", "demo"),
            ("container", "blobs"),
            ("record_id", id.as_str()),
        ];
        let told = |value: &Value| {
            assert_eq!(value["content_size_decoded"], json!(text.len()), "{value}");
            assert_eq!(value["content_md5_decoded"], json!(md5(text)), "{value}");
        };
        told(&upload(&server, &id, text, None));
        told(&record(&server, &id));
        told(&server.get("/mrs/record/meta", &query).data());
        told(&server.get("/mrs/record/versions", &query).data()["items"][0]);
        let list = server
            .get("/mrs/list", &[("orgcode", "demo"), ("container", "blobs")])
            .data();
        let items = list["items"].as_array().expect("items");
        told(
            items
                .iter()
                .find(|item| item["record_id"] == json!(id))
                .expect("listed"),
        );
    }
    // Inline content is what it is, and an upload that is not completed is not known.
    let inline = server.put_inline("blobs", "inline", &json!(1), &[]);
    let gz = gzip(b"x");
    let pending = presign(&server, "pending", gz.len() as u64, &md5(&gz), None);
    for value in [inline, pending] {
        assert_eq!(value.get("content_size_decoded"), None);
        assert_eq!(value.get("content_md5_decoded"), None);
    }
}

#[test]
fn an_earlier_version_decodes_to_what_it_was() {
    let server = Server::start();
    let first = upload(&server, "r", b"first", None);
    upload(&server, "r", b"the second", first["revision"].as_u64());
    for (version, text) in [("1", &b"first"[..]), ("2", b"the second")] {
        let query = [
            ("orgcode", "demo"),
            ("container", "blobs"),
            ("record_id", "r"),
            ("version", version),
        ];
        let got = server.get("/mrs/record", &query).data();
        assert_eq!(got["content_size_decoded"], json!(text.len()));
        assert_eq!(decoded(&server, &got, &[]).bytes, text);
    }
}

#[test]
fn any_client_can_take_content_decoded() {
    let server = Server::start();
    let large: Vec<u8> = (0..3_000_000_u32)
        .flat_map(|n| (n / 7).to_le_bytes())
        .collect();
    for (id, text) in [
        ("small", &b"plain text"[..]),
        ("empty", b""),
        ("large", &large),
    ] {
        upload(&server, id, text, None);
        let record = record(&server, id);
        let download = &record["download"];
        assert_eq!(download["size_decoded"], json!(text.len()));
        assert_eq!(download["content_md5_decoded"], json!(md5(text)));
        let got = decoded(&server, &record, &[]);
        let etag = format!("\"{}\"", md5(text));
        assert!(got.status == 200 && got.bytes == text, "{id}");
        let length = text.len().to_string();
        for (name, value) in [
            ("content-type", Some("text/plain; charset=utf-8")),
            ("content-encoding", None),
            ("content-length", Some(length.as_str())),
            ("transfer-encoding", None),
            ("accept-ranges", Some("none")),
            ("etag", Some(etag.as_str())),
        ] {
            assert_eq!(got.header(name), value, "{id} {name}");
        }
        // A range is of the gzip alone; the whole is a right answer.
        let ranged = decoded(&server, &record, &[("range", "bytes=0-0")]);
        assert!(ranged.status == 200 && ranged.bytes == text);
        let known = decoded(&server, &record, &[("if-none-match", &etag)]);
        assert_eq!((known.status, known.bytes.len()), (304, 0));
        let other = decoded(&server, &record, &[("if-match", "\"x\"")]);
        assert_eq!(other.status, 412);
        // The gzip is sent as before, whatever the client accepts.
        for accepted in ["identity", "gzip", "gzip;q=0"] {
            let url = download["url"].as_str().expect("a url");
            let gz = server.get_url(url, &[("accept-encoding", accepted)]);
            assert_eq!(gz.header("content-encoding"), Some("gzip"));
            assert_eq!(
                md5(&gz.bytes),
                record["content_md5"].as_str().expect("an MD5")
            );
        }
    }
}

#[test]
fn head_tells_the_length_of_decoded_content() {
    let server = Server::start();
    upload(&server, "r", b"twelve bytes", None);
    let record = record(&server, "r");
    let url = record["download"]["url_decoded"].as_str().expect("a url");
    let path = url.strip_prefix(&server.base_url).expect("its own");
    let request = format!("HEAD {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let head = Wire::connect(&server.base_url).exchange(request.as_bytes());
    assert!(
        head.starts_with("HTTP/1.1 200") && head.contains("content-length: 12\r\n"),
        "{head}"
    );
    assert!(
        !head.contains("content-encoding") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    let plain = record["download"]["url"].as_str().expect("a url");
    for (query, status) in [
        ("decoded=0", 200),
        ("decoded=true", 200),
        ("decoded=2", 400),
        ("decoded=", 400),
        ("x=1", 200),
    ] {
        assert_eq!(
            server.get_url(&format!("{plain}?{query}"), &[]).status,
            status,
            "{query}"
        );
    }
}

#[test]
fn damaged_content_is_not_sent_to_its_end_decoded() {
    let server = Server::start();
    let text: Vec<u8> = (0..200_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    upload(&server, "r", &text, None);
    let record = record(&server, "r");
    let files = server.content_files();
    let (file, size) = files
        .iter()
        .find(|(path, _)| path.extension().is_some_and(|end| end == "gz"))
        .expect("a file");
    let mut bytes = std::fs::read(file).expect("read");
    // The length in the trailer of the gzip.
    bytes[*size as usize - 1] ^= 1;
    std::fs::write(file, bytes).expect("written");
    let url = record["download"]["url_decoded"].as_str().expect("a url");
    let path = url.strip_prefix(&server.base_url).expect("its own");
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let mut wire = Wire::connect(&server.base_url);
    let mut got = Vec::new();
    std::io::Write::write_all(&mut wire.0, request.as_bytes()).expect("sent");
    // The connection ends early.
    let _: Result<_, _> = std::io::Read::read_to_end(&mut wire.0, &mut got);
    let head = got
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a head")
        + 4;
    assert!(got.len() - head < text.len(), "all of it was sent");
}
