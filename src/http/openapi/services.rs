//! `/mrs/openapi.yaml` and `/ops/openapi.yaml`: the operations of one service alone. The text is JSON, which is YAML too (YAML
//! 1.2, section 1.2).

use std::io;
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use super::{made, shape};
use crate::http::auth::access::Access;
use crate::http::document::{Document, Media};
use crate::http::reply::Refusal;
use crate::http::route::{Described, Handler, Operation, Route};

/// RFC 9512.
const YAML: Media = Media::uncached("application/yaml");

/// The part of the document that is about one service.
struct Part {
    title: &'static str,
    /// The tags of its operations.
    tags: &'static [&'static str],
}

const MRS_PART: Part = Part {
    title: "Metarecord: records (MRS)",
    // What is uploaded and downloaded by URLs belongs to records.
    tags: &["mrs", "content"],
};
const OPS_PART: Part = Part {
    title: "Metarecord: operations (OPS)",
    tags: &["ops"],
};

pub(crate) const MRS: Route = Route::get(
    ("mrs", "/mrs/openapi.yaml"),
    Access::Public,
    Handler::Document(served_mrs),
    Described::of::<__path_served_mrs>(),
);

/// Read the part of this interface's document that is about records.
#[utoipa::path(get, path = MRS.path,
    responses((status = 200, description = "An OpenAPI document, as JSON, which is YAML too.", body = Value, content_type = "application/yaml")))]
pub fn served_mrs(
    routes: &'static [Route],
    streamed: &'static [Operation],
) -> Result<&'static Document, Refusal> {
    static SERVED: OnceLock<Result<Document, Arc<io::Error>>> = OnceLock::new();
    served(&SERVED, &MRS_PART, (routes, streamed))
}

pub(crate) const OPS: Route = Route::get(
    ("ops", "/ops/openapi.yaml"),
    Access::Public,
    Handler::Document(served_ops),
    Described::of::<__path_served_ops>(),
)
.served_in_maintenance();

/// Read the part of this interface's document that is about maintenance windows and status.
#[utoipa::path(get, path = OPS.path,
    responses((status = 200, description = "An OpenAPI document, as JSON, which is YAML too.", body = Value, content_type = "application/yaml")))]
pub fn served_ops(
    routes: &'static [Route],
    streamed: &'static [Operation],
) -> Result<&'static Document, Refusal> {
    static SERVED: OnceLock<Result<Document, Arc<io::Error>>> = OnceLock::new();
    served(&SERVED, &OPS_PART, (routes, streamed))
}

fn served(
    kept: &'static OnceLock<Result<Document, Arc<io::Error>>>,
    part: &Part,
    (routes, streamed): (&'static [Route], &'static [Operation]),
) -> Result<&'static Document, Refusal> {
    let served = kept.get_or_init(|| {
        let text = of_service(made(routes, streamed)?.clone(), part).to_string();
        Ok(Document::new(text, YAML)?)
    });
    served
        .as_ref()
        .map_err(|error| Refusal::failed(error.clone()))
}

/// The operations with some tags, and the components that they use.
fn of_service(mut document: Value, part: &Part) -> Value {
    let has = |tag: &Value| tag.as_str().is_some_and(|tag| part.tags.contains(&tag));
    document["info"]["title"] = json!(part.title);
    // The root of the server is where the whole document is, one level above this one.
    document["servers"][0]["url"] = json!("..");
    if let Some(tags) = document["tags"].as_array_mut() {
        tags.retain(|tag| has(&tag["name"]));
    }
    if let Some(paths) = document["paths"].as_object_mut() {
        for methods in paths.values_mut() {
            if let Some(methods) = methods.as_object_mut() {
                methods.retain(|_, operation| has(&operation["tags"][0]));
            }
        }
        paths.retain(|_, methods| methods.as_object().is_some_and(|all| !all.is_empty()));
    }
    shape::drop_unused(&mut document);
    document
}
