//! `/docs`: it shows each operation and calls it, on a page that loads nothing from elsewhere; and `/docs/reference`.

use serde_json::Value;

use super::axe;
use super::driver::{Browser, Element, Window};
use crate::support::Server;

/// What Swagger UI is known to do: buttons within buttons, which assistive programs may not reach. `/docs/reference` has none.
const EXCEPTED: [&str; 1] = ["nested-interactive"];

/// Each operation of a document: the id of its element on the page.
fn operations(document: &Value) -> Vec<String> {
    let paths = document["paths"].as_object().expect("paths").values();
    let all = paths.flat_map(|methods| methods.as_object().expect("methods").values());
    all.map(|operation| {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        format!(
            "operations-{}-{}",
            text(&operation["tags"][0]),
            text(&operation["operationId"])
        )
    })
    .collect()
}

fn shows_each_operation(browser: &Browser, document: &Value) {
    browser.find("#explorer[data-ready=true]");
    let operations = operations(document);
    browser.until("every operation", || {
        (browser.all(".opblock").len() == operations.len()).then_some(())
    });
    for id in operations {
        let shown = browser.script(
            "return document.getElementById(arguments[0])?.innerText",
            &[id.as_str().into()],
        );
        assert!(
            shown.as_str().is_some_and(|text| !text.is_empty()),
            "{id} is not shown"
        );
    }
}

/// Opens an operation and makes its inputs editable.
fn open<'a>(browser: &'a Browser, id: &str) -> Element<'a> {
    let operation = browser.find(&format!("#{id}"));
    operation.find(".opblock-summary-control").click();
    operation.find(".try-out__btn").click();
    operation
}

/// Executes it; returns the status and the body that the page shows.
fn execute(operation: &Element<'_>) -> (String, String) {
    operation.find(".btn.execute").click();
    let answer = operation.find(".live-responses-table .response");
    let status = answer.find(".response-col_status").text();
    let body = answer.find(".highlight-code .microlight").text();
    (status.lines().next().unwrap_or_default().to_owned(), body)
}

/// Gives a credential to the explorer, in its own form.
fn authorise(browser: &Browser, scheme: &str, credential: &str) {
    browser.find(".auth-wrapper .btn.authorize").click();
    let form = browser.find_with(".auth-container", scheme);
    form.find("input").type_text(credential);
    form.find(".btn.authorize").click();
    form.find(".btn.btn-done").click();
    browser.gone(".modal-ux");
}

#[test]
fn the_explorer_shows_each_operation_and_calls_the_server() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let server = Server::start();
    browser.open(&format!("{}/docs", server.base_url));
    shows_each_operation(&browser, &server.get("/openapi.json", &[]).json());
    browser.screenshot("docs-desktop");

    let whoami = open(&browser, "operations-system-whoami");
    let (status, body) = execute(&whoami);
    assert_eq!(status, "401", "{body}");
    authorise(&browser, "x-session-guid", &server.session_guid);
    whoami.find(".btn-clear").click();
    let (status, body) = execute(&whoami);
    assert_eq!(status, "200", "{body}");
    let told: Value = serde_json::from_str(&body).expect("the answer");
    assert_eq!(
        told["data"],
        without_request_id(&server.get("/whoami", &[]).json(), &told)
    );

    let put = open(&browser, "operations-mrs-mrsRecordPut");
    let (status, body) = execute(&put);
    assert_eq!(status, "200", "{body}");
    browser.screenshot("docs-record-put");
    let place = [
        ("orgcode", "DEMO"),
        ("container", "notes"),
        ("record_id", "note-1"),
    ];
    assert_eq!(
        server.get("/mrs/record", &place).data()["content"]["title"],
        "Milk and bread"
    );
    browser.resize(Window::Phone);
    browser.screenshot("docs-phone");
    // Refused and not made up: 401 is told as an error by the browser itself.
    let console: Vec<_> = browser.console();
    assert!(
        console
            .iter()
            .all(|line| line.contains("/whoami") && line.contains("401")),
        "{console:?}"
    );
    assert!(browser.cookies().is_empty());
    let kept = browser.script("return [localStorage.length, sessionStorage.length]", &[]);
    assert_eq!(kept, serde_json::json!([0, 0]));
}

/// The `data` that an answer has, with the request's id of another.
fn without_request_id(answer: &Value, other: &Value) -> Value {
    let mut data = answer["data"].clone();
    data["request_id"] = other["data"]["request_id"].clone();
    data
}

#[test]
fn the_explorer_is_quiet_and_its_contrast_is_enough() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let server = Server::start();
    // What Swagger UI would once load because a link said so.
    let link = "?url=https://example.com/a.json&configUrl=https://example.com/b.json&validatorUrl=https://example.com/c#/mrs/mrsRecordPut";
    browser.open(&format!("{}/docs{link}", server.base_url));
    let put = browser.find("#operations-mrs-mrsRecordPut");
    put.find(".opblock-body .try-out__btn").click();
    put.find(".btn.execute");
    if let Some(found) = axe::serious(&browser, &EXCEPTED) {
        assert_eq!(found, Vec::<String>::new());
    }
    browser.assert_quiet(&server.base_url);
}

#[test]
fn the_explorer_works_behind_a_prefix() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let server = Server::start_with(&[
        "--set",
        "http.public_url=https://records.example/apis/records",
        "--set",
        "http.stage=stage",
    ]);
    for prefix in ["/stage", "/apis/records"] {
        browser.open(&format!("{}{prefix}/docs", server.base_url));
        let health = open(&browser, "operations-system-health");
        let (status, body) = execute(&health);
        assert_eq!(status, "200", "{body}");
        let called = format!("{}{prefix}/health", server.base_url);
        assert!(
            browser.requests().contains(&called),
            "{called}: {:?}",
            browser.requests()
        );
        browser.find("#plain").click();
        browser.find("h2");
        assert_eq!(
            browser.url(),
            format!("{}{prefix}/docs/reference", server.base_url)
        );
    }
    browser.assert_quiet(&server.base_url);
}

#[test]
fn the_plain_page_has_each_operation_for_every_reader() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let server = Server::start();
    browser.open(&format!("{}/docs/reference", server.base_url));
    let document = server.get("/openapi.json", &[]).json();
    let shown = browser.find("body").text();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            assert!(shown.contains(path.as_str()), "{path}");
            let id = operation["operationId"].as_str().expect("an id");
            let heading = browser.find(&format!("#{id} h3"));
            assert_eq!(heading.spoken().0, "heading");
            assert!(
                heading.text().contains(&method.to_uppercase()),
                "{id}: {}",
                heading.text()
            );
        }
    }
    for (window, name) in [(Window::Desktop, "desktop"), (Window::Phone, "phone")] {
        browser.resize(window);
        browser.screenshot(&format!("reference-{name}"));
        if let Some(found) = axe::serious(&browser, &[]) {
            assert_eq!(found, Vec::<String>::new(), "{name}");
        }
        let wide = browser.script(
            "return document.documentElement.scrollWidth - innerWidth",
            &[],
        );
        assert!(
            wide.as_i64().is_some_and(|wide| wide <= 0),
            "{name}: it is {wide} pixels too wide"
        );
    }
    browser.assert_quiet(&server.base_url);
}

#[test]
fn the_operators_explorer_shows_each_function_once_a_token_is_given() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let server = Server::start();
    browser.open(&format!("{}/docs", server.operator_url));
    if let Some(found) = axe::serious(&browser, &[]) {
        assert_eq!(
            found,
            Vec::<String>::new(),
            "the page that asks for the token"
        );
    }
    browser.screenshot("operators-sign-in");
    let token = browser.find("#token");
    token.type_text("op_wrong");
    browser.find("#sign-in button").click();
    browser.find_with("#told", "operator token is wrong");
    assert!(browser.all(".opblock").is_empty());
    token.replace_text(&server.operator_token);
    browser.find("#sign-in button").click();
    let bearer = format!("Bearer {}", server.operator_token);
    let url = format!("{}/openapi.json", server.operator_url);
    let document = server.get_url(&url, &[("authorization", &bearer)]).json();
    shows_each_operation(&browser, &document);
    browser.screenshot("operators-desktop");
    let jobs = open(&browser, "operations-jobs-jobsList");
    let (status, body) = execute(&jobs);
    assert!(
        status == "200" && body.contains("ttl-sweep"),
        "{status} {body}"
    );
    if let Some(found) = axe::serious(&browser, &EXCEPTED) {
        assert_eq!(found, Vec::<String>::new(), "the functions");
    }
    browser.find("#plain").click();
    browser.find("#opsVacuumOrg h3");
    for window in [Window::Desktop, Window::Phone] {
        browser.resize(window);
        if let Some(found) = axe::serious(&browser, &[]) {
            assert_eq!(found, Vec::<String>::new(), "the plain page, {window:?}");
        }
    }
    browser.screenshot("operators-reference-phone");
    // The wrong token is the only error, and it is the browser that tells of it.
    let console = browser.console();
    assert!(
        console.len() == 1 && console[0].contains("403"),
        "{console:?}"
    );
    let url = |url: &String| url.starts_with(&server.operator_url) && !url.contains("op_");
    assert!(
        browser.requests().iter().all(url),
        "{:?}",
        browser.requests()
    );
    assert!(browser.cookies().is_empty());
}
