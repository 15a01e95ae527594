//! Many records by one command, against a real server: every line has an outcome, and none is stored twice.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use serde_json::{Value, json};

use super::run::{Ran, g3n};
use crate::support::Server;

struct Desk {
    server: Server,
    files: tempfile::TempDir,
}

impl Desk {
    fn open(sets: &[&str]) -> Self {
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        Self {
            server: Server::start_with(&sets.collect::<Vec<_>>()),
            files: tempfile::tempdir().expect("a directory"),
        }
    }

    fn dir(&self) -> &Path {
        self.files.path()
    }

    fn run_with(&self, line: &str, input: &str) -> Ran {
        let config = self.server.config_file.to_str().expect("plain");
        let environment = [("G3N_CONFIG", config), ("G3N_PROFILE", "dev")];
        g3n(line, self.dir(), &environment, input.as_bytes())
    }

    fn run(&self, line: &str) -> Ran {
        self.run_with(line, "")
    }

    /// How many records there are.
    fn records(&self) -> usize {
        outcomes(&self.run("mrs list --status all --all --output jsonl")).len()
    }
}

/// Standard output, a JSON document a line.
fn outcomes(ran: &Ran) -> Vec<Value> {
    let text = ran.text();
    let lines = text.lines().map(serde_json::from_str);
    lines
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// Lines that put records without ids.
fn plain(count: usize) -> String {
    (0..count)
        .map(|number| format!("{{\"payload\":{{\"n\":{number}}}}}\n"))
        .collect()
}

#[test]
fn every_line_has_an_outcome_of_its_own() {
    let desk = Desk::open(&[]);
    let lines = [
        r#"{"record_id":"a","payload":{"n": 1.00},"tags":["RED"]}"#,
        "",
        r#"{"container":"other","record_id":"b","payload":[1e400,"A"]}"#,
        r#"{"record_id":"no/slash","payload":1}"#,
        r#"{"record_id":"c"}"#,
        "[1]",
        r#"{"record_id":"d","payload":}"#,
        r#"{"record_id":"a","payload":2,"expected_revision":7}"#,
        r#"{"container":"Not One","payload":1}"#,
        r#"{"payload":null}"#,
    ];
    let line = "mrs put --container demo --tag BIG --batch - --output jsonl";
    let ran = desk.run_with(line, &lines.join("\n"));
    assert_eq!(ran.code, 1, "{ran:?}");
    let mut found: Vec<_> = outcomes(&ran);
    found.sort_by_key(|outcome| outcome["line"].as_u64());
    let told: Vec<_> = found
        .iter()
        .map(|outcome| {
            let error = outcome["error"]["major"]["tag"].as_str();
            (
                outcome["line"].as_u64().unwrap_or(0),
                outcome["status"].as_u64().unwrap_or(0),
                error.unwrap_or("-"),
            )
        })
        .collect();
    // Of two lines about one record either may come first.
    assert_eq!(told[6].0, 8);
    assert!(told[6].1 >= 404, "{:?}", told[6]);
    let mut others = told.clone();
    others.remove(6);
    assert_eq!(
        others,
        [
            (1, 200, "-"),
            (3, 200, "-"),
            (4, 400, "invalid-record-id"),
            (5, 400, "invalid-input"),
            (6, 400, "invalid-json"),
            (7, 400, "invalid-json"),
            (9, 400, "invalid-container"),
            (10, 200, "-"),
        ]
    );
    assert_eq!(found[0]["record"]["tags"], json!(["RED"]));
    assert_eq!(found[1]["record"]["tags"], json!(["BIG"]));
    assert_eq!(found[1]["record"]["container"], "other");
    for part in [
        "error: line 4: ",
        "invalid-record-id",
        "error: line 6: The line cannot be sent: it is not a JSON object",
        "note: 9 lines: 3 stored, 6 refused",
    ] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    let got = desk.run("mrs get --container other --record-id b");
    assert_eq!(got.text().trim_end(), r#"[1e400,"A"]"#);
}

#[test]
fn with_a_key_the_same_file_makes_nothing_twice() {
    let desk = Desk::open(&[]);
    std::fs::write(desk.dir().join("lines"), plain(700)).expect("written");
    let line = "mrs put --container demo --batch lines --idempotency-key first";
    let ran = desk.run(line);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        ran.json(),
        json!({"lines": 700, "stored": 700, "refused": 0})
    );
    let again = desk.run(line);
    assert_eq!(
        again.json(),
        json!({"lines": 700, "stored": 700, "replayed": 700, "refused": 0})
    );
    assert_eq!(desk.records(), 700);
    let other = desk.run(&line.replace("first", "second"));
    assert_eq!(other.json().get("replayed"), None);
    assert_eq!(desk.records(), 1400);
}

#[test]
fn what_is_listed_can_be_read_by_lines() {
    let desk = Desk::open(&[]);
    let lines = concat!(
        "{\"record_id\":\"a\",\"payload\":{\"b\": 1.00,\"a\":1e400}}\n",
        "{\"record_id\":\"b\",\"payload\":\"x\"}\n"
    );
    desk.run_with("mrs put --container demo --batch -", lines);
    std::fs::write(desk.dir().join("text"), "plain").expect("written");
    desk.run("mrs put --container demo --record-id c --file text --content-type text/plain");
    let listed = desk.run("mrs list --container demo --all --output jsonl");
    assert_eq!(outcomes(&listed).len(), 3, "{listed:?}");

    let asked = listed.text() + "{\"container\":\"demo\",\"record_id\":\"nowhere\"}\n";
    let ran = desk.run_with("mrs get --batch - --out records", &asked);
    let counts = json!({"lines": 4, "read": 3, "refused": 1});
    assert_eq!((ran.code, ran.json()), (1, counts), "{ran:?}");
    assert!(ran.stderr.contains("error: line 4: "), "{}", ran.stderr);
    let text = std::fs::read_to_string(desk.dir().join("records")).expect("is there");
    let mut found: Vec<Value> = Vec::new();
    for line in text.lines() {
        found.push(match serde_json::from_str(line) {
            Ok(value) => value,
            // A number beyond those of floating point is no value here, and is kept as it is.
            Err(_) => json!({"line": 0, "text": line}),
        });
    }
    found.sort_by_key(|outcome| outcome["line"].as_u64());
    assert_eq!(found.len(), 4, "{text}");
    let whole = found.iter().find_map(|outcome| outcome["text"].as_str());
    let whole = whole.expect("the record with the large number");
    assert!(
        whole.contains(r#""content":{"b": 1.00,"a":1e400}"#),
        "{whole}"
    );
    let of = |id: &str| {
        let mut found = found.iter();
        let found = found.find(|outcome| outcome["record"]["record_id"] == id);
        found.cloned().unwrap_or_default()
    };
    assert_eq!(of("b")["record"]["content"], "x");
    assert!(of("c")["record"]["download"]["url"].is_string(), "{text}");
    let missing = found.iter().find(|outcome| outcome["status"] == 404);
    assert_eq!(
        missing.expect("one is missing")["error"]["major"]["tag"],
        "not-found"
    );
    let ran = desk.run_with(
        "mrs get --container demo --batch -",
        "{\"record_id\":\"b\"}",
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(outcomes(&ran)[0]["record"]["content"], "x");
}

#[test]
fn limits_smaller_than_a_request_make_it_slower_and_lose_nothing() {
    let burst = Desk::open(&[
        "limits.principal_per_second=100",
        "limits.principal_burst=40",
    ]);
    let ran = burst.run_with("mrs put --container demo --batch -", &plain(150));
    assert_eq!(
        (ran.code, &ran.json()["stored"]),
        (0, &json!(150)),
        "{ran:?}"
    );
    let bodies = Desk::open(&["http.body_bytes_max=524288"]);
    let line = |bytes: usize| format!("{{\"payload\":\"{}\"}}\n", "x".repeat(bytes));
    let lines = line(20_000).repeat(60) + &line(600_000);
    let ran = bodies.run_with("mrs put --container demo --batch - --output jsonl", &lines);
    let found = outcomes(&ran);
    let refused: Vec<_> = found
        .iter()
        .filter(|outcome| outcome["status"] != 200)
        .map(|outcome| (&outcome["line"], &outcome["status"]))
        .collect();
    assert_eq!(refused, [(&json!(61), &json!(413))], "{}", ran.stderr);
    assert_eq!((ran.code, found.len(), bodies.records()), (1, 61, 60));
}

/// A way to the server that keeps the first answer to itself.
fn forgetful(server: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = server.trim_start_matches("http://").to_owned();
    std::thread::spawn(move || {
        for (number, caller) in listener.incoming().flatten().enumerate() {
            let there = TcpStream::connect(&server).expect("the server");
            std::thread::spawn(move || {
                // Either side going away ends the exchange.
                drop(pass_on(caller, there, number == 0));
            });
        }
    });
    format!("http://{address}")
}

fn pass_on(caller: TcpStream, there: TcpStream, forget: bool) -> std::io::Result<()> {
    let (mut from, mut to) = (caller.try_clone()?, there.try_clone()?);
    std::thread::spawn(move || drop(std::io::copy(&mut from, &mut to)));
    let (mut there, mut caller) = (there, caller);
    if forget {
        let mut answer = [0; 4096];
        let read = there.read(&mut answer)?;
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
        return caller.shutdown(std::net::Shutdown::Both);
    }
    std::io::copy(&mut there, &mut caller)?;
    caller.flush()
}

#[test]
fn a_lost_answer_is_asked_for_again_only_where_lines_have_keys() {
    let desk = Desk::open(&[]);
    let way = forgetful(&desk.server.base_url);
    let line = format!("mrs put --container demo --batch - --base-url {way}");
    let ran = desk.run_with(&format!("{line} --idempotency-key k"), &plain(600));
    assert_eq!(
        (ran.code, &ran.json()["stored"], desk.records()),
        (0, &json!(600), 600),
        "{ran:?}"
    );
    let desk = Desk::open(&[]);
    let way = forgetful(&desk.server.base_url);
    let line = format!("mrs put --container demo --batch - --base-url {way}");
    let ran = desk.run_with(&line, &plain(10));
    assert_eq!(ran.refusal(), (3, "unreachable".to_owned()), "{ran:?}");
    let note = "note: 10 lines: 0 stored, 0 refused, 10 without an answer";
    assert!(ran.stderr.contains(note), "{}", ran.stderr);
}

#[test]
fn a_batch_that_cannot_be_stored_at_all_ends_at_once() {
    let desk = Desk::open(&[]);
    let line = "mrs put --container demo --batch -";
    let stranger = format!("{line} --session-guid nobodys");
    let ran = desk.run_with(&stranger, &plain(3000));
    assert_eq!(ran.refusal(), (4, "invalid-session".to_owned()));
    let ran = desk.run_with(&format!("{line} --orgcode NOWHERE"), &plain(3));
    assert_eq!(ran.refusal(), (5, "not-found".to_owned()), "{ran:?}");
    let ran = desk.run("mrs put --container demo --batch nothing.jsonl");
    assert_eq!(ran.refusal(), (2, "file".to_owned()));
    for wrong in [
        "--record-id a",
        "--mode inline",
        "--expected-revision 1",
        "--file f",
    ] {
        let ran = desk.run(&format!("{line} {wrong}"));
        assert_eq!(ran.refusal(), (2, "usage".to_owned()), "{wrong}");
    }
    assert_eq!(desk.run("mrs put --file nothing").refusal().0, 2);
    let ran = desk.run("mrs get --batch - --record-id a");
    assert_eq!(ran.refusal(), (2, "usage".to_owned()));
    let empty = desk.run_with(line, "\n\n");
    assert_eq!((empty.code, &empty.json()["lines"]), (0, &json!(0)));
    assert_eq!(desk.records(), 0);
}
