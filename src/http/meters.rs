//! HTTP metrics: requests by route and status, how long they take, and who is refused, throttled or denied.
//!
//! A request finds its counters by the number of its route: no lock, no name and no allocation in between.

pub mod app;

use std::ops::Deref;
use std::sync::Arc;

use actix_web::http::{Method, StatusCode};
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use crate::clock::Stopwatch;
use crate::domain::rejection::Denial;
use crate::domain::{ErrorTag, Rejection};
use crate::meters::Meters;

/// Seconds that an answer may take. Fewer than OpenTelemetry advises, because each is a series for every route; and from
/// a millisecond on, because most answers take less.
const SECONDS_BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0, 10.0];
/// Every status there is an answer with.
const STATUSES: [u16; 21] = [
    200, 204, 206, 304, 400, 401, 403, 404, 405, 408, 409, 412, 413, 414, 415, 416, 428, 429, 431,
    500, 503,
];
/// Statuses that only content, operators or what is no route is answered with.
const RARE: [u16; 9] = [204, 206, 304, 405, 408, 412, 414, 416, 431];
/// Statuses that are about a body or a change, so that no GET of a tenant is answered with them.
const OF_CHANGES: [u16; 4] = [409, 413, 415, 428];
/// What a request was throttled by when no limit says so: a queue or all places for requests are full.
const CAPACITY: &str = "capacity";
/// That first, then what else it may be throttled by, as the answer's minor tag has it.
const LIMITS: &[&str] = &[
    CAPACITY,
    "principal-limit",
    "org-limit",
    "address-limit",
    "sign-in-limit",
    "in-flight-limit",
    "org-in-flight-limit",
    "bodies-limit",
    "connections-limit",
    "url-uploads-limit",
    "url-downloads-limit",
    "principal-uploads-limit",
    "principal-downloads-limit",
    "total-uploads-limit",
    "total-downloads-limit",
    "gave-way",
    "secret-code-locked",
    "mcp-limit",
    "mcp-in-flight-limit",
    "mcp-streams-limit",
    "followers-limit",
];

/// What is served besides the gateway's routes: method and path.
const OTHERS: [(&str, &str); 7] = [
    ("_OTHER", "unknown"),
    ("GET", "/content/{token}"),
    ("PUT", "/content/{token}"),
    ("GET", "/content/export/{token}"),
    ("POST", "/invoke/{function}"),
    ("PUT", "/import/{content}"),
    ("GET", "/metrics"),
];

/// The label under which a request is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// An unknown route, or none of that method.
    Unknown,
    /// A download of content.
    Download,
    /// An upload of content.
    Upload,
    /// A download of an export.
    Export,
    /// A call of an operator function.
    Invoke,
    /// A file of an import.
    Import,
    /// A scrape of the metrics.
    Metrics,
}

/// The label under which requests to a route are counted.
#[derive(Clone, Copy, Debug)]
pub struct RouteName {
    /// The method, in upper case.
    pub method: &'static str,
    /// The path with the service prefix.
    pub path: &'static str,
    /// Whether it may be answered with 304.
    pub is_document: bool,
}

/// Counters of one route.
struct Counted {
    method: &'static str,
    path: &'static str,
    seconds: Histogram,
    /// In the order of [`STATUSES`]; `None` for those it is not answered with.
    statuses: [Option<IntCounter>; STATUSES.len()],
}

/// Minor tag of refusals before the data is open, and the label under which they are counted.
const STARTING: &str = "starting";

/// The HTTP counters of one server.
pub struct HttpMeters {
    /// One for each route, then one for each of [`OTHERS`].
    counted: Vec<Counted>,
    responses: IntCounterVec,
    active: IntGauge,
    connections: IntGauge,
    /// In the order of [`ErrorTag::ALL`], each with its tag's own status.
    refusals: Vec<IntCounter>,
    all_refusals: IntCounterVec,
    /// Requests that came before the data was open.
    starting: IntCounter,
    /// Throttled requests, in the order of [`LIMITS`].
    throttled: Vec<IntCounter>,
    denied: IntCounterVec,
    handshakes: IntCounterVec,
}

impl std::fmt::Debug for HttpMeters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HttpMeters")
    }
}

impl HttpMeters {
    /// Adds them to what a server counts, each at 0.
    pub fn new(meters: &Meters, routes: Vec<RouteName>) -> Self {
        let responses = meters.counters(
            (
                "metarecord_http_responses_total",
                "Responses by route and status.",
            ),
            &[
                "http_request_method",
                "http_route",
                "http_response_status_code",
            ],
        );
        let seconds = meters.histograms(
            (
                "http_server_request_duration_seconds",
                "Time from a request's head to the response's head.",
            ),
            &["http_request_method", "http_route"],
            SECONDS_BUCKETS,
        );
        let all_refusals = meters.counters(
            (
                "metarecord_refusals_total",
                "Refused requests, by error tag.",
            ),
            &["tag", "http_response_status_code"],
        );
        let others = OTHERS.iter().map(|(method, path)| RouteName {
            method,
            path,
            is_document: true,
        });
        let counted = routes.into_iter().chain(others).map(|route| Counted {
            method: route.method,
            path: route.path,
            seconds: seconds.with_label_values(&[route.method, route.path]),
            statuses: STATUSES.map(|status| {
                let reads = route.method == Method::GET.as_str() && !route.is_document;
                let answered = route.is_document || !RARE.contains(&status);
                let answered = answered && !(reads && OF_CHANGES.contains(&status));
                let labels = [route.method, route.path, &status.to_string()];
                answered.then(|| responses.with_label_values(&labels))
            }),
        });
        Self {
            counted: counted.collect(),
            active: meters.gauge((
                "http_server_active_requests",
                "Requests in progress, until their response's head is ready.",
            )),
            connections: meters.gauge((
                "metarecord_http_connections",
                "Open connections of the gateway.",
            )),
            refusals: refusals(&all_refusals),
            starting: all_refusals.with_label_values(&[STARTING, "503"]),
            all_refusals,
            throttled: throttled(meters),
            denied: denied(meters),
            handshakes: meters.counters(
                (
                    "metarecord_tls_handshakes_total",
                    "TLS handshakes, by result.",
                ),
                &["listener", "outcome"],
            ),
            responses,
        }
    }

    /// A request begins; it is counted under no route until it is known.
    pub fn begin(&self) -> Measured<&Self> {
        Measured::begin(self)
    }

    /// The same for one whose answer continues after its handler has ended.
    pub fn begin_shared(self: &Arc<Self>) -> Measured<Arc<Self>> {
        Measured::begin(self.clone())
    }

    /// Open connections of the gateway.
    pub fn connections(&self) -> &IntGauge {
        &self.connections
    }

    /// Handshakes of TLS, by listener and how they ended.
    pub(super) fn handshakes(&self) -> &IntCounterVec {
        &self.handshakes
    }

    /// A request was refused.
    pub fn refused(&self, rejection: &Rejection) {
        let (tag, status) = (rejection.tag, rejection.status());
        // What comes while a server starts is no error of it, and no alert.
        if tag == ErrorTag::Unavailable && rejection.minor.as_deref() == Some(STARTING) {
            self.starting.inc();
            return;
        }
        match self.refusals.get(tag as usize) {
            Some(counter) if status == tag.status() => counter.inc(),
            Some(_) | None => self
                .all_refusals
                .with_label_values(&[tag.as_str(), &status.to_string()])
                .inc(),
        }
        if tag == ErrorTag::Throttled {
            let minor = rejection.minor.as_deref();
            let limit = LIMITS.iter().position(|limit| Some(*limit) == minor);
            if let Some(counter) = self.throttled.get(limit.unwrap_or(0)) {
                counter.inc();
            }
        }
    }

    /// A request was denied.
    pub fn denied(&self, (stage, reason): (&'static str, &'static str)) {
        self.denied.with_label_values(&[stage, reason]).inc();
    }

    /// The number under which a request is counted; the routes come first.
    fn number(&self, place: Place) -> usize {
        let other = match place {
            Place::Unknown => 0,
            Place::Download => 1,
            Place::Upload => 2,
            Place::Export => 3,
            Place::Invoke => 4,
            Place::Import => 5,
            Place::Metrics => 6,
        };
        self.counted.len() - OTHERS.len() + other
    }

    fn count(&self, number: usize, status: StatusCode) {
        let Some(counted) = self.counted.get(number) else {
            return;
        };
        let at = STATUSES.iter().position(|known| *known == status.as_u16());
        match at.and_then(|at| counted.statuses.get(at)?.as_ref()) {
            Some(counter) => counter.inc(),
            None => {
                self.responses
                    .with_label_values(&[counted.method, counted.path, status.as_str()])
                    .inc();
            }
        }
    }
}

fn refusals(all: &IntCounterVec) -> Vec<IntCounter> {
    let own = ErrorTag::ALL
        .iter()
        .map(|tag| all.with_label_values(&[tag.as_str(), &tag.status().to_string()]));
    own.collect()
}

fn throttled(meters: &Meters) -> Vec<IntCounter> {
    let throttled = meters.counters(
        (
            "metarecord_throttled_total",
            "Requests refused by a limit, by limit.",
        ),
        &["limit"],
    );
    let each = LIMITS
        .iter()
        .map(|limit| throttled.with_label_values(&[limit]));
    each.collect()
}

fn denied(meters: &Meters) -> IntCounterVec {
    let denied = meters.counters(
        (
            "metarecord_access_denied_total",
            "Denied requests, by stage.",
        ),
        &["stage", "reason"],
    );
    for denial in Denial::ALL {
        let (stage, reason) = denial.as_strs();
        denied.with_label_values(&[stage, reason]);
    }
    for tag in ErrorTag::ALL {
        let unsaid = Rejection::new(*tag, "");
        if let Some((stage, reason)) = unsaid.denial() {
            denied.with_label_values(&[stage, reason]);
        }
    }
    denied
}

/// A request in progress. Dropped without an answer, because its caller disconnected, it counts as none.
pub struct Measured<M: Deref<Target = HttpMeters>> {
    meters: M,
    number: usize,
    since: Stopwatch,
}

impl<M: Deref<Target = HttpMeters>> Measured<M> {
    fn begin(meters: M) -> Self {
        meters.active.inc();
        Self {
            number: meters.number(Place::Unknown),
            meters,
            since: Stopwatch::start(),
        }
    }

    /// It is for a route, by its place in the list.
    pub fn at_route(&mut self, number: usize) {
        self.number = number;
    }

    /// Counts the request under another label.
    pub fn at(&mut self, place: Place) {
        self.number = self.meters.number(place);
    }

    /// Counts the answer under its status.
    pub fn answered(self, status: StatusCode) {
        self.meters.count(self.number, status);
        if let Some(counted) = self.meters.counted.get(self.number) {
            counted.seconds.observe(self.since.seconds());
        }
    }
}

impl<M: Deref<Target = HttpMeters>> Drop for Measured<M> {
    fn drop(&mut self) {
        self.meters.active.dec();
    }
}

/// The label under which a request for content is counted.
pub fn content_place(method: &Method, reading: Place) -> Place {
    match *method {
        Method::GET | Method::HEAD => reading,
        Method::PUT if reading == Place::Download => Place::Upload,
        _ => Place::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: [(&str, &str); 2] = [("GET", "/mrs/list"), ("POST", "/mrs/doom")];

    fn counted_in(meters: &Meters) -> HttpMeters {
        let routes = ROUTES.iter().map(|(method, path)| RouteName {
            method,
            path,
            is_document: false,
        });
        HttpMeters::new(meters, routes.collect())
    }

    #[test]
    fn a_refusal_is_counted_by_its_tag_and_a_throttled_one_by_its_limit() {
        let meters = Meters::default();
        let http = counted_in(&meters);
        for tag in ErrorTag::ALL {
            http.refused(&Rejection::new(*tag, ""));
        }
        http.refused(&Rejection::body_too_large(1));
        http.refused(&Rejection::new(ErrorTag::Throttled, "").with_minor("org-limit"));
        http.refused(&Rejection::new(ErrorTag::Throttled, "").with_minor("other"));
        let text = meters.text().unwrap();
        for tag in ErrorTag::ALL {
            let times = if *tag == ErrorTag::Throttled { 3 } else { 1 };
            let (tag, status) = (tag.as_str(), tag.status());
            let counted = format!(
                "metarecord_refusals_total{{http_response_status_code=\"{status}\",tag=\"{tag}\"}} {times}\n"
            );
            assert!(text.contains(&counted), "{counted}");
        }
        assert!(text.contains("{http_response_status_code=\"413\",tag=\"too-large\"} 1\n"));
        assert!(text.contains("metarecord_throttled_total{limit=\"capacity\"} 2\n"));
        assert!(text.contains("metarecord_throttled_total{limit=\"org-limit\"} 1\n"));
    }

    #[test]
    fn every_status_of_an_error_is_one_that_is_counted_from_the_start() {
        for tag in ErrorTag::ALL {
            assert!(STATUSES.contains(&tag.status()), "{tag:?}");
        }
        assert!(STATUSES.contains(&Rejection::body_too_large(1).status()));
    }

    #[test]
    fn a_request_is_counted_under_its_route_and_one_that_was_not_answered_is_not() {
        let meters = Meters::default();
        let http = counted_in(&meters);
        let before = meters.text().unwrap().lines().count();
        let mut measured = http.begin();
        measured.at_route(1);
        assert!(
            meters
                .text()
                .unwrap()
                .contains("http_server_active_requests 1\n")
        );
        measured.answered(StatusCode::CONFLICT);
        drop(http.begin());
        let text = meters.text().unwrap();
        assert!(text.contains("http_server_active_requests 0\n"));
        let counted = "{http_request_method=\"POST\",http_response_status_code=\"409\",http_route=\"/mrs/doom\"} 1\n";
        assert!(text.contains(counted), "{text}");
        assert_eq!(
            text.matches("http_server_request_duration_seconds_count")
                .count(),
            ROUTES.len() + OTHERS.len()
        );
        assert_eq!(text.lines().count(), before, "no series is new");
        // An unexpected status is counted too.
        http.begin().answered(StatusCode::IM_A_TEAPOT);
        assert!(
            meters
                .text()
                .unwrap()
                .contains("\"418\",http_route=\"unknown\"} 1\n")
        );
    }
}
