//! What becomes of people: other passcodes, disabled users, sessions that operators end, invitations and leaving.

use serde_json::{Value, json};

use super::{PASSCODE, Person, Town, tag};

const DAY_MS: i64 = 86_400_000;
const OTHER: &str = "another horse battery";

fn whoami(town: &Town, session: &str) -> u16 {
    let headers = [("x-session-guid", session)];
    town.server.call("GET", "/whoami", &headers, None).status
}

fn again(town: &Town, person: &Person) -> String {
    let body = json!({"email": person.email, "passcode": PASSCODE});
    let session = town.post("/usm/session/create", &[], &body).data();
    session["session_guid"].as_str().expect("a guid").to_owned()
}

fn with(town: &Town, person: &Person, passcode: &str) -> (u16, String) {
    let body = json!({"email": person.email, "passcode": passcode});
    tag(&town.post("/usm/session/create", &[], &body))
}

#[test]
fn a_passcode_is_changed_with_the_old_one_and_other_sessions_end() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let (ann, bob) = (town.person("ann"), town.person("bob"));
    let other = again(&town, &ann);
    let change = |old: &str, new: &str| {
        let body = json!({"passcode": old, "new_passcode": new});
        town.by(&ann, "/uas/passcode/change", &body)
    };
    for (old, new, status, major) in [
        ("not the passcode", OTHER, 401, "invalid-passcode"),
        (PASSCODE, "short", 400, "invalid-input"),
        (PASSCODE, PASSCODE, 400, "invalid-input"),
        (PASSCODE, "Ann@example.com", 400, "invalid-input"),
    ] {
        assert_eq!(tag(&change(old, new)), (status, major.to_owned()), "{new}");
    }
    let short = change(PASSCODE, "short").refusal();
    assert_eq!(short.2, "new_passcode");
    assert_eq!(whoami(&town, &other), 200);
    let changed = change(PASSCODE, OTHER).data();
    assert_eq!(changed, json!({"changed": true, "closed": 1}));
    assert_eq!(
        (whoami(&town, &ann.session), whoami(&town, &other)),
        (200, 401)
    );
    assert_eq!(with(&town, &ann, PASSCODE).0, 401);
    assert_eq!(with(&town, &ann, OTHER).0, 200);
    assert_eq!(whoami(&town, &bob.session), 200, "others stay signed in");
}

#[test]
fn operators_reset_passcodes_disable_users_and_end_their_sessions() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let ann = town.person("ann");
    let operator = |function: &str, body: &Value| town.server.operator(function, body);
    let named = json!({"email": ann.email, "reason": "r"});
    let closed = operator("usm_sessions_close", &named).data();
    assert_eq!(closed, json!({"user_id": ann.user_id, "closed": 1}));
    assert_eq!(whoami(&town, &ann.session), 401);
    let session = again(&town, &ann);
    let disabled = operator("uas_user_disable", &named).data();
    assert_eq!(
        (&disabled["disabled"], &disabled["sessions"]),
        (&json!(true), &json!(0))
    );
    assert_eq!(whoami(&town, &session), 401, "at once");
    let refused = town.sign_in("ann").refusal();
    let told = (403, "not-authorized".to_owned(), "user-disabled".to_owned());
    assert_eq!(refused, told);
    let stat = json!({"email": ann.email, "passcode": PASSCODE});
    assert_eq!(town.post("/uas/stat", &[], &stat).refusal(), told);
    // Who does not know the passcode is not told.
    assert_eq!(
        with(&town, &ann, "not the passcode"),
        (401, "invalid-passcode".to_owned())
    );
    operator("uas_user_enable", &json!({"user_id": ann.user_id})).data();
    let session = again(&town, &ann);
    let reset = json!({"email": ann.email, "passcode": OTHER});
    operator("uas_passcode_reset", &reset).data();
    assert_eq!(whoami(&town, &session), 401);
    assert_eq!(with(&town, &ann, PASSCODE).0, 401);
    assert_eq!(with(&town, &ann, OTHER).0, 200);
    let shown = operator("uas_user_get", &named).data();
    assert_eq!(
        (&shown["email"], &shown["disabled"]),
        (&json!(ann.email), &json!(false))
    );
    let nobody = json!({"email": "nobody@example.com"});
    for function in [
        "uas_user_get",
        "uas_user_disable",
        "uas_user_enable",
        "usm_sessions_close",
        "uas_lock_lift",
    ] {
        assert_eq!(operator(function, &nobody).status, 404, "{function}");
        assert_eq!(operator(function, &json!({})).status, 400, "{function}");
    }
    let bad = json!({"email": ann.email, "address": "home"});
    assert_eq!(operator("uas_lock_lift", &bad).refusal().2, "address");
}

#[test]
fn a_session_ends_thirty_days_after_it_was_opened_however_much_it_is_used() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let ann = town.person("ann");
    for _ in 0..(30 * 48 - 1) {
        town.server.clock.advance(DAY_MS / 48);
        assert_eq!(whoami(&town, &ann.session), 200);
    }
    let valid = json!({"session_guid": ann.session});
    let valid = town.post("/usm/session/validate", &[], &valid).data();
    assert_eq!(valid["expires_at"], "2027-02-14T08:00:00.000Z");
    town.server.clock.advance(DAY_MS / 48);
    assert_eq!(whoami(&town, &ann.session), 401);
    assert_eq!(with(&town, &ann, PASSCODE).0, 200);
}

#[test]
fn who_is_invited_accepts_or_declines_and_nobody_else_does() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let (ann, bob, eve) = (town.person("ann"), town.person("bob"), town.person("eve"));
    town.org("one", &ann);
    let invite = |email: &str, role: &str| {
        let body = json!({"orgcode": "one", "email": email, "role": role, "label": "l"});
        town.by(&ann, "/ofm/invitation/create", &body).data()["invitation_id"].clone()
    };
    let answer = |person: &Person, verb: &str, id: &Value| {
        let body = json!({"orgcode": "one", "invitation_id": id});
        tag(&town.by(person, &format!("/ofm/invitation/{verb}"), &body))
    };
    let mine = |person: &Person| {
        let list = town.by(person, "/ofm/invitation/mine", &json!({})).data();
        list["items"].as_array().cloned().expect("items")
    };
    let missing = (404, "not-found".to_owned());
    let ok = (200, String::new());
    let first = invite(&bob.email, "member");
    // The same user is invited again: the first is over.
    let second = invite(&bob.email, "owner");
    assert_eq!(answer(&bob, "accept", &first), missing);
    let own = mine(&bob);
    assert_eq!(own.len(), 1);
    assert_eq!(
        (
            &own[0]["invitation_id"],
            &own[0]["orgcode"],
            &own[0]["role"]
        ),
        (&second, &json!("ONE"), &json!("owner"))
    );
    for person in [&eve, &ann] {
        assert_eq!(mine(person), Vec::<Value>::new());
        for verb in ["accept", "decline"] {
            assert_eq!(answer(person, verb, &second), missing);
        }
    }
    assert_eq!(answer(&bob, "decline", &second), ok);
    assert_eq!(answer(&bob, "accept", &second), missing);
    let third = invite(&bob.email, "member");
    assert_eq!(
        answer(&bob, "withdraw", &third),
        missing,
        "that is the owners'"
    );
    assert_eq!(answer(&ann, "withdraw", &third), ok);
    assert_eq!(answer(&bob, "accept", &third), missing);
    // It ends after 14 days.
    let late = invite(&bob.email, "member");
    let kept = town.server.clock.clone();
    kept.advance(14 * DAY_MS);
    let bob = Person {
        session: again(&town, &bob),
        ..bob
    };
    assert_eq!(
        (answer(&bob, "accept", &late), mine(&bob).len()),
        (missing, 0)
    );
    let ann = Person {
        session: again(&town, &ann),
        ..ann
    };
    // Somebody who comes later finds the invitation.
    let body = json!({"orgcode": "one", "email": "New@Example.com", "role": "owner"});
    let early = town.by(&ann, "/ofm/member/add", &body).data();
    let new = town.person("new");
    assert_eq!(early["user_id"], new.user_id);
    let body = json!({"orgcode": "one", "invitation_id": early["invitation_id"]});
    let accepted = town.by(&new, "/ofm/invitation/accept", &body).data();
    assert_eq!(
        (&accepted["status"], &accepted["role"]),
        (&json!("accepted"), &json!("owner"))
    );
    let again = town.by(
        &ann,
        "/ofm/invitation/create",
        &json!({"orgcode": "one", "email": new.email}),
    );
    assert_eq!(
        again.refusal(),
        (409, "conflict".to_owned(), "member".to_owned())
    );
}

#[test]
fn members_leave_by_themselves_and_the_last_owner_does_not() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let (ann, bob) = (town.person("ann"), town.person("bob"));
    town.org("one", &ann);
    town.join(&ann, "one", &bob, "member");
    let leave = |person: &Person| town.by(person, "/ofm/member/leave", &json!({"orgcode": "one"}));
    let last = leave(&ann).refusal();
    assert_eq!(
        last,
        (409, "invalid-state".to_owned(), "last-owner".to_owned())
    );
    assert_eq!(leave(&bob).data(), json!({"orgcode": "ONE", "left": true}));
    assert_eq!(leave(&bob).status, 404);
    let (_, _, key) = town.key(&ann, "one", "mrs_writer");
    let by_key = town.post(
        "/ofm/member/leave",
        &[("x-api-key", &key)],
        &json!({"orgcode": "one"}),
    );
    assert_eq!(by_key.status, 403);
    town.join(&ann, "one", &bob, "owner");
    leave(&ann).data();
    let org = town
        .by(&bob, "/ofm/org/get", &json!({"orgcode": "one"}))
        .data();
    assert_eq!((&org["owners"], &org["members"]), (&json!(1), &json!(1)));
}

#[test]
fn a_user_who_is_not_verified_signs_in_once_an_operator_says_that_the_address_is_theirs() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let ann = json!({"email": "ann@example.com", "passcode": PASSCODE, "verified": false});
    let ann = town.server.operator("uas_user_create", &ann).data();
    assert_eq!(ann["verified"], false);
    let sign_in = json!({"email": "ann@example.com", "passcode": PASSCODE});
    let sign_in = || tag(&town.post("/usm/session/create", &[], &sign_in));
    assert_eq!(sign_in(), (403, "user-not-verified".to_owned()));
    for _ in 0..2 {
        let named = json!({"user_id": ann["user_id"], "actor": "eve"});
        let verified = town.server.operator("uas_user_verify", &named).data();
        assert_eq!(verified["verified"], true);
    }
    assert_eq!(sign_in(), (200, String::new()));
    let nobody = json!({"email": "nobody@example.com"});
    let nobody = town.server.operator("uas_user_verify", &nobody);
    assert_eq!(nobody.status, 404);
}

#[test]
fn an_org_that_lost_its_owners_gets_one_from_an_operator() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let (ann, bob) = (town.person("ann"), town.person("bob"));
    town.org("one", &ann);
    let add = |org: &str, email: &str| {
        let body = json!({"orgcode": org, "email": email, "reason": "r"});
        town.server.operator("ofm_owner_add", &body)
    };
    assert_eq!(add("one", &bob.email).data()["owners"], 2);
    assert_eq!(add("one", &bob.email).data()["owners"], 2);
    let park = town.by(&bob, "/ofm/org/park", &json!({"orgcode": "one"}));
    assert_eq!(park.status, 200, "the new owner manages it");
    assert_eq!(add("two", &bob.email).status, 404);
    assert_eq!(add("one", "nobody@example.com").status, 404);
}
