//! The explorer at the operators' address: its page and files for anybody who reaches that, and the document of the functions
//! for operators alone.

use actix_web::HttpResponse;
use actix_web::http::Method;

use crate::domain::{ErrorTag, Rejection};
use crate::http::auth::operator::Identified;
use crate::http::dispatch::serve_document;
use crate::http::document::Document;
use crate::http::envelope::respond;
use crate::http::explorer::{self, assets};
use crate::http::reply::Refusal;
use crate::http::request_head::RequestHead;
use crate::http::state::Gateway;
use crate::http::trace::Trace;

/// Something that is served besides functions.
pub(super) struct Page {
    /// The path, as the log has it.
    pub(super) route: &'static str,
    /// Whether it names functions: then it is for operators.
    for_operators: bool,
    document: fn(&str) -> Result<&'static Document, Refusal>,
}

/// What is served at each path.
const PAGES: &[Page] = &[
    Page {
        route: "/docs",
        for_operators: false,
        document: |_| explorer::operator_docs(),
    },
    Page {
        route: "/docs/reference",
        for_operators: true,
        document: |_| super::openapi::served_reference(),
    },
    Page {
        route: "/openapi.json",
        for_operators: true,
        document: |_| super::openapi::served(),
    },
];
const ASSETS: Page = Page {
    route: assets::BELOW,
    for_operators: false,
    document: assets::served,
};

/// What is served at a path, if it is no function.
pub(super) fn find(path: &str) -> Option<&'static Page> {
    if path.starts_with(assets::BELOW) {
        return Some(&ASSETS);
    }
    PAGES.iter().find(|page| page.route == path)
}

/// The answer: the document, counted to the caller's address as those of the gateway are.
pub(super) fn answer(
    gateway: &Gateway,
    page: &Page,
    (operator, head): (&Identified, &RequestHead<'_>),
    trace: &Trace,
) -> HttpResponse {
    if page.for_operators
        && let Err(rejection) = operator
    {
        return respond(trace, Err(rejection.clone().into()));
    }
    if ![Method::GET, Method::HEAD].contains(head.method) {
        let rejection = Rejection::new(ErrorTag::MethodNotAllowed, "Documents are read by GET.");
        let rejection = rejection.with_detail("allow", "GET, HEAD");
        return respond(trace, Err(rejection.into()));
    }
    serve_document(gateway, (page.document)(head.path), head, trace)
}
