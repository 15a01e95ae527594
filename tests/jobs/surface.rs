//! Jobs as operators see them: the functions, the command line, the counters, and a server that serves meanwhile.

use metarecord::clock::Clock;
use metarecord::domain::Timestamp;
use serde_json::{Value, json};

use crate::cli::run::g3n;
use crate::support::inside::{Inside, START_MS};
use crate::support::{Server, eventually};

fn show(server: &Inside, job: &str) -> Value {
    server.operator("jobs_show", &json!({"job": job})).data()
}

/// The journal's last position, as the command line tells it next to the server.
fn position(server: &Inside) -> u64 {
    let line = "journal head --output json --data-dir .";
    let head = g3n(line, &server.dir, &[], b"").json();
    head["position"].as_u64().expect("a position")
}

#[test]
fn operators_list_show_run_pause_and_resume_jobs() {
    let scratch = tempfile::tempdir().expect("a directory");
    let mut server = Inside::start(scratch.path());
    let list = server.operator("jobs_list", &json!({})).data();
    let names: Vec<_> = list["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|job| job["job"].as_str().expect("a name"))
        .collect();
    assert!(
        ["ttl-sweep", "projection-check"]
            .iter()
            .all(|name| names.contains(name)),
        "{names:?}"
    );
    server.put("notes", "n", &json!(1));
    let answer = server.operator("jobs_run", &json!({"job": "projection-check"}));
    assert_eq!(answer.data()["job"], "projection-check");
    eventually("it ran", || show(&server, "projection-check")["runs"] == 1);
    let ran = show(&server, "projection-check");
    assert_eq!(ran["last_counts"], json!({"records": 1}));
    assert_eq!(ran["state"], "waiting");

    let pause = json!({"job": "projection-check", "actor": "ann", "reason": "slow disk"});
    assert_eq!(
        server.operator("jobs_pause", &pause).data()["state"],
        "paused"
    );
    let run = server.operator("jobs_run", &json!({"job": "projection-check"}));
    assert_eq!(
        run.refusal(),
        (409, "invalid-state".to_owned(), "paused".to_owned())
    );
    server.stop();
    let mut server = Inside::start(scratch.path());
    let paused = show(&server, "projection-check");
    assert_eq!(paused["state"], "paused");
    assert_eq!(
        paused["last_counts"],
        json!({"records": 1}),
        "an ordered run is remembered"
    );
    let resumed = server.operator("jobs_resume", &json!({"job": "projection-check"}));
    assert_eq!(resumed.data()["state"], "waiting");
    server.stop();
}

#[test]
fn a_job_that_is_not_there_is_not_found_and_the_answer_names_those_that_are() {
    let scratch = tempfile::tempdir().expect("a directory");
    let mut server = Inside::start(scratch.path());
    for function in ["jobs_show", "jobs_run", "jobs_pause", "jobs_resume"] {
        let got = server.operator(function, &json!({"job": "nonsense-of-a-caller"}));
        assert_eq!(got.refusal().0, 404, "{function}");
        let text = got.json().to_string();
        assert!(text.contains("ttl-sweep"), "{function}: {text}");
        assert!(!text.contains("nonsense"), "{function}: {text}");
        let missing = server.operator(function, &json!({}));
        assert_eq!(
            missing.refusal(),
            (400, "invalid-input".to_owned(), "job".to_owned())
        );
    }
    let odd = server.operator("jobs_list", &json!({"all": true}));
    assert_eq!(odd.refusal().0, 400);
    server.stop();
}

#[test]
fn a_paused_sweep_leaves_due_records_reading_as_doomed_and_catches_up() {
    let scratch = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let mut server = Inside::start_by(scratch.path(), clock.clone(), &[]);
    let body = json!({"orgcode": "demo", "container": "notes", "record_id": "n", "content_type": "application/json",
        "payload": 1, "doom_at": clock.now().plus_millis(5_000).to_string()});
    assert_eq!(server.post("/mrs/record", &body).data()["status"], "active");
    let pause = server.operator("jobs_pause", &json!({"job": "ttl-sweep"}));
    assert_eq!(pause.data()["state"], "paused");
    clock.advance(5_000);
    let query = "orgcode=demo&container=notes&record_id=n";
    assert_eq!(server.get(&format!("/mrs/record?{query}")).status, 404);
    let meta = format!("/mrs/record/meta?{query}&include_doomed=true");
    let read = server.get(&meta).data();
    assert_eq!(
        (&read["status"], &read["doom_cause"]),
        (&json!("doomed"), &json!("ttl"))
    );
    let before = position(&server);
    server
        .operator("jobs_resume", &json!({"job": "ttl-sweep"}))
        .data();
    eventually("it is swept", || {
        let counts = show(&server, "ttl-sweep")["last_counts"].clone();
        counts == json!({"doomed": 1})
    });
    // The operator's act, the resuming, and the end of the record: a sweep leaves no event of its own.
    assert_eq!(position(&server), before + 3);
    assert_eq!(server.get(&meta).data(), read, "it reads as before");
    server.stop();
}

#[test]
fn the_command_line_shows_watches_and_orders_jobs_and_the_counters_follow() {
    let mut server = Server::start();
    for number in 0..50 {
        server.put_inline("notes", &format!("n-{number}"), &json!(number), &[]);
    }
    let config = server.config_file.to_str().expect("plain").to_owned();
    let environment = [("G3N_CONFIG", config.as_str()), ("G3N_PROFILE", "dev")];
    let dir = server.dir.clone();
    let run = |line: &str| g3n(line, &dir, &environment, b"");
    let table = run("jobs list --output table");
    assert_eq!(table.code, 0, "{table:?}");
    for shown in [
        "job",
        "state",
        "next_run_at",
        "ttl-sweep",
        "projection-check",
    ] {
        assert!(table.text().contains(shown), "{shown}: {table:?}");
    }
    let watched = run("jobs run projection-check --watch").data();
    assert_eq!(watched["last_counts"]["records"], 50, "{watched}");
    assert_eq!(run("jobs show projection-check --watch").data()["runs"], 1);
    let paused = run("jobs pause projection-check --reason disk").data();
    assert_eq!(paused["state"], "paused");
    assert_eq!(
        run("jobs run projection-check").refusal(),
        (6, "invalid-state".to_owned())
    );
    assert_eq!(
        run("jobs resume projection-check").data()["state"],
        "waiting"
    );
    assert_eq!(
        run("jobs show nonsense").refusal(),
        (5, "not-found".to_owned())
    );
    let agent = crate::support::agent();
    let url = format!("{}/metrics", server.operator_url);
    let token = format!("Bearer {}", server.operator_token);
    let metrics = crate::support::got(agent.get(url).header("authorization", token).call());
    let metrics = String::from_utf8(metrics.bytes).expect("text");
    for line in [
        "metarecord_job_runs_total{job_name=\"projection-check\"} 1",
        "metarecord_job_failures_total{job_name=\"projection-check\"} 0",
        "metarecord_job_failing{job_name=\"ttl-sweep\"} 0",
        "metarecord_job_paused{job_name=\"ttl-sweep\"} 0",
        "metarecord_job_last_success_seconds{job_name=\"projection-check\"} ",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert_eq!(server.end("TERM"), Some(0));
}
