//! An org and who belongs to it: the routes, each as one method.

use serde_json::Value;

use super::{Client, Reply, TransportError};

routes! {
    /// Reads an org.
    org_get = POST "/ofm/org/get";
    /// Sets an org aside: it is read, and takes no changes.
    org_park = POST "/ofm/org/park";
    /// Takes a parked org up again.
    org_unpark = POST "/ofm/org/unpark";
    /// Invites a user to an org, or changes the role of a member.
    member_add = POST "/ofm/member/add";
    /// Has a user leave an org.
    member_remove = POST "/ofm/member/remove";
    /// Leaves an org oneself.
    member_leave = POST "/ofm/member/leave";
    /// Invites a user to an org.
    invitation_create = POST "/ofm/invitation/create";
    /// Lists an org's open invitations.
    invitation_list = POST "/ofm/invitation/list";
    /// Takes an invitation back.
    invitation_withdraw = POST "/ofm/invitation/withdraw";
    /// Lists one page of the caller's own invitations.
    invitation_mine = POST "/ofm/invitation/mine";
    /// Accepts an invitation.
    invitation_accept = POST "/ofm/invitation/accept";
    /// Declines an invitation.
    invitation_decline = POST "/ofm/invitation/decline";
    /// Lists one page of an org's owners and members.
    member_list = POST "/ofm/member/list";
    /// Finds a member.
    member_resolve = POST "/ofm/member/resolve";
    /// Reads what an org has beside what it may have.
    usage = GET "/ofm/usage";
}
