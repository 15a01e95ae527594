//! The operators' listener: from a request's head to its answer.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::{FUNCTIONS, INVOKE, Named, import, metrics, note_refused};
use crate::domain::operator_token::TokenScope;
use crate::domain::rejection::NOT_FOUND;
use crate::domain::{ErrorTag, Rejection};
use crate::http::auth::access::Access;
use crate::http::auth::operator::{Identified, OperatorAccess, permit};
use crate::http::auth::principal::Owner;
use crate::http::bodies::Body;
use crate::http::call::Call;
use crate::http::envelope::{OK, hang_up, respond};
use crate::http::meters::{HttpMeters, Measured, Place};
use crate::http::reply::{Refusal, Reply, throttled, unavailable};
use crate::http::slow::UploadPace;
use crate::http::state::Gateway;
use crate::http::trace::{Trace, name_of};
use crate::http::{head, idempotency, watched};
use crate::report;

/// The dependencies of the operators' listener.
struct Listener {
    gateway: Arc<Gateway>,
    access: Arc<OperatorAccess>,
    pace: UploadPace,
}

/// Adds the operators' routes to an actix application.
pub fn configure(
    gateway: Arc<Gateway>,
    access: Arc<OperatorAccess>,
    pace: UploadPace,
) -> impl FnOnce(&mut web::ServiceConfig) {
    move |service| {
        let shared = Rc::new(Listener {
            gateway,
            access,
            pace,
        });
        service.default_service(web::to(move |request: HttpRequest, payload: Payload| {
            let listener = shared.clone();
            async move {
                let mut measured = listener.gateway.http_meters().begin();
                let response = serve(&listener, request, payload, &mut measured).await;
                measured.answered(response.status());
                response
            }
        }));
    }
}

async fn serve(
    listener: &Listener,
    request: HttpRequest,
    payload: Payload,
    measured: &mut Measured<&HttpMeters>,
) -> HttpResponse {
    let gateway = &*listener.gateway;
    let mut trace = gateway.trace(&request);
    trace.service = "operator";
    let path = request.path();
    let fault = watched::fault(&request);
    if let Err(rejection) = fault.map_or_else(|| check_head(gateway, &request), Err) {
        return hang_up(respond(&trace, Err(rejection.into())));
    }
    trace.call = name_of(request.method(), path);
    let known = (gateway.app().map(|app| &app.store), gateway.now());
    let operator = match listener.access.identify(known, &request) {
        Ok(operator) => operator,
        Err(refusal) => return respond(&trace, Err(refusal)),
    };
    if operator.is_ok() {
        watched::trust(&request);
    }
    if path == metrics::PATH && operator.is_ok() {
        measured.at(Place::Metrics);
        trace.route = metrics::PATH;
        if let Err(rejection) = admit_scrape(&operator, &request) {
            return respond(&trace, Err(rejection.into()));
        }
        let response = metrics::answer(gateway).await;
        trace.note_answer(&response, OK);
        return response;
    }
    if path.starts_with(import::CONTENT) {
        trace.service = "utl";
        trace.route = "utl_import_content";
        trace.runs(gateway.running(), true);
        measured.at(Place::Import);
        let answer = take_content(listener, &operator, &request, payload).await;
        let failed = answer.is_err();
        let response = respond(&trace, answer);
        // What would come next on the connection is the rest of a body that was given up.
        return if failed { hang_up(response) } else { response };
    }
    let name = path.strip_prefix(INVOKE).unwrap_or(path).replace('-', "_");
    let known = FUNCTIONS.iter().find(|(known, ..)| *known == name);
    let logged = known.map_or("unknown", |(name, ..)| name);
    trace.route = logged;
    if known.is_some() {
        measured.at(Place::Invoke);
    }
    let by = operator.as_ref().ok().map(|operator| operator.by.clone());
    let (trace, answer) = answer(gateway, operator, &request, payload, (trace, known)).await;
    let tag = match &answer {
        Ok(_) => OK,
        Err(Refusal::Rejected { rejection, .. }) => rejection.tag.as_str(),
        Err(Refusal::Failed(_)) => ErrorTag::InternalError.as_str(),
    };
    let response = respond(&trace, answer);
    let status = response.status().as_u16();
    let by = by.as_deref().unwrap_or("unknown");
    // Only callers without a token are refused so often that not each refusal is logged.
    if trace.let_in || trace.keeps(tag) {
        report::operator_call(logged, &trace.request_id, by, status, tag);
    }
    response
}

/// Refuses odd heads, and names that a page in an operator's browser could call by. A Unix socket is out of its reach.
fn check_head(gateway: &Gateway, request: &HttpRequest) -> Result<(), Rejection> {
    head::check(request.headers())?;
    match request.peer_addr() {
        Some(_) => gateway.host_names().check(request),
        None => Ok(()),
    }
}

async fn answer(
    gateway: &Gateway,
    operator: Identified,
    request: &HttpRequest,
    payload: Payload,
    (mut trace, known): (Trace, Option<&'static Named>),
) -> (Trace, Result<Reply, Refusal>) {
    let (name, _, function) = match admit(&operator, request, known) {
        Ok(known) => known,
        Err(rejection) => return (trace, Err(rejection.into())),
    };
    // A caller with a token may access every org.
    trace.let_in = true;
    if let Some((service, _)) = name.split_once('_') {
        trace.service = service;
    }
    let Some(app) = gateway.app() else {
        return (trace, Err(unavailable().with_minor("starting").into()));
    };
    trace.runs(gateway.running(), true);
    let body = gateway
        .bodies()
        .read(request, payload, Owner::Operators, None);
    let Body { bytes, share: _ } = match body.await {
        Ok(body) => body,
        Err(rejection) => return (trace, Err(rejection.into())),
    };
    trace.bytes_in = bytes.len();
    let Some(_permit) = gateway.operator_permit() else {
        return (trace, Err(throttled().into()));
    };
    let mut call = Call::new((trace, request, bytes), None, Access::Public);
    call.operator = operator.ok();
    let answer = function(app, &mut call).await;
    let answer = answer.map_err(|refusal| absent(refusal, &call.body));
    let answer = note_refused(app, &call, answer).await;
    (call.trace, app.space.explain(answer))
}

/// Says what does not exist, where tenants must not learn whether it does.
fn absent(refusal: Refusal, body: &[u8]) -> Refusal {
    let is_concealed = |rejection: &Rejection| {
        rejection.tag == ErrorTag::NotFound && rejection.message == NOT_FOUND
    };
    match refusal {
        Refusal::Rejected { rejection, .. } if is_concealed(&rejection) => {
            let body: serde_json::Map<String, serde_json::Value> =
                serde_json::from_slice(body).unwrap_or_default();
            let named = NAMES.iter().filter(|(field, _)| body.contains_key(*field));
            let named: Vec<_> = named.map(|(_, name)| *name).collect();
            let message = match named.as_slice() {
                [] => "What the request is about does not exist.".to_owned(),
                [one] => format!("There is no such {one}."),
                several => format!("There is no such {}: check each.", several.join(" or ")),
            };
            Rejection::absent(message).into()
        }
        refusal @ (Refusal::Rejected { .. } | Refusal::Failed(_)) => refusal,
    }
}

/// Fields that name something, and what that is called.
const NAMES: &[(&str, &str)] = &[
    ("orgcode", "org"),
    ("container", "container"),
    ("record_id", "record"),
    ("user_id", "user"),
    ("email", "user"),
    ("owner_email", "user"),
    ("owner_user_id", "user"),
    ("maintenance_id", "maintenance window"),
    ("vacuum_id", "vacuum"),
    ("export_id", "export"),
    ("import_id", "import"),
    ("name", "name"),
    ("job", "job"),
];

/// Takes a file of an import.
async fn take_content(
    listener: &Listener,
    operator: &Identified,
    request: &HttpRequest,
    payload: Payload,
) -> Result<Reply, Refusal> {
    permit(operator, TokenScope::Tenants)?;
    if request.method() != Method::PUT {
        let rejection = Rejection::new(ErrorTag::MethodNotAllowed, "Content is put here.");
        return Err(rejection.with_detail("allow", "PUT").into());
    }
    let app = listener.gateway.app();
    let app = app.ok_or_else(|| unavailable().with_minor("starting"))?;
    let imports = listener.gateway.imports();
    import::put(app, request, payload, (listener.pace, imports)).await
}

/// Admits a scrape: by GET, or by HEAD, which answers without the text (RFC 9110, section 9.3.2).
fn admit_scrape(operator: &Identified, request: &HttpRequest) -> Result<(), Rejection> {
    permit(operator, TokenScope::Metrics)?;
    if [Method::GET, Method::HEAD].contains(request.method()) {
        return Ok(());
    }
    let rejection = Rejection::new(ErrorTag::MethodNotAllowed, "Metrics are read by GET.");
    Err(rejection.with_detail("allow", "GET, HEAD"))
}

fn admit(
    operator: &Identified,
    request: &HttpRequest,
    known: Option<&'static Named>,
) -> Result<&'static Named, Rejection> {
    let known = known.filter(|_| request.path().starts_with(INVOKE));
    let Some(known) = known else {
        // Only operators learn whether there is such a function.
        operator.as_ref().map_err(Clone::clone)?;
        return Err(Rejection::new(
            ErrorTag::NotFound,
            "There is no such operator function.",
        ));
    };
    permit(operator, known.1)?;
    let reads = known.1 == TokenScope::Read;
    idempotency::check_function((known.0, reads), request.headers())?;
    if request.method() != Method::POST {
        let rejection = Rejection::new(ErrorTag::MethodNotAllowed, "Operator functions take POST.");
        return Err(rejection.with_detail("allow", "POST"));
    }
    Ok(known)
}
