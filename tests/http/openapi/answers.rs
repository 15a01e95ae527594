//! The answers that the document describes, and their headers.

use super::*;

#[test]
fn answers_are_components_and_content_is_binary() {
    let document = document();
    let (mut named, mut bytes) = (0, 0);
    for (method, path, operation) in operations(&document) {
        let responses = operation["responses"].as_object().expect("responses");
        let bodies = responses.values().map(|one| resolved(&document, one));
        for body in bodies.chain([&operation["requestBody"]]) {
            for (kind, content) in body["content"].as_object().into_iter().flatten() {
                let schema = &content["schema"];
                if kind == "application/yaml" {
                    assert_eq!(schema, &json!({"type": "object"}));
                } else if kind != "application/json" {
                    assert_eq!(schema, &json!({"type": "string", "format": "binary"}));
                    bytes += 1;
                } else if path != "/openapi.json" || schema["$ref"].is_string() {
                    assert!(schema["$ref"].is_string(), "{method} {path}: {schema}");
                    named += 1;
                }
            }
        }
    }
    assert!(named > 400 && bytes >= 3, "{named} {bytes}");
    let text = printed(&document, 0);
    let (lines, plain) = (text.lines().count(), document.to_string().len());
    let operations = text.matches("\"operationId\"").count();
    assert!(
        lines < operations * 8_000 / 67,
        "{lines} lines for {operations} operations: copies of what could be a component?"
    );
    assert!(
        plain < 230_000,
        "{plain} bytes: plain answers cost a processor by their length"
    );
}

/// The headers an answer is to have by the document: those of every answer of this status, and those that may be there.
fn promised(
    document: &Value,
    (method, path): (&str, &str),
    status: u16,
) -> (Vec<String>, Vec<String>) {
    let operation = &document["paths"][path][method.to_lowercase()];
    let response = resolved(document, &operation["responses"][status.to_string()]);
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
        let known = operation.get("security") != Some(&json!([]));
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
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let mut names = parameters.map(|parameter| &resolved(&document, parameter)["name"]);
            let mut optional = Vec::new();
            if names.any(|name| name == "Idempotency-Key") && [200, 409].contains(&status) {
                optional.push("Idempotent-Replay");
            }
            if known {
                optional.extend(["RateLimit", "RateLimit-Policy"]);
            }
            assert_eq!(may, optional, "{method} {path} {status}");
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
