//! One container with a million records: memory, far pages, start, rebuild.

use metarecord::clock::Stopwatch;

use crate::load;
use crate::server::{Server, bytes_below, print_machine};

/// Connections while loading.
const CONNECTIONS: usize = 256;
/// Seconds of one slice of loading.
const SLICE_SECONDS: f64 = 10.0;
/// Seconds for which the pages of each end are timed.
const PAGES_SECONDS: f64 = 2.0;
/// Records of a page while walking.
const WALK_LIMIT: usize = 256;

pub(crate) fn run(records: u64) {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let directory = scratch.path().join("data");
    let mut server = Server::start(&directory);
    let since = Stopwatch::start();
    let mut created = 0;
    while created < records {
        let first = created;
        let make = |number: u64, request: &mut Vec<u8>| {
            crate::create(&server, "big", first + number, request)
        };
        let measured = load::run(&server.address, CONNECTIONS, SLICE_SECONDS, &make);
        assert_eq!(measured.errors, 0);
        created += measured.count;
        eprintln!(
            "{created} records, {:.0} a second, {} MB resident",
            measured.per_second,
            server.resident_mb()
        );
    }
    let loading = since.seconds();
    print_machine();
    println!(
        "{created} records in one container: {:.0} a second, {} MB resident (at most 512)",
        created as f64 / loading,
        server.resident_mb()
    );
    let bytes = bytes_below(server.directory()) / created;
    println!("{bytes} bytes on disk a record before the last segment is sealed");
    for (what, filter) in [
        ("all", ("status", "all")),
        ("by tag", ("tag", "ALL")),
        ("by status", ("status", "active")),
        ("by prefix", ("prefix", "r-")),
    ] {
        let (far_end, walked) = walk(&server, filter);
        let (name, value) = filter;
        let path = format!("/mrs/list?orgcode=DEMO&container=big&{name}={value}");
        let [first, end] = [path.clone(), format!("{path}&next_token={far_end}")].map(|path| {
            let make = |_: u64, request: &mut Vec<u8>| server.get(&path, request);
            load::run(&server.address, 1, PAGES_SECONDS, &make)
        });
        assert_eq!(first.errors + end.errors, 0);
        println!(
            "page {what}: first {} us, far end {} us (median), {:.2} times (at most 1.5); {walked} records behind it",
            first.p50_us,
            end.p50_us,
            f64::from(end.p50_us) / f64::from(first.p50_us.max(1))
        );
    }
    server.stop();
    let server_again = Server::start(&directory);
    println!(
        "start to ready with projections: {:.2} s (at most 5), {} MB resident",
        server_again.ready_seconds,
        server_again.resident_mb()
    );
    let mut server = server_again;
    server.stop();
    std::fs::remove_dir_all(directory.join("projections")).expect("the projections can be deleted");
    let mut server = Server::start(&directory);
    println!(
        "start to ready without projections: {:.2} s, {:.0} entries a second",
        server.ready_seconds,
        created as f64 / server.ready_seconds
    );
    server.stop();
}

/// Walks a list to its end by its tokens. Returns the token of the last full page, and the records shown before it.
fn walk(server: &Server, (name, value): (&'static str, &str)) -> (String, u64) {
    let client = server.client();
    let (mut before, mut token, mut walked) = (String::new(), String::new(), 0);
    loop {
        let mut query = vec![
            ("orgcode", "DEMO".to_owned()),
            ("container", "big".to_owned()),
            ("limit", WALK_LIMIT.to_string()),
            (name, value.to_owned()),
        ];
        if !token.is_empty() {
            query.push(("next_token", token.clone()));
        }
        let reply = client.call("GET", "/mrs/list", &query, None);
        let page = reply.expect("the server answers").data().clone();
        let shown = page["items"].as_array().map_or(0, Vec::len);
        match page["next_token"].as_str() {
            Some(next) => before = std::mem::replace(&mut token, next.to_owned()),
            None => return (before, walked - WALK_LIMIT as u64),
        }
        walked += shown as u64;
    }
}
