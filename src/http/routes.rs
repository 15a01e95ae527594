//! Every gateway route, in one list. Each is declared where its handler is.

use super::explorer::{self, assets};
use super::meters::RouteName;
use super::mrs::{
    batch, change, changes, complete, containers, copy, due, history, hold, list, put, read,
    versions,
};
use super::ofm::invitation;
use super::ops::{self, maintenance};
use super::prefixes::Prefixes;
use super::presigned;
use super::route::{Handler, Operation, Route};
use super::usm::{account, key, session};
use super::{ofm, openapi, system, uas, usage, utl};

/// The routes of the gateway. A request is counted by the place of its route here.
pub static ROUTES: &[Route] = &[
    put::PUT,
    batch::BATCH,
    copy::COPY,
    read::RECORD,
    complete::COMPLETE,
    read::META,
    versions::VERSIONS,
    history::HISTORY,
    changes::CHANGES,
    read::HEAD,
    list::LIST,
    change::TAG_ADD,
    change::TAG_REMOVE,
    change::TTL_SET,
    change::DOOM,
    hold::SET,
    hold::RELEASE,
    due::DUE,
    containers::CONTAINERS,
    read::STAT,
    ops::PING,
    ops::STAT,
    maintenance::GET,
    maintenance::GET_BY_POST,
    maintenance::LIST,
    maintenance::LIST_BY_POST,
    session::CREATE,
    session::VALIDATE,
    session::CLOSE,
    session::LIST,
    session::LOGOUT_EVERYWHERE,
    account::CREATE,
    account::LIST,
    account::STATUS,
    key::CREATE,
    key::LIST,
    key::REVOKE,
    key::REVOKE_ALL,
    key::VALIDATE,
    ofm::GET,
    ofm::PARK,
    ofm::UNPARK,
    ofm::ADD,
    ofm::LEAVE,
    invitation::CREATE,
    invitation::LIST,
    invitation::WITHDRAW,
    invitation::MINE,
    invitation::ACCEPT,
    invitation::DECLINE,
    uas::CHANGE_PASSCODE,
    ofm::REMOVE,
    ofm::LIST,
    ofm::RESOLVE,
    usage::GET,
    uas::STAT,
    uas::STAT_OF_SESSION,
    utl::REQUEST,
    utl::STATUS,
    utl::STATUS_BY_POST,
    utl::CANCEL,
    utl::export::LIST,
    utl::export::FILE,
    system::WHOAMI,
    system::HEALTH,
    system::READY,
    openapi::OPENAPI,
    openapi::services::MRS,
    openapi::services::OPS,
    explorer::DOCS,
    explorer::REFERENCE,
    assets::ASSET,
    explorer::snippets::NODE,
    explorer::snippets::PYTHON,
];

/// Operations on content, which `presigned.rs` serves by itself.
pub static STREAMED: &[Operation] = &[
    presigned::UPLOAD,
    presigned::DOWNLOAD,
    presigned::export::DOWNLOAD,
];

/// What requests to each route are counted under, in the order of the list.
pub fn names() -> Vec<RouteName> {
    let names = ROUTES.iter().map(|route| RouteName {
        method: route.method.as_str(),
        path: route.path,
        is_document: matches!(route.handler, Handler::Document(_) | Handler::Asset(_)),
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
            routes = if path.starts_with(assets::BELOW) {
                exact(assets::ASSET.path)
            } else {
                exact(&format!("/mrs{path}"))
            };
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
