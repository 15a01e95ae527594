//! The operators' three scenarios by the command line, in real time: a maintenance window, a vacuum that is cancelled, and
//! a full vacuum.

use metarecord::clock::{Clock, Stopwatch};
use metarecord::domain::Timestamp;
use serde_json::{Value, json};

use super::run::{Ran, shell};
use crate::support::{Server, eventually};

/// How far ahead a window is planned that the sweep shall start.
const AHEAD_MS: i64 = 2_000;
/// What the contract allows until tenants are served again.
const SERVED_MS_MAX: u64 = 20_000;
/// Long enough to cancel a vacuum on a slow machine, short enough to wait for.
const PENDING: &str = "ops.vacuum_pending_seconds=20";
/// For a vacuum that nobody cancels.
pub(super) const PENDING_SHORT: &str = "ops.vacuum_pending_seconds=2";
/// How often what waits for its time looks at the clock.
pub(super) const SWEEP: &str = "ops.sweep_seconds=1";

/// A server, and an operator's shell next to it.
pub(super) struct AppState {
    pub(super) server: Server,
    sets: Vec<String>,
    files: tempfile::TempDir,
}

impl AppState {
    /// A new server with settings such as `ops.sweep_seconds=1`.
    pub(super) fn open(sets: &[&str]) -> Self {
        Self::open_in(tempfile::tempdir().expect("a directory"), sets)
    }

    /// A server on what is in `data` below a directory.
    pub(super) fn open_in(files: tempfile::TempDir, sets: &[&str]) -> Self {
        let sets: Vec<String> = sets.iter().map(|set| format!("--set={set}")).collect();
        let server = start(files.path(), &sets);
        Self {
            server,
            sets,
            files,
        }
    }

    /// Ends the server in order, and starts it again.
    fn restart(&mut self) {
        assert_eq!(self.server.end("TERM"), Some(0));
        self.server = start(self.files.path(), &self.sets);
    }

    /// Where the shell is.
    pub(super) fn dir(&self) -> &std::path::Path {
        self.files.path()
    }

    /// What a developer exports, and the secret code as the playbooks name it.
    pub(super) fn environment(&self) -> [(&str, &str); 3] {
        let config = self.server.config_file.to_str().expect("plain");
        let code = self.server.secret_code.as_str();
        [
            ("G3N_CONFIG", config),
            ("G3N_PROFILE", "dev"),
            ("CODE", code),
        ]
    }

    /// Runs a line with variables such as ID.
    pub(super) fn run(&self, line: &str, variables: &[(&str, &str)]) -> Ran {
        self.run_with(line, variables, b"")
    }

    /// The same with bytes on standard input. The secret code is never printed.
    pub(super) fn run_with(&self, line: &str, variables: &[(&str, &str)], input: &[u8]) -> Ran {
        let known = self.environment();
        let environment: Vec<_> = known.iter().chain(variables).copied().collect();
        let ran = shell(line, self.dir(), &environment, input);
        for shown in [ran.text(), ran.stderr.clone()] {
            assert!(!shown.contains(&self.server.secret_code), "{line}: {shown}");
        }
        ran
    }

    /// `data` of a line about the window or vacuum of an id.
    pub(super) fn about(&self, line: &str, variable: &str, id: &str) -> Value {
        self.run(line, &[(variable, id)]).data()
    }

    /// Puts a small JSON record.
    pub(super) fn put(&self, org: &str, container: &str, record_id: &str) {
        let line = format!(
            "g3n mrs put --orgcode {org} --container {container} --record-id {record_id} --inline-payload-file -"
        );
        self.run_with(&line, &[], br#"{"a":1}"#).data();
    }

    /// The development org's records, as far as they are on one page.
    pub(super) fn records(&self) -> Value {
        let list = self.run("g3n mrs list --status all --limit 256", &[]);
        list.data()["items"].clone()
    }

    /// The vacuum of an id when it has come to its end.
    pub(super) fn watched(&self, vacuum_id: &str) -> Value {
        let line = "g3n ops vacuum-status --vacuum-id $VID --watch";
        self.about(line, "VID", vacuum_id)
    }

    /// The events of the audit that a filter lets through, oldest first, page by page.
    pub(super) fn audited(&self, filter: &str) -> Vec<String> {
        let (mut events, mut more) = (Vec::new(), String::new());
        loop {
            let page = self.run(&format!("g3n ops audit --limit 2 {filter} {more}"), &[]);
            let page = page.data();
            assert_eq!(page["audit"], "/g3nretailstack/ops/maintenance-audit");
            let items = page["items"].as_array().expect("items");
            let named = items.iter().map(|item| text(item, "event"));
            events.extend(named);
            match page["next_token"].as_str() {
                Some(token) => more = format!("--next-token {token}"),
                None => return events,
            }
        }
    }
}

fn start(files: &std::path::Path, sets: &[String]) -> Server {
    let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    Server::start_in(&files.join("data"), &sets)
}

/// A text of an answer.
pub(super) fn text(data: &Value, name: &str) -> String {
    let text = data[name].as_str();
    text.unwrap_or_else(|| panic!("no {name}: {data}"))
        .to_owned()
}

fn now() -> Timestamp {
    Clock::system().now()
}

/// What the first event of the audit that a filter lets through came to.
fn first_told(app: &AppState, filter: &str) -> Value {
    let page = app.run(&format!("g3n ops audit --limit 1 {filter}"), &[]);
    page.data()["items"][0]["outcome"].clone()
}

/// What tenants ask, and what they are told. Whoever is turned away before the window's time was turned away wrongly.
fn tenants_are_served_until(app: &AppState, start: Timestamp) {
    eventually("the sweep starts the window", || {
        let ran = app.run("g3n mrs list", &[]);
        let in_time = now() < start;
        assert!(ran.code == 0 || !in_time, "{ran:?}");
        ran.code != 0
    });
    for line in [
        "g3n mrs list",
        "g3n mrs get --container notes --record-id n-1",
        "g3n mrs doom --container notes --record-id n-1",
        "echo 1 | g3n mrs put --container notes --inline-payload-file -",
    ] {
        let refused = app.run(line, &[]).refusal();
        assert_eq!(refused, (8, "maintenance-mode".to_owned()), "{line}");
    }
    let told = app.run("g3n mrs list --output table", &[]);
    assert!(
        told.code == 8 && told.stderr.contains("maintenance"),
        "{told:?}"
    );
}

/// The window is shown as planned, or as active when the machine is slow and its time has come.
fn is_planned(app: &AppState, id: &str, start: Timestamp) {
    let listed = app.run("g3n ops maintenance-list --limit 5", &[]).data();
    let got = app.about("g3n ops maintenance-get --maintenance-id $ID", "ID", id);
    let early = now() < start;
    for window in [&listed["items"][0], &got] {
        assert_eq!(
            (&window["maintenance_id"], &window["scheduled_start_utc"]),
            (&json!(id), &json!(start.to_string()))
        );
        assert!(window["status"] == "scheduled" || !early, "{window}");
    }
}

/// What operators do and see while tenants are kept out.
fn news_is_told(app: &AppState, id: &str) {
    let news = "g3n ops maintenance-update --secret-code $CODE --text half --duration 7200 --description 'more disks'";
    let window = app.run(news, &[]).data();
    assert_eq!(
        (&window["maintenance_id"], &window["status"]),
        (&json!(id), &json!("active"))
    );
    assert_eq!(window["start_source"], "sweep");
    let ping = app.run("g3n ops ping", &[]).data();
    let told = &ping["maintenance"];
    assert_eq!(
        (
            &told["active"],
            &told["description"],
            &told["updates"][0]["text"]
        ),
        (&json!(true), &json!("more disks"), &json!("half"))
    );
    assert_eq!(app.run("g3n ops stat", &[]).data()["status"], "ok");
    assert_eq!(app.run("g3n health", &[]).data()["maintenance"], true);
    let active = "g3n ops maintenance-list --status active";
    let active = app.run(active, &[]).data();
    assert_eq!(active["items"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_scheduled_window_starts_by_itself_and_is_ended_by_hand() {
    let app = AppState::open(&[SWEEP]);
    app.put("DEMO", "notes", "n-1");
    let start = now().plus_millis(AHEAD_MS);
    let plan = "g3n ops maintenance-schedule --secret-code $CODE --description 'new disks' --duration 3600 --start $START";
    let window = app.run(plan, &[("START", &start.to_string())]).data();
    let id = text(&window, "maintenance_id");
    assert_eq!(window["status"], "scheduled");
    is_planned(&app, &id, start);
    tenants_are_served_until(&app, start);
    news_is_told(&app, &id);

    let since = Stopwatch::start();
    let end = "g3n ops maintenance-end --secret-code $CODE --end-message done";
    let ended = app.run(end, &[]).data();
    eventually("tenants are served again", || {
        app.run("g3n mrs list", &[]).code == 0
    });
    let served = since.millis();
    println!("served {served} ms after the command to end was typed");
    assert!(served < SERVED_MS_MAX);
    assert_eq!(
        (&ended["status"], &ended["end_message"]),
        (&json!("ended"), &json!("done"))
    );
    assert_eq!(
        app.run("g3n ops ping", &[]).data()["maintenance"]["active"],
        false
    );

    let events = ["scheduled", "started", "updated", "ended"];
    let events = events.map(|event| format!("maintenance.{event}"));
    assert_eq!(app.audited(&format!("--maintenance-id {id}")), events);
    let since = format!("--since {}", text(&ended, "ended_at"));
    assert_eq!(app.audited(&since), events[3..]);
    let told = first_told(&app, &format!("--maintenance-id {id}"));
    assert_eq!(told["start"], start.to_string());
}

#[test]
fn a_vacuum_cancelled_while_it_is_pending_erases_nothing() {
    let app = AppState::open(&[PENDING, SWEEP]);
    for record_id in ["n-1", "n-2", "n-3"] {
        app.put("DEMO", "notes", record_id);
    }
    let object = "head -c 5000 /dev/urandom | g3n mrs put --container notes --record-id o-1 --content-type text/plain --file -";
    app.run(object, &[]).data();
    let content = "g3n mrs get --container notes --record-id o-1";
    let (before, kept) = (app.records(), app.run(content, &[]).stdout);

    let vacuum = "g3n ops vacuum-org --secret-code $CODE --orgcode DEMO --reason Cleanup --yes";
    let vacuum = app.run(vacuum, &[]).data();
    let id = text(&vacuum, "vacuum_id");
    assert_eq!(vacuum["status"], "pending");
    let cancelled = std::thread::scope(|scope| {
        let watching = scope.spawn(|| app.watched(&id));
        let cancel = "g3n ops vacuum-cancel --secret-code $CODE --vacuum-id $VID";
        app.about(cancel, "VID", &id);
        watching.join().expect("it is watched")
    });
    assert_eq!(cancelled["status"], "cancelled");

    let due = Timestamp::parse(&text(&vacuum, "execute_at")).expect("a time");
    let due = due.plus_millis(2_000);
    eventually("its time has come and gone", || now() > due);
    let status = "g3n ops vacuum-status --vacuum-id $VID";
    assert_eq!(app.about(status, "VID", &id)["status"], "cancelled");
    assert_eq!(app.records(), before);
    assert_eq!(app.run(content, &[]).stdout, kept);
    app.put("DEMO", "notes", "later");
    assert_eq!(
        app.audited(&format!("--vacuum-id {id}")),
        ["vacuum.requested", "vacuum.cancelled"]
    );
    let told = first_told(&app, &format!("--vacuum-id {id}"));
    assert_eq!(told["execute_at"], vacuum["execute_at"]);
}

/// What a vacuum erased, or would erase, of each service.
fn amounts(vacuum: &Value) -> Vec<Value> {
    let services = vacuum["services"].as_array().expect("services");
    let amount = |service: &Value| {
        let name = &service["service"];
        json!([name, service["items"], service["objects"], service["bytes"]])
    };
    services.iter().map(amount).collect()
}

#[test]
fn a_full_vacuum_erases_what_its_dry_run_counted() {
    let mut app = AppState::open(&[PENDING_SHORT, SWEEP]);
    for record_id in ["n-1", "n-2", "n-3"] {
        app.put("DEMO", "notes", record_id);
    }
    let object = "head -c 5000 /dev/urandom | g3n mrs put --container notes --record-id o-1 --content-type text/plain --file -";
    app.run(object, &[]).data();
    app.put("DEMO", "g3nmhsadmin-notes", "kept");
    let before = app.records();
    let plan = "g3n ops maintenance-schedule --secret-code $CODE --description later --duration 60 --start 2999-01-01T00:00:00Z";
    let window = text(&app.run(plan, &[]).data(), "maintenance_id");

    let all = "g3n ops vacuum-all --secret-code $CODE --reason Reset --confirmation-phrase 'VACUUM ALL DATA PERMANENTLY' --yes";
    let dry = app.run(&format!("{all} --dry-run"), &[]).data();
    let dry = text(&dry, "vacuum_id");
    app.watched(&dry);
    let review = "g3n ops vacuum-status --vacuum-id $VID";
    let review = app.about(review, "VID", &dry);
    assert_eq!(
        (&review["status"], &review["dry_run"]),
        (&json!("completed"), &json!(true))
    );
    let mrs = &review["services"][0];
    assert_eq!(
        (&mrs["service"], &mrs["items"], &mrs["objects"]),
        (&json!("mrs"), &json!(4), &json!(1))
    );
    assert_eq!(app.records(), before);

    let plan_id = text(&review, "plan_id");
    let real = app.about(&format!("{all} --plan-id $PLAN"), "PLAN", &plan_id);
    let real = text(&real, "vacuum_id");
    let done = app.watched(&real);
    assert_eq!(done["status"], "completed");
    assert_eq!(
        (&done["totals"], amounts(&done)),
        (&review["totals"], amounts(&review))
    );
    // Development mode makes its org and owner again; what is protected was never touched.
    eventually("the development org is there again", || {
        app.run("g3n mrs list", &[]).code == 0
    });
    let left = app.records();
    let kept = before.as_array().expect("records");
    let kept = kept
        .iter()
        .filter(|record| record["container"] == "g3nmhsadmin-notes");
    assert_eq!(left, json!(kept.collect::<Vec<_>>()));
    let gone = app.run("g3n mrs get --container notes --record-id o-1", &[]);
    assert_eq!(gone.refusal(), (5, "not-found".to_owned()));

    let told = app.audited(&format!("--vacuum-id {real}"));
    assert_eq!(
        (
            told.first().map(String::as_str),
            told.last().map(String::as_str)
        ),
        (Some("vacuum.requested"), Some("vacuum.completed"))
    );
    let planned = app.audited(&format!("--maintenance-id {window}"));
    assert_eq!(planned, ["maintenance.scheduled"]);
    let everything = app.audited("");
    app.restart();
    assert_eq!(app.audited(""), everything);
}
