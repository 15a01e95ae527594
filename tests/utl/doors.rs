//! A file of an export: who gets it, in which parts, and what is no file.

use serde_json::{Value, json};

use super::{done, g3n, make_org, put_file, put_text};
use crate::support::{Server, eventually};

const ORG: &str = "ACME";

fn exported(server: &Server) -> Value {
    make_org(server, ORG);
    put_text(server, ORG, "n-1", "{\"a\":1}", 0);
    server.invoke("utl_export", &json!({"orgcode": ORG})).data();
    let status = || {
        server
            .invoke("utl_offboarding_status", &json!({"orgcode": ORG}))
            .data()
    };
    eventually("it is made", || {
        status()["exports"][0]["status"] == "completed"
    });
    status()["exports"][0].clone()
}

#[test]
fn a_file_is_got_whole_or_in_parts_by_its_url_alone() {
    let server = Server::start();
    let export = exported(&server);
    let query = [("orgcode", ORG), ("name", "events.jsonl.gz")];
    let file = server.get("/utl/export/file", &query).data();
    assert_eq!(file["export_id"], export["export_id"]);
    let url = file["url"].as_str().expect("a url");
    let whole = server.get_url(url, &[]);
    assert_eq!(whole.status, 200);
    assert_eq!(json!(whole.bytes.len()), file["size"]);
    assert_eq!(whole.header("content-encoding"), None);
    let part = server.get_url(url, &[("range", "bytes=3-9")]);
    assert_eq!((part.status, &part.bytes[..]), (206, &whole.bytes[3..=9]));
    let etag = whole.header("etag").expect("an etag");
    assert_eq!(server.get_url(url, &[("if-none-match", etag)]).status, 304);
    assert_eq!(
        server.get_url(url, &[("range", "bytes=999999999-")]).status,
        416
    );
    let mut altered = url.to_owned();
    altered.replace_range(url.len() - 3..url.len() - 2, "~");
    assert_eq!(server.get_url(&altered, &[]).refusal().1, "not-authorized");
    // A url for content opens no file of an export, and the other way round.
    let swapped = url.replace("/content/export/", "/content/");
    assert_eq!(server.get_url(&swapped, &[]).refusal().1, "not-authorized");
}

#[test]
fn what_is_no_file_of_an_export_is_not_found() {
    let server = Server::start();
    let export = exported(&server);
    let id = export["export_id"].as_str().expect("an id");
    for (name, export_id) in [
        ("progress.json", id),
        ("../../../keys/operator.token", id),
        ("content/../manifest.json", id),
        ("content/00000000000000000000000000000007.gz", id),
        ("manifest.json", "../DEMO"),
        ("manifest.json", "00000000-0000-0000-0000-000000000007"),
    ] {
        let query = [("orgcode", ORG), ("name", name), ("export_id", export_id)];
        let got = server.get("/utl/export/file", &query);
        assert_eq!(
            got.refusal(),
            (404, "not-found".to_owned(), String::new()),
            "{name}"
        );
    }
}

#[test]
fn an_import_takes_only_what_it_was_begun_for() {
    let server = Server::start();
    let ask = |function: &str, body: Value| server.invoke(function, &body);
    let told = |got: crate::support::Got| (got.refusal().0, got.refusal().1);
    let no = |status: u16, tag: &str| (status, tag.to_owned());
    let line = |stream: &str, kind: &str| {
        json!({"position": 1, "recorded_at": 1, "stream": stream, "version": 1, "at": 1, "by": "a",
            "request_id": "r", "source": "gateway", "events": [{"type": kind, "v": 1, "data": {"status": "verified"}}]})
    };
    let events = |line: Value| {
        ask(
            "utl_import_events",
            json!({"orgcode": ORG, "lines": [line]}),
        )
    };
    let org = || line("ofm/ACME", "org.created");
    assert_eq!(told(events(org())), no(409, "invalid-state"));
    let sha256 = "ab".repeat(32);
    let begin = |org: &str, sha256: &str| {
        let body =
            json!({"orgcode": org, "manifest_sha256": sha256, "export_id": "e", "entries": 1});
        ask("utl_import_begin", body)
    };
    assert_eq!(told(begin("demo", &sha256)), no(409, "conflict"));
    assert_eq!(told(begin(ORG, "short")), no(400, "invalid-input"));
    begin(ORG, &sha256).data();
    begin(ORG, &sha256).data();
    assert_eq!(told(begin(ORG, &"cd".repeat(32))), no(409, "conflict"));
    for (stream, kind) in [
        ("ofm/DEMO", "org.created"),
        ("ops/vacuum", "org.created"),
        ("utl/ACME", "org.created"),
        ("mrs/ACME/notes/n-1", "org.created"),
        ("ofm/ACME", "vacuum.started"),
        ("mrs/ACME/notes/n-1", "record.upload_completed"),
    ] {
        assert_eq!(
            told(events(line(stream, kind))),
            no(400, "invalid-input"),
            "{stream} {kind}"
        );
    }
    let mut later = org();
    later["version"] = json!(2);
    assert_eq!(told(events(later)), no(400, "invalid-input"));
    let end = || ask("utl_import_end", json!({"orgcode": ORG}));
    assert_eq!(told(end()), no(409, "invalid-state"));
    assert_eq!(events(org()).data(), json!({"appended": 1, "there": 0}));
    assert_eq!(events(org()).data(), json!({"appended": 0, "there": 1}));
    let mut other = org();
    other["by"] = json!("b");
    assert_eq!(told(events(other)), no(409, "conflict"));
    // As long as it comes nobody else changes it.
    let frozen = json!({"orgcode": ORG, "status": "frozen"});
    assert_eq!(
        told(ask("ofm_org_status_set", frozen.clone())),
        no(403, "org-write-blocked")
    );
    assert_eq!(end().data()["status"], "verified");
    ask("ofm_org_status_set", frozen).data();
    assert_eq!(told(end()), no(409, "invalid-state"));
}

#[test]
fn the_command_line_takes_an_org_from_the_request_to_its_export() {
    let server = Server::start();
    make_org(&server, ORG);
    put_text(&server, ORG, "n-1", "{\"a\":1}", 0);
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let code = scratch.path().join("code");
    std::fs::write(&code, &server.secret_code).expect("written");
    let code = code.to_str().expect("a readable path");
    let status = |verb: &[&str]| done(&server, verb)["data"]["status"].clone();
    let org = ["--orgcode", ORG];
    let line = |verb: &'static str, more: &[&'static str]| -> Vec<&'static str> {
        [&["utl", verb][..], &org, more].concat()
    };
    // Whose org it is must be said, and an approval by whom.
    let unsaid = g3n(
        &server,
        &["utl", "offboarding-request", "--reason", "moving"],
    );
    assert_eq!(unsaid.status.code(), Some(2));
    let request = line("offboarding-request", &["--reason", "moving"]);
    assert_eq!(status(&request), "requested");
    assert_eq!(
        g3n(&server, &request).status.code(),
        Some(6),
        "there is one already"
    );
    let wrong = line(
        "offboarding-approve",
        &["--yes", "--secret-code", "not the secret code"],
    );
    assert_eq!(g3n(&server, &wrong).status.code(), Some(4));
    let approve = [
        &line("offboarding-approve", &["--yes", "--secret-code-file"])[..],
        &[code],
    ]
    .concat();
    assert_eq!(status(&approve), "approved");
    for more in [&[][..], &["--operator"]] {
        assert_eq!(status(&line("offboarding-status", more)), "approved");
    }
    let listed = done(
        &server,
        &["utl", "offboarding-list", "--status", "approved"],
    );
    assert_eq!(listed["data"]["items"][0]["orgcode"], ORG);
    // The owner of the frozen org takes it away.
    let out = scratch.path().join("acme");
    let out_text = out.to_str().expect("a readable path");
    let told = done(
        &server,
        &["utl", "export", "--orgcode", ORG, "--out", out_text],
    );
    assert_eq!(told["fetched"], 4, "{told}");
    let history = super::lines(&out.join("events.jsonl.gz"));
    let frozen = history.iter().filter(|line| line["stream"] == "ofm/ACME");
    assert_eq!(
        frozen.count(),
        1,
        "the freezing is none of the org's own history"
    );
    assert_eq!(
        status(&line("offboarding-cancel", &["--reason", "stays"])),
        "cancelled"
    );
    put_text(&server, ORG, "n-2", "2", 0);
}

#[test]
fn damaged_content_is_told_and_never_exported_as_whole() {
    let server = Server::start();
    make_org(&server, ORG);
    put_file(&server, ORG, "f-1", &super::equality::archives()[0]);
    let body = json!({"orgcode": ORG, "reason": "moving"});
    server.post("/utl/offboarding/request", &body).data();
    let (path, _) = server
        .content_files()
        .into_iter()
        .find(|(path, _)| path.extension().is_some_and(|name| name == "gz"))
        .expect("a content file");
    let mut bytes = std::fs::read(&path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    let body = json!({"orgcode": ORG, "secret_code": server.secret_code});
    server.invoke("utl_offboarding_approve", &body).data();
    let status = || {
        server
            .invoke("utl_offboarding_status", &json!({"orgcode": ORG}))
            .data()
    };
    eventually("it is told", || status()["blocked"].is_string());
    let told = status();
    let why = told["blocked"].as_str().expect("a text");
    assert!(why.contains("is damaged"), "{why}");
    assert_eq!(
        (&told["status"], &told["exports"][0]["status"]),
        (&json!("approved"), &json!("making"))
    );
}
