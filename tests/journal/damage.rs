//! Wrong bytes: told with their place, and never answered as if they were right.

use std::fs;
use std::path::Path;

use metarecord::domain::Timestamp;
use metarecord::journal::SledJournal;
use metarecord::journal::entry::{NO_HASH, Place, encode};
use metarecord::journal::replay::replay;
use metarecord::journal::verify::{Report, verify};
use metarecord::journal::{Entry, Journal};

use super::support::{
    all, append, clock, copy, done, files, small_segments, stream, try_open, wait_until_sealed,
    with_payload,
};
use crate::support::dice::Dice;

const SEGMENT_BYTES: u64 = 8 * 1024;

/// A journal closed in order, with sealed segments and an open one, and what it holds.
fn journal() -> (tempfile::TempDir, Vec<Entry>) {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = try_open(dir.path(), small_segments(SEGMENT_BYTES)).unwrap();
    for version in 0..40 {
        done(&journal, append("a", version));
        done(&journal, with_payload("b", version, &[version as u8; 50]));
    }
    wait_until_sealed(dir.path());
    let entries = all(&journal);
    drop(journal);
    (dir, entries)
}

fn report(dir: &Path, database: bool) -> Report {
    verify(dir, database, &mut |_, _| ()).unwrap()
}

#[test]
fn a_whole_journal_has_no_problems() {
    let (dir, entries) = journal();
    let report = report(dir.path(), true);
    assert_eq!(report.problems, []);
    assert_eq!(report.unfinished, None);
    assert_eq!(report.entries, 80);
    assert_eq!(
        report.segments as usize,
        files(dir.path(), ".jsonl.gz").len() + 1
    );
    assert!(report.segments > 3);
    assert_eq!(report.head.position, 80);
    let replayed: Vec<_> = replay(dir.path()).unwrap().map(Result::unwrap).collect();
    let bare: Vec<_> = replayed
        .iter()
        .cloned()
        .map(|entry| Entry {
            payload: None,
            ..entry
        })
        .collect();
    assert_eq!(bare, entries);
    assert_eq!(replayed[1].payload.as_deref(), Some([0; 50].as_slice()));
}

/// Writes a log of one plain segment, whose chain and digests are sound, with entries of one stream of these versions.
fn sound_chain(dir: &Path, versions: &[u64]) {
    let (mut bytes, mut prev) = (Vec::new(), NO_HASH);
    for (position, version) in (1..).zip(versions) {
        let place = Place {
            position,
            version: *version,
            recorded_at: Timestamp::from_millis(1_700_000_000_000),
            prev,
            salt: [7; 16],
        };
        prev = encode(&mut bytes, append("a", version - 1), place)
            .unwrap()
            .hash;
    }
    fs::write(dir.join("00000000000000000001.jsonl"), bytes).unwrap();
}

#[test]
fn gaps_in_stream_versions_are_damage() {
    for (versions, wrong) in [
        (&[1, 2, 3][..], None),
        (&[1, 2, 4], Some((3, "a has version 4 after 2"))),
        (&[1, 2, 2], Some((3, "a has version 2 after 2"))),
        (&[1, 3, 4], Some((2, "a has version 3 after 1"))),
    ] {
        let dir = tempfile::tempdir().unwrap();
        sound_chain(dir.path(), versions);
        let report = report(dir.path(), false);
        let found = report.problems.first();
        let found = found.map(|problem| (problem.position, problem.what.as_str()));
        assert_eq!(found, wrong, "{versions:?}");
    }
}

#[test]
fn replay_can_be_limited_to_a_range_and_a_stream() {
    let (dir, entries) = journal();
    let positions = |replay: metarecord::journal::replay::Replay| -> Vec<u64> {
        replay.map(|entry| entry.unwrap().header.position).collect()
    };
    let open = || replay(dir.path()).unwrap();
    assert_eq!(positions(open().from(38).until(41)), [38, 39, 40, 41]);
    assert_eq!(positions(open().stream(stream("b")).until(6)), [2, 4, 6]);
    assert!(positions(open().from(81)).is_empty());
    let time = entries[0].header.recorded_at;
    assert_eq!(positions(open().as_of(time)).len(), 80);
    assert!(positions(open().as_of(time.plus_millis(-1))).is_empty());
}

/// Flips bytes of one file and checks that each is told, with the file and a place near it.
fn flip(dir: &Path, name: &str, entries: &[Entry], sealed: bool) {
    let path = dir.join(name);
    let whole = fs::read(&path).unwrap();
    let step = (whole.len() / 60).max(1);
    let ends = [0, 1, whole.len() - 2, whole.len() - 1];
    for at in ends.into_iter().chain((0..whole.len()).step_by(step)) {
        let mut bytes = whole.clone();
        bytes[at] ^= if at % 2 == 0 { 0xff } else { 0x01 };
        fs::write(&path, &bytes).unwrap();
        let report = report(dir, false);
        let place = format!("{name} byte {at}");
        assert!(!report.problems.is_empty(), "{place}: not reported");
        let problem = &report.problems[0];
        if report.problems.iter().all(|problem| problem.file != name) {
            // Only the last header's time can be wrong by itself; the marker has its hash.
            assert_eq!(problem.file, "state.json", "{place}: {problem:?}");
        } else if !sealed {
            let distance = (problem.byte as usize).abs_diff(at);
            assert!(distance < 1200, "{place}: {problem:?}");
        }
        for (read, entry) in replay(dir).unwrap().zip(entries) {
            let Ok(read) = read else { break };
            let last = read.header.position == 80;
            assert!(read.body == entry.body, "{place}: a wrong entry was read");
            assert!(last || read.header == entry.header, "{place}");
        }
    }
    fs::write(&path, &whole).unwrap();
}

#[test]
fn a_flipped_byte_of_the_open_segment_is_reported_with_its_place() {
    let (dir, entries) = journal();
    let name = files(dir.path(), ".jsonl").remove(0);
    flip(dir.path(), &name, &entries, false);
}

#[test]
fn a_flipped_byte_of_a_sealed_segment_is_reported_with_its_place() {
    let (dir, entries) = journal();
    let name = files(dir.path(), ".jsonl.gz").remove(1);
    flip(dir.path(), &name, &entries, true);
}

#[test]
fn reading_damage_is_an_error_and_never_a_wrong_entry() {
    let (dir, entries) = journal();
    let (journal, _) = try_open(dir.path(), small_segments(1024 * 1024)).unwrap();
    for name in [
        files(dir.path(), ".jsonl").remove(0),
        files(dir.path(), ".jsonl.gz").remove(1),
    ] {
        let path = dir.path().join(&name);
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by((whole.len() / 40).max(1)) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::write(&path, &bytes).unwrap();
            for entry in &entries {
                let position = entry.header.position;
                if let Ok(read) = journal.read(position, 1) {
                    assert_eq!(read, std::slice::from_ref(entry), "{name} byte {at}");
                }
            }
            if let Ok(read) = journal.stream(&stream("a"), 1, 99) {
                assert_eq!(read.len(), 40);
                assert!(read.iter().all(|entry| entries.contains(entry)));
            }
        }
        fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn a_flipped_byte_in_the_last_segment_is_refused_at_open() {
    let (dir, _) = journal();
    let name = files(dir.path(), ".jsonl").remove(0);
    let path = dir.path().join(name);
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by((whole.len() / 40).max(1)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(
            try_open(dir.path(), small_segments(SEGMENT_BYTES)).is_err(),
            "byte {at}"
        );
        assert_eq!(fs::read(&path).unwrap(), bytes, "damage is left as it is");
    }
}

#[test]
fn a_missing_segment_is_reported() {
    let (dir, _) = journal();
    let names = files(dir.path(), ".jsonl.gz");
    fs::remove_file(dir.path().join(&names[1])).unwrap();
    let report = report(dir.path(), false);
    assert_eq!(report.problems[0].file, names[2]);
    assert!(replay(dir.path()).unwrap().any(|entry| entry.is_err()));
}

#[test]
fn a_lost_end_of_a_closed_journal_is_refused() {
    let (dir, _) = journal();
    let path = dir.path().join(files(dir.path(), ".jsonl").remove(0));
    fs::write(path, b"").unwrap();
    assert!(try_open(dir.path(), small_segments(SEGMENT_BYTES)).is_err());
    assert!(!report(dir.path(), false).problems.is_empty());
}

#[test]
fn database_bit_flips_are_repaired_or_reported() {
    flip_database("sled/1/db");
}

#[test]
fn offset_file_bit_flips_are_repaired_or_reported() {
    flip_database("sled/places");
}

fn flip_database(name: &str) {
    let (whole, entries) = journal();
    // Opened once more, sled has a snapshot and takes what is below it as read.
    drop(try_open(whole.path(), small_segments(SEGMENT_BYTES)).unwrap());
    let database = whole.path().join(name);
    // Most of the file is unused and zero; a flip there would prove nothing.
    let used: Vec<usize> = (0_usize..)
        .zip(fs::read(database).unwrap())
        .filter(|(_, byte)| *byte != 0)
        .map(|(at, _)| at)
        .collect();
    let mut dice = Dice::new(11);
    let mut noticed = 0;
    for round in 0..60 {
        let dir = tempfile::tempdir().unwrap();
        copy(whole.path(), dir.path());
        let path = dir.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        let at = used[dice.below(used.len() as u64) as usize];
        bytes[at] ^= 1 << dice.below(8);
        fs::write(&path, &bytes).unwrap();
        let place = format!("round {round}, byte {at}");
        let (mut caught_up, options) = (0, small_segments(SEGMENT_BYTES));
        let (journal, notices) =
            SledJournal::open(dir.path(), options, clock(), &mut |_, _| caught_up = 1)
                .unwrap_or_else(|error| panic!("{place}: {error}"));
        noticed += notices.len() + caught_up;
        let mut failed = false;
        for entry in &entries {
            let position = entry.header.position;
            match journal.read(position, 1) {
                Ok(read) => assert_eq!(read, std::slice::from_ref(entry), "{place}"),
                Err(_) => failed = true,
            }
            if let Ok(payload) = journal.payload(position) {
                let named = entry.body.as_ref().unwrap().payload.is_some();
                assert_eq!(payload.is_some(), named, "{place}");
                let right = vec![(position / 2 - u64::from(named)) as u8; 50];
                assert!(payload.is_none_or(|payload| payload == right), "{place}");
            }
        }
        for name in ["a", "b"] {
            if let Ok(version) = journal.version(&stream(name)) {
                assert_eq!(version, 40, "{place}");
            }
        }
        drop(journal);
        let (journal, notices) = try_open(dir.path(), small_segments(SEGMENT_BYTES)).unwrap();
        assert_eq!(
            failed,
            !notices.is_empty(),
            "{place}: a failed read is repaired"
        );
        assert_eq!(all(&journal), entries, "{place}");
        noticed += notices.len();
    }
    assert!(noticed > 0, "no flip reached the database");
}
