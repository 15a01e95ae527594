//! One request as the handlers see it, and the facts its answer reports about it.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap, HeaderName};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

use super::access::{Access, Role};
use super::envelope::{Build, Refusal, Stats};
use super::header_names;
use super::identity::{self, Principal};
use super::limits::{Shown, network};
use super::meters::HttpMeters;
use super::operator::Operator;
use super::places::InFlight;
use super::server::AppState;
use crate::actors::act::AskedAct;
use crate::clock::{Clock, Stopwatch, random_uuid};
use crate::domain::{CcCode, ErrorTag, OrgCode, Rejection};
use crate::journal::Remarks;
use crate::report::{self, Event, Fingerprint, RequestId, Word};
use crate::running::{Note, Running};

/// Headers that hold a credential: an id that is part of one is not taken, because ids are logged and journaled.
static CREDENTIALS: [&HeaderName; 3] = [
    &header_names::X_SESSION_GUID,
    &header_names::X_API_KEY,
    &header_names::AUTHORIZATION,
];
/// What keys, operator tokens and tokens of identity providers begin with.
const CREDENTIAL_PREFIXES: [&str; 3] = ["g3nk_", "op_", "eyJ"];
/// Longest method that an answer repeats, in bytes: above the longest that is registered (UPDATEREDIRECTREF).
const METHOD_BYTES_MAX: usize = 32;
/// Longest path that an answer repeats, in characters.
const PATH_CHARS_MAX: usize = 128;
/// Shortest part of a credential that tells of it.
const CREDENTIAL_PART_MIN: usize = 6;

/// What stands for a tag when the work on a request panicked.
const PANICKED: Word = "panicked";

/// What stands for a tag when an answer was not sent to its end.
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

/// What is known of a request when its answer is made.
#[derive(Debug)]
pub struct Trace {
    /// The caller's or a new one.
    pub request_id: String,
    /// Method and path without the service prefix.
    pub call: String,
    /// The service.
    pub service: &'static str,
    /// The route or the operator function; `unknown` when there is no such one.
    pub route: &'static str,
    /// Bytes of the request body read.
    pub bytes_in: usize,
    /// The tenant, once known.
    pub orgcode: Option<OrgCode>,
    /// The caller was let in to it.
    pub let_in: bool,
    /// The cost centre, once known.
    pub cccode: Option<String>,
    /// Who the caller says is acting.
    pub actor: Option<String>,
    /// Names the session or the key without revealing it.
    pub session_fingerprint: Option<String>,
    /// What the caller is told of its limit.
    pub rate_limit: Option<Shown>,
    method: Word,
    running: Note,
    /// Who its lines are counted for when it is refused.
    address: Option<IpAddr>,
    /// Whether it has lines, once that was asked.
    kept: Cell<Option<bool>>,
    answered: Cell<Option<Answered>>,
    received: Cell<u64>,
    since: Stopwatch,
    clock: Clock,
    build: Build,
    meters: Arc<HttpMeters>,
}

/// A stage and a reason why somebody was not let in.
pub type Denied = (&'static str, &'static str);

impl Trace {
    /// Starts with a request.
    pub fn start(
        request: &HttpRequest,
        clock: Clock,
        build: Build,
        meters: Arc<HttpMeters>,
    ) -> Self {
        Self {
            request_id: request_id(request.headers()),
            call: String::new(),
            service: "mrs",
            route: "unknown",
            bytes_in: 0,
            orgcode: None,
            let_in: false,
            cccode: None,
            actor: None,
            session_fingerprint: None,
            rate_limit: None,
            method: method(request.method()),
            running: Note::default(),
            address: request.peer_addr().map(|peer| network(peer.ip())),
            kept: Cell::new(None),
            answered: Cell::new(None),
            received: Cell::new(0),
            since: Stopwatch::start(),
            clock,
            build,
            meters,
        }
    }

    /// Notes that it is being worked on, for the case that the process ends meanwhile; `at_once`, when what comes next could
    /// be what ends it.
    pub fn runs(&mut self, running: &Running, at_once: bool) {
        let words = [self.service, self.method, self.route];
        self.running = running.begin(&self.request_id, words, at_once);
    }

    /// Notes its caller there.
    pub fn runs_for_caller(&self, at_once: bool) {
        self.running
            .known(self.session_fingerprint.as_deref(), at_once);
    }

    /// Writes the receipt of a caller who was not let in, and counts it.
    pub fn note_denial(&self, denial: Denied, tag: ErrorTag, status: u16) {
        self.meters.denied(denial);
        if !self.keeps(tag.as_str()) {
            return;
        }
        let (stage, reason) = denial;
        report::access_denied(stage, reason, status, self.route, &self.request_id);
    }

    /// Whether it has lines in the log, refused for a cause; asked again it says the same.
    pub fn keeps(&self, cause: Word) -> bool {
        self.kept.get().unwrap_or_else(|| {
            let kept = report::keeps_refusal(cause, self.address);
            self.kept.set(Some(kept));
            kept
        })
    }

    /// Counts a refusal.
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

    /// Notes that only so many bytes of a streamed answer were taken.
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

    /// Ends an envelope with `build` and `stats`.
    pub fn finish(&self, body: &mut Vec<u8>, bytes_out: usize) {
        let fingerprint = self.session_fingerprint.as_deref();
        let is_key = |print: &&str| print.starts_with(identity::KEY_FINGERPRINT);
        let stats = Stats {
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
            build: &self.build,
        };
        body.extend_from_slice(b",\"build\":");
        // Strings and numbers only: writing them to memory cannot fail.
        let _: Result<(), _> = serde_json::to_writer(&mut *body, &self.build);
        body.extend_from_slice(b",\"stats\":");
        let _: Result<(), _> = serde_json::to_writer(&mut *body, &stats);
        body.push(b'}');
    }
}

/// An answer, as far as the log tells of it.
#[derive(Clone, Copy, Debug)]
struct Answered {
    status: u16,
    tag: Word,
    bytes_out: Option<u64>,
}

impl Drop for Trace {
    /// Tells how the request ended. Here, because each has one trace, whatever becomes of it.
    fn drop(&mut self) {
        let answered = self.answered.get();
        let status = answered.map(|answered| answered.status);
        let read = matches!(self.method, "GET" | "HEAD");
        if !report::wants_request(read, status) {
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
            route: self.route,
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

/// A request with its caller known and its body read.
pub struct Call<'a> {
    /// Its facts.
    pub trace: Trace,
    /// Its head.
    pub request: &'a HttpRequest,
    /// Its body; empty for GET.
    pub body: Bytes,
    /// Who calls; absent on public routes.
    pub principal: Option<Principal>,
    /// Which operator calls; absent at the gateway.
    pub operator: Option<Operator>,
    /// What the operator had journaled as asked for.
    pub act: Option<Box<AskedAct>>,
    /// What the route asks of its caller.
    pub access: Access,
    /// The caller was let through to an org.
    pub admitted: bool,
    /// Its place among the org's requests.
    place: InFlight,
}

impl<'a> Call<'a> {
    /// A request that has arrived.
    pub fn new(
        (trace, request, body): (Trace, &'a HttpRequest, Bytes),
        principal: Option<Principal>,
        access: Access,
    ) -> Self {
        Self {
            trace,
            request,
            body,
            principal,
            operator: None,
            act: None,
            access,
            admitted: false,
            place: InFlight::uncounted(),
        }
    }
}

impl Call<'_> {
    /// A header's text, when it is there and readable.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    /// Who calls a route that asks for a credential.
    ///
    /// # Errors
    /// A failure, on a public route.
    pub fn caller(&self) -> Result<&Principal, Refusal> {
        let missing = || Refusal::Failed("a route without a principal".to_owned());
        self.principal.as_ref().ok_or_else(missing)
    }

    /// Lets the caller through to an org, with the right that the route asks for.
    ///
    /// # Errors
    /// See [`identity::admit`].
    pub fn admit(&mut self, app: &AppState, org: &OrgCode) -> Result<Role, Refusal> {
        match self.access {
            Access::Org(right) => {
                let role = identity::admit(app, self.caller()?, org, right)?;
                self.place = app.rate_limits.org(org)?;
                self.caller()?.note_org(org);
                self.admitted = true;
                self.trace.let_in = true;
                Ok(role)
            }
            Access::Public | Access::Authenticated | Access::UserSession => Err(Refusal::Failed(
                "a route that asks for no right looks at an org".to_owned(),
            )),
        }
    }

    /// Notes the org for the answer's facts.
    pub fn note_org(&mut self, org: &OrgCode) {
        self.trace.orgcode = Some(org.clone());
    }

    /// Notes the cost centre for the answer's facts.
    pub fn note_cccode(&mut self, cccode: Option<&CcCode>) {
        self.trace.cccode = cccode.map(|cccode| cccode.as_str().to_owned());
    }

    /// Notes who the caller says is acting.
    pub fn note_remarks(&mut self, remarks: &Remarks) {
        self.trace.actor.clone_from(&remarks.actor);
    }
}

fn request_id(headers: &HeaderMap) -> String {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let good = |id: &&str| report::field::is_request_id(id) && !is_credential(headers, id);
    let given = text(&header_names::X_REQUEST_ID).filter(good);
    let given = given.or_else(|| text(&header_names::X_TRACE_ID).filter(good));
    let given = given.or_else(|| text(&header_names::TRACEPARENT).and_then(trace_id_of));
    given.map_or_else(|| random_uuid().to_string(), str::to_owned)
}

/// Whether an id is a credential, or part of one that came with it.
fn is_credential(headers: &HeaderMap, id: &str) -> bool {
    let shown = CREDENTIALS.iter().flat_map(|name| headers.get_all(*name));
    let mut shown = shown.map(|value| value.as_bytes());
    let part = |shown: &[u8]| {
        let mut windows = shown.windows(id.len().max(1));
        windows.any(|window| window == id.as_bytes())
    };
    CREDENTIAL_PREFIXES
        .iter()
        .any(|prefix| id.starts_with(prefix))
        || id.len() >= CREDENTIAL_PART_MIN && shown.any(part)
}

/// The trace-id of a valid `traceparent` (W3C Trace Context, version 00 and later).
fn trace_id_of(traceparent: &str) -> Option<&str> {
    let lower_hex = |text: &str| {
        text.bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut parts = traceparent.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let whole = version != "00" || parts.next().is_none();
    let sized = version.len() == 2 && trace.len() == 32 && parent.len() == 16 && flags.len() == 2;
    let hex = [version, trace, parent, flags]
        .iter()
        .all(|part| lower_hex(part));
    let set = trace.bytes().any(|byte| byte != b'0') && parent.bytes().any(|byte| byte != b'0');
    (whole && sized && hex && set && version != "ff").then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_credential_is_taken_for_an_id() {
        let with = |id: &str, name: &'static str, value: &str| {
            use actix_web::http::header::{HeaderName, HeaderValue};
            let mut headers = HeaderMap::new();
            let header = |value: &str| HeaderValue::from_str(value).expect("a header");
            headers.insert(HeaderName::from_static("x-request-id"), header(id));
            headers.insert(HeaderName::from_static(name), header(value));
            request_id(&headers)
        };
        let guid = "0192f0c1-7a3b-7c4d-8e5f-001122334455";
        assert_eq!(with("r-1", "x-session-guid", guid), "r-1");
        assert_eq!(with(guid, "x-tenant", "a"), guid);
        for (id, name, value) in [
            (guid, "x-session-guid", guid),
            ("abcdef", "authorization", "Bearer x.abcdefg"),
            ("g3nk_1", "x-tenant", "a"),
        ] {
            assert_ne!(with(id, name, value), id, "{name}: {value}");
        }
    }

    #[test]
    fn a_trace_id_is_taken_only_from_a_valid_traceparent() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let good = format!("00-{trace}-00f067aa0ba902b7-01");
        assert_eq!(trace_id_of(&good), Some(trace));
        for bad in [
            String::new(),
            format!("ff-{trace}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{trace}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
            format!("{good}-extra"),
        ] {
            assert_eq!(trace_id_of(&bad), None, "{bad}");
        }
    }
}
