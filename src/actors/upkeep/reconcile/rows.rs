//! Reconcile, rows: those of a container that no record should have.

use super::{Check, CheckError, Cursor, Finding, PASSED_MAX, Page};
use crate::domain::StreamId;
use crate::domain::record::RecordKey;
use crate::domain::repair::{DriftKind, Repair, RepairAction};
use crate::projections::restore;

impl Check {
    /// Checks the rows after a key. Also returns how many were skipped.
    pub(super) fn rows(
        &self,
        after: &[u8],
        room: usize,
        page: &mut Page,
    ) -> Result<(Option<Cursor>, usize), CheckError> {
        let scope = (self.place.org.as_str(), self.place.container.as_str());
        let walked = restore::rows_in(&self.deps.store, scope, after, (room, PASSED_MAX))?;
        page.scanned += walked.rows.len();
        let mut last: Option<(RecordKey, Vec<Vec<u8>>)> = None;
        for (row, stream) in &walked.rows {
            let stream = StreamId::named(stream);
            let Some(key) = stream.record_key() else {
                // No record can have such a name.
                page.found.push(too_many(row, None));
                continue;
            };
            // Whether the row of a record is right was checked with the record; here, whether there is one.
            if restore::is_record(row) {
                if self.deps.journal.version(&stream)? == 0 && self.deps.store.get(row)?.is_some() {
                    page.found.push(too_many(row, Some(key)));
                }
                continue;
            }
            let known = last.as_ref().is_some_and(|(last, _)| *last == key);
            if !known {
                let record = restore::row_record(&self.deps.store, &key)?;
                let rows = record.map(|record| restore::rows_of(&key, &record));
                let rows = rows.into_iter().flatten().map(|(row, _)| row).collect();
                last = Some((key.clone(), rows));
            }
            let wanted = last.iter().any(|(_, rows)| rows.contains(row));
            if !wanted && self.is_too_many(&stream, &key, row)? {
                page.found.push(too_many(row, Some(key)));
            }
        }
        let next = match walked.next {
            Some(next) => Cursor::Rows(next),
            None => Cursor::Files(String::new()),
        };
        Ok((Some(next), walked.passed))
    }

    /// Whether a row is there that the record must not have by its stream.
    fn is_too_many(
        &self,
        stream: &StreamId,
        key: &RecordKey,
        row: &[u8],
    ) -> Result<bool, CheckError> {
        let wanted = match self.settled(stream, key)? {
            Some((record, _)) => {
                let mut rows = restore::rows_of(key, &record).into_iter();
                rows.any(|(wanted, _)| wanted == row)
            }
            // A record that changes all the time is not judged; one that never was has no rows.
            None => self.deps.journal.version(stream)? != 0,
        };
        Ok(!wanted && self.deps.store.get(row)?.is_some())
    }
}

fn too_many(row: &[u8], key: Option<RecordKey>) -> Finding {
    let mut repair = Repair::new(DriftKind::StaleIndex, RepairAction::RowsRemoved);
    repair.record_id = key.map(|key| key.record_id.as_str().to_owned());
    repair.rows = vec![hex::encode(row)];
    Finding {
        repair,
        about: restore::index_name(row).to_owned(),
    }
}
