//! The one way to the gateway's routes: finds the route of a request, refuses what must not reach it, and calls its handler.
//!
//! Requests come here from the listener (`server.rs`) and from other surfaces of the server (`inner.rs`), and nothing else
//! calls a handler.

use actix_web::HttpResponse;
use actix_web::http::header::AUTHORIZATION;
use actix_web::http::{Method, StatusCode};

use super::auth::access::Access;
use super::auth::admit::not_a_person;
use super::auth::principal::{Mode, Owner, Principal};
use super::bodies::{Body, Source};
use super::call::Call;
use super::document::Document;
use super::envelope::{hang_up, respond};
use super::limits::network;
use super::meters::{HttpMeters, Measured};
use super::places::InFlight;
use super::reply::{Refusal, unavailable};
use super::request_head::RequestHead;
use super::route::{Handler, Route, Work};
use super::state::{AppState, Gateway};
use super::trace::{self, Trace};
use super::turns::Turn;
use super::{gate, head, routes, watched};
use crate::domain::{ErrorTag, Rejection};

/// Bytes of a query that is no work to read: one with a cursor has more.
const SHORT_QUERY_BYTES: usize = 512;
/// How paths of the operators' address begin.
const OPERATORS_PATHS: [&str; 2] = ["/invoke/", "/metrics"];

/// Answers a request. The trace has what is known of it so far; the answer is in an envelope, except for a document.
pub(super) async fn carry_out(
    gateway: &Gateway,
    (mut trace, head, body): (Trace, &RequestHead<'_>, Source),
    (measured, turn): (&mut Measured<&HttpMeters>, &Turn),
) -> HttpResponse {
    let found = find_route(gateway, head, &mut trace);
    let route = match found {
        Ok(route) => route,
        Err(refusal) => {
            let entered = enter_anonymous(gateway, turn, head).await;
            let refusal = entered.err().map_or(refusal, Refusal::from);
            return respond(&trace, Err(refusal));
        }
    };
    measured.at_route(routes::number(route));
    if !route.always
        && let Some(request) = head.on_connection()
        && let Err(rejection) = watched::check_seat(request)
    {
        return hang_up(respond(&trace, Err(rejection.into())));
    }
    if let Err(rejection) = check_head(gateway, head) {
        let rejection = enter_refused(gateway, turn, head, rejection).await;
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
                && let Err(rejection) = gateway.rate_limits().anonymous(head.peer)
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
            let document = document(routes::ROUTES, routes::STREAMED);
            return serve_document(gateway, document, head, &trace);
        }
        Handler::Asset(file) => {
            turn.wait_as_anonymous().await;
            return serve_document(gateway, file(head.path), head, &trace);
        }
        Handler::Inside(handler) => handler,
    };
    let work = (route, handler);
    serve_inside(gateway, work, (trace, head, body), turn).await
}

/// Serves a route that works in the server: enters the caller, reads the body and calls the handler.
async fn serve_inside(
    gateway: &Gateway,
    (route, handler): (&Route, Work),
    (mut trace, head, body): (Trace, &RequestHead<'_>, Source),
    turn: &Turn,
) -> HttpResponse {
    let Some(app) = gateway.app() else {
        return respond(&trace, Err(unavailable().with_minor("starting").into()));
    };
    trace.runs(gateway.running(), is_much_to_read(head));
    let (principal, in_flight) = match enter(app, route, head, &mut trace) {
        Ok(entered) => entered,
        Err(refusal) => {
            turn.wait_as_anonymous().await;
            return respond(&trace, Err(refusal));
        }
    };
    trace.runs_for_caller(head.method == Method::POST);
    if head.method == Method::POST
        && let Err(rejection) = route.key_rule.check(head.headers)
    {
        return respond(&trace, Err(rejection.into()));
    }
    let owner = match &principal {
        Some(principal) => principal.owner(),
        None => Owner::Address(head.peer.map(|peer| network(peer.ip()))),
    };
    let Body {
        bytes,
        share: _share,
    } = match gateway.bodies().read(head, body, owner, Some(turn)).await {
        Ok(body) => body,
        Err(rejection) => return hang_up(respond(&trace, Err(rejection.into()))),
    };
    trace.bytes_in = bytes.len();
    // Only now: what has not arrived may never do so.
    let working = match app.rate_limits.work(&in_flight) {
        Ok(working) => working,
        Err(rejection) => return respond(&trace, Err(rejection.into())),
    };
    let mut call = Call::new((trace, head, bytes), principal, route.access).working(working);
    let mut answer = handler(app, &mut call).await;
    call.end_work();
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
pub(super) async fn enter_anonymous(
    gateway: &Gateway,
    turn: &Turn,
    head: &RequestHead<'_>,
) -> Result<(), Rejection> {
    turn.wait_as_anonymous().await;
    gateway.rate_limits().anonymous(head.peer)
}

/// The same for a request that is refused. Returns the refusal, `throttled` when its address has too many.
pub(super) async fn enter_refused(
    gateway: &Gateway,
    turn: &Turn,
    head: &RequestHead<'_>,
    refusal: Rejection,
) -> Rejection {
    let entered = enter_anonymous(gateway, turn, head).await;
    entered.err().unwrap_or(refusal)
}

/// Refuses odd heads, and where callers are whom headers say also foreign names: a page in a developer's browser could
/// call under one.
fn check_head(gateway: &Gateway, head: &RequestHead<'_>) -> Result<(), Rejection> {
    head::check(head.headers)?;
    match gateway.app() {
        Some(app) if app.authenticator.header_identity => gateway.host_names().check(head),
        Some(_) | None => Ok(()),
    }
}

/// A document, charged to the caller's address by its length.
pub(super) fn serve_document(
    gateway: &Gateway,
    document: Result<&'static Document, Refusal>,
    head: &RequestHead<'_>,
    trace: &Trace,
) -> HttpResponse {
    let chosen = document.and_then(|document| {
        let chosen = match head.on_connection() {
            Some(request) => document.chosen(request),
            None => document.plain(),
        };
        gateway
            .rate_limits()
            .anonymous_as(head.peer, chosen.requests())?;
        Ok(chosen)
    });
    match chosen {
        Ok(chosen) => chosen.answer(trace),
        Err(refusal) => respond(trace, Err(refusal)),
    }
}

/// Whether a head alone has something in it that takes some work to read: a token, or a long query.
fn is_much_to_read(head: &RequestHead<'_>) -> bool {
    head.headers.contains_key(AUTHORIZATION) || head.query.len() > SHORT_QUERY_BYTES
}

/// The caller, as far as the route needs it, unless it calls too often or has too many calls here.
fn enter(
    app: &AppState,
    route: &Route,
    head: &RequestHead<'_>,
    trace: &mut Trace,
) -> Result<(Option<Principal>, InFlight), Refusal> {
    let limits = &app.rate_limits;
    let principal = match known(app, route, head) {
        Ok(Some(principal)) => principal,
        Ok(None) => return Ok((None, limits.enter_anonymous(head.peer)?)),
        Err(refusal) => return Err(limits.refuse(head.peer, refusal, ErrorTag::InvalidSession)),
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
    head: &RequestHead<'_>,
) -> Result<Option<Principal>, Refusal> {
    if route.access == Access::Public {
        return Ok(None);
    }
    let principal = app.authenticator.principal(head)?;
    if route.access == Access::UserSession && principal.mode != Mode::Session {
        return Err(not_a_person().into());
    }
    Ok(Some(principal))
}

fn find_route(
    gateway: &Gateway,
    head: &RequestHead<'_>,
    trace: &mut Trace,
) -> Result<&'static Route, Refusal> {
    let path = head.path;
    let Some((path, routes)) = routes::of_path(path, gateway.prefixes()) else {
        trace.call = trace::name_of(head.method, path);
        return Err(no_route(path).into());
    };
    let method = if head.method == Method::HEAD {
        &Method::GET
    } else {
        head.method
    };
    let service = routes.first().map_or("system", |first| first.service);
    let short = path
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(service))
        .unwrap_or(path);
    trace.call = trace::name_of(head.method, short);
    trace.service = service;
    trace.route = path;
    match routes.iter().find(|route| route.method == method) {
        Some(route) => Ok(route),
        None => {
            // What takes GET takes HEAD.
            let or_head =
                |method: &Method| (*method == Method::GET).then_some(Method::HEAD.as_str());
            let methods: Vec<_> = routes
                .iter()
                .flat_map(|route| {
                    std::iter::once(route.method.as_str()).chain(or_head(route.method))
                })
                .collect();
            Err(
                Rejection::new(ErrorTag::MethodNotAllowed, "Method not allowed; see Allow.")
                    .with_detail("allow", methods.join(", "))
                    .into(),
            )
        }
    }
}

/// The refusal of a path that is no route; one of the operators' address is said to be that.
fn no_route(path: &str) -> Rejection {
    let is_operators = OPERATORS_PATHS.iter().any(|begin| path.starts_with(begin));
    if is_operators {
        let message = "This is the gateway, the address for tenants. Operator functions and /metrics are at the operators' address, which the setting http.operator_listen names.";
        return Rejection::new(ErrorTag::NotFound, message).with_minor("gateway-address");
    }
    Rejection::new(
        ErrorTag::NotFound,
        "There is no such route; see /openapi.json.",
    )
}
