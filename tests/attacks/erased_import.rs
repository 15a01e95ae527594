//! An import does not bring back a user who has been erased here, nor one who is being erased.

use serde_json::{Value, json};

use super::user_erasure::{arrive, call, erase, join, over};
use crate::support::{Server, eventually};
use crate::utl::{done, export, g3n, make_org};

/// Org with two owners, and the one whose only owner is erased.
const ORGS: [&str; 2] = ["SHARED", "ALONE"];

/// Erases an org at once.
fn vacuum(server: &Server, org: &str) {
    let body = json!({"orgcode": org, "reason": "it moves", "secret_code": server.secret_code});
    let asked = server.invoke("ops_vacuum_org", &body).data();
    assert_eq!(over(server, &asked)["status"], "completed");
}

fn members(server: &Server, org: &str) -> String {
    let listed = server.post("/ofm/member/list", &json!({"orgcode": org}));
    listed.data().to_string()
}

#[test]
fn an_import_makes_no_member_of_a_user_who_is_being_or_was_erased() {
    let scratch = tempfile::tempdir().expect("a directory");
    let server = Server::start_with(&["--set", "ops.vacuum_pending_seconds=1"]);
    let zoe = arrive(&server);
    make_org(&server, "SHARED");
    join(&server, &zoe, "SHARED");
    let invite = json!({"orgcode": "SHARED", "email": super::user_erasure::EMAIL, "role": "owner"});
    server.post("/ofm/member/add", &invite).data();
    let alone = json!({"orgcode": "ALONE", "owner_user_id": zoe.user_id, "status": "verified"});
    server.invoke("ofm_org_create", &alone).data();
    for org in ORGS {
        let put = json!({"orgcode": org, "container": "notes", "record_id": "n",
            "content_type": "application/json", "payload": 1});
        assert_eq!(call(&server, &zoe.session, "/mrs/record", &put).status, 200);
        export(&server, org, &scratch.path().join(org));
        vacuum(&server, org);
    }
    let path = |org: &str| scratch.path().join(org).display().to_string();
    let import = |org: &str| g3n(&server, &["utl", "import", &path(org)]);
    // Nothing is removed while a backup is taken: the erasure waits.
    let lease = server.invoke("ops_backup_begin", &json!({})).data();
    let lease = json!({"lease_id": lease["lease_id"]});
    let asked = erase(&server, &json!({})).data();
    let about = json!({"vacuum_id": asked["vacuum_id"]});
    let status = || server.invoke("ops_vacuum_status", &about).data();
    eventually("it erases", || status()["status"] == "running");
    let refused = import("SHARED");
    let told: Value = serde_json::from_slice(&refused.stdout).expect("one document");
    assert_eq!(
        (
            &told["error"]["major"]["tag"],
            &told["error"]["minor"]["tag"]
        ),
        (&json!("unavailable"), &json!("vacuum-running")),
        "{told}"
    );
    assert_eq!(status()["status"], "running");
    server.invoke("ops_backup_end", &lease).data();
    assert_eq!(over(&server, &asked)["status"], "completed");

    // Once it is over the import goes on, and what the erasure had ended does not come back.
    done(&server, &["utl", "import", &path("SHARED")]);
    let listed = members(&server, "SHARED");
    assert!(
        listed.contains("owner") && !listed.contains(&zoe.user_id),
        "{listed}"
    );
    let invited = server.post("/ofm/invitation/list", &json!({"orgcode": "SHARED"}));
    assert!(!invited.data().to_string().contains(&zoe.user_id));

    let refused = import("ALONE");
    let told: Value = serde_json::from_slice(&refused.stdout).expect("one document");
    assert_eq!(told["error"]["minor"]["tag"], "last-owner", "{told}");
    let owner = crate::utl::owner(&server);
    done(
        &server,
        &["utl", "import", &path("ALONE"), "--owner-user-id", &owner],
    );
    let listed = members(&server, "ALONE");
    assert!(
        listed.contains(&owner) && !listed.contains(&zoe.user_id),
        "{listed}"
    );
}
