//! Reconcile, files: those that no record names.

use super::{Check, CheckError, Cursor, Finding, Page};
use uuid::Uuid;

use crate::content::{FoundFile, ObjectName};
use crate::domain::Timestamp;
use crate::domain::record::{ContentPlace, Record};
use crate::domain::repair::{DriftKind, Repair, RepairAction};
use crate::projections::contents::{self, Owner};
use crate::projections::{RecordName, records};

impl Check {
    /// Checks the org's files. Those that belong to no container are reported with each container.
    pub(super) fn files(
        &self,
        after: &str,
        room: usize,
        page: &mut Page,
    ) -> Result<Option<Cursor>, CheckError> {
        let after = Some(after).filter(|after| !after.is_empty());
        let mut files = self.content.files(&self.place.org, after, room)?;
        let more = files.len() >= room;
        files.truncate(room);
        page.scanned += files.len();
        for file in &files {
            if self.is_orphan(file)? {
                let mut repair = Repair::new(DriftKind::OrphanObject, RepairAction::FileRemoved);
                repair.object_id = file.object_id;
                repair.file = Some(file.place.clone());
                page.found.push(Finding {
                    repair,
                    about: file.place.clone(),
                });
            }
        }
        let last = files.pop().filter(|_| more);
        if last.is_none() {
            self.leftovers(page)?;
        }
        Ok(last.map(|file| Cursor::Files(file.place)))
    }

    /// What broken connections left of uploads belongs to no container either.
    fn leftovers(&self, page: &mut Page) -> Result<(), CheckError> {
        let since = self.settings.stale_since(self.now);
        let found = self.content.stale(since)?.into_iter().map(|place| {
            let mut repair = Repair::new(DriftKind::OrphanObject, RepairAction::FileRemoved);
            repair.file = Some(place.clone());
            Finding {
                repair,
                about: place,
            }
        });
        page.found.extend(found);
        Ok(())
    }

    /// Whether an upload remains although it, or another one, became the object long ago. One that may still become the
    /// object, or was given up, is removed with the object.
    fn is_superfluous(
        &self,
        uploaded_at: Timestamp,
        object_id: Uuid,
        owner: &Owner,
    ) -> Result<bool, CheckError> {
        if uploaded_at > self.now.plus_millis(-self.settings.patience.upload_ms) {
            return Ok(false);
        }
        let name = RecordName {
            org: self.place.org.as_str(),
            container: &owner.container,
            record_id: &owner.record_id,
        };
        let record = records::find(&self.deps.store, name)?;
        let became = |record: &Record| {
            record.content.place == ContentPlace::Object(object_id) && !record.waits_for(object_id)
        };
        Ok(record.as_ref().is_some_and(became))
    }

    fn is_orphan(&self, file: &FoundFile) -> Result<bool, CheckError> {
        let Some(object_id) = file.object_id else {
            return Ok(true);
        };
        let owner = contents::owner(&self.deps.store, self.place.org.as_str(), object_id)?;
        if let Some(owner) = owner {
            return match file.uploaded_at {
                Some(at) => self.is_superfluous(at, object_id, &owner),
                None => Ok(false),
            };
        }
        // What was just removed from the journal is being deleted.
        let object = ObjectName {
            org: self.place.org.clone(),
            object_id,
        };
        Ok(self.content.size(&object)?.is_some())
    }
}
