//! An org: its status and who belongs to it.

use serde::{Deserialize, Serialize};

/// Whether an org may be written to and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrgStatus {
    /// Created, not yet confirmed.
    Unverified,
    /// In normal use.
    Verified,
    /// Set aside by its owner.
    Parked,
    /// Stopped by the operator.
    Suspended,
    /// Neither written nor read.
    Frozen,
    /// Gone for good.
    Doomed,
}

impl OrgStatus {
    /// Tenants may write.
    pub fn writable(self) -> bool {
        self == Self::Verified
    }

    /// Tenants may read.
    pub fn readable(self) -> bool {
        self != Self::Frozen
    }
}

/// How a user belongs to an org.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// Manages the org.
    Owner,
    /// Uses it.
    Member,
}

/// What can happen to an org.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum OrgEvent {
    /// The org came to be.
    #[serde(rename = "org.created")]
    Created {
        /// Its first status.
        status: OrgStatus,
    },
    /// The status changed.
    #[serde(rename = "org.status_set")]
    StatusSet {
        /// The new status.
        status: OrgStatus,
    },
    /// A user joined, or the role of a member changed.
    #[serde(rename = "org.member_added")]
    MemberAdded {
        /// The user.
        user_id: String,
        /// The role from now on.
        role: MemberRole,
    },
    /// A user left.
    #[serde(rename = "org.member_removed")]
    MemberRemoved {
        /// The user.
        user_id: String,
    },
}
