//! How fast the server is beside what this machine can do at best, all in one run: `make bench`.
//!
//! Arguments: `--quick` (short phases), `--seconds N` a phase; instead of the phases `--million` (one container) or
//! `--operators` (what maintenance and a vacuum cost the tenants) or `--reconcile`, all with a million records or
//! `--records N`;
//! `--overload` (ten times the permitted load), for a minute or `--seconds N`; `--hostile` (ten hostile orgs beside an
//! honest one), likewise, and `--only NAME,..` some ways of attacking alone; `--strangers` (whether time tells what is
//! there); `--people` (callers among many); `--downloads` (a small download to its last byte, which the phases end with
//! too); or `--churn` (ten million operations, or `--operations N`, over 100,000 living records).

mod attackers;
mod beside;
mod churn;
mod downloads;
mod floors;
mod hostile;
mod load;
mod million;
mod operators;
mod overload;
mod people;
mod reconcile;
mod server;
mod strangers;

use std::path::Path;

use floors::Floor;
use load::Measured;
use server::Server;

/// As the server has it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Connections of each scenario.
const CONNECTIONS: [usize; 4] = [1, 16, 64, 256];
/// The connections at which ratios are taken.
const AT: usize = 64;
/// Containers that records are spread over.
const CONTAINERS: u64 = 64;

struct Row {
    scenario: &'static str,
    connections: usize,
    measured: Measured,
    resident_mb: Option<u64>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let text = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    let value = |name: &str| text(name)?.parse::<f64>().ok();
    if let Some(at) = arguments.iter().position(|argument| argument == "--floor") {
        return floors::serve(&arguments[at + 1], Path::new(&arguments[at + 2]));
    }
    if let Some(at) = arguments
        .iter()
        .position(|argument| argument == "--attackers")
    {
        let facts = Path::new(&arguments[at + 1]);
        return attackers::run(facts, value("--seconds").unwrap_or(60.0), text("--only"));
    }
    if has("--million") {
        return million::run(value("--records").unwrap_or(1e6) as u64);
    }
    if has("--strangers") {
        return strangers::run();
    }
    if has("--downloads") {
        return downloads::run();
    }
    if has("--people") {
        return people::run();
    }
    if has("--operators") {
        return operators::run(value("--records").unwrap_or(1e6) as u64);
    }
    if has("--reconcile") {
        return reconcile::run(value("--records").unwrap_or(1e6) as u64);
    }
    if has("--churn") {
        return churn::run(value("--operations").unwrap_or(1e7) as u64);
    }
    if has("--hostile") {
        return hostile::run(value("--seconds").unwrap_or(60.0), text("--only"));
    }
    if has("--overload") {
        return overload::run(value("--seconds").unwrap_or(60.0));
    }
    throughput(value("--seconds").unwrap_or(if has("--quick") { 2.0 } else { 6.0 }));
}

/// A create of about 300 bytes of JSON with three tags.
pub(crate) fn create(server: &Server, container: &str, number: u64, request: &mut Vec<u8>) {
    create_in(server, "DEMO", container, number, request);
}

/// The same in a given org.
pub(crate) fn create_in(
    server: &Server,
    org: &str,
    container: &str,
    number: u64,
    request: &mut Vec<u8>,
) {
    let body = format!(
        r#"{{"orgcode":"{org}","container":"{container}","record_id":"r-{number:08}","content_type":"application/json","tags":["A{}","B{}","ALL"],"payload":{{"number":{number},"text":"{}"}}}}"#,
        number % 10,
        number % 100,
        "lorem ipsum ".repeat(22),
    );
    server.post("/mrs/record", &body, request);
}

fn throughput(seconds: f64) {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let syncs = floors::syncs(scratch.path(), seconds.min(3.0));
    let mut rows = Vec::new();
    {
        let constant = Floor::start("constant", scratch.path());
        let get = |_: u64, request: &mut Vec<u8>| {
            request.extend_from_slice(b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n")
        };
        scenario("constant answer", &mut rows, seconds, None, |connections| {
            load::run(&constant.address, connections, seconds, &get)
        });
    }
    let mut server = Server::start(&scratch.path().join("data"));
    {
        let bare = Floor::start("bare", scratch.path());
        let post = |number: u64, request: &mut Vec<u8>| create(&server, "c", number, request);
        scenario("bare append", &mut rows, seconds, None, |connections| {
            load::run(&bare.address, connections, seconds, &post)
        });
    }
    let mut created = 0;
    scenario(
        "create, 64 containers",
        &mut rows,
        seconds,
        Some(&server),
        |connections| {
            let first = created;
            let make = |number: u64, request: &mut Vec<u8>| {
                let number = first + number;
                create(
                    &server,
                    &format!("c{:02}", number % CONTAINERS),
                    number,
                    request,
                );
            };
            let measured = load::run(&server.address, connections, seconds, &make);
            created += measured.count + measured.errors;
            measured
        },
    );
    let mut hot = 0;
    scenario(
        "create, one container",
        &mut rows,
        seconds,
        Some(&server),
        |connections| {
            let first = hot;
            let make = |number: u64, request: &mut Vec<u8>| {
                create(&server, "hot", first + number, request)
            };
            let measured = load::run(&server.address, connections, seconds, &make);
            hot += measured.count + measured.errors;
            measured
        },
    );
    let known = created;
    scenario("get", &mut rows, seconds, Some(&server), |connections| {
        let make = |number: u64, request: &mut Vec<u8>| {
            // A large odd step visits the records in no order.
            let number = number.wrapping_mul(7_368_787) % known.min(50_000);
            let path = format!(
                "/mrs/record?orgcode=DEMO&container=c{:02}&record_id=r-{number:08}",
                number % CONTAINERS
            );
            server.get(&path, request);
        };
        load::run(&server.address, connections, seconds, &make)
    });
    scenario(
        "list 8 by tag",
        &mut rows,
        seconds,
        Some(&server),
        |connections| {
            let make = |number: u64, request: &mut Vec<u8>| {
                server.get(
                    &format!("/mrs/list?orgcode=DEMO&tag=B{}", number % 100),
                    request,
                );
            };
            load::run(&server.address, connections, seconds, &make)
        },
    );
    let records: u64 = created + hot;
    let memory = server.resident_mb();
    server.stop();
    report(&rows, syncs);
    let sizes = ["journal", "projections", "content"]
        .map(|part| server::bytes_below(&scratch.path().join("data").join(part)));
    let total: u64 = sizes.iter().sum();
    println!(
        "\n{records} records, {memory} MB resident; bytes on disk a record: {} (journal {}, projections {})",
        total / records,
        sizes[0] / records,
        sizes[1] / records
    );
    aim(
        "bytes on disk a record",
        (total / records) as f64,
        3_000.0,
        false,
    );
    downloads::run();
}

fn scenario(
    name: &'static str,
    rows: &mut Vec<Row>,
    seconds: f64,
    server: Option<&Server>,
    mut run: impl FnMut(usize) -> Measured,
) {
    for connections in CONNECTIONS {
        eprintln!("{name}, {connections} connections, {seconds} s");
        let measured = run(connections);
        rows.push(Row {
            scenario: name,
            connections,
            measured,
            resident_mb: server.map(Server::resident_mb),
        });
    }
}

fn report(rows: &[Row], syncs: f64) {
    server::print_machine();
    println!("append + fdatasync alone, one thread: {syncs:.0} a second\n");
    println!(
        "{:<24} {:>5} {:>10} {:>9} {:>9} {:>7} {:>8}",
        "scenario", "conn", "a second", "p50 us", "p99 us", "errors", "MB"
    );
    for row in rows {
        let Measured {
            per_second,
            p50_us,
            p99_us,
            errors,
            ..
        } = row.measured;
        let memory = row
            .resident_mb
            .map_or_else(String::new, |mb| mb.to_string());
        println!(
            "{:<24} {:>5} {per_second:>10.0} {p50_us:>9} {p99_us:>9} {errors:>7} {memory:>8}",
            row.scenario, row.connections
        );
    }
    let of = |scenario: &str, connections: usize| {
        let row = rows
            .iter()
            .find(|row| row.scenario == scenario && row.connections == connections);
        row.map(|row| row.measured.clone()).expect("a row")
    };
    println!();
    let rate = |scenario: &str| of(scenario, AT).per_second;
    let percent = |part: f64, whole: f64| 100.0 * part / whole;
    aim(
        "creates, % of the bare append",
        percent(rate("create, 64 containers"), rate("bare append")),
        55.0,
        true,
    );
    aim(
        "gets, % of the constant answer",
        percent(rate("get"), rate("constant answer")),
        60.0,
        true,
    );
    aim(
        "tag pages, % of the constant answer",
        percent(rate("list 8 by tag"), rate("constant answer")),
        25.0,
        true,
    );
    let lone =
        f64::from(of("create, 64 containers", 1).p50_us) / f64::from(of("bare append", 1).p50_us);
    aim(
        "lone writer, times the bare append's latency",
        lone,
        1.5,
        false,
    );
    aim(
        "one hot container, % of 64",
        percent(rate("create, one container"), rate("create, 64 containers")),
        80.0,
        true,
    );
}

pub(crate) fn aim(what: &str, value: f64, aim: f64, at_least: bool) {
    let met = if at_least { value >= aim } else { value <= aim };
    let bound = if at_least { "at least" } else { "at most" };
    println!(
        "{what:<46} {value:>9.2}   {bound} {aim:<8} {}",
        if met { "met" } else { "MISSED" }
    );
}
