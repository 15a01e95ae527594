//! Maintenance windows by tools: two steps to each transition, and nothing else but what tenants are shown.

use metarecord::mcp::Action;
use serde_json::json;

use super::facts;
use super::operators::{agent, schedule};
use crate::support::Server;

#[test]
fn a_window_starts_only_by_a_plan_for_it_as_it_is() {
    let server = Server::start();
    let agent = agent(&server);
    let id = schedule(&agent);
    let again = schedule(&agent);
    assert_eq!(id, again, "the same window is not made twice");
    let start = json!({"maintenance_id": id, "action": "start", "reason": "now"});
    let planned = agent.good("maintenance_transition", start.clone());
    assert_eq!(
        (&planned["changed"], &planned["plan"]["window"]["status"]),
        (&json!(false), &json!("scheduled"))
    );
    let mut moved = start.clone();
    moved["plan_id"] = planned["plan_id"].clone();
    agent.good(
        "maintenance_update",
        json!({"maintenance_id": id, "text": "soon"}),
    );
    assert_eq!(
        agent.bad("maintenance_transition", moved)["tag"],
        "conflict"
    );
    let mut good = start.clone();
    good["plan_id"] = agent.good("maintenance_transition", start.clone())["plan_id"].clone();
    assert_eq!(
        agent.good("maintenance_transition", good.clone())["status"],
        "active"
    );
    let status = agent.good("service_status", json!({}));
    assert_eq!(status["maintenance"]["active"], true);
    assert_eq!(status["maintenance"]["latest_update"]["text"], "soon");
    let mut end =
        json!({"maintenance_id": id, "action": "end", "reason": "done", "end_message": "Complete"});
    let mut other = end.clone();
    other["plan_id"] = good["plan_id"].clone();
    assert_eq!(
        agent.bad("maintenance_transition", other)["tag"],
        "invalid-input",
        "a plan is for one action"
    );
    end["plan_id"] = agent.good("maintenance_transition", end.clone())["plan_id"].clone();
    let ended = agent.good("maintenance_transition", end);
    assert_eq!(
        (&ended["status"], &ended["end_message"]),
        (&json!("ended"), &json!("Complete"))
    );
    let windows = agent.good("maintenance_windows", json!({"status": "ended"}));
    assert_eq!(windows["items"][0]["maintenance_id"], id.as_str());
    assert_eq!(
        agent.good("maintenance_windows", json!({"maintenance_id": id}))["status"],
        "ended"
    );
}

#[test]
fn a_person_types_the_id_of_a_window() {
    let server = Server::start();
    let mut agent = agent(&server);
    let id = schedule(&agent);
    agent.can_ask = true;
    let cancel = json!({"maintenance_id": id, "action": "cancel", "reason": "not needed"});
    let question = agent.question("maintenance_transition", cancel.clone());
    let refused = agent.answered(
        "maintenance_transition",
        cancel.clone(),
        (&question, Action::Accept, "yes"),
    );
    assert!(refused.is_error);
    let done = agent.answered(
        "maintenance_transition",
        cancel,
        (&question, Action::Accept, &id),
    );
    assert_eq!(facts(&done)["status"], "cancelled");
}
