//! Opening the journal again once a disk that was full has room: the process restarts itself.
//!
//! What a failed write or sync left on the disk is known only to a start, which reads the log's end, makes it durable and
//! replays. Within this process that cannot be done: a database that could not write keeps its files and its locks.

use std::time::Duration;

use crate::clock::Stopwatch;
use crate::journal::{Health, Journal};
use crate::report;
use crate::reserve::Reserve;

/// The pause between two checks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a server serves at least before it restarts itself, so that a disk that is filled again and again does not keep it
/// starting.
const SERVES_AT_LEAST: Duration = Duration::from_secs(3);

/// Where the restarted server listens: the addresses of the one before, whatever ports those were asked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Where the gateway listened, as `ADDRESS:PORT`.
    pub gateway: String,
    /// The operators'; `unix:` and an absolute path for a socket.
    pub operators: String,
}

/// Makes the process a new one that listens at these addresses. Returns only when that failed.
pub type StartAgain = fn(&Addresses) -> std::io::Error;

/// Reports why a journal takes no changes any more, once. Returns when a full disk was the reason and has room again, unless
/// the process may not restart itself.
pub(super) async fn wanted(journal: &dyn Journal, reserve: &Reserve, may_begin_anew: bool) {
    let since = Stopwatch::start();
    let mut told = false;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let health = journal.health();
        if let Health::ReadOnly(reason) = &health
            && !told
        {
            report::storage_failed(&format!("the journal takes no changes: {reason}"));
            told = true;
        }
        let waits = since.elapsed() >= SERVES_AT_LEAST && health.waits_for_room();
        if may_begin_anew && waits && reserve.has_room_to_open() {
            return;
        }
    }
}
