//! Places for connections: limited in all and from one address, and a few more for health checks.
//!
//! A newcomer for whom there is none takes the place of a connection that waits for a next request, and has done so for
//! longest: of its own address first, then of the address with most connections. When all of its own address are at
//! work it gets one of a few places beyond, on which only `/health` and `/ready` are answered.

use std::net::IpAddr;
use std::sync::Arc;

use super::connection_limits::ConnectionLimits;
use super::limits::network;
use super::shares::{Bound, Full, Key, Share, Shares, Signal};
use crate::domain::{ErrorTag, Rejection};

/// Most places beyond the limits, in all and from one address: a quarter of those within them, so that a process that may
/// open few files keeps some for its journal.
pub const RESERVE_MAX: usize = 256;
const RESERVE_MIN: usize = 16;
const RESERVE_PART: usize = 4;
const RESERVE_OF_ADDRESS_MAX: u64 = 16;
/// An answer of which nothing is read for this long may be cut off in favour of any other, in milliseconds.
const UNREAD_IDLE_MS: u64 = 1_000;

/// The places of a listener.
#[derive(Clone, Debug)]
pub struct Seats {
    connections: Arc<Shares>,
    reserve: Arc<Shares>,
    unread: Arc<Shares>,
    connections_max: usize,
    address_max: u64,
}

/// The place of one connection.
#[derive(Debug)]
pub struct Seat {
    signal: Arc<Signal>,
    share: Option<Share>,
    is_reserve: bool,
    unread: Arc<Shares>,
    address: Key,
}

impl Seats {
    /// Seats of which none is taken.
    pub(super) fn new(limits: &ConnectionLimits) -> Self {
        Self {
            connections: Shares::new(limits.connections_max as u64, 0),
            reserve: Shares::new(reserve_of(limits.connections_max) as u64, 0),
            unread: Shares::new(limits.unread_bytes_max, UNREAD_IDLE_MS),
            connections_max: limits.connections_max,
            address_max: limits.address_max as u64,
        }
    }

    /// Most connections there can be.
    pub(super) fn most(&self) -> usize {
        self.connections_max + reserve_of(self.connections_max)
    }

    /// A place for a connection from an address. One for which there is none at all is closed at once.
    pub(super) fn take(&self, address: Option<IpAddr>) -> Seat {
        let signal = Arc::<Signal>::default();
        let address = address.map(network);
        let take = |shares: &Arc<Shares>, max| {
            let bound = Bound {
                key: shares.key(address),
                max,
                name: "address",
            };
            shares.enter(&[bound], 1, signal.clone())
        };
        let place = take(&self.connections, self.address_max);
        let is_reserve = place.is_err();
        let place = place.or_else(|_| take(&self.reserve, RESERVE_OF_ADDRESS_MAX));
        if place.is_err() {
            signal.raise();
        }
        Seat {
            signal,
            share: place.ok(),
            is_reserve,
            unread: self.unread.clone(),
            address: self.unread.key(address),
        }
    }
}

/// The number of places beyond `connections_max`.
fn reserve_of(connections_max: usize) -> usize {
    (connections_max / RESERVE_PART).clamp(RESERVE_MIN, RESERVE_MAX)
}

impl Seat {
    /// The signal that is raised when the connection has to close.
    pub(super) fn signal(&self) -> &Arc<Signal> {
        &self.signal
    }

    /// Whether it is a place beyond the limits.
    pub(super) fn is_reserve(&self) -> bool {
        self.is_reserve
    }

    /// Notes that a request has come.
    pub(super) fn note_at_work(&self) {
        if let Some(share) = &self.share {
            share.note_at_work();
        }
    }

    /// The last request was answered.
    pub(super) fn note_progress(&self) {
        if let Some(share) = &self.share {
            share.note_progress();
        }
    }

    /// Counts bytes of an answer that wait to be taken.
    ///
    /// # Errors
    /// [`Full`] when there is no room for them, and no other connection can be closed.
    pub(super) fn hold_unread(&self, bytes: u64) -> Result<Share, Full> {
        let bound = Bound {
            key: self.address,
            max: 0,
            name: "address",
        };
        self.unread.enter(&[bound], bytes, self.signal.clone())
    }
}

/// 429 to a request on a connection past the limit of its address; the connection is closed.
pub(super) fn too_many() -> Rejection {
    let message = "Your address has too many busy connections; the request was not processed. Use fewer, or wait until one ends.";
    Rejection::new(ErrorTag::Throttled, message).with_minor("connections-limit")
}
