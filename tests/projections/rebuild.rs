//! What a rebuild reports of the projections that it made, and which projections are rebuilt at a start.

use std::fs;
use std::path::Path;

use metarecord::projections::{Store, generation};

use super::{CACHE_BYTES, Step, What, World};

#[test]
fn a_rebuild_counts_its_entries_rows_and_differences() {
    let world = filled(|record| record % 2 == 0);
    let rows = world.live.rows().count() as u64;
    assert!(rows > 9, "{rows} rows");
    let directory = world.scratch.path().join("generations");
    let rebuild = || {
        generation::rebuild(&directory, CACHE_BYTES, &*world.journal, &mut |_, _| {})
            .expect("a rebuild")
    };
    let first = rebuild();
    assert_eq!(
        (first.entries, first.rows, first.differing),
        (9, rows, None),
        "there was nothing to compare with"
    );
    let mut notices = Vec::new();
    let journal = &*world.journal;
    let runner = generation::open(
        &directory,
        CACHE_BYTES,
        journal,
        &mut notices,
        &mut |_, _| {},
    )
    .expect("it can be opened");
    assert_eq!(notices, [] as [String; 0]);
    let store: Store = runner.store().clone();
    let (key, _) = store.rows().next().expect("a row").expect("a row");
    let mut writes = vec![(key.to_vec(), None)];
    store.write(&mut writes).expect("it is removed");
    drop((runner, store));
    let second = rebuild();
    assert_eq!(
        (second.entries, second.rows, second.differing),
        (9, rows, Some(1))
    );
}

/// A world with some records, of which some wait for an upload.
fn filled(upload: fn(usize) -> bool) -> World {
    let mut world = World::new();
    for record in 0..9 {
        let what = What::Put {
            upload: upload(record),
            tags: vec![1, 2],
            ttl_ms: None,
            cccode: false,
        };
        let step = Step {
            record,
            what,
            advance_ms: 1,
            remembered: true,
        };
        world.carry_out(record, &step);
    }
    world
}

/// Opens the projections of a directory as a start does. Returns the notices, and how often progress was told.
fn start(world: &World, directory: &Path) -> (Store, Vec<String>, u64) {
    let (mut notices, mut told) = (Vec::new(), 0);
    let runner = generation::open(
        directory,
        CACHE_BYTES,
        &*world.journal,
        &mut notices,
        &mut |_, _| told += 1,
    )
    .expect("it opens");
    (runner.store(), notices, told)
}

fn same(world: &World, store: &Store) {
    let differing = generation::differing_rows(&world.live, store, &generation::prefixes());
    assert_eq!(differing.expect("they can be read"), 0);
}

#[test]
fn projections_of_an_earlier_program_are_removed_and_rebuilt() {
    let world = filled(|_| false);
    let directory = world.scratch.path().join("earlier");
    let current = directory.join("current");
    {
        let database = sled::Config::new().path(current.join("1"));
        let database = database.open().expect("a database of sled");
        let rows = database.open_tree("rows").expect("a tree");
        for row in world.live.rows() {
            let (key, value) = row.expect("a row");
            rows.insert(&*key, &*value).expect("written");
        }
        let checkpoint = 4_u64.to_be_bytes();
        rows.insert(b"~checkpoint", &checkpoint).expect("written");
        rows.insert(b"~manifest", generation::manifest().as_bytes())
            .expect("written");
        database.flush().expect("flushed");
    }
    fs::write(current.join("generation"), "1\n").expect("named");
    fs::write(current.join("renewed"), "1 1572864 4096\n").expect("noted");
    assert!(current.join("1/db").is_file() && current.join("1/conf").is_file());
    let (store, notices, told) = start(&world, &directory);
    assert!(
        notices.len() == 1 && notices[0].contains("earlier version of this program"),
        "{notices:?}"
    );
    assert!(told > 0);
    same(&world, &store);
    assert!(!current.join("1/db").exists() && !current.join("1/conf").exists());
    drop(store);
    let (store, notices, told) = start(&world, &directory);
    assert_eq!((notices.len(), told), (0, 0), "once is enough");
    same(&world, &store);
}

#[test]
fn projections_with_a_damaged_table_are_rebuilt() {
    let world = filled(|_| false);
    let directory = world.scratch.path().join("damaged");
    let (store, _, _) = start(&world, &directory);
    store.flush().expect("in tables");
    drop(store);
    let tables = directory.join("current/1/keyspaces/1/tables");
    let table = fs::read_dir(tables).expect("a directory").next();
    let table = table.expect("a table").expect("a table").path();
    let mut bytes = fs::read(&table).expect("a file");
    bytes[100] ^= 0x10;
    fs::write(&table, bytes).expect("damaged");
    let (store, notices, _) = start(&world, &directory);
    assert!(
        notices.len() == 1 && notices[0].contains("rebuilding the projections"),
        "{notices:?}"
    );
    same(&world, &store);
}

#[test]
fn projections_that_end_every_start_are_rebuilt() {
    let world = filled(|_| false);
    let directory = world.scratch.path().join("ending");
    start(&world, &directory);
    let noted = directory.join("opening");
    assert!(!noted.exists());
    for (times, is_rebuilt) in [("1", false), ("2", true), ("no number", false)] {
        fs::write(&noted, times).expect("as starts leave it");
        let (store, notices, told) = start(&world, &directory);
        assert_eq!((notices.len() == 1, told > 0), (is_rebuilt, is_rebuilt));
        same(&world, &store);
        assert!(!noted.exists());
    }
}
