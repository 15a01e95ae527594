//! Requests as bytes: heads that are none are answered as everything else is, and no body is asked for in vain.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest, Md5};
use serde_json::{Value, json};

use crate::support::Server;
use crate::support::wire::Wire;

/// The interim answer that asks for a body.
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// The value of a header in a head, in lower case names as the server writes them.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Checks that bytes are answered once, with a status, a tag and a finer one, in the envelope and with the headers that
/// every answer has, and that the connection ends then.
fn check_refused(url: &str, bytes: &[u8], status: &str, tags: (&str, &str)) {
    let mut wire = Wire::connect(url);
    // The server may refuse the beginning before the end is sent.
    let _: std::io::Result<()> = wire.0.write_all(bytes);
    let head = wire.head();
    let what = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    assert!(
        head.starts_with(&format!("HTTP/1.1 {status} ")),
        "{what}: {head:?}"
    );
    let id = header(&head, "x-request-id").expect("an id");
    assert_eq!(header(&head, "x-trace-id"), Some(id), "{what}");
    assert_eq!(header(&head, "x-api-version"), Some("2026-03-04"), "{what}");
    assert_eq!(header(&head, "cache-control"), Some("no-store"), "{what}");
    assert_eq!(header(&head, "connection"), Some("close"), "{what}");
    let rest = wire.rest();
    if bytes.starts_with(b"HEAD ") {
        return assert!(rest.is_empty(), "{what}");
    }
    let body: Value = serde_json::from_slice(&rest).expect("one envelope and nothing behind it");
    let tag = |name: &str| {
        body["error"][name]["tag"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(
        (tag("major").as_str(), tag("minor").as_str()),
        tags,
        "{what}"
    );
    assert_eq!(body["success"], json!(false), "{what}");
    assert_eq!(body["stats"]["request_id"], json!(id), "{what}");
}

#[test]
fn a_head_that_is_none_is_answered_in_the_envelope_at_both_addresses() {
    let server = Server::start();
    let input = "invalid-input";
    let long = "a".repeat(70_000);
    let many = "a: b\r\n".repeat(100);
    for url in [&server.base_url, &server.operator_url] {
        for (head, status, tags) in [
            // Ends of lines.
            (
                "GET /health HTTP/1.1\nHost: x\r\n\r\n",
                "400",
                (input, "head"),
            ),
            (
                "GET /health HTTP/1.1\r\nHost: x\n\r\n",
                "400",
                (input, "head"),
            ),
            (
                "GET /health HTTP/1.1\r\nHost: x\r\n\n",
                "400",
                (input, "head"),
            ),
            ("GET /health HTTP/1.1\nHost: x\n\n", "400", (input, "head")),
            (
                "\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n",
                "400",
                (input, "head"),
            ),
            (
                "GET /health HTTP/1.1\r\nHost: x\r\na: b\rc: d\r\n\r\n",
                "400",
                (input, "head"),
            ),
            (
                "GET /health HTTP/1.1\rHost: x\r\n\r\n",
                "400",
                (input, "head"),
            ),
            // Lines.
            (
                "GET /health HTTP/1.1\r\nHost: x\r\na: b\r\n c\r\n\r\n",
                "400",
                (input, "head"),
            ),
            (
                "GET /health HTTP/1.1\r\nHost: x\r\na: b\r\n\tc\r\n\r\n",
                "400",
                (input, "head"),
            ),
            (
                "GET /health HTTP/1.1\r\n Host: x\r\n\r\n",
                "400",
                (input, "head"),
            ),
            (
                "GET /health HTTP/1.1\r\nHost : x\r\n\r\n",
                "400",
                (input, "head"),
            ),
            (
                "GET /health HTTP/1.1\r\nHost: x\r\na\t: b\r\n\r\n",
                "400",
                (input, "head"),
            ),
            (
                "GET /health HTTP/1.1\r\nHost: x\r\na: b\0c\r\n\r\n",
                "400",
                (input, "head"),
            ),
            (
                "GET /health HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n",
                "400",
                (input, "head"),
            ),
            (
                "GET /health HTTP/1.1\r\nHost: x\r\nnothing\r\n\r\n",
                "400",
                (input, "head"),
            ),
            ("GET /health\r\nHost: x\r\n\r\n", "400", (input, "head")),
            (
                "GET /health HTTP/3.0\r\nHost: x\r\n\r\n",
                "400",
                (input, "head"),
            ),
            (
                "GET  /health HTTP/1.1\r\nHost: x\r\n\r\n",
                "400",
                (input, "head"),
            ),
            (
                "GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
                "400",
                (input, "head"),
            ),
            (
                "\x16\x03\x01\x02\0\x01\0\x01\u{7f}\x03\x03",
                "400",
                (input, "head"),
            ),
            // One host, one length.
            ("GET /health HTTP/1.1\r\n\r\n", "400", (input, "host")),
            ("HEAD /health HTTP/1.1\r\n\r\n", "400", (input, "host")),
            (
                "GET /health HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
                "400",
                (input, "host"),
            ),
            (
                "POST /record HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                "400",
                (input, "content-length"),
            ),
            (
                "POST /record HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
                "400",
                (input, "content-length"),
            ),
            (
                "POST /record HTTP/1.1\r\nHost: x\r\nContent-Length: 0x2\r\n\r\n{}",
                "400",
                (input, "content-length"),
            ),
            (
                "POST /record HTTP/1.0\r\n\r\n{}",
                "400",
                (input, "content-length"),
            ),
            (
                "POST /record HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                "400",
                (input, "transfer-encoding"),
            ),
            (
                "POST /record HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
                "400",
                (input, "transfer-encoding"),
            ),
            // Sizes.
            (
                &format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
                "414",
                ("uri-too-long", ""),
            ),
            (
                &format!("GET /health HTTP/1.1\r\nHost: x\r\na: {long}\r\n\r\n"),
                "431",
                ("head-too-large", ""),
            ),
            (
                &format!("GET /health HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
                "431",
                ("head-too-large", ""),
            ),
        ] {
            check_refused(url, head.as_bytes(), status, tags);
        }
    }
    assert_eq!(server.get("/mrs/stat", &[]).status, 200);
}

#[test]
fn a_head_that_ends_or_comes_too_slowly_is_answered_and_its_id_is_kept() {
    let server = Server::start_with(&["--set", "http.head_seconds=1"]);
    let slow =
        Wire::connect(&server.base_url).trickle(b"GET /health HTTP/1.1\r\nHost: x\r\na: ", b"b");
    assert!(slow.starts_with("HTTP/1.1 408 "), "{slow}");
    assert!(
        slow.contains("\"request-timeout\"") && slow.contains("x-request-id: "),
        "{slow}"
    );
    let cut = Wire::connect(&server.base_url).exchange(b"GET /health HT");
    assert!(
        cut.starts_with("HTTP/1.1 400 ") && cut.contains("\"request_id\""),
        "{cut}"
    );
    let named = "GET /health HTTP/1.1\r\nX-Request-Id: mine-1\r\n\r\n";
    let named = Wire::connect(&server.base_url).exchange(named.as_bytes());
    assert!(named.contains("x-request-id: mine-1\r\n"), "{named}");
    // A part of a credential is no id, also here.
    let secret = "GET /health HTTP/1.1\r\nX-Request-Id: abcdefgh\r\nx-api-key: 1abcdefgh2\r\n\r\n";
    let secret = Wire::connect(&server.base_url).exchange(secret.as_bytes());
    assert!(!secret.contains("abcdefgh"), "{secret}");
}

#[test]
fn a_whole_head_in_pieces_is_served_and_those_behind_it_too() {
    let server = Server::start();
    let mut wire = Wire::connect(&server.base_url);
    let padding = "p".repeat(30_000);
    let one =
        format!("GET /health HTTP/1.1\r\nHost: x\r\na: {padding}\r\nx-request-id: one\r\n\r\n");
    let two = "GET /health HTTP/1.1\r\nHost: x\r\nx-request-id: two\r\n\r\n";
    for piece in [one.as_bytes(), two.as_bytes(), &two.as_bytes()[..9]]
        .concat()
        .chunks(999)
    {
        wire.send(piece);
    }
    wire.send(&two.as_bytes()[9..]);
    for id in ["one", "two", "two"] {
        let head = wire.head();
        assert_eq!(header(&head, "x-request-id"), Some(id), "{head}");
        let length = header(&head, "content-length").expect("a length");
        wire.bytes(length.parse().expect("a number"));
    }
}

#[test]
fn chunks_that_are_none_are_answered() {
    let server = Server::start();
    let post = |body: &str| {
        format!(
            "POST /mrs/tag/add HTTP/1.1\r\nHost: x\r\nx-session-guid: {}\r\nTransfer-Encoding: chunked\r\n\r\n{body}",
            server.session_guid
        )
    };
    let invoke = |body: &str| {
        format!(
            "POST /invoke/jobs_list HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n{body}",
            server.operator_token
        )
    };
    for body in [
        "zz\r\n{}\r\n0\r\n\r\n".to_owned(),
        "2\n{}\r\n0\r\n\r\n".to_owned(),
        "2\r\n{}0\r\n\r\n".to_owned(),
        "fffffffffffffffff\r\n{}\r\n0\r\n\r\n".to_owned(),
        format!("2;{}\r\n", "a".repeat(9_000)),
        format!("2\r\n{{}}\r\n0\r\na: {}\r\n\r\n", "b".repeat(9_000)),
    ] {
        let tags = ("invalid-input", "chunk");
        check_refused(&server.base_url, post(&body).as_bytes(), "400", tags);
        check_refused(&server.operator_url, invoke(&body).as_bytes(), "400", tags);
    }
}

/// A promised upload: its url's path, and the gzip bytes.
fn promise(server: &Server) -> (String, Vec<u8>) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(b"some text").expect("memory");
    let gz = encoder.finish().expect("memory");
    let body = json!({"orgcode": server.orgcode, "container": "blobs", "content_type": "text/plain",
        "mode": "presign", "size": gz.len(), "content_md5": hex::encode(Md5::digest(&gz))});
    let data = server.post("/mrs/record", &body).data();
    let url = data["upload"]["url"].as_str().expect("a url");
    let path = url
        .strip_prefix(&server.base_url)
        .expect("the gateway's url");
    (path.to_owned(), gz)
}

#[test]
fn a_refused_head_has_its_answer_without_its_body_being_asked_for() {
    let server = Server::start_with(&["--set", "limits.address_per_second=1000"]);
    let (session, token) = (&server.session_guid, &server.operator_token);
    let (upload, _) = promise(&server);
    let good = format!("x-session-guid: {session}\r\n");
    let operator = format!("Authorization: Bearer {token}\r\n");
    let twice = format!("{good}x-orgcode: DEMO\r\nx-orgcode: DEMO\r\n");
    let (gateway, operators) = (&server.base_url, &server.operator_url);
    for (url, line, headers, status) in [
        (
            gateway,
            "POST /mrs/record",
            "Content-Length: 100\r\n",
            "401",
        ),
        (
            gateway,
            "POST /mrs/record",
            "Content-Length: 100\r\nx-api-key: none\r\n",
            "401",
        ),
        (
            gateway,
            "POST /mrs/record",
            &format!("{good}Content-Length: 100000000\r\n"),
            "413",
        ),
        (
            gateway,
            "POST /mrs/record",
            &format!("{twice}Content-Length: 100\r\n"),
            "400",
        ),
        (
            gateway,
            "POST /nowhere",
            &format!("{good}Content-Length: 100\r\n"),
            "404",
        ),
        (
            gateway,
            "PUT /mrs/record",
            &format!("{good}Content-Length: 100\r\n"),
            "405",
        ),
        (
            gateway,
            "POST /usm/session/list",
            "Content-Length: 100\r\n",
            "401",
        ),
        (
            gateway,
            "PUT /content/none",
            "Content-Length: 100\r\n",
            "403",
        ),
        (
            gateway,
            &format!("PUT {upload}"),
            "Content-Length: 100\r\n",
            "409",
        ),
        (
            gateway,
            &format!("PUT {upload}"),
            "Content-Length: 29\r\nContent-Encoding: br\r\n",
            "400",
        ),
        (
            operators,
            "POST /invoke/jobs_list",
            "Content-Length: 100\r\n",
            "403",
        ),
        (
            operators,
            "POST /invoke/none",
            &format!("{operator}Content-Length: 100\r\n"),
            "404",
        ),
        (
            operators,
            "GET /invoke/jobs_list",
            &format!("{operator}Content-Length: 100\r\n"),
            "405",
        ),
        (
            operators,
            "POST /invoke/jobs_list",
            &format!("{operator}Content-Length: 100000000\r\n"),
            "413",
        ),
        (
            operators,
            "PUT /import/content/none",
            "Content-Length: 100\r\n",
            "403",
        ),
    ] {
        let mut wire = Wire::connect(url);
        wire.send(
            format!("{line} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n{headers}\r\n")
                .as_bytes(),
        );
        let head = wire.head();
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{line} {headers}: {head}"
        );
        assert!(header(&head, "x-request-id").is_some(), "{line}");
    }
}

#[test]
fn a_body_is_asked_for_when_it_is_wanted_and_not_otherwise() {
    let server = Server::start();
    let (path, gz) = promise(&server);
    let body = json!({"orgcode": "DEMO", "container": "notes", "content_type": "application/json", "payload": 1});
    let body = body.to_string().into_bytes();
    let (session, token) = (&server.session_guid, &server.operator_token);
    let (gateway, operators) = (&server.base_url, &server.operator_url);
    let empty = b"{}".to_vec();
    for (url, line, credential, body) in [
        (
            gateway,
            "POST /mrs/record",
            format!("x-session-guid: {session}"),
            &body,
        ),
        (gateway, &format!("PUT {path}"), "a: b".to_owned(), &gz),
        (
            operators,
            "POST /invoke/jobs_list",
            format!("Authorization: Bearer {token}"),
            &empty,
        ),
    ] {
        let head = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-Continue\r\n{credential}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        // Behind another request, whose answer comes first.
        let mut wire = Wire::connect(url);
        wire.send(format!("GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n{head}").as_bytes());
        let first = wire.head();
        assert!(first.starts_with("HTTP/1.1 40"), "{first}");
        wire.bytes(
            header(&first, "content-length")
                .and_then(|text| text.parse().ok())
                .expect("a length"),
        );
        assert_eq!(wire.head(), CONTINUE, "{line}");
        wire.send(body);
        let answer = wire.head();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{line}: {answer}");
    }
    // One that comes with its head needs no asking, and HTTP/1.0 knows no interim answers.
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        let mut wire = Wire::connect(gateway);
        let head = format!(
            "POST /mrs/record {version}\r\nHost: x\r\nExpect: 100-continue\r\nx-session-guid: {session}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        wire.send(&[head.as_bytes(), &body].concat());
        let answer = wire.head();
        assert!(answer.starts_with(&format!("{version} 200 ")), "{answer}");
    }
}
