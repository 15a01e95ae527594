//! What cannot be undone: planned first, or asked of the person at the client; and never done by a plan of another call.

use metarecord::cli::mcp::api::ClientApi;
use metarecord::client::{Client, Credential};
use metarecord::clock::Clock;
use metarecord::domain::Timestamp;
use metarecord::mcp::{Action, Confirm};
use serde_json::{Value, json};

use super::{Agent, facts, tenant};
use crate::support::Server;

fn agent(server: &Server) -> Agent {
    let session = Credential::SessionGuid(server.session_guid.clone());
    let agent = Agent::of(&server.base_url, session);
    agent.good(
        "record_create",
        json!({"container": "notes", "record_id": "a", "payload": 1}),
    );
    agent
}

fn doom(more: &Value) -> Value {
    let mut doom =
        json!({"container": "notes", "record_id": "a", "expected_revision": 1, "reason": "old"});
    let members = doom.as_object_mut().expect("an object");
    members.extend(more.as_object().expect("an object").clone());
    doom
}

fn status(agent: &Agent) -> Value {
    let place =
        json!({"container": "notes", "record_id": "a", "include_doomed": true, "content_bytes": 0});
    agent.good("record_get", place)["status"].clone()
}

#[test]
fn a_doom_without_a_plan_only_plans() {
    let server = Server::start();
    let agent = agent(&server);
    for _ in 0..3 {
        let planned = agent.good("record_doom", doom(&json!({})));
        assert_eq!(planned["changed"], false);
        assert_eq!(planned["plan"]["revision"], 1);
        assert!(
            planned["plan"]["will"]
                .as_str()
                .is_some_and(|will| will.contains("for good"))
        );
        assert!(planned["expires_at"].is_string());
        assert_eq!(status(&agent), "active");
    }
    let plan = agent.good("record_doom", doom(&json!({})))["plan_id"].clone();
    let done = agent.good(
        "record_doom",
        doom(&json!({"plan_id": plan, "reason": "other words"})),
    );
    assert_eq!(done["record"]["status"], "doomed");
    assert!(done["content_kept_until"].is_string(), "{done}");
    let again = agent.good("record_doom", doom(&json!({"plan_id": plan})));
    assert_eq!(again["already_so"], true, "{again}");
    assert_eq!(
        agent.good("record_doom", doom(&json!({})))["already_so"],
        true
    );
}

#[test]
fn a_plan_is_refused_to_others_later_altered_and_for_another_record() {
    let server = Server::start();
    let mut agent = agent(&server);
    agent.clock = Clock::manual(Timestamp::from_millis(1_800_000_000_000));
    let plan = agent.good("record_doom", doom(&json!({})))["plan_id"].clone();
    let text = plan.as_str().expect("a plan").to_owned();
    for at in [0, text.len() / 2, text.len() - 1] {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(bytes).expect("text");
        let error = agent.bad("record_doom", doom(&json!({"plan_id": altered})));
        assert_eq!(
            (&error["tag"], &error["minor"]),
            (&json!("invalid-input"), &json!("plan_id")),
            "byte {at}"
        );
    }
    agent.good(
        "record_create",
        json!({"container": "notes", "record_id": "b", "payload": 1}),
    );
    for other in [
        json!({"record_id": "b"}),
        json!({"expected_revision": 2}),
        json!({"container": "noted"}),
    ] {
        let mut other = doom(&other);
        other["plan_id"] = plan.clone();
        assert_eq!(agent.bad("record_doom", other)["tag"], "invalid-input");
    }
    agent.identity = "bob".to_owned();
    assert_eq!(
        agent.bad("record_doom", doom(&json!({"plan_id": plan})))["tag"],
        "invalid-input"
    );
    agent.identity = "ann".to_owned();
    agent.clock.advance(600_000);
    let late = agent.bad("record_doom", doom(&json!({"plan_id": plan})));
    assert!(
        late["message"]
            .as_str()
            .is_some_and(|text| text.contains("expired")),
        "{late}"
    );
    assert_eq!(status(&agent), "active");
}

#[test]
fn a_plan_is_refused_once_the_record_has_changed() {
    let server = Server::start();
    let agent = agent(&server);
    let plan = agent.good("record_doom", doom(&json!({})))["plan_id"].clone();
    agent.good(
        "record_tag",
        json!({"container": "notes", "record_id": "a", "add": ["X"], "expected_revision": 1}),
    );
    let error = agent.bad("record_doom", doom(&json!({"plan_id": plan})));
    assert_eq!(
        (&error["tag"], &error["details"]["current"]["revision"]),
        (&json!("conflict"), &json!(2))
    );
    assert_eq!(status(&agent), "active");
}

#[test]
fn a_held_record_is_planned_as_what_will_be_refused() {
    let server = Server::start();
    let agent = agent(&server);
    agent.good(
        "record_hold_set",
        json!({"container": "notes", "record_id": "a", "reason": "suit", "expected_revision": 1}),
    );
    let planned = agent.good("record_doom", doom(&json!({"expected_revision": 2})));
    assert_eq!(planned["plan"]["hold"]["reason"], "suit", "{planned}");
    let plan = planned["plan_id"].clone();
    let error = agent.bad(
        "record_doom",
        doom(&json!({"expected_revision": 2, "plan_id": plan})),
    );
    assert_eq!(error["tag"], "invalid-state", "{error}");
}

#[test]
fn a_person_who_can_be_asked_types_the_id() {
    let server = Server::start();
    let mut agent = agent(&server);
    agent.can_ask = true;
    let plan = {
        agent.can_ask = false;
        let plan = agent.good("record_doom", doom(&json!({})))["plan_id"].clone();
        agent.can_ask = true;
        plan
    };
    let question = agent.question("record_doom", doom(&json!({"plan_id": plan})));
    assert!(
        question.message.contains("for good") && question.message.contains("Type a"),
        "{}",
        question.message
    );
    for (action, typed, said) in [
        (Action::Decline, "a", "said no"),
        (Action::Cancel, "", "did not answer"),
        (Action::Accept, "b", "something else"),
    ] {
        let result = agent.answered("record_doom", doom(&json!({})), (&question, action, typed));
        let error = facts(&result);
        assert!(
            result.is_error
                && error["message"]
                    .as_str()
                    .is_some_and(|text| text.contains(said)),
            "{error}"
        );
        assert_eq!(status(&agent), "active", "{action:?}");
    }
    let question = agent.question("record_doom", doom(&json!({})));
    let other = doom(&json!({"record_id": "b"}));
    let result = agent.answered("record_doom", other, (&question, Action::Accept, "b"));
    assert!(result.is_error, "an answer is for its own call");
    let result = agent.answered(
        "record_doom",
        doom(&json!({})),
        (&question, Action::Accept, "a"),
    );
    assert!(!result.is_error, "{result:?}");
    assert_eq!(status(&agent), "doomed");
}

#[test]
fn the_setting_says_how_it_is_confirmed() {
    let server = Server::start();
    let mut agent = agent(&server);
    agent.audience.confirm = Confirm::Ask;
    let error = agent.bad("record_doom", doom(&json!({})));
    assert_eq!(error["tag"], "not-authorized");
    assert!(
        error["next"]
            .as_str()
            .is_some_and(|next| next.contains("person")),
        "{error}"
    );
    agent.audience.confirm = Confirm::Plan;
    agent.can_ask = true;
    assert!(agent.good("record_doom", doom(&json!({})))["plan_id"].is_string());
    assert_eq!(status(&agent), "active");
}

#[test]
fn a_service_that_does_not_answer_is_said_to_be_unreachable() {
    let nobody = Client::new("http://127.0.0.1:1", Credential::None);
    let agent = Agent::by(ClientApi::new(nobody.clone(), nobody, None), tenant());
    let error = agent.bad("service_status", json!({}));
    assert_eq!(error["tag"], "unreachable");
    assert!(error["next"].is_string());
}
