//! One request as the handlers see it, and the facts its answer reports about it.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::HeaderMap;
use bytes::Bytes;

use super::access::{Access, Role};
use super::envelope::{Build, Refusal, Stats};
use super::identity::{self, Principal};
use super::limits::Shown;
use super::meters::HttpMeters;
use super::server::House;
use crate::clock::{Clock, Stopwatch, random_uuid};
use crate::domain::{CcCode, OrgCode, Rejection};
use crate::journal::Remarks;
use crate::report;

/// Longest request id taken from a caller.
const REQUEST_ID_CHARS_MAX: usize = 63;

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
    pub orgcode: Option<String>,
    /// The cost centre, once known.
    pub cccode: Option<String>,
    /// Who the caller says is acting.
    pub actor: Option<String>,
    /// Names the session or the key without revealing it.
    pub session_fingerprint: Option<String>,
    /// What the caller is told of its limit.
    pub rate_limit: Option<Shown>,
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
            cccode: None,
            actor: None,
            session_fingerprint: None,
            rate_limit: None,
            since: Stopwatch::start(),
            clock,
            build,
            meters,
        }
    }

    /// Writes the receipt of a caller who was not let in, and counts it.
    pub fn note_denial(&self, denial: Denied, status: u16) {
        self.meters.denied(denial);
        let (stage, reason) = denial;
        report::access_denied(stage, reason, status, self.route, &self.request_id);
    }

    /// Counts a refusal.
    pub fn note_refusal(&self, rejection: &Rejection) {
        self.meters.refused(rejection);
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
            orgcode: self.orgcode.as_deref(),
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
    /// What the route asks of its caller.
    pub access: Access,
    /// The caller was let through to an org.
    pub admitted: bool,
}

impl Call<'_> {
    /// A header's text, when it is there and readable.
    pub fn header(&self, name: &str) -> Option<&str> {
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
    pub fn admit(&mut self, house: &House, org: &OrgCode) -> Result<Role, Refusal> {
        match self.access {
            Access::Org(right) => {
                let role = identity::admit(house, self.caller()?, org, right)?;
                house.rate_limits.org(org)?;
                self.admitted = true;
                Ok(role)
            }
            Access::Public | Access::Known | Access::Person => Err(Refusal::Failed(
                "a route that asks for no right looks at an org".to_owned(),
            )),
        }
    }

    /// Notes the org for the answer's facts.
    pub fn note_org(&mut self, org: &OrgCode) {
        self.trace.orgcode = Some(org.as_str().to_owned());
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
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let given = text("x-request-id").filter(|id| is_request_id(id));
    let given = given.or_else(|| text("x-trace-id").filter(|id| is_request_id(id)));
    let given = given.or_else(|| text("traceparent").and_then(trace_id_of));
    given.map_or_else(|| random_uuid().to_string(), str::to_owned)
}

fn is_request_id(text: &str) -> bool {
    (1..=REQUEST_ID_CHARS_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
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
