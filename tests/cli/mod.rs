//! The command line: what it takes, what it does, what it prints, and the numbers it ends with.

mod end_to_end;
mod exact;
mod files;
mod holds;
mod identity;
mod identity_refusals;
mod journal;
mod local;
mod lost_output;
mod ops;
mod parsing;
mod paste;
mod playbooks;
mod quota;
mod refusals;
mod remarks;
mod renewed;
pub(crate) mod run;
mod settings;
mod tables;
mod terminal;
mod upkeep;
