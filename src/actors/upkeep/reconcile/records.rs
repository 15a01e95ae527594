//! Reconcile, records: each record's rows and its content, the current one and those that have ended and are kept.

use std::io::Read;

use md5::{Digest, Md5 as Md5Hasher};
use sha2::Sha256;

use super::{Check, CheckError, Cursor, Finding, Page};
use crate::actors::upkeep::abandoned::overdue;
use crate::clock::{Pace, pause};
use crate::content::ObjectName;
use crate::domain::record::{
    Class, Content, ContentPlace, PendingUpload, Record, RecordKey, Status,
};
use crate::domain::repair::{DriftKind, Repair, RepairAction};
use crate::domain::{Md5, Sha256Digest, StreamId, Timestamp};
use crate::journal::Position;
use crate::projections::contents;
use crate::projections::{RecordName, Write, as_of, lost, restore};

/// How often a record is checked again because it was changed meanwhile, before it is left to the next reconcile.
const LOOKS_MAX: u32 = 50;
/// Milliseconds between two checks: about the time an entry needs from the journal to its rows.
const LOOK_EVERY_MS: u64 = 2;
/// Bytes of a file read at a time, and between two rests.
const READ_BYTES: usize = 256 * 1024;

impl Check {
    pub(super) fn records(
        &self,
        after: &str,
        room: usize,
        page: &mut Page,
    ) -> Result<Option<Cursor>, CheckError> {
        let prefix = format!("mrs/{}/{}/", self.place.org, self.place.container);
        let after = Some(after).filter(|after| !after.is_empty());
        let streams = self.deps.journal.streams(&prefix, after, room)?;
        let next = match streams.last() {
            Some(last) if streams.len() == room => Cursor::Records(last.as_str().to_owned()),
            Some(_) | None => Cursor::Contents(Vec::new()),
        };
        page.scanned += streams.len();
        for stream in &streams {
            if let Some(key) = stream.record_key() {
                self.record(stream, &key, page)?;
            }
        }
        Ok(Some(next))
    }

    fn record(
        &self,
        stream: &StreamId,
        key: &RecordKey,
        page: &mut Page,
    ) -> Result<(), CheckError> {
        let Some((record, missing)) = self.settled(stream, key)? else {
            return Ok(());
        };
        let (others, absent): (Vec<_>, Vec<_>) = missing
            .iter()
            .map(|(row, _)| Ok((row, self.deps.store.get(row)?.is_some())))
            .collect::<Result<Vec<_>, CheckError>>()?
            .into_iter()
            .partition(|(_, is_there)| *is_there);
        for (kind, rows) in [
            (DriftKind::MissingIndex, absent),
            (DriftKind::StaleIndex, others),
        ] {
            let mut names: Vec<_> = rows
                .iter()
                .map(|(row, _)| restore::index_name(row))
                .collect();
            names.dedup();
            if !names.is_empty() {
                let repair = Repair::new(kind, RepairAction::RowsRestored);
                page.found.push(Finding::of(repair, key, &names.join(", ")));
            }
        }
        if let Some(upload) = &record.upload
            && self.is_stale(key, upload)?
        {
            let mut repair = Repair::new(DriftKind::StalePending, RepairAction::GivenUp);
            repair.version = Some(upload.content.version);
            let about = format!("promised {}", upload.since);
            page.found.push(Finding::of(repair, key, &about));
        }
        match record.status {
            Status::Active => self.content(key, &record.content, page),
            // Nothing is there yet; and what a doomed record had is among the contents that have ended.
            Status::PendingUpload | Status::Doomed => Ok(()),
        }
    }

    /// The record by its stream, with the rows that are not as they should be. `None` for one that changes all the time,
    /// or was erased: its rows cannot be judged.
    pub(super) fn settled(
        &self,
        stream: &StreamId,
        key: &RecordKey,
    ) -> Result<Option<(Record, Vec<Write>)>, CheckError> {
        for _ in 0..LOOKS_MAX {
            let Some(record) = as_of::record_when(&*self.deps.journal, key, |_| true)? else {
                return Ok(None);
            };
            // Before its rows are read: what is shown by now is in them.
            let head = self.deps.journal.head().position;
            let missing = restore::missing(&self.deps.store, key, &record)?;
            let same = self.deps.journal.version(stream)? == record.revision.0;
            if same && (missing.is_empty() || self.last_entry(stream, record.revision.0)? <= head) {
                return Ok(Some((record, missing)));
            }
            pause(LOOK_EVERY_MS);
        }
        Ok(None)
    }

    fn last_entry(&self, stream: &StreamId, version: u64) -> Result<Position, CheckError> {
        let entries = self.deps.journal.stream(stream, version, 1)?;
        Ok(entries.first().map_or(0, |entry| entry.header.position))
    }

    fn is_stale(&self, key: &RecordKey, upload: &PendingUpload) -> Result<bool, CheckError> {
        let (store, name) = (&self.deps.store, RecordName::from(key));
        Ok(contents::is_waited_for(store, name, upload)?
            && overdue(&self.deps, key, self.settings.patience)?.is_some())
    }

    pub(super) fn contents(
        &self,
        after: &[u8],
        room: usize,
        page: &mut Page,
    ) -> Result<Option<Cursor>, CheckError> {
        let scope = (self.place.org.as_str(), self.place.container.as_str());
        let after = Some(after).filter(|after| !after.is_empty());
        // What was only promised need not be there.
        let until = |class| match class {
            Class::Version => self.now,
            Class::Leftover => Timestamp::from_millis(0),
        };
        let rows = contents::ended_by(&self.deps.store, scope, after, until);
        let rows: Vec<_> = rows.take(room).collect::<Result<_, _>>()?;
        page.scanned += rows.len();
        for (_, kept) in &rows {
            let key = RecordKey {
                org: self.place.org.clone(),
                container: self.place.container.clone(),
                record_id: kept.record_id.clone(),
            };
            let found = page.found.len();
            self.content(&key, &kept.ended.content, page)?;
            let name = RecordName::from(&key);
            if page.found.len() > found && !contents::is_kept(&self.deps.store, name, &kept.ended)?
            {
                // It was removed meanwhile.
                page.found.truncate(found);
            }
        }
        Ok(Some(match rows.last() {
            Some((place, _)) if rows.len() == room => Cursor::Contents(place.clone()),
            Some(_) | None => Cursor::Rows(Vec::new()),
        }))
    }

    /// Compares an object's file with what its content must be.
    fn content(
        &self,
        key: &RecordKey,
        content: &Content,
        page: &mut Page,
    ) -> Result<(), CheckError> {
        let ContentPlace::Object(object_id) = content.place else {
            return Ok(());
        };
        let object = ObjectName {
            org: key.org.clone(),
            object_id,
        };
        let fault = self.fault(&object, content)?;
        let known = lost::is_lost(&self.deps.store, RecordName::from(key), content.version)?;
        let (kind, action) = match fault {
            Some(DriftKind::MissingObject) if known => return Ok(()),
            Some(kind) => (kind, RepairAction::MarkedLost),
            None if known => (DriftKind::StaleIndex, RepairAction::FoundAgain),
            None => return Ok(()),
        };
        let mut repair = Repair::new(kind, action);
        repair.version = Some(content.version);
        repair.object_id = Some(object_id);
        let about = format!("content version {}", content.version);
        page.found.push(Finding::of(repair, key, &about));
        Ok(())
    }

    fn fault(
        &self,
        object: &ObjectName,
        content: &Content,
    ) -> Result<Option<DriftKind>, CheckError> {
        Ok(match self.content.size(object)? {
            None => Some(DriftKind::MissingObject),
            Some(size) if size != content.size => Some(DriftKind::SizeMismatch),
            Some(size) => match self.digests(object, size)? {
                None => Some(DriftKind::MissingObject),
                Some((md5, _)) if md5 != content.md5 => Some(DriftKind::Md5Mismatch),
                Some((_, sha256)) if content.sha256.is_some_and(|told| told != sha256) => {
                    Some(DriftKind::Sha256Mismatch)
                }
                Some(_) => None,
            },
        })
    }

    fn digests(
        &self,
        object: &ObjectName,
        size: u64,
    ) -> Result<Option<(Md5, Sha256Digest)>, CheckError> {
        let Some(mut file) = self.content.read(object, 0, size)? else {
            return Ok(None);
        };
        let (mut md5, mut sha256) = (Md5Hasher::new(), Sha256::new());
        let mut buffer = vec![0; READ_BYTES];
        let mut pace = Pace::start();
        loop {
            let read = file.read(&mut buffer);
            match read.map_err(|error| CheckError::File(object.clone(), error))? {
                0 => {
                    let md5 = Md5::from_bytes(md5.finalize().into());
                    let sha256 = Sha256Digest::from_bytes(sha256.finalize().into());
                    return Ok(Some((md5, sha256)));
                }
                bytes => {
                    md5.update(&buffer[..bytes]);
                    sha256.update(&buffer[..bytes]);
                }
            }
            pace.rest();
        }
    }
}

impl Finding {
    fn of(mut repair: Repair, key: &RecordKey, about: &str) -> Self {
        repair.record_id = Some(key.record_id.as_str().to_owned());
        Self {
            repair,
            about: about.to_owned(),
        }
    }
}
