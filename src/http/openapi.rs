//! The OpenAPI document, made from the handlers.

pub mod examples;
mod keys;
mod shape;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde_json::{Value, json};
use utoipa::OpenApi;

use super::auth::access::{Access, Right, Role};
use super::document::Document as Served;
use super::envelope::API_VERSION;
use super::reply::Refusal;
use super::route::Route;
use super::{gate, idempotency};
use crate::domain::ErrorTag;
use crate::domain::account::KeyRole;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Metarecord",
        description = "A self-hosted, event-sourced store of tenants' records. In addition to its own errors, each request may be refused as malformed HTTP, in the same envelope: 400 `invalid-input`, 408 `request-timeout`, 414 `uri-too-long`, 431 `head-too-large`.\n\nA request that makes something, or changes a record, may carry an idempotency key, as the header `Idempotency-Key` or as the field `idempotency_key`. Sent again with the same key within 24 hours it does nothing twice and gets its first answer again, with `Idempotent-Replay: true`; another request with that key is 409 `idempotency-conflict`. A key counts with its caller and org; of a record with the record, or with the container where the request names none. For records refusals are remembered too; elsewhere what was refused has made nothing, and is carried out when it is sent again. Where an answer had a secret in it, which is shown once and not kept, the request sent again is `idempotency-conflict` with the minor `shown-once`, and `details` name what was made. Every other POST refuses the header, unless it only reads."
    ),
    paths(
        super::mrs::put::put,
        super::mrs::complete::complete,
        super::mrs::read::record,
        super::mrs::read::meta,
        super::mrs::versions::versions,
        super::mrs::read::head,
        super::mrs::list::list,
        super::mrs::change::tag_add,
        super::mrs::change::tag_remove,
        super::mrs::change::ttl_set,
        super::mrs::change::doom,
        super::mrs::hold::set,
        super::mrs::hold::release,
        super::mrs::due::due,
        super::mrs::read::stat,
        super::ops::ping,
        super::ops::stat,
        super::ops::maintenance::get,
        super::ops::maintenance::get_by_post,
        super::ops::maintenance::list,
        super::ops::maintenance::list_by_post,
        super::usm::session::create,
        super::usm::session::validate,
        super::usm::session::close,
        super::usm::session::list,
        super::usm::session::logout_everywhere,
        super::usm::account::create,
        super::usm::account::list,
        super::usm::account::status,
        super::usm::key::create,
        super::usm::key::list,
        super::usm::key::revoke,
        super::usm::key::revoke_all,
        super::usm::key::validate,
        super::ofm::get,
        super::ofm::park,
        super::ofm::unpark,
        super::ofm::add,
        super::ofm::remove,
        super::ofm::list,
        super::ofm::resolve,
        super::usage::get,
        super::ofm::leave,
        super::ofm::invitation::create,
        super::ofm::invitation::list,
        super::ofm::invitation::withdraw,
        super::ofm::invitation::mine,
        super::ofm::invitation::accept,
        super::ofm::invitation::decline,
        super::uas::stat,
        super::uas::change_passcode,
        super::utl::request,
        super::utl::status,
        super::utl::status_by_post,
        super::utl::cancel,
        super::utl::export::list,
        super::utl::export::file,
        super::system::whoami,
        super::system::health,
        super::system::ready,
        openapi,
        super::presigned::put,
        super::presigned::get,
        super::presigned::export::get,
    )
)]
struct Document;

/// Which tags each route may answer with, beside the ones of every route.
const CHANGE_TAGS: &[ErrorTag] = &[
    ErrorTag::InvalidJson,
    ErrorTag::OrgWriteBlocked,
    ErrorTag::Doomed,
    ErrorTag::Conflict,
    ErrorTag::ExpectedRevisionRequired,
];
const PUT_TAGS: &[ErrorTag] = &[
    ErrorTag::InvalidTag,
    ErrorTag::InvalidDoomAt,
    ErrorTag::UnsupportedContentType,
    ErrorTag::InlineTooLarge,
    ErrorTag::TooLarge,
    ErrorTag::GzipRequired,
    ErrorTag::MissingContentMd5,
    ErrorTag::InvalidContentMd5,
    ErrorTag::MissingSize,
    ErrorTag::SizeMismatch,
    ErrorTag::Md5Mismatch,
    ErrorTag::QuotaExceeded,
];
const COMPLETE_TAGS: &[ErrorTag] = &[
    ErrorTag::InvalidContentToken,
    ErrorTag::MissingContentMd5,
    ErrorTag::InvalidContentMd5,
    ErrorTag::MissingSize,
    ErrorTag::SizeMismatch,
    ErrorTag::Md5Mismatch,
    ErrorTag::Md5Missing,
];
const LIST_TAGS: &[ErrorTag] = &[
    ErrorTag::InvalidTag,
    ErrorTag::InvalidStatus,
    ErrorTag::InvalidNextToken,
];
const WINDOW_TAGS: &[ErrorTag] = &[
    ErrorTag::InvalidInput,
    ErrorTag::InvalidJson,
    ErrorTag::InvalidSession,
    ErrorTag::NotFound,
];
const WINDOWS_TAGS: &[ErrorTag] = &[
    ErrorTag::InvalidInput,
    ErrorTag::InvalidJson,
    ErrorTag::InvalidSession,
    ErrorTag::InvalidStatus,
    ErrorTag::InvalidNextToken,
];
const UPLOAD_TAGS: &[ErrorTag] = &[
    ErrorTag::NotAuthorized,
    ErrorTag::ExpiredUrl,
    ErrorTag::NotFound,
    ErrorTag::GzipRequired,
    ErrorTag::Doomed,
    ErrorTag::InvalidState,
    ErrorTag::SizeMismatch,
    ErrorTag::Md5Mismatch,
    ErrorTag::TooLarge,
];
const DOWNLOAD_TAGS: &[ErrorTag] = &[
    ErrorTag::NotAuthorized,
    ErrorTag::ExpiredUrl,
    ErrorTag::NotFound,
    ErrorTag::PreconditionFailed,
];
const EVERY_TAG: &[ErrorTag] = &[
    ErrorTag::Throttled,
    ErrorTag::InternalError,
    ErrorTag::Unavailable,
];

fn tags_of(routes: &[Route], method: &str, path: &str) -> Vec<ErrorTag> {
    let mut tags = EVERY_TAG.to_vec();
    if let Some(route) = route(routes, method, path) {
        tags.push(ErrorTag::MethodNotAllowed);
        if !gate::is_exempt(route) {
            tags.push(ErrorTag::MaintenanceMode);
        }
        tags.extend(tags_of_access(route.access));
    }
    if path.starts_with("/mrs/") && path != "/mrs/stat" {
        tags.extend([ErrorTag::InvalidCccode, ErrorTag::InvalidContainer]);
        if !["/mrs/list", "/mrs/due"].contains(&path) {
            tags.push(ErrorTag::InvalidRecordId);
        }
        if method == "post" {
            tags.extend(CHANGE_TAGS);
        }
    }
    if ["/usm/", "/ofm/", "/uas/", "/utl/"]
        .iter()
        .any(|service| path.starts_with(service))
    {
        tags.extend([ErrorTag::InvalidInput, ErrorTag::InvalidJson]);
    }
    if method == "post" {
        tags.push(ErrorTag::UnsupportedMediaType);
        match idempotency::rule(path) {
            idempotency::Rule::Kept => tags.extend([
                ErrorTag::InvalidIdempotencyKey,
                ErrorTag::IdempotencyConflict,
            ]),
            idempotency::Rule::Refused(_) => tags.push(ErrorTag::InvalidIdempotencyKey),
            idempotency::Rule::Reads => {}
        }
    }
    tags.extend(match (method, path) {
        ("put", "/content/{token}") => UPLOAD_TAGS,
        ("get", "/content/{token}" | "/content/export/{token}") => DOWNLOAD_TAGS,
        ("post", "/utl/offboarding/request" | "/utl/offboarding/cancel") => {
            &[ErrorTag::InvalidState, ErrorTag::OrgWriteBlocked]
        }
        ("get", "/utl/export/list") => &[ErrorTag::InvalidState, ErrorTag::InvalidNextToken],
        ("get", "/utl/export/file") => &[ErrorTag::InvalidState],
        ("post", "/mrs/record") => PUT_TAGS,
        ("post", "/mrs/record/complete") => COMPLETE_TAGS,
        ("get", "/mrs/list") => LIST_TAGS,
        (_, "/ops/maintenance/get") => WINDOW_TAGS,
        (_, "/ops/maintenance/list") => WINDOWS_TAGS,
        ("get", "/mrs/record") => &[ErrorTag::Doomed, ErrorTag::InvalidState],
        ("post", "/mrs/tag/add") => &[ErrorTag::InvalidTag, ErrorTag::QuotaExceeded],
        ("post", "/mrs/tag/remove") => &[ErrorTag::InvalidTag],
        ("post", "/mrs/ttl/set") => &[ErrorTag::InvalidDoomAt],
        ("post", "/mrs/doom") => &[ErrorTag::InvalidState],
        ("get", "/mrs/due" | "/mrs/record/versions") => &[ErrorTag::InvalidNextToken],
        ("post", "/usm/session/create") => &[
            ErrorTag::InvalidPasscode,
            ErrorTag::UserNotVerified,
            ErrorTag::NotAuthorized,
            ErrorTag::QuotaExceeded,
        ],
        ("post", "/uas/stat") => &[ErrorTag::InvalidPasscode, ErrorTag::NotAuthorized],
        ("post", "/uas/passcode/change") => &[ErrorTag::InvalidPasscode, ErrorTag::UserNotVerified],
        ("post", "/usm/session/validate" | "/usm/session/close" | "/usm/api_key/validate") => {
            &[ErrorTag::InvalidSession]
        }
        ("post", "/usm/service_account/create" | "/usm/service_account/status") => {
            &[ErrorTag::QuotaExceeded]
        }
        ("post", "/usm/service_account/list" | "/ofm/member/list" | "/ofm/invitation/mine") => {
            &[ErrorTag::InvalidNextToken]
        }
        ("post", "/ofm/invitation/create") => &[
            ErrorTag::Conflict,
            ErrorTag::InvalidState,
            ErrorTag::OrgWriteBlocked,
        ],
        ("post", "/ofm/invitation/accept" | "/ofm/invitation/decline") => &[
            ErrorTag::InvalidOrgcode,
            ErrorTag::NotFound,
            ErrorTag::InvalidState,
            ErrorTag::OrgWriteBlocked,
        ],
        (
            "post",
            "/ofm/org/park"
            | "/ofm/org/unpark"
            | "/ofm/member/add"
            | "/ofm/member/remove"
            | "/ofm/member/leave"
            | "/ofm/invitation/withdraw",
        ) => &[ErrorTag::InvalidState, ErrorTag::OrgWriteBlocked],
        ("post", "/usm/api_key/create") => &[
            ErrorTag::InvalidState,
            ErrorTag::OrgWriteBlocked,
            ErrorTag::QuotaExceeded,
        ],
        _ => &[],
    });
    tags
}

fn route<'a>(routes: &'a [Route], method: &str, path: &str) -> Option<&'a Route> {
    let same =
        |route: &&Route| route.path == path && route.method.as_str().eq_ignore_ascii_case(method);
    routes.iter().find(same)
}

/// What may be answered before a handler looks at anything else.
fn tags_of_access(access: Access) -> Vec<ErrorTag> {
    let mut tags = Vec::new();
    if access != Access::Public {
        tags.push(ErrorTag::InvalidSession);
    }
    if let Access::Org(right) = access {
        tags.extend([
            ErrorTag::InvalidInput,
            ErrorTag::InvalidOrgcode,
            ErrorTag::NotFound,
        ]);
        if right != Right::Offboard {
            tags.push(ErrorTag::OrgReadBlocked);
        }
        match right {
            Right::Manage | Right::Offboard => tags.push(ErrorTag::NotOwner),
            Right::Read | Right::Write | Right::ViewOrg => tags.push(ErrorTag::NotAuthorized),
        }
    }
    if access == Access::UserSession {
        tags.push(ErrorTag::NotAuthorized);
    }
    tags
}

/// The whole document.
///
/// # Errors
/// When it cannot be serialized.
pub fn document(routes: &[Route]) -> Result<Value, serde_json::Error> {
    let mut document = serde_json::to_value(Document::openapi())?;
    let several = paths_of_several(&document);
    let schemas = &mut document["components"]["schemas"];
    schemas["Error"] = error_schema();
    document["components"]["headers"] = headers();
    document["components"]["securitySchemes"] = json!({
        "session": {"type": "apiKey", "in": "header", "name": "x-session-guid", "description": "A person's session."},
        "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "A service account's key."},
        "jwt": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A token of the identity provider, where one is configured; never together with one of the others."},
    });
    document["security"] = security(Access::Authenticated);
    let usual = document["security"].clone();
    shape::each_operation(&mut document, |method, path, operation| {
        describe_errors(routes, method, path, operation);
        let access = route(routes, method, path).map_or(Access::Public, |route| route.access);
        let security = security(access);
        if security != usual {
            operation["security"] = security;
        }
        describe_headers(access, operation);
        if method == "post" {
            keys::describe(path, operation);
        }
        operation["operationId"] = shape::operation_id(method, path, several.contains(path)).into();
        describe(path, access, operation);
    });
    show_examples(&mut document);
    shape::finish(&mut document);
    Ok(document)
}

/// Paths that take more than one method.
fn paths_of_several(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let several = paths.filter(|(_, methods)| methods.as_object().is_some_and(|all| all.len() > 1));
    several.map(|(path, _)| path.clone()).collect()
}

/// Says who may call an operation, and that what is not JSON is bytes.
fn describe(path: &str, access: Access, operation: &mut Value) {
    let who = shape::who_may(path, access);
    let text = match operation["description"].as_str() {
        Some(told) => format!("{told}\n\n{who}"),
        None => who,
    };
    operation["description"] = text.into();
    let bytes = |content: &mut Value| {
        for (kind, body) in content.as_object_mut().into_iter().flatten() {
            if kind != "application/json" {
                body["schema"] = shape::binary();
            }
        }
    };
    if let Some(content) = operation.pointer_mut("/requestBody/content") {
        bytes(content);
    }
    let responses = operation["responses"].as_object_mut();
    for response in responses
        .into_iter()
        .flatten()
        .map(|(_, response)| response)
    {
        if let Some(content) = response.get_mut("content") {
            bytes(content);
        }
    }
}

fn show_examples(document: &mut Value) {
    for example in examples::examples() {
        let operation = &mut document["paths"][example.path][example.method];
        if let Some(request) = example.request {
            operation["requestBody"]["content"]["application/json"]["example"] = request;
        }
        if let Some(data) = example.data {
            let answer = examples::envelope(example.method, example.path, data);
            operation["responses"]["200"]["content"]["application/json"]["example"] = answer;
        }
    }
}

fn describe_errors(routes: &[Route], method: &str, path: &str, operation: &mut Value) {
    let mut by_status = BTreeMap::<u16, Vec<&str>>::new();
    let mut add = |status: u16, tag: ErrorTag| {
        let tags = by_status.entry(status).or_default();
        if !tags.contains(&tag.as_str()) {
            tags.push(tag.as_str());
        }
    };
    for tag in tags_of(routes, method, path) {
        add(tag.status(), tag);
    }
    if method == "post" {
        add(413, ErrorTag::TooLarge);
    }
    for (status, tags) in by_status {
        operation["responses"][status.to_string()] = json!({
            "description": format!("`{}`", tags.join("`, `")),
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            "x-error-tags": tags,
        });
    }
}

/// The credentials a route takes: one of them, or none at all where the list is empty. A presigned url is one itself.
fn security(access: Access) -> Value {
    let key_may = |right| {
        [KeyRole::Reader, KeyRole::Writer]
            .map(Role::from)
            .iter()
            .any(|role| role.may(right))
    };
    match access {
        Access::Public => json!([]),
        Access::UserSession => json!([{"session": []}]),
        Access::Org(right) if !key_may(right) => json!([{"session": []}, {"jwt": []}]),
        Access::Authenticated | Access::Org(_) => {
            json!([{"session": []}, {"apiKey": []}, {"jwt": []}])
        }
    }
}

/// The headers that answers carry beside their bodies.
fn headers() -> Value {
    let header = |required: bool, schema: Value, description: &str| json!({"required": required, "schema": schema, "description": description});
    let id = json!({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,63}$"});
    let text = json!({"type": "string"});
    json!({
        "X-API-Version": header(true, json!({"type": "string", "const": API_VERSION}), "The version of the interface."),
        "X-Request-Id": header(true, id.clone(), "The caller's X-Request-Id, X-Trace-Id or trace-id, or else a new one."),
        "X-Trace-Id": header(true, id, "Equal to X-Request-Id."),
        "X-Content-Type-Options": header(true, json!({"type": "string", "const": "nosniff"}), "The body is what Content-Type says."),
        "Retry-After": header(true, json!({"type": "integer", "minimum": 1}), "Seconds after which to try again."),
        "RateLimit-Policy": header(false, text.clone(), "The caller's limit: requests (q) in a time of seconds (w). Absent when there is none, and for unauthenticated callers."),
        "Idempotent-Replay": header(false, json!({"type": "string", "const": "true"}), "This is what the first request with the idempotency key was answered. Absent from that answer itself."),
        "RateLimit": header(false, text, "The remaining requests (r), until the limit resets in t seconds."),
    })
}

fn describe_headers(access: Access, operation: &mut Value) {
    let responses = operation["responses"].as_object_mut();
    for (status, response) in responses.into_iter().flatten() {
        let mut names = vec![
            "X-API-Version",
            "X-Request-Id",
            "X-Trace-Id",
            "X-Content-Type-Options",
        ];
        if access != Access::Public {
            names.extend(["RateLimit-Policy", "RateLimit"]);
        }
        if ["429", "503"].contains(&status.as_str()) {
            names.push("Retry-After");
        }
        for name in names {
            response["headers"][name] = json!({"$ref": format!("#/components/headers/{name}")});
        }
    }
}

fn error_schema() -> Value {
    let tags: Vec<_> = ErrorTag::ALL.iter().map(|tag| tag.as_str()).collect();
    json!({
        "type": "object",
        "description": "The envelope of a bad answer.",
        "required": ["success", "error", "build", "stats"],
        "properties": {
            "success": {"type": "boolean", "const": false},
            "error": {
                "type": "object",
                "required": ["major"],
                "properties": {
                    "major": {
                        "type": "object",
                        "required": ["tag", "message"],
                        "properties": {
                            "tag": {"type": "string", "enum": tags},
                            "message": {"type": "object", "properties": {"en_US": {"type": "string"}}, "required": ["en_US"]},
                        },
                    },
                    "minor": {"type": "object", "properties": {"tag": {"type": "string"}}, "required": ["tag"]},
                    "details": {"type": "object"},
                },
            },
            "build": {"$ref": "#/components/schemas/Build"},
            "stats": {"$ref": "#/components/schemas/Stats"},
        },
    })
}

/// The document as it is served, made at the first call.
///
/// # Errors
/// [`Refusal::Failed`] when it cannot be made, then and ever after.
pub fn served(routes: &'static [Route]) -> Result<&'static Served, Refusal> {
    static SERVED: OnceLock<Result<Served, String>> = OnceLock::new();
    let served = SERVED.get_or_init(|| {
        let json = document(routes).and_then(|document| serde_json::to_vec(&document));
        let json = json.map_err(|error| error.to_string())?;
        Served::new(json).map_err(|error| error.to_string())
    });
    served
        .as_ref()
        .map_err(|error| Refusal::Failed(error.clone()))
}

/// Read this document.
#[utoipa::path(get, path = "/openapi.json", tag = "system",
    params(
        ("Accept-Encoding" = Option<String>, Header, description = "With `gzip` it is sent gzipped."),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the form that the caller has.")),
    responses(
        (status = 200, description = "The OpenAPI document itself, without an envelope; `ETag` names this form of it.", body = Value),
        (status = 304, description = "The caller has it already.")))]
#[expect(
    dead_code,
    reason = "carries the description; `served` is what is answered with"
)]
fn openapi() {}
