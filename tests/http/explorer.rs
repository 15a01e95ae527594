//! What is served for browsers besides the explorer's own behaviour, which `tests/browser` tries: each page's files, their hashes,
//! how long they are kept, and what they cost; the documents by service; the scripts for uploads.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use metarecord::http::explorer::assets;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::{Got, Server};

const PAGES: [&str; 2] = ["/docs", "/docs/reference"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn plain(server: &Server, path: &str) -> Got {
    server.get_url(&format!("{}{path}", server.base_url), &[])
}

/// What a page's elements lead to: the values of an attribute.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    let parts = page.split(&start).skip(1);
    parts.filter_map(|part| part.split('"').next()).collect()
}

#[test]
fn every_file_of_others_is_the_one_that_its_source_names() {
    let sources = std::fs::read_to_string(root().join("assets/SOURCES.toml")).expect("the list");
    let sources: toml::Table = sources.parse().expect("TOML");
    let mut listed = BTreeSet::new();
    for package in sources["package"].as_array().expect("packages") {
        for fact in ["name", "version", "integrity", "licence", "source"] {
            assert!(
                package[fact].as_str().is_some_and(|text| !text.is_empty()),
                "{package}"
            );
        }
        let integrity = package["integrity"].as_str().expect("a hash");
        assert!(
            integrity.starts_with("sha512-") && integrity.len() == 95,
            "{integrity}"
        );
        for file in package["file"].as_array().expect("files") {
            let path = file["path"].as_str().expect("a path");
            let bytes = std::fs::read(root().join("assets").join(path)).expect(path);
            assert_eq!(
                file["sha256"].as_str(),
                Some(&*hex::encode(Sha256::digest(&bytes))),
                "{path}"
            );
            listed.insert(path.to_owned());
        }
    }
    let mut there = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("assets")).expect("assets") {
        let directory = entry.expect("an entry").path();
        let name = directory
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if directory.is_dir() && name != "explorer" {
            for file in std::fs::read_dir(&directory).expect("a directory") {
                let file = file.expect("a file").file_name();
                there.insert(format!("{name}/{}", file.to_string_lossy()));
            }
        }
    }
    assert_eq!(
        there, listed,
        "files below assets, and those that SOURCES.toml lists"
    );
    for licence in ["LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt"] {
        assert!(
            listed.contains(&format!("swagger-ui/{licence}")),
            "{licence}"
        );
    }
}

#[test]
fn every_page_names_only_files_that_are_there() {
    let server = Server::start();
    let mut named = BTreeSet::new();
    for path in PAGES {
        let got = plain(&server, path);
        assert_eq!(got.status, 200, "{path}");
        assert_eq!(got.header("content-type"), Some("text/html; charset=utf-8"));
        let page = String::from_utf8(got.bytes).expect("UTF-8");
        for tag in page.split('<').filter_map(|part| part.split('>').next()) {
            let names = tag.split('"').step_by(2);
            for name in names.flat_map(str::split_whitespace) {
                let inline = name.starts_with("on") || name.starts_with("style");
                assert!(!inline, "{path} has something inline: <{tag}>");
            }
        }
        let below = Path::new(path)
            .parent()
            .expect("a directory")
            .display()
            .to_string();
        for link in values(&page, "src")
            .into_iter()
            .chain(values(&page, "href"))
        {
            if link.starts_with('#') || link == "data:," {
                continue;
            }
            assert!(
                !link.contains("//") && !link.starts_with('/'),
                "{path}: {link} does not work behind a prefix"
            );
            let url = match link.strip_prefix("../") {
                Some(rest) => format!("/{rest}"),
                None => format!("{}/{link}", below.trim_end_matches('/')),
            };
            assert_eq!(plain(&server, &url).status, 200, "{path}: {link}");
            named.insert(url);
        }
        for script in page.split("<script").skip(1) {
            assert!(
                script.starts_with(" src=\"") && script.contains("\"></script>"),
                "{path} has an inline script"
            );
        }
    }
    for path in assets::paths() {
        assert!(named.contains(&path), "{path} is on no page");
    }
}

#[test]
fn pages_allow_nothing_inline_and_nothing_from_elsewhere() {
    let server = Server::start();
    for path in PAGES {
        let got = plain(&server, path);
        let policy = got.header("content-security-policy").expect("a policy");
        for part in [
            "default-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        for word in ["unsafe", "http:", "https:", "*", "blob:"] {
            assert!(!policy.contains(word), "{path}: {policy}");
        }
        for (name, value) in [
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-cache"),
        ] {
            assert_eq!(got.header(name), Some(value), "{path}");
        }
        let etag = got.header("etag").expect("a tag");
        let again = server.get_url(
            &format!("{}{path}", server.base_url),
            &[("if-none-match", etag)],
        );
        assert_eq!((again.status, again.bytes.len()), (304, 0), "{path}");
        assert_eq!(again.header("content-security-policy"), Some(policy));
    }
    let settings =
        std::fs::read_to_string(root().join("assets/explorer/init.js")).expect("it is there");
    for setting in [
        "validatorUrl: null",
        "queryConfigEnabled: false",
        "persistAuthorization: false",
    ] {
        assert!(settings.contains(setting), "{setting}");
    }
}

#[test]
fn a_file_is_kept_for_good_and_named_by_its_content() {
    let server = Server::start();
    for path in assets::paths() {
        let url = format!("{}{path}", server.base_url);
        let packed = server.get_url(&url, &[("accept-encoding", "gzip")]);
        let got = server.get_url(&url, &[("accept-encoding", "identity")]);
        assert_eq!((packed.status, got.status), (200, 200), "{path}");
        assert_eq!(
            got.header("cache-control"),
            Some("public, max-age=31536000, immutable")
        );
        let digest = hex::encode(Sha256::digest(&got.bytes));
        assert!(
            path.starts_with(&format!("/assets/{}/", &digest[..8])),
            "{path}"
        );
        assert!(
            got.header("etag")
                .is_some_and(|etag| etag.contains(&digest[..16])),
            "{path}"
        );
        let kind = if path.ends_with(".js") {
            "text/javascript; charset=utf-8"
        } else {
            "text/css; charset=utf-8"
        };
        assert_eq!(got.header("content-type"), Some(kind), "{path}");
        let (_, name) = path.rsplit_once('/').expect("a name");
        for wrong in [
            format!("/assets/00000000/{name}"),
            format!("/assets/{name}"),
            format!("{path}x"),
            format!("{path}/.."),
            "/assets/".to_owned(),
        ] {
            assert_eq!(plain(&server, &wrong).refusal().0, 404, "{wrong}");
        }
        let posted = server.post(&path, &Value::Null);
        assert_eq!(
            (posted.status, posted.header("allow")),
            (405, Some("GET, HEAD")),
            "{path}"
        );
    }
}

#[test]
fn the_documents_by_service_are_parts_of_the_whole() {
    let server = Server::start();
    let whole = server.get("/openapi.json", &[]).json();
    for (path, tags, some) in [
        ("/mrs/openapi.yaml", &["mrs", "content"][..], "/mrs/record"),
        ("/ops/openapi.yaml", &["ops"], "/ops/ping"),
    ] {
        let got = plain(&server, path);
        assert_eq!(
            (got.status, got.header("content-type")),
            (200, Some("application/yaml"))
        );
        // JSON is YAML; what reads the one reads the other.
        let part = got.json();
        assert!(!part["paths"][some].is_null(), "{path}");
        let mut count = 0;
        for (path, methods) in whole["paths"].as_object().expect("paths") {
            for (method, operation) in methods.as_object().expect("methods") {
                let wanted = tags.contains(&operation["tags"][0].as_str().expect("a tag"));
                let found = &part["paths"][path][method];
                assert_eq!(
                    found,
                    if wanted { operation } else { &Value::Null },
                    "{method} {path}"
                );
                count += usize::from(wanted);
            }
        }
        assert!(count > 2);
        let text = part.to_string();
        for (kind, components) in part["components"].as_object().expect("components") {
            for (name, component) in components.as_object().expect("components") {
                let place = format!("#/components/{kind}/{name}");
                assert!(
                    kind == "securitySchemes" || text.contains(&format!("\"{place}\"")),
                    "{place} is not used"
                );
                assert_eq!(component, &whole["components"][kind][name], "{place}");
            }
        }
        for target in text.split("\"$ref\":\"#").skip(1) {
            let target = target.split('"').next().expect("an end");
            assert!(
                part.pointer(target).is_some(),
                "{path}: {target} leads nowhere"
            );
        }
    }
}

/// A script of `examples/snippets`, as it is served, stores a file and reads it back, and says what it did.
fn stores_a_file(program: &str, name: &str) {
    let server = Server::start();
    let served = plain(&server, &format!("/common/snippets/{name}"));
    let kept = std::fs::read(root().join("examples/snippets").join(name)).expect("the script");
    assert_eq!((served.status, &served.bytes), (200, &kept));
    let directory = tempfile::tempdir().expect("a directory");
    let (script, file) = (directory.path().join(name), directory.path().join("file"));
    std::fs::write(&script, &served.bytes).expect("it can be written");
    let content = "lines that repeat themselves, and é\n".repeat(500);
    std::fs::write(&file, &content).expect("it can be written");
    let run = |id: &str, base: &str| {
        let mut command = Command::new(program);
        command
            .arg(&script)
            .arg(&file)
            .args(["files", id, "text/plain"]);
        command
            .env("BASE", base)
            .env("ORG", &server.orgcode)
            .env("SESSION", &server.session_guid);
        command.output()
    };
    let output = match run("one", &server.base_url) {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIP: {program} is not here: {error}");
            return;
        }
    };
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && told.starts_with("files/one revision 2: 18500 bytes, "),
        "{output:?}"
    );
    let place = [
        ("orgcode", "DEMO"),
        ("container", "files"),
        ("record_id", "one"),
    ];
    let record = server.get("/mrs/record", &place).data();
    let stored = server.get_url(
        record["download"]["url"].as_str().expect("a url"),
        &[("accept-encoding", "gzip")],
    );
    assert_eq!(record["content_type"], "text/plain");
    assert!(
        told.contains(record["content_md5"].as_str().expect("an MD5")),
        "{told}"
    );
    assert!(stored.status == 200 && record["status"] == "active");
    // What is refused is told by tag and message, and the program fails.
    let refused = run("../no id", &server.base_url).expect("it runs");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && told.contains("invalid-record-id"),
        "{refused:?}"
    );
}

#[test]
fn the_python_script_stores_a_file() {
    stores_a_file("python3", "mrs-gzip-md5-python.py");
}

#[test]
fn the_node_script_stores_a_file() {
    stores_a_file("node", "mrs-gzip-md5-node.js");
}

#[test]
fn a_page_and_its_files_are_counted_by_their_length_and_not_throttled() {
    let server = Server::start();
    let load = || {
        let mut statuses = BTreeSet::new();
        let files = assets::paths();
        for path in ["/docs", "/openapi.json"]
            .into_iter()
            .chain(files.iter().map(String::as_str))
        {
            let url = format!("{}{path}", server.base_url);
            statuses.insert(server.get_url(&url, &[("accept-encoding", "gzip")]).status);
        }
        statuses
    };
    for _ in 0..20 {
        assert_eq!(load(), BTreeSet::from([200]));
    }
    // The bundle counts as about 30 requests, so that a second one is too many.
    let slow = Server::start_with(&[
        "--set",
        "limits.address_per_second=1",
        "--set",
        "limits.address_burst=40",
    ]);
    let bundle = assets::paths()
        .into_iter()
        .find(|path| path.ends_with("bundle.js"))
        .expect("the bundle");
    let get = |path: &str| {
        slow.get_url(
            &format!("{}{path}", slow.base_url),
            &[("accept-encoding", "gzip")],
        )
    };
    assert_eq!(get(&bundle).status, 200);
    let refused = get(&bundle).refusal();
    assert_eq!(
        refused,
        (429, "throttled".to_owned(), "address-limit".to_owned())
    );
    assert_eq!(get("/docs").status, 200);
}
