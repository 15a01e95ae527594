//! Entries about a user that are kept do not hold the address.

use super::*;

#[test]
fn operators_acts_about_a_user_do_not_name_the_user_by_address() {
    let server = Server::start();
    let zoe = arrive(&server);
    let said = format!("{} asked by telephone", EMAIL.to_uppercase());
    for (function, body) in [
        (
            "uas_user_create",
            json!({"email": EMAIL, "passcode": PASSCODE}),
        ),
        ("uas_user_disable", json!({"user_id": zoe.user_id})),
        ("uas_user_enable", json!({"email": EMAIL})),
        ("uas_user_verify", json!({"email": EMAIL})),
        ("uas_lock_lift", json!({"email": EMAIL})),
        ("usm_sessions_close", json!({"email": EMAIL})),
        (
            "uas_passcode_reset",
            json!({"email": EMAIL, "passcode": "another long passcode"}),
        ),
        (
            "ofm_org_create",
            json!({"orgcode": "HERS", "owner_email": EMAIL}),
        ),
        (
            "ofm_owner_add",
            json!({"orgcode": server.orgcode, "email": EMAIL}),
        ),
    ] {
        let mut body = body;
        body["reason"] = json!(said);
        let refusal = server.invoke(function, &body).refusal();
        let wanted = (400, "invalid-input".to_owned(), "reason".to_owned());
        assert_eq!(refusal, wanted, "{function}");
    }
    assert_eq!(sign_in(&server, "").status, 200, "nothing was done");
}

#[test]
fn who_makes_a_user_does_not_name_the_user_by_address_in_what_is_kept() {
    let server = Server::start();
    let address = "Not.There.Yet@example.com";
    for field in ["actor", "reason", "reason_code", "correlation_id"] {
        let mut body = json!({"email": address, "passcode": PASSCODE});
        body[field] = json!(format!("for {}", address.to_lowercase()));
        let refusal = server.invoke("uas_user_create", &body).refusal();
        let wanted = (400, "invalid-input".to_owned(), field.to_owned());
        assert_eq!(refusal, wanted);
        let found = server.invoke("uas_user_get", &json!({"email": address}));
        assert_eq!(found.status, 404, "{field}: nothing was made");
    }
    let audit = server.invoke("ops_audit", &json!({})).data().to_string();
    assert!(!audit.to_lowercase().contains("not.there.yet"), "{audit}");
}
