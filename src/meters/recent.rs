//! The last hour of some metrics, in memory: a sample of each every ten seconds.

mod series;

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::{Meters, value};
use crate::domain::Timestamp;

use self::series::Source;
pub use self::series::{SERIES, Series};

/// The time from one sample to the next.
pub const EVERY: Duration = Duration::from_secs(10);
/// Samples that are kept: an hour of them.
pub const SAMPLES_MAX: usize = 360;

impl Source {
    fn family(self) -> &'static str {
        match self {
            Self::Sum(family)
            | Self::Rate(family)
            | Self::RateOf(family, _)
            | Self::Quantile(family, _) => family,
        }
    }

    /// What the families say now.
    fn read(self, families: &[MetricFamily]) -> Reading {
        let its = families
            .iter()
            .find(|family| family.name() == self.family());
        let Some(family) = its else {
            return Reading::Unknown;
        };
        let all = family.get_metric();
        match self {
            Self::Sum(_) | Self::Rate(_) => Reading::Number(sum(family, |_| true)),
            Self::RateOf(_, (label, begins)) => Reading::Number(sum(family, |metric| {
                let mut labels = metric.get_label().iter();
                labels.any(|pair| pair.name() == label && pair.value().starts_with(begins))
            })),
            Self::Quantile(..) => Reading::Buckets(buckets(all)),
        }
    }

    /// The sample of two readings and the seconds between them; not a number when it is not known, as before the first one.
    fn sample(self, before: Option<&Reading>, now: &Reading, seconds: f64) -> f64 {
        match (self, before, now) {
            (Self::Sum(_), _, Reading::Number(now)) => *now,
            (Self::Rate(_) | Self::RateOf(..), Some(before), Reading::Number(now))
                if seconds > 0.0 =>
            {
                (now - before.number()).max(0.0) / seconds
            }
            (Self::Quantile(_, part), Some(before), Reading::Buckets(now)) => {
                quantile(before.buckets(), now, part)
            }
            (Self::Sum(_) | Self::Rate(_) | Self::RateOf(..) | Self::Quantile(..), _, _) => {
                f64::NAN
            }
        }
    }
}

/// What was read for a series.
#[derive(Clone, Debug, PartialEq)]
enum Reading {
    Unknown,
    Number(f64),
    /// Upper bounds, and how many were observed up to each.
    Buckets(Vec<(f64, u64)>),
}

// A family is not gathered before it has counted or observed something: then it is at zero.
impl Reading {
    fn number(&self) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::Unknown | Self::Buckets(_) => 0.0,
        }
    }

    fn buckets(&self) -> &[(f64, u64)] {
        match self {
            Self::Buckets(buckets) => buckets,
            Self::Unknown | Self::Number(_) => &[],
        }
    }
}

fn sum(family: &MetricFamily, counts: impl Fn(&Metric) -> bool) -> f64 {
    let kind = family.get_field_type();
    let counted = family.get_metric().iter().filter(|metric| counts(metric));
    let values = counted.map(|metric| match kind {
        MetricType::COUNTER => metric.get_counter().get_value(),
        MetricType::GAUGE => metric.get_gauge().get_value(),
        MetricType::HISTOGRAM | MetricType::SUMMARY | MetricType::UNTYPED => 0.0,
    });
    values.sum()
}

/// The buckets of all labels together.
fn buckets(all: &[Metric]) -> Vec<(f64, u64)> {
    let mut together: Vec<(f64, u64)> = Vec::new();
    for metric in all {
        for (at, bucket) in metric.get_histogram().get_bucket().iter().enumerate() {
            match together.get_mut(at) {
                Some((_, count)) => *count += bucket.cumulative_count(),
                None => together.push((bucket.upper_bound(), bucket.cumulative_count())),
            }
        }
        let total = metric.get_histogram().get_sample_count();
        // What is above every bound.
        let last = metric.get_histogram().get_bucket().len();
        match together.get_mut(last) {
            Some((_, count)) => *count += total,
            None => together.push((f64::INFINITY, total)),
        }
    }
    together
}

/// The value that a part of what was observed between two readings does not exceed, as far as the bounds tell: within a
/// bucket the values are taken to be spread evenly, and above the last bound to be there.
fn quantile(before: &[(f64, u64)], now: &[(f64, u64)], part: f64) -> f64 {
    let count =
        |at: usize, readings: &[(f64, u64)]| readings.get(at).map_or(0, |(_, count)| *count);
    let since = |at: usize| count(at, now).saturating_sub(count(at, before));
    let total = now.len().checked_sub(1).map_or(0, since);
    if total == 0 {
        return f64::NAN;
    }
    let wanted = value(total) * part;
    let (mut lower, mut below) = (0.0, 0);
    for (at, (bound, _)) in now.iter().enumerate() {
        let up_to = since(at);
        if value(up_to) >= wanted {
            if bound.is_infinite() {
                return lower;
            }
            let within = (wanted - value(below)) / value(up_to.saturating_sub(below).max(1));
            return lower + (bound - lower) * within;
        }
        (lower, below) = (*bound, up_to);
    }
    lower
}

/// Whether a family of this name is sampled.
pub(super) fn samples(family: &str) -> bool {
    SERIES.iter().any(|series| series.source.family() == family)
}

/// One sample of every series, in the order of [`SERIES`].
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When it was taken.
    pub at: Timestamp,
    values: [f64; SERIES.len()],
}

impl Sample {
    /// The value of the series with a number, if it was known.
    pub fn value(&self, series: usize) -> Option<f64> {
        let value = self.values.get(series).copied();
        value.filter(|value| !value.is_nan())
    }
}

/// The samples of the last hour.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Samples>);

#[derive(Debug, Default)]
struct Samples {
    /// What was read for the newest sample.
    readings: Vec<Reading>,
    /// When that was, by a clock that nobody sets.
    steady: Duration,
    samples: VecDeque<Sample>,
}

impl Recent {
    /// Takes a sample, by the wall clock and by a clock that nobody sets. Rates and quantiles are known from the second one
    /// on.
    pub fn sample(&self, meters: &Meters, (now, steady): (Timestamp, Duration)) {
        let families = meters.sampled.gather();
        let readings: Vec<_> = SERIES
            .iter()
            .map(|series| series.source.read(&families))
            .collect();
        let mut samples = self.0.lock();
        let seconds = steady.saturating_sub(samples.steady).as_secs_f64();
        let mut values = [f64::NAN; SERIES.len()];
        for (at, (series, now)) in SERIES.iter().zip(&readings).enumerate() {
            values[at] = series.source.sample(samples.readings.get(at), now, seconds);
        }
        samples.readings = readings;
        samples.steady = steady;
        if samples.samples.len() == SAMPLES_MAX {
            samples.samples.pop_front();
        }
        samples.samples.push_back(Sample { at: now, values });
    }

    /// The newest samples, at most `count`, oldest first.
    pub fn newest(&self, count: usize) -> Vec<Sample> {
        let samples = self.0.lock();
        let skipped = samples.samples.len().saturating_sub(count);
        samples.samples.iter().skip(skipped).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::series::{DURATION, RESPONSES, STATUS};
    use super::*;

    fn at(seconds: u64) -> (Timestamp, Duration) {
        let steady = Duration::from_secs(seconds);
        let millis = i64::try_from(steady.as_millis()).unwrap();
        (Timestamp::from_millis(1_800_000_000_000 + millis), steady)
    }

    fn number(name: &str) -> usize {
        let mut names = SERIES.iter();
        names.position(|series| series.name == name).expect(name)
    }

    #[test]
    fn rates_sums_and_quantiles_are_those_between_two_samples() {
        let meters = Meters::default();
        let responses = meters.counters((RESPONSES, "Answers."), &[STATUS]);
        let seconds = meters.histograms((DURATION, "Durations."), &["route"], &[0.1, 1.0]);
        meters.gauge_fn(("process_open_fds", "Files."), || Some(7.0));
        let (ok, wrong) = (
            responses.with_label_values(&["200"]),
            responses.with_label_values(&["404"]),
        );
        ok.inc_by(1_000);
        for _ in 0..50 {
            seconds.with_label_values(&["a"]).observe(20.0);
        }
        let recent = Recent::default();
        recent.sample(&meters, at(0));
        ok.inc_by(30);
        wrong.inc_by(20);
        for route in ["a", "b"] {
            for taken in [0.05, 0.05, 0.5, 20.0] {
                seconds.with_label_values(&[route]).observe(taken);
            }
        }
        recent.sample(&meters, at(10));
        let samples = recent.newest(9);
        let told = |name: &str| -> Vec<_> {
            let number = number(name);
            samples.iter().map(|sample| sample.value(number)).collect()
        };
        assert_eq!(told("requests"), [None, Some(5.0)]);
        assert_eq!(told("responses_4xx"), [None, Some(2.0)]);
        assert_eq!(told("responses_5xx"), [None, Some(0.0)]);
        assert_eq!(told("open_files"), [Some(7.0); 2]);
        assert_eq!(told("memory_bytes"), [None; 2]);
        let p50 = told("request_seconds_p50");
        assert_eq!(p50, [None, Some(0.1)]);
        // Above the last bound nothing is known but that.
        let p99 = told("request_seconds_p99");
        assert_eq!(p99, [None, Some(1.0)]);
    }

    #[test]
    fn an_hour_is_kept_in_a_hundred_kilobytes() {
        let meters = Meters::default();
        let counted = meters.counters((RESPONSES, "Answers."), &[STATUS]);
        let recent = Recent::default();
        for second in 0..4_000 {
            counted.with_label_values(&["200"]).inc();
            if second % 10 == 0 {
                recent.sample(&meters, at(second));
            }
        }
        let all = recent.newest(usize::MAX);
        assert_eq!(all.len(), SAMPLES_MAX);
        assert_eq!(all[0].at, at(400).0);
        assert!(all.iter().all(|sample| sample.value(0) == Some(1.0)));
        assert_eq!(recent.newest(3)[0].at, at(3_970).0);
        let capacity = recent.0.lock().samples.capacity();
        assert!(capacity * size_of::<Sample>() <= 128 * 1024, "{capacity}");
        assert!(SAMPLES_MAX * size_of::<Sample>() <= 100_000);
    }

    #[test]
    fn names_are_told_apart_and_families_are_sampled_alone() {
        let names: std::collections::BTreeSet<_> =
            SERIES.iter().map(|series| series.name).collect();
        assert_eq!(names.len(), SERIES.len());
        let meters = Meters::default();
        meters.gauge_fn(("metarecord_data_bytes", "Walks the disk."), || Some(1.0));
        assert!(meters.sampled.gather().is_empty());
    }
}
