//! What operators' work costs the tenants: the check before each request, and a vacuum of an org beside theirs.

use std::hint::black_box;
use std::path::Path;

use metarecord::actors::watch::Watch;
use metarecord::client::Client;
use metarecord::clock::Stopwatch;
use metarecord::projections::Store;
use serde_json::{Value, json};

use crate::beside::{TENANTS, TENANTS_RECORDS, beside, get};
use crate::load::{self, Measured};
use crate::server::{Server, print_machine};

/// The org that is vacuumed; the development org goes on beside it.
pub(crate) const VACUUMED: &str = "VACUUMED";
/// Connections while loading.
const LOADING: usize = 256;
/// Seconds of one slice of loading.
const SLICE_SECONDS: f64 = 10.0;
/// Checks timed.
const CHECKS: u64 = 20_000_000;
/// Maintenance windows scheduled while reads are timed.
const WINDOWS: usize = 20;
/// Seconds of one slice of reads.
const READS_SECONDS: f64 = 3.0;
/// Pairs of slices, with windows and without.
const PAIRS: usize = 5;

pub(crate) fn run(records: u64) {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let check_ns = check(scratch.path());
    let directory = scratch.path().join("data");
    // Two seconds instead of five minutes until a vacuum begins.
    let mut server = Server::start_with(&directory, &["--set", "ops.vacuum_pending_seconds=2"]);
    make_org(&server);
    fill(&server, "DEMO", TENANTS_RECORDS);
    print_machine();
    reads(&server, check_ns);
    let since = Stopwatch::start();
    let loaded = fill(&server, VACUUMED, records);
    println!(
        "{loaded} records loaded: {:.0} a second",
        loaded as f64 / since.seconds()
    );
    vacuum(&server, loaded);
    server.stop();
}

/// Nanoseconds of one look at what is known of maintenance, while it is read anew every now and then.
fn check(scratch: &Path) -> f64 {
    let store = Store::open(&scratch.join("store"), 1 << 20).expect("it opens");
    let watch = Watch::new(20_000);
    watch.refresh(&store);
    let since = Stopwatch::start();
    for _ in 0..CHECKS {
        black_box(black_box(&watch).active());
    }
    since.seconds() * 1e9 / CHECKS as f64
}

/// Makes the second org, with the development user as its owner.
pub(crate) fn make_org(server: &Server) {
    let body = json!({"orgcode": VACUUMED, "owner_email": "demo@example.com"});
    invoke(server, &server.operator(), "ofm_org_create", body);
}

pub(crate) fn fill(server: &Server, org: &str, records: u64) -> u64 {
    let mut created = 0;
    while created < records {
        let first = created;
        let make = |number: u64, request: &mut Vec<u8>| {
            crate::create_in(server, org, "notes", first + number, request);
        };
        let rest = (records - created) as f64;
        let seconds = SLICE_SECONDS.min(rest / 10_000.0).max(0.5);
        let measured = load::run(&server.address, LOADING, seconds, &make);
        assert_eq!(measured.errors, 0);
        created += measured.count;
        eprintln!(
            "{org}: {created} records, {:.0} a second",
            measured.per_second
        );
    }
    created
}

/// Reads alone.
fn read(server: &Server, connections: usize, seconds: f64) -> Measured {
    let make = |number: u64, request: &mut Vec<u8>| get(server, number, request);
    let measured = load::run(&server.address, connections, seconds, &make);
    assert_eq!(measured.errors, 0);
    measured
}

/// The check's share of a read, and reads with windows scheduled beside reads without.
fn reads(server: &Server, check_ns: f64) {
    let lone = read(server, 1, 2.0);
    let share = 100.0 * check_ns / (f64::from(lone.p50_us) * 1e3);
    println!(
        "the check: {check_ns:.0} ns of a read's {} us (median, one connection)",
        lone.p50_us
    );
    crate::aim("the check, % of a read", share, 2.0, false);
    let operator = server.operator();
    let (mut without, mut again, mut with) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        eprintln!("reads with windows and without, {} of {PAIRS}", pair + 1);
        for rates in [&mut without, &mut again] {
            rates.push(read(server, 16, READS_SECONDS).per_second);
        }
        let windows: Vec<_> = (0..WINDOWS).map(|_| schedule(server, &operator)).collect();
        with.push(read(server, 16, READS_SECONDS).per_second);
        for id in windows {
            let body = json!({"maintenance_id": id});
            invoke(server, &operator, "ops_maintenance_cancel", body);
        }
    }
    let [without, again, with] = [without, again, with].map(median);
    println!(
        "reads a second without windows {without:.0}, once more without {again:.0}, with {WINDOWS} scheduled {with:.0} (medians of {PAIRS})"
    );
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

pub(crate) fn invoke(server: &Server, operator: &Client, function: &str, mut body: Value) -> Value {
    if function.starts_with("ops_") {
        body["secret_code"] = json!(server.secret_code);
    }
    let reply = operator.call("POST", &format!("/invoke/{function}"), &[], Some(&body));
    reply.expect("the server answers").data().clone()
}

fn schedule(server: &Server, operator: &Client) -> Value {
    let body = json!({"description": "d", "duration": 60, "start": "2100-01-01T00:00:00Z"});
    invoke(server, operator, "ops_maintenance_schedule", body)["maintenance_id"].clone()
}

fn vacuum(server: &Server, records: u64) {
    let operator = server.operator();
    let done = beside(server, || {
        let body = json!({"orgcode": VACUUMED, "reason": "bench"});
        let id = invoke(server, &operator, "ops_vacuum_org", body)["vacuum_id"].clone();
        loop {
            let body = json!({"vacuum_id": id});
            let reply = operator.call("POST", "/invoke/ops_vacuum_status", &[], Some(&body));
            let vacuum = reply.expect("the server answers").data().clone();
            if !["pending", "running"].contains(&vacuum["status"].as_str().expect("a status")) {
                return vacuum;
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    });
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!(
        done["totals"]["items"].as_u64(),
        Some(records + 2),
        "records, the org and its member"
    );
    let time = |name: &str| {
        let text = done[name].as_str().expect("a time");
        metarecord::domain::Timestamp::parse(text)
            .expect("a time")
            .millis() as f64
            / 1e3
    };
    let seconds = time("finished_at") - time("started_at");
    println!(
        "vacuum of {records} records beside {TENANTS} busy connections: {seconds:.1} s, {:.0} records a second",
        records as f64 / seconds,
    );
}
