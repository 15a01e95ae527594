//! Requests with one idempotency key at once, and `kill -9` between a request and its answer, and after it.

use std::path::Path;
use std::sync::Barrier;

use serde_json::{Value, json};

use super::idempotency_made::{Callers, one};
use crate::identity::{PASSCODE, Town};
use crate::support::{Got, Server, agent};

/// Callers of one request at once.
const AT_ONCE: usize = 8;

#[test]
fn concurrent_requests_with_a_key_create_once() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let ann = town.person("ann");
    town.org("ONE", &ann);
    let callers = Callers {
        town: &town,
        owner: &ann,
    };
    let account = town
        .by(&ann, "/usm/service_account/create", &one(json!({})))
        .data();
    let code = &town.server.secret_code;
    for (name, body) in [
        (
            "/usm/service_account/create",
            one(json!({"label": "robot"})),
        ),
        (
            "/usm/api_key/create",
            one(json!({"service_account_id": account["service_account_id"], "role": "mrs_reader"})),
        ),
        (
            "/ofm/invitation/create",
            one(json!({"email": "carl@example.com"})),
        ),
        ("/ofm/member/add", one(json!({"email": "dave@example.com"}))),
        ("/utl/offboarding/request", one(json!({"reason": "r"}))),
        (
            "uas_user_create",
            json!({"email": "dora@example.com", "passcode": PASSCODE}),
        ),
        (
            "ofm_org_create",
            json!({"orgcode": "TWO", "owner_email": ann.email}),
        ),
        (
            "ops_token_create",
            json!({"name": "prom", "scopes": ["metrics"]}),
        ),
        ("ops_token_rotate", json!({"name": "prom"})),
        (
            "ops_maintenance_schedule",
            json!({"description": "d", "duration": 60, "start": "2099-01-01T00:00:00Z", "secret_code": code}),
        ),
        (
            "ops_vacuum_org",
            json!({"orgcode": "TWO", "reason": "r", "secret_code": code}),
        ),
        ("utl_export", json!({"orgcode": "ONE"})),
    ] {
        let barrier = Barrier::new(AT_ONCE);
        let answers: Vec<Got> = std::thread::scope(|scope| {
            let senders: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        // Operators' calls beyond their places are turned away at once.
                        loop {
                            let got = callers.keyed(name, &format!("at once {name}"), &body);
                            if got.status != 429 {
                                return got;
                            }
                        }
                    })
                })
                .collect();
            senders
                .into_iter()
                .map(|sender| sender.join().expect("answered"))
                .collect()
        });
        let first: Vec<_> = answers
            .iter()
            .filter(|got| got.header("idempotent-replay").is_none())
            .collect();
        assert_eq!(
            first.len(),
            1,
            "{name}: {:?}",
            answers.iter().map(Got::json).collect::<Vec<_>>()
        );
        let data = first[0].data();
        for got in &answers {
            let there = got.json()["error"]["details"]["already_there"] == true;
            assert!(
                got.status == 200 && got.data() == data || there,
                "{name}: {}",
                got.json()
            );
        }
    }
    let keys = one(json!({"service_account_id": account["service_account_id"]}));
    assert_eq!(
        callers.items("/usm/service_account/list", &one(json!({}))),
        2
    );
    assert_eq!(callers.items("/usm/api_key/list", &keys), 1);
    assert_eq!(callers.items("/ofm/invitation/list", &one(json!({}))), 2);
}

/// The requests of one round, by the session of development mode and by the operator.
fn round(number: u32) -> Vec<(&'static str, Value, &'static str)> {
    let key = format!("round {number}");
    let mut account = json!({"orgcode": "DEMO", "label": format!("robot {number}")});
    account["idempotency_key"] = json!(key);
    let invite = json!({"orgcode": "DEMO", "email": format!("carl{number}@example.com"), "idempotency_key": format!("{key} i")});
    let user = json!({"email": format!("dora{number}@example.com"), "passcode": PASSCODE, "idempotency_key": key});
    let token = json!({"name": format!("prom{number}"), "scopes": ["metrics"], "idempotency_key": format!("{key} t")});
    vec![
        ("/usm/service_account/create", account, "service_account_id"),
        ("/ofm/invitation/create", invite, "invitation_id"),
        ("uas_user_create", user, "user_id"),
        ("ops_token_create", token, "name"),
    ]
}

fn send(server: &Server, name: &str, body: &Value) -> Got {
    match name.starts_with('/') {
        true => server.post(name, body),
        false => server.invoke(name, body),
    }
}

/// What a repeated request is told that was made.
fn told(got: &Got, id: &str) -> Value {
    let json = got.json();
    match got.status {
        200 => json["data"][id].clone(),
        _ => {
            assert_eq!(json["error"]["details"]["already_there"], true, "{json}");
            json["error"]["details"][id].clone()
        }
    }
}

fn accounts(server: &Server) -> usize {
    let listed = server
        .post(
            "/usm/service_account/list",
            &json!({"orgcode": "DEMO", "limit": 256}),
        )
        .data();
    listed["items"].as_array().map_or(0, Vec::len)
}

fn forget_projections(dir: &Path) {
    std::fs::remove_dir_all(dir.join("projections")).expect("removed");
}

#[test]
fn first_answers_survive_a_kill_and_a_rebuild() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let mut server = Server::start_in(&dir, &[]);
    let before = accounts(&server);
    let mut made = Vec::new();
    for (name, body, id) in round(0) {
        made.push((name, body.clone(), id, send(&server, name, &body).data()));
    }
    for rebuild in [false, true] {
        server.end("KILL");
        if rebuild {
            forget_projections(&dir);
        }
        server = Server::start_in(&dir, &[]);
        for (name, body, id, first) in &made {
            let again = send(&server, name, body);
            assert_eq!(again.header("idempotent-replay"), Some("true"), "{name}");
            assert_eq!(told(&again, id), first[id], "{name}");
        }
        assert_eq!(accounts(&server), before + 1);
    }
}

#[test]
fn a_kill_before_the_answer_creates_at_most_once() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let mut server = Server::start_in(&dir, &[]);
    let before = accounts(&server);
    for number in 1..=4 {
        let requests = round(number);
        // Each is in progress, or answered, or not even there when the server is killed.
        let (base, operators, guid) = (
            server.base_url.clone(),
            server.operator_url.clone(),
            server.session_guid.clone(),
        );
        let token = server.operator_token.clone();
        let begun = Barrier::new(requests.len() + 1);
        std::thread::scope(|scope| {
            for (name, body, _) in &requests {
                let (base, operators, guid, token, begun) =
                    (&base, &operators, &guid, &token, &begun);
                scope.spawn(move || {
                    let request = match name.starts_with('/') {
                        true => agent()
                            .post(format!("{base}{name}"))
                            .header("x-session-guid", guid),
                        false => agent()
                            .post(format!("{operators}/invoke/{name}"))
                            .header("authorization", format!("Bearer {token}")),
                    };
                    begun.wait();
                    // Whatever came back: it may be lost.
                    drop(
                        request
                            .content_type("application/json")
                            .send(body.to_string()),
                    );
                });
            }
            begun.wait();
            server.end("KILL");
        });
        server = Server::start_in(&dir, &[]);
        for (name, body, id) in &requests {
            let first = told(&send(&server, name, body), id);
            let again = send(&server, name, body);
            assert_eq!(again.header("idempotent-replay"), Some("true"), "{name}");
            assert_eq!(told(&again, id), first, "{name}");
        }
        assert_eq!(accounts(&server), before + number as usize);
    }
}
