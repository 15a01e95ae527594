//! One record of the model: what it gives, what it gave, and what it was promised.

use std::collections::BTreeSet;

use metarecord::domain::record::EndedBy;

use super::steps::How;
use crate::ops::world::{UPKEEP, URL_MS};

/// What was put by the so-many-th put; what its bytes are follows from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) serial: u32,
    pub(super) is_file: bool,
}

/// Content that ended and is kept, or an upload that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) version: u64,
    pub(super) piece: Piece,
    pub(super) until: i64,
    pub(super) by: EndedBy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Promised {
    version: u64,
    piece: Piece,
    since: i64,
    is_waited_for: bool,
}

/// A record as simple as can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) due: Option<i64>,
    pub(super) doomed: bool,
    pub(super) held: bool,
    /// When it changed last: one that was held past its time ends then.
    pub(super) changed: i64,
    /// What it gives, with its content version.
    pub(super) current: Option<(u64, Piece)>,
    promised: Option<Promised>,
    pub(super) ended: Vec<Ended>,
    /// When it was doomed.
    ended_at: Option<i64>,
    /// The lists of its tag show it no more.
    pub(super) scrubbed: bool,
    /// Content versions that were removed.
    pub(super) let_go: BTreeSet<u64>,
}

impl Promised {
    fn ended(&self, at: i64) -> Ended {
        Ended {
            version: self.version,
            piece: self.piece,
            until: at,
            by: EndedBy::Abandoned,
        }
    }
}

impl Ended {
    fn kept_until(&self) -> i64 {
        let retention = UPKEEP.retention;
        self.until
            + match self.by {
                EndedBy::Replaced | EndedBy::Doomed => retention.versions_ms,
                EndedBy::Abandoned => retention.leftovers_ms,
            }
    }
}

impl Known {
    pub(super) fn put(&mut self, now: i64, serial: u32, how: How) {
        self.changed = now;
        self.end_promise(now);
        let version = self.current.map_or(1, |(version, _)| version + 1);
        let is_file = !matches!(how, How::Inline);
        let piece = Piece { serial, is_file };
        match how {
            How::Inline | How::Upload => {
                self.end_content(now, EndedBy::Replaced);
                self.current = Some((version, piece));
            }
            How::Promise(_) => {
                self.promised = Some(Promised {
                    version,
                    piece,
                    since: now,
                    is_waited_for: true,
                });
            }
        }
    }

    /// Whether what was promised can still be completed.
    pub(super) fn can_complete(&self, now: i64) -> bool {
        let last = UPKEEP.patience.complete_ms + URL_MS;
        let in_time = |promised: &Promised| now < promised.since + last;
        self.promised.as_ref().is_some_and(in_time)
    }

    /// What was promised becomes the content, which is returned.
    pub(super) fn complete(&mut self, now: i64) -> Option<Piece> {
        let promised = self.promised.take()?;
        self.end_content(now, EndedBy::Replaced);
        self.current = Some((promised.version, promised.piece));
        self.changed = now;
        Some(promised.piece)
    }

    /// It is doomed.
    pub(super) fn end(&mut self, at: i64) {
        self.doomed = true;
        (self.changed, self.ended_at) = (at, Some(at));
        self.end_content(at, EndedBy::Doomed);
        self.end_promise(at);
    }

    fn end_content(&mut self, at: i64, by: EndedBy) {
        if let Some((version, piece)) = self.current.take() {
            self.ended.push(Ended {
                version,
                piece,
                until: at,
                by,
            });
        }
    }

    /// An upload is given up. One that was already is once more.
    fn end_promise(&mut self, at: i64) {
        if let Some(promised) = self.promised.take() {
            self.ended.push(promised.ended(at));
        }
    }

    /// An upload that was waited for long enough is given up; a record that it was to make ends with it.
    pub(super) fn abandon(&mut self, now: i64) {
        let overdue = |promised: &&mut Promised| {
            promised.is_waited_for && promised.since + UPKEEP.patience.upload_ms <= now
        };
        let Some(promised) = self.promised.as_mut().filter(overdue) else {
            return;
        };
        match self.current {
            // The record itself stays as it is, and names its upload still.
            Some(_) => {
                promised.is_waited_for = false;
                self.ended.push(promised.ended(now));
            }
            None => self.end(now),
        }
    }

    /// Doomed, and its content kept as long as it must: the lists of its tag need not show it.
    pub(super) fn scrub(&mut self, now: i64) {
        let over = |at: i64| at + UPKEEP.retention.versions_ms <= now;
        self.scrubbed = self.scrubbed || self.ended_at.is_some_and(over);
    }

    /// What was kept as long as it must is removed, and returned.
    pub(super) fn clean_up(&mut self, now: i64) -> Vec<Ended> {
        let is_kept = |ended: &Ended| now < ended.kept_until();
        let all = std::mem::take(&mut self.ended).into_iter();
        let (kept, gone) = all.partition::<Vec<_>, _>(is_kept);
        self.ended = kept;
        let versions = gone.iter().filter(|ended| ended.by != EndedBy::Abandoned);
        self.let_go.extend(versions.map(|ended| ended.version));
        gone
    }
}
