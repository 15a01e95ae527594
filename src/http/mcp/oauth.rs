//! How clients learn where to sign in: the challenge of a 401, and the metadata of this server as an OAuth 2.0 resource
//! (RFC 9728), which is there where an identity provider is.

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::{PATH, SERVICE, Shared};
use crate::domain::{ErrorTag, Rejection};
use crate::http::envelope::{CHALLENGE, OK, respond, with_headers};
use crate::http::prefixes::Prefixes;
use crate::http::request_head::RequestHead;
use crate::http::trace::name_of;
use crate::http::turns::{Turn, Turns};

/// The place of the metadata (RFC 9728, section 3), and that of a resource with a path, which clients look at first.
const WELL_KNOWN: [&str; 2] = [
    "/.well-known/oauth-protected-resource/mcp",
    "/.well-known/oauth-protected-resource",
];

/// Which credentials a 401 asks for, and where there is more about them.
pub(super) fn challenge(shared: &Shared, head: &RequestHead<'_>) -> String {
    let app = shared
        .gateway
        .app()
        .filter(|_| !shared.settings.issuer.is_empty());
    match app {
        Some(app) => {
            let url = app.public_url.of(head);
            format!("{CHALLENGE}, resource_metadata=\"{url}{}\"", WELL_KNOWN[0])
        }
        None => CHALLENGE.to_owned(),
    }
}

/// Adds the metadata to an actix application, also below the path of a public URL: a proxy may pass that on.
pub(super) fn configure(
    shared: Arc<Shared>,
    prefixes: &Prefixes,
) -> impl FnOnce(&mut ServiceConfig) {
    let mut paths: Vec<_> = WELL_KNOWN
        .iter()
        .flat_map(|path| prefixes.before(path))
        .collect();
    // Of https://HOST/PATH/mcp it is at https://HOST/.well-known/oauth-protected-resource/PATH/mcp.
    let inserted = prefixes.before(PATH).into_iter();
    paths.extend(inserted.map(|path| format!("{}{path}", WELL_KNOWN[1])));
    paths.sort();
    paths.dedup();
    move |config| {
        for path in paths {
            let shared = shared.clone();
            let serving = move |request: HttpRequest| {
                let shared = shared.clone();
                async move { serve(&shared, &request).await }
            };
            config.service(web::resource(path).default_service(web::to(serving)));
        }
    }
}

async fn serve(shared: &Shared, request: &HttpRequest) -> HttpResponse {
    Turn::new(&Turns::of_thread()).wait_as_anonymous().await;
    let head = RequestHead::of(request);
    let mut trace = shared.gateway.trace(&head);
    (trace.service, trace.route) = (SERVICE, "mcp/oauth-protected-resource");
    trace.call = name_of(head.method, head.path);
    let issuer = &shared.settings.issuer;
    let app = shared.gateway.app().filter(|_| !issuer.is_empty());
    let refused = if ![Method::GET, Method::HEAD].contains(head.method) {
        let rejection = Rejection::new(ErrorTag::MethodNotAllowed, "Metadata is read by GET.");
        Some(rejection.with_detail("allow", "GET, HEAD"))
    } else {
        shared.gateway.rate_limits().anonymous(head.peer).err()
    };
    let absent = || {
        let message = "No identity provider is set up here: use a session or an API key.";
        Rejection::new(ErrorTag::NotFound, message)
    };
    let app = match (refused, app) {
        (None, Some(app)) => app,
        (refused, _) => {
            let rejection = refused.unwrap_or_else(absent);
            let mut response = respond(&trace, Err(rejection.into()));
            shared.settings.origins.allow(request, &mut response);
            return response;
        }
    };
    let metadata = json!({
        "resource": format!("{}{PATH}", app.public_url.of(&head)),
        "resource_name": "Metarecord",
        "authorization_servers": [issuer],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["mrs:read", "mrs:write"],
    });
    let mut response = HttpResponse::Ok();
    let mut response = with_headers(&mut response, &trace).body(metadata.to_string());
    shared.settings.origins.allow(request, &mut response);
    trace.note_answer(&response, OK);
    response
}
