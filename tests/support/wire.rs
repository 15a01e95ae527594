//! A connection as bytes, for what no HTTP client would send.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// How long a pause in a trickle is.
const PAUSE: Duration = Duration::from_millis(50);
/// After how many pauses a trickle gives up: a minute.
const PAUSES_MAX: u32 = 1_200;

/// A connection to a server.
pub(crate) struct Wire(pub(crate) TcpStream);

impl Wire {
    /// Connects to the server of a base url.
    pub(crate) fn connect(base_url: &str) -> Self {
        let address = address_of(base_url);
        Self(TcpStream::connect(address).expect("the server listens"))
    }

    /// Connects with a receive buffer of so many bytes, so that the other end soon has to wait.
    pub(crate) fn connect_narrow(base_url: &str, bytes: u32) -> Self {
        let to = base_url.strip_prefix("http://").expect("an address");
        let to = to.parse().expect("an address with a port");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        let stream = runtime.expect("a runtime").block_on(async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(bytes)?;
            socket.connect(to).await?.into_std()
        });
        let stream = stream.expect("the server listens");
        stream.set_nonblocking(false).expect("it can wait");
        Self(stream)
    }

    /// Connects from another address of this machine, such as 127.0.0.2.
    pub(crate) fn connect_from(address: &str, base_url: &str) -> Self {
        let to = address_of(base_url);
        let to = to.parse().expect("an address with a port");
        let from = format!("{address}:0").parse().expect("an address");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        let stream = runtime.expect("a runtime").block_on(async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.bind(from)?;
            socket.connect(to).await?.into_std()
        });
        let stream = stream.expect("the server listens");
        stream.set_nonblocking(false).expect("it can wait");
        Self(stream)
    }

    /// Sends bytes as they are and the end, and reads what comes back until the connection ends.
    pub(crate) fn exchange(mut self, bytes: &[u8]) -> String {
        self.timeout(Duration::from_secs(60));
        // A server that has refused the beginning need not take the end.
        let _: std::io::Result<()> = self.0.write_all(bytes);
        let _: std::io::Result<()> = self.0.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        // What came until the end of the connection counts, however it ended.
        let _: std::io::Result<usize> = self.0.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends a request and reads its answer, and keeps the connection.
    pub(crate) fn request(&mut self, bytes: &[u8]) -> String {
        self.timeout(Duration::from_secs(60));
        self.0.write_all(bytes).expect("sent");
        let mut answer = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&answer);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.and_then(|text| text.parse().ok()).expect("a length");
                if body.len() >= length {
                    return text.into_owned();
                }
            }
            let mut buffer = [0; 4096];
            let read = self.0.read(&mut buffer).expect("an answer");
            assert!(read > 0, "the server hung up");
            answer.extend_from_slice(&buffer[..read]);
        }
    }

    /// Sends bytes and keeps the connection.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.timeout(Duration::from_secs(60));
        self.0.write_all(bytes).expect("sent");
    }

    /// Reads a head, to the empty line, and nothing behind it. Empty when the connection ends before.
    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match self.0.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                Ok(_) | Err(_) => break,
            }
        }
        String::from_utf8_lossy(&head).into_owned()
    }

    /// Reads so many bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).expect("they come");
        bytes
    }

    /// Reads what still comes, until the connection ends.
    pub(crate) fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // What came until the end counts, however it ended.
        let _: std::io::Result<usize> = self.0.read_to_end(&mut rest);
        rest
    }

    /// Sends some bytes and then one more now and again, until the server hangs up. Returns what it had said.
    pub(crate) fn trickle(mut self, first: &[u8], drop: &[u8]) -> String {
        self.timeout(PAUSE);
        self.0.write_all(first).expect("sent");
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        for _ in 0..PAUSES_MAX {
            match self.0.read(&mut buffer) {
                Ok(0) => return String::from_utf8_lossy(&answer).into_owned(),
                Ok(read) => answer.extend_from_slice(&buffer[..read]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    // When it has hung up, the next read says so.
                    let _: std::io::Result<()> = self.0.write_all(drop);
                }
                Err(_) => return String::from_utf8_lossy(&answer).into_owned(),
            }
        }
        panic!("the server waits for more after a minute");
    }

    fn timeout(&self, timeout: Duration) {
        self.0.set_read_timeout(Some(timeout)).expect("a timeout");
    }
}

/// Host and port of a base url.
fn address_of(base_url: &str) -> &str {
    let (_, address) = base_url.split_once("://").expect("a url");
    address
}
