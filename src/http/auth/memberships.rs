//! Memberships of a caller in the orgs it last asked for: kept with the caller until one of the rows changes.

use parking_lot::Mutex;

use crate::domain::OrgCode;
use crate::projections::identity::Membership;
use crate::projections::{Store, StoreError};

/// Orgs whose standing is kept for one caller.
const MEMBERSHIPS_MAX: usize = 8;
/// Longest code of an org.
const ORG_BYTES_MAX: usize = 32;

/// Memberships of one caller in the orgs last asked for.
#[derive(Debug, Default)]
pub(super) struct MembershipCache(Mutex<Vec<(Code, Membership)>>);

/// The code of an org, padded with zeros: compared without following a pointer.
type Code = [u8; ORG_BYTES_MAX];

impl MembershipCache {
    /// The membership of a user in an org, read if it is not known or may have changed.
    ///
    /// # Errors
    /// [`StoreError`] when a row cannot be read or decoded.
    pub(super) fn get(
        &self,
        store: &Store,
        org: &OrgCode,
        user_id: &str,
    ) -> Result<Membership, StoreError> {
        let Some(code) = code(org) else {
            return Membership::read(store, org.as_str(), user_id);
        };
        let kept = self
            .0
            .lock()
            .iter()
            .find(|(kept, _)| *kept == code)
            .map(|(_, membership)| *membership);
        if let Some(membership) = kept.filter(|membership| membership.is_current(store)) {
            return Ok(membership);
        }
        let membership = Membership::read(store, org.as_str(), user_id)?;
        let mut memberships = self.0.lock();
        memberships.retain(|(kept, _)| *kept != code);
        if memberships.len() >= MEMBERSHIPS_MAX {
            memberships.remove(0);
        }
        memberships.push((code, membership));
        Ok(membership)
    }
}

fn code(org: &OrgCode) -> Option<Code> {
    let text = org.as_str().as_bytes();
    let mut code = [0; ORG_BYTES_MAX];
    code.get_mut(..text.len())?.copy_from_slice(text);
    Some(code)
}
