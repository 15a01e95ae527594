//! Connections, of the gateway and of operators: how many there are, and how long the server waits for their clients.
//!
//! How many is limited in all and by address (`seats.rs`); a newcomer takes the place of the connection that has waited longest.
//!
//! actix-http limits the time of idling. What it does not limit (version 3.20: `h1/dispatcher.rs`, whose head timer is for
//! the first request alone) is limited here, by a stream that fails when its time is over: a head that trickles, the rest
//! of a body that is not read, an answer that is not taken. Heads are checked before actix-http parses them (`inbound.rs`).

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::HttpService;
use actix_http::error::DispatchError;
use actix_server::{Server, ServerBuilder};
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::{AppConfig, Service};
use actix_web::http::header::STRICT_TRANSPORT_SECURITY;
use actix_web::{App, web};
use prometheus::IntGauge;
use tokio::net::{TcpStream, UnixStream};

use super::connection_limits::{ConnectionLimits, LINGER};
use super::seats::Seats;
use super::secure::{Connection, Security, Stream};
use super::watched::{Open, Serving, Watch, Watched, yield_to_other_connections};

/// A factory of services for one kind of stream; a macro because its type cannot be written down.
macro_rules! service {
    ($stream:ty, ($limits:expr, $seats:expr, $open:expr, $ending:expr, $address:expr), $security:expr, $configure:expr) => {{
        let (limits, seats, open, ending, address) = ($limits, $seats, $open, $ending, $address);
        let security: Option<Arc<Security>> = $security;
        let configure = $configure;
        move || {
            let ending = ending.clone();
            let ended = ending.clone();
            let hsts = security.as_ref().and_then(|security| security.hsts());
            let app = App::new()
                .wrap_fn(move |request, service| {
                    let hsts = hsts.clone();
                    let watch = request.conn_data::<Rc<Watch>>().cloned();
                    let is_next = watch.as_ref().is_some_and(|watch| watch.is_next());
                    let serving = watch.map(Serving::new);
                    let answer = service.call(request);
                    async move {
                        if is_next {
                            yield_to_other_connections().await;
                        }
                        let mut answer = answer.await;
                        drop(serving);
                        if let (Some(hsts), Ok(answer)) = (hsts, &mut answer) {
                            answer.headers_mut().insert(STRICT_TRANSPORT_SECURITY, hsts);
                        }
                        answer
                    }
                })
                .configure(configure())
                .into_factory()
                .map_err(|error: actix_web::Error| error.error_response());
            let service = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let ending = ending.clone();
                    async move { ending.notified().await }
                })
                .keep_alive(Duration::from_secs(limits.keep_alive_seconds))
                // It would answer without an envelope; `Watched` has the same limit.
                .client_request_timeout(Duration::ZERO)
                .client_disconnect_timeout(LINGER)
                .on_connect_ext(|stream: &Watched<Connection<$stream>>, data| {
                    data.insert(stream.watch.clone());
                });
            let service = match address {
                Some(address) => service.local_addr(address),
                None => service,
            };
            let service = service.h1(map_config(app, |()| AppConfig::default()));
            let (open, seats, security) = (open.clone(), seats.clone(), security.clone());
            fn_service(move |stream: $stream| {
                stream.send_at_once();
                let (peer, local) = (stream.origin(), stream.local());
                let seat = seats.take(peer.map(|peer| peer.ip()));
                let open = Open::count(&open);
                let (security, ended) = (security.clone(), ended.clone());
                let signal = seat.signal().clone();
                async move {
                    let gone = async move {
                        tokio::select! {
                            () = signal.raised() => {}
                            () = ended.notified() => {}
                        }
                    };
                    let connection = Stream::connection(stream, security, limits.handshake(), gone);
                    match connection.await {
                        Ok(stream) => Ok((Watched::new(stream, limits, (seat, open), local), peer)),
                        Err(error) => Err(DispatchError::Io(error)),
                    }
                }
            })
            .and_then(service)
        }
    }};
}

/// The socket to listen on.
pub enum Listener {
    /// A TCP address and port.
    Address(TcpListener),
    /// A Unix socket, for operators alone.
    Socket(UnixListener),
}

/// What is listened on, under which name, by how many threads, and how long they have at the end.
pub struct Listening {
    /// The socket to listen on.
    pub listener: Listener,
    /// A name for the server's threads.
    pub name: &'static str,
    /// The number of threads that serve.
    pub workers: usize,
    /// Seconds that requests have once the server has to stop.
    pub shutdown_seconds: u64,
}

/// Serves an application on a listener, with TLS if that is given, and counts its connections where that is wanted.
///
/// # Errors
/// An I/O error when the listener cannot be used.
pub fn run<C>(
    listening: Listening,
    limits: ConnectionLimits,
    (open, security): (Option<IntGauge>, Option<Arc<Security>>),
    configure: impl Fn() -> C + Send + Clone + 'static,
) -> io::Result<Server>
where
    C: FnOnce(&mut web::ServiceConfig),
{
    let seats = Seats::new(&limits);
    let workers = listening.workers.max(1);
    // Past the limits a newcomer takes another's place, so that the server itself never stops to accept.
    let accepted_max = seats.most() / workers + workers;
    let server = Server::build()
        .workers(workers)
        .max_concurrent_connections(accepted_max)
        .disable_signals()
        .shutdown_timeout(listening.shutdown_seconds);
    let ending = server.graceful_shutdown_signal();
    let name = listening.name;
    let server: ServerBuilder = match listening.listener {
        Listener::Address(listener) => {
            let address = listener.local_addr()?;
            let service = service!(
                TcpStream,
                (limits, seats, open, ending, Some(address)),
                security,
                configure
            );
            server.listen(name, listener, service)?
        }
        Listener::Socket(listener) => {
            let service = service!(
                UnixStream,
                (limits, seats, open, ending, None::<SocketAddr>),
                None,
                configure
            );
            server.listen_uds(name, listener, service)?
        }
    };
    Ok(server.run())
}
