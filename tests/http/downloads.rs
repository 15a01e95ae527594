//! Content as it is given out: the old until the new is complete, whole or in parts, and never damaged.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use serde_json::json;

use super::presigned::{complete, get, gzip, md5, presign, store, url};
use crate::support::Server;

#[test]
fn the_old_content_stays_readable_until_the_new_is_complete() {
    let server = Server::start();
    let (old, new) = (gzip(b"old"), gzip(b"new, and longer"));
    store(&server, "b", &old, None);
    let put = presign(&server, "b", new.len() as u64, &md5(&new), Some(2));
    assert_eq!(
        (&put["status"], &put["content_md5"], &put["revision"]),
        (&json!("active"), &json!(md5(&old)), &json!(3))
    );
    assert_eq!(
        get(&server, "b", &[]).data()["download"]["content_md5"],
        md5(&old)
    );
    assert_eq!(server.put_url(url(&put), &[], &new).status, 200);
    assert_eq!(
        get(&server, "b", &[]).data()["download"]["content_md5"],
        md5(&old)
    );
    let done = complete(
        &server,
        "b",
        &put["content_token"],
        new.len() as u64,
        &md5(&new),
    )
    .data();
    assert_eq!(
        (&done["content_version"], &done["revision"]),
        (&json!(2), &json!(4))
    );
    for (version, gz) in [("1", &old), ("2", &new)] {
        let url = get(&server, "b", &[("version", version)]).data()["download"]["url"]
            .as_str()
            .expect("a url")
            .to_owned();
        assert_eq!(
            server.get_url(&url, &[("range", "bytes=0-")]).bytes,
            *gz,
            "version {version}"
        );
    }
}

#[test]
fn parts_of_content_can_be_asked_for() {
    let server = Server::start();
    let gz = gzip(
        &(0..200_000_u32)
            .flat_map(u32::to_le_bytes)
            .collect::<Vec<_>>(),
    );
    store(&server, "b", &gz, None);
    let url = get(&server, "b", &[]).data()["download"]["url"]
        .as_str()
        .expect("a url")
        .to_owned();
    let size = gz.len();
    let etag = format!("\"{}\"", md5(&gz));
    for (range, from, to) in [
        ("bytes=0-9".to_owned(), 0, 10),
        ("bytes=100-".to_owned(), 100, size),
        ("bytes=-7".to_owned(), size - 7, size),
        (format!("bytes={}-{}", size - 1, size + 99), size - 1, size),
        (format!("bytes=0-{}", size - 1), 0, size),
    ] {
        let got = server.get_url(&url, &[("range", &range)]);
        assert_eq!(
            (got.status, got.header("content-range")),
            (
                206,
                Some(format!("bytes {from}-{}/{size}", to - 1).as_str())
            ),
            "{range}"
        );
        assert!(got.bytes == gz[from..to], "{range}");
    }
    let beyond = server.get_url(&url, &[("range", &format!("bytes={size}-"))]);
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, Some(format!("bytes */{size}").as_str()))
    );
    assert_eq!(
        server
            .get_url(&url, &[("range", "bytes=0-1"), ("if-range", &etag)])
            .status,
        206
    );
    assert_eq!(
        server
            .get_url(&url, &[("range", "bytes=0-1"), ("if-range", "\"other\"")])
            .status,
        200
    );
    assert_eq!(
        server.get_url(&url, &[("range", "bytes=0-1,4-5")]).status,
        200
    );
    assert_eq!(
        server.get_url(&url, &[("if-none-match", &etag)]).status,
        304
    );
    assert_eq!(
        server
            .post(
                url.strip_prefix(&server.base_url)
                    .expect("a url of this server"),
                &json!({})
            )
            .refusal()
            .0,
        405
    );
}

#[test]
fn content_damaged_on_disk_is_never_given_out_whole() {
    let server = Server::start();
    let gz = gzip(
        &(0..60_000_u32)
            .flat_map(u32::to_le_bytes)
            .collect::<Vec<_>>(),
    );
    store(&server, "b", &gz, None);
    let path = &server.content_files()[0].0;
    for at in [0, gz.len() / 2, gz.len() - 1] {
        let mut damaged = gz.clone();
        damaged[at] ^= 1;
        std::fs::write(path, damaged).expect("the file can be damaged");
        let got = Command::new(env!("CARGO_BIN_EXE_g3n"))
            .args([
                "mrs",
                "get",
                "--profile",
                "dev",
                "--container",
                "blobs",
                "--record-id",
                "b",
                "--out",
                "/dev/null",
                "--config",
            ])
            .arg(&server.config_file)
            .output()
            .expect("g3n runs");
        assert!(!got.status.success(), "byte {at}");
        let url = get(&server, "b", &[]).data()["download"]["url"]
            .as_str()
            .expect("a url")
            .to_owned();
        let address = server.base_url.strip_prefix("http://").expect("an address");
        let mut stream = TcpStream::connect(address).expect("the server listens");
        let path = url
            .strip_prefix(&server.base_url)
            .expect("a url of this server");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        .expect("sent");
        let mut answer = Vec::new();
        // What came until the end of the connection counts, however it ended.
        let _: std::io::Result<usize> = stream.read_to_end(&mut answer);
        let head = answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("a head")
            + 4;
        assert!(
            answer.len() - head < gz.len(),
            "byte {at}: the end is held back"
        );
    }
}
