//! Whether a stranger can tell by time what is there: answers for what is not there and for what is another's, interleaved
//! on one connection, and compared as distributions.

use std::io::{Read, Write};
use std::net::TcpStream;

use metarecord::clock::Stopwatch;
use serde_json::json;

use crate::server::{Server, print_machine};

/// Calls of each kind.
const CALLS: usize = 10_000;
/// Calls of each kind ahead of those, which count for nothing.
const WARM_UP: usize = 500;
/// What the effect may be: how far from one half the chance is that a call of one kind takes longer.
const EFFECT_MAX: f64 = 0.02;

pub(crate) fn run() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut server = Server::start(&scratch.path().join("data"));
    let operator = server.operator();
    let other = json!({"email": "other@example.com", "passcode": "correct horse battery"});
    let call = |function: &str, body: &serde_json::Value| {
        let reply = operator.call("POST", &format!("/invoke/{function}"), &[], Some(body));
        assert!(
            reply.expect("the server answers").is_success(),
            "{function}"
        );
    };
    call("uas_user_create", &other);
    call(
        "ofm_org_create",
        &json!({"orgcode": "OTHERS", "owner_email": "other@example.com"}),
    );
    print_machine();
    println!(
        "{CALLS} calls of each kind, interleaved on one connection; effect: the chance that the first takes longer"
    );
    for (name, post) in [("GET /mrs/record", false), ("POST /mrs/tag/add", true)] {
        let kinds = ["DEMO", "OTHERS", "NOWHERE"].map(|org| request(&server, org, post));
        let times = time(&server.address, &kinds);
        for (what, one, two) in [
            ("not there : another's", 0, 1),
            ("another's : no such org", 1, 2),
            ("not there : no such org", 0, 2),
        ] {
            let (effect, z, distance) = compare(&times[one], &times[two]);
            println!(
                "{name:<18} {what:<24} medians {:.1} and {:.1} us, effect {effect:.4} (z {z:.2}), Kolmogorov-Smirnov {distance:.4}",
                median(&times[one]),
                median(&times[two]),
            );
            crate::aim(
                "distance of the effect from one half",
                (effect - 0.5).abs(),
                EFFECT_MAX,
                false,
            );
        }
    }
    server.stop();
}

fn request(server: &Server, org: &str, post: bool) -> Vec<u8> {
    let mut request = Vec::new();
    match post {
        false => {
            let path = format!("/mrs/record?orgcode={org}&container=notes&record_id=absent");
            server.get(&path, &mut request);
        }
        true => {
            let body = json!({"orgcode": org, "container": "notes", "record_id": "absent", "tags": ["t"], "expected_revision": 1});
            server.post("/mrs/tag/add", &body.to_string(), &mut request);
        }
    }
    request
}

/// Microseconds of each call, by kind. The order of the kinds changes from round to round.
fn time(address: &str, kinds: &[Vec<u8>; 3]) -> [Vec<f64>; 3] {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_nodelay(true).expect("no delay");
    let mut times: [Vec<f64>; 3] = Default::default();
    let mut answer = vec![0; 64 * 1024];
    for round in 0..WARM_UP + CALLS {
        for turn in 0..kinds.len() {
            let kind = (turn + round) % kinds.len();
            let since = Stopwatch::start();
            stream.write_all(&kinds[kind]).expect("the server reads");
            // Answers are small and come in one piece.
            let count = stream.read(&mut answer).expect("the server answers");
            let micros = since.seconds() * 1e6;
            assert!(answer[..count].starts_with(b"HTTP/1.1 404"), "it is a 404");
            if round >= WARM_UP {
                times[kind].push(micros);
            }
        }
    }
    times
}

/// Mann and Whitney's statistic as the chance that one of the first is greater, its z, and Kolmogorov and Smirnov's
/// distance.
fn compare(first: &[f64], second: &[f64]) -> (f64, f64, f64) {
    let mut all: Vec<(f64, bool)> = first.iter().map(|time| (*time, true)).collect();
    all.extend(second.iter().map(|time| (*time, false)));
    all.sort_by(|one, two| one.0.total_cmp(&two.0));
    let (many, others) = (first.len() as f64, second.len() as f64);
    let (mut ranks, mut distance) = (0.0, 0.0_f64);
    let (mut seen, mut seen_others) = (0.0, 0.0);
    let mut at = 0;
    while at < all.len() {
        let ties = all[at..]
            .iter()
            .take_while(|(time, _)| *time == all[at].0)
            .count();
        let rank = at as f64 + (ties as f64 + 1.0) / 2.0;
        for (_, of_first) in &all[at..at + ties] {
            match of_first {
                true => (ranks, seen) = (ranks + rank, seen + 1.0),
                false => seen_others += 1.0,
            }
        }
        distance = distance.max((seen / many - seen_others / others).abs());
        at += ties;
    }
    let greater = ranks - many * (many + 1.0) / 2.0;
    let deviation = (many * others * (many + others + 1.0) / 12.0).sqrt();
    (
        greater / (many * others),
        (greater - many * others / 2.0) / deviation,
        distance,
    )
}

fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
