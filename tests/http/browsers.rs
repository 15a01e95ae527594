//! Pages in browsers: which origins may call, by what a browser asks before it lets a page do so.

use serde_json::json;

use super::presigned::{get, gzip, store};
use crate::support::wire::Wire;
use crate::support::{Server, eventually};

const PAGE: &str = "https://app.example";
/// What stored pages may do: nothing.
const POLICY: &str = "sandbox; default-src 'none'";

/// The preflight of a browser for `fetch(url, {method, headers})` from another origin, with the headers that Chromium sends.
fn preflight(path: &str, method: &str, headers: &str, origin: &str) -> String {
    format!(
        "OPTIONS {path} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nConnection: keep-alive\r\nAccept: */*\r\nAccess-Control-Request-Method: {method}\r\nAccess-Control-Request-Headers: {headers}\r\nOrigin: {origin}\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Dest: empty\r\nReferer: {origin}/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\r\n"
    )
}

fn ask(url: &str, request: &str) -> String {
    let mut wire = Wire::connect(url);
    wire.send(request.as_bytes());
    wire.head()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn only_listed_pages_may_call_routes_and_content() {
    let set = format!("http.cors_origins=https://other.example, {PAGE}/");
    let server = Server::start_with(&["--set", &set]);
    let gateway = &server.base_url;
    for (path, method, headers) in [
        (
            "/mrs/record",
            "POST",
            "content-type,idempotency-key,x-session-guid",
        ),
        ("/mrs/list?orgcode=DEMO", "GET", "x-api-key"),
        ("/prod/mrs/record", "POST", "authorization,content-type"),
        ("/content/token", "PUT", "content-encoding,content-md5"),
        ("/content/export/token", "GET", "range"),
    ] {
        let answer = ask(gateway, &preflight(path, method, headers, PAGE));
        assert!(answer.starts_with("HTTP/1.1 204 "), "{path}: {answer}");
        assert_eq!(
            header(&answer, "access-control-allow-origin"),
            Some(PAGE),
            "{path}"
        );
        let methods = header(&answer, "access-control-allow-methods").expect("methods");
        assert!(
            methods.split(", ").any(|known| known == method),
            "{path}: {methods}"
        );
        let allowed = header(&answer, "access-control-allow-headers").expect("headers");
        for name in headers.split(',') {
            assert!(
                allowed.split(", ").any(|known| known == name),
                "{name}: {allowed}"
            );
        }
        assert_eq!(header(&answer, "vary"), Some("origin"), "{path}");
        assert!(header(&answer, "x-request-id").is_some(), "{path}");
        // No credentials of the browser's own are ever asked for.
        assert_eq!(header(&answer, "access-control-allow-credentials"), None);
        for stranger in ["https://app.example.evil", "http://app.example", "null"] {
            let answer = ask(gateway, &preflight(path, method, headers, stranger));
            assert!(!answer.starts_with("HTTP/1.1 2"), "{path}: {answer}");
            assert_eq!(
                header(&answer, "access-control-allow-origin"),
                None,
                "{path}"
            );
        }
    }
    // Answers themselves, good and bad, at the gateway alone.
    let answer = |url: &str, path: &str| {
        ask(
            url,
            &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nOrigin: {PAGE}\r\n\r\n"),
        )
    };
    for path in ["/health", "/mrs/list", "/nowhere", "/content/token"] {
        let answer = answer(gateway, path);
        assert_eq!(
            header(&answer, "access-control-allow-origin"),
            Some(PAGE),
            "{path}"
        );
        assert!(answer.contains("access-control-expose-headers: "), "{path}");
    }
    assert!(!answer(&server.operator_url, "/metrics").contains("access-control"));
    let invoke = preflight("/invoke/jobs_list", "POST", "authorization", PAGE)
        .replace("127.0.0.1:8000", "localhost");
    assert!(!ask(&server.operator_url, &invoke).contains("access-control"));
}

#[test]
fn no_page_may_call_unless_it_is_listed() {
    let server = Server::start();
    let asked = preflight("/mrs/record", "POST", "content-type", PAGE);
    let answer = ask(&server.base_url, &asked);
    assert!(
        answer.starts_with("HTTP/1.1 405 ") && !answer.contains("access-control"),
        "{answer}"
    );
}

/// What an export of the development org has been given a url for.
fn export_url(server: &Server) -> String {
    let org = json!({"orgcode": "DEMO"});
    server.invoke("utl_export", &org).data();
    let status = || server.invoke("utl_offboarding_status", &org).data();
    eventually("it is made", || {
        status()["exports"][0]["status"] == "completed"
    });
    let query = [("orgcode", "DEMO"), ("name", "events.jsonl.gz")];
    let file = server.get("/utl/export/file", &query).data();
    file["url"].as_str().expect("a url").to_owned()
}

#[test]
fn whatever_answers_with_content_gives_it_no_rights() {
    let set = format!("http.cors_origins={PAGE}");
    for (arguments, embedding) in [
        (&[][..], "same-origin"),
        (&["--set", set.as_str()], "cross-origin"),
    ] {
        let server = Server::start_with(arguments);
        let gz = gzip(b"<script>steal()</script>");
        let stored = store(&server, "page", &gz, None);
        let etag = format!("\"{}\"", stored["content_md5"].as_str().expect("an MD5"));
        let read = |disposition| get(&server, "page", &[("disposition", disposition)]).data();
        let url_of = |disposition, name: &str| {
            let url = &read(disposition)["download"][name];
            url.as_str().expect("a url").to_owned()
        };
        let saved = url_of("attachment", "url");
        let shown = url_of("inline", "url");
        let decoded = url_of("attachment", "url_decoded");
        let export = export_url(&server);
        for (url, headers, status, disposition) in [
            (&saved, &[][..], 200, "attachment"),
            (&saved, &[("range", "bytes=1-2")], 206, "attachment"),
            (&saved, &[("if-none-match", &*etag)], 304, "attachment"),
            (&saved, &[("range", "bytes=999-")], 416, "attachment"),
            (&shown, &[], 200, "inline"),
            (&decoded, &[], 200, "attachment"),
            (&decoded, &[("if-none-match", "*")], 304, "attachment"),
            (&export, &[], 200, "attachment"),
            (&export, &[("range", "bytes=1-2")], 206, "attachment"),
            (&export, &[("if-none-match", "*")], 304, "attachment"),
        ] {
            let headers = [&[("origin", PAGE)], headers].concat();
            let got = server.get_url(url, &headers);
            let what = format!("{status} of {url} with {headers:?}");
            assert_eq!(got.status, status, "{what}");
            let of = |name| got.header(name).unwrap_or_default();
            assert_eq!(of("content-security-policy"), POLICY, "{what}");
            assert_eq!(of("cross-origin-resource-policy"), embedding, "{what}");
            assert_eq!(of("x-content-type-options"), "nosniff", "{what}");
            let said = of("content-disposition");
            assert!(said.starts_with(disposition), "{what}: {said}");
            let may_read = got.header("access-control-allow-origin");
            assert_eq!(may_read.is_some(), embedding == "cross-origin", "{what}");
        }
    }
}
