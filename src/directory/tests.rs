//! Tests of the marker and the lock of a data directory.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn who_only_looks_at_the_lock_keeps_nobody_from_taking_it() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("data");
    drop(open(&root, false, &[]).unwrap());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut held = 0;
            while !over.load(Ordering::SeqCst) {
                held += u32::from(holder(&root).unwrap().is_some());
            }
            held
        });
        let taken: Vec<_> = (0..2_000)
            .map(|_| open(&root, false, &[]).map(drop))
            .collect();
        over.store(true, Ordering::SeqCst);
        assert!(taken.iter().all(Result::is_ok));
        assert!(looking.join().unwrap() > 0, "it was seen to be held");
    });
    let held = open(&root, false, &[]).unwrap();
    let told = format!("process {}", std::process::id());
    assert_eq!(holder(&root).unwrap(), Some(told));
    assert!(matches!(
        open(&root, false, &[]),
        Err(DirectoryError::Held { .. })
    ));
    drop(held);
    assert_eq!(holder(&root).unwrap(), None);
}
