//! Reports what the previous process was doing when it ended without a stop, and notes what this one does.

use std::sync::Arc;

use crate::clock::Clock;
use crate::directory::Directory;
use crate::journal::state;
use crate::meters::{Meters, one, value};
use crate::report::{self, Event, Fingerprint, RequestId, Text};
use crate::running::{Before, Running};

/// What is noted, until it is dropped: that is an end in order.
pub(super) struct Noted {
    pub(super) of: Arc<Running>,
    crashes: u64,
    requests: u64,
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.of.close();
    }
}

/// Reads and reports what is left, and begins a new list. Where nothing can be noted the server starts all the same.
pub(super) fn open(directory: &Directory, clock: &Clock) -> Noted {
    let opened = Running::open(&directory.running(), &state::boot_id(), clock.clone());
    let (running, before) = opened.unwrap_or_else(|error| {
        report::notice_error(
            "the list of running requests cannot be written, and will be missing after a crash",
            &error,
        );
        (Running::nowhere(clock.clone()), Before::default())
    });
    tell(&before);
    Noted {
        of: Arc::new(running),
        crashes: before.crashes,
        requests: before.requests,
    }
}

fn tell(before: &Before) {
    let Some(requests) = &before.crashed_while else {
        return;
    };
    report::emit(Event::Crashed {
        requests: requests.len() as u64,
        times: before.crashes,
    });
    for request in requests {
        report::emit(Event::CrashedWhile {
            request_id: RequestId::of(&request.request_id),
            began_at: Text::of(&request.began_at.to_string()),
            service: Text::of(&request.service),
            method: Text::of(&request.method),
            route: Text::of(&request.route),
            principal: request.principal.as_deref().and_then(Fingerprint::of),
        });
    }
}

impl Noted {
    /// Adds what the data directory has seen to what is counted, and lines that the log lacks.
    pub(super) fn measure(&self, meters: &Meters) {
        let (crashes, requests) = (self.crashes, self.requests);
        meters.counters_fn(
            (
                "metarecord_crashes_total",
                "Unexpected ends of a process with this data directory.",
            ),
            &[],
            move || one(Some(value(crashes))),
        );
        meters.counters_fn(
            (
                "metarecord_crashed_while_requests_total",
                "Requests that were in progress at a crash.",
            ),
            &[],
            move || one(Some(value(requests))),
        );
        meters.counters_fn(
            (
                "metarecord_log_lines_missing_total",
                "Log lines that were dropped, by sink, and requests without a line.",
            ),
            &["output"],
            || {
                let missing = report::missing().into_iter();
                let missing =
                    missing.map(|(output, lines)| (vec![output.to_owned()], value(lines)));
                missing.collect()
            },
        );
    }
}
