//! The containers of an org, one page at a time.

use serde_json::json;

use crate::support::Server;

fn page(server: &Server, query: &[(&str, &str)]) -> (Vec<String>, Option<String>) {
    let mut all = vec![("orgcode", "DEMO")];
    all.extend_from_slice(query);
    let data = server.get("/mrs/containers", &all).data();
    let items = data["items"].as_array().expect("a list").iter();
    let names = items.map(|item| item["container"].as_str().expect("a name").to_owned());
    let next = data["next_token"].as_str().map(str::to_owned);
    (names.collect(), next)
}

#[test]
fn containers_are_listed_by_name_page_by_page() {
    let server = Server::start();
    assert_eq!(page(&server, &[]), (vec![], None));
    // Orgs of the same owner before and behind it.
    for org in ["DEMN", "DEMP"] {
        let owner = json!({"orgcode": org, "owner_email": "demo@example.com"});
        server.invoke("ofm_org_create", &owner).data();
        let put = json!({"orgcode": org, "container": "other", "record_id": "1",
            "content_type": "application/json", "payload": 1});
        server.post("/mrs/record", &put).data();
    }
    assert_eq!(page(&server, &[]), (vec![], None));
    for (container, id) in [
        ("bb", "1"),
        ("aa", "1"),
        ("cc", "1"),
        ("aa", "2"),
        ("aa-b", "1"),
    ] {
        let put = json!({"orgcode": "DEMO", "container": container, "record_id": id,
            "content_type": "application/json", "payload": 1});
        server.post("/mrs/record", &put).data();
    }
    let doom =
        json!({"orgcode": "DEMO", "container": "cc", "record_id": "1", "expected_revision": 1});
    server.post("/mrs/doom", &doom).data();
    let (mut all, mut token): (Vec<String>, Option<String>) = (Vec::new(), None);
    for size in [2, 2] {
        let mut query = vec![("limit", "2")];
        query.extend(token.as_deref().map(|token| ("next_token", token)));
        let (names, next) = page(&server, &query);
        assert_eq!(names.len(), size);
        all.extend(names);
        token = next;
    }
    assert_eq!(
        (all, token),
        (["aa", "aa-b", "bb", "cc"].map(str::to_owned).to_vec(), None)
    );
    for (query, tag) in [
        (("next_token", "x"), "invalid-next-token"),
        (("container", "aa"), "invalid-input"),
    ] {
        let refused = server.get("/mrs/containers", &[("orgcode", "DEMO"), query]);
        assert_eq!(refused.refusal().1, tag, "{query:?}");
    }
    let scratch = tempfile::tempdir().expect("a directory");
    let environment = [
        ("G3N_BASE_URL", server.base_url.as_str()),
        ("G3N_SESSION_GUID", server.session_guid.as_str()),
        ("G3N_ORGCODE", "DEMO"),
    ];
    let line = "mrs containers --limit 1";
    let ran = crate::cli::run::g3n(line, scratch.path(), &environment, b"");
    assert_eq!(ran.data()["items"], json!([{"container": "aa"}]));
}
