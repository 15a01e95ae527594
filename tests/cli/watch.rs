//! `g3n mrs watch` against a real server: what it prints, where it goes on, and how it ends.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::run::{Ran, g3n};
use crate::support::Server;

fn run(server: &Server, line: &str) -> Ran {
    let config = server.config_file.to_str().expect("plain");
    let environment = [("G3N_CONFIG", config), ("G3N_PROFILE", "dev")];
    g3n(line, &server.dir, &environment, b"")
}

/// The records in lines of JSON.
fn ids(ran: &Ran) -> Vec<String> {
    let text = ran.text();
    let items = text.lines().map(|line| {
        let item: Value = serde_json::from_str(line).expect("JSON");
        item["record_id"].as_str().expect("an id").to_owned()
    });
    items.collect()
}

/// The token that a watch says to go on from.
fn token(ran: &Ran) -> String {
    let (_, token) = ran.stderr.split_once("--after ").expect("a token");
    token.trim().to_owned()
}

fn put(server: &Server, container: &str, id: &str) {
    server.put_inline(container, id, &Value::Null, &[]);
}

#[test]
fn changes_are_printed_once_and_go_on_from_where_a_watch_ended() {
    let server = Server::start();
    for id in ["a", "b", "c"] {
        put(&server, "one", id);
    }
    put(&server, "two", "d");
    let all = run(
        &server,
        "mrs watch --after beginning --no-wait --output jsonl",
    );
    assert_eq!(
        (all.code, ids(&all)),
        (0, ["a", "b", "c", "d"].map(str::to_owned).to_vec())
    );
    let nothing = run(&server, "mrs watch --no-wait --output jsonl");
    assert_eq!((nothing.code, nothing.text().as_str()), (0, ""));
    put(&server, "one", "e");
    for ended in [&all, &nothing] {
        let line = format!(
            "mrs watch --after {} --no-wait --output jsonl",
            token(ended)
        );
        assert_eq!(ids(&run(&server, &line)), ["e"]);
    }
    let two = run(
        &server,
        "mrs watch --after beginning --count 2 --output json",
    );
    assert_eq!(ids(&two), ["a", "b"]);
    let line = format!("mrs watch --after {} --count 1 --output jsonl", token(&two));
    assert_eq!(ids(&run(&server, &line)), ["c"]);
    let of_two = run(
        &server,
        "mrs watch --container two --after beginning --no-wait --output table",
    );
    assert!(
        of_two
            .text()
            .contains("Z  record.created        two/d r1  by "),
        "{of_two:?}"
    );
    let forged = run(&server, "mrs watch --after forged --no-wait");
    assert_eq!(forged.refusal(), (1, "invalid-next-token".to_owned()));
    let foreign = run(&server, "mrs watch --orgcode NOWHERE --no-wait");
    assert_eq!(foreign.refusal().0, 5);
    for wrong in ["--count 0", "--count x", "--since now"] {
        let ran = run(&server, &format!("mrs watch {wrong}"));
        assert_eq!(ran.refusal(), (2, "usage".to_owned()), "{wrong}");
    }
}

#[test]
fn a_watch_goes_on_when_the_server_comes_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = Server::start_in(dir.path(), &[]);
    let address = server.base_url.trim_start_matches("http://").to_owned();
    let mut child = Command::new(env!("CARGO_BIN_EXE_g3n"))
        .args(["mrs", "watch", "--count", "2", "--output", "jsonl"])
        .args(["--base-url", &server.base_url, "--orgcode", &server.orgcode])
        .args(["--session-guid", &server.session_guid])
        .env_clear()
        .envs(crate::support::measured())
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    crate::http::changes::wait_for_followers(&server, 1);
    put(&server, "one", "before");
    let first = lines.next().expect("a line").expect("text");
    assert!(first.contains("\"before\""), "{first}");
    server.end("KILL");
    let server = Server::start_in(dir.path(), &["--listen", &address]);
    put(&server, "one", "after");
    let second = lines.next().expect("a line").expect("text");
    assert!(second.contains("\"after\""), "{second}");
    let ended = child.wait_with_output().expect("it ends");
    assert!(ended.status.success());
}
