//! Every change that callers and operators can ask for, sent twice unchanged as after a lost answer: the second answer is
//! the first again, or a refusal that says that the change is there.

mod operators;

use self::operators::operators;
use std::collections::BTreeSet;

use metarecord::http::routes::ROUTES;
use serde_json::{Value, json};

use crate::identity::{PASSCODE, Person, Town};
use crate::support::Got;
use crate::support::alike::{assert_alike, lasting};

/// What the second answer is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Second {
    /// The first again.
    Same,
    /// Success, with what is so by then.
    Done,
    /// A refusal that says that it is so already.
    Already,
    /// What was to end has ended, and is told as for everybody else: by this status.
    Gone(u16),
    /// Another of its kind, which is in a list and can be ended: without an idempotency key it has no name by which it could be
    /// known again.
    Another,
}
use Second::{Already, Another, Done, Gone, Same};

/// What differs between two answers about the same.
const VOLATILE: &[&str] = &[
    "expires_at",
    "url",
    "upload",
    "content_token",
    "time_utc",
    "removals_by_utc",
    "started_at",
    "next_run_at",
    "last_run_at",
    "state",
    "progress",
    "last_counts",
    "runs",
    "confirmed",
    // Of how far jobs are by then.
    "bandwidth_out_bytes",
];

/// Routes that take POST and change nothing.
const READS: &[&str] = &[
    "/ops/maintenance/get",
    "/ops/maintenance/list",
    "/usm/session/validate",
    "/usm/session/list",
    "/usm/service_account/list",
    "/usm/api_key/list",
    "/usm/api_key/validate",
    "/ofm/org/get",
    "/ofm/member/list",
    "/ofm/member/resolve",
    "/ofm/invitation/list",
    "/ofm/invitation/mine",
    "/uas/stat",
    "/utl/offboarding/status",
];

/// Operator functions that change nothing.
const READ_FUNCTIONS: &[&str] = &[
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

/// Operator functions that are sent in pages, and twice by their own tests (`utl::`): of an import and of a backup.
const ELSEWHERE: &[&str] = &[
    "utl_import_begin",
    "utl_import_objects",
    "utl_import_events",
    "utl_import_end",
    "utl_import_cancel",
    "ops_backup_begin",
    "ops_backup_renew",
    "ops_backup_end",
];

fn without_volatile(mut value: Value) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.retain(|name, _| !VOLATILE.contains(&name.as_str()));
        for member in object.values_mut() {
            *member = without_volatile(member.take());
        }
    }
    for item in value.as_array_mut().into_iter().flatten() {
        // What the header `Idempotent-Replay` says of a whole answer.
        item.as_object_mut().map(|item| item.remove("replayed"));
    }
    value
}

fn second_of(first: &Got, second: &Got) -> Second {
    let json = second.json();
    if json["error"]["details"]["already_there"] == true {
        return Already;
    }
    if second.status != 200 {
        return Gone(second.status);
    }
    let data = |got: &Got| without_volatile(got.json()["data"].clone());
    match data(first) == data(second) {
        true => Same,
        false => Done,
    }
}

/// The request with a key, where it would make another thing without one. A sign-in takes none.
fn keyed(name: &str, wanted: Second, body: &Value) -> Option<Value> {
    let takes = wanted == Another && name != "/usm/session/create";
    takes.then(|| {
        let mut body = body.clone();
        body["idempotency_key"] = json!(format!("{name} again"));
        body
    })
}

/// Sends everything twice, and keeps what was not as it should be.
struct Twice<'a> {
    town: &'a Town,
    wrong: Vec<String>,
    /// What was sent, each with its answers.
    sent: Vec<(String, Value)>,
}

impl Twice<'_> {
    fn look(&mut self, name: &str, wanted: Second, send: impl Fn() -> Got) -> Value {
        let (first, second) = (send(), send());
        let got = second_of(&first, &second);
        let fits =
            got == wanted || (wanted == Done && got == Same) || (wanted == Another && got == Done);
        if first.status != 200 || !fits {
            self.wrong.push(format!(
                "{name}: wanted {wanted:?}, got {got:?}\n  {} {}\n  {} {}",
                first.status,
                first.json(),
                second.status,
                second.json()
            ));
        }
        self.keep(name, &first, &second);
        first.json()["data"].clone()
    }

    fn by(&mut self, person: &Person, path: &str, wanted: Second, body: &Value) -> Value {
        let town = self.town;
        if let Some(body) = keyed(path, wanted, body) {
            self.look_keyed(path, || town.by(person, path, &body));
        }
        self.look(path, wanted, || town.by(person, path, body))
    }

    fn keep(&mut self, name: &str, first: &Got, second: &Got) {
        let answer = |got: &Got| json!([got.status, without_volatile(lasting(got.json()))]);
        let answers = [first, second].map(answer);
        self.sent.push((name.to_owned(), json!(answers)));
    }

    /// With a key there is no other of its kind: it is the first answer again, or a refusal that names what was made when that
    /// was a secret.
    fn look_keyed(&mut self, name: &str, send: impl Fn() -> Got) {
        let (first, second) = (send(), send());
        let got = second_of(&first, &second);
        self.keep(name, &first, &second);
        if first.status != 200 || ![Same, Already].contains(&got) {
            let answers = format!("{} {}", first.json(), second.json());
            self.wrong
                .push(format!("{name} with a key: {got:?} {answers}"));
        }
    }

    fn operator(&mut self, function: &str, wanted: Second, body: &Value) -> Value {
        let server = &self.town.server;
        if let Some(body) = keyed(function, wanted, body) {
            self.look_keyed(function, || server.operator(function, &body));
        }
        self.look(function, wanted, || server.operator(function, body))
    }

    fn coded(&mut self, function: &str, wanted: Second, mut body: Value) -> Value {
        body["secret_code"] = json!(self.town.server.secret_code);
        self.operator(function, wanted, &body)
    }
}

fn records(twice: &mut Twice<'_>, ann: &Person) {
    let about = |more: Value| {
        let mut body = json!({"orgcode": "ONE", "container": "notes", "record_id": "r"});
        for (name, value) in more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        body
    };
    let inline =
        json!({"content_type": "application/json", "payload": {"a": 1}, "tags": ["b", "a"]});
    twice.by(ann, "/mrs/record", Already, &about(inline));
    let over =
        json!({"content_type": "application/json", "payload": {"a": 2}, "expected_revision": 1});
    twice.by(ann, "/mrs/record", Already, &about(over));
    let copy = json!({"to_record_id": "copied"});
    twice.by(ann, "/mrs/record/copy", Already, &about(copy));
    let of_batch = json!({"container": "notes", "content_type": "application/json", "payload": 1, "idempotency_key": "of a batch"});
    let batch = json!({"orgcode": "ONE", "items": [of_batch]});
    twice.by(ann, "/mrs/record/batch", Same, &batch);
    let keyed = json!({"orgcode": "ONE", "container": "notes", "content_type": "application/json", "payload": 1,
        "idempotency_key": "k"});
    twice.by(ann, "/mrs/record", Same, &keyed);
    twice.by(
        ann,
        "/mrs/tag/add",
        Already,
        &about(json!({"tags": ["c"], "expected_revision": 2})),
    );
    twice.by(
        ann,
        "/mrs/tag/remove",
        Already,
        &about(json!({"tags": ["a"], "expected_revision": 3})),
    );
    twice.by(
        ann,
        "/mrs/ttl/set",
        Already,
        &about(json!({"doom_at": "2099-01-01T00:00:00Z", "expected_revision": 4})),
    );
    twice.by(
        ann,
        "/mrs/hold/set",
        Already,
        &about(json!({"reason": "suit", "expected_revision": 5})),
    );
    twice.by(
        ann,
        "/mrs/hold/release",
        Already,
        &about(json!({"expected_revision": 6})),
    );
    twice.by(
        ann,
        "/mrs/doom",
        Already,
        &about(json!({"expected_revision": 7})),
    );
    let gz = super::content::gzip("hello");
    let md5 = metarecord::domain::Md5::of(&gz).to_string();
    let promise = json!({"orgcode": "ONE", "container": "notes", "record_id": "u", "mode": "presign",
        "content_type": "text/plain", "size": gz.len(), "content_md5": md5});
    let promised = twice.by(ann, "/mrs/record", Already, &promise);
    let url = promised["upload"]["url"]
        .as_str()
        .expect("a url")
        .to_owned();
    let path = url
        .strip_prefix(&twice.town.server.base_url)
        .expect("its path")
        .to_owned();
    let put = || twice.town.server.put_bytes(&path, &gz);
    assert_eq!((put().status, put().status), (200, 200));
    let complete = json!({"orgcode": "ONE", "container": "notes", "record_id": "u", "size": gz.len(),
        "content_md5": md5, "content_token": promised["content_token"], "expected_revision": 1});
    twice.by(ann, "/mrs/record/complete", Same, &complete);
    let again = twice.town.server.put_bytes(&path, &gz).json();
    if again["error"]["details"]["already_there"] != true {
        twice
            .wrong
            .push(format!("an upload to what is complete: {again}"));
    }
}

fn people(twice: &mut Twice<'_>, ann: &Person, bob: &Person) {
    let one = |more: Value| {
        let mut body = json!({"orgcode": "ONE"});
        for (name, value) in more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        body
    };
    let account = twice.by(
        ann,
        "/usm/service_account/create",
        Another,
        &one(json!({"label": "robot"})),
    );
    let id = &account["service_account_id"];
    let key = twice.by(
        ann,
        "/usm/api_key/create",
        Another,
        &one(json!({"service_account_id": id, "role": "mrs_reader"})),
    );
    twice.by(
        ann,
        "/usm/api_key/revoke",
        Same,
        &one(json!({"service_account_id": id, "key_id": key["key_id"]})),
    );
    twice.by(
        ann,
        "/usm/api_key/revoke_all",
        Done,
        &one(json!({"service_account_id": id})),
    );
    twice.by(
        ann,
        "/usm/service_account/status",
        Same,
        &one(json!({"service_account_id": id, "status": "disabled"})),
    );
    // A later invitation of the same person takes the place of the one before.
    let invite = one(json!({"email": bob.email, "role": "member"}));
    twice.by(ann, "/ofm/invitation/create", Another, &invite);
    let invited = twice.town.by(ann, "/ofm/invitation/create", &invite).data();
    twice.by(
        ann,
        "/ofm/invitation/withdraw",
        Gone(404),
        &one(json!({"invitation_id": invited["invitation_id"]})),
    );
    twice.by(ann, "/ofm/member/add", Another, &invite);
    let invited = twice.town.by(ann, "/ofm/member/add", &invite).data();
    twice.by(
        bob,
        "/ofm/invitation/accept",
        Gone(404),
        &one(json!({"invitation_id": invited["invitation_id"]})),
    );
    twice.by(
        ann,
        "/ofm/member/remove",
        Gone(404),
        &one(json!({"email": bob.email})),
    );
    twice.town.join(ann, "ONE", bob, "member");
    twice.by(bob, "/ofm/member/leave", Gone(404), &one(json!({})));
    let invited = twice
        .town
        .by(ann, "/ofm/member/add", &one(json!({"email": bob.email})))
        .data();
    twice.by(
        bob,
        "/ofm/invitation/decline",
        Gone(404),
        &one(json!({"invitation_id": invited["invitation_id"]})),
    );
    twice.by(ann, "/ofm/org/park", Same, &one(json!({})));
    twice.by(ann, "/ofm/org/unpark", Same, &one(json!({})));
    let sign_in = json!({"email": bob.email, "passcode": PASSCODE});
    let session = twice.by(bob, "/usm/session/create", Another, &sign_in);
    twice.by(
        bob,
        "/usm/session/close",
        Gone(401),
        &json!({"session_guid": session["session_guid"]}),
    );
    let changed = json!({"passcode": PASSCODE, "new_passcode": "battery staple horse"});
    // Whoever knew the passcode before is signed out, the caller included.
    twice.by(bob, "/uas/passcode/change", Gone(401), &changed);
    let carl = twice.town.person("carl");
    twice.by(
        &carl,
        "/usm/session/logout_everywhere",
        Gone(401),
        &json!({}),
    );
    twice.by(
        ann,
        "/utl/offboarding/request",
        Already,
        &one(json!({"reason": "we leave"})),
    );
    twice.by(ann, "/utl/offboarding/cancel", Already, &one(json!({})));
}

/// Names in the source that stand between two texts.
fn between<'a>(source: &'a str, begin: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    source
        .split(begin)
        .skip(1)
        .filter_map(move |rest| rest.split(end).next())
}

/// Sends every change twice, on connections or as another surface of the server does. Returns what was sent, each with its
/// answers.
fn send_all(within: bool) -> Vec<(String, Value)> {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut town = Town::start(scratch.path());
    town.server.within = within;
    let (ann, bob) = (town.person("ann"), town.person("bob"));
    town.org("ONE", &ann);
    let mut twice = Twice {
        town: &town,
        wrong: Vec::new(),
        sent: Vec::new(),
    };
    records(&mut twice, &ann);
    people(&mut twice, &ann, &bob);
    operators(&mut twice);
    assert!(twice.wrong.is_empty(), "{}", twice.wrong.join("\n"));
    twice.sent
}

#[test]
fn every_change_is_answered_within_another_request_as_by_itself() {
    let [first, second, other] = [false, false, true].map(send_all);
    assert_eq!(first.len(), other.len());
    for (number, (name, answer)) in first.iter().enumerate() {
        assert_eq!((name, name), (&second[number].0, &other[number].0));
        assert_alike([answer, &second[number].1, &other[number].1], name);
    }
}

#[test]
fn every_change_that_is_sent_again_is_its_first_answer_or_says_that_it_is_there() {
    let sent = send_all(false).into_iter();
    let sent: BTreeSet<String> = sent.map(|(name, _)| name).collect();
    // All there are, and none that is not.
    let source = include_str!("../../src/http/operator/mod.rs");
    let functions: BTreeSet<&str> = between(source, "function!(\"", "\"").collect();
    let posts = ROUTES
        .iter()
        .filter(|route| route.method.as_str() == "POST");
    let known = posts.map(|route| route.path).chain(functions);
    let listed = [READS, READ_FUNCTIONS, ELSEWHERE].concat();
    let missing: Vec<_> = known
        .filter(|name| !listed.contains(name) && !sent.contains(*name))
        .collect();
    assert!(
        missing.is_empty(),
        "neither sent twice nor listed: {missing:?}"
    );
}

#[test]
fn a_token_that_is_rotated_twice_leaves_the_one_in_use_working() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let server = &town.server;
    let made = server.operator(
        "ops_token_create",
        &json!({"name": "prom", "scopes": ["metrics"]}),
    );
    let used = made.data()["operator_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let rotate = json!({"name": "prom", "overlap_seconds": 60});
    let lost = server.operator("ops_token_rotate", &rotate).data();
    server.operator("ops_token_rotate", &rotate).data();
    let metrics = |token: &str| {
        let request = crate::support::agent().get(format!("{}/metrics", server.operator_url));
        crate::support::got(
            request
                .header("authorization", format!("Bearer {token}"))
                .call(),
        )
        .status
    };
    assert_eq!(metrics(&used), 200);
    assert_eq!(
        metrics(lost["operator_token"].as_str().expect("a token")),
        200
    );
    server.clock.advance(60_000);
    assert_eq!(metrics(&used), 403);
}
