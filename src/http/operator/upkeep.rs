//! `mrs_reconcile`, `mrs_tag_scrub` and `mrs_cleanup`: upkeep of one container, a page a call.

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{ask, operator_request};
use crate::actors::upkeep::reconcile::{Cursor, Finding};
use crate::actors::upkeep::{Page, Place};
use crate::domain::{ContainerName, ErrorTag, OrgCode, Rejection};
use crate::http::call::Call;
use crate::http::input;
use crate::http::reply::{Refusal, Reply};
use crate::http::state::AppState;

/// Items that a page reads when the caller does not say.
const ITEMS_DEFAULT: usize = 100;
/// Most items that a page reads.
const ITEMS_MAX: usize = 1_000;
/// Most days that leftovers can be kept.
const RETENTION_DAYS_MAX: i64 = 36_500;
/// The mode that changes nothing.
const REPORT_ONLY: &str = "report-only";
/// The mode that mends.
const REPAIR: &str = "repair";
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

operator_request! {
    /// A container whose tags' lists are to be scrubbed.
    pub(super) struct TagScrub {
        /// Code of the org, as `ofm_org_list` shows it.
        #[schema(value_type = String, required = true)]
        orgcode: Option<String>,
        /// Name of the container within the org.
        #[schema(value_type = String, required = true)]
        container: Option<String>,
        /// Items that a call reads: 100 by default, 1 to 1,000.
        #[schema(value_type = Option<i64>)]
        max_items: Option<Count>,
        /// The `next_token` of the page before.
        next_token: Option<String>,
    }
}

operator_request! {
    /// A container to clean up.
    pub(super) struct Cleanup {
        /// Code of the org, as `ofm_org_list` shows it.
        #[schema(value_type = String, required = true)]
        orgcode: Option<String>,
        /// Name of the container within the org.
        #[schema(value_type = String, required = true)]
        container: Option<String>,
        /// Days that leftovers are kept; the settings' without it.
        #[schema(value_type = Option<i64>)]
        retention_days: Option<Count>,
        /// Items that a call reads: 100 by default, 1 to 1,000.
        #[schema(value_type = Option<i64>)]
        max_items: Option<Count>,
        /// The `next_token` of the page before.
        next_token: Option<String>,
    }
}

operator_request! {
    /// A container to compare, and to mend.
    pub(super) struct Reconcile {
        /// Code of the org, as `ofm_org_list` shows it.
        #[schema(value_type = String, required = true)]
        orgcode: Option<String>,
        /// Name of the container within the org.
        #[schema(value_type = String, required = true)]
        container: Option<String>,
        /// `report-only`, the default, or `repair`.
        mode: Option<String>,
        /// Items that a call reads: 100 by default, 1 to 1,000.
        #[schema(value_type = Option<i64>)]
        max_items: Option<Count>,
        /// The `next_token` of the page before.
        next_token: Option<String>,
    }
}

/// A number as callers write it: a number or a numeric string.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count(i64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => text.parse().ok(),
            value => value.as_i64(),
        };
        number
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("it is a whole number"))
    }
}

/// Compares records, their rows and their content; in mode `repair` mends what does not fit.
#[utoipa::path(post, path = "/invoke/mrs_reconcile", request_body = Reconcile,
    responses((status = 200, description = "`scanned`, `drift`: each finding with its remedy, `repaired`; `next_token` unless it is the last page.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn reconcile(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Reconcile = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let container = request.container.as_deref();
    let place = place(app, call, request.orgcode.as_deref(), container)?;
    let (mode, repair) = match request.mode.as_deref().unwrap_or(REPORT_ONLY) {
        REPORT_ONLY => (REPORT_ONLY, false),
        REPAIR => (REPAIR, true),
        _ => {
            let message = format!("mode must be {REPORT_ONLY:?} or {REPAIR:?}.");
            return Err(Rejection::field("mode", message).into());
        }
    };
    // A page that was reported is repaired by the token that it was reported by.
    let paging = Paging::of("reconcile", &place, request.max_items)?;
    let page = paging.page(app, request.next_token.as_deref())?;
    let from = match &page.from {
        None => Cursor::default(),
        Some(from) => Cursor::from_bytes(from)
            .ok_or_else(|| Refusal::failed("a signed cursor cannot be read"))?,
    };
    if repair {
        let facts = [("container", place.container.as_str())];
        ask(app, call, &caller, (place.org.as_str(), &facts)).await?;
    }
    let upkeep = &app.upkeep;
    let from = (from, page.items_max);
    let done = upkeep.reconcile(&place, from, repair, &caller).await?;
    let found = done.page.found.iter().zip(&done.mended);
    let drift: Vec<_> = found.map(|(found, mended)| drift(found, *mended)).collect();
    let answer = json!({
        "mode": mode,
        "scanned": done.page.scanned,
        "drift": drift,
        "repaired": done.mended.iter().filter(|mended| **mended).count(),
    });
    let next = done.page.next.map(|next| next.to_bytes());
    paging.answer(app, answer, next)
}

/// A finding as operators see it: `action` is what was done, `remedy` what a repair does.
fn drift(found: &Finding, mended: bool) -> Value {
    let repair = &found.repair;
    let remedy = repair.action.as_str();
    let mut drift = json!({
        "kind": repair.kind.as_str(),
        "action": if mended { remedy } else { "none" },
        "remedy": remedy,
        "about": found.about,
    });
    if let Some(record_id) = &repair.record_id {
        drift["record_id"] = json!(record_id);
    }
    drift
}

/// Removes entries of doomed or missing records from the tags' lists.
#[utoipa::path(post, path = "/invoke/mrs_tag_scrub", request_body = TagScrub,
    responses((status = 200, description = "`scanned` and `removed`; `next_token` unless it is the last page.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn tag_scrub(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: TagScrub = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let container = request.container.as_deref();
    let place = place(app, call, request.orgcode.as_deref(), container)?;
    let paging = Paging::of("tag scrub", &place, request.max_items)?;
    let page = paging.page(app, request.next_token.as_deref())?;
    let facts = [("container", place.container.as_str())];
    ask(app, call, &caller, (place.org.as_str(), &facts)).await?;
    let done = app.upkeep.scrub(&place, &page, &caller).await?;
    let answer = json!({"scanned": done.scanned, "removed": done.removed});
    paging.answer(app, answer, done.next)
}

/// Removes what was kept as long as it must, and then its bytes.
#[utoipa::path(post, path = "/invoke/mrs_cleanup", request_body = Cleanup,
    responses((status = 200, description = "`scanned`, `removed` by kind, and `bytes`; `next_token` unless it is the last page.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn cleanup(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Cleanup = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let container = request.container.as_deref();
    let place = place(app, call, request.orgcode.as_deref(), container)?;
    let leftovers_ms = match request.retention_days {
        None => app.upkeep.settings().retention.leftovers_ms,
        Some(days) => DAY_MS * within(days, "retention_days", RETENTION_DAYS_MAX)?,
    };
    let paging = Paging::of(
        &format!("cleanup {leftovers_ms}"),
        &place,
        request.max_items,
    )?;
    let page = paging.page(app, request.next_token.as_deref())?;
    let days = (leftovers_ms / DAY_MS).to_string();
    let facts = [
        ("container", place.container.as_str()),
        ("retention_days", &*days),
    ];
    ask(app, call, &caller, (place.org.as_str(), &facts)).await?;
    let upkeep = &app.upkeep;
    let done = upkeep.cleanup(&place, &page, leftovers_ms, &caller).await?;
    let removed = json!({
        "versions": done.removed.versions,
        "doomed_content": done.removed.doomed_content,
        "uploads": done.removed.uploads,
        "idempotency": done.removed.idempotency,
    });
    let answer = json!({"scanned": done.scanned, "removed": removed, "bytes": done.bytes});
    paging.answer(app, answer, done.next)
}

/// The container of a call, which must be there.
fn place(
    app: &AppState,
    call: &mut Call<'_>,
    orgcode: Option<&str>,
    container: Option<&str>,
) -> Result<Place, Refusal> {
    let missing = |tag, name: &str| Rejection::new(tag, format!("{name} is missing."));
    let orgcode = orgcode.ok_or_else(|| missing(ErrorTag::InvalidOrgcode, "orgcode"))?;
    let org = OrgCode::parse(orgcode)?;
    call.note_org(&org);
    let container = container.ok_or_else(|| missing(ErrorTag::InvalidContainer, "container"))?;
    let container = ContainerName::parse(container)?;
    // The journal is asked: rows may be what is to be mended.
    let records = format!("mrs/{org}/{container}/");
    if app.journal.streams(&records, None, 1)?.is_empty() {
        return Err(Rejection::new(
            ErrorTag::NotFound,
            "There is no such container, or no such org; check orgcode and container.",
        )
        .into());
    }
    Ok(Place { org, container })
}

fn within(count: Count, name: &str, max: i64) -> Result<i64, Rejection> {
    match count.0 {
        number if (1..=max).contains(&number) => Ok(number),
        _ => Err(Rejection::field(
            name,
            format!("{name} must be a whole number from 1 to {max}."),
        )),
    }
}

/// How a function continues from page to page. The number of items may change in between; nothing else may.
struct Paging {
    digest: [u8; 32],
    items_max: usize,
}

impl Paging {
    fn of(what: &str, place: &Place, max_items: Option<Count>) -> Result<Self, Rejection> {
        let items_max = match max_items {
            None => ITEMS_DEFAULT,
            Some(count) => {
                let count = within(count, "max_items", ITEMS_MAX as i64)?;
                usize::try_from(count).unwrap_or(ITEMS_MAX)
            }
        };
        // Debug output of parsed names is unambiguous: every string in it is quoted.
        let digest = Sha256::digest(format!("{what} {place:?}")).into();
        Ok(Self { digest, items_max })
    }

    fn page(&self, app: &AppState, next_token: Option<&str>) -> Result<Page, Rejection> {
        Ok(Page {
            from: input::cursor(&app.signer, next_token, self.digest)?,
            items_max: self.items_max,
        })
    }

    fn answer(
        &self,
        app: &AppState,
        mut answer: serde_json::Value,
        next: Option<Vec<u8>>,
    ) -> Result<Reply, Refusal> {
        if let Some(place) = next {
            answer["next_token"] = input::next_token(&app.signer, self.digest, place).into();
        }
        Reply::of(&answer)
    }
}
