//! `g3n jobs`: the server's upkeep, at the operators' address.

use std::cmp::Ordering;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::args::{RemarkArgs, insert, with};
use super::call::invoke;
use super::exit::Exit;
use super::failure::{Failure, granted};
use super::output::Printer;
use super::profile::Profile;
use super::progress;
use super::table::clean;
use crate::client::Reply;

/// How often a job's status is read.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Background jobs of the server (operators).
#[derive(Args, Debug)]
pub struct JobsArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// List all jobs and their state.
    #[command(after_help = "Example:\n  g3n jobs list")]
    List,
    /// Show a job: its purpose, its last and next run, and its last error.
    #[command(
        after_help = "Examples:\n  g3n jobs show projection-check\n  g3n jobs show projection-check --watch"
    )]
    Show(ShowArgs),
    /// Run a job now.
    #[command(
        after_help = "Examples:\n  g3n jobs run projection-check\n  g3n jobs run projection-check --watch"
    )]
    Run(RunArgs),
    /// Pause a job: it finishes its current step, and does nothing until it is resumed, also after a restart.
    #[command(after_help = "Example:\n  g3n jobs pause projection-check --reason \"slow disk\"")]
    Pause(OrderArgs),
    /// Resume a paused job where it stopped.
    #[command(after_help = "Example:\n  g3n jobs resume projection-check")]
    Resume(OrderArgs),
}

/// Which job to show.
#[derive(Args, Debug)]
struct ShowArgs {
    /// The job.
    name: String,
    /// Wait while it runs, with a bar on a terminal; exit 1 when it fails.
    #[arg(long)]
    watch: bool,
}

/// Which job to run.
#[derive(Args, Debug)]
struct RunArgs {
    #[command(flatten)]
    order: OrderArgs,
    /// Wait for its end, with a bar on a terminal; exit 1 when it fails.
    #[arg(long)]
    watch: bool,
}

/// Which job, and why.
#[derive(Args, Debug)]
struct OrderArgs {
    /// The job.
    name: String,
    #[command(flatten)]
    remarks: RemarkArgs,
}

/// Runs one verb.
///
/// # Errors
/// The [`Failure`] of the verb.
pub(super) fn run(
    arguments: &JobsArgs,
    profile: &Profile,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let show = |name: &str| invoke(profile, "jobs_show", naming(name));
    let order = |function: &str, order: &OrderArgs| {
        invoke(profile, function, with(naming(&order.name), &order.remarks))
    };
    let reply = match &arguments.verb {
        Verb::List => invoke(profile, "jobs_list", Map::new())?,
        Verb::Show(ShowArgs { name, watch: true }) => {
            return watch(granted(show(name)?)?, None, printer, || show(name));
        }
        Verb::Show(ShowArgs { name, watch: false }) => show(name)?,
        Verb::Run(RunArgs {
            order: what,
            watch: true,
        }) => {
            let since = counts(granted(show(&what.name)?)?.data());
            let first = granted(order("jobs_run", what)?)?;
            return watch(first, Some(since), printer, || show(&what.name));
        }
        Verb::Run(RunArgs {
            order: what,
            watch: false,
        }) => order("jobs_run", what)?,
        Verb::Pause(what) => order("jobs_pause", what)?,
        Verb::Resume(what) => order("jobs_resume", what)?,
    };
    Ok(printer.reply(&reply))
}

fn naming(name: &str) -> Map<String, Value> {
    let mut body = Map::new();
    insert(&mut body, "job", Some(name));
    body
}

/// Runs that ended, and steps that failed.
type Counts = (u64, u64);

fn counts(job: &Value) -> Counts {
    let count = |name: &str| job[name].as_u64().unwrap_or_default();
    (count("runs"), count("failures"))
}

/// The state of a watched job. One that was ordered is watched since it had these counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Running,
    Over(Exit),
}

fn progress(job: &Value, since: Option<Counts>) -> Progress {
    let state = job["state"].as_str().unwrap_or_default();
    let Some(since) = since else {
        return match state {
            "running" => Progress::Running,
            "failing" => Progress::Over(Exit::Refused),
            _ => Progress::Over(Exit::Success),
        };
    };
    let now = counts(job);
    match now.0.cmp(&since.0) {
        Ordering::Greater => Progress::Over(Exit::Success),
        Ordering::Equal if now.1 == since.1 && state != "paused" => Progress::Running,
        // It failed, was paused, or the server was restarted.
        Ordering::Equal | Ordering::Less => Progress::Over(Exit::Refused),
    }
}

fn watch(
    mut reply: Reply,
    since: Option<Counts>,
    printer: &Printer,
    ask: impl Fn() -> Result<Reply, Failure>,
) -> Result<Exit, Failure> {
    let bar = progress::of_steps();
    loop {
        let job = reply.data();
        let Progress::Running = progress(job, since) else {
            break;
        };
        let told = |name: &str| job["progress"][name].as_u64().unwrap_or_default();
        bar.set_message(clean(job["job"].as_str().unwrap_or_default()));
        bar.update(|state| {
            state.set_len(told("total"));
            state.set_pos(told("done"));
        });
        std::thread::sleep(LOOK_EVERY);
        reply = granted(ask()?)?;
    }
    drop(bar);
    Ok(
        match (printer.reply(&reply), progress(reply.data(), since)) {
            (Exit::Success, Progress::Over(exit)) => exit,
            (told, _) => told,
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_goes_on_is_seen_and_what_ended_ends_the_program() {
        let since = Some((3, 1));
        for (state, runs, failures, shown, ordered) in [
            ("running", 3, 1, Progress::Running, Progress::Running),
            (
                "waiting",
                3,
                1,
                Progress::Over(Exit::Success),
                Progress::Running,
            ),
            (
                "waiting",
                4,
                1,
                Progress::Over(Exit::Success),
                Progress::Over(Exit::Success),
            ),
            (
                "failing",
                3,
                2,
                Progress::Over(Exit::Refused),
                Progress::Over(Exit::Refused),
            ),
            (
                "paused",
                3,
                1,
                Progress::Over(Exit::Success),
                Progress::Over(Exit::Refused),
            ),
            (
                "waiting",
                0,
                0,
                Progress::Over(Exit::Success),
                Progress::Over(Exit::Refused),
            ),
        ] {
            let job = json!({"state": state, "runs": runs, "failures": failures});
            assert_eq!(progress(&job, None), shown, "{job}");
            assert_eq!(progress(&job, since), ordered, "{job}");
        }
    }
}
