//! What is counted by its different names, and what a group of entries changed of an org's counts.

use crate::domain::quota::{Counts, OwnLimits, Quota};

/// A quota that counts the different names in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Named {
    /// Containers with at least one record.
    Container,
    /// Tags of at least one record.
    Tag,
}

impl Named {
    /// Both, in the order of quotas.
    pub const ALL: [Self; 2] = [Self::Container, Self::Tag];

    /// The quota that limits how many different ones there are.
    pub fn quota(self) -> Quota {
        match self {
            Self::Container => Quota::Containers,
            Self::Tag => Quota::Tags,
        }
    }

    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Container => b'c',
            Self::Tag => b't',
        }
    }
}

/// What became of one org's counts with a group of entries.
pub(in crate::projections) struct Shown {
    /// The code of the org.
    pub(super) org: String,
    /// The org's counts after the change.
    pub(super) counts: Counts,
    /// Names that came or went, and whether they are there now.
    pub(super) names: Vec<(Named, Box<str>, bool)>,
    /// Whether the org was counted again, so that nothing read of names before holds.
    pub(super) recounted: bool,
    /// The reservations that are settled by it.
    pub(super) settles: Vec<u64>,
    /// The limits set for it, when they changed.
    pub(super) own_limits: Option<OwnLimits>,
}
