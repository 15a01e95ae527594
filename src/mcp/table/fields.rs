//! Arguments that several tools take.

use serde_json::{Value, json};

use super::Field;
use crate::mcp::call::{PAGE_DEFAULT, PAGE_MAX};

pub(super) const LIST: &str = "GET /mrs/list";
pub(super) const PUT: &str = "POST /mrs/record";
pub(super) const TAG: &str = "POST /mrs/tag/add";

pub(super) fn text() -> Value {
    json!({"type": "string"})
}

pub(super) fn flag() -> Value {
    json!({"type": "boolean"})
}

fn page() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT})
}

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

pub(super) const ORGCODE: Field = Field::of(PUT, "orgcode").words("Only needed with several orgs.");
pub(super) const CONTAINER: Field = Field::of(PUT, "container").required();
pub(super) const IN_CONTAINER: Field = Field::of(PUT, "container");
pub(super) const RECORD_ID: Field = Field::of(PUT, "record_id").required();
pub(super) const LIMIT: Field = Field::own("limit", page);
pub(super) const NEXT_TOKEN: Field = Field::own("next_token", text);
pub(super) const INCLUDE_DOOMED: Field = Field::own("include_doomed", flag);
pub(super) const REASON: Field = Field::of(PUT, "reason").words("Why; kept in the history.");
pub(super) const TAGS: Field = Field::of(PUT, "tags");
pub(super) const EXPECTED_REVISION: Field = Field::of(TAG, "expected_revision")
    .words("The revision you last read.")
    .required();
pub(super) const PLAN_ID: Field = Field::own("plan_id", text).words("From the first call.");

/// A field with a time.
pub(super) const fn time_of(name: &'static str) -> Field {
    Field::own(name, time)
}
