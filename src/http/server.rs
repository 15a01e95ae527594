//! The gateway's listener: from a request's head to the answer's last byte.

use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use actix_web::http::header::AUTHORIZATION;
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::access::Access;
use super::bodies::{Bodies, Body};
use super::call::{self, Call, Trace};
use super::callers::Callers;
use super::conceal::Concealment;
use super::cors::Origins;
use super::document::Document;
use super::envelope::{Build, Refusal, Reply, respond, unavailable};
use super::head::HostNames;
use super::identity::{self, Mode, Owner, Principal};
use super::limits::{RateLimits, Rates, network};
use super::meters::{HttpMeters, Measured};
use super::mrs::history::Histories;
use super::operator::OperatorAccess;
use super::places::InFlight;
use super::routes::{self, Handler, Prefixes, Route};
use super::shares::Shares;
use super::transfers::Transfers;
use super::turns::{Turn, Turns};
use super::{gate, head, idempotency, space, transfers, watched};
use crate::actors::ActorRegistry;
use crate::actors::first_answers::FirstAnswers;
use crate::actors::identity::Directory;
use crate::actors::jobs::Jobs;
use crate::actors::offboarding::Offboardings;
use crate::actors::ops::Operations;
use crate::actors::signing_keys::SigningKeys;
use crate::actors::upkeep::Upkeep;
use crate::clock::Clock;
use crate::content::ContentStore;
use crate::content::last_backup::LastBackup;
use crate::content::sign::Signer;
use crate::domain::rejection::Denial;
use crate::domain::{ErrorTag, Rejection};
use crate::journal::Journal;
use crate::meters::Meters;
use crate::projections::Store;
use crate::reserve::Reserve;
use crate::running::Running;
use crate::token::Verifier;

/// Answered however much is asked: they tell whether the server lives, and cost nothing.
const ALWAYS_ANSWERED: &[&str] = &["/health", "/ready"];

/// Bytes of a query that is no work to read: one with a cursor has more.
const SHORT_QUERY_BYTES: usize = 512;
/// Operator functions being worked on at once. They share no place with the gateway's requests.
pub const OPERATOR_REQUESTS_MAX: usize = 64;

/// What the record routes need to know of the settings.
#[derive(Clone, Copy, Debug)]
pub struct MrsSettings {
    /// How long an upload URL is valid.
    pub upload_url_seconds: u64,
    /// How long after its upload url a content token still completes.
    pub complete_grace_seconds: u64,
    /// How long a download URL is valid.
    pub download_url_seconds: u64,
    /// Reads of history at once.
    pub history_reads_max: usize,
}

/// Everything a handler works with, once it is open.
pub struct AppState {
    /// The actors.
    pub registry: Arc<ActorRegistry>,
    /// Who is who.
    pub directory: Arc<Directory>,
    /// Who called a moment ago.
    pub callers: Callers,
    /// What checks tokens, when any are taken.
    pub tokens: Option<Arc<Verifier>>,
    /// Callers are whom they say, on a developer's own machine.
    pub header_identity: bool,
    /// What was made by requests with idempotency keys, other than records.
    pub first_answers: Arc<FirstAnswers>,
    /// What operators do.
    pub operations: Arc<Operations>,
    /// What upkeep lets go of, and how long it is kept.
    pub upkeep: Arc<Upkeep>,
    /// The upkeep.
    pub jobs: Arc<Jobs>,
    /// Orgs that leave and come.
    pub offboardings: Arc<Offboardings>,
    /// How much disk is free.
    pub reserve: Arc<Reserve>,
    /// The truth.
    pub journal: Arc<dyn Journal>,
    /// The answers.
    pub store: Store,
    /// The bytes.
    pub content: Arc<dyn ContentStore>,
    /// What signs urls and tokens.
    pub signer: Arc<Signer>,
    /// When the last backup ended.
    pub last_backup: LastBackup,
    /// Rotates the keys that sign urls and tokens.
    pub signing_keys: Arc<SigningKeys>,
    /// The time.
    pub clock: Clock,
    /// Where callers reach the gateway, without a slash at the end.
    pub public_url: String,
    /// Sessions of development mode count.
    pub development: bool,
    /// Makes what is not there and what is not the caller's take equally long.
    pub concealment: Concealment,
    /// Settings of the record routes.
    pub mrs: MrsSettings,
    /// Who may read history now.
    pub histories: Histories,
    /// How often callers may call.
    pub rate_limits: Arc<RateLimits>,
    /// The uploads and downloads on their way.
    pub transfers: Arc<Transfers>,
    /// Knows operators by their tokens.
    pub operator_access: Arc<OperatorAccess>,
    /// Longest life of a token of an identity provider, in milliseconds.
    pub jwt_life_ms_max: i64,
}

impl AppState {
    /// How callers are known, beside sessions and keys, which always count.
    pub fn auth_mode(&self) -> &'static str {
        match (self.header_identity, &self.tokens) {
            (true, _) => "header",
            (false, Some(_)) => "jwt",
            (false, None) => "session",
        }
    }
}

/// Limits of the listener.
#[derive(Clone, Debug)]
pub struct ListenerLimits {
    /// Requests in progress at once; past it callers get 429.
    pub requests_in_flight_max: usize,
    /// Bytes of a request body, uploads aside.
    pub body_bytes_max: usize,
    /// Levels of arrays and objects in a request body, itself included.
    pub body_depth_max: usize,
    /// How long a request body may take, uploads aside.
    pub body_seconds: u64,
    /// Bytes of all request bodies that have not arrived yet or are being worked on.
    pub bodies_bytes_max: u64,
    /// How often callers may call.
    pub rates: Rates,
    /// What is trimmed from paths.
    pub prefixes: Prefixes,
    /// Pages of other origins that may call.
    pub origins: Origins,
    /// Names by which operators may call, and others where callers are whom headers say.
    pub host_names: HostNames,
}

/// The gateway: open from the start, with the application state behind it once that is ready.
pub struct Gateway {
    app: OnceLock<Arc<AppState>>,
    clock: Clock,
    build: Build,
    limits: ListenerLimits,
    bodies: Bodies,
    operator_permits: Semaphore,
    imports: Arc<Shares>,
    rate_limits: Arc<RateLimits>,
    meters: Meters,
    http_meters: Arc<HttpMeters>,
    running: Arc<Running>,
}

impl Gateway {
    /// A gateway without application state yet.
    pub fn new(clock: Clock, limits: ListenerLimits, running: Arc<Running>) -> Arc<Self> {
        let meters = Meters::default();
        Arc::new(Self {
            app: OnceLock::new(),
            rate_limits: Arc::new(RateLimits::new(
                &limits.rates,
                limits.requests_in_flight_max,
                &clock,
            )),
            clock,
            build: Build::current(),
            bodies: Bodies::new(&limits),
            operator_permits: Semaphore::new(OPERATOR_REQUESTS_MAX),
            imports: transfers::imports(),
            limits,
            http_meters: Arc::new(HttpMeters::new(&meters)),
            running,
            meters,
        })
    }

    /// Everything that this server counts.
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// What the doors count.
    pub fn http_meters(&self) -> &Arc<HttpMeters> {
        &self.http_meters
    }

    /// Lets callers in. Later calls change nothing.
    pub fn open(&self, app: Arc<AppState>) {
        let _: Result<(), _> = self.app.set(app);
    }

    /// What is behind it, once it is open.
    pub fn app(&self) -> Option<&Arc<AppState>> {
        self.app.get()
    }

    /// What tells the time.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The time.
    pub fn now(&self) -> crate::domain::Timestamp {
        self.clock.now()
    }

    /// What reads the bodies of requests.
    pub(super) fn bodies(&self) -> &Bodies {
        &self.bodies
    }

    /// Leave to work on one more function of an operator; `None` when too many are being worked on.
    pub(super) fn operator_permit(&self) -> Option<SemaphorePermit<'_>> {
        self.operator_permits.try_acquire().ok()
    }

    /// The places of imported files on their way.
    pub(super) fn imports(&self) -> &Arc<Shares> {
        &self.imports
    }

    /// How often callers may call.
    pub fn rate_limits(&self) -> &Arc<RateLimits> {
        &self.rate_limits
    }

    /// Where is noted which requests are being worked on.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// What is trimmed from paths.
    pub fn prefixes(&self) -> &Prefixes {
        &self.limits.prefixes
    }

    /// Pages of other origins that may call.
    pub(super) fn origins(&self) -> &Origins {
        &self.limits.origins
    }

    /// The names by which operators may call.
    pub fn host_names(&self) -> &HostNames {
        &self.limits.host_names
    }

    /// A trace for a request.
    pub fn trace(&self, request: &HttpRequest) -> Trace {
        Trace::start(
            request,
            self.clock.clone(),
            self.build.clone(),
            self.http_meters.clone(),
        )
    }
}

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
        trace.call = call::name_of(request.method(), "");
        turn.wait_as_anonymous().await;
        let rejection = gateway
            .rate_limits
            .anonymous(&request)
            .err()
            .unwrap_or(fault);
        return hang_up(respond(&trace, Err(rejection.into())));
    }
    if let Some(response) = gateway.limits.origins.preflight(&request, &trace) {
        turn.wait_as_anonymous().await;
        let refusal = gateway.rate_limits.anonymous(&request).err();
        return refusal.map_or(response, |refusal| respond(&trace, Err(refusal.into())));
    }
    let found = find_route(gateway, &request, &mut trace);
    let route = match found {
        Ok(route) => route,
        Err(refusal) => {
            turn.wait_as_anonymous().await;
            let too_many = gateway.rate_limits.anonymous(&request).err();
            let refusal = too_many.map_or(refusal, Refusal::from);
            return respond(&trace, Err(refusal));
        }
    };
    measured.at_route(route);
    let always = ALWAYS_ANSWERED.contains(&route.path);
    if !always && let Err(rejection) = watched::check_seat(&request) {
        return hang_up(respond(&trace, Err(rejection.into())));
    }
    if let Err(rejection) = check_head(gateway, &request) {
        turn.wait_as_anonymous().await;
        let refusal = gateway.rate_limits.anonymous(&request).err();
        return hang_up(respond(&trace, Err(refusal.unwrap_or(rejection).into())));
    }
    if let Some(app) = gateway.app()
        && let Err(rejection) = gate::check(app, route)
    {
        return respond(&trace, Err(rejection.into()));
    }
    let handler = match route.handler {
        Handler::Immediate(handler) => {
            if !always && let Err(rejection) = gateway.rate_limits.anonymous(&request) {
                return respond(&trace, Err(rejection.into()));
            }
            if !always {
                turn.wait_as_anonymous().await;
            }
            let answer = handler(gateway).map(|reply| with_request_id(reply, &trace));
            return respond(&trace, answer);
        }
        Handler::Document(document) => {
            turn.wait_as_anonymous().await;
            return serve_document(gateway, document, &request, &trace);
        }
        Handler::Inside(handler) => handler,
    };
    let Some(app) = gateway.app() else {
        return respond(&trace, Err(unavailable().with_minor("starting").into()));
    };
    trace.runs(&gateway.running, is_much_to_read(&request));
    let (principal, in_flight) = match enter(app, route, &request, &mut trace) {
        Ok(entered) => entered,
        Err(refusal) => {
            turn.wait_as_anonymous().await;
            return respond(&trace, Err(refusal));
        }
    };
    trace.runs_for_caller(request.method() == Method::POST);
    if request.method() == Method::POST
        && let Err(rejection) = idempotency::check_route(route.path, request.headers())
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
        .bodies
        .read(&request, payload, owner, Some(turn))
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
    let mut call = Call::new((trace, &request, bytes), principal, route.access);
    let mut answer = handler(app, &mut call).await;
    drop(working);
    if answer.is_ok() && matches!(route.access, Access::Org(_)) && !call.admitted {
        // Better no answer than one that nobody was asked about.
        answer = Err(Refusal::Failed(
            "a route answered without looking at the org".to_owned(),
        ));
    }
    let answer = space::explain(app, answer);
    let answer = answer.map(|reply| with_request_id(reply, &call.trace));
    let response = respond(&call.trace, answer);
    if response.status() == StatusCode::NOT_FOUND {
        app.concealment.wait(call.trace.elapsed()).await;
    }
    response
}

/// Refuses odd heads, and where callers are whom headers say also foreign names: a page in a developer's browser could
/// call under one.
fn check_head(gateway: &Gateway, request: &HttpRequest) -> Result<(), Rejection> {
    head::check(request.headers())?;
    match gateway.app() {
        Some(app) if app.header_identity => gateway.limits.host_names.check(request),
        Some(_) | None => Ok(()),
    }
}

/// A document, charged to the caller's address by its length.
fn serve_document(
    gateway: &Gateway,
    document: fn() -> Result<&'static Document, Refusal>,
    request: &HttpRequest,
    trace: &Trace,
) -> HttpResponse {
    let chosen = document().and_then(|document| {
        let chosen = document.chosen(request);
        gateway
            .rate_limits
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

/// The caller, as far as the route wants to know, unless it calls too often or has too many calls here.
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

/// The caller, as far as the route wants to know.
fn known(
    app: &AppState,
    route: &Route,
    request: &HttpRequest,
) -> Result<Option<Principal>, Refusal> {
    if route.access == Access::Public {
        return Ok(None);
    }
    let principal = identity::principal(app, request)?;
    if route.access == Access::UserSession && principal.mode != Mode::Session {
        return Err(not_a_person().into());
    }
    Ok(Some(principal))
}

/// The refusal of a program where a person is wanted.
pub(super) fn not_a_person() -> Rejection {
    Rejection::new(
        ErrorTag::NotAuthorized,
        "This route requires a user's session in the x-session-guid header.",
    )
    .denied(Denial::NotAPerson)
}

fn find_route(
    gateway: &Gateway,
    request: &HttpRequest,
    trace: &mut Trace,
) -> Result<&'static Route, Refusal> {
    let path = request.path();
    let Some((path, routes)) = routes::of_path(path, &gateway.limits.prefixes) else {
        trace.call = call::name_of(request.method(), path);
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
    trace.call = call::name_of(request.method(), short);
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

/// Closes the connection behind an answer: what would come next on it is the rest of a body that was given up.
pub(super) fn hang_up(mut response: HttpResponse) -> HttpResponse {
    response
        .head_mut()
        .set_connection_type(ConnectionType::Close);
    response
}

/// Flat answers name the request too.
fn with_request_id(mut reply: Reply, trace: &Trace) -> Reply {
    if reply.flat && reply.data.last() == Some(&b'}') {
        reply.data.pop();
        reply
            .data
            .extend_from_slice(format!(",\"request_id\":\"{}\"}}", trace.request_id).as_bytes());
    }
    reply
}
