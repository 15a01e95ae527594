//! TLS of a connection: its handshake, within the time and the places that connections have, and the stream it becomes.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::http::header::HeaderValue;
use prometheus::IntCounterVec;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::rustls;
use tokio_rustls::server::TlsStream;

use super::connection_limits::LINGER;
use super::limits::Handshakes;
use super::meters::HttpMeters;
use crate::tls::Tls;

/// The first byte of a handshake: the content type of its record (RFC 8446, section 5.1).
const HANDSHAKE_RECORD: u8 = 22;
/// Most bytes that are read and thrown away when a connection is closed, so that its other end receives the reason.
const LAST_BYTES_MAX: u64 = 65_536;
/// Most bytes that TLS takes before the other end does: rustls' own limit, and a record.
const TLS_BYTES_MAX: usize = 80 * 1024;
/// What a plain request is answered with: who sends it cannot read anything else.
const PLAIN_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 40\r\n\
    x-content-type-options: nosniff\r\n\
    cache-control: no-store\r\n\
    connection: close\r\n\r\n\
    This address requires TLS: use https://\n";

/// The outcome of a handshake, as the metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The connection is secure.
    Done,
    /// What came was no handshake, or the two sides have nothing in common.
    Failed,
    /// The client showed no certificate where one is needed, or none that counts.
    ClientCertificate,
    /// It was not over in time, or was closed in favour of another connection.
    Late,
    /// There were too many handshakes from its address.
    Limited,
    /// The client sent plain HTTP.
    Plain,
}

impl Outcome {
    const ALL: [Self; 6] = [
        Self::Done,
        Self::Failed,
        Self::ClientCertificate,
        Self::Late,
        Self::Limited,
        Self::Plain,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::ClientCertificate => "client-certificate",
            Self::Late => "late",
            Self::Limited => "limited",
            Self::Plain => "plain",
        }
    }

    fn of(error: &io::Error) -> Self {
        if matches!(
            error.kind(),
            io::ErrorKind::TimedOut | io::ErrorKind::ConnectionAborted
        ) {
            return Self::Late;
        }
        let error = error.get_ref().and_then(|error| error.downcast_ref());
        match error {
            Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_)) => {
                Self::ClientCertificate
            }
            Some(_) | None => Self::Failed,
        }
    }
}

/// The TLS of one listener's connections.
pub struct Security {
    name: &'static str,
    tls: Arc<Tls>,
    handshakes: Handshakes,
    outcomes: IntCounterVec,
    hsts: Option<HeaderValue>,
}

impl Security {
    /// With the certificates of `tls`; answers have browsers come by https alone for `hsts_seconds`, with 0 they do not.
    pub fn new(
        name: &'static str,
        tls: Arc<Tls>,
        hsts_seconds: u64,
        (handshakes, meters): (Handshakes, &HttpMeters),
    ) -> Arc<Self> {
        let outcomes = meters.handshakes().clone();
        let hsts = (hsts_seconds > 0).then(|| format!("max-age={hsts_seconds}"));
        for outcome in Outcome::ALL {
            outcomes.with_label_values(&[name, outcome.as_str()]);
        }
        Arc::new(Self {
            name,
            tls,
            handshakes,
            outcomes,
            hsts: hsts.and_then(|text| HeaderValue::try_from(text).ok()),
        })
    }

    /// The value of `Strict-Transport-Security` (RFC 6797, section 6.1).
    pub(super) fn hsts(&self) -> Option<HeaderValue> {
        self.hsts.clone()
    }

    fn count(&self, outcome: Outcome) {
        let labels = [self.name, outcome.as_str()];
        self.outcomes.with_label_values(&labels).inc();
    }

    /// Makes a connection secure, in no more time than a request's head has, unless its place is needed for another.
    ///
    /// # Errors
    /// When the handshake fails or takes too long; the connection is closed then.
    async fn secure(
        &self,
        stream: TcpStream,
        time: Duration,
        gone: impl Future<Output = ()>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let secured = tokio::select! {
            biased;
            () = gone => Err(io::ErrorKind::ConnectionAborted.into()),
            secured = timeout(time, self.shake_hands(stream)) => match secured {
                Ok(secured) => secured,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            },
        };
        match secured {
            Ok(Some(stream)) => {
                self.count(Outcome::Done);
                Ok(stream)
            }
            Ok(None) => Err(io::ErrorKind::ConnectionAborted.into()),
            Err(error) => {
                self.count(Outcome::of(&error));
                Err(error)
            }
        }
    }

    /// The handshake; nothing when there is none to be made, which is counted.
    async fn shake_hands(&self, stream: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
        let mut first = [0];
        match (stream.peek(&mut first).await?, first[0]) {
            (0, _) => return Err(io::ErrorKind::UnexpectedEof.into()),
            (_, HANDSHAKE_RECORD) => {}
            (_, byte) if byte.is_ascii_alphabetic() => {
                self.count(Outcome::Plain);
                answer_plainly(stream).await?;
                return Ok(None);
            }
            (_, _) => return Err(io::ErrorKind::InvalidData.into()),
        }
        let peer = stream.peer_addr().ok().map(|peer| peer.ip());
        if !self.handshakes.take(peer) {
            self.count(Outcome::Limited);
            return Ok(None);
        }
        match self.tls.acceptor().accept(stream).into_fallible().await {
            Ok(stream) => Ok(Some(stream)),
            Err((error, stream)) => {
                // It was sent the reason, and would not receive it if the connection ended with bytes of its own unread.
                close_slowly(stream).await;
                Err(error)
            }
        }
    }
}

/// Answers plain HTTP, and waits until its sender has read that before the connection is closed.
async fn answer_plainly(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(PLAIN_ANSWER).await?;
    close_slowly(stream).await;
    Ok(())
}

/// Ends a connection whose other end may not have read what was sent last.
async fn close_slowly(mut stream: TcpStream) {
    let closing = async {
        stream.shutdown().await?;
        let mut rest = stream.take(LAST_BYTES_MAX);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // Whatever becomes of it, everything was sent.
    let _: Result<io::Result<u64>, _> = timeout(LINGER, closing).await;
}

/// A stream of a listener, before anything came of it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Sized {
    /// The address at the other end; none of a Unix socket.
    fn origin(&self) -> Option<SocketAddr>;

    /// The address of this machine that it is connected to; of a Unix socket there is none.
    fn local(&self) -> Option<IpAddr>;

    /// Has every write leave at once. The head and the body of an answer are two, and the second would wait until the
    /// other end has acknowledged the first, which it puts off for some 40 ms (RFC 9293, section 3.7.4; RFC 1122, section
    /// 4.2.3.2).
    fn send_at_once(&self);

    /// Makes it secure if it is to be, unless its place is needed before. A Unix socket never is: it does not leave the machine.
    fn connection(
        stream: Self,
        security: Option<Arc<Security>>,
        time: Duration,
        gone: impl Future<Output = ()>,
    ) -> impl Future<Output = io::Result<Connection<Self>>>;
}

impl Stream for TcpStream {
    fn origin(&self) -> Option<SocketAddr> {
        self.peer_addr().ok()
    }

    fn local(&self) -> Option<IpAddr> {
        self.local_addr().ok().map(|address| address.ip())
    }

    fn send_at_once(&self) {
        // It fails on a closed connection, and nothing more is written to one.
        let _: io::Result<()> = self.set_nodelay(true);
    }

    async fn connection(
        stream: Self,
        security: Option<Arc<Security>>,
        time: Duration,
        gone: impl Future<Output = ()>,
    ) -> io::Result<Connection<Self>> {
        let Some(security) = security else {
            return Ok(Connection::Plain(stream));
        };
        let secured = security.secure(stream, time, gone).await?;
        Ok(Connection::Secured(Box::new(secured)))
    }
}

impl Stream for UnixStream {
    fn origin(&self) -> Option<SocketAddr> {
        None
    }

    fn local(&self) -> Option<IpAddr> {
        None
    }

    fn send_at_once(&self) {}

    async fn connection(
        stream: Self,
        _security: Option<Arc<Security>>,
        _time: Duration,
        _gone: impl Future<Output = ()>,
    ) -> io::Result<Connection<Self>> {
        Ok(Connection::Plain(stream))
    }
}

/// A connection as requests come on it.
pub(super) enum Connection<S> {
    /// Plain HTTP, or a Unix socket.
    Plain(S),
    /// HTTP within TLS, after its handshake.
    Secured(Box<TlsStream<S>>),
}

/// A stream that buffers bytes which the other end has not taken yet.
pub(super) trait Held {
    /// The number of bytes that were taken and not passed on, at most.
    fn held_bytes(&self) -> usize;
}

impl<S> Held for Connection<S> {
    fn held_bytes(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Secured(stream) => {
                if stream.get_ref().1.wants_write() {
                    TLS_BYTES_MAX
                } else {
                    0
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Secured(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Secured(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Self::Secured(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Secured(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Secured(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Secured(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_answer_tells_its_own_length() {
        let text = std::str::from_utf8(PLAIN_ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())));
    }
}
