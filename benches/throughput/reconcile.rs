//! A reconcile of a large container: how fast it is, and what it costs the tenants of others.

use metarecord::clock::Stopwatch;
use serde_json::json;

use crate::beside::{TENANTS, TENANTS_RECORDS, beside};
use crate::operators::{VACUUMED, fill, invoke, make_org};
use crate::server::{Server, print_machine};

/// Things looked at in one call.
const ITEMS: usize = 1_000;

pub(crate) fn run(records: u64) {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut server = Server::start(&scratch.path().join("data"));
    make_org(&server);
    fill(&server, "DEMO", TENANTS_RECORDS);
    let loaded = fill(&server, VACUUMED, records);
    print_machine();
    let operator = server.operator();
    let (scanned, pages, seconds) = beside(&server, || {
        let since = Stopwatch::start();
        let (mut scanned, mut pages) = (0, 0);
        let mut body = json!({"orgcode": VACUUMED, "container": "notes", "max_items": ITEMS});
        loop {
            let page = invoke(&server, &operator, "mrs_reconcile", body.clone());
            assert_eq!(page["drift"], json!([]), "nothing is wrong");
            scanned += page["scanned"].as_u64().expect("a number");
            pages += 1;
            match page.get("next_token") {
                Some(next) => body["next_token"] = next.clone(),
                None => return (scanned, pages, since.seconds()),
            }
        }
    });
    println!(
        "reconcile of {loaded} records with {} rows and files in {pages} pages beside {TENANTS} busy connections: {seconds:.1} s, {:.0} records a second",
        scanned - loaded,
        loaded as f64 / seconds,
    );
    server.stop();
}
