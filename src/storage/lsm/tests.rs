//! The engine by itself: crashes, damage, rewriting, and what files it takes for its own.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::tempdir;

use super::{Database, JOURNAL_BYTES, is_foreign};
use crate::storage::StorageError;
use crate::storage::generation::{Keep, Settings};

const SETTINGS: Settings = Settings {
    cache_bytes: 1 << 20,
    flush_every_ms: None,
    tables: &["records", "lists"],
    other_files: &[],
};
/// Rows of each table in a batch.
const ROWS: u64 = 4;

fn open(root: &Path) -> Database {
    Database::open(root, SETTINGS).expect("it opens")
}

/// A key that tells the batch, and a value that is long enough to fill memory and is nowhere else.
fn row(batch: u64, number: u64) -> (Vec<u8>, Vec<u8>) {
    let name = format!("batch-{batch:06}-{number}");
    (name.clone().into_bytes(), name.repeat(40).into_bytes())
}

/// Writes a batch of rows of both tables, with its number in each.
fn write(database: &Database, batch: u64) -> Result<(), StorageError> {
    let at = batch.to_be_bytes();
    let rows: Vec<_> = (0..ROWS).map(|number| row(batch, number)).collect();
    database.write(|into| {
        let both = rows.iter().flat_map(|(key, value)| {
            [0, 1].map(|table| (table, key.as_slice(), Some(value.as_slice())))
        });
        let end = [0, 1].map(|table| (table, b"~".as_slice(), Some(at.as_slice())));
        into.commit(both.chain(end))
    })
}

/// The last batch; both tables have all rows up to it and none beyond.
fn last(database: &Database) -> u64 {
    let lasts = [0, 1].map(|table| {
        let rows = database.rows_from(table, b"");
        let rows: Vec<_> = rows.map(|row| row.expect("a row")).collect();
        let (end, rows) = match rows.split_last() {
            Some(((key, value), rows)) => {
                assert_eq!(&**key, b"~");
                (
                    u64::from_be_bytes((**value).try_into().expect("a number")),
                    rows,
                )
            }
            None => (0, &[][..]),
        };
        let wanted = (1..=end).flat_map(|batch| (0..ROWS).map(move |number| row(batch, number)));
        assert!(
            rows.iter()
                .map(|(key, value)| (key.to_vec(), value.to_vec()))
                .eq(wanted)
        );
        end
    });
    assert_eq!(lasts[0], lasts[1]);
    lasts[0]
}

fn copy(from: &Path, to: &Path) {
    crate::disk::copy_directory(from, to).expect("a copy");
}

/// Every file below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory").flatten();
    let found = entries.flat_map(|entry| match entry.path() {
        path if path.is_dir() => files(&path),
        path => vec![path],
    });
    found.collect()
}

fn is_anywhere(dir: &Path, text: &str) -> bool {
    files(dir).iter().any(|file| {
        let bytes = fs::read(file).expect("a file");
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    })
}

#[test]
fn many_batches_are_all_there_when_it_is_opened_again() {
    let scratch = tempdir().unwrap();
    let batches = 3_000;
    {
        let database = open(scratch.path());
        (1..=batches).for_each(|batch| write(&database, batch).unwrap());
        assert_eq!(last(&database), batches);
    }
    for table in ["1/keyspaces/1/tables", "1/keyspaces/2/tables"] {
        let moved = files(&scratch.path().join(table));
        assert!(!moved.is_empty(), "rows have moved from memory to {table}");
    }
    assert_eq!(last(&open(scratch.path())), batches);
}

#[test]
fn a_journal_that_ends_anywhere_gives_a_prefix_of_the_batches() {
    // Batches that are in tables too.
    for flushed in [0, 25] {
        let scratch = tempdir().unwrap();
        let good = scratch.path().join("good");
        let batches = 60;
        {
            let database = open(&good);
            for batch in 1..=batches {
                write(&database, batch).unwrap();
                if batch == flushed {
                    database.flush().unwrap();
                }
            }
        }
        let journal = Path::new("1/0.jnl");
        let bytes = fs::read(good.join(journal)).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        let mut found = Vec::new();
        for part in 0..=12 {
            let cut = scratch.path().join(format!("cut-{part}"));
            copy(&good, &cut);
            fs::write(cut.join(journal), &bytes[..used * part / 12]).unwrap();
            found.push(last(&open(&cut)));
        }
        assert!(found.is_sorted(), "{found:?}");
        assert_eq!((found[0], found[12]), (flushed, batches));
    }
}

#[test]
fn rows_that_a_rewrite_leaves_out_are_in_no_file() {
    let scratch = tempdir().unwrap();
    let database = open(scratch.path());
    (1..=30).for_each(|batch| write(&database, batch).unwrap());
    let gone = "batch-000007-2";
    let values = gone.repeat(2);
    database.flush().unwrap();
    assert!(is_anywhere(scratch.path(), &values));
    let mut keep = |_: usize, key: &[u8], _: &[u8]| {
        if key == gone.as_bytes() {
            Keep::Not
        } else {
            Keep::Same
        }
    };
    let mut meanwhile = Some(31);
    let rewritten = database.rewrite(&mut keep, &mut |_| {
        // A write meanwhile goes to both.
        if let Some(batch) = meanwhile.take() {
            write(&database, batch).unwrap();
        }
        true
    });
    assert!(rewritten.unwrap());
    assert!(!scratch.path().join("1").exists());
    assert!(!is_anywhere(scratch.path(), gone));
    assert!(is_anywhere(scratch.path(), "batch-000007-1"));
    drop(database);
    let database = open(scratch.path());
    for table in [0, 1] {
        assert!(database.get(table, gone.as_bytes()).unwrap().is_none());
        assert_eq!(database.rows_from(table, b"").count() as u64, 31 * ROWS);
    }
}

#[test]
fn files_do_not_grow_with_rows_that_are_overwritten() {
    let scratch = tempdir().unwrap();
    let database = open(scratch.path());
    let value = vec![7; 4_000];
    let rounds = 8_000_u64;
    for round in 0..rounds {
        let key = [(round % 16) as u8];
        database
            .write(|into| into.commit([(0, key.as_slice(), Some(value.as_slice()))]))
            .unwrap();
    }
    database.flush().unwrap();
    let bytes = crate::disk::used_bytes(scratch.path());
    let written = rounds * value.len() as u64;
    assert!(bytes < written + JOURNAL_BYTES / 4, "{bytes} of {written}");
    let tables = crate::disk::used_bytes(&scratch.path().join("1/keyspaces"));
    assert!(tables < written / 4, "{tables} of {written}");
}

#[test]
fn files_of_another_engine_are_told_from_its_own() {
    let scratch = tempdir().unwrap();
    assert!(!is_foreign(&scratch.path().join("nothing")).unwrap());
    let own = scratch.path().join("own");
    drop(open(&own));
    assert!(!is_foreign(&own).unwrap());
    let other = scratch.path().join("other");
    let settings = Settings {
        flush_every_ms: Some(1_000),
        ..SETTINGS
    };
    drop(crate::storage::Database::open(&other, settings).unwrap());
    assert!(is_foreign(&other).unwrap());
}

#[test]
fn a_directory_that_is_not_expected_is_an_error() {
    let scratch = tempdir().unwrap();
    drop(open(scratch.path()));
    let strange = scratch.path().join("1/keyspaces/lost+found");
    fs::create_dir(&strange).unwrap();
    let opened = Database::open(scratch.path(), SETTINGS);
    assert!(matches!(opened, Err(StorageError::Engine(told)) if told.contains("lost+found")));
    fs::remove_dir(strange).unwrap();
    open(scratch.path());
}

#[test]
fn a_database_is_opened_by_one_at_a_time() {
    let scratch = tempdir().unwrap();
    let database = open(scratch.path());
    let second = Database::open(scratch.path(), SETTINGS);
    assert!(
        matches!(second, Err(StorageError::Io(error)) if error.to_string().contains("open elsewhere"))
    );
    let waits = std::thread::scope(|scope| {
        let waits = scope.spawn(|| Database::open(scratch.path(), SETTINGS));
        drop(database);
        waits.join().unwrap()
    });
    waits.expect("it opens once the other has closed it");
}
