//! Commands for windows, vacuums, orgs, users and accounts that say something wrong, sent as a program within may send
//! them: each is refused in the words that HTTP callers get, and nothing is journaled.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::Actor;
use metarecord::actors::Refused;
use metarecord::actors::identity::{Directory, IdentitySettings};
use metarecord::actors::maintenance::{WindowActor, WindowRequest};
use metarecord::actors::vacuum::{VacuumActor, VacuumContext, VacuumOrder, VacuumRequest};
use metarecord::actors::{OpsContext, OpsSettings};
use metarecord::content::sign::Signer;
use metarecord::domain::account::{AccountAction, AccountName, KeyRole};
use metarecord::domain::maintenance::{DURATION_SECONDS_MAX, MaintenanceCommand};
use metarecord::domain::operator_token::{OperatorTokenCommand, TokenScope};
use metarecord::domain::org::{MemberRole, OrgCommand, OrgStatus};
use metarecord::domain::quota::{LIMIT_MAX, Quota};
use metarecord::domain::revoked_jwt::RevokeJwt;
use metarecord::domain::user::UserCommand;
use metarecord::domain::vacuum::Scope;
use metarecord::domain::{ErrorTag, OrgCode, Timestamp};

use super::world::{World, caller, wait, within};

const IDS: &[&str] = &["", " ", "a b", "a\nb", "-a", "ä"];

fn schedule(world: &World, id: &str) -> MaintenanceCommand {
    MaintenanceCommand::Schedule {
        maintenance_id: id.to_owned(),
        description: "a larger disk".to_owned(),
        duration_seconds: 60,
        start: world.clock.now().plus_millis(3_600_000),
    }
}

fn vacuum(id: &str, scope: Scope) -> VacuumOrder {
    VacuumOrder::Request {
        vacuum_id: id.to_owned(),
        scope,
        dry_run: true,
        reason: "a test".to_owned(),
        plan_id: None,
        override_holds: false,
    }
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(answer: Result<T, Refused>, tag: ErrorTag, field: &str) {
    match answer {
        Err(Refused::Rejected { rejection, .. }) => {
            assert_eq!(rejection.tag, tag, "{field}");
            assert_eq!(rejection.minor.as_deref(), Some(field), "{rejection}");
        }
        other => panic!("{field}: {other:?}"),
    }
}

#[test]
fn a_wrong_command_for_a_window_is_refused() {
    within(|world| {
        let invalid = |command, field| {
            assert_refused(world.maintain(command), ErrorTag::InvalidInput, field);
        };
        for id in IDS.iter().copied().chain([&*"x".repeat(65)]) {
            invalid(schedule(world, id), "maintenance_id");
        }
        for (description, duration, field) in [
            (" ".to_owned(), 60, "description"),
            ("x".repeat(1_001), 60, "description"),
            ("d".to_owned(), 0, "duration"),
            ("d".to_owned(), DURATION_SECONDS_MAX + 1, "duration"),
        ] {
            let command = MaintenanceCommand::Schedule {
                maintenance_id: "mw-1".to_owned(),
                description,
                duration_seconds: duration,
                start: world.clock.now(),
            };
            invalid(command, field);
        }
        assert_eq!(world.deps.journal.head().position, 0);
        world.maintain(schedule(world, "mw-1")).expect("scheduled");
        assert_refused(
            world.maintain(schedule(world, "mw-1")),
            ErrorTag::Conflict,
            "maintenance_id",
        );
        let update =
            |text: Option<&str>, description: Option<&str>, duration| MaintenanceCommand::Update {
                maintenance_id: Some("mw-1".to_owned()),
                text: text.map(str::to_owned),
                description: description.map(str::to_owned),
                duration_seconds: duration,
            };
        let long = "x".repeat(1_001);
        invalid(update(None, None, None), "text");
        invalid(update(Some(&long), None, None), "text");
        invalid(update(Some(""), None, None), "text");
        invalid(update(None, Some(" "), None), "description");
        invalid(update(None, None, Some(0)), "duration");
        let end = MaintenanceCommand::End {
            maintenance_id: Some("mw-1".to_owned()),
            message: Some(long),
        };
        invalid(end, "end_message");
        assert_eq!(world.deps.journal.head().position, 1);
    });
}

#[test]
fn a_wrong_order_for_a_vacuum_is_refused() {
    within(|world| {
        let invalid = |order, field| {
            assert_refused(world.vacuum(order), ErrorTag::InvalidInput, field);
        };
        for id in IDS {
            invalid(vacuum(id, Scope::All), "vacuum_id");
        }
        for text in [" ".to_owned(), "x".repeat(257)] {
            let mut order = vacuum("v-1", Scope::All);
            if let VacuumOrder::Request { reason, .. } = &mut order {
                *reason = text;
            }
            invalid(order, "reason");
        }
        invalid(vacuum("v-1", Scope::User("a b".to_owned())), "user_id");
        let gone = OrgCode::parse("GONE").expect("a code");
        let mut order = vacuum("v-1", Scope::Org(gone));
        if let VacuumOrder::Request { override_holds, .. } = &mut order {
            *override_holds = true;
        }
        invalid(order, "override_holds");
        for (order, tag) in [
            (
                vacuum("v-1", Scope::User("u-1".to_owned())),
                ErrorTag::NotFound,
            ),
            (
                vacuum(
                    "v-1",
                    Scope::Org(OrgCode::parse("G3NMHSADMIN-1").expect("a code")),
                ),
                ErrorTag::InvalidOrgcode,
            ),
        ] {
            let refused = world.vacuum(order).expect_err("refused");
            assert!(refused.is(tag), "{refused}");
        }
        assert_eq!(world.deps.journal.head().position, 0);
        world.vacuum(vacuum("v-1", Scope::All)).expect("asked");
        let again = world.vacuum(vacuum("v-1", Scope::All));
        assert_refused(again, ErrorTag::Conflict, "vacuum_id");
    });
}

#[test]
fn an_actor_refuses_a_message_about_another_one() {
    within(|world| {
        let context = OpsContext::new(world.deps.clone(), OpsSettings::default());
        let vacuums = VacuumContext::new(context.clone(), world.content.clone(), None);
        world.maintain(schedule(world, "mw-1")).expect("scheduled");
        let start = MaintenanceCommand::Start {
            maintenance_id: "mw-1".to_owned(),
        };
        world.maintain(start).expect("started");
        let before = world.deps.journal.head().position;
        let end_active = MaintenanceCommand::End {
            maintenance_id: None,
            message: None,
        };
        actix::System::new().block_on(async {
            for command in [schedule(world, "mw-3"), end_active] {
                let window = WindowActor::new("mw-2", context.clone()).start();
                let request = WindowRequest {
                    command,
                    caller: caller(),
                };
                let answer = window.send(request).await.expect("it runs");
                assert_refused(answer, ErrorTag::InvalidInput, "maintenance_id");
            }
            let actor = VacuumActor::new("v-1", vacuums.clone()).start();
            let request = VacuumRequest {
                order: vacuum("v-2", Scope::All),
                caller: caller(),
            };
            let answer = actor.send(request).await.expect("it runs");
            assert_refused(answer, ErrorTag::InvalidInput, "vacuum_id");
        });
        assert_eq!(world.deps.journal.head().position, before);
    });
}

#[test]
fn a_caller_that_cannot_be_journaled_is_refused() {
    within(|world| {
        let mut callers = vec![];
        for (by, request_id, field) in [
            ("", "r", "by"),
            ("a\nb", "r", "by"),
            ("a", "", "request_id"),
        ] {
            let mut wrong = caller();
            (wrong.by, wrong.request_id) = (by.to_owned(), request_id.to_owned());
            callers.push((wrong, field));
        }
        let mut wrong = caller();
        wrong.remarks.reason = Some("x".repeat(257));
        callers.push((wrong, "reason"));
        for (wrong, field) in callers {
            let asked = world
                .operations
                .maintain(schedule(world, "mw-1"), wrong.clone());
            assert_refused(wait(asked), ErrorTag::InvalidInput, field);
            let asked = world.operations.vacuum(vacuum("v-1", Scope::All), wrong);
            assert_refused(wait(asked), ErrorTag::InvalidInput, field);
        }
        assert_eq!(world.deps.journal.head().position, 0);
    });
}

/// A user without anything wrong.
fn create(user_id: &str, email: &str) -> UserCommand {
    UserCommand::Create {
        user_id: user_id.to_owned(),
        email: email.to_owned(),
        passcode_hash: "$scrypt$x".to_owned(),
        verified: true,
    }
}

#[test]
fn a_wrong_command_for_a_user_is_refused() {
    within(|world| {
        let directory = directory(world);
        let invalid = |command: UserCommand, field| {
            let answer = wait(directory.user(command, &caller()));
            assert_refused(answer, ErrorTag::InvalidInput, field);
        };
        for id in IDS {
            invalid(create(id, "ann@example.com"), "user_id");
        }
        for email in ["ann", "Ann@example.com", "ann@example.com\n"] {
            invalid(create("u-1", email), "email");
        }
        let plain = |user_id: &str| UserCommand::ResetPasscode {
            user_id: user_id.to_owned(),
            passcode_hash: "correct horse battery".to_owned(),
        };
        invalid(plain("u-1"), "passcode_hash");
        let open =
            |hash: &str, label: Option<&str>, address: Option<&str>| UserCommand::OpenSession {
                user_id: "u-1".to_owned(),
                session_hash: hash.to_owned(),
                label: label.map(str::to_owned),
                address_hash: address.map(str::to_owned),
            };
        let hash = "a".repeat(64);
        invalid(open("guid", None, None), "session_hash");
        invalid(open(&hash, Some("a\nb"), None), "label");
        invalid(open(&hash, Some(" a "), None), "label");
        invalid(open(&hash, None, Some("203.0.113.7")), "address_hash");
        let development = UserCommand::OpenDevelopmentSession {
            user_id: "u-1".to_owned(),
            session_hash: "guid".to_owned(),
        };
        invalid(development, "session_hash");
        assert_eq!(world.deps.journal.head().position, 0);
        let made = wait(directory.user(create("u-1", "ann@example.com"), &caller()));
        made.expect("nothing is wrong");
    });
}

#[test]
fn a_wrong_command_for_an_org_or_an_account_is_refused() {
    within(|world| {
        let directory = directory(world);
        let org = OrgCode::parse("ACME").expect("a code");
        let invalid = |command: OrgCommand, field| {
            let answer = wait(directory.org(command, &caller()));
            assert_refused(answer, ErrorTag::InvalidInput, field);
        };
        let make = |owner: &str| OrgCommand::Create {
            org: org.clone(),
            status: OrgStatus::Verified,
            owner: owner.to_owned(),
        };
        invalid(make("a b"), "owner_user_id");
        let unknown = wait(directory.org(make("nobody"), &caller()));
        assert!(unknown.expect_err("nobody").is(ErrorTag::NotFound));
        let add = |user_id: &str| OrgCommand::AddMember {
            org: org.clone(),
            user_id: user_id.to_owned(),
            role: MemberRole::Member,
        };
        invalid(add("a b"), "user_id");
        let unknown = wait(directory.org(add("nobody"), &caller()));
        assert!(unknown.expect_err("nobody").is(ErrorTag::NotFound));
        let hold = |reason: &str| OrgCommand::SetHold {
            org: org.clone(),
            container: None,
            reason: reason.to_owned(),
        };
        invalid(hold(" "), "reason");
        let quotas = |limits| OrgCommand::SetQuotas {
            org: org.clone(),
            limits,
        };
        invalid(quotas(BTreeMap::new()), "limits");
        let high = BTreeMap::from([(Quota::Records, Some(LIMIT_MAX + 1))]);
        invalid(quotas(high), Quota::Records.as_str());
        let invite = |id: &str, user_id: &str, label: Option<&str>| OrgCommand::Invite {
            org: org.clone(),
            invitation_id: id.to_owned(),
            user_id: user_id.to_owned(),
            role: MemberRole::Member,
            label: label.map(str::to_owned),
            expires_at: Timestamp::from_millis(0),
        };
        invalid(invite("a b", "u-1", None), "invitation_id");
        invalid(invite("i-1", "a\n", None), "user_id");
        invalid(invite("i-1", "u-1", Some("\u{7}")), "label");
        let account = |action, field: &str| {
            let name = AccountName {
                org: org.clone(),
                account_id: "a-1".to_owned(),
            };
            let answer = wait(directory.account(name, action, &caller()));
            assert_refused(answer, ErrorTag::InvalidInput, field);
        };
        let label = Some("x".repeat(81));
        account(AccountAction::Create { label }, "label");
        let key = |key_id: &str, hash: &str, network: &str| AccountAction::CreateKey {
            key_id: key_id.to_owned(),
            key_hash: hash.to_owned(),
            role: KeyRole::Reader,
            label: None,
            expires_at: None,
            allowed_addresses: vec![network.to_owned()],
        };
        let hash = "a".repeat(64);
        account(key("a b", &hash, "10.0.0.0/8"), "key_id");
        account(key("k-1", "g3nk_plain", "10.0.0.0/8"), "key_hash");
        account(key("k-1", &hash, "everywhere"), "allowed_addresses");
        account(key("k-1", &hash, "10.1.0.0/8"), "allowed_addresses");
        assert_eq!(world.deps.journal.head().position, 0);
    });
}

fn directory(world: &World) -> Arc<Directory> {
    Directory::new(
        world.deps.clone(),
        Arc::new(Signer::new([7; 32])),
        IdentitySettings::default(),
    )
}

#[test]
fn a_wrong_command_of_an_operator_is_refused() {
    within(|world| {
        let operations = &world.operations;
        let hash = "a".repeat(64);
        let token = |name: &str, token_hash: &str, scopes: Vec<TokenScope>, field| {
            let create = OperatorTokenCommand::Create {
                name: name.to_owned(),
                token_hash: token_hash.to_owned(),
                scopes,
                expires_at: None,
            };
            let answer = wait(operations.change_token(create, &caller()));
            assert_refused(answer.map(drop), ErrorTag::InvalidInput, field);
        };
        for name in IDS.iter().copied().chain(["operator"]) {
            token(name, &hash, vec![TokenScope::Read], "name");
        }
        token("t-1", "op_plain", vec![TokenScope::Read], "token_hash");
        token("t-1", &hash, Vec::new(), "scopes");
        for jti in ["", "a\nb", &*"x".repeat(256)] {
            let revoke = RevokeJwt {
                jti: jti.to_owned(),
                until: world.clock.now(),
            };
            let answer = wait(operations.revoke_jwt(revoke, &caller()));
            assert_refused(answer, ErrorTag::InvalidInput, "jti");
        }
        for code in ["", "short"] {
            let answer = wait(operations.set_code(code, None, ("f", "h"), &caller()));
            assert_refused(answer, ErrorTag::InvalidInput, "secret_code");
        }
        let org = OrgCode::parse("ACME").expect("a code");
        for reason in [" ".to_owned(), "x".repeat(257)] {
            let answer = wait(world.offboardings.request(&org, reason, &caller()));
            assert_refused(answer, ErrorTag::InvalidInput, "reason");
        }
        assert_eq!(world.deps.journal.head().position, 0);
    });
}
