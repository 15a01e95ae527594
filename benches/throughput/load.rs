//! A lean load generator: keep-alive connections with one request in flight each, on one thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use metarecord::clock::Stopwatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Largest answer read.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What a run measured.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// Good answers a second.
    pub(crate) per_second: f64,
    /// Microseconds: the median.
    pub(crate) p50_us: u32,
    /// Microseconds: 99 of 100 are faster.
    pub(crate) p99_us: u32,
    /// Answers that were not 200.
    pub(crate) errors: u64,
    /// Good answers in all.
    pub(crate) count: u64,
}

/// Sends requests over some connections for some seconds. `make` is given the number of the request and writes it.
pub(crate) fn run(
    address: &str,
    connections: usize,
    seconds: f64,
    make: &dyn Fn(u64, &mut Vec<u8>),
) -> Measured {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let shared = Rc::new(Shared::default());
    let since = Stopwatch::start();
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        let connections =
            (0..connections).map(|_| connection(address, seconds, since, &shared, make));
        futures_util::future::join_all(connections).await;
    });
    measured(
        shared.latencies.take(),
        since.seconds(),
        shared.errors.get(),
    )
}

fn measured(mut latencies: Vec<u32>, seconds: f64, errors: u64) -> Measured {
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        latencies
            .get(index.min(latencies.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0)
    };
    Measured {
        per_second: latencies.len() as f64 / seconds,
        p50_us: at(0.5),
        p99_us: at(0.99),
        errors,
        count: latencies.len() as u64,
    }
}

/// Sends one request; the status of its answer.
pub(crate) fn once(address: &str, make: &dyn Fn(u64, &mut Vec<u8>)) -> u16 {
    use std::io::{Read, Write};
    let mut request = Vec::new();
    make(0, &mut request);
    let mut stream = std::net::TcpStream::connect(address).expect("the server listens");
    stream.write_all(&request).expect("the server reads");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("the server answers");
    let status = std::str::from_utf8(&answer[9..]).expect("an ASCII head");
    status.parse().expect("a status")
}

/// What a paced run measured.
#[derive(Clone, Debug)]
pub(crate) struct Paced {
    /// Calls answered with 200.
    pub(crate) accepted: Measured,
    /// Calls answered with 429.
    pub(crate) refused: Measured,
    /// Other answers.
    pub(crate) others: u64,
}

/// The same as [`run`], at most so many calls a second. A connection that is late goes on at once, and with one call in
/// flight each, so a slow server is offered less: see how many were answered.
pub(crate) fn paced(
    address: &str,
    connections: usize,
    (seconds, per_second): (f64, f64),
    make: &dyn Fn(u64, &mut Vec<u8>),
) -> Paced {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let answers = RefCell::new([Vec::new(), Vec::new(), Vec::new()]);
    let next = Cell::new(0);
    let since = Stopwatch::start();
    runtime.block_on(async {
        let one = async || {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            stream.set_nodelay(true).expect("no delay");
            let (mut request, mut answer) = (Vec::new(), Vec::with_capacity(64 * 1024));
            while since.seconds() < seconds {
                let number = next.replace(next.get() + 1);
                let early = number as f64 / per_second - since.seconds();
                if early > 0.0 {
                    tokio::time::sleep(Duration::from_secs_f64(early)).await;
                }
                request.clear();
                make(number, &mut request);
                let sent = Stopwatch::start();
                stream.write_all(&request).await.expect("the server reads");
                let kind = match read_answer(&mut stream, &mut answer).await {
                    200 => 0,
                    429 => 1,
                    _ => 2,
                };
                answers.borrow_mut()[kind].push((sent.seconds() * 1e6) as u32);
                let end = head_end(&answer).unwrap_or_default();
                if str::from_utf8(&answer[..end])
                    .is_ok_and(|head| head.contains("\r\nconnection: close"))
                {
                    stream = TcpStream::connect(address).await.expect("it listens");
                    stream.set_nodelay(true).expect("no delay");
                }
            }
        };
        futures_util::future::join_all((0..connections).map(|_| one())).await;
    });
    let took = since.seconds();
    let [accepted, refused, others] = answers.into_inner();
    Paced {
        accepted: measured(accepted, took, 0),
        refused: measured(refused, took, 0),
        others: others.len() as u64,
    }
}

#[derive(Default)]
struct Shared {
    next: Cell<u64>,
    errors: Cell<u64>,
    latencies: RefCell<Vec<u32>>,
}

async fn connection(
    address: &str,
    seconds: f64,
    since: Stopwatch,
    shared: &Shared,
    make: &dyn Fn(u64, &mut Vec<u8>),
) {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    stream.set_nodelay(true).expect("no delay");
    let (mut request, mut answer) = (Vec::new(), Vec::with_capacity(64 * 1024));
    while since.seconds() < seconds {
        let number = shared.next.replace(shared.next.get() + 1);
        request.clear();
        make(number, &mut request);
        let sent = Stopwatch::start();
        stream.write_all(&request).await.expect("the server reads");
        if read_answer(&mut stream, &mut answer).await == 200 {
            shared
                .latencies
                .borrow_mut()
                .push((sent.seconds() * 1e6) as u32);
        } else {
            if shared.errors.get() == 0 {
                eprintln!("not a good answer: {}", String::from_utf8_lossy(&answer));
            }
            shared.errors.set(shared.errors.get() + 1);
        }
    }
}

/// Reads one answer; its status.
async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) -> u16 {
    answer.clear();
    let mut whole = None;
    loop {
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read_buf(answer)).await;
        assert!(
            read.expect("an answer within 30 seconds")
                .expect("the server writes")
                > 0,
            "the server hung up"
        );
        assert!(answer.len() < ANSWER_BYTES_MAX);
        if whole.is_none() {
            whole = head_end(answer).map(|end| end + content_length(&answer[..end]));
        }
        if whole.is_some_and(|whole| answer.len() >= whole) {
            let status = answer
                .get(9..12)
                .and_then(|status| str::from_utf8(status).ok());
            return status.and_then(|status| status.parse().ok()).unwrap_or(0);
        }
    }
}

pub(crate) fn head_end(answer: &[u8]) -> Option<usize> {
    answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
}

pub(crate) fn content_length(head: &[u8]) -> usize {
    let head = std::str::from_utf8(head).expect("an ASCII head");
    let line = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    line.and_then(|text| text.parse().ok()).expect("a length")
}
