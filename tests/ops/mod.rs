//! Operators: maintenance windows, vacuums, the secret code, and the audit that stays.

mod failures;
mod held;
mod holds;
mod journal;
pub(crate) mod kill;
mod kill_user;
mod lifecycles;
mod messages;
mod model;
pub(crate) mod open;
mod races;
mod reads;
mod scenarios;
mod script;
mod secret;
pub(crate) mod store;
pub(crate) mod world;
