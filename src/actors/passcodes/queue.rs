//! The queue of passcodes to check: short, with turns for each address, so that no address can fill it.

use parking_lot::{Mutex, MutexGuard};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::super::Refused;
use super::Peer;
use crate::offload;

/// Passcodes that may wait for a check: some seconds' worth. Past it callers get 429, the newest of the address with
/// the most of them first.
pub(super) const PASSCODES_WAITING_MAX: usize = 64;

/// The queue of passcodes to check. Known addresses and others take turns, and within each the addresses do.
pub(super) struct Queue {
    /// Passcodes checked at once; each takes 32 MiB and a processor.
    at_once: usize,
    state: Mutex<State>,
}

impl Default for Queue {
    /// As many at once as there are threads that compute.
    fn default() -> Self {
        Self {
            at_once: offload::computing_threads(),
            state: Mutex::default(),
        }
    }
}

#[derive(Default)]
struct State {
    looking: usize,
    known: Lane,
    others: Lane,
    /// The other addresses had the last turn.
    known_is_next: bool,
}

/// Addresses that wait, in the order of their turns.
#[derive(Default)]
struct Lane {
    turns: VecDeque<Peer>,
    waiting: HashMap<Peer, VecDeque<oneshot::Sender<Place>>>,
}

/// Permission to check a passcode; when it is dropped, the next in the queue gets it.
pub(super) struct Place(Option<Arc<Queue>>);

impl Queue {
    /// The number of passcodes that are checked or wait for a check.
    pub(super) fn len(&self) -> usize {
        let state = self.state();
        state.looking + state.waiting()
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// `Busy` when too many wait already, the caller's own address among those with the most.
    pub(super) async fn enter(self: &Arc<Self>, from: Peer, known: bool) -> Result<Place, Refused> {
        let told = {
            let mut state = self.state();
            if state.looking < self.at_once {
                state.looking += 1;
                return Ok(Place(Some(self.clone())));
            }
            state.join(from, known)?
        };
        told.await.map_err(|_| Refused::Busy)
    }

    /// Passes a place to the next in the queue, or frees it when the queue is empty.
    fn next(self: &Arc<Self>) {
        let mut state = self.state();
        while let Some(next) = state.take() {
            let place = Place(Some(self.clone()));
            match next.send(place) {
                Ok(()) => return,
                // The caller disconnected: this place is not given back, the next in the queue gets it.
                Err(mut place) => place.0 = None,
            }
        }
        state.looking -= 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one step: a panic elsewhere leaves nothing half done.
        self.state.lock()
    }
}

impl State {
    fn waiting(&self) -> usize {
        self.known.len() + self.others.len()
    }

    fn join(&mut self, from: Peer, known: bool) -> Result<oneshot::Receiver<Place>, Refused> {
        if self.waiting() >= PASSCODES_WAITING_MAX {
            self.known.remove_disconnected();
            self.others.remove_disconnected();
        }
        if self.waiting() >= PASSCODES_WAITING_MAX {
            let own = if known {
                self.known.of(from)
            } else {
                self.others.of(from)
            };
            // A known address is admitted before others have a second place each.
            let fewest = if known { own } else { own + 1 };
            let made_room =
                self.others.give_up_newest(fewest) || known && self.known.give_up_newest(own + 1);
            if !made_room {
                return Err(Refused::Busy);
            }
        }
        let (tell, told) = oneshot::channel();
        let lane = if known {
            &mut self.known
        } else {
            &mut self.others
        };
        lane.push(from, tell);
        Ok(told)
    }

    fn take(&mut self) -> Option<oneshot::Sender<Place>> {
        let first = if self.known_is_next {
            self.known.take().or_else(|| self.others.take())
        } else {
            self.others.take().or_else(|| self.known.take())
        };
        self.known_is_next = !self.known_is_next;
        first
    }
}

impl Lane {
    fn len(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    fn of(&self, from: Peer) -> usize {
        self.waiting.get(&from).map_or(0, VecDeque::len)
    }

    fn push(&mut self, from: Peer, tell: oneshot::Sender<Place>) {
        let own = self.waiting.entry(from).or_default();
        if own.is_empty() {
            self.turns.push_back(from);
        }
        own.push_back(tell);
    }

    fn take(&mut self) -> Option<oneshot::Sender<Place>> {
        let from = self.turns.pop_front()?;
        let own = self.waiting.get_mut(&from)?;
        let first = own.pop_front();
        if own.is_empty() {
            drop(self.waiting.remove(&from))
        } else {
            self.turns.push_back(from)
        }
        first
    }

    /// Refuses the newest of the address that has the most, if that is more than `fewest`.
    fn give_up_newest(&mut self, fewest: usize) -> bool {
        let most = self.waiting.iter().max_by_key(|(_, own)| own.len());
        let Some((from, _)) = most.filter(|(_, own)| own.len() > fewest) else {
            return false;
        };
        let from = *from;
        if let Some(own) = self.waiting.get_mut(&from) {
            drop(own.pop_back());
            self.remove_empty_turns();
        }
        true
    }

    fn remove_disconnected(&mut self) {
        for own in self.waiting.values_mut() {
            own.retain(|tell| !tell.is_closed());
        }
        self.remove_empty_turns();
    }

    /// Removes the turns of addresses that have nothing waiting.
    fn remove_empty_turns(&mut self) {
        self.waiting.retain(|_, own| !own.is_empty());
        let waiting = &self.waiting;
        self.turns.retain(|from| waiting.contains_key(from));
    }
}

impl Place {
    /// Runs work that takes a processor and 32 MiB for a while, on a thread of its own. The place is held by the work, which
    /// continues when the caller disconnects.
    pub(super) async fn look<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let done = offload::computing(move || {
            let _place = self;
            work()
        });
        let done = done.await;
        done.map_err(Refused::failed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Entering = Pin<Box<dyn Future<Output = Result<Place, Refused>>>>;

    fn from(last: u8) -> Peer {
        Peer(Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))))
    }

    fn poll(entering: &mut Entering) -> Poll<Result<Place, Refused>> {
        entering
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Joins the queue, and returns the waiting future.
    fn join(queue: &Arc<Queue>, last: u8, known: bool) -> Entering {
        let queue = queue.clone();
        let mut entering: Entering = Box::pin(async move { queue.enter(from(last), known).await });
        assert!(poll(&mut entering).is_pending(), "{last}");
        entering
    }

    /// A line whose places are taken.
    fn full() -> (Arc<Queue>, Vec<Place>) {
        let queue = Arc::new(Queue::default());
        let places = (0..queue.at_once).map(|_| {
            let queue = queue.clone();
            let mut entering: Entering = Box::pin(async move { queue.enter(from(1), false).await });
            match poll(&mut entering) {
                Poll::Ready(Ok(place)) => place,
                Poll::Ready(Err(_)) | Poll::Pending => panic!("a place is free"),
            }
        });
        let places = places.collect();
        (queue, places)
    }

    #[test]
    fn a_flood_from_twelve_addresses_leaves_a_newcomer_the_turn_after_each_had_one() {
        let (queue, mut places) = full();
        let mut flood = Vec::new();
        for number in 0..PASSCODES_WAITING_MAX {
            let last = u8::try_from(number % 12).unwrap() + 10;
            flood.push(join(&queue, last, false));
        }
        let mut newcomer = join(&queue, 2, false);
        let before = flood.len();
        flood.retain_mut(|one| poll(one).is_pending());
        assert_eq!(before - flood.len(), 1, "one of a flooding address");
        let mut turns = 0;
        let mut own = None;
        while own.is_none() {
            drop(places.pop());
            turns += 1;
            assert!(turns <= 13, "the newcomer waits for ever");
            if let Poll::Ready(place) = poll(&mut newcomer) {
                own = place.ok();
            }
            flood.retain_mut(|one| match poll(one) {
                Poll::Ready(place) => {
                    places.extend(place.ok());
                    false
                }
                Poll::Pending => true,
            });
        }
        assert!(own.is_some());
    }

    #[test]
    fn a_known_address_gets_every_second_turn_and_a_place_where_each_other_has_one() {
        let (queue, mut places) = full();
        let mut others: Vec<_> = (0..PASSCODES_WAITING_MAX)
            .map(|number| join(&queue, u8::try_from(number).unwrap() + 10, false))
            .collect();
        let refused = {
            let queue = queue.clone();
            let mut entering: Entering = Box::pin(async move { queue.enter(from(2), false).await });
            matches!(poll(&mut entering), Poll::Ready(Err(Refused::Busy)))
        };
        assert!(refused, "one more of many others is not let in");
        let mut known = join(&queue, 3, true);
        drop(places.pop());
        let mut served = others.iter_mut().filter_map(|one| match poll(one) {
            Poll::Ready(place) => place.ok(),
            Poll::Pending => None,
        });
        places.extend(served.next());
        drop(places.pop());
        assert!(matches!(poll(&mut known), Poll::Ready(Ok(_))));
    }

    #[test]
    fn who_hangs_up_is_passed_over_and_a_place_is_never_lost() {
        let (queue, mut places) = full();
        let (gone, mut stays) = (join(&queue, 2, false), join(&queue, 3, false));
        drop(gone);
        drop(places.pop());
        let place = match poll(&mut stays) {
            Poll::Ready(Ok(place)) => place,
            Poll::Ready(Err(_)) | Poll::Pending => panic!("the next in line has it"),
        };
        // Handed over to a caller that is gone.
        let handed = join(&queue, 4, false);
        drop(place);
        drop(handed);
        drop(places);
        assert_eq!(queue.len(), 0);
    }
}
