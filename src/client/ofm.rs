//! An org and who belongs to it: the routes, each as one method.

use serde_json::Value;

use super::{Client, Reply, TransportError};

routes! {
    /// Reads an org.
    org_get = POST ofm::GET;
    /// Parks an org: it is read, and takes no changes.
    org_park = POST ofm::PARK;
    /// Takes a parked org up again.
    org_unpark = POST ofm::UNPARK;
    /// Invites a user to an org, or changes the role of a member.
    member_add = POST ofm::ADD;
    /// Has a user leave an org.
    member_remove = POST ofm::REMOVE;
    /// Leaves an org oneself.
    member_leave = POST ofm::LEAVE;
    /// Invites a user to an org.
    invitation_create = POST ofm::invitation::CREATE;
    /// Lists an org's open invitations.
    invitation_list = POST ofm::invitation::LIST;
    /// Takes an invitation back.
    invitation_withdraw = POST ofm::invitation::WITHDRAW;
    /// Lists one page of the caller's own invitations.
    invitation_mine = POST ofm::invitation::MINE;
    /// Accepts an invitation.
    invitation_accept = POST ofm::invitation::ACCEPT;
    /// Declines an invitation.
    invitation_decline = POST ofm::invitation::DECLINE;
    /// Lists one page of an org's owners and members.
    member_list = POST ofm::LIST;
    /// Finds a member.
    member_resolve = POST ofm::RESOLVE;
    /// Reads how much an org has of each quota, and its limits.
    usage = GET usage::GET;
}
