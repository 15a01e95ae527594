//! Which lines of a log are wanted.

use clap::Args;
use serde_json::{Map, Value};

use crate::cli::failure::Failure;
use crate::cli::time::{Time, ago};
use crate::domain::Timestamp;
use crate::report::event::SHAPES;
use crate::report::files::{Day, day_of};

/// Which lines to show.
#[derive(Args, Debug)]
pub(super) struct PickArgs {
    /// Only this event, such as request; may be repeated.
    #[arg(long, value_name = "EVENT")]
    event: Vec<String>,
    /// Only lines since a time: RFC 3339, or how long ago, such as 30s, 15m, 2h or 1d.
    #[arg(long, value_name = "TIME", value_parser = ago, allow_hyphen_values = true)]
    since: Option<Time>,
    /// Only lines with this status, such as 404, or of a class, such as 5xx; may be repeated.
    #[arg(long, value_name = "STATUS")]
    status: Vec<String>,
    /// Only lines of this request.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

/// A status to show, or a class of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Exactly(u64),
    /// The hundreds of a class, such as 4 for 4xx.
    Class(u64),
}

/// A filter of the lines to show.
#[derive(Debug)]
pub(super) struct Pick {
    events: Vec<String>,
    since: Option<Timestamp>,
    statuses: Vec<Status>,
    request_id: Option<String>,
}

impl PickArgs {
    /// Parses the arguments to a filter.
    ///
    /// # Errors
    /// A usage failure, when no line can match.
    pub(super) fn read(&self) -> Result<Pick, Failure> {
        let usage = Failure::Usage;
        for event in &self.event {
            if SHAPES.iter().all(|shape| shape.event != event) {
                let known: Vec<_> = SHAPES.iter().map(|shape| shape.event).collect();
                return Err(usage(format!(
                    "there is no event {event}; there are {}",
                    known.join(", ")
                )));
            }
        }
        let statuses = self.status.iter().map(|text| {
            status(text).ok_or_else(|| {
                usage(format!(
                    "--status wants a number such as 404, or a class such as 5xx, not {text}"
                ))
            })
        });
        Ok(Pick {
            events: self.event.clone(),
            since: self.since.as_ref().map(Time::at),
            statuses: statuses.collect::<Result<_, _>>()?,
            request_id: self.request_id.clone(),
        })
    }
}

fn status(text: &str) -> Option<Status> {
    let hundreds = |class: &str| class.parse().ok().filter(|class| (1..=5).contains(class));
    match text.strip_suffix("xx") {
        Some(class) => hundreds(class).map(Status::Class),
        None => text
            .parse()
            .ok()
            .filter(|status| (100..=599).contains(status))
            .map(Status::Exactly),
    }
}

impl Pick {
    /// The day of the first line that can be wanted.
    pub(super) fn first_day(&self) -> Option<Day> {
        self.since.map(day_of)
    }

    /// Whether a line is wanted.
    pub(super) fn takes(&self, fields: &Map<String, Value>) -> bool {
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let event = self.events.is_empty()
            || text("event").is_some_and(|event| self.events.iter().any(|wanted| wanted == event));
        let since = self.since.is_none_or(|since| {
            let at = text("at").and_then(Timestamp::parse);
            at.is_some_and(|at| at >= since)
        });
        let of_request = self
            .request_id
            .as_deref()
            .is_none_or(|wanted| text("request_id") == Some(wanted));
        event && since && of_request && self.takes_status(fields)
    }

    fn takes_status(&self, fields: &Map<String, Value>) -> bool {
        let found = fields.get("status").and_then(Value::as_u64);
        self.statuses.is_empty()
            || found.is_some_and(|found| {
                self.statuses.iter().any(|wanted| match wanted {
                    Status::Exactly(status) => found == *status,
                    Status::Class(class) => found / 100 == *class,
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_number_or_a_class() {
        for (text, expected) in [
            ("404", Some(Status::Exactly(404))),
            ("5xx", Some(Status::Class(5))),
            ("6xx", None),
            ("99", None),
            ("xx", None),
        ] {
            assert_eq!(status(text), expected, "{text}");
        }
    }
}
