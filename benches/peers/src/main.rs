//! Holds `g3n serve` against thin handlers over other stores, by one load generator in one run: `make bench-peers`.

mod failure;
mod keeper;
mod load;
mod peer;
mod process;
mod report;
mod scenario;
mod serve;
mod store;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand};

use failure::{Failure, Result, While};
use keeper::Keeper;
use peer::Kind;
use report::Report;
use scenario::Extent;

/// As the server has it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// `f_type` of a file system in memory.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Measure g3n and thin handlers over a bare log, SQLite, Redis and PostgreSQL with the same requests.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    bench: Bench,
}

#[derive(Args)]
struct Bench {
    /// The server to measure.
    #[arg(long, default_value = "target/release/g3n")]
    g3n: PathBuf,
    /// Only these, separated by commas.
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Kind>,
    /// One round of short scenarios.
    #[arg(long)]
    quick: bool,
    /// Rounds, each of all peers in turn (without --quick: 3).
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Seconds of each scenario, at least 0.1 (without --quick: 3).
    #[arg(long)]
    seconds: Option<f64>,
    /// Where to put the data of the peers meanwhile: a directory on a disk.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    directory: PathBuf,
    /// Write all rounds as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Part {
    /// Serve a thin handler (the bench starts it).
    #[command(hide = true)]
    Serve {
        kind: Kind,
        directory: PathBuf,
        socket: PathBuf,
    },
    /// Clean up once the bench has ended (the bench starts it).
    #[command(hide = true)]
    Keep { directory: PathBuf },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.part {
        Some(Part::Serve {
            kind,
            directory,
            socket,
        }) => serve::serve(*kind, directory, socket),
        Some(Part::Keep { directory }) => keeper::keep(directory),
        None => bench(&arguments.bench),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn bench(bench: &Bench) -> Result<()> {
    let (rounds, seconds, records) = if bench.quick {
        (1, 0.5, 12_000)
    } else {
        (3, 3.0, 20_000)
    };
    let (rounds, seconds) = (
        bench.rounds.unwrap_or(rounds),
        bench.seconds.unwrap_or(seconds),
    );
    let time = Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|time| time.as_millis() >= 100);
    let time = time.ok_or_else(|| Failure::new("--seconds takes a number of at least 0.1"))?;
    let extent = Extent { time, records };
    let (mut kinds, mut skipped) = (Vec::new(), Vec::new());
    for kind in Kind::ALL
        .into_iter()
        .filter(|kind| bench.only.is_empty() || bench.only.contains(kind))
    {
        match kind.lacks(&bench.g3n) {
            Some(reason) => skipped.push(format!("{}: {reason}", kind.name())),
            None => kinds.push(kind),
        }
    }
    skipped
        .iter()
        .for_each(|skipped| eprintln!("SKIP {skipped}"));
    if kinds.is_empty() {
        return Err(Failure::new("nothing is left to measure"));
    }
    let scratch = scratch(&bench.directory)?;
    let keeper = Keeper::start(&scratch)?;
    let mut done = Vec::new();
    for round in 1..=rounds {
        for kind in &kinds {
            eprintln!("round {round} of {rounds}: {}", kind.name());
            let directory = scratch.join(format!("{}-{round}", kind.name()));
            done.push(scenario::round(
                *kind,
                &keeper,
                &directory,
                (&bench.g3n, extent),
            )?);
        }
    }
    drop(keeper);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .while_trying("reading the clock")?;
    let report = Report {
        ended_unix_seconds: now.as_secs(),
        machine: report::machine(),
        seconds,
        preloaded: records,
        skipped,
        rounds: done,
    };
    report.print();
    bench
        .json
        .as_deref()
        .map_or(Ok(()), |path| report.write(path))
}

/// A new directory on a disk, which the keeper removes.
fn scratch(below: &Path) -> Result<PathBuf> {
    let system =
        rustix::fs::statfs(below).while_trying(&format!("looking at {}", below.display()))?;
    if system.f_type.cast_unsigned() == TMPFS_MAGIC {
        return Err(Failure::new(format!(
            "{} is in memory, where a sync costs nothing; name a directory on a disk with --directory",
            below.display()
        )));
    }
    let scratch = tempfile::Builder::new().prefix("peers-").tempdir_in(below);
    let scratch = scratch
        .while_trying(&format!("creating a directory below {}", below.display()))?
        .keep();
    peer::open_to_others(&scratch)?;
    Ok(scratch)
}
