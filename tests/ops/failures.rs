//! Vacuums that cannot erase: they try again, give up with the reason, and leave nothing that is half there.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metarecord::actors::Refused;
use metarecord::actors::vacuum::VacuumOrder;
use metarecord::clock::{Clock, random_uuid};
use metarecord::content::local::LocalStore;
use metarecord::content::removals::Removals;
use metarecord::content::{
    ContentError, ContentStore, FoundFile, Kept, ObjectName, Promise, Receiving, Sealed, SetAside,
};
use metarecord::disk::RealDisk;
use metarecord::domain::vacuum::{Scope, Step, Vacuum, VacuumStatus};
use metarecord::domain::{ErrorTag, OrgCode, Timestamp};
use metarecord::journal::verify::verify;
use metarecord::projections::ops;
use uuid::Uuid;

use super::store::{CONTAINERS, Item, ORGS, What, canary, fill, is_anywhere, org, try_put};
use super::world::{PENDING_MS, Standing, World};
use crate::support::eventually;

/// A content store that fails to remove a number of times, and counts how often it was asked.
struct Stubborn {
    inside: LocalStore,
    failures: AtomicUsize,
    asked: AtomicUsize,
}

impl Stubborn {
    fn open(dir: &Path, failures: usize) -> Arc<Self> {
        Arc::new(Self {
            inside: LocalStore::open(Arc::new(RealDisk), &dir.join("content")).expect("it opens"),
            failures: AtomicUsize::new(failures),
            asked: AtomicUsize::new(0),
        })
    }
}

impl ContentStore for Stubborn {
    fn receive(
        &self,
        object: &ObjectName,
        promise: Promise,
    ) -> Result<Box<dyn Receiving>, ContentError> {
        self.inside.receive(object, promise)
    }

    fn settle(&self, object: &ObjectName, kept: Kept) -> Result<(), ContentError> {
        self.inside.settle(object, kept)
    }

    fn discard(&self, object: &ObjectName, kept: Kept) -> Result<(), ContentError> {
        self.inside.discard(object, kept)
    }

    fn seal(&self, object: &ObjectName) -> Result<Option<Sealed>, ContentError> {
        self.inside.seal(object)
    }

    fn duplicate(&self, object: &ObjectName, new: &ObjectName) -> Result<bool, ContentError> {
        self.inside.duplicate(object, new)
    }

    fn remove_uploads(&self, object: &ObjectName) -> Result<(), ContentError> {
        self.inside.remove_uploads(object)
    }

    fn size(&self, object: &ObjectName) -> Result<Option<u64>, ContentError> {
        self.inside.size(object)
    }

    fn read(
        &self,
        object: &ObjectName,
        from: u64,
        bytes: u64,
    ) -> Result<Option<Box<dyn Read + Send>>, ContentError> {
        self.inside.read(object, from, bytes)
    }

    fn remove(&self, object: &ObjectName) -> Result<(), ContentError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let left = |left: usize| left.checked_sub(1);
        match self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left)
        {
            Ok(_) => Err(ContentError::Io {
                action: "remove",
                place: String::new(),
                source: io::Error::other("the disk is stubborn"),
            }),
            Err(_) => self.inside.remove(object),
        }
    }

    fn stale(&self, since: Timestamp) -> Result<Vec<String>, ContentError> {
        self.inside.stale(since)
    }

    fn remove_stale(&self, since: Timestamp) -> Result<(u64, u64), ContentError> {
        self.inside.remove_stale(since)
    }

    fn set_aside_until(
        &self,
        org: &OrgCode,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<SetAside>, ContentError> {
        self.inside.set_aside_until(org, until, limit)
    }

    fn remove_set_aside(&self, object: &ObjectName) -> Result<(u64, u64), ContentError> {
        self.inside.remove_set_aside(object)
    }

    fn removals(&self) -> Removals {
        self.inside.removals()
    }

    fn orgs(&self) -> Result<Vec<OrgCode>, ContentError> {
        self.inside.orgs()
    }

    fn forget(&self, org: &OrgCode) -> Result<(), ContentError> {
        self.inside.forget(org)
    }

    fn list(&self, org: &OrgCode) -> Result<Vec<Uuid>, ContentError> {
        self.inside.list(org)
    }

    fn files(
        &self,
        org: &OrgCode,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<FoundFile>, ContentError> {
        self.inside.files(org, after, limit)
    }

    fn remove_file(&self, org: &OrgCode, place: &str) -> Result<(), ContentError> {
        self.inside.remove_file(org, place)
    }

    fn set_aside(&self, object: &ObjectName) -> Result<(), ContentError> {
        self.inside.set_aside(object)
    }
}

/// An upload and enough inline content for several segments, in the first org and in the second.
fn items() -> Vec<Item> {
    let mut items = vec![
        (0, 0, What::Upload(2_000, true)),
        (1, 0, What::Upload(2_000, true)),
    ];
    items.extend((0..40).map(|number| (number % 2, 0, What::Inline(1_000, false))));
    items
}

fn clock() -> Clock {
    Clock::manual(Timestamp::from_millis(1_800_000_000_000))
}

fn begin(world: &World) -> String {
    let request = VacuumOrder::Request {
        vacuum_id: random_uuid().to_string(),
        scope: Scope::Org(org(0)),
        dry_run: false,
        reason: "r".to_owned(),
        plan_id: None,
        override_holds: false,
    };
    let id = world.vacuum(request).expect("requested").vacuum_id;
    world.clock.advance(PENDING_MS);
    id
}

fn look(world: &World, id: &str) -> Vacuum {
    let vacuum = ops::vacuum(&world.deps.store, id).expect("it can be read");
    vacuum.expect("it is there")
}

fn end(world: &World, id: &str) -> Vacuum {
    eventually("the vacuum is over", || !look(world, id).status.is_open());
    look(world, id)
}

/// The tag and minor of the refusal of a put; `None` when it was taken.
fn refusal(world: &World, of: usize) -> Option<(ErrorTag, Option<String>)> {
    match try_put(world, of) {
        Ok(()) => None,
        Err(Refused::Rejected { rejection, .. }) => Some((rejection.tag, rejection.minor)),
        Err(other) => panic!("{other:?}"),
    }
}

fn blocked(minor: &str) -> Option<(ErrorTag, Option<String>)> {
    Some((ErrorTag::OrgWriteBlocked, Some(minor.to_owned())))
}

fn check_journal(world: &World) {
    let report = verify(&world.dir.join("journal"), false, &mut |_, _| ()).expect("it can be read");
    assert_eq!(report.problems, []);
}

#[test]
fn a_deletion_that_fails_at_first_is_tried_again() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let content = Stubborn::open(scratch.path(), 3);
    let standing = Standing::start(scratch.path(), content.clone(), clock());
    let world = &standing.world;
    fill(world, &items());
    let id = begin(world);
    let vacuum = end(world, &id);
    assert_eq!(
        (vacuum.status, vacuum.error),
        (VacuumStatus::Completed, None)
    );
    assert_eq!(content.asked.load(Ordering::SeqCst), 4);
    assert!(!is_anywhere(&world.dir, &canary(ORGS[0], CONTAINERS[0])));
}

#[test]
fn a_file_that_stays_fails_the_vacuum_with_the_reason_and_the_next_one_removes_it() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let content = Stubborn::open(scratch.path(), 7);
    let standing = Standing::start(scratch.path(), content.clone(), clock());
    let world = &standing.world;
    fill(world, &items());
    let id = begin(world);
    eventually("the content is being removed", || {
        content.asked.load(Ordering::SeqCst) > 0
    });
    assert_eq!(refusal(world, 0), blocked("vacuum-running"));
    assert_eq!(refusal(world, 1), None, "others go on");
    let failed = end(world, &id);
    assert_eq!(failed.status, VacuumStatus::Failed);
    let reason = failed.error.expect("a reason");
    assert!(reason.contains("the disk is stubborn"), "{reason}");
    assert_eq!(content.asked.load(Ordering::SeqCst), 7, "attempts");
    assert!(failed.done.contains(&Step::Database) && !failed.done.contains(&Step::Content));
    check_journal(world);
    // Nothing names the file any more, so it hinders nobody.
    eventually("changes are taken again", || refusal(world, 0).is_none());
    let again = end(world, &begin(world));
    assert_eq!(again.status, VacuumStatus::Completed);
    assert_eq!(again.services[0].amount.objects, 1);
    assert!(!is_anywhere(&world.dir, &canary(ORGS[0], CONTAINERS[0])));
    check_journal(world);
}

/// Puts a directory where the first sealed segment's successor would be written.
fn obstruct(dir: &Path) -> PathBuf {
    let names = || {
        let entries = std::fs::read_dir(dir.join("journal")).expect("the log");
        let names = entries.map(|entry| entry.expect("an entry").path());
        names.filter(|path| path.extension().is_some_and(|extension| extension == "gz"))
    };
    eventually("a segment is sealed", || names().next().is_some());
    let sealed = names().min().expect("a sealed segment");
    let temporary = PathBuf::from(format!("{}.tmp", sealed.display()));
    std::fs::create_dir(&temporary).expect("made");
    temporary
}

#[test]
fn what_is_half_erased_takes_no_changes_until_it_is_vacuumed_again() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let content = Stubborn::open(scratch.path(), 0);
    let clock = clock();
    let standing = Standing::start(scratch.path(), content.clone(), clock.clone());
    fill(&standing.world, &items());
    let obstacle = obstruct(scratch.path());
    let id = begin(&standing.world);
    let failed = end(&standing.world, &id);
    assert_eq!(
        (failed.status, failed.done),
        (VacuumStatus::Failed, vec![Step::Projections])
    );
    let half_erased = |world: &World| {
        eventually("changes are kept out", || {
            refusal(world, 0) == blocked("vacuum-failed")
        });
        assert_eq!(refusal(world, 1), None, "others go on");
        check_journal(world);
    };
    half_erased(&standing.world);
    drop(standing);
    std::fs::remove_dir(obstacle).expect("removed");
    let standing = Standing::start(scratch.path(), content, clock);
    standing.world.operations.start();
    half_erased(&standing.world);
    let again = end(&standing.world, &begin(&standing.world));
    assert_eq!((again.status, again.error), (VacuumStatus::Completed, None));
    eventually("changes are taken again", || {
        refusal(&standing.world, 0).is_none()
    });
    check_journal(&standing.world);
}
