//! Callers with tokens of an identity provider: what is taken, what is refused and why, where keys come from, and the
//! command line that makes tokens.

mod command;
pub(crate) mod issuer;
mod places;
mod refusals;
mod web;
