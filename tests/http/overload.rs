//! Callers who are slow, many or large: each is given up in bounded time, and others are served meanwhile.

use std::io::{Read, Write};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use metarecord::domain::Md5;
use serde_json::{Value, json};

use crate::support::dice::Dice;
use crate::support::wire::Wire;
use crate::support::{Got, Server, agent, eventually, got};

/// Short times, so that the tests are; nothing depends on how short.
const IMPATIENT: &[&str] = &[
    "--set",
    "http.head_seconds=1",
    "--set",
    "http.keep_alive_seconds=1",
    "--set",
    "http.body_seconds=1",
    "--set",
    "http.write_seconds=1",
    "--set",
    "mrs.upload_window_seconds=1",
];

fn query(id: &str) -> [(&str, &str); 3] {
    [
        ("orgcode", "demo"),
        ("container", "blobs"),
        ("record_id", id),
    ]
}

/// Runs something on a thread; until it ends, others must be served.
fn meanwhile_others_are_served<T: Send>(server: &Server, run: impl FnOnce() -> T + Send) -> T {
    let over = AtomicBool::new(false);
    let (result, served) = std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let result = run();
            over.store(true, Ordering::Relaxed);
            result
        });
        let mut served = 0;
        while !over.load(Ordering::Relaxed) && !running.is_finished() {
            assert_eq!(server.get("/mrs/stat", &[]).status, 200);
            served += 1;
        }
        (running.join().expect("no panic"), served)
    });
    assert!(served > 0);
    result
}

#[test]
fn slow_heads_are_disconnected() {
    let server = Server::start_with(IMPATIENT);
    let whole = "GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    let part = "GET /mrs/stat HTTP/1.1\r\nhost: x\r\nx-slow: ";
    let answers = meanwhile_others_are_served(&server, || {
        std::thread::scope(|scope| {
            // Each way on a few connections at once; the later ones are a connection's second head.
            let threads: Vec<_> = (0..12)
                .map(|number| {
                    let server = &server;
                    scope.spawn(move || {
                        let mut wire = Wire::connect(&server.base_url);
                        match number % 3 {
                            0 => wire.trickle(part.as_bytes(), b"x"),
                            1 => {
                                assert!(wire.request(whole.as_bytes()).contains(" 200 "));
                                wire.trickle(part.as_bytes(), b"x")
                            }
                            _ => wire.trickle(format!("{whole}{part}").as_bytes(), b"x"),
                        }
                    })
                })
                .collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined
                .map(|answer| answer.expect("no panic"))
                .collect::<Vec<_>>()
        })
    });
    for answer in answers {
        let found = answer.matches("HTTP/1.1 200").count();
        assert!(found <= 1 && !answer.contains("mrs/stat"), "{answer}");
    }
}

#[test]
fn slow_bodies_are_disconnected_and_leave_nothing() {
    let server = Server::start_with(IMPATIENT);
    let head = |session: &str, length: &str| {
        format!(
            "POST /mrs/record HTTP/1.1\r\nhost: x\r\nx-session-guid: {session}\r\n{length}\r\n\r\n"
        )
    };
    let (sized, chunked) = ("content-length: 5000", "transfer-encoding: chunked");
    let begun =
        r#"{"orgcode":"DEMO","container":"notes","content_type":"application/json","payload":""#;
    let session = server.session_guid.as_str();
    meanwhile_others_are_served(&server, || {
        for (session, length, drop, status) in [
            (session, sized, "x", "400"),
            (session, chunked, "1\r\nx\r\n", "400"),
            // Nobody reads these: the answer is there before they are.
            ("wrong", sized, "x", "401"),
            ("wrong", chunked, "1\r\nx\r\n", "401"),
        ] {
            let first = match length == chunked {
                true => format!("{}{:x}\r\n{begun}\r\n", head(session, length), begun.len()),
                false => format!("{}{begun}", head(session, length)),
            };
            let wire = Wire::connect(&server.base_url);
            let answer = wire.trickle(first.as_bytes(), drop.as_bytes());
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{answer}"
            );
            assert_eq!(answer.contains("too-slow"), status == "400", "{answer}");
        }
    });
    let all = [("orgcode", "demo"), ("status", "all")];
    assert_eq!(server.get("/mrs/list", &all).data()["items"], json!([]));
}

#[test]
fn an_idle_connection_is_closed() {
    let server = Server::start_with(IMPATIENT);
    let mut never = Wire::connect(&server.base_url);
    let mut once = Wire::connect(&server.base_url);
    let answer = once.request(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"));
    for wire in [&mut never, &mut once] {
        let mut rest = Vec::new();
        wire.0.read_to_end(&mut rest).expect("it is closed");
        assert!(!rest.starts_with(b"HTTP/1.1 2"));
    }
}

/// Gzip that takes more room than the buffers between two ends of a connection.
fn large() -> Vec<u8> {
    let mut dice = Dice::new(7);
    let mut content = Vec::with_capacity(32 << 20);
    while content.len() < 32 << 20 {
        content.extend_from_slice(&dice.below(u64::MAX).to_le_bytes());
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(&content).expect("written");
    encoder.finish().expect("written")
}

fn presign(server: &Server, id: &str, gz: &[u8]) -> Value {
    let body = json!({"orgcode": "demo", "container": "blobs", "record_id": id, "content_type": "text/plain",
        "size": gz.len(), "content_md5": Md5::of(gz).to_string()});
    server.post("/mrs/record", &body).data()
}

fn upload(server: &Server, put: &Value, gz: &[u8]) -> Got {
    let url = put["upload"]["url"].as_str().expect("an upload url");
    server.put_url(url, &[("content-encoding", "gzip")], gz)
}

#[test]
fn a_slow_upload_is_disconnected_and_leaves_nothing() {
    let server = Server::start_with(IMPATIENT);
    let gz = &large()[..];
    let put = presign(&server, "slow", gz);
    let before = server.content_files();
    let url = put["upload"]["url"].as_str().expect("an upload url");
    let path = url.strip_prefix(&server.base_url).expect("a path");
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        gz.len()
    );
    let first = [head.as_bytes(), &gz[..50_000]].concat();
    let answer = meanwhile_others_are_served(&server, || {
        Wire::connect(&server.base_url).trickle(&first, b"x")
    });
    assert!(answer.starts_with("HTTP/1.1 409"), "{answer}");
    assert!(answer.contains("size-mismatch") && answer.contains("too-slow"));
    assert_eq!(server.content_files(), before);
    assert_eq!(upload(&server, &put, gz).status, 200);
}

/// The large file, uploaded; its bytes and its url.
fn downloadable(server: &Server) -> (Vec<u8>, String) {
    let gz = large();
    let put = presign(server, "large", &gz);
    assert_eq!(upload(server, &put, &gz).status, 200);
    let body = json!({"orgcode": "demo", "container": "blobs", "record_id": "large",
        "content_token": put["content_token"], "size": gz.len(), "content_md5": Md5::of(&gz).to_string()});
    server.post("/mrs/record/complete", &body).data();
    let record = server.get("/mrs/record", &query("large")).data();
    let url = record["download"]["url"].as_str().expect("a url");
    (gz, url.to_owned())
}

/// Begins a download and takes nothing of it but the first bytes of its head.
fn begin_to_download(server: &Server, url: &str) -> Wire {
    let path = url.strip_prefix(&server.base_url).expect("a path");
    let mut wire = Wire::connect(&server.base_url);
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    wire.0.write_all(request.as_bytes()).expect("sent");
    let mut status = [0; 12];
    wire.0.read_exact(&mut status).expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 200");
    wire
}

/// One download at once.
const ONE_DOWNLOAD: &[&str] = &["--set", "mrs.downloads_max=1"];

fn first_bytes(server: &Server, url: &str) -> u16 {
    server.get_url(url, &[("range", "bytes=0-9")]).status
}

#[test]
fn a_stuck_download_makes_another_retry_later() {
    let server = Server::start_with(ONE_DOWNLOAD);
    let (_, url) = downloadable(&server);
    let stuck = begin_to_download(&server, &url);
    assert_eq!(first_bytes(&server, &url), 429);
    drop(stuck);
    eventually("its place is free", || first_bytes(&server, &url) == 206);
}

#[test]
fn a_client_that_reads_nothing_is_disconnected() {
    let server = Server::start_with(&[IMPATIENT, ONE_DOWNLOAD].concat());
    let (gz, url) = downloadable(&server);
    let mut stuck = begin_to_download(&server, &url);
    eventually("the stuck download is given up", || {
        first_bytes(&server, &url) == 206
    });
    let mut taken = Vec::new();
    let _: std::io::Result<usize> = stuck.0.read_to_end(&mut taken);
    assert!(taken.len() < gz.len() / 2, "{} bytes came", taken.len());
    assert!(server.get_url(&url, &[]).bytes == gz);
}

/// Sockets that a process has open.
fn sockets(pid: u32) -> usize {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter();
    let links = files
        .flatten()
        .flatten()
        .map(|file| std::fs::read_link(file.path()));
    links
        .flatten()
        .filter(|link| link.to_string_lossy().starts_with("socket:"))
        .count()
}

#[test]
fn ten_thousand_idle_connections_do_not_keep_others_out() {
    // As many as this process may have in addition to what other tests need; the server's own limit is above.
    let files = metarecord::open_files::raise_limit().unwrap_or(20_000);
    let count = usize::try_from(files / 2).map_or(10_000, |half| half.min(10_000));
    // All come from one address here.
    let server = Server::start_with(&[
        "--set",
        "http.head_seconds=600",
        "--set",
        "http.connections_address_max=0",
    ]);
    let before = sockets(server.pid());
    let idle: Vec<_> = (0..count)
        .map(|number| {
            let mut wire = Wire::connect(&server.base_url);
            if number % 2 == 1 {
                wire.0.write_all(b"GET /mrs/stat HT").expect("sent");
            }
            wire
        })
        .collect();
    if count < 10_000 {
        eprintln!("{count} connections: this process may open {files} files");
    }
    eventually("all are accepted", || {
        sockets(server.pid()) >= before + count
    });
    for number in 0..20 {
        let id = format!("r{number}");
        server.put_inline("blobs", &id, &json!(number), &[]);
        assert_eq!(server.get("/mrs/record", &query(&id)).status, 200);
    }
    drop(idle);
    eventually("all are let go", || sockets(server.pid()) < before + 100);
}

#[test]
fn connections_past_the_limit_wait_for_others_to_end() {
    let mut sets = IMPATIENT.to_vec();
    sets.extend([
        "--set",
        "http.connections_max=16",
        "--set",
        "http.workers=2",
    ]);
    let server = Server::start_with(&sets);
    let idle: Vec<_> = (0..64).map(|_| Wire::connect(&server.base_url)).collect();
    assert_eq!(server.get("/mrs/stat", &[]).status, 200);
    drop(idle);
}

#[test]
fn a_server_that_may_open_few_files_keeps_some_for_its_journal() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 200; exec \"$@\"", "sh"]);
    let server = Server::start_by(command, dir.path(), IMPATIENT);
    for round in 0..3 {
        let idle: Vec<_> = (0..300).map(|_| Wire::connect(&server.base_url)).collect();
        assert!(sockets(server.pid()) < 150);
        // On a connection of its own: one that idles may have to give way to those at any time.
        let body = json!({"orgcode": server.orgcode, "container": "blobs", "record_id": format!("r{round}"),
            "content_type": "application/json", "payload": round});
        let put = agent().post(format!("{}/mrs/record", server.base_url));
        let put = put.header("x-session-guid", &server.session_guid);
        got(put.content_type("application/json").send(body.to_string())).data();
        drop(idle);
    }
    let ready = agent().get(format!("{}/ready", server.base_url)).call();
    assert_eq!(got(ready).status, 200);
}
