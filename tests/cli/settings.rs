//! Settings that cannot be used, each by itself or together: the exit, what is said, and where each was set.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use super::run::g3n;

/// Settings that contradict each other or the mode: the line, a variable, and what is said.
type Contradiction<'a> = (&'a str, (&'a str, &'a str), &'a [&'a str]);

#[test]
fn contradicting_settings_are_reported_with_their_origins() {
    let dir = tempfile::tempdir().expect("a directory");
    let none = ("OTHER", "1");
    let rows: &[Contradiction<'_>] = &[
        (
            "--set http.head_bytes_max=4096",
            ("G3N_HTTP_TARGET_BYTES_MAX", "8000"),
            &[
                "http.target_bytes_max and http.head_bytes_max contradict each other",
                "http.head_bytes_max = \"4096\" (--set)",
                "http.target_bytes_max = \"8000\" (environment G3N_HTTP_TARGET_BYTES_MAX)",
            ],
        ),
        (
            "--set journal.queue_max=7",
            none,
            &[
                "journal.queue_max = \"7\" (--set)",
                "http.requests_in_flight_max = \"4096\" (default)",
            ],
        ),
        (
            "--listen 127.0.0.1:1 --operator-listen 127.0.0.1:1",
            none,
            &[
                "http.listen = \"127.0.0.1:1\" (flag --listen)",
                "http.operator_listen = \"127.0.0.1:1\" (flag --operator-listen)",
            ],
        ),
        (
            "--set ops.vacuum_pending_seconds=1",
            none,
            &[
                "set 60 or more",
                "ops.vacuum_pending_seconds = \"1\" (--set)",
            ],
        ),
        (
            "",
            ("G3N_UTL_EXPORT_WINDOW_HOURS", "1"),
            &[
                "set 24 or more",
                "(environment G3N_UTL_EXPORT_WINDOW_HOURS)",
            ],
        ),
        (
            "--set auth.header_identity=true",
            none,
            &[
                "auth.header_identity = \"true\" (--set)",
                "auth.allow_insecure_header_identity = \"false\" (default)",
            ],
        ),
        (
            "--set http.tls_cert_file=nowhere.pem",
            none,
            &[
                "http.tls_key_file",
                "http.tls_cert_file = \"nowhere.pem\" (--set)",
            ],
        ),
        (
            "--set auth.jwt_issuer=i",
            none,
            &["auth.jwt_jwks_url", "auth.jwt_issuer = \"i\" (--set)"],
        ),
        (
            "--set auth.jwt_issuer=i --set auth.jwt_audience=a --set auth.jwt_jwks_url=ftp://x:hush@a/k",
            none,
            &["auth.jwt_jwks_url", "not repeated"],
        ),
        (
            "--listen unix:/tmp/g3n-no-such.sock",
            none,
            &["http.listen = \"unix:/tmp/g3n-no-such.sock\" (flag --listen)"],
        ),
        (
            "--dev --operator-listen 0.0.0.0:0",
            none,
            &["http.operator_listen = \"0.0.0.0:0\" (flag --operator-listen)"],
        ),
    ];
    for (line, variable, parts) in rows {
        let line = format!("serve --data-dir data {line}");
        let ran = g3n(&line, dir.path(), &[*variable], b"");
        assert_eq!(ran.code, 78, "{line}: {ran:?}");
        for part in *parts {
            assert!(ran.stderr.contains(part), "{line}: no {part:?} in {ran:?}");
        }
        assert!(!ran.stderr.contains("hush"), "{line}: {ran:?}");
    }
}

#[test]
fn an_invalid_setting_ends_with_78_from_every_origin() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).expect("written");
    };
    write(
        "list.toml",
        "[http]\ncors_origins = [\"https://a.example\"]\n",
    );
    write("flat.toml", "http = 1\n");
    write("torn.toml", "[http]\n\nlisten = \n");
    for (line, variable, parts) in [
        (
            "--settings list.toml",
            ("A", "1"),
            [
                "http.cors_origins is a list (file list.toml)",
                "separated by commas",
            ],
        ),
        (
            "--settings flat.toml",
            ("A", "1"),
            ["file flat.toml", "write [http]"],
        ),
        ("--settings torn.toml", ("A", "1"), ["torn.toml", "line 3"]),
        (
            "--listen here",
            ("A", "1"),
            [
                "http.listen = \"here\" (flag --listen)",
                "such as 127.0.0.1:8000",
            ],
        ),
        (
            "--set http.workers=",
            ("A", "1"),
            ["http.workers = \"\" (--set)", "from 1 to 256"],
        ),
        (
            "",
            ("G3N_HTP_WORKERS", "1"),
            ["G3N_HTP_WORKERS", "did you mean G3N_HTTP_WORKERS?"],
        ),
        (
            "",
            ("G3N_PROFIL", "dev"),
            ["G3N_PROFIL", "did you mean G3N_PROFILE?"],
        ),
        (
            "",
            ("G3N_OTLP_ENDPOINT", "http://127.0.0.1:9/"),
            ["G3N_OTLP_ENDPOINT", "did you mean"],
        ),
        (
            "",
            ("G3N_HTTP_PUBLIC_URL", "http://x:hush@a b/"),
            ["http.public_url", "not repeated"],
        ),
    ] {
        for verb in ["serve --data-dir data", "config server --output json"] {
            let ran = g3n(&format!("{verb} {line}"), dir.path(), &[variable], b"");
            assert_eq!(ran.code, 78, "{verb} {line}: {ran:?}");
            // In the envelope quotes are escaped.
            let told = [ran.stderr.clone(), ran.text().replace('\\', "")].concat();
            for part in parts {
                assert!(told.contains(part), "{verb} {line}: no {part:?} in {told}");
            }
            assert!(!told.contains("hush"), "{verb} {line}: {told}");
        }
    }
    for address in ["https://x:hush@a/", "https://a/?t=hush"] {
        let line = format!("config server --set auth.jwt_jwks_url={address} --output json");
        let shown = g3n(&line, dir.path(), &[], b"");
        let value = &shown.json()["auth.jwt_jwks_url"]["value"];
        assert_eq!(value, "set", "{shown:?}");
        assert!(!shown.text().contains("hush"), "{shown:?}");
    }
}

#[test]
fn a_non_utf8_g3n_variable_is_refused_unless_it_is_a_path() {
    let dir = tempfile::tempdir().expect("a directory");
    let odd = OsStr::from_bytes(b"odd\xff.toml");
    let run = |name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_g3n"));
        command.args(["config", "show", "--output", "json"]);
        command.current_dir(dir.path()).env_clear();
        let output = command
            .env(name, odd)
            .envs(crate::support::measured())
            .output();
        let output = output.expect("it runs");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    for name in [
        "G3N_PROFILE",
        "G3N_ORGCODE",
        "G3N_SESSION_GUID",
        "G3N_SECRET_CODE",
        "G3N_CA_FILE",
    ] {
        let (code, told) = run(name);
        assert_eq!(code, Some(2), "{name}: {told}");
        assert!(told.contains(name) && told.contains("UTF-8"), "{told}");
    }
    // A file of that name is looked for, and found.
    assert_eq!(run("G3N_CONFIG").0, Some(2));
    std::fs::write(dir.path().join(odd), "[dev]\norgcode = \"ODD\"\n").expect("written");
    assert_eq!(run("G3N_CONFIG").0, Some(0));
}
