//! Signing in, sessions that live while they are used, and ending them.

use serde_json::json;

use super::{PASSCODE, Person, Town, tag};
use crate::support::eventually;

const MINUTE_MS: i64 = 60_000;

fn whoami(town: &Town, person: &Person) -> u16 {
    let headers = [("x-session-guid", person.session.as_str())];
    town.server.call("GET", "/whoami", &headers, None).status
}

/// How often a session was journaled as refreshed.
fn refreshes(town: &Town) -> usize {
    let log = std::fs::read_to_string(town.server.dir.join("journal/00000000000000000001.jsonl"));
    log.expect("the log")
        .matches("user.session_refreshed")
        .count()
}

#[test]
fn a_session_lives_an_hour_after_its_last_use_and_use_is_seldom_journaled() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut town = Town::start(scratch.path());
    let ann = town.person("ann");
    for _ in 0..14 {
        town.server.clock.advance(MINUTE_MS);
        assert_eq!(whoami(&town, &ann), 200);
    }
    assert_eq!(refreshes(&town), 0, "an end that is far away is not moved");
    for number in 1..=4 {
        town.server.clock.advance(59 * MINUTE_MS);
        assert_eq!(whoami(&town, &ann), 200);
        // What is journaled at this moment is not journaled again: the next use would do it.
        eventually("use is journaled", || {
            assert_eq!(whoami(&town, &ann), 200);
            refreshes(&town) == number
        });
    }
    assert_eq!(refreshes(&town), 4);
    // What the journal knows is enough for another process.
    town.server.clock.advance(44 * MINUTE_MS);
    town.server.stop();
    let clock = town.server.clock.clone();
    let town = Town {
        server: crate::support::inside::Inside::start_by(scratch.path(), clock, &[]),
    };
    assert_eq!(whoami(&town, &ann), 200);
    let body = json!({"session_guid": ann.session});
    let valid = town.post("/usm/session/validate", &[], &body).data();
    assert_eq!(
        (&valid["valid"], &valid["user_id"]),
        (&json!(true), &json!(ann.user_id))
    );
    town.server.clock.advance(60 * MINUTE_MS);
    assert_eq!(whoami(&town, &ann), 401);
    let over = town.post("/usm/session/validate", &[], &body);
    assert_eq!(tag(&over), (401, "invalid-session".to_owned()));
}

#[test]
fn sessions_are_listed_and_ended_one_by_one_and_all_at_once() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let (ann, bob) = (town.person("ann"), town.person("bob"));
    let again = |label: &str| {
        let body = json!({"email": ann.email, "passcode": PASSCODE, "session_label": label});
        let session = town.post("/usm/session/create", &[], &body).data();
        Person {
            email: ann.email.clone(),
            user_id: ann.user_id.clone(),
            session: session["session_guid"].as_str().expect("a guid").to_owned(),
        }
    };
    let (phone, laptop) = (again("phone"), again("laptop"));
    let list = town.by(&phone, "/usm/session/list", &json!({})).data();
    let items = list["items"].as_array().expect("items");
    assert_eq!(items.len(), 3);
    let current: Vec<_> = items
        .iter()
        .filter(|item| item["current"] == true)
        .collect();
    assert_eq!(current.len(), 1);
    assert_eq!(current[0]["session_label"], "phone");
    for secret in [&ann.session, &phone.session, &laptop.session] {
        assert!(!list.to_string().contains(secret.as_str()));
    }
    let closed = town.post(
        "/usm/session/close",
        &[],
        &json!({"session_guid": phone.session}),
    );
    assert_eq!(closed.data()["closed"], 1);
    assert_eq!((whoami(&town, &phone), whoami(&town, &laptop)), (401, 200));
    let ended = town
        .by(&laptop, "/usm/session/logout_everywhere", &json!({}))
        .data();
    assert_eq!(ended["closed"], 2);
    for session in [&ann, &laptop] {
        assert_eq!(whoami(&town, session), 401);
    }
    assert_eq!(whoami(&town, &bob), 200, "others stay signed in");
}

#[test]
fn sessions_past_their_end_are_neither_shown_nor_counted_and_used_ones_are() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let ann = town.person("ann");
    let used = town.sign_in("ann").data()["session_guid"].clone();
    let used = Person {
        email: ann.email.clone(),
        user_id: ann.user_id.clone(),
        session: used.as_str().expect("a guid").to_owned(),
    };
    // So early that the use is not journaled: the journal alone would take the session for over in an hour.
    town.server.clock.advance(10 * MINUTE_MS);
    assert_eq!(whoami(&town, &used), 200);
    let last = town.sign_in("ann").data()["session_guid"].clone();
    let last = Person {
        session: last.as_str().expect("a guid").to_owned(),
        ..used
    };
    town.server.clock.advance(55 * MINUTE_MS);
    let list = town.by(&last, "/usm/session/list", &json!({})).data();
    assert_eq!(list["items"].as_array().expect("items").len(), 2);
    let stat = json!({"email": ann.email, "passcode": PASSCODE});
    assert_eq!(town.post("/uas/stat", &[], &stat).data()["sessions"], 2);
    let ended = town.by(&last, "/usm/session/logout_everywhere", &json!({}));
    assert_eq!(ended.data()["closed"], 2, "the first was over already");
    assert_eq!((whoami(&town, &ann), whoami(&town, &last)), (401, 401));
}

#[test]
fn what_is_wrong_with_a_sign_in_is_not_told_and_guessing_ends() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    town.user("ann");
    let body = json!({"email": "new@example.com", "passcode": PASSCODE, "verified": false});
    town.server.operator("uas_user_create", &body).data();
    assert_eq!(
        tag(&town.sign_in("new")),
        (403, "user-not-verified".to_owned())
    );
    for path in ["/usm/session/create", "/uas/stat"] {
        let answers: Vec<_> = ["ann@example.com", "nobody@example.com", "no address"]
            .iter()
            .map(|email| {
                let mut answer = town
                    .post(
                        path,
                        &[],
                        &json!({"email": email, "passcode": "not the passcode"}),
                    )
                    .json();
                answer["stats"] = json!(null);
                answer
            })
            .collect();
        assert_eq!(answers[0]["error"]["major"]["tag"], "invalid-passcode");
        assert!(
            answers.iter().all(|answer| *answer == answers[0]),
            "{answers:?}"
        );
    }
    // Two wrong ones each were given above.
    for email in ["ann@example.com", "nobody@example.com"] {
        let wrong = json!({"email": email, "passcode": "not the passcode"});
        let statuses: Vec<_> = (0..9)
            .map(|_| town.post("/usm/session/create", &[], &wrong).status)
            .collect();
        assert_eq!(statuses, [vec![401; 8], vec![429]].concat(), "{email}");
    }
    let locked = town.sign_in("ann");
    assert_eq!(tag(&locked), (429, "throttled".to_owned()));
    assert!(locked.header("retry-after").is_some());
    town.server.clock.advance(15 * MINUTE_MS);
    assert_eq!(town.sign_in("ann").status, 200);
    let stat = json!({"email": "Ann@example.com", "passcode": PASSCODE});
    let user = town.post("/uas/stat", &[], &stat).data();
    assert_eq!(
        (&user["verified"], &user["sessions"]),
        (&json!(true), &json!(1))
    );
    assert!(user.get("passcode_hash").is_none());
}

#[test]
fn there_is_one_user_an_address_also_when_two_are_made_at_once() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let body = json!({"email": "ann@example.com", "passcode": PASSCODE});
    let statuses = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| town.server.operator("uas_user_create", &body).status))
            .collect();
        let mut statuses: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().expect("it ends well"))
            .collect();
        statuses.sort_unstable();
        statuses
    });
    assert_eq!(statuses, [200, 409, 409, 409]);
    for bad in [
        json!({"email": "ann", "passcode": PASSCODE}),
        json!({"email": "x@example.com", "passcode": "short"}),
        json!({"email": "x@example.com"}),
        json!({"passcode": PASSCODE}),
    ] {
        let refused = town.server.operator("uas_user_create", &bad);
        assert_eq!(tag(&refused), (400, "invalid-input".to_owned()), "{bad}");
    }
}
