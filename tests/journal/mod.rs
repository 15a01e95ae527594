//! The journal: one suite for every implementation, and what only the one on disk must survive.

mod crash;
mod damage;
mod disk;
mod faults;
mod golden;
mod promises;
mod support;
