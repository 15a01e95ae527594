//! Isolation as a property: random orgs, members, keys, records, uploads and calls against a small model. No call ever returns or
//! changes what is another org's, and nothing one org was given is of use in another.

mod uploads;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::{ProptestConfig, Strategy, prop, prop_oneof};
use proptest::strategy::Just;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use metarecord::clock::Clock;
use metarecord::domain::Timestamp;

use super::{Person, Town};
use crate::support::Got;
use crate::support::inside::{Inside, START_MS};
use uploads::{Carrying, Uploads};

/// Histories in all.
const HISTORIES: u32 = 2_000;
/// Histories whose requests are made by another surface of the server: the rules behind are the same.
const HISTORIES_WITHIN: u32 = 400;
/// Threads that share them.
const THREADS: u32 = 4;
/// People, who are the same in every history; orgs are new in each.
const PEOPLE: usize = 4;
const ORGS: usize = 2;
/// Callers: people, then a key for each org.
const CALLERS: usize = PEOPLE + ORGS;

/// How a caller belongs to an org.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Belongs {
    Not,
    Reads,
    Writes,
}

/// What a caller does, and in which org.
#[derive(Clone, Copy, Debug)]
enum Act {
    Put(u8),
    Get(u8),
    Meta(u8),
    Tag(u8),
    Doom(u8),
    List,
    /// Put with an idempotency key that every caller uses.
    PutOnce(u8),
    /// Goes on with the token that the other org's list gave.
    ForeignCursor,
    /// Something with presigned urls.
    RecordRequest(Carrying),
    /// Names one org in the body and the other in the header.
    TwoOrgs,
}

#[derive(Clone, Debug)]
struct History {
    /// By org: the other person who is a member, if any.
    members: [Option<usize>; ORGS],
    /// By org: whether its key writes.
    writers: [bool; ORGS],
    calls: Vec<(usize, usize, Act)>,
}

fn history() -> impl Strategy<Value = History> {
    let record = || 0..3_u8;
    let act = prop_oneof![
        4 => record().prop_map(Act::Put),
        3 => record().prop_map(Act::Get),
        1 => record().prop_map(Act::Meta),
        1 => record().prop_map(Act::Tag),
        1 => record().prop_map(Act::Doom),
        3 => Just(Act::List),
        2 => record().prop_map(Act::PutOnce),
        1 => Just(Act::ForeignCursor),
        9 => carrying().prop_map(Act::RecordRequest),
        1 => Just(Act::TwoOrgs),
    ];
    let call = (0..CALLERS, 0..ORGS, act);
    let member = || prop::option::of(0..PEOPLE);
    let members = (member(), member());
    let writers = (prop::bool::ANY, prop::bool::ANY);
    let calls = prop::collection::vec(call, 4..14);
    (members, writers, calls).prop_map(|(members, writers, calls)| History {
        members: members.into(),
        writers: writers.into(),
        calls,
    })
}

fn carrying() -> impl Strategy<Value = Carrying> {
    let (record, given) = (|| 0..2_u8, || 0..4_u8);
    prop_oneof![
        2 => record().prop_map(Carrying::Promise),
        2 => given().prop_map(Carrying::Upload),
        1 => given().prop_map(Carrying::UploadOther),
        3 => given().prop_map(Carrying::Complete),
        3 => record().prop_map(Carrying::Store),
        3 => record().prop_map(Carrying::Download),
        1 => given().prop_map(Carrying::Again),
        1 => given().prop_map(Carrying::Altered),
    ]
}

/// A record in the model: what it says, and whether it is doomed.
type Known = BTreeMap<(usize, u8), (Value, bool)>;

/// Whether a caller may not do something, because of `out`. The answer is held against that, and tells nothing.
fn is_kept_out(out: Option<(u16, &'static str)>, got: &Got, told: &str) -> bool {
    let Some(out) = out else { return false };
    let (status, tag, _) = got.refusal();
    assert_eq!((status, tag.as_str()), out, "{told}");
    assert!(!got.json().to_string().contains("secret of"), "{told}");
    true
}

struct World<'a> {
    town: &'a Town,
    history: &'a History,
    orgs: [String; ORGS],
    credentials: Vec<(&'static str, String)>,
    known: Known,
    uploads: Uploads,
}

impl<'a> World<'a> {
    /// Each org is owned by a person of its own.
    fn make(town: &'a Town, people: &[Person], history: &'a History, number: usize) -> Self {
        let orgs = ["A", "B"].map(|letter| format!("{letter}{number}"));
        let mut credentials: Vec<_> = people
            .iter()
            .map(|person| ("x-session-guid", person.session.clone()))
            .collect();
        for (number, org) in orgs.iter().enumerate() {
            let owner = &people[number];
            town.org(org, owner);
            if let Some(member) = history.members[number] {
                town.join(owner, org, &people[member], "owner");
            }
            let role = if history.writers[number] {
                "mrs_writer"
            } else {
                "mrs_reader"
            };
            credentials.push(("x-api-key", town.key(owner, org, role).2));
        }
        Self {
            town,
            history,
            orgs,
            credentials,
            known: Known::new(),
            uploads: Uploads::default(),
        }
    }

    fn belongs(&self, caller: usize, org: usize) -> Belongs {
        let mine = match caller.checked_sub(PEOPLE) {
            None => caller == org || self.history.members[org] == Some(caller),
            Some(of) => of == org,
        };
        let writes = caller < PEOPLE || self.history.writers[org];
        match (mine, writes) {
            (false, _) => Belongs::Not,
            (true, false) => Belongs::Reads,
            (true, true) => Belongs::Writes,
        }
    }

    fn call(&self, caller: usize, method: &str, path: &str, body: Option<&Value>) -> Got {
        let (name, secret) = &self.credentials[caller];
        self.town
            .server
            .call(method, path, &[(*name, secret)], body)
    }

    fn get(&self, caller: usize, route: &str, org: usize, record: u8) -> Got {
        let path = format!(
            "/mrs/{route}?orgcode={}&container=notes&record_id=r{record}",
            self.orgs[org]
        );
        self.call(caller, "GET", &path, None)
    }

    fn record(&self, org: usize, record: u8) -> Value {
        json!({"orgcode": self.orgs[org], "container": "notes", "record_id": format!("r{record}")})
    }

    /// The answer to callers who may not do it; `None` for who may.
    fn kept_out(&self, caller: usize, org: usize, writes: bool) -> Option<(u16, &'static str)> {
        match self.belongs(caller, org) {
            Belongs::Not => Some((404, "not-found")),
            Belongs::Reads if writes => Some((403, "not-authorized")),
            Belongs::Reads | Belongs::Writes => None,
        }
    }

    fn act(&mut self, caller: usize, org: usize, act: Act, number: usize) {
        let writes = !matches!(
            act,
            Act::Get(_) | Act::Meta(_) | Act::List | Act::ForeignCursor | Act::TwoOrgs
        );
        let told = format!(
            "{act:?} in org {org} by caller {caller}: {:?}",
            self.history
        );
        let out = self.kept_out(caller, org, writes);
        let check = |got: &Got| !is_kept_out(out, got, &told);
        match act {
            Act::Put(record) => self.put(caller, org, record, number, None, &check),
            Act::PutOnce(record) => self.put(caller, org, record, number, Some("same key"), &check),
            Act::Get(record) => {
                let got = self.get(caller, "record", org, record);
                if check(&got) {
                    match self.known.get(&(org, record)) {
                        Some((content, false)) => {
                            assert_eq!(&got.data()["content"], content, "{told}");
                        }
                        // Doomed ones are left out.
                        Some((_, true)) | None => assert_eq!(got.refusal().0, 404, "{told}"),
                    }
                }
            }
            Act::Meta(record) => {
                let got = self.get(caller, "record/meta", org, record);
                if check(&got) {
                    let known = self.known.get(&(org, record));
                    let there = known.is_some_and(|(_, doomed)| !doomed);
                    assert_eq!(got.status, if there { 200 } else { 404 }, "{told}");
                }
            }
            Act::Tag(record) | Act::Doom(record) => {
                let mut body = self.record(org, record);
                let path = match act {
                    Act::Tag(_) => "/mrs/tag/add",
                    _ => "/mrs/doom",
                };
                if matches!(act, Act::Tag(_)) {
                    body["tags"] = json!([format!("T{number}")]);
                }
                let meta = self.get(org, "record/meta", org, record);
                body["expected_revision"] = match meta.status {
                    200 => meta.data()["revision"].clone(),
                    _ => json!(1),
                };
                let got = self.call(caller, "POST", path, Some(&body));
                if check(&got) && got.status == 200 && matches!(act, Act::Doom(_)) {
                    let known = self.known.get_mut(&(org, record));
                    known.expect("what was doomed was there").1 = true;
                }
            }
            Act::List => {
                let path = format!(
                    "/mrs/list?orgcode={}&container=notes&status=all&limit=256",
                    self.orgs[org]
                );
                let got = self.call(caller, "GET", &path, None);
                if check(&got) {
                    let items = got.data()["items"].as_array().expect("items").clone();
                    let ids: Vec<_> = items
                        .iter()
                        .map(|item| item["record_id"].as_str().expect("an id").to_owned())
                        .collect();
                    let known = self.known.keys().filter(|(of, _)| *of == org);
                    let known: Vec<_> = known.map(|(_, record)| format!("r{record}")).collect();
                    assert_eq!(ids, known, "{told}");
                }
            }
            Act::ForeignCursor => {
                let other = 1 - org;
                let path = |org: usize| {
                    format!(
                        "/mrs/list?orgcode={}&container=notes&status=all&limit=1",
                        self.orgs[org]
                    )
                };
                let page = self.call(other, "GET", &path(other), None).data();
                if let Some(token) = page["next_token"].as_str() {
                    let got = self.call(
                        caller,
                        "GET",
                        &format!("{}&next_token={token}", path(org)),
                        None,
                    );
                    if check(&got) {
                        assert_eq!(got.refusal().1, "invalid-next-token", "{told}");
                    }
                }
            }
            Act::RecordRequest(what) => self.execute((caller, org), what, &told),
            Act::TwoOrgs => {
                let path = format!("/mrs/list?orgcode={}", self.orgs[org]);
                let (name, secret) = &self.credentials[caller];
                let headers = [
                    (*name, secret.as_str()),
                    ("x-orgcode", self.orgs[1 - org].as_str()),
                ];
                let got = self.town.server.call("GET", &path, &headers, None);
                assert_eq!(
                    got.refusal(),
                    (
                        400,
                        "invalid-input".to_owned(),
                        "context-mismatch".to_owned()
                    ),
                    "{told}"
                );
            }
        }
    }

    fn put(
        &mut self,
        caller: usize,
        org: usize,
        record: u8,
        number: usize,
        once: Option<&str>,
        check: &dyn Fn(&Got) -> bool,
    ) {
        let content = json!({"said": format!("secret of {org}, record {record}, call {number}")});
        let mut body = self.record(org, record);
        body["content_type"] = json!("application/json");
        body["payload"] = content.clone();
        body["tags"] = json!(["all"]);
        if let Some(key) = once {
            body["idempotency_key"] = json!(key);
        } else if self
            .known
            .get(&(org, record))
            .is_some_and(|(_, doomed)| !doomed)
        {
            let meta = self.get(org, "record/meta", org, record).data();
            body["expected_revision"] = meta["revision"].clone();
        }
        let got = self.call(caller, "POST", "/mrs/record", Some(&body));
        if check(&got) && got.status == 200 {
            assert_eq!(got.data()["orgcode"], self.orgs[org]);
            if got.header("idempotent-replay").is_none() {
                self.known.insert((org, record), (content, false));
            }
        }
    }
}

#[test]
fn no_org_ever_sees_or_changes_what_is_anothers() {
    try_histories(HISTORIES, false);
}

#[test]
fn nor_does_one_by_another_surface_of_the_server() {
    try_histories(HISTORIES_WITHIN, true);
}

/// Tries that many histories, on connections or within other requests.
fn try_histories(histories: u32, within: bool) {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    // Thousands of calls by few, while the clock stands still: limits have tests of their own.
    let limits = [
        "limits.principal_per_second=0",
        "limits.address_per_second=0",
    ];
    let clock = Clock::manual(Timestamp::from_millis(START_MS));
    let mut server = Inside::start_by(scratch.path(), clock, &limits);
    server.within = within;
    let town = Town { server };
    let people: Vec<_> = (0..PEOPLE)
        .map(|number| town.person(&format!("p{number}")))
        .collect();
    let next = AtomicUsize::new(0);
    let run = || {
        let config = ProptestConfig {
            cases: histories / THREADS,
            failure_persistence: None,
            max_shrink_time: 20_000,
            ..ProptestConfig::default()
        };
        let mut runner = TestRunner::new(config);
        let outcome = runner.run(&history(), |history| {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let mut world = World::make(&town, &people, &history, number);
            for (number, (caller, org, act)) in history.calls.iter().enumerate() {
                world.act(*caller, *org, *act, number);
            }
            world.check_uploads();
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{error}");
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(run);
        }
    });
    assert!(next.load(Ordering::Relaxed) >= histories as usize);
}
