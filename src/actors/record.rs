//! Carrying out a record's commands: load, decide, make the append, find a first answer.

use super::deps::ActorDeps;
use super::request::{Answer, RecordOutcome, RecordRequest, Refused, Requested, failed};
use crate::clock::ordered_uuid;
use crate::domain::container::{ContainerEvent, Idempotency, is_given_again};
use crate::domain::quota::Quota;
use crate::domain::record::{
    NewContent, Record, RecordCommand, RecordDecider, RecordEvent, RecordKey, RecordState, Source,
};
use crate::domain::{
    Context, Decider, ErrorTag, Event, EventMeta, RecordId, Rejection, StreamId, Timestamp,
};
use crate::journal::{Append, Origin, Version};
use crate::projections::idempotency::FirstAnswer;
use crate::projections::usage::reservations::Wanted;
use crate::projections::{RecordName, as_of, holds, idempotency, identity, records};

/// Streams that a decision read besides its own, with their versions.
pub(super) type Guards = Vec<(StreamId, Version)>;

/// What a command leads to.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are changes, and none is kept"
)]
pub(super) enum Decision {
    /// A change: what to append, and the state it leads to.
    Append {
        /// Entry to append to the journal.
        append: Append,
        /// The state with it.
        state: RecordState,
        /// What it needs of its org's quotas.
        wanted: Wanted,
    },
    /// No change; the record is returned unchanged.
    Nothing(Record),
    /// A rule said no.
    Rejected(Rejection),
}

/// The record as every projection shows it: one bounded read.
pub(super) fn load(deps: &ActorDeps, key: &RecordKey) -> Result<RecordState, Refused> {
    let record = records::find(&deps.store, RecordName::from(key)).map_err(failed)?;
    Ok(RecordState {
        key: key.clone(),
        record,
        legal: None,
    })
}

/// Gives a copy its source as every projection shows it. It is decided again when the source has moved since.
fn look_at_source(deps: &ActorDeps, command: &mut RecordCommand) -> Result<Guards, Refused> {
    let RecordCommand::Copy(copy) = command else {
        return Ok(Guards::new());
    };
    let (org, container) = (copy.source.org.as_str(), copy.source.container.as_str());
    let Some(record) = load(deps, &copy.source)?.record else {
        copy.seen = None;
        return Ok(Guards::new());
    };
    let version = record.revision.0;
    let legal = holds::legal(&deps.store, org, container).map_err(failed)?;
    copy.seen = Some(Box::new(Source { record, legal }));
    Ok(vec![(StreamId::record(&copy.source), version)])
}

/// Gives a decision what else it has to know of, and returns the streams by which it is decided again when they have moved.
pub(super) fn look(
    deps: &ActorDeps,
    state: &mut RecordState,
    command: &mut RecordCommand,
    now: Timestamp,
) -> Result<Guards, Refused> {
    let mut guards = look_at_holds(deps, state, command, now)?;
    guards.extend(look_at_source(deps, command)?);
    Ok(guards)
}

/// Gives a decision the legal hold that it has to know of. What removes is decided again when the org's stream has moved
/// since; others read it only because a held record takes changes past its time.
fn look_at_holds(
    deps: &ActorDeps,
    state: &mut RecordState,
    command: &RecordCommand,
    now: Timestamp,
) -> Result<Guards, Refused> {
    let due = state
        .record
        .as_ref()
        .is_some_and(|record| record.is_due(now));
    if !due && !command.removes() {
        state.legal = None;
        return Ok(Guards::new());
    }
    let org = &state.key.org;
    // Before the holds, which may otherwise be of an earlier version.
    let version = identity::org(&deps.store, org.as_str())
        .map_err(failed)?
        .version;
    let container = state.key.container.as_str();
    state.legal = holds::legal(&deps.store, org.as_str(), container).map_err(failed)?;
    Ok(if command.removes() {
        vec![(StreamId::org(org), version)]
    } else {
        Guards::new()
    })
}

pub(super) fn decide(
    (state, guards): (RecordState, Guards),
    execute: &RecordRequest,
    now: Timestamp,
) -> Decision {
    let context = Context {
        now,
        by: execute.by.clone(),
    };
    let command = match &execute.command {
        Requested::Command(command) => command,
        Requested::AlreadyRefused(rejection) => return Decision::Rejected(rejection.clone()),
    };
    let decided = RecordDecider::decide(&state, command, &context);
    let events = match decided.and_then(|events| fits(&events, execute).map(|()| events)) {
        Ok(events) => events,
        Err(rejection) => return Decision::Rejected(rejection),
    };
    let version = state.version();
    if events.is_empty() {
        return match state.record {
            Some(record) => Decision::Nothing(record.as_of(now, state.legal.as_ref())),
            None => Decision::Rejected(Rejection::not_found()),
        };
    }
    let stream = StreamId::record(&state.key);
    let occurrence = EventMeta {
        at: now,
        by: &context.by,
        actor: execute.remarks.actor.as_deref(),
        position: 0,
        version: version + 1,
    };
    let wanted = wanted(&state, &events);
    let state = events.iter().fold(state, |state, event| {
        RecordDecider::evolve(state, event, occurrence)
    });
    let append = Append {
        stream,
        expected: version,
        guards,
        events: events.into_iter().map(Event::Record).collect(),
        payload: execute.payload.as_ref().map(|json| json.bytes().clone()),
        idempotency: execute.idempotency.clone(),
        origin: origin(execute, now),
    };
    Decision::Append {
        append,
        state,
        wanted,
    }
}

/// Whether a copy has the payload that its events name: it is of the source as it was read.
fn fits(events: &[RecordEvent], execute: &RecordRequest) -> Result<(), Rejection> {
    let Requested::Command(RecordCommand::Copy(copy)) = &execute.command else {
        return Ok(());
    };
    let fits = match (events.first(), &execute.payload) {
        (
            Some(RecordEvent::Created {
                content: NewContent::Inline { size, md5 },
                ..
            }),
            Some(payload),
        ) => payload.check_is(*size, *md5).is_ok(),
        (
            Some(RecordEvent::Created {
                content: NewContent::Inline { .. },
                ..
            }),
            None,
        )
        | (_, Some(_)) => false,
        (_, None) => true,
    };
    if fits { Ok(()) } else { Err(copy.changed()) }
}

/// What events of a record add to what its org has. What they take away counts once it is durable.
fn wanted(state: &RecordState, events: &[RecordEvent]) -> Wanted {
    let mut wanted = Wanted::default();
    for event in events {
        let content = match event {
            RecordEvent::Created { tags, content, .. } => {
                wanted.amounts.add(Quota::Records, 1);
                wanted.container = Some(state.key.container.clone());
                wanted.tags.clone_from(tags);
                content
            }
            RecordEvent::Replaced { tags, content, .. } => {
                if let Some(tags) = tags {
                    let had = state.record.as_ref().map_or(&[][..], |record| &record.tags);
                    let new = tags.iter().filter(|tag| !had.contains(tag));
                    wanted.tags.extend(new.cloned());
                }
                content
            }
            RecordEvent::TagsAdded { tags } => {
                wanted.tags.clone_from(tags);
                continue;
            }
            // A completed upload was counted when it was promised.
            RecordEvent::UploadCompleted { .. }
            | RecordEvent::TagsRemoved { .. }
            | RecordEvent::TtlSet { .. }
            | RecordEvent::Doomed { .. }
            | RecordEvent::HoldSet { .. }
            | RecordEvent::HoldReleased {} => continue,
        };
        let (NewContent::Inline { size, .. } | NewContent::Upload { size, .. }) = content;
        wanted.amounts.add(Quota::ContentBytes, *size);
        // That of a copy is there already.
        let completed = matches!(events, [.., RecordEvent::UploadCompleted { .. }]);
        if let (NewContent::Upload { size, .. }, false) = (content, completed) {
            wanted.amounts.add(Quota::PendingUploadBytes, *size);
        }
    }
    wanted
}

pub(super) fn origin(execute: &RecordRequest, at: Timestamp) -> Origin {
    Origin {
        at,
        by: execute.by.clone(),
        request_id: execute.request_id.clone(),
        source: execute.source,
        remarks: execute.remarks.clone(),
    }
}

/// Gives a put whose id was made of its idempotency key another id when a record has that one: the key is past its time, and
/// what it names now is a new request.
pub(super) fn give_fresh_id(deps: &ActorDeps, execute: &mut RecordRequest) -> Result<(), Refused> {
    let Some(idempotency) = &execute.idempotency else {
        return Ok(());
    };
    let Requested::Command(RecordCommand::Put(_)) = &execute.command else {
        return Ok(());
    };
    let derived = idempotency.derived_id()?;
    if execute.key.record_id != derived || load(deps, &execute.key)?.record.is_none() {
        return Ok(());
    }
    let fresh = ordered_uuid(deps.clock.now()).to_string();
    execute.key.record_id = RecordId::parse(&fresh)?;
    Ok(())
}

/// The answer a request with this key got before, within the window.
pub(super) fn first_answer(
    deps: &ActorDeps,
    key: &RecordKey,
    request: &Idempotency,
) -> Result<Option<Answer>, Refused> {
    let place = (key.org.as_str(), key.container.as_str());
    let first = idempotency::find(&deps.store, place, &request.scope).map_err(failed)?;
    let Some(first) = first else {
        return Ok(None);
    };
    if !is_given_again(first.at, deps.clock.trusted()) {
        return Ok(None);
    }
    if first.fingerprint != request.fingerprint {
        return Ok(Some(Err(other_request().into())));
    }
    replay(deps, key, &first).map(Some)
}

/// The answer when a key was used for something else.
pub fn other_request() -> Rejection {
    Rejection::new(
        ErrorTag::IdempotencyConflict,
        "This idempotency_key was used within the last 24 hours for another request; choose a new one.",
    )
}

fn replay(deps: &ActorDeps, key: &RecordKey, first: &FirstAnswer) -> Result<Answer, Refused> {
    if let Some(its) = first.stream.record_key() {
        let record = match &first.record {
            Some(record) => Some(Record::clone(record)),
            None => as_of::record_at(&*deps.journal, &its, first.version).map_err(failed)?,
        };
        let record =
            record.ok_or_else(|| Refused::failed("a first answer is not in the journal"))?;
        return Ok(Ok(RecordOutcome {
            record,
            record_id: (its.record_id != key.record_id).then_some(its.record_id),
            replayed: true,
        }));
    }
    let entries = deps
        .journal
        .stream(&first.stream, first.version, 1)
        .map_err(Refused::failed)?;
    let body = entries.into_iter().next().and_then(|entry| entry.body);
    let remembered = body.and_then(|body| body.events.into_iter().next());
    if let Some(Event::Container(ContainerEvent::RefusalRemembered { rejection })) = remembered {
        return Ok(Err(Refused::Rejected {
            rejection,
            replayed: true,
        }));
    }
    Err(Refused::failed(
        "a remembered refusal is not in the journal",
    ))
}
