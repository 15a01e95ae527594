//! Shows durable groups to the projections and answers their writers, while the next group is being written.
//!
//! Groups are shown and answered in the order they were written. One that finds nothing ahead of it and is small is
//! shown by the writing thread itself, which saves a lone writer the way to another thread and back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};
use tokio::sync::oneshot;

use super::log::End;
use super::writer::Shared;
use super::{Entry, Health, Outcome};

/// Groups that are durable and wait to be shown; past it the writing thread waits.
const GROUPS_WAITING_MAX: usize = 2;
/// Most entries of a group that the writing thread shows itself.
const SMALL_GROUP_ENTRIES: usize = 4;

/// A durable group: what to show, and whom to tell.
pub(crate) struct Durable {
    pub(crate) entries: Vec<Entry>,
    /// The journal's end with it.
    pub(crate) end: End,
    pub(crate) answers: Vec<(oneshot::Sender<Outcome>, Outcome)>,
}

/// The way to the showing thread.
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
                .name("journal-shower".to_owned())
                .spawn(move || run(&receiver, &shared, &waiting))?
        };
        Ok(Self {
            sender: Some(sender),
            waiting,
            shared,
            thread: Some(thread),
        })
    }

    /// Shows a group, here or on the showing thread.
    pub(crate) fn take(&self, group: Durable) {
        let small = group.entries.len() <= SMALL_GROUP_ENTRIES;
        if small && self.waiting.load(Ordering::Acquire) == 0 {
            return show(group, &self.shared);
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        if let Some(sender) = &self.sender
            && let Err(refused) = sender.send(group)
        {
            // The thread is gone, which only a panic outside the projections can do.
            self.shared
                .read_only("the journal's apply thread has ended");
            show(refused.into_inner(), &self.shared);
        }
    }

    /// Waits until everything handed over is answered.
    pub(crate) fn close(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // A panic there is already told by the journal's health.
            let _ = thread.join();
        }
    }
}

fn run(receiver: &Receiver<Durable>, shared: &Shared, waiting: &AtomicUsize) {
    while let Ok(group) = receiver.recv() {
        show(group, shared);
        waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Shows a group and answers it; what is durable and cannot be shown is not answered as done.
fn show(group: Durable, shared: &Shared) {
    let shown = match shared.health() {
        Health::ReadOnly(reason) if !group.entries.is_empty() => Err(reason.to_string()),
        Health::ReadOnly(_) | Health::Open => {
            catch_unwind(AssertUnwindSafe(|| shared.show(&group.entries)))
                .unwrap_or_else(|_| Err("a projection panicked".to_owned()))
        }
    };
    match shown {
        Ok(()) => {
            shared.publish(group.end);
            for (answer, outcome) in group.answers {
                let _ = answer.send(outcome);
            }
            shared.let_go();
        }
        Err(reason) => {
            shared.read_only(&reason);
            for (answer, _) in group.answers {
                let _ = answer.send(Outcome::Unavailable);
            }
        }
    }
}
