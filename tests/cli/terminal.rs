//! What a person at a terminal is asked before data is destroyed, what is shown of what they type, and what they are told.

use parking_lot::Mutex;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

use super::ops::{AppState, text};
use super::run::search_path;
use crate::support::eventually;

const ALL: &str =
    "g3n ops vacuum-all --reason r --confirmation-phrase 'VACUUM ALL DATA PERMANENTLY'";
const QUESTION: &str = "Type yes to continue: ";
/// What Ctrl-C types.
const CONTROL_C: &str = "\u{3}";

/// A line that runs at a terminal of its own.
struct Terminal {
    child: Child,
    keys: Option<ChildStdin>,
    screen: Arc<Mutex<String>>,
    reading: Option<std::thread::JoinHandle<()>>,
}

impl Terminal {
    /// Runs a line. The first that is shown is the terminal's name.
    fn run(app: &AppState, line: &str, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command"])
            .arg(format!("tty; {line}"))
            .arg("/dev/null")
            .current_dir(app.dir())
            .env_clear()
            .envs(crate::support::measured())
            .env("PATH", search_path())
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm")
            .envs(app.environment())
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script runs");
        let screen = Arc::new(Mutex::new(String::new()));
        let mut output = child.stdout.take().expect("it has an output");
        let shown = screen.clone();
        let reading = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]);
                shown.lock().push_str(&text);
            }
        });
        Self {
            keys: child.stdin.take(),
            child,
            screen,
            reading: Some(reading),
        }
    }

    /// What was shown so far.
    fn screen(&self) -> String {
        self.screen.lock().clone()
    }

    /// Waits until something is shown.
    fn shows(&self, text: &str) {
        eventually(text, || self.screen().contains(text));
    }

    /// Waits until what is typed is not shown.
    fn hides(&self) {
        self.shows("\n");
        let screen = self.screen();
        let name = screen.lines().next().expect("a name").trim();
        eventually("the terminal hides what is typed", || {
            let told = Command::new("stty").args(["-a", "-F", name]).output();
            let told = told.expect("stty runs").stdout;
            String::from_utf8_lossy(&told).contains(" -echo ")
        });
    }

    fn types(&mut self, keys: &str) {
        let typed = self.keys.as_mut().expect("it is open");
        typed.write_all(keys.as_bytes()).expect("it is typed");
        typed.flush().expect("it is typed");
    }

    /// Waits for the end. Returns the number it ended with, and all that was shown.
    fn end(mut self) -> (Option<i32>, String) {
        let mut ended = None;
        eventually("it ends", || {
            ended = self.child.try_wait().expect("it can be asked");
            ended.is_some()
        });
        let reading = self.reading.take().expect("it reads");
        reading.join().expect("all is read");
        let screen = self.screen();
        (ended.and_then(|status| status.code()), screen)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Already ended is fine.
        let _: Result<_, _> = self.child.kill();
        let _: Result<_, _> = self.child.wait();
    }
}

fn vacuums(app: &AppState) -> Vec<String> {
    let mut events = app.audited("");
    events.retain(|event| event.starts_with("vacuum."));
    events
}

#[test]
fn a_person_who_does_not_type_yes_has_destroyed_nothing() {
    let app = AppState::open(&[]);
    for answer in ["no\n", "y\n", "\n", "YES\n"] {
        let mut terminal = Terminal::run(&app, &format!("{ALL} --secret-code $CODE"), &[]);
        terminal.shows(QUESTION);
        terminal.types(answer);
        let (code, screen) = terminal.end();
        assert_eq!(code, Some(1), "{answer:?}: {screen}");
        assert!(screen.contains("declined"), "{answer:?}: {screen}");
        let whose = format!("all data of every org at {}", app.server.operator_url);
        assert!(screen.contains(&whose), "{screen}");
    }
    let org = "g3n ops vacuum-org --orgcode DEMO --reason r";
    let mut terminal = Terminal::run(&app, org, &[]);
    terminal.shows("Secret code: ");
    terminal.hides();
    terminal.types(&format!("{}\n", app.server.secret_code));
    terminal.shows("all data of the org DEMO at ");
    terminal.shows(QUESTION);
    terminal.types(CONTROL_C);
    let (code, screen) = terminal.end();
    assert_eq!(code, Some(130), "{screen}");
    assert_eq!(vacuums(&app), [""; 0]);
}

#[test]
fn a_person_types_the_code_unseen_and_then_yes() {
    let app = AppState::open(&[]);
    let code = app.server.secret_code.clone();
    let mut terminal = Terminal::run(&app, &format!("{ALL} --output json"), &[]);
    terminal.shows("Secret code: ");
    terminal.hides();
    terminal.types(&format!("{code}\n"));
    terminal.shows(QUESTION);
    terminal.types("yes\n");
    let (ended, screen) = terminal.end();
    assert_eq!(ended, Some(0), "{screen}");
    assert!(!screen.contains(&code), "{screen}");
    assert!(screen.contains(r#""status":"pending""#), "{screen}");
    assert_eq!(vacuums(&app), ["vacuum.requested"]);
}

#[test]
fn a_person_is_not_asked_about_a_dry_run_or_after_saying_yes() {
    let app = AppState::open(&[]);
    for more in ["--dry-run", "--yes"] {
        let line = format!("{ALL} --secret-code $CODE {more}");
        let (code, screen) = Terminal::run(&app, &line, &[]).end();
        assert_eq!(code, Some(0), "{screen}");
        assert!(!screen.contains("Type yes"), "{screen}");
        // Until a dry run is over, the next has to wait.
        let last = app.run("g3n ops vacuum-status", &[]).data();
        if more == "--dry-run" {
            app.watched(&text(&last, "vacuum_id"));
        }
    }
}

#[test]
fn ctrl_c_at_a_hidden_question_restores_the_terminal() {
    let app = AppState::open(&[]);
    let line = format!("{ALL}; echo \"ended with $?\"; stty -a");
    let mut terminal = Terminal::run(&app, &line, &[]);
    terminal.shows("Secret code: ");
    terminal.hides();
    terminal.types(CONTROL_C);
    let (_, screen) = terminal.end();
    assert!(screen.contains("ended with 1\r\n"), "{screen}");
    assert!(screen.contains("declined"), "{screen}");
    assert!(screen.contains(" echo "), "{screen}");
}

#[test]
fn a_person_who_watches_sees_how_long_it_can_be_cancelled() {
    let app = AppState::open(&[]);
    let asked = format!("{ALL} --secret-code $CODE --yes");
    let vacuum = app.run(&asked, &[]).data();
    let vacuum_id = text(&vacuum, "vacuum_id");
    let terminal = Terminal::run(&app, "g3n ops vacuum-status --watch", &[]);
    terminal.shows("begins in ");
    let cancel = "g3n ops vacuum-cancel --secret-code $CODE --vacuum-id $VID";
    app.about(cancel, "VID", &vacuum_id);
    let (code, screen) = terminal.end();
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("cancelled"), "{screen}");
}

#[test]
fn a_new_passcode_is_typed_twice_and_a_session_shown_once() {
    let app = AppState::open(&[]);
    let passcode = "canary of a passcode";
    let ask = |line: &str, questions: &[&str]| {
        let mut terminal = Terminal::run(&app, line, &[]);
        for question in questions {
            terminal.shows(question);
            terminal.hides();
            terminal.types(&format!("{passcode}\n"));
        }
        let (code, screen) = terminal.end();
        assert_eq!(code, Some(0), "{screen}");
        assert!(!screen.contains(passcode), "{screen}");
        screen
    };
    let create = "g3n uas user-create --email ann@example.com";
    let screen = ask(create, &["New passcode: ", "Repeat it: "]);
    assert!(screen.contains("ann@example.com"), "{screen}");
    let sign_in = "g3n usm session-create --email ann@example.com";
    let screen = ask(sign_in, &["Passcode: "]);
    let once = "The session guid is shown only this once";
    assert!(
        screen.contains("session_guid") && screen.contains(once),
        "{screen}"
    );
    let line = format!("GUID=$({sign_in} --bare); g3n whoami --session-guid $GUID");
    let screen = ask(&line, &["Passcode: "]);
    assert!(
        screen.contains("auth_mode") && !screen.contains(once),
        "{screen}"
    );
}

#[test]
fn ids_stay_whole_in_a_terminal_of_any_width() {
    let app = AppState::open(&[]);
    let made = app.run(
        "g3n ops maintenance-schedule --description d --duration 60 --start 2999-01-01T00:00:00Z --secret-code $CODE",
        &[],
    );
    let id = text(&made.data(), "maintenance_id");
    let request = text(&made.json()["stats"], "request_id");
    for (columns, framed) in [(80, false), (140, false), (400, true)] {
        for verb in ["ops audit", "ops maintenance-list"] {
            let line = format!("stty cols {columns}; g3n {verb}");
            let (code, screen) = Terminal::run(&app, &line, &[]).end();
            assert_eq!(code, Some(0), "{screen}");
            assert!(screen.contains(&id), "{verb} at {columns}: {screen}");
            assert!(!screen.contains(['{', '}', '\u{1b}']), "{screen}");
            let audit = verb == "ops audit";
            assert!(!audit || screen.contains(&request), "{screen}");
            assert!(!audit || screen.contains('┆') == framed, "{screen}");
        }
        let line = format!("stty cols {columns}; g3n uas stat");
        let (_, screen) = Terminal::run(&app, &line, &[]).end();
        assert!(screen.contains('┆'), "facts fit: {screen}");
    }
}

#[test]
fn a_person_is_asked_before_an_org_is_gone_for_good() {
    let app = AppState::open(&[]);
    let doom = "g3n ofm org-status-set --orgcode DEMO --status doomed";
    let mut terminal = Terminal::run(&app, doom, &[]);
    terminal.shows("the org DEMO at ");
    terminal.shows(QUESTION);
    terminal.types("no\n");
    let (code, screen) = terminal.end();
    assert!(code == Some(1) && screen.contains("declined"), "{screen}");
    let org = app.run("g3n ofm org-get", &[]).data();
    assert_eq!(org["status"], "verified");
    let (code, screen) = Terminal::run(&app, &format!("{doom} --yes"), &[]).end();
    assert!(code == Some(0) && !screen.contains("Type yes"), "{screen}");
}

#[test]
fn content_at_a_terminal_is_shown_whole_and_no_bar_with_it() {
    let app = AppState::open(&[]);
    let content = format!("{}the last line, without an end", "a line\n".repeat(50));
    let put = "g3n mrs put --container demo --record-id o --content-type text/plain --file -";
    app.run_with(put, &[], content.as_bytes()).data();
    let shown = content.replace('\n', "\r\n");
    let get = "g3n mrs get --container demo --record-id o";
    for out in [
        "",
        "--out -",
        "--out /proc/self/fd/1",
        "--out /dev/tty",
        "--out /proc/self/fd/2",
    ] {
        let (code, screen) = Terminal::run(&app, &format!("{get} {out}"), &[]).end();
        let (_, after_name) = screen.split_once('\n').expect("the terminal's name");
        assert_eq!((code, after_name), (Some(0), shown.as_str()), "{out}");
    }
    let (code, screen) = Terminal::run(&app, &format!("{get} --out file"), &[]).end();
    assert!(code == Some(0) && screen.contains("record_id"), "{screen}");
    assert_eq!(
        std::fs::read(app.dir().join("file")).expect("written"),
        content.as_bytes()
    );
}
