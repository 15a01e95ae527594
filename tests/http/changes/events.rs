//! The same as Server-Sent Events, read from a connection as they come.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::{key_of, page, put, token, wait_for_followers};
use crate::support::Server;

/// An event as a client takes it apart.
#[derive(Debug)]
struct Event {
    kind: String,
    id: String,
    data: Value,
}

/// A client of one stream.
struct Client {
    lines: Box<dyn BufRead + Send>,
    last_id: String,
    head: String,
}

impl Client {
    fn open(server: &Server, credential: (&str, &str), query: &str, more: &str) -> Self {
        let address = server.base_url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("the server");
        let patience = Some(Duration::from_secs(60));
        stream.set_read_timeout(patience).expect("a time");
        let (name, value) = credential;
        write!(
            stream,
            "GET /mrs/changes?orgcode=DEMO{query} HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\n{name}: {value}\r\n{more}\r\n"
        )
        .expect("sent");
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).expect("a head") > 0, "{head}");
        }
        Self {
            lines: Box::new(BufReader::new(Chunks::new(reader))),
            last_id: String::new(),
            head,
        }
    }

    fn of(server: &Server, query: &str, more: &str) -> Self {
        let credential = ("x-session-guid", server.session_guid.as_str());
        let client = Self::open(server, credential, query, more);
        assert!(client.head.starts_with("HTTP/1.1 200"), "{}", client.head);
        assert!(client.head.contains("content-type: text/event-stream"));
        client
    }

    /// The next event with data; nothing at the end of the stream, or when it was cut.
    fn next(&mut self) -> Option<Event> {
        let (mut kind, mut data) = ("message".to_owned(), String::new());
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap_or(0) == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("event", value)) => kind = value.to_owned(),
                Some(("id", value)) => self.last_id = value.to_owned(),
                Some(("data", value)) => data.push_str(value),
                Some(("retry", value)) => assert_eq!(value, "2000"),
                Some(("", _)) => {}
                None if line.trim_end().is_empty() && !data.is_empty() => {
                    let data = serde_json::from_str(&data).expect("JSON");
                    let id = self.last_id.clone();
                    return Some(Event { kind, id, data });
                }
                None => assert!(line.trim_end().is_empty(), "{line}"),
                Some(other) => panic!("{other:?}"),
            }
        }
    }

    fn take(&mut self, count: usize) -> Vec<Event> {
        (0..count).map(|_| self.next().expect("an event")).collect()
    }
}

/// The content of a chunked body.
struct Chunks<R> {
    inner: R,
    left: usize,
}

impl<R: BufRead> Chunks<R> {
    fn new(inner: R) -> Self {
        Self { inner, left: 0 }
    }
}

impl<R: BufRead> Read for Chunks<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            let mut line = String::new();
            while line.trim_end().is_empty() {
                line.clear();
                if self.inner.read_line(&mut line)? == 0 {
                    return Ok(0);
                }
            }
            let size = usize::from_str_radix(line.trim_end(), 16);
            self.left = size.map_err(std::io::Error::other)?;
            if self.left == 0 {
                return Ok(0);
            }
        }
        let most = out.len().min(self.left);
        let read = self.inner.read(&mut out[..most])?;
        self.left -= read;
        Ok(read)
    }
}

fn ids(events: &[Event]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event.data["record_id"].as_str().expect("an id"))
        .collect()
}

#[test]
fn events_are_the_changes_of_the_pages_and_go_on_behind_any_of_them() {
    let server = Server::start();
    for number in 0..70 {
        put(&server, ("DEMO", "aa", &format!("r-{number}")), "canary");
    }
    let paged = page(&server, &[]);
    let paged = paged["items"].as_array().expect("items").clone();
    let mut client = Client::of(&server, "", "");
    let events = client.take(70);
    let told: Vec<_> = events.iter().map(|event| event.data.clone()).collect();
    assert_eq!(told, paged);
    assert!(events.iter().all(|event| event.kind == "change"));
    wait_for_followers(&server, 1);
    put(&server, ("DEMO", "bb", "live"), "canary");
    let live = client.next().expect("an event");
    assert_eq!(live.data["record_id"], "live");
    drop(client);
    let last = format!("last-event-id: {}\r\n", events[66].id);
    let mut client = Client::of(&server, "&after=now", &last);
    assert_eq!(ids(&client.take(4)), ["r-67", "r-68", "r-69", "live"]);
    // An event's id is a page's token, and the other way round.
    let rest = page(&server, &[("after", &events[68].id)]);
    assert_eq!(rest["items"].as_array().map(Vec::len), Some(2));
    let after = format!("&after={}", token(&page(&server, &[("limit", "69")])));
    let mut client = Client::of(&server, &after, "");
    assert_eq!(ids(&client.take(2)), ["r-69", "live"]);
    let mut client = Client::of(&server, "&container=bb", "");
    assert_eq!(ids(&client.take(1)), ["live"]);
}

/// Stores many records: more than the buffers of a connection hold, and than are kept in memory.
fn put_many(server: &Server) -> usize {
    let item = json!({"container": "aa", "content_type": "application/json", "payload": 1, "actor": "a".repeat(200)});
    let batch = json!({"orgcode": "DEMO", "items": vec![item; 256]});
    for _ in 0..64 {
        server.post("/mrs/record/batch", &batch).data();
    }
    64 * 256
}

fn are_in_order(events: &[Event]) -> bool {
    let positions: Vec<_> = events
        .iter()
        .map(|event| event.data["position"].as_u64())
        .collect();
    positions.is_sorted_by(|before, after| before < after)
}

#[test]
fn a_client_that_reads_slowly_gets_all_and_one_that_left_is_forgotten() {
    let server = Server::start();
    let mut slow = Client::of(&server, "&after=now", "");
    wait_for_followers(&server, 1);
    let count = put_many(&server);
    assert!(are_in_order(&slow.take(count)));
    drop(slow);
    wait_for_followers(&server, 0);
}

#[test]
fn a_client_that_reads_nothing_is_cut_and_goes_on_behind_its_last_event() {
    let server = Server::start_with(&["--set", "http.write_seconds=1"]);
    let mut stuck = Client::of(&server, "&after=now", "");
    wait_for_followers(&server, 1);
    let count = put_many(&server);
    wait_for_followers(&server, 0);
    let mut events: Vec<_> = std::iter::from_fn(|| stuck.next()).collect();
    assert!(
        !events.is_empty() && events.len() < count,
        "{}",
        events.len()
    );
    let last = &events[events.len() - 1].id;
    let mut again = Client::of(&server, "", &format!("last-event-id: {last}\r\n"));
    events.extend(again.take(count - events.len()));
    assert!(
        are_in_order(&events),
        "none is missing and none comes twice"
    );
}

#[test]
fn a_quiet_stream_ends_with_its_session() {
    let server = Server::start();
    let mut client = Client::of(&server, "&after=now", "");
    wait_for_followers(&server, 1);
    let close = json!({"session_guid": server.session_guid});
    server.post("/usm/session/close", &close).data();
    let end = client.next().expect("an event");
    assert_eq!(
        (end.kind.as_str(), &end.data["tag"]),
        ("end", &json!("invalid-session"))
    );
    assert!(client.next().is_none());
}

#[test]
fn a_stream_ends_with_the_credential_and_with_the_server() {
    let mut server = Server::start();
    let key = key_of(&server);
    let mut of_key = Client::open(&server, ("x-api-key", &key.0), "&after=now", "");
    let mut of_session = Client::of(&server, "&after=now", "");
    wait_for_followers(&server, 2);
    let revoke = json!({"orgcode": "DEMO", "service_account_id": key.1, "key_id": key.2});
    server.post("/usm/api_key/revoke", &revoke).data();
    put(&server, ("DEMO", "aa", "secret"), "x");
    let end = of_key.next().expect("an event");
    assert_eq!(
        (end.kind.as_str(), &end.data["tag"]),
        ("end", &json!("invalid-session"))
    );
    assert!(of_key.next().is_none(), "nothing comes after it");
    assert_eq!(ids(&of_session.take(1)), ["secret"]);
    assert_eq!(server.end("TERM"), Some(0));
    assert!(of_session.next().is_none());
}

#[test]
fn a_stream_is_refused_as_a_page_is() {
    let server = Server::start_with(&["--set", "mrs.followers_org_max=1"]);
    let session = ("x-session-guid", server.session_guid.as_str());
    for (query, more, status) in [
        ("&wait=3", "", "400"),
        ("&limit=3", "", "400"),
        ("&after=forged", "", "400"),
        ("", "last-event-id: forged\r\n", "400"),
        ("&container=bad/name", "", "400"),
    ] {
        let client = Client::open(&server, session, query, more);
        let head = format!("HTTP/1.1 {status}");
        assert!(client.head.starts_with(&head), "{query} {}", client.head);
        assert!(client.head.contains("application/json"));
    }
    let stranger = Client::open(&server, ("x-session-guid", "nobodys"), "", "");
    assert!(stranger.head.starts_with("HTTP/1.1 401"));
    let _open = Client::of(&server, "", "");
    wait_for_followers(&server, 1);
    let second = Client::open(&server, session, "", "");
    assert!(second.head.starts_with("HTTP/1.1 429"), "{}", second.head);
}
