//! The jobs that let go of what need not be kept: abandoned uploads, entries of tags' lists, and what cleanup removes. They
//! walk all containers and leave the work to [`Upkeep`].

use std::future::Future;
use std::sync::Arc;

use super::{Heed, Job, Place, Step, counted};
use crate::actors::ops::Caller;
use crate::actors::upkeep::{Page, Place as Container, Upkeep};
use crate::actors::{Desk, Refused};
use crate::domain::job::Counts;
use crate::domain::{ContainerName, OrgCode};
use crate::projections::records;

/// Items looked at in one step, some milliseconds' worth.
const STEP_ITEMS: usize = 64;
/// Between two runs over the uploads, in milliseconds: ten minutes.
const ABANDONED_MS: i64 = 10 * 60 * 1_000;
/// Between two scrubs, in milliseconds: an hour (contract, section 10).
const SCRUB_MS: i64 = 60 * 60 * 1_000;
/// Between two cleanups, in milliseconds: a day (contract, section 10).
const CLEANUP_MS: i64 = 24 * 60 * 60 * 1_000;
/// Stands between the parts of a place; no name contains it.
const BETWEEN: u8 = 0;

/// Dooms records whose first content never came, and gives other uploads up that are overdue.
pub struct AbandonedUploads(pub Arc<Upkeep>);

/// Removes entries of records long doomed from the tags' lists.
pub struct TagScrub(pub Arc<Desk>, pub Arc<Upkeep>);

/// Lets go of content and first answers that were kept as long as they must.
pub struct Cleanup(pub Arc<Desk>, pub Arc<Upkeep>);

impl Job for AbandonedUploads {
    fn name(&self) -> &'static str {
        "abandoned-uploads"
    }

    fn purpose(&self) -> &'static str {
        "Gives up uploads that were promised and never came."
    }

    fn every_ms(&self) -> Option<i64> {
        Some(ABANDONED_MS)
    }

    fn step(&self, from: Option<&Place>, _: &Heed) -> Step {
        let page = page(from.and_then(passing));
        let done = match wait(self.0.abandoned(&page, &Caller::job(self.name()))) {
            Ok(done) => done.unwrap_or_default(),
            Err(error) => return Step::Failed(error),
        };
        let counts = counted([
            ("doomed", done.doomed as u64),
            ("given_up", done.given_up as u64),
        ]);
        after(done.next, counts)
    }
}

impl Job for TagScrub {
    fn name(&self) -> &'static str {
        "tag-scrub"
    }

    fn purpose(&self) -> &'static str {
        "Removes records long doomed from the tags' lists."
    }

    fn every_ms(&self) -> Option<i64> {
        Some(SCRUB_MS)
    }

    fn step(&self, from: Option<&Place>, _: &Heed) -> Step {
        let caller = Caller::job(self.name());
        in_turn(&self.0, from, |container, page| {
            let done = wait(self.1.scrub(container, page, &caller))?.unwrap_or_default();
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
        "Lets go of earlier content, leftovers and first answers that were kept as long as they must."
    }

    fn every_ms(&self) -> Option<i64> {
        Some(CLEANUP_MS)
    }

    fn step(&self, from: Option<&Place>, _: &Heed) -> Step {
        let caller = Caller::job(self.name());
        let leftovers_ms = self.1.settings().retention.leftovers_ms;
        in_turn(&self.0, from, |container, page| {
            let done = wait(self.1.cleanup(container, page, leftovers_ms, &caller))?;
            let done = done.unwrap_or_default();
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

/// One page of one container; the next step goes on there or with the next container. One that takes no changes at the
/// moment, because it is vacuumed, is left to the next run.
fn in_turn(
    desk: &Desk,
    from: Option<&Place>,
    work: impl Fn(&Container, &Page) -> Result<(Option<Vec<u8>>, Counts), String>,
) -> Step {
    let at = from.and_then(passing).and_then(|place| split(&place));
    let (container, behind) = match at {
        Some((container, behind)) => (Some(container), behind),
        None => match next_container(desk, None) {
            Ok(first) => (first, None),
            Err(error) => return Step::Failed(error),
        },
    };
    let Some(container) = container else {
        return after(None, Counts::new());
    };
    let (behind, counts) = match work(&container, &page(behind)) {
        Ok(done) => done,
        Err(error) => return Step::Failed(error),
    };
    let next = match behind {
        Some(behind) => Ok(Some(joined(&container, &behind))),
        None => {
            next_container(desk, Some(&container)).map(|next| next.map(|next| joined(&next, &[])))
        }
    };
    match next {
        Ok(next) => after(next, counts),
        Err(error) => Step::Failed(error),
    }
}

fn after(next: Option<Vec<u8>>, counts: Counts) -> Step {
    match next {
        Some(next) => Step::More {
            at: Some(Place::Passing(next)),
            counts,
        },
        None => Step::Done {
            // What was let go of is an event of its container.
            noted: false,
            counts,
        },
    }
}

fn next_container(desk: &Desk, after: Option<&Container>) -> Result<Option<Container>, String> {
    let after = after.map(|after| (after.org.as_str(), after.container.as_str()));
    let next = records::next_container(&desk.store, after);
    let next = next.map_err(|error| error.to_string())?;
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

fn joined(container: &Container, behind: &[u8]) -> Vec<u8> {
    let mut place = Vec::new();
    for part in [container.org.as_str(), container.container.as_str()] {
        place.extend_from_slice(part.as_bytes());
        place.push(BETWEEN);
    }
    place.extend_from_slice(behind);
    place
}

fn split(place: &[u8]) -> Option<(Container, Option<Vec<u8>>)> {
    let mut parts = place.splitn(3, |byte| *byte == BETWEEN);
    let mut name = || std::str::from_utf8(parts.next()?).ok();
    let container = Container {
        org: OrgCode::parse(name()?).ok()?,
        container: ContainerName::parse(name()?).ok()?,
    };
    let behind = parts.next()?;
    Some((container, (!behind.is_empty()).then(|| behind.to_vec())))
}

/// Waits for the desks on a thread that may block. `None` when the container takes no changes at the moment.
fn wait<T>(work: impl Future<Output = Result<T, Refused>>) -> Result<Option<T>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    match runtime.block_on(work) {
        Ok(done) => Ok(Some(done)),
        Err(Refused::Rejected { .. }) => Ok(None),
        Err(refused @ (Refused::Busy | Refused::Unavailable | Refused::Failed(_))) => {
            Err(refused.to_string())
        }
    }
}
