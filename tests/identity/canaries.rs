//! Secrets put through every route and every way to fail never turn up where they don't belong.

use std::fs::Permissions;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use flate2::read::MultiGzDecoder;
use metarecord::clock::Clock;
use metarecord::http::routes::ROUTES;
use serde_json::{Value, json};

use super::PASSCODE;
use crate::support::{Got, Server, agent, got};
use crate::token::issuer::Key;

/// What a server and an identity provider share.
const HMAC_SECRET: &str = "canary-of-the-shared-secret-6d20f7";
const ISSUER: &str = "https://id.example";
const AUDIENCE: &str = "metarecord";

/// A text in every form it could leak in.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let url: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    // What is in the middle of base64 depends on where it begins.
    let base64 = (0..3).flat_map(|shift| {
        let shifted = format!("{}{secret}", "x".repeat(shift));
        [STANDARD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)].map(|text| {
            let end = text.trim_end_matches('=').len();
            text[4..end - 2].to_owned()
        })
    });
    let mut forms = vec![secret.to_owned(), hex.to_uppercase(), hex, url];
    forms.extend(base64);
    forms.into_iter().map(String::into_bytes).collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

pub(crate) fn check(place: &str, bytes: &[u8], canaries: &[&str]) {
    for canary in canaries {
        for form in forms(canary) {
            assert!(
                !contains(bytes, &form),
                "{canary} is in {place} as {}",
                String::from_utf8_lossy(&form)
            );
        }
    }
}

/// Every file below a directory, unpacked where it is packed.
fn files(dir: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == "gz") {
            let mut plain = Vec::new();
            if MultiGzDecoder::new(&bytes[..])
                .read_to_end(&mut plain)
                .is_ok()
            {
                found.push((format!("{} unpacked", path.display()), plain));
            }
        }
        found.push((path.display().to_string(), bytes));
    }
}

/// A token of an identity provider, and the file of the secret that it shares with the server.
fn token(dir: &Path) -> (String, String) {
    let file = dir.join("hmac");
    std::fs::write(&file, HMAC_SECRET).expect("written");
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("set");
    let now = Clock::system().now().millis() / 1_000;
    let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "somebody", "org": "one",
        "role": "mrs_writer", "iat": now, "exp": now + 3_600});
    let token = Key::secret(HMAC_SECRET.as_bytes()).token_of(&claims);
    (token, file.display().to_string())
}

struct Caller<'a> {
    server: &'a Server,
    agent: ureq::Agent,
    told: Vec<(String, Got)>,
}

impl Caller<'_> {
    fn call(
        &mut self,
        base: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{base}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = match method {
            "GET" => self.agent.run(request.body(()).expect("a request")),
            _ => self.agent.run(request.body(body).expect("a request")),
        };
        self.told.push((
            format!(
                "the answer to {method} {}",
                path.split('?').next().unwrap_or_default()
            ),
            got(answer),
        ));
    }

    fn gateway(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let base = self.server.base_url.clone();
        self.call(&base, method, path, headers, body);
    }

    fn operator(&mut self, function: &str, token: &str, body: &Value) {
        let (base, bearer) = (self.server.operator_url.clone(), format!("Bearer {token}"));
        let headers = [("authorization", bearer.as_str())];
        self.call(
            &base,
            "POST",
            &format!("/invoke/{function}"),
            &headers,
            body.to_string().as_bytes(),
        );
    }
}

/// Bodies that go wrong in every way, with a secret where a value stands.
fn bodies(secret: &str) -> Vec<Vec<u8>> {
    let fields = [
        "orgcode",
        "container",
        "record_id",
        "payload",
        "tags",
        "email",
        "passcode",
        "session_guid",
        "api_key",
        "role",
        "status",
        "user_id",
        "service_account_id",
        "key_id",
        "label",
        "session_label",
        "next_token",
        "content_token",
        "idempotency_key",
        "doom_at",
        "limit",
        "expected_revision",
        "size",
        "content_md5",
        "secret_code",
        "maintenance_id",
        "dry_run",
        "mode",
        "reason",
    ];
    let mut bodies: Vec<_> = fields
        .iter()
        .flat_map(|field| {
            let mut text = json!({"orgcode": "DEMO", "container": "notes", "record_id": "r"});
            text[*field] = json!(secret);
            let mut number = text.clone();
            number[*field] = json!([secret, {secret: 1}]);
            [text, number]
        })
        .map(|body| body.to_string().into_bytes())
        .collect();
    bodies.push(format!("{{\"orgcode\": \"DEMO\", \"payload\": {secret}").into_bytes());
    bodies.push(secret.as_bytes().to_vec());
    bodies.push(format!("\"{secret}\"").into_bytes());
    bodies
}

#[test]
fn no_secret_turns_up_in_logs_journal_metrics_or_errors() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let (jwt, hmac_file) = token(scratch.path());
    let hmac = format!("auth.jwt_hmac_file={hmac_file}");
    let issuer = format!("auth.jwt_issuer={ISSUER}");
    let audience = format!("auth.jwt_audience={AUDIENCE}");
    // Each refusal is to have its receipt.
    let all = "log.refusals_per_second=0";
    let sets = [
        "--set", &issuer, "--set", &audience, "--set", &hmac, "--set", all,
    ];
    let mut server = Server::start_in(&dir, &sets);
    let ann = json!({"email": "ann@example.com", "passcode": PASSCODE});
    server.invoke("uas_user_create", &ann).data();
    server
        .invoke(
            "ofm_org_create",
            &json!({"orgcode": "one", "owner_email": "ann@example.com"}),
        )
        .data();
    let session = server.post("/usm/session/create", &ann).data()["session_guid"]
        .as_str()
        .expect("a guid")
        .to_owned();
    let headers = [
        ("x-session-guid", session.as_str()),
        ("content-type", "application/json"),
    ];
    let mut caller = Caller {
        server: &server,
        agent: agent(),
        told: Vec::new(),
    };
    let account = br#"{"orgcode":"one"}"#;
    caller.gateway("POST", "/usm/service_account/create", &headers, account);
    let id = caller.told.remove(0).1.data()["service_account_id"].clone();
    let key = json!({"orgcode": "one", "service_account_id": id, "role": "mrs_writer"});
    caller.gateway(
        "POST",
        "/usm/api_key/create",
        &headers,
        key.to_string().as_bytes(),
    );
    let key = caller.told.remove(0).1.data()["api_key"]
        .as_str()
        .expect("a key")
        .to_owned();
    // Never valid, and unmistakable.
    let canary = "canary-3b7e91f5d2";
    let (bearer, bad_bearer) = (format!("Bearer {jwt}"), format!("Bearer {canary}.{jwt}"));
    let signature = jwt.rsplit('.').next().expect("a signature");
    caller.gateway("GET", "/whoami", &[("authorization", &bearer)], b"");
    assert_eq!(caller.told.remove(0).1.data()["auth_mode"], "jwt");
    for route in ROUTES {
        let method = route.method.as_str();
        for credentials in [
            vec![],
            vec![("x-session-guid", session.as_str())],
            vec![("x-api-key", key.as_str())],
            vec![("x-session-guid", canary)],
            vec![("x-api-key", canary)],
            vec![("authorization", canary)],
            vec![("authorization", bearer.as_str())],
            vec![("authorization", bad_bearer.as_str())],
            vec![("authorization", bearer.as_str()), ("x-api-key", &key)],
            vec![
                ("x-session-guid", session.as_str()),
                ("x-orgcode", canary),
                ("x-cccode", canary),
            ],
        ] {
            let mut headers = credentials.clone();
            headers.push(("content-type", "application/json"));
            match method {
                "GET" => {
                    for name in [
                        "orgcode",
                        "container",
                        "record_id",
                        "tag",
                        "limit",
                        "next_token",
                        "as_of",
                        "status",
                    ] {
                        let path = format!("{}?orgcode=one&{name}={canary}", route.path);
                        caller.gateway("GET", &path, &headers, b"");
                    }
                }
                _ if credentials.len() == 1 && credentials[0].1 == session => {
                    for secret in [canary, key.as_str()] {
                        for body in bodies(secret) {
                            caller.gateway(method, route.path, &headers, &body);
                        }
                    }
                }
                _ => caller.gateway(method, route.path, &headers, canary.as_bytes()),
            }
        }
    }
    let functions = [
        "ops_secret_set",
        "ops_maintenance_schedule",
        "ops_maintenance_end",
        "ops_vacuum_org",
        "ops_audit",
        "uas_user_create",
        "ofm_org_create",
        "ofm_org_status_set",
        canary,
    ];
    for function in functions {
        for body in bodies(canary) {
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            caller.operator(function, &server.operator_token, &body);
        }
        caller.operator(
            function,
            canary,
            &json!({"secret_code": server.secret_code}),
        );
    }
    caller.gateway("GET", &format!("/content/{canary}"), &[], b"");
    let bearer = format!("Bearer {}", server.operator_token);
    let operator_url = server.operator_url.clone();
    caller.call(
        &operator_url,
        "GET",
        "/metrics",
        &[("authorization", &bearer)],
        b"",
    );
    let told = std::mem::take(&mut caller.told);
    assert!(told.len() > 1_000, "{}", told.len());
    let metrics = String::from_utf8_lossy(&told[told.len() - 1].1.bytes).into_owned();
    assert!(
        metrics.contains("{reason=\"session-unknown\",stage=\"credential\"} ")
            && !metrics.contains("{reason=\"session-unknown\",stage=\"credential\"} 0\n")
    );
    let (token, code) = (server.operator_token.clone(), server.secret_code.clone());
    let secrets = [
        session.as_str(),
        key.as_str(),
        PASSCODE,
        token.as_str(),
        code.as_str(),
        signature,
        HMAC_SECRET,
        canary,
    ];
    for (place, got) in &told {
        // An unknown field is named, as the contract has it; here only values are secret. What is stored is read back.
        let error = got.json()["error"].clone();
        check(place, error.to_string().as_bytes(), &secrets);
    }
    server.end("TERM");
    let log = server.told();
    let denied = log
        .lines()
        .filter(|line| line.contains("access_denied"))
        .count();
    let refused = told
        .iter()
        .filter(|(_, got)| [401, 403].contains(&got.status))
        .count();
    assert!(
        denied >= refused && refused > 100,
        "{denied} receipts of {refused} refusals"
    );
    check("the log", log.as_bytes(), &secrets);
    let mut found = Vec::new();
    files(&dir, &mut found);
    for (place, bytes) in &found {
        // Content and tags are stored, and the keys' own directory and the development files hold what they are for.
        let own = ["keys/", "dev.json", "profiles.toml"]
            .iter()
            .any(|own| place.contains(own));
        let (_, of_tenants) = secrets.split_last().expect("some");
        if !own {
            check(place, bytes, of_tenants);
        }
    }
    assert!(found.iter().any(|(place, _)| place.contains("journal/")));
}
