//! The facts of a request while it is worked on, and its line in the log.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::Method;
use actix_web::http::header::CONTENT_LENGTH;

use super::auth::credential::KEY_FINGERPRINT;
use super::limits::{Shown, network};
use super::meters::HttpMeters;
use super::reply::{Build, Stats};
use super::request_head::RequestHead;
use super::request_id::request_id;
use crate::clock::{Clock, Stopwatch};
use crate::domain::{ErrorTag, OrgCode, Rejection};
use crate::report::{self, Event, Fingerprint, RequestId, Word};
use crate::running::{Note, Running};

/// Longest method that an answer repeats, in bytes: above the longest that is registered (UPDATEREDIRECTREF).
const METHOD_BYTES_MAX: usize = 32;
/// Longest path that an answer repeats, in characters.
const PATH_CHARS_MAX: usize = 128;
/// The tag in the log when the work on a request panicked.
const PANICKED: Word = "panicked";
/// The tag in the log when an answer was not sent to its end.
const CUT_OFF: Word = "cut-off";

/// What answers call a request by: its method and a path, both in part when they are long.
pub(super) fn name_of(method: &Method, path: &str) -> String {
    // A method is ASCII (RFC 9110, section 9.1).
    let method = method.as_str();
    let method = method.get(..METHOD_BYTES_MAX).unwrap_or(method);
    let end = path.char_indices().nth(PATH_CHARS_MAX);
    let path = end.map_or(path, |(end, _)| &path[..end]);
    format!("{method} {path}")
}

/// The facts of a request when its answer is made.
#[derive(Debug)]
pub struct Trace {
    /// The caller's or a new one.
    pub request_id: String,
    /// Method and path without the service prefix.
    pub call: String,
    /// The service of the route, such as `mrs`.
    pub service: &'static str,
    /// The route or the operator function; `unknown` when there is no such one.
    pub route: &'static str,
    /// What the log has instead of the route, of a request within another.
    pub label: Option<Word>,
    /// Bytes of the request body read.
    pub bytes_in: usize,
    /// The tenant, once known.
    pub orgcode: Option<OrgCode>,
    /// Whether the caller was admitted to that org.
    pub let_in: bool,
    /// The cost centre, once known.
    pub cccode: Option<String>,
    /// The person or program for whom the caller says to act.
    pub actor: Option<String>,
    /// Names the session or the key without revealing it.
    pub session_fingerprint: Option<String>,
    /// The headers about the caller's limit.
    pub rate_limit: Option<Shown>,
    method: Word,
    /// Whether it has no line of its own.
    is_outer: bool,
    running: Note,
    /// Who its lines are counted for when it is refused.
    address: Option<IpAddr>,
    /// Whether it has lines, once that was asked.
    kept: Cell<Option<bool>>,
    answered: Cell<Option<Answered>>,
    received: Cell<u64>,
    since: Stopwatch,
    clock: Clock,
    meters: Arc<HttpMeters>,
}

/// A stage and a reason why a caller was denied.
pub type Denied = (&'static str, &'static str);

impl Trace {
    /// Starts with a request.
    pub fn start(head: &RequestHead<'_>, clock: Clock, meters: Arc<HttpMeters>) -> Self {
        Self {
            request_id: request_id(head.headers),
            call: String::new(),
            service: "mrs",
            route: "unknown",
            label: None,
            bytes_in: 0,
            orgcode: None,
            let_in: false,
            cccode: None,
            actor: None,
            session_fingerprint: None,
            rate_limit: None,
            method: method(head.method),
            is_outer: false,
            running: Note::default(),
            address: head.peer.map(|peer| network(peer.ip())),
            kept: Cell::new(None),
            answered: Cell::new(None),
            received: Cell::new(0),
            since: Stopwatch::start(),
            clock,
            meters,
        }
    }

    /// Notes that it is being worked on, for the case that the process ends meanwhile; `at_once`, when what comes next could
    /// be what ends it.
    pub fn runs(&mut self, running: &Running, at_once: bool) {
        let words = [self.service, self.method, self.logged_route()];
        self.running = running.begin(&self.request_id, words, at_once);
    }

    /// Notes its caller there.
    pub fn runs_for_caller(&self, at_once: bool) {
        self.running
            .known(self.session_fingerprint.as_deref(), at_once);
    }

    /// Writes the receipt of a caller who was denied, and counts it.
    pub fn note_denial(&self, denial: Denied, tag: ErrorTag, status: u16) {
        self.meters.denied(denial);
        if !self.keeps(tag.as_str()) {
            return;
        }
        let (stage, reason) = denial;
        let route = self.logged_route();
        report::access_denied(stage, reason, status, route, &self.request_id);
    }

    /// The route, as the log names it.
    fn logged_route(&self) -> Word {
        self.label.unwrap_or(self.route)
    }

    /// Whether it has lines in the log, refused for a cause; asked again it says the same.
    pub fn keeps(&self, cause: Word) -> bool {
        self.kept.get().unwrap_or_else(|| {
            let kept = report::keeps_refusal(cause, self.address);
            self.kept.set(Some(kept));
            kept
        })
    }

    /// Leaves the log's line to the requests within this one, which have its id.
    pub(super) fn leave_line_to_inner(&mut self) {
        self.is_outer = true;
    }

    /// Counts a refusal by its tag.
    pub fn note_refusal(&self, rejection: &Rejection) {
        self.meters.refused(rejection);
    }

    /// Notes the answer, for the log's line about the request.
    pub fn note_answer(&self, response: &HttpResponse, tag: Word) {
        let bytes_out = match response.body().size() {
            BodySize::None => Some(0),
            BodySize::Sized(bytes) => Some(bytes),
            BodySize::Stream => {
                let length = response.headers().get(CONTENT_LENGTH);
                length.and_then(|length| length.to_str().ok()?.parse().ok())
            }
        };
        self.answered.set(Some(Answered {
            status: response.status().as_u16(),
            tag,
            bytes_out,
        }));
    }

    /// Notes that only `sent` bytes of a streamed answer were taken.
    pub fn note_cut_off(&self, sent: u64) {
        if let Some(answered) = self.answered.get() {
            self.answered.set(Some(Answered {
                tag: CUT_OFF,
                bytes_out: Some(sent),
                ..answered
            }));
        }
    }

    /// Notes bytes of a body that was not read as a whole.
    pub fn note_received(&self, bytes: u64) {
        self.received.set(bytes);
    }

    /// How long the request has taken so far.
    pub fn elapsed(&self) -> std::time::Duration {
        self.since.elapsed()
    }

    /// Facts about the call, for the envelope of an answer whose `data` or `error` has `bytes_out` bytes.
    pub fn stats(&self, bytes_out: usize) -> Stats<'_> {
        let fingerprint = self.session_fingerprint.as_deref();
        let is_key = |print: &&str| print.starts_with(KEY_FINGERPRINT);
        Stats {
            call: &self.call,
            service: self.service,
            request_id: &self.request_id,
            timestamp_utc: self.clock.now().to_string(),
            latency_ms: self.since.millis(),
            bandwidth_in_bytes: self.bytes_in,
            bandwidth_out_bytes: bytes_out,
            orgcode: self.orgcode.as_ref().map(OrgCode::as_str),
            cccode: self.cccode.as_deref(),
            actor: self.actor.as_deref(),
            session_fingerprint: fingerprint.filter(|print| !is_key(print)),
            api_key_fingerprint: fingerprint.filter(is_key),
            build: Build::current(),
        }
    }
}

/// The part of an answer that is logged.
#[derive(Clone, Copy, Debug)]
struct Answered {
    status: u16,
    tag: Word,
    bytes_out: Option<u64>,
}

impl Drop for Trace {
    /// Logs how the request ended. Here, because each has one trace, whatever becomes of it.
    fn drop(&mut self) {
        let answered = self.answered.get();
        let status = answered.map(|answered| answered.status);
        let read = matches!(self.method, "GET" | "HEAD");
        if self.is_outer || !report::wants_request(read, status) {
            return;
        }
        let tag = match answered {
            Some(answered) => answered.tag,
            None if std::thread::panicking() => PANICKED,
            None => "hung-up",
        };
        // A failure of the server's own is no refusal.
        let failed = tag == PANICKED || tag == ErrorTag::InternalError.as_str();
        let refused = status.is_none_or(|status| status >= 400) && !failed;
        if refused && !self.keeps(tag) {
            return;
        }
        let fingerprint = self.session_fingerprint.as_deref();
        report::emit(Event::Request {
            request_id: RequestId::of(&self.request_id),
            service: self.service,
            method: self.method,
            route: self.logged_route(),
            status,
            tag,
            latency_us: u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX),
            bytes_in: self.received.get().max(self.bytes_in as u64),
            bytes_out: answered.and_then(|answered| answered.bytes_out),
            principal: fingerprint.and_then(Fingerprint::of),
            orgcode: self.orgcode.take().filter(|_| self.let_in),
        });
    }
}

/// The method, as far as it is one of those there are.
fn method(method: &Method) -> Word {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
    let known = KNOWN.into_iter().find(|known| *known == method.as_str());
    known.unwrap_or("other")
}
