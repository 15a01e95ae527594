//! What every journal promises, in memory or on disk.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

use metarecord::clock::Clock;
use metarecord::journal::SledJournal;
use metarecord::journal::memory::MemoryJournal;
use metarecord::journal::{Entry, Health, Journal, Outcome, Sink, SinkError};
use proptest::prelude::{ProptestConfig, prop, proptest};
use proptest::prop_assert_eq;

use super::support::{all, append, clock, done, outcome, small_segments, stream, with_payload};

/// Runs a check against each implementation.
fn each(check: impl Fn(&dyn Journal, &Clock)) {
    let clock = clock();
    check(&MemoryJournal::new(clock.clone()), &clock);
    let dir = tempfile::tempdir().unwrap();
    let options = small_segments(64 * 1024);
    let (journal, notices) =
        SledJournal::open(dir.path(), options, clock.clone(), &mut |_, _| ()).unwrap();
    assert_eq!(notices, Vec::<String>::new());
    check(&journal, &clock);
}

#[test]
fn what_was_appended_is_read_back() {
    each(|journal, clock| {
        assert_eq!(journal.head().position, 0);
        assert_eq!(journal.head().hash, "0".repeat(64));
        assert_eq!(all(journal), Vec::new());
        assert_eq!(done(journal, append("a", 0)), 1);
        clock.advance(5);
        assert_eq!(done(journal, append("a", 1)), 2);
        assert_eq!(done(journal, append("b", 0)), 3);
        let entries = all(journal);
        let positions: Vec<_> = entries.iter().map(|entry| entry.header.position).collect();
        assert_eq!(positions, [1, 2, 3]);
        assert_eq!(entries[0].header.prev, "0".repeat(64));
        let body = entries[1].body.as_ref().unwrap();
        let wanted = append("a", 1);
        assert_eq!(
            (&body.stream, body.version, &body.events, &body.origin),
            (&wanted.stream, 2, &wanted.events, &wanted.origin)
        );
        assert_eq!(
            entries[1].header.recorded_at.millis() - entries[0].header.recorded_at.millis(),
            5
        );
        assert_eq!(journal.read(2, 1).unwrap(), entries[1..2]);
        assert_eq!(journal.read(4, 9).unwrap(), []);
        assert_eq!(journal.read(1, 0).unwrap(), []);
        assert_eq!(journal.health(), Health::Open);
    });
}

#[test]
fn a_stream_is_read_from_a_version_on_and_alone() {
    each(|journal, _| {
        for version in 0..5 {
            done(journal, append("mrs/A/b", version));
            done(journal, append("mrs/A/b/c", version));
        }
        let versions = |from, limit| -> Vec<u64> {
            let entries = journal.stream(&stream("mrs/A/b"), from, limit).unwrap();
            entries
                .iter()
                .map(|entry| {
                    let body = entry.body.as_ref().unwrap();
                    assert_eq!(body.stream, stream("mrs/A/b"));
                    body.version
                })
                .collect()
        };
        assert_eq!(versions(0, 9), [1, 2, 3, 4, 5]);
        assert_eq!(versions(3, 2), [3, 4]);
        assert!(versions(6, 9).is_empty());
        assert_eq!(journal.version(&stream("mrs/A/b")).unwrap(), 5);
        assert_eq!(journal.version(&stream("mrs/A")).unwrap(), 0);
        assert_eq!(journal.stream(&stream("none"), 1, 9).unwrap(), []);
    });
}

#[test]
fn stream_names_are_paged_in_byte_order() {
    each(|journal, _| {
        let mut names = [
            "mrs/A/b",
            "mrs/A/b/c",
            "mrs/A/b-",
            "mrs/B/b",
            "mrs/A/a",
            "ofm/A",
        ];
        for name in names {
            done(journal, append(name, 0));
        }
        done(journal, append("mrs/A/b", 1));
        names.sort_unstable();
        for prefix in ["", "mrs/", "mrs/A/b", "mrs/A/b/c", "uas/"] {
            let its = names.iter().filter(|name| name.starts_with(prefix));
            let wanted: Vec<_> = its.map(|name| stream(name)).collect();
            for limit in 1..=names.len() + 1 {
                let mut found = Vec::new();
                loop {
                    let after = found.last().map(metarecord::domain::StreamId::as_str);
                    let page = journal.streams(prefix, after, limit).unwrap();
                    assert!(page.len() <= limit && found.len() <= wanted.len());
                    if page.is_empty() {
                        break;
                    }
                    found.extend(page);
                }
                assert_eq!(found, wanted, "{prefix:?} by {limit}");
            }
        }
    });
}

#[test]
fn a_payload_is_kept_byte_for_byte() {
    each(|journal, _| {
        let long: Vec<u8> = (0..262_144_u32).map(|byte| (byte * 7) as u8).collect();
        let forged = b"\n\n{\"header\":{\"position\":9}}\n\n".as_slice();
        for (index, payload) in [b"".as_slice(), b"\n", forged, &long].iter().enumerate() {
            let position = done(journal, with_payload("p", index as u64, payload));
            assert_eq!(
                journal.payload(position).unwrap().as_deref(),
                Some(*payload)
            );
            let entry = journal.read(position, 1).unwrap().remove(0);
            assert_eq!(entry.payload, None);
            let digest = entry.body.unwrap().payload.unwrap();
            assert_eq!(digest.size, payload.len() as u64);
        }
        let position = done(journal, append("p", 4));
        assert_eq!(journal.payload(position).unwrap(), None);
        assert_eq!(journal.payload(99).unwrap(), None);
        assert_eq!(all(journal).len(), 5);
    });
}

#[test]
fn an_append_on_another_version_writes_nothing() {
    each(|journal, _| {
        done(journal, append("a", 0));
        for expected in [0, 2] {
            let moved = Outcome::Moved {
                stream: stream("a"),
                actual: 1,
            };
            assert_eq!(outcome(journal.append(append("a", expected))), moved);
        }
        assert_eq!(journal.head().position, 1);
    });
}

#[test]
fn an_append_that_cannot_be_written_fails_alone() {
    each(|journal, _| {
        let mut empty = append("a", 0);
        empty.events.clear();
        let mut endless = append("a", 0);
        endless.origin.by = "x".repeat(17 * 1024 * 1024);
        let heavy = with_payload("a", 0, &vec![0; 262_145]);
        for wrong in [empty, endless, heavy] {
            assert_eq!(outcome(journal.append(wrong)), Outcome::Malformed);
        }
        assert_eq!(done(journal, append("a", 0)), 1);
        assert_eq!(journal.health(), Health::Open);
    });
}

#[test]
fn a_guard_that_moved_stops_the_append() {
    each(|journal, _| {
        done(journal, append("org", 0));
        let guarded = |expected, seen| {
            let mut append = append("a", expected);
            append.guards = vec![(stream("org"), seen), (stream("none"), 0)];
            outcome(journal.append(append))
        };
        let moved = Outcome::Moved {
            stream: stream("org"),
            actual: 1,
        };
        assert_eq!(guarded(0, 0), moved);
        assert!(matches!(
            guarded(0, 1),
            Outcome::Appended { version: 1, .. }
        ));
        assert_eq!(journal.version(&stream("a")).unwrap(), 1);
    });
}

#[test]
fn one_of_many_appends_on_a_version_wins() {
    each(|journal, _| {
        let rounds = 20;
        let wins = Mutex::new(HashMap::<u64, usize>::new());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for round in 0..rounds {
                        if let Outcome::Appended { version, .. } =
                            outcome(journal.append(append("one", round)))
                        {
                            assert_eq!(version, round + 1);
                            *wins.lock().entry(round).or_default() += 1;
                        }
                        // Nobody goes on before the round is decided.
                        while journal.version(&stream("one")).unwrap() <= round {
                            std::thread::yield_now();
                        }
                    }
                });
            }
        });
        let wins = wins.into_inner();
        assert_eq!(wins.len() as u64, rounds);
        assert!(wins.values().all(|wins| *wins == 1), "{wins:?}");
    });
}

#[test]
fn appends_of_one_thread_are_decided_in_their_order() {
    each(|journal, _| {
        let pending: Vec<_> = (0..500)
            .map(|version| journal.append(append("s", version)))
            .collect();
        for (index, pending) in pending.into_iter().enumerate() {
            let position = index as u64 + 1;
            assert_eq!(
                outcome(pending),
                Outcome::Appended {
                    position,
                    version: position
                }
            );
        }
    });
}

#[test]
fn time_never_goes_back() {
    each(|journal, clock| {
        done(journal, append("a", 0));
        clock.advance(-60_000);
        done(journal, append("a", 1));
        let entries = all(journal);
        assert_eq!(entries[0].header.recorded_at, entries[1].header.recorded_at);
    });
}

/// Keeps what it is shown.
struct Keeper(Arc<Mutex<Vec<Entry>>>);

impl Sink for Keeper {
    fn apply(&mut self, group: &[Entry]) -> Result<(), SinkError> {
        self.0.lock().extend_from_slice(group);
        Ok(())
    }
}

#[test]
fn a_sink_gets_each_entry_with_payload_before_the_answer() {
    each(|journal, _| {
        let shown = Arc::new(Mutex::new(Vec::new()));
        journal.attach(Box::new(Keeper(Arc::clone(&shown))));
        done(journal, with_payload("a", 0, b"content"));
        assert_eq!(shown.lock().len(), 1);
        done(journal, append("a", 1));
        let mut shown = shown.lock().clone();
        assert_eq!(shown[0].payload.take().unwrap(), "content");
        assert_eq!(shown, all(journal));
    });
}

/// Fails from its second group on, in a way of its own.
struct Failing {
    groups: usize,
    panics: bool,
}

impl Sink for Failing {
    fn apply(&mut self, _: &[Entry]) -> Result<(), SinkError> {
        self.groups += 1;
        match (self.groups, self.panics) {
            (1, _) => Ok(()),
            (_, false) => Err(SinkError::new("no room")),
            (_, true) => panic!("a fault of the sink, on purpose"),
        }
    }
}

#[test]
fn a_sink_that_fails_or_panics_makes_the_journal_read_only() {
    for panics in [false, true] {
        each(|journal, _| {
            journal.attach(Box::new(Failing { groups: 0, panics }));
            done(journal, append("a", 0));
            assert_eq!(
                outcome(journal.append(append("a", 1))),
                Outcome::Unavailable
            );
            assert!(matches!(journal.health(), Health::ReadOnly(_)));
            assert_eq!(
                outcome(journal.append(append("b", 0))),
                Outcome::Unavailable
            );
            assert_eq!(journal.read(1, 1).unwrap().len(), 1);
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn both_journals_decide_the_same(
        script in prop::collection::vec((0_u8..4, 0_u64..4, 0_u8..4, 0_u64..4), 1..40)
    ) {
        let memory = MemoryJournal::new(clock());
        let dir = tempfile::tempdir().unwrap();
        let (disk, _) = super::support::open(dir.path());
        for (name, expected, guard, seen) in script {
            let mut append = append(&format!("s{name}"), expected);
            append.guards = vec![(stream(&format!("s{guard}")), seen)];
            let outcomes = (outcome(memory.append(append.clone())), outcome(disk.append(append)));
            prop_assert_eq!(outcomes.0, outcomes.1);
        }
        let events = |journal: &dyn Journal| -> Vec<_> {
            let entries = all(journal).into_iter();
            entries.map(|entry| entry.body.map(|body| (body.stream, body.version))).collect()
        };
        prop_assert_eq!(events(&memory), events(&disk));
    }
}
