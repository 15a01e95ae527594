//! Floods of sign-ins: they cost refusals, and neither memory nor hours of scrypt, and nobody else is kept waiting.

use std::io::Write;

use metarecord::clock::Clock;
use metarecord::domain::Timestamp;
use rustix::net::sockopt::set_socket_linger;
use serde_json::json;

use super::{PASSCODE, Town, tag};
use crate::support::inside::{Inside, START_MS};
use crate::support::wire::Wire;
use crate::support::{Got, Server, agent, got};

/// What passcodes may take of memory: two at once take 32 MiB each.
const GROWTH_BYTES_MAX: u64 = 160 * 1024 * 1024;
const PATHS: [&str; 2] = ["/usm/session/create", "/uas/stat"];

fn town(dir: &std::path::Path, sets: &[&str]) -> Town {
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    Town {
        server: Inside::start_by(dir, clock, sets),
    }
}

fn is_throttled(got: &Got, minor: &str) -> bool {
    let retry_after = got.header("retry-after").and_then(|text| text.parse().ok());
    got.refusal() == (429, "throttled".to_owned(), minor.to_owned())
        && retry_after.is_some_and(|seconds: u64| seconds >= 1)
}

#[test]
fn a_flood_of_wrong_sign_ins_costs_refusals_and_a_good_session_passes_from_the_same_address() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let sets = ["limits.sign_in_per_second=1", "limits.sign_in_burst=6"];
    let town = town(scratch.path(), &sets);
    // One of the six.
    let ann = town.person("ann");
    let session = [("x-session-guid", ann.session.as_str())];
    let flood = |thread: usize| {
        (0..50).map(move |number| {
            let wrong =
                json!({"email": format!("{thread}-{number}@example.com"), "passcode": PASSCODE});
            (PATHS[number % 2], wrong)
        })
    };
    let answers: Vec<Got> = std::thread::scope(|scope| {
        let send = |thread| {
            let post = |(path, wrong)| town.post(path, &[], &wrong);
            flood(thread).map(post).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..4)
            .map(|thread| scope.spawn(move || send(thread)))
            .collect();
        // Fewer than the session may call at once: its limit is filled up by the clock, which stands still here.
        let mut calls_left = 1_000;
        while !threads.iter().all(|thread| thread.is_finished()) {
            if calls_left == 0 {
                std::thread::yield_now();
                continue;
            }
            calls_left -= 1;
            let me = town.server.call("GET", "/whoami", &session, None);
            assert_eq!(me.status, 200);
        }
        let joined = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        joined.flatten().collect()
    });
    let (looked_at, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|got| got.status == 401);
    assert_eq!((looked_at.len(), refused.len()), (5, 195));
    assert!(refused.iter().all(|got| is_throttled(got, "sign-in-limit")));
    // The right passcode waits too, and not for long.
    assert_eq!(tag(&town.sign_in("ann")).0, 429);
    town.server.clock.advance(1_000);
    assert_eq!(town.sign_in("ann").status, 200);
}

#[test]
fn guesses_that_come_at_once_are_no_more_than_guesses_in_a_row() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let town = town(scratch.path(), &[]);
    town.user("ann");
    let wrong = json!({"email": "ann@example.com", "passcode": "not the passcode"});
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let guess = || town.post(PATHS[0], &[], &wrong).status;
        let threads: Vec<_> = (0..25).map(|_| scope.spawn(guess)).collect();
        let joined = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        joined.collect()
    });
    let looked_at = statuses.iter().filter(|status| **status == 401).count();
    assert_eq!(looked_at, 10, "{statuses:?}");
    assert!(statuses.iter().all(|status| [401, 429].contains(status)));
}

/// Resident memory of a process at its peak, in bytes.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.expect("a peak") * 1024
}

#[test]
fn who_hangs_up_leaves_no_passcodes_behind_that_are_looked_at() {
    let off = [
        "--set",
        "limits.sign_in_per_second=0",
        "--set",
        "limits.address_per_second=0",
    ];
    let server = Server::start_with(&off);
    let before = peak(server.pid());
    let body = json!({"email": "nobody@example.com", "passcode": PASSCODE}).to_string();
    let request = format!(
        "POST /usm/session/create HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    for _ in 0..200 {
        let mut wires = [
            Wire::connect(&server.base_url),
            Wire::connect(&server.base_url),
        ];
        for wire in &mut wires {
            wire.0.write_all(request.as_bytes()).expect("sent");
            // Closing tells the server at once that nobody waits.
            let at_once = Some(std::time::Duration::ZERO);
            set_socket_linger(&wire.0, at_once).expect("it can be set");
        }
        // Meanwhile the server takes them in.
        for _ in 0..5 {
            assert_eq!(server.get("/health", &[]).status, 200);
        }
    }
    let request = agent().post(format!("{}/usm/session/create", server.base_url));
    let told = got(request.content_type("application/json").send(body)).status;
    assert!([401, 429].contains(&told), "{told}");
    let growth = peak(server.pid()) - before;
    assert!(growth < GROWTH_BYTES_MAX, "{growth} bytes");
}
