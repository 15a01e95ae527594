//! Every gateway route, in one list.

use actix_web::http::Method;

use super::auth::access::Access;
use super::auth::access::Right::{Manage, Offboard, Read, ViewOrg, Write};
use super::meters::RouteName;
use super::mrs::{change, complete, due, hold, list, put, read, versions};
use super::ofm::invitation;
use super::ops::{self, maintenance};
use super::prefixes::Prefixes;
use super::route::{Handler, Route};
use super::usm::{account, key, session};
use super::{ofm, openapi, system, uas, usage, utl};

/// Boxes a handler's future.
macro_rules! inside {
    ($handler:path) => {
        Handler::Inside(|app, call| Box::pin($handler(app, call)))
    };
}

const fn route(
    service: &'static str,
    method: &'static Method,
    path: &'static str,
    access: Access,
    handler: Handler,
) -> Route {
    Route {
        service,
        method,
        path,
        access,
        handler,
    }
}

const GET: &Method = &Method::GET;
const POST: &Method = &Method::POST;

/// The list. It stands in one place, so that a route is known by where it is.
pub static ROUTES: &[Route] = &[
    route(
        "mrs",
        POST,
        "/mrs/record",
        Access::Org(Write),
        inside!(put::put),
    ),
    route(
        "mrs",
        GET,
        "/mrs/record",
        Access::Org(Read),
        inside!(read::record),
    ),
    route(
        "mrs",
        POST,
        "/mrs/record/complete",
        Access::Org(Write),
        inside!(complete::complete),
    ),
    route(
        "mrs",
        GET,
        "/mrs/record/meta",
        Access::Org(Read),
        inside!(read::meta),
    ),
    route(
        "mrs",
        GET,
        "/mrs/record/versions",
        Access::Org(Read),
        inside!(versions::versions),
    ),
    route(
        "mrs",
        GET,
        "/mrs/head",
        Access::Org(Read),
        inside!(read::head),
    ),
    route(
        "mrs",
        GET,
        "/mrs/list",
        Access::Org(Read),
        inside!(list::list),
    ),
    route(
        "mrs",
        POST,
        "/mrs/tag/add",
        Access::Org(Write),
        inside!(change::tag_add),
    ),
    route(
        "mrs",
        POST,
        "/mrs/tag/remove",
        Access::Org(Write),
        inside!(change::tag_remove),
    ),
    route(
        "mrs",
        POST,
        "/mrs/ttl/set",
        Access::Org(Write),
        inside!(change::ttl_set),
    ),
    route(
        "mrs",
        POST,
        "/mrs/doom",
        Access::Org(Write),
        inside!(change::doom),
    ),
    route(
        "mrs",
        POST,
        "/mrs/hold/set",
        Access::Org(Manage),
        inside!(hold::set),
    ),
    route(
        "mrs",
        POST,
        "/mrs/hold/release",
        Access::Org(Manage),
        inside!(hold::release),
    ),
    route("mrs", GET, "/mrs/due", Access::Org(Read), inside!(due::due)),
    route(
        "mrs",
        GET,
        "/mrs/stat",
        Access::Authenticated,
        inside!(read::stat),
    ),
    route(
        "ops",
        GET,
        "/ops/ping",
        Access::Public,
        Handler::Immediate(ops::ping),
    ),
    route(
        "ops",
        GET,
        "/ops/stat",
        Access::Public,
        Handler::Immediate(ops::stat),
    ),
    route(
        "ops",
        GET,
        "/ops/maintenance/get",
        Access::Authenticated,
        inside!(maintenance::get),
    ),
    route(
        "ops",
        POST,
        "/ops/maintenance/get",
        Access::Authenticated,
        inside!(maintenance::get_by_post),
    ),
    route(
        "ops",
        GET,
        "/ops/maintenance/list",
        Access::Authenticated,
        inside!(maintenance::list),
    ),
    route(
        "ops",
        POST,
        "/ops/maintenance/list",
        Access::Authenticated,
        inside!(maintenance::list_by_post),
    ),
    route(
        "usm",
        POST,
        "/usm/session/create",
        Access::Public,
        inside!(session::create),
    ),
    route(
        "usm",
        POST,
        "/usm/session/validate",
        Access::Public,
        inside!(session::validate),
    ),
    route(
        "usm",
        POST,
        "/usm/session/close",
        Access::Public,
        inside!(session::close),
    ),
    route(
        "usm",
        POST,
        "/usm/session/list",
        Access::UserSession,
        inside!(session::list),
    ),
    route(
        "usm",
        POST,
        "/usm/session/logout_everywhere",
        Access::UserSession,
        inside!(session::logout_everywhere),
    ),
    route(
        "usm",
        POST,
        "/usm/service_account/create",
        Access::Org(Manage),
        inside!(account::create),
    ),
    route(
        "usm",
        POST,
        "/usm/service_account/list",
        Access::Org(Manage),
        inside!(account::list),
    ),
    route(
        "usm",
        POST,
        "/usm/service_account/status",
        Access::Org(Manage),
        inside!(account::status),
    ),
    route(
        "usm",
        POST,
        "/usm/api_key/create",
        Access::Org(Manage),
        inside!(key::create),
    ),
    route(
        "usm",
        POST,
        "/usm/api_key/list",
        Access::Org(Manage),
        inside!(key::list),
    ),
    route(
        "usm",
        POST,
        "/usm/api_key/revoke",
        Access::Org(Manage),
        inside!(key::revoke),
    ),
    route(
        "usm",
        POST,
        "/usm/api_key/revoke_all",
        Access::Org(Manage),
        inside!(key::revoke_all),
    ),
    route(
        "usm",
        POST,
        "/usm/api_key/validate",
        Access::Public,
        inside!(key::validate),
    ),
    route(
        "ofm",
        POST,
        "/ofm/org/get",
        Access::Org(ViewOrg),
        inside!(ofm::get),
    ),
    route(
        "ofm",
        POST,
        "/ofm/org/park",
        Access::Org(Manage),
        inside!(ofm::park),
    ),
    route(
        "ofm",
        POST,
        "/ofm/org/unpark",
        Access::Org(Manage),
        inside!(ofm::unpark),
    ),
    route(
        "ofm",
        POST,
        "/ofm/member/add",
        Access::Org(Manage),
        inside!(ofm::add),
    ),
    route(
        "ofm",
        POST,
        "/ofm/member/leave",
        Access::Org(ViewOrg),
        inside!(ofm::leave),
    ),
    route(
        "ofm",
        POST,
        "/ofm/invitation/create",
        Access::Org(Manage),
        inside!(invitation::create),
    ),
    route(
        "ofm",
        POST,
        "/ofm/invitation/list",
        Access::Org(Manage),
        inside!(invitation::list),
    ),
    route(
        "ofm",
        POST,
        "/ofm/invitation/withdraw",
        Access::Org(Manage),
        inside!(invitation::withdraw),
    ),
    route(
        "ofm",
        POST,
        "/ofm/invitation/mine",
        Access::UserSession,
        inside!(invitation::mine),
    ),
    route(
        "ofm",
        POST,
        "/ofm/invitation/accept",
        Access::UserSession,
        inside!(invitation::accept),
    ),
    route(
        "ofm",
        POST,
        "/ofm/invitation/decline",
        Access::UserSession,
        inside!(invitation::decline),
    ),
    route(
        "uas",
        POST,
        "/uas/passcode/change",
        Access::UserSession,
        inside!(uas::change_passcode),
    ),
    route(
        "ofm",
        POST,
        "/ofm/member/remove",
        Access::Org(Manage),
        inside!(ofm::remove),
    ),
    route(
        "ofm",
        POST,
        "/ofm/member/list",
        Access::Org(ViewOrg),
        inside!(ofm::list),
    ),
    route(
        "ofm",
        POST,
        "/ofm/member/resolve",
        Access::Org(ViewOrg),
        inside!(ofm::resolve),
    ),
    route(
        "ofm",
        GET,
        "/ofm/usage",
        Access::Org(Offboard),
        inside!(usage::get),
    ),
    route("uas", POST, "/uas/stat", Access::Public, inside!(uas::stat)),
    route(
        "utl",
        POST,
        "/utl/offboarding/request",
        Access::Org(Manage),
        inside!(utl::request),
    ),
    route(
        "utl",
        GET,
        "/utl/offboarding/status",
        Access::Org(Offboard),
        inside!(utl::status),
    ),
    route(
        "utl",
        POST,
        "/utl/offboarding/status",
        Access::Org(Offboard),
        inside!(utl::status_by_post),
    ),
    route(
        "utl",
        POST,
        "/utl/offboarding/cancel",
        Access::Org(Offboard),
        inside!(utl::cancel),
    ),
    route(
        "utl",
        GET,
        "/utl/export/list",
        Access::Org(Offboard),
        inside!(utl::export::list),
    ),
    route(
        "utl",
        GET,
        "/utl/export/file",
        Access::Org(Offboard),
        inside!(utl::export::file),
    ),
    route(
        "system",
        GET,
        "/whoami",
        Access::Authenticated,
        inside!(system::whoami),
    ),
    route(
        "system",
        GET,
        "/health",
        Access::Public,
        Handler::Immediate(system::health),
    ),
    route(
        "system",
        GET,
        "/ready",
        Access::Public,
        Handler::Immediate(system::ready),
    ),
    route(
        "system",
        GET,
        "/openapi.json",
        Access::Public,
        Handler::Document(openapi::served),
    ),
];

/// What requests to each route are counted under, in the order of the list.
pub fn names() -> Vec<RouteName> {
    let names = ROUTES.iter().map(|route| RouteName {
        method: route.method.as_str(),
        path: route.path,
        is_document: matches!(route.handler, Handler::Document(_)),
    });
    names.collect()
}

/// The place of a route in the list.
pub fn number(route: &'static Route) -> usize {
    let number = ROUTES.iter().position(|known| std::ptr::eq(known, route));
    number.unwrap_or(ROUTES.len())
}

/// Finds the routes of a path: the path itself, without a prefix, or with the service that alone has it.
pub fn of_path(path: &str, prefixes: &Prefixes) -> Option<(&'static str, Vec<&'static Route>)> {
    let exact = |path: &str| -> Vec<&'static Route> {
        ROUTES.iter().filter(|route| route.path == path).collect()
    };
    let found = |path: &str| {
        let mut routes = exact(path);
        if routes.is_empty() {
            routes = exact(&format!("/mrs{path}"));
        }
        routes
            .first()
            .map(|first| first.path)
            .map(|path| (path, routes))
    };
    // Nearly every path is a route as it is.
    found(path).or_else(|| prefixes.trimmed(path).skip(1).find_map(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_trimmed_and_a_missing_service_is_the_records() {
        for (path, found) in [
            ("/mrs/record", Some("/mrs/record")),
            ("/record", Some("/mrs/record")),
            ("/prod/mrs/record", Some("/mrs/record")),
            ("/prod/record/meta", Some("/mrs/record/meta")),
            ("/prod/health", Some("/health")),
            ("/prod", None),
            ("/production/record", None),
            ("/record/", None),
            ("/", None),
            ("/mrs/mrs/record", None),
            ("/a/b/mrs/record", Some("/mrs/record")),
            ("/a/b/health", Some("/health")),
            ("/a/mrs/record", None),
        ] {
            let prefixes = Prefixes::new("prod", "https://records.example/a/b/");
            let of_path = of_path(path, &prefixes).map(|(path, _)| path);
            assert_eq!(of_path, found, "{path}");
        }
        let prefixes = Prefixes::new("", "https://records.example");
        assert_eq!(prefixes.before("/content/x"), ["/content/x"]);
    }
}
