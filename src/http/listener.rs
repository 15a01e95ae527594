//! Connections, of the gateway and of operators: how many there are, and how long is waited for whoever is at their other end.
//!
//! How many is limited in all and by address (`seats.rs`); a newcomer takes the place of the connection that has waited longest.
//!
//! actix-http limits the time of a connection's first head and of idling. What it does not limit (version 3.20:
//! `h1/dispatcher.rs`, whose head timer is for the first request alone) is limited here, by a stream that fails when its
//! time is over: a later head that trickles, the rest of a body that nobody reads, an answer that is not taken.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::HttpService;
use actix_server::{Server, ServerBuilder};
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::{AppConfig, Service};
use actix_web::{App, HttpRequest, web};
use prometheus::IntGauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Sleep;

use super::seats::{Seat, Seats};
use super::shares::{Share, Signal};
use crate::clock::Stopwatch;
use crate::domain::Rejection;

/// How long a connection that is being closed may go on sending; what it sends is thrown away.
const LINGER: Duration = Duration::from_secs(1);

/// Limits of an address's connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections at once.
    pub connections_max: usize,
    /// Connections at once from one address; 0 for no such limit.
    pub address_max: usize,
    /// Bytes of answers that callers have not taken, of all connections together.
    pub unread_bytes_max: u64,
    /// How long a request's head may take.
    pub head_seconds: u64,
    /// How long a connection waits for a next request.
    pub keep_alive_seconds: u64,
    /// How long a caller may take nothing of its answer.
    pub write_seconds: u64,
}

impl ConnectionLimits {
    /// Between the end of an answer and the end of the next head.
    fn between(&self) -> Duration {
        Duration::from_secs(self.keep_alive_seconds.saturating_add(self.head_seconds))
    }

    fn write(&self) -> Duration {
        Duration::from_secs(self.write_seconds)
    }
}

/// A factory of services for one kind of stream; a macro because its type cannot be written down.
macro_rules! service {
    ($stream:ty, ($limits:expr, $seats:expr, $open:expr, $ending:expr, $address:expr), $configure:expr) => {{
        let (limits, seats, open, ending, address) = ($limits, $seats, $open, $ending, $address);
        let configure = $configure;
        move || {
            let ending = ending.clone();
            let app = App::new()
                .wrap_fn(|request, service| {
                    let watch = request.conn_data::<Rc<Watch>>().cloned();
                    let is_next = watch.as_ref().is_some_and(|watch| watch.is_next());
                    let serving = watch.map(Serving::new);
                    let answer = service.call(request);
                    async move {
                        if is_next {
                            let_others().await;
                        }
                        let answer = answer.await;
                        drop(serving);
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
                .client_request_timeout(Duration::from_secs(limits.head_seconds))
                .client_disconnect_timeout(LINGER)
                .on_connect_ext(|stream: &Watched<$stream>, data| {
                    data.insert(stream.watch.clone());
                });
            let service = match address {
                Some(address) => service.local_addr(address),
                None => service,
            };
            let service = service.h1(map_config(app, |()| AppConfig::default()));
            let (open, seats) = (open.clone(), seats.clone());
            fn_service(move |stream: $stream| {
                let peer = stream.origin();
                let seat = seats.take(peer.map(|peer| peer.ip()));
                let open = Open::count(&open);
                async move { Ok((Watched::new(stream, limits, (seat, open)), peer)) }
            })
            .and_then(service)
        }
    }};
}

/// What is listened on.
pub enum Listener {
    /// An address.
    Address(TcpListener),
    /// A Unix socket.
    Socket(UnixListener),
}

/// What is listened on, under which name, by how many threads, and how long they have at the end.
pub struct Listening {
    /// What is listened on.
    pub listener: Listener,
    /// A name for the server's threads.
    pub name: &'static str,
    /// Threads that serve.
    pub workers: usize,
    /// Seconds that requests have once the server is told to stop.
    pub shutdown_seconds: u64,
}

/// Serves an application on a listener, and counts its connections where that is wanted.
///
/// # Errors
/// When the listener cannot be used.
pub fn run<C>(
    listening: Listening,
    limits: ConnectionLimits,
    open: Option<IntGauge>,
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
                configure
            );
            server.listen(name, listener, service)?
        }
        Listener::Socket(listener) => {
            let service = service!(
                UnixStream,
                (limits, seats, open, ending, None::<SocketAddr>),
                configure
            );
            server.listen_uds(name, listener, service)?
        }
    };
    Ok(server.run())
}

/// Where a connection comes from.
trait Origin {
    /// The address at the other end; none of a Unix socket.
    fn origin(&self) -> Option<SocketAddr>;
}

impl Origin for TcpStream {
    fn origin(&self) -> Option<SocketAddr> {
        self.peer_addr().ok()
    }
}

impl Origin for UnixStream {
    fn origin(&self) -> Option<SocketAddr> {
        None
    }
}

/// What a connection and the requests on it know of each other.
#[derive(Debug)]
struct Watch {
    /// Requests being worked on.
    serving: Cell<u32>,
    /// Since the last answer, or the last bytes of it, or the connection.
    since: Cell<Stopwatch>,
    /// Since when the caller takes nothing of what waits for it.
    stuck: Cell<Option<Stopwatch>>,
    /// A request came since bytes were last read.
    asked: Cell<bool>,
    /// Its place among all connections.
    seat: Seat,
    /// Its other end has shown that it is no stranger, and gives way last.
    trusted: Cell<bool>,
}

impl Watch {
    /// Whether a request came together with the one before it, without more bytes from the caller between them.
    fn is_next(&self) -> bool {
        self.asked.replace(true)
    }
}

fn watch(request: &HttpRequest) -> Option<&Rc<Watch>> {
    request.conn_data()
}

/// Refuses a request on a connection past the limit of its address, but for what is always answered. The connection is
/// to be closed then.
///
/// # Errors
/// `throttled`.
pub(super) fn check_seat(request: &HttpRequest) -> Result<(), Rejection> {
    match watch(request).is_some_and(|watch| watch.seat.is_reserve()) {
        true => Err(super::seats::too_many()),
        false => Ok(()),
    }
}

/// What closes the connection of a request.
pub(super) fn closing(request: &HttpRequest) -> Arc<Signal> {
    let signal = watch(request).map(|watch| watch.seat.signal().clone());
    signal.unwrap_or_default()
}

/// Notes that whoever is at the other end of a request's connection is no stranger: it gives way last.
pub(super) fn trust(request: &HttpRequest) {
    if let Some(watch) = watch(request) {
        watch.trusted.set(true);
    }
}

/// Lets every connection that has something to do go first. actix-http answers all that it has read of one connection, up
/// to 128 KiB of requests, before it lets another go on, as long as no request waits for anything; and it asks one
/// that waits twice before it does, so that `yield_now` alone is over too early. A task of its own is not.
async fn let_others() {
    // It has nothing to fail at.
    let _: Result<(), _> = actix_web::rt::spawn(tokio::task::yield_now()).await;
}

/// A request being worked on.
struct Serving(Rc<Watch>);

impl Serving {
    fn new(watch: Rc<Watch>) -> Self {
        watch.serving.set(watch.serving.get() + 1);
        watch.seat.note_at_work();
        Self(watch)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.serving.set(self.0.serving.get().saturating_sub(1));
        self.0.since.set(Stopwatch::start());
        if self.0.serving.get() == 0 && !self.0.trusted.get() {
            self.0.seat.note_progress();
        }
    }
}

/// A connection that is counted as long as it is there.
struct Open(Option<IntGauge>);

impl Open {
    fn count(open: &Option<IntGauge>) -> Self {
        if let Some(open) = open {
            open.inc();
        }
        Self(open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(open) = &self.0 {
            open.dec();
        }
    }
}

/// A connection that fails when the other end lets too much time pass.
struct Watched<S> {
    stream: S,
    limits: ConnectionLimits,
    watch: Rc<Watch>,
    timer: Option<Pin<Box<Sleep>>>,
    /// What waits to be taken, when something does.
    unread: Option<Share>,
    _open: Open,
}

impl<S> Watched<S> {
    fn new(stream: S, limits: ConnectionLimits, (seat, open): (Seat, Open)) -> Self {
        let watch = Watch {
            serving: Cell::new(0),
            since: Cell::new(Stopwatch::start()),
            stuck: Cell::new(None),
            asked: Cell::new(false),
            seat,
            trusted: Cell::new(false),
        };
        Self {
            stream,
            limits,
            watch: Rc::new(watch),
            timer: None,
            unread: None,
            _open: open,
        }
    }

    /// How long it may still go on as it is; nothing when that is over.
    fn left(&self) -> Option<Duration> {
        let (between, write) = (self.limits.between(), self.limits.write());
        let left = match self.watch.stuck.get() {
            Some(stuck) => write.checked_sub(stuck.elapsed()),
            None if self.watch.serving.get() > 0 => Some(between),
            None => between.checked_sub(self.watch.since.get().elapsed()),
        };
        // It is looked again before the other limit could be over.
        left.map(|left| left.min(between).min(write))
            .filter(|left| !left.is_zero())
    }

    /// Fails when the time is over; otherwise the task is woken when it may be.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        loop {
            let timer = match &mut self.timer {
                Some(timer) => timer,
                None => {
                    let first = self.limits.between().min(self.limits.write());
                    self.timer.insert(Box::pin(tokio::time::sleep(first)))
                }
            };
            if timer.as_mut().poll(context).is_pending() {
                return Ok(());
            }
            let Some(left) = self.left() else {
                return Err(io::ErrorKind::TimedOut.into());
            };
            self.timer = Some(Box::pin(tokio::time::sleep(left)));
        }
    }

    /// Fails when the connection has to give way to another.
    fn check_seat(&self, context: &Context<'_>) -> io::Result<()> {
        match self.watch.seat.signal().poll_raised(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }

    /// Counts bytes that wait to be taken. When there is no room for them it fails.
    fn hold(&mut self, bytes: usize) -> io::Result<()> {
        let held = match &self.unread {
            _ if bytes == 0 => {
                self.unread = None;
                return Ok(());
            }
            Some(share) => share.set_amount(bytes as u64),
            None => self.watch.seat.hold_unread(bytes as u64).map(|share| {
                self.unread = Some(share);
            }),
        };
        held.map_err(|_| io::ErrorKind::OutOfMemory.into())
    }

    /// Notes how a write of so many bytes went.
    fn wrote(
        &mut self,
        context: &mut Context<'_>,
        (bytes, written): (usize, Poll<io::Result<usize>>),
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(outcome) = &written {
            self.watch.stuck.set(None);
            self.watch.since.set(Stopwatch::start());
            if self.unread.is_some() {
                self.hold(bytes - outcome.as_ref().map_or(0, |count| bytes.min(*count)))?;
            }
            return written;
        }
        self.check_seat(context)?;
        self.hold(bytes)?;
        if self.watch.stuck.get().is_none() {
            self.watch.stuck.set(Some(Stopwatch::start()));
        }
        self.check(context)?;
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        match read.is_pending() {
            true => {
                self.check_seat(context)?;
                self.check(context)?;
            }
            false => self.watch.asked.set(false),
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, (bytes.len(), written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        let bytes = bytes.iter().map(|part| part.len()).sum();
        self.wrote(context, (bytes, written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
