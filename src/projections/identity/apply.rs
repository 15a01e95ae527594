//! The rows that a change of a user, an org or a service account writes.

use super::{Kind, LiveKey, key, row};
use crate::domain::Event;
use crate::domain::account::{Account, Key};
use crate::domain::org::{Invitations, Org, OrgEvent};
use crate::domain::user::User;
use crate::projections::Write;

pub(super) fn apply_user(before: &User, after: &User, writes: &mut Vec<Write>) {
    writes.push((key(Kind::Email, &[&after.email]), row(&after.user_id)));
    for hash in before.sessions.keys() {
        if !after.sessions.contains_key(hash) {
            writes.push((key(Kind::Session, &[hash]), None));
        }
    }
    for (hash, session) in &after.sessions {
        if before.sessions.get(hash) != Some(session) {
            writes.push((key(Kind::Session, &[hash]), row(session)));
        }
    }
    writes.push((key(Kind::User, &[&after.user_id]), row(after)));
}

pub(super) fn apply_members(code: &str, events: &[Event], writes: &mut Vec<Write>) {
    for event in events {
        let (user_id, role) = match event {
            Event::Org(OrgEvent::MemberAdded { user_id, role }) => (user_id, row(role)),
            Event::Org(OrgEvent::MemberRemoved { user_id }) => (user_id, None),
            _ => continue,
        };
        writes.push((key(Kind::Member, &[code, user_id]), role.clone()));
        writes.push((key(Kind::MemberOf, &[user_id, code]), role));
    }
}

pub(super) fn apply_holds(code: &str, after: &Org, events: &[Event], writes: &mut Vec<Write>) {
    let about_a_hold = |event: &Event| {
        matches!(
            event,
            Event::Org(OrgEvent::HoldSet { .. } | OrgEvent::HoldReleased { .. })
        )
    };
    if events.iter().any(about_a_hold) {
        let holds = (!after.holds.is_empty()).then(|| row(&after.holds));
        writes.push((key(Kind::Holds, &[code]), holds.flatten()));
    }
}

pub(super) fn apply_limits(code: &str, after: &Org, events: &[Event], writes: &mut Vec<Write>) {
    let about_limits = |event: &Event| matches!(event, Event::Org(OrgEvent::QuotasSet { .. }));
    if events.iter().any(about_limits) {
        let limits = (!after.own_limits.is_empty()).then(|| row(&after.own_limits));
        writes.push((key(Kind::Limits, &[code]), limits.flatten()));
    }
}

/// Both are empty for an entry that does not change them.
pub(super) fn apply_invitations(
    code: &str,
    before: &Invitations,
    after: &Invitations,
    writes: &mut Vec<Write>,
) {
    if before == after {
        return;
    }
    for gone in before.0.values() {
        writes.push((key(Kind::Invited, &[&gone.user_id, code]), None));
    }
    for there in after.0.values() {
        writes.push((key(Kind::Invited, &[&there.user_id, code]), row(there)));
    }
    let all = (!after.0.is_empty()).then(|| row(after));
    writes.push((key(Kind::Invitations, &[code]), all.flatten()));
}

pub(super) fn apply_account(org: &str, before: &Account, after: &Account, writes: &mut Vec<Write>) {
    // The row of a key that stays valid exists at every moment: rows are written one by one, and callers read meanwhile.
    for (key_id, gone) in &before.keys {
        if !after.keys.contains_key(key_id) {
            writes.push((key(Kind::Key, &[&gone.key_hash]), None));
        }
    }
    for (key_id, known) in &after.keys {
        let revoked = is_revoked(after, known);
        let earlier = before.keys.get(key_id);
        if earlier.is_some_and(|earlier| earlier == known && is_revoked(before, earlier) == revoked)
        {
            continue;
        }
        let known_row = LiveKey {
            org: org.to_owned(),
            account_id: after.account_id.clone(),
            key_id: key_id.clone(),
            revoked,
            role: known.role,
            expires_at: known.expires_at,
            allowed_addresses: known.allowed_addresses.clone(),
            last_used_at: known.last_used_at,
        };
        writes.push((key(Kind::Key, &[&known.key_hash]), row(&known_row)));
    }
    writes.push((key(Kind::Account, &[org, &after.account_id]), row(after)));
}

fn is_revoked(account: &Account, key: &Key) -> bool {
    !account.active || key.revoked_at.is_some()
}
