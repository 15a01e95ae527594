//! Reads with ten thousand sessions and a thousand orgs: what a read costs when its caller has to be found among many.

use std::path::Path;

use metarecord::actors::identity::session_hash;
use metarecord::clock::Clock;
use metarecord::content::sign::Signer;
use metarecord::domain::org::{MemberRole, OrgEvent, OrgStatus};
use metarecord::domain::user::UserEvent;
use metarecord::domain::{Event, OrgCode, StreamId};
use metarecord::journal::{Append, Journal, Origin, Remarks, Source};
use metarecord::journal::{Options, SledJournal};

use crate::load;
use crate::server::{Server, print_machine};

/// Orgs; each has a record of its own.
const ORGS: u64 = 1_000;
/// Users; each belongs to every org whose number leaves the same rest.
const USERS: u64 = 200;
/// Sessions of each user.
const SESSIONS: u64 = 50;
/// Seconds of reading.
const SECONDS: f64 = 10.0;
/// Connections.
const CONNECTIONS: usize = 16;

pub(crate) fn run() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let directory = scratch.path().join("data");
    Server::start(&directory).stop();
    populate(&directory);
    let mut server = Server::start(&directory);
    for org in 0..ORGS {
        let guid = guid(org % USERS, 0);
        let body = format!(
            r#"{{"orgcode":"ORG{org}","container":"notes","record_id":"r","content_type":"application/json","payload":{{"number":{org}}}}}"#
        );
        let make =
            |_: u64, request: &mut Vec<u8>| server.post_as(&guid, "/mrs/record", &body, request);
        assert_eq!(load::once(&server.address, &make), 200, "org {org}");
    }
    print_machine();
    let before = server.cpu_seconds();
    eprintln!("reading for {SECONDS} s, server process {}", server.pid());
    let make = |number: u64, request: &mut Vec<u8>| {
        // Large odd steps visit them in no order.
        let org = number.wrapping_mul(7_368_787) % ORGS;
        let guid = guid(org % USERS, number.wrapping_mul(7_368_791) % SESSIONS);
        let path = format!("/mrs/record?orgcode=ORG{org}&container=notes&record_id=r");
        server.get_as(&guid, &path, request);
    };
    let measured = load::run(&server.address, CONNECTIONS, SECONDS, &make);
    assert_eq!(measured.errors, 0);
    let cpu = (server.cpu_seconds() - before) * 1e6 / measured.count as f64;
    println!(
        "{} sessions, {ORGS} orgs: {:.0} reads a second at {CONNECTIONS} connections, {cpu:.1} us of processor a read, {} MB resident",
        USERS * SESSIONS,
        measured.per_second,
        server.resident_mb()
    );
    server.stop();
}

fn guid(user: u64, session: u64) -> String {
    format!("{user:032x}{session:032x}")
}

/// Writes users, sessions and orgs into a stopped server's journal: signing in ten thousand times would take scrypt a
/// quarter of an hour.
fn populate(directory: &Path) {
    let signer = Signer::open_or_create(&directory.join("keys"), Clock::system()).expect("the key");
    let clock = Clock::system();
    let (journal, _) = SledJournal::open(
        &directory.join("journal"),
        Options::default(),
        clock.clone(),
        &mut |_, _| (),
    )
    .expect("the journal opens");
    let append = |stream: StreamId, events: Vec<Event>| {
        let appended = journal.append(Append {
            expected: journal.version(&stream).expect("a version"),
            stream,
            guards: Vec::new(),
            events,
            payload: None,
            idempotency: None,
            origin: Origin {
                at: clock.now(),
                by: "bench".to_owned(),
                request_id: "bench".to_owned(),
                source: Source::Operator,
                remarks: Remarks::default(),
            },
        });
        appended.blocking_recv().expect("the journal answers");
    };
    let user_id = |user: u64| format!("user-{user}");
    for user in 0..USERS {
        let mut events = vec![Event::User(UserEvent::Created {
            email: format!("{user}@example.com"),
            passcode_hash: "none".to_owned(),
            unverified: false,
        })];
        events.extend((0..SESSIONS).map(|session| {
            Event::User(UserEvent::SessionOpened {
                session_hash: session_hash(&signer, &guid(user, session)),
                expires_at: Some(clock.now().plus_millis(3_600_000)),
                development: false,
                label: None,
            })
        }));
        append(StreamId::user(&user_id(user)), events);
    }
    for org in 0..ORGS {
        let code = OrgCode::parse(&format!("ORG{org}")).expect("an org code");
        let created = OrgEvent::Created {
            status: OrgStatus::Verified,
        };
        let added = OrgEvent::MemberAdded {
            user_id: user_id(org % USERS),
            role: MemberRole::Member,
        };
        append(
            StreamId::org(&code),
            vec![Event::Org(created), Event::Org(added)],
        );
    }
}
