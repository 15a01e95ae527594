//! The history's verbs with a running server, with a stopped one, and where there is no history.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::ops::{AppState, PENDING_SHORT, text};
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
    let app = tempfile::tempdir().expect("a directory");
    let server = filled(app.path());
    let verified = journal(app.path(), "verify");
    let report = verified.json();
    assert_eq!((verified.code, &report["good"]), (0, &json!(true)));
    let head = journal(app.path(), "head").json();
    assert_eq!(head, report["head"]);

    let tail = journal(app.path(), "tail --lines 2");
    let lines: Vec<serde_json::Value> = tail
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 2, "{tail:?}");
    assert_eq!(lines[1]["position"], head["position"]);
    let all = journal(app.path(), &format!("tail --lines {}", usize::MAX));
    let count = all.text().lines().count();
    assert_eq!((all.code, json!(count)), (0, head["position"].clone()));

    let name = format!("{}/demo/r-2", server.orgcode);
    let shown = journal(app.path(), &format!("show --record {name} --output table"));
    assert!(shown.text().contains("record.created"), "{shown:?}");
    let unknown = format!("show --record {}/demo/nobody", server.orgcode);
    assert_eq!(journal(app.path(), &unknown).code, 5);
    let refused = journal(app.path(), "show --record nobody");
    assert_eq!(refused.refusal(), (2, "usage".to_owned()));

    let exported = journal(
        app.path(),
        "export --format jsonl --from 2 --out history.jsonl",
    );
    assert_eq!((exported.code, exported.text().as_str()), (0, ""));
    let text = std::fs::read_to_string(app.path().join("history.jsonl")).expect("written");
    assert_eq!(text.lines().count() + 1, count);

    let rebuilt = journal(app.path(), "rebuild");
    assert_eq!(rebuilt.refusal(), (1, "journal".to_owned()));
}

/// A file's mode.
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().expect("it is there").permissions().mode() & 0o777
}

#[test]
fn an_export_is_checked_by_itself_and_every_byte_of_it_counts() {
    let app = tempfile::tempdir().expect("a directory");
    let server = filled(app.path());
    let exported = journal(app.path(), "export --out all.log");
    assert_eq!((exported.code, exported.text().as_str()), (0, ""));
    assert_eq!(mode(&app.path().join("all.log")), 0o600, "a new file");
    // One that is there is its user's, with the mode that it was given.
    let open = app.path().join("open.log");
    std::fs::write(&open, "was there").expect("written");
    let given = mode(&open);
    let exported = journal(app.path(), "export --out open.log");
    assert_eq!((exported.code, mode(&open)), (0, given));
    drop(server);
    // No data directory is needed.
    let elsewhere = tempfile::tempdir().expect("a directory");
    let file = elsewhere.path().join("all.log");
    let whole = std::fs::read(app.path().join("all.log")).expect("readable");
    let check = |bytes: &[u8], flags: &str| {
        std::fs::write(&file, bytes).expect("written");
        g3n(
            &format!("journal verify all.log {flags}"),
            elsewhere.path(),
            &[],
            b"",
        )
    };
    let good = check(&whole, "");
    let report = good.json();
    assert_eq!((good.code, &report["good"]), (0, &json!(true)), "{report}");
    let (position, hash) = (&report["head"]["position"], report["head"]["hash"].as_str());
    assert_eq!(report["entries"], *position);
    let expect = format!("--expect {position}:{}", hash.expect("a hash"));
    assert_eq!(check(&whole, &expect).json()["expected"]["confirmed"], 1);
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut other = whole.clone();
        other[at] ^= 1;
        let checked = check(&other, "");
        assert_eq!(checked.code, 1, "byte {at}: {checked:?}");
    }
    let lines: Vec<_> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    for left_out in [0, 1, lines.len() / 2, lines.len() - 2, lines.len() - 1] {
        let mut other = lines.clone();
        other.remove(left_out);
        let checked = check(&other.concat(), "");
        assert_eq!(checked.code, 1, "line {left_out}: {checked:?}");
    }
    let more = [&whole[..], b"{}\n"].concat();
    assert_eq!(check(&more, "").code, 1);
    let other = check(b"{\"journal_export\":2,\"from\":1}\n", "");
    assert_eq!(other.refusal(), (65, "newer-format".to_owned()));
    assert_eq!(check(b"something else\n", "").code, 1);
}

#[test]
fn a_part_of_the_history_is_checked_from_where_it_begins() {
    let app = tempfile::tempdir().expect("a directory");
    let server = filled(app.path());
    let exported = journal(app.path(), "export --from 3 --until 6 --out part.log");
    assert_eq!(exported.code, 0, "{exported:?}");
    let nothing = journal(app.path(), "export --from 900 --out nothing.log");
    assert_eq!(nothing.refusal(), (2, "usage".to_owned()));
    drop(server);
    let checked = g3n("journal verify part.log", app.path(), &[], b"").json();
    assert_eq!(
        (&checked["good"], &checked["entries"]),
        (&json!(true), &json!(4))
    );
    assert_eq!(checked["head"]["position"], 6);
    // What lies ahead is named by its first entry, and what lies before that is not known.
    let entries = metarecord::journal::replay::replay(&app.path().join("data/journal"));
    let entries = entries
        .expect("readable")
        .map(|entry| entry.expect("sound"));
    let prevs: Vec<_> = entries.map(|entry| entry.header.prev).collect();
    let expect = |position: usize| {
        let line = format!(
            "journal verify part.log --expect {position}:{}",
            prevs[position]
        );
        g3n(&line, app.path(), &[], b"")
    };
    assert_eq!((expect(2).code, expect(5).code), (0, 0));
    let early = expect(1);
    assert_eq!(early.code, 1);
    let what = early.json()["problems"][0]["what"].to_string();
    assert!(what.contains("begins at position 3"), "{what}");
}

#[test]
fn heads_that_were_kept_elsewhere_must_stand_where_they_stood() {
    let app = tempfile::tempdir().expect("a directory");
    let server = filled(app.path());
    let head = journal(app.path(), "head");
    let (position, hash) = (head.json()["position"].clone(), head.json()["hash"].clone());
    let (number, hash) = (
        position.as_u64().expect("a number"),
        hash.as_str().expect("text"),
    );
    let kept = format!(
        "# noted by hand\n{number}:{hash}   # the last one\n\n{}0:{}\n",
        head.text(),
        "0".repeat(64)
    );
    std::fs::write(app.path().join("heads.txt"), kept).expect("written");
    server.put_inline("demo", "later", &json!({}), &[]);
    let good = journal(app.path(), "verify --expect-file heads.txt");
    assert_eq!(good.code, 0, "{good:?}");
    assert_eq!(good.json()["expected"], json!({"heads": 3, "confirmed": 3}));

    let wrong = "ab".repeat(32);
    let line = format!(
        "verify --expect {number}:{wrong} --expect {}:{wrong} --expect 0:{wrong}",
        number + 9
    );
    let refused = journal(app.path(), &line);
    assert_eq!(refused.code, 1);
    let problems = refused.json()["problems"].clone();
    let said = |index: usize| {
        problems[index]["what"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let at = |index: usize| problems[index]["position"].clone();
    assert_eq!(
        [at(0), at(1), at(2)],
        [json!(0), position, json!(number + 9)]
    );
    for index in 0..3 {
        assert!(said(index).contains(&wrong), "{problems}");
    }
    assert!(said(1).contains(hash), "{problems}");
    assert!(
        said(2).contains(&format!("ends at position {}", number + 1)),
        "{problems}"
    );

    for flags in ["--expect 7", "--expect 7:short", "--expect-file absent"] {
        let ran = journal(app.path(), &format!("verify {flags}"));
        assert_eq!(ran.refusal(), (2, "usage".to_owned()), "{flags}");
    }
    std::fs::write(app.path().join("heads.txt"), "1:what\n").expect("written");
    let ran = journal(app.path(), "verify --expect-file heads.txt");
    assert!(ran.code == 2 && ran.stderr.contains("line 1"), "{ran:?}");
}

#[test]
fn verify_and_rebuild_of_a_stopped_server_find_damage() {
    let app = tempfile::tempdir().expect("a directory");
    let mut server = filled(app.path());
    assert_eq!(server.end("TERM"), Some(0));
    let before = journal(app.path(), "verify").json();
    assert_eq!(
        (&before["good"], &before["database"]),
        (&json!(true), &json!("compared"))
    );
    let rebuilt = journal(app.path(), "rebuild").json();
    assert_eq!(rebuilt["entries"], before["entries"]);
    assert_eq!(rebuilt["differing_rows"], 0);

    let path = newest_segment(app.path());
    let mut log = std::fs::read(&path).expect("is there");
    let at = log.len() / 2;
    log[at] ^= 1;
    std::fs::write(&path, log).expect("written");
    let damaged = journal(app.path(), "verify");
    let report = damaged.json();
    assert_eq!((damaged.code, &report["good"]), (1, &json!(false)));
    assert!(report["problems"][0]["position"].is_u64(), "{report}");
    let table = journal(app.path(), "verify --output table");
    assert!(
        table.code == 1
            && table.text().contains("problems")
            && !table.text().contains('{')
            && table.stderr.contains("error: the journal has "),
        "{table:?}"
    );
}

#[test]
fn a_directory_without_a_history_does_not_pass_for_a_sound_one() {
    let app = tempfile::tempdir().expect("a directory");
    for verb in [
        "verify",
        "head",
        "tail",
        "export",
        "rebuild",
        "show --record A1/demo/a",
    ] {
        let ran = journal(app.path(), verb);
        assert_eq!(ran.refusal(), (2, "usage".to_owned()), "{verb}: {ran:?}");
        assert!(!app.path().join("data").exists(), "{verb} made it");
    }
    std::fs::create_dir_all(app.path().join("data/journal")).expect("made");
    assert_eq!(journal(app.path(), "verify").code, 2);
}

#[test]
fn show_says_why_it_shows_nothing() {
    let app = AppState::open(&[PENDING_SHORT]);
    app.put("DEMO", "notes", "n-1");
    let show = |id: &str| {
        app.run(
            &format!("g3n journal show --data-dir data --record DEMO/notes/{id}"),
            &[],
        )
    };
    assert_eq!(show("n-1").code, 0);
    let absent = show("n-2");
    assert_eq!((absent.code, absent.text().as_str()), (5, ""), "{absent:?}");
    assert!(
        absent.stderr.contains("no entry of DEMO/notes/n-2\n"),
        "{absent:?}"
    );
    let vacuum = app.run(
        "g3n ops vacuum-org --orgcode DEMO --reason r --yes --secret-code $CODE",
        &[],
    );
    let id = text(&vacuum.data(), "vacuum_id");
    assert_eq!(app.watched(&id)["status"], "completed");
    let erased = show("n-1");
    assert_eq!((erased.code, erased.text().as_str()), (5, ""), "{erased:?}");
    for part in ["erased", id.as_str(), "the data of DEMO"] {
        assert!(erased.stderr.contains(part), "{erased:?}");
    }
    // Damage is words too.
    let table = app
        .run("g3n journal verify --data-dir data --output table", &[])
        .text();
    assert!(
        table.contains("head.position") && !table.contains('{'),
        "{table}"
    );
}
