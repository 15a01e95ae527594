//! Reading request bodies, within limits of size, depth and time, and of memory for all of them together.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap};
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt};

use super::auth::principal::Owner;
use super::coding::Coding;
use super::request_head::RequestHead;
use super::shares::{Bound, Full, Share, Shares};
use super::turns::Turn;
use super::{nesting, slow, watched};
use crate::domain::{ErrorTag, Rejection};

/// What a body that has not arrived counts at least: the buffers of its connection.
const BYTES_MIN: u64 = 4 * 1024;
/// Bytes of a body that are taken in before its owner waits for another turn.
const BYTES_A_TURN: usize = 64 * 1024;
/// A body that makes no progress for this long may be refused in favour of any other, in milliseconds.
const IDLE_MS: u64 = 1_000;

/// Limits of request bodies, except uploads.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes of one body.
    pub bytes_max: usize,
    /// Levels of arrays and objects in one body, itself included.
    pub depth_max: usize,
    /// How long one body may take to arrive, in seconds.
    pub seconds: u64,
    /// Bytes of all bodies that have not arrived yet or are being worked on.
    pub total_bytes_max: u64,
}

/// Reads request bodies within their limits.
#[derive(Debug)]
pub struct Bodies {
    bytes_max: usize,
    depth_max: usize,
    within: Duration,
    memory: Arc<Shares>,
}

/// Where a body comes from.
pub enum Source {
    /// A connection, as it arrives there.
    Connection(Payload),
    /// The memory of this process, whole.
    Memory(Bytes),
}

/// A body that has arrived.
#[derive(Debug)]
pub struct Body {
    /// The bytes of the body; empty for a GET.
    pub bytes: Bytes,
    /// Its part of the memory for bodies, if it did not come at once. To be kept as long as the bytes.
    pub share: Option<Share>,
}

impl Bodies {
    /// Without any body in progress.
    pub fn new(limits: &BodyLimits) -> Self {
        Self {
            bytes_max: limits.bytes_max,
            depth_max: limits.depth_max,
            within: Duration::from_secs(limits.seconds),
            memory: Shares::new(limits.total_bytes_max, IDLE_MS),
        }
    }

    /// Reads a body as its owner has turns; a GET's is left unread. Afterwards the owner has the turn.
    ///
    /// # Errors
    /// `unsupported-media-type`, `too-large`, also when it is that once unpacked, `invalid-json` for one that is nested too deeply, ends early or comes too slowly, `throttled` when there is no memory for
    /// it. The connection is to be closed then.
    pub async fn read(
        &self,
        head: &RequestHead<'_>,
        source: Source,
        owner: Owner<'_>,
        turn: Option<&Turn>,
    ) -> Result<Body, Rejection> {
        if head.method != Method::POST {
            wait(turn, owner).await;
            return Ok(Body {
                bytes: Bytes::new(),
                share: None,
            });
        }
        let coding = Coding::of(head.headers)?;
        let mut body = match source {
            Source::Memory(bytes) => self.take_whole(bytes)?,
            Source::Connection(payload) => {
                let reading = self.read_whole(head, payload, owner, turn);
                let body = tokio::time::timeout(self.within, reading).await;
                body.unwrap_or_else(|_| Err(slow::body_too_slow()))?
            }
        };
        wait(turn, owner).await;
        body.bytes = coding.decode(body.bytes, self.bytes_max)?;
        nesting::check(&body.bytes, self.depth_max)?;
        Ok(body)
    }

    /// Takes a body that need not be waited for, and whose memory another request has counted.
    fn take_whole(&self, bytes: Bytes) -> Result<Body, Rejection> {
        if bytes.len() > self.bytes_max {
            return Err(Rejection::body_too_large(self.bytes_max));
        }
        Ok(Body { bytes, share: None })
    }

    async fn read_whole(
        &self,
        head: &RequestHead<'_>,
        mut payload: Payload,
        owner: Owner<'_>,
        turn: Option<&Turn>,
    ) -> Result<Body, Rejection> {
        let declared = declared(head.headers);
        if declared.is_some_and(|declared| declared > self.bytes_max) {
            return Err(Rejection::body_too_large(self.bytes_max));
        }
        let mut arriving = Arriving::default();
        let mut turn_ends = BYTES_A_TURN;
        loop {
            let next = match payload.next().now_or_never() {
                Some(next) => next,
                None => {
                    self.hold(&mut arriving, owner)?;
                    if let Some(request) = head.on_connection() {
                        watched::ask_for_body(request);
                    }
                    arriving.wait(&mut payload).await?
                }
            };
            let Some(chunk) = next else {
                return Ok(arriving.end());
            };
            let chunk = chunk.map_err(|_| broken(head))?;
            let length = arriving.add(chunk);
            if length > turn_ends {
                turn_ends = length + BYTES_A_TURN;
                self.hold(&mut arriving, owner)?;
                wait(turn, owner).await;
            }
            if length > self.bytes_max {
                return Err(Rejection::body_too_large(self.bytes_max));
            }
            if declared.is_some_and(|declared| length > declared) {
                // As with `Upgrade: websocket`, which makes actix-http read to the connection's end whatever is announced.
                return Err(Rejection::new(
                    ErrorTag::InvalidJson,
                    "The body is longer than announced.",
                ));
            }
        }
    }

    /// Counts what has come of a body that is waited for.
    fn hold(&self, arriving: &mut Arriving, owner: Owner<'_>) -> Result<(), Rejection> {
        if owner == Owner::Operators {
            return Ok(());
        }
        let bytes = (arriving.length() as u64).max(BYTES_MIN);
        match &arriving.share {
            Some(share) => share.set_amount(bytes).map_err(no_memory),
            None => {
                let bound = Bound {
                    key: self.memory.key(owner),
                    max: 0,
                    name: "owner",
                };
                let share = self.memory.enter(&[bound], bytes, Arc::default());
                arriving.share = Some(share.map_err(no_memory)?);
                Ok(())
            }
        }
    }
}

/// Waits until it is the owner's turn. A thread of operators has none.
async fn wait(turn: Option<&Turn>, owner: Owner<'_>) {
    if let Some(turn) = turn {
        turn.wait(owner).await;
    }
}

/// A body that is none, or not all of one.
fn broken(head: &RequestHead<'_>) -> Rejection {
    let fault = head.on_connection().and_then(watched::fault);
    fault.unwrap_or_else(|| {
        Rejection::new(
            ErrorTag::InvalidJson,
            "The body ended before its announced length.",
        )
    })
}

/// The length that is announced, if any.
fn declared(headers: &HeaderMap) -> Option<usize> {
    let length = headers.get(CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// 429 to a body for which there is no memory, or whose memory another needs that holds less.
fn no_memory(_: Full) -> Rejection {
    let message = "Too many large bodies are being received; the request was not processed, and the connection is closed. Send fewer at once.";
    Rejection::new(ErrorTag::Throttled, message).with_minor("bodies-limit")
}

/// What has come of a body. Most come in one chunk and are taken without a copy.
#[derive(Default)]
struct Arriving {
    first: Option<Bytes>,
    all: BytesMut,
    share: Option<Share>,
}

impl Arriving {
    fn length(&self) -> usize {
        self.first.as_ref().map_or(self.all.len(), Bytes::len)
    }

    /// Adds a chunk; returns the length so far.
    fn add(&mut self, chunk: Bytes) -> usize {
        match self.first.take() {
            None if self.all.is_empty() => self.first = Some(chunk),
            Some(earlier) => {
                self.all.extend_from_slice(&earlier);
                self.all.extend_from_slice(&chunk);
            }
            None => self.all.extend_from_slice(&chunk),
        }
        self.length()
    }

    /// The next chunk, unless the body's memory is needed for another.
    async fn wait(
        &self,
        payload: &mut Payload,
    ) -> Result<Option<Result<Bytes, actix_web::error::PayloadError>>, Rejection> {
        let Some(share) = &self.share else {
            return Ok(payload.next().await);
        };
        tokio::select! {
            biased;
            () = share.signal().raised() => Err(no_memory(Full("total"))),
            next = payload.next() => Ok(next),
        }
    }

    fn end(self) -> Body {
        Body {
            bytes: self.first.unwrap_or_else(|| self.all.freeze()),
            share: self.share,
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::FromRequest as _;
    use actix_web::error::PayloadError;
    use actix_web::test::TestRequest;

    use super::super::turns::Turns;
    use super::*;

    /// Begins to read a body of which `bytes` have come, for an owner that used more than its part; returns how many
    /// owners wait for a turn then.
    async fn waiting_after(bytes: usize) -> usize {
        let bodies = Bodies {
            bytes_max: 1 << 20,
            depth_max: 128,
            within: Duration::from_secs(60),
            memory: Shares::new(1 << 24, IDLE_MS),
        };
        let turns = Turns::new();
        let (greedy, modest) = (Owner::Org("GREEDY"), Owner::Org("MODEST"));
        turns.charge(greedy, 50_000_000);
        turns.charge(modest, 1_000_000);
        let first: Result<Bytes, PayloadError> = Ok(vec![b' '; bytes].into());
        let rest = futures_util::stream::iter([first]).chain(futures_util::stream::pending());
        let stream: std::pin::Pin<Box<dyn futures_util::Stream<Item = _>>> = Box::pin(rest);
        let request = TestRequest::post().to_http_request();
        let mut payload = actix_web::dev::Payload::from(stream);
        let payload = Payload::from_request(&request, &mut payload).await.unwrap();
        let turn = Turn::new(&turns);
        let head = RequestHead::of(&request);
        let source = Source::Connection(payload);
        let reading = bodies.read(&head, source, greedy, Some(&turn));
        assert!(reading.now_or_never().is_none());
        turns.waiting()
    }

    #[actix_web::test]
    async fn an_owner_that_used_more_than_its_part_waits_for_a_turn_within_a_long_body() {
        assert_eq!(waiting_after(BYTES_A_TURN + 1).await, 1);
        // What is short waits once it is whole.
        assert_eq!(waiting_after(BYTES_A_TURN).await, 0);
    }
}
