//! The rules of orgs: what their members, owners and operators may do.

use std::collections::BTreeMap;

use super::super::quota::Quota;
use super::super::{Aggregate, Context, Decider, ErrorTag, EventMeta, Rejection, StreamId, hold};
use super::invitation::{self, Invitation};
use super::{MemberRole, Org, OrgCommand, OrgEvent, OrgStatus};

/// Rules of an org's stream.
pub struct OrgDecider;

impl Decider for OrgDecider {
    type Command = OrgCommand;
    type State = Org;
    type Event = OrgEvent;

    fn decide(
        state: &Org,
        command: &OrgCommand,
        context: &Context,
    ) -> Result<Vec<OrgEvent>, Rejection> {
        if let OrgCommand::Create { status, owner, .. } = command {
            if state.status.is_some() {
                return Err(Rejection::new(
                    ErrorTag::Conflict,
                    "An org with this code already exists.",
                )
                .with_minor("orgcode")
                .already_there_if(
                    state.status == Some(*status) && state.subject == Some(MemberRole::Owner),
                ));
            }
            let owner = OrgEvent::MemberAdded {
                user_id: owner.clone(),
                role: MemberRole::Owner,
            };
            return Ok(vec![OrgEvent::Created { status: *status }, owner]);
        }
        let Some(now) = state.status else {
            return Err(Rejection::not_found());
        };
        if let Some(events) = decide_hold(state, command)? {
            return Ok(events);
        }
        if now == OrgStatus::Doomed {
            return Err(wrong_status(now, "is gone for good"));
        }
        if let Some(events) = invitation::decide(state, command, context)? {
            return Ok(events);
        }
        Ok(match command {
            OrgCommand::Create { .. }
            | OrgCommand::SetHold { .. }
            | OrgCommand::ReleaseHold { .. }
            | OrgCommand::Invite { .. }
            | OrgCommand::WithdrawInvitation { .. }
            | OrgCommand::AcceptInvitation { .. }
            | OrgCommand::DeclineInvitation { .. } => Vec::new(),
            OrgCommand::SetStatus { status, .. } => change(now, *status),
            OrgCommand::SetQuotas { limits, .. } => state.set_quotas(limits),
            OrgCommand::Park { .. } => match now {
                OrgStatus::Verified | OrgStatus::Parked => change(now, OrgStatus::Parked),
                _ => return Err(wrong_status(now, "cannot be parked")),
            },
            OrgCommand::Unpark { .. } => match now {
                OrgStatus::Verified | OrgStatus::Parked => change(now, OrgStatus::Verified),
                _ => return Err(wrong_status(now, "cannot be unparked")),
            },
            OrgCommand::AddMember { user_id, role, .. } => {
                if state.subject == Some(*role) {
                    return Ok(Vec::new());
                }
                if state.subject.is_none() {
                    state.check_room()?;
                }
                state.check_last_owner()?;
                vec![OrgEvent::MemberAdded {
                    user_id: user_id.clone(),
                    role: *role,
                }]
            }
            OrgCommand::RemoveMember { user_id, .. } => {
                if state.subject.is_none() {
                    let message = "There is no such member of this org.";
                    return Err(Rejection::absent(message));
                }
                state.check_last_owner()?;
                vec![OrgEvent::MemberRemoved {
                    user_id: user_id.clone(),
                }]
            }
        })
    }

    fn evolve(mut state: Org, event: &OrgEvent, occurrence: EventMeta<'_>) -> Org {
        state.version = occurrence.version;
        match event {
            OrgEvent::Created { status } => {
                state.status = Some(*status);
                state.created_at = Some(occurrence.at);
                state.status_at = Some(occurrence.at);
            }
            OrgEvent::StatusSet { status } => {
                state.status = Some(*status);
                state.status_at = Some(occurrence.at);
            }
            OrgEvent::MemberAdded { role, .. } => state.becomes(Some(*role)),
            OrgEvent::MemberRemoved { .. } => state.becomes(None),
            OrgEvent::HoldSet { container, reason } => {
                state.holds.set(container.as_ref(), reason, occurrence);
            }
            OrgEvent::HoldReleased { container } => state.holds.release(container.as_ref()),
            OrgEvent::QuotasSet { limits } => {
                for (quota, limit) in limits {
                    match limit {
                        Some(limit) => state.own_limits.insert(*quota, *limit),
                        None => state.own_limits.remove(quota),
                    };
                }
            }
            OrgEvent::Invited {
                invitation_id,
                user_id,
                role,
                label,
                expires_at,
            } => state.invitations.add(Invitation {
                invitation_id: invitation_id.clone(),
                user_id: user_id.clone(),
                role: *role,
                label: label.clone(),
                invited_by: occurrence.by.to_owned(),
                invited_at: occurrence.at,
                expires_at: *expires_at,
            }),
            OrgEvent::InvitationAccepted { invitation_id }
            | OrgEvent::InvitationDeclined { invitation_id }
            | OrgEvent::InvitationWithdrawn { invitation_id } => {
                state.invitations.remove(invitation_id);
            }
        }
        state
    }
}

impl Aggregate for OrgDecider {
    fn initial(stream: &StreamId) -> Option<Org> {
        stream.org_code().map(|_| Org::default())
    }

    fn version(state: &Org) -> u64 {
        state.version
    }
}

impl Org {
    /// The event that sets what is not so already.
    fn set_quotas(&self, limits: &BTreeMap<Quota, Option<u64>>) -> Vec<OrgEvent> {
        let mut limits = limits.clone();
        limits.retain(|quota, limit| self.own_limits.get(quota) != limit.as_ref());
        if limits.is_empty() {
            Vec::new()
        } else {
            vec![OrgEvent::QuotasSet { limits }]
        }
    }

    /// Keeps the last owner: an org without an owner could not be managed.
    fn check_last_owner(&self) -> Result<(), Rejection> {
        if self.subject == Some(MemberRole::Owner) && self.owners <= 1 {
            Err(Rejection::new(
                ErrorTag::InvalidState,
                "This is the org's last owner; add another owner first.",
            )
            .with_minor("last-owner"))
        } else {
            Ok(())
        }
    }

    fn becomes(&mut self, role: Option<MemberRole>) {
        let count = |role: Option<MemberRole>| {
            (
                u64::from(role == Some(MemberRole::Owner)),
                u64::from(role.is_some()),
            )
        };
        let (before, after) = (count(self.subject), count(role));
        self.owners = (self.owners + after.0).saturating_sub(before.0);
        self.members = (self.members + after.1).saturating_sub(before.1);
        self.subject = role;
    }
}

/// What a command about a hold leads to, whatever the org's status; `None` for other commands.
fn decide_hold(state: &Org, command: &OrgCommand) -> Result<Option<Vec<OrgEvent>>, Rejection> {
    Ok(Some(match command {
        OrgCommand::SetHold {
            container, reason, ..
        } => {
            let there = state.holds.find(container.as_ref());
            if there.is_some_and(|hold| hold.reason == *reason) {
                return Ok(Some(Vec::new()));
            }
            let full = state.holds.containers.len() >= hold::CONTAINERS_MAX;
            if full && there.is_none() && container.is_some() {
                return Err(Rejection::new(
                    ErrorTag::InvalidState,
                    format!(
                        "The org has legal holds on {} containers; hold the whole org.",
                        hold::CONTAINERS_MAX
                    ),
                ));
            }
            vec![OrgEvent::HoldSet {
                container: container.clone(),
                reason: reason.clone(),
            }]
        }
        OrgCommand::ReleaseHold { container, .. } => match state.holds.find(container.as_ref()) {
            Some(_) => vec![OrgEvent::HoldReleased {
                container: container.clone(),
            }],
            None => Vec::new(),
        },
        OrgCommand::Create { .. }
        | OrgCommand::SetStatus { .. }
        | OrgCommand::Park { .. }
        | OrgCommand::Unpark { .. }
        | OrgCommand::AddMember { .. }
        | OrgCommand::RemoveMember { .. }
        | OrgCommand::SetQuotas { .. }
        | OrgCommand::Invite { .. }
        | OrgCommand::WithdrawInvitation { .. }
        | OrgCommand::AcceptInvitation { .. }
        | OrgCommand::DeclineInvitation { .. } => return Ok(None),
    }))
}

fn change(now: OrgStatus, wanted: OrgStatus) -> Vec<OrgEvent> {
    if now == wanted {
        Vec::new()
    } else {
        vec![OrgEvent::StatusSet { status: wanted }]
    }
}

fn wrong_status(status: OrgStatus, what: &str) -> Rejection {
    Rejection::new(
        ErrorTag::InvalidState,
        format!("The org is {} and {what}.", status.as_str()),
    )
    .with_detail("status", status.as_str())
}
