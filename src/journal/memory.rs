//! A journal in memory: the same promises as long as the process lives, for tests and simulation.

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::entry::{self, Hash, NO_HASH, Place};
use super::error::GroupError;
use super::{
    Append, Body, Entry, EraseOrder, Head, Health, Journal, JournalError, Outcome, Pending,
    Position, Sink, Version,
};
use crate::clock::{Clock, random_id};
use crate::domain::{StreamId, Timestamp};
use crate::os_error::describe;

/// A journal whose content is lost when it is dropped. Appends are executed on the caller's thread.
pub struct MemoryJournal {
    clock: Clock,
    /// Held while an append is executed: one at a time, in order.
    turn: Mutex<Option<Box<dyn Sink>>>,
    state: RwLock<State>,
}

struct State {
    entries: Vec<Entry>,
    streams: HashMap<StreamId, Vec<Position>>,
    head: Hash,
    health: Health,
}

impl MemoryJournal {
    /// A journal without any entries.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            turn: Mutex::new(None),
            state: RwLock::new(State {
                entries: Vec::new(),
                streams: HashMap::new(),
                head: NO_HASH,
                health: Health::Open,
            }),
        }
    }

    /// Makes it read-only, as a failed disk would; for tests.
    pub fn fail(&self, reason: &str) {
        self.change().health = Health::ReadOnly(reason.into());
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    fn change(&self) -> parking_lot::RwLockWriteGuard<'_, State> {
        self.state.write()
    }

    fn turn(&self) -> MutexGuard<'_, Option<Box<dyn Sink>>> {
        self.turn.lock()
    }

    fn carry_out(&self, append: Append) -> Outcome {
        let mut turn = self.turn();
        let entry = match self.write(append) {
            Ok(entry) => entry,
            Err(outcome) => return outcome,
        };
        let outcome = Outcome::Appended {
            position: entry.header.position,
            version: entry.body.as_ref().map_or(0, |body| body.version),
        };
        let shown = match &mut *turn {
            None => Ok(()),
            Some(sink) => catch_unwind(AssertUnwindSafe(|| {
                sink.apply(std::slice::from_ref(&entry))
            }))
            .map_or(Err(GroupError::ProjectionPanicked), |shown| Ok(shown?)),
        };
        match shown {
            Ok(()) => outcome,
            Err(error) => {
                self.fail(&describe(&error));
                Outcome::Unavailable
            }
        }
    }

    fn write(&self, append: Append) -> Result<Entry, Outcome> {
        let mut state = self.change();
        if state.health != Health::Open {
            return Err(Outcome::Unavailable);
        }
        if !entry::is_well_formed(&append) {
            return Err(Outcome::Malformed);
        }
        let seen = std::iter::once((&append.stream, append.expected))
            .chain(append.guards.iter().map(|(stream, seen)| (stream, *seen)));
        for (stream, expected) in seen {
            let actual = state.version(stream);
            if actual != expected {
                let stream = stream.clone();
                return Err(Outcome::Moved { stream, actual });
            }
        }
        let before = state.entries.last();
        let place = Place {
            position: state.entries.len() as Position + 1,
            version: append.expected + 1,
            recorded_at: self
                .clock
                .now()
                .max(before.map_or(Timestamp::default(), |entry| entry.header.recorded_at)),
            prev: state.head,
            salt: random_id(),
        };
        let stream = append.stream.clone();
        let Ok(encoded) = entry::encode(&mut Vec::new(), append, place) else {
            return Err(Outcome::Malformed);
        };
        state.head = encoded.hash;
        state.entries.push(encoded.entry.clone());
        state
            .streams
            .entry(stream)
            .or_default()
            .push(place.position);
        Ok(encoded.entry)
    }
}

impl State {
    fn version(&self, stream: &StreamId) -> Version {
        self.streams.get(stream).map_or(0, Vec::len) as Version
    }

    fn entry(&self, position: Position) -> Option<&Entry> {
        let index = usize::try_from(position.checked_sub(1)?).ok()?;
        self.entries.get(index)
    }
}

fn without_payload(entry: &Entry) -> Entry {
    Entry {
        payload: None,
        ..entry.clone()
    }
}

impl Journal for MemoryJournal {
    fn append(&self, append: Append) -> Pending {
        let (answer, pending) = oneshot::channel();
        // A caller that does not wait any more has its entry all the same.
        let _ = answer.send(self.carry_out(append));
        pending
    }

    fn head(&self) -> Head {
        let state = self.state();
        Head {
            position: state.entries.len() as Position,
            hash: hex::encode(state.head),
        }
    }

    fn health(&self) -> Health {
        self.state().health.clone()
    }

    fn read(&self, from: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let state = self.state();
        let from = usize::try_from(from.max(1) - 1).unwrap_or(usize::MAX);
        Ok(state
            .entries
            .iter()
            .skip(from)
            .take(limit)
            .map(without_payload)
            .collect())
    }

    fn stream(
        &self,
        stream: &StreamId,
        from: Version,
        limit: usize,
    ) -> Result<Vec<Entry>, JournalError> {
        let state = self.state();
        let from = usize::try_from(from.max(1) - 1).unwrap_or(usize::MAX);
        let positions = state.streams.get(stream).into_iter().flatten();
        Ok(positions
            .skip(from)
            .take(limit)
            .filter_map(|position| state.entry(*position))
            .map(without_payload)
            .collect())
    }

    fn streams(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StreamId>, JournalError> {
        let state = self.state();
        let names = state.streams.keys().filter(|name| {
            name.as_str().starts_with(prefix) && after.is_none_or(|after| name.as_str() > after)
        });
        let mut names: Vec<_> = names.cloned().collect();
        names.sort_unstable();
        names.truncate(limit);
        Ok(names)
    }

    fn version(&self, stream: &StreamId) -> Result<Version, JournalError> {
        Ok(self.state().version(stream))
    }

    fn payload(&self, position: Position) -> Result<Option<Bytes>, JournalError> {
        Ok(self
            .state()
            .entry(position)
            .and_then(|entry| entry.payload.clone()))
    }

    fn erase(
        &self,
        order: Arc<EraseOrder>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<Position>, JournalError> {
        let mut state = self.change();
        let State {
            entries, streams, ..
        } = &mut *state;
        let covered = |entry: &Entry| {
            let covered = |body: &Body| (order.covers)(body.stream.as_str());
            entry.header.position < order.by && entry.body.as_ref().is_some_and(covered)
        };
        let erased: Vec<_> = entries
            .iter()
            .filter(|entry| entry.erased_by == Some(order.by) || covered(entry))
            .map(|entry| entry.header.position)
            .collect();
        order
            .holds((1, Position::MAX), &erased)
            .map_err(|what| JournalError::Damaged {
                place: "memory".to_owned(),
                what: what.to_string(),
            })?;
        for entry in entries.iter_mut().filter(|entry| covered(entry)) {
            if let Some(body) = entry.body.take() {
                streams.remove(&body.stream);
            }
            entry.payload = None;
            entry.erased_by = Some(order.by);
        }
        progress(1, 1);
        Ok(erased)
    }

    fn erase_index(
        &self,
        _: &[Position],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), JournalError> {
        // There is nothing besides the entries.
        progress(0, 0);
        Ok(())
    }

    fn attach(&self, sink: Box<dyn Sink>) {
        *self.turn() = Some(sink);
    }

    fn is_attached(&self) -> bool {
        self.turn().is_some()
    }
}
