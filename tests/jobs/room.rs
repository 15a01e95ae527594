//! The journal's database has grown and cannot be compacted: there may not be enough room for a copy.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use metarecord::actors::jobs::compaction::Compaction;
use metarecord::actors::jobs::{Job, Step, StepContext};
use metarecord::actors::{ActorDeps, RecordRequest};
use metarecord::domain::record::InlineJson;

use super::check::{carry_of, key, put_of};
use super::compaction::{open, rows};

/// What a database may have in addition to twice its last size.
const SLACK_BYTES: u64 = 16 * 1024 * 1024;
/// The least that is put into a database's directory in addition to what belongs there.
const LARGE_BYTES: u64 = 4 * SLACK_BYTES;
/// How many names a file gets at most: file systems allow more.
const NAMES_MAX: u64 = 10_000;

/// The generation in use below a database's directory.
fn generation(root: &Path) -> PathBuf {
    let number = fs::read_to_string(root.join("generation")).expect("a number");
    root.join(number.trim())
}

/// Has a directory hold more than twice what is free: by one file, which is counted under each of its names. Returns all but
/// the first of them.
fn fill(dir: &Path, free: u64) -> Vec<PathBuf> {
    let bytes = LARGE_BYTES.max(free * 2 / NAMES_MAX);
    let first = dir.join("large");
    let file = File::create(&first).expect("a file");
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes).expect("room");
    let names = (0..=free * 2 / bytes).map(|number| dir.join(format!("large-{number}")));
    names
        .inspect(|name| fs::hard_link(&first, name).expect("another name"))
        .collect()
}

fn names(dir: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory");
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

/// Finds that the database is left alone while it would not fit twice, and compacted when it does.
fn check(root: &Path, compaction: &Compaction, deps: &ActorDeps) {
    let store = &deps.store;
    let (before, there) = (rows(store), names(root));
    let free = deps.journal.sizes().expect("sizes").free;
    let more = fill(&generation(root), free);
    for _ in 0..2 {
        let Step::Failed(error) = compaction.step(None, &StepContext::default()) else {
            panic!("there is no room for it");
        };
        let told = error.to_string();
        assert!(told.starts_with("the journal's database has "), "{told}");
        assert!(told.contains("may not be enough"), "{told}");
        assert_eq!((rows(store), names(root)), (before.clone(), there.clone()));
    }
    for name in more {
        fs::remove_file(name).expect("removed");
    }
    let Step::Done { counts, .. } = compaction.step(None, &StepContext::default()) else {
        panic!("there is room for it");
    };
    assert_eq!(counts["databases"], 1);
    assert!(counts["freed_bytes"] >= LARGE_BYTES / 2, "{counts:?}");
    assert_eq!(rows(store), before);
    assert!(!generation(root).join("large").exists());
    assert!(!there.contains(&generation(root)), "it was made anew");
}

#[test]
fn a_database_that_may_not_fit_twice_is_left_alone_and_its_job_says_so() {
    let scratch = tempfile::tempdir().expect("a directory");
    actix::System::new().block_on(async {
        let (deps, registry) = open(scratch.path());
        for id in ["n-1", "n-2"] {
            let payload = Bytes::from(format!("{id:?}"));
            let put = carry_of(key(id), put_of(&payload, None));
            let payload = Some(InlineJson::parse(payload).expect("JSON"));
            registry
                .execute(RecordRequest { payload, ..put })
                .await
                .expect("put");
        }
        let compaction = Compaction::new(&deps, SLACK_BYTES);
        check(&scratch.path().join("journal/sled"), &compaction, &deps);
        let payload = deps.journal.payload(2).expect("a read");
        assert_eq!(payload, Some(Bytes::from_static(b"\"n-2\"")));
        registry.close();
        registry.join();
    });
}
