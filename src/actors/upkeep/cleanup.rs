//! Cleanup: journals the removal of what has been kept as long as it must, and only then removes its bytes.

use std::collections::BTreeMap;

use super::{Look, Page, Place, Upkeep, legal_hold};
use crate::actors::Caller;
use crate::actors::{ActorDeps, Refused};
use crate::content::ObjectName;
use crate::domain::StreamId;
use crate::domain::container::{ContainerCommand, ContainerEvent, RemovedContent, is_given_again};
use crate::domain::record::{ContentPlace, EndedBy, RecordKey, Retention, Status};
use crate::offload;
use crate::projections::{RecordName, StoreError, contents, holds, idempotency, records};
use crate::report;

/// First byte of a place among content that ended.
const CONTENTS: u8 = b'c';
/// First byte of a place among first answers.
const ANSWERS: u8 = b'a';

/// What one step of cleanup did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Contents and first answers read.
    pub scanned: usize,
    /// What was removed, by kind.
    pub removed: Removed,
    /// Bytes of the files that were removed.
    pub bytes: u64,
    /// Where to continue; `None` at the end.
    pub next: Option<Vec<u8>>,
}

/// What cleanup removed, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Contents of earlier versions that were removed.
    pub versions: u64,
    /// Contents of doomed records.
    pub doomed_content: u64,
    /// Uploads that were given up, and what is left of those that broke off.
    pub uploads: u64,
    /// First answers that are not given any more.
    pub idempotency: u64,
}

impl Upkeep {
    /// One step through a container: content that ended, oldest first, then first answers. `leftovers_ms` is how long
    /// uploads that were given up are kept; everything else is a setting.
    ///
    /// # Errors
    /// See [`Refused`]. What was journaled stays removed, so the step can be repeated from where it began.
    pub async fn cleanup(
        &self,
        place: &Place,
        page: &Page,
        leftovers_ms: i64,
        caller: &Caller,
    ) -> Result<Cleaned, Refused> {
        self.registry.deps().clock.may_destroy()?;
        let mut cleaned = Cleaned::default();
        if page.from.is_none() {
            self.remove_stale(&mut cleaned).await?;
        }
        let (kind, behind) = match page.from.as_deref() {
            None | Some([]) => (CONTENTS, &[][..]),
            Some([kind, behind @ ..]) => (*kind, behind),
        };
        let mut behind = Some(behind.to_vec()).filter(|behind| !behind.is_empty());
        if kind == CONTENTS {
            let retention = Retention {
                leftovers_ms,
                ..self.settings.retention
            };
            let step = Step {
                place,
                behind,
                items_max: page.items_max,
                caller,
            };
            let next = self.let_go(step, retention, &mut cleaned).await?;
            if let Some(next) = next {
                cleaned.next = Some([&[CONTENTS], &next[..]].concat());
                return Ok(cleaned);
            }
            behind = None;
        }
        if cleaned.scanned >= page.items_max {
            cleaned.next = Some(vec![ANSWERS]);
            return Ok(cleaned);
        }
        let step = Step {
            place,
            behind,
            items_max: page.items_max - cleaned.scanned,
            caller,
        };
        let next = self.forget_answers(step, &mut cleaned).await?;
        cleaned.next = next.map(|next| [&[ANSWERS], &next[..]].concat());
        Ok(cleaned)
    }

    async fn let_go(
        &self,
        step: Step<'_>,
        retention: Retention,
        cleaned: &mut Cleaned,
    ) -> Result<Option<Vec<u8>>, Refused> {
        let deps = self.registry.deps().clone();
        let (of, behind) = (step.place.clone(), step.behind);
        let look = move |items| look(&deps, &of, behind.as_deref(), items, retention);
        let (seen, events) = self
            .step(step.place, step.caller, step.items_max, look)
            .await?;
        cleaned.scanned += seen.scanned;
        let mut objects = Vec::new();
        for content in events.into_iter().flat_map(contents_of) {
            match content.ended {
                EndedBy::Replaced => cleaned.removed.versions += 1,
                EndedBy::Doomed => cleaned.removed.doomed_content += 1,
                EndedBy::Abandoned => cleaned.removed.uploads += 1,
            }
            // Inline content is in the log, which only a vacuum erases.
            if let ContentPlace::Object(object_id) = content.place {
                let org = step.place.org.clone();
                objects.push(ObjectName { org, object_id });
            }
        }
        cleaned.bytes += self.remove(objects).await?;
        Ok(seen.next)
    }

    /// Deletes the files of what was removed from the journal. One that stays is an orphan, which nobody can read.
    async fn remove(&self, objects: Vec<ObjectName>) -> Result<u64, Refused> {
        let content = self.content.clone();
        let removed = offload::try_blocking(move || {
            let mut bytes = 0;
            for object in &objects {
                let size = content.size(object);
                match size.and_then(|size| content.remove(object).map(|()| size)) {
                    Ok(size) => bytes += size.unwrap_or(0),
                    Err(error) => report::notice_error("an object could not be removed", &error),
                }
            }
            Ok(bytes)
        });
        removed.await
    }

    /// What broken connections left of uploads belongs to no container; the first page of any takes it along.
    async fn remove_stale(&self, cleaned: &mut Cleaned) -> Result<(), Refused> {
        let (count, bytes) = self.remove_leftovers().await?;
        cleaned.removed.uploads += count;
        cleaned.bytes += bytes;
        Ok(())
    }

    /// Removes the files of uploads that broke off, whosever they were. Returns how many there were, and their bytes.
    ///
    /// # Errors
    /// [`Refused`] when the disk does not read or write what is needed.
    pub async fn remove_leftovers(&self) -> Result<(u64, u64), Refused> {
        let content = self.content.clone();
        let since = self
            .settings
            .stale_since(self.registry.deps().clock.trusted());
        let removed = offload::try_blocking(move || {
            let removed = content.remove_stale(since);
            removed.map_err(Refused::failed)
        });
        removed.await
    }

    async fn forget_answers(
        &self,
        step: Step<'_>,
        cleaned: &mut Cleaned,
    ) -> Result<Option<Vec<u8>>, Refused> {
        let deps = self.registry.deps().clone();
        let of = step.place.clone();
        let behind = step.behind.and_then(|scope| String::from_utf8(scope).ok());
        let look = move |items| look_at_answers(&deps, &of, behind.as_deref(), items);
        let (seen, events) = self
            .step(step.place, step.caller, step.items_max, look)
            .await?;
        cleaned.scanned += seen.scanned;
        for event in events {
            if let ContainerEvent::AnswersForgotten { scopes } = event {
                cleaned.removed.idempotency += scopes.len() as u64;
            }
        }
        Ok(seen.next)
    }
}

/// A page of a container, read in one step.
struct Step<'a> {
    place: &'a Place,
    behind: Option<Vec<u8>>,
    items_max: usize,
    caller: &'a Caller,
}

fn contents_of(event: ContainerEvent) -> Vec<RemovedContent> {
    match event {
        ContainerEvent::ContentRemoved { contents, .. } => contents,
        ContainerEvent::RefusalRemembered { .. }
        | ContainerEvent::AnswersForgotten { .. }
        | ContainerEvent::TagsScrubbed { .. }
        | ContainerEvent::UploadsGivenUp { .. }
        | ContainerEvent::Repaired { .. } => Vec::new(),
    }
}

fn look(
    deps: &ActorDeps,
    place: &Place,
    behind: Option<&[u8]>,
    items_max: usize,
    retention: Retention,
) -> Result<Look, StoreError> {
    let (store, now) = (&deps.store, deps.clock.trusted());
    // Before the records' own holds, which are read one by one.
    let (_, guard) = legal_hold(deps, place)?;
    let (mut contents, mut guards) = (Vec::new(), BTreeMap::from([guard]));
    let (mut scanned, mut last, mut next) = (0, None, None);
    let until = |class| now.plus_millis(-retention.of(class));
    let names = (place.org.as_str(), place.container.as_str());
    for row in contents::ended_by(store, names, behind, until) {
        let (at, kept) = row?;
        if scanned == items_max {
            next = last;
            break;
        }
        scanned += 1;
        last = Some(at);
        let ended = &kept.ended;
        let key = RecordKey {
            org: place.org.clone(),
            container: place.container.clone(),
            record_id: kept.record_id,
        };
        let Some(record) = records::find(store, RecordName::from(&key))? else {
            continue;
        };
        // An upload that was given up and completed all the same is content, and not to be touched.
        let current =
            record.status == Status::Active && record.content.place == ended.content.place;
        if current || holds::held(store, RecordName::from(&key), &record)?.is_some() {
            continue;
        }
        guards.insert(StreamId::record(&key), record.revision.0);
        contents.push(RemovedContent {
            record_id: key.record_id,
            version: ended.content.version,
            until: ended.until,
            ended: ended.by,
            size: ended.content.size,
            place: ended.content.place,
        });
    }
    Ok(Look {
        command: ContainerCommand::RemoveContent {
            contents,
            retention,
        },
        guards: guards.into_iter().collect(),
        scanned,
        next,
    })
}

fn look_at_answers(
    deps: &ActorDeps,
    place: &Place,
    behind: Option<&str>,
    items_max: usize,
) -> Result<Look, StoreError> {
    let (store, now) = (&deps.store, deps.clock.trusted());
    let (held, guard) = legal_hold(deps, place)?;
    let (mut answers, mut scanned, mut last, mut next) = (Vec::new(), 0, None, None);
    let names = (place.org.as_str(), place.container.as_str());
    for answer in idempotency::behind(store, names, behind) {
        let answer = answer?;
        if scanned == items_max {
            next = last;
            break;
        }
        scanned += 1;
        last = Some(answer.scope.clone().into_bytes());
        if !held && !is_given_again(answer.at, now) {
            answers.push(answer);
        }
    }
    Ok(Look {
        command: ContainerCommand::ForgetAnswers { answers },
        guards: vec![guard],
        scanned,
        next,
    })
}
