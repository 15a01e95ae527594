//! Whether a caller may access an org.

use super::access::{Right, Role};
use super::principal::Principal;
use crate::domain::rejection::Denial;
use crate::domain::{ErrorTag, OrgCode, Rejection};
use crate::http::reply::Refusal;
use crate::projections::Store;

/// Admits a caller to an org: one that is theirs, whose status allows what they ask for, and where their role does.
///
/// # Errors
/// `not-found` for strangers, whether or not the org exists; then `org-read-blocked`, `not-authorized` or `not-owner`, and
/// `org-write-blocked`.
pub fn admit(
    store: &Store,
    principal: &Principal,
    org: &OrgCode,
    right: Right,
) -> Result<Role, Refusal> {
    let memberships = &principal.memberships;
    let membership = memberships.get(store, org, &principal.user_id)?;
    let (belongs, role) = match &principal.bound {
        None => (
            membership.member.is_some(),
            membership.member.map(Role::from),
        ),
        Some(bound) => (bound.org == org.as_str(), bound.role),
    };
    let Some(status) = membership.status else {
        return Err(non_member(Denial::OrgUnknown).into());
    };
    if !belongs {
        return Err(non_member(Denial::OrgOfOthers).into());
    }
    if !status.readable() && right != Right::Offboard {
        return Err(Rejection::new(
            ErrorTag::OrgReadBlocked,
            "The org is frozen; ask its operator.",
        )
        .denied(Denial::OrgFrozen)
        .into());
    }
    let role = role.filter(|role| role.may(right));
    let role = role.ok_or_else(|| forbidden(right))?;
    if right == Right::Write && !status.writable() {
        return Err(Rejection::new(
            ErrorTag::OrgWriteBlocked,
            "The org's status does not allow changes; ask its owner.",
        )
        .denied(Denial::OrgNotVerified)
        .into());
    }
    Ok(role)
}

fn forbidden(right: Right) -> Rejection {
    match right {
        Right::Manage | Right::Offboard => {
            Rejection::new(ErrorTag::NotOwner, "Only an owner of the org may do this.")
                .denied(Denial::RoleNotOwner)
        }
        Right::Read | Right::Write | Right::ViewOrg => Rejection::new(
            ErrorTag::NotAuthorized,
            "Your role does not allow this; ask an owner of the org for another role.",
        )
        .denied(Denial::RoleTooSmall),
    }
}

fn non_member(denial: Denial) -> Rejection {
    Rejection::not_found().denied(denial)
}

/// The refusal of a program where a person is wanted.
pub(in crate::http) fn not_a_person() -> Rejection {
    Rejection::new(
        ErrorTag::NotAuthorized,
        "This route requires a user's session in the x-session-guid header.",
    )
    .denied(Denial::NotAPerson)
}
