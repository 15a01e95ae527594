//! Pages in a real browser: what they show and do, and that they load and call nothing but their own server.

mod axe;
mod commands;
pub(crate) mod driver;
mod explorer;
mod policy;
