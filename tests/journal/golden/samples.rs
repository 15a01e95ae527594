//! One event of each type, as the golden files hold it.

use super::*;

fn tags() -> Vec<Tag> {
    vec![Tag::parse("BLUE").unwrap(), Tag::parse("RED").unwrap()]
}

fn upload() -> NewContent {
    NewContent::Upload {
        content_type: "text/csv".to_owned(),
        size: 5120,
        md5: Md5::of(b"gzip"),
        object_id: Uuid::from_u128(7),
        expires_at: time(),
    }
}

pub(super) fn record_events() -> Vec<RecordEvent> {
    vec![
        RecordEvent::Created {
            cccode: Some(CcCode::parse("AB12-CD34-EF56").unwrap()),
            tags: tags(),
            doom_at: Some(time()),
            content: NewContent::Inline {
                size: 2,
                md5: Md5::of(b"{}"),
            },
        },
        RecordEvent::Replaced {
            cccode: None,
            tags: Some(tags()),
            doom_at: None,
            content: upload(),
        },
        RecordEvent::UploadCompleted {
            object_id: Uuid::from_u128(7),
            sha256: Some(Sha256Digest::of(b"gzip")),
            decoded: Some(Decoded {
                size: 5,
                md5: Md5::of(b"plain"),
            }),
        },
        RecordEvent::TagsAdded { tags: tags() },
        RecordEvent::TagsRemoved { tags: tags() },
        RecordEvent::TtlSet { doom_at: None },
        RecordEvent::Doomed {
            doomed_at: time(),
            cause: DoomCause::Request,
            reason: Some("no longer needed".to_owned()),
        },
        RecordEvent::HoldSet {
            reason: "audit 7".to_owned(),
        },
        RecordEvent::HoldReleased {},
    ]
}

pub(super) fn other_events() -> Vec<Event> {
    vec![
        Event::Container(ContainerEvent::RefusalRemembered {
            rejection: Rejection::new(ErrorTag::Conflict, "It has changed.")
                .with_detail("revision", 3),
        }),
        Event::Org(OrgEvent::Created {
            status: OrgStatus::Unverified,
        }),
        Event::Org(OrgEvent::StatusSet {
            status: OrgStatus::Verified,
        }),
        Event::Org(OrgEvent::MemberAdded {
            user_id: "u-1".to_owned(),
            role: MemberRole::Owner,
        }),
        Event::Org(OrgEvent::MemberRemoved {
            user_id: "u-1".to_owned(),
        }),
        Event::Org(OrgEvent::HoldSet {
            container: Some(ContainerName::parse("notes").unwrap()),
            reason: "suit 12".to_owned(),
        }),
        Event::Org(OrgEvent::HoldReleased { container: None }),
        Event::Org(OrgEvent::QuotasSet {
            limits: [(Quota::Records, Some(500)), (Quota::Sessions, None)].into(),
        }),
        Event::Org(OrgEvent::Invited {
            invitation_id: "i-1".to_owned(),
            user_id: "u-1".to_owned(),
            role: MemberRole::Member,
            label: Some("Ada of sales".to_owned()),
            expires_at: time(),
        }),
        Event::Org(OrgEvent::InvitationAccepted {
            invitation_id: "i-1".to_owned(),
        }),
        Event::Org(OrgEvent::InvitationDeclined {
            invitation_id: "i-1".to_owned(),
        }),
        Event::Org(OrgEvent::InvitationWithdrawn {
            invitation_id: "i-1".to_owned(),
        }),
        Event::User(UserEvent::Created {
            email: "ada@example.org".to_owned(),
            passcode_hash: "$scrypt$ln=15,r=8,p=1$c2FsdA$aGFzaA".to_owned(),
            unverified: false,
        }),
        Event::User(UserEvent::SessionOpened {
            session_hash: "ab".repeat(32),
            expires_at: Some(time()),
            development: false,
            label: None,
        }),
        Event::User(UserEvent::SessionRefreshed {
            session_hash: "ab".repeat(32),
            expires_at: time(),
        }),
        Event::User(UserEvent::SessionClosed {
            session_hash: "ab".repeat(32),
        }),
        Event::User(UserEvent::SessionsClosed {}),
        Event::User(UserEvent::AddressKnown {
            address_hash: "ef".repeat(16),
        }),
        Event::User(UserEvent::PasscodeChanged {
            passcode_hash: "$scrypt$ln=15,r=8,p=1$c2FsdA$aGFzaA".to_owned(),
            kept_session: Some("ab".repeat(32)),
        }),
        Event::User(UserEvent::Disabled {}),
        Event::User(UserEvent::Enabled {}),
        Event::User(UserEvent::LocksLifted {}),
        Event::User(UserEvent::Verified {}),
        Event::Account(AccountEvent::Created {
            label: Some("importer".to_owned()),
        }),
        Event::Account(AccountEvent::StatusSet { active: false }),
        Event::Account(AccountEvent::KeyCreated {
            key_id: "k-1".to_owned(),
            key_hash: "cd".repeat(32),
            role: KeyRole::Writer,
            label: Some("night".to_owned()),
            expires_at: Some(time()),
            allowed_addresses: vec!["10.0.0.0/8".to_owned()],
        }),
        Event::Account(AccountEvent::KeyUsed {
            key_id: "k-1".to_owned(),
        }),
        Event::Account(AccountEvent::KeyRevoked {
            key_id: "k-1".to_owned(),
        }),
        Event::Account(AccountEvent::KeysRevoked {}),
        Event::Secret(SecretEvent::Set {
            code_hash: "$scrypt$ln=15,r=8,p=1$c2FsdA$aGFzaA".to_owned(),
        }),
        Event::Secret(SecretEvent::Mismatched {
            function: "ops_vacuum_all".to_owned(),
            address_hash: Some("ef".repeat(16)),
        }),
        Event::Secret(SecretEvent::AddressKnown {
            address_hash: "ef".repeat(16),
        }),
        Event::Secret(SecretEvent::LocksLifted {}),
    ]
}

pub(super) fn upkeep_events() -> Vec<ContainerEvent> {
    let record_id = || RecordId::parse("note-1").unwrap();
    let removed = |ended, place| RemovedContent {
        record_id: record_id(),
        version: 2,
        until: time(),
        ended,
        size: 5120,
        place,
    };
    let entry = |cccode, status| TagEntry {
        record_id: record_id(),
        tag: Tag::parse("RED").unwrap(),
        cccode,
        status,
    };
    vec![
        ContainerEvent::ContentRemoved {
            contents: vec![
                removed(EndedBy::Replaced, ContentPlace::Inline(17)),
                removed(EndedBy::Doomed, ContentPlace::Object(Uuid::from_u128(7))),
            ],
            why: RemovalCause::Retention,
        },
        ContainerEvent::AnswersForgotten {
            scopes: vec!["ab".repeat(32)],
        },
        ContainerEvent::TagsScrubbed {
            entries: vec![
                entry(None, Status::Doomed),
                entry(
                    Some(CcCode::parse("AB12-CD34-EF56").unwrap()),
                    Status::PendingUpload,
                ),
            ],
        },
        ContainerEvent::UploadsGivenUp {
            uploads: vec![GivenUpUpload {
                record_id: record_id(),
                version: 2,
                object_id: Uuid::from_u128(7),
                since: time(),
                content_type: "text/csv".to_owned(),
                size: 5120,
                md5: Md5::of(b"gzip"),
            }],
        },
        ContainerEvent::Repaired {
            repairs: vec![
                Repair {
                    record_id: Some("n-1".to_owned()),
                    version: Some(2),
                    object_id: Some(Uuid::from_u128(7)),
                    ..Repair::new(DriftKind::Md5Mismatch, RepairAction::MarkedLost)
                },
                Repair {
                    record_id: Some("n-1".to_owned()),
                    version: Some(1),
                    object_id: Some(Uuid::from_u128(6)),
                    ..Repair::new(DriftKind::Sha256Mismatch, RepairAction::MarkedLost)
                },
                Repair {
                    file: Some("ab/stray.gz".to_owned()),
                    ..Repair::new(DriftKind::OrphanObject, RepairAction::FileRemoved)
                },
                Repair {
                    record_id: Some("n-2".to_owned()),
                    rows: vec!["6c00".to_owned()],
                    ..Repair::new(DriftKind::StaleIndex, RepairAction::RowsRemoved)
                },
            ],
        },
    ]
}

pub(super) fn maintenance_events() -> Vec<MaintenanceEvent> {
    let maintenance_id = "m-1".to_owned();
    vec![
        MaintenanceEvent::Scheduled {
            maintenance_id: maintenance_id.clone(),
            description: "new disks".to_owned(),
            duration_seconds: 3600,
            start: time(),
        },
        MaintenanceEvent::Started {
            maintenance_id: maintenance_id.clone(),
            source: StartSource::Sweep,
        },
        MaintenanceEvent::Updated {
            maintenance_id: maintenance_id.clone(),
            text: Some("half".to_owned()),
            description: None,
            duration_seconds: Some(7200),
        },
        MaintenanceEvent::Ended {
            maintenance_id: maintenance_id.clone(),
            message: Some("done".to_owned()),
        },
        MaintenanceEvent::Missed {
            maintenance_id: maintenance_id.clone(),
        },
        MaintenanceEvent::Cancelled { maintenance_id },
    ]
}

pub(super) fn vacuum_events() -> Vec<VacuumEvent> {
    let vacuum_id = "v-1".to_owned();
    vec![
        VacuumEvent::Requested {
            vacuum_id: vacuum_id.clone(),
            scope: Scope::User("u-1".to_owned()),
            dry_run: true,
            reason: "left".to_owned(),
            execute_at: Some(time()),
            plan_id: Some("p-1".to_owned()),
            override_holds: false,
        },
        VacuumEvent::Started {
            vacuum_id: vacuum_id.clone(),
            services: vec![ServiceAmount {
                service: "mrs".to_owned(),
                amount: Amount {
                    items: 1,
                    objects: 2,
                    bytes: 3,
                },
                skipped: None,
            }],
            held: Vec::new(),
            erases: Some(vec![ErasedSpan {
                from: 3,
                until: 9,
                entries: 4,
                positions_sha256: "cd".repeat(32),
            }]),
        },
        VacuumEvent::StepDone {
            vacuum_id: vacuum_id.clone(),
            step: Step::Log,
        },
        VacuumEvent::Completed {
            vacuum_id: vacuum_id.clone(),
            erased: Some(Erased {
                entries: 4,
                positions_sha256: "cd".repeat(32),
            }),
        },
        VacuumEvent::Failed {
            vacuum_id: vacuum_id.clone(),
            error: "the disk is full".to_owned(),
        },
        VacuumEvent::Cancelled { vacuum_id },
    ]
}

pub(super) fn job_events() -> Vec<JobEvent> {
    let job = "j-1".to_owned();
    vec![
        JobEvent::Paused { job: job.clone() },
        JobEvent::Resumed { job: job.clone() },
        JobEvent::Moved {
            job: job.clone(),
            position: 7,
        },
        JobEvent::Finished {
            job,
            counts: Counts::from([("doomed".to_owned(), 3)]),
        },
    ]
}

pub(super) fn offboarding_events() -> Vec<OffboardingEvent> {
    let export_id = "e-1".to_owned();
    vec![
        OffboardingEvent::Requested {
            offboarding_id: "e-1".to_owned(),
            reason: "moving house".to_owned(),
        },
        OffboardingEvent::Approved {
            window_ends_at: time(),
            org_status: OrgStatus::Verified,
            org_version: 3,
        },
        OffboardingEvent::Cancelled {},
        OffboardingEvent::Blocked {
            why: "the disk is full".to_owned(),
        },
        OffboardingEvent::PurgeStarted {
            vacuum_id: "v-1".to_owned(),
        },
        OffboardingEvent::Purged {},
        OffboardingEvent::ExportRequested {
            export_id: export_id.clone(),
            position: 41,
        },
        OffboardingEvent::ExportCompleted {
            export_id: export_id.clone(),
            manifest_sha256: "ef".repeat(32),
            counts: ExportCounts {
                records: 1,
                entries: 2,
                objects: 3,
                objects_absent: 4,
                bytes: 5,
            },
        },
        OffboardingEvent::ExportRemoved {
            export_id: export_id.clone(),
        },
        OffboardingEvent::ImportBegun {
            manifest_sha256: "ef".repeat(32),
            export_id,
            entries: 2,
        },
        OffboardingEvent::ImportCompleted {},
        OffboardingEvent::ImportCancelled {},
    ]
}

pub(super) fn operator_token_events() -> Vec<Event> {
    let name = || "prometheus".to_owned();
    let tokens = [
        OperatorTokenEvent::Created {
            name: name(),
            token_hash: "ab".repeat(32),
            scopes: vec![TokenScope::Metrics, TokenScope::Read],
            expires_at: Some(time()),
        },
        OperatorTokenEvent::Rotated {
            name: name(),
            token_hash: "cd".repeat(32),
            previous_until: Some(time()),
        },
        OperatorTokenEvent::Revoked { name: name() },
    ];
    let revoked = JwtEvent::Revoked {
        jti: "3f6c1c1e".to_owned(),
        until: time(),
    };
    let tokens = tokens.into_iter().map(Event::OperatorToken);
    let rotated = SigningKeyEvent::Rotated {
        key_id: "3f6c1c1e".to_owned(),
        previous_id: "first".to_owned(),
        previous_until: Some(time()),
    };
    let acts = [
        OperatorActEvent::Asked {
            function: "mrs_hold_set".to_owned(),
            subject: Some("ACME".to_owned()),
            facts: [("container".to_owned(), "notes".to_owned())].into(),
        },
        OperatorActEvent::Refused {
            function: "mrs_hold_set".to_owned(),
            subject: Some("ACME".to_owned()),
            tag: "not-found".to_owned(),
        },
    ];
    let by_ms = -86_400_000;
    let jumps = [
        ClockEvent::Jumped { by_ms },
        ClockEvent::Confirmed { by_ms },
    ];
    tokens
        .chain([Event::Jwt(revoked), Event::SigningKey(rotated)])
        .chain(acts.map(Event::OperatorAct))
        .chain(jumps.map(Event::Clock))
        .collect()
}
