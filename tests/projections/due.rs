//! What the sweep finds is exactly what is due, in the order of its times, a few rows at a time.

use metarecord::domain::record::Status;
use metarecord::projections::due;
use proptest::prelude::{ProptestConfig, proptest};

use super::{World, steps};

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_sweep_finds_what_is_due_and_nothing_else(
        steps in steps(),
        later_ms in 0..300_i64,
        due_max in 1..4_usize,
        rows_max in 1..6_usize,
    ) {
        let mut world = World::new();
        for (number, step) in steps.iter().enumerate() {
            world.carry_out(number, step);
        }
        let now = world.clock.now().plus_millis(later_ms);
        let mut wanted = Vec::new();
        for slot in &world.slots {
            let (key, record) = (&slot.key, slot.record.as_ref());
            let lives = record.filter(|record| record.status != Status::Doomed);
            let due_at = lives.and_then(|record| record.doom_at);
            if let Some(at) = due_at.filter(|at| *at <= now) {
                let stream = format!("mrs/{}/{}/{}", key.org, key.container, key.record_id);
                wanted.push((at, stream));
            }
        }
        wanted.sort();
        let (mut found, mut from) = (Vec::new(), None);
        loop {
            let walk = due::walk(&world.live, from.as_deref(), now, (due_max, rows_max), |_| false);
            let walk = walk.expect("it can be read");
            assert!(walk.due.len() <= due_max.min(rows_max));
            found.extend(walk.due);
            if !walk.more {
                break;
            }
            from = walk.seen;
        }
        let wanted: Vec<_> = wanted.into_iter().map(|(_, stream)| stream).collect();
        assert_eq!(found, wanted);
    }
}
