//! What an entry does to a user, an org or a service account.

use super::{account, holds, invitations, member, org, own_limits, user};
use crate::domain::account::{Account, AccountDecider};
use crate::domain::org::{Invitations, Org, OrgDecider, OrgEvent};
use crate::domain::user::{User, UserDecider};
use crate::domain::{Decider, Event};
use crate::journal::{Body, Entry, Position, Source};
use crate::projections::{Store, StoreError, state_after};

/// What an entry did to a user, an org or a service account.
#[derive(Debug)]
pub enum IdentityChange {
    /// A user or its sessions changed.
    User {
        /// State before the applied entry.
        before: User,
        /// State after the applied entry.
        after: User,
    },
    /// An org. Its memberships are in the events.
    Org {
        /// State after the applied entry.
        after: Org,
        /// Its invitations before; looked up only for an entry that changes them.
        invited_before: Invitations,
    },
    /// A service account or its keys changed.
    Account {
        /// Code of the org it belongs to.
        org: String,
        /// State before the applied entry.
        before: Account,
        /// State after the applied entry.
        after: Account,
    },
}

/// The change that an entry makes to an identity; `None` for other streams, and for an entry that was applied already.
///
/// # Errors
/// [`StoreError`] when a row cannot be read or decoded.
pub(crate) fn after(
    store: &Store,
    entry: &Entry,
    body: &Body,
) -> Result<Option<IdentityChange>, StoreError> {
    let at = (entry.header.position, body);
    let mut parts = body.stream.as_str().split('/');
    let (service, first, second) = (parts.next(), parts.next(), parts.next());
    Ok(match (service, first, second) {
        (Some("uas"), Some(user_id), None) => {
            let before = user(store, user_id)?;
            state_after::<UserDecider>(before.clone(), at)
                .map(|after| IdentityChange::User { before, after })
        }
        (Some("ofm"), Some(code), None) => org_after(store, code, at)?,
        (Some("usm"), Some(code), Some(account_id)) => {
            let before = account(store, code, account_id)?;
            state_after::<AccountDecider>(before.clone(), at).map(|after| {
                let org = code.to_owned();
                IdentityChange::Account { org, before, after }
            })
        }
        _ => None,
    })
}

/// What an entry does to an org. Memberships have rows of their own: only those that it names are read.
fn org_after(
    store: &Store,
    code: &str,
    (position, body): (Position, &Body),
) -> Result<Option<IdentityChange>, StoreError> {
    let mut state = org(store, code)?;
    if state.version >= body.version {
        return Ok(None);
    }
    state.holds = holds(store, code)?;
    state.own_limits = own_limits(store, code)?;
    let invites = |event: &Event| matches!(event, Event::Org(event) if event.about_invitation());
    if body.events.iter().any(invites) {
        state.invitations = invitations(store, code)?;
    }
    let invited_before = state.invitations.clone();
    for event in &body.events {
        let Event::Org(event) = event else { continue };
        if let OrgEvent::QuotasSet { .. } = event
            && body.origin.source == Source::Import
        {
            // Set elsewhere: the version counts, the limits do not.
            state.version = body.version;
            continue;
        }
        if let OrgEvent::MemberAdded { user_id, .. } | OrgEvent::MemberRemoved { user_id } = event {
            state.subject = member(store, code, user_id)?;
        }
        state = OrgDecider::evolve(state, event, body.meta(position));
    }
    Ok(Some(IdentityChange::Org {
        after: state,
        invited_before,
    }))
}
