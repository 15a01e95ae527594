//! The load generator, the same for every peer: keep-alive connections with one request in flight each, on one thread.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::failure::{Failure, Result, While};

/// Largest answer read.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Longest wait for an answer.
const WAIT: Duration = Duration::from_secs(30);

/// When a run ends.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// After so much time.
    Passed(Duration),
    /// After so many requests.
    Sent(u64),
}

/// What a run measured.
pub(crate) struct Measured {
    /// Answers, all of them with status 200.
    pub(crate) answers: u64,
    /// Answers a second.
    pub(crate) per_second: f64,
    /// Microseconds: the median.
    pub(crate) p50_us: u32,
    /// Microseconds: 99 of 100 are faster.
    pub(crate) p99_us: u32,
}

/// Writes the request with a number.
pub(crate) type Make<'a> = &'a dyn Fn(u64, &mut Vec<u8>);

/// Sends requests over some connections. The first answer that is not 200 ends it.
pub(crate) fn run(
    address: &str,
    connections: u64,
    until: Until,
    make: Make<'_>,
) -> Result<Measured> {
    let run = Run {
        address,
        until,
        make,
        since: Instant::now(),
        next: Cell::new(0),
        latencies: RefCell::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let all = (0..connections).map(|_| run.connection());
    runtime
        .while_trying("starting the load generator")?
        .block_on(futures_util::future::try_join_all(all))?;
    let seconds = run.since.elapsed().as_secs_f64();
    let mut latencies = run.latencies.into_inner();
    latencies.sort_unstable();
    let at = |share: usize| {
        latencies.get((latencies.len() * share / 100).min(latencies.len().saturating_sub(1)))
    };
    Ok(Measured {
        answers: latencies.len() as u64,
        per_second: latencies.len() as f64 / seconds,
        p50_us: at(50).copied().unwrap_or(0),
        p99_us: at(99).copied().unwrap_or(0),
    })
}

/// Sends one request; the body of its answer.
pub(crate) fn once(address: &str, make: Make<'_>) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .while_trying("starting the load generator")?
        .block_on(async {
            let mut stream = connect(address).await?;
            let (mut request, mut answer) = (Vec::new(), Vec::new());
            make(0, &mut request);
            let head = exchange(&mut stream, &request, &mut answer).await?;
            Ok(String::from_utf8_lossy(&answer[head..]).into_owned())
        })
}

struct Run<'a> {
    address: &'a str,
    until: Until,
    make: Make<'a>,
    since: Instant,
    next: Cell<u64>,
    latencies: RefCell<Vec<u32>>,
}

impl Run<'_> {
    fn goes_on(&self) -> bool {
        match self.until {
            Until::Passed(time) => self.since.elapsed() < time,
            Until::Sent(requests) => self.next.get() < requests,
        }
    }

    async fn connection(&self) -> Result<()> {
        let mut stream = connect(self.address).await?;
        let (mut request, mut answer) = (Vec::new(), Vec::with_capacity(64 * 1024));
        while self.goes_on() {
            request.clear();
            (self.make)(self.next.replace(self.next.get() + 1), &mut request);
            let sent = Instant::now();
            exchange(&mut stream, &request, &mut answer).await?;
            let us = u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX);
            self.latencies.borrow_mut().push(us);
        }
        Ok(())
    }
}

async fn connect(address: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)
        .await
        .while_trying("connecting to the peer")?;
    stream
        .set_nodelay(true)
        .while_trying("connecting to the peer")?;
    Ok(stream)
}

/// Sends a request and reads its answer; where the answer's body begins.
async fn exchange(stream: &mut TcpStream, request: &[u8], answer: &mut Vec<u8>) -> Result<usize> {
    stream
        .write_all(request)
        .await
        .while_trying("sending a request")?;
    answer.clear();
    let mut whole = None;
    loop {
        let read = tokio::time::timeout(WAIT, stream.read_buf(answer)).await;
        let read = read
            .while_trying("waiting for an answer")?
            .while_trying("reading an answer")?;
        if read == 0 || answer.len() > ANSWER_BYTES_MAX {
            return Err(Failure::new(format!(
                "the peer hung up, or answered without end, after {} bytes",
                answer.len()
            )));
        }
        if whole.is_none()
            && let Some(head) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")
        {
            whole = Some((head + 4, content_length(&answer[..head])?));
        }
        if let Some((head, length)) = whole
            && answer.len() >= head + length
        {
            if answer.get(9..12) != Some(b"200") {
                let (asked, got) = (
                    String::from_utf8_lossy(request),
                    String::from_utf8_lossy(answer),
                );
                return Err(Failure::new(format!(
                    "an answer that is not 200. Asked:\n{asked}\nAnswered:\n{got}"
                )));
            }
            return Ok(head);
        }
    }
}

fn content_length(head: &[u8]) -> Result<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    length.ok_or_else(|| Failure::new(format!("an answer without a content-length:\n{head}")))
}
