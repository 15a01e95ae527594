//! Each tool of operators with a token of each scope: refused exactly where its functions refuse.

use metarecord::domain::operator_token::TokenScope;
use metarecord::mcp::table::all;
use metarecord::mcp::{Needs, Surface};
use serde_json::{Value, json};

use super::Agent;
use super::operators::{agent, schedule};
use crate::support::Server;

/// Arguments with which a tool works, or is refused for another reason than the scope.
fn arguments(tool: &str, org: &str, window: &str) -> Value {
    match tool {
        "service_status" | "maintenance_windows" | "vacuum_status" | "audit_list" | "jobs_list" => {
            json!({})
        }
        "request_trace" => json!({"request_id": "r-1"}),
        "holds_list" => json!({"orgcode": org}),
        "drift_report" => json!({"orgcode": org, "container": "notes"}),
        "drift_repair" => json!({"orgcode": org, "container": "notes", "reason": "r"}),
        "job_control" => json!({"job": "nothing", "action": "run", "reason": "r"}),
        "vacuum_cancel" => json!({"vacuum_id": "nothing", "reason": "r"}),
        "vacuum_dry_run" => json!({"reason": "r"}),
        "maintenance_schedule" => {
            json!({"description": "d", "start": "2036-03-01T02:00:00Z", "duration_seconds": 60})
        }
        "maintenance_update" => json!({"maintenance_id": window, "text": "t"}),
        "maintenance_transition" => {
            json!({"maintenance_id": window, "action": "cancel", "reason": "r"})
        }
        other => panic!("{other} has no arguments here"),
    }
}

#[test]
fn each_tool_is_refused_to_tokens_that_its_functions_refuse() {
    let server = Server::start();
    let window = schedule(&agent(&server));
    let urls = (server.base_url.as_str(), server.operator_url.as_str());
    let mut refused = 0;
    for (name, scopes) in [
        ("metrics", &[TokenScope::Metrics][..]),
        ("read", &[TokenScope::Read]),
        ("tenants", &[TokenScope::Tenants]),
        ("destroy", &[TokenScope::Destroy]),
        ("both", &[TokenScope::Read, TokenScope::Tenants]),
        ("more", &[TokenScope::Read, TokenScope::Destroy]),
    ] {
        let texts: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
        let body = json!({"name": name, "scopes": texts});
        let made = server.invoke("ops_token_create", &body).data();
        let token = made["operator_token"].as_str().expect("a token");
        let agent = Agent::operators(urls, token, &server.secret_code);
        for spec in all().filter(|spec| spec.surface == Surface::Operator) {
            let mut arguments = arguments(spec.name, &server.orgcode, &window);
            let mut result = agent.call(spec.name, arguments.clone());
            // A plan is shown to a caller who may read; it is its execution that is refused.
            if let Some(plan) = super::facts(&result).get("plan_id") {
                arguments["plan_id"] = plan.clone();
                result = agent.call(spec.name, arguments);
            }
            let is_refused = result.texts[0].contains("\"tag\":\"not-authorized\"");
            let allowed = match spec.needs {
                Needs::Public => true,
                Needs::Scopes(needed) => needed.iter().all(|scope| scopes.contains(scope)),
                other => panic!("{}: {other:?}", spec.name),
            };
            assert_eq!(
                is_refused, !allowed,
                "{} with {name}: {result:?}",
                spec.name
            );
            refused += usize::from(is_refused);
        }
    }
    assert!(refused > 30, "{refused} refusals");
}
