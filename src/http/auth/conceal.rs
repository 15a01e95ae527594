//! Answers that all take equally long, so that timing does not reveal what exists and is another org's.
//!
//! A stranger's call costs a receipt, and a call that finds nothing reads more rows: some ten microseconds, which many
//! calls reveal. Both are answered after a fixed span that is many times as long. The runtime's own timer wakes a fixed
//! time after the last work, and so would reveal how long that took; a thread of its own wakes at a fixed time.

use parking_lot::{Condvar, Mutex, MutexGuard};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::Stopwatch;

/// Many times what a look-up takes.
const SPAN: Duration = Duration::from_millis(2);

/// Delays answers that must be indistinguishable to the end of a span.
pub struct Concealment {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    epoch: Stopwatch,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// By when, since the epoch; then by number, so that no two are equal.
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    tell: std::collections::HashMap<u64, oneshot::Sender<()>>,
    last: u64,
    closed: bool,
}

impl Concealment {
    /// Starts its thread.
    ///
    /// # Errors
    /// An I/O error when no thread can be started.
    pub fn start() -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            epoch: Stopwatch::start(),
            waiting: Mutex::default(),
            changed: Condvar::new(),
        });
        let thread = {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name("conceal".to_owned())
                .spawn(move || shared.run())?
        };
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Waits until what has taken so long so far has taken a span, or the next multiple of one.
    pub async fn wait(&self, taken: Duration) {
        let spans = u32::try_from(taken.as_nanos() / SPAN.as_nanos()).unwrap_or(u32::MAX);
        let left = SPAN
            .saturating_mul(spans.saturating_add(1))
            .saturating_sub(taken);
        let told = self.shared.enter(self.shared.epoch.elapsed() + left);
        // A thread that has ended delays no caller.
        let _: Result<(), _> = told.await;
    }
}

impl Drop for Concealment {
    fn drop(&mut self) {
        self.shared.waiting().closed = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _: Result<(), _> = thread.join();
        }
    }
}

impl Shared {
    fn enter(&self, end: Duration) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        let mut waiting = self.waiting();
        waiting.last += 1;
        let number = waiting.last;
        waiting.tell.insert(number, tell);
        waiting.queue.push(Reverse((end, number)));
        let is_next = waiting.queue.peek() == Some(&Reverse((end, number)));
        drop(waiting);
        if is_next {
            self.changed.notify_one();
        }
        told
    }

    fn run(&self) {
        let mut waiting = self.waiting();
        while !waiting.closed {
            let now = self.epoch.elapsed();
            let Some(Reverse((end, number))) = waiting.queue.peek().copied() else {
                self.changed.wait(&mut waiting);
                continue;
            };
            if end <= now {
                waiting.queue.pop();
                if let Some(tell) = waiting.tell.remove(&number) {
                    // A caller who disconnected needs no wake-up.
                    let _: Result<(), ()> = tell.send(());
                }
                continue;
            }
            self.changed.wait_for(&mut waiting, end - now);
        }
        waiting.tell.clear();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_was_taken_before_a_whole_number_of_spans_is_taken_in_all() {
        let concealment = Concealment::start().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        for (taken, least) in [
            (0, 2_000),
            (100, 1_900),
            (1_999, 1),
            (2_000, 2_000),
            (5_500, 500),
        ] {
            let since = Stopwatch::start();
            runtime.block_on(concealment.wait(Duration::from_micros(taken)));
            assert!(since.elapsed() >= Duration::from_micros(least), "{taken}");
        }
        // Many at once, in any order.
        let all = (0..100).map(|number| concealment.wait(Duration::from_micros(number * 17)));
        runtime.block_on(futures_util::future::join_all(all));
        assert!(concealment.shared.waiting().tell.is_empty());
    }
}
