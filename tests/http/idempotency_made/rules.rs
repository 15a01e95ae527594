//! Keys that are refused, ignored or expired.

use super::*;

/// Every POST of the gateway and every function either gives the first answer again, which the tests above show, or reads,
/// or refuses a key.
#[test]
fn a_key_is_honoured_or_refused_and_never_ignored() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let ann = town.person("ann");
    town.org("ONE", &ann);
    let callers = Callers {
        town: &town,
        owner: &ann,
    };
    let not_kept = (
        400,
        "invalid-idempotency-key".to_owned(),
        "not-kept".to_owned(),
    );
    let sign_in = json!({"email": ann.email, "passcode": PASSCODE});
    let refused = callers.keyed("/usm/session/create", "k", &sign_in);
    assert_eq!(refused.refusal(), not_kept);
    let words = refused.json()["error"]["major"]["message"].to_string();
    assert!(words.contains("session is a secret"), "{words}");
    for path in [
        "/usm/session/close",
        "/usm/session/logout_everywhere",
        "/usm/service_account/status",
        "/usm/api_key/revoke",
        "/usm/api_key/revoke_all",
        "/ofm/org/park",
        "/ofm/org/unpark",
        "/ofm/member/remove",
        "/ofm/member/leave",
        "/ofm/invitation/withdraw",
        "/ofm/invitation/decline",
        "/uas/passcode/change",
        "/utl/offboarding/cancel",
        "ops_backup_begin",
        "ops_token_revoke",
        "jobs_run",
        "mrs_hold_set",
    ] {
        assert_eq!(
            callers.keyed(path, "k", &one(json!({}))).refusal(),
            not_kept,
            "{path}"
        );
    }
    let first = json!({"name": "operator"});
    assert_eq!(
        callers.keyed("ops_token_rotate", "k", &first).refusal(),
        not_kept
    );
    let read = callers.keyed("/usm/service_account/list", "k", &one(json!({})));
    assert_eq!(read.status, 200);
    assert_eq!(callers.keyed("ops_token_list", "k", &json!({})).status, 200);
}

#[test]
fn an_expired_key_creates_again() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let ann = town.person("ann");
    town.org("ONE", &ann);
    let make = |key: &str| {
        let session = town.sign_in("ann").data();
        let guid = session["session_guid"].as_str().expect("a guid").to_owned();
        let headers = [("x-session-guid", guid.as_str()), ("idempotency-key", key)];
        town.post(
            "/usm/service_account/create",
            &headers,
            &one(json!({"label": "robot"})),
        )
    };
    let first = make("daily").data();
    town.server.clock.advance(WINDOW_MS - 1);
    assert_eq!(make("daily").data(), first);
    town.server.clock.advance(1);
    let second = make("daily");
    assert_eq!(second.header("idempotent-replay"), None);
    assert_ne!(
        second.data()["service_account_id"],
        first["service_account_id"]
    );
    assert_eq!(make("daily").data(), second.data());
}
