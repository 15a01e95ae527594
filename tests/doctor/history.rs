//! The journal, its end, the clock and the secret code.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use metarecord::clock::Clock;
use metarecord::directory;
use metarecord::domain::Timestamp;
use metarecord::journal::schema::SCHEMAS;
use metarecord::journal::{Options, SledJournal};

use super::AppState;
use crate::journal::support::{append, done, small_segments, wait_until_sealed};
use crate::support::inside::Inside;

/// The newest file of the log.
fn newest(app: &AppState) -> PathBuf {
    let files = fs::read_dir(app.data().join("journal")).expect("readable");
    let logs = files.flatten().map(|entry| entry.path());
    let logs = logs.filter(|path| path.extension().is_some_and(|end| end == "jsonl"));
    logs.max().expect("there is one")
}

#[test]
fn a_marker_that_cannot_be_read_or_is_newer_fails() {
    let app = AppState::served("TERM");
    app.write("data/journal/state.json", "{", 0o600);
    let told = app.ask("--dev");
    told.expect("journal", "fail", "state.json", "restore journal/");
    app.write("data/journal/state.json", r#"{"format_version":9}"#, 0o600);
    let told = app.ask("--dev");
    told.expect("journal", "fail", "9", "the newer g3n");
}

#[test]
fn a_killed_server_leaves_a_warning_and_its_torn_end() {
    let app = AppState::served("KILL");
    let told = app.ask("--dev");
    told.expect_alone(
        "journal",
        "warn",
        "did not end in order",
        "start the server",
    );
    let mut log = OpenOptions::new()
        .append(true)
        .open(newest(&app))
        .expect("there");
    log.write_all(b"{\"header\":{\"position\":")
        .expect("written");
    drop(log);
    let told = app.ask("--dev");
    told.expect(
        "tail",
        "warn",
        "the next start says: ",
        "nothing of this was ever answered",
    );
    assert!(
        told.text("tail", "found").contains("cut off 22 bytes"),
        "{told:?}"
    );
    assert_eq!(told.code, 0, "{told:?}");
}

#[test]
fn a_machine_that_went_down_leaves_a_warning() {
    let app = AppState::served("KILL");
    let state = r#"{"format_version":1,"boot_id":"another","clean":false}"#;
    app.write("data/journal/state.json", state, 0o600);
    let told = app.ask("--dev");
    told.expect_alone("journal", "warn", "went down", "rebuilds its databases");
}

#[test]
fn damage_of_the_newest_entries_fails() {
    let app = AppState::served("TERM");
    let path = newest(&app);
    let good = fs::read(&path).expect("there");
    let mut changed = good.clone();
    let at = changed.len() * 3 / 4;
    changed[at] ^= 1;
    let shorter = good[..good.len() - 1].to_vec();
    // Whole entries, and fewer than the journal was closed with.
    let line_end = good.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    for bytes in [changed, shorter, good[..line_end].to_vec()] {
        fs::write(&path, bytes).expect("written");
        let told = app.ask("--dev");
        told.expect("tail", "fail", "position", "g3n journal verify");
    }
    fs::write(&path, good).expect("written");
    app.ask("--dev").expect("tail", "ok", "hold together", "");
}

/// A directory whose log has several segments, and their files in order.
fn long() -> (AppState, Vec<PathBuf>) {
    let app = AppState::empty();
    let held = directory::open(&app.data(), false, SCHEMAS).expect("made");
    let dir = held.journal();
    let options = small_segments(2_000);
    let (journal, _) =
        SledJournal::open(&dir, options, Clock::system(), &mut |_, _| {}).expect("opened");
    for expected in 0..20 {
        done(&journal, append("a", expected));
    }
    wait_until_sealed(&dir);
    journal.close().expect("closed");
    let files = fs::read_dir(&dir).expect("readable");
    let mut logs: Vec<PathBuf> = files.flatten().map(|entry| entry.path()).collect();
    logs.retain(|path| path.to_string_lossy().contains(".jsonl"));
    logs.sort();
    assert!(logs.len() > 2, "{logs:?}");
    (app, logs)
}

#[test]
fn the_segment_ahead_is_held_against_the_newest() {
    let ((app, logs), (_other, others)) = (long(), long());
    let ahead = &logs[logs.len() - 2];
    app.ask("").expect("tail", "ok", "hold together", "");
    let good = fs::read(ahead).expect("there");
    // Whole, of the same positions, and of another history.
    let same_name = |path: &&PathBuf| path.file_name() == ahead.file_name();
    let foreign = others.iter().find(same_name).expect("both are alike");
    fs::copy(foreign, ahead).expect("copied");
    let told = app.ask("");
    let found = "the previous segment ends at position";
    told.expect("tail", "fail", found, "restore");
    fs::write(ahead, good).expect("written");
    app.ask("").expect("tail", "ok", "hold together", "");
    fs::remove_file(ahead).expect("removed");
    let told = app.ask("");
    told.expect("tail", "fail", found, "restore");
}

#[test]
fn a_clock_that_is_behind_the_journal_fails() {
    let app = AppState::empty();
    // In the year 2096.
    let clock = Clock::manual(Timestamp::from_millis(4_000_000_000_000));
    Inside::start_by(&app.data(), clock, &[]).stop();
    let told = app.ask("--dev");
    told.expect_alone("clock", "fail", "recorded at 2096-", "NTP");
}

#[test]
fn a_secret_code_that_is_not_set_warns() {
    let app = AppState::empty();
    let opened = directory::open(&app.data(), false, SCHEMAS).expect("made");
    let (journal, _) = SledJournal::open(
        &opened.journal(),
        Options::default(),
        Clock::system(),
        &mut |_, _| {},
    )
    .expect("opened");
    journal.close().expect("closed");
    drop((journal, opened));
    for part in ["content", "keys"] {
        fs::create_dir(app.data().join(part)).expect("made");
    }
    app.write("data/keys/signing.key", &"k".repeat(32), 0o600);
    app.write("data/keys/operator.token", "op_", 0o600);
    super::set_mode(&app.data().join("keys"), 0o700);
    let told = app.ask("");
    told.expect_alone("secret-code", "warn", "not set", "g3n ops secret-set");
    told.expect("tail", "ok", "0 entries", "");
}
