//! Limits of the gateway's connections.

use std::time::Duration;

use super::framing::HeadLimits;

/// How long a connection that is being closed may still send; what it sends is discarded.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// Limits of the connections of one listener.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections open at once.
    pub connections_max: usize,
    /// Connections at once from one address; 0 for no such limit.
    pub address_max: usize,
    /// Bytes of answers that callers have not taken, of all connections together.
    pub unread_bytes_max: u64,
    /// How long a request's head may take.
    pub head_seconds: u64,
    /// Limits of a request's head.
    pub head: HeadLimits,
    /// How long a connection waits for a next request.
    pub keep_alive_seconds: u64,
    /// How long a caller may take nothing of its answer.
    pub write_seconds: u64,
}

impl ConnectionLimits {
    /// Between the end of an answer and the end of the next head.
    pub(super) fn between(&self) -> Duration {
        Duration::from_secs(self.keep_alive_seconds.saturating_add(self.head_seconds))
    }

    /// For the TLS handshake, before the first head.
    pub(super) fn handshake(&self) -> Duration {
        Duration::from_secs(self.head_seconds)
    }

    pub(super) fn write(&self) -> Duration {
        Duration::from_secs(self.write_seconds)
    }

    pub(super) fn head(&self) -> Duration {
        Duration::from_secs(self.head_seconds)
    }
}
