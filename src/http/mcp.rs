//! The Model Context Protocol, which agents speak: `/mcp`, and `/mcp/read` for tools that change nothing.
//!
//! A request is looked at here (where it comes from, who asks, how much of it there is), then given to the library behind
//! `bridge.rs`, whose `handler.rs` has it worked on by its thread (`worker.rs`). There the tools make requests to
//! the routes, as the same caller could, so that nothing is allowed here which is not allowed there.
#![expect(
    clippy::result_large_err,
    reason = "a refusal ends a call that has waited for a request: its size costs nothing"
)]

mod answer;
pub mod backend;
pub mod bridge;
mod documents;
mod entrance;
mod from_http;
pub mod handler;
mod load;
mod meters;
mod oauth;
mod watch;
mod worker;

use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use actix_web::web::{self, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use self::answer::refuse;
use self::bridge::{Answered, Stateless, Stopping};
use self::entrance::Entered;
pub use self::from_http::FromHttp;
use self::handler::McpHandler;
use self::load::Load;
use self::meters::{McpMeters, Outcome};
use self::worker::HttpBackend;
use super::bodies::{Body, Source};
use super::cors::Origins;
use super::envelope::hang_up;
use super::head::HostNames;
use super::openapi;
use super::reply::Refusal;
use super::request_head::RequestHead;
use super::routes::{ROUTES, STREAMED};
use super::state::Gateway;
use super::trace::{self, Trace};
use super::turns::{Turn, Turns};
use super::watched;
use crate::mcp::{Confirm, Mode, Surface, Toolbox};

/// The path of the endpoint, and how the log names requests to it that get no further.
const PATH: &str = "/mcp";
/// The path below it for those who want no tool that changes anything.
const READ: &str = "/mcp/read";
/// The service in the log.
const SERVICE: &str = "mcp";

/// Settings of the endpoint.
#[derive(Clone, Debug)]
pub struct McpSettings {
    /// Whether there are tools that change something.
    pub mode: Mode,
    /// How what cannot be undone is confirmed.
    pub confirm: Confirm,
    /// Whether there are tools that give out URLs which are credentials.
    pub urls: bool,
    /// Most bytes of a tool's result.
    pub result_bytes_max: usize,
    /// Requests a minute of one principal; 0 for no limit.
    pub calls_per_minute: u32,
    /// Names by which it may be called, besides addresses and localhost.
    pub hosts: HostNames,
    /// Pages that may call it, besides the server's own.
    pub origins: Origins,
    /// The identity provider to sign in at; empty for none.
    pub issuer: String,
}

/// The endpoint, of all threads. Cheap to clone.
#[derive(Clone)]
pub struct Endpoint(Arc<Shared>);

struct Shared {
    gateway: Arc<Gateway>,
    settings: McpSettings,
    load: Load,
    meters: McpMeters,
    stopping: Stopping,
}

impl Endpoint {
    /// Without any request so far.
    pub fn new(gateway: Arc<Gateway>, settings: McpSettings) -> Self {
        let load = Load::new(settings.calls_per_minute, gateway.clock());
        let meters = McpMeters::new(gateway.meters(), &load);
        Self(Arc::new(Shared {
            load,
            meters,
            stopping: Stopping::default(),
            settings,
            gateway,
        }))
    }

    /// Ends all streams; what is asked later is answered at once.
    pub fn stop(&self) {
        self.0.stopping.stop();
    }

    /// Adds the endpoint of tenants to an actix application, with the documents about it.
    pub fn configure(self) -> impl FnOnce(&mut ServiceConfig) {
        move |service| {
            let prefixes = self.0.gateway.prefixes().clone();
            let before = |path: &str| prefixes.before(path);
            service
                .configure(documents::configure(self.0.clone(), &prefixes))
                .configure(oauth::configure(self.0.clone(), &prefixes));
            let local = Rc::new(Local::new(self.0, Surface::Tenant));
            add(service, before(READ), &local, true);
            add(service, before(PATH), &local, false);
        }
    }

    /// The same for operators.
    pub fn configure_for_operators(self) -> impl FnOnce(&mut ServiceConfig) {
        move |service| {
            let local = Rc::new(Local::new(self.0, Surface::Operator));
            add(service, vec![READ.to_owned()], &local, true);
            add(service, vec![PATH.to_owned()], &local, false);
        }
    }
}

fn add(service: &mut ServiceConfig, paths: Vec<String>, local: &Rc<Local>, read_only: bool) {
    for path in paths {
        let local = local.clone();
        let serving = move |request: HttpRequest, payload: Payload| {
            let local = local.clone();
            async move {
                let turn = Turn::new(&local.turns);
                let mut response = turn
                    .work(local.serve(&request, payload, read_only, &turn))
                    .await;
                local.shared.settings.origins.allow(&request, &mut response);
                if !response.status().is_success() {
                    // As on the routes: the rest of a body that came with its head is stepped over while this waits.
                    tokio::task::yield_now().await;
                }
                response
            }
        };
        service.service(web::resource(path).default_service(web::to(serving)));
    }
}

/// The endpoint, as one thread has it.
struct Local {
    shared: Arc<Shared>,
    surface: Surface,
    turns: Rc<Turns>,
    service: OnceLock<Stateless<McpHandler<HttpBackend>>>,
}

impl Local {
    fn new(shared: Arc<Shared>, surface: Surface) -> Self {
        Self {
            shared,
            surface,
            turns: Turns::of_thread(),
            service: OnceLock::new(),
        }
    }

    async fn serve(
        &self,
        request: &HttpRequest,
        payload: Payload,
        read_only: bool,
        turn: &Turn,
    ) -> HttpResponse {
        let head = RequestHead::of(request);
        let mut trace = self.shared.gateway.trace(&head);
        (trace.service, trace.route) = (SERVICE, SERVICE);
        trace.call = trace::name_of(head.method, PATH);
        if let Some(fault) = watched::fault(request) {
            turn.wait_as_anonymous().await;
            return hang_up(refuse(&trace, fault.into(), None));
        }
        if let Some(response) = self.shared.settings.origins.preflight(request, &trace) {
            turn.wait_as_anonymous().await;
            return answer::allowing_headers(response);
        }
        let entered = match self.enter(&head, &mut trace) {
            Ok(entered) => entered,
            Err(refusal) => {
                turn.wait_as_anonymous().await;
                self.shared.meters.count(None, Outcome::Denied);
                let challenge = oauth::challenge(&self.shared, &head);
                return refuse(&trace, refusal, Some(&challenge));
            }
        };
        if entered.is_operator() {
            watched::trust(request);
        }
        trace.runs(self.shared.gateway.running(), true);
        let bodies = self.shared.gateway.bodies();
        let source = Source::Connection(payload);
        let body = bodies
            .read(&head, source, entered.owner(), Some(turn))
            .await;
        let Body {
            bytes,
            share: _share,
        } = match body {
            Ok(body) => body,
            Err(rejection) => {
                self.shared.meters.count(None, Outcome::Denied);
                return hang_up(refuse(&trace, rejection.into(), None));
            }
        };
        trace.bytes_in = bytes.len();
        match self
            .answer((request, bytes), entered, &mut trace, read_only)
            .await
        {
            Ok(response) => response,
            Err(refusal) => {
                self.shared.meters.count(None, Outcome::Denied);
                refuse(&trace, refusal, None)
            }
        }
    }

    /// Has the library answer a request that has arrived.
    async fn answer(
        &self,
        (request, body): (&HttpRequest, bytes::Bytes),
        entered: Entered,
        trace: &mut Trace,
        read_only: bool,
    ) -> Result<HttpResponse, Refusal> {
        let service = self.service()?;
        let mode = if read_only {
            Mode::Read
        } else {
            self.shared.settings.mode
        };
        let who = entered.identity().to_owned();
        let (along, told) = entered.along(mode, &trace.request_id);
        let place = entered.place;
        let answered = service.answer(request, body, along).await;
        if told.has_lines() {
            trace.leave_line_to_inner();
        }
        let response = match answered {
            Answered::Whole(head, body) => {
                let outcome = told.outcome(head.status, &body);
                self.shared.meters.count(told.label(), outcome);
                answer::whole(trace, &head, body)
            }
            Answered::Stream(head, stream) => {
                // Of `subscriptions/listen`, which alone is answered by one.
                let held = self.shared.load.stream(&who)?;
                self.shared.meters.count(told.label(), Outcome::Ok);
                answer::streamed(trace, &head, held.hold(stream))
            }
        };
        drop(place);
        Ok(response)
    }

    fn service(&self) -> Result<&Stateless<McpHandler<HttpBackend>>, Refusal> {
        if let Some(service) = self.service.get() {
            return Ok(service);
        }
        let toolbox = toolbox()?;
        let backend = worker::start(self.shared.clone(), toolbox.clone(), self.surface);
        let handler = McpHandler::new(toolbox, backend);
        Ok(self
            .service
            .get_or_init(|| Stateless::new(handler, &self.shared.stopping)))
    }
}

/// Every tool, which is made of the same document for all servers of a process.
fn toolbox() -> Result<Arc<Toolbox>, Refusal> {
    static MADE: OnceLock<Arc<Toolbox>> = OnceLock::new();
    if let Some(toolbox) = MADE.get() {
        return Ok(toolbox.clone());
    }
    let document = openapi::document(ROUTES, STREAMED).map_err(Refusal::failed)?;
    let toolbox = Toolbox::new(&document).map_err(Refusal::failed)?;
    Ok(MADE.get_or_init(|| Arc::new(toolbox)).clone())
}
