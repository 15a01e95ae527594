//! Long work beside tenants: what it costs those who read and write meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::load::{self, Measured};
use crate::server::Server;

/// Connections of the tenants that are timed.
pub(crate) const TENANTS: usize = 4;
/// Records that the tenants read.
pub(crate) const TENANTS_RECORDS: u64 = 20_000;
/// Seconds of one slice of the tenants' work.
const SLICE_SECONDS: f64 = 5.0;
/// Slices before the work begins.
const QUIET: usize = 5;

/// Times the tenants alone, then while something works; prints both and returns what the work did.
pub(crate) fn beside<T: Send>(server: &Server, work: impl FnOnce() -> T + Send) -> T {
    let mut first = 0;
    let mut slice = |what: &str| {
        let measured = tenants(server, first);
        first += measured.count;
        eprintln!(
            "{what}: {:.0} a second, p50 {} us, p99 {} us",
            measured.per_second, measured.p50_us, measured.p99_us
        );
        measured
    };
    let quiet: Vec<_> = (0..QUIET).map(|_| slice("quiet")).collect();
    let over = AtomicBool::new(false);
    let mut meanwhile = Vec::new();
    let done = std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            let done = work();
            over.store(true, Ordering::Relaxed);
            done
        });
        while !over.load(Ordering::Relaxed) && !working.is_finished() {
            meanwhile.push(slice("meanwhile"));
        }
        working.join().expect("it ends well")
    });
    let ((quiet, quiet_worst), (busy, busy_worst)) = (p99(&quiet), p99(&meanwhile));
    println!(
        "the tenants' p99 in slices of {SLICE_SECONDS} s: quiet {quiet} us (worst {quiet_worst}), meanwhile {busy} us (worst {busy_worst} of {})",
        meanwhile.len()
    );
    let times = busy / quiet;
    crate::aim("the tenants' p99, times the quiet one", times, 2.0, false);
    done
}

/// A read of one of the tenants' records.
pub(crate) fn get(server: &Server, number: u64, request: &mut Vec<u8>) {
    // A large odd step visits the records in no order.
    let number = number.wrapping_mul(7_368_787) % TENANTS_RECORDS;
    let path = format!("/mrs/record?orgcode=DEMO&container=notes&record_id=r-{number:08}");
    server.get(&path, request);
}

/// Reads, and one write in eight.
fn tenants(server: &Server, first: u64) -> Measured {
    let make = |number: u64, request: &mut Vec<u8>| match number % 8 {
        0 => crate::create_in(server, "DEMO", "new", first + number, request),
        _ => get(server, number, request),
    };
    let measured = load::run(&server.address, TENANTS, SLICE_SECONDS, &make);
    assert_eq!(measured.errors, 0);
    measured
}

/// The median and the worst.
fn p99(slices: &[Measured]) -> (f64, f64) {
    let mut all: Vec<_> = slices.iter().map(|slice| f64::from(slice.p99_us)).collect();
    all.sort_by(f64::total_cmp);
    (all[all.len() / 2], all[all.len() - 1])
}
