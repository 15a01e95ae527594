//! How many callers may wait for changes at once: of one principal, of one org, and in all.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::{ErrorTag, OrgCode, Rejection};
use crate::http::auth::principal::Principal;
use crate::http::places::{InFlight, Places};

/// Most callers that wait for changes at once.
#[derive(Clone, Copy, Debug)]
pub struct FollowersMax {
    /// Callers of all orgs together.
    pub all: usize,
    /// Callers that wait for one org's changes.
    pub org: u32,
    /// Requests of one principal that wait.
    pub principal: u32,
}

/// Counts callers that wait for changes.
#[derive(Debug)]
pub struct Followers {
    max: FollowersMax,
    all: Arc<Semaphore>,
    orgs: Places,
    principals: Places,
}

/// The place of one that waits.
#[expect(dead_code, reason = "the places are given back when they are dropped")]
#[derive(Debug)]
pub(super) struct FollowerPlace(InFlight, InFlight, OwnedSemaphorePermit);

impl Followers {
    /// Counts from nobody, up to these numbers.
    pub fn new(max: FollowersMax) -> Self {
        Self {
            max,
            all: Arc::new(Semaphore::new(max.all)),
            orgs: Places::new(usize::MAX),
            principals: Places::new(usize::MAX),
        }
    }

    /// Callers that wait now, of all orgs.
    pub fn count(&self) -> usize {
        self.max.all - self.all.available_permits()
    }

    /// Takes a place.
    ///
    /// # Errors
    /// `throttled`.
    pub(super) fn enter(
        &self,
        principal: &Principal,
        org: &OrgCode,
    ) -> Result<FollowerPlace, Rejection> {
        let full = |what: &str, setting: &str| {
            let message = format!(
                "{what} wait for changes, which is the limit ({setting}); ask without wait, or try again later."
            );
            Rejection::new(ErrorTag::Throttled, message).with_minor("followers-limit")
        };
        let FollowersMax {
            all,
            org: of_org,
            principal: of_principal,
        } = self.max;
        let own = self.principals.enter(&principal.user_id, of_principal);
        let own = own.map_err(|_| {
            full(
                &format!("{of_principal} of your requests"),
                "mrs.followers_principal_max",
            )
        })?;
        let of_its_org = self.orgs.enter(org.as_str(), of_org);
        let of_its_org = of_its_org.map_err(|_| {
            full(
                &format!("{of_org} requests to this org"),
                "mrs.followers_org_max",
            )
        })?;
        let one_of_all = self.all.clone().try_acquire_owned();
        let one_of_all =
            one_of_all.map_err(|_| full(&format!("{all} requests"), "mrs.followers_max"))?;
        Ok(FollowerPlace(own, of_its_org, one_of_all))
    }
}
