//! `GET /mrs/list`: records of an org, filtered, one page at a time.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};

use super::CONTAINER_ERRORS;
use super::Subject;
use crate::domain::json::{push_number, push_text};
use crate::domain::record::{Record, RecordKey, RecordView, Status, TYPICAL_JSON_BYTES};
use crate::domain::{ErrorTag, RecordId, Rejection, Tag};
use crate::http::auth::access::{Access, Right};
use crate::http::call::Call;
use crate::http::input::{self, ClampedLimitIn};
use crate::http::reply::{Refusal, Reply};
use crate::http::route::{Described, Route, inside};
use crate::http::state::AppState;
use crate::projections::list::Filter;

/// Which records, and how many at a time.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Code of the org that has the records.
    #[param(value_type = String, required = true)]
    orgcode: Option<String>,
    /// Only records of this cost centre.
    cccode: Option<String>,
    /// Only records of this container.
    container: Option<String>,
    /// Only records with this tag.
    tag: Option<String>,
    /// `active` (the default), `pending_upload`, `doomed` or `all`.
    status: Option<String>,
    /// Only records whose id begins with this.
    prefix: Option<String>,
    /// `true` shows doomed records, too; `status` takes precedence.
    include_doomed: Option<String>,
    /// Records per page: 8 by default, 1 to 256. Any other number is taken for the nearer of these; `limit` of the answer is what
    /// counted.
    #[param(value_type = Option<String>)]
    limit: Option<ClampedLimitIn>,
    /// The next_token of the page before.
    next_token: Option<String>,
}

/// One page of records.
#[derive(Serialize, ToSchema)]
pub struct ListAnswer<'a> {
    /// By container, then record id.
    items: Vec<RecordView<'a>>,
    /// How many records a page has at most.
    limit: usize,
    /// Token for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(crate) const LIST: Route = Route::get(
    ("mrs", "/mrs/list"),
    Access::Org(Right::Read),
    inside!(list),
    Described::of::<__path_list>(),
)
.errors(
    &[CONTAINER_ERRORS],
    &[
        ErrorTag::InvalidTag,
        ErrorTag::InvalidStatus,
        ErrorTag::InvalidNextToken,
    ],
);

/// List the records of an org.
#[utoipa::path(get, path = LIST.path, params(ListQuery),
    responses((status = 200, description = "One page.", body = crate::http::reply::Good<'static, ListAnswer<'static>>)))]
pub async fn list(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: ListQuery = input::query(call)?;
    let subject = Subject {
        orgcode: query.orgcode.as_deref(),
        cccode: query.cccode.as_deref(),
        container: query.container.as_deref(),
        record_id: None,
    };
    let admitted = subject.admit(app, call)?;
    let prefix = query.prefix.unwrap_or_default();
    RecordId::check_prefix(&prefix)?;
    let filter = Filter {
        org: admitted.org,
        container: admitted.container,
        cccode: admitted.cccode,
        tag: query.tag.as_deref().map(Tag::parse).transpose()?,
        statuses: statuses(query.status.as_deref(), query.include_doomed.as_deref())?,
        prefix,
    };
    let limit = query.limit.unwrap_or_default().0;
    let digest = digest(&filter);
    let from = input::cursor(&app.signer, query.next_token.as_deref(), digest)?;
    let page = filter.page(&app.store, from.as_deref(), limit, app.clock.now())?;
    let token = |place| input::next_token(&app.signer, digest, place);
    let next_token = page.next.map(token);
    Ok(Reply::of_json(json(&page.items, limit, next_token)))
}

/// [`ListAnswer`] as JSON.
fn json(items: &[(RecordKey, Arc<Record>)], limit: usize, next_token: Option<String>) -> Vec<u8> {
    let mut json = Vec::with_capacity((items.len() + 1) * TYPICAL_JSON_BYTES);
    json.extend_from_slice(b"{\"items\":[");
    for (index, (key, record)) in items.iter().enumerate() {
        json.extend_from_slice(if index == 0 { b"{" } else { b",{".as_slice() });
        record.push_members(key, &mut json);
        json.push(b'}');
    }
    json.extend_from_slice(b"],\"limit\":");
    push_number(&mut json, limit as u64);
    if let Some(token) = next_token {
        json.extend_from_slice(b",\"next_token\":");
        push_text(&mut json, &token);
    }
    json.push(b'}');
    json
}

fn statuses(status: Option<&str>, include_doomed: Option<&str>) -> Result<Vec<Status>, Rejection> {
    let include_doomed = input::flag(include_doomed, "include_doomed")?;
    match status {
        Some("active") => Ok(vec![Status::Active]),
        Some("pending_upload") => Ok(vec![Status::PendingUpload]),
        Some("doomed") => Ok(vec![Status::Doomed]),
        Some("all") => Ok(vec![Status::Active, Status::PendingUpload, Status::Doomed]),
        Some(_) => Err(Rejection::new(
            ErrorTag::InvalidStatus,
            "status must be active, pending_upload, doomed or all.",
        )),
        None if include_doomed => Ok(vec![Status::Active, Status::Doomed]),
        None => Ok(vec![Status::Active]),
    }
}

fn digest(filter: &Filter) -> [u8; 32] {
    // Debug output of parsed names is unambiguous: every string in it is quoted.
    Sha256::digest(format!("{filter:?}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::record::{Content, ContentPlace};
    use crate::domain::{ContainerName, Md5, OrgCode, Revision, Timestamp};

    fn item(number: u64) -> (RecordKey, Arc<Record>) {
        let key = RecordKey {
            org: OrgCode::parse("ACME").unwrap(),
            container: ContainerName::parse("box").unwrap(),
            record_id: RecordId::parse(&format!("r-{number}")).unwrap(),
        };
        let record = Record {
            cccode: None,
            status: Status::Active,
            revision: Revision(number),
            content: Content {
                content_type: "application/json".to_owned(),
                size: number,
                md5: Md5::of(b"1"),
                sha256: None,
                decoded: None,
                place: ContentPlace::Inline(number),
                version: 1,
            },
            upload: None,
            tags: Vec::new(),
            doom_at: None,
            created_at: Timestamp::from_millis(1_800_000_000_123),
            created_by: "u-1".to_owned(),
            updated_at: Timestamp::default(),
            updated_by: "u-2".to_owned(),
            doom: None,
            hold: None,
        };
        (key, Arc::new(record))
    }

    #[test]
    fn a_page_is_what_a_serializer_makes_of_the_answer() {
        for (count, token) in [(0, None), (1, None), (3, Some("t\"1"))] {
            let items: Vec<_> = (0..count).map(item).collect();
            let answer = ListAnswer {
                items: items.iter().map(|(key, record)| record.view(key)).collect(),
                limit: 8,
                next_token: token.map(str::to_owned),
            };
            let written = json(&items, 8, token.map(str::to_owned));
            let written = String::from_utf8(written).unwrap();
            assert_eq!(written, serde_json::to_string(&answer).unwrap());
        }
    }
}
