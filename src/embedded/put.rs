//! Commands for records, checked as they are made.

use bytes::Bytes;

use crate::actors::{Caller, RecordRequest};
use crate::clock::random_uuid;
use crate::domain::record::{InlineJson, Put as PutCommand, RecordCommand, RecordKey};
use crate::domain::{CcCode, Rejection, Revision, Tag, Timestamp};
use crate::journal::{Remarks, Source};

/// A record to create, or content to put over one.
#[derive(Clone, Debug)]
pub struct Put {
    payload: InlineJson,
    tags: Option<Vec<Tag>>,
    cccode: Option<CcCode>,
    doom_at: Option<Timestamp>,
    expected: Option<Revision>,
}

impl Put {
    /// Content that is journaled with the record: any JSON of at most 262,144 bytes, kept byte for byte.
    ///
    /// # Errors
    /// `invalid-payload` when it is not JSON, `inline-too-large` when it is larger.
    pub fn inline(json: impl Into<Bytes>) -> Result<Self, Rejection> {
        Ok(Self {
            payload: InlineJson::parse(json)?,
            tags: None,
            cccode: None,
            doom_at: None,
            expected: None,
        })
    }

    /// Sets the whole set of tags; without it an existing record keeps its own.
    ///
    /// # Errors
    /// `invalid-tag` for a word that is no tag.
    pub fn tags(mut self, tags: &[&str]) -> Result<Self, Rejection> {
        let parsed: Result<Vec<Tag>, Rejection> = tags.iter().map(|tag| Tag::parse(tag)).collect();
        self.tags = Some(parsed?);
        Ok(self)
    }

    /// Sets the cost centre, by which records can be listed.
    ///
    /// # Errors
    /// `invalid-cccode` for a text that is no cost centre.
    pub fn cccode(mut self, cccode: &str) -> Result<Self, Rejection> {
        self.cccode = Some(CcCode::parse(cccode)?);
        Ok(self)
    }

    /// Sets the due time, from which the record is doomed.
    #[must_use]
    pub fn doom_at(mut self, time: Timestamp) -> Self {
        self.doom_at = Some(time);
        self
    }

    /// Names the revision that the caller read; needed over an existing record.
    #[must_use]
    pub fn expecting(mut self, revision: Revision) -> Self {
        self.expected = Some(revision);
        self
    }

    /// The request that puts it into a record, in the name of a principal.
    pub fn of(self, key: RecordKey, by: &str) -> RecordRequest {
        let command = RecordCommand::Put(PutCommand {
            cccode: self.cccode,
            tags: self.tags,
            doom_at: self.doom_at,
            content: self.payload.content(),
            expected: self.expected,
        });
        RecordRequest {
            payload: Some(self.payload),
            ..request(key, by, command)
        }
    }
}

/// The request of any other command for a record, in the name of a principal, with a request id of its own.
pub fn request(key: RecordKey, by: &str, command: RecordCommand) -> RecordRequest {
    RecordRequest {
        key,
        command: command.into(),
        payload: None,
        idempotency: None,
        by: by.to_owned(),
        request_id: random_uuid().to_string(),
        source: Source::Gateway,
        remarks: Remarks::default(),
    }
}

/// Who asks for a maintenance window or a vacuum, with a request id of its own.
pub fn operator(by: &str) -> Caller {
    Caller {
        by: by.to_owned(),
        request_id: random_uuid().to_string(),
        source: Source::Operator,
        remarks: Remarks::default(),
        idempotency: None,
    }
}
