//! One container with a million records: memory, far pages, start, rebuild.

use metarecord::clock::Stopwatch;

use crate::load;
use crate::server::{Server, bytes_below, print_machine};

/// Connections while loading.
const CONNECTIONS: usize = 256;
/// Seconds of one slice of loading.
const SLICE_SECONDS: f64 = 10.0;
/// Pages timed at each end.
const PAGES: u64 = 400;

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
    let last = created - 1;
    // The far end by prefix: the last hundred records; by tag and state: the last page of a walk is reached through a
    // cursor, so those are timed on a container filter whose records stand last.
    for (what, near, far) in [
        (
            "all",
            String::from("status=all&prefix=r-000000"),
            format!("status=all&prefix={}", prefix(last)),
        ),
        (
            "by tag",
            String::from("tag=ALL&prefix=r-000000"),
            format!("tag=ALL&prefix={}", prefix(last)),
        ),
        (
            "by status",
            String::from("status=active&prefix=r-000000"),
            format!("status=active&prefix={}", prefix(last)),
        ),
    ] {
        let [first, end] = [near, far].map(|filter| {
            let make = |_: u64, request: &mut Vec<u8>| {
                server.get(
                    &format!("/mrs/list?orgcode=DEMO&container=big&{filter}"),
                    request,
                );
            };
            load::run(&server.address, 1, PAGES as f64 / 400.0, &make)
        });
        println!(
            "page {what}: first {} us, far end {} us (median), {:.2} times (at most 1.5)",
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

/// All but the last two digits of a record's id.
fn prefix(number: u64) -> String {
    let id = format!("r-{number:08}");
    id[..id.len() - 2].to_owned()
}
