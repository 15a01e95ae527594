//! What one org may have going on at once: the settings' numbers, or those that are kept for an org.

use std::sync::OnceLock;

use crate::domain::OrgCode;

/// What one org may have going on at once; 0 for no limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrgLimits {
    /// Requests being worked on.
    pub in_flight_max: u32,
    /// Uploads.
    pub uploads_max: u32,
    /// Downloads of content and of exports.
    pub downloads_max: u32,
}

/// Finds the limits of an org that has its own. It is asked for each request, and must not read from disk.
pub type FindOrgLimits = Box<dyn Fn(&OrgCode) -> Option<OrgLimits> + Send + Sync>;

/// The limits of every org.
pub struct LimitsOfOrgs {
    default: OrgLimits,
    find: OnceLock<FindOrgLimits>,
}

impl LimitsOfOrgs {
    /// All orgs have the same.
    pub fn new(default: OrgLimits) -> Self {
        Self {
            default,
            find: OnceLock::new(),
        }
    }

    /// Some orgs have their own from now on. Only the first call counts.
    pub fn find_by(&self, find: FindOrgLimits) {
        let _: Result<(), _> = self.find.set(find);
    }

    /// The limits of one org.
    pub fn of(&self, org: &OrgCode) -> OrgLimits {
        let own = self.find.get().and_then(|find| find(org));
        own.unwrap_or(self.default)
    }
}

impl std::fmt::Debug for LimitsOfOrgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LimitsOfOrgs")
            .field("default", &self.default)
            .finish_non_exhaustive()
    }
}
