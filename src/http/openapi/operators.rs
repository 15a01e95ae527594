//! The OpenAPI document of the operators' address: each function with its inputs, its answer, its errors and the scope that a
//! token needs for it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use utoipa::openapi::path::PathsBuilder;
use utoipa::openapi::{Components, PathItem};

use super::{error_responses, error_schema, headers, shape};
use crate::domain::ErrorTag;
use crate::domain::operator_token::TokenScope;
use crate::http::route::Described;

#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "Metarecord operator functions",
    description = "What operators do, at their own address and never through the gateway: each function is a POST of a JSON object to `/invoke/` and its name. Each needs an operator token with the scope that it names, as `Authorization: Bearer`.\n\nA function that changes something takes `actor`, `reason`, `reason_code` and `correlation_id`, which the journal and the audit keep. Those that destroy data, or open and close the service, need the secret code as well."
))]
struct Info;

/// The tags of functions, by what their names begin with.
const TAGS: &[(&str, &str)] = &[
    (
        "ops",
        "Maintenance windows, vacuums, tokens, backups and the audit.",
    ),
    ("jobs", "Background jobs."),
    ("mrs", "Upkeep of records, and legal holds."),
    ("ofm", "Orgs, their owners and their quotas."),
    ("uas", "Users."),
    ("usm", "Sessions of users."),
    ("utl", "Offboarding, exports and imports."),
    ("journal", "Entries of the journal."),
    ("metrics", "What the server counts."),
];

/// Errors of every function.
const EVERY_TAG: &[ErrorTag] = &[
    ErrorTag::InvalidInput,
    ErrorTag::InvalidJson,
    ErrorTag::NotAuthorized,
    ErrorTag::MethodNotAllowed,
    ErrorTag::UnsupportedMediaType,
    ErrorTag::Throttled,
    ErrorTag::InternalError,
    ErrorTag::Unavailable,
];
/// Errors of functions that take a field.
const FIELD_TAGS: &[(&str, &[ErrorTag])] = &[
    ("orgcode", &[ErrorTag::InvalidOrgcode, ErrorTag::NotFound]),
    (
        "container",
        &[ErrorTag::InvalidContainer, ErrorTag::NotFound],
    ),
    ("secret_code", &[ErrorTag::SecretCodeMismatch]),
    (
        "confirmation_phrase",
        &[ErrorTag::ConfirmationPhraseMismatch],
    ),
    ("plan_id", &[ErrorTag::VacuumMutexLocked]),
    ("next_token", &[ErrorTag::InvalidNextToken]),
    (
        "idempotency_key",
        &[
            ErrorTag::InvalidIdempotencyKey,
            ErrorTag::IdempotencyConflict,
        ],
    ),
    ("status", &[ErrorTag::InvalidStatus]),
    (
        "maintenance_id",
        &[ErrorTag::NotFound, ErrorTag::MaintenanceAlreadyActive],
    ),
    ("vacuum_id", &[ErrorTag::NotFound]),
    ("user_id", &[ErrorTag::NotFound]),
    ("email", &[ErrorTag::NotFound]),
    ("name", &[ErrorTag::NotFound]),
    ("job", &[ErrorTag::NotFound]),
    ("lease_id", &[ErrorTag::NotFound]),
    ("export_id", &[ErrorTag::NotFound]),
];

/// A function, as far as the document is about it.
pub(in crate::http) struct FunctionOf {
    /// Its name, with underscores.
    pub(in crate::http) name: &'static str,
    /// The scope that a token needs for it.
    pub(in crate::http) scope: TokenScope,
    /// Its inputs, answer and words.
    pub(in crate::http) described: Described,
}

/// The document of some functions.
///
/// # Errors
/// [`serde_json::Error`] when the document cannot be serialized.
pub(in crate::http) fn document(functions: &[FunctionOf]) -> Result<Value, serde_json::Error> {
    let mut paths = PathsBuilder::new();
    let mut schemas = Vec::new();
    for function in functions {
        let mut description = (function.described.operation)();
        description.tags = Some(vec![tag(function.name).to_owned()]);
        for method in (function.described.methods)() {
            paths = paths.path(
                path(function.name),
                PathItem::new(method, description.clone()),
            );
        }
        (function.described.schemas)(&mut schemas);
    }
    let mut document = <Info as utoipa::OpenApi>::openapi();
    document.paths = paths.build();
    document.components = Some(Components::builder().schemas_from_iter(schemas).build());
    let mut document = serde_json::to_value(document)?;
    document["components"]["schemas"]["Error"] = error_schema();
    document["components"]["headers"] = headers();
    document["components"]["securitySchemes"] = json!({"operatorToken": {"type": "http", "scheme": "bearer", "description": "An operator token."}});
    document["security"] = json!([{"operatorToken": []}]);
    let by_path: BTreeMap<_, _> = functions.iter().map(|one| (path(one.name), one)).collect();
    let schemas = document["components"]["schemas"].clone();
    shape::each_operation(&mut document, |method, path, operation| {
        let Some(function) = by_path.get(path) else {
            return;
        };
        describe(function, &schemas, (method, operation));
    });
    let used: BTreeSet<_> = functions.iter().map(|one| tag(one.name)).collect();
    let tags = TAGS.iter().copied().filter(|(tag, _)| used.contains(tag));
    shape::finish(
        &mut document,
        (
            "The operators' address that this document was read from.",
            &tags.collect::<Vec<_>>(),
        ),
    );
    Ok(document)
}

fn describe(function: &FunctionOf, schemas: &Value, (method, operation): (&str, &mut Value)) {
    let fields = fields(operation, schemas);
    let mut tags = EVERY_TAG.to_vec();
    if function.scope != TokenScope::Read {
        tags.extend([ErrorTag::InvalidState, ErrorTag::Conflict]);
    }
    for (field, own) in FIELD_TAGS {
        if fields.contains(*field) {
            tags.extend(*own);
        }
    }
    error_responses(operation, tags, true);
    let responses = operation["responses"].as_object_mut();
    for (status, response) in responses.into_iter().flatten() {
        let again = ["429", "503"]
            .contains(&status.as_str())
            .then_some("Retry-After");
        let usual = [
            "X-API-Version",
            "X-Request-Id",
            "X-Trace-Id",
            "X-Content-Type-Options",
        ];
        for name in usual.into_iter().chain(again) {
            response["headers"][name] = json!({"$ref": format!("#/components/headers/{name}")});
        }
    }
    operation["operationId"] = shape::operation_id(method, function.name, false).into();
    let needs = match function.scope {
        TokenScope::All => "Needs an operator token with the scope `all`.".to_owned(),
        scope => format!(
            "Needs an operator token with the scope `{}` or `all`.",
            scope.as_str()
        ),
    };
    let told = operation["description"].as_str().unwrap_or_default();
    operation["description"] = format!("{told}\n\n{needs}").trim().into();
}

/// The names of an operation's inputs.
fn fields(operation: &Value, schemas: &Value) -> BTreeSet<String> {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let name = schema["$ref"].as_str().and_then(|to| to.rsplit('/').next());
    let schema = name.map_or(schema, |name| &schemas[name]);
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties.map(|(name, _)| name.clone()).collect()
}

fn path(name: &str) -> String {
    format!("/invoke/{name}")
}

/// What a function's name begins with.
fn tag(name: &str) -> &str {
    name.split('_').next().unwrap_or(name)
}
