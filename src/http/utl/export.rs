//! `/utl/export/...`: which files an export has, and where to get each.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};

use super::admit;
use crate::content::sign::{ExportGrant, Purpose};
use crate::domain::offboarding::{Made, OrgTransfer};
use crate::domain::{ErrorTag, OrgCode, Rejection};
use crate::http::auth::access::{Access, Right};
use crate::http::call::Call;
use crate::http::input::FIELD_ERRORS;
use crate::http::input::{self, LimitIn};
use crate::http::reply::{Refusal, Reply};
use crate::http::route::{Described, Route, inside};
use crate::http::state::AppState;
use crate::offload;

/// Which export's files, and how many at a time.
#[derive(Debug, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FilesQuery {
    /// The org that was exported.
    #[param(value_type = String, required = true)]
    pub(crate) orgcode: Option<String>,
    /// The export; the latest that is finished when absent.
    pub(crate) export_id: Option<String>,
    /// Files a page: 8 by default, 1 to 256.
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<u64>)]
    pub(crate) limit: Option<LimitIn>,
    /// The next_token of the page before.
    pub(crate) next_token: Option<String>,
}

/// The file of an export that is asked for.
#[derive(Debug, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FileQuery {
    /// The org that was exported.
    #[param(value_type = String, required = true)]
    pub(crate) orgcode: Option<String>,
    /// The export; the latest that is finished when absent.
    pub(crate) export_id: Option<String>,
    /// The file, as the list names it.
    #[param(value_type = String, required = true)]
    pub(crate) name: Option<String>,
}

/// One file of an export.
#[derive(Serialize, ToSchema)]
pub struct FileView {
    /// Its path in the export.
    name: String,
    /// Bytes.
    size: u64,
    /// SHA-256 in hex.
    sha256: String,
}

/// One page of files.
#[derive(Serialize, ToSchema)]
pub struct FilesAnswer {
    /// Absent as long as no export is finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    export_id: Option<String>,
    /// `manifest.json` first, then the files it names, then the content files.
    items: Vec<FileView>,
    /// Files a page.
    limit: usize,
    /// Token for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// How to download a file of an export.
#[derive(Serialize, ToSchema)]
pub struct FileAnswer {
    export_id: String,
    name: String,
    /// Bytes.
    size: u64,
    /// URL of the file; needs no other credential, and supports ranges.
    url: String,
    /// Always `GET`.
    method: &'static str,
    /// Until when it works.
    #[schema(format = DateTime)]
    expires_at: String,
    /// Seconds it works for, from now.
    expires_in: u64,
}

pub(crate) const LIST: Route = Route::get(
    ("utl", "/utl/export/list"),
    Access::Org(Right::Offboard),
    inside!(list),
    Described::of::<__path_list>(),
)
.errors(
    &[FIELD_ERRORS],
    &[ErrorTag::InvalidState, ErrorTag::InvalidNextToken],
);

/// List the files of the org's export.
#[utoipa::path(get, path = LIST.path, params(FilesQuery),
    responses((status = 200, description = "One page.", body = crate::http::reply::Good<'static, FilesAnswer>)))]
pub async fn list(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: FilesQuery = input::query(call)?;
    let org = admit(app, call, query.orgcode.as_deref())?;
    files(app, &org, query).await
}

pub(crate) const FILE: Route = Route::get(
    ("utl", "/utl/export/file"),
    Access::Org(Right::Offboard),
    inside!(file),
    Described::of::<__path_file>(),
)
.errors(&[FIELD_ERRORS], &[ErrorTag::InvalidState]);

/// Get a URL for downloading a file of the org's export.
#[utoipa::path(get, path = FILE.path, params(FileQuery),
    responses((status = 200, description = "Where it is.", body = crate::http::reply::Good<'static, FileAnswer>)))]
pub async fn file(app: &AppState, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let query: FileQuery = input::query(call)?;
    let org = admit(app, call, query.orgcode.as_deref())?;
    let by = call.caller()?.user_id.clone();
    let base = app.public_url.of(call.head);
    one_file(app, (&org, &base, &by), &query).await
}

/// A page of an export's files.
pub(crate) async fn files(
    app: &AppState,
    org: &OrgCode,
    query: FilesQuery,
) -> Result<Reply, Refusal> {
    let limit = query.limit.unwrap_or_default().0;
    let org_transfer = app.offboardings.org_transfer(org)?;
    let Some((export_id, made)) = finished(&org_transfer, query.export_id.as_deref())? else {
        return Reply::of(&FilesAnswer {
            export_id: None,
            items: Vec::new(),
            limit,
            next_token: None,
        });
    };
    let filter: [u8; 32] = Sha256::digest(format!("export {org} {export_id}")).into();
    let place = input::cursor(&app.signer, query.next_token.as_deref(), filter)?;
    let from = place
        .and_then(|place| place.try_into().ok())
        .map_or(0, u64::from_be_bytes);
    let (exports, its_org) = (app.offboardings.exports().clone(), org.clone());
    let (id, sha256) = (export_id.clone(), made.manifest_sha256.clone());
    let list = move || exports.list((&its_org, &id), &sha256, from, limit);
    let listed = offload::blocking(list).await?;
    let (items, next) = listed.map_err(Refusal::failed)?;
    let items = items.into_iter().map(|file| FileView {
        name: file.name,
        size: file.size,
        sha256: file.sha256,
    });
    Reply::of(&FilesAnswer {
        export_id: Some(export_id),
        items: items.collect(),
        limit,
        next_token: next
            .map(|place| input::next_token(&app.signer, filter, place.to_be_bytes().to_vec())),
    })
}

/// Answers with the url of one of an export's files.
pub(crate) async fn one_file(
    app: &AppState,
    (org, base, by): (&OrgCode, &str, &str),
    query: &FileQuery,
) -> Result<Reply, Refusal> {
    let missing = || Rejection::field("name", "name is missing; the list has the files' names.");
    let name = query.name.clone().ok_or_else(missing)?;
    let org_transfer = app.offboardings.org_transfer(org)?;
    let found = finished(&org_transfer, query.export_id.as_deref())?;
    let (export_id, _) = found.ok_or_else(|| Rejection::absent(NO_EXPORT))?;
    let size = app.offboardings.exports().size(org, &export_id, &name);
    let size = size.map_err(Refusal::failed)?;
    let size = size.ok_or_else(|| {
        Rejection::absent("The export has no file of this name; /utl/export/list has the names.")
    })?;
    let seconds = app.mrs.download_url_seconds;
    let millis = i64::try_from(seconds)
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000);
    let grant = ExportGrant {
        org: org.clone(),
        export_id: export_id.clone(),
        name: name.clone(),
        size,
        expires_at: app.clock.now().plus_millis(millis),
    };
    let token = app.signer.seal_by(Purpose::ExportUrl, &grant, by);
    Reply::of(&FileAnswer {
        export_id,
        name,
        size,
        url: format!("{base}/content/export/{token}"),
        method: "GET",
        expires_at: grant.expires_at.to_string(),
        expires_in: seconds,
    })
}

/// What is said where there is no export.
const NO_EXPORT: &str =
    "The org has no such finished export; start one with utl_export, or see the org's offboarding.";

/// A finished export: the named one, else the latest.
fn finished(
    org_transfer: &OrgTransfer,
    id: Option<&str>,
) -> Result<Option<(String, Made)>, Rejection> {
    let Some(id) = id else {
        let mut exports = org_transfer.exports.iter().rev();
        return Ok(
            exports.find_map(|export| Some((export.export_id.clone(), export.made.clone()?)))
        );
    };
    match org_transfer.export(id).map(|export| export.made.clone()) {
        None => Err(Rejection::absent(NO_EXPORT)),
        Some(Some(made)) => Ok(Some((id.to_owned(), made))),
        Some(None) => Err(Rejection::new(
            ErrorTag::InvalidState,
            "The export is still being made; come back when its status is completed.",
        )),
    }
}
