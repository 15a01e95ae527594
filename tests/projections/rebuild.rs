//! What a rebuild reports of the projections that it made.

use metarecord::projections::{Store, generation};

use super::{CACHE_BYTES, Step, What, World};

#[test]
fn a_rebuild_counts_its_entries_rows_and_differences() {
    let mut world = World::new();
    for record in 0..9 {
        let what = What::Put {
            upload: record % 2 == 0,
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
