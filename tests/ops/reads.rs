//! What operators read: all vacuums and windows, the journal, and the last hour of some metrics.

use serde_json::{Value, json};

use crate::support::inside::{Inside, invoke};
use crate::support::{agent, eventually};

/// The functions, each with a body that it takes.
fn reads() -> [(&'static str, Value); 5] {
    [
        ("ops_vacuum_list", json!({})),
        ("ops_maintenance_list", json!({})),
        ("ops_maintenance_get", json!({"maintenance_id": "none"})),
        ("journal_read", json!({})),
        ("metrics_recent", json!({})),
    ]
}

fn items(server: &Inside, function: &str, body: &Value) -> Vec<Value> {
    let (mut all, mut body) = (Vec::new(), body.clone());
    loop {
        let page = server.operator(function, &body).data();
        all.extend(page["items"].as_array().expect("items").iter().cloned());
        match page["next_token"].as_str() {
            Some(token) => body["next_token"] = json!(token),
            None => return all,
        }
    }
}

#[test]
fn reading_needs_the_scope_read_and_a_known_body() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    for (scope, allowed) in [
        ("metrics", false),
        ("read", true),
        ("tenants", false),
        ("destroy", false),
        ("all", true),
    ] {
        let made = json!({"name": format!("of-{scope}"), "scopes": [scope]});
        let token = server.operator("ops_token_create", &made).data();
        let token = token["operator_token"].as_str().expect("a token");
        for (function, body) in reads() {
            let got = invoke(&agent(), &server.operator_url, token, function, &body);
            let refused = got.status == 403;
            assert_eq!(refused, !allowed, "{function} with {scope}: {}", got.json());
        }
    }
    for (function, mut body) in reads() {
        let got = invoke(&agent(), &server.operator_url, "op_wrong", function, &body);
        assert_eq!(got.status, 403, "{function}");
        body["unknown"] = json!(1);
        let refused = server.operator(function, &body).refusal();
        assert_eq!(
            (refused.0, refused.1.as_str()),
            (400, "invalid-input"),
            "{function}"
        );
    }
}

#[test]
fn vacuums_are_listed_newest_first_by_status_and_org() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    assert!(items(&server, "ops_vacuum_list", &json!({})).is_empty());
    let owner = json!({"orgcode": "ACME", "owner_email": "demo@example.com"});
    server.operator("ofm_org_create", &owner).data();
    let mut made = Vec::new();
    // All of one millisecond: this clock does not move by itself.
    for org in ["DEMO", "ACME", "DEMO", "ACME", "DEMO"] {
        let dry_run = json!({"orgcode": org, "reason": "count", "dry_run": true});
        let vacuum = server.invoke("ops_vacuum_org", dry_run).data();
        let id = vacuum["vacuum_id"].clone();
        eventually("it has counted", || {
            let shown = server.operator("ops_vacuum_status", &json!({"vacuum_id": id}));
            shown.data()["status"] == "completed"
        });
        made.push((id, org));
    }
    let pending = json!({"orgcode": "ACME", "reason": "left"});
    let pending = server.invoke("ops_vacuum_org", pending).data()["vacuum_id"].clone();
    made.push((pending.clone(), "ACME"));
    made.reverse();
    let ids = |body: &Value| -> Vec<Value> {
        let all = items(&server, "ops_vacuum_list", body);
        all.iter().map(|item| item["vacuum_id"].clone()).collect()
    };
    let of = |org: Option<&str>| -> Vec<Value> {
        let its = made
            .iter()
            .filter(|(_, its)| org.is_none_or(|org| org == *its));
        its.map(|(id, _)| id.clone()).collect()
    };
    for limit in [1, 2, 256] {
        assert_eq!(ids(&json!({"limit": limit})), of(None));
        assert_eq!(
            ids(&json!({"limit": limit, "orgcode": "demo"})),
            of(Some("DEMO"))
        );
    }
    assert_eq!(
        ids(&json!({"status": "pending"})),
        std::slice::from_ref(&pending)
    );
    assert_eq!(
        ids(&json!({"status": "completed", "orgcode": "ACME"})),
        of(Some("ACME"))[1..]
    );
    assert!(ids(&json!({"orgcode": "NONE"})).is_empty());
    let refused = server.operator("ops_vacuum_list", &json!({"status": "done"}));
    assert_eq!(refused.refusal().1, "invalid-status");
    let shown = server
        .operator("ops_vacuum_status", &json!({"vacuum_id": pending}))
        .data();
    assert_eq!(items(&server, "ops_vacuum_list", &json!({}))[0], shown);
    // A token of one list is none of another.
    let token = server
        .operator("ops_vacuum_list", &json!({"limit": 1}))
        .data()["next_token"]
        .clone();
    for (function, body) in [
        (
            "ops_vacuum_list",
            json!({"next_token": token, "orgcode": "ACME"}),
        ),
        ("ops_maintenance_list", json!({"next_token": token})),
        ("journal_read", json!({"next_token": token})),
    ] {
        assert_eq!(
            server.operator(function, &body).refusal().1,
            "invalid-next-token"
        );
    }
}

#[test]
fn windows_are_shown_with_who_changed_them() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    let schedule = |description: &str| {
        let start = server.clock.now().plus_millis(3_600_000).to_string();
        let body = json!({"description": description, "duration": 600, "start": start,
            "actor": "Ada", "reason": "disk"});
        server.invoke("ops_maintenance_schedule", body).data()["maintenance_id"].clone()
    };
    let (first, second) = (schedule("first"), schedule("second"));
    let call = |function: &str, more: Value| {
        let mut body = json!({"maintenance_id": second, "actor": "Bob"});
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("fields").clone());
        server.invoke(function, body).data();
    };
    call("ops_maintenance_start", json!({}));
    for number in 0..20 {
        call(
            "ops_maintenance_update",
            json!({"text": format!("step {number}")}),
        );
    }
    call("ops_maintenance_end", json!({"end_message": "over"}));
    let listed = items(&server, "ops_maintenance_list", &json!({"limit": 1}));
    let ids: Vec<_> = listed
        .iter()
        .map(|window| &window["maintenance_id"])
        .collect();
    assert_eq!(ids, [&second, &first]);
    let shown = &listed[0];
    assert_eq!(
        (&shown["updates_total"], &shown["events_more"]),
        (&json!(20), &json!(true))
    );
    let texts: Vec<_> = shown["updates"]
        .as_array()
        .expect("updates")
        .iter()
        .collect();
    assert_eq!((texts.len(), &texts[15]["text"]), (16, &json!("step 19")));
    let one = server
        .operator("ops_maintenance_get", &json!({"maintenance_id": second}))
        .data();
    assert_eq!(one["updates"].as_array().map(Vec::len), Some(20));
    let events = one["events"].as_array().expect("events");
    let told = |event: &Value| json!([event["event"], event["actor"]]);
    assert_eq!(events.len(), 23);
    assert_eq!(told(&events[0]), json!(["maintenance.scheduled", "Ada"]));
    assert_eq!(told(&events[22]), json!(["maintenance.ended", "Bob"]));
    assert!(
        events
            .iter()
            .all(|event| event["by"] == "operator" && event["at"].is_string())
    );
    let of =
        |status: &str| items(&server, "ops_maintenance_list", &json!({"status": status})).len();
    assert_eq!([of("scheduled"), of("ended"), of("active")], [1, 1, 0]);
    let absent = server.operator("ops_maintenance_get", &json!({"maintenance_id": "none"}));
    assert_eq!(absent.refusal().0, 404);
    // Tenants do not see who.
    let tenants = server.get("/ops/maintenance/list").json();
    assert!(!tenants.to_string().contains("Bob"), "{tenants}");
}

#[test]
fn recent_metrics_grow_by_a_sample_every_ten_seconds() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    let samples = || {
        let shown = server.operator("metrics_recent", &json!({})).data();
        shown["times"].as_array().expect("times").len()
    };
    eventually("there is a first sample", || samples() == 1);
    for number in 0..12 {
        server.put("notes", &format!("n-{number}"), &json!(number));
    }
    server.clock.advance(10_000);
    eventually("there is a second one", || samples() == 2);
    let shown = server.operator("metrics_recent", &json!({})).data();
    let all = shown["items"].as_array().expect("series");
    let named = |name: &str| {
        let mut found = all.iter().filter(|series| series["name"] == name);
        found
            .next()
            .unwrap_or_else(|| panic!("{name}: {shown}"))
            .clone()
    };
    assert!((20..=30).contains(&all.len()), "{}", all.len());
    let unknown = all.iter().filter(|series| series["last"].is_null());
    let unknown: Vec<_> = unknown.map(|series| series["name"].clone()).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let requests = named("requests");
    assert_eq!(requests["values"][0], Value::Null);
    assert!(
        requests["last"].as_f64().is_some_and(|rate| rate >= 1.2),
        "{requests}"
    );
    assert!(
        named("journal_entries")["max"]
            .as_f64()
            .is_some_and(|rate| rate >= 1.2)
    );
    for name in [
        "memory_bytes",
        "open_files",
        "free_bytes",
        "journal_position",
        "connections",
    ] {
        let series = named(name);
        assert!(
            series["last"].is_i64() && series["values"][0].is_i64(),
            "{series}"
        );
    }
    assert_eq!(named("journal_writable")["values"], json!([1, 1]));
    let few = json!({"minutes": 1, "names": ["requests"]});
    let few = server.operator("metrics_recent", &few).data();
    assert_eq!(few["items"].as_array().map(Vec::len), Some(1));
    for wrong in [
        json!({"minutes": 0}),
        json!({"minutes": 61}),
        json!({"names": ["nothing"]}),
    ] {
        let refused = server.operator("metrics_recent", &wrong).refusal();
        assert_eq!(
            (refused.0, refused.1.as_str()),
            (400, "invalid-input"),
            "{wrong}"
        );
    }
}
