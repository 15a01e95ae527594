//! Drift and its repair by tools: only what was shown is repaired, page by page, and by a plan of what is there still.

use std::fs;

use serde_json::{Value, json};

use super::operators::agent;
use super::sizes::bytes;
use super::{Agent, facts, upload};
use crate::support::Server;

/// Records whose content is lost.
const LOST: usize = 60;

/// A server whose container `notes` has as many records as there are, each without its content.
fn damaged() -> Server {
    let server = Server::start();
    for number in 0..LOST {
        upload(&server, &format!("r{number:02}"), "text/plain", b"text");
    }
    let files = server.content_files();
    assert_eq!(files.len(), LOST);
    for (path, _) in files {
        fs::remove_file(path).expect("a file that is there");
    }
    server
}

fn page(server: &Server, token: &Value, more: &Value) -> Value {
    let mut page = json!({"orgcode": server.orgcode, "container": "notes"});
    let members = page.as_object_mut().expect("an object");
    members.extend(more.as_object().expect("an object").clone());
    if token.is_string() {
        members.insert("next_token".to_owned(), token.clone());
    }
    page
}

fn reported(agent: &Agent, server: &Server, token: &Value) -> Value {
    agent.good("drift_report", page(server, token, &json!({})))
}

/// What a page reports: its differences.
fn drift(report: &Value) -> &Vec<Value> {
    report["drift"].as_array().expect("a list")
}

#[test]
fn a_repair_is_of_what_was_shown_and_goes_page_by_page() {
    let server = damaged();
    let mut agent = agent(&server);
    agent.result_bytes_max = 4_096;
    let (mut token, mut repaired, mut pages) = (Value::Null, 0, 0);
    loop {
        let report = reported(&agent, &server, &token);
        let reason = json!({"reason": "a test"});
        let planned = agent.good("drift_repair", page(&server, &token, &reason));
        assert_eq!(planned["changed"], false, "{planned}");
        let shown = drift(&report).len() as u64;
        token = if shown == 0 {
            report["next_token"].clone()
        } else {
            assert_eq!(planned["plan"]["drift"], report["drift"]);
            assert_eq!(reported(&agent, &server, &token)["drift"], report["drift"]);
            let plan = json!({"reason": "a test", "plan_id": planned["plan_id"]});
            let result = agent.call("drift_repair", page(&server, &token, &plan));
            assert!(bytes(&result) <= 4_096, "{} bytes", bytes(&result));
            let done = facts(&result);
            assert_eq!(done["repaired"], shown, "as many as were shown: {done}");
            repaired += shown;
            done["next_token"].clone()
        };
        pages += 1;
        if token.is_null() {
            break;
        }
    }
    assert!(repaired == LOST as u64 && pages > 2, "{repaired} {pages}");
    agent.result_bytes_max = 32_768;
    let rest = reported(&agent, &server, &Value::Null);
    assert_eq!(rest["drift"], json!([]));
}

#[test]
fn a_token_of_a_report_continues_a_repair() {
    let server = damaged();
    let agent = agent(&server);
    let few = json!({"max_items": 10});
    let report = agent.good("drift_report", page(&server, &Value::Null, &few));
    let token = report["next_token"].clone();
    assert!(token.is_string(), "{report}");
    let few = json!({"max_items": 10, "reason": "a test"});
    let planned = agent.good("drift_repair", page(&server, &token, &few));
    let shown = drift(&planned["plan"]).len();
    assert!(shown > 0, "{planned}");
    let plan = json!({"max_items": 10, "reason": "a test", "plan_id": planned["plan_id"]});
    let done = agent.good("drift_repair", page(&server, &token, &plan));
    assert_eq!(done["repaired"], shown, "{done}");
}

#[test]
fn a_repair_is_refused_once_other_differences_are_there() {
    let server = Server::start();
    let agent = agent(&server);
    for id in ["a", "b"] {
        upload(&server, id, "text/plain", b"text");
    }
    let files = server.content_files();
    fs::remove_file(&files[0].0).expect("a file that is there");
    let reason = json!({"reason": "a test"});
    let planned = agent.good("drift_repair", page(&server, &Value::Null, &reason));
    fs::remove_file(&files[1].0).expect("a file that is there");
    let plan = json!({"reason": "a test", "plan_id": planned["plan_id"]});
    let error = agent.bad("drift_repair", page(&server, &Value::Null, &plan));
    assert_eq!(error["tag"], "conflict", "{error}");
    assert_eq!(drift(&reported(&agent, &server, &Value::Null)).len(), 2);
}

#[test]
fn a_plan_of_a_repair_fits_into_a_result_of_any_size() {
    let server = damaged();
    let mut agent = agent(&server);
    for bytes_max in (4_096..12_288).step_by(128) {
        agent.result_bytes_max = bytes_max;
        let reason = json!({"reason": "a test"});
        let result = agent.call("drift_repair", page(&server, &Value::Null, &reason));
        assert!(!result.is_error, "{result:?}");
        let bytes = bytes(&result);
        assert!(bytes <= bytes_max, "{bytes} of {bytes_max}");
    }
}
