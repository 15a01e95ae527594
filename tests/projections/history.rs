//! A page of a record's history costs the same however often the record was changed.

use std::sync::Arc;

use metarecord::domain::record::{NewContent, RecordEvent, RecordKey};
use metarecord::domain::{Event, Md5, StreamId, Tag};
use metarecord::journal::{Append, EraseOrder, Journal};
use metarecord::projections::history::newest_until;

use super::key;
use crate::journal::support::{append, open, outcome};
use crate::support::watched::Watched;

/// Changes a record until it has a revision.
fn change_until(journal: &dyn Journal, key: &RecordKey, (from, to): (u64, u64)) {
    let stream = StreamId::record(key);
    let mut pending = Vec::new();
    for version in from..to {
        let events = vec![Event::Record(event(version))];
        let append = Append {
            events,
            ..append(stream.as_str(), version)
        };
        pending.push(journal.append(append));
        if pending.len() == 256 || version + 1 == to {
            for pending in pending.drain(..) {
                outcome(pending);
            }
        }
    }
    assert_eq!(journal.version(&stream).expect("a version"), to);
}

fn event(version: u64) -> RecordEvent {
    let tags = || vec![Tag::parse("RED").expect("a tag")];
    match version {
        0 => RecordEvent::Created {
            cccode: None,
            tags: Vec::new(),
            doom_at: None,
            content: NewContent::Inline {
                size: 1,
                md5: Md5::of(b"1"),
            },
        },
        odd if odd % 2 == 1 => RecordEvent::TagsAdded { tags: tags() },
        _ => RecordEvent::TagsRemoved { tags: tags() },
    }
}

#[test]
fn a_page_costs_the_same_after_100_changes_and_after_10_000() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let journal = Watched::new(open(directory.path()).0);
    let (often, neighbour) = (key(0), key(6));
    change_until(&journal, &neighbour, (0, 40));
    let mut costs = Vec::new();
    for (from, to) in [(0, 100), (100, 10_000)] {
        change_until(&journal, &often, (from, to));
        for until in [to, to / 2 + 16] {
            journal.take();
            let page = newest_until(&journal, &often, until, 32).expect("a page");
            costs.push(journal.take());
            let revisions: Vec<_> = page.iter().map(|changed| changed.revision).collect();
            let wanted: Vec<_> = (until - 31..=until).rev().collect();
            assert_eq!(revisions, wanted);
            let streams = page
                .iter()
                .map(|changed| changed.entry.body.as_ref().map(|body| &body.stream));
            assert!(streams.eq(vec![Some(&StreamId::record(&often)); 32]));
        }
    }
    assert_eq!(costs, [(1, 32); 4]);
    // The first revisions, and more than there are.
    let first = newest_until(&journal, &often, 5, 32).expect("a page");
    assert_eq!(first.len(), 5);
    assert_eq!(journal.take(), (1, 5));
    assert!(
        newest_until(&journal, &often, 0, 32)
            .expect("none")
            .is_empty()
    );
}

#[test]
fn what_was_erased_has_no_history() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let journal = open(directory.path()).0;
    let (erased, neighbour) = (key(0), key(6));
    change_until(&journal, &erased, (0, 10));
    change_until(&journal, &neighbour, (0, 10));
    let stream = StreamId::record(&erased).as_str().to_owned();
    let order = EraseOrder {
        covers: Box::new(move |name| name == stream),
        by: journal.head().position + 1,
        plan: None,
    };
    let positions = journal
        .erase(Arc::new(order), &mut |_, _| ())
        .expect("erased");
    // Before the index forgets them, what is read says that it was erased.
    for changed in newest_until(&journal, &erased, 10, 4).expect("a page") {
        assert!(changed.entry.body.is_none() && changed.entry.erased_by.is_some());
    }
    journal
        .erase_index(&positions, &mut |_, _| ())
        .expect("forgotten");
    assert!(
        newest_until(&journal, &erased, 10, 4)
            .expect("a page")
            .is_empty()
    );
    let others = newest_until(&journal, &neighbour, 10, 256).expect("a page");
    assert_eq!(others.len(), 10);
    assert!(others.iter().all(|changed| changed.entry.body.is_some()));
}
