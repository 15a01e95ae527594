//! `g3n ops vacuum-status --watch`: a countdown, a bar, and how it ended.

use std::time::Duration;

use serde_json::Value;

use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, granted};
use crate::cli::progress;
use crate::cli::table::clean;
use crate::client::Reply;
use crate::domain::Timestamp;

/// How often the vacuum's status is read.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The state of a watched vacuum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Pending,
    Running,
    Done,
    Failed,
}

/// The numbers that a progress bar shows.
#[derive(Debug, PartialEq, Eq)]
struct Progress {
    text: String,
    done: u64,
    total: u64,
}

/// Waits for the end of a vacuum, and returns the last answer about it.
///
/// # Errors
/// The [`Failure`] of a call that reads its status.
pub(super) fn until_ended(
    vacuum_id: Option<&str>,
    ask: impl Fn(Option<&str>) -> Result<Reply, Failure>,
) -> Result<Reply, Failure> {
    let bar = progress::of_steps();
    let mut vacuum_id = vacuum_id.map(str::to_owned);
    loop {
        let reply = granted(ask(vacuum_id.as_deref())?)?;
        let Some(progress) = progress(&reply) else {
            return Ok(reply);
        };
        // The latest one may become another one meanwhile.
        let named = || reply.data()["vacuum_id"].as_str().map(str::to_owned);
        vacuum_id = vacuum_id.or_else(named);
        bar.set_message(progress.text);
        bar.update(|state| {
            state.set_len(progress.total);
            state.set_pos(progress.done);
        });
        std::thread::sleep(LOOK_EVERY);
    }
}

/// What the end of a vacuum means for the shell.
pub(super) fn exit(reply: &Reply) -> Exit {
    match State::of(reply.data()) {
        State::Failed => Exit::Refused,
        State::Pending | State::Running | State::Done => Exit::Success,
    }
}

impl State {
    fn of(vacuum: &Value) -> Self {
        match vacuum["status"].as_str() {
            Some("pending") => Self::Pending,
            Some("running") => Self::Running,
            Some("completed" | "cancelled") => Self::Done,
            Some(_) | None => Self::Failed,
        }
    }
}

/// The progress to show, until the vacuum has ended.
fn progress(reply: &Reply) -> Option<Progress> {
    let vacuum = reply.data();
    match State::of(vacuum) {
        State::Pending => Some(countdown(reply)),
        State::Running => {
            let progress = &vacuum["progress"];
            let count = |name: &str| progress[name].as_u64().unwrap_or_default();
            Some(Progress {
                text: clean(progress["step"].as_str().unwrap_or("running")),
                done: count("done"),
                total: count("total"),
            })
        }
        State::Done | State::Failed => None,
    }
}

/// How long it can still be cancelled, by the service's clock: this machine's may be another.
fn countdown(reply: &Reply) -> Progress {
    let time = |value: &Value| value.as_str().and_then(Timestamp::parse);
    let vacuum = reply.data();
    let (requested, execute, now) = (
        time(&vacuum["requested_at"]),
        time(&vacuum["execute_at"]),
        time(&reply.envelope["stats"]["timestamp_utc"]),
    );
    let (Some(execute), Some(now)) = (execute, now) else {
        return Progress {
            text: "pending".to_owned(),
            done: 0,
            total: 0,
        };
    };
    let seconds = |from: Timestamp| {
        let millis = execute.millis().saturating_sub(from.millis());
        u64::try_from(millis).unwrap_or_default().div_ceil(1_000)
    };
    let left = seconds(now);
    let total = requested.map_or(left, seconds);
    Progress {
        text: format!("begins in {}:{:02}", left / 60, left % 60),
        done: total.saturating_sub(left),
        total,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reply(vacuum: Value) -> Reply {
        let now = "2030-03-01T02:00:55.500Z";
        let envelope = json!({"success": true, "data": vacuum, "stats": {"timestamp_utc": now}});
        Reply {
            status: 200,
            headers: ureq::http::HeaderMap::new(),
            text: envelope.to_string(),
            envelope,
            credential: crate::client::CredentialKind::Operator,
        }
    }

    #[test]
    fn what_goes_on_is_seen_and_what_ended_ends_the_program() {
        let times = json!({"status": "pending", "requested_at": "2030-03-01T02:00:00.000Z",
            "execute_at": "2030-03-01T02:05:00.000Z"});
        let late = json!({"status": "pending", "execute_at": "2030-03-01T02:00:00.000Z"});
        let running =
            json!({"status": "running", "progress": {"step": "mrs", "done": 3, "total": 9}});
        for (vacuum, seen, exit_) in [
            (times, Some(("begins in 4:05", 55, 300)), Exit::Success),
            (late, Some(("begins in 0:00", 0, 0)), Exit::Success),
            (
                json!({"status": "pending"}),
                Some(("pending", 0, 0)),
                Exit::Success,
            ),
            (running, Some(("mrs", 3, 9)), Exit::Success),
            (
                json!({"status": "running"}),
                Some(("running", 0, 0)),
                Exit::Success,
            ),
            (json!({"status": "completed"}), None, Exit::Success),
            (json!({"status": "cancelled"}), None, Exit::Success),
            (json!({"status": "failed"}), None, Exit::Refused),
            (json!({}), None, Exit::Refused),
        ] {
            let shown = vacuum.to_string();
            let reply = reply(vacuum);
            let seen = seen.map(|(text, done, total)| Progress {
                text: text.to_owned(),
                done,
                total,
            });
            assert_eq!(progress(&reply), seen, "{shown}");
            assert_eq!(exit(&reply), exit_, "{shown}");
        }
    }
}
