//! Sends what is counted to an OpenTelemetry collector: OTLP over HTTP with JSON, from a thread of its own.
//!
//! The encoding is protobuf's JSON mapping of `opentelemetry/proto/metrics/v1` (OTLP 1.x): 64-bit integers are strings,
//! enums are numbers. Each time everything is sent, as sums since the start.

use std::io;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use prometheus::proto::{Histogram, LabelPair, Metric, MetricFamily, MetricType};
use serde_json::{Value, json};

use super::{Meters, Target};
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::report;

/// How long a collector may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u8 = 2;
/// The unit of requests at a time.
const REQUESTS: &str = "{request}";
/// Families that have a name of OpenTelemetry's own: ours, theirs, their unit.
const CONVENTIONS: &[(&str, &str, &str)] = &[
    (
        "http_server_request_duration_seconds",
        "http.server.request.duration",
        "s",
    ),
    (
        "http_server_active_requests",
        "http.server.active_requests",
        REQUESTS,
    ),
];
/// Labels that have a name of OpenTelemetry's own.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("http_request_method", "http.request.method"),
    ("http_route", "http.route"),
    ("http_response_status_code", "http.response.status_code"),
];

/// The thread that sends.
pub struct Exporter {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Exporter {
    /// Starts it.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn start(target: Target, meters: Meters, clock: Clock) -> io::Result<Self> {
        let (stop, stopped) = bounded(1);
        let mut sending = Sending {
            agent: ureq::Agent::config_builder()
                .timeout_global(Some(TIMEOUT))
                .build()
                .into(),
            started: clock.now(),
            target,
            meters,
            clock,
            failing: false,
        };
        let thread = Builder::new()
            .name("otlp".to_owned())
            .spawn(move || sending.run(&stopped))?;
        Ok(Self { stop, thread })
    }

    /// Sends once more and ends. Takes five seconds at most.
    pub fn close(self) {
        // A thread that is gone needs no telling; what it panicked of is in the log.
        let _: Result<_, _> = self.stop.send(());
        let _: Result<_, _> = self.thread.join();
    }
}

struct Sending {
    agent: ureq::Agent,
    started: Timestamp,
    target: Target,
    meters: Meters,
    clock: Clock,
    failing: bool,
}

impl Sending {
    fn run(&mut self, stopped: &Receiver<()>) {
        let every = Duration::from_secs(self.target.interval_seconds);
        loop {
            let told = stopped.recv_timeout(every);
            self.send();
            match told {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Nothing is kept of what could not be sent: the next time tells the sums again.
    fn send(&mut self) {
        let body = request(&self.meters.families(), (self.started, self.clock.now()));
        let request = self.agent.post(&self.target.endpoint);
        let sent = request
            .content_type("application/json")
            .send(body.to_string());
        let failed = sent.is_err();
        if failed && !self.failing {
            // The address may be secret in part.
            report::notice(
                "metrics could not be sent to otlp.endpoint; further failures are retried and not logged",
            );
        }
        self.failing = failed;
    }
}

/// An `ExportMetricsServiceRequest` of everything, from a start until now.
pub fn request(families: &[MetricFamily], (started, now): (Timestamp, Timestamp)) -> Value {
    let times = Times {
        started: nanos(started),
        now: nanos(now),
    };
    let metrics: Vec<_> = families
        .iter()
        .map(|family| metric(family, &times))
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    json!({"resourceMetrics": [{
        "resource": {"attributes": [
            text("service.name", "metarecord"),
            text("service.version", version),
        ]},
        "scopeMetrics": [{
            "scope": {"name": "metarecord", "version": version},
            "metrics": metrics,
        }],
    }]})
}

struct Times {
    started: String,
    now: String,
}

fn nanos(time: Timestamp) -> String {
    (i128::from(time.millis()) * 1_000_000).to_string()
}

fn metric(family: &MetricFamily, times: &Times) -> Value {
    let (name, unit) = name_and_unit(family.name());
    let mut metric = json!({"name": name, "description": family.help(), "unit": unit});
    let points = |point: &dyn Fn(&Metric) -> Value| -> Vec<Value> {
        let points = family.get_metric().iter().map(|metric| {
            let mut point = point(metric);
            point["attributes"] = metric.get_label().iter().map(attribute).collect();
            point["timeUnixNano"] = json!(times.now);
            point
        });
        points.collect()
    };
    match family.get_field_type() {
        MetricType::COUNTER => {
            let points = points(
                &|metric| json!({"asDouble": metric.get_counter().get_value(), "startTimeUnixNano": times.started}),
            );
            metric["sum"] = json!({"aggregationTemporality": CUMULATIVE, "isMonotonic": true, "dataPoints": points});
        }
        MetricType::HISTOGRAM => {
            let points = points(&|metric| histogram(metric.get_histogram(), times));
            metric["histogram"] =
                json!({"aggregationTemporality": CUMULATIVE, "dataPoints": points});
        }
        // An UpDownCounter of the conventions: a sum that can fall.
        MetricType::GAUGE if unit == REQUESTS => {
            let points = points(
                &|metric| json!({"asDouble": metric.get_gauge().get_value(), "startTimeUnixNano": times.started}),
            );
            metric["sum"] = json!({"aggregationTemporality": CUMULATIVE, "isMonotonic": false, "dataPoints": points});
        }
        MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => {
            let points = points(&|metric| json!({"asDouble": metric.get_gauge().get_value()}));
            metric["gauge"] = json!({"dataPoints": points});
        }
    }
    metric
}

fn histogram(histogram: &Histogram, times: &Times) -> Value {
    let buckets = histogram.get_bucket();
    let bounds: Vec<f64> = buckets.iter().map(|bucket| bucket.upper_bound()).collect();
    let mut below = 0;
    let cumulative = buckets.iter().map(|bucket| bucket.cumulative_count());
    let all = cumulative.chain([histogram.get_sample_count()]);
    let counts: Vec<String> = all
        .map(|count| {
            let own = count.saturating_sub(below);
            below = count;
            own.to_string()
        })
        .collect();
    json!({"startTimeUnixNano": times.started, "count": histogram.get_sample_count().to_string(),
        "sum": histogram.get_sample_sum(), "bucketCounts": counts, "explicitBounds": bounds})
}

/// A family's name and unit as OpenTelemetry has them. Names of our own stay, so that they are the same everywhere; what
/// a collector adds for Prometheus, such as `_total`, is left out.
fn name_and_unit(name: &str) -> (&str, &str) {
    let convention = CONVENTIONS.iter().find(|(ours, _, _)| *ours == name);
    if let Some((_, theirs, unit)) = convention {
        return (theirs, unit);
    }
    let name = name.strip_suffix("_total").unwrap_or(name);
    let unit = match name.rsplit_once('_') {
        Some((_, "seconds")) => "s",
        Some((_, "bytes")) => "By",
        Some(_) | None => "1",
    };
    (name, unit)
}

fn attribute(label: &LabelPair) -> Value {
    let known = ATTRIBUTES.iter().find(|(ours, _)| *ours == label.name());
    let name = known.map_or(label.name(), |(_, theirs)| theirs);
    match name {
        "http.response.status_code" => {
            json!({"key": name, "value": {"intValue": label.value()}})
        }
        _ => text(name, label.value()),
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meters;

    #[test]
    fn counters_gauges_and_histograms_are_sent_as_the_json_of_their_messages() {
        let meters = Meters::default();
        let counted = meters.counters(("a_bytes_total", "A."), &["http_response_status_code"]);
        counted.with_label_values(&["200"]).inc_by(3);
        let seconds = meters::histogram(("http_server_request_duration_seconds", "B."), &[1.0]);
        seconds.observe(0.5);
        seconds.observe(0.25);
        seconds.observe(2.0);
        meters.add(seconds);
        meters.gauge(("http_server_active_requests", "C.")).set(4);
        meters.gauge(("z_seconds", "D.")).set(5);
        let times = (Timestamp::from_millis(1), Timestamp::from_millis(2_000));
        let request = request(&meters.families(), times);
        let metrics = &request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
        assert_eq!(
            metrics[0],
            json!({"name": "a_bytes", "description": "A.", "unit": "By", "sum": {
                "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [{
                    "asDouble": 3.0, "startTimeUnixNano": "1000000", "timeUnixNano": "2000000000",
                    "attributes": [{"key": "http.response.status_code", "value": {"intValue": "200"}}]}]}})
        );
        assert_eq!(
            metrics[1],
            json!({"name": "http.server.active_requests", "description": "C.", "unit": "{request}", "sum": {
                "aggregationTemporality": 2, "isMonotonic": false, "dataPoints": [{
                    "asDouble": 4.0, "startTimeUnixNano": "1000000", "timeUnixNano": "2000000000", "attributes": []}]}})
        );
        assert_eq!(
            metrics[3],
            json!({"name": "z_seconds", "description": "D.", "unit": "s", "gauge": {"dataPoints": [{
                "asDouble": 5.0, "timeUnixNano": "2000000000", "attributes": []}]}})
        );
        assert_eq!(
            metrics[2],
            json!({"name": "http.server.request.duration", "description": "B.", "unit": "s", "histogram": {
                "aggregationTemporality": 2, "dataPoints": [{
                    "startTimeUnixNano": "1000000", "timeUnixNano": "2000000000", "attributes": [],
                    "count": "3", "sum": 2.75, "bucketCounts": ["2", "1"], "explicitBounds": [1.0]}]}})
        );
    }
}
