//! How often callers may call: by principal, by org, and by address without a credential. The clock is the test's.

use std::io::Write;
use std::path::Path;

use metarecord::actors::identity::session_hash;
use metarecord::clock::Clock;
use metarecord::content::sign::Signer;
use metarecord::domain::org::{MemberRole, OrgEvent};
use metarecord::domain::user::UserEvent;
use metarecord::domain::{Event, OrgCode, StreamId, Timestamp};
use metarecord::journal::{Append, Journal, Origin, Outcome, Remarks, Source};
use metarecord::journal::{Options, SledJournal};
use serde_json::json;

use crate::support::inside::{Inside, START_MS};
use crate::support::wire::Wire;
use crate::support::{Got, agent, eventually, got};

const LIST: &str = "/mrs/list?orgcode=DEMO";

/// A server with limits, and two more users: a member of the org and a stranger to it.
fn start(dir: &Path, sets: &[&str]) -> Inside {
    Inside::start(dir).stop();
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let options = Options::default();
    let journal = dir.join("journal");
    let (journal, _) = SledJournal::open(&journal, options, clock.clone(), &mut |_, _| ())
        .expect("the journal opens");
    let signer =
        Signer::open_or_create(&dir.join("keys"), Clock::system()).expect("its keys are there");
    let org = StreamId::org(&OrgCode::parse("DEMO").expect("an org code"));
    let joined = OrgEvent::MemberAdded {
        user_id: "member".to_owned(),
        role: MemberRole::Member,
    };
    append(&journal, org, Event::Org(joined));
    for user in ["member", "stranger"] {
        let opened = UserEvent::SessionOpened {
            session_hash: session_hash(&signer, user),
            expires_at: None,
            development: true,
            label: None,
        };
        append(&journal, StreamId::user(user), Event::User(opened));
    }
    journal.close().expect("it closes");
    drop(journal);
    Inside::start_by(dir, clock, sets)
}

fn append(journal: &SledJournal, stream: StreamId, event: Event) {
    let append = Append {
        expected: journal.version(&stream).expect("it can be read"),
        stream,
        guards: Vec::new(),
        events: vec![event],
        payload: None,
        idempotency: None,
        origin: Origin {
            at: Timestamp::from_millis(START_MS),
            by: "test".to_owned(),
            request_id: "test".to_owned(),
            source: Source::Job,
            remarks: Remarks::default(),
        },
    };
    let outcome = journal.append(append).blocking_recv();
    assert!(matches!(outcome, Ok(Outcome::Appended { .. })));
}

/// A GET with a session, which is its owner's name here; without one when that is empty.
fn get(server: &Inside, session: &str, path: &str) -> Got {
    let mut request = agent().get(format!("{}{path}", server.base_url));
    if !session.is_empty() {
        request = request.header("x-session-guid", session);
    }
    got(request.call())
}

/// Status and, of a refusal for too many, which limit it was.
fn told(got: &Got) -> (u16, String) {
    if got.status == 429 {
        assert_eq!(got.refusal().1, "throttled");
        let seconds = got.header("retry-after").and_then(|text| text.parse().ok());
        assert!(seconds.is_some_and(|seconds: u64| seconds >= 1));
    }
    (got.status, got.refusal().2)
}

#[test]
fn a_rate_limit_holds_up_its_own_principal_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let sets = ["limits.principal_per_second=1", "limits.principal_burst=3"];
    let server = start(dir.path(), &sets);
    for left in [2, 1, 0] {
        let got = server.get(LIST);
        assert_eq!(got.status, 200);
        let (policy, limit) = (got.header("ratelimit-policy"), got.header("ratelimit"));
        assert_eq!(policy, Some("\"principal\";q=3;w=3"));
        assert_eq!(limit, Some(format!("\"principal\";r={left};t=3").as_str()));
    }
    let refused = server.get(LIST);
    assert_eq!(told(&refused), (429, "principal-limit".to_owned()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("ratelimit"), Some("\"principal\";r=0;t=1"));
    assert_eq!(get(&server, "member", LIST).status, 200);
    server.clock.advance(1_000);
    assert_eq!(server.get(LIST).status, 200);
    assert_eq!(server.get(LIST).status, 429);
    server.clock.advance(60_000);
    assert_eq!(
        server.get("/mrs/stat").header("ratelimit"),
        Some("\"principal\";r=2;t=3")
    );
}

#[test]
fn past_the_rate_limit_no_body_is_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let sets = ["limits.principal_per_second=1", "limits.principal_burst=1"];
    let server = start(dir.path(), &sets);
    assert_eq!(server.get("/mrs/stat").status, 200);
    let put = json!({"orgcode": "demo", "container": "notes", "record_id": "n",
        "content_type": "application/json", "payload": 1});
    assert_eq!(server.post("/mrs/record", &put).status, 429);
    // Nothing of the body is sent: it is not waited for.
    let head = format!(
        "POST /mrs/record HTTP/1.1\r\nhost: x\r\nx-session-guid: {}\r\ncontent-length: 100\r\n\r\n",
        server.session_guid
    );
    let answer = Wire::connect(&server.base_url).request(head.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    // A body that is there already is stepped over, and the connection goes on.
    let whole = head + &"x".repeat(100);
    let mut wire = Wire::connect(&server.base_url);
    for _ in 0..3 {
        let answer = wire.request(whole.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    }
    server.clock.advance(1_000);
    let items = server.get(&format!("{LIST}&status=all")).data()["items"].clone();
    assert_eq!(items, json!([]));
}

/// Sends a head and nothing behind it. One that finds no place, because a look at that moment has it, is sent once more
/// with the next look.
fn send(server: &Inside, head: &str) -> Wire {
    let mut wire = Wire::connect(&server.base_url);
    wire.0.write_all(head.as_bytes()).expect("sent");
    wire
}

#[test]
fn slow_requests_of_one_principal_do_not_block_others() {
    let dir = tempfile::tempdir().expect("a directory");
    let sets = ["limits.principal_in_flight_max=2", "http.body_seconds=600"];
    let server = start(dir.path(), &sets);
    let head = format!(
        "POST /mrs/record HTTP/1.1\r\nhost: x\r\nx-session-guid: {}\r\ncontent-length: 2\r\n\r\n",
        server.session_guid
    );
    let mut slow = Vec::new();
    eventually("two wait for their bodies", || {
        slow.push(send(&server, &head));
        server.get(LIST).status == 429
    });
    assert_eq!(told(&server.get(LIST)).1, "in-flight-limit");
    assert_eq!(get(&server, "member", LIST).status, 200);
    let answers: Vec<_> = slow.iter_mut().map(|wire| wire.request(b"{}")).collect();
    let waited = answers
        .iter()
        .filter(|answer| answer.starts_with("HTTP/1.1 400"));
    assert_eq!(waited.count(), 2, "{answers:?}");
    eventually("their places are free", || server.get(LIST).status == 200);
}

#[test]
fn slow_requests_without_a_credential_take_few_places() {
    let dir = tempfile::tempdir().expect("a directory");
    let sets = ["limits.address_in_flight_max=2", "http.body_seconds=600"];
    let server = start(dir.path(), &sets);
    let head = "POST /usm/session/create HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n";
    let mut slow = Vec::new();
    let sign_in = || {
        let request = agent().post(format!("{}/usm/session/create", server.base_url));
        got(request.content_type("application/json").send("{}"))
    };
    eventually("two wait for their bodies", || {
        slow.push(send(&server, head));
        sign_in().status == 429
    });
    assert_eq!(told(&sign_in()).1, "in-flight-limit");
    assert_eq!(get(&server, "member", LIST).status, 200);
    drop(slow);
    eventually("their places are free", || sign_in().status != 429);
}

#[test]
fn a_request_takes_a_place_once_its_body_has_arrived() {
    let dir = tempfile::tempdir().expect("a directory");
    let sets = ["http.requests_in_flight_max=1", "http.body_seconds=600"];
    let server = start(dir.path(), &sets);
    let head = format!(
        "POST /mrs/record HTTP/1.1\r\nhost: x\r\nx-session-guid: {}\r\ncontent-length: 2\r\n\r\n",
        server.session_guid
    );
    let mut slow = Vec::new();
    for _ in 0..8 {
        slow.push(send(&server, &head));
        for path in [LIST, "/health", "/ready"] {
            assert_eq!(get(&server, "member", path).status, 200, "{path}");
        }
    }
}

#[test]
fn an_orgs_limit_is_shared_and_seen_by_members_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let sets = ["limits.org_per_second=1", "limits.org_burst=4"];
    let server = start(dir.path(), &sets);
    for _ in 0..10 {
        assert_eq!(get(&server, "stranger", LIST).status, 404);
    }
    for _ in 0..2 {
        assert_eq!(server.get(LIST).status, 200);
        assert_eq!(get(&server, "member", LIST).status, 200);
    }
    for session in [server.session_guid.as_str(), "member"] {
        let refused = get(&server, session, LIST);
        assert_eq!(told(&refused), (429, "org-limit".to_owned()));
    }
    let absent = "/mrs/list?orgcode=ABSENT";
    for path in [LIST, absent] {
        assert_eq!(get(&server, "stranger", path).status, 404);
    }
    // What names no org goes on.
    assert_eq!(server.get("/mrs/stat").status, 200);
    server.clock.advance(1_000);
    assert_eq!(get(&server, "member", LIST).status, 200);
    assert_eq!(server.get(LIST).status, 429);
}

#[test]
fn only_requests_without_a_credential_are_limited_by_address() {
    let dir = tempfile::tempdir().expect("a directory");
    let sets = ["limits.address_per_second=1", "limits.address_burst=4"];
    let server = start(dir.path(), &sets);
    let tries = [
        ("wrong", LIST, 401),
        ("", LIST, 401),
        ("", "/nowhere", 404),
        ("", "/content/altered", 403),
    ];
    for (session, path, status) in tries {
        assert_eq!(get(&server, session, path).status, status, "{path}");
    }
    for (session, path, _) in tries {
        let refused = get(&server, session, path);
        assert_eq!(told(&refused), (429, "address-limit".to_owned()), "{path}");
        assert_eq!(refused.header("ratelimit"), None);
    }
    assert_eq!(get(&server, "", "/openapi.json").status, 429);
    for path in ["/health", "/ready"] {
        assert_eq!(get(&server, "", path).status, 200, "{path}");
    }
    assert_eq!(server.get(LIST).status, 200);
    assert_eq!(get(&server, "member", LIST).status, 200);
    server.clock.advance(1_000);
    assert_eq!(get(&server, "wrong", LIST).status, 401);
}

#[test]
fn limits_can_be_switched_off() {
    let dir = tempfile::tempdir().expect("a directory");
    let sets = [
        "limits.principal_per_second=0",
        "limits.principal_burst=1",
        "limits.org_per_second=0",
        "limits.org_burst=1",
        "limits.address_per_second=0",
        "limits.address_burst=1",
    ];
    let server = start(dir.path(), &sets);
    for _ in 0..5 {
        let got = server.get(LIST);
        assert_eq!((got.status, got.header("ratelimit")), (200, None));
        assert_eq!(get(&server, "wrong", LIST).status, 401);
    }
}
