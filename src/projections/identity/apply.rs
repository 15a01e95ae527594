//! The rows that a change of a user, an org or a service account writes.

use std::collections::BTreeMap;

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
    let of = |account: &Account| -> BTreeMap<String, Key> {
        let live = account.live_keys();
        live.map(|(id, key)| (id.clone(), key.clone())).collect()
    };
    let (before, live) = (of(before), of(after));
    // A key that goes on counting is there at every moment: rows are written one by one, and callers look meanwhile.
    let gone = before
        .iter()
        .filter(|(key_id, _)| !live.contains_key(*key_id));
    for (_, gone) in gone {
        writes.push((key(Kind::Key, &[&gone.key_hash]), None));
    }
    for (key_id, live) in live
        .iter()
        .filter(|(id, key)| before.get(*id) != Some(*key))
    {
        let known = LiveKey {
            org: org.to_owned(),
            account_id: after.account_id.clone(),
            key_id: key_id.clone(),
            role: live.role,
            expires_at: live.expires_at,
            allowed_addresses: live.allowed_addresses.clone(),
            last_used_at: live.last_used_at,
        };
        writes.push((key(Kind::Key, &[&live.key_hash]), row(&known)));
    }
    writes.push((key(Kind::Account, &[org, &after.account_id]), row(after)));
}
