//! The role table: every route with every kind of caller, held against what is written here.

use std::collections::BTreeSet;
use std::path::Path;

use metarecord::http::auth::access::{Access, Right};
use metarecord::http::routes::ROUTES;
use serde_json::json;

use super::{Town, record};
use crate::support::Got;
use crate::support::alike::assert_same;

/// The answer to each kind of caller, in the order of `KINDS`, by what a route asks for.
fn wanted(access: Access) -> [&'static str; 7] {
    match access {
        Access::Public => ["in"; 7],
        Access::Authenticated => ["401", "in", "in", "in", "in", "in", "in"],
        Access::UserSession => ["401", "in", "in", "in", "role", "role", "in"],
        Access::Org(Right::Read) => ["401", "in", "in", "404", "in", "in", "in"],
        Access::Org(Right::Write) => ["401", "in", "in", "404", "role", "in", "in"],
        Access::Org(Right::ViewOrg) => ["401", "in", "in", "404", "role", "role", "in"],
        Access::Org(Right::Manage | Right::Offboard) => {
            ["401", "in", "owner", "404", "owner", "owner", "in"]
        }
    }
}

const KINDS: [&str; 7] = [
    "nobody",
    "owner",
    "member",
    "stranger",
    "reader key",
    "writer key",
    "owner of both orgs",
];

/// What was heard: `in` when the caller got past every check of who it is.
fn heard(got: &Got, about_caller: bool) -> &'static str {
    if got.status == 200 {
        return "in";
    }
    let (status, tag, _) = got.refusal();
    match (status, tag.as_str()) {
        (401, "invalid-session") if about_caller => "401",
        (403, "not-authorized") => "role",
        (403, "not-owner") => "owner",
        (404, "not-found") => "404",
        _ => "in",
    }
}

#[test]
fn every_route_lets_in_whom_the_table_says() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = Town::start(scratch.path());
    let (ann, bob, eve, kim) = (
        town.person("ann"),
        town.person("bob"),
        town.person("eve"),
        town.person("kim"),
    );
    town.org("one", &ann);
    town.org("two", &eve);
    for (person, role, org, by) in [
        (&bob, "member", "one", &ann),
        (&kim, "owner", "one", &ann),
        (&kim, "owner", "two", &eve),
    ] {
        town.join(by, org, person, role);
    }
    let (_, _, reader) = town.key(&ann, "one", "mrs_reader");
    let (_, _, writer) = town.key(&ann, "one", "mrs_writer");
    town.by(&ann, "/mrs/record", &record("one", "there")).data();
    let session = |guid: &str| vec![("x-session-guid".to_owned(), guid.to_owned())];
    let key = |key: &str| vec![("x-api-key".to_owned(), key.to_owned())];
    let callers = [
        Vec::new(),
        session(&ann.session),
        session(&bob.session),
        session(&eve.session),
        key(&reader),
        key(&writer),
        session(&kim.session),
    ];
    let mut seen = BTreeSet::new();
    let file = metarecord::http::explorer::assets::paths().swap_remove(0);
    let file: &'static str = file.leak();
    for route in ROUTES {
        seen.insert(route.path);
        for (number, headers) in callers.iter().enumerate() {
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            let query = match route.path {
                "/mrs/list" | "/mrs/due" | "/mrs/containers" | "/mrs/changes" => "?orgcode=one",
                "/mrs/stat" => "",
                "/ofm/usage" => "?orgcode=one",
                path if path.starts_with("/utl/") => "?orgcode=one",
                _ => "?orgcode=one&container=notes&record_id=there",
            };
            let (query, body) = match route.method.as_str() {
                "GET"
                    if ["/mrs/", "/ofm/", "/utl/"]
                        .iter()
                        .any(|of| route.path.starts_with(of)) =>
                {
                    (query, None)
                }
                "GET" => ("", None),
                _ => {
                    // Too little for anything to happen, and enough to be asked who one is.
                    let body = match route.path {
                        path if path.ends_with("logout_everywhere") => json!({"unknown": 1}),
                        path if path.starts_with("/ofm/org/p") || path.ends_with("/leave") => {
                            json!({"orgcode": "one", "reason": "x".repeat(300)})
                        }
                        path if path.ends_with("service_account/create") => {
                            json!({"orgcode": "one", "label": "x".repeat(300)})
                        }
                        path if ["/mrs/", "/ofm/", "/utl/"]
                            .iter()
                            .any(|of| path.starts_with(of)) =>
                        {
                            json!({"orgcode": "one"})
                        }
                        "/usm/service_account/list" => json!({"orgcode": "one"}),
                        path if path.starts_with("/usm/service")
                            || path.starts_with("/usm/api") =>
                        {
                            match path {
                                "/usm/api_key/validate" => json!({}),
                                _ => json!({"orgcode": "one"}),
                            }
                        }
                        _ => json!({}),
                    };
                    ("", Some(body))
                }
            };
            let method = route.method.as_str();
            let own_path = if route.path.starts_with("/assets/") {
                // The name of a file takes the place of what is in braces.
                file
            } else {
                route.path
            };
            let path = format!("{own_path}{query}");
            let got = town.server.call(method, &path, &headers, body.as_ref());
            let asked = (own_path, query.trim_start_matches('?'));
            let within = town
                .server
                .call_within(method, asked, &headers, body.as_ref());
            assert_same(
                &got,
                &within,
                &format!("{method} {path} as {}", KINDS[number]),
            );
            let told = heard(&got, route.access != Access::Public);
            assert_eq!(
                told,
                wanted(route.access)[number],
                "{} {} as {}: {}",
                route.method,
                route.path,
                KINDS[number],
                got.json()
            );
        }
    }
    for path in [
        "/mrs/record",
        "/usm/api_key/revoke_all",
        "/ofm/member/add",
        "/whoami",
    ] {
        assert!(seen.contains(path));
    }
}

/// What each route asks for, said once more in plain words: a change of the list has to be meant.
/// `METARECORD_RENEW=1` writes it.
#[test]
fn the_rights_of_the_routes_are_these() {
    let mut rights: Vec<_> = ROUTES
        .iter()
        .map(|route| format!("{} {} {:?}", route.method, route.path, route.access))
        .collect();
    rights.sort();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/identity/rights.txt");
    let rights = format!("{}\n", rights.join("\n"));
    if std::env::var_os("METARECORD_RENEW").is_some() {
        std::fs::write(&path, &rights).expect("the rights can be written");
    }
    let committed = std::fs::read_to_string(&path).expect("the rights can be read");
    assert_eq!(rights, committed);
}
