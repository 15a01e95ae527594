//! The history's verbs beside a running server, beside a stopped one, and where there is no history.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::run::{Ran, g3n};
use crate::support::Server;

/// A server with three entries more than an empty one, in a directory that outlives it.
fn filled(dir: &Path) -> Server {
    let server = Server::start_in(&dir.join("data"), &[]);
    for number in 1..=3 {
        let record_id = format!("r-{number}");
        server.put_inline("demo", &record_id, &json!({"n": number}), &[]);
    }
    server
}

fn journal(dir: &Path, line: &str) -> Ran {
    g3n(&format!("journal {line} --data-dir data"), dir, &[], b"")
}

/// The newest file of the commit log.
fn newest_segment(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir.join("data/journal")).expect("readable");
    let logs = files.flatten().map(|entry| entry.path());
    let logs = logs.filter(|path| path.extension().is_some_and(|end| end == "jsonl"));
    logs.max().expect("there is one")
}

#[test]
fn beside_a_running_server_the_history_is_read_but_not_rebuilt() {
    let house = tempfile::tempdir().expect("a directory");
    let server = filled(house.path());
    let verified = journal(house.path(), "verify");
    let report = verified.json();
    assert_eq!((verified.code, &report["good"]), (0, &json!(true)));
    let head = journal(house.path(), "head").json();
    assert_eq!(head, report["head"]);

    let tail = journal(house.path(), "tail --lines 2");
    let lines: Vec<serde_json::Value> = tail
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 2, "{tail:?}");
    assert_eq!(lines[1]["position"], head["position"]);
    let all = journal(house.path(), &format!("tail --lines {}", usize::MAX));
    let count = all.text().lines().count();
    assert_eq!((all.code, json!(count)), (0, head["position"].clone()));

    let name = format!("{}/demo/r-2", server.orgcode);
    let shown = journal(
        house.path(),
        &format!("show --record {name} --output table"),
    );
    assert!(shown.text().contains("record.created"), "{shown:?}");
    let unknown = format!("show --record {}/demo/nobody", server.orgcode);
    assert_eq!(journal(house.path(), &unknown).code, 5);
    let refused = journal(house.path(), "show --record nobody");
    assert_eq!(refused.refusal(), (2, "usage".to_owned()));

    let exported = journal(house.path(), "export --from 2 --out history.jsonl");
    assert_eq!((exported.code, exported.text().as_str()), (0, ""));
    let text = std::fs::read_to_string(house.path().join("history.jsonl")).expect("written");
    assert_eq!(text.lines().count() + 1, count);

    let rebuilt = journal(house.path(), "rebuild");
    assert_eq!(rebuilt.refusal(), (1, "journal".to_owned()));
}

#[test]
fn beside_a_stopped_server_it_is_compared_rebuilt_and_damage_is_found() {
    let house = tempfile::tempdir().expect("a directory");
    let mut server = filled(house.path());
    assert_eq!(server.end("TERM"), Some(0));
    let before = journal(house.path(), "verify").json();
    assert_eq!(
        (&before["good"], &before["database"]),
        (&json!(true), &json!("compared"))
    );
    let rebuilt = journal(house.path(), "rebuild").json();
    assert_eq!(rebuilt["entries"], before["entries"]);
    assert_eq!(rebuilt["differing_rows"], 0);

    let path = newest_segment(house.path());
    let mut log = std::fs::read(&path).expect("is there");
    let at = log.len() / 2;
    log[at] ^= 1;
    std::fs::write(&path, log).expect("written");
    let damaged = journal(house.path(), "verify");
    let report = damaged.json();
    assert_eq!((damaged.code, &report["good"]), (1, &json!(false)));
    assert!(report["problems"][0]["position"].is_u64(), "{report}");
    let table = journal(house.path(), "verify --output table");
    assert!(
        table.code == 1 && table.text().contains("problems"),
        "{table:?}"
    );
}

#[test]
fn a_directory_without_a_history_does_not_pass_for_a_sound_one() {
    let house = tempfile::tempdir().expect("a directory");
    for verb in [
        "verify",
        "head",
        "tail",
        "export",
        "rebuild",
        "show --record A1/demo/a",
    ] {
        let ran = journal(house.path(), verb);
        assert_eq!(ran.refusal(), (2, "usage".to_owned()), "{verb}: {ran:?}");
        assert!(!house.path().join("data").exists(), "{verb} made it");
    }
    std::fs::create_dir_all(house.path().join("data/journal")).expect("made");
    assert_eq!(journal(house.path(), "verify").code, 2);
}
