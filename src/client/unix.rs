//! The way to an address such as `unix:/run/metarecord/operators.sock`: HTTP through a Unix socket.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Agent, Error};

/// What such an address begins with; the socket's path follows.
pub(super) const SCHEME: &str = "unix:";
/// The base url of requests: their `Host` is `localhost`.
pub(super) const BASE_URL: &str = "http://localhost";

/// An agent that sends all requests to one socket.
pub(super) fn agent(config: Config, path: &str) -> Agent {
    let socket = Socket(path.into());
    Agent::with_parts(config, socket.clone(), socket)
}

/// Connects to one socket, whatever host a request names.
#[derive(Clone, Debug)]
struct Socket(PathBuf);

impl Resolver for Socket {
    /// An address that is not used: without one the request would end here.
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.empty();
        addresses.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 80)));
        Ok(addresses)
    }
}

impl Connector for Socket {
    type Out = Connection;

    /// Connecting blocks while the listener's queue is full, for as long as that takes: so a thread of its own does it.
    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Connection>, Error> {
        let (path, (tell, told)) = (self.0.clone(), mpsc::sync_channel(1));
        // The receiver is gone when it took too long.
        let connect = move || drop(tell.send(UnixStream::connect(path)));
        std::thread::Builder::new().spawn(connect)?;
        let answer = match details.timeout.not_zero() {
            Some(timeout) => told.recv_timeout(*timeout).ok(),
            None => told.recv().ok(),
        };
        let stream = answer.ok_or(Error::Timeout(details.timeout.reason))??;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Connection { stream, buffers }))
    }
}

/// A connection with what is to be sent and what has come.
struct Connection {
    stream: UnixStream,
    buffers: LazyBuffers,
}

impl std::fmt::Debug for Connection {
    /// Without the buffers: credentials pass through them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({:?})", self.stream)
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        let limit = timeout.not_zero().map(|limit| *limit);
        self.stream.set_write_timeout(limit)?;
        let output = &self.buffers.output()[..amount];
        let sent = self.stream.write_all(output);
        sent.map_err(|error| failed(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        let limit = timeout.not_zero().map(|limit| *limit);
        self.stream.set_read_timeout(limit)?;
        let count = loop {
            match self.stream.read(self.buffers.input_append_buf()) {
                // A process that was stopped and continued gets this, though nothing is wrong.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(|error| failed(error, timeout))?,
            }
        };
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    /// Whether it is open and idle: after anything that comes without a request, the end included, it cannot be used again.
    fn is_open(&mut self) -> bool {
        let mut probe = || {
            self.stream.set_nonblocking(true)?;
            let read = self.stream.read(&mut [0]);
            self.stream.set_nonblocking(false)?;
            read
        };
        probe().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

/// Reports a read or write that took too long as a timeout.
fn failed(error: io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => Error::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    use tokio::net::UnixSocket;
    use ureq::Timeout;

    use super::*;

    /// Sends bytes to a socket with short timeouts; the reason why that took too long.
    fn timed_out(path: &str, bytes: usize) -> Timeout {
        let short = Some(Duration::from_millis(50));
        let config = Agent::config_builder()
            .timeout_connect(short)
            .timeout_per_read(short)
            .timeout_per_write(short);
        let sent = agent(config.build(), path)
            .post(BASE_URL)
            .send(vec![0; bytes]);
        match sent {
            Err(Error::Timeout(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_through_a_socket_is_addressed_to_localhost() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("s");
        let listener = UnixListener::bind(&path).expect("listens");
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody connects");
            let mut head = vec![0; 4_096];
            let count = stream.read(&mut head).expect("a request");
            head.truncate(count);
            let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
            stream.write_all(answer).expect("answered");
            String::from_utf8_lossy(&head).to_ascii_lowercase()
        });
        let path = path.to_str().expect("plain");
        let url = format!("{BASE_URL}/a");
        let answer = agent(Config::default(), path).get(url).call();
        assert_eq!(answer.expect("an answer").status(), 204);
        let head = peer.join().expect("no panic");
        assert!(head.starts_with("get /a http/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nhost: localhost\r\n"), "{head}");
    }

    #[test]
    fn connecting_writing_and_reading_end_when_nothing_moves() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("s");
        let text = path.to_str().expect("plain");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let _entered = runtime.enter();
        let socket = || UnixSocket::new_stream().expect("a socket");
        let listening = socket();
        listening.bind(&path).expect("bound");
        let _listener = listening.listen(2).expect("listens");
        assert_eq!(timed_out(text, 1), Timeout::PerRead);
        // More than the system keeps for a listener that takes nothing.
        assert_eq!(timed_out(text, 8 << 20), Timeout::PerWrite);
        let connect = || runtime.block_on(socket().connect(&path));
        let _waiting: Vec<_> = std::iter::from_fn(|| connect().ok()).take(8).collect();
        assert!(connect().is_err(), "the queue is full");
        assert_eq!(timed_out(text, 1), Timeout::Connect);
    }
}
