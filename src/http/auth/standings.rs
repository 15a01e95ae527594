//! Memberships of a caller in the orgs it last asked for: kept with the caller until one of the rows changes.

use parking_lot::Mutex;

use crate::domain::OrgCode;
use crate::projections::identity::Standing;
use crate::projections::{Store, StoreError};

/// Orgs whose standing is kept for one caller.
const STANDINGS_MAX: usize = 8;
/// Longest code of an org.
const ORG_BYTES_MAX: usize = 32;

/// Memberships of one caller in the orgs last asked for.
#[derive(Debug, Default)]
pub(super) struct Standings(Mutex<Vec<(Code, Standing)>>);

/// The code of an org, padded with zeros: compared without following a pointer.
type Code = [u8; ORG_BYTES_MAX];

impl Standings {
    /// The membership of a user in an org, read if it is not known or may have changed.
    ///
    /// # Errors
    /// [`StoreError`] when a row cannot be read or decoded.
    pub(super) fn get(
        &self,
        store: &Store,
        org: &OrgCode,
        user_id: &str,
    ) -> Result<Standing, StoreError> {
        let Some(code) = code(org) else {
            return Standing::read(store, org.as_str(), user_id);
        };
        let kept = self
            .0
            .lock()
            .iter()
            .find(|(kept, _)| *kept == code)
            .map(|(_, standing)| *standing);
        if let Some(standing) = kept.filter(|standing| standing.is_current(store)) {
            return Ok(standing);
        }
        let standing = Standing::read(store, org.as_str(), user_id)?;
        let mut standings = self.0.lock();
        standings.retain(|(kept, _)| *kept != code);
        if standings.len() >= STANDINGS_MAX {
            standings.remove(0);
        }
        standings.push((code, standing));
        Ok(standing)
    }
}

fn code(org: &OrgCode) -> Option<Code> {
    let text = org.as_str().as_bytes();
    let mut code = [0; ORG_BYTES_MAX];
    code.get_mut(..text.len())?.copy_from_slice(text);
    Some(code)
}
