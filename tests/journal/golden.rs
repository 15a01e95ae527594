//! Events as they were written once stay readable for ever: one file for each type and version, never edited.

mod samples;

use self::samples::{
    job_events, maintenance_events, offboarding_events, operator_token_events, other_events,
    record_events, upkeep_events, vacuum_events,
};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use metarecord::domain::account::{AccountEvent, KeyRole};
use metarecord::domain::clock_jump::ClockEvent;
use metarecord::domain::container::{
    ContainerEvent, GivenUpUpload, RemovalCause, RemovedContent, TagEntry,
};
use metarecord::domain::erasure::ErasedSpan;
use metarecord::domain::job::{Counts, JobEvent};
use metarecord::domain::maintenance::{MaintenanceEvent, StartSource};
use metarecord::domain::offboarding::{Counts as ExportCounts, OffboardingEvent};
use metarecord::domain::operator_act::OperatorActEvent;
use metarecord::domain::operator_token::{OperatorTokenEvent, TokenScope};
use metarecord::domain::org::{MemberRole, OrgEvent, OrgStatus};
use metarecord::domain::quota::Quota;
use metarecord::domain::record::{
    ContentPlace, Decoded, DoomCause, EndedBy, NewContent, RecordEvent, Status,
};
use metarecord::domain::repair::{DriftKind, Repair, RepairAction};
use metarecord::domain::revoked_jwt::JwtEvent;
use metarecord::domain::secret::SecretEvent;
use metarecord::domain::signing_key::SigningKeyEvent;
use metarecord::domain::user::UserEvent;
use metarecord::domain::vacuum::{Amount, Erased, Scope, ServiceAmount, Step, VacuumEvent};
use metarecord::domain::{
    CcCode, ContainerName, ErrorTag, Event, Md5, OrgCode, RecordId, Rejection, Sha256Digest, Tag,
    Timestamp,
};
use metarecord::journal::entry::decode_event;
use metarecord::journal::schema::SCHEMAS;
use uuid::Uuid;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn time() -> Timestamp {
    Timestamp::from_millis(1_789_000_000_123)
}

/// One event of each type at its newest version, as the files tell it.
fn expected() -> Vec<Event> {
    let records = record_events().into_iter().map(Event::Record);
    let windows = maintenance_events().into_iter().map(Event::Maintenance);
    let vacuums = vacuum_events().into_iter().map(Event::Vacuum);
    let upkeep = upkeep_events().into_iter().map(Event::Container);
    let others = records.chain(other_events()).chain(upkeep);
    let jobs = job_events().into_iter().map(Event::Job);
    let offboardings = offboarding_events().into_iter().map(Event::Offboarding);
    let others = others.chain(windows).chain(vacuums).chain(jobs);
    let others = others.chain(operator_token_events());
    others.chain(offboardings).collect()
}

/// The type, version and JSON an event is written with.
fn written(event: &Event) -> (String, u16, String) {
    let value = serde_json::to_value(event).unwrap();
    let kind = value["type"].as_str().unwrap().to_owned();
    let version = event.schema().1;
    let json = format!(
        "{{\"type\":\"{kind}\",\"v\":{version},\"data\":{}}}\n",
        serde_json::to_string(&value["data"]).unwrap()
    );
    (kind, version, json)
}

#[test]
fn every_golden_file_reads_as_its_event() {
    for event in expected() {
        let (kind, version, json) = written(&event);
        let path = directory().join(format!("{kind}.v{version}.json"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(decode_event(&text, &kind).unwrap(), event, "{kind}");
        assert_eq!(
            json, text,
            "{kind} is still written as at version {version}"
        );
    }
}

/// What the files of older versions are lifted to.
fn lifted() -> Vec<(&'static str, Event)> {
    let mut started = vacuum_events().remove(1);
    if let VacuumEvent::Started { erases, .. } = &mut started {
        *erases = None;
    }
    // Version 1 was about everything or about an org.
    let mut requested = vacuum_events().remove(0);
    if let VacuumEvent::Requested { scope, .. } = &mut requested {
        *scope = Scope::Org(OrgCode::parse("DEMO").unwrap());
    }
    // A key of version 1 had no end, and could be used from everywhere.
    let key = AccountEvent::KeyCreated {
        key_id: "k-1".to_owned(),
        key_hash: "cd".repeat(32),
        role: KeyRole::Writer,
        label: Some("night".to_owned()),
        expires_at: None,
        allowed_addresses: Vec::new(),
    };
    let completed = |sha256| RecordEvent::UploadCompleted {
        object_id: Uuid::from_u128(7),
        sha256,
        decoded: None,
    };
    let of_version_2 = completed(Some(Sha256Digest::of(b"gzip")));
    let mut repaired = upkeep_events().into_iter().map(|event| match event {
        ContainerEvent::Repaired { mut repairs } => {
            repairs.retain(|repair| repair.kind != DriftKind::Sha256Mismatch);
            ContainerEvent::Repaired { repairs }
        }
        other => other,
    });
    let repaired = repaired.next_back().expect("it is the last");
    let mismatched = SecretEvent::Mismatched {
        function: "ops_vacuum_all".to_owned(),
        address_hash: None,
    };
    vec![
        ("vacuum.requested.v1", Event::Vacuum(requested)),
        ("vacuum.started.v1", Event::Vacuum(started)),
        ("account.key_created.v1", Event::Account(key)),
        ("record.upload_completed.v1", Event::Record(completed(None))),
        ("record.upload_completed.v2", Event::Record(of_version_2)),
        ("container.repaired.v1", Event::Container(repaired)),
        ("secret.mismatched.v1", Event::Secret(mismatched)),
    ]
}

#[test]
fn older_golden_files_are_lifted_to_the_newest_version() {
    for (name, event) in lifted() {
        let path = directory().join(format!("{name}.json"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(decode_event(&text, name).unwrap(), event, "{name}");
    }
    let older: u16 = SCHEMAS.iter().map(|(_, version)| version - 1).sum();
    assert_eq!(lifted().len(), usize::from(older), "each older version");
}

#[test]
fn every_event_type_has_a_golden_file_of_every_version() {
    let expected: BTreeSet<_> = expected()
        .iter()
        .map(|event| (written(event).0, event.schema().1))
        .collect();
    let schemas: BTreeSet<_> = SCHEMAS
        .iter()
        .map(|(kind, version)| ((*kind).to_owned(), *version))
        .collect();
    assert_eq!(expected, schemas, "the types written and the types known");
    let wanted: BTreeSet<_> = SCHEMAS
        .iter()
        .flat_map(|(kind, version)| (1..=*version).map(move |v| format!("{kind}.v{v}.json")))
        .collect();
    // Whole data directories lie next to them.
    let there = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(wanted, there);
}
