//! The fold of `examples/journal-fold`, held against what a server lists after thousands of random operations.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use metarecord::clock::Clock;
use metarecord::domain::{Md5, Timestamp};
use serde_json::{Value, json};

use super::page::root;
use crate::support::dice::Dice;
use crate::support::eventually;
use crate::support::inside::{Inside, START_MS};

const ORGS: [&str; 3] = ["DEMO", "ACME", "OTHER"];
const CONTAINERS: [&str; 2] = ["notes", "files"];
const RECORDS: u64 = 30;
const OPERATIONS: u32 = 3_000;
/// Between two comparisons.
const ROUND: u32 = 600;
/// How often the two are compared when a job writes in between.
const TRIES_MAX: u32 = 20;
const MINUTE_MS: i64 = 60_000;
const PAGE: usize = 256;

/// What an operation came to, by its kind: how often it was carried out, and how often refused.
type Tally = BTreeMap<&'static str, (u32, u32)>;

/// An upload that was promised.
struct Promised {
    subject: Value,
    path: String,
    token: String,
    bytes: Vec<u8>,
}

struct World {
    server: Inside,
    owner: String,
    dice: Dice,
    uploads: Vec<Promised>,
    tally: Tally,
}

fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("in memory");
    encoder.finish().expect("in memory")
}

fn with(subject: &Value, more: Value) -> Value {
    let mut all = subject.clone();
    let (Some(into), Value::Object(more)) = (all.as_object_mut(), more) else {
        panic!("objects");
    };
    into.extend(more);
    all
}

impl World {
    fn open(dir: &Path) -> Self {
        let clock = Clock::manual(Timestamp::from_millis(START_MS));
        let sets = [
            "limits.principal_per_second=0",
            "limits.org_per_second=0",
            "limits.address_per_second=0",
            // A vacuum sleeps so long, whatever the clock is moved by.
            "ops.vacuum_pending_seconds=1",
        ];
        let server = Inside::start_by(dir, clock, &sets);
        let facts = std::fs::read(dir.join("dev.json")).expect("dev.json is there");
        let facts: Value = serde_json::from_slice(&facts).expect("dev.json is JSON");
        let owner = facts["user_id"].as_str().expect("a user").to_owned();
        let mut world = Self {
            server,
            owner,
            dice: Dice::new(15),
            uploads: Vec::new(),
            tally: Tally::new(),
        };
        for org in &ORGS[1..] {
            world.make_org(org);
        }
        world
    }

    fn make_org(&mut self, org: &str) {
        let asked = json!({"orgcode": org, "owner_user_id": self.owner});
        self.server.operator("ofm_org_create", &asked).data();
    }

    fn pick<'a>(&mut self, among: &[&'a str]) -> &'a str {
        among[self.dice.below(among.len() as u64) as usize]
    }

    fn subject(&mut self) -> Value {
        let (org, container) = (self.pick(&ORGS), self.pick(&CONTAINERS));
        let record = format!("r-{}", self.dice.below(RECORDS));
        json!({"orgcode": org, "container": container, "record_id": record})
    }

    /// The revision of a record, if there is one.
    fn revision(&self, subject: &Value) -> Option<u64> {
        let text = |name: &str| subject[name].as_str().expect("text").to_owned();
        let path = format!(
            "/mrs/record/meta?orgcode={}&container={}&record_id={}&include_doomed=true",
            text("orgcode"),
            text("container"),
            text("record_id")
        );
        self.server.get(&path).json()["revision"].as_u64()
    }

    fn note(&mut self, kind: &'static str, is_done: bool) {
        let counted = self.tally.entry(kind).or_default();
        if is_done {
            counted.0 += 1;
        } else {
            counted.1 += 1;
        }
    }

    /// A change of a record at the revision that it has.
    fn change(&mut self, kind: &'static str, path: &str, more: Value) -> Option<Value> {
        let subject = self.subject();
        let mut asked = with(&subject, more);
        if let Some(revision) = self.revision(&subject) {
            asked["expected_revision"] = json!(revision);
        }
        let got = self.server.post(path, &asked);
        self.note(kind, got.status == 200);
        (got.status == 200).then(|| with(&subject, json!({"answer": got.data()})))
    }

    fn later(&mut self) -> String {
        let wait = (self.dice.below(90) + 1) as i64 * MINUTE_MS;
        self.server.clock.now().plus_millis(wait).to_string()
    }

    fn some_tags(&mut self) -> Vec<&'static str> {
        ["red", "green", "Blue", "x1"]
            .into_iter()
            .filter(|_| self.dice.below(2) == 0)
            .collect()
    }

    /// What a put may bring besides its content.
    fn extras(&mut self) -> Value {
        let mut extras = json!({});
        if self.dice.below(3) == 0 {
            extras["tags"] = json!(self.some_tags());
        }
        if self.dice.below(6) == 0 {
            extras["doom_at"] = json!(self.later());
        }
        if self.dice.below(3) == 0 {
            extras["cccode"] = json!(self.pick(&["AB12-CD34-EF56", "ZZ00-ZZ00-ZZ00"]));
        }
        extras
    }

    fn put_inline(&mut self) {
        let extras = self.extras();
        let payload =
            json!({"content_type": "application/json", "payload": {"n": self.dice.below(1_000)}});
        self.change("put", "/mrs/record", with(&payload, extras));
    }

    fn promise(&mut self) {
        let bytes = gzip(&format!("content {}", self.dice.below(1_000_000)));
        let promise = json!({"mode": "presign", "content_type": "text/plain", "size": bytes.len(),
            "content_encoding": "gzip", "content_md5": Md5::of(&bytes).to_string()});
        let extras = self.extras();
        let Some(subject) = self.change("promise", "/mrs/record", with(&promise, extras)) else {
            return;
        };
        let answer = &subject["answer"];
        let url = answer["upload"]["url"].as_str().expect("a url");
        let path = url
            .strip_prefix(&self.server.base_url)
            .expect("of this server")
            .to_owned();
        let token = answer["content_token"]
            .as_str()
            .expect("a token")
            .to_owned();
        self.uploads.push(Promised {
            subject,
            path,
            token,
            bytes,
        });
    }

    /// Completes one of the promised uploads, or tries to.
    fn complete(&mut self) {
        if self.uploads.is_empty() {
            return;
        }
        let newest = self.uploads.len() - 1;
        let any = self.dice.below(self.uploads.len() as u64) as usize;
        let at = if self.dice.below(4) == 0 { any } else { newest };
        let upload = self.uploads.swap_remove(at);
        let sent = self.server.put_bytes(&upload.path, &upload.bytes).status == 200;
        let subject = &upload.subject;
        let asked = json!({"orgcode": subject["orgcode"], "container": subject["container"],
            "record_id": subject["record_id"], "content_token": upload.token, "size": upload.bytes.len(),
            "content_md5": Md5::of(&upload.bytes).to_string()});
        let is_done = self.server.post("/mrs/record/complete", &asked).status == 200;
        self.note("complete", sent && is_done);
    }

    fn legal_hold(&mut self) {
        let function = self.pick(&["mrs_hold_set", "mrs_hold_release", "mrs_hold_release"]);
        let mut asked = json!({"orgcode": self.pick(&ORGS), "reason": "a lawsuit"});
        if self.dice.below(3) > 0 {
            asked["container"] = json!(self.pick(&CONTAINERS));
        }
        let is_done = self.server.operator(function, &asked).status == 200;
        self.note(function, is_done);
    }

    /// Jobs and operators' upkeep, which remove what has ended.
    fn upkeep(&mut self) {
        let job = self.pick(&["ttl-sweep", "abandoned-uploads", "tag-scrub", "cleanup"]);
        let ran = self
            .server
            .operator("jobs_run", &json!({"job": job}))
            .status
            == 200;
        let asked = json!({"orgcode": self.pick(&ORGS), "container": self.pick(&CONTAINERS), "mode": "repair"});
        let mended = self.server.operator("mrs_reconcile", &asked).status == 200;
        self.note("upkeep", ran && mended);
    }

    fn wait(&mut self) {
        let minutes = [1, 7, 30, 200][self.dice.below(4) as usize];
        self.server.clock.advance(minutes * MINUTE_MS);
        self.note("wait", true);
    }

    /// Takes every hold off an org and its records.
    fn release_all(&self, org: &str) {
        for container in [None, Some("notes"), Some("files")] {
            let mut released = json!({"orgcode": org});
            if let Some(container) = container {
                released["container"] = json!(container);
            }
            // One that is not held is refused.
            self.server.operator("mrs_hold_release", &released);
        }
        for record in self
            .listed(org)
            .iter()
            .filter(|record| record["hold"].is_object())
        {
            let asked = json!({"orgcode": org, "container": record["container"],
                "record_id": record["record_id"], "expected_revision": record["revision"]});
            self.server.post("/mrs/hold/release", &asked);
        }
    }

    /// Erases an org or everything, and makes the orgs again.
    fn vacuum(&mut self) {
        let org = self.pick(&ORGS[1..]);
        let (function, asked) = if self.dice.below(5) == 0 {
            let phrase = "VACUUM ALL DATA PERMANENTLY";
            let all = json!({"reason": "a new start", "confirmation_phrase": phrase, "override_holds": true});
            ("ops_vacuum_all", all)
        } else {
            if self.dice.below(3) > 0 {
                self.release_all(org);
            }
            let of_org = json!({"orgcode": org, "reason": "its contract has ended"});
            ("ops_vacuum_org", of_org)
        };
        let id = self.server.invoke(function, asked).data()["vacuum_id"].clone();
        self.server.clock.advance(2_000);
        eventually("the vacuum is over", || {
            // Its steps wait by the clock.
            self.server.clock.advance(1_000);
            let status = self
                .server
                .operator("ops_vacuum_status", &json!({"vacuum_id": id}))
                .data();
            status["status"] == "completed"
        });
        self.note(function, true);
        eventually("the development org is there again", || {
            self.server.get("/mrs/list?orgcode=DEMO").status == 200
        });
        for org in &ORGS[1..] {
            // One that was not erased, or that what is held keeps, is there.
            let asked = json!({"orgcode": org, "owner_user_id": self.owner});
            let is_made = self.server.operator("ofm_org_create", &asked).status == 200;
            self.note("org made again", is_made);
        }
    }

    fn operation(&mut self) {
        match self.dice.below(100) {
            0..22 => self.put_inline(),
            22..38 => self.promise(),
            38..50 => self.complete(),
            50..60 => drop(self.change("doom", "/mrs/doom", json!({"reason": "done"}))),
            60..68 => {
                let tags = self.some_tags();
                self.change("tag-add", "/mrs/tag/add", json!({"tags": tags}));
            }
            68..74 => {
                let tags = self.some_tags();
                self.change("tag-remove", "/mrs/tag/remove", json!({"tags": tags}));
            }
            74..80 => {
                let doom_at = (self.dice.below(3) > 0).then(|| self.later());
                self.change("ttl", "/mrs/ttl/set", json!({"doom_at": doom_at}));
            }
            80..85 => drop(self.change("hold", "/mrs/hold/set", json!({"reason": "an audit"}))),
            85..89 => drop(self.change("release", "/mrs/hold/release", json!({}))),
            89..92 => self.legal_hold(),
            92..94 => self.upkeep(),
            94..99 => self.wait(),
            _ => {
                if self.dice.below(4) == 0 {
                    self.vacuum();
                }
            }
        }
    }

    /// Every record of an org that the server lists.
    fn listed(&self, org: &str) -> Vec<Value> {
        let first = format!("/mrs/list?orgcode={org}&status=all&limit={PAGE}");
        let (mut all, mut path) = (Vec::new(), first.clone());
        loop {
            let page = self.server.get(&path).data();
            all.extend(page["items"].as_array().expect("items").iter().cloned());
            let Some(next) = page["next_token"].as_str() else {
                return all;
            };
            path = format!("{first}&next_token={next}");
        }
    }

    /// Compares the fold with the list. A job may write between the two, so a difference counts once it stays.
    fn compare(&self) -> usize {
        let journal = self.server.dir.join("journal");
        let both = || {
            let orgs = ["ACME", "DEMO", "OTHER"].iter();
            let listed: Vec<Value> = orgs.flat_map(|org| self.listed(org)).collect();
            (listed, fold(&journal, &self.server.clock.now().to_string()))
        };
        let mut tries = (0..TRIES_MAX).map(|_| both());
        let agree = tries.find(|(listed, folded)| listed == folded);
        let (listed, folded) = agree.unwrap_or_else(both);
        for (listed, folded) in listed.iter().zip(&folded) {
            assert_eq!(listed, folded);
        }
        assert_eq!(listed.len(), folded.len());
        listed.len()
    }
}

/// What the script prints.
fn fold(journal: &Path, at: &str) -> Vec<Value> {
    let script = root().join("examples/journal-fold/journal_fold.py");
    let mut command = Command::new("python3");
    let output = command
        .arg(script)
        .arg(journal)
        .args(["--at", at])
        .output()
        .expect("python3 runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// Each stream that can be read has every version from 1 on, also one that was made again after an erasure.
fn streams_begin_at_one(journal: &Path) {
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    let mut erased = 0;
    for entry in metarecord::journal::replay::replay(journal).expect("a journal") {
        let Some(body) = entry.expect("a good entry").body else {
            erased += 1;
            continue;
        };
        let last = versions.entry(body.stream.to_string()).or_default();
        *last += 1;
        assert_eq!(body.version, *last, "{}", body.stream);
    }
    assert!(erased > 100, "{erased} erased entries");
}

/// What is exported to be read has no key that the page does not describe.
fn exported_keys_are_on_the_page(dir: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_g3n"));
    command
        .args(["journal", "export", "--format", "jsonl", "--data-dir"])
        .arg(dir);
    let output = command.output().expect("it runs");
    let lines = String::from_utf8(output.stdout).expect("text");
    let keys: std::collections::BTreeSet<String> = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .flat_map(|entry| {
            entry
                .as_object()
                .map(|entry| entry.keys().cloned().collect::<Vec<_>>())
        })
        .flatten()
        .collect();
    assert!(
        keys.contains("erased_by") && keys.contains("payload_text"),
        "{keys:?}"
    );
    let page = std::fs::read_to_string(root().join("docs/journal-format.md")).expect("the page");
    let (_, section) = page
        .split_once("## An exported journal")
        .expect("the section");
    for key in keys {
        assert!(section.contains(&format!("`{key}`")), "{key}");
    }
}

#[test]
fn the_fold_by_the_page_agrees_with_what_a_server_lists() {
    let scratch = tempfile::tempdir().expect("a directory");
    let mut world = World::open(scratch.path());
    let mut records = 0;
    for number in 1..=OPERATIONS {
        world.operation();
        if number % ROUND == 0 {
            records = world.compare();
        }
    }
    let lowest = world
        .tally
        .iter()
        .map(|(kind, (done, _))| (done, kind))
        .min();
    println!(
        "{records} records after {OPERATIONS} operations: {:?}",
        world.tally
    );
    assert!(
        lowest.is_some_and(|(done, _)| *done > 0),
        "{:?}",
        world.tally
    );
    for kind in [
        "put",
        "promise",
        "complete",
        "doom",
        "ttl",
        "hold",
        "ops_vacuum_org",
        "ops_vacuum_all",
        "org made again",
    ] {
        assert!(world.tally.contains_key(kind), "{kind}: {:?}", world.tally);
    }
    let journal = world.server.dir.join("journal");
    streams_begin_at_one(&journal);
    exported_keys_are_on_the_page(&world.server.dir);
    let at = world.server.clock.now().to_string();
    let statuses: std::collections::BTreeSet<String> = fold(&journal, &at)
        .iter()
        .map(|record| format!("{} {}", record["status"], record["doom_cause"]))
        .collect();
    for wanted in [
        "\"active\" null",
        "\"doomed\" \"request\"",
        "\"doomed\" \"ttl\"",
        "\"doomed\" \"abandoned\"",
    ] {
        assert!(statuses.contains(wanted), "{wanted}: {statuses:?}");
    }
}
