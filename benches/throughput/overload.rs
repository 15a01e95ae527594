//! Ten times the load that is permitted: whether memory stays, refusals are quick, and permitted calls hardly notice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::load::{self, Measured, Paced};
use crate::server::{Server, print_machine};

/// Calls a second that are permitted to the one principal there is.
const PERMITTED: f64 = 2_000.0;
/// Calls a second that are well within that.
const WITHIN: f64 = 0.9 * PERMITTED;
/// So many times what is permitted is offered.
const TIMES: f64 = 10.0;
/// Connections of either load.
const CONNECTIONS: usize = 64;
/// Records that are read.
const RECORDS: u64 = 20_000;
/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(crate) fn run(seconds: f64) {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let directory = scratch.path().join("data");
    let limits = [
        "--set",
        "limits.principal_per_second=2000",
        "--set",
        "limits.principal_burst=200",
    ];
    let mut server = Server::start_with(&directory, &limits);
    eprintln!("fill");
    fill(&server);
    let mut first = 0;
    let mut load = |what: &str, seconds: f64, per_second: f64| {
        eprintln!("{what}, {seconds:.0} s");
        let paced = offer(&server, first, (seconds, per_second));
        first += paced.accepted.count + paced.refused.count + paced.others;
        paced
    };
    load("warm", 10.0, WITHIN);
    let before = load("within the limit", seconds / 4.0, WITHIN);
    let (over, memory) = with_memory(&server, || {
        load("ten times the limit", seconds, PERMITTED * TIMES)
    });
    let after = load("within the limit again", seconds / 4.0, WITHIN);
    server.stop();
    report([&before, &over, &after], &memory);
}

/// Records to read. The process that serves them makes them, so that their pages are in its memory already.
fn fill(server: &Server) {
    let make = |number: u64, request: &mut Vec<u8>| {
        crate::create(server, "notes", number, request);
    };
    let seconds = RECORDS as f64 / WITHIN;
    let paced = load::paced(&server.address, CONNECTIONS, (seconds, WITHIN), &make);
    assert!(paced.accepted.count as f64 > 0.9 * RECORDS as f64);
}

/// Reads, and one write in 32: few enough that what they add to memory is little.
fn offer(server: &Server, first: u64, (seconds, per_second): (f64, f64)) -> Paced {
    let make = |number: u64, request: &mut Vec<u8>| match number % 32 {
        0 => crate::create(server, "new", first + number, request),
        _ => {
            // A large odd step visits the records in no order.
            let number = number.wrapping_mul(7_368_787) % RECORDS;
            let path = format!("/mrs/record?orgcode=DEMO&container=notes&record_id=r-{number:08}");
            server.get(&path, request);
        }
    };
    load::paced(&server.address, CONNECTIONS, (seconds, per_second), &make)
}

/// Sets a flag when it is dropped.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs something and notes the server's memory meanwhile, in MB.
fn with_memory<T>(server: &Server, run: impl FnOnce() -> T) -> (T, Vec<u64>) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Also when it panics, so that nobody is waited for.
        let end = Ending(&over);
        let looking = scope.spawn(|| {
            let mut memory = Vec::new();
            while !over.load(Ordering::Relaxed) {
                memory.push(server.resident_mb());
                std::thread::sleep(LOOK_EVERY);
            }
            memory
        });
        let result = run();
        drop(end);
        (result, looking.join().expect("no panic"))
    })
}

fn report([before, over, after]: [&Paced; 3], memory: &[u64]) {
    print_machine();
    println!(
        "{PERMITTED} calls a second permitted, {CONNECTIONS} connections; reads, and one write in 32\n"
    );
    println!(
        "{:<32} {:>9} {:>10} {:>9} {:>9}",
        "load", "answers", "a second", "p50 us", "p99 us"
    );
    for (what, measured) in [
        ("within the limit", &before.accepted),
        ("ten times the limit: accepted", &over.accepted),
        ("ten times the limit: refused", &over.refused),
        ("within the limit again", &after.accepted),
    ] {
        let Measured {
            per_second,
            p50_us,
            p99_us,
            count,
            ..
        } = measured;
        println!("{what:<32} {count:>9} {per_second:>10.0} {p50_us:>9} {p99_us:>9}");
    }
    let quarter = memory.len() / 4;
    let mean = |part: &[u64]| part.iter().sum::<u64>() as f64 / part.len().max(1) as f64;
    let (first, last) = (
        mean(&memory[..quarter]),
        mean(&memory[memory.len() - quarter..]),
    );
    println!(
        "\nmemory under ten times the limit: first quarter {first:.0} MB, last quarter {last:.0} MB\nother answers than 200 and 429: {}\n",
        before.others + over.others + after.others
    );
    let unloaded = f64::from(before.accepted.p99_us + after.accepted.p99_us) / 2.0;
    crate::aim(
        "memory, last quarter, % of the first",
        100.0 * last / first,
        110.0,
        false,
    );
    crate::aim(
        "refused calls, p99 in ms",
        f64::from(over.refused.p99_us) / 1e3,
        50.0,
        false,
    );
    crate::aim(
        "accepted calls' p99, times that within the limit",
        f64::from(over.accepted.p99_us) / unloaded,
        2.0,
        false,
    );
    let offered = over.accepted.per_second + over.refused.per_second;
    crate::aim(
        "times the limit that was offered",
        offered / PERMITTED,
        0.9 * TIMES,
        true,
    );
}
