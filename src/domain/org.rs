//! An org: its status and who belongs to it.

mod decide;
mod invitation;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::declare::events;
use super::hold::LegalHolds;
use super::quota::{OwnLimits, Quota, check_limits};
use super::user;
use super::{ContainerName, OrgCode, Rejection, Timestamp, check, hold};

pub use invitation::{INVITATIONS_MAX, Invitation, Invitations};

pub use decide::OrgDecider;

/// Most owners and members of one org.
pub const MEMBERS_MAX: u64 = 10_000;

/// Whether an org may be written to and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrgStatus {
    /// Created, not yet confirmed.
    Unverified,
    /// In use: members read and write.
    Verified,
    /// Closed for changes by its owner.
    Parked,
    /// Stopped by the operator.
    Suspended,
    /// Neither written nor read.
    Frozen,
    /// Ended for good; nothing of it is served.
    Doomed,
}

impl OrgStatus {
    /// All of them, in the order of an org's life.
    pub const ALL: [Self; 6] = [
        Self::Unverified,
        Self::Verified,
        Self::Parked,
        Self::Suspended,
        Self::Frozen,
        Self::Doomed,
    ];

    /// The text callers see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Verified => "verified",
            Self::Parked => "parked",
            Self::Suspended => "suspended",
            Self::Frozen => "frozen",
            Self::Doomed => "doomed",
        }
    }

    /// Whether tenants may write in this status.
    pub fn writable(self) -> bool {
        self == Self::Verified
    }

    /// Whether tenants may read in this status.
    pub fn readable(self) -> bool {
        self != Self::Frozen
    }
}

/// The role of a user in an org.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// Manages members, keys and the org itself.
    Owner,
    /// Reads and writes its records.
    Member,
}

impl MemberRole {
    /// The text callers see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member => "member",
        }
    }
}

/// An org as its events made it, with the one membership a command is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Org {
    /// The version of the stream; 0 when there is no such org.
    pub version: u64,
    /// Its status; `None` when there is no such org.
    pub status: Option<OrgStatus>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// When its status changed last.
    pub status_at: Option<Timestamp>,
    /// How many owners it has.
    pub owners: u64,
    /// How many owners and members it has.
    pub members: u64,
    /// The role of the user a command or event names, if that is one of its own. Not kept: it is looked up each time.
    #[serde(skip)]
    pub subject: Option<MemberRole>,
    /// Its legal holds. A projection of their own, because nearly every request reads an org and few need its holds.
    #[serde(skip)]
    pub holds: LegalHolds,
    /// The limits set for it alone. A projection of their own, as its holds are.
    #[serde(skip)]
    pub own_limits: OwnLimits,
    /// Its invitations. A projection of their own for the same reason.
    #[serde(skip)]
    pub invitations: Invitations,
}

events! {
    /// The events of an org.
    pub enum OrgEvent {
        /// The org begins.
        #[event("org.created", 1)]
        Created {
            /// Status that it begins with.
            status: OrgStatus,
        },
        /// The org got another status.
        #[event("org.status_set", 1)]
        StatusSet {
            /// Status from now on.
            status: OrgStatus,
        },
        /// A user is a member from now on, or has another role.
        #[event("org.member_added", 1)]
        MemberAdded {
            /// Id of the user.
            user_id: String,
            /// The role from now on.
            role: MemberRole,
        },
        /// A user is no member any more.
        #[event("org.member_removed", 1)]
        MemberRemoved {
            /// Id of the user.
            user_id: String,
        },
        /// Legal hold: nothing of the org, or of one of its containers, is removed, and records do not end at their due times;
            /// over a hold, the hold has another reason.
        #[event("org.hold_set", 1)]
        HoldSet {
            /// Container to hold; absent for the whole org.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            container: Option<ContainerName>,
            /// Reason in the caller's words.
            reason: String,
        },
        /// That legal hold is over.
        #[event("org.hold_released", 1)]
        HoldReleased {
            /// Container whose hold is released; absent for the org's own.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            container: Option<ContainerName>,
        },
        /// The org has limits of its own in place of those of the settings. In an entry with the source `import` it is history and
        /// sets nothing.
        #[event("org.quotas_set", 1)]
        QuotasSet {
            /// By quota: the limit, 0 for none; `null` for that of the settings again.
            limits: BTreeMap<Quota, Option<u64>>,
        },
        /// A user was invited, in place of any earlier invitation of the same user.
        #[event("org.invited", 1)]
        Invited {
            /// The invitation's public id.
            invitation_id: String,
            /// The user, whether or not there is one with this id yet. The e-mail address is not kept.
            user_id: String,
            /// The role that comes with it.
            role: MemberRole,
            /// The owner's label for it.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            label: Option<String>,
            /// The time from which it cannot be accepted.
            expires_at: Timestamp,
        },
        /// The user said yes; `org.member_added` follows in the same entry unless the user belonged to the org already.
        #[event("org.invitation_accepted", 1)]
        InvitationAccepted {
            /// The invitation's public id.
            invitation_id: String,
        },
        /// The user said no.
        #[event("org.invitation_declined", 1)]
        InvitationDeclined {
            /// The invitation's public id.
            invitation_id: String,
        },
        /// An owner took it back.
        #[event("org.invitation_withdrawn", 1)]
        InvitationWithdrawn {
            /// The invitation's public id.
            invitation_id: String,
        },
    }
}

impl OrgEvent {
    /// The user whom the event makes a member, or who may become one by it.
    pub fn joining(&self) -> Option<&str> {
        match self {
            Self::MemberAdded { user_id, .. } | Self::Invited { user_id, .. } => Some(user_id),
            Self::Created { .. }
            | Self::StatusSet { .. }
            | Self::MemberRemoved { .. }
            | Self::HoldSet { .. }
            | Self::HoldReleased { .. }
            | Self::QuotasSet { .. }
            | Self::InvitationAccepted { .. }
            | Self::InvitationDeclined { .. }
            | Self::InvitationWithdrawn { .. } => None,
        }
    }
}

/// The commands on an org.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrgCommand {
    /// Make it, with its first owner.
    Create {
        /// Code of the new org.
        org: OrgCode,
        /// Status that it begins with.
        status: OrgStatus,
        /// The user who owns it.
        owner: String,
    },
    /// Set its status, as an operator.
    SetStatus {
        /// Code of the org.
        org: OrgCode,
        /// Status from now on.
        status: OrgStatus,
    },
    /// Close it for changes, as its owner.
    Park {
        /// Code of the org.
        org: OrgCode,
    },
    /// Take it up again, as its owner.
    Unpark {
        /// Code of the org.
        org: OrgCode,
    },
    /// Have a user join, or change the role of one who has.
    AddMember {
        /// Code of the org.
        org: OrgCode,
        /// Id of the user.
        user_id: String,
        /// The role from now on.
        role: MemberRole,
    },
    /// Have a user leave.
    RemoveMember {
        /// Code of the org.
        org: OrgCode,
        /// Id of the user.
        user_id: String,
    },
    /// Have nothing removed of it, as an operator.
    SetHold {
        /// Code of the org.
        org: OrgCode,
        /// Container to hold; `None` for the whole org.
        container: Option<ContainerName>,
        /// Reason in the caller's words.
        reason: String,
    },
    /// Releases a hold of the org or of a container.
    ReleaseHold {
        /// Code of the org.
        org: OrgCode,
        /// Container whose hold is released; `None` for the org's own.
        container: Option<ContainerName>,
    },
    /// Have other limits hold for it, as an operator.
    SetQuotas {
        /// Code of the org.
        org: OrgCode,
        /// By quota: the limit, 0 for none; `None` for that of the settings again.
        limits: BTreeMap<Quota, Option<u64>>,
    },
    /// Invite a user, as an owner.
    Invite {
        /// The org that the person is invited to.
        org: OrgCode,
        /// The new invitation's public id.
        invitation_id: String,
        /// The user who may accept it.
        user_id: String,
        /// The role that comes with it.
        role: MemberRole,
        /// The owner's label for it.
        label: Option<String>,
        /// The time from which it cannot be accepted.
        expires_at: Timestamp,
    },
    /// Take an invitation back, as an owner.
    WithdrawInvitation {
        /// The org that the person joins.
        org: OrgCode,
        /// The id of the invitation that is accepted.
        invitation_id: String,
    },
    /// Join the org, as the invited user.
    AcceptInvitation {
        /// The org that sent the invitation.
        org: OrgCode,
        /// The id of the invitation that is declined.
        invitation_id: String,
        /// The user who asks.
        user_id: String,
    },
    /// Refuse to join the org, as the invited user.
    DeclineInvitation {
        /// The org that takes it back.
        org: OrgCode,
        /// The id of the invitation that is withdrawn.
        invitation_id: String,
        /// The user who asks.
        user_id: String,
    },
}

impl OrgCommand {
    /// Whether what it says can be carried out at all, whatever the org is.
    ///
    /// # Errors
    /// `invalid-input` naming the field.
    pub fn check(&self) -> Result<(), Rejection> {
        match self {
            Self::Create { owner, .. } => check::id("owner_user_id", owner),
            Self::AddMember { user_id, .. } | Self::RemoveMember { user_id, .. } => {
                check::id("user_id", user_id)
            }
            Self::SetHold { reason, .. } => hold::reason(Some(reason)).map(drop),
            Self::SetQuotas { limits, .. } => check_limits(limits),
            Self::Invite {
                invitation_id,
                user_id,
                label,
                ..
            } => {
                check::id("invitation_id", invitation_id)?;
                check::id("user_id", user_id)?;
                user::check_label("label", label.as_deref())
            }
            Self::WithdrawInvitation { .. }
            | Self::AcceptInvitation { .. }
            | Self::DeclineInvitation { .. }
            | Self::SetStatus { .. }
            | Self::Park { .. }
            | Self::Unpark { .. }
            | Self::ReleaseHold { .. } => Ok(()),
        }
    }

    /// The org it is about.
    pub fn org(&self) -> &OrgCode {
        match self {
            Self::Create { org, .. }
            | Self::SetStatus { org, .. }
            | Self::Park { org }
            | Self::Unpark { org }
            | Self::AddMember { org, .. }
            | Self::RemoveMember { org, .. }
            | Self::SetHold { org, .. }
            | Self::ReleaseHold { org, .. }
            | Self::SetQuotas { org, .. }
            | Self::Invite { org, .. }
            | Self::WithdrawInvitation { org, .. }
            | Self::AcceptInvitation { org, .. }
            | Self::DeclineInvitation { org, .. } => org,
        }
    }

    /// The user it names.
    pub fn subject(&self) -> Option<&str> {
        match self {
            Self::Create { owner, .. } => Some(owner),
            Self::AddMember { user_id, .. }
            | Self::RemoveMember { user_id, .. }
            | Self::Invite { user_id, .. }
            | Self::AcceptInvitation { user_id, .. } => Some(user_id),
            Self::WithdrawInvitation { .. }
            | Self::DeclineInvitation { .. }
            | Self::SetStatus { .. }
            | Self::Park { .. }
            | Self::Unpark { .. }
            | Self::SetHold { .. }
            | Self::ReleaseHold { .. }
            | Self::SetQuotas { .. } => None,
        }
    }
}
