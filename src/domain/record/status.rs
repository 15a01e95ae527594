//! What the status of a record allows callers to do with its content.

use uuid::Uuid;

use super::{Record, Status, not_waited_for};
use crate::domain::{ErrorTag, Rejection};

impl Record {
    /// Whether an upload is wanted: as long as the record waits for exactly it.
    ///
    /// # Errors
    /// `doomed`, or `invalid-state`.
    pub fn check_upload(&self, object_id: Uuid) -> Result<(), Rejection> {
        if self.status == Status::Doomed {
            let message = "The record was doomed in the meantime.";
            return Err(Rejection::new(ErrorTag::Doomed, message));
        }
        if self.waits_for(object_id) {
            Ok(())
        } else {
            Err(not_waited_for().already_there_if(self.has_object(object_id)))
        }
    }

    /// Whether its content can be read. That of a doomed record can be only by version, and only if asked for.
    ///
    /// # Errors
    /// `doomed`, `not-found`, or `invalid-state`.
    pub fn check_reading(&self, include_doomed: bool, by_version: bool) -> Result<(), Rejection> {
        match self.status {
            Status::Active => Ok(()),
            Status::Doomed if include_doomed && by_version => Ok(()),
            Status::Doomed if include_doomed => Err(Rejection::new(
                ErrorTag::Doomed,
                "The record is doomed; while its content is kept, name a version to read it.",
            )),
            Status::Doomed => Err(Rejection::not_found()),
            Status::PendingUpload => Err(Rejection::new(
                ErrorTag::InvalidState,
                "The record has no content yet: its upload has not been completed.",
            )),
        }
    }
}
