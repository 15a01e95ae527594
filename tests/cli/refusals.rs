//! What the operators' verbs answer when they are not carried out, and where they take the secret code from.

use serde_json::json;

use super::ops::{AppState, SWEEP, text};
use super::run::shell;

const SCHEDULE: &str =
    "g3n ops maintenance-schedule --description d --duration 60 --start 2999-01-01T00:00:00Z";
const ALL: &str = "g3n ops vacuum-all --yes --secret-code $CODE --reason r --confirmation-phrase";
const PHRASE: &str = "'VACUUM ALL DATA PERMANENTLY'";
const ORG: &str = "g3n ops vacuum-org --yes --secret-code $CODE --reason r --orgcode";

/// Runs lines, each of which ends with a number and a tag.
fn check(app: &AppState, lines: &[(&str, i32, &str)]) {
    for (line, code, tag) in lines {
        let refused = app.run(line, &[]).refusal();
        assert_eq!(refused, (*code, (*tag).to_owned()), "{line}");
    }
}

fn scheduled(app: &AppState, description: &str) -> String {
    let line = SCHEDULE.replace("--description d", &format!("--description {description}"));
    let line = format!("{line} --secret-code $CODE");
    text(&app.run(&line, &[]).data(), "maintenance_id")
}

#[test]
fn credentials_that_are_not_right_end_with_4() {
    let app = AppState::open(&[]);
    let wrong = format!("{SCHEDULE} --secret-code 'canary of a wrong code'");
    let told = app.run(&wrong, &[]);
    assert_eq!(told.refusal(), (4, "secret-code-mismatch".to_owned()));
    assert!(!format!("{told:?}").contains("canary"), "{told:?}");
    check(
        &app,
        &[
            (
                "G3N_SESSION_GUID=nobody g3n ops maintenance-list",
                4,
                "invalid-session",
            ),
            ("G3N_OPERATOR_TOKEN=x g3n ops audit", 4, "not-authorized"),
            (
                "G3N_OPERATOR_TOKEN=x g3n ops vacuum-status",
                4,
                "not-authorized",
            ),
        ],
    );
    assert_eq!(app.audited(""), ["secret.set", "secret.mismatched"]);
}

#[test]
fn wrong_codes_lock_it_and_are_told_apart_from_the_lock() {
    let app = AppState::open(&[]);
    let wrong = format!("{SCHEDULE} --secret-code not-the-right-one");
    for _ in 0..5 {
        let told = app.run(&wrong, &[]).refusal();
        assert_eq!(told, (4, "secret-code-mismatch".to_owned()));
    }
    let right = format!("{SCHEDULE} --secret-code $CODE");
    let told = app.run(&format!("{right} --output json"), &[]);
    assert_eq!(told.refusal(), (1, "throttled".to_owned()));
    assert_eq!(
        told.json()["error"]["minor"]["tag"],
        "secret-code-locked",
        "{told:?}"
    );
    // Once: an advice that says the same would be one too many.
    let told = told.stderr.to_lowercase();
    assert_eq!(told.matches(" seconds").count(), 1, "{told}");
}

#[test]
fn what_is_unknown_ends_with_5() {
    let app = AppState::open(&[]);
    let unknown = "--maintenance-id mw_unknown";
    for verb in [
        "maintenance-start --secret-code $CODE",
        "maintenance-update --secret-code $CODE --text t",
        "maintenance-end --secret-code $CODE",
        "maintenance-cancel --secret-code $CODE",
        "maintenance-get",
    ] {
        let line = format!("g3n ops {verb} {unknown}");
        check(&app, &[(&line, 5, "not-found")]);
    }
    check(
        &app,
        &[
            ("g3n ops vacuum-status", 5, "not-found"),
            ("g3n ops vacuum-status --watch", 5, "not-found"),
            ("g3n ops vacuum-status --vacuum-id v", 5, "not-found"),
            (
                "g3n ops vacuum-cancel --secret-code $CODE --vacuum-id v",
                5,
                "not-found",
            ),
            (&format!("{ORG} TESTORG --dry-run"), 5, "not-found"),
            (&format!("{ORG} TESTORG"), 5, "not-found"),
        ],
    );
    let none = app.audited("--maintenance-id mw_unknown");
    assert!(none.is_empty(), "{none:?}");
}

#[test]
fn what_its_state_does_not_allow_ends_with_6() {
    let app = AppState::open(&[SWEEP]);
    let (first, second) = (scheduled(&app, "first"), scheduled(&app, "second"));
    let named = |verb: &str, id: &str| {
        format!("g3n ops maintenance-{verb} --secret-code $CODE --maintenance-id {id}")
    };
    let invalid = "invalid-state";
    check(
        &app,
        &[
            ("g3n ops maintenance-end --secret-code $CODE", 6, invalid),
            (
                "g3n ops maintenance-update --secret-code $CODE --text t",
                6,
                invalid,
            ),
            (&named("end", &first), 6, invalid),
        ],
    );
    app.run(&named("start", &first), &[]).data();
    check(
        &app,
        &[
            (&named("start", &first), 6, invalid),
            (&named("cancel", &first), 6, invalid),
            (&named("start", &second), 6, "maintenance-already-active"),
        ],
    );
    app.run(&named("end", &first), &[]).data();
    app.run(&named("cancel", &second), &[]).data();
    for line in [named("start", &second), named("update --text t", &first)] {
        check(&app, &[(&line, 6, invalid)]);
    }
    let moved = format!("{ALL} {PHRASE} --plan-id nonsense");
    check(&app, &[(&moved, 6, "conflict")]);
}

#[test]
fn what_is_not_understood_ends_with_1_when_the_service_says_so() {
    let app = AppState::open(&[]);
    let code = "--secret-code $CODE";
    let plan = "g3n ops maintenance-schedule --secret-code $CODE --description d";
    check(
        &app,
        &[
            (
                &format!("{ALL} 'vacuum all data permanently'"),
                1,
                "confirmation-phrase-mismatch",
            ),
            (
                &format!("{ALL} 'VACUUM ALL DATA' --dry-run"),
                1,
                "confirmation-phrase-mismatch",
            ),
            (&format!("{ORG} '?'"), 1, "invalid-orgcode"),
            (&format!("{plan} --duration 60 --start soon"), 2, "usage"),
            (
                &format!("{plan} --duration 0 --start 2999-01-01T00:00:00Z"),
                1,
                "invalid-input",
            ),
            ("g3n ops maintenance-list --status odd", 1, "invalid-status"),
            ("g3n ops audit --since soon", 2, "usage"),
            ("g3n ops audit --next-token t", 1, "invalid-next-token"),
            (
                &format!("g3n ops secret-set {code} --new-secret-code short"),
                1,
                "invalid-input",
            ),
        ],
    );
    // None of it has left anything.
    assert_eq!(app.audited(""), ["secret.set"]);
}

#[test]
fn flags_that_are_missing_or_make_no_sense_end_with_2() {
    let app = AppState::open(&[]);
    for line in [
        "g3n ops",
        "g3n ops maintenance-schedule --secret-code $CODE --duration 60 --start 2999-01-01T00:00:00Z",
        "g3n ops maintenance-schedule --secret-code $CODE --description d --start 2999-01-01T00:00:00Z",
        "g3n ops maintenance-schedule --secret-code $CODE --description d --duration 60",
        "g3n ops maintenance-schedule --secret-code $CODE --description d --duration an-hour --start 2999-01-01T00:00:00Z",
        "g3n ops maintenance-start --secret-code $CODE",
        "g3n ops maintenance-update --secret-code $CODE",
        "g3n ops maintenance-cancel --secret-code $CODE",
        "g3n ops maintenance-get",
        "g3n ops vacuum-all --secret-code $CODE --reason r",
        "g3n ops vacuum-all --secret-code $CODE --confirmation-phrase 'VACUUM ALL DATA PERMANENTLY'",
        "g3n ops vacuum-org --secret-code $CODE --orgcode DEMO",
        "g3n ops vacuum-org --secret-code $CODE --reason r",
        "g3n ops vacuum-org --secret-code $CODE --reason '' --orgcode DEMO",
        "g3n ops vacuum-cancel --secret-code $CODE",
        "g3n ops audit --maintenance-id a --vacuum-id b",
        "g3n ops maintenance-end",
        "g3n ops maintenance-end --secret-code ''",
        "g3n ops maintenance-end --secret-code-file - </dev/null",
        "g3n ops secret-set --rotate --secret-code $CODE",
    ] {
        check(&app, &[(line, 2, "usage")]);
    }
    let nowhere = "g3n ops maintenance-end --secret-code-file nowhere";
    check(&app, &[(nowhere, 2, "file")]);
    assert_eq!(app.audited(""), ["secret.set"]);
}

#[test]
fn without_a_server_every_verb_ends_with_3() {
    let dir = tempfile::tempdir().expect("a directory");
    let address = "http://127.0.0.1:1";
    let environment = [
        ("G3N_BASE_URL", address),
        ("G3N_OPERATOR_URL", address),
        ("CODE", "canary-of-a-code"),
        ("G3N_SECRET_CODE", "canary-of-a-code"),
    ];
    for line in [
        "g3n ops ping",
        "g3n ops stat",
        "g3n ops secret-set",
        SCHEDULE,
        "g3n ops maintenance-start --maintenance-id a",
        "g3n ops maintenance-update --text t",
        "g3n ops maintenance-end",
        "g3n ops maintenance-cancel --maintenance-id a",
        "g3n ops maintenance-list",
        "g3n ops maintenance-get --maintenance-id a",
        &format!("{ALL} {PHRASE}"),
        &format!("{ORG} DEMO"),
        "g3n ops vacuum-cancel --vacuum-id a",
        "g3n ops vacuum-status",
        "g3n ops vacuum-status --watch",
        "g3n ops audit",
    ] {
        let ran = shell(line, dir.path(), &environment, b"");
        assert_eq!(ran.refusal(), (3, "unreachable".to_owned()), "{line}");
        assert!(!format!("{ran:?}").contains("canary"), "{ran:?}");
        let told = shell(
            &format!("{line} --output table"),
            dir.path(),
            &environment,
            b"",
        );
        assert!(
            told.code == 3 && told.text().is_empty() && told.stderr.starts_with("error: "),
            "{line}: {told:?}"
        );
    }
}

#[test]
fn the_secret_code_is_taken_from_each_of_its_sources() {
    let app = AppState::open(&[]);
    let code = app.server.secret_code.clone();
    std::fs::write(app.dir().join("code.txt"), format!("{code}\n")).expect("written");
    std::fs::write(app.dir().join("wrong.txt"), "not the right one").expect("written");
    for line in [
        format!("{SCHEDULE} --secret-code $CODE"),
        format!("{SCHEDULE} --secret-code-file code.txt"),
        format!("{SCHEDULE} --secret-code-file - <code.txt"),
        format!("G3N_SECRET_CODE=$CODE {SCHEDULE}"),
        // The more explicit one counts.
        format!("G3N_SECRET_CODE=wrong {SCHEDULE} --secret-code-file code.txt"),
        format!("{SCHEDULE} --secret-code-file wrong.txt --secret-code $CODE"),
    ] {
        assert_eq!(app.run(&line, &[]).data()["status"], "scheduled", "{line}");
    }
    let wrong = format!("G3N_SECRET_CODE=$CODE {SCHEDULE} --secret-code-file wrong.txt");
    check(&app, &[(&wrong, 4, "secret-code-mismatch")]);
}

#[test]
fn a_code_is_replaced_and_the_old_one_is_worth_nothing() {
    let app = AppState::open(&[]);
    let new = "canary of a new code";
    std::fs::write(app.dir().join("new.txt"), new).expect("written");
    let first = "g3n ops secret-set --secret-code-file new.txt";
    check(&app, &[(first, 4, "secret-code-mismatch")]);
    let rotate = "g3n ops secret-set --secret-code $CODE --new-secret-code-file new.txt";
    let set = app.run(rotate, &[]);
    assert!(!format!("{set:?}").contains(new), "{set:?}");
    assert_eq!(set.data(), json!({"set": true, "rotated": true}));
    let old = format!("{SCHEDULE} --secret-code $CODE");
    check(&app, &[(&old, 4, "secret-code-mismatch")]);
    let line = format!("{SCHEDULE} --secret-code-file new.txt");
    app.run(&line, &[]).data();
}

#[test]
fn a_program_that_says_yes_is_taken_at_its_word() {
    let app = AppState::open(&[]);
    for line in [format!("{ALL} {PHRASE}"), format!("{ORG} DEMO")] {
        let ran = app.run_with(&line, &[], b"no\n");
        assert_eq!(ran.stderr, "", "nothing is asked");
        let vacuum = ran.data();
        assert_eq!(vacuum["status"], "pending", "{line}");
        let cancel = "g3n ops vacuum-cancel --secret-code $CODE --vacuum-id $VID";
        app.about(cancel, "VID", &text(&vacuum, "vacuum_id"));
    }
}
