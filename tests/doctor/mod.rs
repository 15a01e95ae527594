//! `g3n doctor`: each row in its good and its bad state, by the real program, and that it changes nothing.

mod directory;
mod history;
mod settings;
mod surroundings;
mod tls;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::run::{Ran, g3n};
use crate::support::{ANY_DISK, Server};

/// A place for a data directory named `data`.
struct AppState(tempfile::TempDir);

/// Name, bytes, mode, and when it was changed last, of a file or a directory.
type Trace = (PathBuf, Vec<u8>, u32, (i64, i64));

impl AppState {
    fn empty() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    /// With a directory that a server in development mode has served from, ended by a signal.
    fn served(signal: &str) -> Self {
        let app = Self::empty();
        Server::start_in(&app.data(), &[]).end(signal);
        app
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("it is below")).expect("made");
        fs::write(&path, text).expect("written");
        set_mode(&path, mode);
        path
    }

    /// Asks the doctor, on free ports, and sees that the directory is as it was.
    fn ask(&self, line: &str) -> Told {
        self.ask_with(line, &[])
    }

    fn ask_with(&self, line: &str, environment: &[(&str, &str)]) -> Told {
        let before = traces(self.path());
        let told = self.ask_beside(line, environment);
        assert!(before == traces(self.path()), "something was changed");
        told
    }

    /// The same while a server is changing it.
    fn ask_beside(&self, line: &str, environment: &[(&str, &str)]) -> Told {
        let line = format!("doctor --json {}", on_any_disk(&on_free_ports(line)));
        let environment = [environment, ANY_DISK].concat();
        Told::of(g3n(&line, self.path(), &environment, b""))
    }
}

/// A line that names no free space wants none.
fn on_any_disk(line: &str) -> String {
    match line.contains("--free-bytes-min") {
        true => line.to_owned(),
        false => format!("{line} --free-bytes-min 1"),
    }
}

/// A line that names no port listens on free ones.
fn on_free_ports(line: &str) -> String {
    let mut line = line.to_owned();
    for flag in ["--listen", "--operator-listen"] {
        if !line.split(' ').any(|word| word == flag) {
            line.push_str(&format!(" {flag} 127.0.0.1:0"));
        }
    }
    line
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("changed");
}

fn traces(root: &Path) -> Vec<Trace> {
    let mut traces = Vec::new();
    gather(root, &mut traces);
    traces.sort();
    traces
}

fn gather(path: &Path, traces: &mut Vec<Trace>) {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return;
    };
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    let bytes = match metadata.is_file() {
        true => fs::read(path).expect("readable"),
        false => Vec::new(),
    };
    traces.push((path.to_owned(), bytes, metadata.mode(), changed));
    if metadata.is_dir() {
        for entry in fs::read_dir(path).expect("readable").flatten() {
            gather(&entry.path(), traces);
        }
    }
}

/// What the doctor said.
#[derive(Debug)]
struct Told {
    code: i32,
    answer: Value,
}

impl Told {
    fn of(ran: Ran) -> Self {
        Self {
            code: ran.code,
            answer: ran.json(),
        }
    }

    fn row(&self, name: &str) -> &Value {
        let mut rows = self.answer["checks"].as_array().expect("rows").iter();
        let row = rows.find(|row| row["name"] == name);
        row.unwrap_or_else(|| panic!("no row {name}: {self:?}"))
    }

    fn text(&self, name: &str, part: &str) -> String {
        self.row(name)[part].as_str().unwrap_or_default().to_owned()
    }

    /// Holds a row to its state, what was found, and what to do; and the exit code to that.
    fn expect(&self, name: &str, state: &str, found: &str, fix: &str) {
        assert_eq!(self.text(name, "state"), state, "{name}: {self:?}");
        assert!(
            self.text(name, "found").contains(found),
            "{name}: {found}: {self:?}"
        );
        assert!(
            self.text(name, "fix").contains(fix),
            "{name}: {fix}: {self:?}"
        );
        let must_fix = ["warn", "fail"].contains(&state);
        assert_eq!(
            self.row(name)["fix"].is_string(),
            must_fix,
            "{name}: {self:?}"
        );
        if state == "fail" {
            assert_eq!(self.code, 1, "{self:?}");
        }
    }

    /// The only row that is wrong, and the exit code that says so.
    fn expect_alone(&self, name: &str, state: &str, found: &str, fix: &str) {
        self.expect(name, state, found, fix);
        let rows = self.answer["checks"].as_array().expect("rows").iter();
        let wrong = rows.filter(|row| row["fix"].is_string()).count();
        assert_eq!(wrong, 1, "{self:?}");
        assert_eq!(self.code, i32::from(state == "fail"), "{self:?}");
    }
}

#[test]
fn a_directory_that_is_well_has_no_row_with_a_fix() {
    let app = AppState::served("TERM");
    let told = app.ask("--dev --strict --free-bytes-min 0");
    assert_eq!(
        (told.code, &told.answer["good"]),
        (0, &Value::Bool(true)),
        "{told:?}"
    );
    let rows = told.answer["checks"].as_array().expect("rows");
    let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(
        names,
        [
            "toolchain",
            "profiles",
            "settings",
            "identity",
            "tls",
            "directories",
            "free-space",
            "leftovers",
            "keys",
            "lock",
            "journal",
            "tail",
            "clock",
            "secret-code",
            "open-files",
            "public-url",
            "gateway-port",
            "operator-port",
            "server",
            "clock-jump",
        ]
    );
    for (name, found) in [
        ("directories", "is complete"),
        ("keys", "4 files"),
        ("lock", "free"),
        ("journal", "closed in order"),
        ("tail", "hold together"),
        ("clock", "past the last entry"),
        ("secret-code", "set"),
    ] {
        told.expect(name, "ok", found, "");
    }
    told.expect("server", "skipped", "none runs", "");
    // No secret is told.
    let text = told.answer.to_string();
    let identities = fs::read(app.data().join("keys/development.json")).expect("there");
    let identities: Value = serde_json::from_slice(&identities).expect("JSON");
    for name in ["session_guid", "secret_code", "passcode"] {
        let secret = identities[name].as_str().expect(name);
        assert!(!text.contains(secret), "{name}");
    }
    let token = fs::read_to_string(app.data().join("keys/operator.token")).expect("there");
    assert!(!text.contains(token.trim()));
}

#[test]
fn where_nothing_is_yet_nothing_is_wrong_and_nothing_is_made() {
    let app = AppState::empty();
    let told = app.ask("--strict --free-bytes-min 0");
    assert_eq!(told.code, 0, "{told:?}");
    told.expect("directories", "ok", "the first start creates it", "");
    for name in ["keys", "journal", "tail", "secret-code", "server"] {
        assert_eq!(told.text(name, "state"), "skipped", "{told:?}");
    }
    assert!(!app.data().exists());
}

#[test]
fn a_warning_fails_only_when_it_is_strict() {
    let app = AppState::served("TERM");
    set_mode(&app.data(), 0o755);
    let told = app.ask("--dev");
    told.expect_alone("directories", "warn", "others can read", "chmod 700");
    assert_eq!(told.answer["good"], Value::Bool(true));
    let told = app.ask("--dev --strict");
    assert_eq!((told.code, &told.answer["good"]), (1, &Value::Bool(false)));
}

#[test]
fn people_get_a_table() {
    let app = AppState::empty();
    let line = format!("doctor --output table {}", on_free_ports(""));
    let ran = g3n(&line, app.path(), &[], b"");
    assert_eq!(ran.code, 0, "{ran:?}");
    for word in [
        "name",
        "state",
        "found",
        "toolchain",
        "free-space",
        "skipped",
    ] {
        assert!(ran.text().contains(word), "{word}: {ran:?}");
    }
    let ran = g3n("doctor --json --output table", app.path(), &[], b"");
    assert_eq!(ran.code, 2, "one or the other: {ran:?}");
}
