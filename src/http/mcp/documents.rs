//! The documents about the tools: `/mcp/mrs/PROTOCOL.md` and `/mcp/ops/PROTOCOL.md`, for whoever reads ahead of connecting.

use std::sync::{Arc, OnceLock};

use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use super::{SERVICE, Shared, toolbox};
use crate::domain::{ErrorTag, Rejection};
use crate::http::document::{Document, Media};
use crate::http::envelope::respond;
use crate::http::prefixes::Prefixes;
use crate::http::reply::Refusal;
use crate::http::request_head::RequestHead;
use crate::http::trace::name_of;
use crate::http::turns::{Turn, Turns};
use crate::mcp::Service;

/// The type of a document's text.
const MARKDOWN: Media = Media::uncached("text/markdown; charset=utf-8");

/// Adds the documents to an actix application.
pub(super) fn configure(
    shared: Arc<Shared>,
    prefixes: &Prefixes,
) -> impl FnOnce(&mut ServiceConfig) {
    let of = |service: Service| {
        let paths = prefixes.before(&format!("/mcp/{}/PROTOCOL.md", service.as_str()));
        paths.into_iter().map(move |path| (path, service))
    };
    let all: Vec<_> = Service::ALL.into_iter().flat_map(of).collect();
    move |config| {
        for (path, service) in all {
            let shared = shared.clone();
            let serving = move |request: HttpRequest| {
                let shared = shared.clone();
                async move { serve(&shared, &request, service).await }
            };
            config.service(web::resource(path).default_service(web::to(serving)));
        }
    }
}

async fn serve(shared: &Shared, request: &HttpRequest, service: Service) -> HttpResponse {
    Turn::new(&Turns::of_thread()).wait_as_anonymous().await;
    let head = RequestHead::of(request);
    let mut trace = shared.gateway.trace(&head);
    (trace.service, trace.route) = (SERVICE, "mcp/PROTOCOL.md");
    trace.call = name_of(head.method, head.path);
    let chosen = document(service).and_then(|document| {
        if ![Method::GET, Method::HEAD].contains(head.method) {
            let rejection =
                Rejection::new(ErrorTag::MethodNotAllowed, "Documents are read by GET.");
            return Err(rejection.with_detail("allow", "GET, HEAD").into());
        }
        let chosen = document.chosen(request);
        let limits = shared.gateway.rate_limits();
        limits.anonymous_as(head.peer, chosen.requests())?;
        Ok(chosen)
    });
    match chosen {
        Ok(chosen) => chosen.answer(&trace),
        Err(refusal) => respond(&trace, Err(refusal)),
    }
}

/// A document in the forms that it is sent in, which is the same for all servers of a process.
fn document(service: Service) -> Result<&'static Document, Refusal> {
    static MADE: [OnceLock<Document>; 2] = [const { OnceLock::new() }; 2];
    let place = match service {
        Service::Mrs => &MADE[0],
        Service::Ops => &MADE[1],
    };
    if let Some(document) = place.get() {
        return Ok(document);
    }
    let text = toolbox()?.protocol(service);
    let made = Document::new(text.into_bytes(), MARKDOWN).map_err(Refusal::failed)?;
    Ok(place.get_or_init(|| made))
}
