//! Erasing one user: what forbids it, and leaving the orgs before the user's entries are erased.

use crate::actors::deps::ActorDeps;
use crate::actors::execute::execute;
use crate::actors::request::{Caller, Refused, failed};
use crate::domain::org::{MemberRole, OrgCommand, OrgDecider, OrgEvent, OrgStatus};
use crate::domain::user::{UserCommand, UserDecider};
use crate::domain::vacuum::JOB;
use crate::domain::{ErrorTag, Event, OrgCode, Rejection, StreamId};
use crate::projections::identity;

/// Orgs that a refusal names.
const ORGS_TOLD_MAX: usize = 100;
/// Entries of an org's stream, or invitations, read at a time.
const READ_ENTRIES: usize = 1_000;

/// Refuses to erase a user who is not there, who has to hand an org over first, who belongs to an org that takes no changes, or, unless that
/// is overridden, who belongs or belonged to an org with a legal hold.
pub(super) fn check(deps: &ActorDeps, user_id: &str, override_holds: bool) -> Result<(), Refused> {
    let user = identity::user(&deps.store, user_id).map_err(failed)?;
    let stream = StreamId::user(user_id);
    // What is left of a user whose erasure failed can be erased all the same.
    if user.version == 0 && deps.journal.version(&stream).map_err(Refused::failed)? == 0 {
        return Err(Rejection::not_found().into());
    }
    let (mut owned, mut leaving) = (Vec::new(), Vec::new());
    for (code, org) in orgs_of(deps, user_id)? {
        if org.owners == 1 && org.subject == Some(MemberRole::Owner) {
            owned.push(code.as_str().to_owned());
        } else if deps.admission.is_held(StreamId::org(&code).as_str()) {
            leaving.push(code.as_str().to_owned());
        }
    }
    if !owned.is_empty() {
        let message = format!(
            "The user is the last owner of {}; add another owner first, or vacuum the org.",
            listed(&owned)
        );
        return Err(refusal(message, "last-owner", owned).into());
    }
    if !leaving.is_empty() {
        let message = format!(
            "The user belongs to {}, which is being offboarded or imported; wait until that has finished, or cancel it.",
            listed(&leaving)
        );
        return Err(refusal(message, "offboarding", leaving).into());
    }
    if override_holds {
        return Ok(());
    }
    let held = held_orgs(deps, user_id)?;
    if held.is_empty() {
        return Ok(());
    }
    let message = format!(
        "The user belongs or belonged to {}, where a legal hold is set; release the hold, or set override_holds, with a reason.",
        listed(&held)
    );
    Err(refusal(message, "held", held).into())
}

/// Ends what binds a user: memberships of orgs, invitations to them, and sessions. Twice is once.
pub(super) async fn depart(deps: &ActorDeps, user_id: &str) -> Result<(), Refused> {
    let caller = Caller::job(JOB);
    for (code, _) in orgs_of(deps, user_id)? {
        let _pass = deps.admission.enter_org(&code)?;
        let leave = OrgCommand::RemoveMember {
            org: code,
            user_id: user_id.to_owned(),
        };
        done_or_gone(execute::<OrgDecider>(deps, &leave, &caller).await)?;
    }
    for (code, invitation_id) in invitations(deps, user_id)? {
        let withdraw = OrgCommand::WithdrawInvitation {
            org: code.clone(),
            invitation_id,
        };
        // One that is over, or of an org that takes no changes, cannot be accepted either, and names no user.
        if let Ok(_pass) = deps.admission.enter_org(&code) {
            match execute::<OrgDecider>(deps, &withdraw, &caller).await {
                Ok(_) | Err(Refused::Rejected { .. }) => {}
                Err(refused) => return Err(refused),
            }
        }
    }
    let close = UserCommand::CloseSessions {
        user_id: user_id.to_owned(),
    };
    done_or_gone(execute::<UserDecider>(deps, &close, &caller).await)
}

/// The invitations of a user: the org and the invitation's id.
fn invitations(deps: &ActorDeps, user_id: &str) -> Result<Vec<(OrgCode, String)>, Refused> {
    let (mut all, mut from) = (Vec::new(), None);
    loop {
        let page = identity::invitations_of(&deps.store, user_id, from.as_deref(), READ_ENTRIES);
        let page = page.map_err(failed)?;
        for (code, invitation) in page.items {
            let code = OrgCode::parse(&code).ok();
            all.extend(code.map(|code| (code, invitation.invitation_id)));
        }
        from = page.next;
        if from.is_none() {
            return Ok(all);
        }
    }
}

/// Treats `not-found` as done: what is missing need not be ended.
fn done_or_gone<T>(executed: Result<T, Refused>) -> Result<(), Refused> {
    match executed {
        Ok(_) => Ok(()),
        Err(Refused::Rejected { rejection, .. }) if rejection.tag == ErrorTag::NotFound => Ok(()),
        Err(refused) => Err(refused),
    }
}

/// The orgs that a user belongs to, with the user's role in each; without doomed ones, which no member can leave.
fn orgs_of(
    deps: &ActorDeps,
    user_id: &str,
) -> Result<Vec<(OrgCode, crate::domain::org::Org)>, Refused> {
    let mut orgs = Vec::new();
    for code in identity::all_orgs_of(&deps.store, user_id).map_err(failed)? {
        let Ok(code) = OrgCode::parse(&code) else {
            continue;
        };
        let mut org = identity::org(&deps.store, code.as_str()).map_err(failed)?;
        if org.status == Some(OrgStatus::Doomed) {
            continue;
        }
        org.subject = identity::member(&deps.store, code.as_str(), user_id).map_err(failed)?;
        orgs.push((code, org));
    }
    Ok(orgs)
}

/// The orgs with a legal hold that a user belongs to, or did once.
fn held_orgs(deps: &ActorDeps, user_id: &str) -> Result<Vec<String>, Refused> {
    let mut held = Vec::new();
    for org in identity::orgs_with_holds(&deps.store, usize::MAX).map_err(failed)? {
        if belonged(deps, &org, user_id)? {
            held.push(org.as_str().to_owned());
        }
    }
    Ok(held)
}

fn belonged(deps: &ActorDeps, org: &OrgCode, user_id: &str) -> Result<bool, Refused> {
    let (stream, mut next) = (StreamId::org(org), 1);
    loop {
        let entries = deps.journal.stream(&stream, next, READ_ENTRIES);
        let entries = entries.map_err(Refused::failed)?;
        let bodies = entries.iter().filter_map(|entry| entry.body.as_ref());
        let mut events = bodies.clone().flat_map(|body| &body.events);
        let joins = |event: &Event| matches!(event, Event::Org(OrgEvent::MemberAdded { user_id: who, .. }) if who == user_id);
        if events.any(joins) {
            return Ok(true);
        }
        match bodies.last() {
            Some(body) => next = body.version + 1,
            None => return Ok(false),
        }
    }
}

fn refusal(message: String, minor: &'static str, orgs: Vec<String>) -> Rejection {
    let told: Vec<_> = orgs.iter().take(ORGS_TOLD_MAX).cloned().collect();
    Rejection::new(ErrorTag::InvalidState, message)
        .with_minor(minor)
        .with_detail("orgcodes", told)
        .with_detail("more", orgs.len() > ORGS_TOLD_MAX)
}

/// The first org by name, and how many more there are.
fn listed(orgs: &[String]) -> String {
    match orgs {
        [] => String::new(),
        [one] => one.clone(),
        [first, others @ ..] => format!("{first} and {} more", others.len()),
    }
}
