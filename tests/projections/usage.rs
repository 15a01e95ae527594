//! What is counted of each org is what its rows come to, whatever happened and wherever a crash came.

use metarecord::domain::account::{AccountEvent, KeyRole};
use metarecord::domain::org::{MemberRole, OrgEvent, OrgStatus};
use metarecord::domain::quota::{OwnLimits, Quota};
use metarecord::domain::user::UserEvent;
use metarecord::domain::vacuum::{self, Scope, VacuumEvent};
use metarecord::domain::{Event, OrgCode, StreamId, Timestamp};
use metarecord::projections::usage;
use metarecord::projections::{Store, identity};
use proptest::prelude::{ProptestConfig, proptest};

use super::{CACHE_BYTES, Step, What, World, differing, steps};

/// How long a session of these histories lives.
const SESSION_MS: i64 = 150;

/// An event of users, orgs or service accounts: by its number, so that each history has some of each.
pub(super) fn identity(org: &OrgCode, number: u64, now: Timestamp) -> (StreamId, Event) {
    let user_id = format!("user-{}", number % 3);
    let (of_org, of_user) = (StreamId::org(org), StreamId::user(&user_id));
    let account = StreamId::account(org, &format!("account-{}", number % 2));
    let member = |event| (of_org.clone(), Event::Org(event));
    let session_hash = format!("{:02x}", number % 5);
    match number % 11 {
        0 => member(OrgEvent::StatusSet {
            status: OrgStatus::Parked,
        }),
        1 | 4 | 8 => member(OrgEvent::MemberAdded {
            user_id,
            role: MemberRole::Member,
        }),
        5 => member(OrgEvent::MemberRemoved { user_id }),
        2 => (
            account,
            Event::Account(AccountEvent::Created { label: None }),
        ),
        3 => {
            let event = AccountEvent::KeyCreated {
                key_id: format!("key-{number}"),
                key_hash: format!("hash-{number}"),
                role: KeyRole::Reader,
                label: None,
                expires_at: None,
                allowed_addresses: Vec::new(),
            };
            (account, Event::Account(event))
        }
        6 => {
            let active = number.is_multiple_of(2);
            (account, Event::Account(AccountEvent::StatusSet { active }))
        }
        7 => {
            let closed = UserEvent::SessionClosed { session_hash };
            (of_user, Event::User(closed))
        }
        9 => member(OrgEvent::QuotasSet {
            limits: [(Quota::Records, number.is_multiple_of(2).then_some(number))].into(),
        }),
        _ => {
            let opened = UserEvent::SessionOpened {
                session_hash,
                expires_at: Some(now.plus_millis(SESSION_MS)),
                development: false,
                label: None,
            };
            (of_user, Event::User(opened))
        }
    }
}

/// The counters of both orgs are what their rows come to.
pub(super) fn check(store: &Store) {
    for org in ["ONE", "TWO"] {
        let (counts, names) = usage::count(store, org).expect("they can be read");
        assert_eq!(
            usage::counts(store, org).expect("they can be read"),
            counts,
            "{org}"
        );
        assert_eq!(
            usage::names(store, org).expect("they can be read"),
            names,
            "{org}"
        );
    }
}

/// The counters' rows that one store must be given to have those of another, in the order in which they are written: an
/// org's own first, then its names.
fn counters_between(from: &Store, to: &Store) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let rows = |store: &Store| -> std::collections::BTreeMap<Vec<u8>, Vec<u8>> {
        let rows = store.scan(b"q".to_vec(), b"q").map(|row| {
            let (key, value) = row.expect("it can be read");
            (key.to_vec(), value.to_vec())
        });
        rows.collect()
    };
    let (from, to) = (rows(from), rows(to));
    let mut keys: Vec<_> = from.keys().chain(to.keys()).cloned().collect();
    let org_of = |key: &[u8]| key[2..].split(|byte| *byte == 0).next().map(<[u8]>::to_vec);
    keys.sort_by_key(|key| (org_of(key), key[1] != b'o', key.clone()));
    keys.dedup();
    let writes = keys.into_iter().map(|key| {
        let value = to.get(&key).cloned();
        (key, value)
    });
    writes.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_between_counters_and_what_they_count_counts_nothing_twice(
        steps in steps(),
        cut in 0..60_usize,
        written in 0..40_usize,
    ) {
        let mut world = World::new();
        let (first, last) = steps.split_at(cut.min(steps.len()));
        for (number, step) in first.iter().enumerate() {
            world.carry_out(number, step);
        }
        let crashed = world.rebuilt();
        for (number, step) in last.iter().enumerate() {
            // Records alone are written together with others; anything else comes by itself.
            if step.is_of_a_record() {
                world.carry_out(first.len() + number, step);
            }
        }
        let mut counters = counters_between(&crashed, &world.live);
        counters.truncate(written);
        crashed.write(&mut counters).expect("they are written");
        assert_eq!(world.rebuilt_again(&crashed), 0);
        check(&crashed);
    }
}

#[test]
fn a_vacuum_of_everything_counts_every_org_again() {
    let mut world = World::new();
    for record in 0..18 {
        let what = What::Put {
            upload: false,
            tags: vec![1],
            ttl_ms: None,
            cccode: false,
        };
        let step = Step {
            record,
            what,
            advance_ms: 1,
            remembered: false,
        };
        world.carry_out(record, &step);
    }
    check(&world.live);
    let of = |org: &str| {
        let counts = usage::counts(&world.live, org).expect("they can be read");
        counts.get(Quota::Records)
    };
    assert_eq!(["ONE", "TWO"].map(of), [9, 9]);
    let append = |event| {
        world.append(
            StreamId::named(StreamId::VACUUM),
            Event::Vacuum(event),
            None,
        )
    };
    let vacuum_id = || "vacuum".to_owned();
    append(VacuumEvent::Requested {
        vacuum_id: vacuum_id(),
        scope: Scope::All,
        dry_run: false,
        reason: "r".to_owned(),
        execute_at: None,
        plan_id: None,
        override_holds: false,
    });
    append(VacuumEvent::Started {
        vacuum_id: vacuum_id(),
        services: Vec::new(),
        held: Vec::new(),
        erases: Some(Vec::new()),
    });
    // The vacuum removes rows of records itself; the counters follow with the entry that says so.
    let rows = world.live.scan(b"r".to_vec(), b"r");
    let mut removed: Vec<_> = rows
        .map(|row| (row.expect("it can be read").0.to_vec(), None))
        .collect();
    world.live.write(&mut removed).expect("they are removed");
    assert_eq!(["ONE", "TWO"].map(of), [9, 9]);
    append(VacuumEvent::StepDone {
        vacuum_id: vacuum_id(),
        step: vacuum::Step::Projections,
    });
    assert_eq!(["ONE", "TWO"].map(of), [0, 0]);
    check(&world.live);
}

#[test]
fn limits_that_an_import_brings_do_not_hold() {
    let world = World::new();
    let set = |source, limit| {
        let limits = [(Quota::Records, Some(limit))].into();
        let event = Event::Org(OrgEvent::QuotasSet { limits });
        let org = OrgCode::parse("ONE").expect("an org");
        world.append_by(source, StreamId::org(&org), event);
        identity::own_limits(&world.live, "ONE").expect("they can be read")
    };
    use metarecord::journal::Source::{Import, Operator};
    assert_eq!(set(Operator, 5), OwnLimits::from([(Quota::Records, 5)]));
    assert_eq!(set(Import, 9), OwnLimits::from([(Quota::Records, 5)]));
    let store = Store::open(&world.scratch.path().join("other"), CACHE_BYTES).expect("a store");
    assert!(
        identity::own_limits(&store, "ONE")
            .expect("it can be read")
            .is_empty()
    );
    assert_eq!(differing(&world, &world.rebuilt()), 0);
}
