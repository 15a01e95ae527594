//! A change of a record as those who follow its org are told it, and which of them a reader wants.

use std::sync::{Arc, OnceLock};

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::RecordName;
use crate::domain::{ContainerName, OrgCode, Timestamp};
use crate::journal::{Body, Entry, Position, Source, Version};

/// One change of a record, as it is told to those who follow an org: what, which revision, when and by whom, and nothing
/// of the content.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RecordChanged {
    /// Position of the entry in the journal: later changes have greater ones.
    #[schema(minimum = 1)]
    pub position: Position,
    /// When it was decided.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "as_text")]
    pub at: Timestamp,
    /// What happened, such as `record.replaced`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Name of the record's container.
    pub container: String,
    /// Id of the record within its container.
    pub record_id: String,
    /// The record's revision with the change: 1 for its creation.
    #[schema(minimum = 1)]
    pub revision: Version,
    /// Public id of the principal that changed it.
    pub by: String,
    /// Who the caller said was acting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The way in: `gateway`, `operator`, `job` or `import`.
    #[schema(value_type = String)]
    pub source: Source,
    /// The same as JSON, once it was asked for.
    #[serde(skip)]
    written: OnceLock<String>,
}

/// A time as callers see it: RFC 3339.
fn as_text<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

impl RecordChanged {
    /// The change of a record that an entry is; `None` for other entries and for erased ones.
    fn of(entry: &Entry) -> Option<Self> {
        let body = entry.body.as_ref()?;
        let name = RecordName::of_stream(body.stream.as_str())?;
        Some(Self::named(entry, body, name))
    }

    /// The change as JSON: written once, for all who follow its org.
    pub fn json(&self) -> &str {
        // Strings and numbers: writing them to memory cannot fail.
        self.written
            .get_or_init(|| serde_json::to_string(self).unwrap_or_default())
    }

    pub(super) fn named(entry: &Entry, body: &Body, name: RecordName<'_>) -> Self {
        Self {
            position: entry.header.position,
            at: body.origin.at,
            kind: body.events.first().map_or("", |event| event.schema().0),
            container: name.container.to_owned(),
            record_id: name.record_id.to_owned(),
            revision: body.version,
            by: body.origin.by.clone(),
            actor: body.origin.remarks.actor.clone(),
            source: body.origin.source,
            written: OnceLock::new(),
        }
    }
}

/// Some changes of an org's records, in the order of the journal.
#[derive(Debug, Default)]
pub struct Changes {
    /// The changes. Those that were erased are not there.
    pub items: Vec<Arc<RecordChanged>>,
    /// The last position that was looked at: where the next page continues.
    pub until: Position,
    /// Whether there was more to look at already.
    pub more: bool,
}

/// Which changes are read.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The org whose records changed.
    pub org: OrgCode,
    /// The container of the records; `None` for every one.
    pub container: Option<ContainerName>,
}

impl Selection {
    /// Whether a change of one of the org's records is one of them.
    pub(super) fn has(&self, change: &RecordChanged) -> bool {
        let container = self.container.as_ref();
        container.is_none_or(|container| container.as_str() == change.container)
    }

    pub(super) fn find(&self, entry: &Entry) -> Option<RecordChanged> {
        let stream = entry.body.as_ref()?.stream.as_str();
        let name = RecordName::of_stream(stream)?;
        let changed = (name.org == self.org.as_str()).then(|| RecordChanged::of(entry))??;
        self.has(&changed).then_some(changed)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::projections) fn change() -> RecordChanged {
        RecordChanged {
            position: 1,
            at: Timestamp::from_millis(0),
            kind: "record.created",
            container: "notes".to_owned(),
            record_id: "r".to_owned(),
            revision: 1,
            by: "b".to_owned(),
            actor: None,
            source: Source::Gateway,
            written: OnceLock::new(),
        }
    }

    #[test]
    fn a_change_is_written_as_it_is_serialized() {
        let change = change();
        let written: serde_json::Value = serde_json::from_str(change.json()).unwrap();
        assert_eq!(written, serde_json::to_value(&change).unwrap());
        assert_eq!(written["type"], "record.created");
        assert_eq!(written["at"], "1970-01-01T00:00:00.000Z");
    }
}
