//! Operators' tokens with scopes, and callers whom an identity provider names: what each lets do, and what it never does.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use metarecord::clock::Clock;
use metarecord::domain::Timestamp;
use serde_json::{Value, json};

use crate::support::inside::{Inside, START_MS};
use crate::support::{Got, Server, agent, eventually, got};
use crate::token::issuer::Key;

/// Calls an operator function with a given token.
fn with_token(url: &str, token: &str, function: &str, body: &Value) -> Got {
    let request = agent().post(format!("{url}/invoke/{function}"));
    let request = request.header("authorization", format!("Bearer {token}"));
    got(request
        .content_type("application/json")
        .send(body.to_string()))
}

fn metrics(url: &str, token: &str) -> u16 {
    let request = agent().get(format!("{url}/metrics"));
    got(request
        .header("authorization", format!("Bearer {token}"))
        .call())
    .status
}

fn make(server: &Server, name: &str, scopes: &[&str]) -> String {
    let body = json!({"name": name, "scopes": scopes});
    let made = server.invoke("ops_token_create", &body).data();
    made["operator_token"].as_str().expect("a token").to_owned()
}

/// Some functions of each scope, with inputs that get past the token.
const FUNCTIONS: &[(&str, &str)] = &[
    ("jobs_list", "read"),
    ("ops_audit", "read"),
    ("ops_token_list", "read"),
    ("ops_vacuum_status", "read"),
    ("ops_clock_status", "read"),
    ("ops_secret_status", "read"),
    ("uas_user_create", "tenants"),
    ("uas_user_verify", "tenants"),
    ("ofm_owner_add", "tenants"),
    ("ops_secret_lock_lift", "tenants"),
    ("ofm_org_status_set", "tenants"),
    ("jobs_pause", "tenants"),
    ("ops_maintenance_schedule", "tenants"),
    ("mrs_hold_set", "tenants"),
    ("ops_vacuum_all", "destroy"),
    ("ops_vacuum_org", "destroy"),
    ("utl_offboarding_approve", "destroy"),
    ("mrs_cleanup", "destroy"),
    ("ops_clock_confirm", "destroy"),
    ("ops_secret_set", "all"),
    ("ops_token_create", "all"),
    ("ops_token_rotate", "all"),
    ("ops_token_revoke", "all"),
    ("ops_signing_key_rotate", "all"),
    ("ops_signing_key_list", "read"),
];

#[test]
fn a_token_does_what_its_scopes_name_and_nothing_else() {
    let server = Server::start();
    let scope_refused = (403, "not-authorized".to_owned(), "scope".to_owned());
    for scope in ["metrics", "read", "tenants", "destroy", "all"] {
        let token = make(&server, &format!("only-{scope}"), &[scope]);
        for (function, needed) in FUNCTIONS {
            let got = with_token(&server.operator_url, &token, function, &json!({"x": 1}));
            let refused = got.refusal() == scope_refused;
            let may = scope == "all" || scope == *needed;
            assert_eq!(refused, !may, "{function} with {scope}: {}", got.json());
        }
        let may = ["metrics", "all"].contains(&scope);
        let status = metrics(&server.operator_url, &token);
        assert_eq!(status, if may { 200 } else { 403 }, "metrics with {scope}");
    }
    let both = make(&server, "both", &["read", "metrics"]);
    assert_eq!(metrics(&server.operator_url, &both), 200);
    let listed = with_token(&server.operator_url, &both, "ops_token_list", &json!({}));
    let text = listed.json().to_string();
    assert!(listed.status == 200 && !text.contains("op_"), "{text}");
}

#[test]
fn a_token_ends_when_it_is_revoked_rotated_or_past_its_time() {
    let scratch = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let server = Inside::start_by(scratch.path(), clock.clone(), &[]);
    let works = |token: &str| {
        let got = with_token(&server.operator_url, token, "jobs_list", &json!({}));
        got.status == 200
    };
    let secret = |got: Got| {
        got.data()["operator_token"]
            .as_str()
            .expect("one")
            .to_owned()
    };
    let soon = clock.now().plus_millis(60_000).to_string();
    let create = json!({"name": "ann", "scopes": ["read"], "expires_at": soon});
    let ann = secret(server.operator("ops_token_create", &create));
    let bob = json!({"name": "bob", "scopes": ["read"]});
    let bob = secret(server.operator("ops_token_create", &bob));
    assert!(works(&ann) && works(&bob));
    let again = server.operator("ops_token_create", &create).refusal();
    assert_eq!(again, (409, "conflict".to_owned(), "name".to_owned()));

    let rotate = json!({"name": "bob", "overlap_seconds": 30});
    let new_bob = secret(server.operator("ops_token_rotate", &rotate));
    assert!(works(&bob) && works(&new_bob), "both during the overlap");
    clock.advance(30_000);
    assert!(!works(&bob) && works(&new_bob) && works(&ann));
    clock.advance(30_000);
    assert!(!works(&ann), "it has expired");

    let mut server = server;
    server.stop();
    let mut server = Inside::start_by(scratch.path(), clock, &[]);
    let works = |token: &str| {
        let got = with_token(&server.operator_url, token, "jobs_list", &json!({}));
        got.status == 200
    };
    assert!(works(&new_bob) && !works(&bob), "also after a restart");
    let revoke = json!({"name": "bob", "actor": "carol", "reason": "left"});
    assert_eq!(
        server.operator("ops_token_revoke", &revoke).data()["status"],
        "revoked"
    );
    assert!(!works(&new_bob));

    let audit = server.operator("ops_audit", &json!({"limit": 50})).data();
    let told = audit.to_string();
    for secret in [&ann, &bob, &new_bob] {
        assert!(!told.contains(secret.as_str()), "{told}");
    }
    let rows = audit["items"].as_array().expect("rows");
    let row = rows
        .iter()
        .find(|row| row["event"] == "operator_token.revoked");
    assert_eq!(row.expect("a row")["actor"], "carol");
    assert!(!told.contains("token_hash"), "{told}");
    server.stop();
}

#[test]
fn the_audit_names_the_token_that_was_used() {
    let server = Server::start();
    let ann = make(&server, "ann", &["tenants"]);
    let window = json!({"secret_code": server.secret_code, "description": "disks", "duration": 60,
        "start": "2199-01-01T00:00:00Z"});
    let got = with_token(
        &server.operator_url,
        &ann,
        "ops_maintenance_schedule",
        &window,
    );
    got.data();
    let audit = server.invoke("ops_audit", &json!({})).data();
    let rows = audit["items"].as_array().expect("rows");
    let by = |event: &str| {
        let row = rows.iter().find(|row| row["event"] == event);
        row.expect(event)["by"].clone()
    };
    assert_eq!(by("maintenance.scheduled"), "operator:ann");
    assert_eq!(by("operator_token.created"), "operator");
}

#[test]
fn the_token_of_the_first_start_stays_unless_it_is_rotated_and_never_goes() {
    let server = Server::start();
    let revoked = server.invoke("ops_token_revoke", &json!({"name": "operator"}));
    assert_eq!(revoked.refusal().1, "invalid-input");
    let taken = json!({"name": "operator", "scopes": ["all"]});
    assert_eq!(
        server.invoke("ops_token_create", &taken).refusal().1,
        "invalid-input"
    );
    let rotated = server.invoke("ops_token_rotate", &json!({"name": "operator"}));
    assert_eq!(rotated.refusal().1, "invalid-state", "dev.json names it");
}

/// A server in production, by its log's line that it is ready.
fn production(data: &Path, log: &Path) -> (Child, String) {
    let child = Command::new(env!("CARGO_BIN_EXE_g3n"))
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--operator-listen",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(fs::File::create(log).expect("made"))
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut url = String::new();
    eventually("it is ready", || {
        let text = fs::read_to_string(log).unwrap_or_default();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ready = lines.into_iter().find(|line| line["event"] == "ready");
        url = ready.map_or_else(String::new, |line| {
            line["operators"].as_str().expect("a url").to_owned()
        });
        !url.is_empty()
    });
    (child, url)
}

#[test]
fn the_token_of_the_first_start_is_rotated_in_its_file_before_it_works() {
    let scratch = tempfile::tempdir().expect("a directory");
    let (data, log) = (scratch.path().join("data"), scratch.path().join("log"));
    let (mut child, url) = production(&data, &log);
    let file = || fs::read_to_string(data.join("keys/operator.token")).expect("there");
    let old = file();
    let rotated = with_token(&url, &old, "ops_token_rotate", &json!({"name": "operator"}));
    let new = rotated.data()["operator_token"]
        .as_str()
        .expect("one")
        .to_owned();
    assert_eq!(file(), new);
    let status = |url: &str, token: &str| with_token(url, token, "jobs_list", &json!({})).status;
    assert_eq!((status(&url, &old), status(&url, &new)), (403, 200));
    child.kill().expect("killed");
    child.wait().expect("over");
    let (mut child, url) = production(&data, &log);
    assert_eq!((status(&url, &old), status(&url, &new)), (403, 200));
    child.kill().expect("killed");
    child.wait().expect("over");
}

const ISSUER: &str = "https://id.example";

/// A server that takes tokens of an issuer, and what signs them.
fn with_issuer(dir: &Path, clock: &Clock) -> (Inside, Key) {
    let secret = dir.join("secret");
    fs::write(&secret, [b'k'; 32]).expect("written");
    let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&secret, own).expect("set");
    let file = format!("auth.jwt_hmac_file={}", secret.display());
    let issuer = format!("auth.jwt_issuer={ISSUER}");
    let sets = [file.as_str(), &issuer, "auth.jwt_audience=metarecord"];
    let server = Inside::start_by(&dir.join("data"), clock.clone(), &sets);
    (server, Key::secret(&[b'k'; 32]))
}

fn mint(key: &Key, subject: &str, seconds: u32, jti: &str) -> String {
    let now = START_MS / 1_000;
    let mut claims = json!({"iss": ISSUER, "aud": "metarecord", "sub": subject, "org": "DEMO",
        "role": "mrs_writer", "iat": now, "exp": now + i64::from(seconds)});
    if !jti.is_empty() {
        claims["jti"] = json!(jti);
    }
    format!("Bearer {}", key.token_of(&claims))
}

#[test]
fn a_token_of_a_provider_names_nobody_else_and_lives_a_day_at_most() {
    let scratch = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let (mut server, key) = with_issuer(scratch.path(), &clock);
    let own = server.get("/whoami").data()["user_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    for (number, subject) in ["operator", "job:sessions", own.as_str(), "header:ann"]
        .into_iter()
        .enumerate()
    {
        let token = mint(&key, subject, 3_600, "");
        let headers = [("authorization", token.as_str())];
        let who = server.call("GET", "/whoami", &headers, None);
        assert_eq!(who.data()["user_id"], format!("jwt:{subject}"));
        let body = json!({"orgcode": "demo", "container": "notes", "record_id": format!("n-{number}"),
            "content_type": "application/json", "payload": 1});
        let made = server
            .call("POST", "/mrs/record", &headers, Some(&body))
            .data();
        assert_eq!(made["created_by"], format!("jwt:{subject}"));
    }
    for (seconds, status) in [
        (86_400, 200),
        (86_460, 200),
        (86_461, 401),
        (31_536_000, 401),
    ] {
        let token = mint(&key, "ann", seconds, "");
        let who = server.call("GET", "/whoami", &[("authorization", &token)], None);
        assert_eq!(who.status, status, "{seconds} s");
    }
    server.stop();
}

#[test]
fn a_revoked_token_of_a_provider_counts_no_longer_and_no_other_does() {
    let scratch = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let (mut server, key) = with_issuer(scratch.path(), &clock);
    let [stolen, other, nameless] = ["t-1", "t-2", ""].map(|jti| mint(&key, "ann", 3_600, jti));
    let status = |server: &Inside, token: &str| {
        server
            .call("GET", "/whoami", &[("authorization", token)], None)
            .status
    };
    for token in [&stolen, &other, &nameless] {
        assert_eq!(status(&server, token), 200);
    }
    let revoke = json!({"jti": "t-1", "reason": "stolen"});
    server.operator("ops_jwt_revoke", &revoke).data();
    let all = |server: &Inside| [&stolen, &other, &nameless].map(|token| status(server, token));
    assert_eq!(all(&server), [401, 200, 200]);
    server.stop();
    fs::remove_dir_all(scratch.path().join("data/projections")).expect("removed");
    let (mut server, _) = with_issuer(scratch.path(), &clock);
    assert_eq!(all(&server), [401, 200, 200], "also by replay");
    let listed = server.operator("ops_jwt_list", &json!({})).data();
    assert_eq!(listed["items"][0]["jti"], "t-1");
    clock.advance(86_400_000 + 1);
    assert_eq!(
        server.operator("ops_jwt_list", &json!({})).data()["items"],
        json!([])
    );
    server.stop();
}

/// A service account of DEMO and a way to make keys for it.
fn account(server: &Inside) -> String {
    let made = server.post("/usm/service_account/create", &json!({"orgcode": "demo"}));
    made.data()["service_account_id"]
        .as_str()
        .expect("an id")
        .to_owned()
}

fn key(server: &Inside, account: &str, more: Value) -> Got {
    let mut body = json!({"orgcode": "demo", "service_account_id": account, "role": "mrs_writer"});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    server.post("/usm/api_key/create", &body)
}

#[test]
fn a_key_counts_until_its_end_and_from_its_networks_alone() {
    let scratch = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let mut server = Inside::start_by(scratch.path(), clock.clone(), &[]);
    let account = account(&server);
    let soon = clock.now().plus_millis(60_000).to_string();
    let make = |server: &Inside, more: Value| {
        key(server, &account, more).data()["api_key"]
            .as_str()
            .expect("a key")
            .to_owned()
    };
    let ending = make(&server, json!({"expires_at": soon}));
    let here = make(
        &server,
        json!({"allowed_addresses": ["127.0.0.0/8", "10.1.2.3/8"]}),
    );
    let elsewhere = make(
        &server,
        json!({"allowed_addresses": ["10.0.0.0/8", "2001:db8::/32"]}),
    );
    let status = |server: &Inside, key: &str| {
        server
            .call("GET", "/whoami", &[("x-api-key", key)], None)
            .status
    };
    let all = |server: &Inside| [&ending, &here, &elsewhere].map(|key| status(server, key));
    assert_eq!(all(&server), [200, 200, 401]);
    // What is remembered of a caller does not outlive the end of its key.
    clock.advance(59_999);
    assert_eq!(all(&server), [200, 200, 401]);
    clock.advance(1);
    assert_eq!(all(&server), [401, 200, 401]);
    let valid = server.post("/usm/api_key/validate", &json!({"api_key": ending}));
    assert_eq!(valid.status, 401);

    let keys = json!({"orgcode": "demo", "service_account_id": account});
    let list = server.post("/usm/api_key/list", &keys).data();
    let items = list["items"].as_array().expect("keys");
    let found = |field: &str, value: Value| items.iter().filter(|key| key[field] == value).count();
    assert_eq!(
        (
            found("status", json!("expired")),
            found("status", json!("active"))
        ),
        (1, 2)
    );
    assert_eq!(
        found("allowed_addresses", json!(["127.0.0.0/8", "10.0.0.0/8"])),
        1,
        "{list}"
    );
    server.stop();
}

#[test]
fn what_no_key_can_be_bound_to_is_refused_with_the_field() {
    let scratch = tempfile::tempdir().expect("a directory");
    let mut server = Inside::start(scratch.path());
    let account = account(&server);
    let many: Vec<_> = (0..17).map(|number| format!("10.0.0.{number}")).collect();
    for (more, field) in [
        (json!({"expires_at": "tomorrow"}), "expires_at"),
        (json!({"expires_at": "2001-01-01T00:00:00Z"}), "expires_at"),
        (
            json!({"allowed_addresses": ["10.0.0.0/33"]}),
            "allowed_addresses",
        ),
        (
            json!({"allowed_addresses": ["example.com"]}),
            "allowed_addresses",
        ),
        (json!({"allowed_addresses": [""]}), "allowed_addresses"),
        (json!({"allowed_addresses": many}), "allowed_addresses"),
    ] {
        let refused = key(&server, &account, more.clone()).refusal();
        assert_eq!(
            refused,
            (400, "invalid-input".to_owned(), field.to_owned()),
            "{more}"
        );
    }
    server.stop();
}

#[test]
fn when_a_key_was_used_last_is_known_to_an_hour_and_survives_a_replay() {
    let scratch = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let mut server = Inside::start_by(scratch.path(), clock.clone(), &[]);
    let account = account(&server);
    let api_key = key(&server, &account, json!({})).data()["api_key"]
        .as_str()
        .expect("one")
        .to_owned();
    let keys = json!({"orgcode": "demo", "service_account_id": account});
    let last = |server: &Inside| {
        server.post("/usm/api_key/list", &keys).data()["items"][0]["last_used_at"].clone()
    };
    assert_eq!(last(&server), Value::Null);
    let call = |server: &Inside| {
        assert_eq!(
            server
                .call("GET", "/whoami", &[("x-api-key", &api_key)], None)
                .status,
            200
        );
    };
    let first = clock.now().to_string();
    call(&server);
    eventually("its first use is noted", || last(&server) == first.as_str());
    clock.advance(3_599_000);
    call(&server);
    assert_eq!(last(&server), first.as_str());
    clock.advance(1_000);
    let second = clock.now().to_string();
    call(&server);
    eventually("a use an hour later is noted", || {
        last(&server) == second.as_str()
    });
    server.stop();
    fs::remove_dir_all(scratch.path().join("projections")).expect("removed");
    let mut server = Inside::start_by(scratch.path(), clock, &[]);
    assert_eq!(last(&server), second.as_str());
    server.stop();
}
