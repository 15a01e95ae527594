//! The two HTTP servers of a process: the gateway and the operators' address.

use std::io;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::web::ServiceConfig;
use tokio::task::JoinHandle;

use super::base::Base;
use super::connections::{OPERATOR_CONNECTIONS_MAX, connection_limits};
use super::listen::Sockets;
use super::stop::SHUTDOWN_SECONDS;
use super::{BootError, Options};
use crate::http::connection_limits::ConnectionLimits;
use crate::http::limits::Handshakes;
use crate::http::listener::{self, Listener, Listening};
use crate::http::mcp::Endpoint;
use crate::http::presigned::{self, Presigned};
use crate::http::secure::Security;
use crate::http::state::Gateway;
use crate::http::transfers::Transfers;
use crate::http::{operator, server};
use crate::offload::TaskFailed;
use crate::socket::SocketFile;
use crate::tls::Tls;

/// Both servers. Requests that need a database wait until the gateway is opened.
pub(super) struct Servers {
    handles: [ServerHandle; 2],
    ended: JoinHandle<io::Result<()>>,
    /// Removed when dropped, which must be while the socket is still listened on.
    socket_file: Option<SocketFile>,
    transfers: Arc<Transfers>,
    agents: Endpoint,
    gateway: Arc<Gateway>,
}

impl Servers {
    /// Serves what was listened on.
    ///
    /// # Errors
    /// [`BootError`] when a listener cannot be used, or no thread can be started.
    pub(super) fn start(
        options: &Options,
        base: &Base,
        sockets: Sockets,
    ) -> Result<Self, BootError> {
        let (listener, socket_file) = sockets.operators;
        let routes = Presigned::new(
            base.gateway.clone(),
            base.content.clone(),
            base.signer.clone(),
            options.presigned,
        );
        let transfers = routes.transfers().clone();
        let agents = Endpoint::new(base.gateway.clone(), options.mcp.clone());
        let operators = serve_operators(options, base, listener, &agents)?;
        let listener = Listener::Address(sockets.gateway);
        let gateway = serve_gateway(options, base, listener, (routes, &agents))?;
        Ok(Self {
            handles: [gateway.handle(), operators.handle()],
            ended: actix::spawn(async move { tokio::try_join!(gateway, operators).map(|_| ()) }),
            socket_file,
            transfers,
            agents,
            gateway: base.gateway.clone(),
        })
    }

    /// The uploads and downloads in progress.
    pub(super) fn transfers(&self) -> &Arc<Transfers> {
        &self.transfers
    }

    /// Removes the operators' socket, while it is still listened on: no other server can have taken its place.
    pub(super) fn remove_socket(&mut self) {
        drop(self.socket_file.take());
    }

    /// Takes no new requests, and waits for running ones.
    pub(super) async fn stop(&self) {
        self.agents.stop();
        if let Some(app) = self.gateway.app() {
            app.store.watchers().close();
        }
        for handle in &self.handles {
            handle.stop(true).await;
        }
    }

    /// Waits for the end of the servers' threads after [`Servers::stop`].
    ///
    /// # Errors
    /// The I/O error of a server, or one for its panic.
    pub(super) async fn ended(self) -> io::Result<()> {
        self.ended
            .await
            .map_err(|_| io::Error::other(TaskFailed::Panicked))?
    }
}

fn serve_operators(
    options: &Options,
    base: &Base,
    listener: Listener,
    agents: &Endpoint,
) -> io::Result<actix_web::dev::Server> {
    let agents = agents.clone();
    let (gateway, access) = (base.gateway.clone(), base.operator_access.clone());
    let pace = options.presigned.pace;
    let listening = Listening {
        listener,
        name: "operators",
        workers: 1,
        shutdown_seconds: SHUTDOWN_SECONDS,
    };
    let limits = ConnectionLimits {
        connections_max: OPERATOR_CONNECTIONS_MAX,
        address_max: 0,
        ..options.connections
    };
    let security = security(options, base, "operators", base.secured.operators.as_ref());
    listener::run(listening, limits, (None, security), move || {
        let operators = operator::configure(gateway.clone(), access.clone(), pace);
        let agents = agents.clone().configure_for_operators();
        move |service: &mut ServiceConfig| {
            service.configure(agents).configure(operators);
        }
    })
}

fn serve_gateway(
    options: &Options,
    base: &Base,
    listener: Listener,
    (routes, agents): (Presigned, &Endpoint),
) -> io::Result<actix_web::dev::Server> {
    let (gateway, agents) = (base.gateway.clone(), agents.clone());
    let listening = Listening {
        listener,
        name: "gateway",
        workers: options.settings.http.workers,
        shutdown_seconds: SHUTDOWN_SECONDS,
    };
    let open = gateway.http_meters().connections().clone();
    let security = security(options, base, "gateway", base.secured.gateway.as_ref());
    let limits = connection_limits(options);
    listener::run(listening, limits, (Some(open), security), move || {
        let (routes, gateway, agents) = (routes.clone(), gateway.clone(), agents.clone());
        move |service: &mut ServiceConfig| {
            service
                .configure(presigned::configure(routes))
                .configure(agents.configure())
                .configure(server::configure(gateway));
        }
    })
}

/// TLS of one listener, with its limit of handshakes; `None` for plain HTTP.
fn security(
    options: &Options,
    base: &Base,
    name: &'static str,
    tls: Option<&Arc<Tls>>,
) -> Option<Arc<Security>> {
    let handshakes = Handshakes::new(options.gateway.rates.handshake, &base.clock);
    let counted = (handshakes, base.gateway.http_meters().as_ref());
    Some(Security::new(
        name,
        tls?.clone(),
        options.settings.http.hsts_seconds,
        counted,
    ))
}
