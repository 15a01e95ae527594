//! Batches of puts: an answer for each item, and the rules of a single put for every one.

use serde_json::{Value, json};

use crate::identity::{Town, tag};
use crate::support::Got;
use crate::support::inside::{Inside, START_MS};
use metarecord::clock::Clock;
use metarecord::domain::Timestamp;

const BATCH: &str = "/mrs/record/batch";

fn item(id: &str, more: Value) -> Value {
    let mut item = json!({"container": "notes", "record_id": id, "content_type": "application/json", "payload": {"of": id}});
    for (name, value) in more.as_object().expect("an object") {
        item[name] = value.clone();
    }
    item
}

fn plain(numbers: std::ops::Range<usize>) -> Vec<Value> {
    numbers
        .map(|number| item(&format!("n-{number}"), json!({})))
        .collect()
}

fn send(server: &Inside, items: &[Value]) -> Got {
    server.post(BATCH, &json!({"orgcode": "demo", "items": items}))
}

fn answers(got: &Got) -> Vec<Value> {
    got.data()["items"].as_array().expect("a list").clone()
}

fn statuses(got: &Got) -> Vec<u64> {
    let answers = answers(got);
    let statuses = answers.iter().map(|answer| answer["status"].as_u64());
    statuses.map(|status| status.expect("a status")).collect()
}

fn start_with(dir: &std::path::Path, sets: &[&str]) -> Inside {
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    Inside::start_by(dir, clock, sets)
}

fn records(server: &Inside) -> usize {
    let listed = server.get("/mrs/list?orgcode=demo&limit=256").data();
    listed["items"].as_array().expect("a list").len()
}

#[test]
fn every_item_is_answered_in_order_as_by_itself() {
    let scratch = tempfile::tempdir().expect("a directory");
    let server = Inside::start(scratch.path());
    let there = json!({"orgcode": "demo"});
    for id in ["old-1", "old-2", "old-3"] {
        let mut put = item(id, json!({}));
        put["orgcode"] = there["orgcode"].clone();
        server.post("/mrs/record", &put).data();
    }
    let mut items = vec![
        (200, item("new", json!({"tags": ["b", "A"]}))),
        (400, item("tag", json!({"tags": ["no tag"]}))),
        (200, item("old-1", json!({"expected_revision": 1}))),
        (428, item("old-2", json!({"payload": 2}))),
        (409, item("old-3", json!({"expected_revision": 7}))),
        (400, item("x", json!({"colour": "red"}))),
        (400, item("no id", json!({}))),
        (400, item("x", json!({"container": "1"}))),
        (400, item("x", json!({"content_type": "text/plain"}))),
        (400, item("x", json!({"doom_at": "soon"}))),
        (400, item("x", json!({"payload": "y".repeat(262_143)}))),
        (409, item("x", json!({"size": 3}))),
        (400, item("x", json!({"cccode": "no"}))),
        (400, item("x", json!({"url_seconds": 60}))),
        (400, item("x", json!({"reason": "r".repeat(300)}))),
        (400, item("x", json!({"idempotency_key": ""}))),
        (200, item("orgs-own", json!({"orgcode": "DEMO"}))),
    ];
    let mut unnamed = item("x", json!({"container": "others"}));
    unnamed
        .as_object_mut()
        .expect("an object")
        .remove("record_id");
    items.push((200, unnamed));
    let (wanted, items): (Vec<u64>, Vec<_>) = items.into_iter().unzip();
    let got = send(&server, &items);
    assert_eq!(statuses(&got), wanted, "{}", got.json());
    for (answer, item) in answers(&got).iter().zip(&items) {
        if answer["status"] == 200 {
            assert!(answer.get("error").is_none(), "{answer}");
            let data = &answer["data"];
            assert_eq!(data["revision"], answer["revision"]);
            assert_eq!(data["container"], item["container"]);
            if let Some(id) = item["record_id"].as_str() {
                assert_eq!(data["record_id"], id);
            }
            let container = item["container"].as_str().expect("a name");
            let id = data["record_id"].as_str().expect("an id");
            let read = server
                .get(&format!(
                    "/mrs/record?orgcode=demo&container={container}&record_id={id}"
                ))
                .data();
            assert_eq!(read["content"], item["payload"]);
            assert_eq!(read["revision"], answer["revision"]);
        } else {
            let mut alone = item.clone();
            alone["orgcode"] = json!("demo");
            let alone = server.post("/mrs/record", &alone);
            assert_eq!(answer["status"], alone.status, "{item}");
            let (got, wanted) = (&answer["error"], &alone.json()["error"]);
            // What is wrong with the form of a body is said of the item here.
            let words = |error: &Value| error.to_string().replace("The body", "The item");
            assert_eq!(words(got), words(wanted), "{item}");
            assert!(answer.get("data").is_none() && answer.get("revision").is_none());
        }
    }
}

#[test]
fn an_item_of_another_shape_is_refused_by_itself() {
    let scratch = tempfile::tempdir().expect("a directory");
    let server = Inside::start(scratch.path());
    let mut bare = item("bare", json!({}));
    bare.as_object_mut().expect("an object").remove("payload");
    let presign = json!({"container": "notes", "record_id": "p", "mode": "presign", "content_type": "text/plain",
        "size": 10, "content_md5": "0123456789abcdef0123456789abcdef"});
    let items = [
        json!(7),
        json!([1]),
        json!(null),
        item("other", json!({"orgcode": "OTHER"})),
        presign,
        item("both", json!({"mode": "presign"})),
        bare,
        item("good", json!({"payload": null})),
    ];
    let got = send(&server, &items);
    assert_eq!(
        statuses(&got),
        [400, 400, 400, 400, 400, 400, 400, 200],
        "{}",
        got.json()
    );
    let answers = answers(&got);
    let minors: Vec<_> = answers
        .iter()
        .map(|answer| answer["error"]["minor"]["tag"].as_str().unwrap_or_default())
        .collect();
    let wanted = [
        "body",
        "body",
        "body",
        "context-mismatch",
        "mode",
        "mode",
        "payload",
        "",
    ];
    assert_eq!(minors, wanted);
    assert_eq!(records(&server), 1);
}

#[test]
fn a_batch_of_another_shape_is_refused_as_a_whole() {
    let scratch = tempfile::tempdir().expect("a directory");
    let server = Inside::start(scratch.path());
    for (body, minor) in [
        (json!({"orgcode": "demo"}), "items"),
        (json!({"orgcode": "demo", "items": null}), "items"),
        (json!({"orgcode": "demo", "items": []}), "items"),
        (json!({"orgcode": "demo", "items": {}}), "items"),
        (json!({"orgcode": "demo", "items": plain(0..257)}), "items"),
        (
            json!({"orgcode": "demo", "items": plain(0..1), "atomic": true}),
            "atomic",
        ),
    ] {
        let refused = server.post(BATCH, &body).refusal();
        let wanted = (400, "invalid-input".to_owned(), minor.to_owned());
        assert_eq!(refused, wanted);
    }
    assert_eq!(records(&server), 0);
    let got = send(&server, &plain(0..256));
    assert_eq!(statuses(&got), [200; 256]);
    assert_eq!(records(&server), 256);
    let keyed = json!({"orgcode": "demo", "items": plain(300..301)});
    let session = ("x-session-guid", server.session_guid.as_str());
    let headers = [session, ("idempotency-key", "one")];
    let refused = server.call("POST", BATCH, &headers, Some(&keyed)).refusal();
    assert_eq!((refused.0, refused.2.as_str()), (400, "not-kept"));
}

#[test]
fn a_batch_that_comes_again_repeats_nothing() {
    let scratch = tempfile::tempdir().expect("a directory");
    let server = Inside::start(scratch.path());
    let keyed: Vec<_> = (0..20)
        .map(|number| {
            let key = json!({"idempotency_key": format!("key {number}")});
            item(&format!("n-{number}"), key)
        })
        .collect();
    let (first, again) = (send(&server, &keyed), send(&server, &keyed));
    assert_eq!(statuses(&first), [200; 20]);
    for (first, again) in answers(&first).iter().zip(&answers(&again)) {
        assert!(first.get("replayed").is_none());
        assert_eq!(again["replayed"], true);
        assert_eq!(
            (&first["data"], &first["revision"]),
            (&again["data"], &again["revision"])
        );
    }
    // A key counts for the request, by itself or in a batch.
    let mut alone = keyed[3].clone();
    alone["orgcode"] = json!("demo");
    let alone = server.post("/mrs/record", &alone);
    assert_eq!(alone.header("idempotent-replay"), Some("true"));
    let twice = [
        item("twice", json!({"idempotency_key": "t"})),
        item("twice", json!({"idempotency_key": "t"})),
        item("n-1", json!({"idempotency_key": "key 1", "payload": 1})),
    ];
    let got = send(&server, &twice);
    assert_eq!(statuses(&got), [200, 200, 409], "{}", got.json());
    let answers = answers(&got);
    let replayed = answers.iter().filter(|answer| answer["replayed"] == true);
    assert_eq!(replayed.count(), 1);
    assert_eq!(answers[2]["error"]["major"]["tag"], "idempotency-conflict");
}

#[test]
fn a_batch_counts_as_many_requests_as_it_has_items() {
    for whose in ["principal", "org"] {
        let scratch = tempfile::tempdir().expect("a directory");
        let sets = [
            format!("limits.{whose}_per_second=1"),
            format!("limits.{whose}_burst=12"),
        ];
        let sets: Vec<_> = sets.iter().map(String::as_str).collect();
        let server = start_with(scratch.path(), &sets);
        let got = send(&server, &plain(0..8));
        assert_eq!(got.status, 200, "{}", got.json());
        if whose == "principal" {
            assert_eq!(got.header("ratelimit"), Some("\"principal\";r=4;t=12"));
        }
        let limit = (429, "throttled".to_owned(), format!("{whose}-limit"));
        let refused = send(&server, &plain(10..15));
        assert_eq!(refused.refusal(), limit);
        server.clock.advance(60_000);
        let never = send(&server, &plain(10..23));
        assert_eq!(never.refusal(), limit);
        let told = never.json()["error"]["major"]["message"]["en_US"].to_string();
        assert!(
            told.contains("counts as 13 requests, and 12 at once"),
            "{told}"
        );
        server.clock.advance(60_000);
        assert_eq!(records(&server), 8, "nothing of what is refused is done");
        server.clock.advance(60_000);
        assert_eq!(statuses(&send(&server, &plain(10..22))), [200; 12]);
    }
}

#[test]
fn a_batch_has_a_place_in_progress_for_each_item() {
    for (limit, minor) in [
        ("limits.org_in_flight_max=5", ""),
        ("limits.principal_in_flight_max=5", "in-flight-limit"),
        ("http.requests_in_flight_max=5", ""),
    ] {
        let scratch = tempfile::tempdir().expect("a directory");
        let server = start_with(scratch.path(), &[limit]);
        let refused = send(&server, &plain(0..6));
        assert_eq!(refused.status, 429, "{limit}: {}", refused.json());
        if !minor.is_empty() {
            assert_eq!(refused.refusal().2, minor);
        }
        assert_eq!(records(&server), 0);
        for round in 0..3 {
            let got = send(&server, &plain(10 * round..10 * round + 2));
            assert_eq!(statuses(&got), [200; 2], "{limit}: places come back");
        }
    }
}

#[test]
fn a_batch_is_for_those_who_may_write_to_its_org() {
    let scratch = tempfile::tempdir().expect("a directory");
    let town = Town::start(scratch.path());
    let (ann, bob) = (town.person("ann"), town.person("bob"));
    town.org("one", &ann);
    town.org("two", &bob);
    town.join(&bob, "two", &ann, "member");
    let batch = |org: &str, items: Vec<Value>| json!({"orgcode": org, "items": items});
    // Not even a batch that is too large shows that there is the org.
    for items in [plain(0..2), plain(0..257), Vec::new(), vec![json!(7)]] {
        let foreign = town.by(&bob, BATCH, &batch("one", items.clone()));
        let absent = town.by(&bob, BATCH, &batch("none", items));
        assert_eq!(tag(&foreign), (404, "not-found".to_owned()));
        assert_eq!(foreign.json()["error"], absent.json()["error"]);
    }
    let (_, _, reader) = town.key(&ann, "one", "mrs_reader");
    let read = town.post(BATCH, &[("x-api-key", &reader)], &batch("one", plain(0..2)));
    assert_eq!(tag(&read), (403, "not-authorized".to_owned()));
    let items = vec![
        item("n-1", json!({"orgcode": "two"})),
        item("n-2", json!({})),
    ];
    let mixed = town.by(&ann, BATCH, &batch("one", items));
    assert_eq!(statuses(&mixed), [400, 200]);
    let path = "/mrs/list?orgcode=two";
    let session = [("x-session-guid", ann.session.as_str())];
    let listed = town.server.call("GET", path, &session, None).data();
    assert_eq!(listed["items"], json!([]));
    town.by(&ann, "/ofm/org/park", &json!({"orgcode": "one"}))
        .data();
    let parked = town.by(&ann, BATCH, &batch("one", plain(5..7)));
    let told = match parked.status {
        200 => answers(&parked)[1]["error"]["major"]["tag"].clone(),
        _ => json!(parked.refusal().1),
    };
    assert_eq!(told, "org-write-blocked");
}
