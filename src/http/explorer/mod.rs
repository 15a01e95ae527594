//! What people read of the interface in a browser: the explorer at `/docs`, its files, the same as a plain page at
//! `/docs/reference`, and scripts for uploads. Each is a document that is made once.

pub mod assets;
mod html;
mod reference;
pub mod snippets;

use std::io;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use self::html::Html;
use super::auth::access::Access;
use super::document::{Document, Media};
use super::openapi;
use super::reply::Refusal;
use super::route::{Described, Handler, Operation, Route};

/// What the explorer may do in a browser: run and show what this server has, and call it. Nothing inline, nothing from elsewhere.
const EXPLORER_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The same for a page that runs nothing.
const READING_POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A document that is made at its first use; how it failed otherwise.
type Kept = OnceLock<Result<Document, Arc<io::Error>>>;

/// The explorer of one address.
struct Explorer {
    title: &'static str,
    /// Whether its document needs an operator's token, for which the page asks.
    needs_token: bool,
}

pub(crate) const DOCS: Route = Route::get(
    ("system", "/docs"),
    Access::Public,
    Handler::Document(docs),
    Described::of::<__path_docs>(),
);

/// Explore this interface in a browser.
#[utoipa::path(get, path = DOCS.path,
    responses((status = 200, description = "A page that shows each operation and calls it (Swagger UI).", body = Vec<u8>, content_type = "text/html")))]
pub fn docs(_: &'static [Route], _: &'static [Operation]) -> Result<&'static Document, Refusal> {
    static KEPT: Kept = OnceLock::new();
    let explorer = Explorer {
        title: "Metarecord API",
        needs_token: false,
    };
    kept(&KEPT, || Ok(page(explorer.html(), EXPLORER_POLICY)?))
}

/// The explorer of the operators' functions. The page itself tells nothing of them.
pub(super) fn operator_docs() -> Result<&'static Document, Refusal> {
    static KEPT: Kept = OnceLock::new();
    let explorer = Explorer {
        title: "Metarecord operator functions",
        needs_token: true,
    };
    kept(&KEPT, || Ok(page(explorer.html(), EXPLORER_POLICY)?))
}

/// A document as one page without scripts.
///
/// # Errors
/// When the page cannot be compressed, which memory alone is needed for.
pub(super) fn reference_of(document: &Value) -> io::Result<Document> {
    page(reference::page(document), READING_POLICY)
}

pub(crate) const REFERENCE: Route = Route::get(
    ("system", "/docs/reference"),
    Access::Public,
    Handler::Document(served_reference),
    Described::of::<__path_served_reference>(),
);

/// Read this interface's document as a plain page.
#[utoipa::path(get, path = REFERENCE.path,
    responses((status = 200, description = "Every operation with its inputs, answers and errors, on one page without scripts.", body = Vec<u8>, content_type = "text/html")))]
pub fn served_reference(
    routes: &'static [Route],
    streamed: &'static [Operation],
) -> Result<&'static Document, Refusal> {
    static KEPT: Kept = OnceLock::new();
    kept(&KEPT, || {
        let document = openapi::made(routes, streamed)?;
        Ok(reference_of(document)?)
    })
}

impl Explorer {
    fn html(&self) -> Html {
        let mut html = html::head(
            self.title,
            "",
            &[&assets::SWAGGER_STYLE, &assets::EXPLORER_STYLE],
        );
        html.open("body", &[]);
        html.open("header", &[("class", "bar")]);
        html.element("h1", &[], self.title);
        html.open("nav", &[("aria-label", "Other forms of this page")]);
        html.element(
            "a",
            &[("id", "plain"), ("href", "docs/reference")],
            "Plain page",
        );
        html.element(
            "a",
            &[("id", "document"), ("href", "openapi.json")],
            "OpenAPI document",
        );
        html.close("nav");
        html.close("header");
        if self.needs_token {
            sign_in(&mut html);
        }
        html.open(
            "div",
            &[("id", "explorer"), ("data-document", "openapi.json")],
        );
        html.open("noscript", &[]);
        html.element(
            "p",
            &[],
            "The explorer needs JavaScript. The plain page has the same without it.",
        );
        html.close("noscript");
        html.close("div");
        for script in [&assets::SWAGGER_SCRIPT, &assets::EXPLORER_SCRIPT] {
            html.element("script", &[("src", &script.url())], "");
        }
        html.close("body");
        html.close("html");
        html
    }
}

/// The form that asks for an operator's token. It is sent in a header by the page's script, and kept nowhere.
fn sign_in(html: &mut Html) {
    html.open("form", &[("id", "sign-in"), ("class", "sign-in")]);
    html.element("label", &[("for", "token")], "Operator token");
    html.empty(
        "input",
        &[
            ("id", "token"),
            ("type", "password"),
            ("autocomplete", "off"),
            ("required", ""),
            ("aria-describedby", "token-hint"),
        ],
    );
    html.element("button", &[("type", "submit")], "Show the functions");
    html.element(
        "p",
        &[("id", "token-hint")],
        "The token of the first start is in keys/operator.token of the data directory. This page forgets it when it is closed.",
    );
    html.element("p", &[("id", "told"), ("role", "alert")], "");
    html.close("form");
}

fn page(html: Html, policy: &'static str) -> io::Result<Document> {
    Document::new(html.into_bytes(), Media::page(policy))
}

fn kept(
    kept: &'static Kept,
    make: impl FnOnce() -> Result<Document, Arc<io::Error>>,
) -> Result<&'static Document, Refusal> {
    let made = kept.get_or_init(make).as_ref();
    made.map_err(|error| Refusal::failed(error.clone()))
}
