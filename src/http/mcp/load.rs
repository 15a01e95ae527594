//! How much one caller may ask of the endpoint at once, beyond the limits of all requests: an agent in a loop asks without end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::bridge::EventStream;
use crate::clock::Clock;
use crate::domain::{ErrorTag, Rejection};
use crate::http::limits::limiter::{Limiter, TooMany};
use crate::http::places::{InFlight, Places};

/// Requests of one principal in progress at once: agents run a few tools side by side.
const MCP_IN_FLIGHT_MAX: usize = 8;
/// Streams of one principal at once: one for each of a few agents.
const MCP_STREAMS_MAX: usize = 4;
/// Streams of all principals at once. Each holds a connection and about 20 KiB.
const MCP_ALL_STREAMS_MAX: usize = 256;
/// How long a stream may last; then its client asks again, and its credential is checked again.
const STREAM_LIFE: Duration = Duration::from_secs(30 * 60);

/// What is in progress.
pub(super) struct Load {
    per_minute: Option<Limiter<String>>,
    calls: Places,
    streams: Places,
    all_streams: Arc<Semaphore>,
}

impl Load {
    pub(super) fn new(calls_per_minute: u32, clock: &Clock) -> Self {
        Self {
            per_minute: Limiter::per_minute("mcp", calls_per_minute, clock),
            calls: Places::new(usize::MAX),
            streams: Places::new(usize::MAX),
            all_streams: Arc::new(Semaphore::new(MCP_ALL_STREAMS_MAX)),
        }
    }

    /// Counts a request of a principal. The place is to be kept until it is answered.
    ///
    /// # Errors
    /// `throttled`.
    pub(super) fn enter(&self, who: &str) -> Result<InFlight, Rejection> {
        if let Some(limiter) = &self.per_minute {
            limiter.take(&who.to_owned()).map_err(TooMany::rejection)?;
        }
        self.calls.enter(who, MCP_IN_FLIGHT_MAX as u32).map_err(|_| {
            let message = format!(
                "{MCP_IN_FLIGHT_MAX} requests to /mcp with your credential are in progress, which is the limit; this one was not processed. Wait for an answer."
            );
            Rejection::new(ErrorTag::Throttled, message).with_minor("mcp-in-flight-limit")
        })
    }

    /// Takes a place for a stream of a principal.
    ///
    /// # Errors
    /// `throttled`.
    pub(super) fn stream(&self, who: &str) -> Result<StreamPlace, Rejection> {
        let full = |message: String| {
            Rejection::new(ErrorTag::Throttled, message).with_minor("mcp-streams-limit")
        };
        let own = self.streams.enter(who, MCP_STREAMS_MAX as u32).map_err(|_| {
            full(format!(
                "{MCP_STREAMS_MAX} streams with your credential are open, which is the limit; close one."
            ))
        })?;
        let one_of_all = self.all_streams.clone().try_acquire_owned();
        let one_of_all = one_of_all.map_err(|_| {
            full("Too many streams are open on this server; try again later.".to_owned())
        })?;
        Ok(StreamPlace {
            _own: own,
            _one_of_all: one_of_all,
        })
    }

    /// How many streams are open, at any time.
    pub(super) fn open_streams(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let all = self.all_streams.clone();
        move || MCP_ALL_STREAMS_MAX - all.available_permits()
    }
}

/// The place of a stream.
pub(super) struct StreamPlace {
    _own: InFlight,
    _one_of_all: OwnedSemaphorePermit,
}

impl StreamPlace {
    /// A stream that keeps the place until it ends or its client disconnects, and ends in time.
    pub(super) fn hold(self, stream: EventStream) -> HeldStream {
        let ending = tokio::time::sleep(STREAM_LIFE).boxed_local();
        HeldStream {
            events: stream.take_until(ending).boxed_local(),
            _place: self,
        }
    }
}

/// A stream in its place.
pub(super) struct HeldStream {
    events: EventStream,
    _place: StreamPlace,
}

impl Stream for HeldStream {
    type Item = Result<Bytes, actix_web::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_next_unpin(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(calls_per_minute: u32) -> Load {
        Load::new(calls_per_minute, &Clock::system())
    }

    #[test]
    fn a_caller_has_a_few_streams_and_all_have_as_many_as_there_are() {
        let load = load(0);
        let mut held: Vec<_> = (0..MCP_STREAMS_MAX)
            .map(|_| load.stream("one").unwrap())
            .collect();
        let refused = load.stream("one").err().unwrap();
        assert_eq!(refused.minor.as_deref(), Some("mcp-streams-limit"));
        let open = load.open_streams();
        for number in 0..MCP_ALL_STREAMS_MAX - held.len() {
            held.push(load.stream(&format!("other {number}")).unwrap());
        }
        assert_eq!(open(), MCP_ALL_STREAMS_MAX);
        assert!(load.stream("the 257th").is_err());
        held.pop();
        assert!(load.stream("the 257th").is_ok());
        drop(held);
        assert_eq!(open(), 0);
    }

    #[test]
    fn a_caller_has_eight_requests_in_progress_and_so_many_a_minute() {
        let load = load(20);
        let held: Vec<_> = (0..MCP_IN_FLIGHT_MAX)
            .map(|_| load.enter("one").unwrap())
            .collect();
        let refused = load.enter("one").err().unwrap();
        assert_eq!(refused.minor.as_deref(), Some("mcp-in-flight-limit"));
        assert!(load.enter("other").is_ok());
        drop(held);
        for _ in 9..20 {
            assert!(load.enter("one").is_ok());
        }
        let refused = load.enter("one").err().unwrap();
        assert_eq!(refused.minor.as_deref(), Some("mcp-limit"));
        assert!(
            refused
                .retry_after_seconds()
                .is_some_and(|seconds| seconds <= 4)
        );
    }
}
