//! `/common/snippets/...`: scripts that gzip and hash a file and upload it, for Node and for Python.

use std::io;
use std::sync::{Arc, OnceLock};

use super::{Kept, kept};
use crate::http::auth::access::Access;
use crate::http::document::{Document, Media};
use crate::http::reply::Refusal;
use crate::http::route::{Described, Handler, Operation, Route};

pub(crate) const NODE: Route = Route::get(
    ("system", "/common/snippets/mrs-gzip-md5-node.js"),
    Access::Public,
    Handler::Document(node),
    Described::of::<__path_node>(),
);

/// Read a script for Node that uploads a file as a record's content.
#[utoipa::path(get, path = NODE.path,
    responses((status = 200, description = "The script, which needs nothing but Node 18 or newer.", body = Vec<u8>, content_type = "text/javascript")))]
pub fn node(_: &'static [Route], _: &'static [Operation]) -> Result<&'static Document, Refusal> {
    static KEPT: Kept = OnceLock::new();
    let script = include_str!("../../../examples/snippets/mrs-gzip-md5-node.js");
    kept(&KEPT, || served(script, "text/javascript; charset=utf-8"))
}

pub(crate) const PYTHON: Route = Route::get(
    ("system", "/common/snippets/mrs-gzip-md5-python.py"),
    Access::Public,
    Handler::Document(python),
    Described::of::<__path_python>(),
);

/// Read a script for Python that uploads a file as a record's content.
#[utoipa::path(get, path = PYTHON.path,
    responses((status = 200, description = "The script, which needs nothing but Python 3.9 or newer.", body = Vec<u8>, content_type = "text/x-python")))]
pub fn python(_: &'static [Route], _: &'static [Operation]) -> Result<&'static Document, Refusal> {
    static KEPT: Kept = OnceLock::new();
    let script = include_str!("../../../examples/snippets/mrs-gzip-md5-python.py");
    kept(&KEPT, || served(script, "text/x-python; charset=utf-8"))
}

fn served(script: &'static str, content_type: &'static str) -> Result<Document, Arc<io::Error>> {
    Ok(Document::new(
        script.as_bytes(),
        Media::uncached(content_type),
    )?)
}
