//! Bytes from a connection before actix-http gets them: held back until a head is whole, and ended at one that is
//! refused. Most reads hold whole heads and are passed on where they are, without a copy.

use bytes::{Buf, BytesMut};
use tokio::io::ReadBuf;

use super::framing::{Fault, Framing, HeadLimits, stand_in};
use crate::clock::Stopwatch;

/// The incoming bytes of a connection.
#[derive(Debug)]
pub(super) struct Inbound {
    framing: Framing,
    /// Bytes that came and were not handed out.
    held: BytesMut,
    /// How many of them may be passed on.
    ready: usize,
    /// Since when a part of a head has been there.
    head_since: Option<Stopwatch>,
    end: Option<End>,
}

/// Why nothing more is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// A head was refused: a stand-in is answered, and then the connection is closed.
    Refused,
    /// A body was refused. It is cut off here.
    CutOff,
}

/// What a request has to know, by its number on the connection.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    /// It waits for `100 Continue` before it sends its body.
    pub(super) expecting: Vec<u64>,
    pub(super) fault: Option<(u64, Fault)>,
}

impl Inbound {
    pub(super) fn new(limits: HeadLimits) -> Self {
        Self {
            framing: Framing::new(limits),
            held: BytesMut::new(),
            ready: 0,
            head_since: None,
            end: None,
        }
    }

    /// Whether nothing more is read, and why.
    pub(super) fn end(&self) -> Option<End> {
        self.end
    }

    /// Since when a part of a head has been there, when one has.
    pub(super) fn head_since(&self) -> Option<Stopwatch> {
        self.head_since
    }

    /// Whether no request has come yet.
    pub(super) fn is_new(&self) -> bool {
        self.framing.heads() == 0 && self.end.is_none()
    }

    /// Passes on what may be; returns whether that was anything.
    pub(super) fn hand_out(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let count = self.ready.min(buffer.remaining());
        if count == 0 {
            return false;
        }
        buffer.put_slice(&self.held[..count]);
        self.held.advance(count);
        self.ready -= count;
        if self.held.is_empty() {
            // Nothing is kept for a connection that waits.
            self.held = BytesMut::new();
        }
        true
    }

    /// Checks what has been read into a buffer after its first `before` bytes, and leaves there what may be passed on.
    pub(super) fn take(&mut self, buffer: &mut ReadBuf<'_>, before: usize) -> Arrived {
        let new = &mut buffer.filled_mut()[before..];
        let mut arrived = Arrived::default();
        let fault = if self.held.is_empty() {
            let found = self.framing.look(new);
            self.held.extend_from_slice(&new[found.passed..]);
            buffer.set_filled(before + found.passed);
            found.fault
        } else {
            self.held.extend_from_slice(new);
            buffer.set_filled(before);
            let found = self.framing.look(&mut self.held[self.ready..]);
            self.ready += found.passed;
            found.fault
        };
        arrived.expecting = self.framing.take_expecting();
        arrived.fault = fault.map(|fault| self.fail(fault));
        if !self.framing.is_within_head() || self.end.is_some() {
            self.head_since = None;
        } else if self.head_since.is_none() {
            self.head_since = Some(Stopwatch::start());
        }
        arrived
    }

    /// Ends what is read with a fault; returns the number of the request that gets the fault.
    pub(super) fn fail(&mut self, fault: Fault) -> (u64, Fault) {
        let refused = self.held.split_off(self.ready);
        self.head_since = None;
        if fault == Fault::Chunk {
            self.end = Some(End::CutOff);
            return (self.framing.heads(), fault);
        }
        self.held.extend_from_slice(stand_in(&refused).as_bytes());
        self.ready = self.held.len();
        self.end = Some(End::Refused);
        (self.framing.heads() + 1, fault)
    }

    /// Whether the connection ended within a head.
    pub(super) fn ends_within_head(&self) -> bool {
        self.end.is_none() && self.framing.is_within_head()
    }
}
