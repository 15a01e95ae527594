//! The gateway's connections: how many there are, and how long is waited for whoever is at their other end.
//!
//! actix-http limits the time of a connection's first head and of idling. What it does not limit (version 3.20:
//! `h1/dispatcher.rs`, whose head timer is for the first request alone) is limited here, by a stream that fails when its
//! time is over: a later head that trickles, the rest of a body that nobody reads, an answer that is not taken.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::HttpService;
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::{AppConfig, Service};
use actix_web::{App, web};
use prometheus::IntGauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::clock::Stopwatch;

/// How long a connection that is being closed may go on sending; what it sends is thrown away.
const LINGER: Duration = Duration::from_secs(1);

/// Limits of the gateway's connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections at once; others wait to be accepted.
    pub connections_max: usize,
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

/// Serves an application on a listener, and counts its connections.
///
/// # Errors
/// When the listener cannot be used.
pub fn run<C>(
    listener: TcpListener,
    (workers, shutdown_seconds): (usize, u64),
    (limits, open): (ConnectionLimits, IntGauge),
    configure: impl Fn() -> C + Send + Clone + 'static,
) -> io::Result<Server>
where
    C: FnOnce(&mut web::ServiceConfig),
{
    let address = listener.local_addr()?;
    let workers = workers.max(1);
    let server = Server::build()
        .workers(workers)
        .max_concurrent_connections((limits.connections_max / workers).max(1))
        .disable_signals()
        .shutdown_timeout(shutdown_seconds);
    let ending = server.graceful_shutdown_signal();
    let server = server.listen("gateway", listener, move || {
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
            .local_addr(address)
            .on_connect_ext(|stream: &Watched<TcpStream>, data| {
                data.insert(stream.watch.clone());
            })
            .h1(map_config(app, |()| AppConfig::default()));
        let open = open.clone();
        fn_service(move |stream: TcpStream| {
            let open = Open::count(&open);
            async move {
                let peer: Option<SocketAddr> = stream.peer_addr().ok();
                Ok((Watched::new(stream, limits, open), peer))
            }
        })
        .and_then(service)
    })?;
    Ok(server.run())
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
}

impl Watch {
    /// Whether a request came together with the one before it, without more bytes from the caller between them.
    fn is_next(&self) -> bool {
        self.asked.replace(true)
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
        Self(watch)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.serving.set(self.0.serving.get().saturating_sub(1));
        self.0.since.set(Stopwatch::start());
    }
}

/// A connection that is counted as long as it is there.
struct Open(IntGauge);

impl Open {
    fn count(open: &IntGauge) -> Self {
        open.inc();
        Self(open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A connection that fails when the other end lets too much time pass.
struct Watched<S> {
    stream: S,
    limits: ConnectionLimits,
    watch: Rc<Watch>,
    timer: Option<Pin<Box<Sleep>>>,
    _open: Open,
}

impl<S> Watched<S> {
    fn new(stream: S, limits: ConnectionLimits, open: Open) -> Self {
        let watch = Watch {
            serving: Cell::new(0),
            since: Cell::new(Stopwatch::start()),
            stuck: Cell::new(None),
            asked: Cell::new(false),
        };
        Self {
            stream,
            limits,
            watch: Rc::new(watch),
            timer: None,
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

    /// Notes how a write went.
    fn wrote(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.watch.stuck.set(None);
            self.watch.since.set(Stopwatch::start());
            return written;
        }
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
            true => self.check(context)?,
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
        self.wrote(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.wrote(context, written)
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
