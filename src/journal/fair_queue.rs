//! The order in which waiting appends are written when more wait than one group should take: every owner has as much of
//! the writer as any other that needs it, and what one owner's appends cost does not delay another's.
//!
//! It is fair queueing (Demers, Keshav and Shenker, 1989): the next append is one of the owner that was served least. An
//! owner begins at what a part of all work since would have been, so that no owner saves up, and newcomers cannot keep
//! others waiting for ever.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::BuildHasher;
use std::ops::ControlFlow;

use foldhash::fast::RandomState;

/// Owners with nothing waiting that are remembered beyond as many as have something.
const IDLE_OWNERS: usize = 64;

/// Appends of many owners that wait for a group. Those of one owner stay in their order.
#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    hasher: RandomState,
    owners: HashMap<u64, Owner<T>, RandomState>,
    /// The owners with something waiting, by what they were served, and by who came first.
    next: BTreeSet<(u64, u64, u64)>,
    /// What an owner would have been served that always had something waiting.
    part: u64,
    /// How often an owner was put into `next`.
    came: u64,
    waiting: usize,
}

#[derive(Debug)]
struct Owner<T> {
    served: u64,
    waiting: VecDeque<(u64, T)>,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self {
            hasher: RandomState::default(),
            owners: HashMap::default(),
            next: BTreeSet::default(),
            part: 0,
            came: 0,
            waiting: 0,
        }
    }
}

impl<T> FairQueue<T> {
    /// The number of waiting appends, of all owners.
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Takes what makes up a group, in turn, until `take` has enough, or while several owners wait, until `shared_cost_max`
    /// is reached: the next owner has to wait for no more than that.
    pub(crate) fn pop_group(
        &mut self,
        shared_cost_max: u64,
        mut take: impl FnMut(T) -> ControlFlow<()>,
    ) {
        let is_shared = self.next.len() > 1;
        let mut cost = 0;
        while !is_shared || cost < shared_cost_max {
            let Some((own_cost, item)) = self.pop() else {
                return;
            };
            cost += own_cost;
            if take(item).is_break() {
                return;
            }
        }
    }

    /// Adds an item after everything else that its owner has waiting; `cost` is in any unit.
    pub(crate) fn push(&mut self, owner: &str, cost: u64, item: T) {
        let id = self.hasher.hash_one(owner);
        let part = self.part;
        let owner = self.owners.entry(id).or_insert_with(|| Owner {
            served: part,
            waiting: VecDeque::new(),
        });
        if owner.waiting.is_empty() {
            owner.served = owner.served.max(part);
            self.came += 1;
            self.next.insert((owner.served, self.came, id));
        }
        owner.waiting.push_back((cost, item));
        self.waiting += 1;
    }

    /// The next of the owner that was served least, and its cost.
    fn pop(&mut self) -> Option<(u64, T)> {
        let owners = self.next.len() as u64;
        let (served, _, id) = self.next.pop_first()?;
        let owner = self.owners.get_mut(&id)?;
        let (cost, item) = owner.waiting.pop_front()?;
        self.waiting -= 1;
        self.part = self.part.saturating_add(cost / owners);
        owner.served = served.saturating_add(cost);
        if !owner.waiting.is_empty() {
            self.came += 1;
            self.next.insert((owner.served, self.came, id));
        }
        if self.waiting == 0 {
            // No owner waits, so none has had more than another wanted.
            self.owners.clear();
        } else if self.owners.len() > 2 * self.next.len() + IDLE_OWNERS {
            let part = self.part;
            self.owners
                .retain(|_, owner| !owner.waiting.is_empty() || owner.served > part);
        }
        Some((cost, item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(queue: &mut FairQueue<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.pop())
            .map(|(_, item)| item)
            .collect()
    }

    #[test]
    fn an_owner_with_one_append_passes_those_with_many() {
        let mut queue = FairQueue::default();
        for item in ["a1", "a2", "a3"] {
            queue.push("a", 100, item);
        }
        queue.push("b", 100, "b1");
        assert_eq!(queue.pop().map(|(_, item)| item), Some("a1"));
        assert_eq!(order(&mut queue), ["b1", "a2", "a3"]);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_is_dear_counts_for_as_much_as_it_costs() {
        let mut queue = FairQueue::default();
        for item in ["long1", "long2"] {
            queue.push("a", 1_000, item);
        }
        for item in ["b1", "b2", "b3", "b4"] {
            queue.push("b", 300, item);
        }
        let first = queue.pop().map(|(_, item)| item);
        let mut all: Vec<_> = first.into_iter().collect();
        all.extend(order(&mut queue));
        let second_long = all.iter().position(|item| *item == "long2").unwrap();
        assert_eq!(second_long, 5, "{all:?}");
    }

    #[test]
    fn who_comes_later_has_saved_nothing_up() {
        let mut queue = FairQueue::default();
        for item in ["a1", "a2", "a3", "a4", "a5", "a6"] {
            queue.push("a", 100, item);
        }
        for _ in 0..3 {
            queue.pop();
        }
        for item in ["b1", "b2", "b3"] {
            queue.push("b", 100, item);
        }
        let order = order(&mut queue);
        let last = order.iter().position(|item| *item == "b3").unwrap();
        assert!(last >= 4, "{order:?}");
    }

    #[test]
    fn a_group_is_bounded_while_several_owners_wait() {
        let group = |queue: &mut FairQueue<&str>| {
            let mut taken = 0;
            queue.pop_group(500, |_| {
                taken += 1;
                ControlFlow::Continue(())
            });
            taken
        };
        let mut queue = FairQueue::default();
        for _ in 0..20 {
            queue.push("a", 100, "a");
        }
        queue.push("b", 100, "b");
        assert_eq!(group(&mut queue), 5, "two wait");
        assert_eq!(group(&mut queue), 16, "one waits");
        assert!(queue.is_empty());
    }

    #[test]
    fn owners_that_are_gone_take_no_memory() {
        let mut queue = FairQueue::default();
        let mut served_old = 0;
        for _ in 0..4 {
            queue.push("there", 1_000_000, "waits");
        }
        queue.push("other", 1_000, "waits longer");
        for number in 0..20_000 {
            queue.push(&format!("org-{number}"), 1_000, "once");
            served_old += usize::from(queue.pop().map(|(_, item)| item) == Some("waits"));
        }
        assert_eq!(
            served_old, 4,
            "newcomers do not keep an owner waiting for ever"
        );
        assert!(queue.owners.len() <= 2 * queue.next.len() + IDLE_OWNERS + 1);
    }
}
