//! Versions that are found backwards are those of the whole history, and a page of them costs the same however many there are.

use std::collections::VecDeque;

use metarecord::domain::Event;
use metarecord::domain::record::{
    ContentPlace, EndedBy, NewContent, Record, RecordEvent, RecordKey, Status,
};
use metarecord::journal::{Append, Journal};
use metarecord::projections::versions::{Start, Version, newest_below};
use metarecord::projections::{RecordName, history};
use metarecord::projections::{as_of, records};
use proptest::prelude::{ProptestConfig, prop, proptest};

use super::{World, key, steps};
use crate::journal::support::{append, open, outcome};
use crate::support::watched::Watched;

/// All versions, oldest first, as the whole history folded from its beginning says.
fn folded(journal: &dyn Journal, key: &RecordKey) -> VecDeque<Version> {
    let mut versions: VecDeque<Version> = VecDeque::new();
    let mut before: Option<Record> = None;
    as_of::fold_record(journal, key, |body, after| {
        if let (Some(before), Some(last)) = (&before, versions.back_mut()) {
            let mut ended = after.ended_since(before);
            let its = ended.find(|ended| ended.by != EndedBy::Abandoned);
            last.ended = its.or(last.ended.take());
        }
        let was = before.as_ref().filter(|was| was.status == Status::Active);
        let same = was.is_some_and(|was| was.content.place == after.content.place);
        if after.status == Status::Active && !same {
            versions.push_back(Version {
                content: after.content.clone(),
                revision: body.version,
                since: body.origin.at,
                by: body.origin.by.clone(),
                ended: None,
            });
        }
        before = Some(after.clone());
        true
    })
    .expect("it can be read");
    versions
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn versions_found_backwards_are_those_of_the_whole_history(
        steps in steps(),
        below in prop::option::of(0..5_u64),
        count in 1..4_usize,
    ) {
        let mut world = World::new();
        for (number, step) in steps.iter().enumerate() {
            world.carry_out(number, step);
        }
        for slot in &world.slots {
            let journal = &*world.journal;
            let row = records::find(&world.live, RecordName::from(&slot.key)).expect("a row");
            let Some(row) = row else { continue };
            let all: Vec<_> = folded(journal, &slot.key).into_iter().rev().collect();
            let wanted = |below: Option<u64>| {
                let its = |version: &&Version| below.is_none_or(|below| version.content.version < below);
                all.iter().filter(its).take(count).cloned().collect::<Vec<_>>()
            };
            let start = Start::of(journal, &slot.key, &row).expect("a start");
            let found = newest_below(journal, &slot.key, start, (below, count)).expect("versions");
            assert_eq!(found, wanted(below), "{:?}", slot.key);
            // From where a page ended, as its token says.
            if let Some(last) = found.last() {
                let number = last.content.version;
                let start = Start::at(last.revision, number);
                let next = newest_below(journal, &slot.key, start, (Some(number), count));
                assert_eq!(next.expect("versions"), wanted(Some(number)));
            }
        }
    }
}

/// Changes a record to a revision: a put, and then others of which each `every`th is a put.
fn change_until(journal: &dyn Journal, key: &RecordKey, (from, to, every): (u64, u64, u64)) {
    let stream = metarecord::domain::StreamId::record(key);
    let mut pending = Vec::new();
    for version in from..to {
        let content = NewContent::Inline {
            size: 1,
            md5: metarecord::domain::Md5::of(b"1"),
        };
        let event = match version {
            0 => RecordEvent::Created {
                cccode: None,
                tags: Vec::new(),
                doom_at: None,
                content,
            },
            put if put % every == 0 => RecordEvent::Replaced {
                cccode: None,
                tags: None,
                doom_at: None,
                content,
            },
            _ => RecordEvent::TtlSet { doom_at: None },
        };
        let append = Append {
            events: vec![Event::Record(event)],
            ..append(stream.as_str(), version)
        };
        pending.push(journal.append(append));
        if pending.len() == 256 || version + 1 == to {
            pending.drain(..).for_each(|pending| drop(outcome(pending)));
        }
    }
    assert_eq!(journal.version(&stream).expect("a version"), to);
}

#[test]
fn a_page_of_versions_costs_the_same_after_100_and_10_000_changes() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let journal = Watched::new(open(directory.path()).0);
    let last = |key: &RecordKey, to: u64| {
        let changed = history::newest_until(&journal, key, to, 1).expect("a change");
        changed[0].entry.header.position
    };
    // Each change is a put; or only the first one is.
    for (number, every) in [(0, 1), (6, u64::MAX)] {
        let key = key(number);
        let mut costs = Vec::new();
        for (from, to) in [(0, 100), (100, 10_000)] {
            change_until(&journal, &key, (from, to, every));
            let versions = if every == 1 { to } else { 1 };
            let position = if every == 1 {
                last(&key, to)
            } else {
                last(&key, 1)
            };
            let row = as_of::record_at(&journal, &key, 1).expect("a record");
            let mut row = row.expect("it is there");
            row.revision.0 = to;
            row.content.version = versions;
            row.content.place = ContentPlace::Inline(position);
            journal.take();
            let start = Start::of(&journal, &key, &row).expect("a start");
            let page = newest_below(&journal, &key, start, (None, 32)).expect("a page");
            let oldest = page.last().expect("one");
            let start = Start::at(oldest.revision, oldest.content.version);
            let below = Some(oldest.content.version);
            newest_below(&journal, &key, start, (below, 32)).expect("a page");
            costs.push((page.len(), journal.take()));
        }
        assert_eq!(costs[0], costs[1], "{every}");
    }
}
