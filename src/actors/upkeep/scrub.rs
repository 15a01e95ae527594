//! Tag scrub: removes entries from the tags' lists that show nothing any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Look, Page, Place, Upkeep, legal_hold};
use crate::actors::Caller;
use crate::actors::{ActorDeps, Refused};
use crate::domain::container::{ContainerCommand, ContainerEvent, TagEntry};
use crate::domain::record::{EndedBy, Record, RecordKey, Retention, Status};
use crate::domain::{StreamId, Timestamp};
use crate::projections::{RecordName, StoreError, holds, records, tag_entries};

/// What one step of tag scrub did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Tag rows that were examined.
    pub scanned: usize,
    /// Tag rows that were removed.
    pub removed: usize,
    /// Where to continue; `None` at the end.
    pub next: Option<Vec<u8>>,
}

impl Upkeep {
    /// One step through the entries of a container in the tags' lists.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn scrub(
        &self,
        place: &Place,
        page: &Page,
        caller: &Caller,
    ) -> Result<Scrubbed, Refused> {
        let deps = self.registry.deps().clone();
        deps.clock.may_destroy()?;
        let (of, from, retention) = (place.clone(), page.from.clone(), self.settings.retention);
        let look = move |items| look(&deps, &of, (from.as_deref(), items), retention);
        let (seen, events) = self.step(place, caller, page.items_max, look).await?;
        let removed = events.iter().map(|event| match event {
            ContainerEvent::TagsScrubbed { entries } => entries.len(),
            ContainerEvent::RefusalRemembered { .. }
            | ContainerEvent::ContentRemoved { .. }
            | ContainerEvent::AnswersForgotten { .. }
            | ContainerEvent::UploadsGivenUp { .. }
            | ContainerEvent::Repaired { .. } => 0,
        });
        Ok(Scrubbed {
            scanned: seen.scanned,
            removed: removed.sum(),
            next: seen.next,
        })
    }
}

fn look(
    deps: &Arc<ActorDeps>,
    place: &Place,
    (from, items_max): (Option<&[u8]>, usize),
    retention: Retention,
) -> Result<Look, StoreError> {
    let names = (place.org.as_str(), place.container.as_str());
    let found = tag_entries::entries(&deps.store, names, from, items_max)?;
    let (scanned, now) = (found.items.len(), deps.clock.trusted());
    let (legal, guard) = legal_hold(deps, place)?;
    let (mut entries, mut guards) = (Vec::new(), BTreeMap::from([guard]));
    for entry in found.items {
        let key = RecordKey {
            org: place.org.clone(),
            container: place.container.clone(),
            record_id: entry.record_id.clone(),
        };
        let stream = StreamId::record(&key);
        // Before the record: what changes in between is seen.
        let version = deps.journal.version(&stream)?;
        let record = records::find(&deps.store, RecordName::from(&key))?;
        let held = match &record {
            Some(record) => holds::held(&deps.store, RecordName::from(&key), record)?.is_some(),
            None => legal,
        };
        if !held && shows_nothing(&entry, record.as_ref(), retention, now) {
            guards.insert(stream, version);
            entries.push(entry);
        }
    }
    Ok(Look {
        command: ContainerCommand::ScrubTags { entries },
        guards: guards.into_iter().collect(),
        scanned,
        next: found.next,
    })
}

/// Whether an entry is one of a record that is missing, or doomed: among the doomed only once the retention of the record's
/// content has passed, because until then lists of doomed records by tag use it.
fn shows_nothing(
    entry: &TagEntry,
    record: Option<&Record>,
    retention: Retention,
    now: Timestamp,
) -> bool {
    let Some(record) = record else { return true };
    let Some(doom) = &record.doom else {
        return false;
    };
    entry.status != Status::Doomed || retention.kept_until(EndedBy::Doomed, doom.at) <= now
}
