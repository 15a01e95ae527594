//! Each tool against its route, by every kind of caller: the same data, or the same refusal.

use metarecord::client::Credential;
use metarecord::mcp::Needs;
use serde_json::{Value, json};

use super::{Agent, facts};
use crate::identity::{Town, record};
use crate::support::Got;

/// A kind of caller: its name, its credential, and the same as a header.
struct Kind {
    name: &'static str,
    credential: Credential,
    header: Vec<(&'static str, String)>,
}

impl Kind {
    fn session(name: &'static str, guid: &str) -> Self {
        Self {
            name,
            credential: Credential::SessionGuid(guid.to_owned()),
            header: vec![("x-session-guid", guid.to_owned())],
        }
    }

    fn key(name: &'static str, key: &str) -> Self {
        Self {
            name,
            credential: Credential::ApiKey(key.to_owned()),
            header: vec![("x-api-key", key.to_owned())],
        }
    }
}

/// What a route says that does what a tool does: its method, path and query, and its body.
fn direct(tool: &str) -> Option<(&'static str, &'static str, Value)> {
    let place = "orgcode=one&container=notes&record_id=there";
    let one = |body: Value| {
        let mut all = json!({"orgcode": "one", "container": "notes", "record_id": "there"});
        let members = all.as_object_mut().expect("an object");
        members.extend(body.as_object().expect("an object").clone());
        all
    };
    let leak = |path: String| -> &'static str { Box::leak(path.into_boxed_str()) };
    Some(match tool {
        "whoami" => ("GET", "/whoami", Value::Null),
        "containers_list" => ("GET", "/mrs/containers?orgcode=one", Value::Null),
        "records_list" => ("GET", "/mrs/list?orgcode=one", Value::Null),
        "record_get" => ("GET", leak(format!("/mrs/record?{place}")), Value::Null),
        "record_versions" => (
            "GET",
            leak(format!("/mrs/record/versions?{place}")),
            Value::Null,
        ),
        "record_history" => (
            "GET",
            leak(format!("/mrs/record/history?{place}")),
            Value::Null,
        ),
        "records_due" => ("GET", "/mrs/due?orgcode=one", Value::Null),
        "service_status" => ("GET", "/ops/ping", Value::Null),
        "maintenance_windows" => ("GET", "/ops/maintenance/list", Value::Null),
        // Each as what cannot be done, so that nothing changes whoever asks.
        "record_create" => (
            "POST",
            "/mrs/record",
            one(json!({"content_type": "application/json", "payload": 2})),
        ),
        "record_replace" => (
            "POST",
            "/mrs/record",
            one(json!({"content_type": "application/json", "payload": 2, "expected_revision": 9})),
        ),
        "record_tag" => (
            "POST",
            "/mrs/tag/add",
            one(json!({"tags": ["X"], "expected_revision": 9})),
        ),
        "record_ttl_set" => (
            "POST",
            "/mrs/ttl/set",
            one(json!({"doom_at": "2036-01-01T00:00:00Z", "expected_revision": 9})),
        ),
        "record_hold_set" => (
            "POST",
            "/mrs/hold/set",
            one(json!({"reason": "r", "expected_revision": 9})),
        ),
        "record_doom" => ("POST", "/mrs/doom", one(json!({"expected_revision": 9}))),
        _ => return None,
    })
}

/// The arguments of a tool that ask for the same.
fn arguments(tool: &str) -> Value {
    let place = json!({"orgcode": "one", "container": "notes", "record_id": "there"});
    let with = |more: Value| {
        let mut all = place.clone();
        let members = all.as_object_mut().expect("an object");
        members.extend(more.as_object().expect("an object").clone());
        all
    };
    match tool {
        "whoami" | "service_status" | "maintenance_windows" => json!({}),
        "containers_list" | "records_list" | "records_due" => json!({"orgcode": "one"}),
        "record_create" => with(json!({"payload": 2})),
        "record_replace" => with(json!({"payload": 2, "expected_revision": 9})),
        "record_tag" => with(json!({"add": ["X"], "expected_revision": 9})),
        "record_ttl_set" => {
            with(json!({"doom_at": "2036-01-01T00:00:00Z", "expected_revision": 9}))
        }
        "record_hold_set" => with(json!({"reason": "r", "expected_revision": 9})),
        "record_doom" => with(json!({"reason": "r", "expected_revision": 9})),
        _ => place,
    }
}

/// The parts of a refusal that a caller sees.
fn refusal_of(got: &Got) -> Value {
    let error = &got.json()["error"];
    json!([
        error["major"]["tag"],
        error["minor"]["tag"],
        error["major"]["message"]["en_US"]
    ])
}

#[test]
fn each_tool_says_what_its_route_says_to_every_kind_of_caller() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let (ann, bob, eve) = (town.person("ann"), town.person("bob"), town.person("eve"));
    town.org("one", &ann);
    town.org("two", &eve);
    town.join(&ann, "one", &bob, "member");
    let (_, _, reader) = town.key(&ann, "one", "mrs_reader");
    let (_, _, writer) = town.key(&ann, "one", "mrs_writer");
    town.by(&ann, "/mrs/record", &record("one", "there")).data();
    let kinds = [
        Kind::session("owner", &ann.session),
        Kind::session("member", &bob.session),
        Kind::session("stranger", &eve.session),
        Kind::key("reader", &reader),
        Kind::key("writer", &writer),
        Kind {
            name: "nobody",
            credential: Credential::None,
            header: Vec::new(),
        },
    ];
    let mut seen = 0;
    for kind in kinds {
        let agent = Agent::of(&town.server.base_url, kind.credential);
        let headers: Vec<_> = kind
            .header
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        for tool in agent.toolbox.list(&super::tenant()) {
            let (method, path, body) = direct(tool.spec().name)
                .unwrap_or_else(|| panic!("{} is not compared", tool.spec().name));
            let got = town
                .server
                .call(method, path, &headers, (method == "POST").then_some(&body));
            let result = agent.call(tool.spec().name, arguments(tool.spec().name));
            let shown = facts(&result);
            let about = format!("{} by the {}: {shown}", tool.spec().name, kind.name);
            assert_eq!(
                result.is_error,
                got.status != 200,
                "{about}; {}",
                got.json()
            );
            if result.is_error {
                let same = json!([shown["tag"], shown.get("minor"), shown["message"]]);
                assert_eq!(same, refusal_of(&got), "{about}");
                seen += 1;
            } else if matches!(tool.spec().needs, Needs::Read) {
                same_data(&got.data(), &shown, &about);
            }
        }
    }
    assert!(seen > 30, "{seen} refusals were compared");
}

/// Whatever a tool shows of an answer is as it is there.
fn same_data(data: &Value, shown: &Value, about: &str) {
    match data.get("items").and_then(Value::as_array) {
        Some(items) => {
            let shown = shown["items"].as_array().expect("items");
            assert_eq!(items.len(), shown.len(), "{about}");
            for (item, shown) in items.iter().zip(shown) {
                match shown.as_object() {
                    Some(members) => {
                        for (name, value) in members.iter().filter(|(name, _)| *name != "held") {
                            assert_eq!(&item[name], value, "{about} {name}");
                        }
                    }
                    None => assert_eq!(&item["container"], shown, "{about}"),
                }
            }
        }
        None => {
            for name in [
                "record_id",
                "revision",
                "content_md5",
                "tags",
                "status",
                "created_by",
            ] {
                assert_eq!(data[name], shown[name], "{about} {name}");
            }
        }
    }
}

#[test]
fn an_absent_record_and_a_foreign_one_read_the_same() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let (ann, eve) = (town.person("ann"), town.person("eve"));
    town.org("one", &ann);
    town.org("two", &eve);
    town.by(&ann, "/mrs/record", &record("one", "there")).data();
    let agent = Agent::of(
        &town.server.base_url,
        Credential::SessionGuid(eve.session.clone()),
    );
    let place =
        |org: &str, id: &str| json!({"orgcode": org, "container": "notes", "record_id": id});
    let change = |org: &str, id: &str| {
        let mut change = place(org, id);
        change["reason"] = "r".into();
        change["expected_revision"] = 1.into();
        change
    };
    for (name, arguments) in [
        ("record_get", &place as &dyn Fn(&str, &str) -> Value),
        ("record_history", &place),
        ("record_versions", &place),
        ("record_doom", &change),
    ] {
        let mut refusals = Vec::new();
        for (org, id) in [
            ("one", "there"),
            ("one", "gone"),
            ("none", "there"),
            ("two", "gone"),
        ] {
            let mut error = agent.bad(name, arguments(org, id));
            error
                .as_object_mut()
                .expect("an object")
                .remove("request_id");
            refusals.push(error);
        }
        assert_eq!(refusals[0]["tag"], "not-found");
        assert!(
            refusals.windows(2).all(|two| two[0] == two[1]),
            "{name}: {refusals:?}"
        );
    }
}

#[test]
fn the_org_is_the_callers_only_one_and_is_asked_for_with_several() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let ann = town.person("ann");
    town.org("one", &ann);
    let agent = Agent::of(
        &town.server.base_url,
        Credential::SessionGuid(ann.session.clone()),
    );
    assert_eq!(agent.good("records_list", json!({}))["count"], 0);
    town.org("two", &ann);
    let error = agent.bad("records_list", json!({}));
    assert_eq!(error["tag"], "invalid-orgcode");
    assert!(
        error["next"]
            .as_str()
            .is_some_and(|next| next.contains("whoami")),
        "{error}"
    );
    assert_eq!(
        agent.good("records_list", json!({"orgcode": "two"}))["count"],
        0
    );
}
