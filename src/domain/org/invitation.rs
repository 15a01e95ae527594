//! Invitations to an org: no user becomes a member without accepting one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{MEMBERS_MAX, MemberRole, Org, OrgCommand, OrgEvent};
use crate::domain::{Context, ErrorTag, Rejection, Timestamp};

/// Open invitations of one org; they are kept in one row, of at most some 64 KiB.
pub const INVITATIONS_MAX: usize = 256;

/// An invitation that was neither answered nor withdrawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Names it in requests; a UUID.
    pub invitation_id: String,
    /// The user who may accept it, whether or not there is such a user yet.
    pub user_id: String,
    /// The role that comes with it.
    pub role: MemberRole,
    /// The owner's label for it.
    pub label: Option<String>,
    /// The owner who invited, by user id.
    pub invited_by: String,
    /// The time of the invitation.
    pub invited_at: Timestamp,
    /// The time from which it cannot be accepted.
    pub expires_at: Timestamp,
}

impl Invitation {
    /// Whether it can be accepted.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.expires_at > now
    }
}

/// The invitations of one org by id, at most one a user; some may be past their end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitations(pub BTreeMap<String, Invitation>);

impl Invitations {
    fn open(&self, invitation_id: &str, now: Timestamp) -> Result<&Invitation, Rejection> {
        let found = self.0.get(invitation_id);
        found
            .filter(|invitation| invitation.is_open(now))
            .ok_or_else(Rejection::not_found)
    }

    fn own(&self, id: &str, user_id: &str, now: Timestamp) -> Result<&Invitation, Rejection> {
        let found = self.open(id, now)?;
        if found.user_id == user_id {
            Ok(found)
        } else {
            Err(Rejection::not_found())
        }
    }

    /// Adds one in place of the user's last one, and forgets those past their end.
    pub(super) fn add(&mut self, invitation: Invitation) {
        let (now, user_id) = (invitation.invited_at, &invitation.user_id);
        self.0
            .retain(|_, there| there.is_open(now) && there.user_id != *user_id);
        self.0.insert(invitation.invitation_id.clone(), invitation);
    }

    /// Forgets one that is over.
    pub(super) fn remove(&mut self, invitation_id: &str) {
        self.0.remove(invitation_id);
    }
}

impl OrgCommand {
    /// The decision needs the org's invitations.
    pub fn about_invitation(&self) -> bool {
        matches!(
            self,
            Self::Invite { .. }
                | Self::WithdrawInvitation { .. }
                | Self::AcceptInvitation { .. }
                | Self::DeclineInvitation { .. }
        )
    }
}

impl OrgEvent {
    /// Whether the event changes the org's invitations.
    pub fn about_invitation(&self) -> bool {
        matches!(
            self,
            Self::Invited { .. }
                | Self::InvitationAccepted { .. }
                | Self::InvitationDeclined { .. }
                | Self::InvitationWithdrawn { .. }
        )
    }
}

/// What a command about an invitation leads to; `None` for other commands.
pub(super) fn decide(
    state: &Org,
    command: &OrgCommand,
    context: &Context,
) -> Result<Option<Vec<OrgEvent>>, Rejection> {
    let (invitations, now) = (&state.invitations, context.now);
    Ok(Some(match command {
        OrgCommand::Invite { .. } => vec![state.invite(command, now)?],
        OrgCommand::WithdrawInvitation { invitation_id, .. } => {
            let absent = |_| {
                let message = "There is no such open invitation: it was answered or withdrawn, has expired, or never existed.";
                Rejection::absent(message)
            };
            invitations.open(invitation_id, now).map_err(absent)?;
            vec![OrgEvent::InvitationWithdrawn {
                invitation_id: invitation_id.clone(),
            }]
        }
        OrgCommand::DeclineInvitation {
            invitation_id,
            user_id,
            ..
        } => {
            invitations.own(invitation_id, user_id, now)?;
            vec![OrgEvent::InvitationDeclined {
                invitation_id: invitation_id.clone(),
            }]
        }
        OrgCommand::AcceptInvitation {
            invitation_id,
            user_id,
            ..
        } => state.accept(invitation_id, user_id, now)?,
        OrgCommand::Create { .. }
        | OrgCommand::SetStatus { .. }
        | OrgCommand::Park { .. }
        | OrgCommand::Unpark { .. }
        | OrgCommand::AddMember { .. }
        | OrgCommand::RemoveMember { .. }
        | OrgCommand::SetHold { .. }
        | OrgCommand::ReleaseHold { .. }
        | OrgCommand::SetQuotas { .. } => return Ok(None),
    }))
}

impl Org {
    fn invite(&self, command: &OrgCommand, now: Timestamp) -> Result<OrgEvent, Rejection> {
        let OrgCommand::Invite {
            invitation_id,
            user_id,
            role,
            label,
            expires_at,
            ..
        } = command
        else {
            return Err(Rejection::not_found());
        };
        if self.subject.is_some() {
            let message = "This user is already a member; change the role with /ofm/member/add.";
            return Err(Rejection::new(ErrorTag::Conflict, message).with_minor("member"));
        }
        let there = self.invitations.0.values();
        let others = there.filter(|there| there.is_open(now) && there.user_id != *user_id);
        if others.count() >= INVITATIONS_MAX {
            let message = format!(
                "The org has {INVITATIONS_MAX} open invitations; withdraw some, or wait until they are answered."
            );
            return Err(
                Rejection::new(ErrorTag::InvalidState, message).with_minor("too-many-invitations")
            );
        }
        Ok(OrgEvent::Invited {
            invitation_id: invitation_id.clone(),
            user_id: user_id.clone(),
            role: *role,
            label: label.clone(),
            expires_at: *expires_at,
        })
    }

    fn accept(
        &self,
        invitation_id: &str,
        user_id: &str,
        now: Timestamp,
    ) -> Result<Vec<OrgEvent>, Rejection> {
        let found = self.invitations.own(invitation_id, user_id, now)?;
        let accepted = OrgEvent::InvitationAccepted {
            invitation_id: invitation_id.to_owned(),
        };
        if self.subject.is_some() {
            return Ok(vec![accepted]);
        }
        self.check_room()?;
        let added = OrgEvent::MemberAdded {
            user_id: user_id.to_owned(),
            role: found.role,
        };
        Ok(vec![accepted, added])
    }

    /// Whether one more user can join.
    ///
    /// # Errors
    /// `invalid-state` at [`MEMBERS_MAX`].
    pub(super) fn check_room(&self) -> Result<(), Rejection> {
        if self.members >= MEMBERS_MAX {
            Err(Rejection::new(
                ErrorTag::InvalidState,
                format!("The org already has {MEMBERS_MAX} members, the maximum."),
            ))
        } else {
            Ok(())
        }
    }
}
