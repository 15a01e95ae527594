//! The operators' listener: every call needs the operator token; never reachable through the gateway.

mod audit;
mod backup;
mod code;
mod hold;
mod identity;
mod import;
mod jobs;
mod maintenance;
mod metrics;
mod trace;
mod upkeep;
mod utl;
mod vacuum;

use std::rc::Rc;
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq;

use super::access::Access;
use super::call::{Call, Trace};
use super::envelope::{OK, Refusal, Reply, respond, throttled, unavailable};
use super::meters::{Measured, Place};
use super::routes::Answering;
use super::server::{Door, House, hang_up, read_body};
use super::slow::UploadPace;
use super::{head, input, space};
use crate::actors::ops::Caller;
use crate::domain::{ErrorTag, Rejection};
use crate::journal::{Remarks, Source};
use crate::report;

/// Who operators are in the journal: they share one token.
const OPERATOR: &str = "operator";
/// Where functions are.
const INVOKE: &str = "/invoke/";

/// An operator function.
type Function = for<'a> fn(&'a House, &'a mut Call<'_>) -> Answering<'a>;

/// Boxes a function's future.
macro_rules! function {
    ($name:literal, $handler:path) => {
        ($name, |house, call| Box::pin($handler(house, call)))
    };
}

/// Every function by its name with underscores; dashes are taken too.
const FUNCTIONS: &[(&str, Function)] = &[
    function!("ops_secret_set", code::set),
    function!("ops_maintenance_schedule", maintenance::schedule),
    function!("ops_maintenance_start", maintenance::start),
    function!("ops_maintenance_update", maintenance::update),
    function!("ops_maintenance_end", maintenance::end),
    function!("ops_maintenance_cancel", maintenance::cancel),
    function!("ops_vacuum_all", vacuum::all),
    function!("ops_vacuum_org", vacuum::org),
    function!("ops_vacuum_cancel", vacuum::cancel),
    function!("ops_vacuum_status", vacuum::status),
    function!("ops_audit", audit::list),
    function!("ops_backup_begin", backup::begin),
    function!("ops_backup_renew", backup::renew),
    function!("ops_backup_end", backup::end),
    function!("ops_trace", trace::find),
    function!("mrs_reconcile", upkeep::reconcile),
    function!("mrs_tag_scrub", upkeep::tag_scrub),
    function!("mrs_cleanup", upkeep::cleanup),
    function!("jobs_list", jobs::list),
    function!("jobs_show", jobs::show),
    function!("jobs_run", jobs::run),
    function!("jobs_pause", jobs::pause),
    function!("jobs_resume", jobs::resume),
    function!("uas_user_create", identity::create_user),
    function!("ofm_org_create", identity::create_org),
    function!("ofm_org_status_set", identity::set_status),
    function!("utl_offboarding_list", utl::list),
    function!("utl_offboarding_approve", utl::approve),
    function!("utl_offboarding_cancel", utl::cancel),
    function!("utl_offboarding_status", utl::status),
    function!("utl_export", utl::export),
    function!("utl_export_list", utl::export_list),
    function!("utl_export_file", utl::export_file),
    function!("utl_import_begin", import::begin),
    function!("utl_import_objects", import::objects),
    function!("utl_import_events", import::events),
    function!("utl_import_end", import::end),
    function!("utl_import_cancel", import::cancel),
    function!("mrs_hold_set", hold::set),
    function!("mrs_hold_release", hold::release),
    function!("mrs_hold_list", hold::list),
];

/// Declares an operator function's input: its own fields, and those every change accepts.
macro_rules! operator_request {
    ($(#[$meta:meta])* pub(super) struct $name:ident { $($fields:tt)* }) => {
        $(#[$meta])*
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            actor: Option<String>,
            reason: Option<String>,
            reason_code: Option<String>,
            correlation_id: Option<String>,
            $($fields)*
        }

        impl $name {
            /// Who asks, with what the caller remarks.
            fn caller(&self, call: &mut crate::http::call::Call<'_>) -> Result<crate::actors::ops::Caller, crate::domain::Rejection> {
                crate::http::operator::caller(call, crate::journal::Remarks {
                    actor: self.actor.clone(),
                    reason: self.reason.clone(),
                    reason_code: self.reason_code.clone(),
                    correlation_id: self.correlation_id.clone(),
                })
            }
        }
    };
}
use operator_request;

/// A secret code as it came in. Shows nothing of itself.
pub(super) struct Code(String);

impl Code {
    fn text(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Code(..)")
    }
}

impl<'de> Deserialize<'de> for Code {
    /// Whatever is wrong, the error says nothing of what was sent.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer) {
            Ok(serde_json::Value::String(text)) => Ok(Self(text)),
            Ok(_) | Err(_) => Err(serde::de::Error::custom("a code is a string")),
        }
    }
}

/// Adds the operators' routes to an actix application.
pub fn configure(
    door: Arc<Door>,
    token: Arc<str>,
    pace: UploadPace,
) -> impl FnOnce(&mut web::ServiceConfig) {
    move |service| {
        let shared = Rc::new((door, token));
        service.default_service(web::to(move |request: HttpRequest, payload: Payload| {
            let shared = shared.clone();
            async move {
                let mut measured = shared.0.http_meters().begin();
                let at = (&*shared.0, &*shared.1, pace);
                let response = serve(at, request, payload, &mut measured).await;
                measured.answered(response.status());
                response
            }
        }));
    }
}

async fn serve(
    (door, token, pace): (&Door, &str, UploadPace),
    request: HttpRequest,
    payload: Payload,
    measured: &mut Measured<'_>,
) -> HttpResponse {
    let mut trace = door.trace(&request);
    trace.service = OPERATOR;
    let path = request.path();
    if let Err(rejection) = check_head(door, &request) {
        return hang_up(respond(&trace, Err(rejection.into())));
    }
    trace.call = format!(
        "{} {}",
        request.method(),
        path.chars().take(128).collect::<String>()
    );
    if path == metrics::PATH && is_operator(&request, token) && request.method() == Method::GET {
        measured.at(Place::Metrics);
        trace.route = metrics::PATH;
        let response = metrics::answer(door).await;
        trace.note_answer(&response, OK);
        return response;
    }
    if path.starts_with(import::CONTENT) {
        trace.service = "utl";
        trace.route = "utl_import_content";
        measured.at(Place::Import);
        let answer = take_content((door, token, pace), &request, payload).await;
        let failed = answer.is_err();
        let response = respond(&trace, answer);
        // What would come next on the connection is the rest of a body that was given up.
        return match failed {
            true => hang_up(response),
            false => response,
        };
    }
    let name = path.strip_prefix(INVOKE).unwrap_or(path).replace('-', "_");
    let known = FUNCTIONS.iter().find(|(known, _)| *known == name);
    let logged = known.map_or("unknown", |(name, _)| name);
    trace.route = logged;
    if known.is_some() {
        measured.at(Place::Invoke);
    }
    let (trace, answer) = answer(door, token, &request, payload, (trace, known)).await;
    let tag = match &answer {
        Ok(_) => OK,
        Err(Refusal::Rejected { rejection, .. }) => rejection.tag.as_str(),
        Err(Refusal::Failed(_)) => ErrorTag::InternalError.as_str(),
    };
    let response = respond(&trace, answer);
    let status = response.status().as_u16();
    report::operator_call(logged, &trace.request_id, OPERATOR, status, tag);
    response
}

/// Refuses odd heads, and names that a page in an operator's browser could call by. A Unix socket is out of its reach.
fn check_head(door: &Door, request: &HttpRequest) -> Result<(), Rejection> {
    head::check(request.headers())?;
    match request.peer_addr() {
        Some(_) => door.host_names().check(request),
        None => Ok(()),
    }
}

async fn answer(
    door: &Door,
    token: &str,
    request: &HttpRequest,
    payload: Payload,
    (mut trace, known): (Trace, Option<&'static (&'static str, Function)>),
) -> (Trace, Result<Reply, Refusal>) {
    let (name, function) = match admit(token, request, known) {
        Ok(known) => known,
        Err(rejection) => return (trace, Err(rejection.into())),
    };
    // Whoever has the token is let in to every org.
    trace.let_in = true;
    if let Some((service, _)) = name.split_once('_') {
        trace.service = service;
    }
    let Some(house) = door.house() else {
        return (trace, Err(unavailable().with_minor("starting").into()));
    };
    let Some(_permit) = door.permit() else {
        return (trace, Err(throttled().into()));
    };
    let body = match read_body(door, request, payload).await {
        Ok(body) => body,
        Err(rejection) => return (trace, Err(rejection.into())),
    };
    trace.bytes_in = body.len();
    let mut call = Call {
        trace,
        request,
        body,
        principal: None,
        access: Access::Public,
        admitted: false,
    };
    let answer = function(house, &mut call).await;
    (call.trace, space::explain(house, answer))
}

/// Takes a file of an import.
async fn take_content(
    (door, token, pace): (&Door, &str, UploadPace),
    request: &HttpRequest,
    payload: Payload,
) -> Result<Reply, Refusal> {
    if !is_operator(request, token) {
        return Err(not_operator().into());
    }
    if request.method() != Method::PUT {
        let rejection = Rejection::new(ErrorTag::MethodNotAllowed, "Content is put here.");
        return Err(rejection.with_detail("allow", "PUT").into());
    }
    let house = door.house();
    let house = house.ok_or_else(|| unavailable().with_minor("starting"))?;
    let _permit = door.permit().ok_or_else(throttled)?;
    import::put(house, request, payload, pace).await
}

fn not_operator() -> Rejection {
    Rejection::new(
        ErrorTag::NotAuthorized,
        "The operator token is needed: Authorization: Bearer <token>.",
    )
}

fn admit(
    token: &str,
    request: &HttpRequest,
    known: Option<&'static (&'static str, Function)>,
) -> Result<&'static (&'static str, Function), Rejection> {
    if !is_operator(request, token) {
        return Err(not_operator());
    }
    let missing = || Rejection::new(ErrorTag::NotFound, "There is no such operator function.");
    let known = known
        .filter(|_| request.path().starts_with(INVOKE))
        .ok_or_else(missing)?;
    if request.method() != Method::POST {
        let rejection = Rejection::new(ErrorTag::MethodNotAllowed, "Operator functions take POST.");
        return Err(rejection.with_detail("allow", "POST"));
    }
    Ok(known)
}

/// Whether a request carries the operator token, compared in constant time.
fn is_operator(request: &HttpRequest, token: &str) -> bool {
    let header = request
        .headers()
        .get(actix_web::http::header::AUTHORIZATION);
    let given = header.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    given.is_some_and(|given| bool::from(given.as_bytes().ct_eq(token.as_bytes())))
}

/// Who asks, with the caller's remarks checked and noted.
fn caller(call: &mut Call<'_>, remarks: Remarks) -> Result<Caller, Rejection> {
    let remarks = input::remarks(remarks)?;
    call.note_remarks(&remarks);
    Ok(Caller {
        by: OPERATOR.to_owned(),
        request_id: call.trace.request_id.clone(),
        source: Source::Operator,
        remarks,
    })
}

/// A text that must be there and have 1 to so many characters.
fn text(field: Option<&str>, name: &str, chars_max: usize) -> Result<String, Rejection> {
    let text = field.map(str::trim).filter(|text| !text.is_empty());
    let Some(text) = text else {
        return Err(Rejection::field(name, format!("{name} is missing.")));
    };
    if text.chars().count() > chars_max {
        let message = format!("{name} may have at most {chars_max} characters.");
        return Err(Rejection::field(name, message));
    }
    Ok(text.to_owned())
}

/// The same for a text that may be absent.
fn optional_text(
    field: Option<&str>,
    name: &str,
    chars_max: usize,
) -> Result<Option<String>, Rejection> {
    field
        .map(|field| text(Some(field), name, chars_max))
        .transpose()
}
