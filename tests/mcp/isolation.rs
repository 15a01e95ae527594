//! What is one org's stays there: no tool, resource or completion answers for an org that the credential does not belong to,
//! nor lets anything of it turn up in an answer about another.

use std::time::Duration;

use metarecord::clock::Clock;
use metarecord::clock::Stopwatch;
use metarecord::domain::Timestamp;
use metarecord::http::openapi;
use metarecord::http::routes::{ROUTES, STREAMED};
use metarecord::mcp::{Surface, Toolbox};
use serde_json::{Value, json};

use super::agent::Client;
use crate::identity::canaries::check;
use crate::identity::{Person, Town};
use crate::support::Got;
use crate::support::inside::{Inside, START_MS};

/// What an answer that conceals takes at least.
const SPAN: Duration = Duration::from_millis(2);
/// What the owner of each org keeps there, in every place that takes a text.
const CANARIES: [&str; 2] = ["canaryone7f3a91c2", "canarytwo5b8d60e4"];
const ORGS: [&str; 2] = ["ONE", "TWO"];

/// A server with agents that may change things, and two orgs that have nothing to do with each other.
fn start(dir: &std::path::Path) -> (Town, [Person; 2]) {
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let sets = [
        "mcp.mode=write",
        "mcp.urls=true",
        "mcp.calls_per_minute=0",
        "limits.principal_per_second=0",
        "limits.address_per_second=0",
    ];
    let town = Town {
        server: Inside::start_by(dir, clock, &sets),
    };
    let people = [town.person("ann"), town.person("eve")];
    for (person, org) in people.iter().zip(ORGS) {
        town.org(org, person);
    }
    (town, people)
}

/// Every tool of tenants, whatever a credential shows of them.
fn tools() -> Vec<&'static str> {
    let document = openapi::document(ROUTES, STREAMED).expect("the document");
    let toolbox = Toolbox::new(&document).expect("the tools");
    let tools = toolbox.all().iter();
    let tools = tools.filter(|tool| tool.spec().surface == Surface::Tenant);
    tools.map(|tool| tool.spec().name).collect()
}

/// Arguments with which a tool does something in an org; `None` of a tool that is about no org.
fn arguments(tool: &str, org: &str, container: &str, record_id: &str) -> Option<Value> {
    let more = match tool {
        "whoami" | "service_status" | "maintenance_windows" => return None,
        "containers_list" | "records_list" | "records_due" => return Some(json!({"orgcode": org})),
        "record_get" => json!({"include_doomed": true}),
        "record_versions" | "record_history" => json!({}),
        "record_create" => json!({"payload": {"a": 2}, "reason": "r"}),
        "record_replace" => json!({"payload": {"a": 2}, "expected_revision": 1}),
        "record_tag" => json!({"add": ["X"], "expected_revision": 1}),
        "record_ttl_set" => json!({"doom_at": "2036-01-01T00:00:00Z", "expected_revision": 1}),
        "record_hold_set" | "record_doom" => json!({"reason": "r", "expected_revision": 1}),
        "record_upload_begin" => json!({"content_type": "text/plain", "size": 9,
            "content_md5": "0".repeat(32), "expected_revision": 1}),
        "record_upload_complete" => {
            json!({"content_token": "x", "size": 9, "content_md5": "0".repeat(32)})
        }
        other => panic!("{other} is tried here in no org"),
    };
    let mut all = json!({"orgcode": org, "container": container, "record_id": record_id});
    for (name, value) in more.as_object().expect("an object") {
        all[name] = value.clone();
    }
    Some(all)
}

/// What a client is answered, without what is of one request alone.
fn lasting(got: &Got) -> String {
    let json = got.json();
    let said = json["result"]["content"][0]["text"].as_str();
    let mut said: Value = said.map_or(json["error"].clone(), |text| {
        serde_json::from_str(text).expect("facts are JSON")
    });
    for facts in ["/request_id", "/data/request_id", "/data/uri"] {
        if let Some(id) = said.pointer_mut(facts) {
            *id = Value::Null;
        }
    }
    said.to_string()
}

/// Everything that is of one org: a record with its canary in each place that takes a text.
fn fill(town: &Town, owner: &Person, org: &str, canary: &str) {
    let body = json!({"orgcode": org, "container": canary, "record_id": canary, "content_type": "application/json",
        "payload": {"said": canary}, "tags": [canary], "reason": canary, "actor": canary});
    town.by(owner, "/mrs/record", &body).data();
    let body = json!({"orgcode": org, "container": canary, "record_id": canary, "expected_revision": 1,
        "doom_at": "2036-01-01T00:00:00Z", "reason": canary});
    town.by(owner, "/mrs/ttl/set", &body).data();
}

fn client(town: &Town, name: &'static str, secret: &str) -> Client {
    Client::new(format!("{}/mcp", town.server.base_url), name, secret)
}

#[test]
fn no_tool_answers_for_an_org_of_others() {
    let dir = tempfile::tempdir().expect("a directory");
    let (town, [ann, eve]) = start(dir.path());
    fill(&town, &ann, ORGS[0], CANARIES[0]);
    let state = |path: &str| {
        let path = format!(
            "{path}?orgcode=ONE&container={}&record_id={}",
            CANARIES[0], CANARIES[0]
        );
        let headers = [("x-session-guid", ann.session.as_str())];
        town.server.call("GET", &path, &headers, None).data()
    };
    let before = [state("/mrs/record/history"), state("/mrs/record/meta")];
    let (_, _, reader) = town.key(&eve, ORGS[1], "mrs_reader");
    let (_, _, writer) = town.key(&eve, ORGS[1], "mrs_writer");
    for (name, secret) in [
        ("x-session-guid", &eve.session),
        ("x-api-key", &reader),
        ("x-api-key", &writer),
    ] {
        let client = client(&town, name, secret);
        for tool in tools() {
            let call = |org: &str| {
                let arguments = arguments(tool, org, CANARIES[0], CANARIES[0])?;
                let since = Stopwatch::start();
                let got = client.ask("tools/call", json!({"name": tool, "arguments": arguments}));
                assert!(since.elapsed() >= SPAN, "{tool}: {:?}", since.elapsed());
                Some(got)
            };
            let Some(absent) = call("ABSENT") else {
                continue;
            };
            let wanted = lasting(&absent);
            assert!(wanted.contains("\"not-found\""), "{tool}: {wanted}");
            for org in ["ONE", "one"] {
                let got = call(org).expect("an answer");
                assert_eq!(lasting(&got), wanted, "{tool} of {org} by {name}");
            }
        }
    }
    assert_eq!(
        before,
        [state("/mrs/record/history"), state("/mrs/record/meta")]
    );
}

#[test]
fn nor_does_any_resource_or_completion() {
    let dir = tempfile::tempdir().expect("a directory");
    let (town, [ann, eve]) = start(dir.path());
    fill(&town, &ann, ORGS[0], CANARIES[0]);
    let client = client(&town, "x-session-guid", &eve.session);
    let canary = CANARIES[0];
    for rest in ["", "?version=1", "?version=9"] {
        let read = |org: &str| {
            let uri = format!("metarecord://{org}/{canary}/{canary}{rest}");
            lasting(&client.ask("resources/read", json!({ "uri": uri })))
        };
        assert_eq!(read("ONE"), read("ABSENT"), "{rest}");
    }
    let read = |org: &str| {
        let uri = format!("metarecord://{org}/{canary}");
        lasting(&client.ask("resources/read", json!({ "uri": uri })))
    };
    assert_eq!(read("ONE"), read("ABSENT"));
    for (name, chosen) in [
        ("container", json!({"orgcode": "ONE"})),
        ("record_id", json!({"orgcode": "ONE", "container": canary})),
        ("orgcode", json!({})),
    ] {
        for value in ["", "c", "O"] {
            let params = json!({"ref": {"type": "ref/resource",
                "uri": "metarecord://{orgcode}/{container}/{record_id}"},
                "argument": {"name": name, "value": value}, "context": {"arguments": chosen}});
            let completed = client.ask("completion/complete", params).json();
            let values = &completed["result"]["completion"]["values"];
            let own = json!(["TWO"]);
            assert!(
                *values == json!([]) || *values == own && name == "orgcode",
                "{name}: {completed}"
            );
        }
    }
    let listed = client.ask("resources/list", json!({}));
    check("the list of resources", &listed.bytes, &CANARIES[..1]);
}

#[test]
fn what_each_org_keeps_turns_up_in_its_own_answers_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let (town, people) = start(dir.path());
    let mut secrets = vec![town.server.operator_token().to_owned()];
    secrets.push(town.server.secret_code.clone());
    let mut keys = Vec::new();
    for ((owner, org), canary) in people.iter().zip(ORGS).zip(CANARIES) {
        fill(&town, owner, org, canary);
        let (_, _, key) = town.key(owner, org, "mrs_writer");
        secrets.extend([key.clone(), owner.session.clone()]);
        keys.push(key);
    }
    let secrets: Vec<_> = secrets.iter().map(String::as_str).collect();
    for (number, (owner, key)) in people.iter().zip(&keys).enumerate() {
        let (own, other) = (CANARIES[number], CANARIES[1 - number]);
        let never = [secrets.as_slice(), &[other]].concat();
        for (name, secret) in [("x-session-guid", &owner.session), ("x-api-key", key)] {
            let client = client(&town, name, secret);
            let mut seen = 0;
            let mut look = |method: &str, params: Value| {
                let got = client.ask(method, params);
                check(method, &got.bytes, &never);
                seen += usize::from(String::from_utf8_lossy(&got.bytes).contains(own));
            };
            for tool in tools() {
                let about = arguments(tool, ORGS[number], own, own).unwrap_or(json!({}));
                look("tools/call", json!({"name": tool, "arguments": about}));
                // What is wrong with it is said of the caller's own arguments.
                let mut wrong = about.clone();
                wrong["colour"] = json!("red");
                look("tools/call", json!({"name": tool, "arguments": wrong}));
            }
            let uri = format!("metarecord://{}/{own}/{own}", ORGS[number]);
            look("resources/read", json!({ "uri": uri }));
            for method in [
                "resources/list",
                "tools/list",
                "prompts/list",
                "server/discover",
            ] {
                look(method, json!({}));
            }
            assert!(
                seen > 6,
                "{name}: {seen} answers have what is the org's own"
            );
        }
    }
}
