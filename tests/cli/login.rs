//! `g3n login` and `g3n logout`: the session that a profile keeps.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use super::ops::AppState;
use super::run::{Ran, shell};

const PASSCODE: &str = "a passcode of ann";
/// A file of profiles as a person keeps it.
const FILE: &str = "# Mine.\n[work]\nbase_url = \"BASE\" # the office\norgcode = \"ACME\"\n\n[other]\napi_key = \"k-1\" # a program's\n";

/// A server with a user, and a home directory of that user's own.
struct Home {
    app: AppState,
}

impl Home {
    fn open() -> Self {
        let app = AppState::open(&[]);
        std::fs::create_dir(app.dir().join("home")).expect("made");
        std::fs::write(app.dir().join("passcode.txt"), format!("{PASSCODE}\n")).expect("written");
        app.run(
            "g3n uas user-create --email ann@example.com --passcode-file passcode.txt",
            &[],
        )
        .data();
        Self { app }
    }

    fn file(&self) -> PathBuf {
        self.app.dir().join("home/.config/g3n/profiles.toml")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap_or_default()
    }

    /// Runs a line with nothing of the development server's profile around it.
    fn run(&self, line: &str, variables: &[(&str, &str)]) -> Ran {
        let home = self.app.dir().join("home");
        let home = ("HOME", home.to_str().expect("plain"));
        let variables = [&[home], variables].concat();
        let ran = shell(line, self.app.dir(), &variables, b"");
        assert!(!format!("{ran:?}").contains(PASSCODE), "{line}: {ran:?}");
        ran
    }

    fn url(&self) -> String {
        format!("--base-url {}", self.app.server.base_url)
    }
}

#[test]
fn login_keeps_a_session_that_later_calls_use_and_logout_ends_it() {
    let home = Home::open();
    let url = home.url();
    let login = format!("g3n login --email ann@example.com --passcode-file passcode.txt {url}");
    let ran = home.run(&login, &[]);
    let told = ran.json();
    assert_eq!(
        (ran.code, &told["profile"]),
        (0, &"default".into()),
        "{ran:?}"
    );
    assert_eq!(told["config"], home.file().display().to_string());
    let mode = home.file().metadata().expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = home.text();
    let session = kept
        .split("session_guid = \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let session = session.expect("a session").to_owned();
    assert!(!format!("{ran:?}").contains(&session), "{ran:?}");

    // No flag and no variable names a server or a session.
    let stat = home.run("g3n uas stat", &[]);
    assert_eq!(stat.data()["email"], "ann@example.com");
    let ran = home.run("g3n logout", &[]);
    assert_eq!(
        (ran.code, &ran.json()["session"]),
        (0, &"closed".into()),
        "{ran:?}"
    );
    assert!(!home.text().contains("session_guid"), "{}", home.text());
    let closed = home.run("g3n whoami", &[("G3N_SESSION_GUID", session.as_str())]);
    assert_eq!(closed.refusal(), (4, "invalid-session".to_owned()));
    assert!(
        closed.stderr.contains("sign in with `g3n login`"),
        "{closed:?}"
    );
    let none = home.run("g3n logout", &[]);
    assert_eq!(none.refusal(), (2, "usage".to_owned()));
    // The address is known by now.
    let again = home.run("g3n login", &[("G3N_PASSCODE", PASSCODE)]);
    assert_eq!(again.code, 0, "{again:?}");
    let input = home.run(
        &format!("echo '{PASSCODE}' | g3n login --passcode-file -"),
        &[],
    );
    assert_eq!(input.code, 0, "{input:?}");
}

#[test]
fn login_keeps_the_rest_of_the_file_and_its_comments() {
    let home = Home::open();
    let text = FILE.replace("BASE", &home.app.server.base_url);
    std::fs::create_dir_all(home.app.dir().join("home/.config/g3n")).expect("made");
    let real = home.app.dir().join("real.toml");
    std::fs::write(&real, &text).expect("written");
    symlink(&real, home.file()).expect("linked");
    let login = "g3n login --profile work --email ann@example.com --passcode-file passcode.txt";
    for _ in 0..2 {
        assert_eq!(home.run(login, &[]).code, 0);
        let now = home.text();
        for line in text.lines() {
            assert!(now.contains(line), "{line}: {now}");
        }
        assert_eq!(now.matches("session_guid").count(), 1, "{now}");
    }
    let link = std::fs::symlink_metadata(home.file()).expect("there");
    assert!(link.is_symlink());
    let mode = real.metadata().expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(home.run("g3n logout --profile work", &[]).code, 0);
    assert_eq!(
        home.text().replace("email = \"ann@example.com\"\n", ""),
        text
    );
}

#[test]
fn login_that_fails_changes_nothing() {
    let home = Home::open();
    let url = home.url();
    let login = format!("g3n login --email ann@example.com --passcode-file passcode.txt {url}");
    assert_eq!(home.run(&login, &[]).code, 0);
    let before = home.text();
    std::fs::write(home.app.dir().join("wrong.txt"), "another passcode").expect("written");
    for (line, code, tag) in [
        ("g3n login --passcode-file wrong.txt", 4, "invalid-passcode"),
        ("g3n login", 2, "usage"),
        ("g3n login --passcode-file nowhere.txt", 2, "file"),
        (
            "g3n login --passcode-file passcode.txt --base-url http://127.0.0.1:1",
            2,
            "usage",
        ),
        (
            "g3n login --profile new --passcode-file passcode.txt",
            2,
            "usage",
        ),
        (
            "g3n login --profile new --email a@example.com --passcode-file passcode.txt --base-url http://127.0.0.1:1",
            3,
            "unreachable",
        ),
    ] {
        let ran = home.run(line, &[]);
        assert_eq!(ran.refusal(), (code, tag.to_owned()), "{line}: {ran:?}");
        assert_eq!(home.text(), before, "{line}");
    }
    // Nobody can take a passcode from the process list.
    let flag = home.run("g3n login --passcode secret", &[]);
    assert_eq!(flag.refusal(), (2, "usage".to_owned()));
    // A session that is given more explicitly would be used instead: that is said.
    let ran = home.run(
        "g3n login --passcode-file passcode.txt",
        &[("G3N_SESSION_GUID", "another")],
    );
    assert!(
        ran.code == 0 && ran.stderr.contains("G3N_SESSION_GUID"),
        "{ran:?}"
    );
}

#[test]
fn logout_keeps_the_session_of_a_server_that_does_not_answer() {
    let home = Home::open();
    let url = home.url();
    let login = format!("g3n login --email ann@example.com --passcode-file passcode.txt {url}");
    assert_eq!(home.run(&login, &[]).code, 0);
    // The session of the environment is somebody else's.
    let own = home.app.server.session_guid.clone();
    let ran = home.run("g3n logout", &[("G3N_SESSION_GUID", own.as_str())]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let there = home.run(
        &format!("g3n whoami {url}"),
        &[("G3N_SESSION_GUID", own.as_str())],
    );
    assert_eq!(there.code, 0, "{there:?}");
    assert_eq!(home.run(&login, &[]).code, 0);
    let before = home.text();
    let gone = before.replace(&home.app.server.base_url, "http://127.0.0.1:1");
    std::fs::write(home.file(), &gone).expect("written");
    let ran = home.run("g3n logout", &[]);
    assert_eq!(ran.refusal(), (3, "unreachable".to_owned()));
    assert_eq!(home.text(), gone);
}

#[test]
fn a_wrong_file_of_profiles_is_refused_by_line_and_key() {
    let home = Home::open();
    std::fs::create_dir_all(home.app.dir().join("home/.config/g3n")).expect("made");
    for (text, says) in [
        (
            "[dev]\norgcode = \"A\"\nbase_ulr = \"hush\"\n",
            &["line 3", "dev", "base_ulr", "base_url"][..],
        ),
        (
            "[dev]\n\norgcode = 7\n",
            &["line 3", "orgcode", "text in quotes", "a number"],
        ),
        (
            "session_guid = \"hush\"\n[dev]\n",
            &["line 1", "session_guid", "[NAME]"],
        ),
        ("[dev]\nsession_guid = hush\n", &["line 2", "TOML"]),
        ("[dev]\n[dev]\n", &["line 2", "TOML"]),
    ] {
        std::fs::write(home.file(), text).expect("written");
        for line in [
            "g3n whoami --profile dev",
            "g3n login --email a@example.com",
        ] {
            let ran = home.run(line, &[]);
            assert_eq!(ran.refusal(), (2, "usage".to_owned()), "{text}");
            let told = &ran.stderr;
            assert!(
                says.iter().all(|part| told.contains(part)),
                "{text}: {told}"
            );
            assert!(
                told.contains("profiles.toml") && !told.contains("\"hush"),
                "{told}"
            );
        }
    }
}
