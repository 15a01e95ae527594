//! The OpenAPI document: equal to the committed one, and complete.

use std::collections::BTreeSet;
use std::path::Path;

use metarecord::domain::ErrorTag;
use metarecord::http::openapi;
use metarecord::http::routes::ROUTES;
use serde_json::Value;

use crate::support::Server;

/// Tags that only the operators' address answers with.
const OPERATORS_ONLY: &[ErrorTag] = &[
    ErrorTag::ConfirmationPhraseMismatch,
    ErrorTag::SecretCodeMismatch,
    ErrorTag::VacuumMutexLocked,
    ErrorTag::MaintenanceAlreadyActive,
];

fn document() -> Value {
    openapi::document().expect("the document can be made")
}

#[test]
fn the_committed_document_is_what_the_server_gives() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let made = format!(
        "{}\n",
        serde_json::to_string_pretty(&document()).expect("serializable")
    );
    if std::env::var_os("METARECORD_RENEW").is_some() {
        std::fs::write(&path, &made).expect("the document can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == made,
        "docs/openapi.json is old; METARECORD_RENEW=1 cargo test openapi writes it anew"
    );
    let server = Server::start();
    let served = server.get("/openapi.json", &[]);
    assert_eq!((served.status, served.json()), (200, document()));
}

#[test]
fn every_route_is_in_the_document_and_nothing_else() {
    let document = document();
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1."))
    );
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            described.insert((method.to_uppercase(), path.clone()));
        }
    }
    let mut routed: BTreeSet<_> = ROUTES
        .iter()
        .map(|route| (route.method.to_string(), route.path.to_owned()))
        .collect();
    for method in ["PUT", "GET"] {
        routed.insert((method.to_owned(), "/content/{token}".to_owned()));
    }
    routed.insert(("GET".to_owned(), "/content/export/{token}".to_owned()));
    assert_eq!(described, routed);
}

#[test]
fn every_tag_is_described_under_its_own_status() {
    let document = document();
    let mut described = BTreeSet::new();
    for methods in document["paths"].as_object().expect("paths").values() {
        for operation in methods.as_object().expect("methods").values() {
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let schema = &response["content"]["application/json"]["schema"]["allOf"][1];
                let tags = &schema["properties"]["error"]["properties"]["major"]["properties"]["tag"]
                    ["enum"];
                for tag in tags.as_array().into_iter().flatten() {
                    described.insert((status.clone(), tag.as_str().expect("a tag").to_owned()));
                }
            }
        }
    }
    for tag in ErrorTag::ALL
        .iter()
        .filter(|tag| !OPERATORS_ONLY.contains(tag))
    {
        let wanted = (tag.status().to_string(), tag.as_str().to_owned());
        assert!(described.contains(&wanted), "{wanted:?} is not described");
    }
    assert!(described.contains(&("413".to_owned(), "too-large".to_owned())));
}
