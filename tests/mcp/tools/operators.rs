//! Tools of operators: what they read, what takes two steps, and that no tool erases or shows the secret code.

use metarecord::mcp::{Audience, Door, Mode};
use serde_json::{Value, json};

use super::{Agent, operator};
use crate::support::Server;

pub(super) fn agent(server: &Server) -> Agent {
    let urls = (server.base_url.as_str(), server.operator_url.as_str());
    Agent::operators(urls, &server.operator_token, &server.secret_code)
}

pub(super) fn schedule(agent: &Agent) -> String {
    let body = json!({"description": "a larger disk", "start": "2036-03-01T02:00:00Z", "duration_seconds": 3600, "reason": "disk"});
    let window = agent.good("maintenance_schedule", body);
    window["maintenance_id"].as_str().expect("an id").to_owned()
}

#[test]
fn operators_read_what_their_functions_say() {
    let server = Server::start();
    let agent = agent(&server);
    let org = server.orgcode.as_str();
    let made = server.post("/mrs/record", &json!({"orgcode": org, "container": "notes", "record_id": "a", "content_type": "application/json", "payload": 1}));
    let request_id = made.header("x-request-id").expect("an id").to_owned();
    assert_eq!(agent.good("service_status", json!({}))["status"], "ok");
    let jobs = agent.good("jobs_list", json!({}));
    let first = jobs["items"][0]["job"].clone();
    assert_eq!(agent.good("jobs_list", json!({"job": first}))["job"], first);
    let traced = agent.good("request_trace", json!({"request_id": request_id}));
    assert_eq!(
        traced["items"][0]["events"][0], "record.created",
        "{traced}"
    );
    let holds = agent.good("holds_list", json!({"orgcode": org}));
    assert_eq!(holds["orgcode"], org);
    let drift = agent.good(
        "drift_report",
        json!({"orgcode": org, "container": "notes"}),
    );
    assert_eq!(drift["mode"], "report-only");
    assert!(drift["scanned"].as_u64() > Some(0), "{drift}");
    assert!(agent.good("audit_list", json!({"limit": 2}))["items"].is_array());
    assert_eq!(agent.bad("vacuum_status", json!({}))["tag"], "not-found");
    let nothing = agent.good(
        "drift_repair",
        json!({"orgcode": org, "container": "notes", "reason": "r"}),
    );
    assert_eq!(nothing["changed"], false);
}

#[test]
fn a_job_is_controlled_and_the_audit_names_the_agent() {
    let server = Server::start();
    let agent = agent(&server);
    let job = agent.good("jobs_list", json!({}))["items"][0]["job"].clone();
    for (action, state) in [("pause", "paused"), ("resume", "")] {
        let done = agent.good(
            "job_control",
            json!({"job": job, "action": action, "reason": "a test"}),
        );
        assert!(state.is_empty() || done["state"] == state, "{done}");
    }
    let audit = agent.good("audit_list", json!({"subject": job}));
    let row = &audit["items"][0];
    assert!(row.to_string().contains("mcp:tests/1"), "{audit}");
}

#[test]
fn a_vacuum_is_counted_and_left_to_a_person() {
    let server = Server::start();
    let agent = agent(&server);
    let org = server.orgcode.as_str();
    let made = server.post("/mrs/record", &json!({"orgcode": org, "container": "notes", "record_id": "a", "content_type": "application/json", "payload": 1}));
    assert_eq!(made.status, 200);
    for arguments in [
        json!({"orgcode": org, "reason": "tidy"}),
        json!({"reason": "tidy"}),
    ] {
        let counted = agent.good("vacuum_dry_run", arguments);
        let plan = counted["vacuum"]["plan_id"].as_str().expect("a plan");
        let command = counted["for_a_person"].as_str().expect("a command");
        assert!(
            command.starts_with("g3n ops vacuum-") && command.ends_with(plan),
            "{command}"
        );
        assert_eq!(counted["vacuum"]["dry_run"], true, "{counted}");
    }
    assert_eq!(
        server
            .get(
                "/mrs/record",
                &[("orgcode", org), ("container", "notes"), ("record_id", "a")]
            )
            .status,
        200
    );
    let vacuum = agent.good("vacuum_status", json!({}));
    let id = vacuum["vacuum_id"].clone();
    let error = agent.bad("vacuum_cancel", json!({"vacuum_id": id, "reason": "r"}));
    assert_eq!(error["tag"], "invalid-state", "a dry run is over: {error}");
}

#[test]
fn the_secret_code_is_in_no_result_and_wrong_codes_are_refused() {
    let server = Server::start();
    let good = agent(&server);
    let id = schedule(&good);
    let mut seen = String::new();
    for (name, arguments) in [
        ("maintenance_windows", json!({})),
        (
            "maintenance_transition",
            json!({"maintenance_id": id, "action": "start", "reason": "r"}),
        ),
        ("audit_list", json!({"limit": 32})),
        ("vacuum_dry_run", json!({"reason": "r"})),
    ] {
        seen.push_str(&good.call(name, arguments).texts.concat());
    }
    assert!(!seen.contains(&server.secret_code) && !seen.contains(&server.operator_token));
    let urls = (server.base_url.as_str(), server.operator_url.as_str());
    let wrong = Agent::operators(urls, &server.operator_token, "not the code at all");
    let error = wrong.bad("vacuum_dry_run", json!({"reason": "r"}));
    assert_eq!(error["tag"], "secret-code-mismatch");
    assert!(
        error["next"]
            .as_str()
            .is_some_and(|next| next.contains("Tell a person")),
        "{error}"
    );
}

#[test]
fn without_the_code_or_in_read_mode_such_tools_are_unknown() {
    let server = Server::start();
    let mut agent = agent(&server);
    for audience in [
        Audience {
            door: Door::Http,
            ..operator()
        },
        Audience {
            door: Door::Stdio { has_code: false },
            ..operator()
        },
        Audience {
            mode: Mode::Read,
            ..operator()
        },
    ] {
        agent.audience = audience;
        let none = agent.try_call("maintenance_schedule", json!({}), None);
        assert!(none.is_err(), "{:?}", agent.audience);
    }
    assert!(
        agent.try_call("record_get", json!({}), None).is_err(),
        "no tool of tenants"
    );
    let token: Value = json!({"token": "x"});
    assert!(agent.call("jobs_list", token).is_error);
}
