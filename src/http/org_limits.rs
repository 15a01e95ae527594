//! What one org may have in progress at once: the settings' numbers, or those that are stored for an org.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::quota::{COUNTED, Exceeded, Quota};
use crate::domain::{OrgCode, Rejection};

/// What one org may have in progress at once; 0 for no limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrgLimits {
    /// Requests that are being worked on.
    pub in_flight_max: u32,
    /// Uploads in progress at once.
    pub uploads_max: u32,
    /// Downloads of content and of exports.
    pub downloads_max: u32,
}

/// Returns the limits of an org for which an operator has set some. It is called for each request, and must not read
/// from disk.
pub type FindOrgLimits = Box<dyn Fn(&OrgCode) -> Option<OrgLimits> + Send + Sync>;

/// The limits of every org.
pub struct LimitsOfOrgs {
    default: OrgLimits,
    find: OnceLock<FindOrgLimits>,
    /// Requests that were refused, for the quotas of [`Quota::ALL`] that follow the counted ones, in that order.
    refused: [AtomicU64; Quota::ALL.len() - COUNTED],
}

impl LimitsOfOrgs {
    /// The same limits for all orgs.
    pub fn new(default: OrgLimits) -> Self {
        Self {
            default,
            find: OnceLock::new(),
            refused: Default::default(),
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

    /// Counts and returns a refusal: one more was asked for than an org may do at once.
    pub fn refuse(&self, quota: Quota, limit: u64, used: u64) -> Rejection {
        let number = (quota as usize).checked_sub(COUNTED);
        if let Some(refused) = number.and_then(|number| self.refused.get(number)) {
            refused.fetch_add(1, Ordering::Relaxed);
        }
        Exceeded {
            quota,
            limit,
            used,
            asked: 1,
        }
        .into()
    }

    /// The number of refused requests, by quota.
    pub fn refused(&self) -> impl Iterator<Item = (Quota, u64)> {
        let at_once = Quota::ALL.into_iter().skip(COUNTED);
        at_once.zip(
            self.refused
                .iter()
                .map(|refused| refused.load(Ordering::Relaxed)),
        )
    }
}

impl std::fmt::Debug for LimitsOfOrgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LimitsOfOrgs")
            .field("default", &self.default)
            .finish_non_exhaustive()
    }
}
