//! Reads that walk a record's history: on threads that may block, a few at once, and one of each org at a time.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::OrgCode;
use crate::http::places::Places;
use crate::http::reply::Refusal;
use crate::offload;
use crate::projections::StoreError;

/// Reads of one org that may wait for its own read; past it its callers get 429.
const WAITING_MAX: u32 = 64;

/// Limits reads of history. Such a read costs as much as its record has changes, which are not limited, so that it must
/// not delay requests that cost little. An org that asks for many waits for itself: in
/// the queue for the threads there is one read of each org.
#[derive(Debug)]
pub struct Histories {
    running: Arc<Semaphore>,
    waiting: Places,
    orgs: Mutex<HashMap<OrgCode, Arc<Semaphore>>>,
}

impl Histories {
    /// At most `max` reads at once.
    pub fn new(max: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(max)),
            waiting: Places::new(max),
            orgs: Mutex::default(),
        }
    }

    /// Runs a read when the org and a thread are free.
    ///
    /// # Errors
    /// `throttled` when too many reads of the org wait already; an internal error when the read fails.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        org: &OrgCode,
        read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let place = self.waiting.enter(org.as_str(), WAITING_MAX)?;
        let own = self
            .orgs
            .lock()
            .entry(org.clone())
            .or_insert_with(one)
            .clone();
        let leaving = Leaving(self, org);
        let turns = (turn(own).await?, turn(self.running.clone()).await?);
        // They are held until the read has ended, also when its caller has disconnected.
        let read = offload::blocking(move || {
            let _held = (place, turns);
            read()
        });
        let read = read.await;
        drop(leaving);
        Ok(read??)
    }
}

fn one() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(1))
}

async fn turn(line: Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Refusal> {
    let turn = line.acquire_owned().await;
    turn.map_err(Refusal::failed)
}

/// Removes an org's queue once it is empty.
struct Leaving<'a>(&'a Histories, &'a OrgCode);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut orgs = self.0.orgs.lock();
        // A read that continues without its caller holds a turn, and thus the queue.
        if orgs
            .get(self.1)
            .is_some_and(|own| Arc::strong_count(own) == 1)
        {
            orgs.remove(self.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::future::poll_immediate;

    use super::*;
    use crate::domain::ErrorTag;

    fn org(code: &str) -> OrgCode {
        OrgCode::parse(code).expect("a code")
    }

    #[actix_web::test]
    async fn an_org_waits_for_its_own_reads_and_others_do_not() {
        let histories = Histories::new(2);
        let (busy, other) = (org("BUSY"), org("OTHER"));
        let (end, ended) = mpsc::channel::<()>();
        let first = histories.read(&busy, move || {
            // The sender's end ends it too.
            let _: Result<(), _> = ended.recv();
            Ok(1)
        });
        let second = histories.read(&busy, || Ok(2));
        let (mut first, mut second) = (Box::pin(first), Box::pin(second));
        assert!(poll_immediate(&mut first).await.is_none());
        assert!(poll_immediate(&mut second).await.is_none());
        let waiting = |_| Box::pin(histories.read(&busy, || Ok(3)));
        let mut many: Vec<_> = (2..WAITING_MAX).map(waiting).collect();
        for waiting in &mut many {
            assert!(poll_immediate(waiting).await.is_none());
        }
        let refused = histories.read(&busy, || Ok(4)).await;
        let Err(Refusal::Rejected { rejection, .. }) = refused else {
            panic!("it is not refused");
        };
        assert_eq!(rejection.tag, ErrorTag::Throttled);
        assert_eq!(histories.read(&other, || Ok(5)).await.ok(), Some(5));
        drop(end);
        assert_eq!(first.await.ok(), Some(1));
        assert_eq!(second.await.ok(), Some(2));
        for waiting in many {
            assert_eq!(waiting.await.ok(), Some(3));
        }
        assert!(histories.orgs.lock().is_empty());
    }
}
