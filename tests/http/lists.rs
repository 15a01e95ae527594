//! Lists: every filter against a small model, and pages that hold while records come and go.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::Server;
use crate::support::dice::Dice;

/// What the test believes of a record.
#[derive(Debug)]
struct Model {
    container: String,
    record_id: String,
    cccode: Option<&'static str>,
    tags: Vec<&'static str>,
    status: &'static str,
}

const CCCODES: [&str; 2] = ["AAAA-AAAA-AAAA", "BBBB-BBBB-BBBB"];
const TAGS: [&str; 4] = ["RED", "GREEN", "BLUE", "R"];

fn fill(server: &Server) -> Vec<Model> {
    let mut dice = Dice::new(0x5eed);
    let mut models = Vec::new();
    for number in 0..150 {
        let container = format!("c{}", dice.below(5));
        let record_id = format!("{}-{number}", ["a", "ab", "b", "B"][dice.below(4) as usize]);
        let cccode = CCCODES.get(dice.below(3) as usize).copied();
        let tags: Vec<_> = TAGS.into_iter().filter(|_| dice.below(2) == 0).collect();
        let status = ["active", "active", "pending_upload", "doomed"][dice.below(4) as usize];
        let mut body = json!({"orgcode": "demo", "container": container, "record_id": record_id, "tags": tags});
        if let Some(cccode) = cccode {
            body["cccode"] = json!(cccode);
        }
        if status == "pending_upload" {
            body["content_type"] = json!("text/plain");
            body["size"] = json!(30);
            body["content_md5"] = json!("0123456789abcdef0123456789abcdef");
        } else {
            body["content_type"] = json!("application/json");
            body["payload"] = json!(number);
        }
        server.post("/mrs/record", &body).data();
        if status == "doomed" {
            let doom = json!({"orgcode": "demo", "container": container, "record_id": record_id, "expected_revision": 1});
            server.post("/mrs/doom", &doom).data();
        }
        models.push(Model {
            container,
            record_id,
            cccode,
            tags,
            status,
        });
    }
    models.sort_by(|a, b| (&a.container, &a.record_id).cmp(&(&b.container, &b.record_id)));
    models
}

fn names(page: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let items = page["items"].as_array().expect("items");
    items
        .iter()
        .map(|item| (text(&item["container"]), text(&item["record_id"])))
        .collect()
}

fn all_pages(server: &Server, filter: &[(&str, &str)], limit: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let mut query = vec![("orgcode", "demo"), ("limit", limit)];
        query.extend(filter);
        if let Some(token) = &token {
            query.push(("next_token", token));
        }
        let page = server.get("/mrs/list", &query).data();
        found.extend(names(&page));
        token = page["next_token"].as_str().map(str::to_owned);
        if token.is_none() {
            return found;
        }
    }
}

#[test]
fn every_combination_of_filters_matches_the_model() {
    let server = Server::start();
    let models = fill(&server);
    let statuses = [
        None,
        Some("active"),
        Some("pending_upload"),
        Some("doomed"),
        Some("all"),
        Some("include_doomed"),
    ];
    let (mut lists, mut shown) = (0, 0);
    for status in statuses {
        for container in [None, Some("c1")] {
            for cccode in [None, Some(CCCODES[0])] {
                for tag in [None, Some("red"), Some("R")] {
                    for prefix in [None, Some("a"), Some("ab-1"), Some("z")] {
                        let mut filter = Vec::new();
                        filter.extend(status.map(|status| {
                            if status == "include_doomed" {
                                (status, "true")
                            } else {
                                ("status", status)
                            }
                        }));
                        filter.extend(container.map(|container| ("container", container)));
                        filter.extend(cccode.map(|cccode| ("cccode", cccode)));
                        filter.extend(tag.map(|tag| ("tag", tag)));
                        filter.extend(prefix.map(|prefix| ("prefix", prefix)));
                        let wanted: Vec<_> = models
                            .iter()
                            .filter(|model| match status {
                                None | Some("active") => model.status == "active",
                                Some("all") => true,
                                Some("include_doomed") => model.status != "pending_upload",
                                Some(status) => model.status == status,
                            })
                            .filter(|model| {
                                container.is_none_or(|container| model.container == container)
                            })
                            .filter(|model| cccode.is_none() || model.cccode == cccode)
                            .filter(|model| {
                                tag.is_none_or(|tag| {
                                    model.tags.contains(&tag.to_uppercase().as_str())
                                })
                            })
                            .filter(|model| {
                                prefix.is_none_or(|prefix| model.record_id.starts_with(prefix))
                            })
                            .map(|model| (model.container.clone(), model.record_id.clone()))
                            .collect();
                        let limit =
                            ["256", "7", "1"][lists % if wanted.len() < 20 { 3 } else { 2 }];
                        assert_eq!(
                            all_pages(&server, &filter, limit),
                            wanted,
                            "{filter:?} by {limit}"
                        );
                        lists += 1;
                        shown += wanted.len();
                    }
                }
            }
        }
    }
    assert!(shown > 1_000, "the filters meet something");
}

#[test]
fn pages_have_8_records_by_default_and_at_most_256() {
    let server = Server::start();
    for number in 0..12 {
        server.put_inline("notes", &format!("n-{number:02}"), &json!(number), &[]);
    }
    for (limit, told, shown) in [
        ("", 8, 8),
        ("0", 1, 1),
        ("-5", 1, 1),
        ("9", 9, 9),
        ("9999999999999999999999", 256, 12),
    ] {
        let mut query = vec![("orgcode", "demo")];
        if !limit.is_empty() {
            query.push(("limit", limit));
        }
        let page = server.get("/mrs/list", &query).data();
        assert_eq!(
            (&page["limit"], names(&page).len()),
            (&json!(told), shown),
            "{limit}"
        );
    }
}

#[test]
fn a_page_token_works_unchanged_and_with_its_own_filters() {
    let server = Server::start();
    for number in 0..3 {
        server.put_inline("notes", &format!("n-{number}"), &json!(number), &["t"]);
    }
    let page = server
        .get("/mrs/list", &[("orgcode", "demo"), ("limit", "1")])
        .data();
    let token = page["next_token"].as_str().expect("a token").to_owned();
    let next = |token: &str, more: &[(&str, &str)]| {
        let mut query = vec![("orgcode", "demo"), ("next_token", token)];
        query.extend(more);
        server.get("/mrs/list", &query)
    };
    assert_eq!(
        names(&next(&token, &[("limit", "2")]).data()).len(),
        2,
        "the page size is free"
    );
    for filter in [
        ("tag", "t"),
        ("container", "notes"),
        ("status", "all"),
        ("prefix", "n"),
        ("include_doomed", "true"),
    ] {
        assert_eq!(
            next(&token, &[filter]).refusal().1,
            "invalid-next-token",
            "{filter:?}"
        );
    }
    for at in (0..token.len()).step_by(5) {
        let mut altered = token.clone().into_bytes();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).expect("ASCII");
        assert_eq!(
            next(&altered, &[]).refusal().1,
            "invalid-next-token",
            "character {at}"
        );
    }
}

#[test]
fn paging_shows_lasting_records_once_while_others_change() {
    let server = Server::start();
    let mut dice = Dice::new(7);
    for number in 0..60 {
        server.put_inline("notes", &format!("k-{number:03}"), &json!(number), &["t"]);
    }
    let lasting: BTreeSet<_> = (0..60)
        .filter(|number| number % 3 != 0)
        .map(|number| format!("k-{number:03}"))
        .collect();
    let mut seen = Vec::new();
    let mut token: Option<String> = None;
    let mut going = (0..60).step_by(3);
    loop {
        let mut query = vec![("orgcode", "demo"), ("tag", "t"), ("limit", "4")];
        if let Some(token) = &token {
            query.push(("next_token", token));
        }
        let page = server.get("/mrs/list", &query).data();
        seen.extend(names(&page).into_iter().map(|(_, id)| id));
        token = page["next_token"].as_str().map(str::to_owned);
        if token.is_none() {
            break;
        }
        server.put_inline(
            "notes",
            &format!("k-{:03}-new{}", dice.below(60), seen.len()),
            &json!(0),
            &["t"],
        );
        if let Some(number) = going.next() {
            let doom = json!({"orgcode": "demo", "container": "notes", "record_id": format!("k-{number:03}"), "expected_revision": 1});
            server.post("/mrs/doom", &doom).data();
        }
    }
    let once: BTreeSet<_> = seen.iter().cloned().collect();
    assert_eq!(once.len(), seen.len(), "nothing twice");
    assert!(lasting.is_subset(&once), "nothing skipped");
}
