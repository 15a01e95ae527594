//! A connection as its requests see it: what they share with it, and the limits of its reads and writes.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::HttpRequest;
use prometheus::IntGauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::connection_limits::{ConnectionLimits, LINGER};
use super::framing::{Fault, HeadLimits};
use super::inbound::{Arrived, End, Inbound};
use super::seats::Seat;
use super::secure::Held;
use super::shares::{Share, Signal};
use crate::clock::Stopwatch;
use crate::domain::Rejection;

/// Bytes read at a time of what is thrown away.
const LINGER_BYTES: usize = 4 * 1024;
/// The interim answer that asks for a body.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What a connection and the requests on it know of each other.
#[derive(Debug)]
pub(super) struct Watch {
    /// The address of this machine at its end; `None` of a Unix socket.
    local: Option<IpAddr>,
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
    /// Its client has shown a valid credential, and is disconnected last.
    trusted: Cell<bool>,
    /// Requests that were begun to be worked on.
    begun: Cell<u64>,
    /// The numbers of requests that wait for `100 Continue` before they send their bodies.
    expecting: RefCell<Vec<u64>>,
    /// The number of the request that is refused for what it is on the wire, and why.
    fault: Cell<Option<(u64, Fault)>>,
    /// Limits of a request's head.
    head: HeadLimits,
    /// What is still to be written of the interim answer that asks for a body.
    interim: Cell<&'static [u8]>,
}

impl Watch {
    fn new(seat: Seat, head: HeadLimits, local: Option<IpAddr>) -> Self {
        Self {
            local,
            serving: Cell::new(0),
            since: Cell::new(Stopwatch::start()),
            stuck: Cell::new(None),
            asked: Cell::new(false),
            seat,
            trusted: Cell::new(false),
            begun: Cell::new(0),
            expecting: RefCell::default(),
            fault: Cell::new(None),
            head,
            interim: Cell::new(&[]),
        }
    }

    fn note(&self, arrived: Arrived) {
        if !arrived.expecting.is_empty() {
            self.expecting.borrow_mut().extend(arrived.expecting);
        }
        if arrived.fault.is_some() {
            self.fault.set(arrived.fault);
        }
    }

    fn ask_for_body(&self) {
        let begun = self.begun.get();
        let mut expecting = self.expecting.borrow_mut();
        if expecting.contains(&begun) {
            expecting.retain(|number| *number > begun);
            self.interim.set(CONTINUE);
        }
    }

    /// Whether a request came together with the one before it, without more bytes from the caller between them.
    pub(super) fn is_next(&self) -> bool {
        self.asked.replace(true)
    }
}

fn watch(request: &HttpRequest) -> Option<&Rc<Watch>> {
    request.conn_data()
}

/// The address of this machine that the caller of a request is connected to; of a Unix socket there is none.
pub(super) fn reached_at(request: &HttpRequest) -> Option<IpAddr> {
    watch(request)?.local
}

/// Refuses a request on a connection past the limit of its address, but for what is always answered. The connection is
/// to be closed then.
///
/// # Errors
/// `throttled`.
pub(super) fn check_seat(request: &HttpRequest) -> Result<(), Rejection> {
    if watch(request).is_some_and(|watch| watch.seat.is_reserve()) {
        Err(super::seats::too_many())
    } else {
        Ok(())
    }
}

/// What is wrong with a request on the wire, when something is. Its connection is to be closed then.
pub(super) fn fault(request: &HttpRequest) -> Option<Rejection> {
    let watch = watch(request)?;
    let (number, fault) = watch.fault.get()?;
    (number == watch.begun.get()).then(|| fault.rejection(watch.head))
}

/// Asks for the body of a request that waits to be asked (`Expect: 100-continue`; RFC 9110, section 10.1.1). To be called
/// once nothing about its head is left to be refused, and before its body is waited for.
pub(super) fn ask_for_body(request: &HttpRequest) {
    if let Some(watch) = watch(request) {
        watch.ask_for_body();
    }
}

/// The signal that closes the connection of a request.
pub(super) fn closing(request: &HttpRequest) -> Arc<Signal> {
    let signal = watch(request).map(|watch| watch.seat.signal().clone());
    signal.unwrap_or_default()
}

/// Notes that the client of a request's connection has a valid credential: it is disconnected last.
pub(super) fn trust(request: &HttpRequest) {
    if let Some(watch) = watch(request) {
        watch.trusted.set(true);
    }
}

/// Lets every connection that has something to do go first. actix-http answers all that it has read of one connection, up
/// to 128 KiB of requests, before another continues, as long as no request waits for anything; and it asks one
/// that waits twice before it does, so that `yield_now` alone is over too early. A task of its own is not.
pub(super) async fn yield_to_other_connections() {
    // It has nothing to fail at.
    let _: Result<(), _> = actix_web::rt::spawn(tokio::task::yield_now()).await;
}

/// A request being worked on.
pub(super) struct Serving(Rc<Watch>);

impl Serving {
    pub(super) fn new(watch: Rc<Watch>) -> Self {
        watch.serving.set(watch.serving.get() + 1);
        watch.begun.set(watch.begun.get() + 1);
        watch.seat.note_at_work();
        Self(watch)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.serving.set(self.0.serving.get().saturating_sub(1));
        self.0.since.set(Stopwatch::start());
        // The answer is counted for it.
        if self.0.interim.get().len() == CONTINUE.len() {
            self.0.interim.set(&[]);
        }
        if self.0.serving.get() == 0 && !self.0.trusted.get() {
            self.0.seat.note_progress();
        }
    }
}

/// A connection that is counted as long as it is there.
pub(super) struct Open(Option<IntGauge>);

impl Open {
    pub(super) fn count(open: &Option<IntGauge>) -> Self {
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

/// A connection that fails when its client takes too much time.
pub(super) struct Watched<S> {
    stream: S,
    limits: ConnectionLimits,
    pub(super) watch: Rc<Watch>,
    inbound: Inbound,
    timer: Option<Pin<Box<Sleep>>>,
    /// Until when incoming bytes are discarded.
    lingering: Option<Pin<Box<Sleep>>>,
    /// The share for bytes that wait to be sent.
    unread: Option<Share>,
    _open: Open,
}

impl<S> Watched<S> {
    pub(super) fn new(
        stream: S,
        limits: ConnectionLimits,
        (seat, open): (Seat, Open),
        local: Option<IpAddr>,
    ) -> Self {
        Self {
            stream,
            limits,
            watch: Rc::new(Watch::new(seat, limits.head, local)),
            inbound: Inbound::new(limits.head),
            timer: None,
            lingering: None,
            unread: None,
            _open: open,
        }
    }

    /// How long its present state may still last; `None` when that is over.
    fn left(&self) -> Option<Duration> {
        let (between, write) = (self.limits.between(), self.limits.write());
        let waited = self.watch.since.get().elapsed();
        let left = match (self.watch.stuck.get(), self.inbound.head_since()) {
            (Some(stuck), _) => write.checked_sub(stuck.elapsed()),
            (None, Some(since)) => self.limits.head().checked_sub(since.elapsed()),
            (None, None) if self.watch.serving.get() > 0 => Some(between),
            (None, None) if self.inbound.is_new() => self.limits.head().checked_sub(waited),
            (None, None) => between.checked_sub(waited),
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
                    let first = self.left().unwrap_or_default();
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

    /// Fails when the connection's place is needed for another.
    fn check_seat(&self, context: &Context<'_>) -> io::Result<()> {
        match self.watch.seat.signal().poll_raised(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }

    /// Reads until there is something to pass on.
    fn read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncRead + Unpin,
    {
        loop {
            if self.inbound.hand_out(buffer) {
                return Poll::Ready(Ok(()));
            }
            match self.inbound.end() {
                Some(End::CutOff) => return Poll::Ready(Ok(())),
                Some(End::Refused) => {
                    self.check(context)?;
                    return Poll::Pending;
                }
                None => {}
            }
            let before = buffer.filled().len();
            match Pin::new(&mut self.stream).poll_read(context, buffer) {
                Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                    let arrived = self.inbound.take(buffer, before);
                    self.watch.note(arrived);
                    if buffer.filled().len() > before {
                        return Poll::Ready(Ok(()));
                    }
                    // A head has less time than a connection that waits for one.
                    self.timer = None;
                }
                Poll::Ready(Ok(())) if self.inbound.ends_within_head() => self.fail(Fault::Head),
                Poll::Ready(outcome) => return Poll::Ready(outcome),
                Poll::Pending => {
                    self.check_seat(context)?;
                    match self.check(context) {
                        Ok(()) => return Poll::Pending,
                        Err(_) if self.inbound.ends_within_head() => self.fail(Fault::Slow),
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                }
            }
        }
    }

    /// Refuses the head of which a part has come.
    fn fail(&mut self, fault: Fault) {
        let fault = self.inbound.fail(fault);
        self.watch.fault.set(Some(fault));
        // What is answered has its time.
        self.watch.since.set(Stopwatch::start());
        self.timer = None;
    }

    /// Writes what is left of the interim answer.
    fn write_interim(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        while let bytes @ [_, ..] = self.watch.interim.get() {
            let written = Pin::new(&mut self.stream).poll_write(context, bytes);
            match std::task::ready!(self.wrote(context, (bytes.len(), written)))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.watch.interim.set(&bytes[count..]),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The same of one that was begun: nothing comes between its bytes.
    fn end_interim(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        if self.watch.interim.get().len() == CONTINUE.len() {
            Poll::Ready(Ok(()))
        } else {
            self.write_interim(context)
        }
    }

    /// Takes what still comes and throws it away, for a while: a connection closed before it was read is reset, and then
    /// the answer may be lost on the way.
    fn linger(&mut self, context: &mut Context<'_>) -> Poll<()>
    where
        S: AsyncRead + Unpin,
    {
        let deadline = self
            .lingering
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        if deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let mut bytes = [0; LINGER_BYTES];
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
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

    /// Notes the result of a write of `bytes`.
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
        let read = self.read(context, buffer);
        if read.is_ready() {
            self.watch.asked.set(false);
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Held + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.end_interim(context))?;
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        let waiting = bytes.len() + self.stream.held_bytes();
        self.wrote(context, (waiting, written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.end_interim(context))?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        let bytes: usize = bytes.iter().map(|part| part.len()).sum();
        let waiting = bytes + self.stream.held_bytes();
        self.wrote(context, (waiting, written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Everything before it has been written.
        std::task::ready!(self.write_interim(context))?;
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_pending() {
            // What TLS has taken, and the other end has not.
            let waiting = self.stream.held_bytes();
            return self.wrote(context, (waiting, Poll::Pending)).map_ok(drop);
        }
        if self.watch.stuck.get().is_some() || self.unread.is_some() {
            std::task::ready!(self.wrote(context, (0, Poll::Ready(Ok(0)))))?;
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            std::task::ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        match self.watch.fault.get() {
            Some(_) => self.linger(context).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }
}
