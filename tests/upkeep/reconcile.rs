//! Reconcile names every damage with its kind and nothing else, and mends what can be mended without inventing anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use metarecord::clock::Clock;
use metarecord::domain::Timestamp;
use serde_json::{Value, json};

use super::damage::{self, CONTAINER, Expected};
use crate::support::inside::{Inside, START_MS};

const HOUR_MS: i64 = 60 * 60 * 1_000;

/// Walks all pages; returns what does not fit.
pub(super) fn reconcile(server: &Inside, mode: &str, max_items: usize) -> Vec<Value> {
    let mut drift = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let mut body = json!({"orgcode": "demo", "container": CONTAINER, "mode": mode, "max_items": max_items});
        if let Some(next) = &next {
            body["next_token"] = json!(next);
        }
        let page = server.operator("mrs_reconcile", &body).data();
        assert_eq!(page["mode"], mode);
        assert!(page["scanned"].as_u64() <= Some(max_items as u64), "{page}");
        let found = page["drift"].as_array().expect("a list");
        let mended = found
            .iter()
            .filter(|found| found["action"] != "none")
            .count();
        assert_eq!(page["repaired"], json!(mended), "{page}");
        drift.extend(found.iter().cloned());
        match page["next_token"].as_str() {
            Some(token) => next = Some(token.to_owned()),
            None => return drift,
        }
    }
}

/// Kind and subject of each, sorted.
fn told(drift: &[Value]) -> BTreeSet<Expected> {
    let kinds = [
        "missing-object",
        "orphan-object",
        "size-mismatch",
        "md5-mismatch",
        "stale-pending",
        "missing-index",
        "stale-index",
    ];
    let told = drift.iter().map(|found| {
        let kind = kinds.iter().find(|kind| found["kind"] == **kind);
        let subject = found.get("record_id").unwrap_or(&found["about"]);
        let subject = subject.as_str().expect("a text").to_owned();
        (*kind.expect("a kind of the contract"), subject)
    });
    told.collect()
}

/// The refusal of content that is known to be lost.
fn lost() -> (u16, String, String) {
    (409, "invalid-state".to_owned(), "content-lost".to_owned())
}

fn all_rows(dir: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let rows = damage::rows(dir);
    rows.rows()
        .map(|row| row.expect("a row"))
        .map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect()
}

#[test]
fn every_damage_is_named_once_and_mended_once() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let mut server = Inside::start_by(scratch.path(), clock.clone(), &[]);
    let far = Timestamp::from_millis(START_MS + 900 * HOUR_MS).to_string();
    for id in [
        "i-record",
        "i-list",
        "i-tag",
        "i-due",
        "i-altered",
        "i-garbage",
        "i-other",
        "i-wrong-status",
        "i-wrong-tag",
    ] {
        let body = json!({"orgcode": "demo", "container": CONTAINER, "record_id": id, "doom_at": far,
            "content_type": "application/json", "payload": {"id": id}, "tags": ["t"]});
        server.post("/mrs/record", &body).data();
    }
    damage::upload(&server, "healthy", "a healthy content", true);
    damage::upload(&server, "healthy", "a newer content", true);
    damage::upload(&server, "gone", "a content that goes", true);
    let meta = server.get(&format!(
        "/mrs/record/meta?orgcode=demo&container={CONTAINER}&record_id=gone"
    ));
    let body = json!({"orgcode": "demo", "container": CONTAINER, "record_id": "gone",
        "expected_revision": meta.json()["revision"]});
    server.post("/mrs/doom", &body).data();
    assert_eq!(told(&reconcile(&server, "report-only", 7)), BTreeSet::new());

    damage::upload(&server, "p-first", "never comes", false);
    damage::upload(&server, "p-over", "this came", true);
    damage::upload(&server, "p-over", "never comes", false);
    let mut expected = BTreeSet::from([
        ("stale-pending", "p-first".to_owned()),
        ("stale-pending", "p-over".to_owned()),
    ]);
    expected.extend(damage::spoil_files(&server));
    server.stop();
    let before = all_rows(scratch.path());
    expected.extend(damage::spoil_rows(scratch.path()));
    assert!(expected.len() >= 20);

    clock.advance(25 * HOUR_MS);
    let mut server = Inside::start_by(scratch.path(), clock.clone(), &[]);
    expected.insert(damage::break_off(&server));
    let found = reconcile(&server, "report-only", 5);
    assert_eq!(told(&found), expected);
    assert!(found.iter().all(|found| found["action"] == "none"));
    assert_eq!(told(&reconcile(&server, "report-only", 1_000)), expected);

    let mended = reconcile(&server, "repair", 3);
    assert_eq!(told(&mended), expected);
    assert!(
        mended
            .iter()
            .all(|found| found["action"] == found["remedy"]),
        "{mended:?}"
    );
    assert_eq!(
        told(&reconcile(&server, "report-only", 1_000)),
        BTreeSet::new()
    );
    assert_eq!(told(&reconcile(&server, "repair", 1_000)), BTreeSet::new());
    // What was lost says so; what was not is read as ever.
    let get = |id: &str, rest: &str| {
        server.get(&format!(
            "/mrs/record?orgcode=demo&container={CONTAINER}&record_id={id}{rest}"
        ))
    };
    for id in [
        "f-deleted",
        "f-truncated",
        "f-altered",
        "f-swapped-1",
        "f-moved",
    ] {
        assert_eq!(get(id, "").refusal(), lost(), "{id}");
    }
    assert_eq!(get("v-deleted", "&version=1").refusal(), lost());
    // The listing of versions and the facts about a record tell it as well.
    let listed = |id: &str| {
        let path =
            format!("/mrs/record/versions?orgcode=demo&container={CONTAINER}&record_id={id}");
        let listed = server.get(&path).data();
        let items = listed["items"].as_array().expect("versions").iter();
        items
            .map(|item| {
                (
                    item["version"].clone(),
                    item["lost"] == true,
                    item["kept_until"].is_string(),
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        listed("v-deleted"),
        [(json!(2), false, false), (json!(1), true, false)]
    );
    assert_eq!(
        listed("healthy"),
        [(json!(2), false, false), (json!(1), false, true)]
    );
    assert_eq!(listed("f-altered"), [(json!(1), true, false)]);
    let is_lost = |id: &str| {
        let path = format!("/mrs/record/meta?orgcode=demo&container={CONTAINER}&record_id={id}");
        server.get(&path).data()["content_lost"] == true
    };
    assert_eq!(
        ["f-altered", "v-deleted", "healthy"].map(is_lost),
        [true, false, false]
    );
    let table = crate::cli::run::g3n(
        &format!("mrs versions --container {CONTAINER} --record-id v-deleted --output table"),
        scratch.path(),
        &[
            ("G3N_BASE_URL", server.base_url.as_str()),
            ("G3N_SESSION_GUID", server.session_guid.as_str()),
            ("G3N_ORGCODE", "demo"),
        ],
        b"",
    );
    assert!(table.text().contains("lost"), "{table:?}");
    for (id, rest) in [
        ("v-deleted", ""),
        ("healthy", ""),
        ("healthy", "&version=1"),
        ("i-record", ""),
        ("i-garbage", ""),
    ] {
        assert_eq!(get(id, rest).status, 200, "{id}{rest}");
    }
    assert_eq!(get("p-first", "&include_doomed=true").refusal().1, "doomed");
    server.stop();
    // Nothing else has changed: the rows are those from before the damage, but for what is known to be lost, the two
    // uploads that were given up, the counters that count those, and the operators' acts.
    let after = all_rows(scratch.path());
    let changed = before.iter().filter(|row| after.get(row.0) != Some(row.1));
    let new = after.iter().filter(|row| !before.contains_key(row.0));
    for (key, _) in changed.chain(new) {
        let text = String::from_utf8_lossy(key);
        let given_up = text.contains("p-first") || text.contains("p-over");
        let is_other = matches!(key.first(), Some(b'u' | b'q' | b'o'));
        assert!(
            key.first() == Some(&b'x') || given_up || is_other,
            "{text:?}"
        );
    }
}

#[test]
fn content_that_is_back_is_given_out_again() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    let file = damage::uploaded(&server, "back", "a content");
    let kept = std::fs::read(&file).expect("read");
    std::fs::remove_file(&file).expect("removed");
    let found = reconcile(&server, "repair", 100);
    assert_eq!(
        told(&found),
        BTreeSet::from([("missing-object", "back".to_owned())])
    );
    let path = format!("/mrs/record?orgcode=demo&container={CONTAINER}&record_id=back");
    assert_eq!(server.get(&path).refusal(), lost());
    std::fs::write(&file, kept).expect("written");
    let found = reconcile(&server, "repair", 100);
    assert_eq!(found[0]["action"], "found-again");
    assert_eq!(server.get(&path).status, 200);
    assert_eq!(reconcile(&server, "report-only", 100), Vec::<Value>::new());
}
