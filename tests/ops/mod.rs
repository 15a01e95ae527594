//! Operators: maintenance windows, vacuums, the secret code, and the audit that stays.

mod kill;
mod races;
mod scenarios;
mod secret;
mod store;
pub(crate) mod world;
