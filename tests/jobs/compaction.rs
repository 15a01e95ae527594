//! Compaction: after a long churn the files are no larger than what is in them allows, and nothing is lost.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use metarecord::actors::{ActorDeps, ActorRegistry, Limits, RecordRequest};
use metarecord::clock::Clock;
use metarecord::domain::Timestamp;
use metarecord::domain::record::{InlineJson, RecordCommand};
use metarecord::journal::Journal;
use metarecord::journal::{Options, SledJournal};
use metarecord::projections::{Store, generation};

use super::check::{self, carry_of, key};

/// Records that live at a time.
const RECORDS: u64 = 400;
/// Rounds of changes to each of them; a round is three changes.
const ROUNDS: u64 = 40;
/// What the journal's database may have in addition to twice its last size.
const SLACK_BYTES: u64 = 2 * 1024 * 1024;
/// The files have at most so many bytes for each byte of a row.
const FACTOR_MAX: u64 = 4;
/// What the projections' tables may have in addition: rows that have changed since and wait to be merged.
const TABLES_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Bytes that the projections' engine has of changes that are not in tables yet: two journals of 64 MB.
const UNMERGED_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// sled's files have so many bytes with next to nothing in them: three segments of 512 KiB.
const EMPTY_BYTES_MAX: u64 = 3 * 512 * 1024;

/// The actors over a journal and projections on the disk.
pub(super) fn open(dir: &Path) -> (Arc<ActorDeps>, Arc<ActorRegistry>) {
    let clock = Clock::manual(Timestamp::from_millis(1_800_000_000_000));
    let journal = SledJournal::open(
        &dir.join("journal"),
        Options::default(),
        clock.clone(),
        &mut |_, _| (),
    );
    let (journal, _) = journal.expect("the journal opens");
    let runner = generation::open(
        &dir.join("projections"),
        1 << 24,
        &journal,
        &mut Vec::new(),
        &mut |_, _| (),
    );
    let runner = runner.expect("the projections open");
    let store = runner.store();
    journal.attach(Box::new(runner));
    let deps = Arc::new(ActorDeps::new(Arc::new(journal), store, clock).expect("attached"));
    (deps.clone(), ActorRegistry::open(deps, Limits::default()))
}

/// Changes each record three times.
async fn churn(deps: &ActorDeps, registry: &ActorRegistry, round: u64) {
    let due = deps.clock.now().plus_millis(60_000);
    for change in 0..3 {
        let all = (0..RECORDS).map(|number| {
            let id = format!("n-{number:04}");
            registry.execute(step(&id, round * 3 + change, due))
        });
        for answer in join_all(all).await {
            answer.expect("carried out");
        }
    }
    deps.clock.advance(1_000);
}

/// A put, and from then on another due time or another tag over the revision there is: a put over a record would leave a
/// version that is kept for a year, which is no dead space.
fn step(id: &str, revision: u64, due: Timestamp) -> RecordRequest {
    let expected = (revision > 0).then_some(metarecord::domain::Revision(revision));
    match revision % 3 {
        0 if revision == 0 => {
            let payload = Bytes::from(format!("\"{}\"", "x".repeat(300)));
            RecordRequest {
                payload: Some(InlineJson::parse(payload.clone()).expect("JSON")),
                ..carry_of(key(id), check::put_of(&payload, expected))
            }
        }
        0 | 1 => carry_of(
            key(id),
            RecordCommand::SetTtl {
                doom_at: Some(due.plus_millis((revision % 3) as i64)),
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

pub(super) fn rows(store: &Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    let rows = store.rows().map(|row| row.expect("a row"));
    rows.map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect()
}

#[test]
fn however_long_records_are_changed_the_files_level_off_and_no_row_is_lost() {
    let scratch = tempfile::tempdir().expect("a directory");
    let place = scratch.path().join("projections");
    let last = actix::System::new().block_on(async {
        let (deps, registry) = open(scratch.path());
        let store = &deps.store;
        for round in 0..ROUNDS {
            churn(&deps, &registry, round).await;
            let rows = rows(store);
            let size: usize = rows.iter().map(|(key, row)| key.len() + row.len()).sum();
            let [tables, unmerged] = bytes_of(&place);
            assert!(
                unmerged <= UNMERGED_BYTES_MAX,
                "round {round}: {unmerged} bytes"
            );
            assert!(
                tables <= size as u64 * FACTOR_MAX + TABLES_BYTES_MAX,
                "round {round}: {tables} bytes of tables for {size}"
            );
        }
        registry.close();
        registry.join();
        rows(store)
    });
    let store = Store::open(&place.join("current"), 1 << 24).expect("it opens");
    assert_eq!(rows(&store), last);
}

/// Bytes that the projections take on the disk: of rows in tables, and of changes that are in the engine's own journal still.
fn bytes_of(place: &Path) -> [u64; 2] {
    let mut bytes = [0, 0];
    for entry in std::fs::read_dir(place).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            let below = bytes_of(&path);
            bytes = [bytes[0] + below[0], bytes[1] + below[1]];
        } else if let Ok(found) = entry.metadata() {
            let is_journal = path.extension().is_some_and(|ending| ending == "jnl");
            bytes[usize::from(is_journal)] += found.blocks() * 512;
        }
    }
    bytes
}

#[test]
fn however_often_contents_are_replaced_the_journals_database_levels_off() {
    let scratch = tempfile::tempdir().expect("a directory");
    actix::System::new().block_on(async {
        let (deps, registry) = open(scratch.path());
        let journal = &deps.journal;
        let payload = |number: u64, round: u64| {
            Bytes::from(format!("[{number},{round},\"{}\"]", "y".repeat(2_000)))
        };
        let mut put_bytes = 0;
        for round in 0..ROUNDS {
            let expected = (round > 0).then_some(metarecord::domain::Revision(round));
            let all = (0..RECORDS).map(|number| {
                let (id, payload) = (format!("n-{number:04}"), payload(number, round));
                let put = check::put_of(&payload, expected);
                let execute = carry_of(key(&id), put);
                let payload = Some(InlineJson::parse(payload).expect("JSON"));
                registry.execute(RecordRequest { payload, ..execute })
            });
            for answer in join_all(all).await {
                answer.expect("carried out");
            }
            put_bytes += RECORDS * 2_000;
            let live_bytes = RECORDS * 2_100;
            let renewed_max = live_bytes * FACTOR_MAX + EMPTY_BYTES_MAX;
            let sizes = journal.sizes().expect("sizes");
            assert!(
                sizes.now <= 2 * renewed_max + SLACK_BYTES + 4 * live_bytes,
                "round {round}: {sizes:?}"
            );
        }
        let sizes = journal.sizes().expect("sizes");
        // Contents are in the log alone.
        assert!(sizes.now < put_bytes / 2, "{sizes:?}");
        // The first contents and the last are there, as they were put.
        for (number, position) in (0..RECORDS).zip(1..) {
            let first = journal.payload(position).expect("a read");
            assert_eq!(first, Some(payload(number, 0)));
            let last = position + (ROUNDS - 1) * RECORDS;
            let last = journal.payload(last).expect("a read").expect("a payload");
            assert_eq!(last.len(), payload(number, ROUNDS - 1).len());
        }
        registry.close();
        registry.join();
    });
}
