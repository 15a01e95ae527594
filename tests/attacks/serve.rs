//! Nobody keeps the server from serving others: documents made again for each caller, requests that come all at once, and
//! requests that end the process.

use std::fmt::Write as _;
use std::io::{Read, Write};

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::support::wire::Wire;
use crate::support::{Server, eventually};

/// Requests that are sent at once: fewer bytes than actix-http reads of a connection before it answers (128 KiB).
const PIPELINED: usize = 1_000;

#[test]
fn the_document_is_made_once_gzipped_where_it_may_be_and_not_sent_to_who_has_it() {
    let server = Server::start();
    let url = format!("{}/openapi.json", server.base_url);
    let plain = server.get_url(&url, &[("accept-encoding", "identity")]);
    let gzipped = server.get_url(&url, &[("accept-encoding", "gzip")]);
    let mut unpacked = Vec::new();
    let mut gzip = GzDecoder::new(gzipped.bytes.as_slice());
    gzip.read_to_end(&mut unpacked).expect("it is gzip");
    assert_eq!((plain.status, gzipped.status), (200, 200));
    assert!(unpacked == plain.bytes && plain.json()["openapi"].is_string());
    assert!(gzipped.bytes.len() * 8 < plain.bytes.len());
    assert_eq!(gzipped.header("content-encoding"), Some("gzip"));
    assert_eq!(plain.header("content-encoding"), None);
    for (got, accept, other) in [(&plain, "identity", &gzipped), (&gzipped, "gzip", &plain)] {
        assert_eq!(got.header("vary"), Some("accept-encoding"));
        let etag = got.header("etag").expect("a tag");
        assert_ne!(got.header("etag"), other.header("etag"));
        let accept = ("accept-encoding", accept);
        let same = server.get_url(&url, &[accept, ("if-none-match", etag)]);
        assert_eq!((same.status, same.bytes.len()), (304, 0));
        assert_eq!(same.header("etag"), Some(etag));
        let head = format!(
            "HEAD /openapi.json HTTP/1.1\r\nhost: x\r\naccept-encoding: {}\r\nconnection: close\r\n\r\n",
            accept.1
        );
        let head = Wire::connect(&server.base_url).exchange(head.as_bytes());
        let length = format!("content-length: {}\r\n", got.bytes.len());
        assert!(
            head.starts_with("HTTP/1.1 200") && head.contains(&length),
            "{head}"
        );
        assert!(head.contains(etag) && head.ends_with("\r\n\r\n"), "{head}");
    }
}

#[test]
fn a_long_answer_counts_as_many_requests_of_its_address() {
    let server = Server::start_with(&[
        "--set",
        "limits.address_per_second=1",
        "--set",
        "limits.address_burst=30",
    ]);
    let url = format!("{}/openapi.json", server.base_url);
    let statuses = |headers: &[(&str, &str)]| -> Vec<u16> {
        let asked = (0..4).map(|_| server.get_url(&url, headers).status);
        asked.collect()
    };
    let gzip = ("accept-encoding", "gzip");
    let etag = server.get_url(&url, &[gzip]);
    let etag = etag.header("etag").expect("a tag").to_owned();
    assert_eq!(statuses(&[gzip, ("if-none-match", &etag)]), [304; 4]);
    // Some 180 KB each time.
    let plain = statuses(&[("accept-encoding", "identity")]);
    assert_eq!((plain[0], plain[3]), (200, 429), "{plain:?}");
    // It is no more to ask whether the server lives.
    let health = format!("{}/health", server.base_url);
    assert_eq!(server.get_url(&health, &[]).status, 200);
}

/// The names of requests in the order in which they were answered, by the log.
fn answered(log: &str, names: &[&str]) -> Vec<usize> {
    let named = |line: &str| {
        names
            .iter()
            .position(|name| line.contains(&format!("\"request_id\":\"{name}")))
    };
    let requests = log
        .lines()
        .filter(|line| line.contains("\"event\":\"request\""));
    requests.filter_map(named).collect()
}

#[test]
fn a_connection_that_asks_for_much_at_once_takes_turns_with_others() {
    let mut server = Server::start_with(&[
        "--set",
        "http.workers=1",
        "--set",
        "limits.address_per_second=0",
    ]);
    let mut connections: Vec<_> = (0..3).map(|_| Wire::connect(&server.base_url)).collect();
    for (name, connection) in ["x", "y", "z"].into_iter().zip(&mut connections) {
        let head = format!("GET /health HTTP/1.1\r\nhost: x\r\nx-request-id: {name}\r\n\r\n");
        connection.request(head.as_bytes());
    }
    let pid = server.pid().to_string();
    let signal = |name: &str| {
        let sent = std::process::Command::new("kill")
            .args(["-s", name, &pid])
            .status();
        assert!(sent.expect("kill runs").success());
    };
    // All of it waits before the one thread that serves can look at any.
    signal("STOP");
    let stopped = || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("threads");
        let stat = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("stat"));
        tasks
            .flatten()
            .filter_map(|task| stat(task).ok())
            .all(|stat| {
                stat.rsplit(") ")
                    .next()
                    .is_some_and(|rest| rest.starts_with('T'))
            })
    };
    eventually("all threads stand still", stopped);
    for (name, count) in [("a", PIPELINED), ("b", PIPELINED), ("c", 1)] {
        let mut requests = String::new();
        for number in 0..count {
            let head = "HEAD /openapi.json HTTP/1.1\r\nhost: x\r\nx-request-id: ";
            write!(requests, "{head}{name}{number}\r\n\r\n").expect("written");
        }
        let mut connection = connections.remove(0);
        connection
            .0
            .write_all(requests.as_bytes())
            .expect("it is taken");
        connections.push(connection);
    }
    signal("CONT");
    for (connection, last) in connections.iter_mut().zip(["a999", "b999", "c0"]) {
        let last = format!("x-request-id: {last}\r\n");
        let (mut answer, mut buffer) = (Vec::new(), [0; 65_536]);
        while !String::from_utf8_lossy(&answer).contains(&last) {
            let read = connection.0.read(&mut buffer).expect("an answer");
            assert!(read > 0, "the server hung up");
            // The last answer's head may come in two.
            answer.drain(..answer.len().saturating_sub(last.len()));
            answer.extend_from_slice(&buffer[..read]);
        }
    }
    server.end("TERM");
    let order = answered(&server.told(), &["a", "b", "c"]);
    let lone = order
        .iter()
        .position(|name| *name == 2)
        .expect("it is answered");
    assert!(lone < 10, "{lone} answers came first");
    let both: Vec<_> = order.iter().filter(|name| **name < 2).collect();
    let run = both[..PIPELINED]
        .chunk_by(|one, next| one == next)
        .map(<[_]>::len);
    let longest = run.max().expect("answers");
    assert!(longest < 10, "{longest} answers to one connection in a row");
}

/// The head of a change whose body never comes.
fn begun(server: &Server, request_id: &str) -> Wire {
    let mut connection = Wire::connect(&server.base_url);
    let head = format!(
        "POST /mrs/record HTTP/1.1\r\nhost: x\r\nx-request-id: {request_id}\r\nx-session-guid: {}\r\ncontent-length: 9\r\n\r\n{{",
        server.session_guid
    );
    connection.0.write_all(head.as_bytes()).expect("sent");
    connection
}

/// The lines of an event in a log.
fn events(log: &str, event: &str) -> Vec<Value> {
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["event"] == event).collect()
}

/// A metric without labels.
fn metric(server: &Server, name: &str) -> f64 {
    let url = format!("{}/metrics", server.operator_url);
    let token = format!("Bearer {}", server.operator_token);
    let got = server.get_url(&url, &[("authorization", &token)]);
    let text = String::from_utf8(got.bytes).expect("text");
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.expect(name).parse().expect("a number")
}

#[test]
fn a_process_that_ends_by_itself_leaves_what_it_was_doing_to_the_next() {
    let scratch = tempfile::tempdir().expect("a directory");
    let dir = scratch.path().join("data");
    let mut started = Server::start_in(&dir, &[]);
    // A stack overflow and a failed allocation end by SIGABRT, what is out of memory by SIGKILL.
    for (number, signal) in ["ABRT", "KILL"].into_iter().enumerate() {
        let server = &mut started;
        server.put_inline("demo", &format!("r-{number}"), &json!({}), &[]);
        let named = format!("never-{signal}");
        let _connection = begun(server, &named);
        // Once what was answered is erased, only what is not is left.
        let file = dir.join("running");
        eventually("it is noted, and nothing else", || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            text.matches("/mrs/record").count() == 1 && text.contains(&named)
        });
        server.end(signal);
        let log = server.told();
        assert!(!log.contains(&named), "nothing of it could be told");

        started = Server::start_in(&dir, &[]);
        let crashes = metric(&started, "metarecord_crashes_total");
        let requests = metric(&started, "metarecord_crashed_while_requests_total");
        let times = (number + 1) as f64;
        assert_eq!((crashes, requests), (times, times));
    }
    started.end("TERM");
    let log = started.told();
    let crashed = events(&log, "crashed");
    assert_eq!(
        (&crashed[0]["requests"], &crashed[0]["times"]),
        (&json!(1), &json!(2))
    );
    let running = events(&log, "crashed_while");
    assert_eq!((crashed.len(), running.len()), (1, 1), "{log}");
    assert_eq!(running[0]["request_id"], "never-KILL");
    assert_eq!(running[0]["route"], "/mrs/record");
    assert_eq!(running[0]["method"], "POST");
    assert!(!log.contains(&started.session_guid));
    let file = std::fs::read_to_string(dir.join("running")).expect("the file");
    assert!(!file.contains(&started.session_guid));

    let mut last = Server::start_in(&dir, &[]);
    assert_eq!(metric(&last, "metarecord_crashes_total"), 2.0);
    last.put_inline("demo", "r-last", &json!({}), &[]);
    last.end("TERM");
    let log = last.told();
    assert!(events(&log, "crashed").is_empty());
    let requests = events(&log, "request");
    let put = requests.iter().find(|line| line["route"] == "/mrs/record");
    // Its caller is named as in the lines of its other requests.
    assert_eq!(put.expect("its line")["principal"], running[0]["principal"]);
}

#[test]
fn refusals_past_a_rate_are_counted_and_have_no_lines() {
    let refused = 400;
    let tell = |per_second: &str| {
        let mut server = Server::start_with(&["--set", per_second]);
        let url = format!("{}/mrs/list?orgcode=DEMO", server.base_url);
        for _ in 0..refused {
            assert_eq!(server.get_url(&url, &[]).status, 401);
        }
        let nowhere = format!("{}/nowhere", server.base_url);
        assert_eq!(server.get_url(&nowhere, &[]).status, 404);
        let missing = metric(
            &server,
            "metarecord_log_lines_missing_total{output=\"refusals\"}",
        );
        server.put_inline("demo", "r-1", &json!({}), &[]);
        server.end("TERM");
        let log = server.told();
        let of = |event: &str, field: &str, value: &str| {
            let lines = events(&log, event).into_iter();
            lines.filter(|line| line[field] == value).count()
        };
        // Another cause, and what is no refusal, have their lines.
        assert_eq!(of("request", "tag", "not-found"), 1);
        assert_eq!(of("request", "route", "/mrs/record"), 1);
        let lines = of("request", "tag", "invalid-session");
        assert_eq!(lines, of("access_denied", "stage", "credential"));
        let left_out = events(&log, "refusals_left_out");
        let left_out: u64 = left_out
            .iter()
            .filter(|line| line["tag"] == "invalid-session" && line["addresses"] == 1)
            .map(|line| line["requests"].as_u64().expect("a number"))
            .sum();
        assert_eq!(
            (lines as u64 + left_out, missing),
            (refused, left_out as f64)
        );
        lines
    };
    assert_eq!(tell("log.refusals_per_second=0"), 400);
    // One a second; as long as it takes fewer than a second for each, some are left out.
    assert!(tell("log.refusals_per_second=1") < 400);
}
