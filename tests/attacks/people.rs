//! Who people are: keeping an owner out by wrong passcodes, guessing from many places, flooding the line of those who sign
//! in, learning which addresses there are, and keeping operators from cancelling what is about to begin.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use metarecord::clock::Clock;
use metarecord::domain::Timestamp;
use serde_json::{Value, json};

use crate::identity::{PASSCODE, Person, Town, tag};
use crate::support::inside::{Inside, START_MS};
use crate::support::wire::Wire;

/// A passcode that is nobody's.
const WRONG: &str = "not the right passcode";
/// What one address may ask is the subject of other tests.
const NO_RATES: [&str; 3] = [
    "limits.sign_in_per_second=0",
    "limits.address_per_second=0",
    "limits.address_in_flight_max=0",
];

fn town(dir: &Path, sets: &[&str]) -> Town {
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let sets = [&NO_RATES[..], sets].concat();
    Town {
        server: Inside::start_by(dir, clock, &sets),
    }
}

fn home(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, last)
}

/// An answer as it came over a connection: its status and its body.
fn post_from(base_url: &str, from: Ipv4Addr, path: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = Wire::connect_from(&from.to_string(), base_url).request(request.as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
    let body = serde_json::from_str(body).expect("a body of JSON");
    (status.expect("a status"), body)
}

fn sign_in(town: &Town, from: Ipv4Addr, email: &str, passcode: &str) -> u16 {
    let body = json!({"email": email, "passcode": passcode});
    post_from(&town.server.base_url, from, "/usm/session/create", &body).0
}

/// Statuses of so many wrong passcodes in a row.
fn guess(town: &Town, from: Ipv4Addr, email: &str, times: usize) -> Vec<u16> {
    (0..times)
        .map(|_| sign_in(town, from, email, WRONG))
        .collect()
}

#[test]
fn wrong_passcodes_keep_nobody_out_who_is_elsewhere() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = town(scratch.path(), &[]);
    town.user("ann");
    let ann = "ann@example.com";
    assert_eq!(
        guess(&town, home(2), ann, 11),
        [vec![401; 10], vec![429]].concat()
    );
    assert_eq!(sign_in(&town, home(2), ann, PASSCODE), 429);
    assert_eq!(sign_in(&town, home(3), ann, PASSCODE), 200);
    // Again and again.
    town.server.clock.advance(15 * 60_000);
    assert_eq!(guess(&town, home(2), ann, 10), [401; 10]);
    assert_eq!(sign_in(&town, home(4), ann, PASSCODE), 200);
}

#[test]
fn a_guess_from_many_places_is_bounded_and_who_signed_in_before_gets_in_where_that_was() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut town = town(scratch.path(), &["identity.wrong_passcodes_a_day_max=20"]);
    town.user("ann");
    let ann = "ann@example.com";
    assert_eq!(sign_in(&town, home(5), ann, PASSCODE), 200);
    for email in [ann, "nobody@example.com"] {
        for from in [home(2), home(3)] {
            assert_eq!(guess(&town, from, email, 10), [401; 10], "{email}");
        }
        assert_eq!(sign_in(&town, home(4), email, WRONG), 429, "{email}");
    }
    assert_eq!(sign_in(&town, home(6), ann, PASSCODE), 429);
    assert_eq!(sign_in(&town, home(5), ann, PASSCODE), 200, "known there");
    let lift = json!({"email": ann, "address": "127.0.0.7"});
    town.server.operator("uas_lock_lift", &lift).data();
    assert_eq!(sign_in(&town, home(6), ann, PASSCODE), 200, "lifted");
    for from in [home(2), home(3)] {
        guess(&town, from, ann, 10);
    }
    assert_eq!(sign_in(&town, home(8), ann, PASSCODE), 429);
    assert_eq!(sign_in(&town, home(7), ann, PASSCODE), 200, "vouched for");
    // Where it was is kept.
    town.server.stop();
    let clock = town.server.clock.clone();
    let sets = [&NO_RATES[..], &["identity.wrong_passcodes_a_day_max=20"]].concat();
    let town = Town {
        server: Inside::start_by(scratch.path(), clock, &sets),
    };
    for from in [home(2), home(3)] {
        guess(&town, from, ann, 10);
    }
    assert_eq!(sign_in(&town, home(8), ann, PASSCODE), 429);
    assert_eq!(sign_in(&town, home(5), ann, PASSCODE), 200);
}

#[test]
fn a_flood_of_sign_ins_from_twelve_addresses_leaves_others_their_turn() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = town(
        scratch.path(),
        &[
            "identity.wrong_passcodes_max=1000",
            "identity.wrong_passcodes_a_day_max=1000000",
        ],
    );
    town.user("ann");
    town.user("bob");
    assert_eq!(sign_in(&town, home(5), "ann@example.com", PASSCODE), 200);
    let over = AtomicBool::new(false);
    let told = std::thread::scope(|scope| {
        for number in 0..12 {
            for _ in 0..8 {
                let (town, over) = (&town, &over);
                scope.spawn(move || {
                    let email = format!("nobody-{number}@example.com");
                    while !over.load(Ordering::Relaxed) {
                        sign_in(town, home(100 + number), &email, WRONG);
                    }
                });
            }
        }
        // Until the line is as long as it gets: somebody is turned away.
        while sign_in(&town, home(100), "nobody-0@example.com", WRONG) != 429 {}
        let told = [
            ("bob@example.com", 6),
            ("ann@example.com", 5),
            ("bob@example.com", 7),
            ("ann@example.com", 8),
        ]
        .map(|(email, from)| sign_in(&town, home(from), email, PASSCODE));
        over.store(true, Ordering::Relaxed);
        told
    });
    assert_eq!(told, [200; 4]);
}

#[test]
fn an_invitation_tells_nobody_whether_an_address_is_anybodys_and_binds_nobody() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = town(scratch.path(), &[]);
    let (eve, bob) = (town.person("eve"), town.person("bob"));
    town.org("one", &eve);
    for path in ["/ofm/member/add", "/ofm/invitation/create"] {
        let answers = [bob.email.as_str(), "nobody@example.com"].map(|email| {
            let body = json!({"orgcode": "one", "email": email});
            let got = town.by(&eve, path, &body);
            let data = got.data();
            assert_eq!(
                (&data["email"], &data["status"]),
                (&json!(email), &json!("invited"))
            );
            let fields = data.as_object().expect("an object").keys().cloned();
            (got.status, fields.collect::<Vec<_>>(), got.bytes.len())
        });
        let [(status, fields, length), other] = answers;
        assert_eq!((status, fields), (other.0, other.1), "{path}");
        assert!(
            length.abs_diff(other.2) <= 16,
            "{path}: as long, but for the address"
        );
    }
    for path in ["/ofm/member/resolve", "/ofm/member/remove"] {
        let answers = [bob.email.as_str(), "nobody@example.com"].map(|email| {
            let body = json!({"orgcode": "one", "email": email});
            let mut answer = town.by(&eve, path, &body).json();
            answer["stats"] = Value::Null;
            answer
        });
        assert_eq!(answers[0], answers[1], "{path}");
    }
    let listed = json!({"orgcode": "one"});
    let listed = town.by(&eve, "/ofm/member/list", &listed).data();
    assert_eq!(
        listed["items"].as_array().map(Vec::len),
        Some(1),
        "nobody is bound"
    );
    let read = |person: &Person| {
        let headers = [("x-session-guid", person.session.as_str())];
        let got = town
            .server
            .call("GET", "/mrs/list?orgcode=one", &headers, None);
        got.status
    };
    assert_eq!((read(&eve), read(&bob)), (200, 404));
    let open = town.by(&eve, "/ofm/invitation/list", &json!({"orgcode": "one"}));
    let open = open.data().to_string();
    assert!(!open.contains("example.com"), "{open}");
}

#[test]
fn wrong_secret_codes_keep_nobody_from_cancelling_or_ending_what_is_under_way() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = town(scratch.path(), &[]);
    let server = &town.server;
    let eve = town.person("eve");
    town.org("one", &eve);
    let schedule = |start: &str| {
        let body = json!({"description": "d", "duration": 60, "start": start});
        server.invoke("ops_maintenance_schedule", body).data()["maintenance_id"].clone()
    };
    let (first, second) = (
        schedule("2030-01-01T00:00:00Z"),
        schedule("2031-01-01T00:00:00Z"),
    );
    server
        .invoke("ops_maintenance_start", json!({"maintenance_id": first}))
        .data();
    let vacuum = json!({"orgcode": "one", "reason": "r"});
    let vacuum = server.invoke("ops_vacuum_org", vacuum).data()["vacuum_id"].clone();
    let wrong = |function: &str, mut body: Value| {
        body["secret_code"] = json!("not the right one");
        tag(&server.invoke(function, body))
    };
    let mismatch = (403, "secret-code-mismatch".to_owned());
    for _ in 0..5 {
        let body = json!({"description": "d", "duration": 60, "start": "2030-01-01T00:00:00Z"});
        assert_eq!(wrong("ops_maintenance_schedule", body), mismatch);
    }
    let locked = server.invoke("ops_maintenance_start", json!({"maintenance_id": second}));
    assert_eq!(
        tag(&locked),
        (429, "throttled".to_owned()),
        "that is locked"
    );
    // Wrong ones given to these themselves are refused, and lock nothing either.
    assert_eq!(
        wrong("ops_vacuum_cancel", json!({"vacuum_id": vacuum})),
        mismatch
    );
    let cancelled = server.invoke("ops_vacuum_cancel", json!({"vacuum_id": vacuum}));
    assert_eq!(cancelled.data()["status"], "cancelled");
    let ended = server.invoke("ops_maintenance_end", json!({}));
    assert_eq!(ended.data()["status"], "ended");
    let cancelled = server.invoke("ops_maintenance_cancel", json!({"maintenance_id": second}));
    assert_eq!(cancelled.data()["status"], "cancelled");
}

#[test]
fn wrong_secret_codes_from_elsewhere_do_not_lock_an_operator_out() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = town(scratch.path(), &[]);
    let server = &town.server;
    let token = std::fs::read(scratch.path().join("dev.json")).expect("dev.json");
    let token: Value = serde_json::from_slice(&token).expect("JSON");
    let token = token["operator_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let invoke = |from: Ipv4Addr, code: &str| {
        let body = json!({"secret_code": code, "description": "d", "duration": 60,
            "start": "2030-01-01T00:00:00Z"})
        .to_string();
        let request = format!(
            "POST /invoke/ops_maintenance_schedule HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer =
            Wire::connect_from(&from.to_string(), &server.operator_url).request(request.as_bytes());
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|text| text.parse::<u16>().ok());
        status.unwrap_or_default()
    };
    let statuses = |from| [(); 6].map(|()| invoke(from, "not the right one"));
    assert_eq!(statuses(home(2)), [403, 403, 403, 403, 403, 429]);
    assert_eq!(invoke(home(2), &server.secret_code), 429);
    assert_eq!(invoke(home(5), &server.secret_code), 200);
    // Many addresses together are locked too, but not the one where the right code came from.
    for last in [3, 4, 6] {
        statuses(home(last));
    }
    assert_eq!(invoke(home(7), &server.secret_code), 429);
    assert_eq!(invoke(home(5), &server.secret_code), 200);
    // The lock can be lifted from a place that is locked itself, and by the right code alone.
    let wrong = server.operator(
        "ops_secret_lock_lift",
        &json!({"secret_code": "not the right one"}),
    );
    assert_eq!(tag(&wrong), (403, "secret-code-mismatch".to_owned()));
    assert_eq!(invoke(home(2), &server.secret_code), 429);
    let lifted = server.invoke("ops_secret_lock_lift", json!({}));
    assert_eq!(lifted.data(), json!({"lifted": true}));
    for last in [2, 7] {
        assert_eq!(invoke(home(last), &server.secret_code), 200);
    }
}
