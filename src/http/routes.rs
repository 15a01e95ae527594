//! Every gateway route, in one list.

use std::future::Future;
use std::pin::Pin;

use actix_web::http::Method;

use super::call::Call;
use super::envelope::{Refusal, Reply};
use super::mrs::{change, complete, list, put, read};
use super::ops::{self, maintenance};
use super::server::{Door, House};
use super::{openapi, system};

/// A handler's answer on its way.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Reply, Refusal>> + 'a>>;

/// How a route is carried out.
#[derive(Clone, Copy)]
pub enum Handler {
    /// Needs no credential and works while the house is still being opened.
    Public(fn(&Door) -> Result<Reply, Refusal>),
    /// Needs a credential.
    Session(for<'a> fn(&'a House, &'a mut Call<'_>) -> Answering<'a>),
}

/// One method of one path.
#[derive(Clone, Copy)]
pub struct Route {
    /// The service.
    pub service: &'static str,
    /// The method.
    pub method: &'static Method,
    /// The path with the service prefix.
    pub path: &'static str,
    /// What it does.
    pub handler: Handler,
}

/// Boxes a handler's future.
macro_rules! session {
    ($handler:path) => {
        Handler::Session(|house, call| Box::pin($handler(house, call)))
    };
}

const fn route(
    service: &'static str,
    method: &'static Method,
    path: &'static str,
    handler: Handler,
) -> Route {
    Route {
        service,
        method,
        path,
        handler,
    }
}

const GET: &Method = &Method::GET;
const POST: &Method = &Method::POST;

/// The list.
pub const ROUTES: &[Route] = &[
    route("mrs", POST, "/mrs/record", session!(put::put)),
    route("mrs", GET, "/mrs/record", session!(read::record)),
    route(
        "mrs",
        POST,
        "/mrs/record/complete",
        session!(complete::complete),
    ),
    route("mrs", GET, "/mrs/record/meta", session!(read::meta)),
    route("mrs", GET, "/mrs/head", session!(read::head)),
    route("mrs", GET, "/mrs/list", session!(list::list)),
    route("mrs", POST, "/mrs/tag/add", session!(change::tag_add)),
    route("mrs", POST, "/mrs/tag/remove", session!(change::tag_remove)),
    route("mrs", POST, "/mrs/ttl/set", session!(change::ttl_set)),
    route("mrs", POST, "/mrs/doom", session!(change::doom)),
    route("mrs", GET, "/mrs/stat", session!(read::stat)),
    route("ops", GET, "/ops/ping", Handler::Public(ops::ping)),
    route("ops", GET, "/ops/stat", Handler::Public(ops::stat)),
    route(
        "ops",
        GET,
        "/ops/maintenance/get",
        session!(maintenance::get),
    ),
    route(
        "ops",
        POST,
        "/ops/maintenance/get",
        session!(maintenance::get_by_post),
    ),
    route(
        "ops",
        GET,
        "/ops/maintenance/list",
        session!(maintenance::list),
    ),
    route(
        "ops",
        POST,
        "/ops/maintenance/list",
        session!(maintenance::list_by_post),
    ),
    route("system", GET, "/health", Handler::Public(system::health)),
    route("system", GET, "/ready", Handler::Public(system::ready)),
    route(
        "system",
        GET,
        "/openapi.json",
        Handler::Public(openapi::openapi),
    ),
];

/// Finds the routes of a path: the path itself, without a leading stage, or with the service that alone has it.
pub fn of_path(path: &str, stage: &str) -> Option<(&'static str, Vec<&'static Route>)> {
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
    let trimmed = path
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(stage))
        .filter(|rest| !stage.is_empty() && rest.starts_with('/'));
    found(path).or_else(|| found(trimmed?))
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
        ] {
            assert_eq!(of_path(path, "prod").map(|(path, _)| path), found, "{path}");
        }
    }
}
