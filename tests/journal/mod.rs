//! The journal: one suite for every implementation, and what only the one on disk must survive.
#![expect(
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect, helpers included"
)]

mod crash;
mod damage;
mod database;
pub(crate) mod disk;
mod erase;
mod fairness;
mod faults;
mod golden;
mod promises;
pub(crate) mod support;
