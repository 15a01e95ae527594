//! Variables, profiles and files: what is empty is named, and what a line break is behind is taken without it.

use std::path::Path;

use clap::CommandFactory;
use metarecord::cli::Cli;
use metarecord::config::OF_COMMAND_LINE;

use super::recorder::{Recorder, empty};
use super::run::{Ran, g3n};

/// Verbs of every kind: of each service, of a server, and of this machine alone.
const VERBS: &[&str] = &[
    "config show",
    "whoami",
    "mrs list --orgcode A1",
    "ops audit",
    "usm session-close",
    "doctor",
    "serve --dev",
    "completions bash",
];
/// What comes behind a value by mistake.
const BEHIND: &[&str] = &["\n", "\r\n", " ", "\t", "\r", "\n\n", " \r\n"];

/// The names that help texts give to variables.
fn told(command: &clap::Command, found: &mut Vec<String>) {
    let helps = command.get_arguments().flat_map(|flag| {
        [flag.get_help(), flag.get_long_help()]
            .into_iter()
            .flatten()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    });
    for help in helps {
        for word in
            help.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        {
            if word.starts_with("G3N_") {
                found.push(word.to_owned());
            }
        }
    }
    for verb in command.get_subcommands() {
        told(verb, found);
    }
}

fn run(line: &str, dir: &Path, environment: &[(&str, &str)]) -> Ran {
    let home = [("HOME", dir.to_str().expect("plain"))];
    g3n(line, dir, &[&home, environment].concat(), b"")
}

#[test]
fn the_table_has_every_variable_that_help_names() {
    let mut found = Vec::new();
    told(&Cli::command(), &mut found);
    assert!(found.len() > 10, "{found:?}");
    for name in found {
        assert!(OF_COMMAND_LINE.contains(&&*name), "{name}");
    }
}

#[test]
fn an_empty_variable_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().expect("a directory");
    for name in OF_COMMAND_LINE {
        for verb in VERBS {
            let ran = run(verb, dir.path(), &[(name, "")]);
            let said = format!("{}{}", ran.text(), ran.stderr);
            assert_eq!(ran.code, 2, "{name} {verb}: {ran:?}");
            assert!(
                said.contains(name) && said.contains("empty"),
                "{verb}: {said}"
            );
        }
    }
    let shown = run("config server", dir.path(), &[]).json();
    let settings = shown.as_object().expect("settings");
    let variable = |name: &String| format!("G3N_{}", name.replace('.', "_").to_ascii_uppercase());
    let names = settings.keys().map(variable);
    for name in names.chain(["MRS_CLEANUP_RETENTION_DAYS".to_owned()]) {
        for verb in ["config server", "serve --dev"] {
            let ran = run(verb, dir.path(), &[(&name, "")]);
            let said = format!("{}{}", ran.text(), ran.stderr);
            assert_eq!(ran.code, 78, "{name} {verb}: {ran:?}");
            assert!(said.contains(&name), "{verb}: {said}");
        }
    }
    assert!(!dir.path().join("data").exists(), "nothing was made");
    // To the standard of desktops an empty directory is one that is not set.
    let ran = run("config show", dir.path(), &[("XDG_CONFIG_HOME", "")]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn an_empty_field_of_a_profile_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().expect("a directory");
    for field in [
        "base_url",
        "operator_url",
        "operator_token",
        "ca_file",
        "client_cert_file",
        "client_key_file",
        "session_guid",
        "api_key",
        "jwt_file",
        "orgcode",
    ] {
        for value in ["", " ", "\\n"] {
            let text = format!("[dev]\n{field} = \"{value}\"\n");
            std::fs::write(dir.path().join("p.toml"), text).expect("written");
            let ran = run("whoami --profile dev --config p.toml", dir.path(), &[]);
            let said = format!("{}{}", ran.text(), ran.stderr);
            assert_eq!(ran.code, 2, "{field}: {ran:?}");
            assert!(said.contains(field) && said.contains("empty"), "{said}");
        }
    }
}

/// A credential: its variable, its field in a profile, its flags, the line that sends it, and what it is sent as.
struct Sent {
    variable: Option<&'static str>,
    field: Option<&'static str>,
    flag: Option<&'static str>,
    file: Option<&'static str>,
    line: &'static str,
}

const SENT: &[Sent] = &[
    Sent {
        variable: Some("G3N_SESSION_GUID"),
        field: Some("session_guid"),
        flag: Some("--session-guid"),
        file: None,
        line: "whoami",
    },
    Sent {
        variable: Some("G3N_API_KEY"),
        field: Some("api_key"),
        flag: Some("--api-key"),
        file: None,
        line: "whoami",
    },
    Sent {
        variable: Some("G3N_JWT"),
        field: None,
        flag: None,
        file: Some("--jwt-file"),
        line: "whoami",
    },
    Sent {
        variable: Some("G3N_OPERATOR_TOKEN"),
        field: Some("operator_token"),
        flag: None,
        file: None,
        line: "jobs list",
    },
    Sent {
        variable: None,
        field: None,
        flag: Some("--which"),
        file: Some("--which-file"),
        line: "usm session-validate",
    },
    Sent {
        variable: None,
        field: None,
        flag: Some("--which"),
        file: Some("--which-file"),
        line: "usm api-key-validate",
    },
];

impl Sent {
    /// Runs its line with the credential from each of its places, on standard input too.
    fn each(&self, dir: &Path, text: &str, to: &str, check: impl Fn(&str, &Ran)) {
        let urls = [("G3N_BASE_URL", to), ("G3N_OPERATOR_URL", to)];
        let line = self.line;
        if let Some(name) = self.variable {
            let environment = [&urls[..], &[(name, text)]].concat();
            check(name, &run(line, dir, &environment));
        }
        if let Some(field) = self.field {
            let escaped = serde_json::Value::from(text).to_string();
            let profile = format!("[dev]\n{field} = {escaped}\n");
            std::fs::write(dir.join("p.toml"), profile).expect("written");
            let line = format!("{line} --profile dev --config p.toml");
            check(field, &run(&line, dir, &urls));
        }
        if let Some(flag) = self.flag {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_g3n"));
            command.args(line.split(' ')).args([flag, text]);
            check(flag, &super::run::run(command, dir, &urls, b""));
        }
        if let Some(flag) = self.file {
            std::fs::write(dir.join("secret"), text).expect("written");
            let line = format!("{line} {flag} secret");
            check(flag, &run(&line, dir, &urls));
        }
        if self.file == Some("--which-file") {
            let line = format!("{line} --which-file -");
            check("standard input", &g3n(&line, dir, &urls, text.as_bytes()));
        }
    }
}

#[test]
fn white_space_behind_a_credential_is_none_of_it() {
    let (dir, recorder) = (
        tempfile::tempdir().expect("a directory"),
        Recorder::start(empty),
    );
    for sent in SENT {
        for behind in BEHIND {
            let text = format!("canary{behind}");
            sent.each(dir.path(), &text, &recorder.address, |place, ran| {
                let heard = recorder.heard();
                assert_eq!(ran.code, 0, "{} {place} {behind:?}: {ran:?}", sent.line);
                let whole = ["canary\r\n", "\"canary\""]
                    .iter()
                    .any(|text| heard.contains(text));
                assert!(whole, "{} {place} {behind:?}: {heard}", sent.line);
            });
        }
    }
}

#[test]
fn a_credential_that_cannot_be_a_header_is_named() {
    let (dir, recorder) = (
        tempfile::tempdir().expect("a directory"),
        Recorder::start(empty),
    );
    for sent in SENT.iter().filter(|sent| sent.file != Some("--which-file")) {
        for text in ["can\nary", "can ary", "can\u{e9}ary"] {
            sent.each(dir.path(), text, &recorder.address, |place, ran| {
                let said = format!("{}{}", ran.text(), ran.stderr);
                assert_eq!(ran.code, 2, "{place}: {ran:?}");
                let named = said.contains(place) || said.contains("secret does not hold");
                assert!(named && !said.contains("ary"), "{place}: {said}");
                assert_eq!(recorder.heard(), "", "{place}");
            });
        }
    }
}

#[test]
fn a_line_break_behind_a_passcode_or_a_code_is_none_of_it() {
    let (dir, recorder) = (
        tempfile::tempdir().expect("a directory"),
        Recorder::start(empty),
    );
    let urls = [
        ("G3N_BASE_URL", &*recorder.address),
        ("G3N_OPERATOR_URL", &recorder.address),
    ];
    for (line, variable, file) in [
        (
            "usm session-create --email a@example.com",
            "G3N_PASSCODE",
            "--passcode-file",
        ),
        (
            "ops maintenance-end",
            "G3N_SECRET_CODE",
            "--secret-code-file",
        ),
    ] {
        for behind in ["", "\n", "\r\n", "\r"] {
            let text = format!("canary of mine{behind}");
            std::fs::write(dir.path().join("secret"), &text).expect("written");
            let from_file = format!("{line} {file} secret");
            let from_input = format!("{line} {file} -");
            let environment = [&urls[..], &[(variable, &*text)]].concat();
            let runs: [&dyn Fn() -> Ran; 3] = [
                &|| run(line, dir.path(), &environment),
                &|| run(&from_file, dir.path(), &urls),
                &|| g3n(&from_input, dir.path(), &urls, text.as_bytes()),
            ];
            for run in runs {
                let ran = run();
                let heard = recorder.heard();
                assert_eq!(ran.code, 0, "{line} {behind:?}: {ran:?}");
                let whole = heard.contains("\"canary of mine\"");
                assert!(whole, "{line} {behind:?}: {heard}");
            }
        }
    }
}
