//! What is counted and measured: the families of `/metrics`, with the `prometheus` crate's atomics behind them.
//!
//! Whatever counts holds its own counter, found once and not by its name. Values that somebody else keeps anyway are
//! looked up when the metrics are asked for.

pub mod machine;

use std::collections::HashMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

pub use prometheus::Histogram;

/// Why a family can be made and added: its name and labels are constants of ours.
const SOUND: &str = "the names are valid and each family is added once";

/// A family: its name, and what it tells, in a sentence.
pub type Named = (&'static str, &'static str);

/// Values by the values of their labels.
pub type Samples = Vec<(Vec<String>, f64)>;

/// Everything that one server counts. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Meters(Registry);

impl Meters {
    /// Adds a family that was made elsewhere.
    ///
    /// # Panics
    /// When there is a family of that name.
    pub fn add(&self, family: impl Collector + 'static) {
        self.0.register(Box::new(family)).expect(SOUND);
    }

    /// Counters by labels.
    ///
    /// # Panics
    /// When there is a family of that name.
    pub fn counters(&self, (name, help): Named, labels: &[&str]) -> IntCounterVec {
        let counters = IntCounterVec::new(Opts::new(name, help), labels).expect(SOUND);
        self.add(counters.clone());
        counters
    }

    /// A number that goes up and down.
    ///
    /// # Panics
    /// When there is a family of that name.
    pub fn gauge(&self, named: Named) -> IntGauge {
        let gauge = gauge(named);
        self.add(gauge.clone());
        gauge
    }

    /// Histograms by labels.
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

    /// Gauges that are looked up when they are asked for; without a sample there is no such family.
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

    /// One gauge that is looked up when it is asked for; `None` for no value.
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

    /// Counters that somebody else keeps.
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
    /// For a family without a name or a value, which would be a mistake of ours.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.0.gather())
    }
}

/// A counter that is not added yet.
///
/// # Panics
/// For a name that is none.
pub fn counter((name, help): Named) -> IntCounter {
    IntCounter::new(name, help).expect(SOUND)
}

/// Counters by labels that are not added yet.
///
/// # Panics
/// For a name that is none.
pub fn counters((name, help): Named, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), labels).expect(SOUND)
}

/// A gauge that is not added yet.
///
/// # Panics
/// For a name that is none.
pub fn gauge((name, help): Named) -> IntGauge {
    IntGauge::new(name, help).expect(SOUND)
}

/// A histogram that is not added yet.
///
/// # Panics
/// For a name that is none.
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

type Look = Box<dyn Fn() -> Samples + Send + Sync>;

/// A family whose values are looked up when they are asked for.
struct Lookup {
    description: Desc,
    kind: MetricType,
    gauges_fn: Look,
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
    fn what_is_counted_and_what_is_looked_up_stand_in_one_text_in_the_order_of_names() {
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
