//! Each header that callers may send: empty, twice, not in ASCII, too long, and malformed. What is refused has its tag, and a
//! message that names the header.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::presigned::{complete, get, gzip, md5, presign, url};
use crate::support::Server;
use crate::support::wire::Wire;

/// Where a header is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
enum On {
    /// A record is put, by a session.
    Put,
    /// The same without a session.
    Stranger,
    /// Content is downloaded.
    Download,
    /// Content is uploaded: a promise of its own each time.
    Upload,
    /// The document, which has an ETag and a coding.
    Document,
    /// An operator function is called, with no other `Authorization`.
    Operators,
    /// A developer's server, where headers say who calls.
    Developer,
}

/// Header, a value that is one and one that is not, and what is said to: empty, twice, not in ASCII, too long, malformed.
/// A status alone is that of an answer that the header does not change.
type Row = (
    On,
    &'static str,
    &'static str,
    &'static str,
    [&'static str; 5],
);

const SESSION: &str = "401 invalid-session";
const ROWS: &[Row] = &[
    (
        On::Put,
        "x-orgcode",
        "DEMO",
        "D!",
        ["400 invalid-orgcode"; 5],
    ),
    (
        On::Put,
        "x-cccode",
        "AB12-CD34-EF56",
        "AB12",
        ["400 invalid-cccode"; 5],
    ),
    // An empty credential is none.
    (On::Stranger, "x-session-guid", "g", "not one", [SESSION; 5]),
    (On::Stranger, "x-api-key", "g3nk_1", "not one", [SESSION; 5]),
    (
        On::Stranger,
        "authorization",
        "Bearer a.b.c",
        "Bearer",
        [SESSION; 5],
    ),
    // Proxies add others for themselves; two tokens are a contradiction.
    (
        On::Put,
        "authorization",
        "Bearer a.b.c",
        "Basic eDp5",
        ["200", SESSION, "200", "200", "200"],
    ),
    (
        On::Operators,
        "authorization",
        "Bearer g3no_1",
        "Basic eDp5",
        ["403 not-authorized"; 5],
    ),
    (
        On::Developer,
        "x-user",
        "ann",
        "a b",
        [SESSION, SESSION, SESSION, SESSION, "200"],
    ),
    (On::Developer, "x-tenant", "DEMO", "D!", [SESSION; 5]),
    (
        On::Developer,
        "x-role",
        "mrs_writer",
        "king",
        [SESSION, SESSION, SESSION, SESSION, "403 not-authorized"],
    ),
    (
        On::Put,
        "idempotency-key",
        "\"k\"",
        "\"k",
        ["400 invalid-idempotency-key"; 5],
    ),
    (
        On::Put,
        "content-type",
        "application/json",
        "application/xml",
        [
            "200",
            "415 unsupported-media-type content-type",
            "415 unsupported-media-type content-type",
            "415 unsupported-media-type content-type",
            "415 unsupported-media-type content-type",
        ],
    ),
    (
        On::Put,
        "content-encoding",
        "identity",
        "br",
        [
            "200",
            "415 unsupported-media-type content-encoding",
            "415 unsupported-media-type content-encoding",
            "415 unsupported-media-type content-encoding",
            "415 unsupported-media-type content-encoding",
        ],
    ),
    (
        On::Put,
        "content-length",
        "",
        "many",
        ["400 invalid-input content-length"; 5],
    ),
    (
        On::Put,
        "transfer-encoding",
        "chunked",
        "br",
        ["400 invalid-input content-length"; 5],
    ),
    (
        On::Put,
        "host",
        "localhost",
        "a b",
        ["400 invalid-input host"; 5],
    ),
    (
        On::Upload,
        "content-encoding",
        "gzip",
        "br",
        ["400 gzip-required"; 5],
    ),
    (
        On::Upload,
        "content-length",
        "",
        "many",
        ["400 invalid-input content-length"; 5],
    ),
    // The type of the content is what was promised.
    (On::Upload, "content-type", "text/plain", "text", ["200"; 5]),
    (On::Upload, "content-md5", "x", "x y", ["200"; 5]),
    (
        On::Download,
        "if-match",
        "\"x\"",
        "x",
        [
            "400 invalid-input if-match",
            "412 precondition-failed",
            "400 invalid-input if-match",
            "400 invalid-input if-match",
            "400 invalid-input if-match",
        ],
    ),
    // A condition or a range that cannot be read asks for nothing (RFC 9110, sections 13.1 and 14.2).
    (On::Download, "if-none-match", "\"x\"", "x", ["200"; 5]),
    (On::Download, "if-range", "\"x\"", "x", ["200"; 5]),
    (
        On::Download,
        "range",
        "bytes=2-3",
        "bytes=5-2",
        ["200", "200", "200", "200", "200"],
    ),
    (On::Document, "if-none-match", "\"x\"", "x", ["200"; 5]),
    (
        On::Document,
        "accept-encoding",
        "gzip",
        "gzip;q=x",
        ["200"; 5],
    ),
    (
        On::Document,
        "accept",
        "application/json",
        "json",
        ["200"; 5],
    ),
    (On::Put, "expect", "100-continue", "miracles", ["200"; 5]),
    (On::Put, "origin", "https://a.example", "a", ["200"; 5]),
    (
        On::Put,
        "access-control-request-method",
        "GET",
        "a b",
        ["200"; 5],
    ),
    // Ids that are none are replaced.
    (
        On::Put,
        "traceparent",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-1",
        ["200"; 5],
    ),
    (On::Put, "x-request-id", "r-1", "a b", ["200"; 5]),
    (On::Put, "x-trace-id", "r-1", "a b", ["200"; 5]),
];
const KINDS: [&str; 5] = ["empty", "twice", "not in ASCII", "too long", "malformed"];

/// The lines of a header for each kind.
fn lines((_, name, good, wrong, _): &Row) -> [Vec<u8>; 5] {
    let line = |value: &[u8]| [name.as_bytes(), b": ", value, b"\r\n"].concat();
    [
        line(b""),
        line(good.as_bytes()).repeat(2),
        line("caf\u{e9}".as_bytes()),
        line(&[b'z'; 9_000]),
        line(wrong.as_bytes()),
    ]
}

struct Places {
    server: Server,
    developer: Server,
    download: String,
}

impl Places {
    fn start() -> Self {
        let server = Server::start_with(&["--set", "http.cors_origins=https://app.example"]);
        let developer = Server::start_with(&[
            "--set",
            "auth.header_identity=true",
            "--set",
            "auth.allow_insecure_header_identity=true",
        ]);
        let gz = gzip(b"some content of a record");
        let (size, md5) = (gz.len() as u64, md5(&gz));
        let put = presign(&server, "content", size, &md5, None);
        assert_eq!(server.put_url(url(&put), &[], &gz).status, 200);
        let done = complete(&server, "content", &put["content_token"], size, &md5);
        assert_eq!(done.status, 200);
        let read = get(&server, "content", &[]).data();
        let download = path(&server, read["download"]["url"].as_str().expect("a url"));
        Self {
            server,
            developer,
            download,
        }
    }

    /// The answer to a request with these lines in its head.
    fn ask(&self, on: On, name: &str, lines: &[u8], case: usize) -> String {
        let server = &self.server;
        let session = format!("x-session-guid: {}\r\n", server.session_guid);
        let record = json!({"orgcode": "DEMO", "container": "demo", "content_type": "application/json", "payload": case});
        let mut record = record.to_string().into_bytes();
        if name == "x-orgcode" {
            record = String::from_utf8_lossy(&record)
                .replace("\"orgcode\":\"DEMO\",", "")
                .into_bytes();
        }
        let (base, start, session, body) = match on {
            On::Put => (
                &server.base_url,
                "POST /mrs/record".to_owned(),
                session,
                record,
            ),
            On::Stranger => (
                &server.base_url,
                "POST /mrs/record".to_owned(),
                String::new(),
                record,
            ),
            On::Download => (
                &server.base_url,
                format!("GET {}", self.download),
                String::new(),
                Vec::new(),
            ),
            On::Document => (
                &server.base_url,
                "GET /openapi.json".to_owned(),
                String::new(),
                Vec::new(),
            ),
            On::Operators => (
                &server.operator_url,
                "POST /invoke/jobs_list".to_owned(),
                String::new(),
                b"{}".to_vec(),
            ),
            On::Developer => {
                let all = [
                    ("x-user", "ann"),
                    ("x-tenant", "DEMO"),
                    ("x-role", "mrs_writer"),
                ];
                let others = all.iter().filter(|(other, _)| *other != name);
                let others = others.map(|(name, value)| format!("{name}: {value}\r\n"));
                (
                    &self.developer.base_url,
                    "POST /mrs/record".to_owned(),
                    others.collect(),
                    record,
                )
            }
            On::Upload => {
                let gz = gzip(format!("content {name} {case}").as_bytes());
                let id = format!("u-{name}-{case}");
                let put = presign(server, &id, gz.len() as u64, &md5(&gz), None);
                (
                    &server.base_url,
                    format!("PUT {}", path(server, url(&put))),
                    String::new(),
                    gz,
                )
            }
        };
        let mut head = format!("{start} HTTP/1.1\r\nconnection: close\r\n{session}").into_bytes();
        if name != "host" {
            head.extend_from_slice(b"host: localhost\r\n");
        }
        if name != "content-length" {
            head.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
        }
        let request = [&head, lines, b"\r\n", &body].concat();
        Wire::connect(base).exchange(&request)
    }
}

fn path(server: &Server, url: &str) -> String {
    url.strip_prefix(&server.base_url)
        .expect("the gateway's")
        .to_owned()
}

/// Status and tags of an answer, its message, and the id it names.
fn read(answer: &str) -> (String, String, String) {
    // An interim answer is none.
    let answer = answer
        .strip_prefix("HTTP/1.1 100 Continue\r\n\r\n")
        .unwrap_or(answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    let id = head
        .lines()
        .find_map(|line| line.strip_prefix("x-request-id: "));
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let tags = ["major", "minor"].map(|part| text(&body["error"][part]["tag"]));
    let told = [status.to_owned()]
        .into_iter()
        .chain(tags)
        .collect::<Vec<_>>();
    let message = text(&body["error"]["major"]["message"]["en_US"]);
    (
        told.join(" ").trim().to_owned(),
        message,
        id.unwrap_or_default().to_owned(),
    )
}

#[test]
fn each_header_that_is_odd_is_ignored_or_refused_by_its_name() {
    let places = Places::start();
    let mut wrong = Vec::new();
    for row in ROWS {
        let (on, name, _, _, wanted) = row;
        for (case, (lines, wanted)) in lines(row).iter().zip(wanted).enumerate() {
            let (told, message, id) = read(&places.ask(*on, name, lines, case));
            let mut check = |good: bool, what: &str| {
                if !good {
                    let kind = KINDS[case];
                    wrong.push(format!("{on:?}: {name} {kind}: {told}, {what}: {message}"));
                }
            };
            check(told == *wanted, wanted);
            let good_id = (1..64).contains(&id.len()) && !id.contains("zzzz") && id.is_ascii();
            check(good_id, "its id is the caller's");
            // What is wrong with a credential is not said, only which headers there are for one.
            let concealed = matches!(*name, "x-user" | "x-tenant" | "x-role");
            let named = message.to_ascii_lowercase().contains(name);
            let refused = wanted.contains(' ') && !concealed;
            check(named || !refused, "the header is not named");
            check(
                !message.contains("zzzz") && !message.contains('`'),
                "it repeats",
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(places.server.get("/health", &[]).status, 200);
}

/// Headers that only answers have.
const OF_ANSWERS: [&str; 3] = ["x-api-version", "idempotent-replay", "retry-after"];

/// The names of headers that sources read from requests by name: `.header("..")`, `get(NAME)`, `IfMatch::parse(..)`.
fn read_by(text: &str) -> BTreeSet<String> {
    // A check of a field's text reads no header.
    let text = &text.replace("check::text(", "");
    let mut found = BTreeSet::new();
    let word = |text: &str, fits: fn(char) -> bool| {
        text.chars().take_while(|c| fits(*c)).collect::<String>()
    };
    for before in ["header(\"", "credential(headers, \"", "named(\"", "text(\""] {
        for (at, _) in text.match_indices(before) {
            found.insert(word(&text[at + before.len()..], |c| c != '"'));
        }
    }
    for before in [
        "header_names::",
        "headers().get(",
        "headers.get(",
        "get_all(",
        "contains_key(",
        "text(",
    ] {
        for (at, _) in text.match_indices(before) {
            let rest = text[at + before.len()..].trim_start();
            let name = word(rest.strip_prefix("header::").unwrap_or(rest), |c| {
                c.is_ascii_uppercase() || c == '_'
            });
            let name = name.to_ascii_lowercase().replace('_', "-");
            if name.len() > 3 && name != "name" && !OF_ANSWERS.contains(&name.as_str()) {
                found.insert(name);
            }
        }
    }
    for kind in [
        "If-Match",
        "If-None-Match",
        "If-Range",
        "Range",
        "Accept-Encoding",
    ] {
        if text.contains(&format!("{}::parse(request)", kind.replace('-', ""))) {
            found.insert(kind.to_ascii_lowercase());
        }
    }
    found
}

fn sources(dir: &Path, all: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).expect("it can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, all);
        } else if !path.ends_with("tests.rs") && !path.ends_with("fuzz.rs") {
            let text = std::fs::read_to_string(&path).expect("it can be read");
            let text = text
                .split("#[cfg(test)]\nmod tests")
                .next()
                .unwrap_or_default();
            all.extend(read_by(text));
        }
    }
}

#[test]
fn each_header_that_is_read_or_allowed_is_in_the_table() {
    let rows: BTreeSet<&str> = ROWS.iter().map(|(_, name, ..)| *name).collect();
    let mut all = BTreeSet::new();
    sources(Path::new("src/http"), &mut all);
    assert!(all.len() > 15, "{all:?}");
    let server = Server::start_with(&["--set", "http.cors_origins=https://app.example"]);
    let request = "OPTIONS /mrs/record HTTP/1.1\r\nhost: localhost\r\norigin: https://app.example\r\naccess-control-request-method: POST\r\nconnection: close\r\n\r\n";
    let answer = Wire::connect(&server.base_url).exchange(request.as_bytes());
    let allowed = answer
        .lines()
        .find_map(|line| line.strip_prefix("access-control-allow-headers: "));
    all.extend(allowed.expect("a list").split(", ").map(str::to_owned));
    let missing: Vec<_> = all
        .iter()
        .filter(|name| !rows.contains(name.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?} have no row");
}
