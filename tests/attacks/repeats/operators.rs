//! The functions of operators, each sent twice.

use super::*;
use crate::support::eventually;

pub(super) fn operators(twice: &mut Twice<'_>) {
    let user = json!({"email": "dora@example.com", "passcode": PASSCODE});
    twice.operator("uas_user_create", Already, &user);
    let dora = json!({"email": "dora@example.com"});
    twice.operator("uas_user_disable", Done, &dora);
    twice.operator("uas_user_enable", Done, &dora);
    twice.operator(
        "uas_passcode_reset",
        Done,
        &json!({"email": "dora@example.com", "passcode": "staple battery horse"}),
    );
    twice.operator("uas_lock_lift", Done, &dora);
    twice.operator("uas_user_verify", Done, &dora);
    twice.coded("ops_secret_lock_lift", Done, json!({}));
    let eve = json!({"email": "eve@example.com", "passcode": PASSCODE});
    twice.town.server.operator("uas_user_create", &eve).data();
    let code = &twice.town.server.secret_code;
    let erase = json!({"email": "eve@example.com", "reason": "r", "secret_code": code});
    let [first, second] = [(); 2].map(|()| twice.town.server.operator("uas_user_erase", &erase));
    // The same order while it goes on; refused when the user is not there any more.
    let order = |got: &Got| got.json()["data"]["vacuum_id"].clone();
    assert!(
        first.status == 200
            && ([404, 409].contains(&second.status) || order(&first) == order(&second)),
        "{} {}",
        first.json(),
        second.json()
    );
    // How far it has come by then is chance.
    twice.sent.push(("uas_user_erase".to_owned(), Value::Null));
    twice.operator("usm_sessions_close", Done, &dora);
    twice.operator(
        "ofm_org_create",
        Already,
        &json!({"orgcode": "TWO", "owner_email": "dora@example.com"}),
    );
    twice.operator(
        "ofm_owner_add",
        Done,
        &json!({"orgcode": "ONE", "email": "dora@example.com"}),
    );
    twice.operator(
        "ofm_org_status_set",
        Same,
        &json!({"orgcode": "TWO", "status": "suspended"}),
    );
    twice.operator(
        "ofm_org_status_set",
        Same,
        &json!({"orgcode": "TWO", "status": "verified"}),
    );
    twice.operator(
        "ofm_quota_set",
        Same,
        &json!({"orgcode": "TWO", "limits": {"records": 5}}),
    );
    twice.operator(
        "mrs_hold_set",
        Same,
        &json!({"orgcode": "TWO", "reason": "suit"}),
    );
    twice.operator("mrs_hold_release", Same, &json!({"orgcode": "TWO"}));
    for function in ["mrs_reconcile", "mrs_tag_scrub", "mrs_cleanup"] {
        twice.operator(
            function,
            Done,
            &json!({"orgcode": "ONE", "container": "notes"}),
        );
    }
    for function in ["jobs_pause", "jobs_resume", "jobs_run"] {
        twice.operator(function, Done, &json!({"job": "tag-scrub"}));
    }
    twice.operator(
        "ops_token_create",
        Already,
        &json!({"name": "prom", "scopes": ["metrics"]}),
    );
    twice.operator(
        "ops_token_rotate",
        Another,
        &json!({"name": "prom", "overlap_seconds": 60}),
    );
    twice.operator("ops_token_revoke", Same, &json!({"name": "prom"}));
    twice.operator(
        "ops_jwt_revoke",
        Same,
        &json!({"jti": "t-1", "expires_at": "2027-01-16T00:00:00Z"}),
    );
    twice.operator("ops_signing_key_rotate", Another, &json!({}));
    twice.operator("ops_clock_confirm", Done, &json!({}));
    let start = "2099-01-01T00:00:00Z";
    let planned = json!({"description": "d", "duration": 60, "start": start});
    let window = twice.coded("ops_maintenance_schedule", Same, planned);
    let id = json!({"maintenance_id": window["maintenance_id"]});
    twice.coded(
        "ops_maintenance_update",
        Same,
        json!({"maintenance_id": id["maintenance_id"], "text": "soon"}),
    );
    twice.coded("ops_maintenance_start", Already, id.clone());
    twice.coded(
        "ops_maintenance_end",
        Already,
        json!({"end_message": "done"}),
    );
    let window = twice
        .town
        .server
        .invoke(
            "ops_maintenance_schedule",
            json!({"description": "e", "duration": 60, "start": start}),
        )
        .data();
    twice.coded(
        "ops_maintenance_cancel",
        Already,
        json!({"maintenance_id": window["maintenance_id"]}),
    );
    let vacuum = twice.coded(
        "ops_vacuum_org",
        Already,
        json!({"orgcode": "TWO", "reason": "r"}),
    );
    twice.coded(
        "ops_vacuum_cancel",
        Already,
        json!({"vacuum_id": vacuum["vacuum_id"]}),
    );
    let all = json!({"reason": "r", "confirmation_phrase": "VACUUM ALL DATA PERMANENTLY"});
    let vacuum = twice.coded("ops_vacuum_all", Already, all);
    twice
        .town
        .server
        .invoke(
            "ops_vacuum_cancel",
            json!({"vacuum_id": vacuum["vacuum_id"]}),
        )
        .data();
    let dora = twice
        .town
        .post(
            "/usm/session/create",
            &[],
            &json!({"email": "dora@example.com", "passcode": "staple battery horse"}),
        )
        .data();
    let session = dora["session_guid"].as_str().expect("a guid");
    let leave = json!({"orgcode": "TWO", "reason": "we leave"});
    twice
        .town
        .post(
            "/utl/offboarding/request",
            &[("x-session-guid", session)],
            &leave,
        )
        .data();
    twice.coded(
        "utl_offboarding_approve",
        Already,
        json!({"orgcode": "TWO"}),
    );
    // Made meanwhile or not, the export would be in the answer.
    eventually("the export of TWO is made", || {
        let status = json!({"orgcode": "TWO"});
        let shown = twice
            .town
            .server
            .operator("utl_offboarding_status", &status);
        shown.data()["exports"][0]["status"] == "completed"
    });
    twice.operator(
        "utl_offboarding_cancel",
        Already,
        &json!({"orgcode": "TWO"}),
    );
    // Until the first is made it is refused; then it makes another, which goes by itself.
    let export = || {
        twice
            .town
            .server
            .operator("utl_export", &json!({"orgcode": "ONE"}))
    };
    let (first, second) = (export(), export());
    assert!(first.status == 200 && (second.status == 200 || second_of(&first, &second) == Already));
    twice.sent.push(("utl_export".to_owned(), Value::Null));
    let new = json!({"secret_code": "another secret code", "old_secret_code": twice.town.server.secret_code});
    twice.operator("ops_secret_set", Same, &new);
}
