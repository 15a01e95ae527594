//! An org leaves one server and comes to another: exports, imports, offboardings, and what is in their way.

mod client;
mod damage;
mod doors;
mod equality;
mod kill;
mod kill_import;
mod lifecycle;
mod offline;
mod purge;

use std::io::Read;
use std::path::Path;
use std::process::{Command, Output};

use flate2::read::MultiGzDecoder;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::support::Server;

/// Runs one command line as whoever the server's profile names.
pub(crate) fn g3n(server: &Server, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_g3n"))
        .args(arguments)
        .args(["--output", "json", "--profile", "dev", "--config"])
        .arg(&server.config_file)
        .output()
        .expect("g3n runs")
}

/// The same; panics with what it said when it fails. Returns its one JSON document.
pub(crate) fn done(server: &Server, arguments: &[&str]) -> Value {
    let output = g3n(server, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).expect("one JSON document")
}

/// Makes an org whose owner is the development user.
pub(crate) fn make_org(server: &Server, org: &str) {
    let body = json!({"orgcode": org, "owner_email": "demo@example.com"});
    server.invoke("ofm_org_create", &body).data();
}

/// The development user's id: another on each server.
pub(crate) fn owner(server: &Server) -> String {
    let who = server.get("/whoami", &[]).data();
    who["user_id"].as_str().expect("an id").to_owned()
}

/// Puts a file as gzip content; returns the record.
pub(crate) fn put_file(server: &Server, org: &str, id: &str, path: &Path) -> Value {
    let path = path.to_str().expect("a readable path");
    let arguments = [
        "mrs",
        "put",
        "--orgcode",
        org,
        "--container",
        "files",
        "--record-id",
        id,
        "--mode",
        "presign",
        "--file",
        path,
    ];
    done(server, &arguments)["data"].clone()
}

/// Puts inline content, exactly as it is spelled.
pub(crate) fn put_text(server: &Server, org: &str, id: &str, payload: &str, revision: u64) {
    let expected = match revision {
        0 => String::new(),
        _ => format!(",\"expected_revision\":{revision}"),
    };
    let body = format!(
        "{{\"orgcode\":\"{org}\",\"container\":\"notes\",\"record_id\":\"{id}\",\"content_type\":\"application/json\",\"payload\":{payload}{expected}}}"
    );
    server.post_bytes("/mrs/record", body.as_bytes()).data();
}

/// Every record of an org as callers see it.
pub(crate) fn records(server: &Server, org: &str) -> Vec<Value> {
    let (mut items, mut token) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![("orgcode", org), ("status", "all"), ("limit", "256")];
        if let Some(token) = &token {
            query.push(("next_token", token));
        }
        let page = server.get("/mrs/list", &query).data();
        items.extend(page["items"].as_array().expect("items").clone());
        token = page["next_token"].as_str().map(str::to_owned);
        if token.is_none() {
            return items;
        }
    }
}

/// Inline content as it is spelled: as a JSON value it would not always be the same.
#[derive(serde::Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Content<'a>,
}

#[derive(serde::Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    download: Option<&'a RawValue>,
}

/// The bytes of one content version: inline as it was spelled, else what is downloaded.
pub(crate) fn content(server: &Server, record: &Value, version: u64) -> Vec<u8> {
    let text = |name: &str| record[name].as_str().expect(name);
    let version = version.to_string();
    let query = [
        ("orgcode", text("orgcode")),
        ("container", text("container")),
        ("record_id", text("record_id")),
        ("version", &version),
    ];
    let got = server.get("/mrs/record", &query);
    let answer: Answer<'_> = serde_json::from_slice(&got.bytes).expect("an answer");
    if let Some(content) = answer.data.content {
        return content.get().as_bytes().to_vec();
    }
    let download = answer.data.download.expect("a download");
    let download: Value = serde_json::from_str(download.get()).expect("JSON");
    let got = server.get_url(download["url"].as_str().expect("a url"), &[]);
    assert_eq!(got.status, 200, "{download}");
    got.bytes
}

/// Has an org exported by the operator, and downloads it.
pub(crate) fn export(server: &Server, org: &str, out: &Path) -> Value {
    done(server, &["utl", "export-make", "--orgcode", org]);
    let out = out.to_str().expect("a readable path");
    done(
        server,
        &[
            "utl",
            "export",
            "--operator",
            "--orgcode",
            org,
            "--out",
            out,
        ],
    )
}

/// The lines of a file of an export.
pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let mut text = String::new();
    let file = std::fs::File::open(path).expect("the file is there");
    MultiGzDecoder::new(file)
        .read_to_string(&mut text)
        .expect("it is gzip");
    let lines = text.lines().map(serde_json::from_str);
    lines.map(|line| line.expect("JSON")).collect()
}
