//! Metarecord within a program: it opens, closes and opens again, and refuses what it must.

use std::path::Path;

use metarecord::domain::record::{INLINE_BYTES_MAX, RecordCommand, RecordKey, Status};
use metarecord::domain::{ContainerName, ErrorTag, OrgCode, RecordId, Revision};
use metarecord::projections::{as_of, records};
use metarecord::{EmbeddedError, Metarecord, Put, Settings, request, testing};

use crate::ops::world::wait;

fn key(id: &str) -> RecordKey {
    RecordKey {
        org: OrgCode::parse("ACME").expect("an org"),
        container: ContainerName::parse("notes").expect("a container"),
        record_id: RecordId::parse(id).expect("an id"),
    }
}

fn put(metarecord: &Metarecord, id: &str) {
    let put = Put::inline(r#"{"a": 1.0}"#).expect("JSON");
    wait(metarecord.execute(put.of(key(id), "ann"))).expect("executed");
}

fn revision(metarecord: &Metarecord, id: &str) -> Option<Revision> {
    let record = records::find(metarecord.projections(), (&key(id)).into());
    record.expect("read").map(|record| record.revision)
}

fn open(dir: &Path) -> Metarecord {
    Metarecord::open(dir).expect("it opens")
}

#[test]
fn a_closed_directory_opens_again_at_once_with_all_it_had() {
    let scratch = tempfile::tempdir().expect("a directory");
    for round in 0..5 {
        let metarecord = open(scratch.path());
        let ids: Vec<String> = (0..=round).map(|number| format!("n-{number}")).collect();
        let (new, old) = ids.split_last().expect("one");
        put(&metarecord, new);
        for id in old {
            assert_eq!(revision(&metarecord, id), Some(Revision(1)), "{id}");
        }
        assert_eq!(metarecord.journal().head().position, round + 1);
        metarecord.close().expect("it closes");
    }
}

#[test]
fn a_directory_is_open_once_and_free_when_what_was_handed_out_is_dropped() {
    let scratch = tempfile::tempdir().expect("a directory");
    let first = open(scratch.path());
    let second = Metarecord::open(scratch.path());
    assert!(matches!(second, Err(EmbeddedError::Directory(_))));
    let journal = first.journal().clone();
    put(&first, "n-1");
    assert!(matches!(first.close(), Err(EmbeddedError::InUse)));
    drop(journal);
    let again = open(scratch.path());
    assert_eq!(revision(&again, "n-1"), Some(Revision(1)));
    again.close().expect("it closes");
}

#[test]
fn only_a_test_moves_the_clock_of_one_in_memory() {
    let metarecord = testing::memory().expect("it opens");
    let clock = metarecord.clock().clone();
    let (before, due) = (clock.now(), clock.now().plus_millis(1_000));
    assert_eq!(clock.now(), before);
    let put = Put::inline("1").expect("JSON").doom_at(due);
    wait(metarecord.execute(put.of(key("n-1"), "ann"))).expect("executed");
    clock.advance(5_000);
    let doom = RecordCommand::DoomIfDue;
    let doomed = wait(metarecord.execute(request(key("n-1"), "ann", doom)));
    assert_eq!(doomed.expect("it is due").record.status, Status::Doomed);
    let journal = metarecord.journal().as_ref();
    let then = as_of::record_when(journal, &key("n-1"), |body| body.origin.at <= before);
    assert_eq!(
        then.expect("read").map(|record| record.status),
        Some(Status::Active)
    );
    metarecord.close().expect("it closes");
}

#[test]
fn a_put_is_checked_as_it_is_made() {
    let tag = |put: Result<Put, metarecord::domain::Rejection>| put.err().map(|why| why.tag);
    assert_eq!(tag(Put::inline("{")), Some(ErrorTag::InvalidInput));
    let large = format!("\"{}\"", "x".repeat(INLINE_BYTES_MAX));
    assert_eq!(tag(Put::inline(large)), Some(ErrorTag::InlineTooLarge));
    let put = Put::inline("1").expect("JSON");
    assert_eq!(
        tag(put.clone().tags(&["no tag!"])),
        Some(ErrorTag::InvalidTag)
    );
    assert!(put.tags(&["TAG"]).is_ok());
    let development = Settings {
        development: true,
        ..Settings::default()
    };
    let scratch = tempfile::tempdir().expect("a directory");
    open(scratch.path()).close().expect("it closes");
    let opened = Metarecord::open_with(scratch.path(), development);
    assert!(matches!(opened, Err(EmbeddedError::Directory(_))));
}
