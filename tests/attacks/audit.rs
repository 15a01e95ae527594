//! The audit: whatever operators have done is in it, with who, and stays in it when the data is gone.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::inside::{Inside, invoke};
use crate::support::{Got, agent, eventually};

/// Functions whose calls need no row: they belong to an import or a backup, whose begin and end have one.
const PARTS: [&str; 3] = [
    "utl_import_events",
    "utl_import_objects",
    "ops_backup_renew",
];
/// Functions that read and change nothing. Every other function has a row, whichever scope its token needs.
const READS: [&str; 25] = [
    "ops_token_list",
    "ops_jwt_list",
    "ops_signing_key_list",
    "ops_vacuum_status",
    "ops_vacuum_list",
    "ops_maintenance_list",
    "ops_maintenance_get",
    "journal_read",
    "metrics_recent",
    "ops_audit",
    "ops_clock_status",
    "ops_secret_status",
    "ops_trace",
    "jobs_list",
    "jobs_show",
    "uas_user_get",
    "uas_user_list",
    "ofm_org_get",
    "ofm_org_list",
    "ofm_usage",
    "utl_offboarding_list",
    "utl_offboarding_status",
    "utl_export_list",
    "utl_export_file",
    "mrs_hold_list",
];

/// The name of every operator function, as the source has them.
fn functions() -> BTreeSet<String> {
    let source = std::fs::read_to_string("src/http/operator/mod.rs").expect("the source");
    let lines = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("function!(\""));
    let names = lines.filter_map(|line| Some(line.split_once('"')?.0.to_owned()));
    names.collect()
}

/// An operator with a token of a name, who says who is acting.
struct Night<'a> {
    server: &'a Inside,
    token: String,
    done: BTreeSet<String>,
}

impl Night<'_> {
    fn rows(&self) -> Vec<Value> {
        let (mut rows, mut next) = (Vec::new(), Value::Null);
        loop {
            let query = json!({"limit": 256, "next_token": next});
            let page = self.server.operator("ops_audit", &query).data();
            rows.extend(page["items"].as_array().expect("rows").clone());
            next = page["next_token"].clone();
            if next.is_null() {
                return rows;
            }
        }
    }

    /// Calls a function. Returns the answer and the first new row of the audit, which must name the caller.
    fn call(&mut self, function: &str, body: Value) -> (Got, Value) {
        let mut body = body;
        body["actor"] = json!("Ada");
        body["reason"] = json!("because");
        let before = self.rows().len();
        let got = invoke(
            &agent(),
            &self.server.operator_url,
            &self.token,
            function,
            &body,
        );
        let rows = self.rows();
        let row = rows.get(before).cloned();
        let row = row.unwrap_or_else(|| panic!("{function} has no row: {}", got.json()));
        assert_eq!(
            (&row["by"], &row["actor"], &row["reason"]),
            (&json!("operator:night"), &json!("Ada"), &json!("because")),
            "{function}"
        );
        self.done.insert(function.to_owned());
        (got, row)
    }

    /// The same for one whose act is told ahead of the change, about a subject.
    fn act(&mut self, function: &str, body: Value, subject: &str) -> Value {
        let (got, row) = self.call(function, body);
        let data = got.data();
        assert_eq!(row["event"], "operator_act.asked", "{function}");
        assert_eq!(row["subject"], subject, "{function}");
        assert_eq!(row["outcome"]["function"], function);
        data
    }
}

#[test]
fn every_operators_act_is_a_row_of_the_audit_with_who() {
    let scratch = tempfile::tempdir().expect("a directory");
    let server = Inside::start(scratch.path());
    let made = json!({"name": "night", "scopes": ["all"]});
    let made = server.operator("ops_token_create", &made).data();
    let mut night = Night {
        server: &server,
        token: made["operator_token"].as_str().expect("one").to_owned(),
        done: BTreeSet::new(),
    };
    server.put("notes", "n-1", &json!(1));
    let code = |mut body: Value| {
        body["secret_code"] = json!(server.secret_code);
        body
    };
    tokens_and_the_code(&mut night, &code);
    windows_and_vacuums(&mut night, &code);
    let user_id = users(&mut night, &code);
    orgs(&mut night, &code, &user_id);
    upkeep(&mut night);

    backups(&mut night);
    let rowless: BTreeSet<_> = PARTS
        .iter()
        .chain(&READS)
        .map(|name| (*name).to_owned())
        .collect();
    assert_eq!(night.done.intersection(&rowless).next(), None);
    let known: BTreeSet<_> = night.done.union(&rowless).cloned().collect();
    assert_eq!(
        known,
        functions(),
        "each was tried and has its row, or is known to need none"
    );

    let told = json!(night.rows()).to_string();
    for hidden in ["example.com", "another horse", "$scrypt", "_hash"] {
        assert!(!told.contains(hidden), "{hidden}: {told}");
    }
}

fn tokens_and_the_code(night: &mut Night<'_>, code: &dyn Fn(Value) -> Value) {
    let spare = json!({"name": "spare", "scopes": ["read"]});
    night.call("ops_token_create", spare).0.data();
    night
        .call("ops_token_rotate", json!({"name": "spare"}))
        .0
        .data();
    night
        .call("ops_token_revoke", json!({"name": "spare"}))
        .0
        .data();
    night
        .call("ops_jwt_revoke", json!({"jti": "3f6c"}))
        .0
        .data();
    let rotated = night.call("ops_signing_key_rotate", json!({}));
    assert_eq!(rotated.1["event"], "signing_key.rotated");
    let confirmed = night.call("ops_clock_confirm", json!({}));
    assert_eq!(confirmed.1["event"], "clock.confirmed");
    let set = json!({"secret_code": night.server.secret_code, "old_secret_code": night.server.secret_code});
    night.call("ops_secret_set", set).0.data();
    let wrong = json!({"secret_code": "not the right one", "description": "d", "duration": 60,
        "start": "2030-01-01T00:00:00Z"});
    let (refused, row) = night.call("ops_maintenance_schedule", wrong);
    assert_eq!(
        (refused.status, &row["event"]),
        (403, &json!("secret.mismatched"))
    );
    let (lifted, row) = night.call("ops_secret_lock_lift", code(json!({})));
    lifted.data();
    assert_eq!(row["event"], "secret.locks_lifted");
}

fn windows_and_vacuums(night: &mut Night<'_>, code: &dyn Fn(Value) -> Value) {
    let mut windows = ["first", "second"].map(|description| {
        let plan =
            json!({"description": description, "duration": 60, "start": "2030-01-01T00:00:00Z"});
        let planned = night.call("ops_maintenance_schedule", code(plan)).0.data();
        code(json!({"maintenance_id": planned["maintenance_id"]}))
    });
    night
        .call("ops_maintenance_start", windows[0].clone())
        .0
        .data();
    night
        .call("ops_maintenance_cancel", windows[1].clone())
        .0
        .data();
    windows[1] = windows[0].clone();
    windows[1]["text"] = json!("half of it");
    for (function, body) in ["ops_maintenance_update", "ops_maintenance_end"]
        .into_iter()
        .zip([&windows[1], &windows[0]])
    {
        night.call(function, body.clone()).0.data();
    }
    let phrase = json!("VACUUM ALL DATA PERMANENTLY");
    for (function, mut body) in [
        ("ops_vacuum_all", json!({"confirmation_phrase": phrase})),
        ("ops_vacuum_org", json!({"orgcode": "DEMO"})),
    ] {
        body["reason"] = json!("r");
        let vacuum = night.call(function, code(body)).0.data();
        let cancel = code(json!({"vacuum_id": vacuum["vacuum_id"]}));
        night.call("ops_vacuum_cancel", cancel).0.data();
    }
}

fn users(night: &mut Night<'_>, code: &dyn Fn(Value) -> Value) -> String {
    let ann =
        json!({"email": "ann@example.com", "passcode": "correct horse battery", "verified": false});
    let (made, row) = night.call("uas_user_create", ann);
    let user_id = made.data()["user_id"].as_str().expect("an id").to_owned();
    assert_eq!(row["subject"], user_id.as_str());
    let named = json!({"email": "ann@example.com"});
    let reset = json!({"email": "ann@example.com", "passcode": "another horse battery"});
    for (function, body) in [
        ("uas_user_verify", &named),
        ("uas_user_disable", &named),
        ("uas_user_enable", &named),
        ("uas_lock_lift", &named),
        ("usm_sessions_close", &named),
        ("uas_passcode_reset", &reset),
    ] {
        night.act(function, body.clone(), &user_id);
    }
    let eve = json!({"email": "eve@example.com", "passcode": "correct horse battery"});
    let server = night.server;
    server.operator("uas_user_create", &eve).data();
    let erase = code(json!({"email": "eve@example.com"}));
    let (erased, row) = night.call("uas_user_erase", erase);
    assert_eq!(row["event"], "vacuum.requested");
    let about = json!({"vacuum_id": erased.data()["vacuum_id"]});
    eventually("the user is erased", || {
        let status = server.operator("ops_vacuum_status", &about).data();
        status["status"] == "completed"
    });
    user_id
}

fn orgs(night: &mut Night<'_>, code: &dyn Fn(Value) -> Value, user_id: &str) {
    let server = night.server;
    let acme = |mut body: Value| {
        body["orgcode"] = json!("acme");
        body
    };
    let owned = acme(json!({"owner_email": "demo@example.com"}));
    night.act("ofm_org_create", owned, "ACME");
    let status = acme(json!({"status": "verified"}));
    night.act("ofm_org_status_set", status, "ACME");
    let limits = acme(json!({"limits": {"records": 9}}));
    night.act("ofm_quota_set", limits, "ACME");
    let added = night.act("ofm_owner_add", acme(json!({"user_id": user_id})), "ACME");
    assert_eq!(added["owners"], 2);
    let held = night.act("mrs_hold_set", acme(json!({"container": "notes"})), "ACME");
    let hold = &held["items"][0];
    assert_eq!(
        (&hold["by"], &hold["actor"]),
        (&json!("operator:night"), &json!("Ada"))
    );
    let release = acme(json!({"container": "notes"}));
    night.act("mrs_hold_release", release, "ACME");
    night.act("utl_export", acme(json!({})), "ACME");
    eventually("it is exported", || {
        let status = server.operator("utl_offboarding_status", &acme(json!({})));
        status.data()["exports"][0]["status"] == "completed"
    });
    let leave = json!({"orgcode": "ACME", "reason": "moving house"});
    server.post("/utl/offboarding/request", &leave).data();
    let (early, row) = night.call("utl_offboarding_approve", code(acme(json!({}))));
    early.data();
    assert_eq!(row["outcome"]["function"], "utl_offboarding_approve");
    night.act("utl_offboarding_cancel", acme(json!({})), "ACME");
    imports(night);
    // What was done about an org can be asked for by its code, also when the org is gone.
    let about = json!({"subject": "ACME", "limit": 3});
    let about = server.operator("ops_audit", &about).data();
    let rows = about["items"].as_array().expect("rows");
    assert!(
        rows.len() == 3 && rows.iter().all(|row| row["subject"] == "ACME"),
        "{about}"
    );
    let vacuum = code(json!({"orgcode": "ACME", "reason": "r"}));
    server.invoke("ops_vacuum_org", vacuum).data();
    server.clock.advance(301_000);
    eventually("the org is gone", || {
        let status = server.invoke("ops_vacuum_status", json!({})).data();
        status["status"] == "completed"
    });
    let kept = json!({"subject": "ACME", "limit": 3});
    assert_eq!(server.operator("ops_audit", &kept).data(), about);
}

fn imports(night: &mut Night<'_>) {
    let begin = json!({"orgcode": "COME", "manifest_sha256": "ab".repeat(32), "export_id": "e-1", "entries": 3});
    night.act("utl_import_begin", begin, "COME");
    let (missing, row) = night.call("utl_import_end", json!({"orgcode": "COME"}));
    assert_eq!(missing.refusal().1, "invalid-state");
    let rows = night.rows();
    let last = rows.last().expect("a row");
    assert_eq!(
        (&last["event"], &last["outcome"]["tag"]),
        (&json!("operator_act.refused"), &json!("invalid-state"))
    );
    assert_eq!(last["request_id"], row["request_id"]);
    night.act("utl_import_cancel", json!({"orgcode": "COME"}), "COME");
}

fn backups(night: &mut Night<'_>) {
    let (begun, row) = night.call("ops_backup_begin", json!({}));
    let lease = begun.data()["lease_id"].clone();
    assert_eq!(
        (&row["event"], &row["subject"]),
        (&json!("operator_act.asked"), &lease)
    );
    // What the backup holds tells that it was taken.
    assert!(
        row["position"].as_u64() <= begun.data()["position"].as_u64(),
        "{row}"
    );
    let named = json!({"lease_id": lease});
    assert_eq!(
        night.server.operator("ops_backup_renew", &named).status,
        200
    );
    night.act(
        "ops_backup_end",
        named.clone(),
        lease.as_str().expect("an id"),
    );
    let before = night.rows().len();
    assert_eq!(night.call("ops_backup_end", named).0.status, 404);
    let refused = &night.rows()[before + 1];
    assert_eq!(refused["outcome"]["tag"], "not-found");
}

fn upkeep(night: &mut Night<'_>) {
    let notes = json!({"orgcode": "DEMO", "container": "notes"});
    for function in ["mrs_tag_scrub", "mrs_cleanup"] {
        night.act(function, notes.clone(), "DEMO");
    }
    let mut repair = notes;
    repair["mode"] = json!("repair");
    night.act("mrs_reconcile", repair, "DEMO");
    let job = json!({"job": "projection-check"});
    for function in ["jobs_pause", "jobs_resume", "jobs_run"] {
        night.act(function, job.clone(), "projection-check");
    }
}
