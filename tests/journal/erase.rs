//! Erasing: what is covered is gone from every file, everything else stays, and the chain still verifies.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use metarecord::domain::vacuum::{Erased, VacuumEvent};
use metarecord::domain::{Event, StreamId};
use metarecord::journal::memory::MemoryJournal;
use metarecord::journal::verify::verify;
use metarecord::journal::{Append, EraseOrder, Journal, Position};
use sha2::{Digest, Sha256};

use super::support::{all, append, clock, done, small_segments, stream, try_open, with_payload};

const SEGMENT_BYTES: u64 = 8 * 1024;
/// Entries of each of the two streams ahead of the order.
const ENTRIES: u64 = 60;

fn vacuum(expected: u64, event: VacuumEvent) -> Append {
    Append {
        events: vec![Event::Vacuum(event)],
        ..append(StreamId::VACUUM, expected)
    }
}

fn secret(number: u64) -> Vec<u8> {
    format!("secret-{number}-{}", "x".repeat(150)).into_bytes()
}

/// Entries of `gone` and `kept` in turn, then the event that orders. Returns its position.
fn fill(journal: &dyn Journal) -> Position {
    for version in 0..ENTRIES {
        let payload = secret(version);
        match version % 3 {
            0 => done(journal, append("gone", version)),
            _ => done(journal, with_payload("gone", version, &payload)),
        };
        done(journal, with_payload("kept", version, b"kept"));
    }
    let started = VacuumEvent::Started {
        vacuum_id: "v".to_owned(),
        services: Vec::new(),
        held: Vec::new(),
        erases: None,
    };
    done(journal, vacuum(0, started))
}

fn order(by: Position) -> Arc<EraseOrder> {
    Arc::new(EraseOrder {
        covers: Box::new(|stream| stream == "gone"),
        by,
        plan: None,
    })
}

fn erase(journal: &dyn Journal, by: Position) -> Vec<Position> {
    let erased = journal.erase(order(by), &mut |_, _| ()).unwrap();
    journal.erase_index(&erased, &mut |_, _| ()).unwrap();
    erased
}

/// What both journals promise.
fn check(journal: &dyn Journal, by: Position) {
    // What was read before stays in memory, and must not be given out afterwards.
    for position in 1..by {
        let payload = journal.payload(position).unwrap();
        assert_eq!(payload.is_some(), position % 6 != 1, "position {position}");
    }
    for _ in 0..2 {
        let erased = erase(journal, by);
        assert_eq!(
            erased,
            (0..ENTRIES)
                .map(|number| 2 * number + 1)
                .collect::<Vec<_>>()
        );
    }
    let entries = all(journal);
    assert_eq!(entries.len() as u64, by);
    for entry in &entries {
        let position = entry.header.position;
        let gone = position % 2 == 1 && position < by;
        assert_eq!(entry.body.is_none(), gone, "position {position}");
        assert_eq!(entry.erased_by, gone.then_some(by));
        let payload = journal.payload(position).unwrap();
        assert_eq!(
            payload.is_some(),
            position.is_multiple_of(2),
            "position {position}"
        );
    }
    assert_eq!(journal.version(&stream("gone")).unwrap(), 0);
    assert_eq!(journal.stream(&stream("gone"), 1, 10).unwrap(), []);
    assert_eq!(journal.version(&stream("kept")).unwrap(), ENTRIES);
    assert_eq!(journal.stream(&stream("kept"), 7, 2).unwrap().len(), 2);
    done(journal, append("gone", 0));
    assert_eq!(journal.version(&stream("gone")).unwrap(), 1);
}

#[test]
fn both_journals_erase_the_same() {
    let memory = MemoryJournal::new(clock());
    let by = fill(&memory);
    check(&memory, by);
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = try_open(dir.path(), small_segments(SEGMENT_BYTES)).unwrap();
    let by = fill(&journal);
    check(&journal, by);
    drop(journal);
    assert!(!is_anywhere(dir.path(), "secret-"));
    let (journal, notices) = try_open(dir.path(), small_segments(SEGMENT_BYTES)).unwrap();
    assert_eq!(notices, Vec::<String>::new());
    assert_eq!(journal.version(&stream("gone")).unwrap(), 1);
}

/// Whether a text is in any file, gzipped or not, by programs of others.
fn is_anywhere(dir: &Path, text: &str) -> bool {
    let found = |command: &str| {
        let output = Command::new("sh")
            .args(["-c", command, "sh"])
            .arg(dir)
            .arg(text)
            .output();
        !output.expect("sh runs").stdout.is_empty()
    };
    found("grep -r -a -l -e \"$2\" \"$1\"")
        || found(
            "find \"$1\" -name '*.gz' -exec sh -c 'gzip -dc \"$1\" | grep -a -e \"$2\"' sh {} \"$2\" \\;",
        )
}

#[test]
fn erased_bytes_are_in_no_file_while_others_write() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = try_open(dir.path(), small_segments(SEGMENT_BYTES)).unwrap();
    let by = fill(&journal);
    let stop = AtomicBool::new(false);
    let (erased, written) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut version = 0;
            loop {
                done(&journal, with_payload("meanwhile", version, b"more"));
                version += 1;
                for position in [2, by - 1] {
                    assert_eq!(journal.payload(position).unwrap().unwrap(), "kept");
                }
                assert_eq!(
                    journal.stream(&stream("kept"), 1, 100).unwrap().len() as u64,
                    ENTRIES
                );
                for entry in journal.stream(&stream("gone"), 1, 3).unwrap() {
                    assert!(entry.body.is_none_or(|body| body.stream == stream("gone")));
                }
                if stop.load(Ordering::Relaxed) {
                    return version;
                }
            }
        });
        let erased = erase(&journal, by);
        stop.store(true, Ordering::Relaxed);
        (erased, writer.join().unwrap())
    });
    assert!(is_anywhere(dir.path(), "meanwhile"));
    assert!(!is_anywhere(dir.path(), "secret-"));
    assert!(!is_anywhere(dir.path(), "\"gone\""));
    let mut hash = Sha256::new();
    erased
        .iter()
        .for_each(|position| hash.update(position.to_be_bytes()));
    let told = Erased {
        entries: erased.len() as u64,
        positions_sha256: hex::encode(hash.finalize()),
    };
    let completed = |erased| VacuumEvent::Completed {
        vacuum_id: "v".to_owned(),
        erased: Some(erased),
    };
    done(&journal, vacuum(1, completed(told.clone())));
    drop(journal);
    let report = verify(dir.path(), true, &mut |_, _| ()).unwrap();
    assert_eq!(report.problems, []);
    // The database is made again from a log with gaps in its streams.
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    let (journal, _) = try_open(dir.path(), small_segments(SEGMENT_BYTES)).unwrap();
    assert_eq!(journal.version(&stream("gone")).unwrap(), 0);
    assert_eq!(journal.version(&stream("meanwhile")).unwrap(), written);
    // A vacuum that says another number than was erased is found out.
    let other = Erased {
        entries: told.entries - 1,
        ..told
    };
    done(&journal, vacuum(2, completed(other)));
    drop(journal);
    let report = verify(dir.path(), true, &mut |_, _| ()).unwrap();
    assert!(
        report.problems[0].what.contains("erased 59 entries"),
        "{:?}",
        report.problems
    );
}

#[test]
fn erasing_without_a_vacuum_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = try_open(dir.path(), small_segments(SEGMENT_BYTES)).unwrap();
    let by = fill(&journal);
    let erased = erase(&journal, by - 1);
    assert_eq!(erased.len() as u64, ENTRIES);
    drop(journal);
    let report = verify(dir.path(), true, &mut |_, _| ()).unwrap();
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    assert!(report.problems[0].what.contains("orders no erasure"));
}
