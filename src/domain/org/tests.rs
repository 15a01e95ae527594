//! Orgs as commands make them: who owns them, what their status allows, and legal holds.

use super::super::{Context, Decider, ErrorTag, EventMeta, hold};
use super::*;

fn org() -> OrgCode {
    OrgCode::parse("one").unwrap()
}

fn create() -> OrgCommand {
    OrgCommand::Create {
        org: org(),
        status: OrgStatus::Verified,
        owner: "ann".to_owned(),
    }
}

fn add(user: &str, role: MemberRole) -> OrgCommand {
    OrgCommand::AddMember {
        org: org(),
        user_id: user.to_owned(),
        role,
    }
}

fn remove(user: &str) -> OrgCommand {
    OrgCommand::RemoveMember {
        org: org(),
        user_id: user.to_owned(),
    }
}

/// Executes commands, finding memberships as the projection does.
fn given(commands: &[OrgCommand]) -> Result<Org, ErrorTag> {
    let mut roles = std::collections::BTreeMap::new();
    let mut state = Org::default();
    let at = Timestamp::from_millis(0);
    for command in commands {
        state.subject = command.subject().and_then(|user| roles.get(user)).copied();
        let context = Context {
            now: at,
            by: "t".to_owned(),
        };
        let events = OrgDecider::decide(&state, command, &context);
        for event in events.map_err(|rejection| rejection.tag)? {
            let occurrence = EventMeta {
                at,
                by: "t",
                actor: None,
                position: 1,
                version: state.version + 1,
            };
            state = OrgDecider::evolve(state, &event, occurrence);
            match event {
                OrgEvent::MemberAdded { user_id, role } => drop(roles.insert(user_id, role)),
                OrgEvent::MemberRemoved { user_id } => drop(roles.remove(&user_id)),
                OrgEvent::Created { .. }
                | OrgEvent::StatusSet { .. }
                | OrgEvent::HoldSet { .. }
                | OrgEvent::HoldReleased { .. }
                | OrgEvent::QuotasSet { .. }
                | OrgEvent::Invited { .. }
                | OrgEvent::InvitationAccepted { .. }
                | OrgEvent::InvitationDeclined { .. }
                | OrgEvent::InvitationWithdrawn { .. } => {}
            }
        }
    }
    Ok(state)
}

#[test]
fn an_org_always_has_an_owner() {
    use MemberRole::{Member, Owner};
    let counts = |commands: &[OrgCommand]| given(commands).map(|org| (org.owners, org.members));
    assert_eq!(counts(&[create()]), Ok((1, 1)));
    assert_eq!(
        counts(&[create(), remove("ann")]),
        Err(ErrorTag::InvalidState)
    );
    assert_eq!(
        counts(&[create(), add("ann", Member)]),
        Err(ErrorTag::InvalidState)
    );
    assert_eq!(
        counts(&[create(), add("bob", Member), add("bob", Member)]),
        Ok((1, 2))
    );
    assert_eq!(
        counts(&[create(), add("bob", Owner), remove("ann")]),
        Ok((1, 1))
    );
    assert_eq!(
        counts(&[
            create(),
            add("bob", Owner),
            add("ann", Member),
            remove("bob")
        ]),
        Err(ErrorTag::InvalidState)
    );
    assert_eq!(counts(&[create(), remove("bob")]), Err(ErrorTag::NotFound));
}

#[test]
fn owners_park_and_operators_do_the_rest() {
    let (park, unpark) = (
        OrgCommand::Park { org: org() },
        OrgCommand::Unpark { org: org() },
    );
    let set = |status| OrgCommand::SetStatus { org: org(), status };
    let status = |commands: &[OrgCommand]| {
        let commands: Vec<_> = std::iter::once(create()).chain(commands.to_vec()).collect();
        given(&commands).map(|org| org.status.unwrap())
    };
    assert_eq!(status(&[park.clone(), park.clone()]), Ok(OrgStatus::Parked));
    assert_eq!(
        status(&[park.clone(), unpark.clone()]),
        Ok(OrgStatus::Verified)
    );
    for blocked in [
        OrgStatus::Suspended,
        OrgStatus::Frozen,
        OrgStatus::Unverified,
    ] {
        assert_eq!(
            status(&[set(blocked), park.clone()]),
            Err(ErrorTag::InvalidState)
        );
        assert_eq!(
            status(&[set(blocked), unpark.clone()]),
            Err(ErrorTag::InvalidState)
        );
        assert_eq!(
            status(&[set(blocked), set(OrgStatus::Verified)]),
            Ok(OrgStatus::Verified)
        );
    }
    let doomed = [set(OrgStatus::Doomed), set(OrgStatus::Verified)];
    assert_eq!(status(&doomed), Err(ErrorTag::InvalidState));
    assert_eq!(given(&[create(), create()]), Err(ErrorTag::Conflict));
    assert_eq!(given(&[set(OrgStatus::Verified)]), Err(ErrorTag::NotFound));
}

#[test]
fn operators_hold_an_org_and_its_containers_whatever_its_status() {
    let notes = ContainerName::parse("notes").unwrap();
    let set = |container: Option<&ContainerName>, reason: &str| OrgCommand::SetHold {
        org: org(),
        container: container.cloned(),
        reason: reason.to_owned(),
    };
    let release = |container: Option<&ContainerName>| OrgCommand::ReleaseHold {
        org: org(),
        container: container.cloned(),
    };
    let doom = OrgCommand::SetStatus {
        org: org(),
        status: OrgStatus::Doomed,
    };
    let held = |commands: &[OrgCommand]| {
        let org = given(commands)?;
        let reason = |hold: &hold::Hold| hold.reason.clone();
        let container = org.holds.find(Some(&notes)).map(reason);
        Ok::<_, ErrorTag>((org.holds.org.as_ref().map(reason), container, org.version))
    };
    let text = |text: &str| Some(text.to_owned());
    // Making the org is two events.
    assert_eq!(
        held(&[
            create(),
            doom,
            set(None, "suit"),
            set(Some(&notes), "audit")
        ]),
        Ok((text("suit"), text("audit"), 5))
    );
    assert_eq!(
        held(&[
            create(),
            set(None, "suit"),
            set(None, "suit"),
            release(Some(&notes))
        ]),
        Ok((text("suit"), None, 3)),
        "what changes nothing is no event"
    );
    assert_eq!(
        held(&[
            create(),
            set(Some(&notes), "a"),
            release(Some(&notes)),
            set(None, "b"),
            release(None)
        ]),
        Ok((None, None, 6))
    );
    assert_eq!(held(&[set(None, "suit")]), Err(ErrorTag::NotFound));
    let many = (0..=hold::CONTAINERS_MAX).map(|number| {
        let name = ContainerName::parse(&format!("c{number}")).unwrap();
        set(Some(&name), "suit")
    });
    let many: Vec<_> = std::iter::once(create()).chain(many).collect();
    assert_eq!(held(&many), Err(ErrorTag::InvalidState));
    assert!(held(&many[..many.len() - 1]).is_ok());
}

#[test]
fn limits_that_hold_already_are_no_event_and_one_taken_back_is_the_settings_again() {
    let set = |limits: &[(Quota, Option<u64>)]| OrgCommand::SetQuotas {
        org: OrgCode::parse("one").unwrap(),
        limits: limits.iter().copied().collect(),
    };
    let records = |limit| set(&[(Quota::Records, limit)]);
    let org = given(&[create(), records(Some(5)), records(Some(5))]).unwrap();
    assert_eq!((org.version, org.own_limits.len()), (3, 1));
    let org = given(&[create(), records(Some(0)), records(None), records(None)]).unwrap();
    assert_eq!((org.version, org.own_limits.len()), (4, 0));
}

#[test]
fn an_org_has_only_so_many_open_invitations() {
    let invite = |number: usize| OrgCommand::Invite {
        org: org(),
        invitation_id: format!("i-{number}"),
        user_id: format!("u-{number}"),
        role: MemberRole::Member,
        label: None,
        expires_at: Timestamp::from_millis(1_000),
    };
    let withdraw = |number: usize| OrgCommand::WithdrawInvitation {
        org: org(),
        invitation_id: format!("i-{number}"),
    };
    let full = || std::iter::once(create()).chain((0..INVITATIONS_MAX).map(invite));
    let open = |more: &[OrgCommand]| {
        let commands: Vec<_> = full().chain(more.iter().cloned()).collect();
        given(&commands).map(|org| org.invitations.0.len())
    };
    assert_eq!(open(&[]), Ok(INVITATIONS_MAX));
    assert_eq!(
        open(&[invite(INVITATIONS_MAX)]),
        Err(ErrorTag::InvalidState)
    );
    // An invited user is invited again, and one taken back makes room.
    assert_eq!(open(&[invite(7)]), Ok(INVITATIONS_MAX));
    let again = [withdraw(7), invite(INVITATIONS_MAX)];
    assert_eq!(open(&again), Ok(INVITATIONS_MAX));
}
