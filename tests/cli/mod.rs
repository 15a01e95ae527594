//! The command line: what it takes, what it does, what it prints, and the numbers it ends with.

mod end_to_end;
mod journal;
mod local;
mod parsing;
pub(crate) mod run;
