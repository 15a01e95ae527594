//! The settings of the server and of the command line.

use super::AppState;
use crate::cli::run::g3n;

#[test]
fn invalid_settings_fail_and_dependent_checks_are_skipped() {
    let app = AppState::empty();
    app.write("s.toml", "[http]\nlisen = \"a\"\n", 0o644);
    for (line, environment, found) in [
        ("--settings s.toml", vec![], "did you mean http.listen?"),
        (
            "--settings nowhere.toml",
            vec![],
            "nowhere.toml cannot be read",
        ),
        ("--set mrs.uploads_max=0", vec![], "from 1 to 1024"),
        (
            "",
            vec![("G3N_MRS_UPLOADS", "1")],
            "environment G3N_MRS_UPLOADS",
        ),
    ] {
        let told = app.ask_with(line, &environment);
        told.expect_alone("settings", "fail", found, "g3n config server");
        for name in [
            "identity",
            "free-space",
            "open-files",
            "public-url",
            "gateway-port",
            "operator-port",
        ] {
            told.expect(name, "skipped", "the settings cannot be read", "");
        }
    }
}

#[test]
fn settings_of_identity_that_contradict_each_other_fail() {
    let app = AppState::empty();
    app.write("secret", &"s".repeat(32), 0o644);
    for (line, found) in [
        (
            "--set auth.header_identity=true",
            "allow_insecure_header_identity",
        ),
        (
            "--dev --set auth.allow_insecure_header_identity=true",
            "header_identity",
        ),
        (
            "--set auth.jwt_issuer=i",
            "there are no keys to check tokens with",
        ),
        (
            "--set auth.jwt_issuer=i --set auth.jwt_audience=a --set auth.jwt_hmac_file=secret",
            "chmod 600",
        ),
        (
            "--set auth.jwt_issuer=i --set auth.jwt_audience=a --set auth.jwt_jwks_file=secret",
            "not a key set",
        ),
        (
            "--set ops.vacuum_pending_seconds=1",
            "vacuum_pending_seconds",
        ),
    ] {
        let told = app.ask(line);
        told.expect_alone("identity", "fail", found, "g3n config server");
    }
}

#[test]
fn ways_to_call_are_named_and_those_to_know_of_warn() {
    let app = AppState::empty();
    let made = g3n("token keys --out keys", app.path(), &[], b"");
    assert_eq!(made.code, 0, "{made:?}");
    let tokens = "--set auth.jwt_issuer=i --set auth.jwt_audience=a --set";
    let told = app.ask(&format!("{tokens} auth.jwt_jwks_file=keys/jwks.json"));
    told.expect("identity", "ok", "tokens by auth.jwt_jwks_file", "");
    // Nobody listens there.
    let told = app.ask(&format!(
        "{tokens} auth.jwt_jwks_url=http://127.0.0.1:1/hidden"
    ));
    told.expect_alone("identity", "warn", "gives no keys", "tokens are refused");
    assert!(!told.answer.to_string().contains("hidden"), "{told:?}");
    let headers =
        "--dev --set auth.header_identity=true --set auth.allow_insecure_header_identity=true";
    let told = app.ask(headers);
    told.expect_alone("identity", "warn", "any identity", "unset");
}

#[test]
fn profiles_that_cannot_be_read_or_can_be_by_others_fail() {
    let app = AppState::empty();
    let text = "[dev]\nsession_guid = \"hush\"\n";
    app.write("p.toml", text, 0o600);
    let told = app.ask("--config p.toml --profile dev");
    told.expect("profiles", "ok", "p.toml", "");
    app.write("p.toml", text, 0o640);
    let told = app.ask_with("", &[("G3N_CONFIG", "p.toml")]);
    told.expect_alone("profiles", "fail", "others can read it", "chmod 600 p.toml");
    app.write("p.toml", "[dev]\nsession_guid = hush\n", 0o600);
    for line in ["--config p.toml", "--config nowhere.toml", "--profile prod"] {
        let told = app.ask(line);
        told.expect_alone("profiles", "fail", "", "g3n config show");
        assert!(!told.answer.to_string().contains("hush"), "{told:?}");
    }
}
