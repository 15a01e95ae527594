//! The jobs that remove what need not be kept: abandoned uploads, entries of tags' lists, and what cleanup removes. They
//! visit all containers and leave the work to [`Upkeep`].

use std::future::Future;
use std::sync::Arc;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::{Job, Place, Step, StepContext, counted};
use crate::actors::Caller;
use crate::actors::upkeep::{Page, Place as Container, Upkeep};
use crate::actors::{ActorDeps, Refused};
use crate::domain::job::Counts;
use crate::projections::records;

/// Items of a container read in one step, some milliseconds' worth.
const STEP_ITEMS: usize = 128;
/// Between two runs over the uploads, in milliseconds: a minute, for a promise counts against its org's quota.
const ABANDONED_MS: i64 = 60 * 1_000;
/// Between two scrubs, in milliseconds: an hour.
const SCRUB_MS: i64 = 60 * 60 * 1_000;
/// Between two cleanups, in milliseconds: a day.
const CLEANUP_MS: i64 = 24 * 60 * 60 * 1_000;
/// Containers that are walked at a time: what is found in them is made durable together.
const PARALLEL_MAX: usize = 8;

/// Dooms records whose first content never came, and gives other uploads up that are overdue.
pub struct AbandonedUploads(pub Arc<Upkeep>);

/// Removes entries of records long doomed from the tags' lists.
pub struct TagScrub(pub Arc<ActorDeps>, pub Arc<Upkeep>);

/// Removes content and first answers whose retention has passed.
pub struct Cleanup(pub Arc<ActorDeps>, pub Arc<Upkeep>);

impl Job for AbandonedUploads {
    fn name(&self) -> &'static str {
        "abandoned-uploads"
    }

    fn purpose(&self) -> &'static str {
        "Dooms records whose upload never arrived, and removes remains of interrupted uploads."
    }

    fn every_ms(&self) -> Option<i64> {
        Some(ABANDONED_MS)
    }

    fn destroys(&self) -> bool {
        true
    }

    fn step(&self, from: Option<&Place>, _: &StepContext) -> Step {
        let page = page(from.and_then(passing));
        let done = match wait(self.0.abandoned(&page, &Caller::job(self.name()))) {
            Ok(done) => done.unwrap_or_default(),
            Err(error) => return Step::failed(error),
        };
        let leftovers = match from {
            // Once a run.
            None => wait(self.0.remove_leftovers()),
            Some(_) => Ok(None),
        };
        let (files, bytes) = match leftovers {
            Ok(leftovers) => leftovers.unwrap_or_default(),
            Err(error) => return Step::failed(error),
        };
        let counts = counted([
            ("doomed", done.doomed as u64),
            ("given_up", done.given_up as u64),
            ("files", files),
            ("bytes", bytes),
        ]);
        after(done.next, counts)
    }
}

impl Job for TagScrub {
    fn name(&self) -> &'static str {
        "tag-scrub"
    }

    fn purpose(&self) -> &'static str {
        "Removes tag index entries of records doomed long ago."
    }

    fn every_ms(&self) -> Option<i64> {
        Some(SCRUB_MS)
    }

    fn destroys(&self) -> bool {
        true
    }

    fn step(&self, from: Option<&Place>, _: &StepContext) -> Step {
        let caller = &Caller::job(self.name());
        in_parallel(&self.0, from, async |container, page| {
            let done = self.1.scrub(&container, &page, caller).await?;
            let counts = counted([("removed", done.removed as u64)]);
            Ok((done.next, counts))
        })
    }
}

impl Job for Cleanup {
    fn name(&self) -> &'static str {
        "cleanup"
    }

    fn purpose(&self) -> &'static str {
        "Removes earlier content, remains of uploads and remembered first answers whose retention has passed."
    }

    fn every_ms(&self) -> Option<i64> {
        Some(CLEANUP_MS)
    }

    fn destroys(&self) -> bool {
        true
    }

    fn step(&self, from: Option<&Place>, _: &StepContext) -> Step {
        let caller = &Caller::job(self.name());
        let leftovers_ms = self.1.settings().retention.leftovers_ms;
        in_parallel(&self.0, from, async |container, page| {
            let cleanup = self.1.cleanup(&container, &page, leftovers_ms, caller);
            let done = cleanup.await?;
            let counts = counted([
                ("versions", done.removed.versions),
                ("doomed_content", done.removed.doomed_content),
                ("uploads", done.removed.uploads),
                ("idempotency", done.removed.idempotency),
                ("bytes", done.bytes),
            ]);
            Ok((done.next, counts))
        })
    }
}

/// The progress of a walk through all containers.
#[derive(Default, Serialize, Deserialize)]
struct Walk {
    /// The containers in progress, each with the place of its next page.
    open: Vec<(Container, Option<Vec<u8>>)>,
    /// The last one that was begun.
    last: Option<Container>,
}

/// Works on a page of each of some containers; the next step continues there, with further ones replacing those that are done.
/// One that takes no changes at the moment, because it is vacuumed, is left to the next run. One that fails is tried again
/// with the next step, and the step fails when only failed ones are left: the others need not wait for it.
fn in_parallel(
    deps: &ActorDeps,
    from: Option<&Place>,
    work: impl AsyncFn(Container, Page) -> Result<(Option<Vec<u8>>, Counts), Refused>,
) -> Step {
    let walk = from.and_then(passing);
    let walk = walk.and_then(|walk| postcard::from_bytes(&walk).ok());
    match step(deps, walk.unwrap_or_default(), work) {
        Ok((walk, counts)) => {
            // Names and bytes only: always encodable.
            let next = walk.map(|walk| postcard::to_stdvec(&walk).unwrap_or_default());
            after(next, counts)
        }
        Err(error) => Step::failed(error),
    }
}

fn step(
    deps: &ActorDeps,
    mut walk: Walk,
    work: impl AsyncFn(Container, Page) -> Result<(Option<Vec<u8>>, Counts), Refused>,
) -> Result<(Option<Walk>, Counts), Refused> {
    while walk.open.len() < PARALLEL_MAX
        && let Some(next) = next_container(deps, walk.last.as_ref())?
    {
        walk.open.push((next.clone(), None));
        walk.last = Some(next);
    }
    let walked = walk.open.len();
    let pages = walk
        .open
        .iter()
        .map(|(container, behind)| work(container.clone(), page(behind.clone())));
    let done = wait(async { Ok(join_all(pages).await) })?.unwrap_or_default();
    let (mut counts, mut open, mut errors) = (Counts::new(), Vec::new(), Vec::new());
    for ((container, from), done) in walk.open.into_iter().zip(done) {
        match executed(done) {
            Ok(Some((behind, counted))) => {
                for (name, count) in counted {
                    *counts.entry(name).or_default() += count;
                }
                open.extend(behind.map(|behind| (container, Some(behind))));
            }
            Ok(None) => {}
            Err(error) => {
                errors.push(error);
                open.push((container, from));
            }
        }
    }
    if errors.len() == walked
        && let Some(error) = errors.pop()
    {
        return Err(error);
    }
    walk = Walk { open, ..walk };
    let over = walk.open.is_empty() && next_container(deps, walk.last.as_ref())?.is_none();
    Ok(((!over).then_some(walk), counts))
}

pub(super) fn after(next: Option<Vec<u8>>, counts: Counts) -> Step {
    match next {
        Some(next) => Step::More {
            at: Some(Place::Passing(next)),
            counts,
        },
        None => Step::Done {
            // What was removed is an event of its container.
            noted: false,
            counts,
        },
    }
}

fn next_container(
    deps: &ActorDeps,
    after: Option<&Container>,
) -> Result<Option<Container>, Refused> {
    let after = after.map(|after| (after.org.as_str(), after.container.as_str()));
    let next = records::next_container(&deps.store, after);
    let next = next.map_err(Refused::failed)?;
    Ok(next.map(|(org, container)| Container { org, container }))
}

fn page(from: Option<Vec<u8>>) -> Page {
    Page {
        from,
        items_max: STEP_ITEMS,
    }
}

fn passing(place: &Place) -> Option<Vec<u8>> {
    match place {
        Place::Passing(place) => Some(place.clone()),
        Place::Kept(_) => None,
    }
}

/// Waits for the actors on a thread that may block. `None` when the container takes no changes at the moment.
pub(super) fn wait<T>(
    work: impl Future<Output = Result<T, Refused>>,
) -> Result<Option<T>, Refused> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    executed(runtime.map_err(Refused::failed)?.block_on(work))
}

/// What was done; nothing when the container takes no changes at the moment.
fn executed<T>(done: Result<T, Refused>) -> Result<Option<T>, Refused> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(Refused::Rejected { .. }) => Ok(None),
        Err(refused @ (Refused::Busy | Refused::Unavailable | Refused::Failed(_))) => Err(refused),
    }
}
