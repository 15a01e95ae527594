//! Holds by owners and operators, and what is due and what a hold keeps, over HTTP, by a clock that the test moves.

use metarecord::clock::Clock;
use metarecord::domain::Timestamp;
use serde_json::{Value, json};

use crate::support::inside::{Inside, START_MS};
use crate::support::{Got, eventually};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

fn start(dir: &std::path::Path) -> Inside {
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    Inside::start_by(dir, clock, &["mrs.sweep_seconds=1"])
}

fn time(millis: i64) -> String {
    Timestamp::from_millis(START_MS + millis).to_string()
}

/// Puts a record that is due so long after the start, or never.
fn put(server: &Inside, container: &str, id: &str, due: Option<i64>) {
    let mut body = json!({"orgcode": "demo", "container": container, "record_id": id,
        "content_type": "application/json", "payload": id});
    if let Some(due) = due {
        body["doom_at"] = json!(time(due));
    }
    server.post("/mrs/record", &body).data();
}

fn change(server: &Inside, path: &str, id: &str, revision: u64, reason: Option<&str>) -> Got {
    let mut body = json!({"orgcode": "demo", "container": "notes", "record_id": id, "expected_revision": revision});
    if let Some(reason) = reason {
        body["reason"] = json!(reason);
    }
    server.post(path, &body)
}

fn meta(server: &Inside, container: &str, id: &str) -> Value {
    let query = format!("orgcode=demo&container={container}&record_id={id}&include_doomed=true");
    server.get(&format!("/mrs/record/meta?{query}")).data()
}

/// Ends that were journaled because their time had come.
fn swept(server: &Inside) -> usize {
    let entries = metarecord::journal::replay::replay(&server.dir.join("journal"));
    let entries = entries.expect("the journal can be read");
    let bodies = entries.filter_map(|entry| entry.expect("a good entry").body);
    bodies
        .filter(|body| body.origin.by == "job:ttl-sweep")
        .count()
}

fn refused(got: &Got) -> (u16, String, String) {
    got.refusal()
}

fn held(status: u16, tag: &str, minor: &str) -> (u16, String, String) {
    (status, tag.to_owned(), minor.to_owned())
}

/// All pages of what is due: id, time since the start, and what holds it.
fn due(server: &Inside, filter: &str, limit: usize) -> Vec<(String, String, Value)> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let page = format!("/mrs/due?orgcode=demo&limit={limit}{filter}{token}");
        let page = server.get(&page).data();
        assert_eq!(page["limit"], limit);
        let items = page["items"].as_array().expect("items");
        assert!(items.len() <= limit);
        all.extend(items.iter().map(|item| {
            let text = |name: &str| item[name].as_str().expect(name).to_owned();
            (text("record_id"), text("doom_at"), item["held"].clone())
        }));
        match page["next_token"].as_str() {
            Some(next) => token = format!("&next_token={next}"),
            None => return all,
        }
    }
}

#[test]
fn an_owner_holds_a_record_and_releases_it() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    put(&server, "notes", "n", None);
    let set = |revision, reason| change(&server, "/mrs/hold/set", "n", revision, reason);
    for (got, wanted) in [
        (set(1, None), held(400, "invalid-input", "reason")),
        (set(1, Some("  ")), held(400, "invalid-input", "reason")),
        (set(2, Some("audit")), held(409, "conflict", "")),
    ] {
        assert_eq!(refused(&got), wanted);
    }
    let body =
        json!({"orgcode": "demo", "container": "notes", "record_id": "n", "reason": "audit"});
    let got = server.post("/mrs/hold/set", &body);
    assert_eq!(refused(&got), held(428, "expected-revision-required", ""));
    let record = set(1, Some("audit")).data();
    assert_eq!(record["revision"], 2);
    assert_eq!(record["hold"]["reason"], "audit");
    assert_eq!(record["hold"]["since"], time(0));
    assert_eq!(record["hold"]["by"], record["updated_by"]);
    assert_eq!(meta(&server, "notes", "n")["hold"], record["hold"]);
    let got = change(&server, "/mrs/doom", "n", 2, None);
    assert_eq!(refused(&got), held(409, "invalid-state", "held"));
    let details = got.json()["error"]["details"].clone();
    assert_eq!(
        details,
        json!({"by": "record", "reason": "audit", "since": time(0)})
    );
    let record = change(&server, "/mrs/hold/release", "n", 2, Some("over")).data();
    assert_eq!(
        (&record["revision"], &record["hold"]),
        (&json!(3), &Value::Null)
    );
    let again = change(&server, "/mrs/hold/release", "n", 3, None).data();
    assert_eq!(again["revision"], 3, "there is nothing to release");
    change(&server, "/mrs/doom", "n", 3, None).data();
    // What is kept of a doomed record can be held too.
    let record = change(&server, "/mrs/hold/set", "n", 4, Some("late")).data();
    assert_eq!(
        (&record["status"], &record["revision"]),
        (&json!("doomed"), &json!(5))
    );
    assert_eq!(
        change(&server, "/mrs/hold/release", "n", 5, None).data()["revision"],
        6
    );
}

#[test]
fn a_held_record_lives_past_its_time_and_ends_when_it_is_released() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    put(&server, "notes", "held", Some(DAY_MS));
    put(&server, "notes", "free", Some(DAY_MS));
    change(&server, "/mrs/hold/set", "held", 1, Some("audit")).data();
    server.clock.advance(2 * DAY_MS);
    assert_eq!(meta(&server, "notes", "free")["status"], "doomed");
    assert_eq!(meta(&server, "notes", "held")["status"], "active");
    let listed = server.get("/mrs/list?orgcode=demo").data();
    assert_eq!(listed["items"][0]["record_id"], "held");
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
    let kept = json!({"by": "record", "reason": "audit"});
    eventually("the other is swept", || {
        server.get("/mrs/due?orgcode=demo").data()["items"]
            .as_array()
            .map(Vec::len)
            == Some(1)
    });
    assert_eq!(
        due(&server, "", 8),
        [("held".to_owned(), time(DAY_MS), kept)]
    );
    let told = change(&server, "/mrs/hold/release", "held", 2, None).data();
    assert_eq!(
        (&told["status"], &told["revision"]),
        (&json!("doomed"), &json!(4))
    );
    let record = meta(&server, "notes", "held");
    assert_eq!(record, told);
    assert_eq!(record["doom_cause"], "ttl");
    assert_eq!(
        record["doomed_at"],
        time(2 * DAY_MS),
        "as long as it was held it was there"
    );
    eventually("it is swept", || swept(&server) == 2);
    assert_eq!(meta(&server, "notes", "held"), told);
    // As it was read then.
    let then = time(DAY_MS + 1);
    let path = format!("/mrs/record/meta?orgcode=demo&container=notes&record_id=held&as_of={then}");
    assert_eq!(server.get(&path).data()["status"], "active");
}

#[test]
fn a_hold_on_a_record_that_just_became_due_is_refused() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    // The sweep is asleep.
    let server = Inside::start(scratch.path());
    put(&server, "notes", "n", Some(DAY_MS));
    server.clock.advance(DAY_MS);
    assert_eq!(meta(&server, "notes", "n")["revision"], 2);
    let record = change(&server, "/mrs/hold/set", "n", 2, Some("audit")).data();
    assert_eq!(
        (&record["status"], &record["revision"]),
        (&json!("doomed"), &json!(3))
    );
}

#[test]
fn a_legal_hold_keeps_a_container_or_an_org() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    put(&server, "notes", "n", Some(DAY_MS));
    put(&server, "other", "o", Some(DAY_MS));
    let hold = |function: &str, body: Value| server.operator(function, &body);
    let set = json!({"orgcode": "demo", "container": "Notes", "reason": "suit 12"});
    let told = hold("mrs_hold_set", set.clone()).data();
    let item = json!({"held": "container", "container": "notes", "reason": "suit 12", "since": time(0), "by": "operator"});
    assert_eq!(told["items"], json!([item]));
    assert_eq!(hold("mrs-hold-set", set).data(), told, "twice is once");
    for (function, body, wanted) in [
        (
            "mrs_hold_set",
            json!({"orgcode": "nobody", "reason": "x"}),
            held(404, "not-found", ""),
        ),
        (
            "mrs_hold_release",
            json!({"orgcode": "nobody"}),
            held(404, "not-found", ""),
        ),
        (
            "mrs_hold_list",
            json!({"orgcode": "nobody"}),
            held(404, "not-found", ""),
        ),
        (
            "mrs_hold_set",
            json!({"orgcode": "demo"}),
            held(400, "invalid-input", "reason"),
        ),
        (
            "mrs_hold_set",
            json!({"reason": "x"}),
            held(400, "invalid-orgcode", ""),
        ),
        (
            "mrs_hold_set",
            json!({"orgcode": "demo", "container": "?", "reason": "x"}),
            held(400, "invalid-container", ""),
        ),
    ] {
        assert_eq!(
            refused(&hold(function, body.clone())),
            wanted,
            "{function} {body}"
        );
    }
    let got = change(&server, "/mrs/doom", "n", 1, None);
    assert_eq!(refused(&got), held(409, "invalid-state", "held"));
    assert_eq!(got.json()["error"]["details"]["by"], "container");
    server.clock.advance(2 * DAY_MS);
    assert_eq!(meta(&server, "other", "o")["status"], "doomed");
    assert_eq!(meta(&server, "notes", "n")["status"], "active");
    let kept = json!({"by": "container", "reason": "suit 12"});
    assert_eq!(due(&server, "", 8), [("n".to_owned(), time(DAY_MS), kept)]);
    // Under both, it takes both to be released.
    hold(
        "mrs_hold_set",
        json!({"orgcode": "demo", "reason": "suit 13"}),
    )
    .data();
    let left = hold(
        "mrs_hold_release",
        json!({"orgcode": "demo", "container": "notes"}),
    )
    .data();
    assert_eq!(left["items"][0]["held"], "org");
    let kept = json!({"by": "org", "reason": "suit 13"});
    assert_eq!(
        due(&server, "&container=notes", 8),
        [("n".to_owned(), time(DAY_MS), kept)]
    );
    assert_eq!(meta(&server, "notes", "n")["status"], "active");
    let left = hold(
        "mrs_hold_release",
        json!({"orgcode": "demo", "reason": "settled"}),
    )
    .data();
    assert_eq!(left["items"], json!([]));
    assert_eq!(meta(&server, "notes", "n")["status"], "doomed");
    eventually("it is swept", || swept(&server) == 2);
    // A release does not change how it read before.
    let path = format!(
        "/mrs/record/meta?orgcode=demo&container=notes&record_id=n&as_of={}",
        time(2 * DAY_MS - 1)
    );
    assert_eq!(server.get(&path).data()["status"], "active");
}

#[test]
fn meta_shows_holds_on_container_and_org_at_any_time() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    put(&server, "notes", "n", None);
    put(&server, "other", "o", None);
    assert_eq!(meta(&server, "notes", "n").get("legal_holds"), None);
    let hold = |function: &str, body: Value| server.operator(function, &body).data();
    let told =
        |by: &str, reason: &str, at: i64| json!({"by": by, "reason": reason, "since": time(at)});
    let (container, org) = (
        told("container", "suit 12", 1_000),
        told("org", "suit 13", 2_000),
    );
    server.clock.advance(1_000);
    hold(
        "mrs_hold_set",
        json!({"orgcode": "demo", "container": "notes", "reason": "suit 12"}),
    );
    assert_eq!(
        meta(&server, "notes", "n")["legal_holds"],
        json!([container])
    );
    server.clock.advance(1_000);
    hold(
        "mrs_hold_set",
        json!({"orgcode": "demo", "reason": "suit 13"}),
    );
    server.clock.advance(1_000);
    change(&server, "/mrs/hold/set", "n", 1, Some("audit")).data();
    assert_eq!(
        meta(&server, "notes", "n")["legal_holds"],
        json!([container, org])
    );
    assert_eq!(meta(&server, "other", "o")["legal_holds"], json!([org]));
    let table = crate::cli::run::g3n(
        "mrs meta --container notes --record-id n --output table",
        scratch.path(),
        &[
            ("G3N_BASE_URL", server.base_url.as_str()),
            ("G3N_SESSION_GUID", server.session_guid.as_str()),
            ("G3N_ORGCODE", "demo"),
        ],
        b"",
    );
    for reason in ["audit", "suit 12", "suit 13"] {
        assert!(table.text().contains(reason), "{table:?}");
    }
    server.clock.advance(1_000);
    for body in [
        json!({"orgcode": "demo", "container": "notes"}),
        json!({"orgcode": "demo"}),
    ] {
        hold("mrs_hold_release", body);
    }
    change(&server, "/mrs/hold/release", "n", 2, None).data();
    assert_eq!(meta(&server, "notes", "n").get("legal_holds"), None);
    let path = "/mrs/record/meta?orgcode=demo&container=notes&record_id=n&as_of=";
    let then = |at: i64| server.get(&format!("{path}{}", time(at))).data()["legal_holds"].clone();
    assert_eq!(then(3_500), json!([container, org]));
    assert_eq!(then(1_500), json!([container]));
    assert_eq!(then(500), Value::Null);
}

#[test]
fn due_records_are_listed_in_the_order_of_their_times() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = start(scratch.path());
    let mut wanted = Vec::new();
    for number in 0..20_i64 {
        let (id, container) = (
            format!("n-{number:02}"),
            ["notes", "other"][usize::from(number % 3 == 0)],
        );
        let due = (number * 7 % 20) * DAY_MS + DAY_MS;
        put(&server, container, &id, Some(due));
        wanted.push((due, container, id));
    }
    put(&server, "notes", "never", None);
    wanted.sort();
    let ids = |container: &str, before: i64| -> Vec<String> {
        let wanted = wanted
            .iter()
            .filter(|(due, of, _)| *due < before && (container.is_empty() || *of == container));
        wanted.map(|(_, _, id)| id.clone()).collect()
    };
    let shown = |filter: &str, limit: usize| -> Vec<String> {
        let due = due(&server, filter, limit);
        due.into_iter().map(|(id, _, _)| id).collect()
    };
    for limit in [1, 3, 256] {
        assert_eq!(shown("", limit), ids("", i64::MAX));
        assert_eq!(shown("&container=notes", limit), ids("notes", i64::MAX));
        let before = 9 * DAY_MS;
        let filter = format!("&before={}", time(before));
        assert_eq!(shown(&filter, limit), ids("", before));
    }
    let page = server.get("/mrs/due?orgcode=demo&limit=2").data();
    let token = page["next_token"].as_str().expect("a token");
    for (query, tag, minor) in [
        (
            format!("container=notes&next_token={token}"),
            "invalid-next-token",
            "",
        ),
        (format!("next_token={token}x"), "invalid-next-token", ""),
        ("before=tomorrow".to_owned(), "invalid-input", "before"),
        ("limit=x".to_owned(), "invalid-input", "limit"),
        ("tag=a".to_owned(), "invalid-input", "tag"),
    ] {
        let got = server.get(&format!("/mrs/due?orgcode=demo&{query}"));
        assert_eq!(refused(&got), held(400, tag, minor), "{query}");
    }
    // A token of a list is none of these.
    put(&server, "notes", "another", None);
    let page = server.get("/mrs/list?orgcode=demo&limit=1").data();
    let token = page["next_token"].as_str().expect("a token");
    let got = server.get(&format!("/mrs/due?orgcode=demo&next_token={token}"));
    assert_eq!(refused(&got), held(400, "invalid-next-token", ""));
}
