//! Each alert fires when a real server is in that state, alone or with those that belong to it, and clears afterwards.

use std::path::Path;
use std::process::Command;

use metarecord::clock::Clock;
use metarecord::projections::Store;
use serde_json::{Value, json};

use super::story::Story;
use super::{scrape, value};
use crate::ops::open::spoil;
use crate::support::inside::Inside;
use crate::support::{ANY_DISK, Got, Server, agent, eventually, got};

/// Minutes before and after: longer than any alert looks back.
const CALM: usize = 8;
/// Minutes of trouble: longer than any alert waits, except one of ten minutes.
const TROUBLE: usize = 9;
/// Minutes after which an alert that waits for two is on, and what happened is not past yet.
const SOON: usize = 4;
/// Minutes that the alerts about crashes look back.
const CRASHES_LOOK_BACK: usize = 60;
/// Minutes a job may be paused.
const PAUSE: usize = 4 * 60;
/// Requests a minute that are more than one a second.
const MANY: usize = 90;

fn list(server: &Server) -> u16 {
    server.get("/mrs/list", &[("orgcode", "demo")]).status
}

fn put(server: &Server, id: &str) -> Got {
    let body = json!({"orgcode": "demo", "container": "notes", "record_id": id,
        "content_type": "application/json", "payload": id});
    server.post("/mrs/record", &body)
}

#[test]
fn a_server_that_is_gone_is_told_of_until_it_is_back() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let mut story = Story::new();
    let mut server = Server::start_in(&dir, &[]);
    story.told(&scrape(&server), CALM);
    story.firing(&[]);
    server.end("KILL");
    let url = format!("{}/metrics", server.operator_url);
    assert!(agent().get(url).call().is_err(), "nobody is there");
    story.down(TROUBLE);
    story.firing(&["MetarecordDown"]);
    let mut server = Server::start_in(&dir, &[]);
    story.told(&scrape(&server), CALM);
    story.firing(&["MetarecordCrashed"]);
    for _ in 0..2 {
        server.end("KILL");
        server = Server::start_in(&dir, &[]);
        story.told(&scrape(&server), CALM);
    }
    story.firing(&["MetarecordCrashed", "MetarecordCrashLoop"]);
    story.told(&scrape(&server), CRASHES_LOOK_BACK + CALM);
    story.firing(&[]);
    story.check();
}

#[test]
fn throttled_callers_are_told_of_and_nothing_else() {
    let limits = ["limits.principal_per_second=1", "limits.principal_burst=1"];
    let server = Server::start_with(&["--set", limits[0], "--set", limits[1]]);
    let mut story = Story::new();
    list(&server);
    story.told(&scrape(&server), CALM);
    story.firing(&[]);
    for _ in 0..TROUBLE {
        let throttled = (0..MANY).filter(|_| list(&server) == 429).count();
        assert!(throttled > MANY / 2, "{throttled}");
        story.told(&scrape(&server), 1);
    }
    story.firing(&["MetarecordThrottling"]);
    story.told(&scrape(&server), CALM);
    story.firing(&[]);
    story.check();
}

#[test]
fn an_org_that_is_at_its_quota_is_told_of() {
    let server = Server::start_with(&["--set", "quotas.records=1"]);
    let mut story = Story::new();
    assert_eq!(put(&server, "fits").status, 200);
    story.told(&scrape(&server), CALM);
    story.firing(&[]);
    for _ in 0..TROUBLE {
        for _ in 0..MANY {
            assert_eq!(put(&server, "more").status, 409);
        }
        story.told(&scrape(&server), 1);
    }
    story.firing(&["MetarecordQuotaExceeded"]);
    story.told(&scrape(&server), CALM);
    story.firing(&[]);
    story.check();
}

#[test]
fn many_callers_who_are_not_let_in_are_told_of() {
    let server = Server::start();
    let mut story = Story::new();
    story.told(&scrape(&server), CALM);
    story.firing(&[]);
    for _ in 0..TROUBLE {
        for _ in 0..MANY {
            let request = agent().get(format!("{}/whoami", server.base_url));
            let denied = got(request.header("x-session-guid", "nobody's").call());
            assert_eq!(denied.status, 401);
        }
        story.told(&scrape(&server), 1);
    }
    story.firing(&["MetarecordHighDenials"]);
    story.told(&scrape(&server), CALM);
    story.firing(&[]);
    story.check();
}

/// A server below strace, with a fault in a system call on a path.
fn failing(dir: &Path, path: &Path, call: &str, fault: &str) -> Server {
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-P"]).arg(path);
    command.args(["-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={call}:{fault}")]);
    Server::start_by(command, dir, &[])
}

/// Changes until one is refused, then some every minute.
fn changes_that_fail(server: &Server, story: &mut Story) {
    let mut number = 0;
    eventually("a change is refused", || {
        number += 1;
        put(server, &format!("n-{number}")).status == 503
    });
    for _ in 0..TROUBLE {
        for _ in 0..5 {
            assert_eq!(put(server, "refused").status, 503);
        }
        story.told(&scrape(server), 1);
    }
}

#[test]
fn a_failed_sync_alerts_until_the_server_restarts() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let mut story = Story::new();
    let mut server = Server::start_in(&dir, &[]);
    put(&server, "before").data();
    story.told(&scrape(&server), CALM);
    story.firing(&[]);
    server.end("TERM");
    let log = dir.join("journal/00000000000000000001.jsonl");
    let mut server = failing(&dir, &log, "fdatasync", "error=EIO:when=4+");
    changes_that_fail(&server, &mut story);
    let text = scrape(&server);
    assert_eq!(
        value(
            &text,
            "metarecord_journal_failures_total{operation=\"sync\"}"
        ),
        1.0
    );
    story.firing(&[
        "MetarecordJournalSyncErrors",
        "MetarecordJournalNotAccepting",
        "MetarecordServerErrors",
    ]);
    server.end_below("TERM");
    let server = Server::start_in(&dir, &[]);
    put(&server, "after").data();
    story.told(&scrape(&server), CALM);
    story.firing(&[]);
    story.check();
}

#[test]
fn stalled_projections_alert_until_the_server_restarts() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let mut story = Story::new();
    let mut server = Server::start_in(&dir, &[]);
    put(&server, "before").data();
    story.told(&scrape(&server), CALM);
    story.firing(&[]);
    server.end("TERM");
    let current = dir.join("projections/current");
    let generation = std::fs::read_to_string(current.join("generation")).expect("it is named");
    let database = current.join(generation.trim()).join("0.jnl");
    assert!(database.exists());
    // The database gathers some changes before it writes; the one whose write fails is durable and not shown.
    let mut server = failing(&dir, &database, "write", "error=EIO:when=2+");
    changes_that_fail(&server, &mut story);
    assert!(value(&scrape(&server), "metarecord_projection_lag_entries") >= 1.0);
    assert!(value(&scrape(&server), "metarecord_projection_lag_seconds") > 0.0);
    story.firing(&[
        "MetarecordProjectionLag",
        "MetarecordJournalNotAccepting",
        "MetarecordServerErrors",
    ]);
    server.end_below("TERM");
    let server = Server::start_in(&dir, &[]);
    put(&server, "after").data();
    assert_eq!(
        value(&scrape(&server), "metarecord_projection_lag_entries"),
        0.0
    );
    story.told(&scrape(&server), CALM);
    story.firing(&[]);
    story.check();
}

#[test]
fn a_clock_that_jumped_is_told_of_until_an_operator_confirms_it() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let server = Inside::start(scratch.path());
    let scrape = || {
        let request = agent().get(format!("{}/metrics", server.operator_url));
        let got = got(request
            .header(
                "authorization",
                format!("Bearer {}", server.operator_token()),
            )
            .call());
        String::from_utf8(got.bytes).expect("text")
    };
    let mut story = Story::new();
    story.told(&scrape(), CALM);
    story.firing(&[]);
    server.clock.jump(-86_400_000);
    let text = scrape();
    assert_eq!(value(&text, "metarecord_clock_jump_seconds"), -86_400.0);
    story.told(&text, TROUBLE);
    story.firing(&["MetarecordClockJumped"]);
    server.operator("ops_clock_confirm", &json!({})).data();
    story.told(&scrape(), CALM);
    story.firing(&[]);
    story.check();
}

#[test]
fn maintenance_is_no_error_of_the_server() {
    let server = Server::start();
    let mut story = Story::new();
    story.told(&scrape(&server), CALM);
    let window = json!({"description": "d", "duration": 3600, "start": Clock::system().now().to_string(),
        "secret_code": server.secret_code});
    server.invoke("ops_maintenance_schedule", &window).data();
    eventually("tenants are kept out", || list(&server) == 503);
    for _ in 0..TROUBLE {
        assert!((0..MANY).all(|_| list(&server) == 503));
        story.told(&scrape(&server), 1);
    }
    let text = scrape(&server);
    assert_eq!(value(&text, "metarecord_maintenance_active"), 1.0);
    let refused =
        "metarecord_refusals_total{http_response_status_code=\"503\",tag=\"maintenance-mode\"}";
    assert!(value(&text, refused) > 100.0);
    story.firing(&[]);
    story.check();
}

/// A server whose file system has 1,000,000 blocks of 4,096 bytes and as many inodes, with so many of them free.
///
/// No test can fill a disk: what the kernel answers is changed in transit instead. These are the first seven fields of
/// `struct statfs`, each 8 bytes on a 64-bit machine: type, block size, blocks, free, free for this process, inodes, and free
/// inodes.
fn with_free(dir: &Path, free: u64, free_files: u64) -> Server {
    let fields = [0xef53, 4_096, 1_000_000, free, free, 1_000_000, free_files];
    let bytes = fields.iter().flat_map(|field: &u64| field.to_ne_bytes());
    let bytes: String = bytes.map(|byte| format!("{byte:02x}")).collect();
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-e", "trace=statfs"]);
    command.args(["-e", &format!("inject=statfs:poke_exit=@arg2={bytes}")]);
    // The marks are those of any server.
    command.envs(ANY_DISK.iter().map(|(name, _)| (*name, "0")));
    Server::start_by(command, dir, &[])
}

#[test]
fn a_disk_that_is_nearly_full_is_told_of() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let mut story = Story::of_the_disk_too();
    let both = &["MetarecordDiskNearlyFull", "MetarecordDiskReserve"][..];
    for (free, free_files, firing) in [
        (500_000, 500_000, &[][..]),
        (50_000, 500_000, both),
        (500_000, 500_000, &[][..]),
        (500_000, 50_000, &["MetarecordDiskNearlyFull"][..]),
        (500_000, 9_999, both),
        (500_000, 500_000, &[][..]),
    ] {
        let mut server = with_free(&dir, free, free_files);
        let text = scrape(&server);
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let bytes = (free * 4_096) as f64;
        assert_eq!(value(&text, "metarecord_filesystem_free_bytes"), bytes);
        story.told(&text, TROUBLE);
        story.firing(firing);
        server.end_below("TERM");
    }
    story.check();
}

fn failing_steps(server: &Server) -> f64 {
    value(
        &scrape(server),
        "metarecord_job_failing{job_name=\"projection-check\"}",
    )
}

#[test]
fn a_failing_job_alerts_until_it_succeeds() {
    let server = Server::start();
    put(&server, "n-1").data();
    let mut story = Story::new();
    story.told(&scrape(&server), CALM);
    story.firing(&[]);
    let log = server.dir.join("journal/00000000000000000001.jsonl");
    let good = std::fs::read(&log).expect("the log");
    let mut damaged = good.clone();
    let at = good.len() / 2;
    damaged[at] ^= 1;
    overwrite(&log, &damaged);
    let check = json!({"job": "projection-check"});
    server.invoke("jobs_run", &check).data();
    eventually("its steps fail", || failing_steps(&server) >= 1.0);
    for _ in 0..TROUBLE + 5 {
        story.told(&scrape(&server), 1);
    }
    story.firing(&["MetarecordJobFailing"]);
    overwrite(&log, &good);
    server.invoke("jobs_run", &check).data();
    eventually("it is well again", || failing_steps(&server) == 0.0);
    story.told(&scrape(&server), CALM);
    story.firing(&[]);
    story.check();
}

/// Writes over a file that is open elsewhere.
fn overwrite(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().write(true).open(path);
    let written = file.and_then(|file| file.write_all_at(bytes, 0));
    written.expect("it can be written");
}

#[test]
fn an_unknown_maintenance_state_alerts_until_it_is_known() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    // What is known is believed for a second and not for twenty, so that nobody has to wait.
    let believed = ["--set", "ops.maintenance_cache_seconds=1"];
    let mut story = Story::new();
    let mut server = Server::start_in(&dir, &believed);
    let window: Value = json!({"description": "d", "duration": 60, "start": "2100-01-01T00:00:00Z",
        "secret_code": server.secret_code});
    server.invoke("ops_maintenance_schedule", &window).data();
    story.told(&scrape(&server), CALM);
    story.firing(&[]);
    server.end("TERM");
    spoil(&Store::open(&dir.join("projections/current"), 1 << 20).expect("it opens"));
    let mut server = Server::start_in(&dir, &believed);
    eventually("it is too old", || {
        value(&scrape(&server), "metarecord_maintenance_check_age_seconds") > 1.0
    });
    for _ in 0..TROUBLE {
        story.told(&scrape(&server), 1);
    }
    story.firing(&["MetarecordMaintenanceCheckOld"]);
    server.end("TERM");
    std::fs::remove_dir_all(dir.join("projections")).expect("removed");
    let server = Server::start_in(&dir, &believed);
    story.told(&scrape(&server), CALM);
    story.firing(&[]);
    story.check();
}

#[test]
fn a_job_that_stays_paused_is_told_of_until_it_is_resumed() {
    let server = Server::start();
    let mut story = Story::new();
    let job = json!({"job": "tag-scrub"});
    server.invoke("jobs_pause", &job).data();
    story.told(&scrape(&server), PAUSE);
    story.firing(&[]);
    story.told(&scrape(&server), CALM);
    story.firing(&["MetarecordJobPaused"]);
    server.invoke("jobs_resume", &job).data();
    story.told(&scrape(&server), CALM);
    story.firing(&[]);
    story.check();
}

/// Some refusals while it starts, and a single error: neither pages anybody where few call.
#[test]
fn an_ordinary_restart_of_a_quiet_server_is_no_server_error() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let mut story = Story::new();
    let mut server = Server::start_in(&dir, &[]);
    story.told(&scrape(&server), CALM);
    assert_eq!(server.end("TERM"), Some(0));
    let server = Server::start_in(&dir, &[]);
    let text = scrape(&server);
    let starting = "metarecord_refusals_total{http_response_status_code=\"503\",tag=\"starting\"}";
    value(&text, starting);
    // As many as a balancer that asks ten times a second has in a start of a minute.
    let with = |name: &str, times: u32| {
        let lines = text.lines().map(|line| match line.strip_prefix(name) {
            Some(_) => format!("{name} {times}\n"),
            None => format!("{line}\n"),
        });
        lines.collect::<String>()
    };
    story.told(&with(starting, 600), SOON);
    story.firing(&[]);
    let error =
        "metarecord_refusals_total{http_response_status_code=\"500\",tag=\"internal-error\"}";
    story.told(&text, CALM);
    story.told(&with(error, 1), SOON);
    story.firing(&[]);
    story.told(&with(error, 100), SOON);
    story.firing(&["MetarecordServerErrors"]);
    story.check();
}

#[test]
fn a_backup_is_known_by_its_time_after_a_restart_too() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path().join("data");
    let known = |server: &Server| value(&scrape(server), "metarecord_backup_last_seconds");
    let mut server = Server::start_in(&dir, &[]);
    assert_eq!(known(&server), 0.0);
    let lease = server.invoke("ops_backup_begin", &json!({})).data();
    assert_eq!(known(&server), 0.0, "it has not ended");
    let lease = json!({"lease_id": lease["lease_id"]});
    server.invoke("ops_backup_end", &lease).data();
    let ended = known(&server);
    assert!(ended > 1_700_000_000.0, "{ended}");
    assert_eq!(server.end("TERM"), Some(0));
    let server = Server::start_in(&dir, &[]);
    assert_eq!(known(&server), ended);
    // A lease that is gone leaves it as it was.
    assert_eq!(server.invoke("ops_backup_end", &lease).status, 404);
    assert_eq!(known(&server), ended);
}

#[test]
fn keys_of_tokens_that_cannot_be_got_are_told_of() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    // Nobody listens there any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = gone.local_addr().expect("an address");
    drop(gone);
    let url = format!("auth.jwt_jwks_url=http://{address}/jwks");
    let sets = [
        "--set",
        &url,
        "--set",
        "auth.jwt_issuer=https://issuer",
        "--set",
        "auth.jwt_audience=metarecord",
    ];
    let mut story = Story::new();
    let dir = scratch.path().join("data");
    let mut server = Server::start_in(&dir, &[]);
    assert_eq!(value(&scrape(&server), "metarecord_token_keys_usable"), 1.0);
    story.told(&scrape(&server), CALM);
    story.firing(&[]);
    server.end("TERM");
    let server = Server::start_in(&dir, &sets);
    assert_eq!(value(&scrape(&server), "metarecord_token_keys_usable"), 0.0);
    story.told(&scrape(&server), CALM);
    story.firing(&["MetarecordTokenKeysMissing"]);
    story.check();
}
