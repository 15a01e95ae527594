//! Operators: maintenance windows, vacuums, the secret code, and the audit that stays.

mod failures;
mod held;
mod holds;
mod kill;
mod model;
pub(crate) mod open;
mod races;
mod scenarios;
mod script;
mod secret;
mod store;
pub(crate) mod world;
