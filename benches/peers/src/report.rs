//! Medians of the rounds as a table, ratios of the server's figures to the peers', and all of it as JSON.

use std::path::Path;

use serde::Serialize;

use crate::failure::{Result, While};
use crate::peer::Kind;
use crate::scenario::{Cost, Round, Scenario};

/// One of the figures of a cost.
type Figure = fn(&Cost) -> f64;

/// The run and the machine it was on.
#[derive(Serialize)]
pub(crate) struct Report {
    /// Seconds since 1970 at its end.
    pub(crate) ended_unix_seconds: u64,
    /// Its processors and system.
    pub(crate) machine: String,
    /// Seconds of each scenario.
    pub(crate) seconds: f64,
    /// Records stored before each peer was measured.
    pub(crate) preloaded: u64,
    /// Peers left out, with reasons.
    pub(crate) skipped: Vec<String>,
    /// All rounds of all peers.
    pub(crate) rounds: Vec<Round>,
}

impl Report {
    /// Writes it as JSON.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).while_trying("writing the report")?;
        std::fs::write(path, text + "\n").while_trying(&format!("writing {}", path.display()))
    }

    /// Prints the table and the ratios.
    pub(crate) fn print(&self) {
        println!(
            "{}; {} s a scenario, medians of the rounds, load average {}\n",
            self.machine,
            self.seconds,
            self.loads()
        );
        println!(
            "{:<22} {:>4} {:<9} {:>12} {:>10} {:>8} {:>8} {:>6}",
            "scenario", "conn", "peer", "us processor", "a second", "p50 us", "p99 us", "MB"
        );
        for scenario in Scenario::ALL {
            for kind in Kind::ALL {
                let median = |of: Figure| self.cost(kind, scenario, of);
                if let Some(processor) = median(|cost| cost.processor_us) {
                    println!(
                        "{:<22} {:>4} {:<9} {processor:>12.1} {:>10.0} {:>8.0} {:>8.0} {:>6.0}",
                        scenario.name(),
                        scenario.connections(),
                        kind.name(),
                        median(|cost| cost.per_second).unwrap_or(0.0),
                        median(|cost| cost.p50_us).unwrap_or(0.0),
                        median(|cost| cost.p99_us).unwrap_or(0.0),
                        median(|cost| cost.resident_mb).unwrap_or(0.0),
                    );
                }
            }
        }
        println!(
            "\n{:<9} {:>14}   durability, read back",
            "peer", "bytes a record"
        );
        for kind in Kind::ALL {
            if let Some(round) = self.of(kind).next() {
                let bytes = self
                    .bytes(kind)
                    .map_or_else(|| "-".to_owned(), |bytes| format!("{bytes:.0}"));
                println!("{:<9} {bytes:>14}   {}", kind.name(), round.durability);
            }
        }
        self.print_ratios();
        for skipped in &self.skipped {
            println!("\nSKIP {skipped}");
        }
    }

    fn print_ratios(&self) {
        if self.of(Kind::G3n).next().is_none() {
            return;
        }
        println!("\ng3n's figures, times those of the peer");
        print!("{:<46}", "");
        Kind::ALL
            .iter()
            .filter(|kind| **kind != Kind::G3n)
            .for_each(|kind| print!(" {:>9}", kind.name()));
        println!();
        let figures: [(&str, Figure); 3] = [
            ("processor", |cost| cost.processor_us),
            ("a second", |cost| cost.per_second),
            ("p50", |cost| cost.p50_us),
        ];
        for (figure, of) in figures {
            for scenario in Scenario::ALL {
                let name = format!(
                    "{figure}: {}, {} conn",
                    scenario.name(),
                    scenario.connections()
                );
                self.print_ratio(&name, |kind| self.cost(kind, scenario, of));
            }
        }
        self.print_ratio("bytes on disk a record", |kind| self.bytes(kind));
        let rate = |scenario| self.cost(Kind::G3n, scenario, |cost| cost.per_second);
        if let (Some(hot), Some(spread)) = (rate(Scenario::CreateHot), rate(Scenario::Create)) {
            println!(
                "\ng3n's creates into one container, % of those into 64: {:.0}",
                100.0 * hot / spread
            );
        }
    }

    fn print_ratio(&self, name: &str, of: impl Fn(Kind) -> Option<f64>) {
        print!("{name:<46}");
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::G3n) {
            match (of(Kind::G3n), of(kind)) {
                (Some(ours), Some(theirs)) if theirs > 0.0 => print!(" {:>9.2}", ours / theirs),
                (_, _) => print!(" {:>9}", "-"),
            }
        }
        println!();
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &Round> {
        self.rounds.iter().filter(move |round| round.peer == kind)
    }

    fn cost(&self, kind: Kind, scenario: Scenario, of: Figure) -> Option<f64> {
        median(
            self.of(kind)
                .filter_map(|round| round.costs.get(&scenario))
                .map(of)
                .collect(),
        )
    }

    fn bytes(&self, kind: Kind) -> Option<f64> {
        median(
            self.of(kind)
                .filter_map(|round| round.bytes_a_record)
                .collect(),
        )
    }

    fn loads(&self) -> String {
        let loads = || self.rounds.iter().map(|round| round.load_average);
        let (least, most) = (
            loads().fold(f64::MAX, f64::min),
            loads().fold(0.0, f64::max),
        );
        format!("{least:.1} to {most:.1}")
    }
}

/// Of an even number the higher one of the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Processors, their model, and the system.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model
        .lines()
        .find_map(|line| line.strip_prefix("model name\t: "))
        .unwrap_or("unknown");
    let system = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} processors ({model}), Linux {}", system.trim())
}
