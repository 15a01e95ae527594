//! What the events of a record changed of it, field by field, as callers see it.

use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{ContentKind, Decoded, NewContent, RecordEvent, Status};
use crate::domain::{CcCode, Sha256Digest, Tag, Timestamp};

/// One field that an event changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct FieldChange {
    /// Name of the field in a record. `content` has the fields of its content together, and `upload` those of an
    /// announced upload, which are the content's too while the record is `pending_upload`.
    field: &'static str,
    /// The value before, where the event tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    old: Option<Value>,
    /// The value since then; `null` for none. Fields of a content that are not in it are those of the upload that was
    /// completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    new: Option<Value>,
    /// Tags that were added to the others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    added: Vec<Tag>,
    /// Tags that were removed; the others stayed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    removed: Vec<Tag>,
}

impl FieldChange {
    fn to(field: &'static str, new: impl Into<Value>) -> Self {
        Self {
            field,
            new: Some(new.into()),
            ..Self::default()
        }
    }

    /// The change with the value before it, if that is known.
    fn from(self, old: Option<Value>) -> Self {
        Self { old, ..self }
    }
}

/// What a change's events changed, in their order, and the number of the content before them, of the one after them:
/// 0 before the first content, `None` when the one after is not known.
pub fn of_events<'a>(
    events: impl DoubleEndedIterator<Item = &'a RecordEvent>,
    after: Option<u64>,
) -> (Vec<FieldChange>, Option<u64>) {
    let mut version = after;
    let mut changes = Vec::new();
    for event in events.rev() {
        let before = version.map(|after| event.content_version_before(after));
        let own = event.changes(before, version);
        changes.splice(0..0, own);
        version = before;
    }
    (changes, version)
}

impl RecordEvent {
    /// The number of the content before the event, of the one after it. While the first content is only announced it is
    /// content 1 already, and what makes the record active keeps that number.
    fn content_version_before(&self, after: u64) -> u64 {
        match self {
            Self::Created { .. } => 0,
            Self::Replaced {
                content: NewContent::Inline { .. },
                ..
            }
            | Self::UploadCompleted { .. } => after.saturating_sub(1).max(1),
            Self::Replaced {
                content: NewContent::Upload { .. },
                ..
            }
            | Self::TagsAdded { .. }
            | Self::TagsRemoved { .. }
            | Self::TtlSet { .. }
            | Self::Doomed { .. }
            | Self::HoldSet { .. }
            | Self::HoldReleased {} => after,
        }
    }

    fn changes(&self, before: Option<u64>, after: Option<u64>) -> Vec<FieldChange> {
        let versions = (before, after);
        match self {
            Self::Created {
                cccode,
                tags,
                doom_at,
                content,
            } => {
                let status = match content {
                    NewContent::Inline { .. } => Status::Active,
                    NewContent::Upload { .. } => Status::PendingUpload,
                };
                let tags = Some(tags).filter(|tags| !tags.is_empty());
                let mut changes = vec![FieldChange::to("status", status.as_str())];
                changes.extend(put_fields(cccode.as_ref(), tags, *doom_at));
                changes.push(content_change(facts_of(content), versions));
                changes.extend(upload_change(content));
                changes
            }
            Self::Replaced {
                cccode,
                tags,
                doom_at,
                content,
            } => {
                let mut changes: Vec<_> = match upload_change(content) {
                    Some(upload) => vec![upload],
                    None => {
                        let content = content_change(facts_of(content), versions);
                        activation(versions).into_iter().chain([content]).collect()
                    }
                };
                changes.extend(put_fields(cccode.as_ref(), tags.as_ref(), *doom_at));
                changes
            }
            Self::UploadCompleted {
                sha256, decoded, ..
            } => {
                let facts = completed(sha256.as_ref(), decoded.as_ref());
                let mut changes: Vec<_> = activation(versions).into_iter().collect();
                changes.push(content_change(facts, versions));
                changes.push(FieldChange::to("upload", Value::Null));
                changes
            }
            Self::TagsAdded { tags } => vec![FieldChange {
                field: "tags",
                added: tags.clone(),
                ..FieldChange::default()
            }],
            Self::TagsRemoved { tags } => vec![FieldChange {
                field: "tags",
                removed: tags.clone(),
                ..FieldChange::default()
            }],
            Self::TtlSet { doom_at } => {
                vec![FieldChange::to(
                    "doom_at",
                    json!(doom_at.map(|at| at.to_string())),
                )]
            }
            Self::Doomed {
                doomed_at,
                cause,
                reason,
            } => {
                let mut changes = vec![
                    FieldChange::to("status", Status::Doomed.as_str()),
                    FieldChange::to("doomed_at", doomed_at.to_string()),
                    FieldChange::to("doom_cause", json!(cause)),
                ];
                let reason = reason.as_deref();
                changes.extend(reason.map(|reason| FieldChange::to("doom_reason", reason)));
                changes
            }
            Self::HoldSet { reason } => vec![FieldChange::to("hold", json!({"reason": reason}))],
            Self::HoldReleased {} => vec![FieldChange::to("hold", Value::Null)],
        }
    }
}

/// What a put gave besides the content.
fn put_fields(
    cccode: Option<&CcCode>,
    tags: Option<&Vec<Tag>>,
    doom_at: Option<Timestamp>,
) -> impl Iterator<Item = FieldChange> {
    let cccode = cccode.map(|code| FieldChange::to("cccode", code.as_str()));
    let tags = tags.map(|tags| FieldChange::to("tags", json!(tags)));
    let doom_at = doom_at.map(|at| FieldChange::to("doom_at", at.to_string()));
    [cccode, tags, doom_at].into_iter().flatten()
}

/// The fields of a content that completing its upload gave.
fn completed(sha256: Option<&Sha256Digest>, decoded: Option<&Decoded>) -> Map<String, Value> {
    let mut facts = Map::new();
    facts.insert("content_kind".to_owned(), json!(ContentKind::Object));
    let sha256 = sha256.map(|sha256| json!(sha256.to_string()));
    facts.extend(sha256.map(|sha256| ("content_sha256".to_owned(), sha256)));
    if let Some(decoded) = decoded {
        facts.insert("content_size_decoded".to_owned(), decoded.size.into());
        let md5 = decoded.md5.to_string();
        facts.insert("content_md5_decoded".to_owned(), md5.into());
    }
    facts
}

/// That the record became active, when the content that did so has the number of the one announced before.
fn activation((before, after): (Option<u64>, Option<u64>)) -> Option<FieldChange> {
    let status = |status: Status| json!(status.as_str());
    let active = FieldChange::to("status", status(Status::Active));
    match (before, after) {
        (Some(before), Some(after)) => {
            (before == after).then(|| active.from(Some(status(Status::PendingUpload))))
        }
        (None, _) | (_, None) => Some(active),
    }
}

/// A new content with its number, and the number of the one before.
fn content_change(
    mut facts: Map<String, Value>,
    (before, after): (Option<u64>, Option<u64>),
) -> FieldChange {
    const VERSION: &str = "content_version";
    let after_number = after.map(|after| (VERSION.to_owned(), after.into()));
    facts.extend(after_number);
    let earlier = before.filter(|before| *before > 0 && Some(*before) != after);
    FieldChange::to("content", facts).from(earlier.map(|before| json!({VERSION: before})))
}

/// An announced upload; `None` for inline content.
fn upload_change(content: &NewContent) -> Option<FieldChange> {
    match content {
        NewContent::Inline { .. } => None,
        NewContent::Upload { expires_at, .. } => {
            let mut facts = facts_of(content);
            facts.insert("expires_at".to_owned(), expires_at.to_string().into());
            Some(FieldChange::to("upload", facts))
        }
    }
}

/// The fields of a content that its put gave.
fn facts_of(content: &NewContent) -> Map<String, Value> {
    let (kind, content_type, size, md5) = match content {
        NewContent::Inline { size, md5 } => {
            (ContentKind::Inline, super::INLINE_CONTENT_TYPE, size, md5)
        }
        NewContent::Upload {
            content_type,
            size,
            md5,
            ..
        } => (ContentKind::Object, content_type.as_str(), size, md5),
    };
    [
        ("content_type", json!(content_type)),
        ("content_kind", json!(kind)),
        ("content_size", json!(size)),
        ("content_md5", json!(md5.to_string())),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into_iter()
    .collect()
}
