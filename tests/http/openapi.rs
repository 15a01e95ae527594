//! The OpenAPI document: equal to the committed one, and complete.

use std::collections::BTreeSet;
use std::path::Path;

use metarecord::domain::ErrorTag;
use metarecord::http::access::{Access, Right};
use metarecord::http::openapi;
use metarecord::http::routes::ROUTES;
use serde_json::{Value, json};

use crate::support::{Got, Server, agent, got};

/// Tags that only the operators' address answers with.
const OPERATORS_ONLY: &[ErrorTag] = &[
    ErrorTag::ConfirmationPhraseMismatch,
    ErrorTag::SecretCodeMismatch,
    ErrorTag::VacuumMutexLocked,
    ErrorTag::MaintenanceAlreadyActive,
];

/// Errors of any request, which the document names once.
const ANY_REQUEST: &[ErrorTag] = &[
    ErrorTag::RequestTimeout,
    ErrorTag::UriTooLong,
    ErrorTag::HeadTooLarge,
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
    let text = document["info"]["description"].as_str().expect("a text");
    for tag in ErrorTag::ALL
        .iter()
        .filter(|tag| !OPERATORS_ONLY.contains(tag))
    {
        if ANY_REQUEST.contains(tag) {
            let wanted = format!("{} `{}`", tag.status(), tag.as_str());
            assert!(text.contains(&wanted), "{wanted} is not described");
            continue;
        }
        let wanted = (tag.status().to_string(), tag.as_str().to_owned());
        assert!(described.contains(&wanted), "{wanted:?} is not described");
    }
    assert!(described.contains(&("413".to_owned(), "too-large".to_owned())));
}

/// Every operation with its method and path.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods");
            methods
                .iter()
                .map(move |(method, operation)| (method.to_uppercase(), path.clone(), operation))
        })
        .collect()
}

#[test]
fn every_route_names_the_credentials_it_takes_and_public_ones_name_none() {
    let document = document();
    let schemes = &document["components"]["securitySchemes"];
    for (name, header) in [("session", "x-session-guid"), ("apiKey", "x-api-key")] {
        let scheme = &schemes[name];
        assert_eq!(
            (&scheme["type"], &scheme["in"]),
            (&json!("apiKey"), &json!("header"))
        );
        assert_eq!(scheme["name"], header);
    }
    let jwt = &schemes["jwt"];
    assert_eq!(
        (&jwt["type"], &jwt["scheme"]),
        (&json!("http"), &json!("bearer"))
    );
    let all = json!([{"session": []}, {"apiKey": []}, {"jwt": []}]);
    for (method, path, operation) in operations(&document) {
        let mut routes = ROUTES.iter();
        let route = routes.find(|route| route.path == path && route.method.as_str() == method);
        let takes = match route.map_or(Access::Public, |route| route.access) {
            Access::Public => json!([]),
            Access::Person => json!([{"session": []}]),
            Access::Known | Access::Org(Right::Read | Right::Write) => all.clone(),
            // No key has a role with these rights.
            Access::Org(Right::See | Right::Manage | Right::Leave) => {
                json!([{"session": []}, {"jwt": []}])
            }
        };
        assert_eq!(operation["security"], takes, "{method} {path}");
    }
}

/// The headers an answer is to have by the document: those of every answer of this status, and those that may be there.
fn promised(
    document: &Value,
    (method, path): (&str, &str),
    status: u16,
) -> (Vec<String>, Vec<String>) {
    let operation = &document["paths"][path][method.to_lowercase()];
    let response = &operation["responses"][status.to_string()];
    let headers = response["headers"].as_object();
    let headers = headers.unwrap_or_else(|| panic!("{method} {path} {status} is not described"));
    let required = |name: &String| {
        let place = format!("#/components/headers/{name}");
        assert_eq!(headers[name]["$ref"], place);
        document["components"]["headers"][name]["required"] == json!(true)
    };
    let (must, may): (Vec<_>, Vec<_>) = headers.keys().cloned().partition(required);
    (must, may)
}

#[test]
fn every_answer_is_described_with_its_headers() {
    let document = document();
    for (method, path, operation) in operations(&document) {
        let known = operation["security"] != json!([]);
        for status in operation["responses"]
            .as_object()
            .expect("responses")
            .keys()
        {
            let status: u16 = status.parse().expect("a status");
            let (must, may) = promised(&document, (&method, &path), status);
            let mut wanted = vec![
                "X-API-Version",
                "X-Content-Type-Options",
                "X-Request-Id",
                "X-Trace-Id",
            ];
            if [429, 503].contains(&status) {
                wanted.insert(0, "Retry-After");
            }
            assert_eq!(must, wanted, "{method} {path} {status}");
            let limits = if known {
                &["RateLimit", "RateLimit-Policy"][..]
            } else {
                &[]
            };
            assert_eq!(may, limits, "{method} {path} {status}");
        }
    }
}

#[test]
fn answers_have_the_headers_that_the_document_promises() {
    let document = document();
    let limits = [
        "--set",
        "limits.sign_in_per_second=1",
        "--set",
        "limits.sign_in_burst=1",
    ];
    let server = Server::start_with(&limits);
    let check = |(method, path): (&str, &str), got: &Got| {
        let (must, may) = promised(&document, (method, path), got.status);
        let has = |name: &String| got.header(&name.to_lowercase()).is_some();
        assert!(must.iter().all(has), "{method} {path}: {:?}", got.headers);
        for name in ["retry-after", "ratelimit", "ratelimit-policy"] {
            let mut all = must.iter().chain(&may);
            let told = all.any(|promised| promised.eq_ignore_ascii_case(name));
            assert!(
                told || got.header(name).is_none(),
                "{method} {path}: {name}"
            );
        }
        got.status
    };
    let list = ("GET", "/mrs/list");
    let found = server.get(list.1, &[("orgcode", "DEMO")]);
    assert_eq!(check(list, &found), 200);
    assert!(found.header("ratelimit").is_some() && found.header("ratelimit-policy").is_some());
    assert_eq!(
        check(list, &server.get(list.1, &[("orgcode", "OTHER")])),
        404
    );
    let nobody = server.get_url(&format!("{}/mrs/list", server.base_url), &[]);
    assert_eq!(check(list, &nobody), 401);
    assert_eq!(check(("GET", "/health"), &server.get("/health", &[])), 200);
    let altered = server.get_url(&format!("{}/content/x", server.base_url), &[]);
    assert_eq!(check(("GET", "/content/{token}"), &altered), 403);
    let wrong = json!({"email": "nobody@example.com", "passcode": "not the passcode"});
    let sign_in = || {
        let request = agent().post(format!("{}/usm/session/create", server.base_url));
        got(request
            .content_type("application/json")
            .send(wrong.to_string()))
    };
    let create = ("POST", "/usm/session/create");
    let statuses: Vec<_> = (0..30).map(|_| check(create, &sign_in())).collect();
    assert!(
        statuses.contains(&401) && statuses.contains(&429),
        "{statuses:?}"
    );
}
