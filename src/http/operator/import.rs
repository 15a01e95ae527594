//! `utl_import_...` and `PUT /import/{orgcode}/{object_id}`: bringing an org's export in.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::web::Payload;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::org;
use super::{ask, operator_request};
use crate::content::{Kept, ObjectName, Promise};
use crate::domain::offboarding::OrgTransfer;
use crate::domain::quota::Quota;
use crate::domain::record::OBJECT_BYTES_MAX;
use crate::domain::{ErrorTag, Md5, OrgCode, Rejection, Sha256Digest};
use crate::export::line::EventLine;
use crate::http::call::Call;
use crate::http::reply::{Refusal, Reply};
use crate::http::shares::Shares;
use crate::http::slow::UploadPace;
use crate::http::state::AppState;
use crate::http::{idempotency, input, ofm, presigned, transfers};
use crate::offload;

/// Where content is put; the org's code and the object's id follow.
pub(super) const CONTENT: &str = "/import/";
/// Most lines of a page.
const LINES_MAX: usize = 4_096;
/// Most objects asked about at once.
const OBJECTS_MAX: usize = 1_000;
/// Characters of a SHA-256 in hex.
const SHA256_CHARS: usize = 64;

operator_request! {
    /// An export to bring in.
    #[schema(as = ImportBegin)]
    pub(super) struct Begin {
        /// Code of the org that takes the records.
        #[schema(value_type = String, required = true)]
        orgcode: Option<String>,
        /// The SHA-256 of the export's manifest, in hex.
        #[schema(value_type = String, required = true)]
        manifest_sha256: Option<String>,
        /// Id of the export, as its manifest has it.
        #[schema(value_type = String, required = true)]
        export_id: Option<String>,
        /// How many entries the export has.
        #[schema(value_type = u64, required = true)]
        entries: Option<u64>,
        /// The owner, by id.
        owner_user_id: Option<String>,
        /// Counts, and changes nothing.
        #[serde(default)]
        dry_run: bool,
        /// Makes repeating the request harmless for 24 hours; also taken from the header `Idempotency-Key`.
        idempotency_key: Option<String>,
    }
}

operator_request! {
    /// An import to end.
    #[schema(as = ImportEnd)]
    pub(super) struct End {
        /// Code of the org that takes the records.
        #[schema(value_type = String, required = true)]
        orgcode: Option<String>,
        /// The owner, by id.
        owner_user_id: Option<String>,
    }
}

operator_request! {
    /// An import to give up.
    #[schema(as = ImportCancel)]
    pub(super) struct Cancel {
        /// Code of the org that takes the records.
        #[schema(value_type = String, required = true)]
        orgcode: Option<String>,
    }
}

/// A page of the history.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ImportEvents)]
struct Events {
    /// Code of the org that takes the records.
    #[schema(value_type = String, required = true)]
    orgcode: Option<String>,
    /// Lines of the export's history.
    #[schema(value_type = Vec<serde_json::Value>)]
    lines: Vec<EventLine>,
}

/// Objects to ask about.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ImportObjects)]
struct Objects {
    /// Code of the org that takes the records.
    #[schema(value_type = String, required = true)]
    orgcode: Option<String>,
    /// Objects to ask about.
    #[schema(value_type = Vec<String>)]
    object_ids: Vec<Uuid>,
}

/// The promised size and hash of an object.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Promised {
    size: u64,
    md5: String,
    sha256: Option<String>,
}

/// Begins an import, or continues it.
#[utoipa::path(post, path = "/invoke/utl_import_begin", request_body = Begin,
    responses((status = 200, description = "`orgcode`, `entries`, and whether it is `importing`.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn begin(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Begin = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let org = org(call, request.orgcode.as_deref())?;
    let owner = request.owner_user_id;
    if let Some(owner) = &owner {
        app.offboardings.check_owner(owner)?;
    }
    let key = request.idempotency_key.as_deref();
    if request.dry_run && key.is_some() {
        let message = "A dry run makes nothing, and takes no idempotency_key.";
        return Err(Rejection::field("idempotency_key", message).into());
    }
    let keyed = idempotency::enter(app, call, key, None).await?;
    let is_hash = |text: &&String| {
        text.len() == SHA256_CHARS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let sha256 = request.manifest_sha256.filter(|text| is_hash(&text));
    let sha256 = sha256.ok_or_else(|| {
        Rejection::field(
            "manifest_sha256",
            "manifest_sha256 is the manifest's SHA-256 in hex.",
        )
    })?;
    let export_id = super::text(request.export_id.as_deref(), "export_id", SHA256_CHARS)?;
    let entries = request.entries;
    let entries = entries.ok_or_else(|| Rejection::field("entries", "entries is missing."))?;
    if let Some(made) = keyed.made() {
        return Ok(begun(&org, entries, &app.first_answers.org_transfer(made)?)?.again());
    }
    if request.dry_run {
        let facts = (sha256, export_id, entries);
        let open = app.offboardings.plan_import(&org, facts)?;
        return Reply::of(
            &json!({"orgcode": org, "entries": entries, "importing": open,
            "dry_run": true, "owner_user_id": owner, "limits": limits(app)}),
        );
    }
    let told = [("export_id", &*export_id)];
    ask(app, call, &caller, (org.as_str(), &told)).await?;
    let caller = keyed.sign(caller);
    let facts = (sha256, export_id, entries);
    let org_transfer = app.offboardings.begin_import(&org, facts, &caller).await?;
    begun(&org, entries, &org_transfer)
}

/// The limits that an org gets which is not here yet.
fn limits(app: &AppState) -> serde_json::Map<String, serde_json::Value> {
    let limits = app.store.reservations().settings();
    let named = Quota::ALL.into_iter();
    let named =
        named.filter_map(|quota| Some((quota.as_str().to_owned(), limits.get(quota)?.into())));
    named.collect()
}

fn begun(org: &OrgCode, entries: u64, org_transfer: &OrgTransfer) -> Result<Reply, Refusal> {
    let open = org_transfer.is_importing();
    Reply::of(&json!({"orgcode": org, "entries": entries, "importing": open}))
}

/// Takes a page of the history.
#[utoipa::path(post, path = "/invoke/utl_import_events", request_body = Events,
    responses((status = 200, description = "How many entries were `appended`, and how many were `there`.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn events(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Events = input::json(&call.body)?;
    let org = org(call, request.orgcode.as_deref())?;
    check_count("lines", request.lines.len(), LINES_MAX)?;
    let page = app.offboardings.import_events(&org, &request.lines).await?;
    Reply::of(&json!({"appended": page.appended, "there": page.there}))
}

/// Returns which objects are still to be put.
#[utoipa::path(post, path = "/invoke/utl_import_objects", request_body = Objects,
    responses((status = 200, description = "`missing`: the objects that are still to be put.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn objects(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Objects = input::json(&call.body)?;
    let org = org(call, request.orgcode.as_deref())?;
    check_count("object_ids", request.object_ids.len(), OBJECTS_MAX)?;
    let offboardings = &app.offboardings;
    let missing = offboardings
        .missing_objects(&org, request.object_ids)
        .await?;
    Reply::of(&json!({"missing": missing}))
}

/// Ends an import: the org is open from then on.
#[utoipa::path(post, path = "/invoke/utl_import_end", request_body = End,
    responses((status = 200, description = "The org, open.", body = crate::http::reply::Good<'static, crate::http::ofm::OrgView>)))]
pub(super) async fn end(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: End = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let org = org(call, request.orgcode.as_deref())?;
    let owner = request.owner_user_id;
    let facts: Vec<_> = owner
        .as_deref()
        .map(|owner| ("owner", owner))
        .into_iter()
        .collect();
    ask(app, call, &caller, (org.as_str(), &facts)).await?;
    let after = app.offboardings.finish_import(&org, owner, &caller).await?;
    ofm::show(&org, &after)
}

/// Gives an import up.
#[utoipa::path(post, path = "/invoke/utl_import_cancel", request_body = Cancel,
    responses((status = 200, description = "`orgcode`, and `importing`: false.", body = crate::http::reply::Good<'static, serde_json::Value>)))]
pub(super) async fn cancel(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let request: Cancel = input::json(&call.body)?;
    let caller = request.caller(call)?;
    let org = org(call, request.orgcode.as_deref())?;
    ask(app, call, &caller, (org.as_str(), &[])).await?;
    app.offboardings.cancel_import(&org, &caller).await?;
    Reply::of(&json!({"orgcode": org, "importing": false}))
}

/// Takes an object, streamed, and keeps it only when it is what is promised.
pub(super) async fn put(
    app: &AppState,
    request: &HttpRequest,
    payload: Payload,
    (pace, imports): (UploadPace, &Arc<Shares>),
) -> Result<Reply, Refusal> {
    let (object, promise) = object(request)?;
    let pass = app.offboardings.enter_import(&object.org)?.for_upload();
    let object_id = object.object_id;
    let share = transfers::import(imports, request.path())?;
    let upload = (request, payload, pass.has_to_end());
    let facts = (object.clone(), promise);
    let kept = presigned::receive(&app.content, (pace, &share), facts, upload).await?;
    seal(app, object, kept).await?;
    Reply::of(&json!({"object_id": object_id, "size": promise.size}))
}

/// Makes an upload the object, for good, unless it is there with other bytes.
async fn seal(app: &AppState, object: ObjectName, kept: Kept) -> Result<(), Refusal> {
    let content = Arc::clone(&app.content);
    let sealed = offload::blocking(move || {
        let sealed = content.seal(&object)?;
        content.remove_uploads(&object).map(|()| sealed)
    });
    let sealed = sealed.await?;
    let sealed = sealed.map_err(Refusal::failed)?;
    if sealed.is_some_and(|sealed| sealed.sha256 == kept.sha256) {
        Ok(())
    } else {
        Err(Rejection::new(
            ErrorTag::Conflict,
            "Two files for the same object arrived at once; send one file for each object.",
        )
        .into())
    }
}

fn object(request: &HttpRequest) -> Result<(ObjectName, Promise), Rejection> {
    let rest = request.path().strip_prefix(CONTENT).unwrap_or_default();
    let (org, id) = rest.split_once('/').unwrap_or_default();
    let object = ObjectName {
        org: OrgCode::parse(org)?,
        object_id: Uuid::try_parse(id)
            .map_err(|_| Rejection::field("object_id", "The path ends with an object's id."))?,
    };
    let query = actix_web::web::Query::<Promised>::from_query(request.query_string());
    let query = query.map_err(|_| Rejection::field("size", "size and md5 are needed."))?;
    if query.size == 0 || query.size > OBJECT_BYTES_MAX {
        let message = format!("An object has 1 to {OBJECT_BYTES_MAX} bytes.");
        return Err(Rejection::new(ErrorTag::TooLarge, message));
    }
    let sha256 = query.sha256.as_deref().map(|text| {
        let parsed = Sha256Digest::parse(text);
        parsed.ok_or_else(|| Rejection::field("sha256", "sha256 is a SHA-256 in hex."))
    });
    let sha256 = sha256.transpose()?;
    let promise = Promise {
        size: query.size,
        md5: Md5::parse(&query.md5)?,
        sha256,
        // It was taken once, whatever the limit was there.
        decoded_bytes_max: None,
    };
    Ok((object, promise))
}

fn check_count(name: &str, count: usize, most: usize) -> Result<(), Rejection> {
    if (1..=most).contains(&count) {
        Ok(())
    } else {
        Err(Rejection::field(
            name,
            format!("{name} holds 1 to {most} items."),
        ))
    }
}
