//! The rows of lists, tags, due times and holds are, after every change, those that follow from the records, and no others.
//!
//! Pages pass over rows that no longer fit, so a row that stays behind shows nowhere else. What the rows must be is said
//! here a second time, by this file's own idea of them.

use std::collections::{BTreeMap, BTreeSet};

use metarecord::domain::StreamId;
use metarecord::domain::record::{Record, RecordKey, Status};
use metarecord::journal::Journal;
use metarecord::projections::{Store, all};
use proptest::prelude::{ProptestConfig, proptest};

use super::{World, steps};

/// Their first bytes: lists, tags, due times, holds.
const PREFIXES: &[u8] = b"ltdh";

fn found(store: &Store) -> BTreeSet<Vec<u8>> {
    let rows = PREFIXES
        .iter()
        .flat_map(|prefix| store.scan(vec![*prefix], &[*prefix]));
    rows.map(|row| row.expect("it can be read").0.to_vec())
        .collect()
}

fn wanted(world: &World) -> BTreeSet<Vec<u8>> {
    let mut rows = BTreeSet::new();
    for slot in &world.slots {
        if let Some(record) = &slot.record {
            add(
                &mut rows,
                &slot.key,
                record,
                world.scrubbed.contains(&slot.key),
            );
        }
    }
    rows
}

fn add(rows: &mut BTreeSet<Vec<u8>>, key: &RecordKey, record: &Record, scrubbed: bool) {
    let (org, container, id) = (&key.org, &key.container, &key.record_id);
    let status = match record.status {
        Status::Active => 'a',
        Status::PendingUpload => 'p',
        Status::Doomed => 'x',
    };
    let mut row = |prefix: char, facet: &str| {
        let row = format!("{prefix}{org}\0{facet}\0{status}{container}\0{id}");
        rows.insert(row.into_bytes());
    };
    let tags: Vec<String> = match scrubbed {
        true => Vec::new(),
        false => record.tags.iter().map(ToString::to_string).collect(),
    };
    row('l', "");
    tags.iter().for_each(|tag| row('t', tag));
    if let Some(cccode) = &record.cccode {
        row('l', &format!("\u{1}{cccode}"));
        tags.iter()
            .for_each(|tag| row('t', &format!("{tag}\u{1}{cccode}")));
    }
    if record.hold.is_some() {
        rows.insert(format!("h{org}\0{container}\0{id}").into_bytes());
    }
    let Some(at) = record.doom_at.filter(|_| record.status != Status::Doomed) else {
        return;
    };
    let at = u64::try_from(at.millis())
        .expect("after 1970")
        .to_be_bytes();
    let place = format!("{container}\0{id}");
    let due = |head: String, tail: &str| [head.as_bytes(), &at, tail.as_bytes()].concat();
    rows.insert(due(format!("do{org}\0\0"), &place));
    rows.insert(due(format!("do{org}\0{container}\0"), &place));
    if record.hold.is_none() {
        rows.insert(due("dt".to_owned(), &format!("mrs/{org}/{container}/{id}")));
    }
}

/// A row as a message shows it.
fn readable(row: &[u8]) -> String {
    row.escape_ascii().to_string()
}

/// Every row of every projection.
fn every_row(store: &Store) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let projections = all().into_iter();
    let rows = projections.flat_map(|its| store.scan(vec![its.prefix()], &[its.prefix()]));
    rows.map(|row| row.expect("it can be read"))
        .map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect()
}

/// The counters of an org, which come from many streams.
const USAGE: u8 = b'q';
/// The first byte of the feed's keys, which name an org and a part of the journal.
const FEED: u8 = b'f';

/// Whether the stream that a row names is the one of an entry that changed it: a container's own entries change rows of its
/// records too, and all of the operators' streams, which are never erased, are named alike.
fn is_erased_with(named: &str, stream: &str) -> bool {
    let within = named.strip_prefix(stream);
    within.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        || (named == StreamId::MAINTENANCE && stream.starts_with("ops/"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_every_change_the_rows_are_those_of_the_records_and_none_more(steps in steps()) {
        let mut world = World::new();
        for (number, step) in steps.iter().enumerate() {
            world.carry_out(number, step);
            let (found, wanted) = (found(&world.live), wanted(&world));
            let more: Vec<_> = found.difference(&wanted).map(|row| readable(row)).collect();
            let missing: Vec<_> = wanted.difference(&found).map(|row| readable(row)).collect();
            assert!(more.is_empty(), "rows of no record after {step:?}: {more:#?}");
            assert!(missing.is_empty(), "rows that are missing after {step:?}: {missing:#?}");
        }
    }

    /// A vacuum erases a row together with the stream it names.
    #[test]
    fn every_row_that_an_entry_changes_names_the_stream_of_the_entry(steps in steps()) {
        let mut world = World::new();
        let mut before = every_row(&world.live);
        for (number, step) in steps.iter().enumerate() {
            let head = world.journal.head().position;
            world.carry_out(number, step);
            let entries = world.journal.read(head + 1, usize::MAX).expect("entries");
            let streams: Vec<_> = entries
                .iter()
                .filter_map(|entry| entry.body.as_ref())
                .map(|body| body.stream.as_str().to_owned())
                .collect();
            let after = every_row(&world.live);
            for (key, value) in after.iter().filter(|(key, value)| before.get(*key) != Some(*value)) {
                let projections = all().into_iter();
                let its = projections
                    .filter(|its| key.first() == Some(&its.prefix()))
                    .find_map(|its| its.stream_of(key, value));
                match its {
                    Some(named) => assert!(
                        streams.iter().any(|stream| is_erased_with(&named, stream)),
                        "{} names {named}, and {streams:?} changed it", readable(key)
                    ),
                    None => assert!(
                        matches!(key.first(), Some(&(USAGE | FEED))),
                        "{} names none", readable(key)
                    ),
                }
            }
            before = after;
        }
    }
}
