//! `g3n logs`: filters, following over midnight, standard input, and the linter.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::cli::run::{Ran, g3n};

/// A day's lines: two requests, a refusal next to one of them, and a notice.
fn day(date: &str) -> String {
    let line = |second: u32, rest: &str| {
        format!("{{\"v\":1,\"at\":\"{date}T12:00:0{second}.000Z\",\"level\":\"info\",{rest}}}\n")
    };
    let request = |id: &str, status: u16, tag: &str| {
        format!(
            "\"event\":\"request\",\"request_id\":\"{id}\",\"service\":\"mrs\",\"method\":\"GET\",\"route\":\"/mrs/list\",\"status\":{status},\"tag\":\"{tag}\",\"latency_us\":7,\"bytes_in\":0,\"bytes_out\":9"
        )
    };
    [
        line(0, "\"event\":\"notice\",\"text\":\"two words\""),
        line(1, &request("r-1", 200, "ok")),
        line(2, "\"event\":\"access_denied\",\"request_id\":\"r-2\",\"stage\":\"org\",\"reason\":\"org-unknown\",\"status\":404,\"route\":\"/mrs/list\""),
        line(3, &request("r-2", 404, "not-found")),
    ]
    .concat()
}

fn logs(dir: &Path, line: &str) -> Ran {
    g3n(
        &format!("logs {line}"),
        dir,
        &[("G3N_LOG_DIR", "logs")],
        b"",
    )
}

/// A directory with the lines of two days.
fn two_days() -> tempfile::TempDir {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(scratch.path().join("logs")).expect("made");
    for date in ["2027-01-15", "2027-01-16"] {
        let path = scratch.path().join(format!("logs/g3n-{date}.jsonl"));
        std::fs::write(path, day(date)).expect("written");
    }
    scratch
}

fn shown(ran: &Ran) -> Vec<(String, String)> {
    assert_eq!(ran.code, 0, "{ran:?}");
    let text = ran.text();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let short = |line: Value| {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        (text("at")[8..10].to_owned(), text("event"))
    };
    lines.map(short).collect()
}

#[test]
fn filters_of_logs_select_alone_and_together() {
    let scratch = two_days();
    let pairs = |wanted: &[(&str, &str)]| -> Vec<(String, String)> {
        wanted
            .iter()
            .map(|(day, event)| ((*day).to_owned(), (*event).to_owned()))
            .collect()
    };
    let of_a_day =
        |day| ["notice", "request", "access_denied", "request"].map(|event| (day, event));
    for (line, wanted) in [
        ("", [of_a_day("15"), of_a_day("16")].concat()),
        ("--since 2027-01-16T00:00:00Z", of_a_day("16").to_vec()),
        ("--since 2027-01-16T12:00:03Z", vec![("16", "request")]),
        ("--event notice", vec![("15", "notice"), ("16", "notice")]),
        (
            "--event notice --event access_denied --since 2027-01-16T00:00:00Z",
            vec![("16", "notice"), ("16", "access_denied")],
        ),
        ("--status 200", vec![("15", "request"), ("16", "request")]),
        (
            "--status 4xx --since 2027-01-16T00:00:00Z",
            vec![("16", "access_denied"), ("16", "request")],
        ),
        (
            "--status 200 --status 4xx --event access_denied",
            vec![("15", "access_denied"), ("16", "access_denied")],
        ),
        (
            "--request-id r-2 --event request",
            vec![("15", "request"), ("16", "request")],
        ),
        ("--request-id r-3", vec![]),
    ] {
        assert_eq!(shown(&logs(scratch.path(), line)), pairs(&wanted), "{line}");
    }
    let table = logs(scratch.path(), "--event notice --output table");
    assert_eq!(
        table.text().lines().next(),
        Some(
            "2027-01-15T12:00:00.000Z  info   notice         -                                     text=\"two words\""
        )
    );
    for line in ["--event nonsense", "--status 999", "--since yesterday"] {
        assert_eq!(
            logs(scratch.path(), line).refusal(),
            (2, "usage".to_owned()),
            "{line}"
        );
    }
    let nowhere = g3n("logs", scratch.path(), &[], b"");
    assert_eq!(nowhere.refusal(), (2, "usage".to_owned()));
}

#[test]
fn logs_are_read_from_settings_files_and_standard_input() {
    let scratch = two_days();
    std::fs::write(scratch.path().join("s.toml"), "[log]\ndir = \"logs\"\n").expect("written");
    let by_settings = g3n(
        "logs --settings s.toml --status 200",
        scratch.path(),
        &[],
        b"",
    );
    assert_eq!(shown(&by_settings).len(), 2);
    let file = g3n("logs logs/g3n-2027-01-16.jsonl", scratch.path(), &[], b"");
    assert_eq!(shown(&file).len(), 4);
    let input = format!("not a line of a log\n{}", day("2027-01-17"));
    let piped = g3n(
        "logs - --request-id r-1",
        scratch.path(),
        &[],
        input.as_bytes(),
    );
    assert_eq!(shown(&piped), [("17".to_owned(), "request".to_owned())]);
}

#[test]
fn the_linter_names_each_line_that_does_not_fit() {
    let scratch = two_days();
    let good = logs(scratch.path(), "--lint");
    assert_eq!(
        (good.code, good.json()["lines"].as_u64()),
        (0, Some(8)),
        "{good:?}"
    );
    let spoiled = day("2027-01-17").replacen("\"bytes_in\":0", "\"body\":\"x\"", 1);
    let bad = g3n("logs - --lint", scratch.path(), &[], spoiled.as_bytes());
    let told = bad.json();
    assert_eq!((bad.code, told["wrong"].as_u64()), (1, Some(1)), "{bad:?}");
    assert_eq!(told["problems"][0]["line"], 2);
}

#[test]
fn following_shows_lines_in_order_across_days() {
    let scratch = two_days();
    let logs = scratch.path().join("logs");
    let mut child = Command::new(env!("CARGO_BIN_EXE_g3n"))
        .args([
            "logs",
            "--follow",
            "--event",
            "notice",
            "--output",
            "json",
            "--log-dir",
        ])
        .arg(&logs)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut next = || {
        let line = lines.next().expect("a line").expect("text");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        line["at"].as_str().expect("a time").to_owned()
    };
    assert_eq!(
        [next(), next()],
        ["2027-01-15T12:00:00.000Z", "2027-01-16T12:00:00.000Z"]
    );
    let add = |date: &str, text: &str| {
        let mut options = std::fs::OpenOptions::new();
        let file = options
            .append(true)
            .create(true)
            .open(logs.join(format!("g3n-{date}.jsonl")));
        file.expect("opened")
            .write_all(text.as_bytes())
            .expect("written");
    };
    let line = "{\"v\":1,\"at\":\"2027-01-16T23:59:59.999Z\",\"level\":\"info\",\"event\":\"notice\",\"text\":\"late\"}\n";
    // Half a line is not shown, and is when its end has come: with the line ahead of it its beginning was read.
    let (begin, end) = line.split_at(30);
    let first = line.replacen("late", "first", 1);
    add("2027-01-16", &format!("{first}{begin}"));
    assert_eq!(next(), "2027-01-16T23:59:59.999Z");
    add("2027-01-16", end);
    assert_eq!(next(), "2027-01-16T23:59:59.999Z");
    add("2027-01-17", &day("2027-01-17"));
    assert_eq!(next(), "2027-01-17T12:00:00.000Z");
    add("2027-01-17", &day("2027-01-18"));
    assert_eq!(next(), "2027-01-18T12:00:00.000Z");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}
