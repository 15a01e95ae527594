//! Who waits for changes of an org's records: woken when such changes are durable and in the projections, which are kept
//! for a while, so that the many who watch one org do not each read them from the journal.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::record_changed::{Changes, RecordChanged, Selection};
use crate::journal::Position;

/// Changes kept of each org that is watched: a few hundred bytes each.
const KEPT_MAX: usize = 1_024;

/// Those who wait, by org. An org without any has no place here, so that a change of its records costs one comparison.
#[derive(Debug, Default)]
pub struct Watchers {
    count: AtomicUsize,
    closed: AtomicBool,
    orgs: Mutex<HashMap<String, Watched>>,
}

/// An org that somebody watches.
#[derive(Debug)]
struct Watched {
    /// The position up to which its changes can be read; 0 before the first since it is watched.
    shown: watch::Sender<Position>,
    /// Its last changes: all of them after `complete_after`.
    kept: VecDeque<Arc<RecordChanged>>,
    complete_after: Position,
}

/// One who waits; from its beginning on it misses no change.
#[derive(Debug)]
pub struct Watcher {
    watchers: Arc<Watchers>,
    org: String,
    shown: watch::Receiver<Position>,
}

impl Watchers {
    /// Begins to watch an org's changes.
    pub fn watch(self: &Arc<Self>, org: &str) -> Watcher {
        let mut orgs = self.orgs.lock();
        let watched = orgs.entry(org.to_owned()).or_insert_with(|| Watched {
            shown: watch::channel(0).0,
            kept: VecDeque::new(),
            complete_after: Position::MAX,
        });
        self.count.fetch_add(1, Ordering::SeqCst);
        Watcher {
            watchers: self.clone(),
            org: org.to_owned(),
            shown: watched.shown.subscribe(),
        }
    }

    /// Those who watch any org now.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Ends all waiting, now and later: the server stops.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for watched in self.orgs.lock().values() {
            watched.shown.send_modify(|_| {});
        }
    }

    /// Whether [`Watchers::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Gives up what is kept: what was erased from the journal must not be told any more, so all is read from there again.
    pub fn forget_kept(&self) {
        for watched in self.orgs.lock().values_mut() {
            watched.kept.clear();
            watched.complete_after = Position::MAX;
        }
    }

    /// Keeps changes for those who watch their orgs, and wakes them. All changes up to a position can be read.
    pub(super) fn tell<'a>(
        &self,
        changes: impl Iterator<Item = (&'a str, Box<dyn FnOnce() -> RecordChanged + 'a>)>,
        shown: Position,
    ) {
        let mut orgs = self.orgs.lock();
        let mut told: Vec<&str> = Vec::new();
        for (org, change) in changes {
            let Some(watched) = orgs.get_mut(org) else {
                continue;
            };
            watched.keep(change());
            if told.last() != Some(&org) {
                told.push(org);
            }
        }
        for org in told {
            if let Some(watched) = orgs.get(org) {
                watched.shown.send_replace(shown);
            }
        }
    }
}

impl Watched {
    fn keep(&mut self, change: RecordChanged) {
        if self.kept.is_empty() {
            self.complete_after = change.position - 1;
        }
        if self.kept.len() == KEPT_MAX
            && let Some(oldest) = self.kept.pop_front()
        {
            self.complete_after = oldest.position;
        }
        self.kept.push_back(Arc::new(change));
    }
}

impl Watcher {
    /// Waits for changes since the last call of this or of [`Watcher::kept_after`], or until the server stops.
    pub async fn changed(&mut self) {
        if !self.watchers.is_closed() {
            // The sender is there as long as somebody watches.
            let _: Result<(), watch::error::RecvError> = self.shown.changed().await;
        }
    }

    /// At most `limit` changes after a position, if all of those after it are kept. Otherwise they are to be read, which
    /// has all that was told so far.
    pub fn kept_after(
        &mut self,
        selection: &Selection,
        after: Position,
        limit: usize,
    ) -> Option<Changes> {
        let orgs = self.watchers.orgs.lock();
        let shown = *self.shown.borrow_and_update();
        let watched = orgs.get(&self.org)?;
        if after < watched.complete_after {
            return None;
        }
        let mut found = Changes {
            until: after.max(shown),
            ..Changes::default()
        };
        let from = watched.kept.partition_point(|kept| kept.position <= after);
        for kept in watched
            .kept
            .range(from..)
            .filter(|kept| selection.has(kept))
        {
            if found.items.len() == limit {
                found.until = found.items.last().map_or(after, |last| last.position);
                found.more = true;
                break;
            }
            found.items.push(kept.clone());
        }
        Some(found)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut orgs = self.watchers.orgs.lock();
        self.watchers.count.fetch_sub(1, Ordering::SeqCst);
        // Its own receiver is still there.
        if orgs
            .get(&self.org)
            .is_some_and(|watched| watched.shown.receiver_count() == 1)
        {
            orgs.remove(&self.org);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::poll_immediate;

    use super::*;
    use crate::domain::{ContainerName, OrgCode};

    fn change(position: Position, container: &str) -> RecordChanged {
        let mut change = crate::projections::record_changed::tests::change();
        change.position = position;
        change.container = container.to_owned();
        change
    }

    fn tell(watchers: &Watchers, orgs: &[&'static str], first: Position) {
        let changes = orgs.iter().zip(first..).map(|(org, position)| {
            let change: Box<dyn FnOnce() -> RecordChanged> =
                Box::new(move || change(position, if position % 2 == 0 { "even" } else { "odd" }));
            (*org, change)
        });
        watchers.tell(changes, first + orgs.len() as Position - 1);
    }

    fn of(container: Option<&str>) -> Selection {
        Selection {
            org: OrgCode::parse("AAAA").unwrap(),
            container: container.map(|name| ContainerName::parse(name).unwrap()),
        }
    }

    #[actix_web::test]
    async fn who_watches_an_org_is_woken_by_its_changes_alone() {
        let watchers = Arc::new(Watchers::default());
        tell(&watchers, &["A"], 1);
        let (mut a, mut b) = (watchers.watch("A"), watchers.watch("B"));
        let other = watchers.watch("A");
        assert!(poll_immediate(a.changed()).await.is_none());
        tell(&watchers, &["A", "A", "C"], 2);
        assert!(poll_immediate(a.changed()).await.is_some());
        assert!(poll_immediate(a.changed()).await.is_none());
        assert!(poll_immediate(b.changed()).await.is_none());
        tell(&watchers, &["A"], 5);
        assert!(a.kept_after(&of(None), 4, 9).is_some());
        assert!(
            poll_immediate(a.changed()).await.is_none(),
            "what was read wakes nobody"
        );
        watchers.close();
        assert!(poll_immediate(b.changed()).await.is_some());
        assert!(poll_immediate(a.changed()).await.is_some());
        drop((a, other));
        assert_eq!(watchers.count(), 1);
        drop(b);
        assert!(watchers.orgs.lock().is_empty());
    }

    #[test]
    fn what_was_erased_is_not_kept_and_nothing_after_it_is_passed() {
        let watchers = Arc::new(Watchers::default());
        let mut watcher = watchers.watch("A");
        tell(&watchers, &["A", "A"], 10);
        assert!(watcher.kept_after(&of(None), 9, 9).is_some());
        watchers.forget_kept();
        for after in [9, 10, 11] {
            assert!(watcher.kept_after(&of(None), after, 9).is_none());
        }
        tell(&watchers, &["A"], 14);
        assert!(watcher.kept_after(&of(None), 12, 9).is_none());
        let found = watcher.kept_after(&of(None), 13, 9).unwrap();
        assert_eq!(found.items.len(), 1);
    }

    #[test]
    fn changes_are_kept_without_a_gap_or_are_to_be_read() {
        let watchers = Arc::new(Watchers::default());
        let mut watcher = watchers.watch("A");
        assert!(watcher.kept_after(&of(None), 9, 9).is_none());
        tell(&watchers, &["A", "A", "B", "A"], 10);
        assert!(watcher.kept_after(&of(None), 8, 9).is_none());
        let read = |watcher: &mut Watcher, of: &Selection, after, limit| {
            let found = watcher.kept_after(of, after, limit).unwrap();
            let items = found.items.iter().map(|item| item.position);
            (items.collect::<Vec<_>>(), found.until, found.more)
        };
        let all = read(&mut watcher, &of(None), 9, 9);
        assert_eq!(all, (vec![10, 11, 13], 13, false));
        let first = read(&mut watcher, &of(None), 9, 2);
        assert_eq!(first, (vec![10, 11], 11, true));
        let odd = read(&mut watcher, &of(Some("odd")), 10, 9);
        assert_eq!(odd, (vec![11, 13], 13, false));
        let last = read(&mut watcher, &of(None), 20, 9);
        assert_eq!(last, (vec![], 20, false));
        tell(&watchers, &["A"; KEPT_MAX], 14);
        assert!(watcher.kept_after(&of(None), 12, 9).is_none());
        assert_eq!(read(&mut watcher, &of(None), 13, 1), (vec![14], 14, true));
    }
}
