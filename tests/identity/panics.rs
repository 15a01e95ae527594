//! Panics are told by their place alone: what they say may quote anything.

use std::process::Command;

use metarecord::report;
use serde_json::{Value, json};

use super::canaries::check;
use crate::support::wire::Wire;
use crate::support::{Server, agent, by_itself, got};

const CANARY: &str = "canary-5c1d8e07a4";
/// Set in the process that panics.
const CHILD: &str = "METARECORD_TEST_PANICS";
/// This test, as the test program knows it.
const NAME: &str = "identity::panics::a_panic_tells_its_place_and_nothing_of_what_it_says";

/// Ways in which a panic comes to say something.
fn ways() -> Vec<fn()> {
    vec![
        || panic!("canary-5c1d8e07a4"),
        || panic!("{CANARY} in a sentence"),
        || std::panic::panic_any(CANARY.to_owned()),
        || std::hint::black_box(Err::<(), _>(CANARY)).expect("it is good"),
        || assert_eq!(CANARY, "something else"),
        // What cannot be cut says so with the text.
        || drop(format!("ü{CANARY}")[1..].to_owned()),
    ]
}

/// The events of a log.
fn events(log: &str) -> Vec<Value> {
    let events = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    events.collect()
}

fn panics(log: &str) -> Vec<String> {
    let events = events(log)
        .into_iter()
        .filter(|event| event["event"] == "panic");
    let location = |event: Value| event["location"].as_str().expect("a place").to_owned();
    events.map(location).collect()
}

#[test]
fn a_panic_tells_its_place_and_nothing_of_what_it_says() {
    if std::env::var_os(CHILD).is_some() {
        report::install_panic_hook();
        for way in ways() {
            assert!(std::thread::spawn(way).join().is_err());
        }
        return;
    }
    let output = by_itself(NAME, CHILD);
    check("standard output", &output.stdout, &[CANARY]);
    check("the log", &output.stderr, &[CANARY]);
    let told = panics(&String::from_utf8_lossy(&output.stderr));
    assert_eq!(told.len(), ways().len(), "{told:?}");
    assert!(told.iter().all(|place| place.contains(file!())), "{told:?}");
}

/// After so many calls of one thread for random bytes the operating system has none left: more than its start takes.
const RANDOM_CALLS: usize = 60;
/// Ids that a thread makes of the random bytes of one call.
const IDS_OF_A_CALL: usize = 32;

#[test]
fn a_server_that_panics_with_secrets_in_its_hands_tells_none_of_them() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-e", "trace=getrandom", "-e"]);
    command.arg(format!("inject=getrandom:error=EIO:when={RANDOM_CALLS}+"));
    let sets = ["http.workers=1", "limits.sign_in_per_second=0"];
    let sets = sets.map(|set| ["--set", set]).concat();
    let mut server = Server::start_by(command, &dir, &sets);
    let user = |name: &str| json!({"email": format!("{name}@example.com"), "passcode": CANARY});
    server.invoke("uas_user_create", &user("ann")).data();
    let signed_in = server.post("/usm/session/create", &user("ann")).data();
    let session = signed_in["session_guid"].as_str().expect("a guid");
    let session = session.to_owned();
    // Each request without an id of its caller's is given one, until one ends without an answer.
    let ids_max = RANDOM_CALLS * IDS_OF_A_CALL;
    let health = format!("{}/health", server.base_url);
    let answered = (0..=ids_max).take_while(|_| agent().get(&health).call().is_ok());
    assert!(answered.count() <= ids_max, "random bytes came to an end");
    // A guid is made when the passcode was found to be right.
    let sign_in = user("ann").to_string();
    let request = format!(
        "POST /usm/session/create HTTP/1.1\r\nhost: x\r\nx-request-id: signs-in\r\ncontent-length: {}\r\n\r\n{sign_in}",
        sign_in.len()
    );
    let answer = Wire::connect(&server.base_url).exchange(request.as_bytes());
    assert_eq!(answer, "", "it ended without an answer");
    // A salt is made on a thread of its own, whose end is told to who waits for it.
    let passcodes = [CANARY.to_owned(), format!("{CANARY}-2")];
    let change = |number: usize| {
        let request = agent().post(format!("{}/uas/passcode/change", server.base_url));
        let request = request
            .header("x-session-guid", &session)
            .header("x-request-id", format!("change-{number}"));
        let body =
            json!({"passcode": passcodes[number % 2], "new_passcode": passcodes[(number + 1) % 2]});
        got(request
            .content_type("application/json")
            .send(body.to_string()))
    };
    // More than one such thread may take turns, and the journal's own may come first: it takes no changes then.
    let mut changed = 0;
    let answers = (0..4 * RANDOM_CALLS).map(|_| {
        let got = change(changed);
        changed += usize::from(got.status == 200);
        got
    });
    let mut failed = answers.skip_while(|got| [200, 503].contains(&got.status));
    let failed = failed.next().expect("one failed");
    assert_eq!(failed.status, 500, "{}", failed.json());
    check("the answer", &failed.bytes, &[CANARY]);
    // In order: lines are written behind the answers that they tell of.
    server.end_below("TERM");
    let log = server.told();
    let secrets = [
        CANARY,
        &server.operator_token,
        &server.secret_code,
        &server.session_guid,
        &session,
    ];
    check("the log", log.as_bytes(), &secrets);
    let told = panics(&log);
    let places = told.iter().filter(|place| place.contains("src/clock.rs:"));
    assert!(places.count() >= 3, "{told:?}");
    // What the panics said is in no line at all.
    assert!(!log.contains("gives random bytes"), "{log}");
    // Nor was it left out that there was a request.
    let mut outcomes = events(&log).into_iter();
    let outcome =
        outcomes.find(|event| event["event"] == "request" && event["request_id"] == "signs-in");
    assert_eq!(outcome.expect("it is told")["tag"], "panicked");
    let failures = events(&log).into_iter();
    let mut failures = failures.filter(|event| event["event"] == "internal_error");
    let failure = failures.next().expect("it is told");
    let text = failure["error"].as_str().expect("a text");
    assert!(text.contains("a background task panicked"), "{text}");
}
