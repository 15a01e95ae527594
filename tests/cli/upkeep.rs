//! Versions and upkeep by the command line: the operators' lines as they are written, page by page or all at once.

use metarecord::clock::Clock;
use metarecord::domain::Timestamp;
use serde_json::{Value, json};

use super::ops::{AppState, text};
use crate::support::inside::Inside;

/// A time long before this test: 2021-01-01T00:00:00Z.
const LONG_AGO_MS: i64 = 1_609_459_200_000;
const TAG_SCRUB: &str =
    "g3n mrs tag-scrub --profile g3nretailstack --orgcode $ORG --container demo --max-items 2";
const CLEANUP: &str =
    "g3n mrs cleanup --profile g3nretailstack --orgcode $ORG --container demo --max-items 2";
const DEMO: &[(&str, &str)] = &[("ORG", "DEMO")];

/// A server with five records of long ago, each put twice, of which the first is doomed.
fn app() -> AppState {
    let files = tempfile::tempdir().expect("a directory");
    let past = Clock::manual(Timestamp::from_millis(LONG_AGO_MS));
    let mut past = Inside::start_by(&files.path().join("data"), past, &[]);
    for id in 0..5 {
        past.put("demo", &format!("n{id}"), &json!("old"));
        let over = json!({"orgcode": "demo", "container": "demo", "record_id": format!("n{id}"), "payload": "new",
            "content_type": "application/json", "expected_revision": 1});
        past.post("/mrs/record", &over).data();
    }
    let doom =
        json!({"orgcode": "demo", "container": "demo", "record_id": "n0", "expected_revision": 2});
    past.post("/mrs/doom", &doom).data();
    past.stop();
    AppState::open_in(files, &[])
}

fn removed(versions: u64, doomed_content: u64) -> Value {
    json!({"versions": versions, "doomed_content": doomed_content, "uploads": 0, "idempotency": 0})
}

#[test]
fn upkeep_commands_page_with_their_tokens() {
    let app = app();
    let page = app.run(CLEANUP, DEMO).data();
    assert_eq!(page["removed"], removed(1, 1));
    let token = text(&page, "next_token");
    let more = [DEMO[0], ("NEXT_TOKEN", token.as_str())];
    let next = app.run(&format!("{CLEANUP} --next-token \"$NEXT_TOKEN\""), &more);
    assert_eq!(next.data()["removed"], removed(2, 0));
    let foreign = app.run(&format!("{TAG_SCRUB} --next-token \"$NEXT_TOKEN\""), &more);
    assert_eq!(foreign.refusal(), (1, "invalid-next-token".to_owned()));

    let all = app.run(&format!("{CLEANUP} --all --retention-days 30"), DEMO);
    assert_eq!(all.data()["removed"], removed(2, 0));
    let scrubbed = app.run(&format!("{TAG_SCRUB} --all"), DEMO);
    assert_eq!(scrubbed.data(), json!({"scanned": 5, "removed": 1}));
    let told: Vec<_> = scrubbed.stderr.lines().collect();
    assert_eq!(told, ["2 checked so far", "4 checked so far"]);
    assert_eq!(
        app.run(&format!("{TAG_SCRUB} --all"), DEMO).data(),
        json!({"scanned": 4, "removed": 0})
    );

    let missing = CLEANUP.replace("demo", "missing");
    assert_eq!(
        app.run(&missing, DEMO).refusal(),
        (5, "not-found".to_owned())
    );
    let table = app.run(&format!("{CLEANUP} --output table"), DEMO).text();
    assert!(table.contains("removed.versions"), "{table}");
}

#[test]
fn versions_are_listed_and_one_of_them_is_read() {
    let app = app();
    let list = "g3n mrs versions --container demo --record-id n1";
    let items = app.run(list, &[]).data()["items"].clone();
    assert_eq!(
        (&items[0]["current"], &items[1]["why"]),
        (&json!(true), &json!("replaced"))
    );
    let page = app.run(&format!("{list} --limit 1"), &[]).data();
    let more = [("NEXT_TOKEN", text(&page, "next_token"))];
    let more = [(more[0].0, more[0].1.as_str())];
    let page = app
        .run(
            &format!("{list} --limit 1 --next-token \"$NEXT_TOKEN\""),
            &more,
        )
        .data();
    assert_eq!(
        (&page["items"], page.get("next_token")),
        (&json!([items[1]]), None)
    );
    let table = app.run(&format!("{list} --output table"), &[]).text();
    for shown in ["kept_until", "replaced", "application/json"] {
        assert!(table.contains(shown), "{table}");
    }
    let get = "g3n mrs get --container demo --version 1 --record-id";
    assert_eq!(app.run(&format!("{get} n1"), &[]).text(), "\"old\"");
    assert_eq!(
        app.run(&format!("{get} n0 --include-doomed"), &[]).text(),
        "\"old\""
    );
    assert_eq!(app.run(&format!("{get} n0"), &[]).code, 5);
    app.run(CLEANUP, DEMO).data();
    app.run(CLEANUP, DEMO).data();
    assert_eq!(app.run(&format!("{get} n1"), &[]).code, 5);
    assert_eq!(
        app.run("g3n mrs versions --container demo --record-id n0", &[])
            .code,
        5
    );
}

#[test]
fn a_reconcile_walks_all_pages_tells_how_far_it_is_and_mends() {
    let app = app();
    let line = "g3n mrs reconcile --profile g3nretailstack --orgcode $ORG --container demo --mode report-only --max-items 10";
    let page = app.run(line, DEMO).data();
    assert_eq!(
        (&page["mode"], &page["repaired"]),
        (&json!("report-only"), &json!(0))
    );
    let token = text(&page, "next_token");
    let more = [DEMO[0], ("NEXT_TOKEN", token.as_str())];
    let next = app.run(&format!("{line} --next-token \"$NEXT_TOKEN\""), &more);
    assert_eq!(next.data()["drift"], json!([]));
    let stray = app.dir().join("data/content/DEMO/stray.gz");
    std::fs::create_dir_all(stray.parent().expect("a directory")).expect("made");
    std::fs::write(&stray, b"mine").expect("written");
    let all = line.replace("--max-items 10", "--all");
    let found = app.run(&format!("{all} --max-items 4"), DEMO);
    let data = found.data();
    assert_eq!(data["drift"][0]["kind"], "orphan-object", "{data}");
    assert!(
        found.stderr.contains("4 checked so far"),
        "{}",
        found.stderr
    );
    let mended = app.run(&all.replace("report-only", "repair"), DEMO).data();
    assert_eq!((&mended["repaired"], stray.exists()), (&json!(1), false));
    assert_eq!(app.run(&all, DEMO).data()["drift"], json!([]));
}
