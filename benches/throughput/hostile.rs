//! Ten hostile orgs on a thousand connections do their worst, while one honest org goes on with its work: what it keeps of
//! its throughput and its times, and how soon operators are answered.
//!
//! The attackers are another process (`attackers.rs`). Each hostile org has an address of its own, 127.0.0.2 and on; the
//! honest one is at 127.0.0.1.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use metarecord::client::{Client, Credential};
use metarecord::clock::Stopwatch;
use metarecord::domain::Md5;
use serde_json::{Value, json};

use crate::attackers::ORGS;
use crate::load::{self, Paced};
use crate::server::{self, Server, print_machine};

/// Calls a second that the honest org makes: of four, one create and three gets.
const HONEST: f64 = 1_000.0;
/// Its connections.
const CONNECTIONS: usize = 32;
/// Records that it reads.
const RECORDS: u64 = 5_000;
/// How long the attack has gone on before anything is measured.
const LEAD_SECONDS: f64 = 5.0;
/// How often operators call.
const OPERATORS_EVERY: Duration = Duration::from_millis(200);
/// Records that a hostile org may have: it comes to its end within the attack.
const HOSTILE_RECORDS: u64 = 5_000;
/// Bytes of the content that hostile orgs ask for and do not take.
const LARGE_BYTES: usize = 8 << 20;
const PASSCODE: &str = "correct horse battery";

/// The limits as they are by default; the server of a bench has others.
const DEFAULT_LIMITS: &[&str] = &[
    "--set",
    "limits.principal_per_second=20000",
    "--set",
    "limits.principal_burst=20000",
    "--set",
    "limits.org_per_second=40000",
    "--set",
    "limits.org_burst=40000",
];

/// With some ways of attacking alone when they are named.
pub(crate) fn run(seconds: f64, only: Option<&str>) {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut server = Server::start_with(&scratch.path().join("data"), DEFAULT_LIMITS);
    let facts = prepare(&server);
    let path = scratch.path().join("attackers.json");
    std::fs::write(&path, facts.to_string()).expect("written");
    let honest = facts["honest"].as_str().expect("a session").to_owned();
    eprintln!("fill");
    fill(&server, &honest);
    let quarter = (seconds / 4.0).max(2.0);
    offer(&server, &honest, 1, quarter);
    let before = offer(&server, &honest, 2, quarter);
    eprintln!("attack, {seconds:.0} s");
    let mut attackers = Attackers::start(&path, seconds + LEAD_SECONDS + 1.0, only);
    std::thread::sleep(Duration::from_secs_f64(LEAD_SECONDS));
    let processes = [
        ("server", server.pid()),
        ("attackers", attackers.0.id()),
        ("honest callers", std::process::id()),
    ];
    let used_before = processes.map(|(_, process)| server::cpu_seconds(process));
    let over = AtomicBool::new(false);
    let (under, operators) = std::thread::scope(|scope| {
        let calling = scope.spawn(|| call_as_operator(&server, &over));
        let under = offer(&server, &honest, 3, seconds);
        over.store(true, Ordering::Relaxed);
        (under, calling.join().expect("no panic"))
    });
    for ((name, process), before) in processes.into_iter().zip(used_before) {
        let used = server::cpu_seconds(process) - before;
        eprintln!("{name}: {:.2} processors", used / seconds);
    }
    let memory = server.resident_mb();
    attackers.wait();
    let after = offer(&server, &honest, 4, quarter);
    server.stop();
    report([&before, &under, &after], &operators, memory);
}

/// Makes the orgs; what the attackers need to know, and the honest org's session.
fn prepare(server: &Server) -> Value {
    let operator = server.operator();
    let invoke = |function: &str, body: &Value| {
        let reply = operator.call("POST", &format!("/invoke/{function}"), &[], Some(body));
        assert!(reply.expect("an answer").is_success(), "{function}");
    };
    let client = server.client();
    let org = |code: &str| {
        let email = format!("{code}@example.com");
        let user = json!({"email": email, "passcode": PASSCODE});
        invoke("uas_user_create", &user);
        let body = json!({"orgcode": code, "owner_email": email});
        invoke("ofm_org_create", &body);
        let reply = client.call("POST", "/usm/session/create", &[], Some(&user));
        let reply = reply.expect("an answer");
        reply.data()["session_guid"]
            .as_str()
            .expect("a guid")
            .to_owned()
    };
    let large = large();
    let hostile: Vec<_> = (0..ORGS)
        .map(|number| {
            let code = format!("HOSTILE{number}");
            let session = org(&code);
            let limits = json!({"records": HOSTILE_RECORDS});
            invoke("ofm_quota_set", &json!({"orgcode": code, "limits": limits}));
            upload(server, &session, &code, &large);
            session
        })
        .collect();
    json!({"address": server.address, "operators": server.operator_address(), "sessions": hostile,
        "honest": org("HONEST")})
}

/// Gzip of bytes that cannot be made shorter.
fn large() -> Vec<u8> {
    let mut state = 7_u64;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        // Knuth's constants for a linear congruential generator of 64 bits.
        state = state.wrapping_mul(6_364_136_223_846_793_005);
        state = state.wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(LARGE_BYTES)
    .collect();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(&bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

/// Has an org have content to download, under the record id `large`.
fn upload(server: &Server, session: &str, org: &str, gz: &[u8]) {
    let credential = Credential::SessionGuid(session.to_owned());
    let client = Client::new(&format!("http://{}", server.address), credential);
    let post = |path: &str, body: &Value| {
        let reply = client.call("POST", path, &[], Some(body));
        let reply = reply.expect("an answer");
        assert!(reply.is_success(), "{path}");
        reply.data().clone()
    };
    let md5 = Md5::of(gz).to_string();
    let promise = json!({"orgcode": org, "container": "blobs", "record_id": "large",
        "content_type": "text/plain", "size": gz.len(), "content_md5": md5});
    let promised = post("/mrs/record", &promise);
    let url = promised["upload"]["url"].as_str().expect("a url");
    let path = url.split_once("/content/").expect("a path").1;
    let status = load::once(&server.address, &|_, request| {
        let length = gz.len();
        let head = format!(
            "PUT /content/{path} HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n\r\n"
        );
        request.extend_from_slice(head.as_bytes());
        request.extend_from_slice(gz);
    });
    assert_eq!(status, 200, "the upload");
    let complete = json!({"orgcode": org, "container": "blobs", "record_id": "large",
        "content_token": promised["content_token"], "size": gz.len(), "content_md5": md5});
    post("/mrs/record/complete", &complete);
}

fn fill(server: &Server, session: &str) {
    let make =
        |number: u64, request: &mut Vec<u8>| create(server, session, "notes", number, request);
    let per_second = 2_000.0;
    let seconds = RECORDS as f64 / per_second;
    let paced = load::paced(&server.address, CONNECTIONS, (seconds, per_second), &make);
    assert!(paced.accepted.count as f64 > 0.9 * RECORDS as f64);
}

fn create(server: &Server, session: &str, container: &str, number: u64, request: &mut Vec<u8>) {
    let body = json!({"orgcode": "HONEST", "container": container, "record_id": format!("r-{number:08}"),
        "content_type": "application/json", "tags": ["ALL"], "payload": {"text": "lorem ipsum ".repeat(22)}});
    server.post_as(session, "/mrs/record", &body.to_string(), request);
}

/// The honest org's work.
fn offer(server: &Server, session: &str, round: u64, seconds: f64) -> Paced {
    let container = format!("new{round}");
    let make = |number: u64, request: &mut Vec<u8>| match number % 4 {
        0 => create(server, session, &container, number, request),
        _ => {
            // A large odd step visits the records in no order.
            let number = number.wrapping_mul(7_368_787) % (RECORDS * 9 / 10);
            let path =
                format!("/mrs/record?orgcode=HONEST&container=notes&record_id=r-{number:08}");
            server.get_as(session, &path, request);
        }
    };
    load::paced(&server.address, CONNECTIONS, (seconds, HONEST), &make)
}

/// Seconds that operators' functions and `/health` took, each on a connection of its own.
fn call_as_operator(server: &Server, over: &AtomicBool) -> Vec<f64> {
    let mut took = Vec::new();
    while !over.load(Ordering::Relaxed) {
        for (path, body) in [
            ("/invoke/jobs_list", json!({})),
            ("/invoke/ops_audit", json!({"limit": 8})),
        ] {
            let since = Stopwatch::start();
            let reply = server.operator().call("POST", path, &[], Some(&body));
            assert!(
                reply.expect("operators are answered").is_success(),
                "{path}"
            );
            took.push(since.seconds());
        }
        let since = Stopwatch::start();
        let status = load::once(&server.address, &|_, request| {
            request.extend_from_slice(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n");
        });
        assert_eq!(status, 200);
        took.push(since.seconds());
        std::thread::sleep(OPERATORS_EVERY);
    }
    took.sort_by(f64::total_cmp);
    took
}

/// The attackers' process.
struct Attackers(Child);

impl Attackers {
    fn start(facts: &Path, seconds: f64, only: Option<&str>) -> Self {
        let program = std::env::current_exe().expect("this program");
        let only = only.map(|only| ["--only", only]);
        let child = Command::new(program)
            .arg("--attackers")
            .arg(facts)
            .args(["--seconds", &seconds.to_string()])
            .args(only.iter().flatten())
            .stdin(Stdio::null())
            .spawn();
        Self(child.expect("it starts"))
    }

    fn wait(&mut self) {
        let ended = self.0.wait().expect("it ends");
        assert!(ended.success(), "the attackers gave up");
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        // Already ended is fine.
        let _: Result<_, _> = self.0.kill();
        let _: Result<_, _> = self.0.wait();
    }
}

fn report([before, under, after]: [&Paced; 3], operators: &[f64], memory: u64) {
    print_machine();
    println!(
        "the honest org: {HONEST} calls a second on {CONNECTIONS} connections, of four one create and three gets\n"
    );
    println!(
        "{:<28} {:>9} {:>10} {:>9} {:>9} {:>8}",
        "honest org", "answers", "a second", "p50 us", "p99 us", "others"
    );
    for (what, paced) in [
        ("alone", before),
        ("under attack", under),
        ("alone again", after),
    ] {
        let good = &paced.accepted;
        println!(
            "{what:<28} {:>9} {:>10.0} {:>9} {:>9} {:>8}",
            good.count,
            good.per_second,
            good.p50_us,
            good.p99_us,
            paced.refused.count + paced.others
        );
    }
    let at = |share: f64| {
        let index = (operators.len() as f64 * share) as usize;
        operators.get(index.min(operators.len().saturating_sub(1)))
    };
    let slowest = at(1.0).copied().unwrap_or_default();
    println!(
        "\noperators and /health: {} calls, median {:.1} ms, slowest {:.0} ms; server {memory} MB\n",
        operators.len(),
        at(0.5).copied().unwrap_or_default() * 1e3,
        slowest * 1e3
    );
    let kept = 100.0 * under.accepted.per_second / before.accepted.per_second;
    crate::aim("throughput that is kept, %", kept, 50.0, true);
    let times = f64::from(under.accepted.p99_us) / f64::from(before.accepted.p99_us);
    crate::aim("p99, times that without the attack", times, 5.0, false);
    crate::aim("slowest answer to operators, seconds", slowest, 1.0, false);
}
