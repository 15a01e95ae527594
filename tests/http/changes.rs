//! What changed of an org's records, in order, from any point of the history on, and waited for.

mod events;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Got, Server};

/// Long enough that a test which waits in vain fails by it.
const WAIT: &str = "50";

fn page(server: &Server, query: &[(&str, &str)]) -> Value {
    asked(server, query).data()
}

fn asked(server: &Server, query: &[(&str, &str)]) -> Got {
    let mut all = vec![("orgcode", "DEMO")];
    all.extend_from_slice(query);
    server.get("/mrs/changes", &all)
}

fn items(page: &Value) -> &[Value] {
    page["items"].as_array().expect("a list")
}

fn token(page: &Value) -> &str {
    page["next_token"].as_str().expect("a token")
}

/// Every change from a place on, in pages of a size.
fn all(server: &Server, query: &[(&str, &str)], size: &str) -> Vec<Value> {
    let (mut found, mut after): (Vec<Value>, Option<String>) = (Vec::new(), None);
    loop {
        let mut query = query.to_vec();
        query.push(("limit", size));
        if let Some(after) = &after {
            query.retain(|(name, _)| !name.starts_with("after"));
            query.push(("after", after));
        }
        let page = page(server, &query);
        found.extend_from_slice(items(&page));
        if page["more"] == false {
            return found;
        }
        assert!(!items(&page).is_empty() || page["next_token"].is_string());
        after = Some(token(&page).to_owned());
    }
}

fn put(server: &Server, (org, container, id): (&str, &str, &str), payload: &str) -> Value {
    let put = json!({"orgcode": org, "container": container, "record_id": id, "actor": "robot 7",
        "content_type": "application/json", "payload": payload, "tags": ["CANARYTAG"]});
    server.post("/mrs/record", &put).data()
}

/// A server with changes of three orgs, among each other.
fn busy() -> Server {
    let server = Server::start();
    for org in ["DEMN", "DEMP"] {
        let owner = json!({"orgcode": org, "owner_email": "demo@example.com"});
        server.invoke("ofm_org_create", &owner).data();
    }
    for number in 0..150 {
        let id = format!("r-{number}");
        for org in ["DEMN", "DEMO", "DEMP"] {
            let container = if number % 3 == 0 { "aa" } else { "bb" };
            put(&server, (org, container, &id), "canary-content");
        }
        let doom = json!({"orgcode": "DEMO", "container": "aa", "record_id": id, "expected_revision": 1, "reason": "canary-reason"});
        if number % 3 == 0 {
            server.post("/mrs/doom", &doom).data();
        }
    }
    server
}

#[test]
fn every_change_of_the_org_comes_once_and_in_order_from_any_place() {
    let server = busy();
    let found = all(&server, &[], "256");
    assert_eq!(found.len(), 200);
    let positions: Vec<_> = found
        .iter()
        .map(|item| item["position"].as_u64().expect("a position"))
        .collect();
    assert!(positions.is_sorted_by(|before, after| before < after));
    let mut revisions: BTreeMap<String, u64> = BTreeMap::new();
    for item in &found {
        let record = format!("{} {}", item["container"], item["record_id"]);
        let revision = revisions.entry(record).or_default();
        *revision += 1;
        assert_eq!(item["revision"], *revision, "{item}");
        let kind = if *revision == 1 {
            "record.created"
        } else {
            "record.doomed"
        };
        assert_eq!(item["type"], kind);
        assert_eq!(item["source"], "gateway");
        let at = item["at"].as_str().expect("a time");
        assert!(at.starts_with("20") && at.ends_with('Z'), "{item}");
    }
    assert_eq!(
        (&found[0]["actor"], &found[1]["actor"]),
        (&json!("robot 7"), &Value::Null)
    );
    for size in ["1", "7", "100"] {
        assert_eq!(all(&server, &[], size), found, "{size}");
    }
    let of_one: Vec<_> = found
        .iter()
        .filter(|item| item["container"] == "aa")
        .cloned()
        .collect();
    assert_eq!(of_one.len(), 100);
    assert_eq!(all(&server, &[("container", "aa")], "9"), of_one);
    for place in [0, 1, 63, 64, 65, 130, positions[199]] {
        let rest: Vec<_> = found
            .iter()
            .filter(|item| item["position"].as_u64() > Some(place))
            .cloned()
            .collect();
        let place = place.to_string();
        assert_eq!(
            all(&server, &[("after_position", &place)], "50"),
            rest,
            "{place}"
        );
    }
    let text = server
        .get("/mrs/changes", &[("orgcode", "DEMO")])
        .json()
        .to_string();
    assert!(!text.to_lowercase().contains("canary"), "{text}");
}

#[test]
fn a_token_belongs_to_its_org_and_container_and_outlives_the_server() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = Server::start_in(dir.path(), &[]);
    let owner = json!({"orgcode": "DEMN", "owner_email": "demo@example.com"});
    server.invoke("ofm_org_create", &owner).data();
    put(&server, ("DEMO", "aa", "first"), "x");
    let first = page(&server, &[]);
    let now = page(&server, &[("after", "now")]);
    assert_eq!((items(&first).len(), items(&now).len()), (1, 0));
    put(&server, ("DEMO", "aa", "second"), "x");
    put(&server, ("DEMN", "aa", "others"), "x");
    server.end("KILL");
    let server = Server::start_in(dir.path(), &[]);
    for place in [token(&first), token(&now)] {
        let page = page(&server, &[("after", place)]);
        assert_eq!(items(&page).len(), 1, "{page}");
        assert_eq!(items(&page)[0]["record_id"], "second");
    }
    let of_other = |query: &[(&str, &str)]| server.get("/mrs/changes", query).refusal();
    let place = token(&first);
    for query in [
        vec![("orgcode", "DEMN"), ("after", place)],
        vec![("orgcode", "DEMO"), ("container", "aa"), ("after", place)],
        vec![("orgcode", "DEMO"), ("after", "forged")],
        vec![("orgcode", "DEMO"), ("after_position", "999999")],
    ] {
        let (status, tag, _) = of_other(&query);
        assert_eq!(
            (status, tag.as_str()),
            (400, "invalid-next-token"),
            "{query:?}"
        );
    }
    for (name, value) in [
        ("after_position", "-1"),
        ("after_position", "1e3"),
        ("wait", "51"),
        ("wait", "soon"),
        ("limit", "257"),
        ("since", "1"),
    ] {
        let (status, tag, minor) = asked(&server, &[(name, value)]).refusal();
        assert_eq!((status, tag.as_str()), (400, "invalid-input"), "{name}");
        assert_eq!(minor, name);
    }
    let both = asked(&server, &[("after", place), ("after_position", "0")]);
    assert_eq!(both.refusal().2, "after_position");
}

#[test]
fn who_waits_is_answered_by_the_change_and_not_by_those_of_others() {
    let server = Server::start();
    let owner = json!({"orgcode": "DEMN", "owner_email": "demo@example.com"});
    server.invoke("ofm_org_create", &owner).data();
    let place = token(&page(&server, &[("after", "now")])).to_owned();
    std::thread::scope(|scope| {
        let waiting = |query: Vec<(&'static str, &'static str)>| {
            let (server, place) = (&server, &place);
            scope.spawn(move || {
                let mut query = query;
                query.extend([("wait", WAIT)]);
                if query.iter().all(|(name, _)| *name != "container") {
                    query.push(("after", place.as_str()));
                } else {
                    query.push(("after", "now"));
                }
                page(server, &query)
            })
        };
        let any = waiting(vec![]);
        let of_bb = waiting(vec![("container", "bb")]);
        wait_for_followers(&server, 2);
        put(&server, ("DEMN", "bb", "others"), "x");
        put(&server, ("DEMO", "aa", "one"), "x");
        let page = any.join().expect("it is answered");
        assert_eq!(items(&page)[0]["record_id"], "one");
        put(&server, ("DEMO", "bb", "two"), "x");
        let page = of_bb.join().expect("it is answered");
        assert_eq!(items(&page).len(), 1, "{page}");
        assert_eq!(items(&page)[0]["record_id"], "two");
    });
    let empty = page(&server, &[("after", "now"), ("wait", "1")]);
    assert!(items(&empty).is_empty() && empty["more"] == false);
    wait_for_followers(&server, 0);
}

/// Waits until so many requests wait for changes.
pub(crate) fn wait_for_followers(server: &Server, count: usize) {
    let wanted = format!("metarecord_followers {count}");
    for _ in 0..600 {
        if String::from_utf8_lossy(&server.metrics().bytes)
            .lines()
            .any(|line| line == wanted)
        {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("never {wanted}");
}

#[test]
fn a_wait_ends_with_the_right_to_read_and_with_the_server() {
    let mut server = Server::start();
    let key = key_of(&server);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let url = format!(
                "{}/mrs/changes?orgcode=DEMO&after=now&wait={WAIT}",
                server.base_url
            );
            server.get_url(&url, &[("x-api-key", &key.0)])
        });
        wait_for_followers(&server, 1);
        let revoke = json!({"orgcode": "DEMO", "service_account_id": key.1, "key_id": key.2});
        server.post("/usm/api_key/revoke", &revoke).data();
        put(&server, ("DEMO", "aa", "secret"), "x");
        let got = waiting.join().expect("it is answered");
        assert_eq!(got.refusal().1, "invalid-session", "{}", got.json());
    });
    let url = format!(
        "{}/mrs/changes?orgcode=DEMO&after=now&wait={WAIT}",
        server.base_url
    );
    let session = server.session_guid.clone();
    let agent = crate::support::agent();
    let waiting = std::thread::spawn(move || {
        crate::support::got(agent.get(url).header("x-session-guid", session).call())
    });
    wait_for_followers(&server, 1);
    assert_eq!(server.end("TERM"), Some(0));
    let got = waiting.join().expect("it is answered");
    assert_eq!((got.status, items(&got.data()).len()), (200, 0));
}

/// A key of the development org with the account and the id by which it is revoked.
fn key_of(server: &Server) -> (String, String, String) {
    let account = json!({"orgcode": "DEMO", "label": "follower"});
    let account = server.post("/usm/service_account/create", &account).data();
    let account = account["service_account_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let key = json!({"orgcode": "DEMO", "service_account_id": account, "role": "mrs_reader"});
    let key = server.post("/usm/api_key/create", &key).data();
    let text = |name: &str| key[name].as_str().expect("a text").to_owned();
    (text("api_key"), account, text("key_id"))
}

#[test]
fn no_more_wait_than_may() {
    let server = Server::start_with(&["--set", "mrs.followers_principal_max=2"]);
    let query = [("orgcode", "DEMO"), ("after", "now"), ("wait", "50")];
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| server.get("/mrs/changes", &query).data());
        }
        wait_for_followers(&server, 2);
        let (status, tag, minor) = server.get("/mrs/changes", &query).refusal();
        assert_eq!(
            (status, tag.as_str(), minor.as_str()),
            (429, "throttled", "followers-limit")
        );
        let at_once = server.get("/mrs/changes", &query[..2]).data();
        assert!(items(&at_once).is_empty());
        put(&server, ("DEMO", "aa", "end"), "x");
    });
}
