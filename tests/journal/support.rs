//! What the journal's tests share: appends to make, journals to open, directories to copy.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use metarecord::clock::Clock;
use metarecord::domain::record::RecordEvent;
use metarecord::domain::{Event, StreamId, Tag, Timestamp};
use metarecord::journal::{
    Append, Entry, Journal, JournalError, Origin, Outcome, Pending, Remarks, Source,
};
use metarecord::journal::{Options, SledJournal};

pub(crate) fn clock() -> Clock {
    Clock::manual(Timestamp::from_millis(1_700_000_000_000))
}

pub(crate) fn stream(name: &str) -> StreamId {
    StreamId::named(name)
}

pub(crate) fn append(name: &str, expected: u64) -> Append {
    Append {
        stream: stream(name),
        expected,
        guards: Vec::new(),
        events: vec![Event::Record(RecordEvent::TagsAdded {
            tags: vec![Tag::parse("RED").unwrap()],
        })],
        payload: None,
        idempotency: None,
        origin: Origin {
            at: Timestamp::from_millis(1_699_999_999_999),
            by: "u-1 \"quoted\" ü".to_owned(),
            request_id: "r-1".to_owned(),
            source: Source::Gateway,
            remarks: Remarks {
                reason: Some("because\nof that".to_owned()),
                ..Remarks::default()
            },
        },
    }
}

pub(crate) fn with_payload(name: &str, expected: u64, payload: &[u8]) -> Append {
    Append {
        payload: Some(Bytes::copy_from_slice(payload)),
        ..append(name, expected)
    }
}

/// Waits for an outcome; a closed channel means unavailable.
pub(crate) fn outcome(pending: Pending) -> Outcome {
    pending.blocking_recv().unwrap_or(Outcome::Unavailable)
}

pub(crate) fn done(journal: &dyn Journal, append: Append) -> u64 {
    match outcome(journal.append(append)) {
        Outcome::Appended { position, .. } => position,
        other => panic!("not appended: {other:?}"),
    }
}

pub(crate) fn small_segments(segment_bytes: u64) -> Options {
    Options {
        segment_bytes,
        cache_bytes: 1024 * 1024,
        ..Options::default()
    }
}

pub(crate) fn try_open(
    dir: &Path,
    options: Options,
) -> Result<(SledJournal, Vec<String>), JournalError> {
    SledJournal::open(dir, options, clock(), &mut |_, _| ())
}

pub(crate) fn open(dir: &Path) -> (SledJournal, Vec<String>) {
    try_open(dir, small_segments(1024 * 1024)).unwrap()
}

pub(crate) fn all(journal: &dyn Journal) -> Vec<Entry> {
    journal.read(1, usize::MAX).unwrap()
}

/// What a killed process leaves: every file as it is now.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_name() != "lock" {
            // A file may be sealed or renamed between listing and copying; it is then there under its other name.
            let _ = fs::copy(entry.path(), target);
        }
    }
}

/// The marker as the machine's going down leaves it: open, and from another run.
pub(crate) fn power_was_cut(dir: &Path) {
    fs::write(
        dir.join("state.json"),
        r#"{"format_version":1,"boot_id":"another","clean":false}"#,
    )
    .unwrap();
}

/// The names of a directory's files that end so.
pub(crate) fn files(dir: &Path, ending: &str) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(ending))
        .collect();
    names.sort();
    names
}

/// Waits until no full segment is plain any more.
pub(crate) fn wait_until_sealed(dir: &Path) {
    while files(dir, ".jsonl").len() > 1 || !files(dir, ".tmp").is_empty() {
        std::thread::yield_now();
    }
}
