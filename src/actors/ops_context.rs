//! What operators' actors work with: the context of all actors, their settings, the gate's watch, and news of changes.

use std::sync::Arc;

use tokio::sync::watch;

use super::deps::ActorDeps;
use super::watch::Watch;

/// Settings of the operators' part.
#[derive(Clone, Copy, Debug)]
pub struct OpsSettings {
    /// How long a vacuum can be cancelled before it begins.
    pub vacuum_pending_ms: i64,
    /// How old the gate's state may become before every request passes, in milliseconds.
    pub watch_age_ms_max: u64,
    /// How far in the past the start of a window that is scheduled may be, in milliseconds.
    pub schedule_past_ms_max: i64,
}

impl Default for OpsSettings {
    fn default() -> Self {
        Self {
            vacuum_pending_ms: 300_000,
            watch_age_ms_max: 20_000,
            schedule_past_ms_max: 300_000,
        }
    }
}

/// What the actors of windows and vacuums work with. They know nothing of the registry that starts them.
pub struct OpsContext {
    /// The journal, the projections, the clock and the admission of commands.
    pub deps: Arc<ActorDeps>,
    /// Settings of the operators' part.
    pub settings: OpsSettings,
    /// The gate's knowledge of the active window.
    pub watch: Arc<Watch>,
    changes: watch::Sender<u64>,
}

impl OpsContext {
    /// A context whose watch knows nothing yet.
    pub fn new(deps: Arc<ActorDeps>, settings: OpsSettings) -> Arc<Self> {
        Arc::new(Self {
            deps,
            settings,
            watch: Arc::new(Watch::new(settings.watch_age_ms_max)),
            changes: watch::Sender::new(0),
        })
    }

    /// Receives a number that grows with every [`OpsContext::tell_changed`] from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Brings the watch up to date, and wakes the audit and the actors that wait. To be called once an operators' event
    /// is durable.
    pub fn tell_changed(&self) {
        self.watch.refresh(&self.deps.store);
        self.changes.send_modify(|changes| *changes += 1);
    }
}
