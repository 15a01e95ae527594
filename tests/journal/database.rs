//! The database next to the log: long streams, contents that only the log has, and what is made again when it does not fit.

use std::fs;
use std::path::Path;

use metarecord::journal::memory::MemoryJournal;
use metarecord::journal::verify::verify;
use metarecord::journal::{Journal, Position};

use super::support::{
    all, append, clock, copy, done, files, open, small_segments, stream, try_open,
    wait_until_sealed, with_payload,
};

/// More versions than lie between two marks of a stream, three times over.
const VERSIONS: u64 = 210;

/// Two streams, entry by entry, and a third that is short.
fn fill(journal: &dyn Journal) {
    for version in 0..VERSIONS {
        done(journal, append("long", version));
        if version % 3 == 0 {
            done(journal, with_payload("other", version / 3, b"{\"a\":1}"));
        }
    }
    done(journal, append("long/er", 0));
}

fn problems(dir: &Path) -> Vec<String> {
    let report = verify(dir, true, &mut |_, _| ()).unwrap();
    let problems = report.problems.into_iter();
    problems.map(|problem| problem.what).collect()
}

#[test]
fn a_long_stream_is_read_from_any_version_on() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let memory = MemoryJournal::new(clock());
    fill(&journal);
    fill(&memory);
    let versions = |journal: &dyn Journal, from, limit| -> Vec<(u64, Position)> {
        let entries = journal.stream(&stream("long"), from, limit).unwrap();
        let bodies = entries.iter().map(|entry| {
            let body = entry.body.as_ref().unwrap();
            (body.version, entry.header.position)
        });
        bodies.collect()
    };
    for from in [
        0,
        1,
        2,
        63,
        64,
        65,
        127,
        128,
        129,
        192,
        193,
        VERSIONS,
        VERSIONS + 1,
    ] {
        for limit in [0, 1, 2, 63, 64, 65, 1_000] {
            let read = versions(&journal, from, limit);
            assert_eq!(read, versions(&memory, from, limit), "{from}, {limit}");
            let last = VERSIONS.min(from.max(1) + limit as u64 - u64::from(limit > 0));
            let expected = if limit == 0 {
                0
            } else {
                (last + 1).saturating_sub(from.max(1))
            };
            assert_eq!(read.len() as u64, expected, "{from}, {limit}");
        }
    }
    assert_eq!(journal.version(&stream("long")).unwrap(), VERSIONS);
    drop(journal);
    assert_eq!(problems(dir.path()), Vec::<String>::new());
}

#[test]
fn content_is_read_from_the_log_plain_or_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = try_open(dir.path(), small_segments(4 * 1024)).unwrap();
    let payload = |number: u64| format!("{{\"number\":{number},\"text\":\"{}\"}}", "x".repeat(200));
    let positions: Vec<_> = (0..60)
        .map(|number| {
            done(&journal, append("between", number));
            done(
                &journal,
                with_payload("a", number, payload(number).as_bytes()),
            )
        })
        .collect();
    let check = |journal: &dyn Journal| {
        for (number, position) in (0..).zip(&positions) {
            let read = journal.payload(*position).unwrap();
            assert_eq!(
                read.as_deref(),
                Some(payload(number).as_bytes()),
                "{number}"
            );
            assert_eq!(journal.payload(*position - 1).unwrap(), None);
        }
    };
    check(&journal);
    wait_until_sealed(dir.path());
    check(&journal);
    drop(journal);
    assert_eq!(problems(dir.path()), Vec::<String>::new());
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    let (journal, _) = try_open(dir.path(), small_segments(4 * 1024)).unwrap();
    check(&journal);
}

#[test]
fn content_read_from_the_log_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let position = done(&journal, with_payload("a", 0, b"{\"whole\":true}"));
    let path = dir.path().join(files(dir.path(), ".jsonl").remove(0));
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replace("\"whole\":true", "\"whole\":fals")).unwrap();
    let error = journal.payload(position).unwrap_err().to_string();
    assert!(error.contains("digest"), "{error}");
}

#[test]
fn compaction_of_the_database_in_use_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    fill(&journal);
    let before = all(&journal);
    let mut rows = 0;
    assert!(!journal.compact(&mut |_| false).unwrap(), "broken off");
    assert!(
        journal
            .compact(&mut |done| {
                rows = done;
                true
            })
            .unwrap()
    );
    assert!(rows > 0);
    let sizes = journal.sizes().unwrap();
    assert!(
        sizes.compacted > 0 && sizes.now >= sizes.compacted,
        "{sizes:?}"
    );
    assert_eq!(
        done(&journal, append("long", VERSIONS)),
        before.len() as u64 + 1
    );
    assert_eq!(all(&journal)[..before.len()], before);
    drop(journal);
    assert_eq!(problems(dir.path()), Vec::<String>::new());
}

#[test]
fn bad_offset_files_are_rebuilt() {
    let old = tempfile::tempdir().unwrap();
    let (journal, _) = open(old.path());
    done(&journal, append("a", 0));
    drop(journal);
    let dir = tempfile::tempdir().unwrap();
    copy(old.path(), dir.path());
    let (journal, _) = open(dir.path());
    fill(&journal);
    let entries = all(&journal);
    drop(journal);
    let places = dir.path().join("sled/places");
    let whole = fs::read(&places).unwrap();
    let mut swapped = whole.clone();
    swapped[64..128].copy_from_slice(&whole[128..192]);
    let last = whole.len() - 64;
    for (what, bytes) in [
        ("missing", Vec::new()),
        ("behind", fs::read(old.path().join("sled/places")).unwrap()),
        ("a row short", whole[..last].to_vec()),
        (
            "of another form",
            [b"metarecord places 2\n", &whole[20..]].concat(),
        ),
    ] {
        fs::write(&places, &bytes).unwrap();
        let (journal, notices) = open(dir.path());
        assert!(
            notices[0].contains("renamed to sled.broken-"),
            "{what}: {notices:?}"
        );
        assert_eq!(all(&journal), entries, "{what}");
        drop(journal);
        assert_eq!(problems(dir.path()), Vec::<String>::new(), "{what}");
    }
    // Only an audit reads all rows of a journal that was closed in order.
    fs::write(&places, &swapped).unwrap();
    assert!(problems(dir.path())[0].contains("offset of 1 is damaged"));
    let (journal, notices) = open(dir.path());
    assert_eq!(notices, Vec::<String>::new());
    assert!(journal.read(1, 1).is_err());
    assert_eq!(journal.read(2, 1).unwrap(), entries[1..2]);
    drop(journal);
    let (journal, notices) = open(dir.path());
    assert!(notices[0].contains("offset of 1 is damaged"), "{notices:?}");
    assert_eq!(all(&journal), entries);
}

#[test]
fn rows_left_ahead_by_a_kill_are_caught_up() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    for version in 0..80 {
        done(&journal, with_payload("a", version, &[version as u8; 9]));
    }
    drop(journal);
    let behind = tempfile::tempdir().unwrap();
    copy(&dir.path().join("sled/1"), behind.path());
    let (journal, _) = open(dir.path());
    for version in 80..150 {
        done(&journal, with_payload("a", version, &[version as u8; 9]));
        done(&journal, append("b", version - 80));
    }
    let entries = all(&journal);
    drop(journal);
    // sled's rows are those of before, and the places all there.
    let sled = dir.path().join("sled/1");
    fs::remove_dir_all(&sled).unwrap();
    copy(behind.path(), &sled);
    let (journal, notices) = open(dir.path());
    assert_eq!(notices, Vec::<String>::new());
    assert_eq!(all(&journal), entries);
    assert_eq!(journal.version(&stream("a")).unwrap(), 150);
    assert_eq!(journal.stream(&stream("a"), 1, 999).unwrap().len(), 150);
    drop(journal);
    assert_eq!(problems(dir.path()), Vec::<String>::new());
}

#[test]
fn a_database_that_lacks_a_stream_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    fill(&journal);
    let entries = all(&journal);
    drop(journal);
    let database = sled::Config::new().path(dir.path().join("sled/1"));
    let database = database.open().unwrap();
    let tips = database.open_tree("tips").unwrap();
    let key = [b"other\0".as_slice(), &[0xff; 8]].concat();
    assert!(tips.remove(key).unwrap().is_some());
    database.flush().unwrap();
    drop((tips, database));
    let state = dir.path().join("state.json");
    let closed = fs::read_to_string(&state).unwrap();
    assert!(closed.contains("\"clean\":true"));
    fs::write(&state, closed.replace("\"clean\":true", "\"clean\":false")).unwrap();
    let (journal, notices) = open(dir.path());
    assert!(notices[0].contains("it lacks streams"), "{notices:?}");
    assert_eq!(journal.version(&stream("other")).unwrap(), VERSIONS / 3);
    assert_eq!(all(&journal), entries);
}
