//! With an honest server: every credential passes, what was made is gone, and too little told is a usage error.

use serde_json::json;

use super::{PROGRAMS, reference, session, verify};
use crate::support::Server;

#[test]
fn an_honest_server_passes_and_nothing_is_left() {
    let server = Server::start();
    for (program, run) in PROGRAMS {
        let line = format!("--url {}", server.base_url);
        let found = run(&line, &session(&server));
        assert_eq!(found.code, 0, "{program}: {found:?}");
        let states: Vec<&String> = found.states.values().collect();
        assert_eq!(states.len(), 18, "{program}: {found:?}");
        assert!(
            states.iter().all(|state| *state == "ok"),
            "{program}: {found:?}"
        );
        assert!(!found.text.contains(&server.session_guid), "{program}");
    }
    let active = [("orgcode", "DEMO"), ("status", "active")];
    assert_eq!(server.get("/mrs/list", &active).data()["items"], json!([]));
    let doomed = [("orgcode", "DEMO"), ("status", "doomed")];
    let doomed = server.get("/mrs/list", &doomed).data();
    let ids = doomed["items"].as_array().expect("a list").iter();
    let ids: Vec<&str> = ids.filter_map(|item| item["record_id"].as_str()).collect();
    assert_eq!(ids.len(), 4, "two of each program");
    for start in ["g3n-verify-", "ref-client-"] {
        let of = ids.iter().filter(|id| id.starts_with(start));
        assert_eq!(of.count(), 2, "{ids:?}");
    }
}

#[test]
fn both_programs_look_at_the_same_things() {
    let server = Server::start();
    let line = format!("--url {}", server.base_url);
    let environment = session(&server);
    let names = PROGRAMS.map(|(_, run)| {
        let found = run(&line, &environment);
        found.states.into_keys().collect::<Vec<_>>()
    });
    assert_eq!(names[0], names[1]);
}

#[test]
fn a_key_that_may_only_read_is_seen_and_one_that_may_write_passes() {
    let server = Server::start();
    let org = json!({"orgcode": "DEMO", "label": "verifier"});
    let account = server.post("/usm/service_account/create", &org).data();
    for (role, code) in [("mrs_writer", 0), ("mrs_reader", 1)] {
        let body = json!({"orgcode": "DEMO", "role": role,
            "service_account_id": account["service_account_id"]});
        let key = server.post("/usm/api_key/create", &body).data();
        let key = key["api_key"].as_str().expect("a key").to_owned();
        let environment = [("G3N_API_KEY", key.as_str()), ("G3N_ORGCODE", "DEMO")];
        for (program, run) in PROGRAMS {
            let found = run(&format!("--url {}", server.base_url), &environment);
            assert_eq!(found.code, code, "{program} {role}: {found:?}");
            let put = ["ok", "fail"][usize::from(code == 1)];
            assert_eq!(found.states["put"], put, "{program} {role}: {found:?}");
        }
    }
}

#[test]
fn callers_by_headers_pass_where_a_server_takes_them() {
    let flags = [
        "auth.header_identity=true",
        "auth.allow_insecure_header_identity=true",
    ];
    let server = Server::start_with(&["--set", flags[0], "--set", flags[1]]);
    let line = format!("--url {} --header-user ann", server.base_url);
    let environment = [("G3N_ORGCODE", "DEMO")];
    let found = verify(&line, &environment);
    assert_eq!((found.code, found.failed()), (0, vec![]), "{found:?}");
    let other = Server::start();
    let line = format!("--url {} --header-user ann", other.base_url);
    let found = verify(&line, &environment);
    assert_eq!(found.code, 1, "{found:?}");
    assert_eq!(found.states["identity"], "fail", "{found:?}");
}

#[test]
fn nobody_listening_fails_and_too_little_told_is_a_usage_error() {
    let session = ("G3N_SESSION_GUID", "s");
    let org = ("G3N_ORGCODE", "A1");
    for (program, run) in PROGRAMS {
        let found = run("--url http://127.0.0.1:1", &[session, org]);
        assert_eq!(
            (found.code, found.failed()),
            (1, vec!["health"]),
            "{program}: {found:?}"
        );
        assert_eq!(found.states["put"], "skipped", "{program}: {found:?}");
        for (line, environment) in [
            ("--url http://127.0.0.1:1", vec![session]),
            ("--url http://127.0.0.1:1", vec![org]),
            ("--url 127.0.0.1:1", vec![session, org]),
            ("--url http://127.0.0.1:1 --jwt-file nowhere", vec![org]),
            ("--url http://127.0.0.1:1 --seconds 91", vec![session, org]),
        ] {
            let found = run(line, &environment);
            assert_eq!(found.code, 2, "{program} {line}: {found:?}");
        }
    }
}

#[test]
fn the_reference_client_finds_a_developers_server_by_itself() {
    let server = Server::start();
    let file = server.dir.join("dev.json");
    // The last of two flags counts.
    let found = std::process::Command::new("python3")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/examples/reference-client/verify.py"
        ))
        .arg("--dev-file")
        .arg(file)
        .env_remove("G3N_BASE_URL")
        .env_remove("G3N_SESSION_GUID")
        .output()
        .expect("python3 runs");
    let text = String::from_utf8_lossy(&found.stdout);
    assert_eq!(found.status.code(), Some(0), "{text}");
    assert!(text.contains(&server.base_url), "{text}");
    let nowhere = reference("", &[]);
    assert_eq!(nowhere.code, 2, "{nowhere:?}");
    assert!(nowhere.text.contains("make run-local"), "{nowhere:?}");
}

#[test]
fn another_org_that_is_there_is_as_strange_as_one_that_is_not() {
    let server = Server::start();
    let ann = json!({"email": "ann@example.com", "passcode": "a long passcode"});
    assert_eq!(server.invoke("uas_user_create", &ann).status, 200);
    let org = json!({"orgcode": "OTHER", "owner_email": "ann@example.com"});
    assert_eq!(server.invoke("ofm_org_create", &org).status, 200);
    for (program, run) in PROGRAMS {
        let line = format!("--url {} --other-orgcode OTHER", server.base_url);
        let found = run(&line, &session(&server));
        assert_eq!(
            (found.code, found.failed()),
            (0, vec![]),
            "{program}: {found:?}"
        );
        assert!(
            found.text.contains("OTHER answers as"),
            "{program}: {found:?}"
        );
    }
}
