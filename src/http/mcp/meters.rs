//! What the endpoint counts: requests by what they ask for and how they end, and open streams.

use std::collections::HashMap;

use prometheus::IntCounter;

use super::load::Load;
use crate::mcp::table;
use crate::meters::{Meters, value};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It did what was asked.
    Ok,
    /// A tool said no.
    Refused,
    /// The request was none, or asked for what there is not.
    Error,
    /// It was not let in.
    Denied,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Ok, Self::Refused, Self::Error, Self::Denied];

    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Error => "error",
            Self::Denied => "denied",
        }
    }
}

/// What else than tools is asked for.
const OTHERS: [&str; 11] = [
    "mcp",
    "mcp/complete",
    "mcp/discover",
    "mcp/initialize",
    "mcp/prompts-get",
    "mcp/prompts-list",
    "mcp/resources-list",
    "mcp/resources-read",
    "mcp/subscriptions-listen",
    "mcp/tools-list",
    "mcp/unknown",
];
/// What requests are counted under that ask for nothing else.
const OTHER: &str = OTHERS[0];

/// The counters of the endpoint. Two families: one by both would be a series for each pair.
pub(super) struct McpMeters {
    requests: HashMap<&'static str, IntCounter>,
    outcomes: [IntCounter; Outcome::ALL.len()],
}

impl McpMeters {
    /// Adds them to what a server counts, each at 0.
    pub(super) fn new(meters: &Meters, load: &Load) -> Self {
        let requests = meters.counters(
            (
                "metarecord_mcp_requests_total",
                "Requests of agents, by what they ask for.",
            ),
            &["route"],
        );
        let outcomes = meters.counters(
            (
                "metarecord_mcp_outcomes_total",
                "Requests of agents, by how they ended.",
            ),
            &["outcome"],
        );
        let open = load.open_streams();
        meters.gauge_fn(
            ("metarecord_mcp_streams", "Open streams of agents."),
            move || Some(value(open())),
        );
        let labels = table::all().map(|tool| tool.label).chain(OTHERS);
        let counters = labels.map(|label| (label, requests.with_label_values(&[label])));
        Self {
            requests: counters.collect(),
            outcomes: Outcome::ALL.map(|outcome| outcomes.with_label_values(&[outcome.as_str()])),
        }
    }

    /// Counts a request by its label; none where it asked for nothing that has one.
    pub(super) fn count(&self, label: Option<&'static str>, outcome: Outcome) {
        self.outcomes[outcome as usize].inc();
        if let Some(counter) = self.requests.get(label.unwrap_or(OTHER)) {
            counter.inc();
        }
    }
}
