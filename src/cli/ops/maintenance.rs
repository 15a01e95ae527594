//! `g3n ops maintenance-…`: maintenance windows, from the plan to the end.

use clap::Args;
use serde::Serialize;

use super::{ChangeArgs, Operator};
use crate::cli::args::KeyArgs;
use crate::cli::bare::BareArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{Printer, note};
use crate::cli::pages::PageArgs;
use crate::cli::time::{Time, ahead, seconds};
use crate::client::Reply;

/// A window to plan.
#[derive(Args, Debug, Serialize)]
pub(super) struct ScheduleArgs {
    #[command(flatten)]
    #[serde(skip)]
    change: ChangeArgs,
    /// The reason that tenants are shown.
    #[arg(long)]
    description: String,
    /// Expected duration in seconds, or such as 90m; the window stays active until it is ended.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: u64,
    /// When it starts by itself: RFC 3339, or how long from now, such as 15m.
    #[arg(long, value_name = "TIME", value_parser = ahead, allow_hyphen_values = true)]
    start: Time,
    #[command(flatten)]
    #[serde(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    #[serde(skip)]
    bare: BareArgs,
}

/// A window to start or cancel.
#[derive(Args, Debug, Serialize)]
pub(super) struct WindowArgs {
    #[command(flatten)]
    #[serde(skip)]
    change: ChangeArgs,
    /// The window's id.
    #[arg(long, value_name = "ID")]
    maintenance_id: String,
}

/// News of a window.
#[derive(Args, Debug, Serialize)]
pub(super) struct UpdateArgs {
    #[command(flatten)]
    #[serde(skip)]
    change: ChangeArgs,
    /// The window's id; without it the active one.
    #[arg(long, value_name = "ID")]
    maintenance_id: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    news: News,
}

/// What is new, at least one of it.
#[derive(Args, Debug, Serialize)]
#[group(required = true, multiple = true)]
struct News {
    /// A status message, shown to tenants.
    #[arg(long)]
    text: Option<String>,
    /// A description that replaces the present one.
    #[arg(long)]
    description: Option<String>,
    /// A new expected duration in seconds, or such as 2h.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<u64>,
}

/// A window to end.
#[derive(Args, Debug, Serialize)]
pub(super) struct EndArgs {
    #[command(flatten)]
    #[serde(skip)]
    change: ChangeArgs,
    /// What tenants are told of the end.
    #[arg(long, value_name = "TEXT")]
    end_message: Option<String>,
    /// The window's id; without it the active one.
    #[arg(long, value_name = "ID")]
    maintenance_id: Option<String>,
}

/// Which windows to list.
#[derive(Args, Debug, Serialize)]
pub(super) struct ListArgs {
    /// Only these: scheduled, active, ended or cancelled.
    #[arg(long)]
    status: Option<String>,
    /// Call the operators' address, which also says who did what, and why.
    #[arg(long)]
    #[serde(skip)]
    pub(super) operator: bool,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) page: PageArgs,
}

/// Which window to show.
#[derive(Args, Debug, Serialize)]
pub(super) struct GetArgs {
    /// The window's id.
    #[arg(long, value_name = "ID")]
    maintenance_id: String,
    /// Call the operators' address, which also says who did what, and why.
    #[arg(long)]
    #[serde(skip)]
    pub(super) operator: bool,
}

impl ScheduleArgs {
    pub(super) fn run(&self, operator: &Operator, printer: &Printer) -> Result<Exit, Failure> {
        let made = operator.change("ops_maintenance_schedule", &self.change, self);
        if let Ok(reply) = &made
            && let Some(active) = reply.data()["waits_for"].as_str()
        {
            note(&format!(
                "window {} is active: this one begins when that one ends (g3n ops maintenance-end), and is cancelled if it still waits at its planned end",
                active
            ));
        }
        self.bare.tell(printer, "maintenance_id", made)
    }
}

impl WindowArgs {
    pub(super) fn run(&self, operator: &Operator, function: &str) -> Result<Reply, Failure> {
        operator.change(function, &self.change, self)
    }
}

impl UpdateArgs {
    pub(super) fn run(&self, operator: &Operator) -> Result<Reply, Failure> {
        operator.change("ops_maintenance_update", &self.change, self)
    }
}

impl EndArgs {
    pub(super) fn run(&self, operator: &Operator) -> Result<Reply, Failure> {
        let reply = operator.change("ops_maintenance_end", &self.change, self)?;
        if let Some(next) = reply.data()["begins_next"].as_str() {
            note(&format!(
                "window {next} begins now, because it was waiting: tenants are still refused. End it with g3n ops maintenance-end"
            ));
        }
        Ok(reply)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::cli::args::with;

    #[derive(Parser)]
    enum Line {
        Schedule(ScheduleArgs),
        Start(WindowArgs),
        Update(UpdateArgs),
        End(EndArgs),
    }

    fn body(line: &str) -> Option<Value> {
        let words = std::iter::once("ops").chain(line.split(' '));
        Some(Value::Object(match Line::try_parse_from(words).ok()? {
            Line::Schedule(arguments) => with(Map::new(), &arguments),
            Line::Start(arguments) => with(Map::new(), &arguments),
            Line::Update(arguments) => with(Map::new(), &arguments),
            Line::End(arguments) => with(Map::new(), &arguments),
        }))
    }

    #[test]
    fn a_body_holds_what_was_said_and_nothing_else() {
        for (line, sent) in [
            (
                "schedule --description disk --duration 3600 --start 2030-03-01T02:00:00Z",
                json!({"description": "disk", "duration": 3600, "start": "2030-03-01T02:00:00Z"}),
            ),
            (
                "start --maintenance-id mw_1",
                json!({"maintenance_id": "mw_1"}),
            ),
            ("update --text half", json!({"text": "half"})),
            (
                "update --maintenance-id mw_1 --description disk --duration 7200",
                json!({"maintenance_id": "mw_1", "description": "disk", "duration": 7200}),
            ),
            ("end", json!({})),
            (
                "end --end-message done --maintenance-id mw_1",
                json!({"end_message": "done", "maintenance_id": "mw_1"}),
            ),
        ] {
            assert_eq!(body(line), Some(sent), "{line}");
        }
    }

    #[test]
    fn an_update_without_news_is_none() {
        assert_eq!(body("update"), None);
        assert_eq!(body("update --maintenance-id mw_1"), None);
    }
}
