//! The door: turns requests into calls, calls into answers, and knows no rule of its own.

pub mod access;
pub mod bodies;
pub mod call;
pub mod callers;
pub mod conceal;
pub mod document;
pub mod envelope;
mod fingerprint;
pub mod gate;
pub mod head;
pub mod identity;
pub mod input;
pub mod limits;
pub mod listener;
pub mod meters;
pub mod mrs;
pub mod nesting;
pub mod ofm;
pub mod openapi;
pub mod operator;
pub mod ops;
pub mod org_limits;
pub mod places;
pub mod presigned;
pub mod routes;
pub mod server;
pub mod shares;
pub mod slow;
pub mod space;
pub mod system;
pub mod uas;
pub mod usage;
pub mod usm;
pub mod utl;

pub use server::{Door, House};
