//! The operators' listener: from a request's head to its answer.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::dispatch::{SERVICE, check_head, identify, invoke};
use super::{documents, import, metrics};
use crate::domain::operator_token::TokenScope;
use crate::domain::{ErrorTag, Rejection};
use crate::http::auth::operator::{Identified, OperatorAccess, permit};
use crate::http::bodies::Source;
use crate::http::envelope::{OK, hang_up, respond};
use crate::http::meters::{HttpMeters, Measured, Place};
use crate::http::reply::{Refusal, Reply, unavailable};
use crate::http::request_head::RequestHead;
use crate::http::slow::UploadPace;
use crate::http::state::Gateway;
use crate::http::trace::name_of;
use crate::http::watched;

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
    let head = RequestHead::of(&request);
    let mut trace = gateway.trace(&head);
    trace.service = SERVICE;
    let path = head.path;
    let fault = watched::fault(&request);
    if let Err(rejection) = fault.map_or_else(|| check_head(gateway, &head), Err) {
        return hang_up(respond(&trace, Err(rejection.into())));
    }
    trace.call = name_of(head.method, path);
    let operator = match identify(gateway, &listener.access, &head) {
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
    if let Some(page) = documents::find(path) {
        trace.route = page.route;
        return documents::answer(gateway, page, (&operator, &head), &trace);
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
    let body = Source::Connection(payload);
    invoke(gateway, operator, (trace, &head, body), measured).await
}

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
