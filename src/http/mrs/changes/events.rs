//! Changes as Server-Sent Events (WHATWG HTML, section 9.2): one connection, over which each change comes once it is there.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::unfold;
use serde_json::json;
use tokio::time::timeout;

use super::{GATHERED, Wanted, check_again, read_on};
use crate::clock::Stopwatch;
use crate::domain::ErrorTag;
use crate::http::envelope::internal;
use crate::http::mrs::follow::FollowerPlace;
use crate::http::reply::{EventStream, Refusal};
use crate::http::request_head::RequestHead;
use crate::http::state::AppState;
use crate::journal::Position;
use crate::projections::record_changed::Changes;
use crate::projections::watchers::Watcher;

/// Changes that are written at a time: about 64 KiB, which each slow reader may hold.
const AT_ONCE: usize = 128;
/// How often something is sent: below the idle times of proxies, which are a minute and more; and how often rights are looked at.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a page waits that was refused because too many are being read.
const BUSY: Duration = Duration::from_secs(1);
/// What a client waits before it connects again, in milliseconds.
const RETRY_MS: u64 = 2_000;

/// One who follows an org's changes.
pub(super) struct Follower {
    pub(super) app: Arc<AppState>,
    /// Its credential is looked at again and again.
    pub(super) request: HttpRequest,
    pub(super) request_id: String,
    pub(super) wanted: Wanted,
    pub(super) after: Position,
    pub(super) watcher: Watcher,
    /// Given back when it is dropped.
    pub(super) _place: FollowerPlace,
}

struct State {
    follower: Follower,
    /// Since the last heartbeat.
    since: Stopwatch,
    begun: bool,
    ended: bool,
}

impl Follower {
    /// The events, until the right to read or the server ends.
    pub(super) fn events(self) -> EventStream {
        let state = State {
            follower: self,
            since: Stopwatch::start(),
            begun: false,
            ended: false,
        };
        unfold(state, |mut state| async move {
            let bytes = state.next().await?;
            Some((Ok(bytes), state))
        })
        .boxed_local()
    }

    fn id(&self, place: Position) -> String {
        self.wanted.token(&self.app, place)
    }

    /// Each change as an event whose id is where to go on behind it.
    fn written(&self, found: &Changes) -> Bytes {
        let mut text = String::with_capacity(found.items.len() * 512);
        for item in &found.items {
            let id = self.id(item.position);
            for part in ["event: change\nid: ", &id, "\ndata: ", item.json(), "\n\n"] {
                text.push_str(part);
            }
        }
        text.into()
    }

    fn check(&self) -> Result<(), Refusal> {
        check_again(
            &self.app,
            &RequestHead::of(&self.request),
            &self.wanted.selection,
        )
    }
}

impl State {
    /// What is sent next; nothing at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.begun {
            self.begun = true;
            // The client knows where it is from now on.
            let id = self.follower.id(self.follower.after);
            return Some(format!("retry: {RETRY_MS}\nid: {id}\n\n").into());
        }
        while !self.ended && !self.follower.app.store.watchers().is_closed() {
            match self.step().await {
                Ok(Some(bytes)) => return Some(bytes),
                Ok(None) => {}
                Err(refusal) => {
                    self.ended = true;
                    return Some(self.end(refusal));
                }
            }
        }
        None
    }

    /// Sends what there is, or waits for it or for the next heartbeat.
    async fn step(&mut self) -> Result<Option<Bytes>, Refusal> {
        let follower = &mut self.follower;
        let place = (follower.after, AT_ONCE);
        let selection = &follower.wanted.selection;
        let found = match read_on(&follower.app, &mut follower.watcher, selection, place).await {
            Err(Refusal::Rejected { rejection, .. }) if rejection.tag == ErrorTag::Throttled => {
                tokio::time::sleep(BUSY).await;
                return Ok(None);
            }
            found => found?,
        };
        follower.after = found.until;
        if !found.items.is_empty() {
            follower.check()?;
            return Ok(Some(follower.written(&found)));
        }
        if found.more {
            return Ok(None);
        }
        let changed = follower.watcher.changed();
        let left = HEARTBEAT.saturating_sub(self.since.elapsed());
        if timeout(left, changed).await.is_ok() {
            tokio::time::sleep(GATHERED).await;
            return Ok(None);
        }
        self.since = Stopwatch::start();
        follower.check()?;
        // It names a place, so that what others changed meanwhile is not looked at again.
        let id = follower.id(follower.after);
        Ok(Some(format!(": still here\nid: {id}\n\n").into()))
    }

    /// Says why nothing more comes.
    fn end(&self, refusal: Refusal) -> Bytes {
        let rejection = match refusal {
            Refusal::Rejected { rejection, .. } => rejection,
            Refusal::Failed(error) => internal(&self.follower.request_id, &*error),
        };
        let why = json!({"tag": rejection.tag, "message": rejection.message});
        format!("event: end\ndata: {why}\n\n").into()
    }
}
