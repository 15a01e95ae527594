//! Content as it is given out: the old until the new is complete, whole or in parts, and never damaged.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::presigned::{complete, get, gzip, md5, presign, store, url};
use crate::support::Server;
use crate::support::wire::Wire;

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

/// The value of a sample of the operators' metrics.
fn sample(server: &Server, name: &str) -> u64 {
    let bearer = format!("Bearer {}", server.operator_token);
    let url = format!("{}/metrics", server.operator_url);
    let text = server.get_url(&url, &[("authorization", &bearer)]).bytes;
    let text = String::from_utf8(text).expect("text");
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn a_download_is_counted_when_its_last_byte_was_taken() {
    let server = Server::start();
    let mut dice = crate::support::dice::Dice::new(7);
    let content: Vec<u8> = (0..3 << 20)
        .flat_map(|_| dice.below(u64::MAX).to_le_bytes())
        .collect();
    let gz = gzip(&content);
    store(&server, "big", &gz, None);
    let read = get(&server, "big", &[]).data();
    let url = read["download"]["url"].as_str().expect("a url");
    let path = url.strip_prefix(&server.base_url).expect("the gateway's");
    let count = "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_route=\"/content/{token}\"} ";
    let mut wire = Wire::connect_narrow(&server.base_url, 65_536);
    wire.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
    assert!(wire.head().starts_with("HTTP/1.1 200 "));
    // More than the buffers between the two ends hold is still to come.
    assert_eq!(sample(&server, count), 0);
    assert_eq!(wire.bytes(gz.len()), gz);
    crate::support::eventually("it is counted", || sample(&server, count) == 1);
    // One that is cut off is counted as well.
    let mut wire = Wire::connect(&server.base_url);
    wire.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
    wire.head();
    drop(wire);
    crate::support::eventually("it is counted", || sample(&server, count) == 2);
}

/// The median of 200 exchanges over one connection: a request, a head, and so many bytes.
fn median(url: &str, request: &str, size: usize) -> Duration {
    let mut wire = Wire::connect(url);
    let mut took: Vec<Duration> = (0..200)
        .map(|_| {
            let since = metarecord::clock::Stopwatch::start();
            wire.send(request.as_bytes());
            wire.head();
            wire.bytes(size);
            since.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[100]
}

#[test]
fn no_download_waits_for_a_delayed_acknowledgement() {
    let server = Server::start();
    let gz = gzip(b"small");
    store(&server, "small", &gz, None);
    let read = get(&server, "small", &[]).data();
    let url = read["download"]["url"].as_str().expect("a url");
    let path = url.strip_prefix(&server.base_url).expect("the gateway's");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    // The same bytes, without a server's work, and in one write.
    let bare = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = format!("http://{}", bare.local_addr().expect("its address"));
    let answer = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &gz].concat();
    let length = request.len();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = bare.accept().expect("a connection");
        let mut asked = vec![0; length];
        while stream.read_exact(&mut asked).is_ok() {
            stream.write_all(&answer).expect("sent");
        }
    });
    let bare = median(&at, &request, gz.len());
    answering.join().expect("no panic");
    let served = median(&server.base_url, &request, gz.len());
    // Nagle's algorithm and a delayed acknowledgement, of 40 ms on Linux, took that from most.
    assert!(
        served < Duration::from_millis(30) + 10 * bare,
        "{served:?}, and bare {bare:?}"
    );
    eprintln!("a small download: median {served:?}, a bare exchange {bare:?}");
}
