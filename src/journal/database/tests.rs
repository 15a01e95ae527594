//! Rows that wait to be written, held against a model; what a kill and earlier programs leave.

use std::collections::BTreeMap;

use super::*;
use crate::domain::StreamId;
use crate::journal::Version;
use crate::journal::index::{Index, Row};
use crate::storage::Settings;

const CACHE_BYTES: u64 = 1 << 20;
/// More than wait before they are written, several times over.
const ENTRIES: u64 = 50_000;
/// Entries of a group.
const GROUP: u64 = 50;
const STREAMS: u64 = 3_001;

fn stream(number: u64) -> StreamId {
    StreamId::named(&format!("mrs/ACME/notes/{number:05}"))
}

/// An entry of a stream by turns, of which every fifth has a payload.
fn row(position: Position, version: Version) -> Row {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&position.to_be_bytes());
    Row {
        position,
        stream: Some((stream(position % STREAMS), version)),
        before: None,
        location: Location {
            segment: 1,
            offset: position * 100,
            line_bytes: 100,
        },
        hash,
        has_payload: position.is_multiple_of(5),
    }
}

/// The positions of each stream's entries.
type Model = BTreeMap<u64, Vec<Position>>;

/// Inserts entries, and holds what is read between two groups against a model.
fn fill(database: &Database, model: &mut Model, positions: std::ops::RangeInclusive<Position>) {
    let mut rows = Vec::new();
    let last = *positions.end();
    for position in positions {
        let of_stream = model.entry(position % STREAMS).or_default();
        of_stream.push(position);
        rows.push(row(position, of_stream.len() as Version));
        if rows.len() as u64 == GROUP || position == last {
            database.insert(&rows).unwrap();
            rows.clear();
            check(database, model, position * 7_919 % STREAMS);
        }
    }
}

/// Everything that is known of one stream, and which streams follow it.
fn check(database: &Database, model: &Model, number: u64) {
    let none = Vec::new();
    let known = model.get(&number).unwrap_or(&none);
    let version = known.len() as Version;
    assert_eq!(
        database.version(&stream(number)).unwrap(),
        version,
        "{number}"
    );
    let expected: Vec<_> = (1..).zip(known.iter().copied()).collect();
    let read = database.stream(&stream(number), 1, usize::MAX).unwrap();
    assert_eq!(read, expected, "{number}");
    let name = stream(number);
    let after = database
        .stream_names("mrs/ACME/", Some(name.as_str()), 3)
        .unwrap();
    let following = model.keys().filter(|other| **other > number).take(3);
    let following: Vec<_> = following.map(|number| stream(*number)).collect();
    assert_eq!(after, following, "{number}");
}

#[test]
fn what_is_read_is_the_same_before_while_and_after_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(dir.path(), CACHE_BYTES).unwrap();
    let mut model = Model::new();
    fill(&database, &mut model, 1..=ENTRIES);
    let (reach, _) = database.rows.reach().unwrap();
    assert!(reach > 0, "the thread has written some");
    database.write_rows().unwrap();
    for number in 0..STREAMS {
        check(&database, &model, number);
    }
    assert_eq!(database.last().unwrap().unwrap().0, ENTRIES);
    let count = database.count().unwrap();
    assert_eq!((count.entries, count.streams), (ENTRIES, STREAMS));
}

#[test]
fn what_a_killed_process_had_not_written_is_inserted_again_from_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::new();
    let database = Database::open(dir.path(), CACHE_BYTES).unwrap();
    fill(&database, &mut model, 1..=2_000);
    database.write_rows().unwrap();
    fill(&database, &mut model, 2_001..=7_000);
    // As a kill in the middle of a batch leaves it: some of its rows, and not how far it comes.
    database.rows.write_some_of_waiting(777).unwrap();
    drop(database);
    let database = Database::open(dir.path(), CACHE_BYTES).unwrap();
    assert_eq!(database.last().unwrap().unwrap().0, 2_000);
    assert_eq!(
        database.count().unwrap().streams,
        database.streams_noted().unwrap()
    );
    let again: Vec<_> = (2_001..=7_000)
        .map(|position| {
            let of_stream = &model[&(position % STREAMS)];
            let earlier = of_stream.partition_point(|other| *other <= position);
            row(position, earlier as Version)
        })
        .collect();
    for rows in again.chunks(1_000) {
        database.insert(rows).unwrap();
    }
    database.write_rows().unwrap();
    for number in 0..STREAMS {
        check(&database, &model, number);
    }
    let count = database.count().unwrap();
    assert_eq!((count.entries, count.streams), (7_000, STREAMS));
    assert_eq!(database.streams_noted().unwrap(), STREAMS);
}

#[test]
fn erased_streams_are_gone_although_their_rows_were_not_written_yet() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::new();
    let database = Database::open(dir.path(), CACHE_BYTES).unwrap();
    fill(&database, &mut model, 1..=5_000);
    let erased = model.remove(&7).unwrap();
    database.erase_index(&erased, &mut |_| ()).unwrap();
    database.write_rows().unwrap();
    check(&database, &model, 6);
    assert_eq!(database.version(&stream(7)).unwrap(), 0);
    assert_eq!(database.streams_noted().unwrap(), STREAMS - 1);
    assert_eq!(database.count().unwrap().streams, STREAMS - 1);
}

#[test]
fn the_payloads_that_earlier_programs_kept_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::new();
    let database = Database::open(dir.path(), CACHE_BYTES).unwrap();
    fill(&database, &mut model, 1..=500);
    database.write_rows().unwrap();
    assert!(database.compact(&mut |_| true).unwrap());
    assert!(database.sizes().unwrap().compacted > 0);
    drop(database);
    let old = Settings {
        cache_bytes: CACHE_BYTES,
        flush_every_ms: Some(500),
        tables: &["payloads", "tips"],
        other_files: &[super::super::offsets::FILE],
    };
    let root = dir.path().join(DIRECTORY);
    let tables = storage::Database::open(&root, old).unwrap();
    tables
        .write(|into| {
            into.table(0).insert([0, 0, 0, 5], b"content".as_slice())?;
            // Three numbers, as they wrote.
            let key = streams::stream_key(&stream(3), Version::MAX);
            let end = into.table(1).get(&key)?.expect("an end");
            let end = [&*end, &[0; 8]].concat();
            into.table(1).insert(&key, end)?;
            Ok(())
        })
        .unwrap();
    tables.flush().unwrap();
    drop(tables);
    let database = Database::open(dir.path(), CACHE_BYTES).unwrap();
    assert!(!database.rows.has_table("payloads"));
    assert_eq!(
        database.sizes().unwrap().compacted,
        0,
        "it is compacted soon"
    );
    check(&database, &model, 3);
}
