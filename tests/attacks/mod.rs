//! What a stranger, a hostile tenant, or somebody else on the machine may try, each against a real server.

mod access;
mod agents;
mod at_once;
mod audit;
mod bodies;
mod content;
mod disk;
mod erased_import;
mod erased_lines;
pub(crate) mod erasures;
mod framing;
mod history;
mod keys;
mod limits_table;
mod people;
mod quota;
mod read_only;
mod reopen;
mod repeats;
mod serve;
pub(crate) mod share;
mod snapshot;
mod time;
mod tls;
pub(crate) mod user_erasure;
mod wire;
