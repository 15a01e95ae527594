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
    /// Has a user join an org, or changes the role of one who has.
    member_add = POST "/ofm/member/add";
    /// Has a user leave an org.
    member_remove = POST "/ofm/member/remove";
    /// Lists one page of an org's owners and members.
    member_list = POST "/ofm/member/list";
    /// Finds a member.
    member_resolve = POST "/ofm/member/resolve";
    /// Reads what an org has beside what it may have.
    usage = GET "/ofm/usage";
}
