//! A record as callers see it.

use serde::Serialize;
use utoipa::ToSchema;

use super::{ContentPlace, DoomCause, Record, RecordKey, Status};
use crate::domain::hold::Hold;
use crate::domain::{CcCode, Revision, Tag};

impl Record {
    /// The record as callers see it.
    pub fn view<'a>(&'a self, key: &'a RecordKey) -> RecordView<'a> {
        let (content_kind, object) = match self.content.place {
            ContentPlace::Inline(_) => (ContentKind::Inline, false),
            ContentPlace::Object(_) => (ContentKind::Object, true),
        };
        RecordView {
            record_id: key.record_id.as_str(),
            container: key.container.as_str(),
            orgcode: key.org.as_str(),
            cccode: self.cccode.as_ref().map(CcCode::as_str),
            status: self.status,
            revision: self.revision,
            content_type: &self.content.content_type,
            content_kind,
            content_encoding: object.then_some("gzip"),
            content_size: self.content.size,
            content_md5: self.content.md5.to_string(),
            content_sha256: self.content.sha256.map(|sha256| sha256.to_string()),
            content_size_decoded: self.content.decoded.map(|decoded| decoded.size),
            content_md5_decoded: self.content.decoded.map(|decoded| decoded.md5.to_string()),
            content_etag: object.then(|| format!("\"{}\"", self.content.md5)),
            content_version: self.content.version,
            tags: self.tags.iter().map(Tag::as_str).collect(),
            doom_at: self.doom_at.map(|at| at.to_string()),
            created_at: self.created_at.to_string(),
            updated_at: self.updated_at.to_string(),
            doomed_at: self.doom.as_ref().map(|doom| doom.at.to_string()),
            doom_cause: self.doom.as_ref().map(|doom| doom.cause),
            doom_reason: self.doom.as_ref().and_then(|doom| doom.reason.as_deref()),
            created_by: &self.created_by,
            updated_by: &self.updated_by,
            hold: self.hold.as_ref().map(HoldView::of),
        }
    }
}

/// Whether content is JSON in the answer or an object to download.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContentKind {
    /// JSON in the answer.
    Inline,
    /// Gzip in a file, to be downloaded by URL.
    Object,
}

/// A record as callers see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Record)]
pub struct RecordView<'a> {
    /// Its id within the container.
    #[schema(max_length = 128)]
    record_id: &'a str,
    /// Name of the container.
    container: &'a str,
    /// Code of the org.
    orgcode: &'a str,
    /// The cost centre it was put under.
    #[serde(skip_serializing_if = "Option::is_none")]
    cccode: Option<&'a str>,
    /// Status as callers see it.
    status: Status,
    /// 1 when created, one more with each change.
    #[schema(value_type = u64, minimum = 1)]
    revision: Revision,
    /// The content's media type, before gzip.
    content_type: &'a str,
    /// Whether the content comes in the answer or as a download.
    content_kind: ContentKind,
    /// `gzip` for downloads; absent for inline content.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<&'static str>,
    /// Size in bytes as stored.
    content_size: u64,
    /// MD5 in hex of the bytes as stored.
    content_md5: String,
    /// SHA-256 in hex of the received bytes; absent for uploads completed by versions that did not store it.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_sha256: Option<String>,
    /// Size in bytes of what the gzip of an upload decodes to; absent for inline content, and for uploads completed by
    /// versions that did not store it.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_size_decoded: Option<u64>,
    /// MD5 in hex of what the gzip of an upload decodes to; absent as `content_size_decoded` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_md5_decoded: Option<String>,
    /// `ETag` of the download, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_etag: Option<String>,
    /// 1 for the first content, one more with each put.
    content_version: u64,
    /// Tags in ascending order, in upper case.
    tags: Vec<&'a str>,
    /// When it dooms itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    doom_at: Option<String>,
    /// When it was created.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it last changed.
    #[schema(format = DateTime)]
    updated_at: String,
    /// From when on it is doomed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    doomed_at: Option<String>,
    /// Why it was doomed.
    #[serde(skip_serializing_if = "Option::is_none")]
    doom_cause: Option<DoomCause>,
    /// The caller's words on why.
    #[serde(skip_serializing_if = "Option::is_none")]
    doom_reason: Option<&'a str>,
    /// Public id of the principal that created it.
    created_by: &'a str,
    /// Who changed it last.
    updated_by: &'a str,
    /// The owners' hold on it: nothing removes it or its content.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    hold: Option<HoldView<'a>>,
}

/// A hold as callers see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct HoldView<'a> {
    /// Why the record is held.
    reason: &'a str,
    /// Time since when it is held.
    #[schema(format = DateTime)]
    since: String,
    /// Who gave the reason.
    by: &'a str,
}

impl<'a> HoldView<'a> {
    fn of(hold: &'a Hold) -> Self {
        Self {
            reason: &hold.reason,
            since: hold.since.to_string(),
            by: &hold.by,
        }
    }
}
