//! Nobody uses up what others need: places of requests, memory, transfers, connections, and the time of threads.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use metarecord::domain::Md5;
use serde_json::{Value, json};

use crate::support::dice::Dice;
use crate::support::wire::Wire;
use crate::support::{Got, Server, eventually};

/// Another address of this machine, for a stranger.
const ELSEWHERE: &str = "127.0.0.2";

/// The head of a POST with a session, and one byte of its body.
fn part_of_post(session: &str, path: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nx-session-guid: {session}\r\ncontent-length: 5000\r\n\r\n{{"
    )
}

/// Begins a POST with the development session and sends one byte of its body.
fn begin_post(server: &Server, path: &str) -> Wire {
    begin_post_from("127.0.0.1", server, path)
}

fn begin_post_from(address: &str, server: &Server, path: &str) -> Wire {
    let mut wire = Wire::connect_from(address, &server.base_url);
    // It may be closed already, when it is one too many.
    let _: std::io::Result<()> = wire
        .0
        .write_all(part_of_post(&server.session_guid, path).as_bytes());
    wire
}

/// A counter or a gauge of `/metrics`, all its labels together.
pub(super) fn metric(server: &Server, name: &str) -> f64 {
    let token = format!("Bearer {}", server.operator_token);
    let got = server.get_url(
        &format!("{}/metrics", server.operator_url),
        &[("authorization", &token)],
    );
    let text = String::from_utf8(got.bytes).expect("metrics are text");
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[test]
fn bodies_that_never_come_take_no_place_of_a_request() {
    let server = Server::start_with(&["--set", "http.requests_in_flight_max=16"]);
    let held: Vec<_> = (0..64)
        .map(|_| begin_post(&server, "/mrs/record"))
        .collect();
    for number in 0..100 {
        assert_eq!(server.get("/mrs/stat", &[]).status, 200, "{number}");
    }
    let list = server.invoke("jobs_list", &json!({}));
    assert_eq!(list.status, 200);
    drop(held);
}

/// Somebody else with an org of their own: the session.
pub(crate) fn somebody(server: &Server, org: &str) -> String {
    let email = format!("{org}@example.com");
    let passcode = "correct horse battery";
    let user = json!({"email": email, "passcode": passcode});
    server.invoke("uas_user_create", &user).data();
    let body = json!({"orgcode": org, "owner_email": email});
    server.invoke("ofm_org_create", &body).data();
    let session = server.post("/usm/session/create", &user).data();
    session["session_guid"].as_str().expect("a guid").to_owned()
}

pub(super) fn post_as(server: &Server, session: &str, path: &str, body: &Value) -> Got {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nx-session-guid: {session}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = Wire::connect(&server.base_url).request(request.as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    Got {
        status: head[9..12].parse().expect("a status"),
        headers: Vec::new(),
        bytes: body.as_bytes().to_vec(),
    }
}

#[test]
fn whoever_holds_most_memory_for_bodies_gives_way_to_whoever_holds_less() {
    let server = Server::start_with(&["--set", "http.bodies_bytes_max=16777216"]);
    // Twice what there is, in bodies that lack their last bytes.
    let part = vec![b' '; 1_000_000];
    let mut held: Vec<_> = (0..32)
        .map(|_| {
            let mut wire = Wire::connect_from(ELSEWHERE, &server.base_url);
            let head = part_of_post(&server.session_guid, "/mrs/record").replace("5000", "1048576");
            let _: std::io::Result<()> = wire.0.write_all(head.as_bytes());
            let _: std::io::Result<()> = wire.0.write_all(&part);
            wire
        })
        .collect();
    let refused = "metarecord_throttled_total{limit=\"bodies-limit\"}";
    eventually("some had to give way", || metric(&server, refused) >= 8.0);
    let other = somebody(&server, "OTHERS");
    let payload = "x".repeat(250_000);
    let body = json!({"orgcode": "OTHERS", "container": "notes", "record_id": "r",
        "content_type": "application/json", "payload": payload});
    post_as(&server, &other, "/mrs/record", &body).data();
    held.clear();
}

/// Gzip that takes more room than the buffers between two ends of a connection.
pub(super) fn large() -> Vec<u8> {
    let mut dice = Dice::new(7);
    let mut content = Vec::with_capacity(16 << 20);
    while content.len() < 16 << 20 {
        content.extend_from_slice(&dice.below(u64::MAX).to_le_bytes());
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(&content).expect("written");
    encoder.finish().expect("written")
}

/// A promise of an upload by a session, in its org.
pub(super) fn presign(server: &Server, (session, org): (&str, &str), id: &str, gz: &[u8]) -> Value {
    let body = json!({"orgcode": org, "container": "blobs", "record_id": id, "content_type": "text/plain",
        "size": gz.len(), "content_md5": Md5::of(gz).to_string()});
    post_as(server, session, "/mrs/record", &body).data()
}

pub(super) fn upload_url(put: &Value) -> String {
    put["upload"]["url"].as_str().expect("a url").to_owned()
}

/// Begins an upload and sends nothing of it.
pub(super) fn begin_upload(server: &Server, url: &str, gz: &[u8]) -> Wire {
    let path = url.strip_prefix(&server.base_url).expect("a path");
    let mut wire = Wire::connect(&server.base_url);
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        gz.len()
    );
    wire.0.write_all(head.as_bytes()).expect("sent");
    wire
}

pub(super) fn put(server: &Server, url: &str, gz: &[u8]) -> Got {
    server.put_url(url, &[("content-encoding", "gzip")], gz)
}

pub(super) fn active(server: &Server, direction: &str) -> f64 {
    let name = format!("metarecord_transfers_active{{direction=\"{direction}\"}}");
    metric(server, &name)
}

#[test]
fn idle_uploads_to_one_url_leave_others_theirs_and_give_way_to_one_that_comes() {
    let server = Server::start();
    let gz = &gzip(b"{}");
    let session = server.session_guid.clone();
    let owner = (session.as_str(), "demo");
    let url = upload_url(&presign(&server, owner, "one", gz));
    let idle: Vec<_> = (0..16).map(|_| begin_upload(&server, &url, gz)).collect();
    eventually("some are there", || active(&server, "upload") >= 1.0);
    let other = upload_url(&presign(&server, owner, "other", gz));
    assert_eq!(put(&server, &other, gz).status, 200);
    assert!(active(&server, "upload") <= 2.0);
    eventually("an idle one gave way", || {
        put(&server, &url, gz).status == 200
    });
    drop(idle);
}

pub(super) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("written");
    encoder.finish().expect("written")
}

#[test]
fn an_org_that_holds_all_uploads_gives_way_to_one_that_holds_none() {
    let sets = [
        "--set",
        "mrs.uploads_max=4",
        "--set",
        "limits.org_uploads_max=0",
    ];
    let server = Server::start_with(&sets);
    let session = server.session_guid.clone();
    let large = large();
    let mut busy = Vec::new();
    for number in 0..4 {
        let id = format!("r{number}");
        let url = upload_url(&presign(&server, (&session, "demo"), &id, &large));
        let mut wire = begin_upload(&server, &url, &large);
        wire.0.write_all(&large[..100_000]).expect("sent");
        busy.push(wire);
    }
    eventually("all are there", || active(&server, "upload") >= 4.0);
    let other = somebody(&server, "OTHERS");
    let gz = &gzip(b"{}");
    let url = upload_url(&presign(&server, (&other, "OTHERS"), "r", gz));
    assert_eq!(put(&server, &url, gz).status, 200);
    drop(busy);
}

#[test]
fn one_org_and_one_principal_have_as_many_uploads_as_they_may() {
    for (setting, refused) in [
        (
            "limits.org_uploads_max=3",
            "metarecord_quota_exceeded_total{quota=\"uploads_at_once\"}",
        ),
        (
            "limits.principal_uploads_max=3",
            "metarecord_throttled_total{limit=\"principal-uploads-limit\"}",
        ),
    ] {
        let server = Server::start_with(&["--set", setting]);
        let session = server.session_guid.clone();
        let large = large();
        let urls: Vec<_> = (0..6)
            .map(|number| {
                let promised = presign(&server, (&session, "demo"), &format!("r{number}"), &large);
                upload_url(&promised)
            })
            .collect();
        let mut busy = Vec::new();
        for url in &urls {
            let mut wire = begin_upload(&server, url, &large);
            // It may be refused already.
            let _: std::io::Result<()> = wire.0.write_all(&large[..100_000]);
            busy.push(wire);
        }
        let gave_way = "metarecord_throttled_total{limit=\"gave-way\"}";
        eventually(refused, || {
            metric(&server, refused) + metric(&server, gave_way) >= 3.0
        });
        assert!(active(&server, "upload") <= 3.0);
    }
}

/// A large object that can be downloaded: a url of it, and what gives others.
pub(super) fn downloadable(server: &Server) -> (String, impl Fn() -> String) {
    let gz = large();
    let session = server.session_guid.clone();
    let promised = presign(server, (&session, "demo"), "large", &gz);
    assert_eq!(put(server, &upload_url(&promised), &gz).status, 200);
    let body = json!({"orgcode": "demo", "container": "blobs", "record_id": "large",
        "content_token": promised["content_token"], "size": gz.len(), "content_md5": Md5::of(&gz).to_string()});
    server.post("/mrs/record/complete", &body).data();
    let another = || {
        let query = [
            ("orgcode", "demo"),
            ("container", "blobs"),
            ("record_id", "large"),
        ];
        let record = server.get("/mrs/record", &query).data();
        record["download"]["url"]
            .as_str()
            .expect("a url")
            .to_owned()
    };
    (another(), another)
}

/// Asks for a download and takes nothing of it.
pub(super) fn begin_download(server: &Server, url: &str) -> Wire {
    let path = url.strip_prefix(&server.base_url).expect("a path");
    let mut wire = Wire::connect(&server.base_url);
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    wire.0.write_all(request.as_bytes()).expect("sent");
    wire
}

#[test]
fn one_url_holds_two_downloads_whatever_number_is_asked_for() {
    let server = Server::start_with(&["--set", "mrs.downloads_max=4"]);
    let (url, another) = downloadable(&server);
    let mut stuck: Vec<_> = (0..20).map(|_| begin_download(&server, &url)).collect();
    for wire in &mut stuck {
        // Until each was taken up, refused or hung up on.
        let _: std::io::Result<usize> = wire.0.read(&mut [0; 1]);
    }
    assert!(active(&server, "download") <= 2.0);
    let first = [("range", "bytes=0-9")];
    let mut other = another();
    while other == url {
        other = another();
    }
    assert_eq!(server.get_url(&other, &first).status, 206);
    eventually("one that stands still gave way", || {
        server.get_url(&url, &first).status == 206
    });
}

#[test]
fn an_org_that_holds_all_downloads_gives_way_to_one_that_holds_none() {
    let sets = [
        "--set",
        "mrs.downloads_max=4",
        "--set",
        "mrs.url_transfers_max=16",
        "--set",
        "limits.org_downloads_max=0",
    ];
    let server = Server::start_with(&sets);
    let (url, _another) = downloadable(&server);
    let stuck: Vec<_> = (0..4).map(|_| begin_download(&server, &url)).collect();
    eventually("all are there", || active(&server, "download") >= 4.0);
    let other = somebody(&server, "OTHERS");
    let gz = gzip(b"{}");
    let promised = presign(&server, (&other, "OTHERS"), "small", &gz);
    assert_eq!(put(&server, &upload_url(&promised), &gz).status, 200);
    let body = json!({"orgcode": "OTHERS", "container": "blobs", "record_id": "small",
        "content_token": promised["content_token"], "size": gz.len(), "content_md5": Md5::of(&gz).to_string()});
    post_as(&server, &other, "/mrs/record/complete", &body).data();
    let record = format!(
        "{}/mrs/record?orgcode=OTHERS&container=blobs&record_id=small",
        server.base_url
    );
    let record = server
        .get_url(&record, &[("x-session-guid", &other)])
        .data();
    let small = record["download"]["url"].as_str().expect("a url");
    eventually("one of the many gave way", || {
        server.get_url(small, &[]).status == 200
    });
    drop(stuck);
}

#[test]
fn one_org_and_one_principal_have_as_many_downloads_as_they_may() {
    for setting in [
        "limits.org_downloads_max=3",
        "limits.principal_downloads_max=3",
    ] {
        let server = Server::start_with(&["--set", setting, "--set", "mrs.url_transfers_max=16"]);
        let (url, _another) = downloadable(&server);
        let mut stuck: Vec<_> = (0..8).map(|_| begin_download(&server, &url)).collect();
        for wire in &mut stuck {
            // Until each was taken up, refused or hung up on.
            let _: std::io::Result<usize> = wire.0.read(&mut [0; 1]);
        }
        assert!(active(&server, "download") <= 3.0, "{setting}");
        assert!(active(&server, "download") >= 1.0, "{setting}");
    }
}

const STAT: &str = "GET /mrs/stat HTTP/1.1\r\nhost: x\r\n\r\n";
const HEALTH: &str = "GET /health HTTP/1.1\r\nhost: x\r\n\r\n";

#[test]
fn past_the_limit_of_an_address_the_longest_waiting_connection_is_closed() {
    let server = Server::start_with(&["--set", "http.connections_address_max=8"]);
    let mut idle: Vec<_> = (0..64)
        .map(|_| Wire::connect_from(ELSEWHERE, &server.base_url))
        .collect();
    eventually("the first are closed", || {
        metric(&server, "metarecord_http_connections") <= 10.0
    });
    let ended = idle[0].0.read(&mut [0; 1]);
    assert!(!matches!(ended, Ok(1..)), "{ended:?}");
    assert_eq!(server.get("/mrs/stat", &[]).status, 200);
    let mut wire = Wire::connect_from(ELSEWHERE, &server.base_url);
    assert!(wire.request(HEALTH.as_bytes()).contains(" 200 "));
}

#[test]
fn when_all_connections_of_an_address_are_at_work_it_still_hears_that_the_server_lives() {
    let server = Server::start_with(&["--set", "http.connections_address_max=8"]);
    let mut busy: Vec<_> = (0..8)
        .map(|_| begin_post_from(ELSEWHERE, &server, "/mrs/record"))
        .collect();
    let mut answer = String::new();
    eventually("all are at work", || {
        busy.push(begin_post_from(ELSEWHERE, &server, "/mrs/record"));
        let mut wire = Wire::connect_from(ELSEWHERE, &server.base_url);
        answer = wire.request(STAT.as_bytes());
        answer.contains("connections-limit")
    });
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    for _ in 0..40 {
        let mut wire = Wire::connect_from(ELSEWHERE, &server.base_url);
        assert!(wire.request(HEALTH.as_bytes()).contains(" 200 "));
    }
    assert_eq!(server.get("/mrs/stat", &[]).status, 200);
}

#[test]
fn an_address_that_holds_all_connections_gives_way_to_one_that_holds_none() {
    let sets = ["--set", "http.connections_max=16"];
    let server = Server::start_with(&sets);
    let busy: Vec<_> = (0..64)
        .map(|_| begin_post_from(ELSEWHERE, &server, "/mrs/record"))
        .collect();
    for _ in 0..20 {
        assert_eq!(
            server
                .get_url(&format!("{}/health", server.base_url), &[])
                .status,
            200
        );
        assert_eq!(server.get("/mrs/stat", &[]).status, 200);
    }
    drop(busy);
}

#[test]
fn strangers_at_the_operators_port_are_given_up_and_keep_no_operator_out() {
    let sets = [
        "--set",
        "http.head_seconds=1",
        "--set",
        "http.keep_alive_seconds=1",
    ];
    let server = Server::start_with(&sets);
    let mut held: Vec<_> = (0..400)
        .map(|number| {
            let mut wire = Wire::connect_from(ELSEWHERE, &server.operator_url);
            if number % 2 == 1 {
                let _: std::io::Result<()> = wire.0.write_all(b"POST /invoke/jobs_list HT");
            }
            wire
        })
        .collect();
    assert_eq!(server.invoke("jobs_list", &json!({})).status, 200);
    for wire in &mut held {
        let mut rest = Vec::new();
        // Each ends, however it does.
        let _: std::io::Result<usize> = wire.0.read_to_end(&mut rest);
        assert!(!rest.starts_with(b"HTTP/1.1 2"));
    }
}

#[test]
fn answers_that_nobody_takes_are_limited_for_all_connections_together() {
    let sets = [
        "--set",
        "http.unread_bytes_max=1048576",
        "--set",
        "http.write_seconds=600",
        "--set",
        "limits.address_per_second=0",
    ];
    let server = Server::start_with(&sets);
    // About 180 KB each, of which a connection leaves what the buffers of the system do not take: some megabytes.
    let request = "GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut stuck: Vec<_> = (0..24)
        .map(|_| {
            let mut wire = Wire::connect_from(ELSEWHERE, &server.base_url);
            let _: std::io::Result<()> = wire.0.write_all(request.repeat(200).as_bytes());
            wire
        })
        .collect();
    eventually("most are closed", || {
        metric(&server, "metarecord_http_connections") <= 16.0
    });
    server.put_inline("blobs", "r", &json!(1), &[]);
    stuck.clear();
}
