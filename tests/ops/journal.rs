//! `journal_read`: by position, of a stream, of a request; what is damaged or erased; and that no secret is in it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::inside::Inside;

fn read(server: &Inside, body: &Value) -> Value {
    server.operator("journal_read", body).data()
}

fn all(server: &Inside, body: &Value) -> Vec<Value> {
    let (mut all, mut body) = (Vec::new(), body.clone());
    loop {
        let page = read(server, &body);
        assert_eq!(page["damage"], json!([]), "{page}");
        all.extend(page["items"].as_array().expect("items").iter().cloned());
        match page["next_token"].as_str() {
            Some(token) => body["next_token"] = json!(token),
            None => return all,
        }
    }
}

fn positions(items: &[Value]) -> Vec<u64> {
    let position = |item: &Value| item["position"].as_u64().expect("a position");
    items.iter().map(position).collect()
}

#[test]
fn entries_are_read_by_position_stream_and_request() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    for number in 0..20 {
        server.put("notes", &format!("n-{number}"), &json!(number));
    }
    let tag = json!({"orgcode": "demo", "container": "notes", "record_id": "n-3", "tags": ["RED"],
        "expected_revision": 1, "actor": "Ada"});
    let tagged = server.post("/mrs/tag/add", &tag).json();
    let every = all(&server, &json!({"from": 1, "limit": 7}));
    let head = read(&server, &json!({}))["head"].clone();
    let last = head["position"].as_u64().expect("a position");
    assert_eq!(positions(&every), (1..=last).collect::<Vec<_>>());
    assert_eq!(every[0]["prev"], "0".repeat(64));
    for (one, next) in every.iter().zip(&every[1..]) {
        assert_eq!(
            (&one["hash"], &one["hash_ok"]),
            (&next["prev"], &json!(true))
        );
    }
    let newest = every.last().expect("one");
    assert_eq!(
        (&newest["hash"], &newest["hash_ok"]),
        (&head["hash"], &json!(true))
    );
    assert_eq!(every, all(&server, &json!({"from": 1, "limit": 256})));
    let shown = read(&server, &json!({"limit": 3}));
    assert_eq!(shown["items"], json!(every[every.len() - 3..]));
    assert!(shown.get("next_token").is_none());
    // Of a stream, newest first, and no namesake's.
    let stream = json!({"stream": "mrs/DEMO/notes/n-1", "limit": 1});
    assert_eq!(all(&server, &stream).len(), 1);
    let stream = json!({"stream": "mrs/DEMO/notes/n-3", "limit": 1});
    let its = all(&server, &stream);
    let versions: Vec<_> = its.iter().map(|item| item["version"].as_u64()).collect();
    assert_eq!(versions, [Some(2), Some(1)]);
    assert_eq!(
        its[0]["events"],
        json!([{"type": "record.tags_added", "data": {"tags": ["RED"]}}])
    );
    assert_eq!(its[0]["remarks"]["actor"], "Ada");
    assert!(its[1]["payload"]["size"].is_u64() && its[0].get("payload").is_none());
    assert!(all(&server, &json!({"stream": "mrs/DEMO/notes/absent"})).is_empty());
    // Of a request.
    let id = &tagged["stats"]["request_id"];
    assert_eq!(all(&server, &json!({"request_id": id})), its[..1]);
    assert!(all(&server, &json!({"request_id": "absent"})).is_empty());
    assert!(all(&server, &json!({"from": last + 1})).is_empty());
    for wrong in [
        json!({"from": 0}),
        json!({"from": 1, "stream": "ops/vacuum"}),
        json!({"stream": "ops/vacuum", "request_id": "r"}),
        json!({"request_id": "no id!"}),
        json!({"stream": " "}),
    ] {
        let refused = server.operator("journal_read", &wrong).refusal();
        assert_eq!(
            (refused.0, refused.1.as_str()),
            (400, "invalid-input"),
            "{wrong}"
        );
    }
}

#[test]
fn no_hash_of_a_credential_is_shown() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    let account = json!({"orgcode": "demo", "label": "scanner"});
    let account = server.post("/usm/service_account/create", &account).data();
    let key = json!({"orgcode": "demo", "service_account_id": account["service_account_id"], "role": "mrs_reader"});
    let key = server.post("/usm/api_key/create", &key).data();
    let token = json!({"name": "night", "scopes": ["read"]});
    server.operator("ops_token_create", &token).data();
    let rotate = json!({"name": "night"});
    server.operator("ops_token_rotate", &rotate).data();
    let close = json!({"session_guid": server.session_guid});
    server.post("/usm/session/close", &close);
    let every = json!(all(&server, &json!({"from": 1, "limit": 256}))).to_string();
    assert!(!every.contains(key["api_key"].as_str().expect("a key")));
    assert!(
        !every.contains("$scrypt") && every.contains("[scrubbed]"),
        "{every}"
    );
    // What each field with a hash of a credential is called, by what the page of events says of it.
    let page = std::fs::read_to_string("docs/journal-events.md").expect("the page");
    let fields: BTreeSet<_> = page
        .lines()
        .filter(|line| line.contains("Keyed hash") || line.contains("scrypt"))
        .filter_map(|line| line.split('`').nth(1))
        .collect();
    assert!(
        fields.contains("kept_session") && fields.len() >= 7,
        "{fields:?}"
    );
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir("tests/golden").expect("the directory") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            let text = std::fs::read_to_string(&path).expect("text");
            for field in &fields {
                if text.contains(&format!("\"{field}\":")) {
                    seen.insert(*field);
                }
            }
        }
    }
    assert_eq!(seen, fields);
    for field in fields {
        let shown = format!("\"{field}\":\"");
        for (at, _) in every.match_indices(&shown) {
            assert!(
                every[at + shown.len()..].starts_with("[scrubbed]"),
                "{field}"
            );
        }
    }
}

#[test]
fn erased_entries_are_shown_as_erased() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    server.put("notes", "secret-name", &json!(1));
    let vacuum = json!({"orgcode": "DEMO", "reason": "left"});
    let vacuum = server.invoke("ops_vacuum_org", vacuum).data();
    server.clock.advance(600_000);
    let id = json!({"vacuum_id": vacuum["vacuum_id"]});
    eventually("the org is erased", || {
        server.operator("ops_vacuum_status", &id).data()["status"] == "completed"
    });
    let every = all(&server, &json!({"from": 1, "limit": 5}));
    let erased: Vec<_> = every.iter().filter(|item| item["erased"] == true).collect();
    assert!(!erased.is_empty());
    for item in &erased {
        assert!(
            item["hash_ok"] == true && item["erased_by"].is_u64(),
            "{item}"
        );
        assert!(
            item.get("events").is_none() && item.get("stream").is_none(),
            "{item}"
        );
    }
    assert!(!json!(every).to_string().contains("secret-name"));
    assert!(all(&server, &json!({"stream": "mrs/DEMO/notes/secret-name"})).is_empty());
    assert!(!all(&server, &json!({"stream": "ops/vacuum"})).is_empty());
}

#[test]
fn a_damaged_entry_is_named_and_the_others_are_read() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    let put = server.put("notes", "canary-damage", &json!(1));
    assert_eq!(put["revision"], 1);
    server.put("notes", "behind", &json!(2));
    let position = all(&server, &json!({"stream": "mrs/DEMO/notes/canary-damage"}))[0]["position"]
        .as_u64()
        .expect("a position");
    let before = all(&server, &json!({"from": 1, "limit": 256}));
    let segment = std::fs::read_dir(scratch.path().join("journal"))
        .expect("the journal")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .expect("a segment");
    let mut bytes = std::fs::read(&segment).expect("bytes");
    let name = b"canary-damage";
    let at = bytes
        .windows(name.len())
        .position(|part| part == name)
        .expect("its line");
    bytes[at] ^= 1;
    std::fs::write(&segment, &bytes).expect("written");
    for body in [json!({"from": 1, "limit": 256}), json!({"limit": 256})] {
        let page = read(&server, &body);
        let items = page["items"].as_array().expect("items");
        assert_eq!(items.len(), before.len());
        let damaged: Vec<_> = items
            .iter()
            .filter(|item| item["hash_ok"] == false)
            .collect();
        assert_eq!(
            (damaged.len(), &damaged[0]["position"]),
            (1, &json!(position)),
            "{page}"
        );
        assert!(
            damaged[0]["damage"]
                .as_str()
                .is_some_and(|what| what.contains("digest"))
        );
        assert_eq!(page["damage"].as_array().map(Vec::len), Some(1));
    }
    let page = read(&server, &json!({"stream": "mrs/DEMO/notes/canary-damage"}));
    assert_eq!(page["items"][0]["hash_ok"], false);
    // Whose request the damaged one is of, nobody knows: a search goes on, and names it.
    let sound = before.last().expect("the entry behind it");
    let id = json!({"request_id": sound["request_id"]});
    let page = read(&server, &id);
    assert_eq!(page["items"][0]["position"], sound["position"], "{page}");
    assert_eq!(page["damage"].as_array().map(Vec::len), Some(1));
    let traced = server.operator("ops_trace", &id).data();
    assert_eq!(
        traced["items"][0]["position"], sound["position"],
        "{traced}"
    );
    assert_eq!(traced["damage"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_page_of_large_entries_ends_early_and_leads_on() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    let reason = "é".repeat(256);
    let tags: Vec<_> = (0..20).map(|number| format!("{number:0>128}")).collect();
    for number in 0..300 {
        let body = json!({"orgcode": "demo", "container": "notes", "record_id": format!("n-{number}"),
            "content_type": "application/json", "payload": 1, "tags": tags, "reason": reason});
        server.post("/mrs/record", &body).data();
    }
    let page = read(&server, &json!({"from": 1, "limit": 256}));
    let bytes = page["items"].to_string().len();
    assert!((500_000..=1_100_000).contains(&bytes), "{bytes}");
    let every = all(&server, &json!({"from": 1, "limit": 256}));
    let last = page["head"]["position"].as_u64().expect("a position");
    assert_eq!(positions(&every), (1..=last).collect::<Vec<_>>());
}

/// Entries that one call searches for a request: the limit in `http/operator/journal.rs`.
const SEARCHED_MAX: u64 = 10_000;

#[test]
fn a_request_that_is_further_back_than_one_call_searches_is_found_by_the_next() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    server.put("notes", "first", &json!(1));
    let newest = read(&server, &json!({"limit": 1}));
    let first = &newest["items"][0];
    let last = first["position"].as_u64().expect("a position") + SEARCHED_MAX;
    let mut put = 0;
    while put < SEARCHED_MAX {
        let items: Vec<_> = (put..SEARCHED_MAX.min(put + 250))
            .map(|number| {
                json!({"container": "notes", "record_id": format!("n-{number}"), "content_type": "application/json", "payload": 1})
            })
            .collect();
        put += items.len() as u64;
        let answers = server.post(
            "/mrs/record/batch",
            &json!({"orgcode": "demo", "items": items}),
        );
        for item in answers.data()["items"].as_array().expect("items") {
            assert_eq!(item["status"], 200, "{item}");
        }
    }
    let body = json!({"request_id": first["request_id"]});
    let page = read(&server, &body);
    assert!(
        page["head"]["position"].as_u64() >= Some(last),
        "{}",
        page["head"]
    );
    assert_eq!(page["items"], json!([]), "it is further back");
    assert!(page["next_token"].is_string(), "{page}");
    assert_eq!(all(&server, &body), std::slice::from_ref(first));
}

#[test]
fn the_verb_reads_pages_as_a_table_and_as_lines() {
    let server = crate::support::Server::start();
    server.put_inline("notes", "n", &json!(1), &["RED"]);
    let scratch = tempfile::tempdir().expect("a directory");
    let (operator_url, token) = (&*server.operator_url, &*server.operator_token);
    let environment = [
        ("G3N_OPERATOR_URL", operator_url),
        ("G3N_OPERATOR_TOKEN", token),
    ];
    let run = |line: &str| crate::cli::run::g3n(line, scratch.path(), &environment, b"");
    let table = run("journal read --stream mrs/DEMO/notes/n --output table").text();
    for shown in ["record.created", "mrs/DEMO/notes/n", "true"] {
        assert!(table.contains(shown), "{shown}: {table}");
    }
    let lines = run("journal read --all --limit 3 --output jsonl").text();
    let first: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["position"], 1);
    assert!(lines.lines().count() > 3);
    let refused = run("journal read --data-dir data");
    assert_eq!(refused.code, 2, "{refused:?}");
    for (line, shown) in [
        ("ops metrics --output table", "journal_position"),
        ("ops vacuum-list --output table", "nothing found"),
        (
            "ops maintenance-list --operator --output table",
            "nothing found",
        ),
    ] {
        let table = run(line).text();
        assert!(table.contains(shown), "{line}: {table}");
    }
}
