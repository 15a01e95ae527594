//! The OpenAPI document, made from the handlers.

pub mod examples;
mod keys;
pub(super) mod operators;
pub mod services;
mod shape;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, OnceLock};

use actix_web::http::Method;
use serde_json::{Value, json};
use utoipa::openapi::{Components, OpenApi, PathItem, path::PathsBuilder};

use super::auth::access::{Access, Right, Role};
use super::document::{Document as Served, Media};
use super::envelope::API_VERSION;
use super::idempotency::KeyRule;
use super::reply::Refusal;
use crate::domain::ErrorTag;
use crate::domain::account::KeyRole;
use crate::http::route::{Described, Handler, Operation, Route};

#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "Metarecord",
    description = "A self-hosted, event-sourced store of tenants' records. In addition to its own errors, each request may be refused as malformed HTTP, in the same envelope: 400 `invalid-input`, 408 `request-timeout`, 414 `uri-too-long`, 431 `head-too-large`.\n\nA request that makes something, or changes a record, may carry an idempotency key, as the header `Idempotency-Key` or as the field `idempotency_key`. Sent again with the same key within 24 hours it does nothing twice and gets its first answer again, with `Idempotent-Replay: true`; another request with that key is 409 `idempotency-conflict`. A key counts with its caller and org; of a record with the record, or with the container where the request names none. For records refusals are remembered too; elsewhere what was refused has made nothing, and is carried out when it is sent again. Where an answer had a secret in it, which is shown once and not kept, the request sent again is `idempotency-conflict` with the minor `shown-once`, and `details` name what was made. Every other POST refuses the header (`invalid-idempotency-key`, minor `not-kept`), unless it only reads.\n\nRoles are those that a caller may have in the org that the call names; to others the org does not exist."
))]
struct Info;

/// The errors that any operation may answer with.
const EVERY_TAG: &[ErrorTag] = &[
    ErrorTag::Throttled,
    ErrorTag::InternalError,
    ErrorTag::Unavailable,
];

/// One operation of the document, with its route where the gateway serves it.
struct Documented<'a> {
    operation: Operation,
    route: Option<&'a Route>,
}

impl Documented<'_> {
    fn access(&self) -> Access {
        self.route.map_or(Access::Public, |route| route.access)
    }

    fn is_post(&self) -> bool {
        self.operation.method == Method::POST
    }

    /// The error tags that it answers with.
    fn tags(&self) -> Vec<ErrorTag> {
        let mut tags = EVERY_TAG.to_vec();
        if let Some(route) = self.route {
            tags.push(ErrorTag::MethodNotAllowed);
            if !route.in_maintenance {
                tags.push(ErrorTag::MaintenanceMode);
            }
            tags.extend(tags_of_access(route.access));
        }
        let (shared, own) = self.operation.errors;
        tags.extend(shared.iter().copied().flatten());
        if self.is_post() {
            tags.push(ErrorTag::UnsupportedMediaType);
        }
        match self.route.map(|route| route.key_rule) {
            Some(KeyRule::Kept) => tags.extend([
                ErrorTag::InvalidIdempotencyKey,
                ErrorTag::IdempotencyConflict,
            ]),
            Some(KeyRule::Refused(_)) => tags.push(ErrorTag::InvalidIdempotencyKey),
            Some(KeyRule::Ignored) | None => {}
        }
        tags.extend(own);
        tags
    }
}

/// Every operation, by its path and its method in lower case.
fn operations<'a>(
    routes: &'a [Route],
    streamed: &[Operation],
) -> BTreeMap<(&'static str, String), Documented<'a>> {
    let routes = routes.iter().map(|route| Documented {
        operation: route.operation(),
        route: Some(route),
    });
    let streamed = streamed.iter().map(|operation| Documented {
        operation: *operation,
        route: None,
    });
    let named = |documented: Documented<'a>| {
        let method = documented.operation.method.as_str().to_ascii_lowercase();
        ((documented.operation.path, method), documented)
    };
    routes.chain(streamed).map(named).collect()
}

/// What the handlers say of themselves, without what is the same for many.
fn described(operations: &BTreeMap<(&'static str, String), Documented<'_>>) -> OpenApi {
    let mut paths = PathsBuilder::new();
    let mut schemas = Vec::new();
    for Documented { operation, .. } in operations.values() {
        let mut description = (operation.described.operation)();
        description.tags = Some(vec![operation.service.to_owned()]);
        for method in (operation.described.methods)() {
            paths = paths.path(operation.path, PathItem::new(method, description.clone()));
        }
        (operation.described.schemas)(&mut schemas);
    }
    let mut document = <Info as utoipa::OpenApi>::openapi();
    document.paths = paths.build();
    document.components = Some(Components::builder().schemas_from_iter(schemas).build());
    document
}

/// The tags of errors that may be answered before a handler checks anything else.
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
/// [`serde_json::Error`] when the document cannot be serialized.
pub fn document(routes: &[Route], streamed: &[Operation]) -> Result<Value, serde_json::Error> {
    let operations = operations(routes, streamed);
    let mut document = serde_json::to_value(described(&operations))?;
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
        let Some(documented) = operations.get(&(path, method.to_owned())) else {
            return;
        };
        let access = documented.access();
        describe_errors(documented, operation);
        let security = security(access);
        if security != usual {
            operation["security"] = security;
        }
        describe_headers(access, operation);
        if let Some(route) = documented.route {
            keys::describe(route.key_rule, operation);
        }
        operation["operationId"] = shape::operation_id(method, path, several.contains(path)).into();
        describe(path, access, operation);
    });
    show_examples(&mut document);
    shape::finish(
        &mut document,
        ("The gateway that this document was read from.", shape::TAGS),
    );
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
            match kind.as_str() {
                "application/json" => {}
                // It is JSON, too.
                "application/yaml" => body["schema"] = json!({"type": "object"}),
                _ => body["schema"] = shape::binary(),
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

fn describe_errors(documented: &Documented<'_>, operation: &mut Value) {
    error_responses(operation, documented.tags(), documented.is_post());
}

/// Adds answers with error tags; where a body may be too large, with that too.
fn error_responses(operation: &mut Value, all: Vec<ErrorTag>, has_body: bool) {
    let mut by_status = BTreeMap::<u16, Vec<&str>>::new();
    let mut add = |status: u16, tag: ErrorTag| {
        let tags = by_status.entry(status).or_default();
        if !tags.contains(&tag.as_str()) {
            tags.push(tag.as_str());
        }
    };
    for tag in all {
        add(tag.status(), tag);
    }
    if has_body {
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

/// The headers of all answers.
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

pub(crate) const OPENAPI: Route = Route::get(
    ("system", "/openapi.json"),
    Access::Public,
    Handler::Document(served),
    Described::of::<__path_served>(),
);

/// Read the document of this interface.
#[utoipa::path(get, path = OPENAPI.path,
    params(
        ("Accept-Encoding" = Option<String>, Header, description = "With `gzip` it is sent gzipped."),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the form that the caller has.")),
    responses(
        (status = 200, description = "The OpenAPI document itself, without an envelope; `ETag` names this form of it.", body = Value),
        (status = 304, description = "The caller has it already.")))]
pub fn served(
    routes: &'static [Route],
    streamed: &'static [Operation],
) -> Result<&'static Served, Refusal> {
    static SERVED: OnceLock<Result<Served, Arc<io::Error>>> = OnceLock::new();
    let served = SERVED.get_or_init(|| {
        let json = made(routes, streamed)?.to_string();
        Ok(Served::new(json, Media::JSON)?)
    });
    served
        .as_ref()
        .map_err(|error| Refusal::failed(error.clone()))
}

/// The document of this process, which is made once for all forms in which it is served.
pub(super) fn made(
    routes: &'static [Route],
    streamed: &'static [Operation],
) -> Result<&'static Value, Arc<io::Error>> {
    static MADE: OnceLock<Result<Value, Arc<io::Error>>> = OnceLock::new();
    let made = MADE.get_or_init(|| Ok(document(routes, streamed).map_err(io::Error::from)?));
    made.as_ref().map_err(Clone::clone)
}
