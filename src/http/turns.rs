//! Whose request is worked on next when a thread has more to do than it can: each owner gets as much of the thread as any
//! other that wants it.
//!
//! An owner is an org, a principal of no known org, or all callers without a credential. What it used of the thread a moment
//! ago is known. A request of one that used no more than its part continues at once; others wait, and continue in the order of
//! what their owners used, least first. After each half millisecond of that, everything else which is ready has its turn.
//! Long bodies are read by turns too. So an owner that asks for little is answered as if nobody else asked for more, and
//! nothing of the thread's time is lost.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::hash::{BuildHasher, Hash};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use foldhash::fast::RandomState;
use tokio::sync::oneshot;

use super::auth::principal::Owner;
use crate::clock::Stopwatch;

/// All callers without a valid credential together have as much of a thread as one org.
const ANONYMOUS: &str = "strangers";
/// After so long what was used counts half.
const HALF_LIFE_MS: u64 = 100;
/// Time of a thread, in nanoseconds, too little to count.
const NOTHING_NS: u64 = 10_000;
/// Nanoseconds of work on requests that waited between two polls of the sockets: what a request that need not wait for a
/// turn waits for at most, besides the longest single step of another. Far above what a poll costs (some microseconds).
const ROUND_NS: u64 = 500_000;

/// What one thread did for whom, and who waits for it.
#[derive(Debug, Default)]
pub struct Turns {
    since: Option<Stopwatch>,
    hasher: RandomState,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    used_ns: HashMap<u64, u64, RandomState>,
    total_ns: u64,
    /// Everything that was ever charged.
    charged_ns: u64,
    halved_at_ms: u64,
    waiting: HashMap<u64, VecDeque<oneshot::Sender<()>>, RandomState>,
    is_resuming: bool,
}

/// A request's part of its thread's time.
#[derive(Debug)]
pub struct Turn {
    turns: Rc<Turns>,
    owner: Cell<Option<u64>>,
    spent_ns: Cell<u64>,
}

impl Turns {
    /// Turns of a thread that did nothing yet.
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            since: Some(Stopwatch::start()),
            ..Self::default()
        })
    }

    /// The turns of the calling thread: all that it serves share them.
    pub fn of_thread() -> Rc<Self> {
        thread_local! {
            static TURNS: Rc<Turns> = Turns::new();
        }
        TURNS.with(Rc::clone)
    }

    fn now_ms(&self) -> u64 {
        self.since.map_or(0, |since| since.millis())
    }

    /// Resumes waiting requests, one after the other; after each round's time all tasks that are ready and all sockets
    /// have their turn.
    async fn resume_waiting(self: Rc<Self>) {
        loop {
            tokio::task::yield_now().await;
            let round_over = self.state.borrow().charged_ns + ROUND_NS;
            loop {
                {
                    let mut state = self.state.borrow_mut();
                    if !state.resume_one() {
                        state.is_resuming = false;
                        return;
                    }
                }
                yield_to_ready_tasks().await;
                if self.state.borrow().charged_ns >= round_over {
                    break;
                }
            }
            // Where all processors are taken, the threads that write, sync and apply what requests wait for come first.
            std::thread::yield_now();
        }
    }
}

impl State {
    fn halve(&mut self, now_ms: u64) {
        if now_ms < self.halved_at_ms + HALF_LIFE_MS {
            return;
        }
        let times = ((now_ms - self.halved_at_ms) / HALF_LIFE_MS).min(63);
        self.halved_at_ms = now_ms;
        self.used_ns.retain(|_, used| {
            *used >>= times;
            *used > NOTHING_NS
        });
        self.total_ns = self.used_ns.values().sum();
    }

    /// Whether an owner used more than its part.
    fn is_over(&self, owner: u64) -> bool {
        let owners = self.used_ns.len() as u64;
        let used = self.used_ns.get(&owner).copied().unwrap_or_default();
        owners > 1 && used.saturating_mul(owners) > self.total_ns
    }

    fn charge(&mut self, owner: u64, ns: u64) {
        *self.used_ns.entry(owner).or_default() += ns;
        self.total_ns += ns;
        self.charged_ns += ns;
    }

    fn resume_one(&mut self) -> bool {
        loop {
            let used = |owner: &u64| self.used_ns.get(owner).copied().unwrap_or_default();
            let Some(owner) = self.waiting.keys().copied().min_by_key(used) else {
                return false;
            };
            let first = self.waiting.get_mut(&owner).and_then(VecDeque::pop_front);
            if self.waiting.get(&owner).is_none_or(VecDeque::is_empty) {
                self.waiting.remove(&owner);
            }
            // A caller who disconnected needs no turn.
            if first.is_some_and(|first| first.send(()).is_ok()) {
                return true;
            }
        }
    }
}

impl Turn {
    /// The turn of a request whose owner is not known yet.
    pub fn new(turns: &Rc<Turns>) -> Self {
        Self {
            turns: turns.clone(),
            owner: Cell::new(None),
            spent_ns: Cell::new(0),
        }
    }

    /// Works on a request and counts the time that takes, but for what it waits.
    pub async fn work<T>(&self, working: impl Future<Output = T>) -> T {
        let mut working = pin!(working);
        poll_fn(|context| {
            let since = Stopwatch::start();
            let polled = working.as_mut().poll(context);
            self.spent(u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX));
            polled
        })
        .await
    }

    /// Counts the request to its owner, and waits until it is its turn. All without a credential are one owner.
    pub(super) async fn wait(&self, owner: Owner<'_>) {
        match owner {
            Owner::Address(_) => self.wait_as(ANONYMOUS).await,
            Owner::Org(_) | Owner::Principal(_) | Owner::Operators => self.wait_as(owner).await,
        }
    }

    /// The same for a request without a valid credential.
    pub(super) async fn wait_as_anonymous(&self) {
        self.wait_as(ANONYMOUS).await;
    }

    async fn wait_as(&self, owner: impl Hash) {
        let owner = self.turns.hasher.hash_one(owner);
        self.owner.set(Some(owner));
        self.spent(0);
        let waiting = {
            let mut state = self.turns.state.borrow_mut();
            if !state.is_over(owner) {
                return;
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting.entry(owner).or_default().push_back(sender);
            if !std::mem::replace(&mut state.is_resuming, true) {
                actix_web::rt::spawn(self.turns.clone().resume_waiting());
            }
            receiver
        };
        // The sender is only dropped with the thread.
        let _: Result<(), _> = waiting.await;
    }

    fn spent(&self, ns: u64) {
        let spent = self.spent_ns.get().saturating_add(ns);
        let Some(owner) = self.owner.get() else {
            return self.spent_ns.set(spent);
        };
        self.spent_ns.set(0);
        let mut state = self.turns.state.borrow_mut();
        state.halve(self.turns.now_ms());
        state.charge(owner, spent);
    }
}

#[cfg(test)]
impl Turns {
    /// Notes work of an owner as if it had just been done.
    pub(super) fn charge(&self, owner: Owner<'_>, ns: u64) {
        self.state
            .borrow_mut()
            .charge(self.hasher.hash_one(owner), ns);
    }

    /// The same for callers without a credential.
    pub(super) fn charge_anonymous(&self, ns: u64) {
        self.state
            .borrow_mut()
            .charge(self.hasher.hash_one(ANONYMOUS), ns);
    }

    /// Owners whose requests wait for a turn.
    pub(super) fn waiting(&self) -> usize {
        self.state.borrow().waiting.len()
    }
}

/// Goes to the end of the thread's queue, without polling the sockets: tasks that were woken before run now.
async fn yield_to_ready_tasks() {
    let mut went = false;
    poll_fn(|context| {
        if std::mem::replace(&mut went, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_used_more_than_its_part_waits_behind_whoever_used_less() {
        let mut state = State::default();
        state.charge(1, 1_000_000);
        // Alone it has all of the thread.
        assert!(!state.is_over(1));
        state.charge(2, 100_000);
        state.charge(3, 2_000_000);
        assert_eq!(
            [1, 2, 3].map(|owner| state.is_over(owner)),
            [false, false, true]
        );
        state.charge(1, 1_000_000);
        let mut receivers = Vec::new();
        for owner in [3, 1, 3, 2] {
            let (sender, receiver) = oneshot::channel();
            state.waiting.entry(owner).or_default().push_back(sender);
            receivers.push((owner, receiver));
        }
        // One has disconnected.
        receivers.remove(1);
        let mut order = Vec::new();
        while state.resume_one() {
            let gone =
                |(_, receiver): &mut (u64, oneshot::Receiver<()>)| receiver.try_recv().is_ok();
            let at = receivers.iter_mut().position(gone).unwrap();
            order.push(receivers.remove(at).0);
        }
        assert_eq!(order, [2, 3, 3]);
        assert!(state.waiting.is_empty());
    }

    #[actix_web::test]
    async fn sockets_are_polled_after_each_half_millisecond_of_waiting_work() {
        use std::io::Write as _;

        use tokio::io::AsyncReadExt as _;

        const WAITING: usize = 8;
        let (mut far, near) = std::os::unix::net::UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut near = tokio::net::UnixStream::from_std(near).unwrap();
        let turns = Turns::new();
        let greedy = Owner::Org("GREEDY");
        turns.charge(greedy, 1 << 60);
        turns.charge(Owner::Org("MODEST"), 1 << 50);
        let order = Rc::new(RefCell::new(Vec::new()));
        let socket = actix_web::rt::spawn({
            let order = order.clone();
            async move {
                near.read_u8().await.unwrap();
                order.borrow_mut().push("socket");
            }
        });
        // It waits for its byte before anything else is resumed.
        tokio::task::yield_now().await;
        let mut waiting = Vec::new();
        for _ in 0..WAITING {
            let (turns, order) = (turns.clone(), order.clone());
            // The first of them has the byte sent.
            let mut far = far.try_clone().unwrap();
            waiting.push(actix_web::rt::spawn(async move {
                Turn::new(&turns).wait(greedy).await;
                let is_first = order.borrow().is_empty();
                if is_first {
                    far.write_all(b"x").unwrap();
                }
                // Each is two fifths of a round.
                turns.charge(greedy, 200_000);
                order.borrow_mut().push("request");
            }));
        }
        for task in waiting {
            task.await.unwrap();
        }
        far.flush().unwrap();
        socket.await.unwrap();
        let order = order.borrow();
        assert_eq!(order[..3], ["request"; 3], "a round is half a millisecond");
        assert_eq!(order[3], "socket", "{order:?}");
        assert_eq!(order.len(), WAITING + 1);
    }

    #[test]
    fn what_was_used_is_forgotten() {
        let mut state = State::default();
        state.charge(1, 80_000);
        state.charge(2, 160_000);
        state.halve(3 * HALF_LIFE_MS);
        assert_eq!((state.total_ns, state.used_ns.len()), (20_000, 1));
        state.halve(4 * HALF_LIFE_MS);
        assert_eq!((state.total_ns, state.used_ns.len()), (0, 0));
        state.halve(1_000_000 * HALF_LIFE_MS);
    }
}
