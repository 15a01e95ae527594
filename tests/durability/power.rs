//! Power cuts: whatever pages and names survive beyond what was synced, nothing acknowledged is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use metarecord::content::local::LocalStore;
use metarecord::content::{ContentStore, ObjectName, Promise};
use metarecord::disk::RealDisk;
use metarecord::domain::{Md5, OrgCode};
use metarecord::journal::verify::verify;
use metarecord::journal::{Journal, Outcome};
use uuid::Uuid;

use crate::journal::support::{
    append, done, outcome, power_was_cut, small_segments, stream, try_open, with_payload,
};
use crate::support::dice::Dice;
use crate::support::power::RecordingDisk;

/// Cut points tried; the seed of each is its number.
const CUTS: u64 = 300;
/// Times the journal and the store are opened and closed while recording.
const OPENINGS: usize = 3;
/// Groups of entries, or uploads, in each.
const ROUNDS: usize = 24;
/// Objects that uploads go to; a later upload takes the place of an earlier one until one is the object.
const OBJECTS: u64 = 9;
const SEGMENT_BYTES: u64 = 24 * 1024;

/// What the callers know, in order.
enum Fact {
    /// This position is durable.
    Appended(u64),
    /// An upload of these bytes begins.
    Sent(u64, Bytes),
    /// The upload that began last is kept.
    Kept(u64),
    /// The upload that was kept last is the object.
    Sealed(u64),
    /// The object may go from now on.
    LetGo(u64),
}

fn object(number: u64) -> ObjectName {
    ObjectName {
        org: OrgCode::parse(if number.is_multiple_of(3) {
            "demo"
        } else {
            "other"
        })
        .expect("an org code"),
        object_id: Uuid::from_u128(u128::from(number % 4) << 120 | u128::from(number)),
    }
}

fn gzip(dice: &mut Dice) -> Bytes {
    let bytes: Vec<u8> = (0..dice.below(20_000))
        .map(|_| dice.below(256) as u8)
        .collect();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&bytes).expect("in memory");
    encoder.finish().expect("in memory").into()
}

/// Works on a journal and a store until everything was opened and closed a few times.
fn record(root: &Path, disk: &RecordingDisk) -> Vec<Fact> {
    let (mut dice, mut facts, mut version) = (Dice::new(7), Vec::new(), 0);
    let mut sealed = BTreeSet::new();
    for _ in 0..OPENINGS {
        let mut options = small_segments(SEGMENT_BYTES);
        options.disk = Arc::new(disk.clone());
        let (journal, _) = try_open(&root.join("journal"), options).expect("it opens");
        let store = LocalStore::open(Arc::new(disk.clone()), &root.join("content"));
        let store = store.expect("it opens");
        let mut tell = |fact| {
            facts.push(fact);
            disk.told();
        };
        for round in 0..ROUNDS {
            let number = dice.below(OBJECTS);
            if dice.below(6) == 0 {
                tell(Fact::LetGo(number));
                store.remove(&object(number)).expect("it goes");
                sealed.remove(&number);
            } else if dice.below(2) == 0 && !sealed.contains(&number) {
                let gz = gzip(&mut dice);
                tell(Fact::Sent(number, gz.clone()));
                let promise = Promise {
                    size: gz.len() as u64,
                    md5: Md5::of(&gz),
                    sha256: None,
                    decoded_bytes_max: None,
                };
                let mut upload = store.receive(&object(number), promise).expect("begun");
                for part in gz.chunks(5000) {
                    upload.take(part).expect("taken");
                }
                let kept = upload.keep().expect("kept");
                tell(Fact::Kept(number));
                store.settle(&object(number), kept).expect("settled");
                if dice.below(3) == 0 {
                    store.seal(&object(number)).expect("it is the object");
                    tell(Fact::Sealed(number));
                    sealed.insert(number);
                    let uploads = store.remove_uploads(&object(number));
                    uploads.expect("they go");
                }
            }
            let group: Vec<_> = (0..=dice.below(8))
                .map(|_| {
                    let size = [0, 10, 3000, 9000][dice.below(4) as usize];
                    let payload: Vec<u8> = (0..size).map(|_| dice.below(256) as u8).collect();
                    version += 1;
                    journal.append(with_payload("a", version - 1, &payload))
                })
                .collect();
            for pending in group {
                match outcome(pending) {
                    Outcome::Appended { position, .. } => tell(Fact::Appended(position)),
                    other => panic!("{other:?}"),
                }
            }
            if round % 6 == 0 {
                disk.look_at_database();
            }
        }
        journal.close().expect("it closes");
    }
    facts
}

#[test]
fn a_power_cut_takes_nothing_back_that_was_acknowledged() {
    let recorded = tempfile::tempdir().expect("a temporary directory");
    let disk = RecordingDisk::new(recorded.path(), "journal/sled", "journal/state.json.tmp");
    fs::create_dir_all(recorded.path().join("journal")).expect("made");
    let facts = record(recorded.path(), &disk);
    for seed in 0..CUTS {
        let mut dice = Dice::new(seed + 1);
        let at = match seed {
            0 => disk.steps(),
            _ => dice.below(disk.steps() as u64 + 1) as usize,
        };
        let dir = tempfile::tempdir().expect("a temporary directory");
        let told = disk.cut_power(at, dir.path(), &mut dice);
        let what = format!("seed {seed}, cut at step {at}");
        check_journal(
            &dir.path().join("journal"),
            &facts[..told],
            &what,
            seed % 8 == 0,
        );
        check_content(&dir.path().join("content"), &facts[..told], &what);
    }
}

fn check_journal(dir: &Path, facts: &[Fact], what: &str, whole: bool) {
    let marker = dir.join("state.json");
    let clean = fs::read_to_string(&marker).is_ok_and(|text| text.contains("\"clean\":true"));
    if marker.exists() && !clean {
        power_was_cut(dir);
    }
    let acknowledged = facts.iter().filter_map(|fact| match fact {
        Fact::Appended(position) => Some(*position),
        Fact::Sent(..) | Fact::Kept(_) | Fact::Sealed(_) | Fact::LetGo(_) => None,
    });
    let acknowledged = acknowledged.max().unwrap_or(0);
    let opened = try_open(dir, small_segments(SEGMENT_BYTES));
    let (journal, _) = opened.unwrap_or_else(|error| panic!("{what}: it does not open: {error}"));
    let head = journal.head().position;
    assert!(
        head >= acknowledged,
        "{what}: {acknowledged} was acknowledged, {head} is left"
    );
    let entries = journal.read(1, usize::MAX).expect("it can be read");
    assert_eq!(entries.len() as u64, head, "{what}");
    let version = journal.version(&stream("a")).expect("it can be read");
    assert_eq!(version, head, "{what}");
    done(&journal, append("a", head));
    drop(journal);
    if whole {
        let report = verify(dir, true, &mut |_, _| ()).expect("it can be read");
        assert_eq!(report.problems, [], "{what}");
    }
}

/// What may be at an object's place: `None` when nothing may, as it was kept and not removed.
#[derive(Default)]
struct Place<'a> {
    kept: Option<&'a Bytes>,
    maybe: Vec<&'a Bytes>,
    may_be_gone: bool,
    is_sealed: bool,
}

fn check_content(root: &Path, facts: &[Fact], what: &str) {
    let mut places: BTreeMap<u64, Place<'_>> = BTreeMap::new();
    for fact in facts {
        match fact {
            Fact::Sent(number, bytes) => places.entry(*number).or_default().maybe.push(bytes),
            Fact::Kept(number) => {
                let place = places.entry(*number).or_default();
                place.kept = place.maybe.pop();
                // An answered upload has taken the place of whatever was there before it.
                place.maybe.clear();
                place.may_be_gone = false;
                place.is_sealed = false;
            }
            Fact::LetGo(number) => places.entry(*number).or_default().may_be_gone = true,
            Fact::Sealed(number) => places.entry(*number).or_default().is_sealed = true,
            Fact::Appended(_) => {}
        }
    }
    let store = LocalStore::open(Arc::new(RealDisk), root).expect("it opens");
    let left = fs::read_dir(root.join("tmp")).expect("it is there").count();
    assert_eq!(left, 0, "{what}: uploads that were cut are cleared away");
    for number in 0..OBJECTS {
        let place = places.remove(&number).unwrap_or_default();
        if place.is_sealed && !place.may_be_gone {
            let there = store.read(&object(number), 0, 1).expect("it can be read");
            assert!(
                there.is_some(),
                "{what}: object {number} was sealed and is gone"
            );
        }
        store.seal(&object(number)).expect("it can be sealed");
        let found = store
            .read(&object(number), 0, u64::MAX)
            .expect("it can be read");
        let Some(mut found) = found else {
            let fine = place.kept.is_none() || place.may_be_gone;
            assert!(fine, "{what}: object {number} was kept and is gone");
            continue;
        };
        let mut bytes = Vec::new();
        found.read_to_end(&mut bytes).expect("it can be read");
        let mut whole = place.kept.into_iter().chain(place.maybe);
        assert!(
            whole.any(|sent| *sent == bytes),
            "{what}: object {number} is none of those that can be there"
        );
    }
}
