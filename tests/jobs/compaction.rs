//! Compaction: after a long churn the files are no larger than what is in them allows, and nothing is lost.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use metarecord::actors::jobs::compaction::Compaction;
use metarecord::actors::jobs::{Heed, Job, Step};
use metarecord::actors::{AddressBook, Carry, Desk, Limits};
use metarecord::clock::Clock;
use metarecord::domain::Timestamp;
use metarecord::domain::record::RecordCommand;
use metarecord::journal::Journal;
use metarecord::journal::sled::{Options, SledJournal};
use metarecord::projections::{Store, runner};

use super::check::{self, carry_of, key};

/// Records that live at a time.
const RECORDS: u64 = 400;
/// Rounds of changes to each of them; a round is three changes.
const ROUNDS: u64 = 16;
/// After compaction the projections' files have at most so many bytes for each byte of a row.
const FACTOR_MAX: u64 = 4;
/// sled's files have so many bytes with next to nothing in them.
const EMPTY_BYTES_MAX: u64 = 512 * 1024;

async fn churn(dir: &Path) -> (Arc<Desk>, Arc<AddressBook>) {
    let clock = Clock::manual(Timestamp::from_millis(1_800_000_000_000));
    let (journal, _) = SledJournal::open(
        &dir.join("journal"),
        Options::default(),
        clock.clone(),
        &mut |_, _| (),
    )
    .expect("the journal opens");
    let projections = dir.join("projections");
    let runner = runner::open(
        &projections,
        1 << 24,
        &journal,
        &mut Vec::new(),
        &mut |_, _| (),
    );
    let runner = runner.expect("the projections open");
    let store = runner.store();
    journal.attach(Box::new(runner));
    let desk = Arc::new(Desk {
        journal: Arc::new(journal),
        store,
        clock: clock.clone(),
        admission: Arc::default(),
        due_set: tokio::sync::Notify::new(),
        due_again: Default::default(),
    });
    let book = AddressBook::open(desk.clone(), Limits::default());
    for round in 0..ROUNDS {
        let due = clock.now().plus_millis(60_000);
        for change in 0..3 {
            let all = (0..RECORDS).map(|number| {
                let id = format!("n-{number:04}");
                book.carry(step(&id, round * 3 + change, due))
            });
            for answer in join_all(all).await {
                answer.expect("carried out");
            }
        }
        clock.advance(1_000);
    }
    (desk, book)
}

/// A put, another due time, or another tag, over the revision there is.
fn step(id: &str, revision: u64, due: Timestamp) -> Carry {
    let expected = (revision > 0).then_some(metarecord::domain::Revision(revision));
    match revision % 3 {
        0 => {
            let payload = Bytes::from(format!("\"{}\"", "x".repeat(300)));
            Carry {
                payload: Some(payload.clone()),
                ..carry_of(key(id), check::put_of(id, &payload, expected))
            }
        }
        1 => carry_of(
            key(id),
            RecordCommand::SetTtl {
                doom_at: Some(due),
                expected,
            },
        ),
        _ => {
            let tags = vec![metarecord::domain::Tag::parse("CHURN").expect("a tag")];
            match (revision / 3) % 2 {
                0 => carry_of(key(id), RecordCommand::AddTags { tags, expected }),
                _ => carry_of(key(id), RecordCommand::RemoveTags { tags, expected }),
            }
        }
    }
}

fn row_bytes(store: &Store) -> u64 {
    let rows = store.rows().map(|row| row.expect("a row"));
    rows.map(|(key, value)| (key.len() + value.len()) as u64)
        .sum()
}

fn rows(store: &Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    let rows = store.rows().map(|row| row.expect("a row"));
    rows.map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect()
}

#[test]
fn after_a_long_churn_the_files_are_as_large_as_what_is_in_them_allows() {
    let scratch = tempfile::tempdir().expect("a directory");
    actix::System::new().block_on(async {
        let (desk, book) = churn(scratch.path()).await;
        let (before, bytes) = (rows(&desk.store), row_bytes(&desk.store));
        let grown = desk.store.sizes().expect("sizes");
        assert_eq!(grown.renewed, 0);
        let compaction = Compaction::new(&desk, 0);
        let mut freed = Vec::new();
        for _ in 0..2 {
            match compaction.step(None, &Heed::default()) {
                Step::Done {
                    counts,
                    noted: true,
                } => freed.push(counts),
                other => panic!("{other:?}"),
            }
        }
        let Step::Idle(Some(_)) = compaction.step(None, &Heed::default()) else {
            panic!("both were made anew, and have not grown since");
        };
        let after = desk.store.sizes().expect("sizes");
        println!("rows {bytes}, files {grown:?} -> {after:?}, {freed:?}");
        assert_eq!(after.now, after.renewed);
        assert!(
            after.now <= bytes * FACTOR_MAX + EMPTY_BYTES_MAX,
            "{after:?} for {bytes}"
        );
        assert!(after.now < grown.now, "{after:?} {grown:?}");
        assert_eq!(rows(&desk.store), before);
        let head = desk.journal.head().position;
        assert_eq!(head, RECORDS * ROUNDS * 3);
        let read = desk.journal.read(1, 10_000_000).expect("every entry");
        assert_eq!(read.len() as u64, head);
        let payload = desk.journal.payload(1).expect("it reads").expect("there");
        assert_eq!(payload.len(), 302);
        book.close();
    });
}

#[test]
fn what_is_broken_off_leaves_everything_as_it_was() {
    let scratch = tempfile::tempdir().expect("a directory");
    actix::System::new().block_on(async {
        let store = Store::open(scratch.path(), 1 << 20).expect("a store");
        let row = |number: u32| (number.to_be_bytes().to_vec(), Some(vec![7; 64]));
        let mut writes: Vec<_> = (0..1_000).map(row).collect();
        store.write(&mut writes).expect("written");
        let before = rows(&store);
        let files = || {
            let entries = std::fs::read_dir(scratch.path()).expect("a directory");
            let names = entries.map(|entry| entry.expect("an entry").file_name());
            let mut names: Vec<_> = names.collect();
            names.sort();
            names
        };
        let names = files();
        let mut asked = 0;
        let broken_off = store.compact(&mut |_| {
            asked += 1;
            asked < 3
        });
        assert!(!broken_off.expect("no failure"));
        assert_eq!((rows(&store), files()), (before.clone(), names));
        let mut more = vec![row(2_000)];
        store.write(&mut more).expect("written");
        assert!(store.compact(&mut |_| true).expect("no failure"));
        assert_eq!(rows(&store).len(), before.len() + 1);
        let sizes = store.sizes().expect("sizes");
        drop(store);
        let store = Store::open(scratch.path(), 1 << 20).expect("a store");
        assert_eq!(
            store.sizes().expect("sizes").renewed,
            sizes.renewed,
            "it outlives a restart"
        );
        assert!(sizes.renewed > 0 && sizes.free > 0);
    });
}
