//! Levels of free disk, the reserve file, and what uploads may still write.

use super::*;

const MIB: u64 = 1024 * 1024;

fn marks(uploads: u64, changes: u64) -> Marks {
    Marks {
        uploads,
        changes,
        reserve: 0,
        uploads_files: 1_000,
        changes_files: 500,
    }
}

/// A directory with a disk of its own making.
struct Place {
    dir: tempfile::TempDir,
    free: Arc<AtomicU64>,
}

impl Place {
    fn new(free: u64) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            free: Arc::new(AtomicU64::new(free)),
        }
    }

    fn open(&self, reserve_bytes: u64) -> (Arc<Reserve>, Receiver<()>) {
        let settings = ReserveSettings {
            uploads_min_free_bytes: 100,
            changes_min_free_bytes: 40,
            reserve_bytes,
            ..ReserveSettings::default()
        };
        let (free, path) = (Arc::clone(&self.free), self.dir.path().to_owned());
        let look = move || {
            let sizes = [FILE, START_FILE]
                .map(|name| fs::metadata(path.join(name)).map_or(0, |metadata| metadata.len()));
            let kept = sizes.iter().sum();
            Ok(Space {
                free_bytes: free.load(Ordering::Relaxed).saturating_sub(kept),
                size_bytes: 1_000,
                free_files: u64::MAX,
                files: 0,
            })
        };
        let (wake, woken) = bounded(1);
        let reserve = Reserve::new(self.dir.path(), settings, Box::new(look), wake);
        (Arc::new(reserve), woken)
    }

    fn reserve(&self) -> Option<u64> {
        let metadata = fs::metadata(self.dir.path().join(FILE)).ok()?;
        Some(metadata.len())
    }
}

#[test]
fn marks_are_a_share_of_a_small_disk_unless_they_are_set() {
    let usual = ReserveSettings::default();
    let large = usual.marks(1 << 40, 1 << 20);
    assert_eq!(
        (large.uploads, large.changes, large.reserve),
        (512 * MIB, 128 * MIB, 32 * MIB)
    );
    let small = usual.marks(40 * MIB, 2_000);
    assert_eq!(
        (small.uploads, small.changes, small.reserve),
        (4 * MIB, 2 * MIB, MIB)
    );
    assert_eq!((large.uploads_files, large.changes_files), (10_000, 1_000));
    assert_eq!((small.uploads_files, small.changes_files), (200, 100));
    let set = ReserveSettings {
        uploads_min_free_bytes: u64::MAX,
        changes_min_free_bytes: 7,
        ..usual
    };
    let set = set.marks(40 * MIB, 0);
    assert_eq!((set.uploads, set.changes), (u64::MAX, 7));
    let developing = ReserveSettings {
        development: true,
        ..usual
    };
    assert_eq!(developing.marks(1 << 40, 0).reserve, 0);
}

#[test]
fn a_level_ends_a_quarter_above_where_it_began() {
    let marks = marks(100, 40);
    let mut level = Level::Enough;
    for (free, expected) in [
        (100, Level::Enough),
        (99, Level::Low),
        (124, Level::Low),
        (125, Level::Enough),
        (39, Level::Critical),
        (49, Level::Critical),
        (50, Level::Low),
        (40, Level::Low),
        (0, Level::Critical),
        (200, Level::Enough),
    ] {
        level = marks.level(level, free, 2_000);
        assert_eq!(level, expected, "{free} bytes free");
    }
    for (free, expected) in [
        (1_249, Level::Enough),
        (999, Level::Low),
        (1_249, Level::Low),
        (499, Level::Critical),
        (624, Level::Critical),
        (625, Level::Low),
        (1_250, Level::Enough),
    ] {
        level = marks.level(level, u64::MAX, free);
        assert_eq!(level, expected, "{free} inodes free");
    }
}

#[test]
fn uploads_are_promised_only_room_above_the_first_mark() {
    let place = Place::new(160);
    let (reserve, woken) = place.open(1);
    reserve.look();
    let first = reserve.promise(40).unwrap();
    assert!(reserve.promise(21).is_none());
    let second = reserve.promise(20).unwrap();
    drop(first);
    assert!(
        woken.try_recv().is_ok(),
        "the end of an upload asks for a look"
    );
    assert!(
        reserve.promise(10).is_none(),
        "what an upload has written counts before the disk was looked at again"
    );
    reserve.look();
    let third = reserve.promise(38).unwrap();
    drop((second, third));
    place.free.store(99, Ordering::Relaxed);
    reserve.look();
    assert!(reserve.promise(1).is_none());
    assert_eq!(reserve.promised_bytes.load(Ordering::Relaxed), 0);
}

#[test]
fn the_reserve_is_deleted_on_a_full_disk_and_recreated_later() {
    let place = Place::new(200);
    let (reserve, _woken) = place.open(20);
    reserve.look();
    assert_eq!(
        (place.reserve(), reserve.level()),
        (Some(20), Level::Enough)
    );
    // The file for starts takes 20 of what is free from now on.
    assert!(place.dir.path().join(START_FILE).exists());
    place.free.store(80, Ordering::Relaxed);
    reserve.look();
    assert_eq!((place.reserve(), reserve.level()), (Some(20), Level::Low));
    place.free.store(59, Ordering::Relaxed);
    reserve.look();
    assert_eq!((place.reserve(), reserve.level()), (None, Level::Critical));
    place.free.store(160, Ordering::Relaxed);
    reserve.look();
    assert_eq!((place.reserve(), reserve.level()), (None, Level::Enough));
    place.free.store(170, Ordering::Relaxed);
    reserve.look();
    assert_eq!(
        (place.reserve(), reserve.level()),
        (Some(20), Level::Enough)
    );
    // A later start finds it, and gives it up in the same way.
    drop(reserve);
    place.free.store(50, Ordering::Relaxed);
    let (reserve, _woken) = place.open(20);
    reserve.look();
    assert_eq!((place.reserve(), reserve.level()), (None, Level::Critical));
}
