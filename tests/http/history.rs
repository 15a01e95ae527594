//! A record's history: what each change changed, newest first, one page at a time.

use metarecord::domain::Timestamp;
use serde_json::{Map, Value, json};

use super::versions::{promise, upload};
use crate::support::dice::Dice;
use crate::support::inside::{Inside, START_MS};
use crate::support::{Got, Server};

const CONTENT: [&str; 6] = [
    "content_type",
    "content_kind",
    "content_size",
    "content_md5",
    "content_sha256",
    "content_version",
];
const DECODED: [&str; 4] = [
    "content_size_decoded",
    "content_md5_decoded",
    "content_encoding",
    "content_etag",
];

fn history(server: &Inside, id: &str, more: &str) -> Got {
    server.get(&format!(
        "/mrs/record/history?orgcode=demo&container=notes&record_id={id}{more}"
    ))
}

fn meta(server: &Inside, id: &str) -> Got {
    server.get(&format!(
        "/mrs/record/meta?orgcode=demo&container=notes&record_id={id}&include_doomed=true"
    ))
}

fn is_there(server: &Inside, id: &str) -> bool {
    meta(server, id).status == 200
}

/// Every change of a record, newest first, in pages of a size.
fn all(server: &Inside, id: &str, size: usize) -> Vec<Value> {
    let (mut items, mut more) = (Vec::new(), String::new());
    loop {
        let page = history(
            server,
            id,
            &format!("&include_doomed=true&limit={size}{more}"),
        )
        .data();
        let own = page["items"].as_array().expect("items");
        assert!(own.len() <= size, "{page}");
        items.extend(own.iter().cloned());
        match page["next_token"].as_str() {
            Some(token) => {
                assert_eq!(own.len(), size, "a page that is not the last is full");
                more = format!("&next_token={token}");
            }
            None => return items,
        }
    }
}

/// What the changes of a record, oldest first, make of it: the fields of its metadata.
fn fold<'a>(key: Value, items: impl Iterator<Item = &'a Value>) -> Value {
    let mut record = key;
    let mut upload = Map::new();
    for item in items {
        if record.get("created_at").is_none() {
            record["created_at"] = item["at"].clone();
            record["created_by"] = item["by"].clone();
            record["tags"] = json!([]);
        }
        record["revision"] = item["revision"].clone();
        record["updated_at"] = item["at"].clone();
        record["updated_by"] = item["by"].clone();
        for change in item["changes"].as_array().expect("changes") {
            apply(&mut record, &mut upload, item, change);
        }
    }
    record
}

fn apply(record: &mut Value, upload: &mut Map<String, Value>, item: &Value, change: &Value) {
    let new = change.get("new");
    let field = change["field"].as_str().expect("a field");
    match field {
        "tags" => {
            let texts = |value: &Value| -> Vec<String> {
                serde_json::from_value(value.clone()).unwrap_or_default()
            };
            let mut tags = texts(new.unwrap_or(&record["tags"]));
            tags.extend(texts(&change["added"]));
            let removed = texts(&change["removed"]);
            tags.retain(|tag| !removed.contains(tag));
            tags.sort();
            record["tags"] = json!(tags);
        }
        "content" => {
            let announced = if change["new"]["content_type"].is_null() {
                upload.clone()
            } else {
                Map::new()
            };
            set_content(record, &announced);
            set_content(record, change["new"].as_object().expect("a content"));
        }
        "upload" => {
            *upload = new.and_then(Value::as_object).cloned().unwrap_or_default();
            upload.remove("expires_at");
            if record["status"] == "pending_upload" {
                set_content(record, &upload.clone());
            }
        }
        "hold" => match new {
            Some(Value::Object(hold)) => {
                let since = record["hold"].get("since").unwrap_or(&item["at"]).clone();
                record["hold"] =
                    json!({"reason": hold["reason"], "since": since, "by": item["by"]});
            }
            _ => drop(record.as_object_mut().expect("a record").remove("hold")),
        },
        field => {
            let members = record.as_object_mut().expect("a record");
            match new {
                Some(Value::Null) => drop(members.remove(field)),
                Some(new) => drop(members.insert(field.to_owned(), new.clone())),
                None => panic!("{field} has no new value"),
            }
            if field == "doomed_at" {
                record["updated_at"] = record["doomed_at"].clone();
            }
        }
    }
}

/// Sets fields of the content; a content type begins another content.
fn set_content(record: &mut Value, facts: &Map<String, Value>) {
    let members = record.as_object_mut().expect("a record");
    if facts.contains_key("content_type") {
        let version = members.get("content_version").cloned();
        members.retain(|name, _| {
            !CONTENT.contains(&name.as_str()) && !DECODED.contains(&name.as_str())
        });
        members.extend(version.map(|version| ("content_version".to_owned(), version)));
    }
    members.extend(facts.clone());
    if members.get("content_kind") == Some(&json!("object")) {
        let etag = format!("\"{}\"", members["content_md5"].as_str().expect("an md5"));
        members.insert("content_encoding".to_owned(), json!("gzip"));
        members.insert("content_etag".to_owned(), json!(etag));
    }
}

/// One change of a record, decided by chance; it may be refused.
fn change(server: &Inside, dice: &mut Dice, id: &str) {
    server
        .clock
        .advance(1 + i64::try_from(dice.below(5_000)).expect("small"));
    let meta = meta(server, id);
    let revision =
        (meta.status == 200).then(|| meta.data()["revision"].as_u64().expect("a number"));
    let with = |more: Value| {
        let mut body = json!({"orgcode": "demo", "container": "notes", "record_id": id,
            "expected_revision": revision, "actor": "Ada"});
        let body_fields = body.as_object_mut().expect("an object");
        body_fields.retain(|_, value| !value.is_null());
        body_fields.extend(more.as_object().expect("an object").clone());
        body
    };
    let tag = format!("T{}", dice.below(3));
    let put = |more: Value| {
        let mut body = with(json!({"content_type": "application/json", "payload": {"tag": tag}}));
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        body
    };
    let due = Timestamp::from_millis(START_MS).plus_millis(365 * 86_400_000);
    let (path, body) = match dice.below(13) {
        0 => ("record", put(json!({}))),
        1 => (
            "record",
            put(json!({"tags": [tag, "X"], "doom_at": due.to_string()})),
        ),
        2 => (
            "record",
            put(json!({"tags": [], "cccode": "AB12-CD34-EF56"})),
        ),
        3 if revision.is_none_or(|_| meta.data()["status"] == "active") => {
            upload(
                server,
                id,
                &"text".repeat(1 + revision.unwrap_or(0) as usize),
                revision,
            );
            return;
        }
        3 | 4 => {
            let body = with(json!({"content_type": "text/plain", "size": 7,
                "content_md5": "0123456789abcdef0123456789abcdef", "tags": ["P"]}));
            ("record", body)
        }
        5 | 6 => ("tag/add", with(json!({"tags": [tag]}))),
        7 => ("tag/remove", with(json!({"tags": [tag, "X"]}))),
        8 => ("ttl/set", with(json!({"doom_at": due.to_string()}))),
        9 => ("ttl/set", with(json!({"doom_at": null}))),
        10 => ("hold/set", with(json!({"reason": format!("audit {tag}")}))),
        11 => ("hold/release", with(json!({"reason": "over"}))),
        _ if dice.below(4) == 0 => ("doom", with(json!({"reason": "no longer needed"}))),
        _ => ("record", put(json!({}))),
    };
    server.post(&format!("/mrs/{path}"), &body);
}

#[test]
fn the_history_of_a_record_makes_the_record() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = super::versions::start(scratch.path());
    let mut kinds = std::collections::BTreeSet::new();
    let mut statuses = std::collections::BTreeSet::new();
    for seed in 1..=20 {
        let mut dice = Dice::new(seed);
        // Ids that begin with each other: their streams are neighbours.
        let ids = ["r", "r-", "r0"].map(|id| format!("{id}{seed}"));
        for _ in 0..3 + dice.below(50) {
            let id = &ids[dice.below(3) as usize];
            change(&server, &mut dice, id);
        }
        for id in ids.iter().filter(|id| is_there(&server, id)) {
            let items = all(&server, id, 1 + dice.below(7) as usize);
            assert_eq!(items, all(&server, id, 256), "seed {seed}: {id}");
            let meta = meta(&server, id).data();
            let key = json!({"orgcode": "DEMO", "container": "notes", "record_id": id});
            assert_eq!(
                fold(key, items.iter().rev()),
                meta,
                "seed {seed}: {items:#?}"
            );
            let revisions: Vec<_> = items.iter().map(|item| item["revision"].as_u64()).collect();
            let wanted: Vec<_> = (1..=items.len() as u64).rev().map(Some).collect();
            assert_eq!(revisions, wanted, "seed {seed}: {id}");
            for item in &items {
                kinds.insert(item["type"].as_str().expect("a type").to_owned());
                assert!(
                    item["request_id"].is_string() && item["source"] == "gateway",
                    "{item}"
                );
            }
            statuses.insert(meta["status"].as_str().expect("a status").to_owned());
        }
    }
    assert_eq!(kinds.len(), 9, "{kinds:?}");
    assert_eq!(statuses.len(), 3, "{statuses:?}");
}

#[test]
fn a_change_shows_time_caller_reason_and_fields() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = super::versions::start(scratch.path());
    server.put("notes", "n", &json!("one"));
    server.clock.advance(1_000);
    let body = json!({"orgcode": "demo", "container": "notes", "record_id": "n", "tags": ["RED"],
        "expected_revision": 1, "actor": "Ada", "reason": "sorted", "reason_code": "S-1",
        "correlation_id": "batch-7"});
    let tagged = server.post("/mrs/tag/add", &body);
    let gzip = upload(&server, "n", "two", Some(2));
    let items = all(&server, "n", 8);
    let told = |item: &Value| {
        let mut item = item.clone();
        let fields = item.as_object_mut().expect("an object");
        assert!(
            fields
                .remove("position")
                .is_some_and(|position| position.is_u64())
        );
        assert!(fields.remove("by").is_some_and(|by| by.is_string()));
        item
    };
    let request_id = tagged.json()["stats"]["request_id"].clone();
    assert_eq!(
        told(&items[2]),
        json!({"revision": 2, "at": super::versions::time(1_000), "type": "record.tags_added",
            "source": "gateway", "actor": "Ada", "reason": "sorted", "reason_code": "S-1",
            "correlation_id": "batch-7", "request_id": request_id,
            "changes": [{"field": "tags", "added": ["RED"]}]})
    );
    let completed = &items[0]["changes"];
    assert_eq!(
        (
            &completed[0]["field"],
            &completed[0]["old"],
            &completed[0]["new"]["content_version"]
        ),
        (&json!("content"), &json!({"content_version": 1}), &json!(2))
    );
    assert_eq!(completed[1], json!({"field": "upload", "new": null}));
    assert_eq!(items[1]["changes"][0]["new"]["content_size"], gzip.len());
    let positions: Vec<_> = items.iter().map(|item| item["position"].as_u64()).collect();
    assert!(
        positions.is_sorted_by(|newer, older| newer > older),
        "{positions:?}"
    );
    // A copy has one change.
    let copy =
        json!({"orgcode": "demo", "container": "notes", "record_id": "n", "to_record_id": "m"});
    server.post("/mrs/record/copy", &copy).data();
    let copied = all(&server, "m", 8);
    assert_eq!(
        (copied.len(), &copied[0]["type"]),
        (1, &json!("record.created"))
    );
}

#[test]
fn a_doomed_record_shows_its_history_when_asked() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = super::versions::start(scratch.path());
    server.put("notes", "n", &json!("one"));
    promise(&server, "waits", b"gz", None);
    let doom = json!({"orgcode": "demo", "container": "notes", "record_id": "n",
        "expected_revision": 1, "reason": "no longer needed"});
    server.post("/mrs/doom", &doom).data();
    assert_eq!(history(&server, "n", "").refusal().1, "not-found");
    let items = all(&server, "n", 8);
    assert_eq!(
        items[0]["changes"],
        json!([{"field": "status", "new": "doomed"},
            {"field": "doomed_at", "new": items[0]["at"]},
            {"field": "doom_cause", "new": "request"},
            {"field": "doom_reason", "new": "no longer needed"}])
    );
    assert_eq!(
        all(&server, "waits", 8)[0]["changes"][0]["new"],
        "pending_upload"
    );
    // Due, and not swept yet.
    let due = json!({"orgcode": "demo", "container": "notes", "record_id": "due", "payload": 1,
        "content_type": "application/json", "doom_at": super::versions::time(60_000)});
    server.post("/mrs/record", &due).data();
    server.clock.advance(60_000);
    assert_eq!(history(&server, "due", "").refusal().1, "not-found");
    assert!(!all(&server, "due", 8).is_empty());
    // The token of a page is for the same question alone.
    let page = history(&server, "n", "&include_doomed=true&limit=1").data();
    let token = page["next_token"].as_str().expect("a token");
    for (id, more) in [("n", ""), ("due", "&include_doomed=true")] {
        let refused = history(&server, id, &format!("{more}&limit=1&next_token={token}"));
        let wanted = if more.is_empty() {
            "not-found"
        } else {
            "invalid-next-token"
        };
        assert_eq!(refused.refusal().1, wanted);
    }
}

#[test]
fn the_history_of_an_erased_org_is_not_there() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start_by(
        scratch.path(),
        metarecord::clock::Clock::manual(Timestamp::from_millis(START_MS)),
        &[],
    );
    server.put("notes", "n", &json!("one"));
    let absent = history(&server, "absent", "&include_doomed=true");
    let vacuum = json!({"orgcode": "DEMO", "reason": "left", "dry_run": false});
    let vacuum = server.invoke("ops_vacuum_org", vacuum).data();
    server.clock.advance(600_000);
    let vacuum = json!({"vacuum_id": vacuum["vacuum_id"]});
    crate::support::eventually("the org is erased", || {
        server.operator("ops_vacuum_status", &vacuum).data()["status"] == "completed"
    });
    let erased = history(&server, "n", "&include_doomed=true");
    assert_eq!(erased.refusal(), absent.refusal());
}

#[test]
fn the_verb_shows_changes_as_a_table() {
    let server = Server::start();
    server.put_inline("notes", "n", &json!(1), &["RED"]);
    let body = json!({"orgcode": "demo", "container": "notes", "record_id": "n", "tags": ["BLUE"],
        "expected_revision": 1, "actor": "Ada", "reason": "sorted"});
    server.post("/mrs/tag/add", &body).data();
    let clear = json!({"orgcode": "demo", "container": "notes", "record_id": "n", "doom_at": null,
        "expected_revision": 2});
    server.post("/mrs/ttl/set", &clear);
    let scratch = tempfile::tempdir().expect("a directory");
    let environment = [
        ("G3N_BASE_URL", server.base_url.as_str()),
        ("G3N_SESSION_GUID", server.session_guid.as_str()),
        ("G3N_ORGCODE", "DEMO"),
    ];
    let run = |more: &str| {
        let line = format!("mrs history --container notes --record-id n {more}");
        crate::cli::run::g3n(&line, scratch.path(), &environment, b"")
    };
    let table = run("--output table").text();
    for shown in [
        "record.tags_added",
        "tags +BLUE",
        "Ada",
        "sorted",
        "status active",
        "tags RED",
    ] {
        assert!(table.contains(shown), "{shown}: {table}");
    }
    assert!(!table.contains("content_md5"), "{table}");
    let lines = run("--all --limit 1 --output jsonl").text();
    let revisions: Vec<_> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["revision"].clone())
        .collect();
    assert_eq!(revisions.last(), Some(&json!(1)));
    assert!(revisions.len() >= 2, "{lines}");
}
