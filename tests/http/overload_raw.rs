//! What is no good HTTP: it is refused, nothing behind it is taken for a request, and others are served afterwards.

use std::fmt::Write;

use crate::support::Server;
use crate::support::wire::Wire;

/// The request that must not be answered when it stands behind a bad one. It would name itself in its answer.
fn hidden(server: &Server) -> String {
    format!(
        "GET /mrs/stat HTTP/1.1\r\nhost: x\r\nx-request-id: hidden\r\nx-session-guid: {}\r\n\r\n",
        server.session_guid
    )
}

/// Headers of a POST with the server's session.
fn post(server: &Server, headers: &str) -> String {
    format!(
        "POST /mrs/tag/add HTTP/1.1\r\nhost: x\r\nx-session-guid: {}\r\n{headers}\r\n\r\n",
        server.session_guid
    )
}

/// Sends a bad request with a good one behind it: one 4xx or nothing, and the good one is not answered.
fn check_refused(server: &Server, what: &str, bad: &[u8]) {
    let bytes = [bad, hidden(server).as_bytes()].concat();
    let answer = Wire::connect(&server.base_url).exchange(&bytes);
    assert!(!answer.contains("hidden"), "{what}: {answer}");
    let answers = answer.matches("HTTP/1.1 ").count();
    let refused = answer.starts_with("HTTP/1.1 4");
    assert!(
        answer.is_empty() || (answers == 1 && refused),
        "{what}: {answer}"
    );
    assert_eq!(server.get("/mrs/stat", &[]).status, 200, "{what}");
}

#[test]
fn lengths_that_contradict_each_other_are_refused() {
    let server = Server::start();
    let chunk = "5\r\nhello\r\n0\r\n\r\n";
    for (headers, body) in [
        ("content-length: 5\r\ntransfer-encoding: chunked", chunk),
        ("transfer-encoding: chunked\r\ncontent-length: 5", chunk),
        ("content-length: 5\r\ncontent-length: 6", "hello"),
        ("content-length: 5\r\ncontent-length: 5", "hello"),
        ("content-length: 5, 5", "hello"),
        ("content-length: +5", "hello"),
        ("content-length: -1", ""),
        ("content-length: 0x5", "hello"),
        ("content-length: 5 5", "hello"),
        ("content-length: 18446744073709551617", "h"),
        ("content-length :5", "hello"),
        ("transfer-encoding: xchunked", chunk),
        ("transfer-encoding: chunked, identity", chunk),
        ("transfer-encoding: identity, chunked", chunk),
        ("transfer-encoding: identity", "hello"),
        (
            "transfer-encoding: chunked\r\ntransfer-encoding: identity",
            chunk,
        ),
        (
            "transfer-encoding: identity\r\ntransfer-encoding: chunked",
            chunk,
        ),
        ("transfer-encoding: \x0bchunked", chunk),
        ("transfer-encoding : chunked", chunk),
        ("transfer-encoding:\r\n chunked", chunk),
        // actix-http would read to the connection's end here.
        (
            "content-length: 2\r\nconnection: upgrade\r\nupgrade: websocket",
            "{}",
        ),
    ] {
        let bad = post(&server, headers) + body;
        check_refused(&server, headers, bad.as_bytes());
    }
    let old = post(&server, "transfer-encoding: chunked").replace("HTTP/1.1", "HTTP/1.0");
    check_refused(&server, "chunked before HTTP/1.1", (old + chunk).as_bytes());
}

#[test]
fn malformed_chunks_are_refused() {
    let server = Server::start();
    for body in [
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5;a\x00b\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
    ] {
        let bad = post(&server, "transfer-encoding: chunked") + body;
        check_refused(&server, body, bad.as_bytes());
    }
}

#[test]
fn malformed_heads_are_refused() {
    let server = Server::start();
    let with = |header: &[u8]| {
        let head = b"GET /health HTTP/1.1\r\nhost: x\r\n";
        [head, header, b"\r\n\r\n"].concat()
    };
    for header in [
        &b"x-folded: one\r\n two"[..],
        b"x-nul: a\x00b",
        b"x-nul\x00: a",
        b"x-return: a\rb",
        b"x space: a",
        b": nameless",
        b"no colon",
        b"host: y",
        b"x-\xc3\xa9: a",
    ] {
        let what = String::from_utf8_lossy(header).into_owned();
        check_refused(&server, &what, &with(header));
    }
    for line in [
        "GET /health HTTP/1.1\r\n\r\n",
        "GET /health\r\n\r\n",
        "GET /health HTTP/2.0\r\nhost: x\r\n\r\n",
        "GET /health HTTP/1.2\r\nhost: x\r\n\r\n",
        "GET /health http/1.1\r\nhost: x\r\n\r\n",
        "GET /he alth HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET\t/health HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /health\x00 HTTP/1.1\r\nhost: x\r\n\r\n",
        "G\x00T /health HTTP/1.1\r\nhost: x\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03 no TLS here\r\n\r\n",
    ] {
        check_refused(&server, line, line.as_bytes());
    }
}

#[test]
fn oversized_heads_are_refused() {
    let server = Server::start();
    let long = format!(
        "GET /health HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n",
        "x".repeat(200_000)
    );
    check_refused(&server, "a long header", long.as_bytes());
    let target = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(200_000));
    check_refused(&server, "a long target", target.as_bytes());
    let mut many = "GET /health HTTP/1.1\r\nhost: x\r\n".to_owned();
    for number in 0..200 {
        write!(many, "x-{number}: a\r\n").expect("written");
    }
    check_refused(&server, "many headers", (many + "\r\n").as_bytes());
}

#[test]
fn an_unread_body_is_not_taken_for_a_request() {
    let server = Server::start();
    let hidden = hidden(&server);
    let length = hidden.len();
    let sized = format!("content-length: {length}\r\n\r\n{hidden}");
    let chunked = format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n{hidden}\r\n0\r\n\r\n");
    for body in [sized, chunked] {
        for (head, status) in [
            ("POST /mrs/record HTTP/1.1\r\nhost: x\r\n", "401"),
            ("POST /nowhere HTTP/1.1\r\nhost: x\r\n", "404"),
            ("PUT /content/altered HTTP/1.1\r\nhost: x\r\n", "403"),
            ("GET /health HTTP/1.1\r\nhost: x\r\n", "200"),
            ("CONNECT x:1 HTTP/1.1\r\nhost: x\r\n", "404"),
        ] {
            let wire = Wire::connect(&server.base_url);
            let answer = wire.exchange(format!("{head}{body}").as_bytes());
            assert!(!answer.contains("hidden"), "{head}: {answer}");
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{head}: {answer}"
            );
        }
    }
    assert_eq!(server.get("/mrs/stat", &[]).status, 200);
}

#[test]
fn unusual_but_valid_syntax_is_one_request() {
    let server = Server::start();
    let body = r#"{"orgcode":"DEMO"}"#;
    let chunk = format!(
        "{:x};name=\"value\"\r\n{body}\r\n0\r\nx-trailer: a\r\n\r\n",
        body.len()
    );
    let extended = post(&server, "transfer-encoding: chunked") + &chunk;
    let session = &server.session_guid;
    let absolute = format!(
        "GET http://elsewhere.example/mrs/stat HTTP/1.1\r\nhost: elsewhere.example\r\nx-session-guid: {session}\r\n\r\n"
    );
    for (request, status) in [(extended, "400"), (absolute, "200")] {
        let bytes = request.clone() + &hidden(&server);
        let answer = Wire::connect(&server.base_url).exchange(bytes.as_bytes());
        let answers: Vec<_> = answer.split("HTTP/1.1 ").skip(1).collect();
        assert_eq!(answers.len(), 2, "{request}: {answer}");
        assert!(answers[0].starts_with(status), "{request}: {answer}");
        let named: Vec<_> = answers.iter().map(|one| one.contains("hidden")).collect();
        assert_eq!(named, [false, true], "{request}: {answer}");
    }
}

#[test]
fn pipelined_requests_are_answered_until_a_malformed_one() {
    let server = Server::start();
    let mut requests = String::new();
    for number in 0..500 {
        let head = "GET /health HTTP/1.1\r\nhost: x\r\nx-request-id: ";
        write!(requests, "{head}n{number}.\r\n\r\n").expect("written");
    }
    requests.push_str("\x01\x02garbage\r\n\r\n");
    requests.push_str(&hidden(&server));
    let answer = Wire::connect(&server.base_url).exchange(requests.as_bytes());
    let mut at = 0;
    for number in 0..500 {
        let found = answer[at..].find(&format!("x-request-id: n{number}.\r\n"));
        at += found.unwrap_or_else(|| panic!("{number} is not answered in its turn"));
    }
    assert!(!answer.contains("hidden"));
    assert!(answer[at..].contains("HTTP/1.1 400"), "{}", &answer[at..]);
    assert_eq!(server.get("/mrs/stat", &[]).status, 200);
}
