//! Killed processes: nothing acknowledged is missing, and the journal opens again.

use std::fs;
use std::io::Write;

use metarecord::clock::Clock;
use metarecord::domain::Timestamp;
use metarecord::journal::SledJournal;
use metarecord::journal::replay::replay;
use metarecord::journal::verify::verify;
use metarecord::journal::{Journal, Outcome};

use super::support::{
    all, append, clock, copy, done, files, open, outcome, power_was_cut, small_segments, stream,
    try_open, wait_until_sealed, with_payload,
};

#[test]
fn a_closed_journal_opens_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    done(&journal, with_payload("a", 0, b"x"));
    done(&journal, append("a", 1));
    let (head, entries) = (journal.head(), all(&journal));
    journal.close().unwrap();
    journal.close().unwrap();
    assert_eq!(
        outcome(journal.append(append("a", 2))),
        Outcome::Unavailable
    );
    assert_eq!(all(&journal), entries);
    drop(journal);
    let (journal, notices) = open(dir.path());
    assert_eq!(notices, Vec::<String>::new());
    assert_eq!((journal.head(), all(&journal)), (head, entries));
    assert_eq!(journal.payload(1).unwrap().unwrap(), "x");
    assert_eq!(done(&journal, append("a", 2)), 3);
}

#[test]
fn a_journal_is_open_once() {
    let dir = tempfile::tempdir().unwrap();
    let (_journal, _) = open(dir.path());
    assert!(try_open(dir.path(), small_segments(1024)).is_err());
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("state.json"),
        r#"{"format_version":2,"new":1}"#,
    )
    .unwrap();
    let Err(error) = try_open(dir.path(), small_segments(1024)) else {
        panic!("it opened");
    };
    assert!(error.to_string().contains("format 2"), "{error}");
    assert!(replay(dir.path()).is_err());
}

/// A killed journal of three entries, the last with a payload.
fn killed() -> (tempfile::TempDir, u64) {
    let (dir, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (journal, _) = open(dir.path());
    done(&journal, append("a", 0));
    done(&journal, append("a", 1));
    let plain = dir.path().join(&files(dir.path(), ".jsonl")[0]);
    let length = fs::metadata(plain).unwrap().len();
    done(&journal, with_payload("a", 2, b"some\ncontent\n"));
    copy(dir.path(), killed.path());
    (killed, length)
}

#[test]
fn a_torn_last_entry_is_cut_off_at_any_byte() {
    let (killed, two) = killed();
    fs::remove_dir_all(killed.path().join("sled")).unwrap();
    let name = &files(killed.path(), ".jsonl")[0];
    let whole = fs::read(killed.path().join(name)).unwrap();
    for power_cut in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        copy(killed.path(), dir.path());
        for length in two as usize..=whole.len() {
            if power_cut {
                power_was_cut(dir.path());
            } else {
                // As the killed process left it; this very test closes in order.
                copy_marker(killed.path(), dir.path());
            }
            let _ = fs::remove_dir_all(dir.path().join("sled"));
            fs::write(dir.path().join(name), &whole[..length]).unwrap();
            let kept = if length == whole.len() { 3 } else { 2 };
            let read = replay(dir.path()).unwrap();
            assert_eq!(read.map(Result::unwrap).count(), kept, "byte {length}");
            let (journal, notices) = open(dir.path());
            let torn = length > two as usize && length < whole.len();
            assert_eq!(!notices.is_empty(), torn, "byte {length}: {notices:?}");
            assert_eq!(all(&journal).len(), kept, "byte {length}");
            if length % 64 == 0 {
                done(&journal, append("a", kept as u64));
            }
        }
    }
}

fn copy_marker(from: &std::path::Path, to: &std::path::Path) {
    fs::copy(from.join("state.json"), to.join("state.json")).unwrap();
}

#[test]
fn a_deleted_database_is_rebuilt_from_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = try_open(dir.path(), small_segments(4096)).unwrap();
    for version in 0..50 {
        done(&journal, with_payload("a", version, &[version as u8; 100]));
    }
    let entries = all(&journal);
    drop(journal);
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    let mut told = Vec::new();
    let (journal, _) = SledJournal::open(
        dir.path(),
        small_segments(4096),
        clock(),
        &mut |done, total| {
            told.push((done, total));
        },
    )
    .unwrap();
    assert_eq!(told.last(), Some(&(50, 50)));
    assert_eq!(all(&journal), entries);
    assert_eq!(journal.version(&stream("a")).unwrap(), 50);
    assert_eq!(journal.payload(8).unwrap().unwrap(), [7; 100].as_slice());
}

#[test]
fn a_database_behind_the_log_catches_up() {
    let (dir, behind) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (journal, _) = open(dir.path());
    done(&journal, append("a", 0));
    drop(journal);
    copy(&dir.path().join("sled"), &behind.path().join("sled"));
    let (journal, _) = open(dir.path());
    done(&journal, with_payload("a", 1, b"late"));
    drop(journal);
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    copy(&behind.path().join("sled"), &dir.path().join("sled"));
    let (journal, notices) = open(dir.path());
    assert_eq!(notices, Vec::<String>::new());
    assert_eq!(journal.version(&stream("a")).unwrap(), 2);
    assert_eq!(journal.payload(2).unwrap().unwrap(), "late");
}

#[test]
fn a_database_ahead_of_the_log_is_set_aside() {
    let (killed, two) = killed();
    let marker = fs::read(killed.path().join("state.json")).unwrap();
    drop(open(killed.path()));
    fs::write(killed.path().join("state.json"), marker).unwrap();
    let name = &files(killed.path(), ".jsonl")[0];
    let whole = fs::read(killed.path().join(name)).unwrap();
    fs::write(killed.path().join(name), &whole[..two as usize]).unwrap();
    let (journal, notices) = open(killed.path());
    assert!(notices[0].contains("sled.broken-"), "{notices:?}");
    assert_eq!(journal.version(&stream("a")).unwrap(), 2);
    assert_eq!(journal.payload(3).unwrap(), None);
}

#[test]
fn a_database_of_another_journal_is_set_aside() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for path in [dir.path(), other.path()] {
        let (journal, _) = open(path);
        done(&journal, append("a", 0));
    }
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    copy(&other.path().join("sled"), &dir.path().join("sled"));
    let (journal, notices) = open(dir.path());
    assert!(notices[0].contains("disagrees"), "{notices:?}");
    assert_eq!(all(&journal).len(), 1);
}

#[test]
fn a_power_cut_rebuilds_the_database_and_keeps_one_copy() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    done(&journal, append("a", 0));
    drop(journal);
    for millis in [1, 2] {
        power_was_cut(dir.path());
        let clock = Clock::manual(Timestamp::from_millis(millis));
        let (journal, notices) =
            SledJournal::open(dir.path(), small_segments(4096), clock, &mut |_, _| ()).unwrap();
        assert_eq!(notices.len(), 1, "{notices:?}");
        assert_eq!(all(&journal).len(), 1);
    }
    assert_eq!(files(dir.path(), "sled.broken-1"), Vec::<String>::new());
    assert_eq!(files(dir.path(), "sled.broken-2").len(), 1);
}

#[test]
fn interrupted_sealing_is_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let plain = tempfile::tempdir().unwrap();
    let (journal, _) = try_open(dir.path(), small_segments(1024 * 1024)).unwrap();
    for version in 0..20 {
        done(&journal, append("a", version));
    }
    copy(dir.path(), plain.path());
    drop(journal);
    let first = files(dir.path(), ".jsonl").remove(0);
    for leftover in ["gz", "tmp", "both"] {
        let dir = tempfile::tempdir().unwrap();
        copy(plain.path(), dir.path());
        let (journal, _) = try_open(dir.path(), small_segments(1)).unwrap();
        done(&journal, append("a", 20));
        wait_until_sealed(dir.path());
        drop(journal);
        // Put the plain file back as if the crash had come before it was removed.
        fs::copy(plain.path().join(&first), dir.path().join(&first)).unwrap();
        let sealed = dir.path().join(format!("{first}.gz"));
        let temporary = dir.path().join(format!("{first}.gz.tmp"));
        match leftover {
            "gz" => fs::write(&sealed, b"half a gz").unwrap(),
            "tmp" => fs::rename(&sealed, &temporary).unwrap(),
            _ => {}
        }
        let (journal, notices) = try_open(dir.path(), small_segments(1)).unwrap();
        assert_eq!(notices, Vec::<String>::new());
        assert_eq!(all(&journal).len(), 21, "{leftover}");
        wait_until_sealed(dir.path());
        assert_eq!(all(&journal).len(), 21, "{leftover}");
        drop(journal);
        assert_eq!(
            verify(dir.path(), true, &mut |_, _| ()).unwrap().problems,
            []
        );
    }
}

#[test]
fn a_process_killed_while_it_works_leaves_a_journal_that_opens() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = try_open(dir.path(), small_segments(8192)).unwrap();
    for round in 0..10_u64 {
        let pending: Vec<_> = (0..30)
            .map(|n| journal.append(with_payload(&format!("s{n}"), round, &[1; 200])))
            .collect();
        let position = match outcome(pending.into_iter().next().unwrap()) {
            Outcome::Appended { position, .. } => position,
            other => panic!("{other:?}"),
        };
        let killed = tempfile::tempdir().unwrap();
        // The log first: the database is never ahead of it.
        copy(&dir.path().join("sled"), &killed.path().join("sled"));
        for name in files(dir.path(), "") {
            if name != "sled" && name != "lock" && !name.ends_with(".tmp") {
                let _ = fs::copy(dir.path().join(&name), killed.path().join(&name));
            }
        }
        // Copying is not a snapshot: a segment sealed meanwhile may have been missed under both names.
        let Ok((copy, _)) = try_open(killed.path(), small_segments(8192)) else {
            continue;
        };
        assert!(copy.head().position >= position);
        assert_eq!(all(&copy).len() as u64, copy.head().position);
    }
}

#[test]
fn a_wrong_byte_before_the_last_group_is_always_damage() {
    let (killed, two) = killed();
    power_was_cut(killed.path());
    let path = killed.path().join(&files(killed.path(), ".jsonl")[0]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[two as usize - 20] ^= 1;
    fs::File::create(&path).unwrap().write_all(&bytes).unwrap();
    let Err(error) = try_open(killed.path(), small_segments(1024)) else {
        panic!("it opened");
    };
    assert!(error.to_string().contains("position 2"), "{error}");
}
