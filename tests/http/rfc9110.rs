//! HTTP semantics (RFC 9110) and its messages (RFC 9112), rule by rule, on a connection.

use super::presigned::{complete, get, gzip, md5, presign, url};
use crate::support::Server;
use crate::support::wire::Wire;

/// An answer as it came over a connection: its status, its head, and as many bytes as its length says.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1);
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Sends a request and reads what is answered, to the connection's end.
fn ask(server: &Server, request: &str) -> Answer {
    let mut wire = Wire::connect(&server.base_url);
    wire.send(
        request
            .replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n")
            .as_bytes(),
    );
    let head = wire.head();
    let status = head.get(9..12).and_then(|text| text.parse().ok());
    Answer {
        status: status.unwrap_or_default(),
        head,
        body: wire.rest(),
    }
}

/// A record with content, and the path and the ETag of its download.
fn content(server: &Server, disposition: &str) -> (String, String, usize) {
    let gz = gzip(b"<script>alert(1)</script>");
    let (size, md5) = (gz.len() as u64, md5(&gz));
    let id = format!("page:{disposition}");
    let put = presign(server, &id, size, &md5, None);
    assert_eq!(server.put_url(url(&put), &[], &gz).status, 200);
    assert_eq!(
        complete(server, &id, &put["content_token"], size, &md5).status,
        200
    );
    let read = get(server, &id, &[("disposition", disposition)]).data();
    let url = read["download"]["url"].as_str().expect("a url");
    let path = url.strip_prefix(&server.base_url).expect("the gateway's");
    (path.to_owned(), format!("\"{md5}\""), gz.len())
}

/// Section, rule, request, status, and a header of the answer with its value: none when it must be absent.
type Rule<'a> = (&'a str, &'a str, String, u16, (&'a str, Option<&'a str>));

#[test]
fn each_rule_of_rfc_9110_is_kept() {
    let server = Server::start();
    let session = format!("x-session-guid: {}\r\n", server.session_guid);
    let (path, etag, size) = content(&server, "attachment");
    let host = "HTTP/1.1\r\nhost: localhost\r\n";
    let part = format!("bytes 2-5/{size}");
    let nowhere = format!("bytes */{size}");
    let length = size.to_string();
    let list = format!("/mrs/list?orgcode={}", server.orgcode);
    let post = |headers: &str, body: &str| {
        format!(
            "POST /mrs/record {host}{session}{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let content = |method: &str, headers: &str| format!("{method} {path} {host}{headers}\r\n");
    let rows: Vec<Rule<'_>> = vec![
        (
            "8.6",
            "a GET has its length",
            content("GET", ""),
            200,
            ("content-length", Some(&length)),
        ),
        (
            "9.3.2",
            "a HEAD has that of a GET",
            content("HEAD", ""),
            200,
            ("content-length", Some(&length)),
        ),
        (
            "8.3",
            "content has its type",
            content("GET", ""),
            200,
            ("content-type", Some("text/plain; charset=utf-8")),
        ),
        (
            "8.4",
            "and its coding",
            content("GET", ""),
            200,
            ("content-encoding", Some("gzip")),
        ),
        (
            "8.8.3",
            "and a validator",
            content("GET", ""),
            200,
            ("etag", Some(&etag)),
        ),
        (
            "6.6.1",
            "answers are dated",
            content("HEAD", "x: y\r\n"),
            200,
            ("etag", Some(&etag)),
        ),
        (
            "13.1.1",
            "If-Match that matches",
            content("GET", &format!("if-match: \"x\", {etag}\r\n")),
            200,
            ("etag", Some(&etag)),
        ),
        (
            "13.1.1",
            "If-Match of anything",
            content("GET", "if-match: *\r\n"),
            200,
            ("etag", Some(&etag)),
        ),
        (
            "13.1.1",
            "If-Match that does not match",
            content("GET", "if-match: \"x\"\r\n"),
            412,
            ("etag", None),
        ),
        (
            "13.1.1",
            "If-Match compares strongly",
            content("GET", &format!("if-match: W/{etag}\r\n")),
            412,
            ("etag", None),
        ),
        (
            "13.1.2",
            "If-None-Match that matches",
            content("GET", &format!("if-none-match: {etag}\r\n")),
            304,
            ("etag", Some(&etag)),
        ),
        (
            "13.1.2",
            "If-None-Match compares weakly",
            content("HEAD", &format!("if-none-match: W/{etag}\r\n")),
            304,
            ("etag", Some(&etag)),
        ),
        (
            "13.1.2",
            "If-None-Match that does not match",
            content("GET", "if-none-match: \"x\"\r\n"),
            200,
            ("etag", Some(&etag)),
        ),
        (
            "13.2.2",
            "If-Match comes first",
            content(
                "GET",
                &format!("if-match: \"x\"\r\nif-none-match: {etag}\r\n"),
            ),
            412,
            ("etag", None),
        ),
        (
            "14.2",
            "a range",
            content("GET", "range: bytes=2-5\r\n"),
            206,
            ("content-range", Some(&part)),
        ),
        (
            "14.2",
            "an unknown unit is ignored",
            content("GET", "range: lines=2-5\r\n"),
            200,
            ("content-range", None),
        ),
        (
            "14.2",
            "a range of a HEAD is ignored",
            content("HEAD", "range: bytes=2-5\r\n"),
            200,
            ("content-length", Some(&length)),
        ),
        (
            "14.4",
            "a range beyond the end",
            content("GET", "range: bytes=9999-\r\n"),
            416,
            ("content-range", Some(&nowhere)),
        ),
        (
            "13.1.5",
            "If-Range that matches",
            content("GET", &format!("if-range: {etag}\r\nrange: bytes=2-5\r\n")),
            206,
            ("content-range", Some(&part)),
        ),
        (
            "13.1.5",
            "If-Range that does not",
            content("GET", "if-range: \"x\"\r\nrange: bytes=2-5\r\n"),
            200,
            ("content-range", None),
        ),
        (
            "14.3",
            "ranges are offered",
            content("GET", ""),
            200,
            ("accept-ranges", Some("bytes")),
        ),
        (
            "11.6.1",
            "401 has a challenge",
            format!("GET {list} {host}\r\n"),
            401,
            ("www-authenticate", Some("Bearer realm=\"metarecord\"")),
        ),
        (
            "11.1",
            "another scheme beside a session is ignored",
            format!("GET {list} {host}{session}authorization: Basic dTpw\r\n\r\n"),
            200,
            ("www-authenticate", None),
        ),
        (
            "11.1",
            "alone it is no credential",
            format!("GET {list} {host}authorization: Basic dTpw\r\n\r\n"),
            401,
            ("www-authenticate", Some("Bearer realm=\"metarecord\"")),
        ),
        (
            "11.1",
            "a token beside a session is a conflict, in any case",
            format!("GET {list} {host}{session}authorization: bearer abc\r\n\r\n"),
            401,
            ("www-authenticate", Some("Bearer realm=\"metarecord\"")),
        ),
        (
            "15.5.5",
            "an unknown path",
            format!("GET /nowhere {host}\r\n"),
            404,
            ("allow", None),
        ),
        (
            "15.5.6",
            "405 has Allow",
            format!("DELETE /mrs/list {host}\r\n"),
            405,
            ("allow", Some("GET, HEAD")),
        ),
        (
            "15.5.6",
            "of content too",
            content("POST", "content-length: 0\r\n"),
            405,
            ("allow", Some("PUT, GET, HEAD")),
        ),
        (
            "9.3.7",
            "OPTIONS names the methods",
            format!("OPTIONS /mrs/record {host}\r\n"),
            405,
            ("allow", Some("POST, GET, HEAD")),
        ),
        (
            "9.3.8",
            "TRACE repeats nothing",
            format!("TRACE /mrs/list {host}{session}\r\n"),
            405,
            ("allow", Some("GET, HEAD")),
        ),
        (
            "9.3.2",
            "a HEAD of JSON",
            format!("HEAD /health {host}\r\n"),
            200,
            ("content-type", Some("application/json")),
        ),
        (
            "15.5.15",
            "a target that is too long",
            format!("GET /{} {host}\r\n", "a".repeat(20_000)),
            414,
            ("connection", Some("close")),
        ),
        (
            "15.5.14",
            "a body that is too large",
            format!("POST /mrs/record {host}{session}content-length: 99999999\r\n\r\n"),
            413,
            ("connection", Some("close")),
        ),
        (
            "15.5.16",
            "an unknown media type",
            post("content-type: application/xml\r\n", "<a/>"),
            415,
            ("accept-encoding", None),
        ),
        (
            "15.5.16",
            "JSON in another charset",
            post("content-type: application/json; charset=utf-16\r\n", "{}"),
            415,
            ("accept-encoding", None),
        ),
        (
            "15.5.16",
            "an unknown coding, and those that are known",
            post("content-encoding: br\r\n", "{}"),
            415,
            ("accept-encoding", Some("gzip")),
        ),
        (
            "15.5.16",
            "two codings",
            post("content-encoding: gzip, gzip\r\n", "{}"),
            415,
            ("accept-encoding", Some("gzip")),
        ),
        (
            "8.4.1",
            "no coding at all",
            post("content-encoding: identity\r\n", "{}"),
            400,
            ("accept-encoding", None),
        ),
        (
            "10.1.1",
            "an unknown expectation is ignored",
            format!("GET /health {host}expect: miracles\r\n\r\n"),
            200,
            ("connection", Some("close")),
        ),
        (
            "10.1.1",
            "HTTP/1.0 has no expectations",
            "GET /health HTTP/1.0\r\nexpect: 100-continue\r\n\r\n".to_owned(),
            200,
            ("content-type", Some("application/json")),
        ),
        (
            "7.8",
            "an upgrade is declined",
            format!("GET /health {host}upgrade: h2c\r\n\r\n"),
            200,
            ("upgrade", None),
        ),
        (
            "12.5.1",
            "what is accepted is not asked",
            format!("GET /health {host}accept: text/html;q=1, application/json;q=0\r\n\r\n"),
            200,
            ("content-type", Some("application/json")),
        ),
        (
            "5.3",
            "a header in any case",
            format!(
                "GET {list} {host}X-SESSION-GUID: {}\r\n\r\n",
                server.session_guid
            ),
            200,
            ("www-authenticate", None),
        ),
        (
            "9112 3.2.2",
            "a target in absolute form",
            format!("GET http://localhost/health {host}\r\n"),
            200,
            ("content-type", Some("application/json")),
        ),
        (
            "9112 3.2",
            "HTTP/1.0 without a host",
            "GET /health HTTP/1.0\r\n\r\n".to_owned(),
            200,
            ("content-type", Some("application/json")),
        ),
        (
            "9112 2.2",
            "an empty line ahead of a request",
            format!("\r\nGET /health {host}\r\n"),
            200,
            ("content-type", Some("application/json")),
        ),
    ];
    for (section, rule, request, status, (name, value)) in rows {
        let answer = ask(&server, &request);
        let what = format!("{section}, {rule}: {}", answer.head);
        assert_eq!(answer.status, status, "{what}");
        assert_eq!(answer.header(name), value, "{what}");
        assert!(answer.header("date").is_some(), "{what}");
        assert!(answer.header("x-request-id").is_some(), "{what}");
        let length = answer
            .header("content-length")
            .map(|text| text.parse::<usize>());
        match request.trim_start().starts_with("HEAD ") || status == 304 {
            true => assert!(answer.body.is_empty(), "{what}"),
            false => assert_eq!(length, Some(Ok(answer.body.len())), "{what}"),
        }
    }
}

#[test]
fn stored_pages_are_saved_and_run_nothing() {
    let server = Server::start();
    for (disposition, said) in [
        ("attachment", "attachment; filename=\"page_attachment\""),
        ("inline", "inline; filename=\"page_inline\""),
    ] {
        let (path, _, _) = content(&server, disposition);
        for method in ["GET", "HEAD"] {
            let answer = ask(
                &server,
                &format!("{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n"),
            );
            assert_eq!(answer.header("content-disposition"), Some(said));
            let policy = Some("sandbox; default-src 'none'");
            assert_eq!(answer.header("content-security-policy"), policy);
            let embedding = answer.header("cross-origin-resource-policy");
            assert_eq!(embedding, Some("same-origin"));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        }
    }
    let refused = get(&server, "page:inline", &[("disposition", "both")]);
    assert_eq!(refused.refusal().2, "disposition");
}
