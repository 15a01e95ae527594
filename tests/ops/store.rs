//! Vacuums of random stores: a dry run tells what the real run erases, and nothing else is touched.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use metarecord::actors::vacuum::VacuumOrder;
use metarecord::actors::{RecordRequest, Refused, Requested};
use metarecord::clock::random_uuid;
use metarecord::content::{ObjectName, Promise};
use metarecord::domain::container::Idempotency;
use metarecord::domain::record::{
    Complete, ContentPlace, InlineJson, NewContent, Put, Record, RecordCommand, RecordKey,
};
use metarecord::domain::vacuum::{Amount, Scope, Vacuum, VacuumStatus};
use metarecord::domain::{
    ContainerName, ErrorTag, Md5, OrgCode, RecordId, Rejection, StreamId, Tag,
};
use metarecord::journal::verify::verify;
use metarecord::journal::{Remarks, Source};
use metarecord::projections::{RecordName, Runner, Store, generation, ops, records};
use proptest::prelude::{ProptestConfig, Strategy, prop, prop_oneof, proptest};
use proptest::strategy::Just;
use uuid::Uuid;

use super::world::{PENDING_MS, World, wait, within};
use crate::support::eventually;

pub(super) const ORGS: [&str; 3] = ["CANARYONE", "CANARYTWO", "G3NMHSADMIN-X"];
pub(super) const CONTAINERS: [&str; 3] = ["notes", "blobs", "g3nmhsadmin-box"];

/// One thing in a store.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// Inline content of so many bytes, put once or twice.
    Inline(usize, bool),
    /// An upload, completed or not.
    Upload(usize, bool),
    /// A record that was doomed.
    Doomed,
    /// A remembered refusal.
    Refusal,
}

pub(super) type Item = (usize, usize, What);

fn item() -> impl Strategy<Value = Item> {
    let what = prop_oneof![
        (1_usize..400, prop::bool::ANY).prop_map(|(bytes, twice)| What::Inline(bytes, twice)),
        (1_usize..4000, prop::bool::ANY).prop_map(|(bytes, done)| What::Upload(bytes, done)),
        Just(What::Doomed),
        Just(What::Refusal),
    ];
    (0..ORGS.len(), 0..CONTAINERS.len(), what)
}

pub(super) fn org(number: usize) -> OrgCode {
    OrgCode::parse(ORGS[number]).expect("an org code")
}

/// A text that tells whose it is, wherever it turns up.
pub(super) fn canary(org: &str, container: &str) -> String {
    format!("canary-{}-{container}", org.to_lowercase())
}

fn execute(
    world: &World,
    key: &RecordKey,
    command: Requested,
    payload: Option<InlineJson>,
) -> Option<Record> {
    let refused = matches!(command, Requested::AlreadyRefused(_));
    let execute = RecordRequest {
        key: key.clone(),
        command,
        payload,
        idempotency: Some(Idempotency {
            scope: random_uuid().simple().to_string().repeat(2),
            fingerprint: "f".repeat(64),
        }),
        by: canary(key.org.as_str(), key.container.as_str()),
        request_id: "r".to_owned(),
        source: Source::Gateway,
        remarks: Remarks::default(),
    };
    let answer = wait(world.registry.execute(execute));
    assert_eq!(answer.is_err(), refused, "{answer:?}");
    answer.ok().map(|executed| executed.record)
}

fn put(content: NewContent, expected: Option<&Record>) -> RecordCommand {
    RecordCommand::Put(Put {
        cccode: None,
        tags: Some(vec![Tag::parse("CANARYTAG").expect("a tag")]),
        doom_at: None,
        content,
        expected: expected.map(|record| record.revision),
    })
}

pub(super) fn inline(
    world: &World,
    key: &RecordKey,
    bytes: usize,
    before: Option<&Record>,
) -> Record {
    let text = canary(key.org.as_str(), key.container.as_str()).repeat(bytes.div_ceil(30));
    let payload = InlineJson::parse(format!("{text:?}")).expect("JSON");
    let content = payload.content();
    execute(world, key, put(content, before).into(), Some(payload)).expect("a record")
}

pub(super) fn upload(world: &World, key: &RecordKey, bytes: usize, done: bool) {
    let text = canary(key.org.as_str(), key.container.as_str());
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder
        .write_all(text.repeat(bytes.div_ceil(30)).as_bytes())
        .expect("in memory");
    let gz = encoder.finish().expect("in memory");
    let (size, md5, object_id) = (gz.len() as u64, Md5::of(&gz), random_uuid());
    let content = NewContent::Upload {
        content_type: "text/plain".to_owned(),
        size,
        md5,
        object_id,
        expires_at: world.clock.now().plus_millis(60_000),
    };
    execute(world, key, put(content, None).into(), None);
    let object = ObjectName {
        org: key.org.clone(),
        object_id,
    };
    let mut receiving = world
        .content
        .receive(
            &object,
            Promise {
                size,
                md5,
                sha256: None,
                decoded_bytes_max: None,
            },
        )
        .expect("begun");
    receiving.take(&gz).expect("taken");
    receiving.keep().expect("kept");
    if done {
        let sealed = world.content.seal(&object).expect("sealed");
        let complete = RecordCommand::Complete(Complete {
            object_id,
            size,
            md5,
            uploaded_size: Some(size),
            sealed: sealed
                .map(|sealed| metarecord::testing::sealed(object_id, size, sealed.sha256)),
            content_version: None,
            expected: None,
        });
        execute(world, key, complete.into(), None);
    }
}

pub(super) fn fill(world: &World, items: &[Item]) {
    for number in 0..ORGS.len() {
        world.make_org(&org(number));
    }
    for (number, (of, container, what)) in items.iter().enumerate() {
        let key = RecordKey {
            org: org(*of),
            container: ContainerName::parse(CONTAINERS[*container]).expect("a name"),
            record_id: RecordId::parse(&format!(
                "{}-{number}",
                canary(ORGS[*of], CONTAINERS[*container])
            ))
            .expect("an id"),
        };
        match what {
            What::Inline(bytes, twice) => {
                let record = inline(world, &key, *bytes, None);
                if *twice {
                    inline(world, &key, *bytes, Some(&record));
                }
            }
            What::Upload(bytes, done) => upload(world, &key, *bytes, *done),
            What::Doomed => {
                let record = inline(world, &key, 10, None);
                let doom = RecordCommand::Doom {
                    reason: Some(canary(ORGS[*of], CONTAINERS[*container])),
                    expected: Some(record.revision),
                };
                execute(world, &key, doom.into(), None);
            }
            What::Refusal => {
                let rejection = Rejection::new(
                    ErrorTag::InvalidTag,
                    canary(ORGS[*of], CONTAINERS[*container]),
                );
                execute(world, &key, Requested::AlreadyRefused(rejection), None);
            }
        }
    }
}

/// Puts a new record into an org's first container.
pub(super) fn try_put(world: &World, of: usize) -> Result<(), Refused> {
    let key = RecordKey {
        org: org(of),
        container: ContainerName::parse(CONTAINERS[0]).expect("a name"),
        record_id: RecordId::parse(&random_uuid().to_string()).expect("an id"),
    };
    let payload = InlineJson::parse("1").expect("JSON");
    let content = payload.content();
    let execute = RecordRequest {
        command: Requested::Command(put(content, None)),
        key,
        payload: Some(payload),
        idempotency: None,
        by: "tester".to_owned(),
        request_id: "r".to_owned(),
        source: Source::Gateway,
        remarks: Remarks::default(),
    };
    wait(world.registry.execute(execute)).map(drop)
}

/// Everything that can be read of what a scope does not cover, or of what it does.
pub(super) fn seen(
    world: &World,
    scope: &Scope,
    covered: bool,
) -> BTreeMap<String, (Record, Vec<u8>)> {
    let mut seen = BTreeMap::new();
    for entry in world
        .deps
        .journal
        .read(1, usize::MAX)
        .expect("it can be read")
    {
        let Some(key) = entry.body.and_then(|body| body.stream.record_key()) else {
            continue;
        };
        if scope.covers(key.org.as_str(), Some(key.container.as_str())) != covered {
            continue;
        }
        let found =
            records::find(&world.deps.store, RecordName::from(&key)).expect("it can be read");
        let Some(record) = found else { continue };
        let content = content(world, &key.org, &record);
        seen.insert(
            format!("{}/{}/{}", key.org, key.container, key.record_id),
            (record, content),
        );
    }
    seen
}

pub(super) fn content(world: &World, org: &OrgCode, record: &Record) -> Vec<u8> {
    match record.content.place {
        ContentPlace::Inline(position) => {
            let payload = world
                .deps
                .journal
                .payload(position)
                .expect("it can be read");
            payload.expect("the payload is there").to_vec()
        }
        ContentPlace::Object(object_id) => {
            let object = ObjectName {
                org: org.clone(),
                object_id,
            };
            let found = world
                .content
                .read(&object, 0, u64::MAX)
                .expect("it can be read");
            let mut bytes = Vec::new();
            match found {
                Some(mut found) => {
                    found.read_to_end(&mut bytes).expect("it can be read");
                }
                // What was not completed is there as an upload.
                None => {
                    let size = world.content.size(&object).expect("it can be read");
                    bytes.extend(size.expect("the upload is there").to_be_bytes());
                }
            }
            bytes
        }
    }
}

fn run(world: &World, scope: &Scope, dry_run: bool, plan_id: Option<String>) -> Vacuum {
    let request = VacuumOrder::Request {
        vacuum_id: random_uuid().to_string(),
        scope: scope.clone(),
        dry_run,
        reason: "r".to_owned(),
        plan_id,
        override_holds: false,
    };
    let id = world.vacuum(request).expect("requested").vacuum_id;
    world.clock.advance(PENDING_MS);
    let look = || {
        ops::vacuum(&world.deps.store, &id)
            .expect("it can be read")
            .expect("it is there")
    };
    eventually("the vacuum is over", || !look().status.is_open());
    let vacuum = look();
    assert_eq!(vacuum.status, VacuumStatus::Completed, "{:?}", vacuum.error);
    vacuum
}

/// Whether a text is in any file, gzipped or not, or in a file's name.
pub(crate) fn is_anywhere(dir: &Path, text: &str) -> bool {
    let script = "grep -r -a -i -l -e \"$2\" \"$1\"; find \"$1\" -iname \"*$2*\"; \
        find \"$1\" -name '*.gz' -exec sh -c 'gzip -dc \"$1\" | grep -a -i -o -m 1 -e \"$2\"' sh {} \"$2\" \\;";
    let output = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(dir)
        .arg(text)
        .output();
    !output.expect("sh runs").stdout.is_empty()
}

/// Objects and bytes that are there of an org.
fn objects(world: &World, org: &OrgCode) -> (u64, u64) {
    let ids = world.content.list(org).expect("it can be read");
    let sizes = ids.iter().map(|object_id: &Uuid| {
        let object = ObjectName {
            org: org.clone(),
            object_id: *object_id,
        };
        world
            .content
            .size(&object)
            .expect("it can be read")
            .unwrap_or(0)
    });
    (ids.len() as u64, sizes.sum())
}

fn check(world: &World, items: &[Item], scope: &Scope) {
    fill(world, items);
    let kept = seen(world, scope, false);
    let gone = seen(world, scope, true);
    let files: Vec<_> = (0..ORGS.len())
        .map(|number| objects(world, &org(number)))
        .collect();
    let dry = run(world, scope, true, None);
    assert_eq!(seen(world, scope, true), gone, "a dry run erases nothing");
    assert_eq!(dry.services[0].amount.items, gone.len() as u64);
    let plan = metarecord::actors::vacuum::plan_id(scope, &dry.services);
    let real = run(world, scope, false, Some(plan));
    assert_eq!(real.services, dry.services);
    let left: Vec<_> = (0..ORGS.len())
        .map(|number| objects(world, &org(number)))
        .collect();
    let erased = files
        .iter()
        .zip(&left)
        .fold((0, 0), |sum, (before, after)| {
            (sum.0 + before.0 - after.0, sum.1 + before.1 - after.1)
        });
    let told = real.services[0].amount;
    assert_eq!(told.objects, erased.0);
    assert!(told.bytes >= erased.1);
    assert_eq!(seen(world, scope, false), kept, "nothing else is touched");
    for name in ORGS {
        for container in CONTAINERS {
            if scope.covers(name, Some(container)) {
                assert!(
                    !is_anywhere(&world.dir, &canary(name, container)),
                    "{name}/{container} is still there"
                );
            }
        }
    }
    let journal = &world.deps.journal;
    for entry in journal.read(1, usize::MAX).expect("it can be read") {
        let payload = journal
            .payload(entry.header.position)
            .expect("it can be read");
        assert!(
            entry.body.is_some() || payload.is_none(),
            "a payload without its entry"
        );
    }
    for name in gone.keys() {
        let version = journal.version(&StreamId::named(&format!("mrs/{name}")));
        assert_eq!(version.expect("it can be read"), 0, "{name}");
    }
    let nothing = run(world, scope, true, None);
    assert_eq!(
        nothing.totals(),
        Amount::default(),
        "{:?}",
        nothing.services
    );
    let rebuilt = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(rebuilt.path(), 1 << 20).expect("it opens");
    let mut again = Runner::new(store.clone());
    again
        .catch_up(&*world.deps.journal, &mut |_, _| ())
        .expect("it can be replayed");
    let differing = generation::differing_rows(&world.deps.store, &store, &generation::prefixes());
    assert_eq!(differing.expect("they can be read"), 0, "rebuilt is live");
    let report = verify(&world.dir.join("journal"), false, &mut |_, _| ()).expect("it can be read");
    assert_eq!(report.problems, []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_dry_run_tells_what_the_real_run_erases(
        items in prop::collection::vec(item(), 1..30),
        all in prop::bool::ANY,
    ) {
        within(move |world| {
            let scope = if all { Scope::All } else { Scope::Org(org(0)) };
            check(world, &items, &scope);
        });
    }
}
