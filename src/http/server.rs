//! The gateway's listener: from a request's head to the answer's last byte.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::http::header::AUTHORIZATION;
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::auth::access::Access;
use super::auth::admit::not_a_person;
use super::auth::principal::{Mode, Owner, Principal};
use super::bodies::Body;
use super::call::Call;
use super::document::Document;
use super::envelope::{hang_up, respond};
use super::limits::network;
use super::meters::{HttpMeters, Measured};
use super::places::InFlight;
use super::reply::{Refusal, unavailable};
use super::route::{Handler, Operation, Route, Work};
use super::routes;
use super::state::{AppState, Gateway};
use super::trace::{self, Trace};
use super::turns::{Turn, Turns};
use super::{gate, head, watched};
use crate::domain::{ErrorTag, Rejection};

/// Bytes of a query that is no work to read: one with a cursor has more.
const SHORT_QUERY_BYTES: usize = 512;
/// Adds the gateway's routes to an actix application.
pub fn configure(gateway: Arc<Gateway>) -> impl FnOnce(&mut web::ServiceConfig) {
    move |service| {
        let gateway = Rc::new(gateway);
        // One for each thread, as this is called by each.
        let turns = Turns::new();
        service.default_service(web::to(move |request: HttpRequest, payload: Payload| {
            let gateway = gateway.clone();
            let turn = Turn::new(&turns);
            let asked = request.clone();
            async move {
                let mut measured = gateway.http_meters().begin();
                let serving = serve(&gateway, request, payload, (&mut measured, &turn));
                let mut response = turn.work(serving).await;
                gateway.origins().allow(&asked, &mut response);
                measured.answered(response.status());
                if !response.status().is_success() {
                    // A body that came with its head is still to be stepped over; actix-http does that while it waits
                    // here, and would have to close the connection otherwise.
                    tokio::task::yield_now().await;
                }
                response
            }
        }));
    }
}

async fn serve(
    gateway: &Gateway,
    request: HttpRequest,
    payload: Payload,
    (measured, turn): (&mut Measured<&HttpMeters>, &Turn),
) -> HttpResponse {
    let mut trace = gateway.trace(&request);
    if let Some(fault) = watched::fault(&request) {
        trace.call = trace::name_of(request.method(), "");
        let rejection = enter_refused(gateway, turn, &request, fault).await;
        return hang_up(respond(&trace, Err(rejection.into())));
    }
    if let Some(response) = gateway.origins().preflight(&request, &trace) {
        let entered = enter_anonymous(gateway, turn, &request).await;
        let refused = entered
            .err()
            .map(|refusal| respond(&trace, Err(refusal.into())));
        return refused.unwrap_or(response);
    }
    let found = find_route(gateway, &request, &mut trace);
    let route = match found {
        Ok(route) => route,
        Err(refusal) => {
            let entered = enter_anonymous(gateway, turn, &request).await;
            let refusal = entered.err().map_or(refusal, Refusal::from);
            return respond(&trace, Err(refusal));
        }
    };
    measured.at_route(routes::number(route));
    if !route.always
        && let Err(rejection) = watched::check_seat(&request)
    {
        return hang_up(respond(&trace, Err(rejection.into())));
    }
    if let Err(rejection) = check_head(gateway, &request) {
        let rejection = enter_refused(gateway, turn, &request, rejection).await;
        return hang_up(respond(&trace, Err(rejection.into())));
    }
    if let Some(app) = gateway.app() {
        let active = || app.operations.watch().active();
        if let Err(rejection) = gate::check(active, &app.space, &app.clock, route) {
            return respond(&trace, Err(rejection.into()));
        }
    }
    let handler = match route.handler {
        Handler::Immediate(handler) => {
            if !route.always
                && let Err(rejection) = gateway.rate_limits().anonymous(&request)
            {
                return respond(&trace, Err(rejection.into()));
            }
            if !route.always {
                turn.wait_as_anonymous().await;
            }
            return respond(&trace, handler(gateway, &trace));
        }
        Handler::Document(document) => {
            turn.wait_as_anonymous().await;
            return serve_document(gateway, document, &request, &trace);
        }
        Handler::Inside(handler) => handler,
    };
    let work = (route, handler);
    serve_inside(gateway, work, (trace, &request, payload), turn).await
}

/// Serves a route that works in the server: enters the caller, reads the body and calls the handler.
async fn serve_inside(
    gateway: &Gateway,
    (route, handler): (&Route, Work),
    (mut trace, request, payload): (Trace, &HttpRequest, Payload),
    turn: &Turn,
) -> HttpResponse {
    let Some(app) = gateway.app() else {
        return respond(&trace, Err(unavailable().with_minor("starting").into()));
    };
    trace.runs(gateway.running(), is_much_to_read(request));
    let (principal, in_flight) = match enter(app, route, request, &mut trace) {
        Ok(entered) => entered,
        Err(refusal) => {
            turn.wait_as_anonymous().await;
            return respond(&trace, Err(refusal));
        }
    };
    trace.runs_for_caller(request.method() == Method::POST);
    if request.method() == Method::POST
        && let Err(rejection) = route.key_rule.check(request.headers())
    {
        return respond(&trace, Err(rejection.into()));
    }
    let owner = match &principal {
        Some(principal) => principal.owner(),
        None => Owner::Address(request.peer_addr().map(|peer| network(peer.ip()))),
    };
    let Body {
        bytes,
        share: _share,
    } = match gateway
        .bodies()
        .read(request, payload, owner, Some(turn))
        .await
    {
        Ok(body) => body,
        Err(rejection) => return hang_up(respond(&trace, Err(rejection.into()))),
    };
    trace.bytes_in = bytes.len();
    // Only now: what has not arrived may never do so.
    let working = match app.rate_limits.work(&in_flight) {
        Ok(working) => working,
        Err(rejection) => return respond(&trace, Err(rejection.into())),
    };
    let mut call = Call::new((trace, request, bytes), principal, route.access);
    let mut answer = handler(app, &mut call).await;
    drop(working);
    if answer.is_ok() && matches!(route.access, Access::Org(_)) && !call.admitted {
        // Better no answer than one without a check of rights.
        answer = Err(Refusal::failed(
            "a route answered without looking at the org",
        ));
    }
    let answer = app.space.explain(answer);
    let response = respond(&call.trace, answer);
    if response.status() == StatusCode::NOT_FOUND {
        app.concealment.wait(call.trace.elapsed()).await;
    }
    response
}

/// Waits for the turn of a request that shows no valid credential, and counts it to its address.
///
/// # Errors
/// `throttled`.
async fn enter_anonymous(
    gateway: &Gateway,
    turn: &Turn,
    request: &HttpRequest,
) -> Result<(), Rejection> {
    turn.wait_as_anonymous().await;
    gateway.rate_limits().anonymous(request)
}

/// The same for a request that is refused. Returns the refusal, `throttled` when its address has too many.
async fn enter_refused(
    gateway: &Gateway,
    turn: &Turn,
    request: &HttpRequest,
    refusal: Rejection,
) -> Rejection {
    let entered = enter_anonymous(gateway, turn, request).await;
    entered.err().unwrap_or(refusal)
}

/// Refuses odd heads, and where callers are whom headers say also foreign names: a page in a developer's browser could
/// call under one.
fn check_head(gateway: &Gateway, request: &HttpRequest) -> Result<(), Rejection> {
    head::check(request.headers())?;
    match gateway.app() {
        Some(app) if app.authenticator.header_identity => gateway.host_names().check(request),
        Some(_) | None => Ok(()),
    }
}

/// A document, charged to the caller's address by its length.
fn serve_document(
    gateway: &Gateway,
    document: fn(&'static [Route], &'static [Operation]) -> Result<&'static Document, Refusal>,
    request: &HttpRequest,
    trace: &Trace,
) -> HttpResponse {
    let chosen = document(routes::ROUTES, routes::STREAMED).and_then(|document| {
        let chosen = document.chosen(request);
        gateway
            .rate_limits()
            .anonymous_as(request, chosen.requests())?;
        Ok(chosen)
    });
    match chosen {
        Ok(chosen) => chosen.answer(trace),
        Err(refusal) => respond(trace, Err(refusal)),
    }
}

/// Whether a head alone has something in it that takes some work to read: a token, or a long query.
fn is_much_to_read(request: &HttpRequest) -> bool {
    request.headers().contains_key(AUTHORIZATION)
        || request.query_string().len() > SHORT_QUERY_BYTES
}

/// The caller, as far as the route needs it, unless it calls too often or has too many calls here.
fn enter(
    app: &AppState,
    route: &Route,
    request: &HttpRequest,
    trace: &mut Trace,
) -> Result<(Option<Principal>, InFlight), Refusal> {
    let limits = &app.rate_limits;
    let principal = match known(app, route, request) {
        Ok(Some(principal)) => principal,
        Ok(None) => return Ok((None, limits.enter_anonymous(request)?)),
        Err(refusal) => return Err(limits.refuse(request, refusal, ErrorTag::InvalidSession)),
    };
    trace.session_fingerprint = Some(principal.fingerprint.clone());
    let (shown, entered) = limits.enter(&principal);
    trace.rate_limit = shown;
    Ok((Some(principal), entered?))
}

/// The caller, as far as the route needs it.
fn known(
    app: &AppState,
    route: &Route,
    request: &HttpRequest,
) -> Result<Option<Principal>, Refusal> {
    if route.access == Access::Public {
        return Ok(None);
    }
    let principal = app.authenticator.principal(request)?;
    if route.access == Access::UserSession && principal.mode != Mode::Session {
        return Err(not_a_person().into());
    }
    Ok(Some(principal))
}

fn find_route(
    gateway: &Gateway,
    request: &HttpRequest,
    trace: &mut Trace,
) -> Result<&'static Route, Refusal> {
    let path = request.path();
    let Some((path, routes)) = routes::of_path(path, gateway.prefixes()) else {
        trace.call = trace::name_of(request.method(), path);
        return Err(Rejection::new(
            ErrorTag::NotFound,
            "There is no such route; see /openapi.json.",
        )
        .into());
    };
    let method = if request.method() == Method::HEAD {
        &Method::GET
    } else {
        request.method()
    };
    let service = routes.first().map_or("system", |first| first.service);
    let short = path
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(service))
        .unwrap_or(path);
    trace.call = trace::name_of(request.method(), short);
    trace.service = service;
    trace.route = path;
    match routes.iter().find(|route| route.method == method) {
        Some(route) => Ok(route),
        None => {
            // What takes GET takes HEAD.
            let head = |method: &Method| (*method == Method::GET).then_some(Method::HEAD.as_str());
            let methods: Vec<_> = routes
                .iter()
                .flat_map(|route| std::iter::once(route.method.as_str()).chain(head(route.method)))
                .collect();
            Err(
                Rejection::new(ErrorTag::MethodNotAllowed, "Method not allowed; see Allow.")
                    .with_detail("allow", methods.join(", "))
                    .into(),
            )
        }
    }
}

#[cfg(test)]
mod tests;
