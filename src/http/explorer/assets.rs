//! `/assets/{digest}/{file}`: the files of the explorer. A path names its content, so that browsers may keep it for good.
//! Where those of others come from is in `assets/SOURCES.toml`.

use std::io;
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use crate::domain::rejection::NOT_FOUND;
use crate::domain::{ErrorTag, Rejection};
use crate::http::auth::access::Access;
use crate::http::document::{Document, Media};
use crate::http::reply::Refusal;
use crate::http::route::{Described, Handler, Route};

/// What all paths of files begin with.
pub(crate) const BELOW: &str = "/assets/";
/// Digits of the SHA-256 in a path.
const DIGITS: usize = 8;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// A file that is within the program.
pub(super) struct File {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

pub(super) const SWAGGER_SCRIPT: File = File {
    name: "swagger-ui-bundle.js",
    content_type: SCRIPT,
    bytes: include_bytes!("../../../assets/swagger-ui/swagger-ui-bundle.js"),
};
pub(super) const SWAGGER_STYLE: File = File {
    name: "swagger-ui.css",
    content_type: STYLE,
    bytes: include_bytes!("../../../assets/swagger-ui/swagger-ui.css"),
};
pub(super) const EXPLORER_SCRIPT: File = File {
    name: "init.js",
    content_type: SCRIPT,
    bytes: include_bytes!("../../../assets/explorer/init.js"),
};
pub(super) const EXPLORER_STYLE: File = File {
    name: "explorer.css",
    content_type: STYLE,
    bytes: include_bytes!("../../../assets/explorer/explorer.css"),
};
pub(super) const REFERENCE_STYLE: File = File {
    name: "reference.css",
    content_type: STYLE,
    bytes: include_bytes!("../../../assets/explorer/reference.css"),
};

const FILES: &[File] = &[
    SWAGGER_SCRIPT,
    SWAGGER_STYLE,
    EXPLORER_SCRIPT,
    EXPLORER_STYLE,
    REFERENCE_STYLE,
];

impl File {
    /// The end of its path: digest and name.
    fn path(&self) -> String {
        let mut digest = hex::encode(Sha256::digest(self.bytes));
        digest.truncate(DIGITS);
        format!("{digest}/{}", self.name)
    }

    /// Its URL from a page at the root.
    pub(super) fn url(&self) -> String {
        format!("assets/{}", self.path())
    }
}

/// A file as it is served.
struct Asset {
    /// The end of its path: digest and name.
    path: String,
    document: Document,
}

pub(crate) const ASSET: Route = Route::get(
    ("system", "/assets/{digest}/{file}"),
    Access::Public,
    Handler::Asset(served),
    Described::of::<__path_served>(),
)
.errors(&[], &[ErrorTag::NotFound]);

/// Read a file of the explorer's.
#[utoipa::path(get, path = ASSET.path,
    params(
        ("digest" = String, Path, description = "The first 8 digits of the file's SHA-256."),
        ("file" = String, Path, description = "The file's name.")),
    responses((status = 200, description = "The file, which never changes.", body = Vec<u8>, content_type = "text/css")))]
pub fn served(path: &str) -> Result<&'static Document, Refusal> {
    let wanted = path.rsplit_once(BELOW).map(|(_, wanted)| wanted);
    let found = all()?.iter().find(|asset| Some(&*asset.path) == wanted);
    found
        .map(|asset| &asset.document)
        .ok_or_else(|| Rejection::absent(NOT_FOUND).into())
}

/// The paths of all files, for those who try every path.
pub fn paths() -> Vec<String> {
    let paths = FILES.iter().map(|file| format!("{BELOW}{}", file.path()));
    paths.collect()
}

fn all() -> Result<&'static [Asset], Refusal> {
    static ALL: OnceLock<Result<Vec<Asset>, Arc<io::Error>>> = OnceLock::new();
    let made = ALL.get_or_init(|| {
        let files = FILES.iter().map(|file| {
            Ok(Asset {
                path: file.path(),
                document: Document::new(file.bytes, Media::immutable(file.content_type))?,
            })
        });
        files.collect()
    });
    match made {
        Ok(all) => Ok(all),
        Err(error) => Err(Refusal::failed(error.clone())),
    }
}
