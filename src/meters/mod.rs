//! The metric families of `/metrics`, on the `prometheus` crate's atomics.
//!
//! Each counter is kept by the code that counts, never found by name. Values that exist elsewhere are read at each scrape.

pub mod machine;
pub mod recent;

use std::collections::HashMap;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

pub use prometheus::Histogram;

/// Why creating and adding a family cannot fail: names and labels are constants.
const SOUND: &str = "the names are valid and each family is added once";

/// A family's name, and its meaning in a sentence.
pub type Named = (&'static str, &'static str);

/// Each value with the values of its labels.
pub type Samples = Vec<(Vec<String>, f64)>;

/// The metrics of one server. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Meters {
    all: Registry,
    /// Those that [`recent`] samples: to read them costs less than to read all.
    sampled: Registry,
}

impl Meters {
    /// Adds a family that was created elsewhere.
    ///
    /// # Panics
    /// When there is a family of that name.
    pub fn add(&self, family: impl Collector + 'static) {
        let family = Shared(Arc::new(family));
        let names = family.0.desc();
        if names.iter().any(|desc| recent::samples(&desc.fq_name)) {
            self.sampled
                .register(Box::new(family.clone()))
                .expect(SOUND);
        }
        self.all.register(Box::new(family)).expect(SOUND);
    }

    /// Adds and returns counters by labels.
    ///
    /// # Panics
    /// When there is a family of that name.
    pub fn counters(&self, (name, help): Named, labels: &[&str]) -> IntCounterVec {
        let counters = IntCounterVec::new(Opts::new(name, help), labels).expect(SOUND);
        self.add(counters.clone());
        counters
    }

    /// Adds and returns a gauge: a number that goes up and down.
    ///
    /// # Panics
    /// When there is a family of that name.
    pub fn gauge(&self, named: Named) -> IntGauge {
        let gauge = gauge(named);
        self.add(gauge.clone());
        gauge
    }

    /// Adds and returns histograms by labels.
    ///
    /// # Panics
    /// When there is a family of that name.
    pub fn histograms(
        &self,
        (name, help): Named,
        labels: &[&str],
        buckets: &[f64],
    ) -> HistogramVec {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let histograms = HistogramVec::new(options, labels).expect(SOUND);
        self.add(histograms.clone());
        histograms
    }

    /// Adds gauges that are read at each scrape; a family without samples is left out.
    ///
    /// # Panics
    /// When there is a family of that name.
    pub fn gauges_fn(
        &self,
        named: Named,
        labels: &[&'static str],
        gauges_fn: impl Fn() -> Samples + Send + Sync + 'static,
    ) {
        self.add(Lookup::new(named, labels, MetricType::GAUGE, gauges_fn));
    }

    /// Adds a gauge without labels that is read at each scrape; `None` leaves it out.
    ///
    /// # Panics
    /// When there is a family of that name.
    pub fn gauge_fn(
        &self,
        named: Named,
        gauges_fn: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) {
        self.gauges_fn(named, &[], move || one(gauges_fn()));
    }

    /// Adds counters that are kept elsewhere and read at each scrape.
    ///
    /// # Panics
    /// When there is a family of that name.
    pub fn counters_fn(
        &self,
        named: Named,
        labels: &[&'static str],
        gauges_fn: impl Fn() -> Samples + Send + Sync + 'static,
    ) {
        self.add(Lookup::new(named, labels, MetricType::COUNTER, gauges_fn));
    }

    /// Every family with its values now, in the order of their names, in the text format 0.0.4.
    ///
    /// # Errors
    /// For a family without a name or a value, which would be a fault of the program.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.all.gather())
    }
}

/// A family that both registries have.
#[derive(Clone)]
struct Shared(Arc<dyn Collector>);

impl Collector for Shared {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.0.collect()
    }
}

/// A counter that belongs to no [`Meters`] yet.
///
/// # Panics
/// When the name is not a valid one.
pub fn counter((name, help): Named) -> IntCounter {
    IntCounter::new(name, help).expect(SOUND)
}

/// Counters by labels that belong to no [`Meters`] yet.
///
/// # Panics
/// When the name is not a valid one.
pub fn counters((name, help): Named, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), labels).expect(SOUND)
}

/// A gauge that belongs to no [`Meters`] yet.
///
/// # Panics
/// When the name is not a valid one.
pub fn gauge((name, help): Named) -> IntGauge {
    IntGauge::new(name, help).expect(SOUND)
}

/// A histogram that belongs to no [`Meters`] yet.
///
/// # Panics
/// When the name is not a valid one.
pub fn histogram((name, help): Named, buckets: &[f64]) -> Histogram {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    Histogram::with_opts(options).expect(SOUND)
}

/// The sample of a family without labels; `None` for no value.
pub fn one(value: Option<f64>) -> Samples {
    value.into_iter().map(|value| (Vec::new(), value)).collect()
}

/// A count as a value. Exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "a metric is a double; what is counted here stays far below 2^53"
)]
pub fn value(count: impl TryInto<u64>) -> f64 {
    count.try_into().unwrap_or(u64::MAX) as f64
}

type GaugesFn = Box<dyn Fn() -> Samples + Send + Sync>;

/// A family whose values are read at each scrape.
struct Lookup {
    description: Desc,
    kind: MetricType,
    gauges_fn: GaugesFn,
}

impl Lookup {
    fn new(
        (name, help): Named,
        labels: &[&'static str],
        kind: MetricType,
        gauges_fn: impl Fn() -> Samples + Send + Sync + 'static,
    ) -> Self {
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        let description = Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new());
        Self {
            description: description.expect(SOUND),
            kind,
            gauges_fn: Box::new(gauges_fn),
        }
    }

    fn metric(&self, (labels, value): (Vec<String>, f64)) -> Metric {
        let names = self.description.variable_labels.iter();
        let pairs = names.zip(labels).map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.clone());
            pair.set_value(value);
            pair
        });
        let mut metric = Metric::from_label(pairs.collect());
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        metric
    }
}

impl Collector for Lookup {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.description]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut family = MetricFamily::default();
        family.set_name(self.description.fq_name.clone());
        family.set_help(self.description.help.clone());
        family.set_field_type(self.kind);
        let samples = (self.gauges_fn)();
        family.set_metric(
            samples
                .into_iter()
                .map(|sample| self.metric(sample))
                .collect(),
        );
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_and_looked_up_families_are_one_text_ordered_by_name() {
        let meters = Meters::default();
        meters.gauges_fn(("b", "Looked up."), &["kind"], || {
            vec![(vec!["x".to_owned()], 2.5)]
        });
        let counted = meters.counters(("a_total", "Counted."), &["of"]);
        counted.with_label_values(&["y"]).inc_by(3);
        meters.gauge_fn(("c", "Not known."), || None);
        meters.counters_fn(("d_total", "Kept elsewhere."), &[], || {
            one(Some(value(7_u64)))
        });
        assert_eq!(
            meters.text().unwrap(),
            "# HELP a_total Counted.\n# TYPE a_total counter\na_total{of=\"y\"} 3\n\
             # HELP b Looked up.\n# TYPE b gauge\nb{kind=\"x\"} 2.5\n\
             # HELP d_total Kept elsewhere.\n# TYPE d_total counter\nd_total 7\n"
        );
    }
}
