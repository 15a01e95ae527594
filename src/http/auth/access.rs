//! Who may do what: the rights of each role, and what each route asks for. `routes.rs` names the right of every route.

use crate::domain::account::KeyRole;
use crate::domain::org::MemberRole;

/// What a route requires of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: credentials are ignored.
    Public,
    /// A good credential of any kind.
    Authenticated,
    /// A session: a person, and no program.
    UserSession,
    /// A right in the org that the call names. To others the org does not exist (404).
    Org(Right),
}

/// A right in an org that a route requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// See the records of the org.
    Read,
    /// Change the records of the org.
    Write,
    /// See the org itself and who belongs to it.
    ViewOrg,
    /// Manage the org, its members, its service accounts and their keys.
    Manage,
    /// See and cancel its offboarding, and download its export, also while it is frozen for that.
    Offboard,
}

/// How a caller belongs to an org.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A person who manages the org.
    Owner,
    /// A person who reads and changes records.
    Member,
    /// A program that reads and changes records.
    Writer,
    /// A program that reads records.
    Reader,
}

/// The role table: `mrs_reader` reads, `mrs_writer` writes too; active owners and members may do both.
pub const GRANTS: &[(Role, &[Right])] = &[
    (
        Role::Owner,
        &[
            Right::Read,
            Right::Write,
            Right::ViewOrg,
            Right::Manage,
            Right::Offboard,
        ],
    ),
    (Role::Member, &[Right::Read, Right::Write, Right::ViewOrg]),
    (Role::Writer, &[Right::Read, Right::Write]),
    (Role::Reader, &[Right::Read]),
];

impl Role {
    /// Every role by the text that tokens and headers name it with.
    const NAMES: [(&'static str, Self); 4] = [
        ("owner", Self::Owner),
        ("member", Self::Member),
        ("mrs_writer", Self::Writer),
        ("mrs_reader", Self::Reader),
    ];

    /// The role that a text names; `None` for one without rights.
    pub fn parse(text: &str) -> Option<Self> {
        let mut names = Self::NAMES.iter();
        names.find(|(name, _)| *name == text).map(|(_, role)| *role)
    }

    /// The text callers see.
    pub fn as_str(self) -> &'static str {
        let mut names = Self::NAMES.iter();
        names
            .find(|(_, role)| *role == self)
            .map_or("", |(name, _)| name)
    }

    /// Whether it has a right.
    pub fn may(self, right: Right) -> bool {
        let mut grants = GRANTS.iter();
        grants.any(|(role, rights)| *role == self && rights.contains(&right))
    }
}

impl From<MemberRole> for Role {
    fn from(role: MemberRole) -> Self {
        match role {
            MemberRole::Owner => Self::Owner,
            MemberRole::Member => Self::Member,
        }
    }
}

impl From<KeyRole> for Role {
    fn from(role: KeyRole) -> Self {
        match role {
            KeyRole::Writer => Self::Writer,
            KeyRole::Reader => Self::Reader,
        }
    }
}
