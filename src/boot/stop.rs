//! How long a server may take to stop, and the end of a process that takes longer.

use std::sync::Arc;
use std::time::Duration;

use super::again::{Addresses, StartAgain};
use crate::journal::{Health, Journal};
use crate::report::{self, Event};
use crate::reserve::{Level, Reserve};
use crate::running::Running;

/// Seconds that running requests and steps of jobs have to end once the process is asked to stop.
pub(super) const SHUTDOWN_SECONDS: u64 = 8;
/// Seconds until the process ends whatever is left to do: under the minute that the unit of systemd gives it.
const END_SECONDS: u64 = 55;
/// The same two for a server whose disk takes nothing: what it waits for may never come.
const SHUTDOWN_SECONDS_IN_NEED: u64 = 3;
const END_SECONDS_IN_NEED: u64 = 7;
/// The exit code of a stop that was broken off, as of one that failed.
const BROKEN_OFF: i32 = 1;

/// The times of one stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The time for running requests and steps of jobs.
    pub(super) requests: Duration,
    /// The time from the signal to the end of the process.
    pub(super) end: Duration,
}

impl Times {
    /// By how the disk is: a database that could not write may wait for ever for what it wrote.
    pub(super) fn by(journal: &dyn Journal, reserve: &Reserve) -> Self {
        let need = journal.health() != Health::Open || reserve.level() == Level::Critical;
        let (requests, end) = if need {
            (SHUTDOWN_SECONDS_IN_NEED, END_SECONDS_IN_NEED)
        } else {
            (SHUTDOWN_SECONDS, END_SECONDS)
        };
        Self {
            requests: Duration::from_secs(requests),
            end: Duration::from_secs(end),
        }
    }
}

/// Ends the process after a time, or restarts it, unless it ends before. The journal loses nothing by it: what was
/// confirmed to callers is in its log, and everything else is rebuilt at the next start.
pub(super) fn end_after(
    within: Duration,
    again: Option<(StartAgain, Addresses)>,
    running: Arc<Running>,
) {
    let end = move || {
        std::thread::sleep(within);
        report::emit(Event::Stopped {
            outcome: match again {
                Some(_) => report::event::AGAIN,
                None => report::event::BROKEN_OFF,
            },
        });
        if let Some(log) = report::log() {
            log.close();
        }
        if let Some((start_again, addresses)) = again {
            // An intended end, not a crash.
            running.close();
            let error = start_again(&addresses);
            report::notice_error("the process cannot restart", &error);
        }
        std::process::exit(BROKEN_OFF);
    };
    let thread = std::thread::Builder::new().name("stop".to_owned());
    // Without it the stop may take longer than that.
    if let Err(error) = thread.spawn(end) {
        report::notice_error("signals that end the process cannot be handled", &error);
    }
}
