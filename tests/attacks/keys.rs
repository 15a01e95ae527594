//! Signing keys that are rotated: what was given out lives on or ends as the operator said, whatever happens meanwhile.

mod restarts;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use metarecord::clock::Clock;
use metarecord::content::keyring;
use metarecord::domain::{Md5, Timestamp};
use serde_json::{Value, json};

use super::content::gzip;
use crate::cli::run::g3n;
use crate::support::inside::{Inside, START_MS};
use crate::support::{Got, Server, agent, eventually, got};

/// Content tokens work for the 900 seconds of their upload url and the hour behind it: no overlap is shorter.
const OVERLAP_MS: i64 = (900 + 3_600) * 1_000;
const OVERLAP: &str = "ops.key_overlap_seconds=1";
/// The same public url after each start, so that a url outlives a server.
const PUBLIC: &str = "http.public_url=http://x";
const RING: &str = "keys/signing-keys.json";

/// Something that calls a server, inside the test or next to it.
trait Calls {
    fn call_post(&self, path: &str, body: &Value) -> Got;
    fn call_get(&self, path: &str) -> Got;
    fn base(&self) -> &str;
}

impl Calls for Inside {
    fn call_post(&self, path: &str, body: &Value) -> Got {
        self.post(path, body)
    }
    fn call_get(&self, path: &str) -> Got {
        self.get(path)
    }
    fn base(&self) -> &str {
        &self.base_url
    }
}

impl Calls for Server {
    fn call_post(&self, path: &str, body: &Value) -> Got {
        self.post(path, body)
    }
    fn call_get(&self, path: &str) -> Got {
        self.get(path, &[])
    }
    fn base(&self) -> &str {
        &self.base_url
    }
}

/// What a server gave out that its keys have signed.
#[derive(Clone, Debug)]
struct Given {
    upload: String,
    complete: Value,
    download: String,
    list: String,
}

fn path(url: &Value) -> String {
    let url = url.as_str().expect("a url");
    url.split_once("/content/").expect("a path").1.to_owned()
}

fn send(server: &dyn Calls, token: &str, gz: &[u8]) -> u16 {
    let request = agent().put(format!("{}/content/{token}", server.base()));
    got(request.header("content-encoding", "gzip").send(gz)).status
}

fn fetch(server: &dyn Calls, token: &str) -> u16 {
    got(agent()
        .get(format!("{}/content/{token}", server.base()))
        .call())
    .status
}

/// Promises a record, and what completes it.
fn promise(server: &dyn Calls, id: &str, gz: &[u8]) -> (String, Value) {
    let (size, md5) = (gz.len(), Md5::of(gz).to_string());
    let facts = json!({"orgcode": "demo", "container": "blobs", "record_id": id,
        "content_type": "text/plain", "size": size, "content_md5": md5});
    let put = server.call_post("/mrs/record", &facts).data();
    let complete = json!({"orgcode": "demo", "container": "blobs", "record_id": id,
        "content_token": put["content_token"], "size": size, "content_md5": md5});
    (path(&put["upload"]["url"]), complete)
}

/// A record with content, another that waits for its content, and a list that goes on.
fn give(server: &dyn Calls, id: &str) -> Given {
    let gz = gzip(id);
    for number in 0..2 {
        let (upload, complete) = promise(server, &format!("{id}-{number}"), &gz);
        assert_eq!(send(server, &upload, &gz), 200);
        server.call_post("/mrs/record/complete", &complete).data();
    }
    let read = format!("/mrs/record?orgcode=demo&container=blobs&record_id={id}-0");
    let page = server.call_get("/mrs/list?orgcode=demo&container=blobs&limit=1");
    let (upload, complete) = promise(server, &format!("{id}-w"), &gz);
    Given {
        upload,
        complete,
        download: path(&server.call_get(&read).data()["download"]["url"]),
        list: page.data()["next_token"]
            .as_str()
            .expect("a page")
            .to_owned(),
    }
}

fn list(server: &dyn Calls, given: &Given) -> u16 {
    let path = format!(
        "/mrs/list?orgcode=demo&container=blobs&limit=1&next_token={}",
        given.list
    );
    server.call_get(&path).status
}

/// The statuses of all that was given out: upload, complete, download, list.
fn used(server: &dyn Calls, id: &str, given: &Given) -> [u16; 4] {
    [
        send(server, &given.upload, &gzip(id)),
        server
            .call_post("/mrs/record/complete", &given.complete)
            .status,
        fetch(server, &given.download),
        list(server, given),
    ]
}

/// The ids that a listing shows, the one that signs first.
fn ids(listed: &Value) -> Vec<String> {
    let items = listed["items"].as_array().expect("items").iter();
    items
        .map(|item| item["key_id"].as_str().expect("an id").to_owned())
        .collect()
}

fn on_disk(dir: &Path) -> Vec<String> {
    let keys = keyring::look(&dir.join("keys")).expect("they can be read");
    let keys = keys.expect("there are some").into_iter();
    keys.map(|facts| facts.id).collect()
}

fn start(dir: &Path, clock: &Clock) -> Inside {
    Inside::start_by(dir, clock.clone(), &[OVERLAP, PUBLIC])
}

#[test]
fn what_was_given_out_outlives_a_rotation_for_the_overlap_and_no_longer() {
    let scratch = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let server = start(scratch.path(), &clock);
    let before = give(&server, "before");
    let first = ids(&server.operator("ops_signing_key_list", &json!({})).data());
    assert!(before.download.starts_with(&format!("{}.", first[0])));
    let rotate = json!({"actor": "ann", "reason": "every quarter"});
    let rotated = server.operator("ops_signing_key_rotate", &rotate).data();
    assert_eq!(rotated["overlap_seconds"], json!(OVERLAP_MS / 1_000));
    let both = ids(&rotated);
    assert!(both.len() == 2 && both[0] != first[0] && both[1] == first[0]);
    let shown = rotated.to_string() + &server.operator("ops_audit", &json!({})).data().to_string();
    let file = fs::read_to_string(scratch.path().join(RING)).expect("the keys");
    let file: Value = serde_json::from_str(&file).expect("JSON");
    for key in file["keys"].as_array().expect("keys") {
        assert!(!shown.contains(key["key"].as_str().expect("bytes")));
    }
    let after = give(&server, "after");
    assert!(after.download.starts_with(&format!("{}.", both[0])));
    assert_eq!(used(&server, "before", &before), [200; 4]);
    assert_eq!(used(&server, "after", &after), [200; 4]);

    // Another overlap's end: the cursor of the key before has no end of its own.
    clock.advance(OVERLAP_MS - 1_000);
    assert_eq!(list(&server, &before), 200);
    clock.advance(1_000);
    assert_eq!((list(&server, &before), list(&server, &after)), (400, 200));
    let left = server.operator("ops_signing_key_list", &json!({})).data();
    assert_eq!(ids(&left), [both[0].clone()]);
    let run = json!({"job": "signing-keys"});
    server.operator("jobs_run", &run).data();
    eventually("the ended key is removed", || {
        on_disk(scratch.path()).len() == 1
    });

    let audit = server.operator("ops_audit", &json!({})).data();
    let rows = audit["items"].as_array().expect("rows");
    let row = rows
        .iter()
        .find(|row| row["event"] == "signing_key.rotated")
        .expect("a row");
    assert_eq!(
        (&row["actor"], &row["by"]),
        (&json!("ann"), &json!("operator"))
    );
}

#[test]
fn a_clock_that_is_set_forward_removes_no_key_that_still_has_time() {
    let scratch = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let server = start(scratch.path(), &clock);
    let given = give(&server, "a");
    server.operator("ops_signing_key_rotate", &json!({})).data();
    assert_eq!(on_disk(scratch.path()).len(), 2);
    let runs = || {
        let shown = server.operator("jobs_show", &json!({"job": "signing-keys"}));
        shown.data()["last_run_at"].clone()
    };
    let run = || {
        let before = runs();
        let job = json!({"job": "signing-keys"});
        // Ahead of the order: moved after it, two runs could be of one time, and the second not be told from the first.
        clock.advance(10);
        server.operator("jobs_run", &job).data();
        eventually("it ran", || runs() != before);
    };
    // Less than a jump, and more than one: by the wall clock the key's time is over, and what it signed is refused.
    clock.advance(OVERLAP_MS - 100_000);
    for step in [200_000, 10 * OVERLAP_MS] {
        clock.jump(step);
        assert_eq!(fetch(&server, &given.download), 403);
        run();
        assert_eq!(on_disk(scratch.path()).len(), 2, "{step}");
        clock.jump(-step);
        assert_eq!(list(&server, &given), 200, "{step}");
    }
    // A rotation removes none either, while nobody has said that the time is right.
    clock.jump(10 * OVERLAP_MS);
    server.operator("ops_signing_key_rotate", &json!({})).data();
    assert_eq!(on_disk(scratch.path()).len(), 3);
    server.operator("ops_clock_confirm", &json!({})).data();
    run();
    eventually("the ended key is removed", || {
        on_disk(scratch.path()).len() == 2
    });
}

#[test]
fn a_key_that_leaked_ends_at_once_with_all_before_it() {
    let scratch = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let mut server = start(scratch.path(), &clock);
    let session = server.session_guid.clone();
    let oldest = give(&server, "a");
    server.operator("ops_signing_key_rotate", &json!({})).data();
    let older = give(&server, "b");
    let ended = server.operator("ops_signing_key_rotate", &json!({"at_once": true}));
    assert_eq!(ids(&ended.data()).len(), 1);
    for restarted in [false, true] {
        if restarted {
            server.stop();
            server = start(scratch.path(), &clock);
        }
        for (id, given) in [("a", &oldest), ("b", &older)] {
            assert_eq!(
                used(&server, id, given),
                [403, 400, 403, 400],
                "{restarted}"
            );
        }
    }
    assert_eq!(on_disk(scratch.path()).len(), 1);
    // Sessions and keys of service accounts are not signed, and go on.
    let list = [("x-session-guid", session.as_str())];
    let path = "/mrs/list?orgcode=demo&container=blobs";
    assert_eq!(server.call("GET", path, &list, None).status, 200);
    assert_eq!(used(&server, "c", &give(&server, "c")), [200; 4]);
}

#[test]
fn urls_from_before_keys_had_ids_work_until_their_key_is_rotated_out() {
    let scratch = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let mut server = start(scratch.path(), &clock);
    server.stop();
    // As an earlier program left it: its one key signs and hashes.
    fs::remove_file(scratch.path().join(RING)).expect("it is there");
    let mut server = start(scratch.path(), &clock);
    let before = give(&server, "before");
    assert_eq!(before.download.matches('.').count(), 1, "it has no id");
    let listed = server.operator("ops_signing_key_list", &json!({})).data();
    assert_eq!(ids(&listed), ["first"]);
    server.operator("ops_signing_key_rotate", &json!({})).data();
    server.stop();
    let server = start(scratch.path(), &clock);
    assert_eq!(used(&server, "before", &before), [200; 4]);
    clock.advance(OVERLAP_MS);
    assert_eq!(list(&server, &before), 400);
    eventually("the first key is not in the file", || {
        !on_disk(scratch.path()).contains(&"first".to_owned())
    });
    assert!(scratch.path().join("keys/signing.key").exists());
}

/// Tells that its thread has ended, well or not.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn no_url_fails_while_keys_are_rotated_under_load() {
    let server = Server::start();
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for caller in 0..4 {
            let (server, stop, done) = (&server, &stop, &done);
            scope.spawn(move || {
                // Whoever fails ends the others too, which would wait for it.
                let _ended = Stops(stop);
                for number in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let id = format!("c{caller}-{number}");
                    let given = give(server, &id);
                    assert_eq!(used(server, &id, &given), [200; 4], "{id}");
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let server = &server;
        let rotating = scope.spawn(|| {
            for rotation in 1..=8 {
                while done.load(Ordering::SeqCst) < rotation * 4 {
                    assert!(!stop.load(Ordering::SeqCst), "a caller has failed");
                    std::thread::yield_now();
                }
                server.invoke("ops_signing_key_rotate", &json!({})).data();
            }
        });
        // The callers end, whatever became of it.
        let rotated = rotating.join();
        stop.store(true, Ordering::SeqCst);
        rotated.expect("all rotations were answered");
    });
    let listed = server.invoke("ops_signing_key_list", &json!({})).data();
    assert_eq!(ids(&listed).len(), 9);
}

#[test]
fn keys_with_ids_go_into_a_backup_with_keys_and_out_of_one_without_come_new_ones() {
    let scratch = tempfile::tempdir().expect("a directory");
    let at = |name: &str| scratch.path().join(name);
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let mut server = start(&at("data"), &clock);
    server.operator("ops_signing_key_rotate", &json!({})).data();
    let given = give(&server, "a");
    for (backup, more) in [("with", "--with-keys"), ("without", "")] {
        let line = format!(
            "backup create {} --data-dir {} --operator-url {} {more}",
            at(backup).display(),
            server.dir.display(),
            server.operator_url
        );
        assert_eq!(g3n(&line, &server.dir, &[], b"").code, 0);
    }
    let listed = server.operator("ops_signing_key_list", &json!({})).data();
    server.stop();
    for (backup, wanted) in [("with", [200; 4]), ("without", [403, 400, 403, 400])] {
        let dir = at(&format!("restored-{backup}"));
        let line = format!(
            "backup restore {} --data-dir {}",
            at(backup).display(),
            dir.display()
        );
        assert_eq!(g3n(&line, Path::new("/"), &[], b"").code, 0);
        let server = start(&dir, &clock);
        assert_eq!(used(&server, "a", &given), wanted, "{backup}");
        assert_eq!(used(&server, "n", &give(&server, "n")), [200; 4]);
        let now = server.operator("ops_signing_key_list", &json!({})).data();
        assert_eq!(ids(&now)[0], ids(&listed)[0], "what the journal says");
        let mode = fs::metadata(dir.join(RING)).expect("keys").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }
}

#[test]
fn the_command_line_rotates_and_lists_and_shows_no_key() {
    let server = Server::start();
    let run = |line: &str| {
        let line = format!(
            "{line} --config {}",
            server.dir.join("profiles.toml").display()
        );
        g3n(&line, &server.dir, &[("G3N_PROFILE", "dev")], b"")
    };
    let rotated = run("ops signing-key-rotate --actor ann --output json");
    assert_eq!(rotated.code, 0, "{rotated:?}");
    let ended = run("ops signing-key-rotate --at-once --reason leaked --output json");
    let listed = run("ops signing-key-list --output json");
    assert_eq!(ids(&ended.json()["data"]), ids(&listed.json()["data"]));
    assert_eq!(listed.json()["data"]["items"][0]["status"], "signing");
    let file = fs::read_to_string(server.dir.join(RING)).expect("keys");
    let file: Value = serde_json::from_str(&file).expect("JSON");
    let key = file["keys"][0]["key"].as_str().expect("bytes");
    for ran in [&rotated, &ended, &listed] {
        assert!(!format!("{ran:?}").contains(key));
    }
}

#[test]
fn new_key_files_for_a_journal_that_is_there_are_told_of_at_start() {
    let scratch = tempfile::tempdir().expect("a directory");
    let mut server = Server::start_in(scratch.path(), &[]);
    assert_eq!(server.end("TERM"), Some(0));
    assert!(
        !server.told().contains("start_warning"),
        "they belong to it"
    );
    let mut server = Server::start_in(scratch.path(), &[]);
    assert_eq!(server.end("TERM"), Some(0));
    assert!(!server.told().contains("start_warning"), "they are there");
    fs::remove_file(scratch.path().join("keys/signing.key")).expect("it is there");
    let mut server = Server::start_in(scratch.path(), &[]);
    assert_eq!(server.end("TERM"), Some(0));
    let told = server.told();
    let lines = told.lines().filter(|line| line.contains("start_warning"));
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines.len(), 1, "{told}");
    let line: Value = serde_json::from_str(lines[0]).expect("JSON");
    assert_eq!(
        (&line["cause"], &line["level"]),
        (&json!("keys-are-new"), &json!("error"))
    );
}
