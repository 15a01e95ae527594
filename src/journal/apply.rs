//! The apply thread: applies durable groups to the projections and answers their writers, while the next is written.
//!
//! Groups are applied and answered in the order they were written. A small one with no other group waiting is applied
//! by the writer thread itself, which saves a lone writer two changes of threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};
use tokio::sync::oneshot;

use super::chain::End;
use super::error::GroupError;
use super::shared::Shared;
use super::{Entry, Health, Outcome};
use crate::os_error::describe;

/// Groups that are durable and wait to be applied; past it the writer thread waits.
const GROUPS_WAITING_MAX: usize = 2;
/// Most entries of a group that the writer thread applies itself.
const SMALL_GROUP_ENTRIES: usize = 4;

/// A durable group: the entries to apply, and the callers to answer.
pub(crate) struct Durable {
    pub(crate) entries: Vec<Entry>,
    /// The journal's end with it.
    pub(crate) end: End,
    pub(crate) answers: Vec<(oneshot::Sender<Outcome>, Outcome)>,
}

/// Applies groups, on the apply thread or at once.
pub(crate) struct Applier {
    sender: Option<Sender<Durable>>,
    /// Groups handed over and not yet answered.
    waiting: Arc<AtomicUsize>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Applier {
    pub(crate) fn start(shared: Arc<Shared>) -> std::io::Result<Self> {
        let (sender, receiver) = crossbeam_channel::bounded(GROUPS_WAITING_MAX);
        let waiting = Arc::new(AtomicUsize::new(0));
        let thread = {
            let (shared, waiting) = (Arc::clone(&shared), Arc::clone(&waiting));
            std::thread::Builder::new()
                .name("journal-apply".to_owned())
                .spawn(move || run(&receiver, &shared, &waiting))?
        };
        Ok(Self {
            sender: Some(sender),
            waiting,
            shared,
            thread: Some(thread),
        })
    }

    /// Applies a group, here or on the apply thread.
    pub(crate) fn take(&self, group: Durable) {
        let small = group.entries.len() <= SMALL_GROUP_ENTRIES;
        if small && self.waiting.load(Ordering::Acquire) == 0 {
            return apply(group, &self.shared);
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        if let Some(sender) = &self.sender
            && let Err(refused) = sender.send(group)
        {
            // The thread has ended, which only a panic outside the projections can do.
            self.shared
                .read_only("the journal's apply thread has ended");
            apply(refused.into_inner(), &self.shared);
        }
    }

    /// Waits until everything handed over is answered.
    pub(crate) fn close(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // A panic there is already in the journal's health.
            let _ = thread.join();
        }
    }
}

fn run(receiver: &Receiver<Durable>, shared: &Shared, waiting: &AtomicUsize) {
    while let Ok(group) = receiver.recv() {
        apply(group, shared);
        waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Applies a group and answers it; what is durable and cannot be applied is not answered as done.
fn apply(group: Durable, shared: &Shared) {
    let applied = match shared.health() {
        Health::ReadOnly(reason) if !group.entries.is_empty() => Err(GroupError::ReadOnly(reason)),
        Health::ReadOnly(_) | Health::Open => {
            catch_unwind(AssertUnwindSafe(|| shared.apply(&group.entries)))
                .map_or(Err(GroupError::ProjectionPanicked), |applied| Ok(applied?))
        }
    };
    match applied {
        Ok(()) => {
            shared.publish(group.end);
            for (answer, outcome) in group.answers {
                let _ = answer.send(outcome);
            }
        }
        Err(error) => {
            shared.read_only(&describe(&error));
            for (answer, _) in group.answers {
                let _ = answer.send(Outcome::Unavailable);
            }
        }
    }
}
