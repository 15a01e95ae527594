//! Who calls, what they may do, and answers that reveal nothing of other orgs.

pub mod access;
pub mod admit;
pub mod authenticator;
pub mod cache;
pub mod conceal;
pub mod credential;
pub mod memberships;
pub mod operator;
pub mod principal;
pub mod refused;
